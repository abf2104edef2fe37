/*
 * t_policy.c -- AuthorizationPolicy with all its fields, and LuaPolicy, for the waypoints whose services they concern.
 *
 * A policy without targetRefs that covers a workload behind a waypoint is carried out at that waypoint whole, L4 fields too: there
 * the client's own identity is seen.  One that selects only some endpoints of a service is applied to all requests for it,
 * since the endpoint is chosen later; its status says so.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "control_plane/translate/tr.h"

/* --- Whom it is for ----------------------------------------------------------------------------------------------------------- */

/* Is the policy attached to this waypoint as such? (targetRef of kind Gateway, or GatewayClass in a root namespace.) */
static bool
targets_gateway(const struct tr *t, const struct ap_resource *p, const struct ap_need *n)
{
	AP_DOC_FOR(ref, ap_policy_target_refs(p)) {
		struct ap_slice kind = ap_doc_string(ref, "kind", ""), name = ap_doc_string(ref, "name", "");
		if (ap_slice_eq_text(kind, "Gateway") && ap_slice_eq(name, n->name) &&
		    ap_slice_eq(p->namespace_, n->namespace_))
			return true;
		if (ap_slice_eq_text(kind, "GatewayClass") && ap_slice_eq_text(name, AP_WAYPOINT_CLASS) &&
		    tr_is_root(t, p->namespace_))
			return true;
	}
	return false;
}

static bool
concerns(const struct tr *t, const struct ap_resource *p, const struct ap_need *n, const struct ap_reg_service *s)
{
	return targets_gateway(t, p, n) ||
	       ap_policy_concerns(t->r, p, s, ap_root_namespaces, AP_COUNTOF(ap_root_namespaces));
}

/* The waypoints that need the policy, as lines; empty: none. */
static struct ap_slice
scope_of(struct tr *t, const struct ap_resource *p)
{
	struct ap_buf b;
	ap_buf_init(&b, (size_t)1024 * 1024);
	for (size_t i = 0; i < t->needs->count; i++) {
		const struct ap_need *n = t->needs->items[i];
		for (size_t k = 0; k < n->service_count; k++) {
			if (!concerns(t, p, n, n->services[k]))
				continue;
			ap_buf_printf(&b, "%s%.*s/%.*s", b.len > 0 ? "\n" : "", AP_FMT(n->namespace_), AP_FMT(n->name));
			break;
		}
	}
	struct ap_slice out = ap_arena_copy(t->arena, ap_buf_slice(&b));
	ap_buf_done(&b);
	return out;
}

/* Does its selector leave out some endpoint of a service that it concerns? */
static bool
is_partial(const struct tr *t, const struct ap_resource *p)
{
	const struct ap_doc *selector = ap_policy_selector(p);
	for (size_t i = 0; selector != NULL && i < t->needs->count; i++) {
		const struct ap_need *n = t->needs->items[i];
		for (size_t k = 0; k < n->service_count; k++) {
			const struct ap_reg_service *s = n->services[k];
			if (!concerns(t, p, n, s))
				continue;
			for (size_t e = 0; e < s->endpoint_count; e++)
				if (!ap_labels_match(selector, s->endpoints[e]->labels))
					return true;
		}
	}
	return false;
}

/* --- AuthorizationPolicy ------------------------------------------------------------------------------------------------------- */

static void
accounts(struct tr *t, const struct ap_resource *p, const struct ap_doc *list, char ***items, size_t *count)
{
	AP_DOC_FOR(d, list) {
		if (d->type != AP_DOC_STRING)
			continue;
		bool full = ap_slice_find(d->string, '/') != SIZE_MAX;
		tr_push(t, items, count,
		    full ? tr_text(t, d->string) : tr_printf(t, "%.*s/%.*s", AP_FMT(p->namespace_), AP_FMT(d->string)));
	}
}

static Ambit__Waypoint__Source *
source_of(struct tr *t, const struct ap_resource *p, const struct ap_doc *d)
{
	Ambit__Waypoint__Source *s = TR_NEW(t, Ambit__Waypoint__Source, ambit__waypoint__source__init);
	tr_push_strings(t, &s->principals, &s->n_principals, ap_doc_get(d, "principals"));
	tr_push_strings(t, &s->not_principals, &s->n_not_principals, ap_doc_get(d, "notPrincipals"));
	tr_push_strings(t, &s->namespaces, &s->n_namespaces, ap_doc_get(d, "namespaces"));
	tr_push_strings(t, &s->not_namespaces, &s->n_not_namespaces, ap_doc_get(d, "notNamespaces"));
	tr_push_strings(t, &s->ip_blocks, &s->n_ip_blocks, ap_doc_get(d, "ipBlocks"));
	tr_push_strings(t, &s->not_ip_blocks, &s->n_not_ip_blocks, ap_doc_get(d, "notIpBlocks"));
	tr_push_strings(t, &s->remote_ip_blocks, &s->n_remote_ip_blocks, ap_doc_get(d, "remoteIpBlocks"));
	tr_push_strings(t, &s->not_remote_ip_blocks, &s->n_not_remote_ip_blocks, ap_doc_get(d, "notRemoteIpBlocks"));
	tr_push_strings(t, &s->request_principals, &s->n_request_principals, ap_doc_get(d, "requestPrincipals"));
	tr_push_strings(
	    t, &s->not_request_principals, &s->n_not_request_principals, ap_doc_get(d, "notRequestPrincipals"));
	accounts(t, p, ap_doc_get(d, "serviceAccounts"), &s->service_accounts, &s->n_service_accounts);
	accounts(t, p, ap_doc_get(d, "notServiceAccounts"), &s->not_service_accounts, &s->n_not_service_accounts);
	return s;
}

/* What a port of the workload is called at the waypoint, where the service's ports are seen. A policy that names its target speaks of
 * the service's ports already. */
static bool
adds_port(struct tr *t, const struct ap_resource *p, uint64_t port, char ***items, size_t *count)
{
	bool shadowed = false;
	for (size_t i = 0; i < t->needs->count; i++) {
		const struct ap_need *n = t->needs->items[i];
		for (size_t k = 0; k < n->service_count; k++) {
			const struct ap_reg_service *s = n->services[k];
			if (!concerns(t, p, n, s))
				continue;
			for (size_t q = 0; q < s->port_count; q++) {
				bool leads = s->ports[q].target == port;
				for (size_t e = 0; e < s->endpoint_count && !leads; e++)
					leads = ap_reg_target(s->endpoints[e], s, q) == port;
				if (leads && s->ports[q].number != port)
					tr_push(t, items, count, tr_printf(t, "%u", s->ports[q].number));
				shadowed = shadowed || (!leads && s->ports[q].number == port);
			}
		}
	}
	return shadowed;
}

static void
ports(struct tr *t, const struct ap_resource *p, const struct ap_doc *list, char ***items, size_t *count)
{
	AP_DOC_FOR(d, list) {
		uint64_t port = 0;
		if (d->type != AP_DOC_STRING)
			continue;
		bool shadowed = ap_policy_target_refs(p) == NULL && ap_text_to_u64(d->string, 65535, &port) == 0 &&
		                adds_port(t, p, port, items, count);
		if (!shadowed)
			tr_push(t, items, count, tr_text(t, d->string));
	}
}

static Ambit__Waypoint__Operation *
operation_of(struct tr *t, const struct ap_resource *p, const struct ap_doc *d)
{
	Ambit__Waypoint__Operation *o = TR_NEW(t, Ambit__Waypoint__Operation, ambit__waypoint__operation__init);
	tr_push_strings(t, &o->hosts, &o->n_hosts, ap_doc_get(d, "hosts"));
	tr_push_strings(t, &o->not_hosts, &o->n_not_hosts, ap_doc_get(d, "notHosts"));
	ports(t, p, ap_doc_get(d, "ports"), &o->ports, &o->n_ports);
	ports(t, p, ap_doc_get(d, "notPorts"), &o->not_ports, &o->n_not_ports);
	tr_push_strings(t, &o->methods, &o->n_methods, ap_doc_get(d, "methods"));
	tr_push_strings(t, &o->not_methods, &o->n_not_methods, ap_doc_get(d, "notMethods"));
	tr_push_strings(t, &o->paths, &o->n_paths, ap_doc_get(d, "paths"));
	tr_push_strings(t, &o->not_paths, &o->n_not_paths, ap_doc_get(d, "notPaths"));
	return o;
}

static Ambit__Waypoint__Rule *
rule_of(struct tr *t, const struct ap_resource *p, const struct ap_doc *d)
{
	Ambit__Waypoint__Rule *r = TR_NEW(t, Ambit__Waypoint__Rule, ambit__waypoint__rule__init);
	AP_DOC_FOR(from, ap_doc_get(d, "from"))
		tr_push(t, &r->from, &r->n_from, source_of(t, p, ap_doc_get(from, "source")));
	AP_DOC_FOR(to, ap_doc_get(d, "to"))
		tr_push(t, &r->to, &r->n_to, operation_of(t, p, ap_doc_get(to, "operation")));
	AP_DOC_FOR(when, ap_doc_get(d, "when")) {
		Ambit__Waypoint__Condition *c =
		    TR_NEW(t, Ambit__Waypoint__Condition, ambit__waypoint__condition__init);
		c->key = tr_text(t, ap_doc_string(when, "key", ""));
		if (strcmp(c->key, "destination.port") == 0) {
			ports(t, p, ap_doc_get(when, "values"), &c->values, &c->n_values);
			ports(t, p, ap_doc_get(when, "notValues"), &c->not_values, &c->n_not_values);
		} else {
			tr_push_strings(t, &c->values, &c->n_values, ap_doc_get(when, "values"));
			tr_push_strings(t, &c->not_values, &c->n_not_values, ap_doc_get(when, "notValues"));
		}
		tr_push(t, &r->when, &r->n_when, c);
	}
	return r;
}

static bool
action_of(const struct ap_resource *p, Ambit__Waypoint__Policy__Action *out)
{
	struct ap_slice a = ap_doc_string(p->spec, "action", "ALLOW");
	if (ap_slice_eq_text(a, "ALLOW"))
		*out = AMBIT__WAYPOINT__POLICY__ACTION__ALLOW;
	else if (ap_slice_eq_text(a, "DENY"))
		*out = AMBIT__WAYPOINT__POLICY__ACTION__DENY;
	else if (ap_slice_eq_text(a, "AUDIT"))
		*out = AMBIT__WAYPOINT__POLICY__ACTION__AUDIT;
	else
		return false;
	return true;
}

static void
note(struct tr *t, const struct ap_resource *p, bool used)
{
	bool named = ap_policy_target_refs(p) != NULL;
	if (used && is_partial(t, p))
		tr_note(t, p, "WaypointAccepted", true, "Accepted",
		    AP_S("the selector takes only some endpoints of a service behind a waypoint; there it is applied to all of its "
		         "requests"));
	else if (used)
		tr_note(t, p, "WaypointAccepted", true, "Accepted", AP_S("attached to the waypoints of its services"));
	else if (named)
		tr_note(t, p, "WaypointAccepted", false, "TargetNotFound", AP_S("no target of targetRefs is served by a waypoint"));
}

static void
translate(struct tr *t, const struct ap_resource *p)
{
	Ambit__Waypoint__Policy__Action action;
	struct ap_slice scope = scope_of(t, p);
	if (!action_of(p, &action)) {
		tr_note(t, p, "WaypointAccepted", false, "Invalid", AP_S("action CUSTOM is not supported"));
		return;
	}
	note(t, p, scope.len > 0);
	if (scope.len == 0)
		return;
	Ambit__Waypoint__Policy *m = TR_NEW(t, Ambit__Waypoint__Policy, ambit__waypoint__policy__init);
	m->namespace_ = tr_text(t, p->namespace_);
	m->name = tr_text(t, p->name);
	m->action = action;
	m->dry_run = ap_slice_eq_text(ap_resource_annotation(p, "istio.io/dry-run"), "true");
	AP_DOC_FOR(rule, ap_doc_get(p->spec, "rules"))
		tr_push(t, &m->rules, &m->n_rules, rule_of(t, p, rule));
	struct ap_xds_put put = { .name = p->path, .scope = scope };
	tr_put(t, CP_SET_POLICY, &put, m);
}

void
tr_policies(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "security.istio.io", "AuthorizationPolicy");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;)
		translate(t, e->value);
}

/* --- LuaPolicy -------------------------------------------------------------------------------------------------------------------- */

static uint32_t
memory_kib(const struct ap_doc *limits)
{
	const struct ap_doc *d = ap_doc_get(limits, "memory");
	uint64_t n = 0;
	if (ap_doc_is(d, AP_DOC_INT) && d->integer > 0)
		n = (uint64_t)d->integer;
	else if (ap_doc_is(d, AP_DOC_STRING) && ap_text_to_size(d->string, &n) != 0)
		n = 0;
	return (uint32_t)AP_MIN(n / 1024, (uint64_t)1024 * 1024);
}

/* Whom a script on connections is for. */
static void
lua_targets(struct tr *t, const struct ap_resource *p, Ambit__Waypoint__LuaPolicy *m)
{
	AP_DOC_FOR(d, ap_policy_selector(p)) {
		if (d->type != AP_DOC_STRING)
			continue;
		Ambit__Waypoint__LuaPolicy__SelectorEntry *e = TR_NEW(
		    t, Ambit__Waypoint__LuaPolicy__SelectorEntry, ambit__waypoint__lua_policy__selector_entry__init);
		e->key = tr_text(t, d->key);
		e->value = tr_text(t, d->string);
		tr_push(t, &m->selector, &m->n_selector, e);
	}
	AP_DOC_FOR(ref, ap_policy_target_refs(p))
		for (size_t i = 0; i < t->r->service_count; i++)
			if (ap_target_ref_is(ref, t->r->services[i], p->namespace_))
				tr_push(t, &m->services, &m->n_services, tr_text(t, t->r->services[i]->key));
	/* Targets that are not there are not the same as none. */
	if (ap_policy_target_refs(p) != NULL && m->n_services == 0)
		tr_push(t, &m->services, &m->n_services, tr_text(t, AP_S("-")));
}

/* Policies for connections go to every ztunnel; they decide themselves whom they concern. */
static void
translate_lua(struct tr *t, const struct ap_resource *p)
{
	unsigned hooks = ap_lua_policy_hooks(p);
	struct ap_slice scope = scope_of(t, p);
	if ((hooks & AP_HOOK_CONNECT) != 0)
		scope = ap_slice_of(tr_printf(t, "%s%s%.*s", CP_SCOPE_ZTUNNEL, scope.len > 0 ? "\n" : "", AP_FMT(scope)));
	if (scope.len == 0)
		return;
	Ambit__Waypoint__LuaPolicy *m = TR_NEW(t, Ambit__Waypoint__LuaPolicy, ambit__waypoint__lua_policy__init);
	const struct ap_doc *limits = ap_doc_get(p->spec, "limits");
	m->namespace_ = tr_text(t, p->namespace_);
	m->name = tr_text(t, p->name);
	m->source = tr_text(t, ap_doc_string(p->spec, "source", ""));
	m->max_instructions = (uint32_t)AP_MIN(ap_doc_int(limits, "instructions", 0), (int64_t)100000000);
	m->max_memory_kib = memory_kib(limits);
	m->allow_on_error = ap_slice_eq_text(ap_doc_string(p->spec, "onError", "deny"), "allow");
	m->on_connect = (hooks & AP_HOOK_CONNECT) != 0;
	m->on_request = (hooks & AP_HOOK_REQUEST) != 0;
	m->on_response = (hooks & AP_HOOK_RESPONSE) != 0;
	m->version = tr_printf(t, "%lld", (long long)p->generation);
	if (m->on_connect)
		lua_targets(t, p, m);
	struct ap_xds_put put = { .name = p->path, .scope = scope };
	tr_put(t, CP_SET_LUA, &put, m);
}

void
tr_lua_policies(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "ambit.mesh", "LuaPolicy");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;)
		translate_lua(t, e->value);
}

/* --- For a Host -------------------------------------------------------------------------------------------------------------------- */

struct named {
	const struct ap_resource *resource;
	int64_t order; /* lower first */
};

static int
compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return ap_slice_cmp(x->resource->path, y->resource->path);
}

static void
push_named(struct tr *t, struct named *list, size_t n, char ***items, size_t *count)
{
	if (n > 1)
		qsort(list, n, sizeof(*list), compare_named);
	for (size_t i = 0; i < n; i++)
		tr_push(t, items, count, tr_text(t, list[i].resource->path));
}

void
tr_host_policies(struct tr *t, const struct ap_need *n, const struct ap_reg_service *s, Ambit__Waypoint__Host *h)
{
	AP_VEC(struct named) list = { 0 };
	const struct ap_map *all = ap_resources_of(t->in->resources, "security.istio.io", "AuthorizationPolicy");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		Ambit__Waypoint__Policy__Action action;
		if (action_of(e->value, &action) && concerns(t, e->value, n, s))
			ap_vec_push(&list, (struct named){ .resource = e->value,
			                       .order = action == AMBIT__WAYPOINT__POLICY__ACTION__DENY ? 0 : 1 });
	}
	push_named(t, list.items, list.count, &h->policies, &h->n_policies);
	ap_vec_done(&list);
	all = ap_resources_of(t->in->resources, "ambit.mesh", "LuaPolicy");
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *p = e->value;
		if ((ap_lua_policy_hooks(p) & (AP_HOOK_REQUEST | AP_HOOK_RESPONSE)) != 0 && concerns(t, p, n, s))
			ap_vec_push(&list, (struct named){ .resource = p, .order = ap_doc_int(p->spec, "priority", 0) });
	}
	push_named(t, list.items, list.count, &h->lua_policies, &h->n_lua_policies);
	ap_vec_done(&list);
}
