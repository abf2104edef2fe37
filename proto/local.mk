# proto -- the messages that we speak, cut down to what we use; compiled by protoc-c, apart from our warning flags.
PROTOS = \
	proto/ambit/workload.proto \
	proto/envoy/discovery.proto \
	proto/google/any.proto \
	proto/google/duration.proto \
	proto/google/empty.proto \
	proto/google/status.proto \
	proto/google/struct.proto \
	proto/google/wrappers.proto \
	proto/istio/authorization.proto \
	proto/istio/ca.proto \
	proto/istio/workload.proto \
	proto/ambit/waypoint.proto
EXTRA_DIST += $(PROTOS)
noinst_LTLIBRARIES += libproto.la
nodist_libproto_la_SOURCES = $(PROTOS:.proto=.pb-c.c)
GENERATED_PROTO = $(PROTOS:.proto=.pb-c.h)
libproto_la_CFLAGS = -std=gnu11 -w $(SAN_FLAGS) $(PROTOBUF_C_CFLAGS)
libproto_la_LIBADD = $(PROTOBUF_C_LIBS)
BUILT_SOURCES += $(GENERATED_PROTO)
CLEANFILES += $(GENERATED_PROTO) $(PROTOS:.proto=.pb-c.c)
SUFFIXES = .proto .pb-c.c .pb-c.h
.proto.pb-c.c:
	$(AM_V_GEN)mkdir -p $(builddir)/proto && $(PROTOC_C) -I$(srcdir)/proto --c_out=$(builddir)/proto $<
$(GENERATED_PROTO): %.pb-c.h: %.pb-c.c
