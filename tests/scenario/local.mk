# Roles for the tests of the module host: one source, built under several names. -rpath makes libtool build a shared object
# of a library that is never installed.
LDFLAGS_TEST_ROLE = $(AM_LDFLAGS) -module -shared -avoid-version -no-undefined -rpath /nowhere
check_LTLIBRARIES += tests/scenario/roles/first.la tests/scenario/roles/second.la tests/scenario/roles/circle_a.la \
	tests/scenario/roles/circle_b.la tests/scenario/roles/old.la tests/scenario/roles/alien.la \
	tests/scenario/roles/stranger.la
tests_scenario_roles_first_la_SOURCES = tests/scenario/roles/test_role.c
tests_scenario_roles_first_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_NAME='"first"' -DTEST_OFFERS='"test.first"'
tests_scenario_roles_first_la_LDFLAGS = $(LDFLAGS_TEST_ROLE)
tests_scenario_roles_first_la_LIBADD = libappliance.la
tests_scenario_roles_second_la_SOURCES = tests/scenario/roles/test_role.c
tests_scenario_roles_second_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_NAME='"second"' -DTEST_NEEDS='"test.first"'
tests_scenario_roles_second_la_LDFLAGS = $(LDFLAGS_TEST_ROLE)
tests_scenario_roles_second_la_LIBADD = libappliance.la
tests_scenario_roles_circle_a_la_SOURCES = tests/scenario/roles/test_role.c
tests_scenario_roles_circle_a_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_NAME='"circle-a"' -DTEST_NEEDS='"test.b"' -DTEST_OFFERS='"test.a"'
tests_scenario_roles_circle_a_la_LDFLAGS = $(LDFLAGS_TEST_ROLE)
tests_scenario_roles_circle_a_la_LIBADD = libappliance.la
tests_scenario_roles_circle_b_la_SOURCES = tests/scenario/roles/test_role.c
tests_scenario_roles_circle_b_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_NAME='"circle-b"' -DTEST_NEEDS='"test.a"' -DTEST_OFFERS='"test.b"'
tests_scenario_roles_circle_b_la_LDFLAGS = $(LDFLAGS_TEST_ROLE)
tests_scenario_roles_circle_b_la_LIBADD = libappliance.la
tests_scenario_roles_old_la_SOURCES = tests/scenario/roles/test_role.c
tests_scenario_roles_old_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_NAME='"old"' -DTEST_BUILD='"some other build"'
tests_scenario_roles_old_la_LDFLAGS = $(LDFLAGS_TEST_ROLE)
tests_scenario_roles_old_la_LIBADD = libappliance.la
tests_scenario_roles_alien_la_SOURCES = tests/scenario/roles/test_role.c
tests_scenario_roles_alien_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_NAME='"alien"' -DTEST_ABI=4711U
tests_scenario_roles_alien_la_LDFLAGS = $(LDFLAGS_TEST_ROLE)
tests_scenario_roles_alien_la_LIBADD = libappliance.la
tests_scenario_roles_stranger_la_SOURCES = tests/scenario/roles/stranger.c
tests_scenario_roles_stranger_la_LDFLAGS = $(LDFLAGS_TEST_ROLE)
# A server and proxy made of the library's HTTP alone, for tests/scenario/test_http.py.
check_PROGRAMS += tests/scenario/http_echo
tests_scenario_http_echo_SOURCES = tests/scenario/http_echo.c
tests_scenario_http_echo_LDADD = libcore.la
