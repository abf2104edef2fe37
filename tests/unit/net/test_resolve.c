/* test_resolve.c -- look-ups against a name server of the test's own: UDP, TCP, silent and wrong. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../test.h"

#include "base/clock.h"
#include "event/loop.h"
#include "net/listener.h"
#include "net/resolve.h"

/* Answers A with 10.1.2.3 twice, AAAA with fd00::7; "none.test" does not exist; "big.test" is truncated over UDP. */
struct server {
	struct ap_loop *loop;
	int fd;
	struct ap_io io, tcp_io;
	int tcp_fd;
	struct ap_listener *listener;
	unsigned asked, over_tcp;
	bool silent;
	char servers[64];
};

static size_t
reply(const unsigned char *q, size_t size, unsigned char *out, bool tcp)
{
	size_t at = 12, n;
	uint16_t type;
	bool none = memcmp(q + 12, "\4none", 5) == 0, big = memcmp(q + 12, "\3big", 4) == 0;

	while (at < size && q[at] != 0)
		at += q[at] + 1U;
	type = (uint16_t)(q[at + 1] << 8 | q[at + 2]);
	n = at + 5;
	memcpy(out, q, n);
	out[2] = 0x81;
	out[3] = none ? 0x83 : 0x80;
	memset(out + 6, 0, 6);
	if (none)
		return n;
	if (big && !tcp) {
		out[2] |= 2;
		return n;
	}
	for (int i = 0; i < 2; i++) {
		static const unsigned char a[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3 };
		static const unsigned char aaaa[] = { 0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16, 0xfd, 0, 0, 0, 0, 0, 0,
			0, 0, 0, 0, 0, 0, 0, 0, 7 };

		if (type == 1) {
			memcpy(out + n, a, sizeof(a));
			n += sizeof(a);
		} else if (type == 28) {
			memcpy(out + n, aaaa, sizeof(aaaa));
			n += sizeof(aaaa);
		} else {
			continue;
		}
		out[7]++;
	}
	return n;
}

static void
on_query(struct ap_io *io, unsigned events, void *arg)
{
	struct server *s = arg;
	unsigned char q[512], a[1024];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(io->fd, q, sizeof(q), 0, (struct sockaddr *)&from, &len);

	(void)events;
	if (n < 17)
		return;
	s->asked++;
	if (!s->silent)
		assert_true(sendto(io->fd, a, reply(q, (size_t)n, a, false), 0, (struct sockaddr *)&from, len) > 0);
}

static void
on_tcp(struct ap_io *io, unsigned events, void *arg)
{
	struct server *s = arg;
	unsigned char q[512], a[1024];
	ssize_t n = recv(io->fd, q, sizeof(q), 0);
	size_t size;

	(void)events;
	if (n < 19) {
		ap_io_want(io, 0);
		return;
	}
	s->over_tcp++;
	size = reply(q + 2, (size_t)n - 2, a + 2, true);
	a[0] = (unsigned char)(size >> 8);
	a[1] = (unsigned char)size;
	assert_int_equal(send(io->fd, a, size + 2, 0), size + 2);
}

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct server *s = arg;

	(void)peer;
	s->tcp_fd = fd;
	ap_io_init(&s->tcp_io, s->loop, fd, on_tcp, s);
	ap_io_want(&s->tcp_io, AP_IO_READ);
}

static void
server_start(struct server *s)
{
	struct ap_addr at;
	struct ap_error err = { 0 };

	s->loop = ap_loop_new("test");
	s->tcp_fd = -1;
	assert_int_equal(ap_addr_parse(AP_S("127.0.0.1:0"), &at), 0);
	s->listener = ap_listener_new(s->loop, &at, NULL, on_accept, s, &err);
	at = ap_listener_addr(s->listener);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, &at.u.sa, at.len), 0);
	ap_io_init(&s->io, s->loop, s->fd, on_query, s);
	ap_io_want(&s->io, AP_IO_READ);
	(void)snprintf(s->servers, sizeof(s->servers), "127.0.0.1:%u", ap_addr_port(&at));
}

static void
server_stop(struct server *s)
{
	ap_io_done(&s->io);
	close(s->fd);
	if (s->tcp_fd >= 0) {
		ap_io_done(&s->tcp_io);
		close(s->tcp_fd);
	}
	ap_listener_free(&s->listener);
	ap_loop_free(&s->loop);
}

struct answer {
	unsigned calls;
	size_t count;
	char first[64], all[256], reason[128];
	unsigned char raw[1024];
	size_t raw_size;
};

static void
on_answer(const struct ap_addr *addrs, size_t count, const char *reason, void *arg)
{
	struct answer *a = arg;

	a->calls++;
	a->count = count;
	for (size_t i = 0; i < count; i++) {
		struct ap_ip ip;
		char text[64];

		assert_int_equal(ap_addr_port(&addrs[i]), 0);
		assert_int_equal(ap_addr_ip(&addrs[i], &ip), 0);
		(void)snprintf(a->all + strlen(a->all), sizeof(a->all) - strlen(a->all), "%s ",
		    ap_ip_format(&ip, text, sizeof(text)));
	}
	(void)snprintf(a->reason, sizeof(a->reason), "%s", reason == NULL ? "" : reason);
}

static void
on_raw(const void *bytes, size_t size, void *arg)
{
	struct answer *a = arg;

	a->calls++;
	a->raw_size = size;
	assert_true(size <= sizeof(a->raw));
	if (size > 0)
		memcpy(a->raw, bytes, size);
}

static void
wait_for(struct server *s, const unsigned *calls)
{
	uint64_t until = ap_clock_mono_ms() + 20000;

	while (*calls == 0) {
		ap_loop_turn(s->loop, 50);
		assert_true(ap_clock_mono_ms() < until);
	}
}

static void
names_become_addresses(void **state)
{
	static const struct {
		const char *name;
		int family;
		const char *all;
	} rows[] = {
		{ "a.test", AF_INET, "10.1.2.3 " },
		{ "a.test", AF_INET6, "fd00::7 " },
		{ "192.0.2.9", AF_UNSPEC, "192.0.2.9 " },
		{ "::1", AF_INET6, "::1 " },
		{ "::1", AF_INET, "" },
		{ "none.test", AF_INET, "" },
		{ "", AF_INET, "" },
	};
	struct server s = { 0 };
	struct ap_error err = { 0 };
	struct ap_resolver *r;

	(void)state;
	server_start(&s);
	r = ap_resolver_new(s.loop, 0, s.servers, &err);
	assert_non_null(r);
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct answer a = { 0 };

		assert_non_null(ap_resolve_start(r, rows[i].name, rows[i].family, on_answer, &a));
		assert_int_equal(a.calls, 0);
		wait_for(&s, &a.calls);
		if (strcmp(a.all, rows[i].all) != 0)
			fail_msg("%s: %s (%s)", rows[i].name, a.all, a.reason);
		assert_int_equal(a.reason[0] == '\0', a.count > 0);
	}
	{
		struct answer a = { 0 };

		(void)ap_resolve_start(r, "a.test", AF_UNSPEC, on_answer, &a);
		wait_for(&s, &a.calls);
		assert_int_equal(a.count, 2);
	}
	ap_resolver_free(&r);
	server_stop(&s);
}

static const unsigned char query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\3big\4test\0\0\1\0\1";

static void
raw_queries_are_forwarded_and_fall_back_to_tcp(void **state)
{
	struct server s = { 0 };
	struct ap_error err = { 0 };
	struct ap_resolver *r;
	struct answer a = { 0 }, b = { 0 };

	(void)state;
	server_start(&s);
	r = ap_resolver_new(s.loop, 0, s.servers, &err);
	(void)ap_resolve_raw(r, query, sizeof(query) - 1, on_raw, &a);
	wait_for(&s, &a.calls);
	assert_int_equal(s.over_tcp, 1);
	assert_true(a.raw_size > sizeof(query));
	assert_memory_equal(a.raw, "\x12\x34", 2);
	assert_int_equal(a.raw[7], 2);
	(void)ap_resolve_raw(r, "short", 5, on_raw, &b);
	assert_int_equal(b.calls, 0);
	wait_for(&s, &b.calls);
	assert_int_equal(b.raw_size, 0);
	ap_resolver_free(&r);
	server_stop(&s);
}

static void
cancelled_and_freed_look_ups_say_nothing(void **state)
{
	struct server s = { .silent = true };
	struct ap_error err = { 0 };
	struct ap_resolver *r;
	struct answer a = { 0 }, b = { 0 }, c = { 0 };
	struct ap_resolve *qa, *qb;

	(void)state;
	server_start(&s);
	r = ap_resolver_new(s.loop, 0, s.servers, &err);
	qa = ap_resolve_start(r, "a.test", AF_INET, on_answer, &a);
	qb = ap_resolve_start(r, "127.0.0.1", AF_INET, on_answer, &b);
	(void)ap_resolve_raw(r, query, sizeof(query) - 1, on_raw, &c);
	ap_loop_turn(s.loop, 10);
	ap_resolve_cancel(&qa);
	assert_null(qa);
	assert_int_equal(b.calls, 1);
	qb = ap_resolve_start(r, "127.0.0.1", AF_INET, on_answer, &b);
	ap_resolve_cancel(&qb);
	ap_resolve_cancel(&qb);
	for (int i = 0; i < 3; i++)
		ap_loop_turn(s.loop, 10);
	ap_resolver_free(&r);
	for (int i = 0; i < 3; i++)
		ap_loop_turn(s.loop, 5);
	assert_int_equal(a.calls + c.calls, 0);
	assert_int_equal(b.calls, 1);
	server_stop(&s);
}

static void
a_silent_server_is_given_up(void **state)
{
	struct server s = { .silent = true };
	struct ap_error err = { 0 };
	struct ap_resolver *r;
	struct answer a = { 0 };

	(void)state;
	server_start(&s);
	r = ap_resolver_new(s.loop, 0, s.servers, &err);
	(void)ap_resolve_raw(r, query, sizeof(query) - 1, on_raw, &a);
	wait_for(&s, &a.calls);
	assert_int_equal(a.raw_size, 0);
	assert_true(s.asked >= 2);
	ap_resolver_free(&r);
	assert_null(ap_resolver_new(s.loop, 0, "not an address", &err));
	assert_true(err.text[0] != '\0');
	server_stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_addresses),
		cmocka_unit_test(raw_queries_are_forwarded_and_fall_back_to_tcp),
		cmocka_unit_test(cancelled_and_freed_look_ups_say_nothing),
		cmocka_unit_test(a_silent_server_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
