/* test_doc.c -- documents: finders, changes, YAML and JSON in and out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/yaml.h"

static struct ap_arena *arena;

static int
set_up(void **state)
{
	(void)state;
	arena = ap_arena_new((size_t)64 << 20);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ap_arena_free(&arena);
	return 0;
}

static struct ap_doc *
yaml(const char *text)
{
	struct ap_yaml_docs docs;
	struct ap_error err;

	if (ap_yaml_parse(arena, "t.yaml", ap_slice_of(text), &docs, &err) < 0)
		fail_msg("%u:%u %s", err.at.line, err.at.column, err.text);
	assert_int_equal(docs.count, 1);
	return docs.items[0];
}

static const char *
json(const struct ap_doc *doc)
{
	struct ap_buf out;
	const char *text;

	ap_buf_init(&out, 1 << 20);
	ap_json_write(doc, 0, &out);
	text = ap_arena_copy(arena, ap_buf_slice(&out)).ptr;
	ap_buf_done(&out);
	return text;
}

static void
yaml_scalars_have_the_core_schema_s_types(void **state)
{
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{ "a: 1\nb: [x, '1', \"2\", yes, 0x1f, 0o17, -3, +4]\n",
		    "{\"a\":1,\"b\":[\"x\",\"1\",\"2\",\"yes\",31,15,-3,4]}" },
		{ "{a: null, b: ~, c: , d: \"\", e: true, f: False, g: 1.5, h: 1e3}",
		    "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"\",\"e\":true,\"f\":false,\"g\":1.5,\"h\":1000.0}" },
		{ "a: !!str 12\nb: !!float 3\nc: 9223372036854775807\n",
		    "{\"a\":\"12\",\"b\":3.0,\"c\":9223372036854775807}" },
		{ "a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}" },
		{ "a: &x {k: [1]}\nb: *x\n", "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]}}" },
		{ "a: 1.2.3.4\nb: 5s\nc: 2026-11-24\nd: 12:30\n",
		    "{\"a\":\"1.2.3.4\",\"b\":\"5s\",\"c\":\"2026-11-24\",\"d\":\"12:30\"}" },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++)
		assert_string_equal(json(yaml(cases[i].yaml)), cases[i].json);
}

static void
yaml_errors_name_the_place(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *part;
	} cases[] = {
		{ "a: 1\na: 2\n", 2, 1, "twice" },
		{ "a:\n  - {x: 1, x: 2}\n", 2, 12, "twice" },
		{ "a: *none\n", 1, 4, "anchor" },
		{ "a: &a [*a]\n", 1, 8, "anchor" },
		{ "<<: {a: 1}\n", 1, 1, "merge" },
		{ "? [1]\n: 2\n", 1, 3, "key" },
		{ "a: !mine 1\n", 1, 4, "tag" },
		{ "a: !!int x\n", 1, 4, "no int" },
		{ "a: 99999999999999999999\n", 1, 4, "range" },
		{ "a: [1\nb: 2\n", 2, 2, "not YAML" },
		{ "a:\n\t- 1\n", 2, 1, "not YAML" },
		{ "a: \xff\n", 1, 0, "not YAML" },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		struct ap_yaml_docs docs;
		struct ap_error err;

		assert_true(ap_yaml_parse(arena, "t.yaml", ap_slice_of(cases[i].text), &docs, &err) < 0);
		if (strstr(err.text, cases[i].part) == NULL || err.at.line != cases[i].line ||
		    err.at.column != cases[i].column)
			fail_msg("case %zu: %u:%u: %s", i, err.at.line, err.at.column, err.text);
	}
}

static void
yaml_bombs_end_early(void **state)
{
	struct ap_yaml_docs docs;
	struct ap_error err;
	struct ap_buf text;

	(void)state;
	ap_buf_init(&text, 1 << 20);
	ap_buf_add_text(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++) {
		ap_buf_printf(&text, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			ap_buf_printf(&text, "*a%d,", i - 1);
		ap_buf_add_text(&text, "]\n");
	}
	assert_int_equal(ap_yaml_parse(arena, "t", ap_buf_slice(&text), &docs, &err), -E2BIG);
	ap_buf_clear(&text);
	for (int i = 0; i < 100000; i++)
		ap_buf_add_char(&text, '[');
	assert_int_equal(ap_yaml_parse(arena, "t", ap_buf_slice(&text), &docs, &err), -E2BIG);
	ap_buf_done(&text);
}

static void
several_documents_come_in_order_without_the_empty_ones(void **state)
{
	struct ap_yaml_docs docs;

	(void)state;
	assert_int_equal(ap_yaml_parse(arena, "t", AP_S("a: 1\n---\n---\nb: 2\n---\n# c\n"), &docs, NULL), 0);
	assert_int_equal(docs.count, 2);
	assert_int_equal(ap_doc_int(docs.items[1], "b", 0), 2);
	assert_int_equal(ap_yaml_parse(arena, "t", AP_S(""), &docs, NULL), 0);
	assert_int_equal(docs.count, 0);
}

static void
what_is_written_reads_back_equal(void **state)
{
	static const char *const cases[] = {
		"a: 1\nb:\n- x\n- - 1\n  - 2\n- k: v\n  l: [a]\n- {}\n- []\nc: {}\n",
		"\"true\": \"true\"\n\"1\": \"0x1\"\n'': '~'\na: 'x: y'\nb: 'x #y'\nc: \"\\0\\t\\n\"\nd: '- x'\n",
		"a: \"l1\\nl2\\n\"\nb: \"l1\\n\\n  l2\\n\"\nc: \" x\\n\"\nd: \"x\\n\\n\"\ne: 'x:'\nf: '...'\ng: '@x'\n",
		"a: 1.5\nb: -0.1\nc: 1e300\nd: 100.0\ne: null\nf: \"\\u00e9\\u20ac\"\ng: 'a, b'\nh: 'x ? y'\n",
		"a: |\n  print('x')\n\n  if y:\n    z = \"w\"\n",
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		struct ap_doc *doc = yaml(cases[i]), *again;
		struct ap_buf out;

		ap_buf_init(&out, 1 << 20);
		ap_yaml_write(doc, &out);
		again = yaml(out.ptr);
		if (!ap_doc_eq(doc, again))
			fail_msg("case %zu:\n%s\n%s", i, out.ptr, json(again));
		ap_buf_clear(&out);
		ap_json_write(doc, 2, &out);
		assert_int_equal(ap_json_parse(arena, "t", ap_buf_slice(&out), &again, NULL), 0);
		assert_true(ap_doc_eq(doc, again));
		ap_buf_done(&out);
	}
}

static void
json_is_strict(void **state)
{
	static const char *const bad[] = { "", "{", "{\"a\":1,\"a\":2}", "1 2", "nul", "\"\xff\"", "[1,]",
		"99999999999999999999", "{a:1}" };
	struct ap_doc *doc;
	struct ap_error err;
	char deep[201];

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(bad); i++)
		assert_int_equal(ap_json_parse(arena, "t", ap_slice_of(bad[i]), &doc, &err), -EINVAL);
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	deep[200] = '\0';
	assert_int_equal(ap_json_parse(arena, "t", ap_slice_of(deep), &doc, &err), -E2BIG);
	assert_int_equal(ap_json_parse(arena, "t", AP_S(" [1, -2.5e3, \"\\u0000x\", true] "), &doc, &err), 0);
	assert_string_equal(json(doc), "[1,-2500.0,\"\\u0000x\",true]");
}

static void
getters_fall_back_and_changes_keep_order(void **state)
{
	struct ap_doc *doc = yaml("spec:\n  a: x\n  n: 3\n  d: 250ms\n  l: [p, q]\n"), *spec, *copy;

	(void)state;
	spec = ap_doc_get(doc, "spec");
	assert_true(ap_slice_eq_text(ap_doc_string(spec, "a", "no"), "x"));
	assert_true(ap_slice_eq_text(ap_doc_string(spec, "n", "no"), "no"));
	assert_true(ap_slice_eq_text(ap_doc_string(NULL, "n", "no"), "no"));
	assert_int_equal(ap_doc_duration_ns(spec, "d", 0), 250000000);
	assert_int_equal((int)ap_doc_real(spec, "n", 0), 3);
	assert_null(ap_doc_path(doc, "spec.a.b"));
	assert_true(ap_slice_eq_text(ap_doc_item(ap_doc_path(doc, "spec.l"), 1)->string, "q"));
	copy = ap_doc_copy(arena, doc);
	ap_doc_set_string(arena, spec, "n", AP_S("new"));
	ap_doc_set(arena, spec, "z", ap_doc_new_int(arena, 9));
	assert_true(ap_doc_remove(spec, "a"));
	assert_false(ap_doc_remove(spec, "a"));
	ap_doc_set_string(arena, ap_doc_make_path(arena, doc, "status.x.y"), "k", AP_S("v"));
	assert_string_equal(json(doc), "{\"spec\":{\"n\":\"new\",\"d\":\"250ms\",\"l\":[\"p\",\"q\"],\"z\":9},"
				       "\"status\":{\"x\":{\"y\":{\"k\":\"v\"}}}}");
	assert_string_equal(json(copy), "{\"spec\":{\"a\":\"x\",\"n\":3,\"d\":\"250ms\",\"l\":[\"p\",\"q\"]}}");
	assert_true(ap_doc_remove(spec, "z"));
	ap_doc_set(arena, spec, "last", ap_doc_new_bool(arena, true));
	assert_string_equal(spec->last->key.ptr, "last");
	assert_int_equal(ap_doc_get(copy, "spec")->at.line, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(yaml_scalars_have_the_core_schema_s_types, set_up, tear_down),
		cmocka_unit_test_setup_teardown(yaml_errors_name_the_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(yaml_bombs_end_early, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    several_documents_come_in_order_without_the_empty_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_written_reads_back_equal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(json_is_strict, set_up, tear_down),
		cmocka_unit_test_setup_teardown(getters_fall_back_and_changes_keep_order, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
