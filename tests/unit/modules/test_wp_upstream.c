/* test_wp_upstream.c -- how endpoints are balanced, and which ends of an attempt are worth another. */
#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "waypoint/wp_request.h"

#define ENDPOINTS 4

struct world {
	struct wp_cluster cluster;
	struct wp_endpoint endpoints[ENDPOINTS], *list[ENDPOINTS];
	struct ap_mesh_workload workloads[ENDPOINTS];
};

static void
world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (int i = 0; i < ENDPOINTS; i++) {
		w->endpoints[i].refs = 1;
		w->endpoints[i].workload = &w->workloads[i];
		w->workloads[i].capacity = 1;
		snprintf(w->endpoints[i].text, sizeof(w->endpoints[i].text), "10.0.0.%d:80", i);
		w->list[i] = &w->endpoints[i];
	}
	w->cluster.endpoints = w->list;
	w->cluster.count = ENDPOINTS;
}

static size_t
pick(struct world *w, enum wp_lb lb, uint64_t hash, const struct wp_endpoint *avoid)
{
	struct wp_endpoint *e = wp_endpoint_pick(&w->cluster, lb, hash, avoid);

	assert_non_null(e);
	e->refs--;
	return (size_t)(e - w->endpoints);
}

static void
test_round_robin_takes_turns(void **state)
{
	struct world w;
	unsigned hits[ENDPOINTS] = { 0 };

	(void)state;
	world_init(&w);
	for (int i = 0; i < 400; i++)
		hits[pick(&w, WP_LB_ROUND_ROBIN, 0, NULL)]++;
	for (int i = 0; i < ENDPOINTS; i++)
		assert_int_equal(hits[i], 100);
}

static void
test_the_least_loaded_of_two_is_taken(void **state)
{
	struct world w;
	unsigned hits[ENDPOINTS] = { 0 };

	(void)state;
	world_init(&w);
	w.endpoints[0].active = 100;
	for (int i = 0; i < 4000; i++)
		hits[pick(&w, WP_LB_LEAST_REQUEST, 0, NULL)]++;
	/* Both of the two are the loaded one in a sixteenth of the draws. */
	assert_true(hits[0] < 400);
	assert_true(hits[1] > 800);
}

static void
test_random_follows_capacity(void **state)
{
	struct world w;
	unsigned hits[ENDPOINTS] = { 0 };

	(void)state;
	world_init(&w);
	w.workloads[1].capacity = 7;
	w.workloads[2].capacity = 0;
	for (int i = 0; i < 9000; i++)
		hits[pick(&w, WP_LB_RANDOM, 0, NULL)]++;
	assert_int_equal(hits[2], 0);
	assert_true(hits[1] > 6500 && hits[1] < 7500);
}

static void
test_a_hash_stays_and_moves_only_with_its_endpoint(void **state)
{
	struct world w;
	size_t before[1000];
	unsigned hits[ENDPOINTS] = { 0 }, moved = 0;

	(void)state;
	world_init(&w);
	for (uint64_t i = 0; i < 1000; i++) {
		before[i] = pick(&w, WP_LB_HASH_HEADER, i * 7919, NULL);
		hits[before[i]]++;
		assert_int_equal(before[i], pick(&w, WP_LB_HASH_HEADER, i * 7919, NULL));
	}
	for (int i = 0; i < ENDPOINTS; i++)
		assert_true(hits[i] > 180 && hits[i] < 320);
	w.cluster.count = ENDPOINTS - 1; /* the last one goes */
	for (uint64_t i = 0; i < 1000; i++) {
		size_t now = pick(&w, WP_LB_HASH_HEADER, i * 7919, NULL);

		moved += now != before[i];
		if (before[i] != ENDPOINTS - 1)
			assert_int_equal(now, before[i]);
	}
	assert_int_equal(moved, hits[ENDPOINTS - 1]);
}

static void
test_a_retry_goes_elsewhere_where_there_is_one(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	for (int lb = WP_LB_ROUND_ROBIN; lb <= WP_LB_HASH_QUERY; lb++)
		for (uint64_t i = 0; i < 200; i++)
			assert_true(pick(&w, (enum wp_lb)lb, i, &w.endpoints[1]) != 1);
	w.cluster.count = 1;
	assert_int_equal(pick(&w, WP_LB_RANDOM, 0, &w.endpoints[0]), 0);
	w.cluster.count = 0;
	assert_null(wp_endpoint_pick(&w.cluster, WP_LB_RANDOM, 0, NULL));
}

static const struct {
	uint32_t on;
	int status, grpc_status;
	bool wanted;
} status_rows[] = {
	{ WP_RETRY_5XX, 500, -1, true },
	{ WP_RETRY_5XX, 499, -1, false },
	{ WP_RETRY_GATEWAY_ERROR, 500, -1, false },
	{ WP_RETRY_GATEWAY_ERROR, 502, -1, true },
	{ WP_RETRY_GATEWAY_ERROR, 504, -1, true },
	{ WP_RETRY_4XX, 409, -1, true },
	{ WP_RETRY_4XX, 404, -1, false },
	{ WP_RETRY_CODES, 503, -1, true },
	{ WP_RETRY_CODES, 502, -1, false },
	{ WP_RETRY_CONNECT, 503, -1, false },
	{ WP_RETRY_GRPC_UNAVAILABLE, 200, 14, true },
	{ WP_RETRY_GRPC_UNAVAILABLE, 200, 0, false },
	{ WP_RETRY_GRPC_CANCELLED, 200, 1, true },
	{ 0, 503, 14, false },
};

static void
test_conditions_choose_what_is_tried_again(void **state)
{
	static const uint32_t codes[] = { 503 };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(status_rows); i++) {
		struct wp_retry r = { .on = status_rows[i].on, .codes = codes, .code_count = 1 };

		if (wp_retry_wants_status(&r, status_rows[i].status, status_rows[i].grpc_status) !=
		    status_rows[i].wanted)
			fail_msg("row %zu", i);
	}
	assert_true(wp_retry_wants_failure(&(struct wp_retry){ .on = WP_RETRY_CONNECT }, true, true, true));
	assert_false(wp_retry_wants_failure(&(struct wp_retry){ .on = WP_RETRY_CONNECT }, false, false, false));
	assert_true(wp_retry_wants_failure(&(struct wp_retry){ .on = WP_RETRY_REFUSED }, false, true, true));
	assert_false(wp_retry_wants_failure(&(struct wp_retry){ .on = WP_RETRY_REFUSED }, false, true, false));
	assert_true(wp_retry_wants_failure(&(struct wp_retry){ .on = WP_RETRY_RESET }, false, false, false));
}

static void
test_back_off_doubles_up_to_ten_times(void **state)
{
	struct wp_retry r = { .backoff_ms = 25 };

	(void)state;
	assert_true(wp_retry_backoff_ms(&r, 1, 50) == 50);
	assert_true(wp_retry_backoff_ms(&r, 1, 51) == 0);
	assert_true(wp_retry_backoff_ms(&r, 30, 250) == 250);
	assert_true(wp_retry_backoff_ms(&r, 30, 251) == 0);
}

static void
test_flags_are_written_as_envoy_writes_them(void **state)
{
	char out[64];

	(void)state;
	assert_string_equal(wp_flags_format(0, out, sizeof(out)), "-");
	assert_string_equal(
	    wp_flags_format(WP_FLAG(CONNECT_FAILED) | WP_FLAG(RETRY_LIMIT), out, sizeof(out)), "UF,URX");
	assert_string_equal(
	    wp_flags_format(WP_FLAG(DELAY_INJECTED) | WP_FLAG(FAULT_INJECTED), out, sizeof(out)), "DI,FI");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_takes_turns),
		cmocka_unit_test(test_the_least_loaded_of_two_is_taken),
		cmocka_unit_test(test_random_follows_capacity),
		cmocka_unit_test(test_a_hash_stays_and_moves_only_with_its_endpoint),
		cmocka_unit_test(test_a_retry_goes_elsewhere_where_there_is_one),
		cmocka_unit_test(test_conditions_choose_what_is_tried_again),
		cmocka_unit_test(test_back_off_doubles_up_to_ten_times),
		cmocka_unit_test(test_flags_are_written_as_envoy_writes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
