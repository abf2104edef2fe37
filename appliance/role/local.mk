# role -- the module host.
libcore_la_SOURCES += \
	appliance/role/admin.c \
	appliance/role/host.c \
	appliance/role/host.h \
	appliance/role/host_priv.h \
	appliance/role/loader.c \
	appliance/role/order.c \
	appliance/role/reload.c \
	appliance/role/role.h
