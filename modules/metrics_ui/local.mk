# metrics_ui -- sources of this role, and the page that is built by Vite and embedded into it.
noinst_LTLIBRARIES += modules/metrics_ui/libui.la
modules_metrics_ui_libui_la_SOURCES = \
	modules/metrics_ui/ui.h \
	modules/metrics_ui/ui_api.c \
	modules/metrics_ui/ui_api_priv.h \
	modules/metrics_ui/ui_assets.h \
	modules/metrics_ui/ui_config.c \
	modules/metrics_ui/ui_fetch.c \
	modules/metrics_ui/ui_fetch.h \
	modules/metrics_ui/ui_flow.c \
	modules/metrics_ui/ui_flow.h \
	modules/metrics_ui/ui_graph.c \
	modules/metrics_ui/ui_graph.h \
	modules/metrics_ui/ui_graph_priv.h \
	modules/metrics_ui/ui_graph_sort.c \
	modules/metrics_ui/ui_history.c \
	modules/metrics_ui/ui_history.h \
	modules/metrics_ui/ui_history_keep.c \
	modules/metrics_ui/ui_history_priv.h \
	modules/metrics_ui/ui_http.c \
	modules/metrics_ui/ui_json.c \
	modules/metrics_ui/ui_json.h \
	modules/metrics_ui/ui_live.c \
	modules/metrics_ui/ui_live.h \
	modules/metrics_ui/ui_measure.c \
	modules/metrics_ui/ui_measure.h \
	modules/metrics_ui/ui_names.c \
	modules/metrics_ui/ui_names.h \
	modules/metrics_ui/ui_names_build.c \
	modules/metrics_ui/ui_objects.c \
	modules/metrics_ui/ui_series.c \
	modules/metrics_ui/ui_store.c \
	modules/metrics_ui/ui_targets.c \
	modules/metrics_ui/ui_view.c
role_LTLIBRARIES += modules/metrics_ui.la
modules_metrics_ui_la_SOURCES = modules/metrics_ui/ui_role.c
nodist_modules_metrics_ui_la_SOURCES = modules/metrics_ui/web_assets.c
modules_metrics_ui_la_LDFLAGS = $(LDFLAGS_ROLE)
modules_metrics_ui_la_LIBADD = modules/metrics_ui/libui.la libappliance.la $(SQLITE_LIBS) -lm

UI_WEB = \
	modules/metrics_ui/web/.npmrc \
	modules/metrics_ui/web/index.html \
	modules/metrics_ui/web/package.json \
	modules/metrics_ui/web/package-lock.json \
	modules/metrics_ui/web/tsconfig.json \
	modules/metrics_ui/web/vite.config.js \
	modules/metrics_ui/web/public/icon.svg \
	modules/metrics_ui/web/src/api.ts \
	modules/metrics_ui/web/src/charts.ts \
	modules/metrics_ui/web/src/dom.ts \
	modules/metrics_ui/web/src/format.ts \
	modules/metrics_ui/web/src/health.ts \
	modules/metrics_ui/web/src/keys.ts \
	modules/metrics_ui/web/src/layout.ts \
	modules/metrics_ui/web/src/main.ts \
	modules/metrics_ui/web/src/overlay.ts \
	modules/metrics_ui/web/src/paint.ts \
	modules/metrics_ui/web/src/panel.ts \
	modules/metrics_ui/web/src/state.ts \
	modules/metrics_ui/web/src/style.css \
	modules/metrics_ui/web/src/timeline.ts \
	modules/metrics_ui/web/src/toolbar.ts \
	modules/metrics_ui/web/src/topology.ts \
	modules/metrics_ui/web/src/types.ts
EXTRA_DIST += $(UI_WEB) modules/metrics_ui/web/embed.py modules/metrics_ui/web/plain/index.html
CLEANFILES += modules/metrics_ui/web_assets.c modules/metrics_ui/web-built.stamp modules/metrics_ui/web-npm.stamp

# npm and Vite work on a copy in the build folder: the sources may be read-only. What npm installed is kept as long as
# the two files that say what to install are the same.
UI_WEB_BUILD = modules/metrics_ui/web-build
modules/metrics_ui/web-npm.stamp: modules/metrics_ui/web/package-lock.json modules/metrics_ui/web/package.json
	$(AM_V_GEN)$(MKDIR_P) $(UI_WEB_BUILD) && cd $(UI_WEB_BUILD) && \
	for f in package.json package-lock.json .npmrc; do \
		cp -f $(abs_top_srcdir)/modules/metrics_ui/web/$$f $$f && chmod u+w $$f || exit 1; \
	done && $(NPM) ci --ignore-scripts --no-progress --loglevel=error >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
	@touch $@
modules/metrics_ui/web-built.stamp: $(UI_WEB) modules/metrics_ui/web-npm.stamp
	$(AM_V_GEN)cd $(UI_WEB_BUILD) && rm -rf src public dist && \
	for f in index.html tsconfig.json vite.config.js src public; do \
		cp -rf $(abs_top_srcdir)/modules/metrics_ui/web/$$f . && chmod -R u+w $$f || exit 1; \
	done && { $(NPM) run build >vite.log 2>&1 || { cat vite.log >&2; exit 1; }; }
	@touch $@
if WEB
modules/metrics_ui/web_assets.c: modules/metrics_ui/web/embed.py modules/metrics_ui/web-built.stamp
	$(AM_V_GEN)/usr/bin/python3 $(srcdir)/modules/metrics_ui/web/embed.py $@ $(UI_WEB_BUILD)/dist
else
modules/metrics_ui/web_assets.c: modules/metrics_ui/web/embed.py modules/metrics_ui/web/plain/index.html
	$(AM_V_GEN)$(MKDIR_P) modules/metrics_ui && \
	/usr/bin/python3 $(srcdir)/modules/metrics_ui/web/embed.py $@ $(srcdir)/modules/metrics_ui/web/plain
endif
clean-local: clean-web
clean-web:
	-rm -rf $(UI_WEB_BUILD)
.PHONY: clean-web
