/*
 * need_routes.c -- which routes need HTTP understood, and by which of their fields.
 *
 * A route that only repeats what the mesh does anyway (everything to the service itself) needs nothing.
 */
#include <string.h>

#include "state/need_parts.h"

void
need_add_reason(struct need_reasons *out, const struct ap_resource *res, const struct ap_reg_service *s,
    struct ap_slice field, struct ap_slice text, bool security)
{
	ap_vec_push(&out->list,
	    (struct ap_need_reason){ .resource = res,
	        .kind = ap_slice_of(res->kind->kind),
	        .namespace_ = res->namespace_,
	        .name = res->name,
	        .field = field,
	        .text = text,
	        .service = s,
	        .security = security });
}

static bool
is_set(const struct ap_doc *map, const char *key)
{
	const struct ap_doc *d = ap_doc_get(map, key);
	if (d == NULL || d->type == AP_DOC_NULL)
		return false;
	return !((d->type == AP_DOC_LIST || d->type == AP_DOC_MAP) && d->count == 0);
}

static const char *
first_set(const struct ap_doc *map, const char *const *keys)
{
	for (size_t i = 0; keys[i] != NULL; i++)
		if (is_set(map, keys[i]))
			return keys[i];
	return NULL;
}

/* --- VirtualService ------------------------------------------------------------------------------------------------ */

bool
ap_virtual_service_in_mesh(const struct ap_resource *vs)
{
	const struct ap_doc *gateways = ap_doc_get(vs->spec, "gateways");
	if (gateways == NULL || gateways->count == 0)
		return true;
	AP_DOC_FOR(g, gateways)
		if (g->type == AP_DOC_STRING && ap_slice_eq_text(g->string, "mesh"))
			return true;
	return false;
}

/* The field of spec.http[i] that needs HTTP, or empty. */
static struct ap_slice
http_field(struct ap_arena *arena, const struct ap_registry *r, const struct ap_resource *vs, const struct ap_doc *route,
    unsigned i, const struct ap_reg_service *s)
{
	static const char *const keys[] = { "match", "redirect", "directResponse", "delegate", "rewrite", "timeout", "retries",
		"fault", "mirror", "mirrors", "corsPolicy", "headers", NULL };
	const char *key = first_set(route, keys);
	if (key != NULL)
		return ap_arena_printf(arena, "spec.http[%u].%s", i, key);
	unsigned k = 0;
	AP_DOC_FOR(d, ap_doc_get(route, "route")) {
		const struct ap_doc *to = ap_doc_get(d, "destination");
		if (is_set(to, "subset"))
			return ap_arena_printf(arena, "spec.http[%u].route[%u].destination.subset", i, k);
		if (is_set(d, "headers"))
			return ap_arena_printf(arena, "spec.http[%u].route[%u].headers", i, k);
		if (ap_registry_find(r, ap_doc_string(to, "host", ""), vs->namespace_) != s)
			return ap_arena_printf(arena, "spec.http[%u].route[%u].destination.host", i, k);
		if (k++ > 0)
			return ap_arena_printf(arena, "spec.http[%u].route[%u].weight", i, k - 1);
	}
	return AP_SLICE_NONE;
}

static void
virtual_service_for(struct ap_arena *arena, const struct ap_registry *r, const struct ap_resource *vs,
    const struct ap_reg_service *s, struct need_reasons *out)
{
	unsigned i = 0;
	AP_DOC_FOR(route, ap_doc_get(vs->spec, "http")) {
		struct ap_slice field = http_field(arena, r, vs, route, i++, s);
		if (field.len == 0)
			continue;
		need_add_reason(out, vs, s, field,
		    ap_arena_printf(arena, "VirtualService %.*s routes requests to %.*s by %.*s", AP_FMT(vs->path),
		        AP_FMT(s->hostname), AP_FMT(field)),
		    false);
		return;
	}
	if (is_set(vs->spec, "tcp"))
		need_add_reason(out, vs, s, AP_S("spec.tcp[0]"),
		    ap_arena_printf(arena, "VirtualService %.*s routes connections to %.*s", AP_FMT(vs->path),
		        AP_FMT(s->hostname)),
		    false);
}

static void
collect_virtual_services(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	const struct ap_map *all = ap_resources_of(r->resources, "networking.istio.io", "VirtualService");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *vs = e->value;
		if (!ap_virtual_service_in_mesh(vs))
			continue;
		AP_DOC_FOR(h, ap_doc_get(vs->spec, "hosts")) {
			if (h->type != AP_DOC_STRING)
				continue;
			if (ap_slice_find(h->string, '*') == SIZE_MAX) {
				const struct ap_reg_service *s = ap_registry_find(r, h->string, vs->namespace_);
				if (s != NULL)
					virtual_service_for(arena, r, vs, s, out);
				continue;
			}
			for (size_t k = 0; k < r->service_count; k++)
				if (r->services[k]->gateway == NULL &&
				    ap_host_matches(h->string, r->services[k]->hostname))
					virtual_service_for(arena, r, vs, r->services[k], out);
		}
	}
}

/* --- HTTPRoute and its like ----------------------------------------------------------------------------------------- */

/* The field of spec.rules[i] that needs HTTP; plain when the rule only names the parent itself. */
static struct ap_slice
rule_field(struct ap_arena *arena, const struct ap_registry *r, const struct ap_resource *route,
    const struct ap_doc *rule, unsigned i, const struct ap_reg_service *s)
{
	static const char *const keys[] = { "matches", "filters", "timeouts", "retry", "sessionPersistence", NULL };
	const char *key = first_set(rule, keys);
	if (key != NULL)
		return ap_arena_printf(arena, "spec.rules[%u].%s", i, key);
	unsigned k = 0;
	AP_DOC_FOR(ref, ap_doc_get(rule, "backendRefs")) {
		struct ap_slice ns = ap_doc_string(ref, "namespace", "");
		const struct ap_reg_service *to =
		    ap_registry_service(r, ns.len > 0 ? ns : route->namespace_, ap_doc_string(ref, "name", ""));
		if (to != s || k++ > 0 || is_set(ref, "filters"))
			return ap_arena_printf(arena, "spec.rules[%u].backendRefs", i);
	}
	return AP_SLICE_NONE;
}

static void
collect_routes_of_kind(
    struct ap_arena *arena, const struct ap_registry *r, const char *kind, struct need_reasons *out)
{
	const struct ap_map *all = ap_resources_of(r->resources, "gateway.networking.k8s.io", kind);
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *route = e->value;
		AP_DOC_FOR(p, ap_doc_get(route->spec, "parentRefs")) {
			const struct ap_reg_service *s = ap_parent_service(r, route, p);
			unsigned k = 0;
			struct ap_slice field = AP_SLICE_NONE;
			AP_DOC_FOR(rule, ap_doc_get(route->spec, "rules")) {
				if (s == NULL || field.len > 0)
					break;
				field = rule_field(arena, r, route, rule, k++, s);
			}
			if (field.len > 0)
				need_add_reason(out, route, s, field,
				    ap_arena_printf(arena, "%s %.*s routes requests to %.*s by %.*s", kind,
				        AP_FMT(route->path), AP_FMT(s->hostname), AP_FMT(field)),
				    false);
		}
	}
}

struct ap_reg_service *
ap_parent_service(const struct ap_registry *r, const struct ap_resource *route, const struct ap_doc *parent_ref)
{
	struct ap_slice group = ap_doc_string(parent_ref, "group", "gateway.networking.k8s.io");
	struct ap_slice kind = ap_doc_string(parent_ref, "kind", "Gateway");
	struct ap_slice ns = ap_doc_string(parent_ref, "namespace", "");
	struct ap_slice name = ap_doc_string(parent_ref, "name", "");
	if (ns.len == 0)
		ns = route->namespace_;
	if ((group.len == 0 || ap_slice_eq_text(group, "core")) && ap_slice_eq_text(kind, "Service"))
		return ap_registry_service(r, ns, name);
	if (!ap_slice_eq_text(group, "networking.istio.io") || !ap_slice_eq_text(kind, "ServiceEntry"))
		return NULL;
	for (size_t i = 0; i < r->service_count; i++)
		if (r->services[i]->is_entry && ap_slice_eq(r->services[i]->name, name) &&
		    ap_slice_eq(r->services[i]->namespace_, ns))
			return r->services[i];
	return NULL;
}

/* --- RouteTable ------------------------------------------------------------------------------------------------------ */

bool
ap_route_table_in_mesh(const struct ap_resource *rt)
{
	const struct ap_doc *gateways = ap_doc_get(rt->spec, "virtualGateways");
	return gateways == NULL || gateways->count == 0;
}

static struct ap_slice
table_field(struct ap_arena *arena, const struct ap_resource *rt)
{
	static const char *const keys[] = { "matchers", "redirect", "directResponse", "delegate", "graphql", "forwardTo", NULL };
	unsigned i = 0;
	AP_DOC_FOR(route, ap_doc_get(rt->spec, "http")) {
		const char *key = first_set(route, keys);
		if (key != NULL)
			return ap_arena_printf(arena, "spec.http[%u].%s", i, key);
		i++;
	}
	return AP_SLICE_NONE;
}

static void
table_for(struct ap_arena *arena, const struct ap_resource *rt, const struct ap_reg_service *s, struct ap_slice field,
    struct need_reasons *out)
{
	if (s == NULL || s->gateway != NULL)
		return;
	need_add_reason(out, rt, s, field,
	    ap_arena_printf(arena, "RouteTable %.*s routes requests to %.*s by %.*s", AP_FMT(rt->path), AP_FMT(s->hostname),
	        AP_FMT(field)),
	    false);
}

static void
collect_route_tables(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	const struct ap_map *all = ap_resources_of(r->resources, "networking.gloo.solo.io", "RouteTable");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *rt = e->value;
		struct ap_slice field = table_field(arena, rt);
		if (field.len == 0 || !ap_route_table_in_mesh(rt))
			continue;
		AP_DOC_FOR(h, ap_doc_get(rt->spec, "hosts")) {
			if (h->type != AP_DOC_STRING)
				continue;
			if (ap_slice_find(h->string, '*') == SIZE_MAX) {
				table_for(arena, rt, ap_registry_find_loose(r, h->string, rt->namespace_), field, out);
				continue;
			}
			for (size_t k = 0; k < r->service_count; k++)
				if (ap_host_matches(h->string, r->services[k]->hostname))
					table_for(arena, rt, r->services[k], field, out);
		}
	}
}

/* --- DestinationRule -------------------------------------------------------------------------------------------------- */

/* The part of a traffic policy that only an HTTP proxy can carry out. */
static const char *
traffic_policy_field(const struct ap_doc *tp)
{
	static const char *const hashes[] = { "httpHeaderName", "httpCookie", "httpQueryParameterName", NULL };
	if (first_set(ap_doc_path(tp, "loadBalancer.consistentHash"), hashes) != NULL)
		return "loadBalancer.consistentHash";
	if (is_set(ap_doc_get(tp, "connectionPool"), "http"))
		return "connectionPool.http";
	if (is_set(tp, "outlierDetection"))
		return "outlierDetection";
	return NULL;
}

static struct ap_slice
rule_of_destination_field(struct ap_arena *arena, const struct ap_resource *dr)
{
	const struct ap_doc *tp = ap_doc_get(dr->spec, "trafficPolicy");
	const char *f = traffic_policy_field(tp);
	if (f != NULL)
		return ap_arena_printf(arena, "spec.trafficPolicy.%s", f);
	unsigned i = 0;
	AP_DOC_FOR(p, ap_doc_get(tp, "portLevelSettings")) {
		if ((f = traffic_policy_field(p)) != NULL)
			return ap_arena_printf(arena, "spec.trafficPolicy.portLevelSettings[%u].%s", i, f);
		i++;
	}
	return AP_SLICE_NONE;
}

static void
collect_destination_rules(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	const struct ap_map *all = ap_resources_of(r->resources, "networking.istio.io", "DestinationRule");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *dr = e->value;
		struct ap_slice field = rule_of_destination_field(arena, dr);
		const struct ap_reg_service *s = ap_registry_find(r, ap_doc_string(dr->spec, "host", ""), dr->namespace_);
		if (field.len == 0 || s == NULL || s->gateway != NULL)
			continue;
		need_add_reason(out, dr, s, field,
		    ap_arena_printf(arena, "DestinationRule %.*s asks for %.*s on requests to %.*s", AP_FMT(dr->path),
		        AP_FMT(field), AP_FMT(s->hostname)),
		    false);
	}
}

void
need_collect_routes(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	collect_virtual_services(arena, r, out);
	collect_routes_of_kind(arena, r, "HTTPRoute", out);
	collect_routes_of_kind(arena, r, "GRPCRoute", out);
	collect_route_tables(arena, r, out);
	collect_destination_rules(arena, r, out);
}
