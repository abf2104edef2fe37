/* http_priv.h -- what the files of this floor share: the connection behind ap_http_conn, its versions' tables, counts. */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/loop.h"
#include "http/exchange.h"

#define AP_HTTP_CONN_MAGIC AP_MAGIC('h', 't', 't', 'p')

/* What HTTP/1 and HTTP/2 each do for a connection. */
struct ap_http_ops {
	enum ap_http_version version;
	void (*respond)(struct ap_exchange *x, const struct ap_http_head *head, bool end);
	/* respond() and the whole body, which is copied. */
	void (*reply)(struct ap_exchange *x, const struct ap_http_head *head, struct ap_slice body);
	void (*proceed)(struct ap_exchange *x); /* 100 Continue */
	uint32_t (*room)(const struct ap_http_conn *conn);
	struct ap_exchange *(*request)(
	    struct ap_http_conn *conn, const struct ap_http_head *head, bool end, ap_response_fn fn, void *arg);
	void (*drain)(struct ap_http_conn *conn);
	/* The connection is over: mark every exchange failed, tell them, let go of them; free the impl. Runs from the loop. */
	void (*over)(struct ap_http_conn *conn);
	/* One of the transport's events, from the loop. OPEN was handled. */
	void (*events)(struct ap_http_conn *conn, unsigned events);
	/* The timer ran: look at every deadline, return the next one (absolute loop ms) or 0. */
	uint64_t (*tick)(struct ap_http_conn *conn, uint64_t now);
};

struct ap_http_conn {
	uint32_t magic;
	bool is_server;
	bool is_open;    /* the transport's OPEN was seen */
	bool is_closing; /* no new exchanges; `closing` was told to a client */
	bool last_words; /* what went out last tells the peer of the end: GOAWAY, Connection: close */
	bool saw_eof;    /* the peer ended its direction of the transport */
	bool is_ending;  /* ap_http_conn_end was called: freed at the end of this turn */
	uint8_t why;     /* enum ap_stream_error of the end */
	uint8_t sniffed; /* bytes in `sniff` */
	int detail;
	enum ap_http_version version;   /* AP_HTTP_AUTO until decided */
	const struct ap_http_ops *ops;  /* NULL until decided */
	void *impl;                     /* struct h1 or struct h2 */
	struct ap_loop *loop;
	struct ap_stream *transport;
	const struct ap_http_server_ops *server;
	const struct ap_http_client_ops *client;
	void *arg;
	uint32_t active; /* exchanges alive */
	uint64_t idle_since_ms;
	struct ap_timer timer;
	uint64_t timer_at_ms; /* when the timer is set to run; 0: idle */
	struct ap_task end_task;
	char sniff[24]; /* HTTP/2 preface as far as it came, while the version is open */
	struct ap_http_settings settings; /* zeros replaced by the defaults */
};

extern const struct ap_http_ops ap_http_h1_ops, ap_http_h2_ops;

/* Make the version's state; `early` are bytes that were read from the transport already. */
void ap_h1_start(struct ap_http_conn *conn, struct ap_slice early);
void ap_h2_start(struct ap_http_conn *conn, struct ap_slice early);

/* It is over (transport failed, protocol broken, closed by the owner): finish at the end of this turn. Twice is fine. */
void ap_http_conn_end(struct ap_http_conn *conn, enum ap_stream_error why, int detail);
/* Take no new exchanges: tell a client's owner, once. */
void ap_http_conn_closing(struct ap_http_conn *conn, enum ap_stream_error why);
/* See to it that the timer runs no later than at_ms. */
void ap_http_conn_wake_at(struct ap_http_conn *conn, uint64_t at_ms);
/* An exchange was born or ended. */
void ap_http_conn_count(struct ap_http_conn *conn, int by);

/* Shut the transport down, and close it when the peer did so too; takes it over. */
void ap_http_linger(struct ap_stream *transport);

/* What strangers did that we did not let them do; rows of ambit_http_refused. */
enum ap_http_trouble {
	AP_HTTP_BAD_REQUEST,
	AP_HTTP_BAD_RESPONSE,
	AP_HTTP_HEAD_TOO_LARGE,
	AP_HTTP_HEAD_TIMEOUT,
	AP_HTTP_IDLE_TIMEOUT,
	AP_HTTP_PING_TIMEOUT,
	AP_HTTP_RESET_FLOOD,
	AP_HTTP_FRAME_FLOOD,
	AP_HTTP_STREAM_REFUSED,
	AP_HTTP_FIELD_DROPPED,
	AP_HTTP_TROUBLES,
};
void ap_http_trouble(enum ap_http_trouble t);

/* head.c: what both versions need to know of heads. */
/* Fields that belong to one connection, or to a codec (host, content-length); names in lower case. */
bool ap_http_is_hop_field(struct ap_slice name);
/* Token characters, and no control characters in the value: fit to be written in HTTP/1 and HTTP/2 alike. */
bool ap_http_field_is_sound(struct ap_slice name, struct ap_slice value);
/* Copy all of `from` into `to`, whose arena holds it. False: the arena is full. */
bool ap_http_head_copy(struct ap_http_head *to, const struct ap_http_head *from);
/* Host with optional port: the characters of RFC 3986's authority without userinfo. */
bool ap_http_authority_is_sound(struct ap_slice authority);
/* Visible ASCII without '#', beginning with '/'; or "*". */
bool ap_http_path_is_sound(struct ap_slice path);
bool ap_http_status_has_body(int status);
/* Set up the parts that both sides and versions share; the arena is made here. */
void ap_exchange_init(struct ap_exchange *x, struct ap_http_conn *conn, const struct ap_stream_ops *ops);
void ap_exchange_own_trailers(struct ap_exchange *x);
/* fields.c: append without a copy, name in lower case already. */
bool ap_fields_add_owned(struct ap_fields *f, struct ap_slice name, struct ap_slice value);

#endif
