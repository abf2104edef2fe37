/* test_ui_live.c -- what a scrape adds: baselines, resets, lost targets, and texts that are not what they should be. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "metrics_ui/ui_live.h"

#include "../test.h"

#define LABELS \
	"reporter=\"destination\",source_workload=\"client\",source_workload_namespace=\"load\",source_principal=\"spiffe://t/ns/load/sa/client\"," \
	"destination_workload=\"web\",destination_workload_namespace=\"shop\",destination_service=\"web.shop.svc.cluster.local\"," \
	"destination_service_name=\"web\",destination_service_namespace=\"shop\",connection_security_policy=\"mutual_tls\""

struct world {
	struct ui_live live;
	struct ui_tally *tally;
};

static int
setup(void **state)
{
	struct world *w = ap_new(struct world);

	w->tally = ui_tally_new(AP_SLICE_NONE, false);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	ui_tally_free(&w->tally, &w->live);
	ui_live_done(&w->live);
	ap_free(&w);
	return 0;
}

static int
take(struct world *w, const char *more, unsigned opened, unsigned closed)
{
	char *text = ap_asprintf("istio_tcp_connections_opened_total{" LABELS ",response_flags=\"-\"} %u\n"
				 "istio_tcp_connections_closed_total{" LABELS ",response_flags=\"-\"} %u\n%s",
	    opened, closed, more);
	int status = ui_tally_take(w->tally, &w->live, ap_slice_of(text), NULL);

	ap_free(&text);
	return status;
}

static struct ui_live_flow *
only_flow(struct world *w)
{
	struct ap_map_entry *e;
	size_t i = 0;

	assert_int_equal(w->live.flows.count, 1);
	e = ap_map_next(&w->live.flows, &i);
	return e->value;
}

static void
the_first_scrape_is_a_baseline(void **state)
{
	struct world *w = *state;

	assert_int_equal(take(w, "", 1000, 990), 0);
	assert_int_equal(only_flow(w)->tick.opened, 0);
	/* What is open now is no matter of when one began to look. */
	assert_int_equal(only_flow(w)->open, 10);
	assert_int_equal(take(w, "", 1007, 999), 0);
	assert_int_equal(only_flow(w)->tick.opened, 7);
	assert_int_equal(only_flow(w)->tick.closed, 9);
	assert_int_equal(only_flow(w)->open, 8);
}

static void
a_new_proxy_counts_from_its_first_scrape(void **state)
{
	struct world *w = *state;
	struct ui_tally *fresh = ui_tally_new(AP_SLICE_NONE, true);
	struct ui_tally *old = w->tally;

	w->tally = fresh;
	assert_int_equal(take(w, "", 5, 5), 0);
	assert_int_equal(only_flow(w)->tick.opened, 5);
	ui_tally_free(&fresh, &w->live);
	w->tally = old;
}

static void
a_counter_that_went_back_adds_its_new_value(void **state)
{
	struct world *w = *state;

	take(w, "", 100, 100);
	take(w, "", 110, 110);
	take(w, "", 4, 3);
	assert_int_equal(only_flow(w)->tick.opened, 14);
	assert_int_equal(only_flow(w)->open, 1);
}

static void
a_series_that_appears_later_adds_all_of_it(void **state)
{
	struct world *w = *state;

	take(w, "", 1, 1);
	take(w, "istio_tcp_connections_failed_total{" LABELS ",response_flags=\"DENY\"} 3\n", 4, 4);
	assert_int_equal(only_flow(w)->tick.failed, 3);
	assert_int_equal(only_flow(w)->tick.denied, 3);
}

static void
a_lost_target_has_nothing_open(void **state)
{
	struct world *w = *state;

	take(w, "", 50, 20);
	assert_int_equal(only_flow(w)->open, 30);
	ui_tally_lost(w->tally, &w->live);
	assert_int_equal(only_flow(w)->open, 0);
	/* It was only unreachable: what it tells again counts again, and no event twice. */
	take(w, "", 51, 20);
	assert_int_equal(only_flow(w)->open, 31);
	assert_int_equal(only_flow(w)->tick.opened, 1);
}

static void
requests_have_codes_and_times(void **state)
{
	struct world *w = *state;
	const char *text = "istio_requests_total{" LABELS ",response_code=\"200\",request_protocol=\"http\"} 9\n"
			   "istio_requests_total{" LABELS ",response_code=\"503\",request_protocol=\"http\"} 1\n"
			   "istio_request_duration_milliseconds_bucket{" LABELS ",request_protocol=\"http\",le=\"5\"} 4\n"
			   "istio_request_duration_milliseconds_bucket{" LABELS ",request_protocol=\"http\",le=\"7.5\"} 5\n"
			   "istio_request_duration_milliseconds_bucket{" LABELS ",request_protocol=\"http\",le=\"10\"} 10\n"
			   "istio_request_duration_milliseconds_bucket{" LABELS ",request_protocol=\"http\",le=\"+Inf\"} 10\n"
			   "istio_request_duration_milliseconds_sum{" LABELS ",request_protocol=\"http\"} 55.5\n"
			   "istio_request_duration_milliseconds_count{" LABELS ",request_protocol=\"http\"} 10\n"
			   "something_else{a=\"b\"} 7\n# EOF\n";
	struct ui_measure *m;

	ui_tally_free(&w->tally, &w->live);
	w->tally = ui_tally_new(AP_SLICE_NONE, true);
	assert_int_equal(ui_tally_take(w->tally, &w->live, ap_slice_of(text), NULL), 0);
	m = &only_flow(w)->tick;
	assert_int_equal(m->requests, 10);
	assert_int_equal(ui_measure_class(m, 5), 1);
	assert_int_equal(m->durations, 10);
	assert_true(m->duration_sum > 55.4 && m->duration_sum < 55.6);
	assert_true(ui_measure_quantile(m, 0.4) > 4.9 && ui_measure_quantile(m, 0.4) < 5.1);
	assert_true(ui_measure_quantile(m, 1) > 9.9 && ui_measure_quantile(m, 1) < 10.1);
}

static void
a_broken_text_counts_up_to_its_flaw(void **state)
{
	struct world *w = *state;
	struct ap_error err = { 0 };

	take(w, "", 1, 1);
	assert_true(take(w, "nonsense{\n", 3, 3) < 0);
	assert_int_equal(only_flow(w)->tick.opened, 2);
	assert_true(ui_tally_take(w->tally, &w->live, AP_S("istio_requests_total{reporter=\"x\" 1\n"), &err) < 0);
	assert_true(strlen(err.text) > 0);
}

static void
values_that_are_no_counts_are_left_out(void **state)
{
	struct world *w = *state;

	take(w, "", 1, 1);
	take(w, "istio_tcp_received_bytes_total{" LABELS "} NaN\nistio_tcp_sent_bytes_total{" LABELS "} -4\n"
		"istio_tcp_sent_bytes_total{" LABELS ",response_flags=\"x\"} 1e300\n",
	    1, 1);
	assert_int_equal(only_flow(w)->tick.received, 0);
	assert_int_equal(only_flow(w)->tick.sent, 0);
}

static void
a_flow_without_a_known_reporter_is_none(void **state)
{
	struct world *w = *state;

	assert_int_equal(
	    ui_tally_take(w->tally, &w->live, AP_S("istio_requests_total{reporter=\"sidecar\"} 4\nistio_requests_total 1\n"), NULL),
	    0);
	assert_int_equal(w->live.flows.count, 0);
}

static void
keys_give_their_flow_back_whatever_is_in_the_labels(void **state)
{
	struct world *w = *state;
	struct ui_flow f;
	struct ap_map_entry *e;
	size_t i = 0;

	ui_tally_take(w->tally, &w->live,
	    AP_S("istio_requests_total{reporter=\"source\",source_workload=\"a\x1f" "b\\nc\",source_version=\"v1\",destination_service=\"unknown\"} 4\n"),
	    NULL);
	assert_int_equal(w->live.flows.count, 1);
	e = ap_map_next(&w->live.flows, &i);
	assert_int_equal(ui_flow_parse(e->key, &f), 0);
	assert_true(ap_slice_eq_text(f.src.workload, "a?b?c"));
	assert_true(ap_slice_eq_text(f.src.version, "v1"));
	assert_int_equal(f.service.len, 0);
	assert_true(ui_flow_parse(AP_S("total"), &f) < 0);
	assert_true(ui_flow_parse(AP_SLICE_NONE, &f) < 0);
}

int
main(void)
{
#define T(fn_) cmocka_unit_test_setup_teardown(fn_, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_first_scrape_is_a_baseline),
		T(a_new_proxy_counts_from_its_first_scrape),
		T(a_counter_that_went_back_adds_its_new_value),
		T(a_series_that_appears_later_adds_all_of_it),
		T(a_lost_target_has_nothing_open),
		T(requests_have_codes_and_times),
		T(a_broken_text_counts_up_to_its_flaw),
		T(values_that_are_no_counts_are_left_out),
		T(a_flow_without_a_known_reporter_is_none),
		T(keys_give_their_flow_back_whatever_is_in_the_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
