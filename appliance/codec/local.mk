# codec -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/codec/dns.h \
	appliance/codec/doc.c \
	appliance/codec/doc.h \
	appliance/codec/glob.h \
	appliance/codec/grpc.h \
	appliance/codec/json.c \
	appliance/codec/json.h \
	appliance/codec/prom.h \
	appliance/codec/proxyproto.h \
	appliance/codec/regex.h \
	appliance/codec/trace.h \
	appliance/codec/uri.h \
	appliance/codec/yaml.c \
	appliance/codec/yaml.h \
	appliance/codec/yaml_priv.h \
	appliance/codec/yaml_write.c
