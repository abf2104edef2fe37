/*
 * exchange.c -- the version-neutral half of an exchange: its birth, and answers on the server side.
 *
 * After the connection ended an exchange still lives until its owner closes it; answering it then does nothing.
 */
#include "http/exchange.h"

#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "http/http_priv.h"

void
ap_exchange_init(struct ap_exchange *x, struct ap_http_conn *conn, const struct ap_stream_ops *ops)
{
	/* Heads and trailers of both directions, what filters add, and slack. */
	size_t ceiling = conn->settings.max_head_bytes * 6 + 64 * 1024;

	x->stream.ops = ops;
	x->stream.loop = conn->loop;
	x->stream.is_open = true;
	x->conn = conn;
	x->version = conn->version;
	x->is_server = conn->is_server;
	x->arena = ap_arena_new(ceiling);
	x->started_ms = ap_loop_now_ms(conn->loop);
	ap_http_head_init(&x->request, x->arena);
	ap_http_head_init(&x->response, x->arena);
	ap_fields_init(&x->trailers_in, x->arena);
}

/* Trailers may be another exchange's, which may be gone before the windows let ours out. */
void
ap_exchange_own_trailers(struct ap_exchange *x)
{
	struct ap_fields *own;

	if (x->trailers_out == NULL || x->trailers_out->arena == x->arena)
		return;
	own = ap_arena_new_object(x->arena, struct ap_fields);
	if (own != NULL) {
		ap_fields_init(own, x->arena);
		(void)ap_fields_copy(own, x->trailers_out);
	}
	x->trailers_out = own;
}

static void
note_answer(struct ap_exchange *x, const struct ap_http_head *head)
{
	AP_CHECK(x->is_server);
	AP_CHECK(!x->response_started);
	AP_CHECK(head->status >= 101 && head->status <= 999);
	x->response_started = true;
	x->response.status = head->status;
	x->response.content_length = head->content_length;
}

void
ap_exchange_respond(struct ap_exchange *x, const struct ap_http_head *head, bool end)
{
	note_answer(x, head);
	if (x->conn != NULL && !x->conn->is_ending)
		x->conn->ops->respond(x, head, end);
}

void
ap_exchange_reply(struct ap_exchange *x, int status, const char *type, struct ap_slice body)
{
	struct ap_http_head head;

	ap_http_head_init(&head, x->arena);
	head.status = status;
	if (ap_http_status_has_body(status))
		head.content_length = (int64_t)body.len;
	else
		body = AP_SLICE_NONE;
	if (type != NULL && body.len > 0)
		(void)ap_fields_add(&head.fields, AP_S("content-type"), ap_slice_of(type));
	note_answer(x, &head);
	if (x->conn != NULL && !x->conn->is_ending)
		x->conn->ops->reply(x, &head, body);
}

void
ap_exchange_continue(struct ap_exchange *x)
{
	if (x->conn != NULL && !x->conn->is_ending && !x->response_started)
		x->conn->ops->proceed(x);
}
