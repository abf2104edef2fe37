# Unit tests of base.
check_PROGRAMS += tests/unit/base/test_values
TESTS += tests/unit/base/test_values
tests_unit_base_test_values_SOURCES = tests/unit/base/test_values.c
tests_unit_base_test_values_CFLAGS = $(CFLAGS_UNIT)
tests_unit_base_test_values_LDADD = $(LIBS_UNIT)
