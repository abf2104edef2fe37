/*
 * hbone.h -- HBONE both ways: a pool of tunnels to other proxies, and the server that takes theirs (istio-ambient.md 1).
 *
 * Glossary: a *tunnel* is an accepted CONNECT, an exchange and so a stream: read, write, relay it, close it; a *hop* is the
 * proxy at the other end of the connection; a *key* says which tunnels may share a connection: source identity, expected
 * server identities, source address, hop, SNI and mark.
 *
 * A pool belongs to one worker and is used on its thread alone.  It keeps connections by key, 100 tunnels each (less
 * when the peer's SETTINGS say so); one dial per key is in flight, the others wait for it.  A connection that is full, that
 * got a GOAWAY or whose certificate was replaced takes no new tunnels and ends with its last one.
 */
#ifndef MESH_HBONE_H
#define MESH_HBONE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/slice.h"
#include "http/exchange.h"
#include "net/stream.h"
#include "net/tls.h"

struct ap_hbone_pool;
struct ap_hbone_wait;
struct ap_worker;

#define AP_HBONE_PORT 15008

struct ap_hbone_settings {
	uint32_t max_tunnels;        /* per connection; 0: 100 */
	uint32_t max_connections;    /* of the pool; 0: 10,000. Further dials fail with AP_STREAM_LIMIT */
	uint32_t max_waiting;        /* tunnels waiting for one dial; 0: 10,000 */
	uint64_t connect_timeout_ms; /* TCP; 0: 10,000 */
	uint64_t open_timeout_ms;    /* whole of ap_hbone_open, until the peer's answer; 0: 30,000 */
	uint64_t idle_timeout_ms;    /* connection without tunnels; 0: 300,000 */
};

/* Where to and as whom. Everything is copied by ap_hbone_open, but for the context, which is counted. */
struct ap_hbone_target {
	struct ap_addr hop;              /* next hop, with its port (usually AP_HBONE_PORT) */
	struct ap_slice source_identity; /* SPIFFE id whose context `tls` is */
	struct ap_tls *tls;              /* client context, settings.mesh; a newer one retires connections made with the old */
	const struct ap_slice *server_identities; /* any URI SAN of the peer must be among these; none: nobody is trusted */
	size_t server_identity_count;
	struct ap_slice sni;             /* empty: none sent (stock ztunnels) */
	struct ap_ip source_ip;          /* the workload's address: part of the key, never bound to */
	uint32_t mark;                   /* SO_MARK */
	struct ap_slice authority;       /* "ip:port", "[v6]:port" or "host:port" */
	const struct ap_field *fields;   /* baggage, forwarded, traceparent, ... */
	size_t field_count;
	/* The inner leg of double HBONE: TLS and HTTP/2 run inside this open stream instead of a connection to `hop`, for
	 * this one tunnel, never pooled. Taken over by ap_hbone_open, whatever comes of it. NULL: the normal case. */
	struct ap_stream *over;
};

/* How ap_hbone_open ended. Lives until the callback returns. */
struct ap_hbone_result {
	struct ap_exchange *tunnel; /* open, yours; its peer's answer is tunnel->response. NULL: failed */
	int status;                 /* the peer's answer; 0: none came */
	enum ap_stream_error error; /* AP_STREAM_OK with a tunnel or a status */
	int detail;                 /* errno or HTTP/2 code that belongs to error */
	const char *text;           /* one sentence for the log; "" with a tunnel */
	bool reused;                /* the connection existed before */
	struct ap_addr local;       /* our end of the connection; len 0: none */
};

typedef void (*ap_hbone_fn)(const struct ap_hbone_result *r, void *arg);

struct ap_hbone_stats {
	uint32_t connections, dialing, waiting, tunnels; /* now */
	uint64_t dials, dial_failures, opened, refused, failed, goaways; /* so far */
};

AP_PUBLIC_BEGIN
/* On the worker's thread. settings may be NULL. */
struct ap_hbone_pool *ap_hbone_pool_new(struct ap_worker *w, const struct ap_hbone_settings *settings);
/* Open a tunnel; fn runs once, from the loop, never inside this call. Never NULL. */
struct ap_hbone_wait *ap_hbone_open(
    struct ap_hbone_pool *pool, const struct ap_hbone_target *target, ap_hbone_fn fn, void *arg);
/* fn will not run; the tunnel, if begun, is reset. *wait = NULL; NULL is fine. Not after fn ran. */
void ap_hbone_cancel(struct ap_hbone_wait **wait);
/* No new tunnels on present connections: each ends with its last tunnel. The pool stays usable. */
void ap_hbone_drain(struct ap_hbone_pool *pool);
/* Cut connections to whose peer or as whose source fn says yes (a certificate was revoked); the tunnels see FAILED. */
void ap_hbone_cut(struct ap_hbone_pool *pool,
    bool (*fn)(struct ap_slice source_identity, struct ap_stream *tls, void *arg), void *arg);
void ap_hbone_pool_stats(const struct ap_hbone_pool *pool, struct ap_hbone_stats *out);
/* Cut everything; waiting opens are forgotten without a callback. Tunnels must be closed before. NULL is fine. */
void ap_hbone_pool_free(struct ap_hbone_pool **pool);

/* Serve HBONE on an accepted connection's TLS server stream (its handshake may still run): HTTP/2 alone, CONNECT reaches the
 * handler, windows 4 and 16 MiB, frames up to 1 MiB, heads up to 64 KiB, 200 streams, a ping each 10 s. */
struct ap_http_conn *ap_hbone_serve(struct ap_stream *tls, const struct ap_http_server_ops *ops, void *arg);
/* HEADERS with END_STREAM, no body: 400, 401, 503. */
void ap_hbone_refuse(struct ap_exchange *x, int status);
/* 200; the exchange is the tunnel from here on. fields (may be NULL): baggage. */
void ap_hbone_accept(struct ap_exchange *x, const struct ap_field *fields, size_t field_count);
/* ip:port or host:port of a CONNECT's authority: *out_addr, or len 0 there and the name in *out_host. 0 or -EINVAL. */
int ap_hbone_authority(
    struct ap_slice authority, struct ap_addr *out_addr, struct ap_slice *out_host, uint16_t *out_port);
AP_PUBLIC_END

#endif
