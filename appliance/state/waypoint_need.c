/*
 * waypoint_need.c -- from reasons to waypoints: which one serves which service, and under which name.
 *
 * Order of decisions for a service: its label istio.io/use-waypoint (or its namespace's) binds it to a Gateway that somebody
 * wrote; else, when it has a reason, it gets the waypoint of its service account, namespace or itself, as WaypointPolicy
 * says.  A service whose endpoints run under several accounts gets one of its own, so that its name does not depend on
 * which of them are up.
 */
#include "state/waypoint_need.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/need_parts.h"

struct make {
	struct ap_arena *arena;
	const struct ap_registry *r;
	struct ap_needs *out;
	struct need_reasons reasons;
};

/* --- Needs ----------------------------------------------------------------------------------------------------------- */

static struct ap_need *
need_get(struct make *m, struct ap_slice namespace_, struct ap_slice name)
{
	struct ap_slice key = ap_arena_printf(m->arena, "%.*s/%.*s", AP_FMT(namespace_), AP_FMT(name));
	struct ap_need *n = ap_map_find(&m->out->by_gateway, key);
	if (n != NULL)
		return n;
	n = ap_arena_new_object(m->arena, struct ap_need);
	if (n == NULL)
		return NULL;
	n->namespace_ = namespace_;
	n->name = name;
	n->gateway = ap_resources_get(m->r->resources, "gateway.networking.k8s.io", "Gateway", namespace_, name);
	struct ap_slice account =
	    n->gateway == NULL ? AP_SLICE_NONE : ap_resource_annotation(n->gateway, "gateway.istio.io/service-account");
	n->identity = ap_registry_spiffe(m->r, namespace_, account.len > 0 ? account : name);
	ap_map_put(&m->out->by_gateway, key, n);
	ap_vec_push(m->out, n);
	return n;
}

static void
need_bind(struct make *m, struct ap_need *n, const struct ap_reg_service *s)
{
	if (ap_map_put(&m->out->by_service, s->key, n) == n)
		return;
	if (n->service_count == n->service_room) {
		n->service_room = n->service_room == 0 ? 4 : n->service_room * 2;
		n->services = ap_realloc_array(n->services, n->service_room, sizeof(*n->services));
	}
	n->services[n->service_count++] = s;
}

static void
need_add(struct ap_need *n, const struct ap_need_reason *reason)
{
	if (n->reason_count == n->reason_room) {
		n->reason_room = n->reason_room == 0 ? 4 : n->reason_room * 2;
		n->reasons = ap_realloc_array(n->reasons, n->reason_room, sizeof(*n->reasons));
	}
	n->reasons[n->reason_count++] = *reason;
	n->enforce = n->enforce || reason->security;
}

static void
refuse(struct make *m, const struct ap_reg_service *s, const char *code, struct ap_slice text, bool security)
{
	struct ap_needs *out = m->out;
	if (out->refusal_count == out->refusal_room) {
		out->refusal_room = out->refusal_room == 0 ? 4 : out->refusal_room * 2;
		out->refusals = ap_realloc_array(out->refusals, out->refusal_room, sizeof(*out->refusals));
	}
	out->refusals[out->refusal_count++] =
	    (struct ap_need_refusal){ .service = s, .code = code, .text = text, .security = security };
}

/* --- Gateways that somebody wrote -------------------------------------------------------------------------------------- */

static bool
is_waypoint(const struct ap_resource *gw)
{
	return ap_slice_eq_text(ap_doc_string(gw->spec, "gatewayClassName", ""), AP_WAYPOINT_CLASS);
}

static bool
is_managed(const struct ap_resource *gw)
{
	return ap_slice_eq_text(ap_resource_label(gw, AP_LABEL_MANAGED), "true");
}

static void
add_explicit(struct make *m)
{
	const struct ap_map *all = ap_resources_of(m->r->resources, "gateway.networking.k8s.io", "Gateway");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *gw = e->value;
		if (!is_waypoint(gw) || is_managed(gw))
			continue;
		struct ap_need *n = need_get(m, gw->namespace_, gw->name);
		if (n == NULL)
			return;
		n->is_explicit = true;
		n->scope = AP_NEED_GATEWAY;
		n->scope_name = gw->name;
	}
}

/* May services of this namespace use the Gateway? By allowedRoutes of its listener on 15008; its own namespace by default. */
static bool
allows_namespace(const struct ap_registry *r, const struct ap_resource *gw, struct ap_slice ns)
{
	AP_DOC_FOR(l, ap_doc_get(gw->spec, "listeners")) {
		if (ap_doc_int(l, "port", 0) != AP_WAYPOINT_PORT)
			continue;
		const struct ap_doc *namespaces = ap_doc_path(l, "allowedRoutes.namespaces");
		struct ap_slice from = ap_doc_string(namespaces, "from", "Same");
		if (ap_slice_eq_text(from, "All"))
			return true;
		if (ap_slice_eq_text(from, "Selector")) {
			const struct ap_resource *n =
			    ap_resources_get(r->resources, "", "Namespace", AP_SLICE_NONE, ns);
			const struct ap_doc *selector = ap_doc_get(namespaces, "selector");
			return n != NULL && selector != NULL && ap_label_selector_match(selector, n->labels);
		}
		break;
	}
	return ap_slice_eq(gw->namespace_, ns);
}

/* The labels that decide: the object's own, else its namespace's. NULL: neither says anything. */
static const struct ap_doc *
use_labels(const struct ap_registry *r, const struct ap_reg_service *s)
{
	if (ap_doc_string(s->resource->labels, AP_LABEL_USE_WAYPOINT, "").len > 0)
		return s->resource->labels;
	const struct ap_resource *ns = ap_resources_get(r->resources, "", "Namespace", AP_SLICE_NONE, s->namespace_);
	if (ns != NULL && ap_doc_string(ns->labels, AP_LABEL_USE_WAYPOINT, "").len > 0)
		return ns->labels;
	return NULL;
}

enum use { USE_AUTOMATIC, USE_BOUND, USE_REFUSED };

static enum use
bind_by_label(struct make *m, const struct ap_reg_service *s, bool security)
{
	const struct ap_doc *labels = use_labels(m->r, s);
	if (labels == NULL)
		return USE_AUTOMATIC;
	struct ap_slice name = ap_doc_string(labels, AP_LABEL_USE_WAYPOINT, "");
	struct ap_slice ns = ap_doc_string(labels, AP_LABEL_USE_WAYPOINT_NAMESPACE, "");
	if (ap_slice_eq_text(name, "none")) {
		refuse(m, s, "OptedOut", AP_S("label istio.io/use-waypoint says none"), security);
		return USE_REFUSED;
	}
	if (ns.len == 0)
		ns = s->namespace_;
	const struct ap_resource *gw =
	    ap_resources_get(m->r->resources, "gateway.networking.k8s.io", "Gateway", ns, name);
	if (gw == NULL || !is_waypoint(gw)) {
		refuse(m, s, "WaypointIsNotReady",
		    ap_arena_printf(m->arena, "there is no waypoint Gateway %.*s/%.*s", AP_FMT(ns), AP_FMT(name)), security);
		return USE_AUTOMATIC;
	}
	struct ap_slice traffic = ap_resource_label(gw, AP_LABEL_WAYPOINT_FOR);
	if (traffic.len > 0 && !ap_slice_eq_text(traffic, "service") && !ap_slice_eq_text(traffic, "all")) {
		refuse(m, s, "UnsupportedTrafficType",
		    ap_arena_printf(m->arena, "Gateway %.*s is a waypoint for %.*s, not for services", AP_FMT(gw->path),
		        AP_FMT(traffic)),
		    security);
		return USE_AUTOMATIC;
	}
	if (!allows_namespace(m->r, gw, s->namespace_)) {
		refuse(m, s, "AttachmentDenied",
		    ap_arena_printf(m->arena, "allowedRoutes of Gateway %.*s does not let namespace %.*s in",
		        AP_FMT(gw->path), AP_FMT(s->namespace_)),
		    security);
		return USE_AUTOMATIC;
	}
	struct ap_need *n = need_get(m, ns, name);
	if (n == NULL)
		return USE_REFUSED;
	need_bind(m, n, s);
	return USE_BOUND;
}

/* --- Waypoints that follow from reasons ---------------------------------------------------------------------------------- */

static bool
is_older(const struct ap_resource *a, const struct ap_resource *b)
{
	if (a->created_ms != b->created_ms)
		return a->created_ms < b->created_ms;
	return ap_slice_cmp(a->path, b->path) < 0;
}

/* The oldest WaypointPolicy of the namespace, else of a root namespace, that names the service or nothing. */
static const struct ap_resource *
policy_of(const struct make *m, const struct ap_reg_service *s)
{
	const struct ap_map *all = ap_resources_of(m->r->resources, "ambit.mesh", "WaypointPolicy");
	const struct ap_resource *own = NULL, *root = NULL;
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *p = e->value;
		if (!ap_policy_concerns(m->r, p, s, ap_root_namespaces, AP_COUNTOF(ap_root_namespaces)))
			continue;
		const struct ap_resource **best = ap_slice_eq(p->namespace_, s->namespace_) ? &own : &root;
		if (*best == NULL || is_older(p, *best))
			*best = p;
	}
	return own != NULL ? own : root;
}

/* The account that all endpoints share, or empty. */
static struct ap_slice
account_of(const struct ap_reg_service *s)
{
	struct ap_slice account = AP_SLICE_NONE;
	for (size_t i = 0; i < s->endpoint_count; i++) {
		const struct ap_reg_workload *w = s->endpoints[i];
		if (w->external)
			return AP_SLICE_NONE;
		if (i > 0 && !ap_slice_eq(account, w->account))
			return AP_SLICE_NONE;
		account = w->account;
	}
	return account;
}

static struct ap_need *
automatic(struct make *m, const struct ap_reg_service *s)
{
	const struct ap_resource *policy = policy_of(m, s);
	struct ap_slice granularity =
	    policy == NULL ? AP_SLICE_NONE : ap_doc_string(policy->spec, "granularity", "");
	struct ap_slice account = account_of(s);
	enum ap_need_scope scope = AP_NEED_ACCOUNT;
	if (ap_slice_eq_nocase(granularity, AP_S("namespace")))
		scope = AP_NEED_NAMESPACE;
	else if (ap_slice_eq_nocase(granularity, AP_S("service")) || account.len == 0)
		scope = AP_NEED_SERVICE;
	struct ap_slice of = scope == AP_NEED_ACCOUNT ? account : scope == AP_NEED_SERVICE ? s->name : AP_SLICE_NONE;
	struct ap_slice name = of.len == 0 ? AP_S("waypoint") : ap_arena_printf(m->arena, "waypoint-%.*s", AP_FMT(of));
	struct ap_need *n = need_get(m, s->namespace_, name);
	if (n == NULL || n->is_explicit)
		return n;
	n->scope = scope;
	n->scope_name = of;
	n->policy = policy;
	return n;
}

/* --- All of it ------------------------------------------------------------------------------------------------------------ */

/* Reasons are ordered by service, so that each service's are one run. */
static int
compare_reasons(const void *a, const void *b)
{
	const struct ap_need_reason *x = a, *y = b;
	int c = ap_slice_cmp(x->service->key, y->service->key);
	if (c == 0)
		c = ap_slice_cmp(x->kind, y->kind);
	if (c == 0)
		c = ap_slice_cmp(x->namespace_, y->namespace_);
	if (c == 0)
		c = ap_slice_cmp(x->name, y->name);
	return c != 0 ? c : ap_slice_cmp(x->field, y->field);
}

static int
compare_needs(const void *a, const void *b)
{
	const struct ap_need *x = *(struct ap_need *const *)a, *y = *(struct ap_need *const *)b;
	int c = ap_slice_cmp(x->namespace_, y->namespace_);
	return c != 0 ? c : ap_slice_cmp(x->name, y->name);
}

static void
decide(struct make *m, const struct ap_reg_service *s, const struct ap_need_reason *reasons, size_t count)
{
	if (s->gateway != NULL)
		return;
	bool security = false;
	for (size_t i = 0; i < count; i++)
		security = security || reasons[i].security;
	enum use use = bind_by_label(m, s, security);
	if (use == USE_REFUSED || (use == USE_AUTOMATIC && count == 0))
		return;
	struct ap_need *n = use == USE_BOUND ? ap_map_find(&m->out->by_service, s->key) : automatic(m, s);
	if (n == NULL)
		return;
	need_bind(m, n, s);
	for (size_t i = 0; i < count; i++)
		need_add(n, &reasons[i]);
}

struct ap_needs *
ap_waypoint_needs(struct ap_arena *arena, const struct ap_registry *registry)
{
	struct make m = { .arena = arena, .r = registry };
	m.out = ap_arena_new_object(arena, struct ap_needs);
	if (m.out == NULL)
		return NULL;
	need_collect_routes(arena, registry, &m.reasons);
	need_collect_policies(arena, registry, &m.reasons);
	struct ap_need_reason *all = m.reasons.list.items;
	size_t count = m.reasons.list.count;
	if (count > 0)
		qsort(all, count, sizeof(*all), compare_reasons);
	add_explicit(&m);
	size_t at = 0;
	for (size_t i = 0; i < registry->service_count; i++) { /* ordered by key too */
		const struct ap_reg_service *s = registry->services[i];
		size_t from = at;
		while (at < count && all[at].service == s)
			at++;
		decide(&m, s, count == 0 ? NULL : all + from, at - from);
	}
	if (m.out->count > 0)
		qsort(m.out->items, m.out->count, sizeof(*m.out->items), compare_needs);
	ap_vec_done(&m.reasons.list);
	return m.out;
}

void
ap_waypoint_needs_done(struct ap_needs *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->count; i++) {
		ap_free(&n->items[i]->services);
		ap_free(&n->items[i]->reasons);
	}
	ap_free(&n->items);
	ap_free(&n->refusals);
	ap_map_done(&n->by_service, NULL);
	ap_map_done(&n->by_gateway, NULL);
}

struct ap_need *
ap_need_of(const struct ap_needs *n, const struct ap_reg_service *s)
{
	return ap_map_find(&n->by_service, s->key);
}

bool
ap_need_enforces(const struct ap_need *n, const struct ap_reg_service *s)
{
	for (size_t i = 0; i < n->reason_count; i++)
		if (n->reasons[i].service == s && n->reasons[i].security)
			return true;
	return false;
}

struct ap_doc *
ap_need_reasons_doc(struct ap_arena *arena, const struct ap_need *n)
{
	struct ap_doc *list = ap_doc_new_list(arena);
	for (size_t i = 0; i < n->reason_count; i++) {
		const struct ap_need_reason *r = &n->reasons[i];
		struct ap_doc *d = ap_doc_new_map(arena);
		ap_doc_set_string(arena, d, "kind", r->kind);
		ap_doc_set_string(arena, d, "namespace", r->namespace_);
		ap_doc_set_string(arena, d, "name", r->name);
		ap_doc_set_string(arena, d, "field", r->field);
		ap_doc_set_string(arena, d, "service", r->service->hostname);
		ap_doc_set_string(arena, d, "text", r->text);
		ap_doc_set(arena, d, "security", ap_doc_new_bool(arena, r->security));
		ap_doc_append(list, d);
	}
	return list;
}

bool
ap_gateway_was_ready(const struct ap_resource *gateway)
{
	if (gateway == NULL)
		return false;
	const struct ap_doc *addresses = ap_doc_get(gateway->status, "addresses");
	return ap_doc_is(addresses, AP_DOC_LIST) && addresses->count > 0;
}
