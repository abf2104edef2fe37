/*
 * grpc.c -- the thin layer between HTTP/2 bodies and protobuf.
 *
 * Compression is refused: nothing here announces it, so a peer that uses it is wrong.  Sans-I/O.
 */
#include "codec/grpc.h"

#include <errno.h>
#include <stdint.h>

#include "base/check.h"
#include "base/text.h"

#define HEAD 5
#define KEEP_ROOM 65536 /* a reader that is empty gives more than that back */

void
ap_grpc_frame(struct ap_slice message, struct ap_buf *out)
{
	AP_CHECK(message.len <= UINT32_MAX);
	ap_buf_add_u8(out, 0);
	ap_buf_add_u32(out, (uint32_t)message.len);
	ap_buf_add_slice(out, message);
}

void
ap_grpc_reader_init(struct ap_grpc_reader *r, size_t ceiling)
{
	*r = (struct ap_grpc_reader){ .ceiling = ceiling };
	ap_buf_init(&r->in, PTRDIFF_MAX); /* bounded by feed */
}

void
ap_grpc_reader_done(struct ap_grpc_reader *r)
{
	ap_buf_done(&r->in);
	r->used = 0;
}

int
ap_grpc_reader_feed(struct ap_grpc_reader *r, struct ap_slice bytes)
{
	ap_buf_consume(&r->in, r->used);
	r->used = 0;
	if (r->in.len == 0 && r->in.room > KEEP_ROOM) {
		ap_buf_done(&r->in);
		ap_buf_init(&r->in, PTRDIFF_MAX);
	}
	if (r->in.len > r->ceiling + HEAD)
		return -EMSGSIZE;
	ap_buf_add_slice(&r->in, bytes);
	return 0;
}

int
ap_grpc_reader_next(struct ap_grpc_reader *r, struct ap_slice *message)
{
	struct ap_slice in = ap_slice_from(ap_buf_slice(&r->in), r->used);
	const uint8_t *p = (const uint8_t *)in.ptr;
	size_t len;

	if (in.len == 0)
		return 0;
	if (p[0] != 0)
		return -EPROTO;
	if (in.len < HEAD)
		return 0;
	len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (len > r->ceiling)
		return -EMSGSIZE;
	if (in.len - HEAD < len)
		return 0;
	*message = ap_slice_sub(in, HEAD, len);
	r->used += HEAD + len;
	return 1;
}

bool
ap_grpc_reader_is_at_edge(const struct ap_grpc_reader *r)
{
	return r->used == r->in.len;
}

static const char *const names[] = { "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" };

const char *
ap_grpc_status_name(unsigned status)
{
	return names[status < AP_COUNTOF(names) ? status : AP_GRPC_UNKNOWN];
}

enum ap_grpc_status
ap_grpc_status_parse(struct ap_slice text)
{
	uint64_t v;

	if (ap_text_to_u64(text, AP_COUNTOF(names) - 1, &v) < 0)
		return AP_GRPC_UNKNOWN;
	return (enum ap_grpc_status)v;
}

/* doc/http-grpc-status-mapping.md of gRPC. */
enum ap_grpc_status
ap_grpc_status_from_http(unsigned http_status)
{
	switch (http_status) {
	case 400:
		return AP_GRPC_INTERNAL;
	case 401:
		return AP_GRPC_UNAUTHENTICATED;
	case 403:
		return AP_GRPC_PERMISSION_DENIED;
	case 404:
		return AP_GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return AP_GRPC_UNAVAILABLE;
	default:
		return AP_GRPC_UNKNOWN;
	}
}

void
ap_grpc_message_encode(struct ap_slice text, struct ap_buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c >= 0x20 && c <= 0x7e && c != '%')
			ap_buf_add_char(out, (char)c);
		else
			ap_buf_printf(out, "%%%02X", c);
	}
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void
ap_grpc_message_decode(struct ap_slice text, struct ap_buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		bool may = text.ptr[i] == '%' && text.len - i > 2;
		int high = may ? hex_value(text.ptr[i + 1]) : -1, low = may ? hex_value(text.ptr[i + 2]) : -1;

		if (high < 0 || low < 0) {
			ap_buf_add_char(out, text.ptr[i]);
			continue;
		}
		ap_buf_add_u8(out, (uint8_t)(high << 4 | low));
		i += 2;
	}
}
