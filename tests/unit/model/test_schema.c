/* test_schema.c -- the checker: each way in which a document can be wrong is told with its path, its place and what to do. */
#include "../test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codec/yaml.h"
#include "model/checks.h"
#include "model/schema.h"

static const char *const colours[] = { "red", "green", "blue", NULL };

static void
check_even(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer % 2 != 0)
		ap_complain(errs, v, "must be even");
}

static void
check_pair(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_doc_int(node, "low", 0) > ap_doc_int(node, "high", 100))
		ap_complain(errs, node, ".low: must not be above high");
}

static const struct ap_field_row pair_rows[] = {
	{ .name = "low", .type = AP_T_INT },
	{ .name = "high", .type = AP_T_INT },
	{ 0 },
};
static const struct ap_schema pair = { .name = "pair", .rows = pair_rows, .check = check_pair };
static const struct ap_field_row rows[] = {
	{ .name = "name", .type = AP_T_STRING, .flags = AP_F_REQUIRED | AP_F_NON_EMPTY, .max = 8 },
	{ .name = "colour", .type = AP_T_STRING, .values = colours },
	{ .name = "even", .type = AP_T_INT, .min = 0, .max = 10, .check = check_even },
	{ .name = "ratio", .type = AP_T_REAL, .min = 0, .max = 1 },
	{ .name = "timeout", .type = AP_T_DURATION },
	{ .name = "port", .type = AP_T_INT_OR_STRING },
	{ .name = "pair", .type = AP_T_OBJECT, .of = &pair },
	{ .name = "pairs", .type = AP_T_LIST, .item = AP_T_OBJECT, .of = &pair, .max = 2 },
	{ .name = "words", .type = AP_T_LIST, .item = AP_T_STRING, .flags = AP_F_UNIQUE },
	{ .name = "labels", .type = AP_T_MAP, .item = AP_T_STRING },
	{ .name = "byName", .type = AP_T_MAP, .item = AP_T_OBJECT, .of = &pair },
	{ .name = "later", .type = AP_T_BOOL, .flags = AP_F_REPORTED },
	{ .name = "never", .type = AP_T_BOOL, .flags = AP_F_REFUSED },
	{ .name = "any", .type = AP_T_ANY },
	{ 0 },
};
static const struct ap_schema schema = { .name = "thing", .rows = rows };

struct row {
	const char *yaml;
	const char *want; /* NULL: fine; else the only problem, formatted */
};

static const struct row table[] = {
	{ "name: a", NULL },
	{ "{name: a, colour: red, even: 4, ratio: 1, timeout: 1m30s, port: http, later: true, any: {x: [1]}}", NULL },
	{ "{name: a, port: 80, pairs: [{low: 1}, {}], words: [x, y], labels: {a/b: c}, byName: {x: {low: 1}}}", NULL },
	{ "{name: a, colour: null}", NULL },
	{ "{}", "f:1:1: name: is required" },
	{ "name: null", "f:1:1: name: is required" },
	{ "name: \"\"", "f:1:7: name: must not be empty" },
	{ "name: 12", "f:1:7: name: must be a string, not a whole number" },
	{ "name: [a]", "f:1:7: name: must be a string, not a list" },
	{ "name: abcdefghi", "f:1:7: name: must be at most 8 characters long, is 9" },
	{ "{name: a, nam: b}", "f:1:11: nam: unknown field; did you mean \"name\"?" },
	{ "{name: a, Colour: red}", "f:1:11: Colour: unknown field; did you mean \"colour\"?" },
	{ "{name: a, zzzzzzzz: b}", "f:1:11: zzzzzzzz: unknown field" },
	{ "{name: a, colour: gren}",
	    "f:1:19: colour: \"gren\" is not allowed; did you mean \"green\"? Allowed: red, green, blue" },
	{ "{name: a, even: 11}", "f:1:17: even: must be between 0 and 10, is 11" },
	{ "{name: a, even: 3}", "f:1:17: even: must be even" },
	{ "{name: a, even: 1.5}", "f:1:17: even: must be a whole number, not a number" },
	{ "{name: a, ratio: 1.5}", "f:1:18: ratio: must be between 0 and 1, is 1.5" },
	{ "{name: a, timeout: soon}", "f:1:20: timeout: \"soon\" is no duration such as 250ms or 1h30m" },
	{ "{name: a, pair: {low: x}}", "f:1:23: pair.low: must be a whole number, not a string" },
	{ "{name: a, pair: {low: 5, high: 2}}", "f:1:17: pair.low: must not be above high" },
	{ "{name: a, pairs: [{}, {}, {}]}", "f:1:18: pairs: must be at most 2 items long, is 3" },
	{ "{name: a, pairs: [{}, {low: 5, high: 2}]}", "f:1:23: pairs[1].low: must not be above high" },
	{ "{name: a, pairs: [null]}", "f:1:19: pairs[0]: must be a map, not null" },
	{ "{name: a, words: [x, y, x]}", "f:1:25: words[2]: stands in the list already, at [0]" },
	{ "{name: a, labels: {x: 1}}", "f:1:23: labels.x: must be a string, not a whole number" },
	{ "{name: a, labels: {a.b/c: 1}}", "f:1:27: labels[\"a.b/c\"]: must be a string, not a whole number" },
	{ "{name: a, byName: {x: {lov: 1}}}", "f:1:24: byName.x.lov: unknown field; did you mean \"low\"?" },
	{ "{name: a, never: true}",
	    "f:1:18: never: is not honoured by Ambit, and going on without it would weaken security" },
	{ "[a]", "f:1:1: must be a map, not a list" },
};

static struct ap_doc *
parse(struct ap_arena *arena, const char *text)
{
	struct ap_yaml_docs docs = { 0 };
	struct ap_error err = { 0 };

	if (ap_yaml_parse(arena, "f", ap_slice_of(text), &docs, &err) != 0)
		fail_msg("%s: %s", text, err.text);
	return docs.items[0];
}

static void
every_problem_is_told_with_path_and_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(table); i++) {
		struct ap_arena *arena = ap_arena_new(1 << 20);
		struct ap_errors errs = { 0 };
		char text[600] = "";

		ap_schema_check(&schema, parse(arena, table[i].yaml), "", &errs);
		if (errs.total > 0)
			ap_error_format(&errs.items[0], text, sizeof(text));
		if (table[i].want == NULL ? errs.total != 0 : errs.total != 1 || strcmp(text, table[i].want) != 0)
			fail_msg("%s: %zu problems, the first: %s", table[i].yaml, errs.total, text);
		ap_errors_done(&errs);
		ap_arena_free(&arena);
	}
}

static void
all_problems_are_told_at_once(void **state)
{
	struct ap_arena *arena = ap_arena_new(1 << 20);
	struct ap_errors errs = { 0 };

	(void)state;
	assert_int_equal(
	    ap_schema_check(&schema, parse(arena, "{colour: x, even: 12, tiemout: 1s, words: [1, 2]}"), "spec", &errs), 6);
	assert_int_equal(errs.total, 6);
	assert_string_equal(errs.items[0].text, "spec.colour: \"x\" is not allowed; allowed: red, green, blue");
	ap_errors_done(&errs);
	ap_arena_free(&arena);
}

static void
unknown_fields_can_be_told_apart(void **state)
{
	struct ap_arena *arena = ap_arena_new(1 << 20);
	struct ap_errors errs = { 0 }, unknown = { 0 };
	struct ap_doc *doc = parse(arena, "{name: a, nam: b, pair: {lo: 1}}");

	(void)state;
	assert_int_equal(ap_schema_check_known(&schema, doc, "", &errs, &unknown), 0);
	assert_int_equal(unknown.total, 2);
	assert_int_equal(unknown.items[0].code, AP_SCHEMA_UNKNOWN);
	assert_int_equal(ap_schema_check_known(&schema, doc, "", &errs, NULL), 0);
	ap_errors_done(&errs);
	ap_errors_done(&unknown);
	ap_arena_free(&arena);
}

static void
fields_that_are_kept_but_not_honoured_are_listed(void **state)
{
	struct ap_arena *arena = ap_arena_new(1 << 20);
	struct ap_errors errs = { 0 };

	(void)state;
	assert_int_equal(ap_schema_reported(&schema, parse(arena, "{name: a, later: true}"), "spec", &errs), 1);
	assert_string_equal(errs.items[0].text, "spec.later: is kept but not honoured yet");
	ap_errors_done(&errs);
	ap_arena_free(&arena);
}

/* -- values -- */

static void
hosts_are_told_from_what_is_none(void **state)
{
	static const struct {
		const char *text;
		bool name, wild;
	} hosts[] = {
		{ "reviews", true, true },
		{ "reviews.prod.svc.cluster.local", true, true },
		{ "Mixed_Case.example", true, true },
		{ "a.b.", true, true },
		{ "*", false, true },
		{ "*.example.com", false, true },
		{ "*-eu.example.com", false, true },
		{ "*x.example.com", false, false },
		{ "a.*.b", false, false },
		{ "", false, false },
		{ ".a", false, false },
		{ "a..b", false, false },
		{ "-a", false, false },
		{ "a-", false, false },
		{ "a b", false, false },
		{ "http://a", false, false },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(hosts); i++) {
		struct ap_slice s = ap_slice_of(hosts[i].text);

		if (ap_check_is_hostname(s) != hosts[i].name || ap_check_is_wild_hostname(s) != hosts[i].wild)
			fail_msg("%s", hosts[i].text);
	}
}

static void
times_are_read_as_rfc3339(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: none */
	} times[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-24T05:45:38Z", INT64_C(1795499138000) },
		{ "2026-11-24T05:45:38.123456Z", INT64_C(1795499138123) },
		{ "2026-11-24T07:45:38+02:00", INT64_C(1795499138000) },
		{ "2024-02-29T00:00:00Z", INT64_C(1709164800000) },
		{ "2026-11-24", -1 },
		{ "2026-11-24T05:45:38", -1 },
		{ "2026-13-24T05:45:38Z", -1 },
		{ "2026-11-24T25:45:38Z", -1 },
		{ "2026-11-24T05:45:38Zx", -1 },
		{ "2026-11-24T05:45:38.Z", -1 },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(times); i++) {
		int64_t ms = -1;

		if (!ap_check_parse_time(ap_slice_of(times[i].text), &ms))
			ms = -1;
		if (ms != times[i].ms)
			fail_msg("%s: %lld", times[i].text, (long long)ms);
	}
}

static void
expressions_beyond_re2_are_refused(void **state)
{
	static const char *const good[] = { "", "abc", "^/api/v[0-9]+/.*$", "(?i)jason", "(a|b)*", "\\d{3}", "[[:alpha:]]+", "\\\\1" };
	static const char *const bad[] = { "(", "[a", "(?=x)", "(?<!x)y", "(a)\\1", "(?>a)", "*a" };
	char why[160];

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(good); i++)
		if (ap_check_regex(ap_slice_of(good[i]), why, sizeof(why)) != NULL)
			fail_msg("%s: %s", good[i], why);
	for (size_t i = 0; i < AP_COUNTOF(bad); i++)
		if (ap_check_regex(ap_slice_of(bad[i]), why, sizeof(why)) == NULL)
			fail_msg("%s", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_problem_is_told_with_path_and_place),
		cmocka_unit_test(all_problems_are_told_at_once),
		cmocka_unit_test(unknown_fields_can_be_told_apart),
		cmocka_unit_test(fields_that_are_kept_but_not_honoured_are_listed),
		cmocka_unit_test(hosts_are_told_from_what_is_none),
		cmocka_unit_test(times_are_read_as_rfc3339),
		cmocka_unit_test(expressions_beyond_re2_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
