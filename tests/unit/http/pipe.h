/*
 * pipe.h -- a pair of in-memory streams for tests: what one end writes the other reads, through buffers of a set size, so
 * that back-pressure, short reads and torn frames can be provoked at will.
 */
#ifndef TEST_PIPE_H
#define TEST_PIPE_H
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "event/loop.h"
#include "net/stream.h"

struct pipe_end {
	struct ap_stream s;
	struct pipe_end *peer; /* NULL: the other end was closed */
	struct ap_buf in;
	size_t room;  /* most bytes waiting in `in` */
	size_t piece; /* most bytes per read; 0: no limit */
	bool shut, cut, told;
	struct ap_task task;
};

static inline void
pipe_kick(struct pipe_end *p)
{
	if (p != NULL && !p->s.is_closed)
		ap_task_schedule_next(p->s.loop, &p->task);
}

static inline bool
pipe_has_eof(const struct pipe_end *p)
{
	return p->in.len == 0 && (p->peer == NULL || p->peer->shut);
}

static inline ssize_t
pipe_read(struct ap_stream *s, void *buf, size_t size)
{
	struct pipe_end *p = (struct pipe_end *)(void *)s;

	if (p->cut) {
		s->error = AP_STREAM_RESET;
		return AP_STREAM_ERROR;
	}
	if (p->in.len == 0)
		return pipe_has_eof(p) ? AP_STREAM_EOF : AP_STREAM_AGAIN;
	size = AP_MIN(size, p->in.len);
	if (p->piece > 0)
		size = AP_MIN(size, p->piece);
	memcpy(buf, p->in.ptr, size);
	ap_buf_consume(&p->in, size);
	pipe_kick(p->peer);
	return (ssize_t)size;
}

static inline int
pipe_peek(struct ap_stream *s, struct iovec *iov, int max)
{
	struct pipe_end *p = (struct pipe_end *)(void *)s;
	size_t n = p->in.len;

	(void)max;
	if (p->cut) {
		s->error = AP_STREAM_RESET;
		return AP_STREAM_ERROR;
	}
	if (n == 0)
		return pipe_has_eof(p) ? AP_STREAM_EOF : AP_STREAM_AGAIN;
	if (p->piece > 0)
		n = AP_MIN(n, p->piece);
	*iov = (struct iovec){ .iov_base = p->in.ptr, .iov_len = n };
	return 1;
}

static inline void
pipe_consume(struct ap_stream *s, size_t n)
{
	struct pipe_end *p = (struct pipe_end *)(void *)s;

	ap_buf_consume(&p->in, n);
	pipe_kick(p->peer);
}

static inline ssize_t
pipe_write(struct ap_stream *s, const struct iovec *iov, int count)
{
	struct pipe_end *p = (struct pipe_end *)(void *)s, *to = p->peer;
	size_t done = 0;

	if (to == NULL || p->cut) {
		s->error = AP_STREAM_RESET;
		return AP_STREAM_ERROR;
	}
	for (int i = 0; i < count; i++) {
		size_t n = AP_MIN(iov[i].iov_len, to->room > to->in.len ? to->room - to->in.len : 0);

		ap_buf_add(&to->in, iov[i].iov_base, n);
		done += n;
		if (n < iov[i].iov_len)
			break;
	}
	pipe_kick(to);
	return done > 0 ? (ssize_t)done : AP_STREAM_AGAIN;
}

static inline void
pipe_shutdown(struct ap_stream *s)
{
	struct pipe_end *p = (struct pipe_end *)(void *)s;

	p->shut = true;
	pipe_kick(p->peer);
}

static inline void
pipe_want(struct ap_stream *s, unsigned events)
{
	s->wanted = events;
	pipe_kick((struct pipe_end *)(void *)s);
}

static inline void
pipe_free(void *ptr)
{
	struct pipe_end *p = ptr;

	ap_buf_done(&p->in);
	ap_mem_free(p);
}

static inline void
pipe_close(struct ap_stream *s, enum ap_stream_close how)
{
	struct pipe_end *p = (struct pipe_end *)(void *)s;

	ap_task_cancel(&p->task);
	if (p->peer != NULL) {
		p->peer->cut = how == AP_STREAM_CLOSE_ABORT;
		p->peer->peer = NULL;
		pipe_kick(p->peer);
	}
	ap_defer_free(s->loop, p, pipe_free);
}

static const struct ap_stream_ops pipe_ops = {
	.name = "pipe",
	.read = pipe_read,
	.write = pipe_write,
	.shutdown = pipe_shutdown,
	.want = pipe_want,
	.close = pipe_close,
};

static const struct ap_stream_ops pipe_peek_ops = {
	.name = "pipe",
	.read = pipe_read,
	.peek = pipe_peek,
	.consume = pipe_consume,
	.write = pipe_write,
	.shutdown = pipe_shutdown,
	.want = pipe_want,
	.close = pipe_close,
};

static inline void
pipe_task(struct ap_task *t, void *arg)
{
	struct pipe_end *p = arg;
	struct ap_stream *s = &p->s;
	unsigned events = 0;

	(void)t;
	if (p->cut && !p->told) {
		p->told = true;
		s->error = AP_STREAM_RESET;
		if (s->fn != NULL)
			s->fn(s, AP_STREAM_FAILED, s->arg);
		return;
	}
	if ((s->wanted & AP_STREAM_READABLE) && (p->in.len > 0 || pipe_has_eof(p)))
		events |= AP_STREAM_READABLE;
	if ((s->wanted & AP_STREAM_WRITABLE) && (p->peer == NULL || p->peer->in.len < p->peer->room))
		events |= AP_STREAM_WRITABLE;
	if (events == 0 || s->fn == NULL)
		return;
	s->fn(s, events, s->arg);
	pipe_kick(p);
}

static inline struct pipe_end *
pipe_new(struct ap_loop *loop, size_t room, bool peek)
{
	struct pipe_end *p = ap_new(struct pipe_end);

	p->s.ops = peek ? &pipe_peek_ops : &pipe_ops;
	p->s.loop = loop;
	p->s.is_open = true;
	p->room = room;
	ap_buf_init(&p->in, (size_t)1 << 30);
	ap_task_init(&p->task, pipe_task, p);
	return p;
}

/* Both ends are open. */
static inline void
pipe_pair(struct ap_loop *loop, size_t room, bool peek, struct pipe_end **a, struct pipe_end **b)
{
	*a = pipe_new(loop, room, peek);
	*b = pipe_new(loop, room, peek);
	(*a)->peer = *b;
	(*b)->peer = *a;
}

#endif
