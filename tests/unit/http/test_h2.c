/* test_h2.c -- HTTP/2 against itself over in-memory pipes: messages, tunnels, back-pressure, resets, drains, limits. */
#include "../test.h"

#include <string.h>

#include "world.h"

static void
test_get_with_small_answer(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	w.body = "hello";
	assert_int_equal(ap_http_room(w.client), 100);
	assert_non_null(request(&w, "GET", "/a?b", true));
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 8);
	assert_int_equal(w.requests, 1);
	assert_string_equal(w.path, "/a?b");
	assert_int_equal(w.cs.status, 200);
	assert_int_equal(w.cs.x->response.content_length, 5);
	assert_true(ap_slice_eq(
	    ap_fields_get(&w.cs.x->response.fields, AP_S("content-type")), AP_S("text/plain")));
	assert_int_equal(w.cs.got.len, 5);
	assert_memory_equal(w.cs.got.ptr, "hello", 5);
	assert_true(w.cs.eof);
	assert_true(w.cs.x->response_complete && w.cs.x->request_complete);
	assert_int_equal(w.readies, 1);
	side_close(&w.cs, AP_STREAM_CLOSE_CLEAN);
	turns(&w, 3);
	assert_int_equal(ap_http_active(w.client), 0);
	assert_int_equal(ap_http_active(w.server), 0);
	assert_true(w.rooms > 0);
	world_close(&w);
}

static void
test_bodies_pass_whole_whatever_the_buffers(void **state)
{
	(void)state;
	transfer(AP_HTTP_2, 1 << 20, true, 0, 3000000, 2000000, 0, 0);
	transfer(AP_HTTP_2, 1 << 20, false, 0, 3000000, 2000000, 0, 0);
	transfer(AP_HTTP_2, 1000, true, 0, 300000, 200000, 0, 0);
	transfer(AP_HTTP_2, 70000, true, 1, 20000, 30000, 0, 0);
	transfer(AP_HTTP_2, 70000, false, 7, 90000, 130000, 0, 0);
	transfer(AP_HTTP_2, 1 << 20, true, 0, 300000, 200000, 100, 0);
	transfer(AP_HTTP_2, 1 << 20, true, 0, 5000000, 9000000, 0, 1 << 22);
	transfer(AP_HTTP_2, 1 << 20, true, 333, 500000, 200000, 1000, 1 << 20);
}

static void
test_unread_body_is_bounded_by_the_window(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 24, true, 0);
	w.ss.parked = true;
	w.cs.to_send = 10000000;
	request(&w, "POST", "/", false);
	ap_stream_want(&w.cs.x->stream, AP_STREAM_WRITABLE);
	turns(&w, 200);
	assert_int_equal(w.cs.sent, 65535);
	ap_stream_want(&w.ss.x->stream, AP_STREAM_READABLE);
	turns(&w, 2000);
	check_pattern(&w.ss.got, 10000000);
	world_close(&w);
}

static void
test_tunnel_half_closes_each_way(void **state)
{
	struct world w;

	(void)state;
	connect_tunnel_as(&w, AP_HTTP_2);
	assert_int_equal(ap_stream_write(&w.cs.x->stream, "ping", 4), 4);
	ap_stream_shutdown(&w.cs.x->stream);
	turns(&w, 6);
	assert_int_equal(w.ss.got.len, 4);
	assert_true(w.ss.eof);
	assert_false(w.cs.eof);
	assert_int_equal(ap_stream_write(&w.ss.x->stream, "pong!", 5), 5);
	turns(&w, 6);
	assert_int_equal(w.cs.got.len, 5);
	ap_stream_shutdown(&w.ss.x->stream);
	turns(&w, 6);
	assert_true(w.cs.eof);
	world_close(&w);
}

static void
test_tunnel_reset_by_cancel_reads_as_eof_and_breaks_writing(void **state)
{
	struct world w;

	(void)state;
	connect_tunnel_as(&w, AP_HTTP_2);
	assert_int_equal(ap_stream_write(&w.cs.x->stream, "data", 4), 4);
	turns(&w, 4);
	side_close(&w.cs, AP_STREAM_CLOSE_CLEAN);
	turns(&w, 6);
	assert_int_equal(w.ss.got.len, 4);
	assert_true(w.ss.eof);
	assert_false(w.ss.failed);
	assert_int_equal(ap_stream_write(&w.ss.x->stream, "x", 1), AP_STREAM_ERROR);
	world_close(&w);
}

static void
test_tunnel_abort_is_told_as_failure(void **state)
{
	struct world w;

	(void)state;
	connect_tunnel_as(&w, AP_HTTP_2);
	side_close(&w.ss, AP_STREAM_CLOSE_ABORT);
	turns(&w, 6);
	assert_true(w.cs.failed);
	assert_int_equal(w.cs.error, AP_STREAM_RESET);
	assert_int_equal(w.cs.x->stream.detail, 10 /* CONNECT_ERROR */);
	world_close(&w);
}

static void
test_cancelled_request_is_a_failure_not_an_end(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	w.answer = 200;
	request(&w, "POST", "/", false);
	assert_int_equal(ap_stream_write(&w.cs.x->stream, "part", 4), 4);
	turns(&w, 6);
	side_close(&w.cs, AP_STREAM_CLOSE_ABORT);
	turns(&w, 6);
	assert_true(w.ss.failed);
	assert_false(w.ss.eof);
	world_close(&w);
}

static void
test_answer_before_the_request_ends(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	w.body = "too early";
	w.answer = 413;
	request(&w, "POST", "/", false);
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 10);
	assert_int_equal(w.cs.status, 413);
	assert_int_equal(w.cs.got.len, 9);
	assert_true(w.cs.eof);
	assert_false(w.cs.failed);
	assert_int_equal(ap_stream_write(&w.cs.x->stream, "x", 1), AP_STREAM_ERROR);
	world_close(&w);
}

static void
test_handler_that_lets_go_resets(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	w.close_on_request = true;
	request(&w, "GET", "/", true);
	turns(&w, 8);
	assert_true(w.cs.failed);
	assert_int_equal(w.cs.status, 0);
	assert_int_equal(w.cs.error, AP_STREAM_RESET);
	world_close(&w);
}

static void
test_trailers_follow_the_body(void **state)
{
	struct ap_fields trailers;
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	request(&w, "POST", "/svc/Method", true);
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 6);
	assert_int_equal(ap_stream_write(&w.ss.x->stream, "msg", 3), 3);
	ap_fields_init(&trailers, w.ss.x->arena);
	ap_fields_add(&trailers, AP_S("grpc-status"), AP_S("0"));
	w.ss.x->trailers_out = &trailers;
	ap_stream_shutdown(&w.ss.x->stream);
	side_close(&w.ss, AP_STREAM_CLOSE_CLEAN);
	turns(&w, 6);
	assert_true(w.cs.eof);
	assert_int_equal(w.cs.got.len, 3);
	assert_true(ap_slice_eq(ap_fields_get(&w.cs.x->trailers_in, AP_S("grpc-status")), AP_S("0")));
	world_close(&w);
}

static void
test_head_answer_has_no_body(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	w.body = "hello";
	request(&w, "HEAD", "/", true);
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 8);
	assert_int_equal(w.cs.status, 200);
	assert_int_equal(w.cs.x->response.content_length, 5);
	assert_int_equal(w.cs.got.len, 0);
	assert_true(w.cs.eof);
	world_close(&w);
}

static void
test_server_drain_lets_exchanges_end(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	request(&w, "POST", "/", false);
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 6);
	ap_http_drain(w.server);
	turns(&w, 6);
	assert_int_equal(w.closing, 1);
	assert_int_equal(ap_http_room(w.client), 0);
	assert_null(request(&w, "GET", "/", true));
	assert_non_null(w.server);
	assert_int_equal(ap_stream_write(&w.ss.x->stream, "end", 3), 3);
	ap_stream_shutdown(&w.ss.x->stream);
	ap_stream_shutdown(&w.cs.x->stream);
	turns(&w, 6);
	assert_true(w.cs.eof && w.ss.eof);
	side_close(&w.ss, AP_STREAM_CLOSE_CLEAN);
	side_close(&w.cs, AP_STREAM_CLOSE_CLEAN);
	turns(&w, 6);
	assert_null(w.server);
	assert_null(w.client);
	world_close(&w);
}

static void
test_cut_transport_fails_exchanges(void **state)
{
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	request(&w, "POST", "/", false);
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 6);
	ap_http_close(w.server);
	turns(&w, 6);
	assert_true(w.ss.failed && w.cs.failed);
	assert_int_equal(w.cs.error, AP_STREAM_RESET);
	assert_null(w.client);
	assert_null(w.cs.x->conn);
	world_close(&w);
}

static void
test_whole_answer_outlives_its_connection(void **state)
{
	static char body[50001];
	struct world w;

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	w.body = body;
	request(&w, "GET", "/", true);
	turns(&w, 6);
	assert_int_equal(w.cs.status, 200);
	ap_http_close(w.server);
	turns(&w, 6);
	assert_null(w.client);
	assert_false(w.cs.failed);
	assert_int_equal(w.cs.got.len, 0);
	w.cs.per_event = 10000;
	ap_stream_want(&w.cs.x->stream, AP_STREAM_READABLE);
	turns(&w, 10);
	assert_int_equal(w.cs.got.len, 50000);
	assert_true(w.cs.eof);
	assert_false(w.cs.failed);
	world_close(&w);
}

static void
test_too_many_streams_wait_for_room(void **state)
{
	struct ap_http_settings set = { .max_streams = 2 };
	struct ap_exchange *x[3];
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, &set, 1 << 20, true, 0);
	turns(&w, 6);
	assert_int_equal(ap_http_room(w.client), 2);
	w.answer = 0;
	for (int i = 0; i < 2; i++)
		assert_non_null(x[i] = request(&w, "GET", "/", true));
	assert_int_equal(ap_http_room(w.client), 0);
	x[2] = request(&w, "GET", "/", true);
	assert_null(x[2]);
	turns(&w, 6);
	assert_int_equal(w.requests, 2);
	for (int i = 0; i < 2; i++) {
		struct ap_stream *s = &x[i]->stream;

		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
	}
	w.cs.x = NULL;
	turns(&w, 6);
	assert_int_equal(ap_http_room(w.client), 2);
	assert_true(w.ss.failed);
	w.ss.x = w.seen[0];
	side_close(&w.ss, AP_STREAM_CLOSE_CLEAN);
	w.ss.x = w.seen[1];
	world_close(&w);
}

static void
test_large_head_is_refused(void **state)
{
	struct ap_http_settings set = { .max_head_bytes = 4096 };
	struct ap_arena *arena = ap_arena_new(1 << 20);
	struct ap_http_head head;
	static char big[8000];
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, &set, 1 << 20, true, 0);
	memset(big, 'x', sizeof(big));
	ap_http_head_init(&head, arena);
	head.method = AP_S("GET");
	head.authority = AP_S("a");
	head.path = AP_S("/");
	ap_fields_add(&head.fields, AP_S("big"), ap_slice(big, sizeof(big)));
	w.cs.x = ap_http_request(w.client, &head, true, on_response, &w);
	ap_arena_free(&arena);
	turns(&w, 8);
	assert_int_equal(w.requests, 0);
	assert_int_equal(w.cs.status, 431);
	world_close(&w);
}

static void
test_exchange_with_expectation_continues(void **state)
{
	struct ap_arena *arena = ap_arena_new(1 << 20);
	struct ap_http_head head;
	struct world w;

	(void)state;
	world_open_as(&w, AP_HTTP_2, NULL, NULL, 1 << 20, true, 0);
	ap_http_head_init(&head, arena);
	head.method = AP_S("POST");
	head.authority = AP_S("a");
	head.path = AP_S("/");
	ap_fields_add(&head.fields, AP_S("expect"), AP_S("100-continue"));
	w.answer = 0;
	w.cs.x = ap_http_request(w.client, &head, false, on_response, &w);
	ap_arena_free(&arena);
	turns(&w, 8);
	assert_int_equal(w.requests, 1);
	ap_exchange_continue(w.ss.x);
	turns(&w, 8);
	assert_int_equal(w.cs.status, 0);
	ap_exchange_reply(w.ss.x, 204, NULL, AP_SLICE_NONE);
	turns(&w, 8);
	assert_int_equal(w.cs.status, 204);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_with_small_answer),
		cmocka_unit_test(test_bodies_pass_whole_whatever_the_buffers),
		cmocka_unit_test(test_unread_body_is_bounded_by_the_window),
		cmocka_unit_test(test_tunnel_half_closes_each_way),
		cmocka_unit_test(test_tunnel_reset_by_cancel_reads_as_eof_and_breaks_writing),
		cmocka_unit_test(test_tunnel_abort_is_told_as_failure),
		cmocka_unit_test(test_cancelled_request_is_a_failure_not_an_end),
		cmocka_unit_test(test_answer_before_the_request_ends),
		cmocka_unit_test(test_handler_that_lets_go_resets),
		cmocka_unit_test(test_trailers_follow_the_body),
		cmocka_unit_test(test_head_answer_has_no_body),
		cmocka_unit_test(test_server_drain_lets_exchanges_end),
		cmocka_unit_test(test_cut_transport_fails_exchanges),
		cmocka_unit_test(test_whole_answer_outlives_its_connection),
		cmocka_unit_test(test_too_many_streams_wait_for_room),
		cmocka_unit_test(test_large_head_is_refused),
		cmocka_unit_test(test_exchange_with_expectation_continues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
