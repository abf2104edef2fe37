/*
 * h1_stream.c -- an HTTP/1 exchange as a stream: reading its body, wanting events, closing. Writing is in h1_out.c.
 */
#include <string.h>

#include "base/mem.h"
#include "http/h1_priv.h"

static int
says_eof(struct h1_stream *s)
{
	s->eof_read = true;
	return AP_STREAM_EOF;
}

/* Nothing can be read before the response's head. */
static bool
is_early(const struct h1_stream *s)
{
	return !s->x.is_server && !s->answered && !s->failed;
}

/* A body whose length is known, with nothing of it in the input block: the transport fills the reader's memory. */
static ssize_t
read_straight(struct h1_stream *s, void *buf, size_t size)
{
	struct ap_stream *t = s->h1->conn->transport;
	ssize_t n;

	if (s->in_body == AP_H1_LENGTH)
		size = (size_t)AP_MIN((uint64_t)size, s->in_left);
	n = ap_stream_read(t, buf, size);
	if (n > 0) {
		if (s->in_body == AP_H1_LENGTH)
			h1_body_took(s, (size_t)n);
		return n;
	}
	if (n == AP_STREAM_AGAIN)
		return n;
	s->h1->keep_alive = false;
	if (n == AP_STREAM_EOF && s->in_body != AP_H1_LENGTH) {
		s->in_done = true;
		if (s->x.is_server)
			s->x.request_complete = true;
		else
			s->x.response_complete = true;
		return says_eof(s);
	}
	h1_stream_fail(s, n == AP_STREAM_ERROR ? (enum ap_stream_error)t->error : AP_STREAM_RESET, t->detail);
	return AP_STREAM_ERROR;
}

static ssize_t
read_body(struct h1_stream *s, void *buf, size_t size)
{
	size_t done = 0;

	if (is_early(s))
		return AP_STREAM_AGAIN;
	if (s->h1 != NULL && !s->failed && !s->in_done && s->h1->in == NULL && s->in_body != AP_H1_CHUNKED)
		return read_straight(s, buf, size);
	while (done < size) {
		struct ap_slice piece;
		int rv = h1_body_front(s, &piece);

		if (rv <= 0) {
			if (done > 0)
				break;
			return rv == AP_STREAM_EOF ? says_eof(s) : rv;
		}
		piece.len = AP_MIN(piece.len, size - done);
		memcpy((char *)buf + done, piece.ptr, piece.len);
		h1_body_took(s, piece.len);
		done += piece.len;
		if (s->h1->in == NULL && s->in_body != AP_H1_CHUNKED)
			break; /* the rest is cheaper straight */
	}
	return (ssize_t)done;
}

/* Reading may have come from a sink's flush, when nobody looks whether there is more. */
static ssize_t
op_read(struct ap_stream *st, void *buf, size_t size)
{
	struct h1_stream *s = (struct h1_stream *)(void *)st;
	ssize_t n = read_body(s, buf, size);

	if (n > 0 && s->h1 != NULL && (st->wanted & AP_STREAM_READABLE) && h1_body_is_ready(s))
		h1_again(s->h1);
	return n;
}

static void
op_want(struct ap_stream *st, unsigned events)
{
	struct h1_stream *s = (struct h1_stream *)(void *)st;
	struct h1 *h1 = s->h1;

	st->wanted = events;
	if (h1 == NULL || h1->conn->is_ending)
		return;
	if ((events & AP_STREAM_READABLE) && s->expects && !s->x.response_started)
		h1_proceed(&s->x);
	if (((events & AP_STREAM_READABLE) && h1_body_is_ready(s) && !is_early(s)) ||
	    ((events & AP_STREAM_WRITABLE) && !h1_is_stalled(s)))
		h1_again(h1);
	h1_settle(h1);
}

static void
free_stream(void *ptr)
{
	struct h1_stream *s = ptr;

	s->magic = 0;
	ap_arena_free(&s->x.arena);
	ap_mem_free(s);
}

static void
op_close(struct ap_stream *st, enum ap_stream_close how)
{
	struct h1_stream *s = (struct h1_stream *)(void *)st;

	AP_IS(s, H1_STREAM_MAGIC);
	s->closed = true;
	if (s->h1 == NULL) {
		ap_defer_free(st->loop, s, free_stream);
		return;
	}
	if (how == AP_STREAM_CLOSE_ABORT && !(s->shut && s->in_done))
		ap_http_conn_end(s->h1->conn, AP_STREAM_CANCELLED, 0);
	else
		h1_exchange_over(s->h1);
}

static size_t
op_unsent(const struct ap_stream *st)
{
	const struct h1_stream *s = (const struct h1_stream *)(const void *)st;

	return s->h1 == NULL ? 0 : s->h1->unsent;
}

const struct ap_stream_ops h1_stream_ops = {
	.name = "h1",
	.read = op_read,
	/* No peek: a sink that draws gets a body of known length without it ever lying here. */
	.write = h1_write,
	.draw = h1_draw,
	.shutdown = h1_shutdown,
	.want = op_want,
	.close = op_close,
	.unsent = op_unsent,
};
