# Unit tests of store.
check_PROGRAMS += tests/unit/store/test_store
TESTS += tests/unit/store/test_store
tests_unit_store_test_store_SOURCES = tests/unit/store/test_store.c
tests_unit_store_test_store_CFLAGS = $(CFLAGS_UNIT)
tests_unit_store_test_store_LDADD = $(LIBS_UNIT)
