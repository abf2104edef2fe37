# http -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/http/exchange.h \
	appliance/http/fields.h \
	appliance/http/pool.h
