/* rpc.c -- gRPC on exchanges. One thread: that of the exchange. */
#include "xds/rpc.h"

#include <stdio.h>

void
ap_rpc_out_init(struct ap_rpc_out *o, size_t ceiling)
{
	ap_buf_init(&o->buf, ceiling);
	o->at = 0;
}

void
ap_rpc_out_done(struct ap_rpc_out *o)
{
	ap_buf_done(&o->buf);
	o->at = 0;
}

size_t
ap_rpc_out_left(const struct ap_rpc_out *o)
{
	return o->buf.len - o->at;
}

bool
ap_rpc_out_add(struct ap_rpc_out *o, struct ap_slice message)
{
	if (o->at > 0) {
		ap_buf_consume(&o->buf, o->at);
		o->at = 0;
	}
	ap_grpc_frame(message, &o->buf);
	return !o->buf.bad;
}

int
ap_rpc_out_flush(struct ap_rpc_out *o, struct ap_stream *s)
{
	while (o->at < o->buf.len) {
		ssize_t n = ap_stream_write(s, o->buf.ptr + o->at, o->buf.len - o->at);
		if (n == AP_STREAM_AGAIN)
			return 0;
		if (n < 0)
			return -1;
		o->at += (size_t)n;
	}
	/* An idle stream keeps no room: a first response may have been large. */
	size_t ceiling = o->buf.ceiling;
	if (o->buf.room > 0) {
		ap_buf_done(&o->buf);
		ap_buf_init(&o->buf, ceiling);
	}
	o->at = 0;
	return 1;
}

bool
ap_rpc_is_call(const struct ap_exchange *x)
{
	struct ap_slice type = ap_fields_get(&x->request.fields, AP_S("content-type"));
	if (!ap_slice_eq_text(x->request.method, "POST") || !ap_slice_starts(type, AP_S("application/grpc")))
		return false;
	return type.len == 16 || type.ptr[16] == '+' || type.ptr[16] == ';';
}

static void
head(struct ap_exchange *x, struct ap_http_head *h)
{
	ap_http_head_init(h, x->arena);
	h->status = 200;
	h->content_length = -1;
	ap_fields_add(&h->fields, AP_S("content-type"), AP_S("application/grpc"));
}

static void
add_status(struct ap_fields *f, enum ap_grpc_status status, const char *message)
{
	char number[16];
	snprintf(number, sizeof(number), "%u", (unsigned)status);
	ap_fields_add(f, AP_S("grpc-status"), ap_slice_of(number));
	if (message == NULL || *message == '\0')
		return;
	struct ap_buf b;
	ap_buf_init(&b, 4096);
	ap_grpc_message_encode(ap_slice_of(message), &b);
	ap_fields_add(f, AP_S("grpc-message"), ap_buf_slice(&b));
	ap_buf_done(&b);
}

void
ap_rpc_begin(struct ap_exchange *x)
{
	struct ap_http_head h;
	head(x, &h);
	ap_exchange_respond(x, &h, false);
}

void
ap_rpc_end(struct ap_exchange **x, enum ap_grpc_status status, const char *message)
{
	struct ap_fields *trailers = ap_arena_new_object((*x)->arena, struct ap_fields);
	struct ap_stream *s = &(*x)->stream;
	if (trailers != NULL) {
		ap_fields_init(trailers, (*x)->arena);
		add_status(trailers, status, message);
		(*x)->trailers_out = trailers;
	}
	ap_stream_shutdown(s);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	*x = NULL;
}

void
ap_rpc_refuse(struct ap_exchange **x, enum ap_grpc_status status, const char *message)
{
	struct ap_http_head h;
	struct ap_stream *s = &(*x)->stream;
	head(*x, &h);
	add_status(&h.fields, status, message);
	ap_exchange_respond(*x, &h, true);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	*x = NULL;
}

enum ap_grpc_status
ap_rpc_result(const struct ap_exchange *x, struct ap_buf *message)
{
	const struct ap_fields *f = &x->trailers_in;
	if (!ap_fields_has(f, AP_S("grpc-status")))
		f = &x->response.fields;
	if (!ap_fields_has(f, AP_S("grpc-status"))) {
		if (message != NULL)
			ap_buf_printf(message, "HTTP status %d without grpc-status", x->response.status);
		return ap_grpc_status_from_http((unsigned)x->response.status);
	}
	if (message != NULL)
		ap_grpc_message_decode(ap_fields_get(f, AP_S("grpc-message")), message);
	return ap_grpc_status_parse(ap_fields_get(f, AP_S("grpc-status")));
}
