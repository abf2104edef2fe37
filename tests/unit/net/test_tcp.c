/* test_tcp.c -- TCP streams and listeners on loopback; the peer is a plain blocking or non-blocking socket of the test. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "event/loop.h"
#include "net/listener.h"
#include "net/sock.h"
#include "net/tcp.h"

/* What a stream told, and what an accepted socket was. */
struct log {
	unsigned events, opens, fails, calls;
};

static void
log_fn(struct ap_stream *s, unsigned events, void *arg)
{
	struct log *log = arg;

	(void)s;
	log->calls++;
	log->events |= events;
	log->opens += (events & AP_STREAM_OPEN) != 0;
	log->fails += (events & AP_STREAM_FAILED) != 0;
}

struct accepted {
	int fd[16];
	int count;
	struct ap_addr peer;
};

static void
accept_fn(int fd, const struct ap_addr *peer, void *arg)
{
	struct accepted *a = arg;

	assert_true(a->count < 16);
	a->fd[a->count++] = fd;
	a->peer = *peer;
}

struct pair {
	struct ap_loop *loop;
	struct ap_listener *listener;
	struct accepted accepted;
	struct log log;
	struct ap_stream *s; /* the client */
	int peer;            /* the accepted socket */
};

static struct ap_addr
addr(const char *text)
{
	struct ap_addr a;

	assert_int_equal(ap_addr_parse(ap_slice_of(text), &a), 0);
	return a;
}

static void
pair_open(struct pair *p, const char *at)
{
	struct ap_addr to = addr(at);
	struct ap_error err = { 0 };

	memset(p, 0, sizeof(*p));
	p->loop = ap_loop_new("test");
	p->listener = ap_listener_new(p->loop, &to, NULL, accept_fn, &p->accepted, &err);
	if (p->listener == NULL)
		fail_msg("%s", err.text);
	to = ap_listener_addr(p->listener);
	p->s = ap_tcp_connect(p->loop, &to, NULL);
	ap_stream_set_callback(p->s, log_fn, &p->log);
	assert_false(p->s->is_open);
	for (int i = 0; i < 100 && (p->log.opens == 0 || p->accepted.count == 0); i++)
		ap_loop_turn(p->loop, 100);
	assert_int_equal(p->log.opens, 1);
	assert_int_equal(p->accepted.count, 1);
	assert_true(p->s->is_open);
	p->peer = p->accepted.fd[0];
}

static void
pair_close(struct pair *p)
{
	ap_stream_close(&p->s, AP_STREAM_CLOSE_CLEAN);
	if (p->peer >= 0)
		close(p->peer);
	ap_listener_free(&p->listener);
	ap_loop_turn(p->loop, 0);
	ap_loop_free(&p->loop);
}

static void
turn_until(struct pair *p, unsigned event)
{
	for (int i = 0; i < 50 && (p->log.events & event) == 0; i++)
		ap_loop_turn(p->loop, 100);
	assert_true((p->log.events & event) != 0);
}

static void
bytes_go_both_ways_and_each_direction_ends_alone(void **state)
{
	static const char *const places[] = { "127.0.0.1:0", "[::1]:0", "unix:/tmp/ambit-test-tcp.sock" };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(places); i++) {
		struct pair p;
		char buf[16];

		pair_open(&p, places[i]);
		assert_int_equal(ap_stream_read(p.s, buf, sizeof(buf)), AP_STREAM_AGAIN);
		assert_int_equal(ap_stream_write(p.s, "hello", 5), 5);
		ap_stream_shutdown(p.s);
		ap_stream_shutdown(p.s);
		(void)fcntl(p.peer, F_SETFL, 0);
		assert_int_equal(recv(p.peer, buf, 5, MSG_WAITALL), 5);
		assert_int_equal(recv(p.peer, buf, 1, 0), 0);
		assert_int_equal(send(p.peer, "back", 4, 0), 4);
		ap_stream_want(p.s, AP_STREAM_READABLE);
		turn_until(&p, AP_STREAM_READABLE);
		assert_int_equal(ap_stream_read(p.s, buf, sizeof(buf)), 4);
		close(p.peer);
		p.peer = -1;
		p.log.events = 0;
		turn_until(&p, AP_STREAM_READABLE);
		assert_int_equal(ap_stream_read(p.s, buf, sizeof(buf)), AP_STREAM_EOF);
		assert_ptr_equal(ap_stream_bottom(p.s), p.s);
		pair_close(&p);
	}
}

static void
a_full_kernel_is_back_pressure_and_writable_ends_it(void **state)
{
	struct pair p;
	static char block[65536];
	size_t sent = 0, got = 0;
	ssize_t n;

	(void)state;
	pair_open(&p, "127.0.0.1:0");
	while ((n = ap_stream_write(p.s, block, sizeof(block))) > 0)
		sent += (size_t)n;
	assert_int_equal(n, AP_STREAM_AGAIN);
	ap_stream_want(p.s, AP_STREAM_WRITABLE);
	ap_loop_turn(p.loop, 20);
	assert_int_equal(p.log.events & AP_STREAM_WRITABLE, 0);
	while (got < sent && (n = recv(p.peer, block, sizeof(block), 0)) != 0) {
		if (n > 0)
			got += (size_t)n;
		else
			ap_loop_turn(p.loop, 5);
	}
	assert_int_equal(got, sent);
	turn_until(&p, AP_STREAM_WRITABLE);
	pair_close(&p);
}

static void
a_peers_reset_is_an_error_and_an_abort_is_a_reset(void **state)
{
	struct pair p;
	char c;
	const struct linger cut = { .l_onoff = 1, .l_linger = 0 };

	(void)state;
	pair_open(&p, "127.0.0.1:0");
	setsockopt(p.peer, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
	close(p.peer);
	p.peer = -1;
	ap_stream_want(p.s, AP_STREAM_READABLE);
	turn_until(&p, AP_STREAM_READABLE);
	assert_int_equal(ap_stream_read(p.s, &c, 1), AP_STREAM_ERROR);
	assert_int_equal(p.s->error, AP_STREAM_RESET);
	assert_int_equal(p.s->detail, ECONNRESET);
	assert_int_equal(ap_stream_write(p.s, "x", 1), AP_STREAM_ERROR);
	pair_close(&p);

	pair_open(&p, "127.0.0.1:0");
	ap_stream_close(&p.s, AP_STREAM_CLOSE_ABORT);
	assert_null(p.s);
	(void)fcntl(p.peer, F_SETFL, 0);
	assert_int_equal(recv(p.peer, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	pair_close(&p);
}

static void
a_refused_connect_fails_from_the_loop(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	static const struct {
		const char *to;
		enum ap_stream_error error;
	} rows[] = {
		{ "127.0.0.1:1", AP_STREAM_REFUSED },
		{ "unix:/tmp/ambit-nobody-here.sock", AP_STREAM_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_addr to = addr(rows[i].to);
		struct log log = { 0 };
		struct ap_stream *s = ap_tcp_connect(loop, &to, NULL);

		ap_stream_set_callback(s, log_fn, &log);
		assert_int_equal(log.calls, 0);
		for (int j = 0; j < 50 && log.fails == 0; j++)
			ap_loop_turn(loop, 100);
		assert_int_equal(log.fails, 1);
		assert_int_equal(log.opens, 0);
		assert_int_equal(s->error, rows[i].error);
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	}
	ap_loop_free(&loop);
}

static void
a_connect_that_nobody_answers_times_out(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_addr at = addr("127.0.0.1:0");
	struct ap_tcp_options options = { .connect_timeout_ms = 50 };
	struct ap_stream *s[8];
	struct log logs[8] = { { 0 } };
	struct ap_listener_options lo = { .backlog = 1 };
	struct ap_error err = { 0 };
	struct accepted none = { .count = 0 };
	struct ap_listener *l = ap_listener_new(loop, &at, &lo, accept_fn, &none, &err);
	unsigned failed = 0;

	(void)state;
	assert_non_null(l);
	ap_listener_pause(l, true); /* the queue fills up, then SYNs are dropped */
	at = ap_listener_addr(l);
	for (size_t i = 0; i < AP_COUNTOF(s); i++) {
		s[i] = ap_tcp_connect(loop, &at, &options);
		ap_stream_set_callback(s[i], log_fn, &logs[i]);
	}
	for (int i = 0; i < 30; i++)
		ap_loop_turn(loop, 10);
	for (size_t i = 0; i < AP_COUNTOF(s); i++) {
		failed += logs[i].fails;
		if (logs[i].fails > 0)
			assert_int_equal(s[i]->error, AP_STREAM_TIMEOUT);
		ap_stream_close(&s[i], AP_STREAM_CLOSE_ABORT);
	}
	assert_true(failed > 0);
	ap_listener_free(&l);
	ap_loop_free(&loop);
}

static void
close_before_open_is_quiet(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_addr to = addr("127.0.0.1:1");
	struct log log = { 0 };
	struct ap_stream *s = ap_tcp_connect(loop, &to, NULL);

	(void)state;
	ap_stream_set_callback(s, log_fn, &log);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	for (int i = 0; i < 3; i++)
		ap_loop_turn(loop, 5);
	assert_int_equal(log.calls, 0);
	ap_loop_free(&loop);
}

static void
the_source_address_is_bound(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_addr at = addr("127.0.0.1:0");
	struct accepted accepted = { .count = 0 };
	struct ap_error err = { 0 };
	struct ap_listener *l = ap_listener_new(loop, &at, NULL, accept_fn, &accepted, &err);
	struct ap_ip source, seen;
	struct ap_tcp_options options = { .source = &source, .keepalive = true };
	struct ap_stream *s;

	(void)state;
	assert_int_equal(ap_ip_parse(AP_S("127.0.0.77"), &source), 0);
	at = ap_listener_addr(l);
	s = ap_tcp_connect(loop, &at, &options);
	for (int i = 0; i < 50 && accepted.count == 0; i++)
		ap_loop_turn(loop, 100);
	assert_int_equal(accepted.count, 1);
	assert_int_equal(ap_addr_ip(&accepted.peer, &seen), 0);
	assert_true(ap_ip_eq(&seen, &source));
	assert_true(ap_addr_eq(ap_tcp_peer(s), &at));
	seen.len = 0;
	{
		struct ap_addr local = ap_tcp_local(s);

		assert_true(ap_addr_eq(&local, &accepted.peer));
	}
	close(accepted.fd[0]);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	ap_listener_free(&l);
	ap_loop_free(&loop);
}

static void
faults_are_told_as_what_they_are(void **state)
{
	static const struct {
		enum ap_sock_op op;
		int error;
		enum ap_stream_error want;
	} rows[] = {
		{ AP_SOCK_SOCKET, EMFILE, AP_STREAM_LIMIT },
		{ AP_SOCK_CONNECT, ENETUNREACH, AP_STREAM_UNREACHABLE },
		{ AP_SOCK_CONNECT, ETIMEDOUT, AP_STREAM_TIMEOUT },
		{ AP_SOCK_READ, ECONNRESET, AP_STREAM_RESET },
		{ AP_SOCK_READ, EIO, AP_STREAM_INTERNAL },
		{ AP_SOCK_WRITE, EPIPE, AP_STREAM_RESET },
		{ AP_SOCK_WRITE, EHOSTUNREACH, AP_STREAM_UNREACHABLE },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		const struct ap_sock_fault fault = { .times = 1, .error = rows[i].error };
		struct pair p;
		char c;

		pair_open(&p, "127.0.0.1:0");
		ap_sock_set_fault(rows[i].op, &fault);
		if (rows[i].op == AP_SOCK_READ) {
			assert_int_equal(ap_stream_read(p.s, &c, 1), AP_STREAM_ERROR);
		} else if (rows[i].op == AP_SOCK_WRITE) {
			assert_int_equal(ap_stream_write(p.s, "x", 1), AP_STREAM_ERROR);
		} else {
			struct ap_addr to = ap_listener_addr(p.listener);

			ap_stream_close(&p.s, AP_STREAM_CLOSE_CLEAN);
			p.s = ap_tcp_connect(p.loop, &to, NULL);
			ap_stream_set_callback(p.s, log_fn, &p.log);
			ap_loop_turn(p.loop, 0);
			assert_int_equal(p.log.fails, 1);
		}
		assert_int_equal(p.s->error, rows[i].want);
		ap_sock_set_fault(rows[i].op, NULL);
		pair_close(&p);
	}
}

static void
short_writes_and_reads_are_counts(void **state)
{
	const struct ap_sock_fault fault = { .times = 100, .max_bytes = 3 };
	struct iovec iov[2] = { { .iov_base = (char[]){ "ab" }, .iov_len = 2 },
		{ .iov_base = (char[]){ "cdef" }, .iov_len = 4 } };
	struct pair p;
	char buf[8];

	(void)state;
	pair_open(&p, "127.0.0.1:0");
	ap_sock_set_fault(AP_SOCK_READ, &fault);
	assert_int_equal(ap_stream_writev(p.s, iov, 2), 6);
	assert_int_equal(send(p.peer, "12345", 5, 0), 5);
	ap_stream_want(p.s, AP_STREAM_READABLE);
	turn_until(&p, AP_STREAM_READABLE);
	assert_int_equal(ap_stream_read(p.s, buf, sizeof(buf)), 3);
	ap_sock_set_fault(AP_SOCK_WRITE, &fault);
	assert_int_equal(ap_stream_write(p.s, "abcdef", 6), 3);
	ap_sock_set_fault(AP_SOCK_READ, NULL);
	ap_sock_set_fault(AP_SOCK_WRITE, NULL);
	pair_close(&p);
}

static void
a_listener_without_descriptors_rests_and_goes_on(void **state)
{
	const struct ap_sock_fault fault = { .times = 1, .error = EMFILE },
				   gone = { .times = 3, .error = ECONNABORTED };
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_addr at = addr("127.0.0.1:0");
	struct accepted accepted = { .count = 0 };
	struct ap_error err = { 0 };
	struct ap_listener *l = ap_listener_new(loop, &at, NULL, accept_fn, &accepted, &err);
	struct ap_stream *s;

	(void)state;
	at = ap_listener_addr(l);
	ap_sock_set_fault(AP_SOCK_ACCEPT, &fault);
	s = ap_tcp_connect(loop, &at, NULL);
	for (int i = 0; i < 4; i++)
		ap_loop_turn(loop, 10);
	assert_int_equal(accepted.count, 0);
	for (int i = 0; i < 50 && accepted.count == 0; i++)
		ap_loop_turn(loop, 100);
	assert_int_equal(accepted.count, 1);
	close(accepted.fd[0]);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	ap_sock_set_fault(AP_SOCK_ACCEPT, &gone);
	s = ap_tcp_connect(loop, &at, NULL);
	for (int i = 0; i < 50 && accepted.count == 1; i++)
		ap_loop_turn(loop, 10);
	assert_int_equal(accepted.count, 2);
	close(accepted.fd[1]);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	ap_sock_set_fault(AP_SOCK_ACCEPT, NULL);
	ap_listener_free(&l);
	ap_loop_free(&loop);
}

static void
unix_sockets_replace_stale_files_only(void **state)
{
	const char *path = "/tmp/ambit-test-stale.sock";
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_addr at = addr("unix:/tmp/ambit-test-stale.sock");
	struct ap_listener_options options = { .unix_mode = 0660 };
	struct accepted accepted = { .count = 0 };
	struct ap_error err = { 0 };
	struct ap_listener *l, *second;
	struct stat st;
	int fd;

	(void)state;
	(void)unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &at.u.sa, at.len), 0);
	close(fd); /* leaves the file */
	l = ap_listener_new(loop, &at, &options, accept_fn, &accepted, &err);
	assert_non_null(l);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	second = ap_listener_new(loop, &at, &options, accept_fn, &accepted, &err);
	assert_null(second);
	assert_int_equal(err.code, -EADDRINUSE);
	ap_listener_free(&l);
	assert_int_equal(stat(path, &st), -1);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_null(ap_listener_new(loop, &at, &options, accept_fn, &accepted, &err));
	assert_int_equal(err.code, -EEXIST);
	unlink(path);
	ap_loop_free(&loop);
}

static void
two_listeners_share_a_port_when_asked(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_addr at = addr("127.0.0.1:0");
	struct ap_listener_options options = { .reuse_port = true };
	struct accepted accepted = { .count = 0 };
	struct ap_error err = { 0 };
	struct ap_listener *a = ap_listener_new(loop, &at, &options, accept_fn, &accepted, &err), *b, *c;

	(void)state;
	at = ap_listener_addr(a);
	b = ap_listener_new(loop, &at, &options, accept_fn, &accepted, &err);
	assert_non_null(b);
	c = ap_listener_new(loop, &at, NULL, accept_fn, &accepted, &err);
	assert_null(c);
	assert_int_equal(err.code, -EADDRINUSE);
	ap_listener_free(&a);
	ap_listener_free(&b);
	ap_loop_free(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways_and_each_direction_ends_alone),
		cmocka_unit_test(a_full_kernel_is_back_pressure_and_writable_ends_it),
		cmocka_unit_test(a_peers_reset_is_an_error_and_an_abort_is_a_reset),
		cmocka_unit_test(a_refused_connect_fails_from_the_loop),
		cmocka_unit_test(a_connect_that_nobody_answers_times_out),
		cmocka_unit_test(close_before_open_is_quiet),
		cmocka_unit_test(the_source_address_is_bound),
		cmocka_unit_test(faults_are_told_as_what_they_are),
		cmocka_unit_test(short_writes_and_reads_are_counts),
		cmocka_unit_test(a_listener_without_descriptors_rests_and_goes_on),
		cmocka_unit_test(unix_sockets_replace_stale_files_only),
		cmocka_unit_test(two_listeners_share_a_port_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
