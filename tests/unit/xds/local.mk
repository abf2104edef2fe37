# Unit tests of xds.
check_PROGRAMS += tests/unit/xds/test_delta
TESTS += tests/unit/xds/test_delta
tests_unit_xds_test_delta_SOURCES = tests/unit/xds/test_delta.c
tests_unit_xds_test_delta_CFLAGS = $(CFLAGS_UNIT)
tests_unit_xds_test_delta_LDADD = $(LIBS_UNIT)
check_PROGRAMS += tests/unit/xds/test_ads
TESTS += tests/unit/xds/test_ads
tests_unit_xds_test_ads_SOURCES = tests/unit/xds/test_ads.c
tests_unit_xds_test_ads_CFLAGS = $(CFLAGS_UNIT)
tests_unit_xds_test_ads_LDADD = $(LIBS_UNIT)
