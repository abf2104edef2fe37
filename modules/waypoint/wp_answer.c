/*
 * wp_answer.c -- answers that the waypoint gives itself: denials, faults, redirects, errors.  gRPC clients get theirs as a
 * status in a head without a body, as Envoy does.  What upstream work there was is let go of first.
 */
#include "base/compiler.h"
#include "waypoint/wp_request.h"

static int
grpc_status_of(int status)
{
	switch (status) {
	case 400:
		return 13;
	case 401:
		return 16;
	case 403:
		return 7;
	case 404:
		return 12;
	case 429:
	case 502:
	case 503:
	case 504:
		return 14;
	default:
		return 2;
	}
}

/* grpc-message: percent-encoded where it must be. */
static struct ap_slice
grpc_message(struct ap_arena *arena, struct ap_slice text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = ap_arena_alloc(arena, text.len * 3 + 1);
	size_t n = 0;

	for (size_t i = 0; out != NULL && i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c >= 0x20 && c < 0x7f && c != '%') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return ap_slice(out, n);
}

static void
answer_grpc(struct wp_request *r, int status, struct ap_http_head *head, struct ap_slice body)
{
	if (r->grpc_status < 0)
		r->grpc_status = grpc_status_of(status);
	head->status = r->status = 200;
	head->content_length = -1;
	ap_fields_set(&head->fields, AP_S("content-type"), AP_S("application/grpc"));
	ap_fields_set(&head->fields, AP_S("grpc-status"), ap_arena_printf(r->x->arena, "%d", r->grpc_status));
	if (body.len > 0)
		ap_fields_set(&head->fields, AP_S("grpc-message"), grpc_message(r->x->arena, body));
	r->response_bytes += head->fields.bytes;
	ap_exchange_respond(r->x, head, true);
	wp_request_end(r, AP_STREAM_CLOSE_CLEAN);
}

static bool
has_body(const struct wp_request *r, int status)
{
	return status != 204 && status != 304 && status >= 200 && !ap_slice_eq(r->view.method, AP_S("HEAD"));
}

void
wp_answer_fields(struct wp_request *r, int status, uint32_t flags, const char *details, const struct ap_fields *fields,
    struct ap_slice body, const char *type)
{
	struct ap_http_head head;
	bool end;

	wp_forward_cancel(r);
	ap_timer_stop(&r->wait_timer);
	r->flags |= flags;
	r->details = details;
	r->is_local = true;
	r->status = status;
	ap_http_head_init(&head, r->x->arena);
	head.status = status;
	if (fields != NULL)
		ap_fields_copy(&head.fields, fields);
	if (r->is_grpc && status != 200 && (status < 300 || status > 399)) {
		answer_grpc(r, status, &head, body);
		return;
	}
	if (status != 204 && status != 304)
		head.content_length = (int64_t)body.len;
	if (type != NULL && body.len > 0)
		ap_fields_set(&head.fields, AP_S("content-type"), ap_slice_of(type));
	end = body.len == 0 || !has_body(r, status);
	r->response_bytes += head.fields.bytes;
	ap_exchange_respond(r->x, &head, end);
	if (end) {
		wp_request_end(r, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	r->in_done = true;
	wp_pump_init(&r->out, NULL, &r->x->stream, body, true, &r->wake);
	wp_forward_down_events(&r->x->stream, AP_STREAM_WRITABLE, r);
}

void
wp_answer(struct wp_request *r, int status, uint32_t flags, const char *details, struct ap_slice body)
{
	wp_answer_fields(r, status, flags, details, NULL, body, "text/plain");
}
