# net -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/net/capture.c appliance/net/capture.h \
	appliance/net/conntrack.c appliance/net/conntrack.h \
	appliance/net/listener.c appliance/net/listener.h \
	appliance/net/netlink.c appliance/net/netlink.h \
	appliance/net/relay.c appliance/net/relay.h \
	appliance/net/resolve.c appliance/net/resolve.h \
	appliance/net/sock.c appliance/net/sock.h \
	appliance/net/stream.c appliance/net/stream.h \
	appliance/net/tcp.c appliance/net/tcp.h \
	appliance/net/tls.c appliance/net/tls.h appliance/net/tls_priv.h \
	appliance/net/tls_ctx.c appliance/net/tls_handshake.c appliance/net/tls_out.c \
	appliance/net/x509.h appliance/net/x509_priv.h \
	appliance/net/x509_issue.c appliance/net/x509_keys.c appliance/net/x509_read.c
