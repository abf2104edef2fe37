# Unit tests of xds.
check_PROGRAMS += tests/unit/xds/test_delta
TESTS += tests/unit/xds/test_delta
tests_unit_xds_test_delta_SOURCES = tests/unit/xds/test_delta.c
tests_unit_xds_test_delta_CFLAGS = $(CFLAGS_UNIT)
tests_unit_xds_test_delta_LDADD = $(LIBS_UNIT)
