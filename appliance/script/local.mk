# script -- sources of this floor (see appliance/LAYERS).
libcore_la_SOURCES += \
	appliance/script/lua_conn.c \
	appliance/script/lua_host.c \
	appliance/script/lua_host.h \
	appliance/script/lua_http.c \
	appliance/script/lua_pattern.c \
	appliance/script/lua_priv.h \
	appliance/script/lua_sandbox.c
