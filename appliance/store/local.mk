# store -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/store/store.c \
	appliance/store/store.h \
	appliance/store/store_priv.h \
	appliance/store/store_schema.c
