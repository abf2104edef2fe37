/*
 * ui_fetch.c -- a GET.  The fetch lives until its connection is gone, whoever asked for it may be gone before: `fn` is NULL
 * from then on.
 */
#include "metrics_ui/ui_fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "net/tcp.h"

#define FETCH_MAGIC AP_MAGIC('u', 'f', 'e', 't')
#define READ_SIZE ((size_t)32 * 1024)

struct ui_fetch {
	uint32_t magic;
	struct ap_loop *loop;
	struct ap_http_conn *conn; /* NULL before it was made and after it is gone */
	struct ap_exchange *x;
	struct ap_timer timer;
	ui_fetch_fn fn; /* NULL: nobody waits any more */
	void (*line)(void *arg, struct ap_slice line);
	void *arg;
	char *authority, *path, *accept;
	uint64_t timeout_ms;
	struct ap_buf body;
	int status;
	bool ended;
};

static void
free_fetch(void *ptr)
{
	struct ui_fetch *f = ptr;

	ap_timer_stop(&f->timer);
	ap_buf_done(&f->body);
	ap_free(&f->authority);
	ap_free(&f->path);
	ap_free(&f->accept);
	f->magic = 0;
	ap_free(&f);
}

/* Over, one way or the other. The connection ends now; its `closed` frees the fetch. */
static void
end(struct ui_fetch *f, int status, const char *why)
{
	ui_fetch_fn fn = f->fn;
	struct ap_http_conn *conn = f->conn;

	if (f->ended)
		return;
	f->ended = true;
	f->fn = NULL;
	ap_timer_stop(&f->timer);
	if (f->x != NULL) {
		struct ap_stream *s = &f->x->stream;

		f->x = NULL;
		ap_stream_close(&s, status != 0 ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT);
	}
	if (fn != NULL)
		fn(f->arg, status, status == 0 ? AP_SLICE_NONE : ap_buf_slice(&f->body), why);
	if (conn != NULL && status != 0)
		ap_http_drain(conn);
	else if (conn != NULL)
		ap_http_close(conn);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	struct ui_fetch *f = arg;
	char why[64];

	(void)t;
	AP_IS(f, FETCH_MAGIC);
	snprintf(why, sizeof(why), "no answer within %llu s", (unsigned long long)(f->timeout_ms + 999) / 1000);
	end(f, 0, why);
}

/* Hand over the complete lines; what is left begins the next one. */
static void
take_lines(struct ui_fetch *f)
{
	size_t at;

	while (!f->ended && (at = ap_slice_find(ap_buf_slice(&f->body), '\n')) != SIZE_MAX) {
		if (at > 0)
			f->line(f->arg, ap_slice(f->body.ptr, at));
		ap_buf_consume(&f->body, at + 1);
	}
}

static void
read_body(struct ui_fetch *f)
{
	char bytes[READ_SIZE];
	bool by_line = f->line != NULL && f->status == 200;

	while (!f->ended) {
		ssize_t n = ap_stream_read(&f->x->stream, bytes, sizeof(bytes));

		if (n == AP_STREAM_AGAIN)
			return;
		if (n == AP_STREAM_EOF) {
			end(f, f->status, "");
		} else if (n < 0) {
			end(f, 0, ap_stream_error_name((enum ap_stream_error)f->x->stream.error));
		} else {
			ap_buf_add(&f->body, bytes, (size_t)n);
			if (by_line) {
				ap_timer_start(&f->timer, f->timeout_ms);
				take_lines(f);
			}
			if (!f->ended && f->body.bad)
				end(f, 0, by_line ? "a line is too long" : "the answer is too large");
		}
	}
}

static void
on_stream(struct ap_stream *s, unsigned events, void *arg)
{
	struct ui_fetch *f = arg;

	AP_IS(f, FETCH_MAGIC);
	if (f->ended)
		return;
	if (events & AP_STREAM_FAILED)
		end(f, 0, ap_stream_error_name((enum ap_stream_error)s->error));
	else if (events & AP_STREAM_READABLE)
		read_body(f);
}

static void
on_response(struct ap_exchange *x, void *arg)
{
	struct ui_fetch *f = arg;

	AP_IS(f, FETCH_MAGIC);
	if (f->ended)
		return;
	if (x->response.status == 0) {
		end(f, 0, ap_stream_error_name((enum ap_stream_error)x->stream.error));
		return;
	}
	f->status = x->response.status;
	ap_stream_set_callback(&x->stream, on_stream, f);
	ap_stream_want(&x->stream, AP_STREAM_READABLE);
}

static void
on_ready(struct ap_http_conn *conn, void *arg)
{
	struct ui_fetch *f = arg;
	struct ap_arena *arena;
	struct ap_http_head head;

	AP_IS(f, FETCH_MAGIC);
	if (f->ended || f->x != NULL)
		return;
	arena = ap_arena_new((size_t)16 * 1024);
	ap_http_head_init(&head, arena);
	head.method = AP_S("GET");
	head.scheme = AP_S("http");
	head.authority = ap_slice_of(f->authority);
	head.path = ap_slice_of(f->path);
	head.content_length = -1;
	head.end = true;
	ap_fields_add(&head.fields, AP_S("accept"), ap_slice_of(f->accept));
	ap_fields_add(&head.fields, AP_S("user-agent"), AP_S("ambit-metrics-ui"));
	f->x = ap_http_request(conn, &head, true, on_response, f);
	ap_arena_free(&arena);
	if (f->x == NULL)
		end(f, 0, "the connection takes no request");
}

static void
on_closing(struct ap_http_conn *conn, enum ap_stream_error why, void *arg)
{
	struct ui_fetch *f = arg;

	(void)conn;
	AP_IS(f, FETCH_MAGIC);
	/* With an exchange under way, that one tells how it ended. */
	if (!f->ended && f->x == NULL)
		end(f, 0, why == AP_STREAM_OK ? "the connection was closed" : ap_stream_error_name(why));
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct ui_fetch *f = arg;

	(void)conn;
	AP_IS(f, FETCH_MAGIC);
	f->conn = NULL;
	end(f, 0, "the connection was closed");
	ap_defer_free(f->loop, f, free_fetch);
}

static const struct ap_http_client_ops ops = {
	.ready = on_ready,
	.closing = on_closing,
	.closed = on_closed,
};

struct ui_fetch *
ui_fetch_start(const struct ui_fetch_request *r, ui_fetch_fn fn, void *arg)
{
	static const struct ap_http_settings settings = { .idle_timeout_ms = 3600000 };
	struct ap_tcp_options options = { .connect_timeout_ms = r->timeout_ms };
	struct ui_fetch *f = ap_new(struct ui_fetch);

	f->magic = FETCH_MAGIC;
	f->loop = r->loop;
	f->fn = fn;
	f->line = r->line;
	f->arg = arg;
	f->authority = ap_strdup(r->authority);
	f->path = ap_strdup(r->path);
	f->accept = ap_strdup(r->accept);
	f->timeout_ms = r->timeout_ms;
	ap_buf_init(&f->body, r->max_body);
	ap_timer_init(&f->timer, r->loop, on_timer, f);
	ap_timer_start(&f->timer, r->timeout_ms);
	f->conn = ap_http_client(ap_tcp_connect(r->loop, &r->to, &options), AP_HTTP_1_1, &settings, &ops, f);
	return f;
}

void
ui_fetch_cancel(struct ui_fetch **fetch)
{
	struct ui_fetch *f = *fetch;

	*fetch = NULL;
	if (f == NULL)
		return;
	f->fn = NULL;
	end(f, 0, "");
}
