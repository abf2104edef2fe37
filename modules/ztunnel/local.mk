# ztunnel -- sources of this role. libsniff.la: the observer of HTTP, for its unit test and fuzzer.
noinst_LTLIBRARIES += modules/ztunnel/libsniff.la
modules_ztunnel_libsniff_la_SOURCES = \
	modules/ztunnel/zt_sniff.c \
	modules/ztunnel/zt_sniff.h \
	modules/ztunnel/zt_sniff_h1.c \
	modules/ztunnel/zt_sniff_h2.c \
	modules/ztunnel/zt_sniff_priv.h
role_LTLIBRARIES += modules/ztunnel.la
modules_ztunnel_la_SOURCES = \
	modules/ztunnel/zt.h \
	modules/ztunnel/zt_access_log.c \
	modules/ztunnel/zt_access_log.h \
	modules/ztunnel/zt_capture.c \
	modules/ztunnel/zt_capture.h \
	modules/ztunnel/zt_config.c \
	modules/ztunnel/zt_config.h \
	modules/ztunnel/zt_conn.c \
	modules/ztunnel/zt_conn.h \
	modules/ztunnel/zt_dial.c \
	modules/ztunnel/zt_dial.h \
	modules/ztunnel/zt_dns.c \
	modules/ztunnel/zt_dns.h \
	modules/ztunnel/zt_dns_names.c \
	modules/ztunnel/zt_dns_names.h \
	modules/ztunnel/zt_dump.c \
	modules/ztunnel/zt_end.def \
	modules/ztunnel/zt_hosted.c \
	modules/ztunnel/zt_hosted.h \
	modules/ztunnel/zt_http.c \
	modules/ztunnel/zt_http.h \
	modules/ztunnel/zt_inbound.c \
	modules/ztunnel/zt_inbound.h \
	modules/ztunnel/zt_local_xds.c \
	modules/ztunnel/zt_node.c \
	modules/ztunnel/zt_outbound.c \
	modules/ztunnel/zt_owner.c \
	modules/ztunnel/zt_peer.c \
	modules/ztunnel/zt_peer.h \
	modules/ztunnel/zt_plain.c \
	modules/ztunnel/zt_plain.h \
	modules/ztunnel/zt_requests.c \
	modules/ztunnel/zt_requests.h \
	modules/ztunnel/zt_role.c \
	modules/ztunnel/zt_role.h \
	modules/ztunnel/zt_route.c \
	modules/ztunnel/zt_route.h \
	modules/ztunnel/zt_rules.c \
	modules/ztunnel/zt_rules.h \
	modules/ztunnel/zt_scripts.c \
	modules/ztunnel/zt_scripts.h \
	modules/ztunnel/zt_spoof.c \
	modules/ztunnel/zt_spoof.h \
	modules/ztunnel/zt_worker.c
modules_ztunnel_la_LDFLAGS = $(LDFLAGS_ROLE)
modules_ztunnel_la_LIBADD = modules/ztunnel/libsniff.la libappliance.la $(NGHTTP2_LIBS) $(NFTABLES_LIBS) $(PROTOBUF_C_LIBS)
