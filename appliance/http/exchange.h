/*
 * exchange.h -- one request and its response, whatever the version, on either side of a connection.
 *
 * An exchange *is* a stream: on the server side reading gives the request's body and writing makes the response's; on the
 * client side the other way round.  So a proxy joins two exchanges with a relay, and an accepted CONNECT is a tunnel
 * with nothing more to do.  shutdown() ends our message (with `trailers_out`, when set); EOF from read() ends the peer's,
 * and `trailers_in` is complete then.  close() with ABORT resets (RST_STREAM, or the connection on HTTP/1).
 *
 * Glossary: *connection* (ap_http_conn) is HTTP on one transport stream, which it owns; *head* is what stands before the
 * body; a *server* connection offers exchanges to its handler, a *client* connection makes them.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "base/error.h"
#include "http/fields.h"
#include "net/stream.h"

enum ap_http_version { AP_HTTP_AUTO, AP_HTTP_1_0, AP_HTTP_1_1, AP_HTTP_2 };

struct ap_http_head {
	/* request */
	struct ap_slice method, scheme, authority;
	struct ap_slice path;     /* with query; empty for CONNECT */
	struct ap_slice protocol; /* extended CONNECT (RFC 8441) or the Upgrade token of HTTP/1; empty otherwise */
	/* response */
	int status;
	/* Both. No pseudo fields, no connection-specific fields (RFC 9110 7.6.1): those are the codec's business, and are left
	 * out when sent. Host is in authority alone, Content-Length in content_length alone, Expect: 100-continue in
	 * ap_exchange_continue alone (done by itself when the handler wants READABLE). */
	struct ap_fields fields;
	int64_t content_length; /* -1: not given */
	bool end;               /* no body and no trailers follow */
};

struct ap_http_conn;

struct ap_exchange {
	struct ap_stream stream; /* first member */
	struct ap_http_conn *conn; /* NULL once the connection is gone */
	struct ap_arena *arena;    /* of this exchange; heads and trailers live here */
	enum ap_http_version version;
	struct ap_http_head request, response;
	struct ap_fields trailers_in;
	struct ap_fields *trailers_out; /* set before shutdown(), which copies them when they are another exchange's */
	bool is_server;
	bool request_complete, response_complete; /* both ends of both messages seen */
	bool response_started;
	bool replayable; /* client: failed before the peer can have acted on it (GOAWAY, REFUSED_STREAM, reset idle conn) */
	uint64_t started_ms; /* loop time at which the head was complete (server) or sent (client) */
	void *user;
};

struct ap_http_settings {
	uint32_t max_streams;         /* peer-initiated, at a time; 0: 100 */
	uint32_t stream_window;       /* bytes; 0: 65,535 */
	uint32_t connection_window;   /* 0: 65,535 */
	uint32_t max_frame;           /* SETTINGS_MAX_FRAME_SIZE; 0: 16,384 */
	size_t max_head_bytes;        /* request or response head and trailers; 0: 64 KiB */
	uint32_t max_fields;          /* 0: 128 */
	size_t max_path_bytes;        /* 0: 8 KiB */
	uint64_t idle_timeout_ms;     /* connection without exchange; 0: 300,000 */
	uint64_t head_timeout_ms;     /* to receive a whole head once begun; 0: 10,000 */
	uint64_t ping_interval_ms;    /* HTTP/2 keep-alive; 0: none */
	uint64_t ping_timeout_ms;     /* 0: 20,000 */
	size_t high_water;            /* bytes unsent on a stream before write() says AGAIN; 0: 64 KiB */
	bool allow_connect;           /* server: CONNECT reaches the handler; else 405 */
	bool allow_upgrade;           /* server: Upgrade and extended CONNECT reach the handler with `protocol` set */
};

struct ap_http_server_ops {
	/* A request's head is complete. The handler answers now or later, or closes the exchange. */
	void (*request)(struct ap_exchange *x, void *arg);
	/* The connection is over and about to be freed; every exchange was told FAILED or closed before. May be NULL. */
	void (*closed)(struct ap_http_conn *conn, void *arg);
};

struct ap_http_client_ops {
	/* The connection can take requests (SETTINGS were sent; HTTP/1: at once). May be NULL. */
	void (*ready)(struct ap_http_conn *conn, void *arg);
	/* It failed or ended: new requests are refused from here on; it frees itself when its last exchange ended. Runs
	 * once. may be NULL. */
	void (*closing)(struct ap_http_conn *conn, enum ap_stream_error why, void *arg);
	/* Freed at the end of this turn. Runs once, last. May be NULL. */
	void (*closed)(struct ap_http_conn *conn, void *arg);
	/* A stream ended or SETTINGS changed: ap_http_room may have grown. May be NULL. */
	void (*room)(struct ap_http_conn *conn, void *arg);
};

/* The final response's head arrived (x->response), or, with x->response.status == 0, the exchange failed (x->stream.error). Not
 * called after close(). Interim responses are swallowed, but for 101, which ends HTTP/1 and makes x a tunnel. */
typedef void (*ap_response_fn)(struct ap_exchange *x, void *arg);

AP_PUBLIC_BEGIN
/*
 * Serve HTTP on an open stream (or one still in its TLS handshake), which the connection owns from here on.
 * version: AP_HTTP_AUTO decides by ALPN, else by the client preface; or AP_HTTP_1_1, AP_HTTP_2.  Never NULL.  ops must live as
 * long as the process.
 */
struct ap_http_conn *ap_http_serve(struct ap_stream *transport, enum ap_http_version version,
    const struct ap_http_settings *settings, const struct ap_http_server_ops *ops, void *arg);
/* Send the final head. end: no body. A second call is a bug. Connection-specific fields are dropped. The head is copied. */
void ap_exchange_respond(struct ap_exchange *x, const struct ap_http_head *head, bool end);
/* A whole small answer in one call. type may be NULL. */
void ap_exchange_reply(struct ap_exchange *x, int status, const char *type, struct ap_slice body);
/* 100 Continue, when the client expects it and the handler wants the body. */
void ap_exchange_continue(struct ap_exchange *x);

struct ap_http_conn *ap_http_client(struct ap_stream *transport, enum ap_http_version version,
    const struct ap_http_settings *settings, const struct ap_http_client_ops *ops, void *arg);
/* Exchanges that may be begun right now (HTTP/1: 0 or 1). */
uint32_t ap_http_room(const struct ap_http_conn *conn);
/* Begin an exchange; the head is copied. end: no body. NULL when there is no room or the connection is closing. */
struct ap_exchange *ap_http_request(
    struct ap_http_conn *conn, const struct ap_http_head *head, bool end, ap_response_fn fn, void *arg);

/* Graceful: GOAWAY, or Connection: close; frees itself when its last exchange ended. */
void ap_http_drain(struct ap_http_conn *conn);
/* At once; exchanges are told FAILED. */
void ap_http_close(struct ap_http_conn *conn);
struct ap_stream *ap_http_transport(struct ap_http_conn *conn);
uint32_t ap_http_active(const struct ap_http_conn *conn); /* exchanges alive */
enum ap_http_version ap_http_version(const struct ap_http_conn *conn);
void *ap_http_arg(const struct ap_http_conn *conn);

/* Method, path etc. of a new head, fields in the arena. */
void ap_http_head_init(struct ap_http_head *head, struct ap_arena *arena);
const char *ap_http_reason(int status);
AP_PUBLIC_END

#endif
