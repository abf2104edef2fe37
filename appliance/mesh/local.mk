# mesh -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/mesh/feed.h \
	appliance/mesh/identity.h \
	appliance/mesh/labels.h \
	appliance/mesh/object.h \
	appliance/mesh/policy.h \
	appliance/mesh/table.h \
	appliance/mesh/hbone.h
