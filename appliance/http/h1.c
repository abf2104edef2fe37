/*
 * h1.c -- an HTTP/1 connection: one exchange after another on a transport; what its events mean in each state; its end.
 *
 * A pipelined request waits in the input block until the exchange before it is over.  The transport is read only for
 * somebody: for a head when none is at work, for the owner of an exchange when it wants to read, else not at all, so
 * back-pressure is the kernel's.  One loop's thread.
 */
#include <string.h>

#include "base/mem.h"
#include "http/h1_priv.h"

#define LINGER_MS 3000
#define DISCARD_MAX ((size_t)256 * 1024) /* of a request's body that its handler did not read */

void
h1_schedule(struct h1 *h1)
{
	ap_task_schedule(h1->conn->loop, &h1->work);
}

void
h1_again(struct h1 *h1)
{
	ap_task_schedule_next(h1->conn->loop, &h1->again);
}

/* ---- input block ---- */

struct ap_slice
h1_input(const struct h1 *h1)
{
	return h1->in == NULL ? AP_SLICE_NONE : ap_slice(h1->in->bytes + h1->in->start, h1->in->end - h1->in->start);
}

void
h1_input_took(struct h1 *h1, size_t n)
{
	struct ap_block *b = h1->in;

	if (b == NULL)
		return;
	b->start += (uint32_t)n;
	if (b->start == b->end) {
		h1->in = NULL;
		ap_block_free(b);
	}
}

/* The block gets a free end, if it may be `room` large. */
static bool
make_room(struct h1 *h1, size_t room)
{
	struct ap_block *b = h1->in, *larger;

	if (b == NULL) {
		h1->in = ap_block_new(h1->state == H1_BUSY && room > AP_BLOCK_SMALL ? room : AP_BLOCK_SMALL);
		return true;
	}
	if (b->end < b->room)
		return true;
	if (b->start > 0) {
		memmove(b->bytes, b->bytes + b->start, b->end - b->start);
		b->end -= b->start;
		b->start = 0;
		return true;
	}
	if (b->room >= room)
		return false;
	larger = ap_block_new(room);
	memcpy(larger->bytes, b->bytes, b->end);
	larger->end = b->end;
	h1->in = larger;
	ap_block_free(b);
	return true;
}

ssize_t
h1_fill(struct h1 *h1, size_t room)
{
	struct ap_block *b;
	ssize_t n;

	if (!make_room(h1, room + 1))
		return AP_STREAM_AGAIN;
	b = h1->in;
	n = ap_stream_read(h1->conn->transport, b->bytes + b->end, b->room - b->end);
	if (n > 0)
		b->end += (uint32_t)n;
	else if (b->start == b->end)
		h1_input_took(h1, 0);
	return n;
}

/* ---- exchanges ---- */

struct h1_stream *
h1_stream_new(struct h1 *h1)
{
	struct h1_stream *s = ap_new(struct h1_stream);

	s->magic = H1_STREAM_MAGIC;
	s->h1 = h1;
	s->minor = 1;
	ap_exchange_init(&s->x, h1->conn, &h1_stream_ops);
	h1->x = s;
	h1->state = H1_BUSY;
	h1->served++;
	ap_http_conn_count(h1->conn, 1);
	return s;
}

static void
free_stream(void *ptr)
{
	struct h1_stream *s = ptr;

	s->magic = 0;
	ap_arena_free(&s->x.arena);
	ap_mem_free(s);
}

/* The connection goes on without it; its owner may still hold it. */
static void
let_go(struct h1 *h1)
{
	struct h1_stream *s = h1->x;

	if (s == NULL)
		return;
	h1->x = NULL;
	s->h1 = NULL;
	s->x.conn = NULL;
	ap_http_conn_count(h1->conn, -1);
	if (s->closed)
		ap_defer_free(s->x.stream.loop, s, free_stream);
}

void
h1_stream_fail(struct h1_stream *s, enum ap_stream_error why, int detail)
{
	if (s->failed)
		return;
	s->failed = true;
	s->x.stream.error = (uint8_t)(why == AP_STREAM_OK ? AP_STREAM_RESET : why);
	s->x.stream.detail = detail;
	if (s->h1 != NULL)
		h1_again(s->h1);
}

static void
tell_failure(struct h1_stream *s)
{
	struct ap_stream *st = &s->x.stream;

	if (s->closed || s->fail_told)
		return;
	s->fail_told = true;
	if (!s->x.is_server && !s->answered) {
		s->x.response.status = 0;
		s->response_fn(&s->x, s->response_arg);
	} else if (st->fn != NULL) {
		st->fn(st, AP_STREAM_FAILED, st->arg);
	}
}

static unsigned
ready_events(const struct h1_stream *s)
{
	unsigned events = 0;

	if ((s->x.stream.wanted & AP_STREAM_READABLE) && h1_body_is_ready(s) && (s->x.is_server || s->answered))
		events |= AP_STREAM_READABLE;
	if ((s->x.stream.wanted & AP_STREAM_WRITABLE) && !h1_is_stalled(s))
		events |= AP_STREAM_WRITABLE;
	return events;
}

/* events: what the transport showed; what is ready here is added. */
static void
tell(struct h1 *h1, unsigned events)
{
	struct h1_stream *s = h1->x;
	struct ap_stream *st;

	if (s == NULL || s->closed)
		return;
	if (s->failed) {
		tell_failure(s);
		return;
	}
	st = &s->x.stream;
	events = (events & st->wanted) | ready_events(s);
	if (events == 0 || st->fn == NULL)
		return;
	st->fn(st, events, st->arg);
	if (h1->x != s || s->closed || h1->conn->is_ending)
		return;
	if (s->failed || ready_events(s) != 0)
		h1_again(h1);
}

static void
linger(struct h1 *h1)
{
	h1->state = H1_LINGER;
	h1->until_ms = ap_loop_now_ms(h1->conn->loop) + LINGER_MS;
	ap_http_conn_wake_at(h1->conn, h1->until_ms);
	h1_schedule(h1);
}

/* Ready for the next one. */
static void
become_idle(struct h1 *h1)
{
	h1->state = H1_IDLE;
	if (!h1->conn->is_server)
		h1->tell_room = true;
	if (h1->in != NULL)
		h1_again(h1);
	h1_schedule(h1);
}

void
h1_exchange_over(struct h1 *h1)
{
	struct h1_stream *s = h1->x;
	bool complete = s == NULL || (s->shut && s->in_done && !s->failed);

	if (h1->conn->is_ending)
		return; /* over() takes it */
	if (!h1->conn->is_server) {
		if (complete && h1->keep_alive && !h1->draining) {
			let_go(h1);
			become_idle(h1);
		} else {
			ap_http_conn_end(h1->conn, complete ? AP_STREAM_OK : AP_STREAM_CANCELLED, 0);
		}
		return;
	}
	if (s != NULL && (!s->shut || s->failed)) {
		/* An answer that is not whole must not look so. A tunnel has no such form: nobody cares for the rest. */
		if (s->tunnel && !s->failed)
			linger(h1);
		else
			ap_http_conn_end(h1->conn, AP_STREAM_CANCELLED, 0);
	} else if (h1->keep_alive && !h1->draining && complete) {
		let_go(h1);
		become_idle(h1);
	} else if (h1->keep_alive && !h1->draining) {
		h1->state = H1_DISCARD;
		h1->discarded = 0;
		h1->until_ms = ap_loop_now_ms(h1->conn->loop) + LINGER_MS;
		ap_http_conn_wake_at(h1->conn, h1->until_ms);
		h1_again(h1);
		h1_schedule(h1);
		return; /* the body's decoder is still needed */
	} else {
		linger(h1);
	}
	let_go(h1);
}

void
h1_forget(struct h1 *h1)
{
	h1->x->closed = true;
	let_go(h1);
	h1->state = H1_IDLE;
	h1->served--;
}

static void
discard(struct h1 *h1)
{
	struct h1_stream *s = h1->x;
	struct ap_slice piece;
	int rv;

	while ((rv = h1_body_front(s, &piece)) > 0 && h1->discarded <= DISCARD_MAX) {
		h1->discarded += piece.len;
		h1_body_took(s, piece.len);
	}
	if (rv == AP_STREAM_EOF) {
		let_go(h1);
		become_idle(h1);
	} else if (rv == AP_STREAM_ERROR || h1->discarded > DISCARD_MAX) {
		linger(h1);
		let_go(h1);
	}
}

/* ---- heads ---- */

static void
input_ended(struct h1 *h1, ssize_t how)
{
	const struct ap_stream *t = h1->conn->transport;

	h1->conn->saw_eof = true;
	if (how == AP_STREAM_ERROR)
		ap_http_conn_end(h1->conn, t->error, t->detail);
	else
		ap_http_conn_end(h1->conn, h1->x == NULL ? AP_STREAM_OK : AP_STREAM_RESET, 0);
}

static void
serve_next(struct h1 *h1)
{
	int rv;

	while ((rv = h1_take_request(h1)) == 0) {
		ssize_t n = h1_fill(h1, h1->conn->settings.max_head_bytes);

		if (n == AP_STREAM_AGAIN)
			return;
		if (n <= 0) {
			input_ended(h1, n);
			return;
		}
	}
	if (rv < 0) {
		h1_refuse(h1, ap_h1_status_of(rv));
		return;
	}
	if (h1->state != H1_BUSY || h1->x == NULL || h1->x->closed)
		return; /* refused on the way */
	h1_settle(h1);
	h1->conn->server->request(&h1->x->x, h1->conn->arg);
}

static bool
is_idempotent(struct ap_slice m)
{
	return ap_slice_eq(m, AP_S("GET")) || ap_slice_eq(m, AP_S("HEAD")) || ap_slice_eq(m, AP_S("OPTIONS")) ||
	    ap_slice_eq(m, AP_S("PUT")) || ap_slice_eq(m, AP_S("DELETE")) || ap_slice_eq(m, AP_S("TRACE"));
}

static void
hear_response(struct h1 *h1)
{
	struct h1_stream *s = h1->x;
	int rv;

	while ((rv = h1_take_response(h1)) == 0) {
		ssize_t n = h1_fill(h1, h1->conn->settings.max_head_bytes);

		if (n == AP_STREAM_AGAIN)
			return;
		if (n <= 0) {
			input_ended(h1, n);
			return;
		}
		h1->got_bytes = true;
	}
	if (rv < 0) {
		ap_http_trouble(rv == AP_H1_LARGE ? AP_HTTP_HEAD_TOO_LARGE : AP_HTTP_BAD_RESPONSE);
		ap_http_conn_end(h1->conn, rv == AP_H1_LARGE ? AP_STREAM_LIMIT : AP_STREAM_PROTOCOL, 0);
		return;
	}
	s->answered = true;
	s->x.response_started = true;
	h1_settle(h1);
	if (s->closed)
		return;
	s->response_fn(&s->x, s->response_arg);
	if (h1->x == s && !s->closed && ready_events(s) != 0)
		h1_again(h1);
}

static void
idle_client_reads(struct h1 *h1)
{
	ssize_t n = h1_fill(h1, AP_BLOCK_SMALL);

	if (n == AP_STREAM_AGAIN)
		return;
	if (n > 0) { /* an answer to nothing */
		ap_http_trouble(AP_HTTP_BAD_RESPONSE);
		ap_http_conn_end(h1->conn, AP_STREAM_PROTOCOL, 0);
		return;
	}
	input_ended(h1, n);
}

static void
readable(struct h1 *h1)
{
	switch ((enum h1_state)h1->state) {
	case H1_IDLE:
		if (h1->conn->is_server)
			serve_next(h1);
		else
			idle_client_reads(h1);
		break;
	case H1_BUSY:
		if (!h1->conn->is_server && !h1->x->answered)
			hear_response(h1);
		else
			tell(h1, AP_STREAM_READABLE);
		break;
	case H1_DISCARD:
		discard(h1);
		break;
	case H1_LINGER: /* what was said last goes out, then linger.c takes over */
		break;
	}
}

void
h1_settle(struct h1 *h1)
{
	const struct h1_stream *s = h1->x;
	struct ap_stream *t = h1->conn->transport;
	unsigned events = 0;

	if (h1->conn->is_ending)
		return;
	if (h1->state == H1_IDLE || h1->state == H1_DISCARD)
		events |= AP_STREAM_READABLE;
	else if (h1->state == H1_LINGER)
		events = 0;
	else if (!h1->conn->is_server && !s->answered)
		events |= AP_STREAM_READABLE;
	else if ((s->x.stream.wanted & AP_STREAM_READABLE) && !s->in_done && !s->failed)
		events |= AP_STREAM_READABLE;
	if (h1->blocked)
		events |= AP_STREAM_WRITABLE;
	if (t->wanted != events)
		ap_stream_want(t, events);
}

static void
finish(struct h1 *h1)
{
	if (h1->conn->is_ending)
		return;
	h1_flush(h1);
	if (h1->state == H1_LINGER && h1->unsent == 0 && !h1->conn->is_ending) {
		h1->conn->last_words = true;
		ap_http_conn_end(h1->conn, AP_STREAM_OK, 0);
		return;
	}
	/* The flush made room that somebody may be waiting for. */
	if (h1->state == H1_BUSY && (h1->x->x.stream.wanted & AP_STREAM_WRITABLE) && !h1_is_stalled(h1->x))
		h1_again(h1);
	if (h1->draining && h1->state == H1_IDLE && h1->unsent == 0)
		ap_http_conn_end(h1->conn, AP_STREAM_OK, 0);
	h1_settle(h1);
}

static void
h1_events(struct ap_http_conn *conn, unsigned events)
{
	struct h1 *h1 = conn->impl;

	AP_IS(h1, H1_MAGIC);
	if (events & AP_STREAM_READABLE)
		readable(h1);
	if (conn->is_ending)
		return;
	if (events & AP_STREAM_FAILED) {
		ap_http_conn_end(conn, conn->transport->error, conn->transport->detail);
		return;
	}
	if (events & AP_STREAM_WRITABLE) {
		h1->blocked = false;
		h1_flush(h1);
		if (!h1->blocked && !conn->is_ending)
			tell(h1, AP_STREAM_WRITABLE);
	}
	finish(h1);
}

static void
tell_owner(struct h1 *h1)
{
	struct ap_http_conn *conn = h1->conn;

	if (conn->is_server || conn->is_closing || (!h1->tell_ready && !h1->tell_room))
		return;
	if (h1->tell_ready) {
		h1->tell_ready = h1->tell_room = false;
		if (conn->client->ready != NULL)
			conn->client->ready(conn, conn->arg);
	} else {
		h1->tell_room = false;
		if (conn->client->room != NULL)
			conn->client->room(conn, conn->arg);
	}
}

static void
on_work(struct ap_task *t, void *arg)
{
	struct h1 *h1 = arg;

	(void)t;
	if (h1->conn->is_ending)
		return;
	if (h1->draining)
		ap_http_conn_closing(h1->conn, AP_STREAM_OK);
	tell_owner(h1);
	finish(h1);
}

static void
on_again(struct ap_task *t, void *arg)
{
	struct h1 *h1 = arg;

	(void)t;
	if (h1->conn->is_ending)
		return;
	if (h1->state == H1_BUSY && (h1->conn->is_server || h1->x->answered || h1->x->failed))
		tell(h1, 0);
	else if (h1->state == H1_IDLE && h1->in != NULL)
		readable(h1);
	else if (h1->state == H1_DISCARD)
		discard(h1);
	finish(h1);
}

/* ---- life ---- */

void
ap_h1_start(struct ap_http_conn *conn, struct ap_slice early)
{
	struct h1 *h1 = ap_new(struct h1);

	h1->magic = H1_MAGIC;
	h1->conn = conn;
	h1->state = H1_IDLE;
	conn->impl = h1;
	ap_task_init(&h1->work, on_work, h1);
	ap_task_init(&h1->again, on_again, h1);
	if (early.len > 0) {
		h1->in = ap_block_new(AP_BLOCK_SMALL);
		memcpy(h1->in->bytes, early.ptr, early.len);
		h1->in->end = (uint32_t)early.len;
		h1_again(h1);
	}
	if (!conn->is_server) {
		h1->tell_ready = true;
		h1_schedule(h1);
	}
	h1_settle(h1);
}

static uint32_t
h1_room(const struct ap_http_conn *conn)
{
	const struct h1 *h1 = conn->impl;

	return h1->state == H1_IDLE && !h1->draining && h1->in == NULL ? 1 : 0;
}

static void
h1_drain(struct ap_http_conn *conn)
{
	struct h1 *h1 = conn->impl;

	h1->draining = true;
	if (h1->x != NULL && conn->is_server && !h1->x->x.response_started)
		h1->keep_alive = false; /* the answer says so */
	h1_schedule(h1);
}

static uint64_t
h1_tick(struct ap_http_conn *conn, uint64_t now)
{
	struct h1 *h1 = conn->impl;
	const struct ap_http_settings *set = &conn->settings;

	if (h1->state == H1_LINGER || h1->state == H1_DISCARD) {
		if (now < h1->until_ms)
			return h1->until_ms;
		ap_http_conn_end(conn, h1->unsent == 0 ? AP_STREAM_OK : AP_STREAM_TIMEOUT, 0);
		return 0;
	}
	if (h1->head_since_ms != 0 && conn->is_server) {
		if (now < h1->head_since_ms + set->head_timeout_ms)
			return h1->head_since_ms + set->head_timeout_ms;
		ap_http_trouble(AP_HTTP_HEAD_TIMEOUT);
		h1_refuse(h1, 408);
		return h1->until_ms;
	}
	if (conn->active > 0)
		return now + set->idle_timeout_ms;
	if (now >= conn->idle_since_ms + set->idle_timeout_ms) {
		ap_http_trouble(AP_HTTP_IDLE_TIMEOUT);
		ap_http_conn_end(conn, AP_STREAM_OK, 0);
		return 0;
	}
	return conn->idle_since_ms + set->idle_timeout_ms;
}

static void
h1_over(struct ap_http_conn *conn)
{
	struct h1 *h1 = conn->impl;
	struct h1_stream *s = h1->x;

	ap_task_cancel(&h1->work);
	ap_task_cancel(&h1->again);
	if (s != NULL) {
		/* A kept connection that was closed under our request: the peer has not answered a byte of it. */
		s->x.replayable = !conn->is_server && h1->served > 1 && !h1->got_bytes && !s->answered &&
		    conn->why != AP_STREAM_CANCELLED && is_idempotent(s->x.request.method);
		h1_stream_fail(s, conn->why, conn->detail);
		tell_failure(s);
		let_go(h1);
	}
	ap_task_cancel(&h1->work);
	ap_task_cancel(&h1->again);
	ap_block_free(h1->in);
	h1_out_clear(h1);
	h1->magic = 0;
	conn->impl = NULL;
	ap_mem_free(h1);
}

const struct ap_http_ops ap_http_h1_ops = {
	.version = AP_HTTP_1_1,
	.respond = h1_respond,
	.reply = h1_reply,
	.proceed = h1_proceed,
	.room = h1_room,
	.request = h1_request,
	.drain = h1_drain,
	.over = h1_over,
	.events = h1_events,
	.tick = h1_tick,
};
