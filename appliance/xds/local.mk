# xds -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/xds/client.c \
	appliance/xds/client.h \
	appliance/xds/delta.c \
	appliance/xds/delta.h \
	appliance/xds/delta_client.c \
	appliance/xds/pb.c \
	appliance/xds/pb.h \
	appliance/xds/rpc.c \
	appliance/xds/rpc.h \
	appliance/xds/server.c \
	appliance/xds/server.h \
	appliance/xds/set.c \
	appliance/xds/set.h
