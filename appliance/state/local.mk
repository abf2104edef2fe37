# state -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/state/need_parts.h \
	appliance/state/need_policies.c \
	appliance/state/need_routes.c \
	appliance/state/registry.c \
	appliance/state/registry_parts.h \
	appliance/state/registry_service.c \
	appliance/state/registry_workload.c \
	appliance/state/registry.h \
	appliance/state/waypoint_need.c \
	appliance/state/waypoint_need.h
