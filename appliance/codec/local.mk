# codec -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/codec/dns.c \
	appliance/codec/dns.h \
	appliance/codec/doc.c \
	appliance/codec/doc.h \
	appliance/codec/glob.c \
	appliance/codec/glob.h \
	appliance/codec/grpc.c \
	appliance/codec/grpc.h \
	appliance/codec/http1.c \
	appliance/codec/http1.h \
	appliance/codec/json.c \
	appliance/codec/json.h \
	appliance/codec/prom.c \
	appliance/codec/prom.h \
	appliance/codec/proxyproto.c \
	appliance/codec/proxyproto.h \
	appliance/codec/regex.c \
	appliance/codec/regex.h \
	appliance/codec/trace.c \
	appliance/codec/trace.h \
	appliance/codec/uri.c \
	appliance/codec/uri.h \
	appliance/codec/yaml.c \
	appliance/codec/yaml.h \
	appliance/codec/yaml_priv.h \
	appliance/codec/yaml_write.c
