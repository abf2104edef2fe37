/* test_regex.c -- what is admitted, how it matches, and what ends at a limit. */
#include <errno.h>
#include <string.h>

#include "../test.h"
#include "codec/regex.h"

static void
what_re2_lacks_is_refused(void **state)
{
	static const char *const bad[] = { "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(a)\\1", "(?P=n)", "(?<n>a)\\k<n>",
		"(?R)", "(?1)", "(a)(?1)", "(?>a)", "(?|a)", "(?(1)a|b)", "(*UTF8)a", "a(*SKIP)", "(?x)#[\n(?=a)",
		"(?C1)", "a\\Kb", "[[:alpha:](?=a)", "(?#[)(?=a)", "\\g{1}", "(", "a{2,1}", "[z-a]", "[", "\\", "(?P<a",
		"(?", "[[:x](?=x)]", "\\Q[\\E(?=a)", "[\\Q]\\E(](?!a)" };
	static const char *const good[] = { "a", "", "(?i)abc", "(?i:a)b", "(?P<n>a)", "(?<n>a)", "(?:a|b)*", "[]a]",
		"[^]a]", "[[:alpha:]]+", "\\Q(?=\\E", "[(?=]", "\\d{3}-\\w+", "\\(?=", "[\\]()]x", "^/api/.*$",
		"\\bx\\b", "\\pL" };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(bad); i++) {
		struct ap_error err = { 0 };
		struct ap_regex *re = ap_regex_new(ap_slice_of(bad[i]), 0, &err);

		if (re != NULL)
			fail_msg("%s was admitted", bad[i]);
		assert_int_equal(err.code, -EINVAL);
		assert_true(err.text[0] != '\0');
	}
	for (size_t i = 0; i < AP_COUNTOF(good); i++) {
		struct ap_error err = { 0 };
		struct ap_regex *re = ap_regex_new(ap_slice_of(good[i]), AP_REGEX_FULL, &err);

		if (re == NULL)
			fail_msg("%s: %s", good[i], err.text);
		ap_regex_free(&re);
		assert_null(re);
	}
}

static enum ap_regex_result
try(const char *pattern, unsigned flags, const char *text)
{
	struct ap_regex *re = ap_regex_new(ap_slice_of(pattern), flags, NULL);
	enum ap_regex_result r;

	assert_non_null(re);
	r = ap_regex_match(re, ap_slice_of(text));
	ap_regex_free(&re);
	return r;
}

static void
matches_are_whole_or_anywhere(void **state)
{
	char as[2000];

	(void)state;
	assert_int_equal(try("b", 0, "abc"), AP_REGEX_YES);
	assert_int_equal(try("b", AP_REGEX_FULL, "abc"), AP_REGEX_NO);
	assert_int_equal(try("a|abc", AP_REGEX_FULL, "abc"), AP_REGEX_YES);
	assert_int_equal(try("a$", AP_REGEX_FULL, "a\n"), AP_REGEX_NO);
	assert_int_equal(try("ABC", AP_REGEX_FULL | AP_REGEX_NOCASE, "abc"), AP_REGEX_YES);
	assert_int_equal(try("", AP_REGEX_FULL, ""), AP_REGEX_YES);
	assert_int_equal(try(".*", AP_REGEX_FULL, ""), AP_REGEX_YES);
	assert_int_equal(try("a.c", AP_REGEX_FULL,
			     "a\xc3\xa9"
			     "c"),
	    AP_REGEX_YES);
	memset(as, 'a', sizeof(as) - 1);
	as[sizeof(as) - 1] = '\0';
	assert_int_equal(try("(a|b)*", AP_REGEX_FULL, as), AP_REGEX_YES);
	assert_int_equal(try("(a+)+b", AP_REGEX_FULL, as), AP_REGEX_NO); /* PCRE2 sees that no b comes */
	assert_int_equal(try("(a|aa|aaa)+[bc]", AP_REGEX_FULL, as), AP_REGEX_LIMIT);
}

static void
groups_and_replacements(void **state)
{
	struct ap_regex *re = ap_regex_new(AP_S("/v(\\d+)/(x)?"), 0, NULL), *empty = ap_regex_new(AP_S("z*"), 0, NULL);
	struct ap_slice groups[4];
	struct ap_error err;
	struct ap_buf out;

	(void)state;
	assert_int_equal(ap_regex_match_groups(re, AP_S("a/v12/y"), groups, 4), AP_REGEX_YES);
	assert_true(ap_slice_eq_text(groups[1], "12"));
	assert_null(groups[2].ptr);
	assert_null(groups[3].ptr);
	ap_buf_init(&out, 1000);
	assert_int_equal(ap_regex_replace(re, AP_S("/v1/v2/x"), AP_S("<\\1\\\\\\0>"), &out), 0);
	assert_string_equal(out.ptr, "<1\\/v1/>v2/x");
	ap_buf_clear(&out);
	assert_int_equal(ap_regex_replace(empty, AP_S("a\xc3\xa9z"), AP_S("-"), &out), 0);
	assert_string_equal(out.ptr, "-a-\xc3\xa9--");
	assert_int_equal(ap_regex_check_replacement(re, AP_S("\\2\\\\"), &err), 0);
	assert_int_equal(ap_regex_check_replacement(re, AP_S("\\3"), &err), -EINVAL);
	assert_int_equal(ap_regex_check_replacement(re, AP_S("\\x"), &err), -EINVAL);
	assert_int_equal(ap_regex_check_replacement(re, AP_S("x\\"), &err), -EINVAL);
	ap_buf_done(&out);
	ap_regex_free(&re);
	ap_regex_free(&empty);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_re2_lacks_is_refused),
		cmocka_unit_test(matches_are_whole_or_anywhere),
		cmocka_unit_test(groups_and_replacements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
