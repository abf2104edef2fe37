# Unit tests of modules.
# waypoint
WP_UNIT = tests/unit/modules/test_f_authz tests/unit/modules/test_wp_match tests/unit/modules/test_wp_route
check_PROGRAMS += $(WP_UNIT)
TESTS += $(WP_UNIT)
LIBS_WP_UNIT = modules/waypoint/libwp.la $(LIBS_UNIT)
tests_unit_modules_test_f_authz_SOURCES = tests/unit/modules/test_f_authz.c
tests_unit_modules_test_f_authz_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_f_authz_LDADD = $(LIBS_WP_UNIT)
tests_unit_modules_test_wp_match_SOURCES = tests/unit/modules/test_wp_match.c
tests_unit_modules_test_wp_match_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_wp_match_LDADD = $(LIBS_WP_UNIT)
tests_unit_modules_test_wp_route_SOURCES = tests/unit/modules/test_wp_route.c
tests_unit_modules_test_wp_route_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_wp_route_LDADD = $(LIBS_WP_UNIT)
