# Each role is one shared object, loaded by the host; -z defs: a role that reaches into another fails at build time.
LDFLAGS_ROLE = $(AM_LDFLAGS) -module -shared -avoid-version -no-undefined -Wl,-z,defs
include $(srcdir)/modules/ztunnel/local.mk
include $(srcdir)/modules/waypoint/local.mk
include $(srcdir)/modules/control_plane/local.mk
include $(srcdir)/modules/waypoint_manager/local.mk
include $(srcdir)/modules/metrics_ui/local.mk
