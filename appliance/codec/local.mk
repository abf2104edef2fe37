# codec -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/codec/doc.h \
	appliance/codec/json.h \
	appliance/codec/yaml.h
