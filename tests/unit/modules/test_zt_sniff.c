/* test_zt_sniff.c -- connections as both sides speak them, and the requests that an observer must see: fed whole, and byte by byte. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "ztunnel/zt_sniff.h"
#include "../test.h"

/* One side's bytes; 1 ms passes before each. Text: "" ends the list. */
struct part {
	char side; /* 'c' or 's' */
	const char *bytes;
	size_t size; /* 0: a text */
};

struct seen {
	char text[1024];
	size_t len;
	uint64_t longest;
};

static void
note(const struct zt_sniff_request *r, void *arg)
{
	struct seen *s = arg;

	s->longest = r->duration_us > s->longest ? r->duration_us : s->longest;
	s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len, "%s%u %u/%u", s->len > 0 ? ", " : "", r->status,
	    (unsigned)r->request_bytes, (unsigned)r->response_bytes);
	if (r->is_grpc || r->grpc_status >= 0)
		s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len, " grpc %d", r->grpc_status);
}

/* False: it gave up. */
static bool
play(const struct part *parts, size_t count, size_t step, struct seen *out)
{
	struct zt_sniff *s = NULL;
	uint64_t now = 1000000;
	bool alive = true;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < count && parts[i].bytes != NULL && alive; i++) {
		enum zt_sniff_side side = parts[i].side == 'c' ? ZT_SNIFF_CLIENT : ZT_SNIFF_SERVER;
		size_t size = parts[i].size > 0 ? parts[i].size : strlen(parts[i].bytes);

		now += 1000;
		if (s == NULL && !zt_sniff_is_likely(side, parts[i].bytes, size))
			return false;
		if (s == NULL)
			s = zt_sniff_new();
		for (size_t at = 0; at < size && alive; at += step)
			alive = zt_sniff_feed(s, side, parts[i].bytes + at, size - at < step ? size - at : step, now, note, out);
	}
	if (alive && s != NULL)
		zt_sniff_finish(s, now + 1000, note, out);
	zt_sniff_free(&s);
	return alive;
}

static void
check(const char *name, const struct part *parts, size_t count, const char *expected, bool gives_up)
{
	static const size_t steps[] = { SIZE_MAX / 2, 1, 2, 7 };

	for (size_t i = 0; i < AP_COUNTOF(steps); i++) {
		struct seen seen;
		bool alive = play(parts, count, steps[i], &seen);

		if (alive == gives_up || strcmp(seen.text, expected) != 0)
			fail_msg("%s, in steps of %zu: %s\"%s\" instead of %s\"%s\"", name, steps[i], alive ? "" : "gave up after ",
			    seen.text, gives_up ? "giving up after " : "", expected);
	}
}

#define PARTS 12

struct h1_case {
	const char *name;
	struct part parts[PARTS];
	const char *expected;
	bool gives_up;
};

#define GET "GET /a HTTP/1.1\r\nHost: a\r\n\r\n" /* 28 bytes */
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" /* 40 bytes */

static const struct h1_case h1_cases[] = {
	{ "one request", { { 'c', GET, 0 }, { 's', OK2, 0 } }, "200 28/40", false },
	{ "keep-alive", { { 'c', GET, 0 }, { 's', OK2, 0 }, { 'c', GET, 0 }, { 's', OK2, 0 } }, "200 28/40, 200 28/40", false },
	{ "bare line feeds, HTTP/1.0", { { 'c', "GET / HTTP/1.0\n\n", 0 }, { 's', "HTTP/1.0 404 no\ncontent-length:0\n\n", 0 } },
	    "404 16/34", false },
	{ "no reason", { { 'c', GET, 0 }, { 's', "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", 0 } }, "500 28/35", false },
	{ "pipelining", { { 'c', GET GET GET, 0 }, { 's', OK2 OK2, 0 }, { 'c', GET, 0 }, { 's', OK2 OK2, 0 } },
	    "200 28/40, 200 28/40, 200 28/40, 200 28/40", false },
	{ "HEAD has no body, whatever its length", { { 'c', "HEAD /a HTTP/1.1\r\n\r\n" GET, 0 },
	      { 's', "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" OK2, 0 } }, "200 20/40, 200 28/40", false },
	{ "HEADER is another method", { { 'c', "HEADER /a HTTP/1.1\r\n\r\n", 0 }, { 's', OK2, 0 } }, "200 22/40", false },
	{ "HEA is another method", { { 'c', "HEA /a HTTP/1.1\r\n\r\n", 0 }, { 's', OK2, 0 } }, "200 19/40", false },
	{ "no body by status", { { 'c', GET GET, 0 }, { 's', "HTTP/1.1 204 x\r\n\r\nHTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", 0 },
	      { 'c', GET, 0 }, { 's', OK2, 0 } }, "204 28/18, 304 28/37, 200 28/40", false },
	{ "an upload with 100-continue", { { 'c', "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 0 },
	      { 's', "HTTP/1.1 100 Continue\r\n\r\n", 0 }, { 'c', "12345", 0 }, { 's', OK2, 0 } }, "200 66/65", false },
	{ "early hints", { { 'c', GET, 0 }, { 's', "HTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" OK2, 0 } }, "200 28/74", false },
	{ "chunks both ways", { { 'c', "PUT /a HTTP/1.1\r\nTransfer-Encoding: Chunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0 },
	      { 's', "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA;x=\"1\"\r\n0123456789\r\n0\r\nEtag: x\r\n\r\n", 0 },
	      { 'c', GET, 0 }, { 's', OK2, 0 } }, "200 61/82, 200 28/40", false },
	{ "an answer to the end of the connection", { { 'c', GET, 0 }, { 's', "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nlong", 0 },
	      { 's', " text\r\nHTTP/1.1 500", 0 } }, "200 28/61", false },
	{ "an answer that is cut", { { 'c', GET, 0 }, { 's', "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlo", 0 } }, "200 28/40", false },
	{ "a request without an answer", { { 'c', GET, 0 } }, "", false },
	{ "half an answer's head", { { 'c', GET, 0 }, { 's', "HTTP/1.1 200 OK\r\nConten", 0 } }, "", false },
	{ "an answer before the end of the upload", { { 'c', "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123", 0 },
	      { 's', "HTTP/1.1 413 no\r\nContent-Length: 0\r\n\r\n", 0 }, { 'c', "456789", 0 }, { 'c', GET, 0 }, { 's', OK2, 0 } },
	    "413 41/38, 200 28/40", false },
	{ "an answer before the end of the head", { { 'c', "HEAD / HTTP/1.1\r\nHo", 0 },
	      { 's', "HTTP/1.1 431 no\r\nContent-Length: 7\r\n\r\n", 0 }, { 'c', "st: a\r\n\r\n", 0 } }, "431 19/38", false },
	{ "an empty line behind a body", { { 'c', "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx\r\n" GET, 0 }, { 's', OK2 OK2, 0 } },
	    "200 39/40, 200 28/40", false },
	{ "fields that begin like ours", { { 'c', "GET / HTTP/1.1\r\nContent-Type: 5\r\nTE: x\r\nT: 1\r\nContent-Length-X: 9\r\nC:\r\n\r\n", 0 },
	      { 's', OK2, 0 } }, "200 73/40", false },
	{ "a target with blanks in it", { { 'c', "GET /a HTTP/1.1 b HTTP/1.1\r\n\r\n", 0 }, { 's', OK2, 0 } }, "200 30/40", false },
	{ "eight wait", { { 'c', GET GET GET GET GET GET GET GET, 0 }, { 's', OK2, 0 }, { 'c', GET, 0 } }, "200 28/40", false },
	/* Givings up. */
	{ "nine wait", { { 'c', GET GET GET GET GET GET GET GET, 0 }, { 'c', GET, 0 }, { 's', OK2, 0 } }, "", true },
	{ "an upgrade", { { 'c', GET, 0 }, { 's', "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n" "\x81\x05hello", 0 }, { 'c', GET, 0 } },
	    "101 28/46", true },
	{ "CONNECT", { { 'c', "CONNECT a:443 HTTP/1.1\r\n\r\n", 0 }, { 's', "HTTP/1.1 200 OK\r\n\r\n", 0 }, { 'c', "\x16\x03\x01", 0 } },
	    "200 26/19", true },
	{ "CONNECT that was refused", { { 'c', "CONNECT a:443 HTTP/1.1\r\n\r\n", 0 },
	      { 's', "HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n", 0 }, { 'c', GET, 0 }, { 's', OK2, 0 } },
	    "403 26/38, 200 28/40", false },
	{ "TLS", { { 'c', "\x16\x03\x01\x02", 0 } }, "", true },
	{ "SSH", { { 'c', "SSH-2.0-x\r\n", 0 }, { 's', "SSH-2.0-y\r\n", 0 } }, "", true },
	{ "Redis", { { 'c', "*1\r\n$4\r\nPING\r\n", 0 } }, "", true },
	{ "Redis in words", { { 'c', "PING\r\n", 0 } }, "", true },
	{ "memcached", { { 'c', "get a\r\n", 0 } }, "", true },
	{ "RTSP", { { 'c', "OPTIONS rtsp://a RTSP/1.0\r\n\r\n", 0 } }, "", true },
	{ "HTTP/0.9", { { 'c', "GET /\r\n", 0 } }, "", true },
	{ "HTTP/1.2", { { 'c', "GET / HTTP/1.2\r\n\r\n", 0 } }, "", true },
	{ "the server speaks first", { { 's', "220 mail ESMTP\r\n", 0 }, { 'c', "EHLO a\r\n", 0 } }, "", true },
	{ "an answer that nobody asked for", { { 'c', GET, 0 }, { 's', OK2 "HTTP/1.1 408 slow\r\n\r\n", 0 } }, "200 28/40", true },
	{ "an answer of another protocol", { { 'c', GET, 0 }, { 's', "ICY 200 OK\r\n", 0 } }, "", true },
	{ "a status of four digits", { { 'c', GET, 0 }, { 's', "HTTP/1.1 2000\r\n", 0 } }, "", true },
	{ "length and chunks", { { 'c', "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0 } }, "", true },
	{ "two lengths", { { 'c', "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 0 } }, "", true },
	{ "a list of lengths", { { 'c', "POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n", 0 } }, "", true },
	{ "a length of none", { { 'c', "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 0 } }, "", true },
	{ "a negative length", { { 'c', "POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n", 0 } }, "", true },
	{ "a length beyond bounds", { { 'c', "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 0 } }, "", true },
	{ "a blank before the colon", { { 'c', "POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\n", 0 } }, "", true },
	{ "a folded line", { { 'c', "POST / HTTP/1.1\r\nX: y\r\n z\r\n\r\n", 0 } }, "", true },
	{ "another coding", { { 'c', "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 0 } }, "", true },
	{ "a chunk without a size", { { 'c', "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 0 } }, "", true },
	{ "a chunk of too many digits", { { 'c', "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n", 0 } }, "", true },
	{ "a chunk that is longer than it said", { { 'c', "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 0 } }, "", true },
};

static void
requests_of_http1_are_seen(void **state)
{
	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(h1_cases); i++)
		check(h1_cases[i].name, h1_cases[i].parts, PARTS, h1_cases[i].expected, h1_cases[i].gives_up);
}

static void
time_runs_from_the_first_byte_to_the_last(void **state)
{
	const struct part parts[] = { { 'c', "GET / HT", 0 }, { 'c', "TP/1.1\r\n\r\n", 0 }, { 's', "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", 0 },
		{ 's', "i", 0 } };
	struct seen seen;

	(void)state;
	assert_true(play(parts, AP_COUNTOF(parts), SIZE_MAX / 2, &seen));
	assert_in_range(seen.longest, 2900, 3100);
}

static void
an_endless_head_is_given_up(void **state)
{
	struct zt_sniff *s = zt_sniff_new();
	struct seen seen = { .len = 0 };
	char line[1000];
	bool alive = zt_sniff_feed(s, ZT_SNIFF_CLIENT, "GET / HTTP/1.1\r\n", 16, 1, note, &seen);

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	for (int i = 0; i < 100 && alive; i++)
		alive = zt_sniff_feed(s, ZT_SNIFF_CLIENT, line, sizeof(line), 1, note, &seen);
	assert_false(alive);
	zt_sniff_free(&s);
}

/* HTTP/2: frames are put together here, header blocks with nghttp2's encoder. */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct wire {
	struct part parts[64];
	size_t count, used;
	nghttp2_hd_deflater *server;
	char bytes[65536];
};

static void
raw(struct wire *w, char side, const void *bytes, size_t size)
{
	assert_true(w->used + size <= sizeof(w->bytes) && w->count < AP_COUNTOF(w->parts));
	memcpy(w->bytes + w->used, bytes, size);
	w->parts[w->count++] = (struct part){ side, w->bytes + w->used, size };
	w->used += size;
}

static void
frame(struct wire *w, char side, unsigned type, unsigned flags, uint32_t stream, const void *payload, size_t size)
{
	uint8_t b[4096] = { (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, (uint8_t)type, (uint8_t)flags,
		(uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream };

	assert_true(size + 9 <= sizeof(b));
	if (size > 0)
		memcpy(b + 9, payload, size);
	raw(w, side, b, size + 9);
}

/* A block of "name", "value", ..., NULL. */
static size_t
block(struct wire *w, uint8_t *out, size_t room, const char *const *fields)
{
	nghttp2_nv nv[8];
	size_t n = 0;
	ssize_t len;

	for (; fields[2 * n] != NULL; n++)
		nv[n] = (nghttp2_nv){ (uint8_t *)(uintptr_t)fields[2 * n], (uint8_t *)(uintptr_t)fields[2 * n + 1], strlen(fields[2 * n]),
			strlen(fields[2 * n + 1]), 0 };
	len = nghttp2_hd_deflate_hd(w->server, out, room, nv, n);
	assert_true(len >= 0);
	return (size_t)len;
}

#define HEADERS(w_, stream_, flags_, ...) \
	do { \
		static const char *const fields_[] = { __VA_ARGS__, NULL }; \
		uint8_t b_[2048]; \
		size_t n_ = block((w_), b_, sizeof(b_), fields_); \
		frame((w_), 's', 1, 4U | (flags_), (stream_), b_, n_); \
	} while (0)

/* The clients' blocks are not read: any bytes will do. */
#define ASK(w_, stream_, flags_) frame((w_), 'c', 1, 4U | (flags_), (stream_), "\x82\x84\x86", 3)

static struct wire *
begin(void **state)
{
	static struct wire w;

	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(nghttp2_hd_deflate_new(&w.server, 65536), 0);
	raw(&w, 'c', PREFACE, 24);
	frame(&w, 'c', 4, 0, 0, NULL, 0);
	frame(&w, 's', 4, 0, 0, "\0\3\0\0\0\x64", 6);
	frame(&w, 's', 4, 1, 0, NULL, 0);
	return &w;
}

static void
finish(struct wire *w, const char *name, const char *expected, bool gives_up)
{
	check(name, w->parts, w->count, expected, gives_up);
	nghttp2_hd_deflate_del(w->server);
	w->server = NULL;
}

static void
requests_of_http2_are_seen(void **state)
{
	struct wire *w = begin(state);

	ASK(w, 1, 1);
	ASK(w, 3, 0);
	frame(w, 'c', 0, 1, 3, "body!", 5);
	HEADERS(w, 3, 0, ":status", "503", "server", "x");
	frame(w, 'c', 6, 0, 0, "12345678", 8);
	HEADERS(w, 1, 0, ":status", "200", "server", "x", "content-type", "text/html");
	frame(w, 's', 0, 0, 1, "12", 2);
	frame(w, 's', 0, 1, 3, "123", 3);
	frame(w, 's', 0, 1, 1, "34", 2);
	ASK(w, 5, 1);
	HEADERS(w, 5, 1, ":status", "304", "server", "x");
	finish(w, "three streams", "503 8/11, 200 3/15, 304 3/2", false);
}

static void
grpc_tells_its_status(void **state)
{
	struct wire *w = begin(state);

	ASK(w, 1, 1);
	HEADERS(w, 1, 0, ":status", "200", "content-type", "application/grpc+proto");
	frame(w, 's', 0, 0, 1, "12345", 5);
	HEADERS(w, 1, 1, "grpc-status", "14", "grpc-message", "no");
	ASK(w, 3, 1);
	HEADERS(w, 3, 1, ":status", "200", "content-type", "application/grpc", "grpc-status", "0");
	finish(w, "grpc", "200 3/51 grpc 14, 200 3/18 grpc 0", false);
}

static void
interim_answers_and_trailers_are_no_answers(void **state)
{
	struct wire *w = begin(state);

	ASK(w, 1, 1);
	HEADERS(w, 1, 0, ":status", "103");
	HEADERS(w, 1, 0, ":status", "200");
	HEADERS(w, 1, 1, "etag", "");
	finish(w, "103", "200 3/6", false);
}

static void
padding_priority_push_and_continuation_are_walked(void **state)
{
	static const char *const pushed[] = { ":path", "/pushed", NULL }, *const answer[] = { ":status", "200", "x", "/pushed", NULL };
	struct wire *w = begin(state);
	uint8_t b[300] = { 0 };
	size_t n;

	ASK(w, 1, 1);
	/* PUSH_PROMISE with padding: pad length, promised stream, block, padding. */
	b[0] = 3;
	n = block(w, b + 5, sizeof(b) - 5, pushed);
	memset(b + 5 + n, 0, 3);
	frame(w, 's', 5, 4 | 8, 1, b, 5 + n + 3);
	/* HEADERS with padding and priority, in three frames, the last one empty. */
	b[0] = 2;
	memset(b + 1, 0, 5);
	n = block(w, b + 6, sizeof(b) - 6, answer);
	assert_true(n > 2);
	{
		uint8_t head[16] = { 2, 0, 0, 0, 0, 9, b[6], 0, 0 };

		frame(w, 's', 1, 1 | 8 | 32, 1, head, 9);
	}
	frame(w, 's', 9, 0, 1, b + 7, n - 1);
	frame(w, 's', 9, 4, 1, NULL, 0);
	check("blocks", w->parts, w->count, "200 3/9", false);
	nghttp2_hd_deflate_del(w->server);
}

static void
a_reset_stream_is_forgotten(void **state)
{
	struct wire *w = begin(state);

	ASK(w, 1, 1);
	frame(w, 'c', 3, 0, 1, "\0\0\0\x08", 4);
	HEADERS(w, 1, 1, ":status", "200");
	ASK(w, 3, 1);
	HEADERS(w, 3, 1, ":status", "404");
	finish(w, "reset", "404 3/1", false);
}

static void
a_larger_table_is_followed(void **state)
{
	struct wire *w = begin(state);

	frame(w, 'c', 4, 0, 0, "\0\1\0\0\x20\0", 6);
	nghttp2_hd_deflate_change_table_size(w->server, 8192);
	ASK(w, 1, 1);
	HEADERS(w, 1, 1, ":status", "200", "a", "b");
	ASK(w, 3, 1);
	HEADERS(w, 3, 1, ":status", "500", "a", "b");
	check("table", w->parts, w->count, "200 3/9, 500 3/2", false);
	nghttp2_hd_deflate_del(w->server);
}

static void
a_server_may_speak_first(void **state)
{
	const struct part parts[] = { { 's', "\0\0\0\4\0\0\0\0\0", 9 }, { 'c', PREFACE, 24 }, { 'c', "\0\0\0\4\0\0\0\0\0", 9 },
		{ 'c', "\0\0\1\1\5\0\0\0\1\x82", 10 }, { 's', "\0\0\1\1\5\0\0\0\1\x88", 10 } };

	(void)state;
	check("settings first", parts, AP_COUNTOF(parts), "200 1/1", false);
}

static void
what_is_odd_in_http2_ends_it(void **state)
{
	static const struct {
		const char *name;
		struct part part;
	} cases[] = {
		{ "no block", { 's', "\0\0\1\1\5\0\0\0\1\x80", 10 } },
		{ "half a block", { 's', "\0\0\1\1\5\0\0\0\1\x40", 10 } },
		{ "continues nothing", { 's', "\0\0\1\x9\4\0\0\0\1\x88", 10 } },
		{ "a block that another frame cuts", { 's', "\0\0\1\1\1\0\0\0\1\x88\0\0\0\6\0\0\0\0\0", 19 } },
		{ "more padding than payload", { 's', "\0\0\2\1\xd\0\0\0\1\2\x88", 11 } },
		{ "no room for the padding's length", { 's', "\0\0\0\1\xd\0\0\0\1", 9 } },
		{ "stream 0", { 's', "\0\0\1\1\5\0\0\0\0\x88", 10 } },
		{ "a client's even stream", { 'c', "\0\0\1\1\5\0\0\0\x8\x82", 10 } },
		{ "settings of five bytes", { 'c', "\0\0\5\4\0\0\0\0\0ABCDE", 14 } },
		{ "a table too large", { 's', "\0\0\6\1\5\0\0\0\1\x3f\xe1\xff\3\x88\x88", 15 } },
	};

	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		struct wire *w = begin(state);

		ASK(w, 1, 1);
		raw(w, cases[i].part.side, cases[i].part.bytes, cases[i].part.size);
		finish(w, cases[i].name, "", true);
	}
}

/* A stream that stays open, and many that come and go, some hundreds of them at once. */
static void
many_streams_are_bounded(void **state)
{
	struct zt_sniff *s = zt_sniff_new();
	struct seen seen = { .len = 0 };
	uint8_t ask[] = { 0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82 }, answer[] = { 0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88 };
	size_t told = 0;

	(void)state;
	assert_true(zt_sniff_feed(s, ZT_SNIFF_CLIENT, PREFACE "\0\0\0\4\0\0\0\0\0", 33, 1, note, &seen));
	assert_true(zt_sniff_feed(s, ZT_SNIFF_SERVER, "\0\0\0\4\0\0\0\0\0", 9, 1, note, &seen));
	assert_true(zt_sniff_feed(s, ZT_SNIFF_CLIENT, ask, sizeof(ask), 1, note, &seen));
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 400; i++) {
			unsigned id = 3 + 2 * (round * 400 + i);

			ask[7] = (uint8_t)(id >> 8);
			ask[8] = (uint8_t)id;
			assert_true(zt_sniff_feed(s, ZT_SNIFF_CLIENT, ask, sizeof(ask), 1, note, &seen));
		}
		for (unsigned i = 0; i < 400; i++) {
			unsigned id = 3 + 2 * (round * 400 + i);

			answer[7] = (uint8_t)(id >> 8);
			answer[8] = (uint8_t)id;
			seen.len = 0;
			assert_true(zt_sniff_feed(s, ZT_SNIFF_SERVER, answer, sizeof(answer), 1, note, &seen));
			told += seen.len > 0;
		}
	}
	/* As many as there are places, less the one that is taken all the time. */
	assert_in_range(told, 20 * 240, 20 * 256);
	answer[7] = 0;
	answer[8] = 1;
	seen.len = 0;
	assert_true(zt_sniff_feed(s, ZT_SNIFF_SERVER, answer, sizeof(answer), 1, note, &seen));
	assert_string_equal(seen.text, "200 1/1");
	zt_sniff_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_http1_are_seen),
		cmocka_unit_test(time_runs_from_the_first_byte_to_the_last),
		cmocka_unit_test(an_endless_head_is_given_up),
		cmocka_unit_test(requests_of_http2_are_seen),
		cmocka_unit_test(grpc_tells_its_status),
		cmocka_unit_test(interim_answers_and_trailers_are_no_answers),
		cmocka_unit_test(padding_priority_push_and_continuation_are_walked),
		cmocka_unit_test(a_reset_stream_is_forgotten),
		cmocka_unit_test(a_larger_table_is_followed),
		cmocka_unit_test(a_server_may_speak_first),
		cmocka_unit_test(what_is_odd_in_http2_ends_it),
		cmocka_unit_test(many_streams_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
