# libcore: every object (tests link it, to see hidden symbols); libappliance.so: the same, for the binary and the roles.
noinst_LTLIBRARIES += libcore.la
libcore_la_SOURCES =
libcore_la_LIBADD = libproto.la $(CORE_LIBS)
pkglib_LTLIBRARIES += libappliance.la
libappliance_la_SOURCES =
libappliance_la_LIBADD = libcore.la
libappliance_la_LDFLAGS = $(AM_LDFLAGS) -avoid-version -no-undefined
bin_PROGRAMS += ambit
ambit_SOURCES = appliance/main.c
ambit_LDADD = libappliance.la
EXTRA_DIST += appliance/LAYERS

include $(srcdir)/appliance/base/local.mk
include $(srcdir)/appliance/codec/local.mk
include $(srcdir)/appliance/model/local.mk
include $(srcdir)/appliance/state/local.mk
include $(srcdir)/appliance/store/local.mk
include $(srcdir)/appliance/event/local.mk
include $(srcdir)/appliance/net/local.mk
include $(srcdir)/appliance/http/local.mk
include $(srcdir)/appliance/xds/local.mk
include $(srcdir)/appliance/mesh/local.mk
include $(srcdir)/appliance/script/local.mk
include $(srcdir)/appliance/role/local.mk
include $(srcdir)/appliance/cli/local.mk
include $(srcdir)/appliance/lab/local.mk
include $(srcdir)/appliance/demo/local.mk
