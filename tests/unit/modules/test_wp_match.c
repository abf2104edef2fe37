/* test_wp_match.c -- path normalisation, templates, texts and regular expressions, as Istio documents them. */
#include "../test.h"

#include <string.h>

#include "base/compiler.h"
#include "codec/regex.h"
#include "waypoint/wp_match.h"

static const struct {
	enum wp_normalise how;
	const char *in, *out; /* out NULL: refused */
} path_rows[] = {
	{ WP_NORMALISE_BASE, "/", "/" },
	{ WP_NORMALISE_BASE, "/a/b?c=/../d", "/a/b?c=/../d" },
	{ WP_NORMALISE_BASE, "/a/../b", "/b" },
	{ WP_NORMALISE_BASE, "/a/./b", "/a/b" },
	{ WP_NORMALISE_BASE, "/a/.", "/a/" },
	{ WP_NORMALISE_BASE, "/a/..", "/" },
	{ WP_NORMALISE_BASE, "/../..", "/" },
	{ WP_NORMALISE_BASE, "/../../etc/passwd", "/etc/passwd" },
	{ WP_NORMALISE_BASE, "/a/b/../../c", "/c" },
	{ WP_NORMALISE_BASE, "/a/%2e%2E/b", "/b" },
	{ WP_NORMALISE_BASE, "/a\\b", "/a/b" },
	{ WP_NORMALISE_BASE, "/a\\..\\b", "/b" },
	{ WP_NORMALISE_BASE, "/%41dmin", "/Admin" },
	{ WP_NORMALISE_BASE, "/a%2fb", "/a%2fb" },
	{ WP_NORMALISE_BASE, "/a//b", "/a//b" },
	{ WP_NORMALISE_BASE, "/a%", "/a%" },
	{ WP_NORMALISE_BASE, "/a%4", "/a%4" },
	{ WP_NORMALISE_BASE, "/a%zz", "/a%zz" },
	{ WP_NORMALISE_BASE, "/a%2541", "/a%2541" },
	{ WP_NORMALISE_BASE, "/.../b", "/.../b" },
	{ WP_NORMALISE_BASE, "/a/.b", "/a/.b" },
	{ WP_NORMALISE_BASE, "/a?x=%2e", "/a?x=%2e" },
	{ WP_NORMALISE_BASE, "*", "*" },
	{ WP_NORMALISE_BASE, "", NULL },
	{ WP_NORMALISE_BASE, "a", NULL },
	{ WP_NORMALISE_BASE, "/a#b", NULL },
	{ WP_NORMALISE_BASE, "/a%00b", NULL },
	{ WP_NORMALISE_NONE, "/a%00b", NULL },
	{ WP_NORMALISE_NONE, "/a/../%41", "/a/../%41" },
	{ WP_NORMALISE_MERGE, "/a//b///c", "/a/b/c" },
	{ WP_NORMALISE_MERGE, "//a", "/a" },
	{ WP_NORMALISE_MERGE, "/a//", "/a/" },
	{ WP_NORMALISE_MERGE, "/a%2fb", "/a%2fb" },
	{ WP_NORMALISE_DECODE, "/a%2F%5cb", "/a/b" },
	{ WP_NORMALISE_DECODE, "/a/%2e%2e%2fb", "/b" },
};

static void
test_paths_are_normalised_as_istio_does(void **state)
{
	struct ap_arena *arena = ap_arena_new(65536);

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(path_rows); i++) {
		struct ap_slice out = AP_SLICE_NONE;
		int rc = wp_path_normalise(ap_slice_of(path_rows[i].in), path_rows[i].how, arena, &out);

		if (path_rows[i].out == NULL) {
			assert_true(rc < 0);
			continue;
		}
		assert_int_equal(rc, 0);
		if (!ap_slice_eq_text(out, path_rows[i].out))
			fail_msg("%s gives %.*s", path_rows[i].in, AP_FMT(out));
	}
	ap_arena_free(&arena);
}

static const struct {
	const char *template_, *path;
	bool matches;
} template_rows[] = {
	{ "/foo/{*}", "/foo/bar", true },
	{ "/foo/{*}", "/foo/bar/baz", false },
	{ "/foo/{*}", "/foo/", false },
	{ "/foo/{**}/", "/foo/bar/", true },
	{ "/foo/{**}/", "/foo//", true },
	{ "/foo/{**}/", "/foo/bar", false },
	{ "/foo/{*}/bar/{**}", "/foo/buzz/bar/", true },
	{ "/foo/{*}/bar/{**}", "/foo/buzz/bar/baz/x", true },
	{ "/foo/{*}/bar/{**}", "/foo/buzz/baz/x", false },
	{ "/{**}", "/", true },
	{ "/{**}/end", "/a/b/end", true },
	{ "/{**}/end", "/end", false },
};

static void
test_templates_match_elements(void **state)
{
	static const char *const bad[] = { "/*/baz/{*}", "/**/baz/{*}", "/{**}/foo/{*}", "/foo/{*}.txt", "foo/{*}",
		"/{**}/{**}", "/{a}", "/foo/{*" };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(template_rows); i++) {
		assert_true(wp_template_is_valid(ap_slice_of(template_rows[i].template_)));
		if (wp_template_matches(ap_slice_of(template_rows[i].template_), ap_slice_of(template_rows[i].path)) !=
		    template_rows[i].matches)
			fail_msg("%s and %s", template_rows[i].template_, template_rows[i].path);
	}
	for (size_t i = 0; i < AP_COUNTOF(bad); i++)
		if (wp_template_is_valid(ap_slice_of(bad[i])))
			fail_msg("valid: %s", bad[i]);
}

static const struct {
	const char *pattern, *value;
	bool matches;
} pattern_rows[] = {
	{ "*", "x", true },
	{ "*", NULL, false },
	{ "a*", "abc", true },
	{ "a*", "ba", false },
	{ "*c", "abc", true },
	{ "*c", "cb", false },
	{ "abc", "abc", true },
	{ "abc", "ABC", false },
	{ "", "", true },
	{ "a*b", "a*b", true },
	{ "a*b", "axb", false },
};

static void
test_an_expression_past_its_limits_leaves_it_undecided(void **state)
{
	struct ap_arena *arena = ap_arena_new(65536);
	struct wp_text t = { .kind = WP_TEXT_REGEX };
	char text[64];
	bool undecided = false;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + sizeof(text) - 2, "bc", 2);
	t.regex = wp_regex_new(arena, AP_S("(a|aa)+c"), AP_REGEX_FULL, NULL);
	assert_non_null(t.regex);
	assert_false(wp_text_matches(&t, &undecided, AP_S("abc")));
	assert_false(undecided);
	assert_false(wp_text_matches(&t, &undecided, ap_slice(text, sizeof(text))));
	assert_true(undecided);
	assert_null(wp_regex_new(arena, AP_S("(?=a)"), 0, NULL));
	ap_arena_free(&arena);
}

static void
test_values_are_patterns_as_istio_writes_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(pattern_rows); i++) {
		struct wp_text t = wp_text_pattern(ap_slice_of(pattern_rows[i].pattern));
		struct ap_slice v = ap_slice_of(pattern_rows[i].value);

		if (wp_text_matches(&t, NULL, v) != pattern_rows[i].matches)
			fail_msg("%s and %s", pattern_rows[i].pattern, pattern_rows[i].value);
	}
}

static void
test_headers_and_parameters_are_found(void **state)
{
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_fields f;
	struct wp_view v = { .arena = arena, .fields = &f, .authority = AP_S("shop"), .method = AP_S("GET") };

	(void)state;
	ap_fields_init(&f, arena);
	ap_fields_add(&f, AP_S("a"), AP_S("1"));
	ap_fields_add(&f, AP_S("b"), AP_S("2"));
	ap_fields_add(&f, AP_S("a"), AP_S("3"));
	ap_fields_add(&f, AP_S("e"), AP_S(""));
	assert_true(ap_slice_eq_text(wp_view_header(&v, AP_S("a")), "1,3"));
	assert_true(ap_slice_eq_text(wp_view_header(&v, AP_S("b")), "2"));
	assert_null(wp_view_header(&v, AP_S("c")).ptr);
	assert_non_null(wp_view_header(&v, AP_S("e")).ptr);
	assert_true(ap_slice_eq_text(wp_view_header(&v, AP_S(":authority")), "shop"));
	assert_true(ap_slice_eq_text(wp_view_header(&v, AP_S("host")), "shop"));
	v.query = AP_S("x=1&y&z=a=b&x=2");
	assert_true(ap_slice_eq_text(wp_view_query(&v, AP_S("x")), "1"));
	assert_non_null(wp_view_query(&v, AP_S("y")).ptr);
	assert_true(ap_slice_eq_text(wp_view_query(&v, AP_S("z")), "a=b"));
	assert_null(wp_view_query(&v, AP_S("w")).ptr);
	wp_view_set_identity(&v, AP_S("spiffe://td/ns/web/sa/front"));
	assert_true(ap_slice_eq_text(v.principal, "td/ns/web/sa/front"));
	assert_true(ap_slice_eq_text(v.source_namespace, "web"));
	wp_view_set_identity(&v, AP_SLICE_NONE);
	assert_int_equal(v.principal.len, 0);
	ap_arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_are_normalised_as_istio_does),
		cmocka_unit_test(test_templates_match_elements),
		cmocka_unit_test(test_an_expression_past_its_limits_leaves_it_undecided),
		cmocka_unit_test(test_values_are_patterns_as_istio_writes_them),
		cmocka_unit_test(test_headers_and_parameters_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
