/*
 * ui_api.c -- the questions that the page (and anybody with curl) can ask.  Answers are made of the history and the names, kept
 * until the next tick, and never change anything.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json.h"
#include "codec/uri.h"
#include "metrics_ui/ui.h"
#include "metrics_ui/ui_api_priv.h"
#include "metrics_ui/ui_json.h"

#define CACHED_MAX 64
#define FINE_WINDOW 300 /* longer windows read whole minutes, and ticks for the rest */
#define EVENTS_MAX 200

static int
is_coarse(const struct ui_view *v)
{
	return v->to - v->from > FINE_WINDOW;
}

/* The waypoint before a node: of what came to it, else of the services that it was called for. */
static struct ap_slice
waypoint_of(const struct ui *ui, const struct ui_graph *g, const struct ui_node *n)
{
	for (const struct ui_edge *e = g->edges; e != NULL; e = e->next) {
		const struct ui_service *s;

		if (e->dst != n)
			continue;
		if (e->via_count > 0)
			return e->via[0];
		s = ap_map_find(&ui->names->services, e->service);
		if (s != NULL && s->waypoint.len > 0)
			return s->waypoint;
	}
	return AP_SLICE_NONE;
}

static void
idle_node(const struct ui *ui, const struct ui_answer *a, struct ui_node *n, const char **comma, struct ap_buf *out)
{
	if (ui_graph_find_node(a->graph, n->id) != NULL)
		return;
	ap_buf_add_text(out, *comma);
	ui_json_node(out, n, ui->names, AP_SLICE_NONE, 1);
	*comma = ",";
}

/* Workloads that the control plane knows are there, whether or not somebody talks to them. */
static void
idle_nodes(const struct ui *ui, const struct ui_view *v, const struct ui_answer *a, const char *comma, struct ap_buf *out)
{
	struct ap_map shown = { 0 };
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&ui->names->workloads, &i)) != NULL;) {
		const struct ui_workload *w = e->value;
		struct ui_node n = { .kind = UI_NODE_WORKLOAD, .namespace_ = w->namespace_, .name = w->name, .app = w->app,
			.version = w->version, .principal = w->principal };
		struct ap_slice ns, sa;

		if (v->by_service && ui_principal_parts(w->principal, &ns, &sa)) {
			n.id = ap_arena_printf(a->arena, "id:%.*s/%.*s", AP_FMT(ns), AP_FMT(sa));
			n.name = w->app;
			n.version = AP_SLICE_NONE;
		} else {
			n.id = ap_arena_printf(a->arena, "w:%.*s", AP_FMT(w->id));
		}
		if (!ap_map_has(&shown, n.id))
			idle_node(ui, a, &n, &comma, out);
		ap_map_put(&shown, n.id, &shown);
	}
	for (size_t i = 0; v->shown && (e = ap_map_next(&ui->names->waypoints, &i)) != NULL;) {
		const struct ui_waypoint *w = e->value;
		struct ui_node n = { .kind = UI_NODE_WAYPOINT, .namespace_ = w->namespace_, .name = w->name, .app = w->name,
			.id = ap_arena_printf(a->arena, "wp:%.*s", AP_FMT(w->id)) };

		idle_node(ui, a, &n, &comma, out);
	}
	ap_map_done(&shown, NULL);
}

static void
write_state(const struct ui *ui, const struct ui_view *v, double seconds, struct ap_buf *out)
{
	const char *message;
	bool connected = ui_objects_connected(ui, &message);
	uint32_t up, total;

	ui_targets_count(ui, &up, &total);
	ap_buf_printf(out,
	    "\"time\":%lld,\"window\":%lld,\"measured\":%.0f,\"waypoints\":\"%s\",\"level\":\"%s\",\"targets\":{\"up\":%u,\"total\":%u},"
	    "\"control\":{\"connected\":%s,",
	    (long long)v->to * 1000, (long long)(v->to - v->from), seconds, v->shown ? "shown" : "folded",
	    v->by_service ? "service" : "workload", up, total, connected ? "true" : "false");
	ui_json_text(out, "message", ap_slice_of(message));
	ap_buf_add_char(out, '}');
}

static int
answer_graph(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	struct ui_answer a;
	struct ui_view v;
	const char *comma = "";
	int status = ui_view_parse(ui, query, 60, &v, err);

	if (status == 0)
		status = ui_view_graph(ui, &v, is_coarse(&v), NULL, &a, err);
	if (status < 0)
		return status;
	ap_buf_add_char(out, '{');
	write_state(ui, &v, a.seconds, out);
	ap_buf_add_text(out, ",\"nodes\":[");
	for (const struct ui_node *n = a.graph->nodes; n != NULL; n = n->next) {
		ap_buf_add_text(out, comma);
		ui_json_node(out, n, ui->names, waypoint_of(ui, a.graph, n), a.seconds);
		comma = ",";
	}
	idle_nodes(ui, &v, &a, comma, out);
	ap_buf_add_text(out, "],\"edges\":[");
	for (const struct ui_edge *e = a.graph->edges; e != NULL; e = e->next) {
		ap_buf_add_text(out, e == a.graph->edges ? "{" : ",{");
		ui_json_edge(out, e, a.seconds);
		ap_buf_add_char(out, '}');
	}
	ap_buf_add_text(out, "]}\n");
	ui_answer_done(&a);
	return 0;
}

static int
answer_edge(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	struct ap_slice id = ap_uri_param(query, "id");
	const struct ui_edge *e;
	struct ui_answer a;
	struct ui_view v;
	int status = ui_view_parse(ui, query, 60, &v, err);

	if (status == 0)
		status = ui_view_graph(ui, &v, is_coarse(&v), NULL, &a, err);
	if (status < 0)
		return status;
	e = ui_graph_find_edge(a.graph, id);
	if (e == NULL) {
		status = ap_error_set(err, -ENOENT, "there is no edge \"%.*s\" in this window", AP_FMT(id));
	} else {
		ap_buf_add_char(out, '{');
		ui_json_edge(out, e, a.seconds);
		ap_buf_add_text(out, ",\"hops\":");
		ui_json_hops(out, e, a.seconds);
		ap_buf_add_text(out, "}\n");
	}
	ui_answer_done(&a);
	return status;
}

static int
answer_workloads(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	struct ui_answer a;
	struct ui_view v;
	const char *comma = "";
	int status = ui_view_parse(ui, query, 60, &v, err);

	v.shown = v.by_service = false;
	if (status == 0)
		status = ui_view_graph(ui, &v, is_coarse(&v), NULL, &a, err);
	if (status < 0)
		return status;
	ap_buf_add_text(out, "{\"items\":[");
	for (const struct ui_node *n = a.graph->nodes; n != NULL; n = n->next) {
		if (n->kind != UI_NODE_WORKLOAD)
			continue;
		ap_buf_add_text(out, comma);
		ui_json_node(out, n, ui->names, waypoint_of(ui, a.graph, n), a.seconds);
		comma = ",";
	}
	idle_nodes(ui, &v, &a, comma, out);
	ap_buf_add_text(out, "]}\n");
	ui_answer_done(&a);
	return 0;
}

/* What all edges of a service, or through a waypoint, carried. */
static void
write_sum(const struct ui_answer *a, struct ap_slice service, struct ap_slice via, struct ap_buf *out)
{
	struct ui_measure sum = { 0 };
	uint64_t secure = 0, known = 0;

	for (const struct ui_edge *e = a->graph->edges; e != NULL; e = e->next) {
		bool is_one = service.len > 0 && ap_slice_eq(e->service, service);

		for (uint32_t i = 0; via.len > 0 && i < e->via_count; i++)
			is_one |= ap_slice_eq(e->via[i], via);
		if (!is_one)
			continue;
		ui_measure_add(&sum, &e->m);
		sum.open += e->m.open;
		secure += e->secure;
		known += e->known;
	}
	ui_json_traffic(out, &sum, a->seconds, secure, known);
}

static void
write_service(const struct ui_answer *a, const struct ui_service *s, struct ap_buf *out)
{
	ap_buf_add_char(out, '{');
	ui_json_text(out, "host", s->host);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "namespace", s->namespace_);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "name", s->name);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "kind", s->kind);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "vip", s->vip);
	ap_buf_add_text(out, ",\"waypoint\":");
	if (s->waypoint.len > 0)
		ap_buf_add_json(out, s->waypoint);
	else
		ap_buf_add_text(out, "null");
	ap_buf_add_text(out, ",\"traffic\":");
	write_sum(a, s->host, AP_SLICE_NONE, out);
	ap_buf_add_char(out, '}');
}

static int
answer_services(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	struct ap_map_entry *entry;
	struct ui_answer a;
	struct ui_view v;
	const char *comma = "";
	int status = ui_view_parse(ui, query, 60, &v, err);

	v.shown = false;
	if (status == 0)
		status = ui_view_graph(ui, &v, is_coarse(&v), NULL, &a, err);
	if (status < 0)
		return status;
	ap_buf_add_text(out, "{\"items\":[");
	for (size_t i = 0; (entry = ap_map_next(&ui->names->services, &i)) != NULL;) {
		ap_buf_add_text(out, comma);
		write_service(&a, entry->value, out);
		comma = ",";
	}
	ap_buf_add_text(out, "]}\n");
	ui_answer_done(&a);
	return 0;
}

static void
write_reasons(const struct ui_waypoint *w, struct ap_buf *out)
{
	const char *comma = "";

	ap_buf_add_text(out, ",\"reasons\":[");
	AP_DOC_FOR(r, w->reasons) {
		struct ap_slice kind = ap_doc_string(r, "kind", ""), ns = ap_doc_string(r, "namespace", "");

		ap_buf_printf(out, "%s{", comma);
		ui_json_text(out, "text", ap_doc_is(r, AP_DOC_STRING) ? r->string : ap_doc_string(r, "text", ""));
		ap_buf_add_text(out, ",\"object\":\"");
		if (kind.len > 0) { /* kinds and names hold nothing that JSON would escape; what does is left out */
			struct ap_slice name = ap_doc_string(r, "name", "");

			for (size_t i = 0; i < kind.len; i++)
				if (kind.ptr[i] != '"' && kind.ptr[i] != '\\' && (unsigned char)kind.ptr[i] >= 0x20)
					ap_buf_add_char(out, kind.ptr[i]);
			if (ap_slice_find(ns, '"') == SIZE_MAX && ap_slice_find(name, '"') == SIZE_MAX)
				ap_buf_printf(out, " %.*s/%.*s", AP_FMT(ns), AP_FMT(name));
		}
		ap_buf_add_text(out, "\",");
		ui_json_text(out, "field", ap_doc_string(r, "field", ""));
		ap_buf_add_char(out, ',');
		ui_json_text(out, "service", ap_doc_string(r, "service", ""));
		ap_buf_printf(out, ",\"security\":%s}", ap_doc_bool(r, "security", false) ? "true" : "false");
		comma = ",";
	}
	ap_buf_add_char(out, ']');
}

static void
write_waypoint(const struct ui_answer *a, const struct ui_waypoint *w, struct ap_buf *out)
{
	const char *comma = "";

	ap_buf_add_char(out, '{');
	ui_json_text(out, "id", w->id);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "namespace", w->namespace_);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "name", w->name);
	ap_buf_printf(out, ",\"managed\":%s,\"ready\":%s,", w->managed ? "true" : "false", w->ready ? "true" : "false");
	ui_json_text(out, "message", w->message);
	ap_buf_add_text(out, ",\"addresses\":[");
	for (uint32_t i = 0; i < w->address_count; i++) {
		if (i > 0)
			ap_buf_add_char(out, ',');
		ap_buf_add_json(out, w->addresses[i]);
	}
	ap_buf_add_text(out, "],\"services\":[");
	AP_DOC_FOR(s, w->services) {
		ap_buf_add_text(out, comma);
		ap_buf_add_json(out, s->string);
		comma = ",";
	}
	ap_buf_add_char(out, ']');
	write_reasons(w, out);
	ap_buf_add_text(out, ",\"traffic\":");
	write_sum(a, AP_SLICE_NONE, w->id, out);
	ap_buf_add_char(out, '}');
}

static int
answer_waypoints(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	struct ap_map_entry *entry;
	struct ui_answer a;
	struct ui_view v;
	const char *comma = "";
	int status = ui_view_parse(ui, query, 60, &v, err);

	v.shown = false;
	if (status == 0)
		status = ui_view_graph(ui, &v, is_coarse(&v), NULL, &a, err);
	if (status < 0)
		return status;
	ap_buf_add_text(out, "{\"items\":[");
	for (size_t i = 0; (entry = ap_map_next(&ui->names->waypoints, &i)) != NULL;) {
		ap_buf_add_text(out, comma);
		write_waypoint(&a, entry->value, out);
		comma = ",";
	}
	ap_buf_add_text(out, "]}\n");
	ui_answer_done(&a);
	return 0;
}

static void
write_event(void *arg, const struct ui_event *e)
{
	struct ap_buf *out = arg;

	ap_buf_printf(out, "%s{\"t\":%lld,", out->ptr[out->len - 1] == '[' ? "" : ",", (long long)e->t);
	ui_json_text(out, "verb", e->verb);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "kind", e->kind);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "namespace", e->namespace_);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "name", e->name);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "summary", e->summary);
	ap_buf_add_char(out, '}');
}

static int
answer_events(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	int status;

	(void)query;
	ap_buf_add_text(out, "{\"items\":[");
	status = ui_history_events(ui->history, EVENTS_MAX, write_event, out, err);
	ap_buf_add_text(out, "]}\n");
	return status;
}

static int
answer_targets(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	(void)query;
	(void)err;
	ap_buf_add_text(out, "{\"items\":[");
	ui_targets_json(ui, out);
	ap_buf_add_text(out, "]}\n");
	return 0;
}

static const struct {
	const char *path;
	int (*answer)(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err);
} answers[] = {
	{ "graph", answer_graph },
	{ "edge", answer_edge },
	{ "series", ui_api_series },
	{ "workloads", answer_workloads },
	{ "services", answer_services },
	{ "waypoints", answer_waypoints },
	{ "events", answer_events },
	{ "targets", answer_targets },
};

static int
ask(struct ui *ui, struct ap_slice path, struct ap_slice query, struct ap_buf *out)
{
	struct ap_error err = { 0 };
	size_t i = 0;
	int status;

	while (i < AP_COUNTOF(answers) && !ap_slice_eq_text(path, answers[i].path))
		i++;
	if (i == AP_COUNTOF(answers)) {
		ui_json_error(out, "there is no such question; ask for graph, edge, series, workloads, services, waypoints, events or targets");
		return 404;
	}
	status = answers[i].answer(ui, query, out, &err);
	if (status == 0 && !out->bad)
		return 200;
	ap_buf_clear(out);
	ui_json_error(out, status == 0 ? "the answer is too large" : err.text);
	return status == -EINVAL ? 400 : status == -ENOENT ? 404 : 500;
}

int
ui_api_answer(struct ui *ui, struct ap_slice path, struct ap_slice query, struct ap_buf *out)
{
	struct ap_arena *arena = ap_arena_new((size_t)64 * 1024);
	struct ap_slice key = ap_arena_printf(arena, "%.*s?%.*s", AP_FMT(path), AP_FMT(query));
	struct ui_cached *c = ap_map_find(&ui->cache, key);
	int status;

	if (c != NULL) {
		ap_buf_add_slice(out, ap_buf_slice(&c->body));
		status = c->status;
	} else {
		status = ask(ui, path, query, out);
		/* Many who watch the same cost as much as one. */
		if (status == 200 && key.len > 0 && ui->cache.count < CACHED_MAX) {
			c = ap_new(struct ui_cached);
			c->status = status;
			ap_buf_init(&c->body, out->ceiling);
			ap_buf_add_slice(&c->body, ap_buf_slice(out));
			ap_map_put(&ui->cache, key, c);
		}
	}
	ap_arena_free(&arena);
	return status;
}
