/*
 * need_policies.c -- which policies need HTTP understood, and whom a policy concerns.
 *
 * All of these are security reasons: whoever passes the waypoint by passes the policy by.
 */
#include <string.h>

#include "state/need_parts.h"

/* --- AuthorizationPolicy --------------------------------------------------------------------------------------------- */

static bool
is_set(const struct ap_doc *map, const char *key)
{
	const struct ap_doc *d = ap_doc_get(map, key);
	return ap_doc_is(d, AP_DOC_LIST) && d->count > 0;
}

bool
ap_authz_key_is_l4(struct ap_slice key)
{
	static const char *const keys[] = { "source.ip", "source.namespace", "source.principal", "destination.ip",
		"destination.port" };
	for (size_t i = 0; i < AP_COUNTOF(keys); i++)
		if (ap_slice_eq_text(key, keys[i]))
			return true;
	return false;
}

const char *
ap_authz_source_l7_field(const struct ap_doc *source)
{
	static const char *const keys[] = { "requestPrincipals", "notRequestPrincipals", "remoteIpBlocks", "notRemoteIpBlocks" };
	for (size_t i = 0; i < AP_COUNTOF(keys); i++)
		if (is_set(source, keys[i]))
			return keys[i];
	return NULL;
}

const char *
ap_authz_operation_l7_field(const struct ap_doc *operation)
{
	static const char *const keys[] = { "methods", "notMethods", "paths", "notPaths", "hosts", "notHosts" };
	for (size_t i = 0; i < AP_COUNTOF(keys); i++)
		if (is_set(operation, keys[i]))
			return keys[i];
	return NULL;
}

bool
ap_authz_rule_needs_http(struct ap_arena *arena, const struct ap_doc *rule, unsigned index, struct ap_slice *out_field)
{
	unsigned i = 0;
	const char *key;
	AP_DOC_FOR(to, ap_doc_get(rule, "to")) {
		if ((key = ap_authz_operation_l7_field(ap_doc_get(to, "operation"))) != NULL) {
			*out_field = ap_arena_printf(arena, "spec.rules[%u].to[%u].operation.%s", index, i, key);
			return true;
		}
		i++;
	}
	i = 0;
	AP_DOC_FOR(from, ap_doc_get(rule, "from")) {
		if ((key = ap_authz_source_l7_field(ap_doc_get(from, "source"))) != NULL) {
			*out_field = ap_arena_printf(arena, "spec.rules[%u].from[%u].source.%s", index, i, key);
			return true;
		}
		i++;
	}
	i = 0;
	AP_DOC_FOR(when, ap_doc_get(rule, "when")) {
		struct ap_slice k = ap_doc_string(when, "key", "");
		if (!ap_authz_key_is_l4(k)) {
			*out_field = ap_arena_printf(arena, "spec.rules[%u].when[%u].key", index, i);
			return true;
		}
		i++;
	}
	return false;
}

bool
ap_authz_needs_http(struct ap_arena *arena, const struct ap_doc *policy_spec, struct ap_slice *out_field)
{
	unsigned i = 0;
	AP_DOC_FOR(rule, ap_doc_get(policy_spec, "rules"))
		if (ap_authz_rule_needs_http(arena, rule, i++, out_field))
			return true;
	return false;
}

/* --- Whom a policy concerns -------------------------------------------------------------------------------------------- */

bool
ap_target_ref_is(const struct ap_doc *ref, const struct ap_reg_service *s, struct ap_slice policy_namespace)
{
	struct ap_slice kind = ap_doc_string(ref, "kind", "");
	struct ap_slice ns = ap_doc_string(ref, "namespace", "");
	if (s->resource == NULL || !ap_slice_eq_text(kind, s->is_entry ? "ServiceEntry" : "Service"))
		return false;
	return ap_slice_eq(ap_doc_string(ref, "name", ""), s->name) &&
	       ap_slice_eq(ns.len > 0 ? ns : policy_namespace, s->namespace_);
}

const struct ap_doc *
ap_policy_target_refs(const struct ap_resource *policy)
{
	const struct ap_doc *refs = ap_doc_get(policy->spec, "targetRefs");
	return ap_doc_is(refs, AP_DOC_LIST) && refs->count > 0 ? refs : NULL;
}

const struct ap_doc *
ap_policy_selector(const struct ap_resource *policy)
{
	const struct ap_doc *labels = ap_doc_path(policy->spec, "selector.matchLabels");
	return ap_doc_is(labels, AP_DOC_MAP) && labels->count > 0 ? labels : NULL;
}

static bool
is_root(struct ap_slice ns, const struct ap_slice *roots, size_t root_count)
{
	for (size_t i = 0; i < root_count; i++)
		if (ap_slice_eq(ns, roots[i]))
			return true;
	return false;
}

bool
ap_policy_concerns(const struct ap_registry *r, const struct ap_resource *policy, const struct ap_reg_service *s,
    const struct ap_slice *roots, size_t root_count)
{
	(void)r;
	const struct ap_doc *refs = ap_policy_target_refs(policy);
	const struct ap_doc *ref = ap_doc_get(policy->spec, "targetRef");
	if (ref != NULL && ap_target_ref_is(ref, s, policy->namespace_))
		return true;
	AP_DOC_FOR(item, refs)
		if (ap_target_ref_is(item, s, policy->namespace_))
			return true;
	if (refs != NULL || ref != NULL)
		return false;
	bool is_mesh_wide = is_root(policy->namespace_, roots, root_count);
	const struct ap_doc *selector = ap_policy_selector(policy);
	if (selector == NULL)
		return is_mesh_wide || ap_slice_eq(policy->namespace_, s->namespace_);
	for (size_t i = 0; i < s->endpoint_count; i++) {
		const struct ap_reg_workload *w = s->endpoints[i];
		if ((is_mesh_wide || ap_slice_eq(policy->namespace_, w->namespace_)) && ap_labels_match(selector, w->labels))
			return true;
	}
	return false;
}

static bool
speaks_http(const struct ap_reg_service *s)
{
	for (size_t i = 0; i < s->port_count; i++)
		if (ap_reg_is_http(s->ports[i].protocol))
			return true;
	return false;
}

const struct ap_slice ap_root_namespaces[2] = { { "ambit-system", 12 }, { "istio-system", 12 } };

/* Add a reason for each service that the policy concerns. only_named: by targetRefs alone. */
static void
concern(struct ap_arena *arena, const struct ap_registry *r, const struct ap_resource *policy, struct ap_slice field,
    const char *verb, struct need_reasons *out)
{
	for (size_t i = 0; i < r->service_count; i++) {
		const struct ap_reg_service *s = r->services[i];
		if (s->gateway != NULL || !speaks_http(s) ||
		    !ap_policy_concerns(r, policy, s, ap_root_namespaces, AP_COUNTOF(ap_root_namespaces)))
			continue;
		/* A host outside the mesh is nobody's destination workload: policies reach it by name only. */
		if (s->external && ap_policy_target_refs(policy) == NULL && ap_doc_get(policy->spec, "targetRef") == NULL)
			continue;
		need_add_reason(out, policy, s, field,
		    ap_arena_printf(arena, "%s %.*s %s requests to %.*s by %.*s", policy->kind->kind, AP_FMT(policy->path),
		        verb, AP_FMT(s->hostname), AP_FMT(field)),
		    true);
	}
}

static void
collect_authorization(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	const struct ap_map *all = ap_resources_of(r->resources, "security.istio.io", "AuthorizationPolicy");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *p = e->value;
		struct ap_slice action = ap_doc_string(p->spec, "action", "ALLOW");
		if (ap_slice_eq_text(action, "CUSTOM") || ap_slice_eq_text(action, "AUDIT"))
			continue;
		struct ap_slice field = AP_SLICE_NONE;
		if (ap_authz_needs_http(arena, p->spec, &field))
			concern(arena, r, p, field, "decides on", out);
		else if (ap_policy_target_refs(p) != NULL)
			concern(arena, r, p, AP_S("spec.targetRefs"), "decides on", out);
	}
}

static void
collect_request_authentication(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	const struct ap_map *all = ap_resources_of(r->resources, "security.istio.io", "RequestAuthentication");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;)
		concern(arena, r, e->value, AP_S("spec.jwtRules"), "authenticates", out);
}

/* --- LuaPolicy --------------------------------------------------------------------------------------------------------- */

/* Does the script define this function? By its name as a word: a comment may make us say yes, never a hook no. */
static bool
defines(struct ap_slice source, const char *name)
{
	size_t len = strlen(name);
	for (size_t at = 0; (at = ap_slice_search(source, ap_slice(name, len))) != SIZE_MAX;) {
		char next = at + len < source.len ? source.ptr[at + len] : ' ';
		if (next == ' ' || next == '(' || next == '=' || next == '\t' || next == '\n')
			return true;
		source = ap_slice_from(source, at + len);
		at = 0;
	}
	return false;
}

unsigned
ap_lua_policy_hooks(const struct ap_resource *policy)
{
	const struct ap_doc *list = ap_doc_get(policy->spec, "hooks");
	struct ap_slice source = ap_doc_string(policy->spec, "source", "");
	if (source.len == 0)
		source = ap_doc_string(policy->spec, "script", "");
	static const struct {
		const char *name;
		unsigned bit;
	} hooks[] = { { "on_connect", AP_HOOK_CONNECT }, { "on_request", AP_HOOK_REQUEST }, { "on_response", AP_HOOK_RESPONSE } };
	unsigned out = 0;
	for (size_t i = 0; i < AP_COUNTOF(hooks); i++) {
		bool named = list == NULL || list->count == 0;
		AP_DOC_FOR(h, list)
			named = named || (h->type == AP_DOC_STRING && ap_slice_eq_text(h->string, hooks[i].name));
		if (named && defines(source, hooks[i].name))
			out |= hooks[i].bit;
	}
	return out;
}

static void
collect_lua(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	const struct ap_map *all = ap_resources_of(r->resources, "ambit.mesh", "LuaPolicy");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		unsigned hooks = ap_lua_policy_hooks(e->value);
		if ((hooks & (AP_HOOK_REQUEST | AP_HOOK_RESPONSE)) == 0)
			continue;
		concern(arena, r, e->value, (hooks & AP_HOOK_REQUEST) != 0 ? AP_S("on_request") : AP_S("on_response"),
		    "inspects", out);
	}
}

void
need_collect_policies(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out)
{
	collect_authorization(arena, r, out);
	collect_request_authentication(arena, r, out);
	collect_lua(arena, r, out);
}
