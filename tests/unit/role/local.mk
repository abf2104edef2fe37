# Unit tests of role.
check_PROGRAMS += tests/unit/role/test_order
TESTS += tests/unit/role/test_order
tests_unit_role_test_order_SOURCES = tests/unit/role/test_order.c
tests_unit_role_test_order_CFLAGS = $(CFLAGS_UNIT)
tests_unit_role_test_order_LDADD = $(LIBS_UNIT)
