# Unit tests of codec.
check_PROGRAMS += tests/unit/codec/test_doc
TESTS += tests/unit/codec/test_doc
tests_unit_codec_test_doc_SOURCES = tests/unit/codec/test_doc.c
tests_unit_codec_test_doc_CFLAGS = $(CFLAGS_UNIT)
tests_unit_codec_test_doc_LDADD = $(LIBS_UNIT)
