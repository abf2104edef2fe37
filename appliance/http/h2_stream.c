/*
 * h2_stream.c -- an HTTP/2 exchange as a stream: reading in place, writing and drawing, closing, telling its owner.
 *
 * The struct is held by two: its owner until close(), and nghttp2 until its stream ended; the last one frees it.  When the
 * connection goes first, nghttp2's hold is dropped and the owner still finds its error.
 */
#include <string.h>

#include "base/mem.h"
#include "http/h2_priv.h"

static void
set_writer(struct h2_stream *s, bool on)
{
	if (s->h2 == NULL || s->counted_writer == on)
		return;
	s->counted_writer = on;
	if (on)
		s->h2->writers++;
	else
		s->h2->writers--;
}

static void on_alone(struct ap_task *t, void *arg);

struct h2_stream *
h2_stream_new(struct h2 *h2)
{
	struct h2_stream *s = ap_new(struct h2_stream);

	s->magic = H2_STREAM_MAGIC;
	s->h2 = h2;
	s->left = -1;
	s->source_end = AP_STREAM_AGAIN;
	ap_exchange_init(&s->x, h2->conn, &h2_stream_ops);
	ap_task_init(&s->alone, on_alone, s);
	ap_list_init(&s->touch);
	ap_list_init(&s->borrow);
	ap_list_init(&s->draw);
	ap_list_append(&h2->streams, &s->link);
	h2->count++;
	ap_http_conn_count(h2->conn, 1);
	return s;
}

static void
free_stream(void *ptr)
{
	struct h2_stream *s = ptr;

	s->magic = 0;
	ap_arena_free(&s->x.arena);
	ap_mem_free(s);
}

/* nghttp2 and the connection are done with it; its owner may still hold it. */
static void
detach(struct h2_stream *s)
{
	struct h2 *h2 = s->h2;

	if (h2 == NULL)
		return;
	set_writer(s, false);
	if (s->live) { /* the session is about to be deleted */
		s->live = false;
		h2->live--;
	}
	ap_list_remove(&s->link);
	ap_list_remove(&s->touch);
	ap_list_remove(&s->draw);
	h2->count--;
	ap_http_conn_count(h2->conn, -1);
	s->h2 = NULL;
	s->x.conn = NULL;
}

void
h2_stream_ended(struct h2_stream *s)
{
	struct ap_loop *loop = s->x.stream.loop;
	struct h2 *h2 = s->h2;

	if (s->closed || s->failed)
		h2_stream_drop_input(s);
	detach(s);
	if (s->closed) {
		ap_task_cancel(&s->alone);
		ap_defer_free(loop, s, free_stream);
	} else if (s->x.stream.wanted & AP_STREAM_READABLE) {
		ap_task_schedule_next(loop, &s->alone);
	}
	if (h2 != NULL && !h2->receiving && h2->count == 0)
		h2_schedule(h2); /* a draining connection may end now */
}

bool
h2_stream_is_whole(const struct h2_stream *s)
{
	if (!s->in_eof || s->failed || !s->head_done)
		return false;
	return (s->x.request_complete && s->x.response_complete) || (!s->x.is_server && !s->is_tunnel);
}

void
h2_stream_fail(struct h2_stream *s, enum ap_stream_error why, int detail)
{
	if (s->failed)
		return;
	s->failed = true;
	s->out_dead = true;
	s->x.stream.error = (uint8_t)why;
	s->x.stream.detail = detail;
	if (s->h2 != NULL && !s->closed)
		h2_touch(s);
}

static bool
is_readable(const struct h2_stream *s)
{
	return s->in_bytes > 0 || (s->in_eof && !s->eof_read);
}

static void
tell_head(struct h2_stream *s)
{
	s->head_pending = false;
	s->known = true;
	if (s->x.is_server)
		s->h2->conn->server->request(&s->x, s->h2->conn->arg);
	else
		s->response_fn(&s->x, s->response_arg);
}

static void
tell_failure(struct h2_stream *s)
{
	struct ap_stream *st = &s->x.stream;

	s->fail_told = true;
	if (!s->x.is_server && !s->x.response_started) {
		s->x.response.status = 0;
		s->response_fn(&s->x, s->response_arg);
	} else if (st->fn != NULL) {
		st->fn(st, AP_STREAM_FAILED, st->arg);
	}
}

void
h2_stream_tell(struct h2_stream *s)
{
	struct ap_stream *st = &s->x.stream;
	unsigned events = 0;

	if (s->closed)
		return;
	/* A request that failed before anybody heard of it is nobody's. */
	if (s->failed && !s->known) {
		s->closed = true;
		if (!s->live)
			h2_stream_ended(s);
		return;
	}
	if (s->head_pending) {
		tell_head(s);
		if (s->closed)
			return;
	}
	if (s->failed) {
		if (!s->fail_told)
			tell_failure(s);
		return;
	}
	if ((st->wanted & AP_STREAM_READABLE) && is_readable(s))
		events |= AP_STREAM_READABLE;
	if ((st->wanted & AP_STREAM_WRITABLE) && !h2_stream_is_stalled(s))
		events |= AP_STREAM_WRITABLE;
	if (events == 0 || st->fn == NULL)
		return;
	st->fn(st, events, st->arg);
	if (s->closed || s->failed)
		return;
	/* Level triggered: again in the next turn when it is still so. */
	if (((st->wanted & AP_STREAM_READABLE) && is_readable(s)) ||
	    ((st->wanted & AP_STREAM_WRITABLE) && !h2_stream_is_stalled(s)))
		h2_touch(s);
}

/* The connection is gone, and what it brought is read. */
static void
on_alone(struct ap_task *t, void *arg)
{
	struct h2_stream *s = arg;
	struct ap_stream *st = &s->x.stream;

	(void)t;
	if (s->closed || s->failed || !(st->wanted & AP_STREAM_READABLE) || !is_readable(s) || st->fn == NULL)
		return;
	st->fn(st, AP_STREAM_READABLE, st->arg);
	if (!s->closed && (st->wanted & AP_STREAM_READABLE) && is_readable(s))
		ap_task_schedule_next(st->loop, &s->alone);
}

/* ---- input ---- */

void
h2_stream_keep(struct h2_stream *s)
{
	for (; s->borrow_count > 0; s->borrow_first++, s->borrow_count--) {
		struct ap_slice piece = s->borrowed[s->borrow_first];

		while (piece.len > 0) {
			struct ap_block *b = s->in_tail;
			size_t n;

			if (b == NULL || b->end == b->room) {
				b = ap_block_new(AP_BLOCK_SMALL);
				if (s->in_tail == NULL)
					s->in_head = b;
				else
					s->in_tail->next = b;
				s->in_tail = b;
			}
			n = AP_MIN(piece.len, (size_t)(b->room - b->end));
			memcpy(b->bytes + b->end, piece.ptr, n);
			b->end += (uint32_t)n;
			piece = ap_slice_from(piece, n);
		}
	}
	s->borrow_first = 0;
}

/* Take n bytes off the front without giving credit. */
static void
forget(struct h2_stream *s, size_t n)
{
	s->in_bytes -= n;
	while (n > 0 && s->in_head != NULL) {
		struct ap_block *b = s->in_head;
		size_t part = AP_MIN(n, (size_t)(b->end - b->start));

		b->start += (uint32_t)part;
		n -= part;
		if (b->start < b->end)
			break;
		s->in_head = b->next;
		if (s->in_head == NULL)
			s->in_tail = NULL;
		ap_block_free(b);
	}
	while (n > 0) {
		struct ap_slice *piece = &s->borrowed[s->borrow_first];
		size_t part = AP_MIN(n, piece->len);

		AP_CHECK(s->borrow_count > 0);
		*piece = ap_slice_from(*piece, part);
		n -= part;
		if (piece->len > 0)
			break;
		s->borrow_first++;
		s->borrow_count--;
	}
	if (s->borrow_count == 0)
		s->borrow_first = 0;
}

void
h2_stream_drop_input(struct h2_stream *s)
{
	size_t n = s->in_bytes;

	forget(s, n);
	ap_list_remove(&s->borrow);
	if (n > 0 && s->h2 != NULL && !s->h2->conn->is_ending)
		h2_give_credit(s->h2, s, n);
}

static void
op_consume(struct ap_stream *st, size_t n)
{
	struct h2_stream *s = (struct h2_stream *)(void *)st;

	AP_CHECK(n <= s->in_bytes);
	forget(s, n);
	if (s->h2 != NULL && !s->h2->conn->is_ending)
		h2_give_credit(s->h2, s, n);
}

/* What reading gives when there are no bytes. */
static int
empty_says(struct h2_stream *s)
{
	if (s->failed)
		return AP_STREAM_ERROR;
	if (!s->in_eof)
		return AP_STREAM_AGAIN;
	s->eof_read = true;
	return AP_STREAM_EOF;
}

static int
op_peek(struct ap_stream *st, struct iovec *iov, int max)
{
	struct h2_stream *s = (struct h2_stream *)(void *)st;
	int n = 0;

	if (s->in_bytes == 0 || s->failed)
		return empty_says(s);
	for (struct ap_block *b = s->in_head; b != NULL && n < max; b = b->next)
		iov[n++] = (struct iovec){ .iov_base = b->bytes + b->start, .iov_len = b->end - b->start };
	for (unsigned i = 0; i < s->borrow_count && n < max; i++) {
		struct ap_slice *piece = &s->borrowed[s->borrow_first + i];

		iov[n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)piece->ptr, .iov_len = piece->len };
	}
	return n;
}

static ssize_t
op_read(struct ap_stream *st, void *buf, size_t size)
{
	struct iovec iov[4];
	int n = op_peek(st, iov, 4);
	size_t done = 0;

	if (n <= 0)
		return n;
	for (int i = 0; i < n && done < size; i++) {
		size_t part = AP_MIN(size - done, iov[i].iov_len);

		memcpy((char *)buf + done, iov[i].iov_base, part);
		done += part;
	}
	op_consume(st, done);
	return (ssize_t)done;
}

/* ---- output ---- */

static ssize_t
op_write(struct ap_stream *st, const struct iovec *iov, int count)
{
	struct h2_stream *s = (struct h2_stream *)(void *)st;
	struct h2 *h2 = s->h2;
	size_t total = 0, taken;

	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	if (s->discard)
		return (ssize_t)total;
	if (h2 == NULL || s->out_dead || s->failed || h2->conn->is_ending)
		return AP_STREAM_ERROR;
	if (s->shut || (s->left >= 0 && total > (size_t)s->left))
		return AP_STREAM_ERROR; /* more than was announced */
	if (total == 0)
		return 0;
	AP_CHECK(!h2->filling && !h2->receiving);
	if (h2->blocked)
		return AP_STREAM_AGAIN;
	taken = h2_give(s, iov, count, total);
	h2_schedule(h2);
	return taken > 0 ? (ssize_t)taken : AP_STREAM_AGAIN;
}

static ssize_t
op_draw(struct ap_stream *st, struct ap_stream *source, size_t max)
{
	struct h2_stream *s = (struct h2_stream *)(void *)st;
	struct h2 *h2 = s->h2;
	ssize_t end = s->source_end;

	if (s->discard) { /* swallow it */
		char sink[4096];

		return source->ops->read(source, sink, AP_MIN(max, sizeof(sink)));
	}
	if (h2 == NULL || s->out_dead || s->failed || s->shut || h2->conn->is_ending)
		return AP_STREAM_ERROR;
	if (end != AP_STREAM_AGAIN) {
		s->source_end = AP_STREAM_AGAIN;
		return end;
	}
	if (h2_stream_is_stalled(s))
		return AP_STREAM_FULL;
	s->source = source;
	s->source_max = max;
	if (!ap_list_is_linked(&s->draw))
		ap_list_append(&h2->drawers, &s->draw);
	(void)nghttp2_session_resume_data(h2->session, s->id);
	h2_schedule(h2);
	return AP_STREAM_AGAIN;
}

static void
op_shutdown(struct ap_stream *st)
{
	struct h2_stream *s = (struct h2_stream *)(void *)st;

	if (s->shut)
		return;
	s->shut = true;
	if (s->h2 == NULL || !s->live)
		return;
	ap_exchange_own_trailers(&s->x);
	(void)nghttp2_session_resume_data(s->h2->session, s->id);
	h2_schedule(s->h2);
}

static void
op_want(struct ap_stream *st, unsigned events)
{
	struct h2_stream *s = (struct h2_stream *)(void *)st;

	st->wanted = events;
	if (s->h2 == NULL) {
		if ((events & AP_STREAM_READABLE) && is_readable(s) && !s->failed)
			ap_task_schedule_next(st->loop, &s->alone);
		return;
	}
	set_writer(s, (events & AP_STREAM_WRITABLE) != 0);
	if ((events & AP_STREAM_READABLE) && s->expects && s->in_bytes == 0 && !s->x.response_started)
		h2_proceed(&s->x);
	if (((events & AP_STREAM_READABLE) && is_readable(s)) ||
	    ((events & AP_STREAM_WRITABLE) && !h2_stream_is_stalled(s)))
		h2_touch(s);
}

static uint32_t
reset_code(const struct h2_stream *s, enum ap_stream_close how)
{
	if (how == AP_STREAM_CLOSE_ABORT && s->is_tunnel)
		return NGHTTP2_CONNECT_ERROR; /* RFC 9113 8.5; CANCEL would look like an ordinary end */
	if (s->is_tunnel || !s->x.is_server)
		return NGHTTP2_CANCEL;
	return NGHTTP2_INTERNAL_ERROR;
}

static void
op_close(struct ap_stream *st, enum ap_stream_close how)
{
	struct h2_stream *s = (struct h2_stream *)(void *)st;

	AP_IS(s, H2_STREAM_MAGIC);
	s->closed = true;
	st->is_closed = true;
	s->source = NULL;
	if (s->h2 != NULL) {
		set_writer(s, false);
		ap_list_remove(&s->touch);
		ap_list_remove(&s->draw);
	}
	h2_stream_drop_input(s);
	if (s->h2 == NULL || !s->live) {
		h2_stream_ended(s);
		return;
	}
	if (how == AP_STREAM_CLOSE_ABORT || !s->shut)
		h2_rst(s, reset_code(s, how));
	else if (!s->in_eof && (!s->x.is_server || s->x.response_complete))
		h2_rst(s, s->x.is_server && !s->is_tunnel ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
	/* Else our answer goes out first, and the rest of the request is declined behind it: on_frame_send(). */
	h2_schedule(s->h2);
}

const struct ap_stream_ops h2_stream_ops = {
	.name = "h2",
	.read = op_read,
	.peek = op_peek,
	.consume = op_consume,
	.write = op_write,
	.draw = op_draw,
	.shutdown = op_shutdown,
	.want = op_want,
	.close = op_close,
};
