/* hbone_server.c -- the accepting end of HBONE: HTTP/2 with the mesh's numbers, CONNECT alone, and what an authority says. */
#include "mesh/hbone.h"

#include <errno.h>

#include "base/text.h"

static const struct ap_http_settings server_settings = {
	.max_streams = 200,
	.stream_window = 4 * 1024 * 1024,
	.connection_window = 16 * 1024 * 1024,
	.max_frame = 1024 * 1024,
	.max_head_bytes = (size_t)64 * 1024,
	.idle_timeout_ms = 3600 * 1000, /* the client's pool decides; this is for one that forgot */
	.ping_interval_ms = 10000,
	.ping_timeout_ms = 20000,
	.allow_connect = true,
};

struct ap_http_conn *
ap_hbone_serve(struct ap_stream *tls, const struct ap_http_server_ops *ops, void *arg)
{
	return ap_http_serve(tls, AP_HTTP_2, &server_settings, ops, arg);
}

void
ap_hbone_refuse(struct ap_exchange *x, int status)
{
	struct ap_http_head head;

	ap_http_head_init(&head, x->arena);
	head.status = status;
	ap_exchange_respond(x, &head, true);
}

void
ap_hbone_accept(struct ap_exchange *x, const struct ap_field *fields, size_t field_count)
{
	struct ap_http_head head;

	ap_http_head_init(&head, x->arena);
	head.status = 200;
	for (size_t i = 0; i < field_count; i++)
		(void)ap_fields_add(&head.fields, fields[i].name, fields[i].value);
	ap_exchange_respond(x, &head, false);
}

int
ap_hbone_authority(struct ap_slice authority, struct ap_addr *out_addr, struct ap_slice *out_host, uint16_t *out_port)
{
	size_t colon = ap_slice_find_last(authority, ':');
	struct ap_slice host;
	struct ap_ip ip;
	uint64_t port;
	bool bracketed;

	if (colon == SIZE_MAX || colon == 0)
		return -EINVAL;
	host = ap_slice_sub(authority, 0, colon);
	if (ap_text_to_u64(ap_slice_from(authority, colon + 1), 65535, &port) != 0 || port == 0)
		return -EINVAL;
	bracketed = host.ptr[0] == '[';
	if (bracketed) {
		if (host.len < 4 || host.ptr[host.len - 1] != ']')
			return -EINVAL;
		host = ap_slice_sub(host, 1, host.len - 2);
	}
	*out_addr = (struct ap_addr){ .len = 0 };
	*out_host = AP_SLICE_NONE;
	if (ap_ip_parse(host, &ip) == 0) {
		if (bracketed != (ap_slice_find(host, ':') != SIZE_MAX))
			return -EINVAL;
		*out_addr = ap_addr_of(&ip, (uint16_t)port);
	} else if (!bracketed && host.len <= 253 && ap_slice_find(host, ':') == SIZE_MAX) {
		*out_host = host;
	} else {
		return -EINVAL;
	}
	*out_port = (uint16_t)port;
	return 0;
}
