# net -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/net/capture.h \
	appliance/net/listener.h \
	appliance/net/relay.h \
	appliance/net/resolve.h \
	appliance/net/stream.h \
	appliance/net/tcp.h \
	appliance/net/tls.h \
	appliance/net/x509.h
