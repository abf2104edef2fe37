# systemd -- one unit per role, installed with the paths of this build.
systemdunitdir = $(prefix)/lib/systemd/system
UNITS_IN = \
	systemd/ambit-control-plane.service.in \
	systemd/ambit-metrics-ui.service.in \
	systemd/ambit-waypoint-manager.service.in \
	systemd/ambit-waypoint@.service.in \
	systemd/ambit-ztunnel.service.in
nodist_systemdunit_DATA = $(UNITS_IN:.service.in=.service)
dist_systemdunit_DATA = systemd/ambit.target
EXTRA_DIST += $(UNITS_IN)
CLEANFILES += $(nodist_systemdunit_DATA)
%.service: %.service.in
	$(AM_V_GEN)mkdir -p $(builddir)/systemd && sed -e 's,@bindir\@,$(bindir),g' -e 's,@sysconfdir\@,$(sysconfdir),g' $< >$@
