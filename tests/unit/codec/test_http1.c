/* test_http1.c -- the strict HTTP/1 reader: what it takes, and every shape that two parsers could read differently. */
#include "../test.h"

#include <string.h>

#include "codec/http1.h"

static const struct ap_h1_limits limits = { .head = 65536, .target = 100 };
static struct ap_h1_field fields[16];

static int
request(const char *text, struct ap_h1_head *out)
{
	struct ap_slice in = ap_slice_of(text);
	size_t scanned = 0;
	int64_t size = ap_h1_find_head(in, limits.head, &scanned);

	out->fields = fields;
	out->room = 16;
	return size < 0 ? (int)size : ap_h1_parse_request(ap_slice(in.ptr, (size_t)size), &limits, out);
}

static int
response(const char *text, const char *method, struct ap_h1_head *out)
{
	struct ap_slice in = ap_slice_of(text);
	size_t scanned = 0;
	int64_t size = ap_h1_find_head(in, limits.head, &scanned);

	out->fields = fields;
	out->room = 16;
	return size < 0 ?
	    (int)size :
	    ap_h1_parse_response(ap_slice(in.ptr, (size_t)size), &limits, ap_slice_of(method), out);
}

static void
test_good_requests(void **state)
{
	static const struct {
		const char *text, *method, *path, *authority;
		enum ap_h1_body body;
		uint64_t length;
		bool keep_alive;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "a", AP_H1_NO_BODY, 0, true },
		{ "GET /a?b=c HTTP/1.1\r\nhost:a:80\r\n\r\n", "GET", "/a?b=c", "a:80", AP_H1_NO_BODY, 0, true },
		{ "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", AP_H1_NO_BODY, 0, false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", AP_H1_NO_BODY, 0, true },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, close\r\n\r\n", "GET", "/", "a", AP_H1_NO_BODY, 0,
		    false },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "POST", "/", "a", AP_H1_LENGTH, 5, true },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST", "/", "a", AP_H1_NO_BODY, 0, true },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "POST", "/", "a", AP_H1_CHUNKED,
		    0, true },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n", "POST", "/", "a",
		    AP_H1_CHUNKED, 0, true },
		{ "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/b", "a", AP_H1_NO_BODY, 0, true },
		{ "GET http://A HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "A", AP_H1_NO_BODY, 0, true },
		{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "*", "a", AP_H1_NO_BODY, 0, true },
		{ "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT", "", "a:443", AP_H1_NO_BODY, 0, true },
		{ "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", "CONNECT", "", "[::1]:443", AP_H1_NO_BODY,
		    0, true },
		{ "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t v \t\r\n\r\n", "GET", "/", "a", AP_H1_NO_BODY, 0, true },
		{ "GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\r\n\r\n", "GET", "/", "a", AP_H1_NO_BODY, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_h1_head h;
		int rv = request(rows[i].text, &h);

		if (rv != 0)
			fail_msg("row %zu: %d", i, rv);
		assert_true(ap_slice_eq_text(h.method, rows[i].method));
		assert_true(ap_slice_eq_text(h.path, rows[i].path));
		assert_true(ap_slice_eq_text(h.authority, rows[i].authority));
		assert_int_equal(h.body, rows[i].body);
		assert_int_equal(h.length, rows[i].length);
		assert_int_equal(h.keep_alive, rows[i].keep_alive);
	}
}

#define H "GET / HTTP/1.1\r\nHost: a\r\n"
#define P "POST / HTTP/1.1\r\nHost: a\r\n"

static void
test_bad_requests(void **state)
{
	static const struct {
		const char *text;
		int error;
	} rows[] = {
		{ P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", AP_H1_BAD },
		{ P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: 5, 5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: +5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: -5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: 0x5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: 5 5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: \r\n\r\n", AP_H1_BAD },
		{ P "Content-Length: 99999999999999999999\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length : 5\r\n\r\n", AP_H1_BAD },
		{ P "Content-Length\t: 5\r\n\r\n", AP_H1_BAD },
		{ P " Content-Length: 5\r\n\r\n", AP_H1_BAD },
		{ P "X: a\r\n Content-Length: 5\r\n\r\n", AP_H1_BAD },
		{ P "X: a\r\n\tb\r\n\r\n", AP_H1_BAD },
		{ P "Transfer-Encoding: gzip, chunked\r\n\r\n", AP_H1_CODING },
		{ P "Transfer-Encoding: identity\r\n\r\n", AP_H1_CODING },
		{ P "Transfer-Encoding: chunked, chunked\r\n\r\n", AP_H1_CODING },
		{ P "Transfer-Encoding: xchunked\r\n\r\n", AP_H1_CODING },
		{ P "Transfer-Encoding: \x0b" "chunked\r\n\r\n", AP_H1_BAD },
		{ P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", AP_H1_BAD },
		{ P "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", AP_H1_BAD },
		{ P "Transfer\x00-Encoding: chunked\r\n\r\n", AP_H1_MORE }, /* C text ends there */
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", AP_H1_BAD },
		{ P "Transfer-Encoding : chunked\r\n\r\n", AP_H1_BAD },
		{ H "X: a\nY: b\r\n\r\n", AP_H1_BAD },
		{ H "X: a\rY: b\r\n\r\n", AP_H1_BAD },
		{ H "X: a\r\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/1.1\nHost: a\n\n", AP_H1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\n", AP_H1_BAD },
		{ H "X: a\x01\r\n\r\n", AP_H1_BAD },
		{ H "X: a\x7f\r\n\r\n", AP_H1_BAD },
		{ H ": a\r\n\r\n", AP_H1_BAD },
		{ H "X\r\n\r\n", AP_H1_BAD },
		{ H "X(: a\r\n\r\n", AP_H1_BAD },
		{ H "X\xc3: a\r\n\r\n", AP_H1_BAD },
		{ H "Host: b\r\n\r\n", AP_H1_BAD },
		{ H "Host: a\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/1.1\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", AP_H1_BAD },
		{ "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET http:///x HTTP/1.1\r\nHost: \r\n\r\n", AP_H1_BAD },
		{ "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET a HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET * HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", AP_H1_BAD },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\n", AP_H1_BAD },
		{ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET / b HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ " GET / HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET / http/1.1\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/11\r\nHost: a\r\n\r\n", AP_H1_BAD },
		{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", AP_H1_VERSION },
		{ "GET / HTTP/0.9\r\nHost: a\r\n\r\n", AP_H1_VERSION },
		{ "GET /\r\n\r\n", AP_H1_BAD },
		{ "PRI * HTTP/2.0\r\n\r\n", AP_H1_VERSION },
		{ H "Connection: host\r\n\r\n", AP_H1_BAD },
		{ H "Connection: close, Authorization\r\n\r\n", AP_H1_BAD },
		{ H "Connection: x\r\nConnection: X-Forwarded-For\r\n\r\n", AP_H1_BAD },
		{ H "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\nk:\r\nl:\r\nm:\r\nn:\r\no:\r\np:\r\n\r\n",
		    AP_H1_LARGE },
		{ "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  " HTTP/1.1\r\nHost: a\r\n\r\n",
		    AP_H1_LONG },
		{ "GET / HT", AP_H1_MORE },
		{ H, AP_H1_MORE },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_h1_head h;
		int rv = request(rows[i].text, &h);

		if (rv != rows[i].error)
			fail_msg("row %zu: %d, not %d", i, rv, rows[i].error);
	}
}

static void
test_nul_in_a_head_is_refused(void **state)
{
	static const char text[] = H "X: a\0b\r\n\r\n";
	struct ap_h1_head h = { .fields = fields, .room = 16 };
	size_t scanned = 0;
	int64_t size = ap_h1_find_head(ap_slice(text, sizeof(text) - 1), 1000, &scanned);

	(void)state;
	assert_true(size < 0 || ap_h1_parse_request(ap_slice(text, (size_t)size), &limits, &h) == AP_H1_BAD);
}

static void
test_responses(void **state)
{
	static const struct {
		const char *text, *method;
		int error, status;
		enum ap_h1_body body;
		bool keep_alive;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", 0, 200, AP_H1_LENGTH, true },
		{ "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", "GET", 0, 200, AP_H1_LENGTH, true },
		{ "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "GET", 0, 200, AP_H1_NO_BODY, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", 0, 200, AP_H1_NO_BODY, true },
		{ "HTTP/1.1 304 OK\r\nContent-Length: 3\r\n\r\n", "GET", 0, 304, AP_H1_NO_BODY, true },
		{ "HTTP/1.1 204 No\r\n\r\n", "GET", 0, 204, AP_H1_NO_BODY, true },
		{ "HTTP/1.1 100 Go\r\n\r\n", "GET", 0, 100, AP_H1_NO_BODY, true },
		{ "HTTP/1.1 200 OK\r\n\r\n", "GET", 0, 200, AP_H1_TO_CLOSE, false },
		{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", "GET", 0, 200, AP_H1_LENGTH,
		    true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", 0, 200, AP_H1_CHUNKED, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 0, 200, AP_H1_NO_BODY, true },
		{ "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET", 0, 101, AP_H1_TUNNEL,
		    true },
		{ "HTTP/1.1 200 OK\r\n\r\n", "CONNECT", 0, 200, AP_H1_TUNNEL, true },
		{ "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\n", "CONNECT", 0, 407, AP_H1_LENGTH, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", AP_H1_BAD, 0, 0,
		    false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "GET", AP_H1_CODING, 0, 0, false },
		{ "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
		{ "HTTP/1.1 20 OK\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
		{ "HTTP/1.1 2000 OK\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
		{ "HTTP/1.1 099 OK\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
		{ "HTTP/1.1  200 OK\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
		{ "HTTP/1.1 200 O\x01K\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
		{ "HTTP/2.0 200 OK\r\n\r\n", "GET", AP_H1_VERSION, 0, 0, false },
		{ "ICY 200 OK\r\n\r\n", "GET", AP_H1_BAD, 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_h1_head h;
		int rv = response(rows[i].text, rows[i].method, &h);

		if (rv != rows[i].error)
			fail_msg("row %zu: %d, not %d", i, rv, rows[i].error);
		if (rv != 0)
			continue;
		assert_int_equal(h.status, rows[i].status);
		assert_int_equal(h.body, rows[i].body);
		assert_int_equal(h.keep_alive, rows[i].keep_alive);
	}
}

/* Feed text in pieces of `step`; the decoded data into out. The last result of the decoder, and what it left in *rest. */
static int
dechunk(const char *text, size_t step, char *out, size_t *rest)
{
	struct ap_h1_chunks c = { 0 };
	size_t size = strlen(text), at = 0, have = 0, n = 0;
	int rv = AP_H1_MORE;

	while (rv == AP_H1_MORE || rv == 1) {
		struct ap_slice data;
		size_t used;

		rv = ap_h1_chunks_next(&c, ap_slice(text + at, have - at), &used, &data);
		at += used;
		if (rv == 1) {
			memcpy(out + n, data.ptr, data.len);
			n += data.len;
			at += data.len;
			ap_h1_chunks_took(&c, data.len);
		} else if (rv == AP_H1_MORE) {
			if (have == size)
				break;
			have += step;
			if (have > size)
				have = size;
		}
	}
	out[n] = '\0';
	*rest = size - at;
	return rv;
}

static void
test_chunks(void **state)
{
	static const struct {
		const char *text;
		int rv;
		const char *data;
		size_t rest;
	} rows[] = {
		{ "5\r\nhello\r\n0\r\n\r\n", 0, "hello", 2 },
		{ "5\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n", 0, "hello world", 8 },
		{ "a\r\n0123456789\r\n0\r\n", 0, "0123456789", 0 },
		{ "A\r\n0123456789\r\n000\r\n", 0, "0123456789", 0 },
		{ "5;a=b;c=\"d;\\\"e\"\r\nhello\r\n0;x\r\n", 0, "hello", 0 },
		{ "5\nhello\r\n0\r\n\r\n", AP_H1_BAD, "", 14 },
		{ "5\r\nhello0\r\n\r\n", AP_H1_BAD, "hello", 5 },
		{ "5\r\nhello\n0\r\n\r\n", AP_H1_BAD, "hello", 6 },
		{ " 5\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "5 \r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "0x5\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "-5\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ ";x\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "5;a\rb\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "5;a\nb\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "5;a b\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "5\r\r\nhello\r\n", AP_H1_BAD, "", 0 },
		{ "fffffffffffffffff\r\n", AP_H1_BAD, "", 0 },
		{ "5\r\nhel", AP_H1_MORE, "hel", 0 },
		{ "5\r\nhello\r\n", AP_H1_MORE, "hello", 0 },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		for (size_t step = 1; step < 40; step += 6) {
			char out[64];
			size_t rest;
			int rv = dechunk(rows[i].text, step, out, &rest);

			if (rv != rows[i].rv)
				fail_msg("row %zu step %zu: %d, not %d", i, step, rv, rows[i].rv);
			assert_string_equal(out, rows[i].data);
			if (rv >= 0)
				assert_int_equal(rest, rows[i].rest);
		}
	}
}

static void
test_head_is_found_in_pieces(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
	size_t scanned = 0;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 5; n++)
		assert_int_equal(ap_h1_find_head(ap_slice(text, n), 1000, &scanned), AP_H1_MORE);
	assert_int_equal(ap_h1_find_head(ap_slice_of(text), 1000, &scanned), 27);
	scanned = 0;
	assert_int_equal(ap_h1_find_head(ap_slice_of(text), 20, &scanned), AP_H1_LARGE);
	scanned = 0;
	assert_int_equal(ap_h1_find_head(AP_S("aaaaaaaaaaaaaaaaaaaaaaaaa"), 20, &scanned), AP_H1_LARGE);
	scanned = 0;
	assert_int_equal(ap_h1_find_head(AP_S("\r\nGET"), 20, &scanned), 2);
}

static void
test_chunk_heads(void **state)
{
	char out[18];

	(void)state;
	assert_int_equal(ap_h1_chunk_head(0x1f4, out), 5);
	assert_memory_equal(out, "1f4\r\n", 5);
	assert_int_equal(ap_h1_chunk_head(0, out), 3);
	assert_memory_equal(out, "0\r\n", 3);
	assert_int_equal(ap_h1_chunk_head(SIZE_MAX, out), 18);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_requests),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_nul_in_a_head_is_refused),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_head_is_found_in_pieces),
		cmocka_unit_test(test_chunk_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
