/* test_order.c -- roles are sorted by who needs whom; circles and missing offers are told by name. */
#include <errno.h>
#include <string.h>

#include "../test.h"
#include "base/compiler.h"
#include "role/host_priv.h"

static const char *const none[] = { NULL };
static const char *const a_list[] = { "a", NULL }, *const b_list[] = { "b", NULL }, *const c_list[] = { "c", NULL };

#define ROLE(name_, needs_, offers_) ((const struct ap_role){ .name = (name_), .needs = (needs_), .offers = (offers_) })

static void
who_offers_comes_before_who_needs(void **state)
{
	const struct ap_role last = ROLE("last", b_list, none), middle = ROLE("middle", a_list, b_list),
			     first = ROLE("first", NULL, a_list);
	struct ap_loaded loaded[] = { { .role = &last }, { .role = &middle }, { .role = &first } };
	struct ap_error err = { 0 };

	(void)state;
	assert_int_equal(ap_role_order(loaded, 3, &err), 0);
	assert_string_equal(loaded[0].role->name, "first");
	assert_string_equal(loaded[1].role->name, "middle");
	assert_string_equal(loaded[2].role->name, "last");
}

static void
an_order_that_is_right_already_stays(void **state)
{
	const struct ap_role x = ROLE("x", NULL, NULL), y = ROLE("y", none, none);
	struct ap_loaded loaded[] = { { .role = &x }, { .role = &y } };
	struct ap_error err = { 0 };

	(void)state;
	assert_int_equal(ap_role_order(loaded, 2, &err), 0);
	assert_string_equal(loaded[0].role->name, "x");
}

static void
a_circle_is_refused_by_name(void **state)
{
	const struct ap_role one = ROLE("one", b_list, a_list), two = ROLE("two", a_list, b_list);
	struct ap_loaded loaded[] = { { .role = &one }, { .role = &two } };
	struct ap_error err = { 0 };

	(void)state;
	assert_int_equal(ap_role_order(loaded, 2, &err), -ELOOP);
	assert_non_null(strstr(err.text, "one"));
}

static void
a_need_without_an_offer_names_both(void **state)
{
	const struct ap_role one = ROLE("one", c_list, a_list);
	struct ap_loaded loaded[] = { { .role = &one } };
	struct ap_error err = { 0 };

	(void)state;
	assert_int_equal(ap_role_order(loaded, 1, &err), -EINVAL);
	assert_non_null(strstr(err.text, "one"));
	assert_non_null(strstr(err.text, "'c'"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_offers_comes_before_who_needs),
		cmocka_unit_test(an_order_that_is_right_already_stays),
		cmocka_unit_test(a_circle_is_refused_by_name),
		cmocka_unit_test(a_need_without_an_offer_names_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
