/*
 * zt_sniff_h2.c -- HTTP/2 in passing.  Frame headers of both sides are walked and payloads skipped; only the servers' header blocks
 * are decompressed, for the status.  The streams that are open stand in a small table by their number; one that finds no
 * place is not counted.  Memory: nghttp2's decompressor, whose table is bounded by TABLE_MAX, and at most STREAMS_MAX streams,
 * given back when none is open.
 */
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "ztunnel/zt_sniff_priv.h"

#define HEADER 9U
#define BLOCK_MAX 65536U
#define TABLE_MAX 16384U /* of the decompressor; a server that uses more is not watched further */
#define STREAMS_MIN 8U
#define STREAMS_MAX 256U
#define PROBES 8U

enum type { T_DATA, T_HEADERS, T_PRIORITY, T_RST_STREAM, T_SETTINGS, T_PUSH_PROMISE, T_PING, T_GOAWAY, T_WINDOW, T_CONTINUATION };
enum { F_END_STREAM = 1, F_ACK = 1, F_END_HEADERS = 4, F_PADDED = 8, F_PRIORITY = 32 };

struct stream {
	uint32_t id; /* 0: a free place */
	uint16_t status;
	int16_t grpc_status;
	bool is_grpc;
	uint64_t start_us, request_bytes, response_bytes;
};

/* One direction: where in its present frame it is. */
struct side {
	uint8_t head[HEADER]; /* of the frame; while a payload passes: a setting of it */
	uint8_t setting_bytes;
	uint8_t have;         /* bytes in head; HEADER: in the payload */
	uint8_t type, flags;
	uint8_t before;       /* bytes of the payload to skip before a block */
	bool wants_pad;       /* the first byte of the payload is the length of the padding */
	bool is_begun;        /* its first frame was seen */
	uint8_t pad;
	uint32_t stream, left;
	/* A block that CONTINUATION goes on with. */
	uint32_t block_stream, block_size;
	bool in_block, block_ends_stream;
};

struct h2 {
	struct side side[2];
	nghttp2_hd_inflater *inflater;
	struct stream *streams; /* `room` places, a power of two; NULL: none is open */
	uint32_t room, count, newest;
	uint32_t table_size; /* that the decompressor was told */
	/* Of the block in hand. */
	uint16_t status;
	int16_t grpc_status;
	bool is_grpc;
};

struct h2 *
zt_sniff_h2_new(void)
{
	struct h2 *h = ap_new(struct h2);

	if (nghttp2_hd_inflate_new(&h->inflater) != 0) {
		ap_free(&h);
		return NULL;
	}
	h->table_size = 4096;
	return h;
}

void
zt_sniff_h2_free(struct h2 **h2)
{
	struct h2 *h = *h2;

	if (h == NULL)
		return;
	nghttp2_hd_inflate_del(h->inflater);
	ap_free(&h->streams);
	ap_free(h2);
}

/* Streams. */

/* One of the few places that the stream may stand in, which holds `holds`. */
static struct stream *
place(const struct h2 *h, uint32_t id, uint32_t holds)
{
	for (uint32_t i = 0; h->streams != NULL && i < PROBES; i++) {
		struct stream *s = &h->streams[((id >> 1) + i) & (h->room - 1)];

		if (s->id == holds)
			return s;
	}
	return NULL;
}

static struct stream *
find(const struct h2 *h, uint32_t id)
{
	return place(h, id, id);
}

/* Twice the places. What finds none among them any more is not counted. */
static void
grow(struct h2 *h)
{
	struct stream *old = h->streams, *s;
	uint32_t room = h->room;

	h->room = old == NULL ? STREAMS_MIN : room * 2;
	h->streams = ap_alloc_array(h->room, sizeof(*h->streams));
	h->count = 0;
	for (uint32_t i = 0; old != NULL && i < room; i++) {
		if (old[i].id == 0 || (s = place(h, old[i].id, 0)) == NULL)
			continue;
		*s = old[i];
		h->count++;
	}
	ap_free(&old);
}

static void
open_stream(struct h2 *h, uint32_t id, uint64_t bytes, uint64_t now_us)
{
	struct stream *s = place(h, id, 0);

	while (s == NULL && (h->streams == NULL || h->room < STREAMS_MAX)) {
		grow(h);
		s = place(h, id, 0);
	}
	if (s == NULL)
		return;
	*s = (struct stream){ .id = id, .grpc_status = -1, .start_us = now_us, .request_bytes = bytes };
	h->count++;
}

static void
end_stream(struct h2 *h, struct stream *s, const struct zt_sniff_call *call)
{
	const struct zt_sniff_request r = { .status = s->status,
		.grpc_status = s->grpc_status,
		.is_http2 = true,
		.is_grpc = s->is_grpc,
		.duration_us = call->now_us - s->start_us,
		.request_bytes = s->request_bytes,
		.response_bytes = s->response_bytes };

	s->id = 0;
	if (--h->count == 0 && h->room > STREAMS_MIN)
		ap_free(&h->streams);
	if (r.status > 0) /* else it was reset before it was answered */
		call->fn(&r, call->arg);
}

/* Header blocks of the server. */

static uint16_t
number(const nghttp2_nv *nv, size_t most)
{
	unsigned n = 0;

	if (nv->valuelen == 0 || nv->valuelen > most)
		return 0;
	for (size_t i = 0; i < nv->valuelen; i++) {
		if (nv->value[i] < '0' || nv->value[i] > '9')
			return 0;
		n = n * 10 + (unsigned)(nv->value[i] - '0');
	}
	return (uint16_t)n;
}

static bool
is_named(const nghttp2_nv *nv, const char *name, size_t len)
{
	return nv->namelen == len && memcmp(nv->name, name, len) == 0;
}

#define IS_NAMED(nv_, name_) is_named(nv_, name_, sizeof(name_) - 1)

static void
note_field(struct h2 *h, const nghttp2_nv *nv)
{
	static const char grpc[] = "application/grpc";

	if (IS_NAMED(nv, ":status"))
		h->status = number(nv, 3);
	else if (IS_NAMED(nv, "grpc-status"))
		h->grpc_status = (int16_t)number(nv, 4);
	else if (IS_NAMED(nv, "content-type"))
		h->is_grpc = nv->valuelen >= sizeof(grpc) - 1 && memcmp(nv->value, grpc, sizeof(grpc) - 1) == 0;
}

static bool
inflate(struct h2 *h, const uint8_t *p, size_t size, bool is_last)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(h->inflater, &nv, &flags, p, size, is_last);

		if (n < 0)
			return false;
		p += n;
		size -= (size_t)n;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
			note_field(h, &nv);
		if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
			nghttp2_hd_inflate_end_headers(h->inflater);
			return true;
		}
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && size == 0)
			return true;
	}
}

/* What a whole block said. */
static void
end_block(struct h2 *h, struct side *f, const struct zt_sniff_call *call)
{
	struct stream *s = find(h, f->block_stream);

	f->in_block = false;
	if (s == NULL)
		return;
	s->is_grpc |= h->is_grpc;
	if (h->grpc_status >= 0)
		s->grpc_status = h->grpc_status;
	if (h->status >= 200)
		s->status = h->status;
	if (f->block_ends_stream)
		end_stream(h, s, call);
}

/* Frames. */

static bool
is_block(const struct side *f)
{
	return f->type == T_HEADERS || f->type == T_CONTINUATION || f->type == T_PUSH_PROMISE;
}

/* A block begins or goes on. */
static bool
begin_block(struct h2 *h, struct side *f)
{
	if (f->type == T_CONTINUATION) {
		f->flags &= (uint8_t)~F_PADDED;
		return f->in_block && f->stream == f->block_stream;
	}
	f->in_block = true;
	f->block_stream = f->type == T_HEADERS ? f->stream : 0;
	f->block_size = 0;
	f->block_ends_stream = f->type == T_HEADERS && (f->flags & F_END_STREAM) != 0;
	f->wants_pad = (f->flags & F_PADDED) != 0;
	f->before = f->type == T_PUSH_PROMISE ? 4 : (f->flags & F_PRIORITY) != 0 ? 5 : 0;
	h->status = 0;
	h->grpc_status = -1;
	h->is_grpc = false;
	return f->left >= f->before + (f->wants_pad ? 1U : 0U);
}

/* What a frame's head alone tells. False: it is odd. */
static bool
begin_client_frame(struct h2 *h, const struct side *f, const struct zt_sniff_call *call)
{
	struct stream *s;

	if (f->type != T_HEADERS && f->type != T_DATA)
		return true;
	s = find(h, f->stream);
	if (s != NULL) {
		s->request_bytes += f->left;
	} else if (f->type == T_HEADERS && f->stream > h->newest) {
		if ((f->stream & 1) == 0)
			return false;
		h->newest = f->stream;
		open_stream(h, f->stream, f->left, call->now_us);
	}
	return true;
}

static bool
begin_server_frame(struct h2 *h, struct side *f)
{
	struct stream *s;

	if (f->in_block && f->type != T_CONTINUATION)
		return false;
	if (f->type == T_DATA || f->type == T_HEADERS) {
		s = find(h, f->stream);
		if (s != NULL)
			s->response_bytes += f->left;
	}
	return !is_block(f) || begin_block(h, f);
}

static bool
begin_frame(struct h2 *h, enum zt_sniff_side side, const struct zt_sniff_call *call)
{
	struct side *f = &h->side[side];
	const uint8_t *b = f->head;

	f->left = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
	f->type = b[3];
	f->flags = b[4];
	f->stream = ((uint32_t)b[5] << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8]) & 0x7fffffffU;
	f->wants_pad = false;
	f->before = f->pad = f->setting_bytes = 0;
	/* Both sides speak of settings first. */
	if (!f->is_begun && (f->type != T_SETTINGS || (f->flags & F_ACK) != 0))
		return false;
	f->is_begun = true;
	if ((f->type == T_DATA || is_block(f) || f->type == T_RST_STREAM) && f->stream == 0)
		return false;
	if (f->type == T_SETTINGS && f->left % 6 != 0)
		return false;
	return side == ZT_SNIFF_CLIENT ? begin_client_frame(h, f, call) : begin_server_frame(h, f);
}

/* False: a block that is no block. */
static bool
end_frame(struct h2 *h, enum zt_sniff_side side, const struct zt_sniff_call *call)
{
	struct side *f = &h->side[side];
	struct stream *s = NULL;

	f->have = 0;
	if (side == ZT_SNIFF_SERVER && is_block(f)) {
		if ((f->flags & F_END_HEADERS) == 0)
			return true;
		if (!inflate(h, f->head, 0, true))
			return false;
		end_block(h, f, call);
		return true;
	}
	if (f->type == T_RST_STREAM || (side == ZT_SNIFF_SERVER && f->type == T_DATA && (f->flags & F_END_STREAM) != 0))
		s = find(h, f->stream);
	if (s != NULL)
		end_stream(h, s, call);
	return true;
}

/* A part of a block's frame: padding and what stands before the fields are left out. */
static bool
take_block(struct h2 *h, struct side *f, const uint8_t *p, uint32_t n)
{
	uint32_t left = f->left, skip, block;

	if (f->wants_pad && n > 0) {
		f->pad = *p;
		f->wants_pad = false;
		p++;
		n--;
		left--;
		if ((uint32_t)f->pad + f->before > left)
			return false;
	}
	skip = AP_MIN(n, (uint32_t)f->before);
	f->before = (uint8_t)(f->before - skip);
	p += skip;
	n -= skip;
	left -= skip;
	if (f->wants_pad || left <= f->pad)
		return true;
	block = AP_MIN(n, left - f->pad);
	f->block_size += block;
	return f->block_size <= BLOCK_MAX && inflate(h, p, block, false);
}

/* Only the size of the client's table matters: it bounds what the server's blocks may refer to. */
static void
take_setting(struct h2 *h, const uint8_t *b)
{
	uint32_t value = (uint32_t)b[2] << 24 | (uint32_t)b[3] << 16 | (uint32_t)b[4] << 8 | b[5];

	/* Larger at once, smaller never: blocks on their way may still use the old one. */
	value = AP_MIN(value, TABLE_MAX);
	if (b[0] == 0 && b[1] == 1 && value > h->table_size && nghttp2_hd_inflate_change_table_size(h->inflater, value) == 0)
		h->table_size = value;
}

static void
take_settings(struct h2 *h, struct side *f, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		f->head[(f->setting_bytes)++] = p[i];
		if (f->setting_bytes == 6) {
			f->setting_bytes = 0;
			take_setting(h, f->head);
		}
	}
}

static bool
take_payload(struct h2 *h, enum zt_sniff_side side, const uint8_t *p, uint32_t n)
{
	struct side *f = &h->side[side];

	if (side == ZT_SNIFF_SERVER && is_block(f))
		return take_block(h, f, p, n);
	if (side == ZT_SNIFF_CLIENT && f->type == T_SETTINGS)
		take_settings(h, f, p, n);
	return true;
}

bool
zt_sniff_h2_feed(
    struct h2 *h, enum zt_sniff_side side, const uint8_t *p, const uint8_t *end, const struct zt_sniff_call *call)
{
	struct side *f = &h->side[side];

	for (;;) {
		uint32_t n;

		if (f->have < HEADER) {
			n = AP_MIN(HEADER - f->have, (uint32_t)AP_MIN(end - p, (ptrdiff_t)HEADER));
			memcpy(f->head + f->have, p, n);
			f->have = (uint8_t)(f->have + n);
			p += n;
			if (f->have < HEADER)
				return true;
			if (!begin_frame(h, side, call))
				return false;
		}
		n = AP_MIN(f->left, (uint32_t)AP_MIN(end - p, (ptrdiff_t)UINT32_MAX));
		if (n > 0 && !take_payload(h, side, p, n))
			return false;
		p += n;
		f->left -= n;
		if (f->left > 0)
			return true;
		if (!end_frame(h, side, call))
			return false;
	}
}

void
zt_sniff_h2_finish(struct h2 *h, const struct zt_sniff_call *call)
{
	for (uint32_t i = 0; h->streams != NULL && i < h->room; i++)
		if (h->streams[i].id != 0)
			end_stream(h, &h->streams[i], call);
}
