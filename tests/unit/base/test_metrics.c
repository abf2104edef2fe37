/* test_metrics.c -- sums over shards, living and dead; the exposition; a scraper beside its writers. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "base/metrics.h"

static const char *const labels[] = { "source", "code", NULL };
static const double bounds[] = { 0.5, 1, 2.5 };
static const struct ap_metric requests = {
	.name = "t_requests", .kind = AP_COUNTER, .help = "Requests.", .labels = labels
};
static const struct ap_metric open_now = { .name = "t_open", .kind = AP_GAUGE, .help = "Open now." };
static const struct ap_metric took = { .name = "t_took_seconds",
	.kind = AP_HISTOGRAM,
	.help = "Time.",
	.unit = "seconds",
	.labels = labels,
	.bounds = bounds,
	.bound_count = AP_COUNTOF(bounds) };
static const struct ap_metric few = {
	.name = "t_few", .kind = AP_COUNTER, .help = "Few.", .labels = labels, .ceiling = 2
};

static struct ap_buf text;

static const char *
scrape(void)
{
	ap_buf_clear(&text);
	ap_metrics_write(&text);
	assert_false(text.bad);
	return text.ptr;
}

static void
has(const char *line)
{
	if (strstr(text.ptr, line) == NULL)
		fail_msg("no \"%s\" in\n%s", line, text.ptr);
}

static void
counters_are_summed_and_survive_their_shard(void **state)
{
	struct ap_shard *a = ap_shard_new("a"), *b = ap_shard_new("b");
	struct ap_slice values[] = { AP_S("x\"\\\n\xff"), AP_S("") };

	(void)state;
	ap_series_add(ap_series_get(a, &requests, values), 3);
	assert_ptr_equal(ap_series_get(a, &requests, values), ap_series_get(a, &requests, values));
	ap_series_add(ap_series_get(b, &requests, values), 4);
	ap_series_add(ap_series_get(a, &open_now, NULL), 5);
	ap_series_sub(ap_series_get(b, &open_now, NULL), 2);
	scrape();
	has("# HELP t_requests Requests.\n# TYPE t_requests counter\n"
	    "t_requests_total{source=\"x\\\"\\\\\\n\xef\xbf\xbd\",code=\"\"} 7\n");
	has("# TYPE t_open gauge\nt_open 3\n");
	assert_string_equal(text.ptr + text.len - 6, "# EOF\n");
	ap_shard_free(&b);
	assert_null(b);
	ap_series_add(ap_series_get(a, &requests, values), 1);
	scrape();
	has("code=\"\"} 8\n");
	has("t_open 5\n");
	ap_shard_free(&a);
	scrape();
	has("code=\"\"} 8\n");
	has("process_open_fds ");
	has("process_cpu_seconds_total ");
	assert_null(strstr(text.ptr, "process_resident_memory_bytes 0\n"));
}

static void
histograms_have_cumulative_buckets(void **state)
{
	struct ap_shard *shard = ap_shard_new("h");
	struct ap_slice values[] = { AP_S("s"), AP_S("200") };
	const double seen[] = { 0.1, 0.5, 0.75, 2, 9 };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(seen); i++)
		ap_series_observe(ap_series_get(shard, &took, values), seen[i]);
	for (int round = 0; round < 2; round++) {
		scrape();
		has("# UNIT t_took_seconds seconds\n");
		has("t_took_seconds_bucket{source=\"s\",code=\"200\",le=\"0.5\"} 2\n"
		    "t_took_seconds_bucket{source=\"s\",code=\"200\",le=\"1.0\"} 3\n"
		    "t_took_seconds_bucket{source=\"s\",code=\"200\",le=\"2.5\"} 4\n"
		    "t_took_seconds_bucket{source=\"s\",code=\"200\",le=\"+Inf\"} 5\n"
		    "t_took_seconds_sum{source=\"s\",code=\"200\"} 12.35\n"
		    "t_took_seconds_count{source=\"s\",code=\"200\"} 5\n");
		ap_shard_free(&shard);
	}
}

static void
past_the_ceiling_series_share_one(void **state)
{
	struct ap_shard *shard = ap_shard_new("f");
	char name[16];

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct ap_slice values[] = { ap_slice(name, (size_t)snprintf(name, sizeof(name), "s%d", i)),
			AP_S("c") };

		ap_series_add(ap_series_get(shard, &few, values), 1);
	}
	scrape();
	has("t_few_total{source=\"s1\",code=\"c\"} 1\n");
	has("t_few_total{source=\"other\",code=\"other\"} 8\n");
	assert_null(strstr(text.ptr, "s2"));
	ap_shard_free(&shard);
}

static double
answer(void *arg)
{
	return *(const double *)arg;
}

static void
gauges_can_be_asked(void **state)
{
	static double value = 42.25;

	(void)state;
	ap_metrics_add_gauge("t_asked", "Asked.", answer, &value);
	scrape();
	has("# HELP t_asked Asked.\n# TYPE t_asked gauge\nt_asked 42.25\n");
}

static void *
write_shard(void *arg)
{
	struct ap_shard *shard = ap_shard_new("w");
	char name[16];

	(void)arg;
	for (int i = 0; i < 20000; i++) {
		struct ap_slice values[] = { ap_slice(name, (size_t)snprintf(name, sizeof(name), "t%d", i % 50)),
			AP_S("w") };

		ap_series_add(ap_series_get(shard, &requests, values), 1);
		ap_series_observe(ap_series_get(shard, &took, values), 1);
	}
	ap_shard_free(&shard);
	return NULL;
}

static void
a_scraper_never_disturbs_its_writers(void **state)
{
	pthread_t threads[3];
	unsigned long sum = 0;
	const char *at;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_shard, NULL), 0);
	for (int i = 0; i < 20; i++)
		scrape();
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (at = scrape(); (at = strstr(at, ",code=\"w\"} ")) != NULL; at++) {
		unsigned long n = 0;

		if (sscanf(at, ",code=\"w\"} %lu", &n) == 1)
			sum += n;
	}
	/* counters, and the histogram's sum and count */
	assert_int_equal(sum, 3 * 60000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_are_summed_and_survive_their_shard),
		cmocka_unit_test(histograms_have_cumulative_buckets),
		cmocka_unit_test(past_the_ceiling_series_share_one),
		cmocka_unit_test(gauges_can_be_asked),
		cmocka_unit_test(a_scraper_never_disturbs_its_writers),
	};
	int failed;

	ap_buf_init(&text, 1 << 20);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	ap_buf_done(&text);
	return failed;
}
