# model -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/model/appliance.c \
	appliance/model/appliance.h \
	appliance/model/appliance_rows.c \
	appliance/model/appliance_rows.h \
	appliance/model/checks.c \
	appliance/model/checks.h \
	appliance/model/kind.h \
	appliance/model/resource.h \
	appliance/model/schema.c \
	appliance/model/schema.h
