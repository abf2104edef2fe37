# waypoint -- the L7 proxy. libwp.la: every file but the role's struct, for the unit tests.
noinst_LTLIBRARIES += modules/waypoint/libwp.la
modules_waypoint_libwp_la_SOURCES = \
	modules/waypoint/f_authz.c \
	modules/waypoint/f_authz.h \
	modules/waypoint/f_cors.c \
	modules/waypoint/f_fault.c \
	modules/waypoint/f_headers.c \
	modules/waypoint/f_lua.c \
	modules/waypoint/f_mirror.c \
	modules/waypoint/f_rewrite.c \
	modules/waypoint/wp_accesslog.c \
	modules/waypoint/wp_admin.c \
	modules/waypoint/wp_answer.c \
	modules/waypoint/wp_compile.c \
	modules/waypoint/wp_config.c \
	modules/waypoint/wp_config.h \
	modules/waypoint/wp_dial.c \
	modules/waypoint/wp_down.c \
	modules/waypoint/wp_feed.c \
	modules/waypoint/wp_flags.def \
	modules/waypoint/wp_forward.c \
	modules/waypoint/wp_index.c \
	modules/waypoint/wp_listener.c \
	modules/waypoint/wp_local.c \
	modules/waypoint/wp_local.h \
	modules/waypoint/wp_match.c \
	modules/waypoint/wp_match.h \
	modules/waypoint/wp_metrics.c \
	modules/waypoint/wp_pack.c \
	modules/waypoint/wp_pack.h \
	modules/waypoint/wp_path.c \
	modules/waypoint/wp_priv.h \
	modules/waypoint/wp_pump.c \
	modules/waypoint/wp_pump.h \
	modules/waypoint/wp_request.c \
	modules/waypoint/wp_request.h \
	modules/waypoint/wp_retry.c \
	modules/waypoint/wp_route.c \
	modules/waypoint/wp_route.h \
	modules/waypoint/wp_status.c \
	modules/waypoint/wp_table.c \
	modules/waypoint/wp_table.h \
	modules/waypoint/wp_tcp.c \
	modules/waypoint/wp_upstream.c \
	modules/waypoint/wp_worker.c \
	modules/waypoint/wp_worker.h
role_LTLIBRARIES += modules/waypoint.la
modules_waypoint_la_SOURCES = modules/waypoint/wp_role.c
modules_waypoint_la_LDFLAGS = $(LDFLAGS_ROLE)
modules_waypoint_la_LIBADD = modules/waypoint/libwp.la libappliance.la $(PROTOBUF_C_LIBS)
