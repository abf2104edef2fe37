/* test_values.c -- slices, buffers, maps, arenas: what everything leans on. */
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

static void
slices_are_cut_found_and_trimmed(void **state)
{
	struct ap_slice rest = AP_S("a,,b");

	(void)state;
	assert_true(ap_slice_eq_text(ap_slice_cut(&rest, ','), "a"));
	assert_int_equal(ap_slice_cut(&rest, ',').len, 0);
	assert_true(ap_slice_eq_text(ap_slice_cut(&rest, ','), "b"));
	assert_null(rest.ptr);
	assert_true(ap_slice_eq_text(ap_slice_trim(AP_S(" \t x y ")), "x y"));
	assert_int_equal(ap_slice_search(AP_S("abcbc"), AP_S("cb")), 2);
	assert_true(ap_slice_search(AP_S("abc"), AP_S("x")) == SIZE_MAX);
	assert_int_equal(ap_slice_find_last(AP_S("a.b.c"), '.'), 3);
	assert_true(ap_slice_cmp(AP_S("a"), AP_S("ab")) < 0);
	assert_true(ap_slice_eq_nocase(AP_S("HoSt"), AP_S("host")));
	assert_int_equal(ap_slice_sub(AP_S("abc"), 5, 2).len, 0);
}

static void
a_buffer_goes_bad_at_its_ceiling_and_stays_bad(void **state)
{
	struct ap_buf b;

	(void)state;
	ap_buf_init(&b, 100);
	for (int i = 0; i < 10; i++)
		ap_buf_printf(&b, "%09d,", i);
	assert_false(b.bad);
	assert_int_equal(b.len, 100);
	ap_buf_add_char(&b, 'x');
	assert_true(b.bad);
	ap_buf_clear(&b);
	assert_false(b.bad);
	ap_buf_printf(&b, "%0*d", 101, 1);
	assert_true(b.bad);
	ap_buf_clear(&b);
	ap_buf_add_text(&b, "hello world");
	ap_buf_consume(&b, 6);
	assert_string_equal(b.ptr, "world");
	memcpy(ap_buf_reserve(&b, 3), "!!!", 3);
	ap_buf_commit(&b, 3);
	assert_string_equal(b.ptr, "world!!!");
	ap_buf_clear(&b);
	ap_buf_add_json(&b, AP_S("a\"\\\n\x01\xff\xc3\xa9"));
	assert_string_equal(b.ptr, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\"");
	ap_buf_clear(&b);
	ap_buf_add_u16(&b, 0x1234);
	ap_buf_add_u32(&b, 0x56789abc);
	assert_memory_equal(b.ptr, "\x12\x34\x56\x78\x9a\xbc", 6);
	ap_buf_done(&b);
}

static void
a_map_keeps_order_and_survives_churn(void **state)
{
	struct ap_map m = { 0 };
	struct ap_map_entry *e;
	char key[16];
	size_t seen = 0;

	(void)state;
	for (uintptr_t i = 1; i <= 5000; i++) {
		int n = snprintf(key, sizeof(key), "k%ju", (uintmax_t)i);

		assert_null(ap_map_put(&m, ap_slice(key, (size_t)n), (void *)i));
		if (i > 100) {
			n = snprintf(key, sizeof(key), "k%ju", (uintmax_t)i - 100);
			assert_int_equal((uintptr_t)ap_map_remove(&m, ap_slice(key, (size_t)n)), i - 100);
		}
	}
	assert_int_equal(m.count, 100);
	assert_true(m.room <= 256);
	for (size_t i = 0; (e = ap_map_next(&m, &i)) != NULL; seen++) {
		assert_int_equal((uintptr_t)e->value, 4901 + seen);
		ap_map_remove(&m, e->key);
	}
	assert_int_equal(seen, 100);
	assert_int_equal(m.count, 0);
	assert_null(ap_map_find(&m, AP_S("k5000")));
	assert_null(ap_map_put(&m, AP_S(""), &m));
	assert_ptr_equal(ap_map_put(&m, AP_SLICE_NONE, state), &m);
	ap_map_done(&m, NULL);
}

static void
note(void *arg)
{
	(*(int *)arg)++;
}

static void
an_arena_has_a_ceiling_and_can_be_rewound(void **state)
{
	struct ap_arena *a = ap_arena_new(200000);
	struct ap_arena_mark mark;
	int runs = 0;

	(void)state;
	assert_non_null(ap_arena_alloc(a, 100));
	mark = ap_arena_mark(a);
	for (int i = 0; i < 1000; i++)
		assert_int_equal((uintptr_t)ap_arena_zalloc(a, 33) % 16, 0);
	ap_arena_defer(a, note, &runs);
	assert_null(ap_arena_alloc(a, 199999));
	assert_true(ap_arena_is_full(a));
	ap_arena_rewind(a, mark);
	assert_int_equal(runs, 1);
	assert_false(ap_arena_is_full(a));
	assert_int_equal(ap_arena_size(a), 112);
	assert_true(ap_slice_eq_text(ap_arena_printf(a, "%d-%s", 7, "x"), "7-x"));
	ap_arena_defer(a, note, &runs);
	ap_arena_free(&a);
	assert_int_equal(runs, 2);
	assert_null(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_are_cut_found_and_trimmed),
		cmocka_unit_test(a_buffer_goes_bad_at_its_ceiling_and_stays_bad),
		cmocka_unit_test(a_map_keeps_order_and_survives_churn),
		cmocka_unit_test(an_arena_has_a_ceiling_and_can_be_rewound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
