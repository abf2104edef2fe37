/* test_wp_match.c -- path normalisation, templates, texts and regular expressions, as Istio documents them. */
#include "../test.h"

#include <string.h>

#include "base/compiler.h"
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

static void
test_expressions_that_can_explode_are_refused(void **state)
{
	static const char *const bad[] = { "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(a)\\1", "(?P<x>a)(?P=x)", "(?R)", "(a)(?1)",
		"(*FAIL)", "(", "[", "\\k<a>", "\\g1", "(?(1)a)", "\\C" };
	static const char *const good[] = { "a|b", "(?i)a", "(?:a)", "(?P<x>a)", "(?<x>a)", "[(?=]", "\\(?=", "\\d+", "[^]]*",
		"\\Q(?=\\E" };
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_error err;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(bad); i++)
		if (wp_regex_new(arena, ap_slice_of(bad[i]), false, true, &err) != NULL)
			fail_msg("taken: %s", bad[i]);
	for (size_t i = 0; i < AP_COUNTOF(good); i++)
		if (wp_regex_new(arena, ap_slice_of(good[i]), false, true, &err) == NULL)
			fail_msg("refused: %s: %s", good[i], err.text);
	ap_arena_free(&arena);
}

static void
test_expressions_match_the_whole_text_within_limits(void **state)
{
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_error err;
	struct wp_env env;
	struct wp_regex *r = wp_regex_new(arena, AP_S("^(.*?;)?(user=jason)(;.*)?$"), false, true, &err), *slow;
	char text[64];

	(void)state;
	wp_env_init(&env);
	assert_non_null(r);
	assert_true(wp_regex_matches(r, &env, AP_S("a=b;user=jason;c")));
	assert_true(wp_regex_matches(r, &env, AP_S("user=jason")));
	assert_false(wp_regex_matches(r, &env, AP_S("user=jasonx")));
	r = wp_regex_new(arena, AP_S("a|ab"), false, true, &err);
	assert_true(wp_regex_matches(r, &env, AP_S("ab")));
	assert_false(wp_regex_matches(r, &env, AP_S("xa")));
	slow = wp_regex_new(arena, AP_S("(a+)+b"), false, true, &err);
	memset(text, 'a', sizeof(text));
	assert_false(wp_regex_matches(slow, &env, ap_slice(text, sizeof(text))));
	r = wp_regex_new(arena, AP_S("/v(\\d)/([^/]*)"), false, false, &err);
	assert_true(ap_slice_eq_text(
	    wp_regex_replace(r, &env, AP_S("/v1/a/v2/b"), AP_S("/\\2-\\1"), arena), "/a-1/b-2"));
	r = wp_regex_new(arena, AP_S("x*"), false, false, &err);
	assert_true(ap_slice_eq_text(wp_regex_replace(r, &env, AP_S("ab"), AP_S("-"), arena), "-a-b-"));
	wp_env_done(&env);
	ap_arena_free(&arena);
}

static const struct {
	const char *pattern, *value;
	bool matches;
} pattern_rows[] = {
	{ "*", "x", true }, { "*", NULL, false }, { "a*", "abc", true }, { "a*", "ba", false }, { "*c", "abc", true },
	{ "*c", "cb", false }, { "abc", "abc", true }, { "abc", "ABC", false }, { "", "", true }, { "a*b", "a*b", true },
	{ "a*b", "axb", false },
};

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
		cmocka_unit_test(test_expressions_that_can_explode_are_refused),
		cmocka_unit_test(test_expressions_match_the_whole_text_within_limits),
		cmocka_unit_test(test_values_are_patterns_as_istio_writes_them),
		cmocka_unit_test(test_headers_and_parameters_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
