/* ui_names_build.c -- the control plane's objects to names: workloads of WorkloadEntries, waypoints of Gateways, services. */
#include "base/mem.h"
#include "codec/json.h"
#include "metrics_ui/ui.h"

#define REASONS_CEILING ((size_t)1024 * 1024)

static struct ap_slice
annotation(const struct ap_doc *doc, const char *key)
{
	return ap_doc_string(ap_doc_get(ap_doc_get(doc, "metadata"), "annotations"), key, "");
}

static struct ap_slice
label(const struct ap_doc *doc, const char *key)
{
	struct ap_slice v = ap_doc_string(ap_doc_get(ap_doc_get(doc, "spec"), "labels"), key, "");

	return v.len > 0 ? v : ap_doc_string(ap_doc_get(ap_doc_get(doc, "metadata"), "labels"), key, "");
}

static struct ap_slice
first_label(const struct ap_doc *doc, const char *const *keys, struct ap_slice fallback)
{
	for (size_t i = 0; keys[i] != NULL; i++) {
		struct ap_slice v = label(doc, keys[i]);

		if (v.len > 0)
			return v;
	}
	return fallback;
}

static void
add_workload(const struct ui *ui, struct ui_names *n, const struct ap_doc *doc)
{
	static const char *const apps[] = { "service.istio.io/canonical-name", "app.kubernetes.io/name", "app", NULL };
	static const char *const versions[] = { "service.istio.io/canonical-revision", "app.kubernetes.io/version", "version",
		NULL };
	const struct ap_doc *meta = ap_doc_get(doc, "metadata");
	struct ap_slice ns = ap_doc_string(meta, "namespace", "default"), name = annotation(doc, "ambit.mesh/workload");
	struct ap_slice account = ap_doc_string(ap_doc_get(doc, "spec"), "serviceAccount", "default");
	struct ap_slice host = annotation(doc, "ambit.mesh/host");
	struct ui_workload *w;

	if (name.len == 0)
		name = ap_doc_string(meta, "name", "");
	if (ap_slice_eq_text(annotation(doc, "ambit.mesh/role"), "waypoint")) {
		ui_names_waypoint(n, ns, account);
		return;
	}
	w = ui_names_workload(n, ns, name);
	if (w == NULL)
		return;
	w->app = ap_arena_copy(n->arena, first_label(doc, apps, name));
	w->version = ap_arena_copy(n->arena, first_label(doc, versions, AP_SLICE_NONE));
	w->principal = ap_arena_printf(
	    n->arena, "spiffe://%.*s/ns/%.*s/sa/%.*s", AP_FMT(ui->settings->trust_domain), AP_FMT(ns), AP_FMT(account));
	if (host.len > 0)
		ui_names_workload_host(n, w, host);
}

static const struct ap_doc *
condition(const struct ap_doc *doc, const char *type)
{
	AP_DOC_FOR(c, ap_doc_get(ap_doc_get(doc, "status"), "conditions"))
		if (ap_slice_eq_text(ap_doc_string(c, "type", ""), type))
			return c;
	return NULL;
}

/* Managed waypoints carry their reasons as JSON; each names the service that it concerns. */
static void
add_reasons(struct ui_names *n, struct ui_waypoint *w, struct ap_slice json)
{
	struct ap_arena *arena = ap_arena_new(REASONS_CEILING);
	struct ap_doc *list, *services = ap_doc_new_list(n->arena);

	if (json.len > 0 && ap_json_parse(arena, "reasons", json, &list, NULL) == 0) {
		w->reasons = ap_doc_copy(n->arena, list);
		AP_DOC_FOR(r, w->reasons) {
			struct ap_slice host = ap_doc_string(r, "service", "");
			bool is_known = false;

			AP_DOC_FOR(s, services)
				is_known |= ap_slice_eq(s->string, host);
			if (host.len > 0 && !is_known)
				ap_doc_append(services, ap_doc_new_string(n->arena, host));
		}
	}
	w->services = services;
	ap_arena_free(&arena);
}

static void
add_gateway(struct ui_names *n, const struct ap_doc *doc)
{
	const struct ap_doc *meta = ap_doc_get(doc, "metadata"), *c = condition(doc, "Programmed");
	const struct ap_doc *addresses = ap_doc_get(ap_doc_get(doc, "status"), "addresses");
	struct ap_slice class = ap_doc_string(ap_doc_get(doc, "spec"), "gatewayClassName", "");
	struct ui_waypoint *w;

	if (!ap_slice_eq_text(class, "istio-waypoint") && !ap_slice_eq_text(class, "istio-mesh"))
		return;
	w = ui_names_waypoint(n, ap_doc_string(meta, "namespace", "default"), ap_doc_string(meta, "name", ""));
	if (w == NULL)
		return;
	w->managed = ap_slice_eq_text(ap_doc_string(ap_doc_get(meta, "labels"), "ambit.mesh/managed", ""), "true");
	w->ready = ap_slice_eq_text(ap_doc_string(c, "status", ""), "True");
	if (!w->ready)
		w->message = ap_arena_copy(n->arena, ap_doc_string(c, "message", "not started yet"));
	if (addresses != NULL && addresses->count > 0)
		w->addresses = ap_arena_alloc(n->arena, addresses->count * sizeof(*w->addresses));
	if (w->addresses != NULL)
		AP_DOC_FOR(a, addresses)
			w->addresses[w->address_count++] = ap_arena_copy(n->arena, ap_doc_string(a, "value", ""));
	add_reasons(n, w, annotation(doc, "ambit.mesh/reasons"));
}

static void
add_service(const struct ui *ui, struct ui_names *n, const struct ap_doc *doc)
{
	const struct ap_doc *meta = ap_doc_get(doc, "metadata"), *spec = ap_doc_get(doc, "spec");
	struct ap_slice ns = ap_doc_string(meta, "namespace", "default"), name = ap_doc_string(meta, "name", "");
	struct ap_slice use = ap_doc_string(ap_doc_get(meta, "labels"), "istio.io/use-waypoint", "");
	struct ap_slice use_ns = ap_doc_string(ap_doc_get(meta, "labels"), "istio.io/use-waypoint-namespace", "");
	struct ui_service *s = ui_names_service(
	    n, ap_arena_printf(n->arena, "%.*s.%.*s.svc.%.*s", AP_FMT(name), AP_FMT(ns), AP_FMT(ui->settings->cluster_domain)));

	if (s == NULL)
		return;
	s->namespace_ = ap_arena_copy(n->arena, ns);
	s->name = ap_arena_copy(n->arena, name);
	s->kind = AP_S("Service");
	s->vip = ap_arena_copy(n->arena, ap_doc_string(spec, "clusterIP", ""));
	if (use.len > 0 && !ap_slice_eq_text(use, "none"))
		s->waypoint = ap_arena_printf(n->arena, "%.*s/%.*s", AP_FMT(use_ns.len > 0 ? use_ns : ns), AP_FMT(use));
}

static void
add_service_entry(struct ui_names *n, const struct ap_doc *doc)
{
	const struct ap_doc *meta = ap_doc_get(doc, "metadata");

	AP_DOC_FOR(h, ap_doc_get(ap_doc_get(doc, "spec"), "hosts")) {
		struct ui_service *s = ui_names_service(n, h->string);

		if (s == NULL)
			return;
		s->namespace_ = ap_arena_copy(n->arena, ap_doc_string(meta, "namespace", "default"));
		s->name = ap_arena_copy(n->arena, h->string);
		s->kind = AP_S("ServiceEntry");
	}
}

/* A service is bound to the waypoint that was made for it as soon as that is ready. */
static void
bind_services(struct ui_names *n)
{
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&n->waypoints, &i)) != NULL;) {
		const struct ui_waypoint *w = e->value;

		AP_DOC_FOR(host, w->services) {
			struct ui_service *s = ap_map_find(&n->services, host->string);

			if (s != NULL && s->waypoint.len == 0 && w->ready)
				s->waypoint = w->id;
		}
	}
}

struct ui_names *
ui_names_build(const struct ui *ui)
{
	struct ui_names *n = ui_names_new();
	static const char *const kinds[] = { "WorkloadEntry", "Gateway", "Service", "ServiceEntry" };

	ui_targets_name(ui, n);
	for (size_t k = 0; k < AP_COUNTOF(kinds); k++) {
		const struct ap_map *objects = ui_objects_of(ui, kinds[k]);
		struct ap_map_entry *e;

		for (size_t i = 0; objects != NULL && (e = ap_map_next(objects, &i)) != NULL;) {
			const struct ap_doc *doc = ((const struct ui_object *)e->value)->doc;

			if (k == 0)
				add_workload(ui, n, doc);
			else if (k == 1)
				add_gateway(n, doc);
			else if (k == 2)
				add_service(ui, n, doc);
			else
				add_service_entry(n, doc);
		}
	}
	bind_services(n);
	ui_names_finish(n);
	return n;
}
