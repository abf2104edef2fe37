/*
 * sock.c -- the few system calls on sockets, in one place.  The fault table costs one predictable branch per call.
 * No state but that table, which only single-threaded tests write.
 */
#include "net/sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

static bool faults_on;
static struct ap_sock_fault faults[AP_SOCK_OPS];

void
ap_sock_set_fault(enum ap_sock_op op, const struct ap_sock_fault *fault)
{
	faults[op] = fault == NULL ? (struct ap_sock_fault){ .times = 0 } : *fault;
	faults_on = false;
	for (size_t i = 0; i < AP_SOCK_OPS; i++)
		faults_on = faults_on || faults[i].times > 0;
}

/* True: the call fails with errno set. *size is shortened where the fault says so. */
static bool
hit(enum ap_sock_op op, size_t *size)
{
	struct ap_sock_fault *f = &faults[op];

	if (f->times == 0)
		return false;
	if (f->skip > 0) {
		f->skip--;
		return false;
	}
	f->times--;
	if (f->error != 0) {
		errno = f->error;
		return true;
	}
	if (f->max_bytes > 0 && *size > f->max_bytes)
		*size = f->max_bytes;
	return false;
}

int
ap_sock_open(int family, int type)
{
	size_t size = 0;

	if (AP_UNLIKELY(faults_on) && hit(AP_SOCK_SOCKET, &size))
		return -1;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int
ap_sock_accept(int fd, struct ap_addr *out_peer)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	size_t size = 0;
	int accepted;

	if (AP_UNLIKELY(faults_on) && hit(AP_SOCK_ACCEPT, &size))
		return -1;
	do {
		accepted = accept4(fd, (struct sockaddr *)&storage, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (accepted < 0 && errno == EINTR);
	if (accepted >= 0)
		*out_peer = ap_addr_from_sockaddr((struct sockaddr *)&storage, len);
	return accepted;
}

int
ap_sock_connect(int fd, const struct ap_addr *to)
{
	size_t size = 0;
	int rc;

	if (AP_UNLIKELY(faults_on) && hit(AP_SOCK_CONNECT, &size))
		return -1;
	do {
		rc = connect(fd, &to->u.sa, to->len);
	} while (rc < 0 && errno == EINTR);
	return rc;
}

ssize_t
ap_sock_read(int fd, void *buf, size_t size)
{
	ssize_t n;

	if (AP_UNLIKELY(faults_on) && hit(AP_SOCK_READ, &size))
		return -1;
	do {
		n = recv(fd, buf, size, 0);
	} while (n < 0 && errno == EINTR);
	return n;
}

ssize_t
ap_sock_writev(int fd, const struct iovec *iov, int count)
{
	union {
		const struct iovec *in;
		struct iovec *out;
	} u = { .in = iov };
	struct msghdr msg = { .msg_iov = u.out, .msg_iovlen = (size_t)count };
	struct iovec shortened;
	ssize_t n;

	if (AP_UNLIKELY(faults_on)) {
		shortened = iov[0];
		if (hit(AP_SOCK_WRITE, &shortened.iov_len))
			return -1;
		if (shortened.iov_len < iov[0].iov_len) {
			msg.msg_iov = &shortened;
			msg.msg_iovlen = 1;
		}
	}
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n;
}

int
ap_sock_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

void
ap_sock_keepalive(int fd)
{
	(void)ap_sock_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	(void)ap_sock_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 180);
	(void)ap_sock_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 180);
	(void)ap_sock_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 9);
}
