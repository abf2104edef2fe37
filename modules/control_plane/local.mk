# control_plane -- sources of this role.
role_LTLIBRARIES += modules/control_plane.la
modules_control_plane_la_SOURCES = \
	modules/control_plane/api/api.c \
	modules/control_plane/api/api.h \
	modules/control_plane/api/api_auth.c \
	modules/control_plane/api/api_discovery.c \
	modules/control_plane/api/api_json_patch.c \
	modules/control_plane/api/api_list.c \
	modules/control_plane/api/api_openapi.c \
	modules/control_plane/api/api_patch.c \
	modules/control_plane/api/api_path.c \
	modules/control_plane/api/api_priv.h \
	modules/control_plane/api/api_select.c \
	modules/control_plane/api/api_send.c \
	modules/control_plane/api/api_strategic.c \
	modules/control_plane/api/api_table.c \
	modules/control_plane/api/api_verbs.c \
	modules/control_plane/api/api_watch.c \
	modules/control_plane/api/api_write.c \
	modules/control_plane/cp.h \
	modules/control_plane/cp_apply.c \
	modules/control_plane/cp_files.c \
	modules/control_plane/cp_role.c \
	modules/control_plane/cp_settings.c \
	modules/control_plane/cp_store.c \
	modules/control_plane/cp_store.h \
	modules/control_plane/cp_token.c
modules_control_plane_la_LDFLAGS = $(LDFLAGS_ROLE)
modules_control_plane_la_LIBADD = libappliance.la $(SSL_LIBS)
