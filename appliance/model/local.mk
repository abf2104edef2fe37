# model -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/model/appliance.h \
	appliance/model/kind.h \
	appliance/model/resource.h \
	appliance/model/schema.h
