/*
 * tcp.c -- the bottom filter: a socket as a stream.  It buffers nothing: write() gives the kernel what it takes and says
 * AGAIN for the rest.  Owns the descriptor.  The loop's thread.
 *
 * An idle connection costs this struct alone, so what is needed only while connecting stands in a block of its own, and
 * the peer's address is kept packed.
 */
#include "net/tcp.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "event/loop.h"
#include "net/sock.h"

#define CONNECT_TIMEOUT_MS 10000

/* While connecting, or until an early end was told. */
struct connecting {
	struct ap_timer deadline;
	struct ap_task task;
	bool done; /* connect() was done at once: the task tells OPEN */
};

struct tcp {
	struct ap_stream s;
	struct ap_io io;
	struct connecting *connecting;
	struct ap_addr *peer; /* made when asked for */
	struct ap_ip peer_ip, local_ip; /* len 0: not known (yet) */
	uint16_t peer_port, local_port;
	bool write_ended;
};

static struct tcp *
tcp_of(struct ap_stream *s)
{
	return AP_CONTAINER_OF(s, struct tcp, s);
}

static int
tcp_break(struct tcp *t, int error)
{
	return ap_stream_break(&t->s, ap_stream_error_of_errno(error), error);
}

static void
end_connecting(struct tcp *t)
{
	if (t->connecting == NULL)
		return;
	ap_timer_stop(&t->connecting->deadline);
	ap_task_cancel(&t->connecting->task);
	ap_free(&t->connecting);
}

static void
tell_failed(struct tcp *t)
{
	end_connecting(t);
	ap_io_want(&t->io, 0);
	ap_stream_emit(&t->s, AP_STREAM_FAILED);
}

static void
tell_open(struct tcp *t)
{
	end_connecting(t);
	t->s.is_open = true;
	if (t->write_ended)
		(void)shutdown(t->io.fd, SHUT_WR);
	ap_io_want(&t->io, t->s.wanted & (AP_STREAM_READABLE | AP_STREAM_WRITABLE));
	ap_stream_emit(&t->s, AP_STREAM_OPEN);
}

static void
on_connect_event(struct tcp *t)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(t->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0) {
		tell_open(t);
		return;
	}
	(void)tcp_break(t, error);
	tell_failed(t);
}

_Static_assert(AP_STREAM_READABLE == AP_IO_READ && AP_STREAM_WRITABLE == AP_IO_WRITE, "events pass as they are");

static void
on_io(struct ap_io *io, unsigned events, void *arg)
{
	struct tcp *t = arg;

	(void)io;
	if (AP_UNLIKELY(!t->s.is_open))
		on_connect_event(t);
	else
		ap_stream_emit(&t->s, events);
}

static void
on_deadline(struct ap_timer *timer, void *arg)
{
	struct tcp *t = arg;

	(void)timer;
	(void)ap_stream_break(&t->s, AP_STREAM_TIMEOUT, ETIMEDOUT);
	tell_failed(t);
}

/* What connect() knew at once is told from the loop, as everything else. */
static void
on_early_end(struct ap_task *task, void *arg)
{
	struct tcp *t = arg;

	(void)task;
	if (t->connecting->done)
		tell_open(t);
	else
		tell_failed(t);
}

static ssize_t
tcp_read(struct ap_stream *s, void *buf, size_t size)
{
	struct tcp *t = tcp_of(s);
	ssize_t n;

	if (AP_UNLIKELY(!s->is_open))
		return s->error == AP_STREAM_OK ? AP_STREAM_AGAIN : AP_STREAM_ERROR;
	n = ap_sock_read(t->io.fd, buf, size);
	if (AP_LIKELY(n > 0))
		return n;
	/* What the peer sent before it reset can be read after a write has failed, an answer that refuses our upload
	 * for one; but then the end is no clean end. */
	if (n == 0)
		return s->error == AP_STREAM_OK ? AP_STREAM_EOF : AP_STREAM_ERROR;
	if (errno == EAGAIN)
		return AP_STREAM_AGAIN;
	return tcp_break(t, errno);
}

static ssize_t
tcp_write(struct ap_stream *s, const struct iovec *iov, int count)
{
	struct tcp *t = tcp_of(s);
	ssize_t n;

	if (AP_UNLIKELY(!s->is_open || s->error != AP_STREAM_OK))
		return s->error == AP_STREAM_OK ? AP_STREAM_AGAIN : AP_STREAM_ERROR;
	AP_CHECK(!t->write_ended);
	n = ap_sock_writev(t->io.fd, iov, AP_MIN(count, IOV_MAX));
	if (AP_LIKELY(n >= 0))
		return n;
	if (errno == EAGAIN)
		return AP_STREAM_AGAIN;
	return tcp_break(t, errno);
}

static void
tcp_shutdown(struct ap_stream *s)
{
	struct tcp *t = tcp_of(s);

	if (t->write_ended)
		return;
	t->write_ended = true;
	/* ENOTCONN: the peer was faster; the reader will see it. Before OPEN: follows then. */
	if (s->is_open)
		(void)shutdown(t->io.fd, SHUT_WR);
}

static void
tcp_want(struct ap_stream *s, unsigned events)
{
	if (s->is_open)
		ap_io_want(&tcp_of(s)->io, events & (AP_STREAM_READABLE | AP_STREAM_WRITABLE));
}

static void
tcp_free(void *ptr)
{
	struct tcp *t = ptr;

	ap_free(&t->peer);
	ap_free(&t);
}

static void
tcp_close(struct ap_stream *s, enum ap_stream_close how)
{
	struct tcp *t = tcp_of(s);

	end_connecting(t);
	ap_io_done(&t->io);
	if (t->io.fd >= 0) {
		if (how == AP_STREAM_CLOSE_ABORT) {
			const struct linger cut = { .l_onoff = 1, .l_linger = 0 };

			(void)setsockopt(t->io.fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
		}
		(void)close(t->io.fd);
		t->io.fd = -1;
	}
	ap_defer_free(s->loop, t, tcp_free);
}

const struct ap_stream_ops ap_tcp_ops = {
	.name = "tcp",
	.read = tcp_read,
	.write = tcp_write,
	.shutdown = tcp_shutdown,
	.want = tcp_want,
	.close = tcp_close,
};

static struct tcp *
tcp_new(struct ap_loop *loop, int fd, const struct ap_addr *peer)
{
	struct tcp *t = ap_new(struct tcp);

	ap_stream_init(&t->s, &ap_tcp_ops, loop, NULL);
	ap_io_init(&t->io, loop, fd, on_io, t);
	if (peer != NULL && ap_addr_ip(peer, &t->peer_ip) == 0) {
		t->peer_port = ap_addr_port(peer);
	} else if (peer != NULL) {
		t->peer = ap_new(struct ap_addr);
		*t->peer = *peer;
	}
	return t;
}

struct ap_stream *
ap_tcp_take(struct ap_loop *loop, int fd, const struct ap_addr *peer)
{
	struct tcp *t = tcp_new(loop, fd, peer);

	t->s.is_open = true;
	return &t->s;
}

/* Bind to the source asked for. 0 or negative errno. */
static int
bind_source(int fd, const struct ap_addr *to, const struct ap_tcp_options *options)
{
	struct ap_addr from = ap_addr_of(options->source, options->source_port);
	int rc;

	if (from.u.sa.sa_family != to->u.sa.sa_family)
		return -EAFNOSUPPORT;
	if (from.u.sa.sa_family == AF_INET6) {
		rc = ap_sock_set(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
		(void)ap_sock_set(fd, SOL_IPV6, IPV6_FREEBIND, 1);
	} else {
		rc = ap_sock_set(fd, SOL_IP, IP_TRANSPARENT, 1);
		(void)ap_sock_set(fd, SOL_IP, IP_FREEBIND, 1);
	}
	/* An address of this machine needs no privilege, so a refusal here is not the last word: bind() says. */
	(void)rc;
	if (options->source_port != 0)
		(void)ap_sock_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	else /* choose the port at connect(), when the whole four-tuple is known: 64 k per destination, not in all */
		(void)ap_sock_set(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return bind(fd, &from.u.sa, from.len) == 0 ? 0 : -errno;
}

/* A socket that begins to connect. 0: at once; EINPROGRESS; or another positive errno. *out_fd is -1 without a socket. */
static int
begin_connect(const struct ap_addr *to, const struct ap_tcp_options *options, int *out_fd)
{
	const bool is_ip = to->u.sa.sa_family != AF_UNIX;
	int rc, fd = ap_sock_open(to->u.sa.sa_family, SOCK_STREAM);

	*out_fd = fd;
	if (fd < 0)
		return errno;
	if (options->mark != 0 && (rc = ap_sock_set(fd, SOL_SOCKET, SO_MARK, (int)options->mark)) != 0)
		return -rc;
	if (is_ip) {
		(void)ap_sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		if (options->keepalive)
			ap_sock_keepalive(fd);
		if (options->source != NULL && (rc = bind_source(fd, to, options)) != 0)
			return -rc;
	}
	return ap_sock_connect(fd, to) == 0 ? 0 : errno;
}

struct ap_stream *
ap_tcp_connect(struct ap_loop *loop, const struct ap_addr *to, const struct ap_tcp_options *options)
{
	static const struct ap_tcp_options none = { .mark = 0 };
	struct connecting *c = ap_new(struct connecting);
	struct tcp *t;
	int fd = -1, error;

	if (options == NULL)
		options = &none;
	error = to->len == 0 ? EADDRNOTAVAIL : begin_connect(to, options, &fd);
	t = tcp_new(loop, fd, to);
	t->connecting = c;
	ap_timer_init(&c->deadline, loop, on_deadline, t);
	ap_task_init(&c->task, on_early_end, t);
	if (error == EINPROGRESS) {
		ap_io_want(&t->io, AP_IO_WRITE);
		ap_timer_start(
		    &c->deadline, options->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_MS : options->connect_timeout_ms);
		return &t->s;
	}
	if (error != 0)
		(void)tcp_break(t, error);
	c->done = error == 0;
	ap_task_schedule(loop, &c->task);
	return &t->s;
}

int
ap_tcp_fd(const struct ap_stream *s)
{
	AP_CHECK(s->ops == &ap_tcp_ops);
	return ((const struct tcp *)s)->io.fd;
}

const struct ap_addr *
ap_tcp_peer(struct ap_stream *s)
{
	struct tcp *t = tcp_of(s);

	AP_CHECK(s->ops == &ap_tcp_ops);
	if (t->peer == NULL) {
		t->peer = ap_new(struct ap_addr);
		if (t->peer_ip.len != 0)
			*t->peer = ap_addr_of(&t->peer_ip, t->peer_port);
	}
	return t->peer;
}

/* It does not change once the socket is connected, and access logs ask at each request. */
struct ap_addr
ap_tcp_local(const struct ap_stream *s)
{
	union {
		const struct ap_stream *in;
		struct tcp *out;
	} u = { .in = s };
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	struct ap_addr local;

	AP_CHECK(s->ops == &ap_tcp_ops);
	if (u.out->local_ip.len != 0)
		return ap_addr_of(&u.out->local_ip, u.out->local_port);
	if (getsockname(u.out->io.fd, (struct sockaddr *)&storage, &len) != 0)
		return (struct ap_addr){ .len = 0 };
	local = ap_addr_from_sockaddr((struct sockaddr *)&storage, len);
	if (s->is_open && ap_addr_ip(&local, &u.out->local_ip) == 0)
		u.out->local_port = ap_addr_port(&local);
	return local;
}
