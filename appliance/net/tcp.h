/* tcp.h -- the bottom filter: a stream on a TCP or Unix socket; connect with a deadline. */
#ifndef NET_TCP_H
#define NET_TCP_H
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "net/stream.h"

struct ap_tcp_options {
	uint32_t mark; /* SO_MARK; 0: none */
	const struct ap_ip
	    *source; /* bind to this address with IP_TRANSPARENT and IP_FREEBIND; NULL: kernel's choice */
	uint64_t connect_timeout_ms; /* 0: 10,000 */
	bool keepalive;              /* 180 s, 180 s, 9 probes */
	uint16_t source_port;        /* with source: 0 = kernel's choice */
};

extern const struct ap_stream_ops ap_tcp_ops;

AP_PUBLIC_BEGIN
/* Take an accepted, non-blocking socket; it is open already (no OPEN event). */
struct ap_stream *ap_tcp_take(struct ap_loop *loop, int fd, const struct ap_addr *peer);
/* Begin to connect; OPEN or FAILED follows from the loop, never from inside this call. Never NULL. Once open, a broken
 * connection shows as ERROR from read or write, whose events it raises; FAILED is told for the connect alone. */
struct ap_stream *ap_tcp_connect(struct ap_loop *loop, const struct ap_addr *to, const struct ap_tcp_options *options);
/* -1 while there is none. */
int ap_tcp_fd(const struct ap_stream *s);
/* As given to take or connect; lives as long as the stream. */
const struct ap_addr *ap_tcp_peer(struct ap_stream *s);
/* getsockname; len 0 when it fails. */
struct ap_addr ap_tcp_local(const struct ap_stream *s);
AP_PUBLIC_END

#endif
