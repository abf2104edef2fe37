/*
 * h1_priv.h -- HTTP/1 inside: a connection with at most one exchange, its input block, its output blocks.
 *
 * Glossary: *framing* is how a body's end is found; a *tunnel* has none, the transport is passed through.
 */
#ifndef HTTP_H1_PRIV_H
#define HTTP_H1_PRIV_H
#include "base/check.h"
#include "codec/http1.h"
#include "http/block.h"
#include "http/http_priv.h"

#define H1_MAGIC AP_MAGIC('h', '1', 'c', 'n')
#define H1_STREAM_MAGIC AP_MAGIC('h', '1', 's', 't')

enum h1_state {
	H1_IDLE,      /* server: a request may come; client: one may be made */
	H1_BUSY,      /* an exchange is at work */
	H1_DISCARD,   /* server: its exchange is over, the rest of the request's body is read away */
	H1_LINGER,    /* nothing follows what is unsent; see linger.c */
};

struct h1_stream;

struct h1 {
	uint32_t magic;
	uint8_t state;     /* enum h1_state */
	bool blocked;      /* the transport did not take all */
	bool keep_alive;   /* another exchange may follow */
	bool draining;
	bool tell_ready, tell_room;
	bool skipped_empty; /* server: one empty line before the request line was let pass */
	bool got_bytes;     /* client: of the present response */
	bool shut_when_sent; /* end our direction of the transport behind what is unsent */
	struct ap_http_conn *conn;
	struct h1_stream *x; /* the exchange; NULL when idle */
	struct ap_block *in; /* read and not yet used; NULL when empty */
	size_t scanned;      /* of `in`, in search of a head's end */
	struct ap_block *out_head, *out_tail;
	size_t unsent;
	uint32_t served; /* exchanges begun on this connection */
	unsigned interim; /* client: 1xx of the present response */
	size_t discarded;
	uint64_t head_since_ms; /* a head has begun to arrive */
	uint64_t until_ms;      /* end of discarding and lingering */
	struct ap_task work, again;
};

struct h1_stream {
	struct ap_exchange x; /* first member */
	uint32_t magic;
	struct h1 *h1; /* NULL once the connection is gone or went on to the next exchange */
	bool closed;
	bool expects;   /* the client waits for 100 */
	bool tunnel;
	bool answered;  /* client: the owner was told of the final head */
	bool failed, fail_told;
	/* in */
	uint8_t in_body; /* enum ap_h1_body */
	bool in_done, eof_read;
	bool in_trailers; /* the last chunk was seen */
	uint64_t in_left; /* AP_H1_LENGTH */
	struct ap_h1_chunks chunks;
	/* out */
	uint8_t out_body;
	bool shut, discard;
	uint64_t out_left;
	uint8_t minor; /* server: the client's version */
	ap_response_fn response_fn;
	void *response_arg;
};

extern const struct ap_stream_ops h1_stream_ops;

static inline struct h1_stream *
h1_stream_of(struct ap_exchange *x)
{
	return (struct h1_stream *)(void *)x;
}

/* h1.c */
struct h1_stream *h1_stream_new(struct h1 *h1);
void h1_schedule(struct h1 *h1); /* at the end of this turn: tell, flush, go on */
void h1_again(struct h1 *h1);    /* at the end of the next */
void h1_settle(struct h1 *h1);   /* the transport's events follow from what is going on */
void h1_stream_fail(struct h1_stream *s, enum ap_stream_error why, int detail);
/* The owner closed it, or both ends are through. */
void h1_exchange_over(struct h1 *h1);
/* A request that was not sent: as if it had never been. */
void h1_forget(struct h1 *h1);
/* Read more into the input block; a count, or AP_STREAM_EOF, AGAIN, ERROR. */
ssize_t h1_fill(struct h1 *h1, size_t room);
struct ap_slice h1_input(const struct h1 *h1);
void h1_input_took(struct h1 *h1, size_t n);
/* h1_head.c */
/* Look for a head in the input. 1: one was taken; 0: more bytes are needed; negative: enum ap_h1_error. */
int h1_take_request(struct h1 *h1);
int h1_take_response(struct h1 *h1);
/* h1_body.c: where a body ends. */
/* Bytes of the body at the front of the input; AGAIN: none yet; EOF: it is complete; ERROR: it is broken. */
int h1_body_front(struct h1_stream *s, struct ap_slice *out);
void h1_body_took(struct h1_stream *s, size_t n);
bool h1_body_is_ready(const struct h1_stream *s);
/* h1_out.c */
void h1_flush(struct h1 *h1);
void h1_out_add(struct h1 *h1, const void *bytes, size_t size);
void h1_out_clear(struct h1 *h1);
bool h1_is_stalled(const struct h1_stream *s);
void h1_respond(struct ap_exchange *x, const struct ap_http_head *head, bool end);
void h1_reply(struct ap_exchange *x, const struct ap_http_head *head, struct ap_slice body);
void h1_proceed(struct ap_exchange *x);
void h1_refuse(struct h1 *h1, int status);
struct ap_exchange *h1_request(
    struct ap_http_conn *conn, const struct ap_http_head *head, bool end, ap_response_fn fn, void *arg);
ssize_t h1_write(struct ap_stream *st, const struct iovec *iov, int count);
ssize_t h1_draw(struct ap_stream *st, struct ap_stream *source, size_t max);
void h1_shutdown(struct ap_stream *st);

#endif
