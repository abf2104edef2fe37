# Unit tests of script.
check_PROGRAMS += tests/unit/script/test_lua_host
TESTS += tests/unit/script/test_lua_host
tests_unit_script_test_lua_host_SOURCES = tests/unit/script/test_lua_host.c
tests_unit_script_test_lua_host_CFLAGS = $(CFLAGS_UNIT)
tests_unit_script_test_lua_host_LDADD = $(LIBS_UNIT)
