# Unit tests of net.
check_PROGRAMS += tests/unit/net/test_relay tests/unit/net/test_tcp tests/unit/net/test_tls tests/unit/net/test_x509
TESTS += tests/unit/net/test_relay tests/unit/net/test_tcp tests/unit/net/test_tls tests/unit/net/test_x509
EXTRA_DIST += tests/unit/net/pki.h tests/unit/net/side.h
tests_unit_net_test_relay_SOURCES = tests/unit/net/test_relay.c
tests_unit_net_test_relay_CFLAGS = $(CFLAGS_UNIT)
tests_unit_net_test_relay_LDADD = $(LIBS_UNIT)
tests_unit_net_test_tcp_SOURCES = tests/unit/net/test_tcp.c
tests_unit_net_test_tcp_CFLAGS = $(CFLAGS_UNIT)
tests_unit_net_test_tcp_LDADD = $(LIBS_UNIT)
tests_unit_net_test_tls_SOURCES = tests/unit/net/test_tls.c
tests_unit_net_test_tls_CFLAGS = $(CFLAGS_UNIT)
tests_unit_net_test_tls_LDADD = $(LIBS_UNIT)
tests_unit_net_test_x509_SOURCES = tests/unit/net/test_x509.c
tests_unit_net_test_x509_CFLAGS = $(CFLAGS_UNIT)
tests_unit_net_test_x509_LDADD = $(LIBS_UNIT)
