/* test_uri.c -- targets, hosts, percent coding, Istio's normalisation; globs. */
#include <errno.h>

#include "../test.h"
#include "codec/glob.h"
#include "codec/uri.h"

static void
paths_are_normalised_as_istio_says(void **state)
{
	static const struct {
		const char *in;
		const char *out[4]; /* NONE, BASE, MERGE, DECODE_AND_MERGE; NULL: refused */
	} cases[] = {
		{ "/", { "/", "/", "/", "/" } },
		{ "/a/b", { "/a/b", "/a/b", "/a/b", "/a/b" } },
		{ "/a/../b", { "/a/../b", "/b", "/b", "/b" } },
		{ "/a/./b/", { "/a/./b/", "/a/b/", "/a/b/", "/a/b/" } },
		{ "/../../etc", { "/../../etc", "/etc", "/etc", "/etc" } },
		{ "/a/b/..", { "/a/b/..", "/a/", "/a/", "/a/" } },
		{ "/a/.", { "/a/.", "/a/", "/a/", "/a/" } },
		{ "/..", { "/..", "/", "/", "/" } },
		{ "//a//b", { "//a//b", "//a//b", "/a/b", "/a/b" } },
		{ "/a//../b", { "/a//../b", "/a/b", "/a/b", "/a/b" } },
		{ "/%61%2eb", { "/%61%2eb", "/a.b", "/a.b", "/a.b" } },
		{ "/a/%2E%2e/b", { "/a/%2E%2e/b", "/b", "/b", "/b" } },
		{ "/a%2Fb", { "/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b" } },
		{ "/a%2f..%5Cb", { "/a%2f..%5Cb", "/a%2f..%5Cb", "/a%2f..%5Cb", "/b" } },
		{ "/a\\..\\b", { "/a\\..\\b", "/b", "/b", "/b" } },
		{ "/a%252Fb", { "/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb" } },
		{ "/%zz%2", { "/%zz%2", NULL, NULL, NULL } },
		{ "/%%32e/", { "/%%32e/", NULL, NULL, NULL } },
		{ "/%%32e/", { "/%%32e/", NULL, NULL, NULL } },
		{ "/a%00b", { "/a%00b", NULL, NULL, NULL } },
		{ "a", { NULL, NULL, NULL, NULL } },
		{ "", { NULL, NULL, NULL, NULL } },
		{ "/...", { "/...", "/...", "/...", "/..." } },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		for (int how = 0; how < 4; how++) {
			struct ap_buf out;
			int r;

			ap_buf_init(&out, 1000);
			ap_buf_add_char(&out, '>');
			r = ap_uri_normalise(ap_slice_of(cases[i].in), (enum ap_uri_normal)how, &out);
			if (cases[i].out[how] == NULL)
				assert_int_equal(r, -EINVAL);
			else
				assert_string_equal(out.ptr + 1, cases[i].out[how]);
			ap_buf_done(&out);
		}
	}
}

static void
authorities_are_split_and_checked(void **state)
{
	static const struct {
		const char *text, *host;
		int port; /* -1: refused */
	} cases[] = {
		{ "host", "host", 0 },
		{ "host:80", "host", 80 },
		{ "1.2.3.4:65535", "1.2.3.4", 65535 },
		{ "[::1]:8080", "::1", 8080 },
		{ "[fe80::1]", "fe80::1", 0 },
		{ "host:", NULL, -1 },
		{ "host:0", NULL, -1 },
		{ "host:65536", NULL, -1 },
		{ "host:8o", NULL, -1 },
		{ "::1", NULL, -1 },
		{ "[::1", NULL, -1 },
		{ "[1.2.3.4]", NULL, -1 },
		{ "[::1]x", NULL, -1 },
		{ "", NULL, -1 },
		{ ":80", NULL, -1 },
		{ "a b", NULL, -1 },
		{ "a/b", NULL, -1 },
		{ "u@h", NULL, -1 },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		struct ap_slice host;
		uint16_t port = 1;
		int r = ap_uri_split_host(ap_slice_of(cases[i].text), &host, &port);

		assert_int_equal(r, cases[i].port < 0 ? -EINVAL : 0);
		if (r == 0) {
			assert_true(ap_slice_eq_text(host, cases[i].host));
			assert_int_equal(port, cases[i].port);
		}
	}
}

static void
uris_come_apart(void **state)
{
	struct ap_slice name, value, query;
	struct ap_uri u;
	struct ap_buf out;

	(void)state;
	assert_int_equal(ap_uri_parse(AP_S("https://u:p@h.x:8443/p/q?a=1&b=%20+c&d#f"), &u), 0);
	assert_true(ap_slice_eq_text(u.scheme, "https"));
	assert_true(ap_slice_eq_text(u.host, "h.x"));
	assert_int_equal(u.port, 8443);
	assert_true(ap_slice_eq_text(u.authority, "h.x:8443"));
	assert_true(ap_slice_eq_text(u.path, "/p/q"));
	assert_true(ap_slice_eq_text(ap_uri_param(u.query, "a"), "1"));
	assert_non_null(ap_uri_param(u.query, "d").ptr);
	assert_null(ap_uri_param(u.query, "z").ptr);
	query = u.query;
	assert_true(ap_uri_next_param(&query, &name, &value) && ap_uri_next_param(&query, &name, &value));
	ap_buf_init(&out, 100);
	assert_int_equal(ap_uri_decode(value, true, &out), 0);
	assert_string_equal(out.ptr, "  c");
	assert_int_equal(ap_uri_decode(AP_S("x%4"), false, &out), -EINVAL);
	assert_int_equal(out.len, 3);
	ap_buf_clear(&out);
	ap_uri_encode(AP_S("a b/\xc3\xa9?"), "/", &out);
	assert_string_equal(out.ptr, "a%20b/%C3%A9%3F");
	ap_buf_done(&out);
	assert_int_equal(ap_uri_parse(AP_S("unix://"), &u), -EINVAL);
	assert_int_equal(ap_uri_parse(AP_S("/path"), &u), -EINVAL);
	assert_int_equal(ap_uri_parse(AP_S("http://h?q"), &u), 0);
	assert_true(u.path.len == 0 && ap_slice_eq_text(u.query, "q"));
}

static void
globs_have_a_star_at_one_end(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool yes;
	} cases[] = { { "*", "x", true }, { "*", "", false }, { "a*", "a", true }, { "a*", "abc", true },
		{ "a*", "ba", false }, { "*a", "ba", true }, { "*a", "ab", false }, { "abc", "abc", true },
		{ "a*c", "abc", false }, { "a*c", "a*c", true }, { "*a*", "xa*", true }, { "*a*", "xay", false },
		{ "", "", true } };
	static const struct {
		const char *pattern, *host;
		bool yes;
	} hosts[] = { { "*", "a.b", true }, { "*.x.io", "a.x.io", true }, { "*.x.io", "a.b.x.io", true },
		{ "*.x.io", "x.io", false }, { "*.x.io", ".x.io", false }, { "*.X.io", "a.x.IO.", true },
		{ "a.b", "A.B", true }, { "a.b", "a.b.c", false } };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++)
		if (ap_glob_matches(ap_slice_of(cases[i].pattern), ap_slice_of(cases[i].text)) != cases[i].yes)
			fail_msg("%s ~ %s", cases[i].pattern, cases[i].text);
	for (size_t i = 0; i < AP_COUNTOF(hosts); i++)
		if (ap_glob_host_matches(ap_slice_of(hosts[i].pattern), ap_slice_of(hosts[i].host)) != hosts[i].yes)
			fail_msg("%s ~ %s", hosts[i].pattern, hosts[i].host);
	assert_true(ap_glob_host_is_valid(AP_S("*.a-b.c_d.io")));
	assert_false(ap_glob_host_is_valid(AP_S("a.*.io")));
	assert_false(ap_glob_host_is_valid(AP_S("*x.io")));
	assert_false(ap_glob_host_is_valid(AP_S("a..b")));
	assert_true(ap_glob_host_cmp(AP_S("z.io"), AP_S("*.a.z.io")) < 0);
	assert_true(ap_glob_host_cmp(AP_S("*.a.z.io"), AP_S("*.z.io")) < 0);
	assert_true(ap_glob_host_cmp(AP_S("*.z.io"), AP_S("*")) < 0);
	assert_true(ap_glob_host_overlaps(AP_S("*.a.io"), AP_S("*.io")));
	assert_false(ap_glob_host_overlaps(AP_S("*.a.io"), AP_S("*.b.io")));
	assert_false(ap_glob_host_overlaps(AP_S("*.a.io"), AP_S("*.ba.io")));
	assert_true(ap_glob_host_overlaps(AP_S("x.a.io"), AP_S("*.a.io")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_normalised_as_istio_says),
		cmocka_unit_test(authorities_are_split_and_checked),
		cmocka_unit_test(uris_come_apart),
		cmocka_unit_test(globs_have_a_star_at_one_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
