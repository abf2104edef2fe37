# Unit tests of net.
check_PROGRAMS += tests/unit/net/test_tcp
TESTS += tests/unit/net/test_tcp
tests_unit_net_test_tcp_SOURCES = tests/unit/net/test_tcp.c
tests_unit_net_test_tcp_CFLAGS = $(CFLAGS_UNIT)
tests_unit_net_test_tcp_LDADD = $(LIBS_UNIT)
