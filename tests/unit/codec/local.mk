# Unit tests of codec.
check_PROGRAMS += tests/unit/codec/test_dns
TESTS += tests/unit/codec/test_dns
tests_unit_codec_test_dns_SOURCES = tests/unit/codec/test_dns.c
tests_unit_codec_test_dns_CFLAGS = $(CFLAGS_UNIT)
tests_unit_codec_test_dns_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/codec/test_doc
TESTS += tests/unit/codec/test_doc
tests_unit_codec_test_doc_SOURCES = tests/unit/codec/test_doc.c
tests_unit_codec_test_doc_CFLAGS = $(CFLAGS_UNIT)
tests_unit_codec_test_doc_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/codec/test_regex
TESTS += tests/unit/codec/test_regex
tests_unit_codec_test_regex_SOURCES = tests/unit/codec/test_regex.c
tests_unit_codec_test_regex_CFLAGS = $(CFLAGS_UNIT)
tests_unit_codec_test_regex_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/codec/test_uri
TESTS += tests/unit/codec/test_uri
tests_unit_codec_test_uri_SOURCES = tests/unit/codec/test_uri.c
tests_unit_codec_test_uri_CFLAGS = $(CFLAGS_UNIT)
tests_unit_codec_test_uri_LDADD = $(LIBS_UNIT)

check_PROGRAMS += tests/unit/codec/test_wire
TESTS += tests/unit/codec/test_wire
tests_unit_codec_test_wire_SOURCES = tests/unit/codec/test_wire.c
tests_unit_codec_test_wire_CFLAGS = $(CFLAGS_UNIT)
tests_unit_codec_test_wire_LDADD = $(LIBS_UNIT)
check_PROGRAMS += tests/unit/codec/test_http1
TESTS += tests/unit/codec/test_http1
tests_unit_codec_test_http1_SOURCES = tests/unit/codec/test_http1.c
tests_unit_codec_test_http1_CFLAGS = $(CFLAGS_UNIT)
tests_unit_codec_test_http1_LDADD = $(LIBS_UNIT)
