# mesh -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/mesh/access_log.c \
	appliance/mesh/access_log.h \
	appliance/mesh/ca_client.c \
	appliance/mesh/ca_client.h \
	appliance/mesh/feed.c \
	appliance/mesh/feed.h \
	appliance/mesh/hbone.c appliance/mesh/hbone.h \
	appliance/mesh/hbone_hop.c appliance/mesh/hbone_priv.h \
	appliance/mesh/hbone_server.c \
	appliance/mesh/identity.c \
	appliance/mesh/identity.h \
	appliance/mesh/identity_make.c \
	appliance/mesh/identity_priv.h \
	appliance/mesh/identity_view.c \
	appliance/mesh/index.c \
	appliance/mesh/index.h \
	appliance/mesh/labels.c \
	appliance/mesh/labels.h \
	appliance/mesh/object.c \
	appliance/mesh/object.h \
	appliance/mesh/object_decode.c \
	appliance/mesh/object_priv.h \
	appliance/mesh/policy.c \
	appliance/mesh/policy.h \
	appliance/mesh/policy_check.c \
	appliance/mesh/policy_dump.c \
	appliance/mesh/policy_priv.h \
	appliance/mesh/table.c \
	appliance/mesh/table.h \
	appliance/mesh/table_find.c \
	appliance/mesh/table_pick.c \
	appliance/mesh/table_priv.h \
	appliance/mesh/xds_cache.c \
	appliance/mesh/xds_cache.h
