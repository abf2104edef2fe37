/*
 * h2_priv.h -- HTTP/2 inside: the connection's state around an nghttp2 session, and its streams.
 *
 * Glossary: a stream is *live* while nghttp2 knows it; *closed* when its owner let go of it; freed when neither holds.  It is
 * *touched* when something happened that its owner must be told; owners are told after nghttp2 returned, never inside it.
 * *Borrowed* input lies in the transport's buffer and is copied to *owned* blocks when its reader left it there.
 */
#ifndef HTTP_H2_PRIV_H
#define HTTP_H2_PRIV_H
#include <nghttp2/nghttp2.h>

#include "base/check.h"
#include "base/list.h"
#include "http/block.h"
#include "http/http_priv.h"

#define H2_MAGIC AP_MAGIC('h', '2', 'c', 'n')
#define H2_STREAM_MAGIC AP_MAGIC('h', '2', 's', 't')
#define H2_BORROW_MAX 8
#define H2_FRAME_HEAD 9
#define H2_DATA_MAX ((size_t)16384)     /* what nghttp2 packs into one DATA frame without growing its buffers */
#define H2_DATA_BULK ((size_t)65536 - 9) /* where the peer takes it: with its head, four whole TLS records */
#define H2_OUT_LIMIT ((size_t)52 * 1024) /* bytes ready in the out block at which no more frames are made */

/* Tokens that come back with time; a flood runs out of them. */
struct h2_bucket {
	uint32_t tokens;
	uint64_t since_ms;
};

struct h2 {
	uint32_t magic;
	bool blocked;       /* the transport did not take all */
	bool paused;        /* nghttp2 was stopped because the out block is full */
	bool drained;       /* nghttp2 has nothing more to send right now */
	bool filling;       /* inside nghttp2_session_mem_send */
	bool receiving;     /* inside nghttp2_session_mem_recv */
	bool telling;       /* inside the owners' callbacks */
	bool got_settings;  /* the peer's first */
	bool tell_ready, tell_room, tell_closing;
	bool draining, goaway_sent;
	bool ping_out;
	uint8_t closing_why, why; /* enum ap_stream_error */
	struct ap_http_conn *conn;
	nghttp2_session *session;
	struct ap_list streams, touched, borrowers, drawers;
	struct h2_stream *last;    /* found last, by id */
	struct h2_stream *head_of; /* whose header block is arriving; NULL: nobody's who cares */
	size_t head_bytes;
	uint32_t head_fields;
	uint32_t count; /* streams in the list */
	uint32_t live;  /* of them known to nghttp2 */
	uint32_t writers; /* that want WRITABLE */
	struct ap_block *out_head, *out_tail;
	size_t unsent;
	char *place;     /* where the payload of the DATA frame that is being made lies */
	uint32_t credit; /* read by owners, not yet given back to the connection's window */
	uint64_t head_since_ms, started_ms, ping_ms, goaway_ms;
	struct h2_bucket resets, controls;
	struct ap_task work;  /* tell and flush, at the end of the turn */
	struct ap_task again; /* the same, at the end of the next one */
};

struct h2_stream {
	struct ap_exchange x; /* first member */
	uint32_t magic;
	int32_t id;
	struct h2 *h2; /* NULL once the connection is gone */
	struct ap_list link, touch, borrow, draw;
	bool live, closed;
	bool head_pending;  /* the head is complete, its owner was not told */
	bool known;         /* somebody owns it: a server's handler was told, or a client made it */
	bool head_done;     /* what follows are trailers */
	bool head_sent;     /* ours went to nghttp2's output */
	bool too_large, bad_expect, expects;
	bool is_tunnel;
	bool in_eof, eof_read;
	bool out_dead;      /* nothing can be written any more, though reading may go on */
	bool shut;          /* nothing follows what was given */
	bool out_ended;     /* END_STREAM went out, or the frame that bears it was submitted */
	bool discard;       /* a body where none may be: swallowed */
	bool failed, fail_told;
	bool counted_writer;
	bool bulk; /* the last DATA frame was full */
	ap_response_fn response_fn;
	void *response_arg;
	struct ap_task alone; /* tells that the rest can be read, once the connection is gone */
	struct ap_slice host; /* the Host field, while the head is checked */
	/* in */
	struct ap_block *in_head, *in_tail;
	struct ap_slice borrowed[H2_BORROW_MAX];
	uint8_t borrow_first, borrow_count;
	size_t in_bytes;
	uint32_t credit; /* read, not yet given back to the stream's window */
	/* out */
	int64_t left;            /* of the announced length; -1: none announced */
	struct ap_slice pending; /* body of a reply, in the arena */
	const struct iovec *give; /* inside write() alone */
	size_t give_at, give_left; /* offset in give[0]; bytes in all */
	struct ap_stream *source;  /* to be read in this turn's flush */
	size_t source_max;
	ssize_t source_end; /* EOF (0) or ERROR that the flush found; AGAIN: none */
};

extern const struct ap_stream_ops h2_stream_ops;

static inline struct h2_stream *
h2_stream_of(struct ap_exchange *x)
{
	return (struct h2_stream *)(void *)x;
}

/* h2.c */
void h2_schedule(struct h2 *h2);
void h2_touch(struct h2_stream *s);
void h2_touch_writers(struct h2 *h2);
void h2_calm(struct h2 *h2, enum ap_http_trouble t);
bool h2_take_token(struct h2 *h2, struct h2_bucket *b, uint32_t burst, uint32_t per_second);
void h2_final_goaway(struct h2 *h2);
extern const uint8_t h2_drain_ping[8];
/* h2_recv.c */
void h2_set_callbacks(nghttp2_session_callbacks *cbs);
void h2_give_credit(struct h2 *h2, struct h2_stream *s, size_t n);
/* h2_send.c */
void h2_set_send_callbacks(nghttp2_session_callbacks *cbs);
/* Let nghttp2 make frames until the out block is full or it has none. */
void h2_fill(struct h2 *h2);
/* Fill and pass to the transport, until one of them is done. */
void h2_flush(struct h2 *h2);
size_t h2_give(struct h2_stream *s, const struct iovec *iov, int count, size_t total);
bool h2_stream_is_stalled(const struct h2_stream *s);
void h2_respond(struct ap_exchange *x, const struct ap_http_head *head, bool end);
void h2_reply(struct ap_exchange *x, const struct ap_http_head *head, struct ap_slice body);
void h2_proceed(struct ap_exchange *x);
struct ap_exchange *h2_request(
    struct ap_http_conn *conn, const struct ap_http_head *head, bool end, ap_response_fn fn, void *arg);
void h2_rst(struct h2_stream *s, uint32_t code);
/* h2_stream.c */
struct h2_stream *h2_stream_new(struct h2 *h2);
/* Tell the owner what there is to tell. */
void h2_stream_tell(struct h2_stream *s);
/* nghttp2 or the connection is done with it. */
void h2_stream_ended(struct h2_stream *s);
/* All that the peer had to say was said: the end of the connection takes nothing away. */
bool h2_stream_is_whole(const struct h2_stream *s);
void h2_stream_fail(struct h2_stream *s, enum ap_stream_error why, int detail);
/* Keep what the owner did not read of the transport's buffer. */
void h2_stream_keep(struct h2_stream *s);
void h2_stream_drop_input(struct h2_stream *s);

#endif
