/* test_relay.c -- joined streams: plain, TLS, and sources and sinks that lend and draw. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pki.h"
#include "side.h"

#include "base/mem.h"
#include "event/worker.h"
#include "net/relay.h"
#include "net/sock.h"
#include "net/tcp.h"

static struct ap_worker *worker;
static struct pki ca;
static struct pki_leaf leaf;
static struct ap_tls *tls_client, *tls_server;

enum kind { PLAIN, TLS };

/* near <-> a [relay] b <-> far */
struct line {
	struct ap_loop *loop;
	struct side near, far;
	struct ap_stream *a, *b;
	struct ap_relay *relay;
	unsigned ended;
	enum ap_relay_end end;
	uint64_t moved[2], sniffed[2], sniff_bad;
	bool frees_in_moved;
};

static void
on_moved(uint64_t ab, uint64_t ba, void *arg)
{
	struct line *l = arg;

	assert_true(ab + ba > 0);
	l->moved[0] += ab;
	l->moved[1] += ba;
	if (l->frees_in_moved)
		ap_relay_free(&l->relay);
}

static void
on_ended(struct ap_relay *r, enum ap_relay_end end, void *arg)
{
	struct line *l = arg;

	assert_ptr_equal(r, l->relay);
	l->ended++;
	l->end = end;
}

static void
on_sniff(int from_a, const struct iovec *iov, int count, void *arg)
{
	struct line *l = arg;
	uint64_t *at = &l->sniffed[from_a ? 0 : 1];

	for (int i = 0; i < count; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			l->sniff_bad += ((const char *)iov[i].iov_base)[j] != pattern((*at)++);
}

static const struct ap_relay_callbacks callbacks = { .moved = on_moved, .ended = on_ended, .sniff = on_sniff };

/* Two joined streams, the first of which is the outer one. */
static void
make_link(struct line *l, enum kind kind, struct ap_stream **outer, struct ap_stream **inner)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*outer = ap_tcp_take(l->loop, fds[0], NULL);
	*inner = ap_tcp_take(l->loop, fds[1], NULL);
	if (kind == TLS) {
		*outer = ap_tls_client(*outer, tls_client, NULL, NULL, NULL);
		*inner = ap_tls_server(*inner, tls_server, NULL, NULL);
	}
}

static void
line_open(struct line *l, enum kind a, enum kind b)
{
	l->loop = worker->loop;
	make_link(l, a, &l->near.s, &l->a);
	make_link(l, b, &l->far.s, &l->b);
	ap_stream_set_callback(l->near.s, side_fn, &l->near);
	ap_stream_set_callback(l->far.s, side_fn, &l->far);
	TURN_UNTIL(l, l->a->is_open && l->b->is_open && l->near.s->is_open && l->far.s->is_open);
	l->relay = ap_relay_new(l->a, l->b, &callbacks, l);
	side_write(&l->near);
	side_write(&l->far);
}

static void
line_close(struct line *l)
{
	ap_relay_free(&l->relay);
	ap_stream_close(&l->near.s, AP_STREAM_CLOSE_CLEAN);
	ap_stream_close(&l->a, AP_STREAM_CLOSE_CLEAN);
	ap_stream_close(&l->b, AP_STREAM_CLOSE_CLEAN);
	ap_stream_close(&l->far.s, AP_STREAM_CLOSE_CLEAN);
	ap_loop_turn(l->loop, 0);
}

static void
bytes_pass_whole_through_any_pair(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct line l = { .near = { .reads = true, .to_send = 10000003, .ends = true },
			.far = { .reads = true, .to_send = 10000001, .ends = true } };
		uint64_t ab, ba;

		line_open(&l, (i & 1) != 0 ? TLS : PLAIN, (i & 2) != 0 ? TLS : PLAIN);
		TURN_UNTIL(&l, l.near.eof && l.far.eof && l.ended > 0);
		assert_int_equal(l.near.got, 10000001);
		assert_int_equal(l.far.got, 10000003);
		assert_int_equal(l.near.bad + l.far.bad + l.sniff_bad, 0);
		assert_int_equal(l.moved[0], 10000003);
		assert_int_equal(l.moved[1], 10000001);
		assert_int_equal(l.sniffed[0], 10000003);
		assert_int_equal(l.end, AP_RELAY_DONE);
		assert_int_equal(l.ended, 1);
		ap_relay_totals(l.relay, &ab, &ba);
		assert_int_equal(ab, 10000003);
		assert_int_equal(ba, 10000001);
		line_close(&l);
	}
}

static void
a_half_closed_line_still_answers(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct line l = { .near = { .reads = true, .to_send = 100, .ends = true }, .far = { .reads = true } };

		line_open(&l, i == 0 ? PLAIN : TLS, i == 0 ? PLAIN : TLS);
		TURN_UNTIL(&l, l.far.eof);
		for (int j = 0; j < 5; j++)
			ap_loop_turn(l.loop, 5);
		assert_int_equal(l.ended, 0);
		l.far.to_send = 500000;
		l.far.ends = true;
		side_write(&l.far);
		TURN_UNTIL(&l, l.near.eof && l.ended == 1);
		assert_int_equal(l.near.got, 500000);
		assert_int_equal(l.end, AP_RELAY_DONE);
		line_close(&l);
	}
}

static void
a_stuck_reader_stops_the_sender_and_nothing_is_lost(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct line l = { .near = { .to_send = 200000000 }, .far = { .reads = false } };
		uint64_t stopped;

		line_open(&l, (i & 1) != 0 ? TLS : PLAIN, (i & 2) != 0 ? TLS : PLAIN);
		for (int j = 0; j < 40; j++)
			ap_loop_turn(l.loop, 2);
		stopped = l.near.sent;
		assert_true(stopped < 4000000);
		for (int j = 0; j < 10; j++)
			ap_loop_turn(l.loop, 2);
		assert_int_equal(l.near.sent, stopped);
		l.near.to_send = stopped + 3000000;
		l.near.ends = true;
		l.far.reads = true;
		ap_stream_want(l.far.s, AP_STREAM_READABLE);
		TURN_UNTIL(&l, l.far.eof);
		assert_int_equal(l.far.got, stopped + 3000000);
		assert_int_equal(l.far.bad, 0);
		line_close(&l);
	}
}

static void
prepended_bytes_come_first(void **state)
{
	struct line l = { .near = { .reads = true }, .far = { .reads = true } };
	char first[100];

	(void)state;
	for (size_t i = 0; i < sizeof(first); i++)
		first[i] = pattern(i);
	line_open(&l, PLAIN, PLAIN);
	ap_relay_prepend(l.relay, first, sizeof(first));
	l.near.sent = sizeof(first); /* goes on with the pattern */
	l.near.to_send = 100000;
	l.near.ends = true;
	side_write(&l.near);
	TURN_UNTIL(&l, l.far.eof);
	assert_int_equal(l.far.got, 100000);
	assert_int_equal(l.far.bad, 0);
	assert_int_equal(l.moved[0], 100000);
	line_close(&l);
}

static void
a_break_ends_the_relay_and_says_whose(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct line l = { .near = { .reads = true, .to_send = 10 }, .far = { .reads = true, .to_send = 10 } };
		struct side *breaks = (i & 1) != 0 ? &l.far : &l.near;

		line_open(&l, (i & 2) != 0 ? TLS : PLAIN, (i & 2) != 0 ? TLS : PLAIN);
		TURN_UNTIL(&l, l.near.got == 10 && l.far.got == 10);
		if ((i & 2) == 0) {
			/* A Unix socket cannot reset; the fault table can. */
			const struct ap_sock_fault fault = { .times = 1, .error = ECONNRESET };

			assert_int_equal(ap_stream_write(breaks->s, "x", 1), 1);
			ap_sock_set_fault(AP_SOCK_READ, &fault);
		} else {
			ap_stream_close(&breaks->s, AP_STREAM_CLOSE_ABORT); /* no close_notify */
		}
		TURN_UNTIL(&l, l.ended > 0);
		ap_sock_set_fault(AP_SOCK_READ, NULL);
		assert_int_equal(l.end, (i & 1) != 0 ? AP_RELAY_B_FAILED : AP_RELAY_A_FAILED);
		for (int j = 0; j < 3; j++)
			ap_loop_turn(l.loop, 2);
		assert_int_equal(l.ended, 1);
		line_close(&l);
	}
}

/* The far side answers and goes away while the near side is still sending. */
static void
an_early_answer_arrives_though_sending_failed(void **state)
{
	struct line l = { .near = { .reads = true, .to_send = 50000000 }, .far = { .reads = false, .to_send = 5000 } };

	(void)state;
	line_open(&l, PLAIN, PLAIN);
	TURN_UNTIL(&l, l.far.sent == 5000);
	ap_stream_close(&l.far.s, AP_STREAM_CLOSE_CLEAN);
	TURN_UNTIL(&l, l.ended > 0);
	assert_int_equal(l.end, AP_RELAY_B_FAILED);
	assert_int_equal(l.near.got, 5000);
	line_close(&l);
}

static void
the_relay_may_be_freed_at_any_time(void **state)
{
	struct line l = {
		.near = { .reads = true, .to_send = 5000000 }, .far = { .reads = true }, .frees_in_moved = true
	};

	(void)state;
	line_open(&l, TLS, PLAIN);
	TURN_UNTIL(&l, l.relay == NULL);
	for (int j = 0; j < 3; j++)
		ap_loop_turn(l.loop, 2);
	assert_int_equal(l.ended, 0);
	line_close(&l);
}

/* A stream on top of TCP that lends what it read, and draws into a buffer that it sends at the end of the turn. */
struct lender {
	struct ap_stream s;
	char in[5000];
	size_t in_at, in_len;
	char out[20000];
	size_t out_at, out_len;
	struct ap_stream *source;
	struct ap_task flush;
	bool shut, lazy;
};

static int
lender_peek(struct ap_stream *s, struct iovec *iov, int max)
{
	struct lender *t = (struct lender *)s;
	size_t half;

	if (t->in_len == 0) {
		ssize_t n = ap_stream_read(s->below, t->in, sizeof(t->in));

		if (n <= 0)
			return (int)n;
		t->in_at = 0;
		t->in_len = (size_t)n;
	}
	half = t->in_len / 2;
	assert_true(max >= 2);
	iov[0] = (struct iovec){ .iov_base = t->in + t->in_at, .iov_len = half };
	iov[1] = (struct iovec){ .iov_base = t->in + t->in_at + half, .iov_len = t->in_len - half };
	return 2;
}

static void
lender_consume(struct ap_stream *s, size_t n)
{
	struct lender *t = (struct lender *)s;

	assert_true(n <= t->in_len);
	t->in_at += n;
	t->in_len -= n;
}

static ssize_t
lender_read(struct ap_stream *s, void *buf, size_t size)
{
	(void)s;
	(void)buf;
	(void)size;
	fail_msg("a lender is peeked");
	return AP_STREAM_ERROR;
}

static ssize_t
lender_write(struct ap_stream *s, const struct iovec *iov, int count)
{
	return ap_stream_writev(s->below, iov, count);
}

static void
lender_flush(struct ap_task *task, void *arg)
{
	struct lender *t = arg;

	(void)task;
	if (t->source != NULL && !t->source->is_closed && t->out_len < sizeof(t->out)) {
		ssize_t n = t->source->ops->read(t->source, t->out + t->out_len, sizeof(t->out) - t->out_len);

		if (n > 0)
			t->out_len += (size_t)n;
	}
	t->source = NULL;
	while (t->out_at < t->out_len) {
		ssize_t n = ap_stream_write(t->s.below, t->out + t->out_at, t->out_len - t->out_at);

		if (n < 0)
			break;
		t->out_at += (size_t)n;
	}
	if (t->out_at == t->out_len)
		t->out_at = t->out_len = 0;
	if (t->shut && t->out_len == 0)
		ap_stream_shutdown(t->s.below);
}

static ssize_t
lender_draw(struct ap_stream *s, struct ap_stream *source, size_t max)
{
	struct lender *t = (struct lender *)s;
	ssize_t n;

	assert_true(max > 0);
	if (t->out_len == sizeof(t->out))
		return AP_STREAM_FULL;
	ap_task_schedule(s->loop, &t->flush);
	if (t->lazy) {
		t->source = source;
		return AP_STREAM_AGAIN;
	}
	n = source->ops->read(source, t->out + t->out_len, sizeof(t->out) - t->out_len);
	if (n > 0)
		t->out_len += (size_t)n;
	return n;
}

static void
lender_shutdown(struct ap_stream *s)
{
	struct lender *t = (struct lender *)s;

	t->shut = true;
	ap_task_schedule(s->loop, &t->flush);
}

static void
lender_below(struct ap_stream *below, unsigned events, void *arg)
{
	struct lender *t = arg;

	(void)below;
	if ((events & AP_STREAM_WRITABLE) != 0 && t->out_len > 0)
		lender_flush(&t->flush, t);
	events &= t->s.wanted;
	if (t->out_len == sizeof(t->out))
		events &= ~AP_STREAM_WRITABLE;
	if (events != 0)
		ap_stream_emit(&t->s, events);
}

static void
lender_want(struct ap_stream *s, unsigned events)
{
	ap_stream_want(s->below, events);
}

static void
lender_close(struct ap_stream *s, enum ap_stream_close how)
{
	struct lender *t = (struct lender *)s;

	ap_task_cancel(&t->flush);
	ap_stream_close(&s->below, how);
	ap_defer_free(s->loop, t, ap_mem_free);
}

static const struct ap_stream_ops lender_ops = { .name = "lender",
	.read = lender_read,
	.peek = lender_peek,
	.consume = lender_consume,
	.write = lender_write,
	.draw = lender_draw,
	.shutdown = lender_shutdown,
	.want = lender_want,
	.close = lender_close };

static struct ap_stream *
lender_new(struct ap_stream *below, bool lazy)
{
	struct lender *t = ap_new(struct lender);

	ap_stream_init(&t->s, &lender_ops, below->loop, below);
	t->s.is_open = true;
	t->lazy = lazy;
	ap_task_init(&t->flush, lender_flush, t);
	ap_stream_set_callback(below, lender_below, t);
	return &t->s;
}

static void
sources_lend_and_sinks_draw(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct line l = { .near = { .reads = true, .to_send = 3000003, .ends = true },
			.far = { .reads = true, .to_send = 3000001, .ends = true } };
		struct ap_stream *below;

		l.loop = worker->loop;
		make_link(&l, PLAIN, &l.near.s, &l.a);
		make_link(&l, PLAIN, &l.far.s, &below);
		l.b = lender_new(below, i == 1);
		ap_stream_set_callback(l.near.s, side_fn, &l.near);
		ap_stream_set_callback(l.far.s, side_fn, &l.far);
		l.relay = ap_relay_new(l.a, l.b, &callbacks, &l);
		side_write(&l.near);
		side_write(&l.far);
		TURN_UNTIL(&l, l.near.eof && l.far.eof && l.ended > 0);
		assert_int_equal(l.near.got, 3000001);
		assert_int_equal(l.far.got, 3000003);
		assert_int_equal(l.near.bad + l.far.bad + l.sniff_bad, 0);
		assert_int_equal(l.moved[0], 3000003);
		assert_int_equal(l.moved[1], 3000001);
		assert_int_equal(l.sniffed[0], 3000003);
		assert_int_equal(l.sniffed[1], 3000001);
		assert_int_equal(l.end, AP_RELAY_DONE);
		line_close(&l);
	}
}

static int
set_up(void **state)
{
	static const char *const alpn[] = { "h2", NULL };
	struct ap_tls_settings settings = { .alpn = alpn, .verify = AP_TLS_VERIFY_REQUIRED, .mesh = true };
	struct ap_error err = { 0 };

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	worker = ap_worker_adopt("test");
	pki_init(&ca, "root");
	pki_leaf(&ca, &leaf, "spiffe://td/ns/a/sa/b", NULL, 600);
	settings.cert_chain_pem = ap_buf_slice(&leaf.cert);
	settings.key_pem = ap_buf_slice(&leaf.key);
	settings.roots_pem = ap_buf_slice(&ca.cert);
	tls_client = ap_tls_new(&settings, &err);
	settings.is_server = true;
	tls_server = ap_tls_new(&settings, &err);
	assert_non_null(tls_client);
	assert_non_null(tls_server);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ap_tls_unref(&tls_client);
	ap_tls_unref(&tls_server);
	pki_leaf_done(&leaf);
	pki_done(&ca);
	ap_worker_stop(&worker);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_whole_through_any_pair),
		cmocka_unit_test(a_half_closed_line_still_answers),
		cmocka_unit_test(a_stuck_reader_stops_the_sender_and_nothing_is_lost),
		cmocka_unit_test(prepended_bytes_come_first),
		cmocka_unit_test(a_break_ends_the_relay_and_says_whose),
		cmocka_unit_test(an_early_answer_arrives_though_sending_failed),
		cmocka_unit_test(the_relay_may_be_freed_at_any_time),
		cmocka_unit_test(sources_lend_and_sinks_draw),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
