/*
 * pool.h -- client connections that are kept: by a key that the caller composes, for HTTP/1 and HTTP/2, with limits, a
 * queue of those that wait, and the repeat of a request that met a connection which the peer had just closed.
 *
 * A pool belongs to one loop.  The caller supplies the dialling (address, TLS, ALPN), so a pool knows nothing of names
 * and certificates; connections with equal keys must be interchangeable.
 */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"
#include "http/exchange.h"

struct ap_http_pool;
struct ap_http_wait;
struct ap_loop;

struct ap_http_pool_settings {
	struct ap_http_settings http; /* of its connections; idle_timeout_ms ends an unused one */
	uint32_t max_connections;     /* per key; 0: 1,024 */
	uint32_t max_total;           /* 0: 10,000 */
	uint32_t max_waiting;         /* per key; 0: 1,024 */
	uint32_t max_requests;        /* per connection, then it is not used again; 0: no limit */
	uint64_t wait_timeout_ms;     /* from ap_http_pool_request to a connection; 0: 10,000 */
};

/* How one endpoint is reached. dial() gives a stream that connects (TCP, or TLS on TCP), never NULL. */
struct ap_http_dial {
	struct ap_stream *(*dial)(struct ap_loop *loop, void *arg);
	void *arg;                    /* valid until the wait ended */
	enum ap_http_version version; /* AP_HTTP_AUTO: by ALPN, else 1.1 */
};

/* The exchange was begun (its head was sent, the response comes by ap_response_fn), or x is NULL and why says what failed. */
typedef void (*ap_http_pool_fn)(struct ap_exchange *x, enum ap_stream_error why, int detail, void *arg);

struct ap_http_pool_stats {
	uint32_t connections, dialing, waiting, active; /* now */
	uint64_t dials, dial_failures, reused, overflowed; /* so far */
};

AP_PUBLIC_BEGIN
struct ap_http_pool *ap_http_pool_new(struct ap_loop *loop, const struct ap_http_pool_settings *settings);
/* Ask for an exchange.  got runs once: inside this call when a connection has room or the queue is full (then NULL is
 * returned and there is nothing to cancel), else later from the loop.  The head, the dial and what they point to must
 * stay valid until then.  When a request failed with x->replayable and nothing of its body was written, call this again: the
 * connection that failed is gone from the pool. */
struct ap_http_wait *ap_http_pool_request(struct ap_http_pool *pool, struct ap_slice key, const struct ap_http_dial *dial,
    const struct ap_http_head *head, bool end, ap_http_pool_fn got, ap_response_fn response, void *arg);
void ap_http_pool_cancel(struct ap_http_wait **wait);
/* Connections of that key take no new requests and end with their last one (an endpoint went away). */
void ap_http_pool_retire(struct ap_http_pool *pool, struct ap_slice key);
/* Now, for limits and load balancing: exchanges alive and waiting of that key. */
uint32_t ap_http_pool_load(const struct ap_http_pool *pool, struct ap_slice key);
void ap_http_pool_stats(const struct ap_http_pool *pool, struct ap_http_pool_stats *out);
/* Cuts all connections; waiting requests are forgotten without a callback. NULL is fine. */
void ap_http_pool_free(struct ap_http_pool **pool);
AP_PUBLIC_END

#endif
