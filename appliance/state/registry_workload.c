/*
 * registry_workload.c -- WorkloadEntries and the endpoints of ServiceEntries as workloads, and how they become endpoints.
 *
 * Selectors are answered by an index over one label pair each, so that a thousand services over fifty thousand workloads do not
 * cost their product.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "state/registry_parts.h"

/* --- What a WorkloadEntry or an endpoint says ---------------------------------------------------------------------- */

static struct ap_slice
first_label(const struct ap_doc *labels, const char *const *names, struct ap_slice fallback)
{
	for (size_t i = 0; names[i] != NULL; i++) {
		struct ap_slice v = ap_doc_string(labels, names[i], NULL);
		if (v.len > 0)
			return v;
	}
	return fallback;
}

static void
set_canonical(struct ap_reg_workload *w)
{
	static const char *const name_labels[] = { "service.istio.io/canonical-name", "app.kubernetes.io/name", "app", NULL };
	static const char *const revision_labels[] = { "service.istio.io/canonical-revision", "app.kubernetes.io/version",
		"version", NULL };
	w->canonical_name = first_label(w->labels, name_labels, w->workload_name);
	w->canonical_revision = first_label(w->labels, revision_labels, AP_S("latest"));
}

/* Labels of the object and of its spec, which wins. */
static const struct ap_doc *
merge_labels(struct ap_arena *arena, const struct ap_doc *meta, const struct ap_doc *spec)
{
	if (spec == NULL || spec->count == 0)
		return meta;
	if (meta == NULL || meta->count == 0)
		return spec;
	struct ap_doc *out = ap_doc_copy(arena, meta);
	AP_DOC_FOR(l, spec)
		ap_doc_set(arena, out, l->key.ptr, ap_doc_copy(arena, l));
	return out;
}

/* The common part: spec is the WorkloadEntry's spec, or an endpoint, which has the same fields. */
static void
read_spec(struct reg_build *b, struct ap_reg_workload *w, const struct ap_doc *spec)
{
	struct ap_slice address = ap_doc_string(spec, "address", "");
	if (ap_ip_parse(address, &w->ip) != 0) {
		w->ip = (struct ap_ip){ 0 };
		w->hostname = address;
	}
	w->account = ap_doc_string(spec, "serviceAccount", "default");
	if (w->account.len == 0)
		w->account = AP_S("default");
	w->ports = ap_doc_get(spec, "ports");
	int64_t weight = ap_doc_int(spec, "weight", 0);
	w->weight = weight > 0 && weight <= UINT32_MAX ? (uint32_t)weight : 0;
	w->network = ap_doc_string(spec, "network", "");
	if (w->network.len == 0)
		w->network = ap_doc_string(w->labels, "topology.istio.io/network", "");
	struct ap_slice rest = ap_doc_string(spec, "locality", "");
	if (rest.len > 0) {
		w->region = ap_slice_cut(&rest, '/');
		w->zone = ap_slice_cut(&rest, '/');
		w->subzone = rest;
		/* Slices of a path have no NUL behind them, and protobuf needs one. */
		w->region = ap_arena_copy(b->r->arena, w->region);
		w->zone = ap_arena_copy(b->r->arena, w->zone);
	}
	w->cluster = b->r->cluster;
}

/* A condition Healthy that says False takes an endpoint out; anything else leaves it in. */
static bool
is_healthy(const struct ap_resource *res)
{
	AP_DOC_FOR(c, ap_doc_get(res->status, "conditions"))
		if (ap_slice_eq_text(ap_doc_string(c, "type", ""), "Healthy"))
			return !ap_slice_eq_text(ap_doc_string(c, "status", ""), "False");
	return true;
}

static void
index_labels(struct reg_build *b, struct ap_reg_workload *w)
{
	AP_DOC_FOR(l, w->labels) {
		char key[768];
		int n = snprintf(key, sizeof(key), "%.*s\n%.*s\n%.*s", AP_FMT(w->namespace_), AP_FMT(l->key),
		    AP_FMT(l->string));
		if (n < 0 || (size_t)n >= sizeof(key))
			continue;
		struct ap_slice k = ap_slice(key, (size_t)n);
		struct reg_workloads *list = ap_map_find(&b->by_label, k);
		if (list == NULL) {
			list = ap_new(struct reg_workloads);
			ap_map_put(&b->by_label, k, list);
		}
		ap_vec_push(list, w);
	}
}

static void
add(struct reg_build *b, struct ap_reg_workload *w)
{
	ap_vec_push(&b->workloads, w);
	ap_map_put(&b->r->by_uid, w->uid, w);
}

void
reg_add_workload_entries(struct reg_build *b)
{
	const struct ap_map *entries = ap_resources_of(b->r->resources, "networking.istio.io", "WorkloadEntry");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(entries, &i)) != NULL;) {
		const struct ap_resource *res = e->value;
		struct ap_reg_workload *w = ap_arena_new_object(b->r->arena, struct ap_reg_workload);
		if (w == NULL)
			return;
		w->resource = res;
		w->name = res->name;
		w->namespace_ = res->namespace_;
		w->labels = merge_labels(b->r->arena, res->labels, ap_doc_get(res->spec, "labels"));
		read_spec(b, w, res->spec);
		w->uid = reg_printf(b, "%.*s/networking.istio.io/WorkloadEntry/%.*s/%.*s", AP_FMT(b->r->cluster),
		    AP_FMT(res->namespace_), AP_FMT(res->name));
		w->host = ap_resource_annotation(res, AP_ANNOTATION_HOST);
		w->workload_name = ap_resource_annotation(res, AP_ANNOTATION_WORKLOAD);
		w->registered = w->workload_name.len > 0;
		if (!w->registered)
			w->workload_name = res->name;
		w->native_tunnel = ap_slice_eq_text(ap_doc_string(w->labels, "networking.istio.io/tunnel", ""), "http");
		w->hbone = w->native_tunnel ||
		           ap_slice_eq_text(ap_resource_annotation(res, AP_ANNOTATION_HBONE), "true") ||
		           ap_slice_eq_text(ap_resource_annotation(res, "ambient.istio.io/redirection"), "enabled");
		w->healthy = is_healthy(res);
		set_canonical(w);
		add(b, w);
		index_labels(b, w);
	}
}

struct ap_reg_workload *
reg_inline_workload(
    struct reg_build *b, const struct ap_resource *entry, const struct ap_doc *endpoint, struct ap_slice host, size_t index)
{
	struct ap_slice address = ap_doc_string(endpoint, "address", "");
	if (address.len == 0)
		address = host;
	struct ap_slice uid = reg_printf(b, "%.*s/networking.istio.io/ServiceEntry/%.*s/%.*s/%.*s", AP_FMT(b->r->cluster),
	    AP_FMT(entry->namespace_), AP_FMT(entry->name), AP_FMT(address));
	struct ap_reg_workload *known = ap_map_find(&b->r->by_uid, uid);
	if (known != NULL) {
		/* Another host of the same entry shares its endpoints; two endpoints of one address differ in ports. */
		if (ap_doc_eq(known->ports, ap_doc_get(endpoint, "ports")) || endpoint == NULL)
			return known;
		uid = reg_printf(b, "%.*s/%zu", AP_FMT(uid), index);
		known = ap_map_find(&b->r->by_uid, uid);
		if (known != NULL)
			return known;
	}
	struct ap_reg_workload *w = ap_arena_new_object(b->r->arena, struct ap_reg_workload);
	if (w == NULL)
		return NULL;
	w->resource = entry;
	w->uid = uid;
	w->name = entry->name;
	w->namespace_ = entry->namespace_;
	w->labels = ap_doc_get(endpoint, "labels");
	read_spec(b, w, endpoint);
	if (w->ip.len == 0 && ap_ip_parse(address, &w->ip) != 0)
		w->hostname = address;
	w->workload_name = entry->name;
	w->native_tunnel = w->hbone =
	    ap_slice_eq_text(ap_doc_string(w->labels, "networking.istio.io/tunnel", ""), "http");
	w->healthy = true;
	w->external = !ap_slice_eq_text(ap_doc_string(entry->spec, "location", ""), "MESH_INTERNAL");
	set_canonical(w);
	add(b, w);
	return w;
}

/* --- Endpoints ------------------------------------------------------------------------------------------------------ */

static uint16_t
port_of(const struct ap_doc *ports, struct ap_slice name)
{
	if (ports == NULL || name.len == 0)
		return 0;
	const struct ap_doc *d = ap_doc_get_slice(ports, name);
	return ap_doc_is(d, AP_DOC_INT) && d->integer > 0 && d->integer < 65536 ? (uint16_t)d->integer : 0;
}

void
reg_add_endpoint(struct reg_build *b, struct ap_reg_service *s, struct ap_reg_workload *w)
{
	for (size_t i = 0; i < w->membership_count; i++)
		if (w->memberships[i].service == s)
			return;
	uint16_t *targets = ap_arena_zalloc(b->r->arena, AP_MAX(s->port_count, (size_t)1) * sizeof(uint16_t));
	if (targets == NULL)
		return;
	for (size_t i = 0; i < s->port_count; i++) {
		uint16_t t = port_of(w->ports, s->ports[i].name);
		if (t == 0 && s->ports[i].target_name.len > 0)
			t = port_of(w->ports, s->ports[i].target_name);
		targets[i] = t;
	}
	if (w->membership_count == w->membership_room) {
		w->membership_room = w->membership_room == 0 ? 2 : w->membership_room * 2;
		w->memberships = ap_realloc_array(w->memberships, w->membership_room, sizeof(*w->memberships));
	}
	w->memberships[w->membership_count++] = (struct ap_reg_membership){ .service = s, .targets = targets };
	if (s->endpoint_count == s->endpoint_room) {
		s->endpoint_room = s->endpoint_room == 0 ? 4 : s->endpoint_room * 2;
		s->endpoints = ap_realloc_array(s->endpoints, s->endpoint_room, sizeof(struct ap_reg_workload *));
	}
	s->endpoints[s->endpoint_count++] = w;
}

void
reg_select(struct reg_build *b, struct ap_reg_service *s, const struct ap_doc *selector)
{
	if (!ap_doc_is(selector, AP_DOC_MAP) || selector->first == NULL)
		return;
	const struct ap_doc *first = selector->first;
	char key[768];
	int n = snprintf(
	    key, sizeof(key), "%.*s\n%.*s\n%.*s", AP_FMT(s->namespace_), AP_FMT(first->key), AP_FMT(first->string));
	if (n < 0 || (size_t)n >= sizeof(key))
		return;
	const struct reg_workloads *list = ap_map_find(&b->by_label, ap_slice(key, (size_t)n));
	for (size_t i = 0; list != NULL && i < list->count; i++)
		if (ap_labels_match(selector, list->items[i]->labels))
			reg_add_endpoint(b, s, list->items[i]);
}

void
reg_mark_shared(struct reg_build *b)
{
	struct ap_map seen = { 0 };
	for (size_t i = 0; i < b->workloads.count; i++) {
		struct ap_reg_workload *w = b->workloads.items[i];
		if (w->ip.len == 0)
			continue;
		char ip[AP_ADDR_TEXT], key[512];
		int n = snprintf(key, sizeof(key), "%.*s/%s", AP_FMT(w->network), ap_ip_format(&w->ip, ip, sizeof(ip)));
		if (n < 0 || (size_t)n >= sizeof(key))
			continue;
		struct ap_reg_workload *other = ap_map_find(&seen, ap_slice(key, (size_t)n));
		if (other == NULL) {
			ap_map_put(&seen, ap_slice(key, (size_t)n), w);
			continue;
		}
		w->shared = other->shared = true;
	}
	ap_map_done(&seen, NULL);
}
