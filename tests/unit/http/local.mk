# Unit tests of http.
EXTRA_DIST += tests/unit/http/pipe.h
check_PROGRAMS += tests/unit/http/test_h2
TESTS += tests/unit/http/test_h2
tests_unit_http_test_h2_SOURCES = tests/unit/http/test_h2.c
tests_unit_http_test_h2_CFLAGS = $(CFLAGS_UNIT)
tests_unit_http_test_h2_LDADD = $(LIBS_UNIT)
EXTRA_DIST += tests/unit/http/world.h
check_PROGRAMS += tests/unit/http/test_h1
TESTS += tests/unit/http/test_h1
tests_unit_http_test_h1_SOURCES = tests/unit/http/test_h1.c
tests_unit_http_test_h1_CFLAGS = $(CFLAGS_UNIT)
tests_unit_http_test_h1_LDADD = $(LIBS_UNIT)
check_PROGRAMS += tests/unit/http/test_pool
TESTS += tests/unit/http/test_pool
tests_unit_http_test_pool_SOURCES = tests/unit/http/test_pool.c
tests_unit_http_test_pool_CFLAGS = $(CFLAGS_UNIT)
tests_unit_http_test_pool_LDADD = $(LIBS_UNIT)
