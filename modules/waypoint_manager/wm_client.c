/*
 * wm_client.c -- a small asynchronous client of the resource API.  Calls wait in a list until the connection has room; a lost
 * connection fails those that were sent and is made anew for the next ones.
 */
#include "wm_client.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "net/tcp.h"

AP_LOG_MODULE(wm_client);

#define ANSWER_MAX ((size_t)64 * 1024 * 1024)
#define LINE_MAX_SIZE ((size_t)8 * 1024 * 1024)
#define PATH_MAX_SIZE 512
#define RETRY_MS 250U

struct call {
	struct ap_list link;
	struct wm_client *client;
	char method[12], path[PATH_MAX_SIZE], type[48];
	struct ap_buf body;   /* to send */
	struct ap_buf answer; /* what came; a stream's unfinished line */
	size_t sent;
	struct ap_exchange *x;
	int status;
	wm_answer_fn on_answer;
	wm_line_fn on_line;
	void *arg;
};

struct wm_client {
	struct ap_loop *loop;
	struct ap_addr address;
	struct ap_http_conn *conn; /* NULL: none */
	bool is_closing;
	struct ap_list waiting, running;
	struct ap_task pump;
	struct ap_timer retry;
};

static void pump(struct ap_task *t, void *arg);

static void
free_call(struct call *call)
{
	if (call->x != NULL) {
		struct ap_stream *s = &call->x->stream;

		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
	}
	ap_list_remove(&call->link);
	ap_buf_done(&call->body);
	ap_buf_done(&call->answer);
	ap_free(&call);
}

/* Tell the caller and forget the call. */
static void
finish(struct call *call, int status)
{
	wm_answer_fn on_answer = call->on_answer;
	wm_line_fn on_line = call->on_line;
	struct ap_buf answer = call->answer;
	void *arg = call->arg;

	ap_buf_init(&call->answer, 0);
	free_call(call);
	if (on_line != NULL)
		on_line(AP_SLICE_NONE, true, arg);
	else
		on_answer(answer.bad ? 0 : status, ap_buf_slice(&answer), arg);
	ap_buf_done(&answer);
}

static void
give_lines(struct call *call)
{
	struct ap_slice rest = ap_buf_slice(&call->answer);
	size_t at;

	while ((at = ap_slice_find(rest, '\n')) != SIZE_MAX) {
		call->on_line(ap_slice_sub(rest, 0, at), false, call->arg);
		rest = ap_slice_from(rest, at + 1);
	}
	ap_buf_consume(&call->answer, call->answer.len - rest.len);
}

static void
send_body(struct call *call)
{
	while (call->sent < call->body.len) {
		ssize_t n = ap_stream_write(&call->x->stream, call->body.ptr + call->sent, call->body.len - call->sent);

		if (n <= 0)
			return;
		call->sent += (size_t)n;
	}
	ap_stream_shutdown(&call->x->stream);
}

static void
on_body(struct ap_stream *s, unsigned events, void *arg)
{
	struct call *call = arg;
	char chunk[16384];
	ssize_t n = AP_STREAM_AGAIN;

	if (events & AP_STREAM_FAILED) {
		finish(call, 0);
		return;
	}
	if ((events & AP_STREAM_WRITABLE) && call->sent < call->body.len)
		send_body(call);
	while ((events & AP_STREAM_READABLE) && (n = ap_stream_read(s, chunk, sizeof(chunk))) > 0) {
		ap_buf_add(&call->answer, chunk, (size_t)n);
		if (call->answer.bad) {
			LOG_WARN(NULL, "the answer to %s is larger than %zu bytes and was dropped.", call->path, call->answer.ceiling);
			finish(call, 0);
			return;
		}
	}
	if (call->on_line != NULL && call->status == 200)
		give_lines(call);
	if (n == AP_STREAM_EOF)
		finish(call, call->status);
	else if (n == AP_STREAM_ERROR)
		finish(call, 0);
	else
		ap_stream_want(s, AP_STREAM_READABLE | (call->sent < call->body.len ? AP_STREAM_WRITABLE : 0U));
}

static void
on_response(struct ap_exchange *x, void *arg)
{
	struct call *call = arg;

	call->status = x->response.status;
	if (call->status == 0) {
		finish(call, 0);
		return;
	}
	ap_stream_want(&x->stream, AP_STREAM_READABLE | (call->sent < call->body.len ? AP_STREAM_WRITABLE : 0U));
}

static void
begin(struct call *call)
{
	struct wm_client *c = call->client;
	struct ap_arena *arena = ap_arena_new(16384);
	struct ap_http_head head;
	char length[24];

	ap_http_head_init(&head, arena);
	head.method = ap_slice_of(call->method);
	head.scheme = AP_S("http");
	head.authority = AP_S("localhost");
	head.path = ap_slice_of(call->path);
	ap_fields_add(&head.fields, AP_S("accept"), AP_S("application/json"));
	ap_fields_add(&head.fields, AP_S("user-agent"), AP_S("ambit-waypoint-manager"));
	if (call->type[0] != '\0') {
		snprintf(length, sizeof(length), "%zu", call->body.len);
		ap_fields_add(&head.fields, AP_S("content-type"), ap_slice_of(call->type));
		ap_fields_add(&head.fields, AP_S("content-length"), ap_slice_of(length));
		head.content_length = (int64_t)call->body.len;
	}
	call->x = ap_http_request(c->conn, &head, call->body.len == 0, on_response, call);
	if (call->x != NULL) {
		ap_list_remove(&call->link);
		ap_list_append(&c->running, &call->link);
		ap_stream_set_callback(&call->x->stream, on_body, call);
		if (call->body.len > 0)
			send_body(call);
		if (call->sent < call->body.len)
			ap_stream_want(&call->x->stream, AP_STREAM_WRITABLE);
	}
	ap_arena_free(&arena);
}

static void
on_ready(struct ap_http_conn *conn, void *arg)
{
	struct wm_client *c = arg;

	(void)conn;
	ap_task_schedule(c->loop, &c->pump);
}

static void
on_closing(struct ap_http_conn *conn, enum ap_stream_error why, void *arg)
{
	struct wm_client *c = arg;

	(void)why;
	if (c->conn == conn) {
		c->conn = NULL;
		ap_timer_start(&c->retry, RETRY_MS);
	}
}

static const struct ap_http_client_ops ops = { .ready = on_ready, .closing = on_closing, .room = on_ready };

static void
pump(struct ap_task *t, void *arg)
{
	struct wm_client *c = arg;

	(void)t;
	if (ap_list_is_empty(&c->waiting) || c->retry.armed)
		return;
	if (c->conn == NULL) {
		struct ap_http_settings settings = { .max_streams = 100,
			.stream_window = 1U << 20,
			.connection_window = 16U << 20,
			.idle_timeout_ms = 3600000,
			.ping_interval_ms = 10000 };

		c->conn = ap_http_client(ap_tcp_connect(c->loop, &c->address, NULL), AP_HTTP_2, &settings, &ops, c);
	}
	while (c->conn != NULL && !ap_list_is_empty(&c->waiting) && ap_http_room(c->conn) > 0) {
		struct call *call = AP_LIST_ITEM(c->waiting.next, struct call, link);

		begin(call);
		if (call->x == NULL)
			break;
	}
}

static void
on_retry(struct ap_timer *t, void *arg)
{
	struct wm_client *c = arg;

	(void)t;
	ap_task_schedule(c->loop, &c->pump);
}

struct wm_client *
wm_client_new(struct ap_loop *loop, const char *address)
{
	struct wm_client *c = ap_new(struct wm_client);

	c->loop = loop;
	AP_CHECK(ap_addr_parse(ap_slice_of(address), &c->address) == 0);
	ap_list_init(&c->waiting);
	ap_list_init(&c->running);
	ap_task_init(&c->pump, pump, c);
	ap_timer_init(&c->retry, loop, on_retry, c);
	return c;
}

void
wm_client_free(struct wm_client **c)
{
	struct wm_client *old = *c;

	if (old == NULL)
		return;
	AP_LIST_FOR_SAFE(l, &old->waiting)
		finish(AP_LIST_ITEM(l, struct call, link), 0);
	AP_LIST_FOR_SAFE(l, &old->running)
		finish(AP_LIST_ITEM(l, struct call, link), 0);
	if (old->conn != NULL) {
		struct ap_http_conn *conn = old->conn;

		old->conn = NULL;
		ap_http_close(conn);
	}
	ap_task_cancel(&old->pump);
	ap_timer_stop(&old->retry);
	*c = NULL;
	/* The connection's last callback comes at the end of this turn. */
	ap_defer_free(old->loop, old, ap_mem_free);
}

static struct call *
new_call(struct wm_client *c, const char *method, const char *path)
{
	struct call *call = ap_new(struct call);

	call->client = c;
	ap_list_append(&c->waiting, &call->link);
	snprintf(call->method, sizeof(call->method), "%s", method);
	snprintf(call->path, sizeof(call->path), "%s", path);
	ap_buf_init(&call->answer, ANSWER_MAX);
	ap_buf_init(&call->body, LINE_MAX_SIZE);
	ap_task_schedule(c->loop, &c->pump);
	return call;
}

void
wm_request(struct wm_client *c, const char *method, const char *path, const char *content_type, struct ap_slice body,
    wm_answer_fn fn, void *arg)
{
	struct call *call = new_call(c, method, path);

	if (content_type != NULL) {
		snprintf(call->type, sizeof(call->type), "%s", content_type);
		ap_buf_add_slice(&call->body, body);
	}
	call->on_answer = fn;
	call->arg = arg;
}

void
wm_stream(struct wm_client *c, const char *path, wm_line_fn fn, void *arg)
{
	struct call *call = new_call(c, "GET", path);

	call->answer.ceiling = LINE_MAX_SIZE;
	call->on_line = fn;
	call->arg = arg;
}
