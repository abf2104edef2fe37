/*
 * world.h -- a client and a server connection over a pipe, each with one exchange that is looked at: what was read, whether
 * it ended or failed, how much of a pattern was written.
 */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "pipe.h"

struct side {
	struct ap_buf got;      /* body bytes read */
	bool eof, failed, peeking, echo, parked;
	size_t to_send, sent;   /* body of our own to write */
	unsigned per_event;     /* bytes per read; 0: all */
	struct ap_exchange *x;
	int status;
	enum ap_stream_error error;
};

struct world {
	struct ap_loop *loop;
	struct pipe_end *a, *b;
	struct ap_http_conn *client, *server;
	struct side cs, ss; /* of the last exchange on each side */
	int requests, closing, closed, server_closed, rooms, readies;
	int answer; /* status that the server gives; 0: none, the test does it */
	const char *body;
	size_t echo_pending_at;
	bool close_on_request;
	struct ap_exchange *seen[4]; /* the server's, in order */
	char path[64];
};

static inline void
side_event(struct ap_stream *s, unsigned events, void *arg)
{
	struct side *d = arg;

	if (events & AP_STREAM_FAILED) {
		d->failed = true;
		d->error = s->error;
		return;
	}
	if (events & AP_STREAM_READABLE) {
		char buf[65536];
		size_t max = d->per_event ? d->per_event : sizeof(buf);

		for (;;) {
			ssize_t n = ap_stream_read(s, buf, max);

			if (n == AP_STREAM_EOF) {
				d->eof = true;
				ap_stream_want(s, s->wanted & ~AP_STREAM_READABLE);
				if (d->echo)
					ap_stream_shutdown(s);
			} else if (n == AP_STREAM_ERROR) {
				d->failed = true;
				d->error = s->error;
			} else if (n > 0) {
				ap_buf_add(&d->got, buf, (size_t)n);
				if (d->echo)
					assert_int_equal(ap_stream_write(s, buf, (size_t)n), n);
			}
			if (n <= 0 || d->per_event)
				break;
		}
	}
	if ((events & AP_STREAM_WRITABLE) && d->x != NULL) {
		while (d->sent < d->to_send) {
			char buf[10000];
			size_t n = AP_MIN(sizeof(buf), d->to_send - d->sent);
			ssize_t r;

			for (size_t i = 0; i < n; i++)
				buf[i] = (char)((d->sent + i) * 7 % 251);
			r = ap_stream_write(s, buf, n);
			if (r == AP_STREAM_ERROR) {
				d->failed = true;
				ap_stream_want(s, 0);
				return;
			}
			if (r <= 0)
				return;
			d->sent += (size_t)r;
		}
		ap_stream_shutdown(s);
		ap_stream_want(s, s->wanted & ~AP_STREAM_WRITABLE);
	}
}

static inline void
on_request(struct ap_exchange *x, void *arg)
{
	struct world *w = arg;
	struct ap_http_head head;

	w->seen[w->requests++ % 4] = x;
	snprintf(w->path, sizeof(w->path), "%.*s", AP_FMT(x->request.path));
	w->ss.x = x;
	if (w->close_on_request) {
		struct ap_stream *s = &x->stream;

		w->ss.x = NULL;
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	ap_stream_set_callback(&x->stream, side_event, &w->ss);
	if (w->answer == 0)
		return;
	if (w->body != NULL) {
		struct ap_stream *s = &x->stream;

		ap_exchange_reply(x, w->answer, "text/plain", ap_slice_of(w->body));
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		w->ss.x = NULL;
		return;
	}
	ap_http_head_init(&head, x->arena);
	head.status = w->answer;
	ap_fields_add(&head.fields, AP_S("X-Test"), AP_S("1"));
	ap_exchange_respond(x, &head, false);
	ap_stream_want(&x->stream, w->ss.parked ? 0 : AP_STREAM_READABLE | (w->ss.to_send ? AP_STREAM_WRITABLE : 0));
}

static inline void
on_server_closed(struct ap_http_conn *conn, void *arg)
{
	struct world *w = arg;

	(void)conn;
	w->server = NULL;
	w->server_closed++;
}

static inline void
on_ready(struct ap_http_conn *conn, void *arg)
{
	(void)conn;
	((struct world *)arg)->readies++;
}
static inline void
on_closing(struct ap_http_conn *conn, enum ap_stream_error why, void *arg)
{
	(void)conn;
	(void)why;
	((struct world *)arg)->closing++;
}
static inline void
on_closed(struct ap_http_conn *conn, void *arg)
{
	(void)conn;
	((struct world *)arg)->closed++;
	((struct world *)arg)->client = NULL;
}
static inline void
on_room(struct ap_http_conn *conn, void *arg)
{
	(void)conn;
	((struct world *)arg)->rooms++;
}

static const struct ap_http_server_ops server_ops = { on_request, on_server_closed };
static const struct ap_http_client_ops client_ops = { on_ready, on_closing, on_closed, on_room };

static inline void
on_response(struct ap_exchange *x, void *arg)
{
	struct world *w = arg;

	w->cs.status = x->response.status;
	if (x->response.status == 0) {
		w->cs.failed = true;
		w->cs.error = x->stream.error;
	}
}

static inline void
turns(struct world *w, int n)
{
	for (int i = 0; i < n; i++)
		ap_loop_turn(w->loop, 0);
}

static inline void
world_open_as(struct world *w, enum ap_http_version version, const struct ap_http_settings *cset,
    const struct ap_http_settings *sset, size_t room, bool peek, size_t piece)
{
	memset(w, 0, sizeof(*w));
	w->loop = ap_loop_new("test");
	pipe_pair(w->loop, room, peek, &w->a, &w->b);
	w->a->piece = w->b->piece = piece;
	ap_buf_init(&w->cs.got, 1 << 30);
	ap_buf_init(&w->ss.got, 1 << 30);
	w->server = ap_http_serve(&w->b->s, version, sset, &server_ops, w);
	w->client = ap_http_client(&w->a->s, version, cset, &client_ops, w);
	w->answer = 200;
}

static inline void
side_close(struct side *d, enum ap_stream_close how)
{
	struct ap_stream *s = d->x == NULL ? NULL : &d->x->stream;

	ap_stream_close(&s, how);
	d->x = NULL;
}

static inline void
world_close(struct world *w)
{
	side_close(&w->cs, AP_STREAM_CLOSE_CLEAN);
	side_close(&w->ss, AP_STREAM_CLOSE_CLEAN);
	if (w->client != NULL)
		ap_http_close(w->client);
	if (w->server != NULL)
		ap_http_close(w->server);
	turns(w, 4);
	assert_null(w->client);
	assert_null(w->server);
	assert_int_equal(w->closed, 1);
	assert_int_equal(w->closing, 1);
	assert_int_equal(w->server_closed, 1);
	ap_buf_done(&w->cs.got);
	ap_buf_done(&w->ss.got);
	ap_loop_free(&w->loop);
}

static inline struct ap_exchange *
request(struct world *w, const char *method, const char *path, bool end)
{
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_http_head head;
	struct ap_exchange *x;

	ap_http_head_init(&head, arena);
	head.method = ap_slice_of(method);
	head.scheme = AP_S("http");
	head.authority = AP_S("example.test");
	head.path = ap_slice_of(path);
	ap_fields_add(&head.fields, AP_S("User-Agent"), AP_S("test"));
	x = ap_http_request(w->client, &head, end, on_response, w);
	ap_arena_free(&arena);
	if (x != NULL) {
		w->cs.x = x;
		ap_stream_set_callback(&x->stream, side_event, &w->cs);
	}
	return x;
}

static inline void
check_pattern(const struct ap_buf *b, size_t size)
{
	assert_int_equal(b->len, size);
	for (size_t i = 0; i < size; i++)
		assert_int_equal((unsigned char)b->ptr[i], i * 7 % 251);
}

static inline void
transfer(enum ap_http_version version, size_t room, bool peek, size_t piece, size_t up, size_t down, unsigned per_event, uint32_t window)
{
	struct ap_http_settings set = { .stream_window = window, .connection_window = window * 2 };
	struct world w;

	world_open_as(&w, version, &set, &set, room, peek, piece);
	w.ss.to_send = down;
	w.cs.to_send = up;
	w.cs.per_event = w.ss.per_event = per_event;
	assert_non_null(request(&w, "POST", "/", false));
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE | AP_STREAM_WRITABLE);
	for (int i = 0; i < 4000000 && !(w.cs.eof && w.ss.eof); i++) {
		turns(&w, 1);
		assert_false(w.cs.failed || w.ss.failed);
	}
	assert_true(w.cs.eof && w.ss.eof);
	check_pattern(&w.ss.got, up);
	check_pattern(&w.cs.got, down);
	world_close(&w);
}

static inline void
connect_tunnel_as(struct world *w, enum ap_http_version version)
{
	static const struct ap_http_settings set = { .allow_connect = true };
	struct ap_arena *arena = ap_arena_new(4096);
	struct ap_http_head head;

	world_open_as(w, version, &set, &set, 1 << 20, true, 0);
	ap_http_head_init(&head, arena);
	head.method = AP_S("CONNECT");
	head.authority = AP_S("10.0.0.1:80");
	w->cs.x = ap_http_request(w->client, &head, false, on_response, w);
	ap_stream_set_callback(&w->cs.x->stream, side_event, &w->cs);
	ap_stream_want(&w->cs.x->stream, AP_STREAM_READABLE);
	ap_arena_free(&arena);
	turns(w, 6);
	assert_int_equal(w->cs.status, 200);
	assert_non_null(w->ss.x);
}

#endif
