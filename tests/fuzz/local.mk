# Fuzzers: one for each parser of what strangers send.
#
# To add one: write tests/fuzz/fuzz_x.c (it defines LLVMFuzzerTestOneInput; start from fuzz_json.c), put a few small files
# into tests/fuzz/corpus/x/, and add the line
#	FUZZERS += tests/fuzz/fuzz_x
# below (or in your own local.mk).  If it needs more than libcore.la (a role's sources), give it tests_fuzz_fuzz_x_SOURCES
# and _LDADD = $(LDADD) ... as any program.  That is all:
#   make check              replays the corpus and simple damage of it (replay.c), with any compiler
#   ./configure CC=clang --enable-fuzzing --enable-sanitizer=address,undefined && make fuzz FUZZ_SECONDS=20
#                           lets libFuzzer search; new inputs go to fuzz-corpus/ in the build folder
#   tests/fuzz/fuzz_x FILE  runs one input in either build
FUZZERS =
FUZZERS += tests/fuzz/fuzz_api_patch
tests_fuzz_fuzz_api_patch_SOURCES = tests/fuzz/fuzz_api_patch.c modules/control_plane/api/api_json_patch.c \
	modules/control_plane/api/api_strategic.c
tests_fuzz_fuzz_api_patch_CFLAGS = $(AM_CFLAGS)
FUZZERS += tests/fuzz/fuzz_delta
FUZZERS += tests/fuzz/fuzz_dns
FUZZERS += tests/fuzz/fuzz_grpc
FUZZERS += tests/fuzz/fuzz_http
FUZZERS += tests/fuzz/fuzz_http1
FUZZERS += tests/fuzz/fuzz_json
FUZZERS += tests/fuzz/fuzz_mesh
FUZZERS += tests/fuzz/fuzz_prom
FUZZERS += tests/fuzz/fuzz_proxyproto
FUZZERS += tests/fuzz/fuzz_regex
FUZZERS += tests/fuzz/fuzz_resource
FUZZERS += tests/fuzz/fuzz_text_addr
FUZZERS += tests/fuzz/fuzz_trace
FUZZERS += tests/fuzz/fuzz_uri
FUZZERS += tests/fuzz/fuzz_waypoint
FUZZERS += tests/fuzz/fuzz_yaml
FUZZERS += tests/fuzz/fuzz_zt_sniff

check_PROGRAMS += $(FUZZERS)
check_LTLIBRARIES += tests/fuzz/libreplay.la
tests_fuzz_libreplay_la_SOURCES = tests/fuzz/replay.c
if FUZZING
LDADD = libcore.la $(FUZZ_ENGINE)
else
LDADD = tests/fuzz/libreplay.la libcore.la
TESTS += $(FUZZERS)
endif
EXTRA_DIST += tests/fuzz/corpus
tests_fuzz_fuzz_zt_sniff_LDADD = modules/ztunnel/libsniff.la $(LDADD) $(NGHTTP2_LIBS)

FUZZ_SECONDS = 20
fuzz: $(BUILT_SOURCES)
	@$(MAKE) $(AM_MAKEFLAGS) $(FUZZERS)
	@for f in $(FUZZERS); do \
		name=`basename $$f | sed 's/^fuzz_//'`; mkdir -p fuzz-corpus/$$name; echo "== $$name"; \
		./$$f -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
			-artifact_prefix=fuzz-corpus/crash-$$name- fuzz-corpus/$$name $(srcdir)/tests/fuzz/corpus/$$name \
			>fuzz-corpus/$$name.log 2>&1 || { tail -n 40 fuzz-corpus/$$name.log; exit 1; }; \
		sed -n 's/stat::number_of_executed_units: */inputs tried: /p' fuzz-corpus/$$name.log; \
	done
.PHONY: fuzz
tests_fuzz_fuzz_waypoint_SOURCES = tests/fuzz/fuzz_waypoint.c
tests_fuzz_fuzz_waypoint_LDADD = modules/waypoint/libwp.la $(LDADD)
