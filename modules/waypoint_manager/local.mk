# waypoint_manager -- sources of this role.
role_LTLIBRARIES += modules/waypoint_manager.la
modules_waypoint_manager_la_SOURCES = \
	modules/waypoint_manager/wm.h \
	modules/waypoint_manager/wm_client.c \
	modules/waypoint_manager/wm_client.h \
	modules/waypoint_manager/wm_gateway.c \
	modules/waypoint_manager/wm_gateway.h \
	modules/waypoint_manager/wm_instance.c \
	modules/waypoint_manager/wm_instance.h \
	modules/waypoint_manager/wm_launch.c \
	modules/waypoint_manager/wm_probe.c \
	modules/waypoint_manager/wm_reconcile.c \
	modules/waypoint_manager/wm_role.c \
	modules/waypoint_manager/wm_world.c \
	modules/waypoint_manager/wm_world.h
modules_waypoint_manager_la_LDFLAGS = $(LDFLAGS_ROLE)
modules_waypoint_manager_la_LIBADD = libappliance.la
