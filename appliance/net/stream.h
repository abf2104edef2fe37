/*
 * stream.h -- a connection is a chain of filters; each one is a stream on top of the next (TCP, TLS, an HTTP exchange).
 *
 * Every byte of the product goes through this interface, so it is made for no copy that can be spared:
 *   - a source is pulled: read() copies into the caller's memory, peek()/consume() lend the bytes in place;
 *   - a sink takes writev-style vectors, or draws straight from a source into its own send buffer (draw()).
 * Nothing is buffered for an idle stream.
 *
 * Rules.  One thread: the loop the stream was made on.  Events are level triggered: while READABLE is wanted and bytes, EOF
 * or an error can be read, the callback runs at least once per turn; likewise WRITABLE while a write would take bytes.
 * The callback never runs inside a call into the stream (it is delivered from the loop or by the filter below), and never
 * after close().  Writing stops taking bytes (AP_STREAM_AGAIN) at the high-water mark; this is the back-pressure.
 * After FAILED only close() remains.  close() always succeeds, also in a callback; memory goes at the end of the turn.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/list.h"

struct ap_loop;
struct ap_stream;

/* read, write and draw give a count, or one of these. */
#define AP_STREAM_EOF 0    /* read: the peer finished its direction */
#define AP_STREAM_AGAIN -1 /* nothing now; want the event */
#define AP_STREAM_ERROR -2 /* broken; see ap_stream.error */
/* draw only: the sink can take nothing; want WRITABLE of the sink, not READABLE of the source. */
#define AP_STREAM_FULL -3

/* Events. OPEN is delivered once whatever is wanted; FAILED too. */
#define AP_STREAM_READABLE 1U
#define AP_STREAM_WRITABLE 2U
#define AP_STREAM_OPEN 4U   /* connect or handshake is complete */
#define AP_STREAM_FAILED 8U /* connect, handshake or transport failed */

enum ap_stream_error {
	AP_STREAM_OK,
	AP_STREAM_REFUSED,     /* connect refused */
	AP_STREAM_TIMEOUT,     /* connect or handshake took too long */
	AP_STREAM_UNREACHABLE, /* no route, no name */
	AP_STREAM_RESET,       /* peer reset, or cut without its TLS or HTTP ending */
	AP_STREAM_TLS,         /* handshake or record failed: no trust, no common version, bad certificate */
	AP_STREAM_PROTOCOL,    /* the peer broke HTTP's rules */
	AP_STREAM_LIMIT,       /* one of our bounds was hit */
	AP_STREAM_CANCELLED,   /* closed by us, or refused by the peer before it took anything */
	AP_STREAM_INTERNAL,
};

enum ap_stream_close {
	AP_STREAM_CLOSE_CLEAN, /* both directions ended, or nobody cares */
	AP_STREAM_CLOSE_ABORT, /* let the peer see that it was cut: RST, RST_STREAM */
};

typedef void (*ap_stream_fn)(struct ap_stream *s, unsigned events, void *arg);

struct ap_stream_ops {
	const char *name;
	ssize_t (*read)(struct ap_stream *s, void *buf, size_t size);
	/* Optional pair. Fill at most max vectors with bytes that stay valid until the callback returns or consume() is
	 * called; the number filled, 0 at EOF, or AGAIN/ERROR. consume() takes n bytes off the front. */
	int (*peek)(struct ap_stream *s, struct iovec *iov, int max);
	void (*consume)(struct ap_stream *s, size_t n);
	/* Takes what fits below the high-water mark, maybe less than given. */
	ssize_t (*write)(struct ap_stream *s, const struct iovec *iov, int count);
	/* Optional: read from the source into the sink's own send buffer, at most max bytes.  A count that was taken now;
	 * EOF when the source is at EOF; ERROR when either broke; FULL when the sink is stalled: stop wanting READABLE of
	 * the source, want WRITABLE of the sink and draw again then.  AGAIN: keep wanting READABLE of the source, either
	 * because it is empty or because the sink will read from it by itself in its flush at the end of this turn (and
	 * forgets the source afterwards; a source that was closed meanwhile is left alone).  Should that flush find the
	 * sink stalled or the source at EOF, the source is readable still, and the next draw says FULL or EOF. */
	ssize_t (*draw)(struct ap_stream *sink, struct ap_stream *source, size_t max);
	/* No more writes: FIN, close_notify, END_STREAM follow what was written. */
	void (*shutdown)(struct ap_stream *s);
	/* Set the wanted events: READABLE, WRITABLE or both; 0 parks the stream (a peer's reset is still told by FAILED
	 * where the transport shows it). */
	void (*want)(struct ap_stream *s, unsigned events);
	/* Ends the filter below as well; the callback is gone already. */
	void (*close)(struct ap_stream *s, enum ap_stream_close how);
	/* Optional: bytes taken by write() and not yet given to the kernel. */
	size_t (*unsent)(const struct ap_stream *s);
};

/* Embedded as the first member of every filter. */
struct ap_stream {
	const struct ap_stream_ops *ops;
	struct ap_loop *loop;
	struct ap_stream *below; /* the filter underneath, owned; NULL at the bottom */
	ap_stream_fn fn;
	void *arg;
	unsigned wanted;
	uint8_t error; /* enum ap_stream_error; set before FAILED */
	bool is_open, is_closed;
	int detail; /* errno, SSL reason or HTTP/2 code that belongs to error; for logs */
};

AP_PUBLIC_BEGIN
/* Who is told; may be changed at any time on the loop's thread. */
void ap_stream_set_callback(struct ap_stream *s, ap_stream_fn fn, void *arg);
ssize_t ap_stream_read(struct ap_stream *s, void *buf, size_t size);
ssize_t ap_stream_write(struct ap_stream *s, const void *bytes, size_t size);
ssize_t ap_stream_writev(struct ap_stream *s, const struct iovec *iov, int count);
void ap_stream_shutdown(struct ap_stream *s);
void ap_stream_want(struct ap_stream *s, unsigned events);
/* *s becomes NULL; NULL is fine. Closes the filters below too. */
void ap_stream_close(struct ap_stream **s, enum ap_stream_close how);
size_t ap_stream_unsent(const struct ap_stream *s);
/* The bottom TCP stream of the chain, or NULL (an exchange's transport is not below it). */
struct ap_stream *ap_stream_bottom(struct ap_stream *s);
const char *ap_stream_error_name(enum ap_stream_error e);

/* For those who write filters. */
void ap_stream_init(
    struct ap_stream *s, const struct ap_stream_ops *ops, struct ap_loop *loop, struct ap_stream *below);
/* Tell the one above, unless the stream is closed. The callback may close it: touch nothing of it afterwards. */
void ap_stream_emit(struct ap_stream *s, unsigned events);
/* Keep the first reason; returns AP_STREAM_ERROR. */
int ap_stream_break(struct ap_stream *s, enum ap_stream_error error, int detail);
enum ap_stream_error ap_stream_error_of_errno(int error);
AP_PUBLIC_END

#endif
