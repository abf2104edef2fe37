/* test_ui_history.c -- measures on disk: their form, sums over time, and the bounds that hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "metrics_ui/ui_history.h"
#include "../test.h"

#define START 1800000000 /* a whole minute */

struct fixture {
	char folder[64];
	char *path;
	struct ui_history *h;
};

static void
open_it(struct fixture *f, uint32_t keep, uint64_t max)
{
	struct ui_history_settings s = { .path = f->path, .keep_seconds = keep, .max_bytes = max };
	struct ap_error err = { 0 };

	f->h = ui_history_open(&s, &err);
	if (f->h == NULL)
		fail_msg("%s", err.text);
}

static int
setup(void **state)
{
	struct fixture *f = ap_new(struct fixture);

	snprintf(f->folder, sizeof(f->folder), "/tmp/ambit-ui-history-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->path = ap_asprintf("%s/history.db", f->folder);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	ui_history_close(&f->h);
	assert_int_equal(ap_dir_remove(f->folder, NULL), 0);
	ap_free(&f->path);
	ap_free(&f);
	return 0;
}

static void
write_tick(struct fixture *f, int64_t t, int64_t flow, uint64_t requests)
{
	struct ui_measure m = { .requests = requests, .opened = 1, .open = requests };
	struct ap_error err = { 0 };

	ui_measure_add_code(&m, 200, requests);
	assert_int_equal(ui_history_begin(f->h, t, 5, &err), 0);
	assert_int_equal(ui_history_put(f->h, flow, &m, &err), 0);
	if (ui_history_commit(f->h, &err) < 0)
		fail_msg("%s", err.text);
}

struct sum {
	struct ui_measure m;
	size_t rows;
	int64_t last_t;
};

static void
add_row(void *arg, const struct ui_history_row *row)
{
	struct sum *s = arg;

	ui_measure_add(&s->m, &row->m);
	s->rows++;
	s->last_t = row->t;
}

static struct sum
sum_of(struct fixture *f, int64_t from, int64_t to, int coarse, int64_t *covered)
{
	struct sum s = { 0 };

	assert_int_equal(ui_history_read(f->h, from, to, coarse, NULL, 0, add_row, &s, covered, NULL), 0);
	return s;
}

static void
a_measure_survives_its_form(void **state)
{
	struct ui_measure m = { .opened = 1, .closed = 300, .failed = 2, .denied = 1, .received = 1ULL << 40, .sent = 7,
		.requests = 12, .request_bytes = 99, .response_bytes = 100, .durations = 12, .duration_sum = 12.5, .open = 3 };
	struct ui_measure back;
	struct ap_buf b;

	(void)state;
	for (size_t i = 0; i < UI_BOUND_COUNT; i++)
		m.at_most[i] = i < 3 ? 0 : i < 6 ? 5 : 12;
	ui_measure_add_code(&m, 200, 10);
	ui_measure_add_code(&m, 503, 2);
	ap_buf_init(&b, 4096);
	ui_measure_encode(&m, &b);
	assert_int_equal(ui_measure_decode(ap_buf_slice(&b), &back), 0);
	assert_memory_equal(&m, &back, sizeof(m));
	for (size_t cut = 0; cut < b.len; cut++) /* no prefix is accepted silently, save that of a measure without requests */
		assert_true(ui_measure_decode(ap_slice(b.ptr, cut), &back) < 0 || back.durations == 0);
	ap_buf_done(&b);
}

static void
codes_beyond_the_table_are_kept_by_class(void **state)
{
	struct ui_measure m = { 0 };

	(void)state;
	for (uint16_t c = 200; c < 600; c++)
		ui_measure_add_code(&m, c, 1);
	assert_true(m.code_count <= UI_CODES_MAX);
	assert_int_equal(ui_measure_class(&m, 2), 100);
	assert_int_equal(ui_measure_class(&m, 5), 100);
}

static void
parts_sum_to_the_whole(void **state)
{
	const uint64_t weights[] = { 3, 0, 7, 1 };
	struct ui_measure m = { .opened = 10, .received = 1001, .sent = 1, .open = 5 };
	struct ui_measure sum = { 0 };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(weights); i++) {
		struct ui_measure p = ui_measure_part(&m, weights, AP_COUNTOF(weights), i);

		ui_measure_add(&sum, &p);
		sum.open += p.open;
		if (weights[i] == 0)
			assert_int_equal(p.received, 0);
	}
	assert_int_equal(sum.opened, 10);
	assert_int_equal(sum.received, 1001);
	assert_int_equal(sum.sent, 1);
	assert_int_equal(sum.open, 5);
}

static void
ticks_are_read_back_and_rolled_into_minutes(void **state)
{
	struct fixture *f = *state;
	int64_t flow, covered = 0;
	struct sum s;

	open_it(f, 86400, 64 << 20);
	flow = ui_history_flow(f->h, AP_S("a flow"), NULL);
	assert_true(flow > 0);
	assert_int_equal(ui_history_flow(f->h, AP_S("a flow"), NULL), flow);
	for (int i = 1; i <= 36; i++)
		write_tick(f, START + i * 5, flow, 2);
	s = sum_of(f, START, START + 60, 0, &covered);
	assert_int_equal(s.rows, 12);
	assert_int_equal(s.m.requests, 24);
	assert_int_equal(covered, 60);
	s = sum_of(f, START, START + 180, 1, &covered);
	assert_int_equal(s.rows, 3);
	assert_int_equal(s.m.requests, 72);
	assert_int_equal(covered, 180);
	/* A restart changes nothing. */
	ui_history_close(&f->h);
	open_it(f, 86400, 64 << 20);
	assert_int_equal(ui_history_last(f->h), START + 180);
	s = sum_of(f, START + 120, START + 180, 0, NULL);
	assert_int_equal(s.m.requests, 24);
}

static void
what_is_too_old_is_deleted(void **state)
{
	struct fixture *f = *state;
	int64_t flow;
	struct sum s;

	open_it(f, 7200, 64 << 20);
	flow = ui_history_flow(f->h, AP_S("a flow"), NULL);
	for (int i = 1; i <= 3 * 60; i++) /* three hours, a tick a minute */
		write_tick(f, START + i * 60, flow, 1);
	s = sum_of(f, 0, START + 3600, 1, NULL);
	assert_int_equal(s.rows, 0);
	s = sum_of(f, START + 3600, START + 3 * 3600, 1, NULL);
	assert_int_equal(s.rows, 120);
	/* Beyond the fine hour a read falls back to minutes by itself. */
	s = sum_of(f, START + 3600, START + 3 * 3600, 0, NULL);
	assert_int_equal(s.m.requests, 120);
}

static void
the_file_stays_below_its_bound(void **state)
{
	struct fixture *f = *state;
	const uint64_t max = 512 * 1024;
	int64_t flows[50];

	open_it(f, 86400, max);
	for (size_t i = 0; i < AP_COUNTOF(flows); i++) {
		char name[300];

		snprintf(name, sizeof(name), "flow %zu of some length", i);
		flows[i] = ui_history_flow(f->h, ap_slice_of(name), NULL);
	}
	for (int t = 1; t <= 700; t++) {
		struct ui_measure m = { .requests = 1000000, .durations = 1000000, .received = 1ULL << 50, .sent = 1ULL << 50 };

		assert_int_equal(ui_history_begin(f->h, START + t * 5, 5, NULL), 0);
		for (size_t i = 0; i < AP_COUNTOF(flows); i++)
			assert_int_equal(ui_history_put(f->h, flows[i], &m, NULL), 0);
		assert_int_equal(ui_history_commit(f->h, NULL), 0);
	}
	assert_true(ui_history_bytes(f->h) <= max + 64 * 1024);
	assert_int_equal(sum_of(f, START + 690 * 5, START + 700 * 5, 0, NULL).rows, 500);
}

static void
a_damaged_file_is_put_aside(void **state)
{
	struct fixture *f = *state;
	char *aside = ap_asprintf("%s.damaged", f->path);

	assert_int_equal(ap_file_write(f->path, AP_S("this is not a database, and it is long enough to tell"), 0600, NULL), 0);
	open_it(f, 7200, 64 << 20);
	assert_int_equal(access(aside, F_OK), 0);
	write_tick(f, START + 5, ui_history_flow(f->h, AP_S("x"), NULL), 1);
	ap_free(&aside);
}

static void
take_event(void *arg, const struct ui_event *e)
{
	int *n = arg;

	if ((*n)++ == 0)
		assert_true(ap_slice_eq_text(e->name, "second"));
}

static void
events_come_newest_first(void **state)
{
	struct fixture *f = *state;
	struct ui_event e = { .t = 1000, .verb = AP_S("added"), .kind = AP_S("RouteTable"), .name = AP_S("first") };
	int n = 0;

	open_it(f, 7200, 64 << 20);
	assert_int_equal(ui_history_add_event(f->h, &e, NULL), 0);
	e.name = AP_S("second");
	assert_int_equal(ui_history_add_event(f->h, &e, NULL), 0);
	assert_int_equal(ui_history_events(f->h, 10, take_event, &n, NULL), 0);
	assert_int_equal(n, 2);
}

int
main(void)
{
#define T(fn_) cmocka_unit_test_setup_teardown(fn_, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_measure_survives_its_form),
		cmocka_unit_test(codes_beyond_the_table_are_kept_by_class),
		cmocka_unit_test(parts_sum_to_the_whole),
		T(ticks_are_read_back_and_rolled_into_minutes),
		T(what_is_too_old_is_deleted),
		T(the_file_stays_below_its_bound),
		T(a_damaged_file_is_put_aside),
		T(events_come_newest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
