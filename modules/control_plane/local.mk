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
	modules/control_plane/api/api_openapi_pb.c \
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
	modules/control_plane/cp_reported.c \
	modules/control_plane/cp_reported.h \
	modules/control_plane/cp_role.c \
	modules/control_plane/cp_settings.c \
	modules/control_plane/cp_store.c \
	modules/control_plane/cp_store.h \
	modules/control_plane/cp_token.c \
	modules/control_plane/cp_validate.c
modules_control_plane_la_LDFLAGS = $(LDFLAGS_ROLE)
modules_control_plane_la_LIBADD = libappliance.la $(SSL_LIBS) $(PROTOBUF_C_LIBS)
modules_control_plane_la_SOURCES += \
	modules/control_plane/cp_ca.c \
	modules/control_plane/cp_ca.h \
	modules/control_plane/cp_enrol.c \
	modules/control_plane/cp_enrol.h \
	modules/control_plane/cp_grpc.c \
	modules/control_plane/cp_grpc.h \
	modules/control_plane/cp_nodes.c \
	modules/control_plane/cp_nodes.h \
	modules/control_plane/cp_status.c \
	modules/control_plane/cp_status.h \
	modules/control_plane/cp_xds.c \
	modules/control_plane/cp_xds.h \
	$(CP_COMPILE)
# Pure, so that unit tests build them too.
CP_COMPILE = \
	modules/control_plane/cp_compile.c \
	modules/control_plane/cp_compile.h \
	modules/control_plane/cp_vips.c \
	modules/control_plane/cp_vips.h \
	modules/control_plane/translate/t_address.c \
	modules/control_plane/translate/t_authz.c \
	modules/control_plane/translate/t_host.c \
	modules/control_plane/translate/t_http_route.c \
	modules/control_plane/translate/t_parts.c \
	modules/control_plane/translate/t_peer.c \
	modules/control_plane/translate/t_policy.c \
	modules/control_plane/translate/t_route.h \
	modules/control_plane/translate/t_route_table.c \
	modules/control_plane/translate/t_virtual_service.c \
	modules/control_plane/translate/t_workspace.c \
	modules/control_plane/translate/tr.c \
	modules/control_plane/translate/tr.h
