/* test_text.c -- numbers, durations, sizes, names, distances; base64 and hex; hashes and clocks. */
#include <errno.h>
#include <string.h>

#include "../test.h"
#include "base/b64.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/text.h"

static void
numbers_are_taken_whole_or_not_at_all(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t value;
	} cases[] = { { "0", 0, 0 }, { "-0", 0, 0 }, { "007", 0, 7 }, { "9223372036854775807", 0, INT64_MAX },
		{ "-9223372036854775808", 0, INT64_MIN }, { "9223372036854775808", -ERANGE, 0 },
		{ "-9223372036854775809", -ERANGE, 0 }, { "99999999999999999999999", -ERANGE, 0 }, { "", -EINVAL, 0 },
		{ "-", -EINVAL, 0 }, { "+1", -EINVAL, 0 }, { " 1", -EINVAL, 0 }, { "1 ", -EINVAL, 0 },
		{ "0x1", -EINVAL, 0 }, { "1e3", -EINVAL, 0 }, { "99999999999999999999x", -EINVAL, 0 } };
	uint64_t u;
	double d;
	bool b;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		int64_t v = 0;

		assert_int_equal(ap_text_to_i64(ap_slice_of(cases[i].text), &v), cases[i].r);
		assert_true(v == cases[i].value);
	}
	assert_int_equal(ap_text_to_u64(AP_S("65536"), 65535, &u), -ERANGE);
	assert_int_equal(ap_text_to_u64(AP_S("18446744073709551615"), UINT64_MAX, &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(ap_text_to_double(AP_S("-1.5e2"), &d), 0);
	assert_true(d > -150.1 && d < -149.9);
	assert_int_equal(ap_text_to_double(AP_S("nan"), &d), -EINVAL);
	assert_int_equal(ap_text_to_double(AP_S("0x1"), &d), -EINVAL);
	assert_int_equal(ap_text_to_double(AP_S("1e"), &d), -EINVAL);
	assert_int_equal(ap_text_to_double(AP_S("."), &d), -EINVAL);
	assert_int_equal(ap_text_to_double(AP_S("1e999"), &d), -ERANGE);
	assert_int_equal(ap_text_to_bool(AP_S("true"), &b), 0);
	assert_int_equal(ap_text_to_bool(AP_S("yes"), &b), -EINVAL);
}

static void
durations_and_sizes_have_units(void **state)
{
	static const struct {
		const char *text, *back; /* NULL: refused */
		int64_t ns;
	} cases[] = { { "0", "0s", 0 }, { "0s", "0s", 0 }, { "1h30m", "1h30m", 5400000000000 },
		{ "1.5s", "1.5s", 1500000000 }, { "250ms", "250ms", 250000000 },
		{ "1m1.000000001s", "1m1.000000001s", 61000000001 }, { ".5s", "500ms", 500000000 },
		{ "1.s", "1s", 1000000000 }, { "1us", "1us", 1000 }, { "1\xc2\xb5s", "1us", 1000 },
		{ "90m", "1h30m", 5400000000000 }, { "1.0000000009s", "1s", 1000000000 }, { "5", NULL, 0 },
		{ "", NULL, 0 }, { "-1s", NULL, 0 }, { "1d", NULL, 0 }, { "s", NULL, 0 }, { ".s", NULL, 0 },
		{ "1s ", NULL, 0 }, { "1.5.5s", NULL, 0 }, { "9999999h", NULL, 0 } };
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} sizes[] = { { "512", 0, 512 }, { "64Ki", 0, 65536 }, { "10Mi", 0, 10485760 }, { "1G", 0, 1000000000 },
		{ "1kb", -EINVAL, 0 }, { "", -EINVAL, 0 }, { "Ki", -EINVAL, 0 }, { "99999999999Ti", -ERANGE, 0 } };
	char text[64];
	int64_t ns;
	uint64_t u;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		int r = ap_text_to_duration(ap_slice_of(cases[i].text), &ns);

		if ((r == 0) != (cases[i].back != NULL))
			fail_msg("%s: %d", cases[i].text, r);
		if (r == 0) {
			assert_true(ns == cases[i].ns);
			assert_string_equal(ap_text_format_duration(ns, text, sizeof(text)), cases[i].back);
		}
	}
	for (size_t i = 0; i < AP_COUNTOF(sizes); i++) {
		assert_int_equal(ap_text_to_size(ap_slice_of(sizes[i].text), &u), sizes[i].r);
		assert_true(sizes[i].r < 0 || u == sizes[i].value);
	}
}

static void
names_and_utf8_are_checked(void **state)
{
	static const char *const names[] = { "hosts", "gateways", "http", NULL };

	(void)state;
	assert_true(ap_text_is_dns_name(AP_S("a-b.c1.x")));
	assert_false(ap_text_is_dns_name(AP_S("a..b")));
	assert_false(ap_text_is_dns_name(AP_S("A.b")));
	assert_false(ap_text_is_dns_name(AP_S("-a")));
	assert_false(ap_text_is_dns_name(AP_S("a.")));
	assert_false(ap_text_is_label(AP_S("a.b")));
	assert_true(ap_text_is_utf8(AP_S("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
	assert_false(ap_text_is_utf8(AP_S("\xc0\x80")));
	assert_false(ap_text_is_utf8(AP_S("\xed\xa0\x80")));
	assert_false(ap_text_is_utf8(AP_S("\xf4\x90\x80\x80")));
	assert_false(ap_text_is_utf8(AP_S("\xe2\x82")));
	assert_string_equal(ap_text_nearest(AP_S("host"), names), "hosts");
	assert_string_equal(ap_text_nearest(AP_S("htpt"), names), "http");
	assert_string_equal(ap_text_nearest(AP_S("gatewyas"), names), "gateways");
	assert_null(ap_text_nearest(AP_S("retries"), names));
	assert_int_equal(ap_text_distance(AP_S("kitten"), AP_S("sitting"), 10), 3);
	assert_int_equal(ap_text_distance(AP_S("kitten"), AP_S("sitting"), 1), 2);
}

static void
base64_and_hex_go_both_ways(void **state)
{
	static const struct {
		const char *plain, *coded;
	} cases[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "\xff\xfe", "//4=" } };
	static const char *const bad[] = { "Z", "Zg=", "Zh==", "Z!==", "Zg===", "====", "Zg==Zg==" };
	struct ap_buf out;

	(void)state;
	ap_buf_init(&out, 100);
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		ap_buf_clear(&out);
		ap_b64_encode(ap_slice_of(cases[i].plain), &out);
		assert_true(ap_slice_eq_text(ap_buf_slice(&out), cases[i].coded));
		ap_buf_clear(&out);
		assert_int_equal(ap_b64_decode(ap_slice_of(cases[i].coded), &out), 0);
		assert_true(ap_slice_eq_text(ap_buf_slice(&out), cases[i].plain));
	}
	for (size_t i = 0; i < AP_COUNTOF(bad); i++)
		assert_int_equal(ap_b64_decode(ap_slice_of(bad[i]), &out), -EINVAL);
	ap_buf_clear(&out);
	ap_b64url_encode(AP_S("\xff\xfe"), &out);
	assert_string_equal(out.ptr, "__4");
	assert_int_equal(ap_b64_decode(AP_S("__4"), &out), 0);
	ap_buf_clear(&out);
	ap_hex_encode(AP_S("\x01\xab"), &out);
	assert_string_equal(out.ptr, "01ab");
	assert_int_equal(ap_hex_decode(AP_S("FFz0"), &out), -EINVAL);
	assert_int_equal(ap_hex_decode(AP_S("Ff00"), &out), 0);
	assert_int_equal(out.len, 6);
	ap_buf_done(&out);
}

static void
siphash_agrees_with_its_paper(void **state)
{
	uint8_t bytes[15];
	const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

	(void)state;
	for (uint8_t i = 0; i < 15; i++)
		bytes[i] = i;
	assert_true(ap_hash_sip(key, bytes, 15) == 0xa129ca6149be45e5);
	assert_true(ap_hash("a", 1) == ap_hash("a", 1) && ap_hash("a", 1) != ap_hash("b", 1));
	assert_true(ap_hash_fnv("a", 1) == 0xaf63dc4c8601ec8c);
}

static void
random_numbers_stay_below_their_bound(void **state)
{
	unsigned seen[3] = { 0 };

	(void)state;
	for (int i = 0; i < 3000; i++)
		seen[ap_rand_below(3)]++;
	for (int i = 0; i < 3; i++)
		assert_in_range(seen[i], 800, 1200);
	assert_int_equal(ap_rand_below(1), 0);
	assert_true(ap_rand_fast() != ap_rand_fast());
}

static void
a_frozen_clock_moves_when_told(void **state)
{
	uint64_t mono;
	int64_t wall;
	char text[40];

	(void)state;
	assert_string_equal(ap_clock_format(1795499138123456, 0, text, sizeof(text)), "2026-11-24T05:45:38Z");
	assert_string_equal(ap_clock_format(1795499138123456, 3, text, sizeof(text)), "2026-11-24T05:45:38.123Z");
	assert_string_equal(ap_clock_format(1795499138123456, 6, text, sizeof(text)), "2026-11-24T05:45:38.123456Z");
	assert_string_equal(ap_clock_format(-1, 6, text, sizeof(text)), "1969-12-31T23:59:59.999999Z");
	ap_clock_freeze();
	mono = ap_clock_mono_ms();
	wall = ap_clock_wall_ms();
	assert_true(ap_clock_mono_ms() == mono);
	ap_clock_advance(1500);
	assert_true(ap_clock_mono_ms() == mono + 1500);
	assert_true(ap_clock_wall_ms() == wall + 1500);
}

static void
numbers_become_digits(void **state)
{
	static const struct {
		uint64_t v;
		const char *text;
	} rows[] = { { 0, "0" }, { 7, "7" }, { 10, "10" }, { 1000, "1000" }, { UINT64_MAX, "18446744073709551615" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[AP_TEXT_U64];

		assert_int_equal(ap_text_put_u64(rows[i].v, out), strlen(rows[i].text));
		assert_memory_equal(out, rows[i].text, strlen(rows[i].text));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_become_digits),
		cmocka_unit_test(numbers_are_taken_whole_or_not_at_all),
		cmocka_unit_test(durations_and_sizes_have_units),
		cmocka_unit_test(names_and_utf8_are_checked),
		cmocka_unit_test(base64_and_hex_go_both_ways),
		cmocka_unit_test(siphash_agrees_with_its_paper),
		cmocka_unit_test(random_numbers_stay_below_their_bound),
		cmocka_unit_test(a_frozen_clock_moves_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
