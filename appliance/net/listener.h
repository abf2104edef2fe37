/* listener.h -- accepting sockets: one per worker with SO_REUSEPORT, back-off when descriptors run out, a connection ceiling. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/error.h"

struct ap_loop;
struct ap_listener;

struct ap_listener_options {
	bool reuse_port;
	bool transparent; /* IP_TRANSPARENT: lets upstream sockets bear the client's address */
	bool v6_only;     /* default: [::] serves IPv4 too */
	uint32_t mark;
	int backlog;        /* 0: 1,024 */
	unsigned unix_mode; /* mode of a Unix socket file; 0: 0600 */
	int fd;             /* > 0: an inherited listening socket to use instead of making one */
};

/* fd is non-blocking and close-on-exec, NODELAY set, and the callee's. */
typedef void (*ap_accept_fn)(int fd, const struct ap_addr *peer, void *arg);

AP_PUBLIC_BEGIN
/* On the loop's thread. A stale Unix socket file of nobody is replaced. NULL with err when it cannot listen. */
struct ap_listener *ap_listener_new(struct ap_loop *loop, const struct ap_addr *at,
    const struct ap_listener_options *options, ap_accept_fn fn, void *arg, struct ap_error *err);
void ap_listener_pause(struct ap_listener *l, bool paused);
int ap_listener_fd(const struct ap_listener *l);
/* The bound address (with the port the kernel chose, where 0 was asked for). */
struct ap_addr ap_listener_addr(const struct ap_listener *l);
void ap_listener_free(struct ap_listener **l); /* closes; removes its Unix socket file */
AP_PUBLIC_END

#endif
