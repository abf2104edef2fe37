# Unit tests of state.
check_PROGRAMS += tests/unit/state/test_need
TESTS += tests/unit/state/test_need
tests_unit_state_test_need_SOURCES = tests/unit/state/test_need.c
tests_unit_state_test_need_CFLAGS = $(CFLAGS_UNIT)
tests_unit_state_test_need_LDADD = $(LIBS_UNIT)
