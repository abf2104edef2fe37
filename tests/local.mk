# The suite. Unit tests are cmocka programs named tests/unit/<layer>/test_<file>; TESTS runs them all.
# gcc 12 does not know that cmocka's assertions do not return.
CFLAGS_UNIT = $(AM_CFLAGS) -Wno-null-dereference $(CMOCKA_CFLAGS)
LIBS_UNIT = libcore.la $(CMOCKA_LIBS)
EXTRA_DIST += tests/unit/test.h tests/tsan.supp tests/run
include $(srcdir)/tests/unit/base/local.mk
include $(srcdir)/tests/unit/codec/local.mk
include $(srcdir)/tests/unit/model/local.mk
include $(srcdir)/tests/unit/state/local.mk
include $(srcdir)/tests/unit/store/local.mk
include $(srcdir)/tests/unit/event/local.mk
include $(srcdir)/tests/unit/net/local.mk
include $(srcdir)/tests/unit/http/local.mk
include $(srcdir)/tests/unit/xds/local.mk
include $(srcdir)/tests/unit/mesh/local.mk
include $(srcdir)/tests/unit/script/local.mk
include $(srcdir)/tests/unit/role/local.mk
include $(srcdir)/tests/unit/modules/local.mk
include $(srcdir)/tests/scenario/local.mk
include $(srcdir)/tests/browser/local.mk
include $(srcdir)/tests/fuzz/local.mk
include $(srcdir)/tests/lint/local.mk
include $(srcdir)/tests/bench/local.mk
