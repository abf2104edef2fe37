# Unit tests of base.
check_PROGRAMS += tests/unit/base/test_addr
TESTS += tests/unit/base/test_addr
tests_unit_base_test_addr_SOURCES = tests/unit/base/test_addr.c
tests_unit_base_test_addr_CFLAGS = $(CFLAGS_UNIT)
tests_unit_base_test_addr_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/base/test_file
TESTS += tests/unit/base/test_file
tests_unit_base_test_file_SOURCES = tests/unit/base/test_file.c
tests_unit_base_test_file_CFLAGS = $(CFLAGS_UNIT)
tests_unit_base_test_file_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/base/test_log
TESTS += tests/unit/base/test_log
tests_unit_base_test_log_SOURCES = tests/unit/base/test_log.c
tests_unit_base_test_log_CFLAGS = $(CFLAGS_UNIT)
tests_unit_base_test_log_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/base/test_metrics
TESTS += tests/unit/base/test_metrics
tests_unit_base_test_metrics_SOURCES = tests/unit/base/test_metrics.c
tests_unit_base_test_metrics_CFLAGS = $(CFLAGS_UNIT)
tests_unit_base_test_metrics_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/base/test_text
TESTS += tests/unit/base/test_text
tests_unit_base_test_text_SOURCES = tests/unit/base/test_text.c
tests_unit_base_test_text_CFLAGS = $(CFLAGS_UNIT)
tests_unit_base_test_text_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/base/test_values
TESTS += tests/unit/base/test_values
tests_unit_base_test_values_SOURCES = tests/unit/base/test_values.c
tests_unit_base_test_values_CFLAGS = $(CFLAGS_UNIT)
tests_unit_base_test_values_LDADD = $(LIBS_UNIT)
