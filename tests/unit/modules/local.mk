# Unit tests of modules.
# waypoint
WP_UNIT = tests/unit/modules/test_f_authz tests/unit/modules/test_wp_match tests/unit/modules/test_wp_route \
	tests/unit/modules/test_wp_upstream
check_PROGRAMS += $(WP_UNIT)
TESTS += $(WP_UNIT)
LIBS_WP_UNIT = modules/waypoint/libwp.la $(LIBS_UNIT)
tests_unit_modules_test_f_authz_SOURCES = tests/unit/modules/test_f_authz.c
tests_unit_modules_test_f_authz_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_f_authz_LDADD = $(LIBS_WP_UNIT)
tests_unit_modules_test_wp_match_SOURCES = tests/unit/modules/test_wp_match.c
tests_unit_modules_test_wp_match_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_wp_match_LDADD = $(LIBS_WP_UNIT)
tests_unit_modules_test_wp_route_SOURCES = tests/unit/modules/test_wp_route.c
tests_unit_modules_test_wp_route_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_wp_route_LDADD = $(LIBS_WP_UNIT)
# metrics-ui
UI_UNIT = tests/unit/modules/test_ui_graph tests/unit/modules/test_ui_history tests/unit/modules/test_ui_live
check_PROGRAMS += $(UI_UNIT)
TESTS += $(UI_UNIT)
LIBS_UI_UNIT = modules/metrics_ui/libui.la $(LIBS_UNIT)
tests_unit_modules_test_ui_graph_SOURCES = tests/unit/modules/test_ui_graph.c
tests_unit_modules_test_ui_graph_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_ui_graph_LDADD = $(LIBS_UI_UNIT)
tests_unit_modules_test_ui_history_SOURCES = tests/unit/modules/test_ui_history.c
tests_unit_modules_test_ui_history_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_ui_history_LDADD = $(LIBS_UI_UNIT)
tests_unit_modules_test_ui_live_SOURCES = tests/unit/modules/test_ui_live.c
tests_unit_modules_test_ui_live_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_ui_live_LDADD = $(LIBS_UI_UNIT)
# control-plane
check_PROGRAMS += tests/unit/modules/test_compile
TESTS += tests/unit/modules/test_compile
tests_unit_modules_test_compile_SOURCES = tests/unit/modules/test_compile.c $(CP_COMPILE)
tests_unit_modules_test_compile_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_compile_LDADD = $(LIBS_UNIT)
EXTRA_DIST += $(wildcard $(srcdir)/tests/golden/compile/*)
CP_CORE = modules/control_plane/cp_apply.c modules/control_plane/cp_store.c modules/control_plane/cp_token.c \
	modules/control_plane/cp_validate.c
check_PROGRAMS += tests/unit/modules/test_cp_store
TESTS += tests/unit/modules/test_cp_store
tests_unit_modules_test_cp_store_SOURCES = tests/unit/modules/test_cp_store.c $(CP_CORE)
tests_unit_modules_test_cp_store_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_cp_store_LDADD = $(LIBS_UNIT)
check_PROGRAMS += tests/unit/modules/test_zt_route
TESTS += tests/unit/modules/test_zt_route
tests_unit_modules_test_zt_route_SOURCES = tests/unit/modules/test_zt_route.c tests/unit/mesh/wire.h \
	modules/ztunnel/zt_dns_names.c modules/ztunnel/zt_owner.c modules/ztunnel/zt_route.c
tests_unit_modules_test_zt_route_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_zt_route_LDADD = $(LIBS_UNIT)
tests_unit_modules_test_wp_upstream_SOURCES = tests/unit/modules/test_wp_upstream.c
tests_unit_modules_test_wp_upstream_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_wp_upstream_LDADD = $(LIBS_WP_UNIT)
# ztunnel
check_PROGRAMS += tests/unit/modules/test_zt_sniff
TESTS += tests/unit/modules/test_zt_sniff
tests_unit_modules_test_zt_sniff_SOURCES = tests/unit/modules/test_zt_sniff.c
tests_unit_modules_test_zt_sniff_CFLAGS = $(CFLAGS_UNIT)
tests_unit_modules_test_zt_sniff_LDADD = modules/ztunnel/libsniff.la $(LIBS_UNIT)
