/*
 * stream.c -- what every filter has in common: the guards around its operations, so that a filter need not repeat them.
 * Owns nothing.  The loop's thread.
 */
#include "net/stream.h"

#include <errno.h>

#include "base/check.h"
#include "net/tcp.h"

void
ap_stream_init(struct ap_stream *s, const struct ap_stream_ops *ops, struct ap_loop *loop, struct ap_stream *below)
{
	s->ops = ops;
	s->loop = loop;
	s->below = below;
}

void
ap_stream_set_callback(struct ap_stream *s, ap_stream_fn fn, void *arg)
{
	s->fn = fn;
	s->arg = arg;
}

ssize_t
ap_stream_read(struct ap_stream *s, void *buf, size_t size)
{
	if (AP_UNLIKELY(size == 0))
		return AP_STREAM_AGAIN;
	return s->ops->read(s, buf, size);
}

ssize_t
ap_stream_write(struct ap_stream *s, const void *bytes, size_t size)
{
	union {
		const void *in;
		void *base;
	} u = { .in = bytes };
	const struct iovec iov = { .iov_base = u.base, .iov_len = size };

	if (AP_UNLIKELY(size == 0))
		return 0;
	return s->ops->write(s, &iov, 1);
}

ssize_t
ap_stream_writev(struct ap_stream *s, const struct iovec *iov, int count)
{
	return s->ops->write(s, iov, count);
}

void
ap_stream_shutdown(struct ap_stream *s)
{
	s->ops->shutdown(s);
}

void
ap_stream_want(struct ap_stream *s, unsigned events)
{
	s->wanted = events;
	s->ops->want(s, events);
}

void
ap_stream_close(struct ap_stream **stream, enum ap_stream_close how)
{
	struct ap_stream *s = *stream;

	*stream = NULL;
	if (s == NULL)
		return;
	AP_CHECK(!s->is_closed);
	s->is_closed = true;
	s->fn = NULL;
	s->ops->close(s, how);
}

size_t
ap_stream_unsent(const struct ap_stream *s)
{
	return s->ops->unsent == NULL ? 0 : s->ops->unsent(s);
}

struct ap_stream *
ap_stream_bottom(struct ap_stream *s)
{
	while (s->below != NULL)
		s = s->below;
	return s->ops == &ap_tcp_ops ? s : NULL;
}

void
ap_stream_emit(struct ap_stream *s, unsigned events)
{
	if (s->fn != NULL)
		s->fn(s, events, s->arg);
}

int
ap_stream_break(struct ap_stream *s, enum ap_stream_error error, int detail)
{
	if (s->error == AP_STREAM_OK) {
		s->error = (uint8_t)error;
		s->detail = detail;
	}
	return AP_STREAM_ERROR;
}

enum ap_stream_error
ap_stream_error_of_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ENOENT: /* a Unix socket that is not there */
		return AP_STREAM_REFUSED;
	case ETIMEDOUT:
		return AP_STREAM_TIMEOUT;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
	case EACCES: /* a firewall's reject */
	case EPERM:
		return AP_STREAM_UNREACHABLE;
	case ECONNRESET:
	case EPIPE:
	case ECONNABORTED:
	case ENOTCONN:
		return AP_STREAM_RESET;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return AP_STREAM_LIMIT;
	default:
		return AP_STREAM_INTERNAL;
	}
}

const char *
ap_stream_error_name(enum ap_stream_error e)
{
	static const char *const names[] = {
		[AP_STREAM_OK] = "ok",
		[AP_STREAM_REFUSED] = "refused",
		[AP_STREAM_TIMEOUT] = "timeout",
		[AP_STREAM_UNREACHABLE] = "unreachable",
		[AP_STREAM_RESET] = "reset",
		[AP_STREAM_TLS] = "tls",
		[AP_STREAM_PROTOCOL] = "protocol",
		[AP_STREAM_LIMIT] = "limit",
		[AP_STREAM_CANCELLED] = "cancelled",
		[AP_STREAM_INTERNAL] = "internal",
	};

	return (size_t)e < AP_COUNTOF(names) ? names[e] : "unknown";
}
