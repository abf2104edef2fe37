/*
 * sock.h -- the system calls of the data path, with a table of faults that tests can set: what a kernel does once a year
 * (EMFILE, a reset in the middle, a short write) then happens on demand.  Inside net only.
 */
#ifndef NET_SOCK_H
#define NET_SOCK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"

enum ap_sock_op { AP_SOCK_ACCEPT, AP_SOCK_CONNECT, AP_SOCK_READ, AP_SOCK_WRITE, AP_SOCK_SOCKET, AP_SOCK_OPS };

struct ap_sock_fault {
	unsigned skip;    /* calls that pass first */
	unsigned times;   /* then this many are hit */
	int error;        /* errno to fail with; 0: only shorten */
	size_t max_bytes; /* read, write: at most this many; 0: no bound */
};

/* One table per process; NULL ends all faults. Tests only: the product never sets it. */
void ap_sock_set_fault(enum ap_sock_op op, const struct ap_sock_fault *fault);

/* As the system calls, but restarted on EINTR; -1 with errno. */
int ap_sock_open(int family, int type); /* non-blocking, close-on-exec */
int ap_sock_accept(int fd, struct ap_addr *out_peer);
int ap_sock_connect(int fd, const struct ap_addr *to);
ssize_t ap_sock_read(int fd, void *buf, size_t size);
ssize_t ap_sock_writev(int fd, const struct iovec *iov, int count);
/* setsockopt of an int; 0 or negative errno. */
int ap_sock_set(int fd, int level, int option, int value);
/* 180 s, 180 s, 9 probes (istio-ambient.md 1.8). */
void ap_sock_keepalive(int fd);

#endif
