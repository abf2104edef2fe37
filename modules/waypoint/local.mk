# waypoint -- the L7 proxy. libwp.la: every file but the role's struct, for the unit tests.
noinst_LTLIBRARIES += modules/waypoint/libwp.la
modules_waypoint_libwp_la_SOURCES = \
	modules/waypoint/f_authz.c \
	modules/waypoint/f_authz.h \
	modules/waypoint/wp_compile.c \
	modules/waypoint/wp_index.c \
	modules/waypoint/wp_match.c \
	modules/waypoint/wp_match.h \
	modules/waypoint/wp_pack.c \
	modules/waypoint/wp_pack.h \
	modules/waypoint/wp_path.c \
	modules/waypoint/wp_regex.c \
	modules/waypoint/wp_route.c \
	modules/waypoint/wp_route.h
