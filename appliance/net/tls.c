/*
 * tls.c -- the TLS filter.
 *
 * OpenSSL runs on a BIO of ours.  Reading, the BIO reads the filter below straight into OpenSSL's own buffer, 64 KiB at a
 * time, and remembers when a read came back short: the socket is dry then, and asking again would only cost a system
 * call.  Writing, the BIO gathers records in one buffer, which goes out with one write at the end of the turn or when
 * 64 KiB have come together; the buffer comes from a per-thread pool and is held only while bytes wait.
 *
 * Bytes may be readable here though the socket is silent (records read ahead, an end already seen), and the buffer may
 * have room without an event of the socket; `wake` tells such events at the end of the next turn, so that the stream
 * is level triggered like the rest.
 *
 * Owns the filter below.  The loop's thread.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "event/loop.h"
#include "net/tls_priv.h"

#define LINGER_MS 5000
#define FLUSH_AT ((size_t)112 * 1024)
#define LOW_WATER (AP_TLS_OUT_HIGH / 2)
#define RECORD_MAX ((size_t)16384)

static size_t
out_size(const struct tls *t)
{
	return t->out == NULL ? 0 : t->out->tail - t->out->head;
}

/* ---- events ---- */

void
ap_tls_want_below(struct tls *t)
{
	unsigned events = 0;

	if (t->s.below == NULL || !t->s.below->is_open)
		return;
	if (t->linger == NULL && !t->read_broken && !t->eof && !t->below_eof &&
	    (t->s.is_open ? (t->s.wanted & AP_STREAM_READABLE) != 0 : !t->postponed))
		events |= AP_STREAM_READABLE;
	if (t->stuck)
		events |= AP_STREAM_WRITABLE;
	if (t->s.below->wanted != events)
		ap_stream_want(t->s.below, events);
}

/* What can be told without an event from below. */
static unsigned
ready(const struct tls *t)
{
	unsigned events = 0;

	if (!t->s.is_open)
		return 0;
	if ((t->s.wanted & AP_STREAM_READABLE) != 0 &&
	    (t->eof || t->read_broken || (!t->starved && SSL_has_pending(t->ssl) == 1)))
		events |= AP_STREAM_READABLE;
	if ((t->s.wanted & AP_STREAM_WRITABLE) != 0 && (out_size(t) <= LOW_WATER || t->s.error != AP_STREAM_OK))
		events |= AP_STREAM_WRITABLE;
	return events;
}

/* Bring wants and wake-ups in line with what is so now. */
void
ap_tls_settle(struct tls *t)
{
	if (t->s.is_closed)
		return;
	ap_tls_want_below(t);
	if (ready(t) != 0)
		ap_task_schedule_next(t->s.loop, &t->wake);
}

void
ap_tls_on_wake(struct ap_task *task, void *arg)
{
	struct tls *t = arg;
	unsigned events = ready(t);

	(void)task;
	if (events != 0)
		ap_stream_emit(&t->s, events);
	ap_tls_settle(t);
}

/* ---- sending ---- */

static void
break_of_below(struct tls *t)
{
	(void)ap_stream_break(
	    &t->s, t->s.below->error == AP_STREAM_OK ? AP_STREAM_RESET : t->s.below->error, t->s.below->detail);
}

/* Give the filter below what it takes. */
static void
flush(struct tls *t)
{
	struct ap_tls_out *out = t->out;
	ssize_t n;

	while (out != NULL && out->head < out->tail && t->s.below->error == AP_STREAM_OK) {
		n = ap_stream_write(t->s.below, out->bytes + out->head, out->tail - out->head);
		if (n == AP_STREAM_AGAIN) {
			t->stuck = true;
			return;
		}
		if (n < 0)
			break_of_below(t);
		else
			out->head += (size_t)n;
	}
	t->stuck = false;
	if (out != NULL) {
		ap_tls_out_give(out);
		t->out = NULL;
	}
	if (t->write_ended && !t->shut_below && t->s.error == AP_STREAM_OK) {
		t->shut_below = true;
		ap_stream_shutdown(t->s.below);
	}
}

void
ap_tls_on_flush(struct ap_task *task, void *arg)
{
	struct tls *t = arg;

	(void)task;
	if (!t->stuck)
		flush(t);
	if (AP_UNLIKELY(t->s.error != AP_STREAM_OK && t->s.wanted == 0 && !t->s.is_closed)) {
		ap_tls_fail(t); /* nobody is looking who would find out */
		return;
	}
	ap_tls_settle(t);
}

/* OpenSSL has a record (or a part of the handshake) to send. */
static int
bio_write(BIO *bio, const char *bytes, int size)
{
	struct tls *t = BIO_get_data(bio);
	size_t n = (size_t)size;

	BIO_clear_retry_flags(bio);
	if (t->s.below->error != AP_STREAM_OK)
		return -1;
	if (out_size(t) + n > AP_TLS_OUT_ROOM && !t->stuck)
		flush(t);
	if (t->out != NULL && t->out->head > 0 && t->out->tail + n > AP_TLS_OUT_ROOM) {
		memmove(t->out->bytes, t->out->bytes + t->out->head, out_size(t));
		t->out->tail -= t->out->head;
		t->out->head = 0;
	}
	if (out_size(t) + n > AP_TLS_OUT_ROOM) {
		BIO_set_retry_write(bio);
		return -1;
	}
	if (t->out == NULL) {
		t->out = ap_tls_out_take();
		t->out->head = t->out->tail = 0;
		ap_task_schedule(t->s.loop, &t->flush);
	}
	memcpy(t->out->bytes + t->out->tail, bytes, n);
	t->out->tail += n;
	return size;
}

/* ---- receiving ---- */

static int
bio_read(BIO *bio, char *buf, int size)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (t->dry) {
		BIO_set_retry_read(bio);
		return -1;
	}
	n = ap_stream_read(t->s.below, buf, (size_t)size);
	if (n > 0) {
		t->dry = n < size;
		return (int)n;
	}
	if (n == AP_STREAM_EOF) {
		t->below_eof = true;
		return 0;
	}
	if (n == AP_STREAM_AGAIN) {
		t->dry = true;
		BIO_set_retry_read(bio);
	}
	return -1;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
	(void)number;
	(void)ptr;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return ((const struct tls *)BIO_get_data(bio))->below_eof;
	default:
		return 0;
	}
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *bio_method;

static void
method_make(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ambit stream");
	AP_CHECK(bio_method != NULL);
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

BIO_METHOD *
ap_tls_bio_method(void)
{
	AP_CHECK(pthread_once(&method_once, method_make) == 0);
	return bio_method;
}

/* ---- failures ---- */

static void
keep_sentence(struct tls *t)
{
	long verdict = SSL_get_verify_result(t->ssl);
	unsigned long code = ERR_peek_error();
	const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

	if (t->why != NULL)
		return;
	if (t->cut)
		t->why = ap_strdup("the peer closed the connection without close_notify");
	else if (t->handshake != NULL && t->handshake->refused)
		t->why = ap_strdup("the peer's identity is not one that was expected");
	else if (verdict != X509_V_OK)
		t->why = ap_asprintf("the peer's certificate: %s", X509_verify_cert_error_string(verdict));
	else
		t->why = ap_strdup(reason == NULL ? "the connection broke" : reason);
}

/* After a failed call of OpenSSL: AGAIN, EOF or ERROR, with the stream's error set. */
int
ap_tls_judge(struct tls *t, int rc)
{
	unsigned long code;

	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		t->starved = true;
		return AP_STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
		return AP_STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		t->eof = true;
		return AP_STREAM_EOF;
	default:
		break;
	}
	code = ERR_peek_error();
	if (t->s.below->error != AP_STREAM_OK) {
		break_of_below(t);
	} else if (t->below_eof) {
		t->cut = true;
		(void)ap_stream_break(&t->s, AP_STREAM_RESET, SSL_R_UNEXPECTED_EOF_WHILE_READING);
	} else {
		(void)ap_stream_break(&t->s, AP_STREAM_TLS, (int)ERR_GET_REASON(code));
	}
	t->read_broken = true;
	keep_sentence(t);
	ERR_clear_error();
	return AP_STREAM_ERROR;
}

void
ap_tls_fail(struct tls *t)
{
	ap_tls_handshake_end(t);
	if (t->s.below->is_open && !t->stuck)
		flush(t); /* the alert that tells the peer why */
	ap_tls_want_below(t);
	if (t->told_failed)
		return;
	t->told_failed = true;
	ap_stream_emit(&t->s, AP_STREAM_FAILED);
}

void
ap_tls_on_below(struct ap_stream *below, unsigned events, void *arg)
{
	struct tls *t = arg;

	(void)below;
	if (AP_UNLIKELY((events & AP_STREAM_FAILED) != 0)) {
		t->read_broken = true;
		break_of_below(t);
		keep_sentence(t);
		ap_tls_fail(t);
		return;
	}
	if (AP_UNLIKELY((events & AP_STREAM_OPEN) != 0)) {
		ap_tls_handshake_begin(t);
		return;
	}
	if ((events & AP_STREAM_WRITABLE) != 0) {
		flush(t);
		if (!t->stuck && !t->s.is_open && (events & AP_STREAM_READABLE) == 0)
			ap_tls_handshake_ready(t); /* a handshake that did not fit */
		else if ((ready(t) & AP_STREAM_WRITABLE) != 0)
			ap_stream_emit(&t->s, AP_STREAM_WRITABLE);
		if (t->s.is_closed)
			return;
	}
	if ((events & AP_STREAM_READABLE) != 0) {
		t->dry = t->starved = false;
		if (AP_UNLIKELY(!t->s.is_open)) {
			ap_tls_handshake_ready(t);
			return;
		}
		if ((t->s.wanted & AP_STREAM_READABLE) != 0)
			ap_stream_emit(&t->s, AP_STREAM_READABLE);
	}
	ap_tls_settle(t);
}

/* ---- the stream's operations ---- */

static ssize_t
tls_read(struct ap_stream *s, void *buf, size_t size)
{
	struct tls *t = ap_tls_filter(s);
	size_t total = 0, n;
	int rc, verdict;

	/* What the peer sent before sending to it failed can still be read. */
	if (AP_UNLIKELY(t->read_broken))
		return AP_STREAM_ERROR;
	if (AP_UNLIKELY(!s->is_open))
		return AP_STREAM_AGAIN;
	if (AP_UNLIKELY(t->eof))
		return AP_STREAM_EOF;
	ERR_clear_error();
	while (total < size) {
		if (total > 0 && t->dry && SSL_has_pending(t->ssl) == 0) {
			t->starved = true; /* asking would only be told so */
			break;
		}
		rc = SSL_read_ex(t->ssl, (char *)buf + total, size - total, &n);
		if (AP_LIKELY(rc == 1)) {
			total += n;
			continue;
		}
		verdict = ap_tls_judge(t, rc);
		if (total == 0)
			return verdict;
		break; /* the end is told by the next call */
	}
	return (ssize_t)total;
}

/* One SSL_write. Bytes taken, or AGAIN, or ERROR. */
static ssize_t
write_piece(struct tls *t, const void *bytes, size_t size)
{
	size_t n;
	int rc = SSL_write_ex(t->ssl, bytes, size, &n);

	if (AP_UNLIKELY(rc != 1))
		return ap_tls_judge(t, rc);
	if (out_size(t) >= FLUSH_AT && !t->stuck)
		flush(t);
	return t->s.error == AP_STREAM_OK ? (ssize_t)n : AP_STREAM_ERROR;
}

/*
 * Pieces smaller than a record are put together first: a frame's head must not become a record of its own.
 */
static ssize_t
tls_write(struct ap_stream *s, const struct iovec *iov, int count)
{
	static _Thread_local char joined[16384];
	struct tls *t = ap_tls_filter(s);
	size_t total = 0, off = 0;
	ssize_t n = AP_STREAM_AGAIN;

	if (AP_UNLIKELY(s->error != AP_STREAM_OK))
		return AP_STREAM_ERROR;
	if (AP_UNLIKELY(!s->is_open))
		return AP_STREAM_AGAIN;
	AP_CHECK(!t->write_ended);
	ERR_clear_error();
	while (count > 0 && out_size(t) < AP_TLS_OUT_HIGH) {
		const char *bytes = (const char *)iov->iov_base + off;
		size_t size = iov->iov_len - off;

		if (size < RECORD_MAX && count > 1) {
			size_t skip = off;

			size = 0;
			for (int i = 0; i < count && size < RECORD_MAX; i++) {
				size_t take = AP_MIN(iov[i].iov_len - skip, RECORD_MAX - size);

				memcpy(joined + size, (const char *)iov[i].iov_base + skip, take);
				size += take;
				skip = 0;
			}
			bytes = joined;
		}
		if (size == 0) {
			n = 0;
			break;
		}
		n = write_piece(t, bytes, AP_MIN(size, RECORD_MAX));
		if (n < 0)
			break;
		total += (size_t)n;
		off += (size_t)n;
		while (count > 0 && off >= iov->iov_len) {
			off -= iov->iov_len;
			iov++;
			count--;
		}
	}
	if (total == 0)
		return n;
	return (ssize_t)total;
}

static void
tls_shutdown(struct ap_stream *s)
{
	struct tls *t = ap_tls_filter(s);

	if (t->write_ended || s->error != AP_STREAM_OK)
		return;
	t->write_ended = true;
	if (!s->is_open)
		return; /* follows the handshake */
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	if (t->out == NULL) /* it did not fit, or nothing was to say: the end must follow all the same */
		ap_task_schedule(s->loop, &t->flush);
}

static void
tls_want(struct ap_stream *s, unsigned events)
{
	(void)events;
	ap_tls_settle(ap_tls_filter(s));
}

static size_t
tls_unsent(const struct ap_stream *s)
{
	const struct tls *t = ap_tls_filter(s);

	return out_size(t) + (s->below == NULL ? 0 : ap_stream_unsent(s->below));
}

static void
tls_free(void *ptr)
{
	struct tls *t = ptr;

	SSL_free(t->ssl);
	ap_tls_unref(&t->tls);
	if (t->out != NULL)
		ap_tls_out_give(t->out);
	ap_free(&t->spiffe);
	ap_free(&t->why);
	ap_free(&t->linger);
	OPENSSL_free(t->der);
	ap_free(&t);
}

static void
end(struct tls *t, enum ap_stream_close how)
{
	if (t->linger != NULL) {
		ap_timer_stop(&t->linger->deadline);
		ap_loop_exit_cancel(&t->linger->at_exit);
	}
	ap_task_cancel(&t->flush);
	ap_task_cancel(&t->wake);
	ap_stream_close(&t->s.below, how);
	ap_defer_free(t->s.loop, t, tls_free);
}

/* A socket closed with bytes unread sends a reset, which may overtake the alert that we have just sent. */
static void
swallow(struct tls *t)
{
	char junk[4096];

	for (int i = 0; i < 16; i++)
		if (ap_stream_read(t->s.below, junk, sizeof(junk)) <= 0)
			return;
}

static void
on_linger_below(struct ap_stream *below, unsigned events, void *arg)
{
	struct tls *t = arg;

	(void)below;
	(void)events;
	flush(t);
	if (!t->stuck)
		end(t, AP_STREAM_CLOSE_CLEAN);
}

static void
on_linger_end(struct ap_timer *timer, void *arg)
{
	(void)timer;
	end(arg, AP_STREAM_CLOSE_ABORT);
}

static void
on_linger_exit(struct ap_loop_exit *e)
{
	struct tls_linger *l = AP_CONTAINER_OF(e, struct tls_linger, at_exit);

	end(l->deadline.arg, AP_STREAM_CLOSE_ABORT);
}

static void
tls_close(struct ap_stream *s, enum ap_stream_close how)
{
	struct tls *t = ap_tls_filter(s);
	bool was_open = s->is_open;

	ap_tls_handshake_end(t);
	if (how == AP_STREAM_CLOSE_ABORT || !t->started) {
		end(t, how);
		return;
	}
	if (was_open && s->error == AP_STREAM_OK && !t->write_ended) {
		ERR_clear_error();
		(void)SSL_shutdown(t->ssl);
		ERR_clear_error();
		t->write_ended = true;
	}
	flush(t);
	if (t->stuck) {
		t->linger = ap_new(struct tls_linger);
		ap_timer_init(&t->linger->deadline, s->loop, on_linger_end, t);
		ap_timer_start(&t->linger->deadline, LINGER_MS);
		ap_loop_at_exit(s->loop, &t->linger->at_exit, on_linger_exit);
		ap_task_cancel(&t->flush);
		ap_task_cancel(&t->wake);
		ap_stream_set_callback(s->below, on_linger_below, t);
		ap_tls_want_below(t);
		return;
	}
	if (!was_open)
		swallow(t);
	end(t, AP_STREAM_CLOSE_CLEAN);
}

const struct ap_stream_ops ap_tls_ops = {
	.name = "tls",
	.read = tls_read,
	.write = tls_write,
	.shutdown = tls_shutdown,
	.want = tls_want,
	.close = tls_close,
	.unsent = tls_unsent,
};
