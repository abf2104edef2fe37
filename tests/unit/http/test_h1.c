/* test_h1.c -- HTTP/1 against raw bytes and against itself: framing, keep-alive, pipelines, refusals, tunnels. */
#include "../test.h"

#include <string.h>

#include "world.h"

/* A server with raw bytes at the other end of the pipe. */
struct raw {
	struct world w;
	struct ap_buf out; /* what the server said */
	bool eof;
};

static void
raw_pull(struct raw *r)
{
	for (int i = 0; i < 40; i++) {
		char buf[4096];
		ssize_t n;

		turns(&r->w, 1);
		while ((n = pipe_read(&r->w.a->s, buf, sizeof(buf))) > 0)
			ap_buf_add(&r->out, buf, (size_t)n);
		if (n == AP_STREAM_EOF || n == AP_STREAM_ERROR)
			r->eof = true;
	}
}

static void
raw_open(struct raw *r, const struct ap_http_settings *set, size_t piece)
{
	memset(r, 0, sizeof(*r));
	r->w.loop = ap_loop_new("test");
	pipe_pair(r->w.loop, 1 << 20, false, &r->w.a, &r->w.b);
	r->w.b->piece = piece;
	ap_buf_init(&r->out, 1 << 20);
	ap_buf_init(&r->w.cs.got, 1 << 20);
	ap_buf_init(&r->w.ss.got, 1 << 20);
	r->w.answer = 200;
	r->w.body = "hi";
	r->w.server = ap_http_serve(&r->w.b->s, AP_HTTP_1_1, set, &server_ops, &r->w);
}

static void
raw_say(struct raw *r, const char *text)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };

	assert_int_equal(pipe_write(&r->w.a->s, &iov, 1), strlen(text));
	raw_pull(r);
}

static void
raw_close(struct raw *r)
{
	struct ap_stream *s = &r->w.a->s;

	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	side_close(&r->w.ss, AP_STREAM_CLOSE_CLEAN);
	turns(&r->w, 8);
	if (r->w.server != NULL)
		ap_http_close(r->w.server);
	turns(&r->w, 4);
	assert_int_equal(r->w.server_closed, 1);
	ap_buf_done(&r->out);
	ap_buf_done(&r->w.cs.got);
	ap_buf_done(&r->w.ss.got);
	ap_loop_free(&r->w.loop);
}

static void
expect_out(struct raw *r, const char *text)
{
	if (r->out.len != strlen(text) || (r->out.len > 0 && memcmp(r->out.ptr, text, r->out.len) != 0))
		fail_msg("got:\n%.*s\nexpected:\n%s", (int)r->out.len, r->out.ptr == NULL ? "" : r->out.ptr, text);
	ap_buf_clear(&r->out);
}

#define OK_HI "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi"
#define OK_HI_CLOSE "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"

static void
test_keep_alive_and_pipeline(void **state)
{
	(void)state;
	for (size_t piece = 0; piece < 5; piece += 2) {
		struct raw r;

		raw_open(&r, NULL, piece);
		raw_say(&r, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
		expect_out(&r, OK_HI);
		assert_string_equal(r.w.path, "/1");
		raw_say(&r, "\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"
			    "POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /5 HTTP/1.1\r\nHost: a\r\n\r\n");
		while (r.w.requests < 5)
			raw_pull(&r);
		raw_pull(&r);
		expect_out(&r, OK_HI OK_HI OK_HI OK_HI);
		assert_int_equal(r.w.requests, 5);
		assert_string_equal(r.w.path, "/5");
		raw_say(&r, "GET /6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
		expect_out(&r, OK_HI_CLOSE);
		assert_true(r.eof);
		raw_close(&r);
	}
}

static void
test_http_1_0(void **state)
{
	struct raw r;

	(void)state;
	raw_open(&r, NULL, 0);
	raw_say(&r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect_out(&r, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: "
		       "keep-alive\r\n\r\nhi");
	r.w.body = NULL;
	raw_say(&r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect_out(&r, "HTTP/1.1 200 OK\r\nx-test: 1\r\nconnection: close\r\n\r\n");
	assert_int_equal(ap_stream_write(&r.w.ss.x->stream, "all", 3), 3);
	ap_stream_shutdown(&r.w.ss.x->stream);
	side_close(&r.w.ss, AP_STREAM_CLOSE_CLEAN);
	raw_pull(&r);
	expect_out(&r, "all");
	assert_true(r.eof);
	raw_close(&r);
}

static void
test_refusals_say_why_and_close(void **state)
{
	static const struct {
		const char *text, *answer;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request" },
		{ "GET / HTTP/3.1\r\nHost: a\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET "
		  "/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		    "HTTP/1.1 400 Bad Request" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 Not Implemented" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", "HTTP/1.1 417 Expectation Failed" },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed" },
		{ "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request" },
		{ "\x16\x03\x01\x02\n", "HTTP/1.1 400 Bad Request" },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct raw r;

		raw_open(&r, NULL, i % 2);
		raw_say(&r, rows[i].text);
		raw_pull(&r);
		assert_int_equal(r.w.requests, 0);
		assert_true(r.out.len > strlen(rows[i].answer));
		assert_memory_equal(r.out.ptr, rows[i].answer, strlen(rows[i].answer));
		assert_true(r.eof);
		raw_close(&r);
	}
}

static void
test_large_head_is_431(void **state)
{
	struct ap_http_settings set = { .max_head_bytes = 1000 };
	static char text[3000];
	struct raw r;

	(void)state;
	raw_open(&r, &set, 100);
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	raw_say(&r, text);
	assert_memory_equal(r.out.ptr, "HTTP/1.1 431", 12);
	raw_close(&r);
	raw_open(&r, NULL, 0);
	raw_say(&r, "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n");
	assert_int_equal(r.out.len, 0);
	raw_close(&r);
}

static void
test_chunked_request_with_trailers(void **state)
{
	static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\n\r\n"
				   "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	for (size_t piece = 0; piece < 8; piece++) {
		struct raw r;

		raw_open(&r, NULL, piece);
		r.w.body = NULL;
		raw_say(&r, text);
		while (!r.w.ss.eof)
			raw_pull(&r);
		assert_int_equal(r.w.ss.got.len, 11);
		assert_memory_equal(r.w.ss.got.ptr, "hello world", 11);
		assert_true(ap_slice_eq(ap_fields_get(&r.w.ss.x->trailers_in, AP_S("x-sum")), AP_S("7")));
		assert_int_equal(r.w.ss.x->trailers_in.count, 1);
		r.w.body = "hi";
		ap_stream_shutdown(&r.w.ss.x->stream);
		side_close(&r.w.ss, AP_STREAM_CLOSE_CLEAN);
		for (int i = 0; i < 20 && r.w.requests < 2; i++)
			raw_pull(&r);
		assert_string_equal(r.w.path, "/next");
		raw_pull(&r);
		expect_out(&r, "HTTP/1.1 200 OK\r\nx-test: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" OK_HI);
		raw_close(&r);
	}
}

static void
test_broken_chunks_fail_the_exchange(void **state)
{
	struct raw r;

	(void)state;
	raw_open(&r, NULL, 0);
	r.w.body = NULL;
	raw_say(&r, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX");
	assert_true(r.w.ss.failed);
	assert_int_equal(r.w.ss.error, AP_STREAM_PROTOCOL);
	side_close(&r.w.ss, AP_STREAM_CLOSE_CLEAN);
	raw_pull(&r);
	assert_true(r.eof);
	raw_close(&r);
}

static void
test_cut_body_is_not_an_end(void **state)
{
	struct raw r;
	struct ap_stream *s;

	(void)state;
	raw_open(&r, NULL, 0);
	r.w.body = NULL;
	raw_say(&r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
	assert_int_equal(r.w.ss.got.len, 5);
	s = &r.w.a->s;
	pipe_shutdown(s);
	raw_pull(&r);
	assert_true(r.w.ss.failed);
	assert_false(r.w.ss.eof);
	raw_close(&r);
}

static void
test_head_answer(void **state)
{
	struct raw r;

	(void)state;
	raw_open(&r, NULL, 0);
	raw_say(&r, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
	raw_pull(&r);
	expect_out(&r, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n" OK_HI);
	r.w.answer = 204;
	raw_say(&r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_out(&r, "HTTP/1.1 204 No Content\r\n\r\n");
	r.w.answer = 304;
	raw_say(&r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_out(&r, "HTTP/1.1 304 Not Modified\r\n\r\n");
	raw_close(&r);
}

static void
test_expect_continue(void **state)
{
	struct raw r;

	(void)state;
	raw_open(&r, NULL, 0);
	r.w.body = NULL;
	raw_say(&r, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	/* The handler answered at once: nobody asked for the body, so the connection cannot go on. */
	expect_out(&r, "HTTP/1.1 200 OK\r\nx-test: 1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
	raw_close(&r);
	raw_open(&r, NULL, 0);
	r.w.answer = 0;
	raw_say(&r, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	expect_out(&r, "");
	ap_stream_want(&r.w.ss.x->stream, AP_STREAM_READABLE);
	raw_pull(&r);
	expect_out(&r, "HTTP/1.1 100 Continue\r\n\r\n");
	raw_say(&r, "abc");
	assert_true(r.w.ss.eof);
	ap_exchange_reply(r.w.ss.x, 200, "text/plain", AP_S("hi"));
	side_close(&r.w.ss, AP_STREAM_CLOSE_CLEAN);
	raw_pull(&r);
	expect_out(&r, OK_HI);
	raw_close(&r);
}

static void
test_connection_fields_end_here(void **state)
{
	struct raw r;
	const struct ap_fields *f;

	(void)state;
	raw_open(&r, NULL, 0);
	r.w.answer = 0;
	raw_say(&r, "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
		    "Upgrade: h2c\r\nTE: trailers\r\nProxy-Connection: x\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n");
	f = &r.w.ss.x->request.fields;
	assert_int_equal(f->count, 1);
	assert_true(ap_slice_eq(f->items[0].name, AP_S("x-end")));
	assert_int_equal(r.w.ss.x->request.protocol.len, 0);
	assert_true(ap_slice_eq(r.w.ss.x->request.authority, AP_S("a")));
	assert_int_equal(r.w.ss.x->request.content_length, 0);
	raw_close(&r);
}

static void
test_upgrade_becomes_a_tunnel(void **state)
{
	struct ap_http_settings set = { .allow_upgrade = true };
	struct ap_http_head head;
	struct raw r;

	(void)state;
	raw_open(&r, &set, 0);
	r.w.answer = 0;
	raw_say(&r, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	assert_true(ap_slice_eq(r.w.ss.x->request.protocol, AP_S("websocket")));
	ap_http_head_init(&head, r.w.ss.x->arena);
	head.status = 101;
	ap_exchange_respond(r.w.ss.x, &head, false);
	ap_stream_want(&r.w.ss.x->stream, AP_STREAM_READABLE);
	raw_say(&r, "frames");
	expect_out(&r, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
	assert_int_equal(r.w.ss.got.len, 6);
	assert_int_equal(ap_stream_write(&r.w.ss.x->stream, "back", 4), 4);
	raw_pull(&r);
	expect_out(&r, "back");
	pipe_shutdown(&r.w.a->s);
	raw_pull(&r);
	assert_true(r.w.ss.eof);
	ap_stream_shutdown(&r.w.ss.x->stream);
	raw_pull(&r);
	assert_true(r.eof);
	raw_close(&r);
}

static void
test_unread_body_is_discarded_or_ends_the_connection(void **state)
{
	static char big[400000];
	struct raw r;

	(void)state;
	raw_open(&r, NULL, 0);
	raw_say(&r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000000\r\n\r\nabc");
	expect_out(&r, OK_HI);
	memset(big, 'x', sizeof(big) - 1);
	raw_say(&r, big);
	assert_true(r.eof);
	raw_close(&r);
}

static void
test_bodies_pass_whole_whatever_the_buffers(void **state)
{
	(void)state;
	transfer(AP_HTTP_1_1, 1 << 20, true, 0, 3000000, 2000000, 0, 0);
	transfer(AP_HTTP_1_1, 1 << 20, false, 0, 3000000, 2000000, 0, 0);
	transfer(AP_HTTP_1_1, 1000, true, 0, 300000, 200000, 0, 0);
	transfer(AP_HTTP_1_1, 70000, true, 1, 20000, 30000, 0, 0);
	transfer(AP_HTTP_1_1, 70000, false, 7, 90000, 130000, 0, 0);
	transfer(AP_HTTP_1_1, 1 << 20, true, 0, 300000, 200000, 100, 0);
}

static void
test_tunnel_half_closes_each_way(void **state)
{
	struct world w;

	(void)state;
	connect_tunnel_as(&w, AP_HTTP_1_1);
	assert_int_equal(ap_stream_write(&w.cs.x->stream, "ping", 4), 4);
	ap_stream_shutdown(&w.cs.x->stream);
	turns(&w, 6);
	assert_int_equal(w.ss.got.len, 4);
	assert_true(w.ss.eof);
	assert_false(w.cs.eof);
	assert_int_equal(ap_stream_write(&w.ss.x->stream, "pong!", 5), 5);
	ap_stream_shutdown(&w.ss.x->stream);
	turns(&w, 6);
	assert_int_equal(w.cs.got.len, 5);
	assert_true(w.cs.eof);
	world_close(&w);
}

static void
test_client_keeps_the_connection(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_1_1, NULL, NULL, 1 << 20, false, 0);
	w.body = "hello";
	for (int i = 0; i < 3; i++) {
		turns(&w, 6);
		assert_int_equal(ap_http_room(w.client), 1);
		w.cs.eof = false;
		ap_buf_clear(&w.cs.got);
		assert_non_null(request(&w, i == 1 ? "HEAD" : "GET", "/a", true));
		assert_int_equal(ap_http_room(w.client), 0);
		ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
		turns(&w, 8);
		assert_int_equal(w.cs.status, 200);
		assert_true(w.cs.eof);
		assert_int_equal(w.cs.got.len, i == 1 ? 0 : 5);
		side_close(&w.cs, AP_STREAM_CLOSE_CLEAN);
	}
	turns(&w, 6);
	assert_int_equal(w.requests, 3);
	/* Closed under an idle client. */
	ap_http_close(w.server);
	turns(&w, 6);
	assert_null(w.client);
	world_close(&w);
}

static void
test_request_on_a_stale_connection_is_replayable(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_1_1, NULL, NULL, 1 << 20, false, 0);
	w.body = "hello";
	request(&w, "GET", "/a", true);
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 8);
	side_close(&w.cs, AP_STREAM_CLOSE_CLEAN);
	turns(&w, 4);
	ap_http_drain(w.server);
	assert_non_null(request(&w, "GET", "/b", true));
	turns(&w, 8);
	assert_true(w.cs.failed);
	assert_true(w.cs.x->replayable);
	assert_int_equal(w.requests, 1);
	world_close(&w);
}

/* A client with raw bytes at the other end. */
static void
raw_answer(struct world *w, const char *method, const char *answer, bool close_after)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)answer, .iov_len = strlen(answer) };
	struct ap_http_head head;
	struct ap_arena *arena = ap_arena_new(4096);

	memset(w, 0, sizeof(*w));
	w->loop = ap_loop_new("test");
	pipe_pair(w->loop, 1 << 20, false, &w->a, &w->b);
	ap_buf_init(&w->cs.got, 1 << 20);
	w->client = ap_http_client(&w->a->s, AP_HTTP_1_1, NULL, &client_ops, w);
	ap_http_head_init(&head, arena);
	head.method = ap_slice_of(method);
	head.authority = AP_S("a");
	head.path = AP_S("/");
	ap_fields_add(&head.fields, AP_S("cookie"), AP_S("a=1"));
	ap_fields_add(&head.fields, AP_S("x"), AP_S("1"));
	ap_fields_add(&head.fields, AP_S("cookie"), AP_S("b=2"));
	w->cs.x = ap_http_request(w->client, &head, true, on_response, w);
	ap_stream_set_callback(&w->cs.x->stream, side_event, &w->cs);
	ap_stream_want(&w->cs.x->stream, AP_STREAM_READABLE);
	ap_arena_free(&arena);
	turns(w, 4);
	assert_memory_equal(w->b->in.ptr + strlen(method), " / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2\r\nx: 1\r\n", 46);
	pipe_write(&w->b->s, &iov, 1);
	if (close_after)
		pipe_shutdown(&w->b->s);
	turns(w, 10);
}

static void
raw_answer_done(struct world *w)
{
	struct ap_stream *s = &w->b->s;

	side_close(&w->cs, AP_STREAM_CLOSE_CLEAN);
	turns(w, 4);
	if (w->client != NULL)
		ap_http_close(w->client);
	turns(w, 4);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	turns(w, 4);
	assert_int_equal(w->closed, 1);
	ap_buf_done(&w->cs.got);
	ap_loop_free(&w->loop);
}

static void
test_answers_of_strangers(void **state)
{
	static const struct {
		const char *method, *answer;
		bool close;
		int status;
		const char *body;
		bool eof, failed;
	} rows[] = {
		{ "GET", "HTTP/1.1 200 OK\r\n\r\nuntil close", true, 200, "until close", true, false },
		{ "GET", "HTTP/1.1 200 OK\r\n\r\nuntil", false, 200, "until", false, false },
		{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, 200, "abc", true, false },
		{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true, 200, "abc", false, true },
		{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false, 200, "abc",
		    true, false },
		{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true, 200, "abc", false,
		    true },
		{ "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"
			 "Content-Length: 1\r\n\r\nx",
		    false, 200, "x", true, false },
		{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, 200, "", true, false },
		{ "GET", "HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", false, 0, "", false, true },
		{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false, 0, "",
		    false, true },
		{ "GET", "SSH-2.0-x\r\n\r\n", false, 0, "", false, true },
		{ "GET", "", true, 0, "", false, true },
		{ "GET", "HTTP/1.1 200 OK\r\nContent-", true, 0, "", false, true },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct world w;

		raw_answer(&w, rows[i].method, rows[i].answer, rows[i].close);
		if (w.cs.status != rows[i].status || w.cs.eof != rows[i].eof || w.cs.failed != rows[i].failed)
			fail_msg("row %zu: status %d eof %d failed %d", i, w.cs.status, w.cs.eof, w.cs.failed);
		assert_int_equal(w.cs.got.len, strlen(rows[i].body));
		assert_memory_equal(w.cs.got.ptr == NULL ? "" : w.cs.got.ptr, rows[i].body, strlen(rows[i].body));
		raw_answer_done(&w);
	}
}

static void
test_auto_knows_both_versions(void **state)
{
	struct raw r;
	struct world w;

	(void)state;
	raw_open(&r, NULL, 1);
	raw_close(&r);
	/* The client's first bytes decide. */
	world_open_as(&w, AP_HTTP_1_1, NULL, NULL, 1 << 20, false, 1);
	world_close(&w);
	for (int version = AP_HTTP_1_1; version <= AP_HTTP_2; version++) {
		memset(&w, 0, sizeof(w));
		w.loop = ap_loop_new("test");
		pipe_pair(w.loop, 1 << 20, false, &w.a, &w.b);
		w.b->piece = 5;
		ap_buf_init(&w.cs.got, 1000);
		ap_buf_init(&w.ss.got, 1000);
		w.answer = 200;
		w.body = "hello";
		w.server = ap_http_serve(&w.b->s, AP_HTTP_AUTO, NULL, &server_ops, &w);
		w.client = ap_http_client(&w.a->s, version, NULL, &client_ops, &w);
		request(&w, "GET", "/", true);
		ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
		turns(&w, 60);
		assert_int_equal(w.cs.status, 200);
		assert_true(w.cs.eof);
		assert_int_equal(ap_http_version(w.server), version);
		world_close(&w);
	}
}

static void
test_drain_ends_an_idle_connection_and_marks_a_busy_one(void **state)
{
	struct raw r;

	(void)state;
	raw_open(&r, NULL, 0);
	r.w.answer = 0;
	raw_say(&r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	ap_http_drain(r.w.server);
	raw_pull(&r);
	ap_exchange_reply(r.w.ss.x, 200, "text/plain", AP_S("hi"));
	side_close(&r.w.ss, AP_STREAM_CLOSE_CLEAN);
	raw_pull(&r);
	expect_out(&r, OK_HI_CLOSE);
	assert_true(r.eof);
	raw_close(&r);
	raw_open(&r, NULL, 0);
	ap_http_drain(r.w.server);
	raw_pull(&r);
	assert_true(r.eof);
	raw_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep_alive_and_pipeline),
		cmocka_unit_test(test_http_1_0),
		cmocka_unit_test(test_refusals_say_why_and_close),
		cmocka_unit_test(test_large_head_is_431),
		cmocka_unit_test(test_chunked_request_with_trailers),
		cmocka_unit_test(test_broken_chunks_fail_the_exchange),
		cmocka_unit_test(test_cut_body_is_not_an_end),
		cmocka_unit_test(test_head_answer),
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_connection_fields_end_here),
		cmocka_unit_test(test_upgrade_becomes_a_tunnel),
		cmocka_unit_test(test_unread_body_is_discarded_or_ends_the_connection),
		cmocka_unit_test(test_bodies_pass_whole_whatever_the_buffers),
		cmocka_unit_test(test_tunnel_half_closes_each_way),
		cmocka_unit_test(test_client_keeps_the_connection),
		cmocka_unit_test(test_request_on_a_stale_connection_is_replayable),
		cmocka_unit_test(test_answers_of_strangers),
		cmocka_unit_test(test_auto_knows_both_versions),
		cmocka_unit_test(test_drain_ends_an_idle_connection_and_marks_a_busy_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
