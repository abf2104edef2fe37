/* test_pool.c -- kept connections: reuse, limits, waiting, failures, retirement; over pipes and a dial that fails on demand. */
#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "http/pool.h"
#include "pipe.h"

#define MAX 200

struct bed {
	struct ap_loop *loop;
	struct ap_http_pool *pool;
	struct ap_http_dial dial;
	struct ap_arena *arena;
	struct ap_http_head head;
	struct ap_http_conn *servers[MAX];
	int server_count, closed_count, dials;
	bool fail; /* dials fail */
	bool hold; /* the server does not answer */
	struct ap_exchange *held[MAX];
	int held_count;
	struct ap_exchange *x[MAX];
	int got, failed, answered;
	enum ap_stream_error why;
};

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct bed *b = arg;
	struct ap_stream *s = &x->stream;

	if (b->hold) {
		b->held[b->held_count++] = x;
		return;
	}
	ap_exchange_reply(x, 200, "text/plain", AP_S("hi"));
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
}

static void
on_server_closed(struct ap_http_conn *conn, void *arg)
{
	struct bed *b = arg;

	b->closed_count++;
	for (int i = 0; i < b->server_count; i++)
		if (b->servers[i] == conn)
			b->servers[i] = NULL;
}

static const struct ap_http_server_ops server_ops = { on_request, on_server_closed };

static struct ap_stream *
on_dial(struct ap_loop *loop, void *arg)
{
	struct bed *b = arg;
	struct pipe_end *client, *server;

	b->dials++;
	pipe_pair(loop, 1 << 20, false, &client, &server);
	if (b->fail) {
		struct ap_stream *s = &server->s;

		client->s.is_open = false; /* never opens: FAILED comes first */
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return &client->s;
	}
	b->servers[b->server_count++] = ap_http_serve(&server->s, b->dial.version, NULL, &server_ops, b);
	return &client->s;
}

static void
on_response(struct ap_exchange *x, void *arg)
{
	struct bed *b = arg;

	if (x->response.status == 200)
		b->answered++;
	else
		b->failed++;
}

static void
on_got(struct ap_exchange *x, enum ap_stream_error why, int detail, void *arg)
{
	struct bed *b = arg;

	(void)detail;
	if (x == NULL) {
		b->failed++;
		b->why = why;
		return;
	}
	b->x[b->got++] = x;
}

static void
setup(struct bed *b, enum ap_http_version version, const struct ap_http_pool_settings *set)
{
	memset(b, 0, sizeof(*b));
	b->loop = ap_loop_new("test");
	b->pool = ap_http_pool_new(b->loop, set);
	b->dial = (struct ap_http_dial){ .dial = on_dial, .arg = b, .version = version };
	b->arena = ap_arena_new(65536);
	ap_http_head_init(&b->head, b->arena);
	b->head.method = AP_S("GET");
	b->head.authority = AP_S("a");
	b->head.path = AP_S("/");
}

static void
turns(struct bed *b, int n)
{
	for (int i = 0; i < n; i++)
		ap_loop_turn(b->loop, 0);
}

static struct ap_http_wait *
ask(struct bed *b, const char *key)
{
	return ap_http_pool_request(
	    b->pool, ap_slice_of(key), &b->dial, &b->head, true, on_got, on_response, b);
}

static void
finish(struct bed *b)
{
	for (int i = 0; i < b->got; i++) {
		struct ap_stream *s = b->x[i] == NULL ? NULL : &b->x[i]->stream;
		char buf[100];

		if (s == NULL)
			continue;
		while (ap_stream_read(s, buf, sizeof(buf)) > 0)
			;
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		b->x[i] = NULL;
	}
}

static void
teardown(struct bed *b)
{
	finish(b);
	for (int i = 0; i < b->held_count; i++) {
		struct ap_stream *s = &b->held[i]->stream;

		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	}
	ap_http_pool_free(&b->pool);
	turns(b, 4);
	for (int i = 0; i < b->server_count; i++)
		if (b->servers[i] != NULL)
			ap_http_close(b->servers[i]);
	turns(b, 4);
	assert_int_equal(b->closed_count, b->server_count);
	ap_arena_free(&b->arena);
	ap_loop_free(&b->loop);
}

static void
connections_are_used_again(void **state)
{
	(void)state;
	for (int version = AP_HTTP_AUTO; version <= AP_HTTP_2; version += version == 0 ? 2 : 1) {
		struct ap_http_pool_stats stats;
		struct bed b;

		setup(&b, version, NULL);
		for (int i = 0; i < 5; i++) {
			struct ap_http_wait *w = ask(&b, "k");

			assert_int_equal(w == NULL, i > 0);
			turns(&b, 10);
			assert_int_equal(b.answered, i + 1);
			finish(&b);
			turns(&b, 4);
		}
		assert_int_equal(b.dials, 1);
		(void)ask(&b, "other");
		turns(&b, 10);
		assert_int_equal(b.dials, 2);
		ap_http_pool_stats(b.pool, &stats);
		assert_int_equal(stats.connections, 2);
		assert_int_equal(stats.reused, 4);
		assert_int_equal(stats.active, 1);
		assert_int_equal(ap_http_pool_load(b.pool, AP_S("other")), 1);
		assert_int_equal(ap_http_pool_load(b.pool, AP_S("k")), 0);
		teardown(&b);
	}
}

static void
http_1_dials_for_each_and_http_2_once(void **state)
{
	struct bed b;

	(void)state;
	setup(&b, AP_HTTP_1_1, NULL);
	for (int i = 0; i < 7; i++)
		(void)ask(&b, "k");
	turns(&b, 12);
	assert_int_equal(b.answered, 7);
	assert_int_equal(b.dials, 7);
	teardown(&b);
	setup(&b, AP_HTTP_2, NULL);
	for (int i = 0; i < 7; i++)
		(void)ask(&b, "k");
	turns(&b, 12);
	assert_int_equal(b.answered, 7);
	assert_int_equal(b.dials, 1);
	for (int i = 0; i < 120; i++)
		(void)ask(&b, "k");
	turns(&b, 20);
	assert_int_equal(b.answered, 127);
	assert_int_equal(b.dials, 2);
	teardown(&b);
}

static void
limits_queue_and_overflow(void **state)
{
	struct ap_http_pool_settings set = { .max_connections = 2, .max_waiting = 3 };
	struct bed b;

	(void)state;
	setup(&b, AP_HTTP_1_1, &set);
	for (int i = 0; i < 2; i++)
		(void)ask(&b, "k");
	turns(&b, 12);
	assert_int_equal(b.answered, 2);
	for (int i = 0; i < 5; i++)
		(void)ask(&b, "k");
	assert_int_equal(b.failed, 2);
	assert_int_equal(b.why, AP_STREAM_LIMIT);
	assert_int_equal(b.dials, 2);
	for (int i = 0; i < 4; i++) {
		turns(&b, 12);
		finish(&b);
	}
	assert_int_equal(b.answered, 5);
	assert_int_equal(b.dials, 2);
	teardown(&b);
}

static void
failed_dials_fail_those_that_wait(void **state)
{
	struct bed b;

	(void)state;
	for (int version = AP_HTTP_AUTO; version <= AP_HTTP_2; version += version == 0 ? 2 : 1) {
		setup(&b, version, NULL);
		b.fail = true;
		for (int i = 0; i < 4; i++)
			(void)ask(&b, "k");
		turns(&b, 10);
		assert_int_equal(b.failed, 4);
		assert_int_equal(b.why, AP_STREAM_RESET);
		b.fail = false;
		(void)ask(&b, "k");
		turns(&b, 10);
		assert_int_equal(b.answered, 1);
		teardown(&b);
	}
}

static void
waits_can_be_cancelled_and_time_out(void **state)
{
	struct ap_http_pool_settings set = { .max_connections = 1, .wait_timeout_ms = 20 };
	struct ap_http_wait *w;
	struct bed b;

	(void)state;
	setup(&b, AP_HTTP_1_1, &set);
	b.hold = true;
	(void)ask(&b, "k");
	turns(&b, 10);
	w = ask(&b, "k");
	assert_non_null(w);
	ap_http_pool_cancel(&w);
	assert_null(w);
	(void)ask(&b, "k");
	(void)ask(&b, "k");
	for (int i = 0; i < 200 && b.failed < 2; i++)
		ap_loop_turn(b.loop, 5);
	assert_int_equal(b.failed, 2);
	assert_int_equal(b.why, AP_STREAM_TIMEOUT);
	(void)ask(&b, "k"); /* the pool goes with one waiting */
	teardown(&b);
}

static void
retired_connections_end_with_their_last_request(void **state)
{
	struct ap_http_pool_settings set = { .max_requests = 2 };
	struct bed b;

	(void)state;
	setup(&b, AP_HTTP_2, NULL);
	b.hold = true;
	(void)ask(&b, "k");
	turns(&b, 10);
	ap_http_pool_retire(b.pool, AP_S("k"));
	turns(&b, 4);
	assert_int_equal(b.closed_count, 0);
	b.hold = false;
	(void)ask(&b, "k");
	turns(&b, 10);
	assert_int_equal(b.dials, 2);
	ap_exchange_reply(b.held[0], 200, NULL, AP_S("x"));
	turns(&b, 4);
	finish(&b);
	turns(&b, 8);
	assert_int_equal(b.answered, 2);
	teardown(&b);
	setup(&b, AP_HTTP_1_1, &set);
	for (int i = 0; i < 5; i++) {
		(void)ask(&b, "k");
		turns(&b, 10);
		finish(&b);
		turns(&b, 4);
	}
	assert_int_equal(b.answered, 5);
	assert_int_equal(b.dials, 3);
	teardown(&b);
}

static void
a_closed_idle_connection_is_not_used(void **state)
{
	struct bed b;

	(void)state;
	setup(&b, AP_HTTP_1_1, NULL);
	(void)ask(&b, "k");
	turns(&b, 10);
	finish(&b);
	turns(&b, 4);
	ap_http_close(b.servers[0]);
	turns(&b, 6);
	(void)ask(&b, "k");
	turns(&b, 10);
	assert_int_equal(b.answered, 2);
	assert_int_equal(b.failed, 0);
	assert_int_equal(b.dials, 2);
	teardown(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_used_again),
		cmocka_unit_test(http_1_dials_for_each_and_http_2_once),
		cmocka_unit_test(limits_queue_and_overflow),
		cmocka_unit_test(failed_dials_fail_those_that_wait),
		cmocka_unit_test(waits_can_be_cancelled_and_time_out),
		cmocka_unit_test(retired_connections_end_with_their_last_request),
		cmocka_unit_test(a_closed_idle_connection_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
