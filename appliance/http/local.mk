# http -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/http/block.c appliance/http/block.h \
	appliance/http/conn.c \
	appliance/http/counts.c \
	appliance/http/exchange.c appliance/http/exchange.h \
	appliance/http/fields.c appliance/http/fields.h \
	appliance/http/h1.c appliance/http/h1_priv.h \
	appliance/http/h1_body.c \
	appliance/http/h1_head.c \
	appliance/http/h1_out.c \
	appliance/http/h1_stream.c \
	appliance/http/h2.c appliance/http/h2_priv.h \
	appliance/http/h2_recv.c \
	appliance/http/h2_send.c \
	appliance/http/h2_stream.c \
	appliance/http/head.c \
	appliance/http/http_priv.h \
	appliance/http/linger.c \
	appliance/http/pool.c appliance/http/pool.h
