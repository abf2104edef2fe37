/*
 * listener.c -- a listening socket on a loop.  Accepts in small batches, so that a storm of connections cannot starve
 * those that are being served, and sleeps a while when descriptors run out instead of turning at full speed.
 * Owns its descriptor and, for a Unix socket, its file.  The loop's thread.
 */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/loop.h"
#include "net/sock.h"

AP_LOG_MODULE(listener);

#define LISTENER_MAGIC AP_MAGIC('L', 'I', 'S', 'T')
#define BATCH 64
#define BACKOFF_MS 100
#define BACKLOG 1024

struct ap_listener {
	uint32_t magic;
	bool paused, tired, closed;
	int fd;
	struct ap_loop *loop;
	struct ap_io io;
	struct ap_timer rest;
	ap_accept_fn fn;
	void *arg;
	/* The Unix socket's file as we made it: another process may have replaced it since. */
	char *path;
	dev_t dev;
	ino_t inode;
};

static void
listen_or_rest(struct ap_listener *l)
{
	ap_io_want(&l->io, l->paused || l->tired ? 0 : AP_IO_READ);
}

static void
on_rested(struct ap_timer *t, void *arg)
{
	struct ap_listener *l = arg;

	(void)t;
	l->tired = false;
	listen_or_rest(l);
}

/* True: this connection is gone but the next may be fine. accept(2) passes on errors of the connection it took. */
static bool
is_of_connection(int error)
{
	switch (error) {
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static void
on_acceptable(struct ap_io *io, unsigned events, void *arg)
{
	struct ap_listener *l = arg;

	(void)events;
	AP_IS(l, LISTENER_MAGIC);
	for (int i = 0; i < BATCH && !l->closed && !l->paused; i++) {
		struct ap_addr peer;
		int fd = ap_sock_accept(io->fd, &peer);

		if (fd >= 0) {
			l->fn(
			    fd, &peer, l->arg); /* may free the listener: its memory stays until the end of the turn */
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (is_of_connection(errno))
			continue;
		LOG_WARN_LIMIT(NULL, 1, "accept failed, waiting %d ms: %s", BACKOFF_MS, strerror(errno));
		l->tired = true;
		listen_or_rest(l);
		ap_timer_start(&l->rest, BACKOFF_MS);
		return;
	}
}

/* Remove a Unix socket file that nobody listens on. */
static int
clear_stale(const struct ap_addr *at, struct ap_error *err)
{
	const char *path = at->u.un.sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) != 0)
		return 0; /* nothing there, or bind() will say what is wrong */
	if (!S_ISSOCK(st.st_mode))
		return ap_error_set(err, -EEXIST, "cannot listen on %s: there is a file that is not a socket", path);
	fd = ap_sock_open(AF_UNIX, SOCK_STREAM);
	if (fd < 0)
		return ap_error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	rc = ap_sock_connect(fd, at) == 0 ? 0 : errno;
	(void)close(fd);
	if (rc == 0 || rc == EAGAIN)
		return ap_error_set(err, -EADDRINUSE, "cannot listen on %s: another process does", path);
	if (rc == ECONNREFUSED)
		(void)unlink(path);
	return 0;
}

static int
set_options(int fd, const struct ap_addr *at, const struct ap_listener_options *o, struct ap_error *err)
{
	const bool v6 = at->u.sa.sa_family == AF_INET6;
	int rc;

	if (at->u.sa.sa_family == AF_UNIX) {
		/* The file gets the socket's mode at bind, less the umask: nobody finds it more open in between. */
		(void)fchmod(fd, o->unix_mode == 0 ? 0600 : (mode_t)o->unix_mode);
		return 0;
	}
	(void)ap_sock_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	/* Accepted sockets inherit these. */
	(void)ap_sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (v6)
		(void)ap_sock_set(fd, SOL_IPV6, IPV6_V6ONLY, o->v6_only ? 1 : 0);
	if (o->reuse_port && (rc = ap_sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) != 0)
		return ap_error_set(err, rc, "SO_REUSEPORT: %s", strerror(-rc));
	if (o->mark != 0 && (rc = ap_sock_set(fd, SOL_SOCKET, SO_MARK, (int)o->mark)) != 0)
		return ap_error_set(err, rc, "SO_MARK: %s", strerror(-rc));
	if (o->transparent) {
		rc = v6 ? ap_sock_set(fd, SOL_IPV6, IPV6_TRANSPARENT, 1) : 0;
		if (rc == 0) /* a dual-stack socket needs both */
			rc = ap_sock_set(fd, SOL_IP, IP_TRANSPARENT, 1);
		if (rc != 0)
			return ap_error_set(err, rc, "IP_TRANSPARENT: %s", strerror(-rc));
	}
	return 0;
}

static void
remember_file(struct ap_listener *l, const struct ap_addr *at, const struct ap_listener_options *o)
{
	const char *path = at->u.un.sun_path;
	struct stat st;

	if (path[0] == '\0' || chmod(path, o->unix_mode == 0 ? 0600 : (mode_t)o->unix_mode) != 0 ||
	    lstat(path, &st) != 0)
		return;
	l->path = ap_strdup(path);
	l->dev = st.st_dev;
	l->inode = st.st_ino;
}

static int
make_socket(struct ap_listener *l, const struct ap_addr *at, const struct ap_listener_options *o, struct ap_error *err)
{
	char text[AP_ADDR_TEXT];
	int rc;

	if (ap_addr_is_unix(at) && at->u.un.sun_path[0] != '\0' && (rc = clear_stale(at, err)) != 0)
		return rc;
	l->fd = ap_sock_open(at->u.sa.sa_family, SOCK_STREAM);
	if (l->fd < 0)
		return ap_error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	if ((rc = set_options(l->fd, at, o, err)) != 0)
		return ap_error_wrap(err, "cannot listen on %s", ap_addr_format(at, text, sizeof(text)));
	if (bind(l->fd, &at->u.sa, at->len) != 0 || listen(l->fd, o->backlog == 0 ? BACKLOG : o->backlog) != 0)
		return ap_error_set(
		    err, -errno, "cannot listen on %s: %s", ap_addr_format(at, text, sizeof(text)), strerror(errno));
	if (ap_addr_is_unix(at))
		remember_file(l, at, o);
	return 0;
}

static void
listener_free_memory(void *ptr)
{
	struct ap_listener *l = ptr;

	l->magic = 0;
	ap_free(&l->path);
	ap_free(&l);
}

struct ap_listener *
ap_listener_new(struct ap_loop *loop, const struct ap_addr *at, const struct ap_listener_options *options,
    ap_accept_fn fn, void *arg, struct ap_error *err)
{
	static const struct ap_listener_options none = { .fd = 0 };
	struct ap_listener *l = ap_new(struct ap_listener);

	if (options == NULL)
		options = &none;
	l->magic = LISTENER_MAGIC;
	l->loop = loop;
	l->fn = fn;
	l->arg = arg;
	l->fd = options->fd > 0 ? options->fd : -1;
	if (l->fd >= 0) {
		(void)fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK);
		(void)fcntl(l->fd, F_SETFD, FD_CLOEXEC);
		(void)ap_sock_set(l->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	}
	if (l->fd < 0 && make_socket(l, at, options, err) != 0) {
		if (l->fd >= 0)
			(void)close(l->fd);
		listener_free_memory(l);
		return NULL;
	}
	ap_timer_init(&l->rest, loop, on_rested, l);
	ap_io_init(&l->io, loop, l->fd, on_acceptable, l);
	ap_io_want(&l->io, AP_IO_READ);
	return l;
}

void
ap_listener_pause(struct ap_listener *l, bool paused)
{
	l->paused = paused;
	listen_or_rest(l);
}

int
ap_listener_fd(const struct ap_listener *l)
{
	return l->fd;
}

struct ap_addr
ap_listener_addr(const struct ap_listener *l)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);

	if (getsockname(l->fd, (struct sockaddr *)&storage, &len) != 0)
		return (struct ap_addr){ .len = 0 };
	return ap_addr_from_sockaddr((struct sockaddr *)&storage, len);
}

void
ap_listener_free(struct ap_listener **listener)
{
	struct ap_listener *l = *listener;
	struct stat st;

	*listener = NULL;
	if (l == NULL)
		return;
	AP_IS(l, LISTENER_MAGIC);
	l->closed = true;
	ap_io_done(&l->io);
	ap_timer_stop(&l->rest);
	(void)close(l->fd);
	if (l->path != NULL && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->inode)
		(void)unlink(l->path);
	ap_defer_free(l->loop, l, listener_free_memory);
}
