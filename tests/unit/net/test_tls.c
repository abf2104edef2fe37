/* test_tls.c -- the TLS filter between two of ours, and against OpenSSL's own client and server. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pki.h"
#include "side.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "event/loop.h"
#include "net/listener.h"
#include "net/sock.h"
#include "net/tcp.h"
#include "net/tls.h"

#define WEB "spiffe://cluster.local/ns/default/sa/web"
#define CLIENT "spiffe://cluster.local/ns/default/sa/client"

static struct pki ca, stranger;
static struct pki_leaf web, client, late, host;
static const char *const h2[] = { "h2", NULL };
static const char *const h1[] = { "http/1.1", NULL };

static struct ap_tls_settings
mesh(bool is_server, struct pki *root, struct pki_leaf *leaf)
{
	return (struct ap_tls_settings){ .cert_chain_pem = leaf == NULL ? AP_SLICE_NONE : ap_buf_slice(&leaf->cert),
		.key_pem = leaf == NULL ? AP_SLICE_NONE : ap_buf_slice(&leaf->key),
		.roots_pem = root == NULL ? AP_SLICE_NONE : ap_buf_slice(&root->cert),
		.alpn = h2,
		.verify = AP_TLS_VERIFY_REQUIRED,
		.is_server = is_server,
		.mesh = true };
}

static struct ap_tls *
context(const struct ap_tls_settings *settings)
{
	struct ap_error err = { 0 };
	struct ap_tls *tls = ap_tls_new(settings, &err);

	if (tls == NULL)
		fail_msg("%s", err.text);
	return tls;
}

struct duo {
	struct ap_loop *loop;
	struct side a, b; /* client, server */
};

static bool
expect(const struct ap_slice *uris, size_t count, void *arg)
{
	for (size_t i = 0; i < count; i++)
		if (ap_slice_eq_text(uris[i], arg))
			return true;
	return false;
}

/* On d->loop, or on a new one. */
static void
duo_start(struct duo *d, struct ap_tls *c, struct ap_tls *s, const char *sni, const char *expected)
{
	union {
		const char *in;
		void *out;
	} u = { .in = expected };
	int fds[2];

	if (d->loop == NULL)
		d->loop = ap_loop_new("test");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	d->a.s = ap_tls_client(ap_tcp_take(d->loop, fds[0], NULL), c, sni, expected == NULL ? NULL : expect, u.out);
	d->b.s = ap_tls_server(ap_tcp_take(d->loop, fds[1], NULL), s, NULL, NULL);
	ap_stream_set_callback(d->a.s, side_fn, &d->a);
	ap_stream_set_callback(d->b.s, side_fn, &d->b);
	assert_int_equal(d->a.opens + d->b.opens + d->a.fails + d->b.fails, 0);
}

static void
duo_end(struct duo *d)
{
	ap_stream_close(&d->a.s, AP_STREAM_CLOSE_CLEAN);
	ap_stream_close(&d->b.s, AP_STREAM_CLOSE_CLEAN);
	ap_loop_turn(d->loop, 0);
	ap_loop_free(&d->loop);
}

static void
both_prove_who_they_are(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct duo d = { 0 };

	(void)state;
	duo_start(&d, c, s, NULL, WEB);
	TURN_UNTIL(&d, d.a.opens + d.a.fails > 0 && d.b.opens + d.b.fails > 0);
	assert_int_equal(d.a.opens, 1);
	assert_int_equal(d.b.opens, 1);
	assert_true(ap_slice_eq_text(ap_tls_peer_spiffe(d.a.s), WEB));
	assert_true(ap_slice_eq_text(ap_tls_peer_spiffe(d.b.s), CLIENT));
	assert_true(ap_slice_eq_text(ap_tls_alpn(d.a.s), "h2"));
	assert_true(ap_slice_eq_text(ap_tls_alpn(d.b.s), "h2"));
	assert_true(ap_tls_peer_der(d.b.s).len > 100);
	assert_true(ap_stream_is_tls(d.a.s));
	assert_non_null(ap_stream_bottom(d.a.s));
	duo_end(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

/* 10 MB each way at once, in odd pieces, then each direction ends by itself. */
static void
ten_megabytes_arrive_whole_both_ways(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct duo d = { .a = { .reads = true, .to_send = 10000000, .ends = true },
		.b = { .reads = true, .to_send = 10000001, .ends = true } };

	(void)state;
	duo_start(&d, c, s, NULL, WEB);
	TURN_UNTIL(&d, d.a.eof && d.b.eof);
	assert_int_equal(d.a.got, 10000001);
	assert_int_equal(d.b.got, 10000000);
	assert_int_equal(d.a.bad + d.b.bad, 0);
	assert_int_equal(d.a.error + d.b.error, 0);
	duo_end(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

static void
one_direction_may_end_long_before_the_other(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct duo d = { .a = { .reads = true, .to_send = 5, .ends = true }, .b = { .reads = true } };

	(void)state;
	duo_start(&d, c, s, NULL, WEB);
	TURN_UNTIL(&d, d.b.eof);
	assert_int_equal(d.b.got, 5);
	assert_false(d.a.eof);
	d.b.to_send = 3000000;
	d.b.ends = true;
	side_write(&d.b);
	TURN_UNTIL(&d, d.a.eof);
	assert_int_equal(d.a.got, 3000000);
	assert_int_equal(d.a.bad, 0);
	duo_end(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

static void
a_reader_that_stops_stops_the_writer(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct duo d = { .a = { .reads = true, .to_send = 100000000, .ends = true }, .b = { .reads = false } };
	uint64_t stopped;

	(void)state;
	duo_start(&d, c, s, NULL, WEB);
	TURN_UNTIL(&d, d.b.opens > 0);
	for (int i = 0; i < 20; i++)
		ap_loop_turn(d.loop, 5);
	stopped = d.a.sent;
	assert_true(stopped < 2000000);
	assert_true(ap_stream_unsent(d.a.s) > 0);
	for (int i = 0; i < 5; i++)
		ap_loop_turn(d.loop, 5);
	assert_int_equal(d.a.sent, stopped);
	d.a.to_send = stopped + 1000000;
	d.b.reads = true;
	ap_stream_want(d.b.s, AP_STREAM_READABLE);
	TURN_UNTIL(&d, d.b.eof);
	assert_int_equal(d.b.got, stopped + 1000000);
	assert_int_equal(d.b.bad, 0);
	assert_int_equal(ap_stream_unsent(d.a.s), 0);
	duo_end(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

/* The writer closes with much unsent; all of it still arrives, with its close_notify. */
static void
close_delivers_what_was_written(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct duo d = { .a = { .to_send = 100000000 }, .b = { .reads = false } };
	uint64_t sent;

	(void)state;
	duo_start(&d, c, s, NULL, WEB);
	TURN_UNTIL(&d, d.b.opens > 0);
	for (int i = 0; i < 20; i++)
		ap_loop_turn(d.loop, 5);
	sent = d.a.sent;
	assert_true(ap_stream_unsent(d.a.s) > 0);
	ap_stream_close(&d.a.s, AP_STREAM_CLOSE_CLEAN);
	d.b.reads = true;
	ap_stream_want(d.b.s, AP_STREAM_READABLE);
	TURN_UNTIL(&d, d.b.eof);
	assert_int_equal(d.b.got, sent);
	assert_int_equal(d.b.bad, 0);
	duo_end(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

/* ... and a loop that ends meanwhile leaks nothing (the sanitizer looks). */
static void
a_lingering_close_ends_with_its_loop(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct duo d = { .a = { .to_send = 100000000 }, .b = { .reads = false } };

	(void)state;
	duo_start(&d, c, s, NULL, WEB);
	TURN_UNTIL(&d, d.b.opens > 0);
	for (int i = 0; i < 20; i++)
		ap_loop_turn(d.loop, 5);
	ap_stream_close(&d.a.s, AP_STREAM_CLOSE_CLEAN);
	duo_end(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

static void
a_cut_is_not_an_end(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct duo d = { .a = { .to_send = 70000 }, .b = { .reads = true } };

		duo_start(&d, c, s, NULL, WEB);
		TURN_UNTIL(&d, d.b.got == 70000);
		/* The end of the transport alone: without close_notify. */
		if (i == 0)
			assert_int_equal(shutdown(ap_tcp_fd(ap_stream_bottom(d.a.s)), SHUT_WR), 0);
		else
			ap_stream_close(&d.a.s, AP_STREAM_CLOSE_ABORT);
		TURN_UNTIL(&d, d.b.error != 0);
		assert_int_equal(d.b.error, AP_STREAM_RESET);
		assert_false(d.b.eof);
		if (i == 0)
			assert_true(ap_tls_is_cut(d.b.s));
		duo_end(&d);
	}
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

struct refusal {
	const char *what;
	struct ap_tls_settings c, s;
	const char *expected;
	const char *host;
	bool client_fails;                   /* at OPEN; else the server alone, and the client when it reads */
	const char *client_why, *server_why; /* part of the sentence; NULL: not looked at */
};

static void
refusals_are_told_to_both(void **state)
{
	struct refusal rows[] = {
		{ .what = "the server is another one",
		    .c = mesh(false, &ca, &client),
		    .s = mesh(true, &ca, &web),
		    .expected = "spiffe://cluster.local/ns/default/sa/other",
		    .client_fails = true,
		    .client_why = "identity is not one that was expected" },
		{ .what = "the server's root is unknown",
		    .c = mesh(false, &stranger, &client),
		    .s = mesh(true, &ca, &web),
		    .client_fails = true,
		    .client_why = "certificate" },
		{ .what = "the server's certificate is over",
		    .c = mesh(false, &ca, &client),
		    .s = mesh(true, &ca, &late),
		    .client_fails = true,
		    .client_why = "expired" },
		{ .what = "the client's root is unknown",
		    .c = mesh(false, &ca, &client),
		    .s = mesh(true, &stranger, &web),
		    .server_why = "certificate" },
		{ .what = "no client certificate",
		    .c = mesh(false, &ca, NULL),
		    .s = mesh(true, &ca, &web),
		    .server_why = "peer did not return a certificate" },
		{ .what = "the client's certificate is over",
		    .c = mesh(false, &ca, &late),
		    .s = mesh(true, &ca, &web),
		    .server_why = "expired" },
		{ .what = "no roots at all",
		    .c = mesh(false, NULL, &client),
		    .s = mesh(true, &ca, &web),
		    .client_fails = true },
		{ .what = "another protocol",
		    .c = mesh(false, &ca, &client),
		    .s = mesh(true, &ca, &web),
		    .client_fails = true,
		    .client_why = "no application protocol",
		    .server_why = "no application protocol" },
		{ .what = "another name",
		    .c = mesh(false, &ca, &client),
		    .s = mesh(true, &ca, &web),
		    .client_fails = true,
		    .host = "other.example",
		    .client_why = "hostname mismatch" },
	};

	(void)state;
	rows[7].c.alpn = h1;
	rows[8].c.check_host = true;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_tls *c = context(&rows[i].c), *s = context(&rows[i].s);
		struct duo d = { .a = { .reads = true, .closes_on_fail = true },
			.b = { .reads = true, .closes_on_fail = true } };

		duo_start(&d, c, s, rows[i].host, rows[i].expected);
		TURN_UNTIL(&d, d.b.fails > 0 && d.a.error != 0);
		if (d.b.opens != 0 || d.b.error != AP_STREAM_TLS || d.a.error != AP_STREAM_TLS)
			fail_msg("%s: server %u %d (%s), client %u %d (%s)", rows[i].what, d.b.opens, d.b.error,
			    d.b.why, d.a.opens, d.a.error, d.a.why);
		assert_int_equal(d.a.fails > 0, rows[i].client_fails);
		if (rows[i].client_why != NULL && strstr(d.a.why, rows[i].client_why) == NULL)
			fail_msg("%s: client says %s", rows[i].what, d.a.why);
		if (rows[i].server_why != NULL && strstr(d.b.why, rows[i].server_why) == NULL)
			fail_msg("%s: server says %s", rows[i].what, d.b.why);
		duo_end(&d);
		ap_tls_unref(&c);
		ap_tls_unref(&s);
	}
}

/* Client certificates asked for but not demanded; names checked; TLS 1.2 allowed. */
static void
outside_the_mesh_names_count(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, NULL), ss = mesh(true, &ca, &host);
	static const struct {
		const char *name;
		bool fine;
	} rows[] = { { "cp.example", true }, { "x.example", false } };
	struct ap_tls *c, *s;

	(void)state;
	cs.mesh = ss.mesh = false;
	cs.check_host = true;
	cs.alpn = NULL;
	ss.verify = AP_TLS_VERIFY_OPTIONAL;
	c = context(&cs);
	s = context(&ss);
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct duo d = { 0 };

		duo_start(&d, c, s, rows[i].name, NULL);
		TURN_UNTIL(&d, d.a.opens + d.a.fails > 0);
		assert_int_equal(d.a.opens, rows[i].fine);
		if (rows[i].fine) {
			TURN_UNTIL(&d, d.b.opens > 0);
			assert_int_equal(ap_tls_peer_der(d.b.s).len, 0);
			assert_int_equal(ap_tls_peer_spiffe(d.b.s).len, 0);
			assert_int_equal(ap_tls_alpn(d.b.s).len, 0);
		}
		duo_end(&d);
	}
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

struct choice {
	struct ap_tls *named;
	unsigned asked;
	bool wait;
	char sni[64];
};

static struct ap_tls *
choose(struct ap_stream *s, struct ap_slice sni, void *arg)
{
	struct choice *choice = arg;

	assert_non_null(ap_stream_bottom(s));
	choice->asked++;
	(void)snprintf(choice->sni, sizeof(choice->sni), "%.*s", AP_FMT(sni));
	if (choice->wait)
		return AP_TLS_WAIT;
	return ap_slice_eq_text(sni, "web.default.cluster.local.ambit") ? choice->named : NULL;
}

static void
a_server_chooses_its_certificate(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &client),
			       ws = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct choice choice = { .named = context(&ws) };
	static const struct {
		const char *sni, *identity;
		bool wait;
	} rows[] = { { NULL, CLIENT, false }, { "web.default.cluster.local.ambit", WEB, false },
		{ "else", CLIENT, false }, { "web.default.cluster.local.ambit", WEB, true } };

	(void)state;
	ap_tls_set_chooser(s, choose, &choice);
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct duo d = { .a = { .reads = true }, .b = { .to_send = 1000, .reads = true } };

		choice.wait = rows[i].wait;
		choice.asked = 0;
		duo_start(&d, c, s, rows[i].sni, rows[i].identity);
		if (rows[i].wait) {
			TURN_UNTIL(&d, choice.asked > 0);
			for (int j = 0; j < 5; j++)
				ap_loop_turn(d.loop, 5);
			assert_int_equal(choice.asked, 1);
			assert_int_equal(d.a.opens + d.b.opens, 0);
			choice.wait = false;
			ap_tls_choose_again(d.b.s);
		}
		TURN_UNTIL(&d, d.a.got == 1000 || d.a.fails > 0);
		if (d.a.fails > 0)
			fail_msg("%zu: %s", i, d.a.why);
		assert_string_equal(choice.sni, rows[i].sni == NULL ? "" : rows[i].sni);
		assert_true(ap_slice_eq_text(ap_tls_peer_spiffe(d.a.s), rows[i].identity));
		assert_true(ap_slice_eq_text(ap_tls_alpn(d.a.s), "h2"));
		duo_end(&d);
	}
	ap_tls_unref(&c);
	ap_tls_unref(&s);
	ap_tls_unref(&choice.named);
}

static void
bad_settings_are_refused_with_a_reason(void **state)
{
	struct ap_tls_settings rows[] = { mesh(true, &ca, &web), mesh(true, &ca, &web), mesh(true, &ca, &web),
		mesh(true, &ca, &web), mesh(true, &ca, &web) };

	(void)state;
	rows[0].key_pem = ap_buf_slice(&client.key);
	rows[1].cert_chain_pem = AP_S("hello");
	rows[2].key_pem = AP_SLICE_NONE;
	rows[3].roots_pem = AP_S("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	rows[4].crls_pem = AP_S("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_error err = { 0 };

		assert_null(ap_tls_new(&rows[i], &err));
		assert_true(err.text[0] != '\0');
	}
}

static void
silence_and_junk_end_a_handshake(void **state)
{
	struct ap_tls_settings ss = mesh(true, &ca, &web);
	struct ap_tls *s = context(&ss);
	struct side side = { 0 };
	struct ap_loop *loop = ap_loop_new("test");
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	side.s = ap_tls_server(ap_tcp_take(loop, fds[0], NULL), s, NULL, NULL);
	ap_stream_set_callback(side.s, side_fn, &side);
	assert_true(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18) > 0);
	for (int i = 0; i < 20 && side.fails == 0; i++)
		ap_loop_turn(loop, 50);
	assert_int_equal(side.fails, 1);
	assert_int_equal(side.error, AP_STREAM_TLS);
	ap_stream_close(&side.s, AP_STREAM_CLOSE_CLEAN);
	close(fds[1]);

	memset(&side, 0, sizeof(side));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	side.s = ap_tls_server(ap_tcp_take(loop, fds[0], NULL), s, NULL, NULL);
	ap_stream_set_callback(side.s, side_fn, &side);
	assert_true(write(fds[1], "\x16\x03\x01", 3) > 0); /* and then nothing: a slow handshake */
	for (int i = 0; i < 220 && side.fails == 0; i++)
		ap_loop_turn(loop, 50);
	assert_int_equal(side.fails, 1);
	assert_int_equal(side.error, AP_STREAM_TIMEOUT);
	ap_stream_close(&side.s, AP_STREAM_CLOSE_CLEAN);
	close(fds[1]);
	ap_loop_free(&loop);
	ap_tls_unref(&s);
}

static void
short_reads_and_writes_lose_nothing(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	static const size_t sizes[] = { 1, 5, 700, 16000 };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(sizes); i++) {
		const struct ap_sock_fault fault = { .times = 1000000, .max_bytes = sizes[i] };
		uint64_t n = sizes[i] * 300;
		struct duo d = { .a = { .reads = true, .to_send = n, .ends = true },
			.b = { .reads = true, .to_send = n, .ends = true } };

		ap_sock_set_fault(AP_SOCK_READ, &fault);
		ap_sock_set_fault(AP_SOCK_WRITE, &fault);
		duo_start(&d, c, s, NULL, WEB);
		TURN_UNTIL(&d, d.a.eof && d.b.eof);
		assert_int_equal(d.a.got + d.b.got, 2 * n);
		assert_int_equal(d.a.bad + d.b.bad, 0);
		ap_sock_set_fault(AP_SOCK_READ, NULL);
		ap_sock_set_fault(AP_SOCK_WRITE, NULL);
		duo_end(&d);
	}
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

static void
a_write_that_fails_is_found_out(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	const struct ap_sock_fault fault = { .times = 1, .error = ECONNRESET };
	struct duo d = { .a = { .reads = false }, .b = { .reads = true } };

	(void)state;
	duo_start(&d, c, s, NULL, WEB);
	TURN_UNTIL(&d, d.a.opens > 0 && d.b.opens > 0);
	ap_sock_set_fault(AP_SOCK_WRITE, &fault);
	assert_int_equal(ap_stream_write(d.a.s, "hello", 5), 5);
	TURN_UNTIL(&d, d.a.fails > 0);
	assert_int_equal(d.a.error, AP_STREAM_RESET);
	assert_int_equal(ap_stream_write(d.a.s, "hello", 5), AP_STREAM_ERROR);
	ap_sock_set_fault(AP_SOCK_WRITE, NULL);
	duo_end(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

/* Many clients at once: a turn has room for a few steps, and all get theirs. */
static void
a_storm_of_handshakes_does_not_stop_the_loop(void **state)
{
	enum { COUNT = 100, ROOM = 16 };
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct duo *d = ap_alloc_array(COUNT, sizeof(*d));
	struct ap_loop *loop = ap_loop_new("test");
	unsigned opens = 0, before;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		d[i].loop = loop;
		duo_start(&d[i], c, s, NULL, WEB);
	}
	for (int turn = 0; turn < 200 && opens < 2 * COUNT; turn++) {
		before = opens;
		opens = 0;
		ap_loop_turn(loop, 50);
		for (int i = 0; i < COUNT; i++)
			opens += d[i].a.opens + d[i].b.opens;
		assert_true(opens - before <= ROOM);
	}
	assert_int_equal(opens, 2 * COUNT);
	for (int i = 0; i < COUNT; i++) {
		ap_stream_close(&d[i].a.s, AP_STREAM_CLOSE_CLEAN);
		ap_stream_close(&d[i].b.s, AP_STREAM_CLOSE_CLEAN);
	}
	ap_loop_free(&loop);
	ap_free(&d);
	ap_tls_unref(&c);
	ap_tls_unref(&s);
}

struct shared {
	struct ap_tls *c, *s;
	bool fine;
};

static void *
use_shared(void *arg)
{
	struct shared *shared = arg;

	shared->fine = true;
	for (int i = 0; i < 20; i++) {
		struct duo d = { .a = { .reads = true, .to_send = 30000, .ends = true },
			.b = { .reads = true, .to_send = 50000, .ends = true } };

		duo_start(&d, shared->c, shared->s, NULL, WEB);
		for (int turn = 0; turn < 1000 && !(d.a.eof && d.b.eof); turn++)
			ap_loop_turn(d.loop, 50);
		shared->fine = shared->fine && d.a.eof && d.b.eof && d.a.bad + d.b.bad == 0;
		duo_end(&d);
	}
	ap_tls_unref(&shared->c);
	ap_tls_unref(&shared->s);
	return NULL;
}

static void
contexts_are_shared_by_threads(void **state)
{
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_tls *c = context(&cs), *s = context(&ss);
	struct shared shared[3];
	pthread_t threads[3];

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(threads); i++) {
		shared[i] = (struct shared){ .c = ap_tls_ref(c), .s = ap_tls_ref(s) };
		assert_int_equal(pthread_create(&threads[i], NULL, use_shared, &shared[i]), 0);
	}
	/* A renewal: ours is dropped while theirs is in use. */
	ap_tls_unref(&c);
	ap_tls_unref(&s);
	for (size_t i = 0; i < AP_COUNTOF(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_true(shared[i].fine);
	}
}

/* ---- foreign peers ---- */

static char dir[] = "/tmp/ambit-tls-XXXXXX";

static void
write_files(void)
{
	struct ap_error err = { 0 };
	const struct {
		const char *name;
		struct ap_buf *bytes;
	} files[] = { { "ca.pem", &ca.cert }, { "web.pem", &web.cert }, { "web.key", &web.key },
		{ "client.pem", &client.cert }, { "client.key", &client.key }, { "stranger.pem", &stranger.cert } };

	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < AP_COUNTOF(files); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		assert_int_equal(ap_file_write(path, ap_buf_slice(files[i].bytes), 0600, &err), 0);
	}
}

/* Start a shell command with pipes on its standard input and output. */
static pid_t
start(const char *command, int *in, int *out)
{
	int to[2], from[2];
	pid_t pid;

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(to[0], 0);
		(void)dup2(from[1], 1);
		(void)dup2(from[1], 2);
		if (chdir(dir) != 0)
			_exit(126);
		(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	(void)fcntl(from[0], F_SETFL, O_NONBLOCK);
	*in = to[1];
	*out = from[0];
	return pid;
}

struct foreign {
	struct ap_loop *loop;
	struct ap_tls *tls;
	struct side side;
	char out[65536];
	size_t out_len;
};

static void
foreign_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct foreign *f = arg;

	if (f->side.s != NULL) {
		close(fd);
		return;
	}
	f->side.s = ap_tls_server(ap_tcp_take(f->loop, fd, peer), f->tls, NULL, NULL);
	ap_stream_set_callback(f->side.s, side_fn, &f->side);
}

/* Turn and collect what the program says, until cond text was seen or 10 s. */
static bool
hear(struct foreign *f, int out, const char *text)
{
	uint64_t until = ap_clock_mono_ms() + 10000;

	while (ap_clock_mono_ms() < until) {
		ssize_t n = read(out, f->out + f->out_len, sizeof(f->out) - 1 - f->out_len);

		if (n > 0)
			f->out_len += (size_t)n;
		f->out[f->out_len] = '\0';
		if (strstr(f->out, text) != NULL)
			return true;
		ap_loop_turn(f->loop, 10);
	}
	return false;
}

static void
openssl_as_client(void **state)
{
	static const struct {
		const char *options, *hears;
		bool opens;
	} rows[] = {
		{ "-cert client.pem -key client.key -CAfile ca.pem -verify_return_error -alpn h2", "ALPN protocol: h2",
		    true },
		{ "-cert client.pem -key client.key -CAfile ca.pem -groups P-384 -alpn h2", "TLSv1.3", true },
		{ "-cert client.pem -key client.key -CAfile ca.pem", "No ALPN negotiated", true },
		{ "-CAfile ca.pem -alpn h2", "certificate required", false },
		{ "-cert client.pem -key client.key -tls1_2", "protocol version", false },
		{ "-cert client.pem -key client.key -ciphersuites TLS_CHACHA20_POLY1305_SHA256", "handshake failure",
		    false },
		{ "-cert client.pem -key client.key -alpn http/1.1", "no application protocol", false },
	};
	struct ap_tls_settings ss = mesh(true, &ca, &web);

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct foreign *f = ap_new(struct foreign);
		struct ap_addr at;
		struct ap_error err = { 0 };
		struct ap_listener *l;
		char command[512];
		int in, out, status;
		pid_t pid;

		f->loop = ap_loop_new("test");
		f->tls = context(&ss);
		f->side.reads = true;
		f->side.to_send = rows[i].opens ? 1 : 0;
		assert_int_equal(ap_addr_parse(AP_S("127.0.0.1:0"), &at), 0);
		l = ap_listener_new(f->loop, &at, NULL, foreign_accept, f, &err);
		assert_non_null(l);
		at = ap_listener_addr(l);
		(void)snprintf(command, sizeof(command), "exec openssl s_client -connect 127.0.0.1:%u %s",
		    ap_addr_port(&at), rows[i].options);
		pid = start(command, &in, &out);
		if (!hear(f, out, rows[i].hears))
			fail_msg("%s: no \"%s\" in: %s", rows[i].options, rows[i].hears, f->out);
		if (rows[i].opens) {
			uint64_t until = ap_clock_mono_ms() + 10000;

			assert_true(write(in, (char[]){ 0, 7 }, 2) == 2);
			while (f->side.got < 2 && ap_clock_mono_ms() < until)
				ap_loop_turn(f->loop, 20);
			assert_int_equal(f->side.got, 2);
			assert_int_equal(f->side.bad, 0);
			assert_true(ap_slice_eq_text(ap_tls_peer_spiffe(f->side.s), CLIENT));
			kill(pid, SIGTERM); /* no close_notify */
			while (f->side.error == 0 && !f->side.eof && ap_clock_mono_ms() < until)
				ap_loop_turn(f->loop, 20);
			assert_int_equal(f->side.error, AP_STREAM_RESET);
		} else {
			assert_int_equal(f->side.opens, 0);
			assert_int_equal(f->side.error, AP_STREAM_TLS);
		}
		kill(pid, SIGTERM);
		close(in);
		close(out);
		waitpid(pid, &status, 0);
		ap_stream_close(&f->side.s, AP_STREAM_CLOSE_CLEAN);
		ap_listener_free(&l);
		ap_loop_free(&f->loop);
		ap_tls_unref(&f->tls);
		ap_free(&f);
	}
}

static void
openssl_as_server(void **state)
{
	static const struct {
		const char *options, *expected;
		bool opens;
	} rows[] = {
		{ "-cert web.pem -key web.key -CAfile ca.pem -Verify 1 -verify_return_error -alpn h2", WEB, true },
		{ "-cert web.pem -key web.key -groups P-384 -alpn h2", WEB, true }, /* HelloRetryRequest */
		{ "-cert web.pem -key web.key -alpn h2", "spiffe://cluster.local/ns/default/sa/db", false },
		{ "-cert web.pem -key web.key -tls1_2", WEB, false },
	};
	struct ap_tls_settings cs = mesh(false, &ca, &client);

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct foreign *f = ap_new(struct foreign);
		struct ap_addr at;
		struct ap_error err = { 0 };
		struct ap_listener *l;
		char command[512];
		int in, out, status;
		pid_t pid;
		union {
			const char *in;
			void *out;
		} u = { .in = rows[i].expected };

		f->loop = ap_loop_new("test");
		f->tls = context(&cs);
		f->side.reads = true;
		f->side.to_send = 5;
		/* A free port: ask the kernel, then leave it to openssl. */
		assert_int_equal(ap_addr_parse(AP_S("127.0.0.1:0"), &at), 0);
		l = ap_listener_new(f->loop, &at, NULL, foreign_accept, f, &err);
		at = ap_listener_addr(l);
		ap_listener_free(&l);
		(void)snprintf(command, sizeof(command), "exec openssl s_server -accept 127.0.0.1:%u %s",
		    ap_addr_port(&at), rows[i].options);
		pid = start(command, &in, &out);
		assert_true(hear(f, out, "ACCEPT"));
		f->side.s = ap_tls_client(ap_tcp_connect(f->loop, &at, NULL), f->tls, NULL, expect, u.out);
		ap_stream_set_callback(f->side.s, side_fn, &f->side);
		if (rows[i].opens) {
			assert_true(hear(f, out, "ALPN protocols selected: h2"));
			assert_int_equal(f->side.opens, 1);
			assert_true(write(in, "Q\n", 2) == 2); /* s_server ends without close_notify */
			TURN_UNTIL(f, f->side.eof || f->side.error != 0);
			assert_int_equal(f->side.error, AP_STREAM_RESET);
			assert_true(ap_tls_is_cut(f->side.s));
		} else {
			TURN_UNTIL(f, f->side.fails > 0);
			assert_int_equal(f->side.error, AP_STREAM_TLS);
		}
		kill(pid, SIGTERM);
		close(in);
		close(out);
		waitpid(pid, &status, 0);
		ap_stream_close(&f->side.s, AP_STREAM_CLOSE_CLEAN);
		ap_loop_free(&f->loop);
		ap_tls_unref(&f->tls);
		ap_free(&f);
	}
}

static void
revoked_certificates_are_refused(void **state)
{
	char command[1024], path[128];
	struct ap_tls_settings cs = mesh(false, &ca, &client), ss = mesh(true, &ca, &web);
	struct ap_buf crl;
	struct ap_error err = { 0 };

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/ca.key", dir);
	assert_int_equal(ap_file_write(path, ap_buf_slice(&ca.key), 0600, &err), 0);
	(void)snprintf(command, sizeof(command),
	    "cd %s && : > index && echo 01 > crlnumber && printf "
	    "'[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\ncrlnumber=crlnumber\\n"
	    "default_md=sha256\\ndefault_crl_days=1\\n' > ca.cnf && openssl ca -config ca.cnf -cert ca.pem -keyfile "
	    "ca.key "
	    "-revoke client.pem 2>/dev/null && openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out "
	    "crl.pem 2>/dev/null",
	    dir);
	assert_int_equal(system(command), 0);
	ap_buf_init(&crl, 65536);
	(void)snprintf(path, sizeof(path), "%s/crl.pem", dir);
	assert_int_equal(ap_file_read(path, &crl, &err), 0);
	for (int i = 0; i < 2; i++) {
		struct ap_tls *c, *s;
		struct duo d = { .a = { .reads = true }, .b = { .reads = true } };

		/* Only the client's certificate is in the list. */
		cs.crls_pem = ap_buf_slice(&crl);
		ss.crls_pem = i == 0 ? AP_SLICE_NONE : ap_buf_slice(&crl);
		c = context(&cs);
		s = context(&ss);
		duo_start(&d, c, s, NULL, WEB);
		TURN_UNTIL(&d, d.b.opens + d.b.fails > 0);
		for (int j = 0; j < 5; j++)
			ap_loop_turn(d.loop, 2);
		assert_int_equal(d.b.fails, i); /* once */
		if (i == 1)
			assert_non_null(strstr(d.b.why, "revoked"));
		duo_end(&d);
		ap_tls_unref(&c);
		ap_tls_unref(&s);
	}
	ap_buf_done(&crl);
}

static int
set_up(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	pki_init(&ca, "root");
	pki_init(&stranger, "stranger");
	pki_leaf(&ca, &web, WEB, NULL, 600);
	pki_leaf(&ca, &client, CLIENT, NULL, 600);
	pki_leaf(&ca, &late, WEB, NULL, -30);
	pki_leaf(&ca, &host, NULL, "cp.example", 600);
	write_files();
	return 0;
}

static int
tear_down(void **state)
{
	struct ap_error err = { 0 };

	(void)state;
	(void)ap_dir_remove(dir, &err);
	pki_leaf_done(&web);
	pki_leaf_done(&client);
	pki_leaf_done(&late);
	pki_leaf_done(&host);
	pki_done(&ca);
	pki_done(&stranger);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_prove_who_they_are),
		cmocka_unit_test(ten_megabytes_arrive_whole_both_ways),
		cmocka_unit_test(one_direction_may_end_long_before_the_other),
		cmocka_unit_test(a_reader_that_stops_stops_the_writer),
		cmocka_unit_test(close_delivers_what_was_written),
		cmocka_unit_test(a_lingering_close_ends_with_its_loop),
		cmocka_unit_test(a_cut_is_not_an_end),
		cmocka_unit_test(refusals_are_told_to_both),
		cmocka_unit_test(outside_the_mesh_names_count),
		cmocka_unit_test(a_server_chooses_its_certificate),
		cmocka_unit_test(bad_settings_are_refused_with_a_reason),
		cmocka_unit_test(silence_and_junk_end_a_handshake),
		cmocka_unit_test(short_reads_and_writes_lose_nothing),
		cmocka_unit_test(a_write_that_fails_is_found_out),
		cmocka_unit_test(a_storm_of_handshakes_does_not_stop_the_loop),
		cmocka_unit_test(contexts_are_shared_by_threads),
		cmocka_unit_test(openssl_as_client),
		cmocka_unit_test(openssl_as_server),
		cmocka_unit_test(revoked_certificates_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
