# Unit tests of model.
check_PROGRAMS += tests/unit/model/test_external
TESTS += tests/unit/model/test_external
tests_unit_model_test_external_SOURCES = tests/unit/model/test_external.c
tests_unit_model_test_external_CFLAGS = $(CFLAGS_UNIT)
tests_unit_model_test_external_LDADD = $(LIBS_UNIT)
