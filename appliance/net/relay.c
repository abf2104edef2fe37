/*
 * relay.c -- two streams joined.
 *
 * Each direction is a pump.  A source that can be peeked lends its bytes to the sink; else a sink that can draw reads into
 * its own send buffer; else the bytes pass through the worker's scratch memory, which no connection owns.  Only what a
 * sink did not take is kept, in a heap block that lives until it is drained, and nothing more is read meanwhile: so an
 * idle relay holds nothing and a stuck one holds one block.
 *
 * A sink may draw later, in its flush at the end of the turn.  It draws from a stand-in of the source that belongs to
 * the relay, so the relay sees each byte and each end even then.
 *
 * Owns neither stream.  The loop's thread, which must be a worker's.
 */
#include "net/relay.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "event/loop.h"
#include "event/worker.h"

#define RELAY_MAGIC AP_MAGIC('R', 'L', 'A', 'Y')
#define CHUNK ((size_t)128 * 1024)
#define BUDGET ((size_t)256 * 1024) /* per event and direction, then others have their turn */
#define VECTORS 8

struct pump {
	struct ap_stream stand_in; /* what `to` draws from */
	struct ap_relay *r;
	struct ap_stream *from, *to;
	char *left; /* what `to` did not take */
	size_t left_at, left_size;
	uint64_t total, told;
	bool full;    /* waiting for `to` */
	bool eof;     /* `from` ended */
	bool ended;   /* ... and `to` was told, or `to` is broken */
	bool broken;  /* reading failed */
	bool refused; /* writing failed */
};

struct ap_relay {
	uint32_t magic;
	bool busy; /* inside an event: counters are told at its end */
	bool over; /* ended() was called, or the relay was freed */
	struct ap_loop *loop;
	const struct ap_relay_callbacks *callbacks;
	void *arg;
	struct ap_task task;
	struct pump p[2]; /* a to b, b to a */
};

/* Every byte passes here once, when it is taken from the source. */
static void
count(struct pump *p, const struct iovec *iov, int vectors, size_t size)
{
	struct ap_relay *r = p->r;

	p->total += size;
	if (r->callbacks->sniff != NULL)
		r->callbacks->sniff(p == &r->p[0], iov, vectors, r->arg);
	if (!r->busy)
		ap_task_schedule(r->loop, &r->task);
}

static ssize_t
take(struct pump *p, void *buf, size_t size)
{
	const struct iovec iov = { .iov_base = buf, .iov_len = size };
	ssize_t n = ap_stream_read(p->from, buf, size);

	if (AP_LIKELY(n > 0)) {
		struct iovec seen = iov;

		seen.iov_len = (size_t)n;
		count(p, &seen, 1, (size_t)n);
	} else if (n != AP_STREAM_AGAIN) {
		p->eof = n == AP_STREAM_EOF;
		p->broken = n == AP_STREAM_ERROR;
		if (!p->r->busy)
			ap_task_schedule(p->r->loop, &p->r->task);
	}
	return n;
}

static ssize_t
stand_in_read(struct ap_stream *s, void *buf, size_t size)
{
	struct pump *p = AP_CONTAINER_OF(s, struct pump, stand_in);

	return take(p, buf, size);
}

static const struct ap_stream_ops stand_in_ops = { .name = "relay", .read = stand_in_read };

static void
keep(struct pump *p, const struct iovec *iov, int vectors, size_t skip)
{
	size_t size = 0;

	for (int i = 0; i < vectors; i++)
		size += iov[i].iov_len;
	AP_CHECK(p->left == NULL && skip < size);
	p->left_size = size - skip;
	p->left_at = 0;
	p->left = ap_realloc_array(NULL, p->left_size, 1);
	size = 0;
	for (int i = 0; i < vectors; i++) {
		size_t cut = AP_MIN(skip, iov[i].iov_len);

		memcpy(p->left + size, (const char *)iov[i].iov_base + cut, iov[i].iov_len - cut);
		size += iov[i].iov_len - cut;
		skip -= cut;
	}
	p->full = true;
}

/* True: nothing is left over. */
static bool
push_left(struct pump *p)
{
	while (p->left != NULL) {
		ssize_t n = ap_stream_write(p->to, p->left + p->left_at, p->left_size - p->left_at);

		if (n < 0) {
			p->refused = n == AP_STREAM_ERROR;
			p->full = n == AP_STREAM_AGAIN;
			return false;
		}
		p->left_at += (size_t)n;
		if (p->left_at == p->left_size)
			ap_free(&p->left);
	}
	p->full = false;
	return true;
}

/* One step of each way to move bytes: the count moved, or why none. FULL leaves p->full set. */

static ssize_t
step_lent(struct pump *p)
{
	struct iovec iov[VECTORS];
	int vectors = p->from->ops->peek(p->from, iov, VECTORS);
	size_t offered = 0;
	ssize_t n;

	if (vectors <= 0) {
		p->eof = vectors == AP_STREAM_EOF;
		p->broken = vectors == AP_STREAM_ERROR;
		return vectors;
	}
	for (int i = 0; i < vectors; i++)
		offered += iov[i].iov_len;
	n = ap_stream_writev(p->to, iov, vectors);
	if (n == AP_STREAM_ERROR) {
		p->refused = true;
		return n;
	}
	if (n <= 0) {
		p->full = true;
		return AP_STREAM_FULL;
	}
	p->full = (size_t)n < offered;
	if (p->full) { /* what the source keeps is counted when it goes */
		size_t rest = (size_t)n;

		for (int i = 0; i < vectors; i++) {
			iov[i].iov_len = AP_MIN(iov[i].iov_len, rest);
			rest -= iov[i].iov_len;
		}
	}
	count(p, iov, vectors, (size_t)n);
	p->from->ops->consume(p->from, (size_t)n);
	return p->full ? AP_STREAM_FULL : n;
}

static ssize_t
step_drawn(struct pump *p)
{
	ssize_t n = p->to->ops->draw(p->to, &p->stand_in, BUDGET);

	p->full = n == AP_STREAM_FULL;
	if (n == AP_STREAM_ERROR && !p->broken)
		p->refused = true;
	else if (n == AP_STREAM_EOF)
		p->eof = true;
	return n;
}

static ssize_t
step_copied(struct pump *p)
{
	struct iovec iov = { .iov_base = ap_worker_self()->scratch };
	ssize_t n = take(p, iov.iov_base, CHUNK), written;

	if (n <= 0)
		return n;
	iov.iov_len = (size_t)n;
	written = ap_stream_writev(p->to, &iov, 1);
	if (written == AP_STREAM_ERROR) {
		p->refused = true;
		return AP_STREAM_ERROR;
	}
	if (written < n) {
		keep(p, &iov, 1, written < 0 ? 0 : (size_t)written);
		/* A partial write mostly means that the next one would take nothing. */
		return AP_STREAM_FULL;
	}
	/* A short read has most likely emptied the source; asking again would cost a call to hear so. */
	return (size_t)n < CHUNK ? AP_STREAM_AGAIN : n;
}

static ssize_t
step(struct pump *p)
{
	if (p->from->ops->peek != NULL)
		return step_lent(p);
	if (p->to->ops->draw != NULL)
		return step_drawn(p);
	return step_copied(p);
}

static void
run(struct pump *p)
{
	uint64_t until = p->total + BUDGET;

	if (p->ended)
		return;
	if (push_left(p)) {
		p->full = false;
		while (!p->eof && !p->broken && p->total < until && step(p) > 0)
			;
	}
	if (p->refused) {
		ap_free(&p->left);
		p->ended = true;
	} else if (p->eof && p->left == NULL) {
		p->full = false;
		p->ended = true;
		ap_stream_shutdown(p->to);
	}
}

static void
set_wants(struct ap_relay *r)
{
	for (int i = 0; i < 2; i++) {
		struct pump *out = &r->p[i], *in = &r->p[1 - i]; /* as seen from stream i */
		unsigned events = 0;

		if (!out->ended && !out->eof && !out->full)
			events |= AP_STREAM_READABLE;
		if (!in->ended && in->full)
			events |= AP_STREAM_WRITABLE;
		if (out->from->wanted != events)
			ap_stream_want(out->from, events);
	}
}

static void
stop(struct ap_relay *r)
{
	r->over = true;
	ap_task_cancel(&r->task);
	for (int i = 0; i < 2; i++) {
		r->p[i].stand_in.is_closed = true; /* a sink that would draw later leaves it alone */
		ap_free(&r->p[i].left);
		if (r->p[i].from->is_closed)
			continue;
		ap_stream_set_callback(r->p[i].from, NULL, NULL);
		ap_stream_want(r->p[i].from, 0);
	}
}

/* Is it over, and how? */
static void
conclude(struct ap_relay *r)
{
	struct pump *ab = &r->p[0], *ba = &r->p[1];
	enum ap_relay_end end;

	if (ab->broken || (ab->ended && ba->ended && ba->refused))
		end = AP_RELAY_A_FAILED;
	else if (ba->broken || (ab->ended && ba->ended && ab->refused))
		end = AP_RELAY_B_FAILED;
	else if (ab->ended && ba->ended)
		end = AP_RELAY_DONE;
	else
		return;
	stop(r);
	if (r->callbacks->ended != NULL)
		r->callbacks->ended(r, end, r->arg);
}

static void
tell_moved(struct ap_relay *r)
{
	uint64_t ab = r->p[0].total - r->p[0].told, ba = r->p[1].total - r->p[1].told;

	if (ab + ba == 0)
		return;
	r->p[0].told = r->p[0].total;
	r->p[1].told = r->p[1].total;
	if (r->callbacks->moved != NULL)
		r->callbacks->moved(ab, ba, r->arg);
}

/* After anything happened: counters, end, wants. */
static void
settle(struct ap_relay *r)
{
	tell_moved(r);
	if (!r->over)
		conclude(r);
	if (!r->over)
		set_wants(r);
}

static void
on_stream(struct ap_relay *r, int side, unsigned events)
{
	struct pump *out = &r->p[side], *in = &r->p[1 - side];

	AP_IS(r, RELAY_MAGIC);
	r->busy = true;
	if ((events & AP_STREAM_FAILED) != 0)
		out->broken = true;
	if ((events & AP_STREAM_WRITABLE) != 0 && !out->broken)
		run(in);
	if ((events & AP_STREAM_READABLE) != 0 && !out->broken && !out->full)
		run(out);
	r->busy = false;
	settle(r);
}

static void
on_a(struct ap_stream *s, unsigned events, void *arg)
{
	(void)s;
	on_stream(arg, 0, events);
}

static void
on_b(struct ap_stream *s, unsigned events, void *arg)
{
	(void)s;
	on_stream(arg, 1, events);
}

/* What needs no event: bytes that were prepended, and what was drawn or found out at the end of the turn. */
static void
on_task(struct ap_task *task, void *arg)
{
	struct ap_relay *r = arg;

	(void)task;
	r->busy = true;
	for (int i = 0; i < 2; i++)
		if (!r->p[i].full && (r->p[i].left != NULL || r->p[i].eof))
			run(&r->p[i]);
	r->busy = false;
	settle(r);
}

struct ap_relay *
ap_relay_new(struct ap_stream *a, struct ap_stream *b, const struct ap_relay_callbacks *callbacks, void *arg)
{
	struct ap_relay *r = ap_new(struct ap_relay);

	AP_CHECK(ap_worker_self() != NULL);
	r->magic = RELAY_MAGIC;
	r->loop = a->loop;
	r->callbacks = callbacks;
	r->arg = arg;
	for (int i = 0; i < 2; i++) {
		struct pump *p = &r->p[i];

		p->r = r;
		p->from = i == 0 ? a : b;
		p->to = i == 0 ? b : a;
		ap_stream_init(&p->stand_in, &stand_in_ops, r->loop, NULL);
		p->stand_in.is_open = true;
	}
	ap_task_init(&r->task, on_task, r);
	ap_stream_set_callback(a, on_a, r);
	ap_stream_set_callback(b, on_b, r);
	set_wants(r);
	return r;
}

void
ap_relay_prepend(struct ap_relay *r, const void *bytes, size_t size)
{
	struct pump *p = &r->p[0];
	const struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };

	AP_IS(r, RELAY_MAGIC);
	AP_CHECK(p->total == 0 && p->left == NULL);
	if (size == 0)
		return;
	keep(p, &iov, 1, 0);
	count(p, &iov, 1, size);
	p->full = false; /* not tried yet: the task will */
	ap_task_schedule(r->loop, &r->task);
}

static void
relay_free(void *ptr)
{
	struct ap_relay *r = ptr;

	r->magic = 0;
	ap_free(&r);
}

void
ap_relay_free(struct ap_relay **relay)
{
	struct ap_relay *r = *relay;

	*relay = NULL;
	if (r == NULL)
		return;
	AP_IS(r, RELAY_MAGIC);
	if (!r->over)
		stop(r);
	ap_defer_free(r->loop, r, relay_free);
}

void
ap_relay_totals(const struct ap_relay *r, uint64_t *a_to_b, uint64_t *b_to_a)
{
	*a_to_b = r->p[0].total;
	*b_to_a = r->p[1].total;
}
