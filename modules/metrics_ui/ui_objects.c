/*
 * ui_objects.c -- keeps copies of the control plane's objects: each kind is listed, then watched; when a watch ends it is listed
 * again.  What differs from what was known becomes an event on the time line.  A kind that is not served is asked for
 * again once a minute; while the API is away the last copies stand.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "event/worker.h"
#include "metrics_ui/ui.h"
#include "metrics_ui/ui_fetch.h"

AP_LOG_MODULE(ui_objects);

#define LIST_MAX ((size_t)256 * 1024 * 1024)
#define LINE_MAX_BYTES ((size_t)8 * 1024 * 1024)
#define ARENA_FACTOR 12 /* a document's nodes need a multiple of its text */
#define LIST_TIMEOUT_MS 20000U
#define WATCH_SILENCE_MS 600000U
#define RETRY_MS 1000U
#define RETRY_MAX_MS 15000U
#define UNSERVED_MS 60000U
#define SETTLE_MS 300U /* many changes at once make the names anew once */

struct kind_row {
	const char *kind, *path;
	bool tells; /* its changes are events */
};

static const struct kind_row rows[] = {
	{ "Host", "/apis/ambit.mesh/v1alpha1/hosts", true },
	{ "Service", "/api/v1/services", true },
	{ "WorkloadEntry", "/apis/networking.istio.io/v1/workloadentries", false },
	{ "Gateway", "/apis/gateway.networking.k8s.io/v1/gateways", true },
	{ "ServiceEntry", "/apis/networking.istio.io/v1/serviceentries", true },
	{ "VirtualService", "/apis/networking.istio.io/v1/virtualservices", true },
	{ "DestinationRule", "/apis/networking.istio.io/v1/destinationrules", true },
	{ "AuthorizationPolicy", "/apis/security.istio.io/v1/authorizationpolicies", true },
	{ "PeerAuthentication", "/apis/security.istio.io/v1/peerauthentications", true },
	{ "HTTPRoute", "/apis/gateway.networking.k8s.io/v1/httproutes", true },
	{ "RouteTable", "/apis/networking.gloo.solo.io/v2/routetables", true },
	{ "Workspace", "/apis/admin.gloo.solo.io/v2/workspaces", true },
	{ "WorkspaceSettings", "/apis/admin.gloo.solo.io/v2/workspacesettings", true },
	{ "WaypointPolicy", "/apis/ambit.mesh/v1alpha1/waypointpolicies", true },
	{ "LuaPolicy", "/apis/ambit.mesh/v1alpha1/luapolicies", true },
};
#define KINDS AP_COUNTOF(rows)
#define KIND_HOST 0

struct watch {
	struct ui *ui;
	const struct kind_row *row;
	struct ap_map objects; /* namespace/name -> ui_object */
	struct ui_fetch *fetch;
	struct ap_timer timer;
	uint64_t retry_ms;
	bool is_listed, is_watching;
	char version[40]; /* resourceVersion to watch from */
	char problem[160];
};

struct ui_objects {
	struct watch watches[KINDS];
	struct ap_timer settle;
	bool is_known; /* what was there when we came has been taken in */
};

static void ask(struct watch *w);

static void
free_object(void *value)
{
	struct ui_object *o = value;

	ap_arena_free(&o->arena);
	ap_free(&o);
}

static void
changed(struct watch *w)
{
	ap_timer_start(&w->ui->objects->settle, SETTLE_MS);
}

static void
tell(struct watch *w, const char *verb, const struct ap_doc *doc)
{
	const struct ap_doc *meta = ap_doc_get(doc, "metadata");
	struct ui_event e = { .t = ap_clock_wall_ms(), .verb = ap_slice_of(verb), .kind = ap_slice_of(w->row->kind),
		.namespace_ = ap_doc_string(meta, "namespace", ""), .name = ap_doc_string(meta, "name", "") };

	/* What was there before us is no news. */
	if (!w->row->tells || !w->is_listed)
		return;
	if (ui_history_add_event(w->ui->history, &e, NULL) < 0)
		LOG_WARN_LIMIT(NULL, 1, "A change of %s %.*s could not be noted.", w->row->kind, AP_FMT(e.name));
}

/* Does the change matter to people? A status is written all the time. */
static bool
is_news(const struct ap_doc *before, const struct ap_doc *after)
{
	int64_t a = ap_doc_int(ap_doc_get(before, "metadata"), "generation", 0);
	int64_t b = ap_doc_int(ap_doc_get(after, "metadata"), "generation", 0);

	if (a != 0 && b != 0)
		return a != b;
	return !ap_doc_eq(ap_doc_get(before, "spec"), ap_doc_get(after, "spec"));
}

static bool
make_key(const struct ap_doc *doc, char *out, size_t size, struct ap_slice *key)
{
	const struct ap_doc *meta = ap_doc_get(doc, "metadata");
	struct ap_slice name = ap_doc_string(meta, "name", "");
	int len = snprintf(out, size, "%.*s/%.*s", AP_FMT(ap_doc_string(meta, "namespace", "")), AP_FMT(name));

	*key = ap_slice(out, (size_t)AP_MAX(len, 0));
	return name.len > 0 && len > 0 && (size_t)len < size;
}

/* Takes the object over. */
static void
put(struct watch *w, struct ui_object *o)
{
	char text[600];
	struct ap_slice key;
	struct ui_object *old;

	if (!make_key(o->doc, text, sizeof(text), &key)) {
		free_object(o);
		return;
	}
	old = ap_map_put(&w->objects, key, o);
	if (old == NULL)
		tell(w, "added", o->doc);
	else if (is_news(old->doc, o->doc))
		tell(w, "changed", o->doc);
	if (old != NULL)
		free_object(old);
	changed(w);
}

static void
remove_key(struct watch *w, struct ap_slice key)
{
	struct ui_object *old = ap_map_remove(&w->objects, key);

	if (old == NULL)
		return;
	tell(w, "removed", old->doc);
	free_object(old);
	changed(w);
}

static struct ui_object *
copy_object(const struct ap_doc *doc)
{
	struct ui_object *o = ap_new(struct ui_object);

	o->arena = ap_arena_new(LINE_MAX_BYTES * ARENA_FACTOR);
	o->doc = ap_doc_copy(o->arena, doc);
	if (o->doc == NULL || ap_arena_is_full(o->arena)) {
		free_object(o);
		return NULL;
	}
	return o;
}

static void
take_list(struct watch *w, const struct ap_doc *list)
{
	struct ap_map_entry *e;
	struct ap_map seen = { 0 };
	char text[600];
	struct ap_slice key;

	AP_DOC_FOR(item, ap_doc_get(list, "items")) {
		struct ui_object *o = copy_object(item);

		if (o == NULL)
			continue;
		if (make_key(item, text, sizeof(text), &key))
			ap_map_put(&seen, key, w);
		put(w, o);
	}
	for (size_t i = 0; (e = ap_map_next(&w->objects, &i)) != NULL;)
		if (!ap_map_has(&seen, e->key))
			remove_key(w, e->key);
	ap_map_done(&seen, NULL);
	snprintf(w->version, sizeof(w->version), "%.*s",
	    AP_FMT(ap_doc_string(ap_doc_get(list, "metadata"), "resourceVersion", "")));
	if (!w->is_listed)
		changed(w);
	w->is_listed = true;
}

static void
again(struct watch *w, uint64_t ms, const char *problem)
{
	snprintf(w->problem, sizeof(w->problem), "%.*s", (int)sizeof(w->problem) - 1, problem);
	w->is_watching = false;
	ap_timer_start(&w->timer, ms);
}

static void
failed(struct watch *w, const char *problem)
{
	w->retry_ms = AP_MIN(AP_MAX(w->retry_ms * 2, RETRY_MS), RETRY_MAX_MS);
	again(w, w->retry_ms, problem);
}

static void
on_line(void *arg, struct ap_slice line)
{
	struct watch *w = arg;
	struct ap_arena *arena = ap_arena_new(AP_MAX(line.len * ARENA_FACTOR, (size_t)64 * 1024));
	const struct ap_doc *object;
	struct ap_doc *doc;
	struct ap_slice type, key;
	char text[600];

	w->retry_ms = 0;
	if (ap_json_parse(arena, "watch", line, &doc, NULL) == 0) {
		type = ap_doc_string(doc, "type", "");
		object = ap_doc_get(doc, "object");
		if (ap_slice_eq_text(type, "ADDED") || ap_slice_eq_text(type, "MODIFIED")) {
			struct ui_object *o = copy_object(object);

			if (o != NULL)
				put(w, o);
		} else if (ap_slice_eq_text(type, "DELETED") && make_key(object, text, sizeof(text), &key)) {
			remove_key(w, key);
		} else if (ap_slice_eq_text(type, "ERROR")) {
			ui_fetch_cancel(&w->fetch);
			again(w, RETRY_MS, "");
		}
	}
	ap_arena_free(&arena);
}

static void
on_watch_end(void *arg, int status, struct ap_slice body, const char *why)
{
	struct watch *w = arg;

	(void)body;
	w->fetch = NULL;
	if (status == 0)
		failed(w, why);
	else
		again(w, RETRY_MS, "");
}

static void
watch(struct watch *w)
{
	char path[400];
	struct ui_fetch_request r = { .loop = w->ui->loop, .to = w->ui->settings->api,
		.authority = w->ui->settings->api_authority.ptr, .path = path, .accept = "application/json",
		.max_body = LINE_MAX_BYTES, .timeout_ms = WATCH_SILENCE_MS, .line = on_line };

	snprintf(path, sizeof(path), "%s?watch=true&resourceVersion=%s", w->row->path, w->version);
	w->is_watching = true;
	w->fetch = ui_fetch_start(&r, on_watch_end, w);
}

static void
on_list(void *arg, int status, struct ap_slice body, const char *why)
{
	struct watch *w = arg;
	struct ap_arena *arena;
	struct ap_doc *list;
	struct ap_error err = { 0 };
	char text[80];

	w->fetch = NULL;
	if (status == 0) {
		failed(w, why);
		return;
	}
	if (status != 200) {
		snprintf(text, sizeof(text), "the API answered with status %d", status);
		again(w, UNSERVED_MS, status == 404 ? "" : text);
		return;
	}
	arena = ap_arena_new(AP_MAX(body.len * ARENA_FACTOR, (size_t)64 * 1024));
	if (ap_json_parse(arena, w->row->path, body, &list, &err) < 0) {
		failed(w, err.text);
	} else {
		w->problem[0] = '\0';
		take_list(w, list);
		watch(w);
	}
	ap_arena_free(&arena);
}

static void
ask(struct watch *w)
{
	struct ui_fetch_request r = { .loop = w->ui->loop, .to = w->ui->settings->api,
		.authority = w->ui->settings->api_authority.ptr, .path = w->row->path, .accept = "application/json",
		.max_body = LIST_MAX, .timeout_ms = LIST_TIMEOUT_MS };

	if (w->fetch == NULL)
		w->fetch = ui_fetch_start(&r, on_list, w);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	(void)t;
	ask(arg);
}

static void
on_settled(struct ap_timer *t, void *arg)
{
	struct ui *ui = arg;
	struct ui_names *names;

	(void)t;
	ui_targets_sync(ui);
	if (ui->objects->watches[KIND_HOST].is_listed)
		ui->objects->is_known = true;
	names = ui_names_build(ui);
	ui_names_free(&ui->names);
	ui->names = names;
	ui_store_forget_answers(ui);
}

const struct ap_map *
ui_objects_of(const struct ui *ui, const char *kind)
{
	for (size_t i = 0; ui->objects != NULL && i < KINDS; i++)
		if (strcmp(rows[i].kind, kind) == 0)
			return &ui->objects->watches[i].objects;
	return NULL;
}

bool
ui_objects_connected(const struct ui *ui, const char **out_message)
{
	*out_message = "";
	if (ui->objects == NULL)
		return false;
	for (size_t i = 0; i < KINDS; i++)
		if (ui->objects->watches[i].problem[0] != '\0') {
			*out_message = ui->objects->watches[i].problem;
			return false;
		}
	return true;
}

bool
ui_objects_known(const struct ui *ui)
{
	return ui->objects != NULL && ui->objects->is_known;
}

void
ui_objects_start(struct ui *ui)
{
	if (ui->settings->api.len == 0)
		return;
	ui->objects = ap_new(struct ui_objects);
	ap_timer_init(&ui->objects->settle, ui->loop, on_settled, ui);
	for (size_t i = 0; i < KINDS; i++) {
		struct watch *w = &ui->objects->watches[i];

		w->ui = ui;
		w->row = &rows[i];
		ap_timer_init(&w->timer, ui->loop, on_timer, w);
		ask(w);
	}
}

void
ui_objects_stop(struct ui *ui)
{
	if (ui->objects == NULL)
		return;
	ap_timer_stop(&ui->objects->settle);
	for (size_t i = 0; i < KINDS; i++) {
		struct watch *w = &ui->objects->watches[i];

		ap_timer_stop(&w->timer);
		ui_fetch_cancel(&w->fetch);
		ap_map_done(&w->objects, free_object);
	}
	ap_free(&ui->objects);
}
