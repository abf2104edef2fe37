# role -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/role/host.h \
	appliance/role/role.h
