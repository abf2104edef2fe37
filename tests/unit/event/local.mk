# Unit tests of event.
check_PROGRAMS += tests/unit/event/test_event
TESTS += tests/unit/event/test_event
tests_unit_event_test_event_SOURCES = tests/unit/event/test_event.c
tests_unit_event_test_event_CFLAGS = $(CFLAGS_UNIT)
tests_unit_event_test_event_LDADD = $(LIBS_UNIT)
