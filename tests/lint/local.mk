# Checks of the tree itself. `tests/lint/all` runs them by hand, and prints the longest files and functions besides.
TESTS += tests/lint/layers.sh tests/lint/banned.sh tests/lint/headers.sh
EXTRA_DIST += tests/lint/layers.sh tests/lint/banned.sh tests/lint/headers.sh tests/lint/sizes.sh tests/lint/all
AM_TESTS_ENVIRONMENT = CC='$(CC)'; export CC; top_builddir='$(abs_top_builddir)'; export top_builddir; \
	LINT_CFLAGS='$(EVENT_CFLAGS) $(SSL_CFLAGS) $(NGHTTP2_CFLAGS) $(LUA_CFLAGS) $(YAML_CFLAGS) $(SQLITE_CFLAGS) \
	$(JANSSON_CFLAGS) $(PROTOBUF_C_CFLAGS) $(PCRE2_CFLAGS) $(CARES_CFLAGS) $(NFTABLES_CFLAGS) $(SYSTEMD_CFLAGS)'; \
	export LINT_CFLAGS;
