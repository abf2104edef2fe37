/*
 * t_authz.c -- AuthorizationPolicy as L4 policy of ztunnels, exactly as istio-ambient.md 4.5, and one thing more: behind a
 * waypoint the destination sees the waypoint's identity, so a DENY that the waypoint carries out with the client's true
 * identity leaves the waypoint itself alone here.
 */
#include <string.h>

#include "base/text.h"
#include "control_plane/translate/tr.h"

/* --- Building blocks ----------------------------------------------------------------------------------------------------- */

Istio__Security__Authorization *
tr_authz_new(struct tr *t, struct ap_slice namespace_, const char *name, bool deny)
{
	Istio__Security__Authorization *a = TR_NEW(t, Istio__Security__Authorization, istio__security__authorization__init);
	a->namespace_ = tr_text(t, namespace_);
	a->name = tr_text(t, ap_slice_of(name));
	a->action = deny ? ISTIO__SECURITY__ACTION__DENY : ISTIO__SECURITY__ACTION__ALLOW;
	a->scope = ISTIO__SECURITY__SCOPE__WORKLOAD_SELECTOR;
	return a;
}

void
tr_authz_put(struct tr *t, const Istio__Security__Authorization *a)
{
	char *name = tr_printf(t, "%s/%s", a->namespace_, a->name);
	struct ap_xds_put put = { .name = ap_slice_of(name) };
	tr_put(t, CP_SET_AUTHORIZATION, &put, a);
}

void
tr_attach(struct tr *t, struct tr_workload *w, const Istio__Security__Authorization *a)
{
	ap_vec_push(&w->policies, tr_printf(t, "%s/%s", a->namespace_, a->name));
}

Istio__Security__Group *
tr_authz_group(struct tr *t, Istio__Security__Authorization *a)
{
	Istio__Security__Group *g = TR_NEW(t, Istio__Security__Group, istio__security__group__init);
	tr_push(t, &a->groups, &a->n_groups, g);
	return g;
}

static Istio__Security__Match *
add_match(struct tr *t, Istio__Security__Rules *rules)
{
	Istio__Security__Match *m = TR_NEW(t, Istio__Security__Match, istio__security__match__init);
	tr_push(t, &rules->matches, &rules->n_matches, m);
	return m;
}

static Istio__Security__Rules *
add_rules(struct tr *t, Istio__Security__Group *g)
{
	Istio__Security__Rules *r = TR_NEW(t, Istio__Security__Rules, istio__security__rules__init);
	tr_push(t, &g->rules, &g->n_rules, r);
	return r;
}

Istio__Security__Match *
tr_authz_rule(struct tr *t, Istio__Security__Group *g)
{
	return add_match(t, add_rules(t, g));
}

Istio__Security__StringMatch *
tr_string_match(struct tr *t, struct ap_slice v)
{
	Istio__Security__StringMatch *m = TR_NEW(t, Istio__Security__StringMatch, istio__security__string_match__init);
	if (ap_slice_eq_text(v, "*")) {
		m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PRESENCE;
		m->presence = TR_NEW(t, Google__Protobuf__Empty, google__protobuf__empty__init);
	} else if (ap_slice_starts(v, AP_S("*"))) {
		m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_SUFFIX;
		m->suffix = tr_text(t, ap_slice_from(v, 1));
	} else if (ap_slice_ends(v, AP_S("*"))) {
		m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX;
		m->prefix = tr_text(t, ap_slice_sub(v, 0, v.len - 1));
	} else {
		m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_EXACT;
		m->exact = tr_text(t, v);
	}
	return m;
}

/* --- Values --------------------------------------------------------------------------------------------------------------- */

static void
strings(struct tr *t, const struct ap_doc *list, Istio__Security__StringMatch ***items, size_t *count)
{
	AP_DOC_FOR(d, list)
		if (d->type == AP_DOC_STRING)
			tr_push(t, items, count, tr_string_match(t, d->string));
}

static void
addresses(struct tr *t, const struct ap_doc *list, Istio__Security__Address ***items, size_t *count)
{
	AP_DOC_FOR(d, list) {
		struct ap_cidr c;
		if (d->type != AP_DOC_STRING || ap_cidr_parse(d->string, &c) != 0)
			continue;
		Istio__Security__Address *a = TR_NEW(t, Istio__Security__Address, istio__security__address__init);
		struct ap_slice bytes = ap_arena_copy(t->arena, ap_slice((const char *)c.ip.bytes, c.ip.len));
		a->address = (ProtobufCBinaryData){ .len = bytes.len, .data = (uint8_t *)(uintptr_t)bytes.ptr };
		a->length = c.bits;
		tr_push(t, items, count, a);
	}
}

static void
ports(struct tr *t, const struct ap_doc *list, uint32_t **items, size_t *count)
{
	if (list == NULL || list->count == 0)
		return;
	uint32_t *out = ap_arena_zalloc(t->arena, list->count * sizeof(uint32_t));
	AP_CHECK(out != NULL);
	*items = out;
	AP_DOC_FOR(d, list) {
		uint64_t v = 0;
		if (d->type == AP_DOC_INT && d->integer > 0 && d->integer < 65536)
			v = (uint64_t)d->integer;
		else if (d->type != AP_DOC_STRING || ap_text_to_u64(d->string, 65535, &v) != 0)
			continue;
		out[(*count)++] = (uint32_t)v;
	}
}

static void
accounts(struct tr *t, const struct ap_resource *policy, const struct ap_doc *list,
    Istio__Security__ServiceAccountMatch ***items, size_t *count)
{
	AP_DOC_FOR(d, list) {
		if (d->type != AP_DOC_STRING)
			continue;
		Istio__Security__ServiceAccountMatch *m =
		    TR_NEW(t, Istio__Security__ServiceAccountMatch, istio__security__service_account_match__init);
		struct ap_slice rest = d->string, ns = ap_slice_cut(&rest, '/');
		m->namespace_ = tr_text(t, rest.ptr == NULL ? policy->namespace_ : ns);
		m->serviceaccount = tr_text(t, rest.ptr == NULL ? ns : rest);
		tr_push(t, items, count, m);
	}
}

/* --- One API rule: one Group ---------------------------------------------------------------------------------------------- */

static void
from_block(struct tr *t, const struct ap_resource *policy, const struct ap_doc *source, Istio__Security__Match *m)
{
	strings(t, ap_doc_get(source, "principals"), &m->principals, &m->n_principals);
	strings(t, ap_doc_get(source, "notPrincipals"), &m->not_principals, &m->n_not_principals);
	strings(t, ap_doc_get(source, "namespaces"), &m->namespaces, &m->n_namespaces);
	strings(t, ap_doc_get(source, "notNamespaces"), &m->not_namespaces, &m->n_not_namespaces);
	addresses(t, ap_doc_get(source, "ipBlocks"), &m->source_ips, &m->n_source_ips);
	addresses(t, ap_doc_get(source, "notIpBlocks"), &m->not_source_ips, &m->n_not_source_ips);
	accounts(t, policy, ap_doc_get(source, "serviceAccounts"), &m->service_accounts, &m->n_service_accounts);
	accounts(t, policy, ap_doc_get(source, "notServiceAccounts"), &m->not_service_accounts, &m->n_not_service_accounts);
}

static void
when_block(struct tr *t, const struct ap_doc *when, Istio__Security__Match *m)
{
	struct ap_slice key = ap_doc_string(when, "key", "");
	const struct ap_doc *yes = ap_doc_get(when, "values"), *no = ap_doc_get(when, "notValues");
	if (ap_slice_eq_text(key, "source.ip")) {
		addresses(t, yes, &m->source_ips, &m->n_source_ips);
		addresses(t, no, &m->not_source_ips, &m->n_not_source_ips);
	} else if (ap_slice_eq_text(key, "source.namespace")) {
		strings(t, yes, &m->namespaces, &m->n_namespaces);
		strings(t, no, &m->not_namespaces, &m->n_not_namespaces);
	} else if (ap_slice_eq_text(key, "source.principal")) {
		strings(t, yes, &m->principals, &m->n_principals);
		strings(t, no, &m->not_principals, &m->n_not_principals);
	} else if (ap_slice_eq_text(key, "destination.ip")) {
		addresses(t, yes, &m->destination_ips, &m->n_destination_ips);
		addresses(t, no, &m->not_destination_ips, &m->n_not_destination_ips);
	} else if (ap_slice_eq_text(key, "destination.port")) {
		ports(t, yes, &m->destination_ports, &m->n_destination_ports);
		ports(t, no, &m->not_destination_ports, &m->n_not_destination_ports);
	}
	/* Other keys leave the match without a field: it never matches. */
}

static Istio__Security__Group *
group_of(struct tr *t, const struct ap_resource *policy, const struct ap_doc *rule, Istio__Security__Authorization *a)
{
	Istio__Security__Group *g = tr_authz_group(t, a);
	const struct ap_doc *to = ap_doc_get(rule, "to"), *from = ap_doc_get(rule, "from");
	Istio__Security__Rules *r = NULL;
	AP_DOC_FOR(d, to) {
		const struct ap_doc *op = ap_doc_get(d, "operation");
		if (r == NULL)
			r = add_rules(t, g);
		Istio__Security__Match *m = add_match(t, r);
		ports(t, ap_doc_get(op, "ports"), &m->destination_ports, &m->n_destination_ports);
		ports(t, ap_doc_get(op, "notPorts"), &m->not_destination_ports, &m->n_not_destination_ports);
	}
	r = NULL;
	AP_DOC_FOR(d, from) {
		if (r == NULL)
			r = add_rules(t, g);
		from_block(t, policy, ap_doc_get(d, "source"), add_match(t, r));
	}
	AP_DOC_FOR(d, ap_doc_get(rule, "when"))
		when_block(t, d, tr_authz_rule(t, g));
	return g;
}

/* --- Whom it covers -------------------------------------------------------------------------------------------------------- */

static bool
covers(const struct tr *t, const struct ap_resource *p, const struct ap_reg_workload *w)
{
	const struct ap_doc *selector = ap_policy_selector(p);
	if (!tr_is_root(t, p->namespace_) && !ap_slice_eq(p->namespace_, w->namespace_))
		return false;
	return selector == NULL || ap_labels_match(selector, w->labels);
}

/* The waypoints that carry this policy out for workloads that it covers: not denied here for who they are. */
static void
spare_waypoints(struct tr *t, const struct ap_resource *p, Istio__Security__Authorization *a)
{
	struct ap_map seen = { 0 };
	AP_VEC(const struct ap_need *) list = { 0 };
	for (size_t i = 0; i < t->r->workload_count; i++) {
		struct tr_workload *w = &t->workloads[i];
		if (w->waypoints.count == 0 || !covers(t, p, w->w))
			continue;
		for (size_t k = 0; k < w->waypoints.count; k++) {
			const struct ap_need *n = w->waypoints.items[k];
			if (ap_map_put(&seen, n->identity, w) == NULL)
				ap_vec_push(&list, n);
		}
	}
	for (size_t g = 0; list.count > 0 && g < a->n_groups; g++) {
		Istio__Security__Match *m = tr_authz_rule(t, a->groups[g]);
		for (size_t k = 0; k < list.count; k++)
			tr_push(t, &m->not_principals, &m->n_not_principals,
			    tr_string_match(t, ap_slice_of(tr_principal(t, list.items[k]))));
	}
	ap_map_done(&seen, NULL);
	ap_vec_done(&list);
}

/* --- The policy ------------------------------------------------------------------------------------------------------------- */

static void
attach_policy(struct tr *t, const struct ap_resource *p, const Istio__Security__Authorization *a, bool by_name)
{
	for (size_t i = 0; i < t->r->workload_count; i++) {
		struct tr_workload *w = &t->workloads[i];
		if (!covers(t, p, w->w))
			continue;
		if (a->action == ISTIO__SECURITY__ACTION__ALLOW)
			w->has_allow = true;
		if (by_name)
			tr_attach(t, w, a);
	}
}

static void
note_l7(struct tr *t, const struct ap_resource *p, bool deny, struct ap_slice field)
{
	if (field.len == 0) {
		tr_note(t, p, "ZtunnelAccepted", true, "Accepted", AP_S("attached to ztunnel"));
		return;
	}
	tr_note(t, p, "ZtunnelAccepted", false, "UnsupportedValue",
	    ap_slice_of(tr_printf(t,
	        deny ? "ztunnel does not know HTTP (%.*s): the rule is enforced by the waypoint; at ztunnel HTTP fields are left out, "
	               "so that it denies no less"
	             : "ztunnel does not know HTTP (%.*s): the rule is enforced by the waypoint; at ztunnel it allows nothing",
	        AP_FMT(field))));
}

static void
translate(struct tr *t, const struct ap_resource *p)
{
	struct ap_slice action = ap_doc_string(p->spec, "action", "ALLOW");
	bool deny = ap_slice_eq_text(action, "DENY");
	if (!deny && !ap_slice_eq_text(action, "ALLOW")) {
		tr_note(t, p, "ZtunnelAccepted", false, "UnsupportedValue",
		    ap_slice_of(tr_printf(t, "ztunnel does not support action %.*s", AP_FMT(action))));
		return;
	}
	if (ap_slice_eq_text(ap_resource_annotation(p, "istio.io/dry-run"), "true")) {
		tr_note(t, p, "ZtunnelAccepted", false, "UnsupportedValue", AP_S("ztunnel does not take dry-run policies"));
		return;
	}
	Istio__Security__Authorization *a = tr_authz_new(t, p->namespace_, p->name.ptr, deny);
	bool by_name = ap_policy_selector(p) != NULL;
	if (!by_name)
		a->scope = tr_is_root(t, p->namespace_) ? ISTIO__SECURITY__SCOPE__GLOBAL : ISTIO__SECURITY__SCOPE__NAMESPACE;
	struct ap_slice first = AP_SLICE_NONE;
	unsigned index = 0;
	AP_DOC_FOR(rule, ap_doc_get(p->spec, "rules")) {
		struct ap_slice field = AP_SLICE_NONE;
		bool l7 = ap_authz_rule_needs_http(t->arena, rule, index++, &field);
		if (first.len == 0)
			first = field;
		if (l7 && !deny)
			continue; /* allowing by what is left would allow more than was written */
		group_of(t, p, rule, a);
	}
	if (deny)
		spare_waypoints(t, p, a);
	tr_authz_put(t, a);
	attach_policy(t, p, a, by_name);
	note_l7(t, p, deny, first);
}

void
tr_authorizations(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "security.istio.io", "AuthorizationPolicy");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *p = e->value;
		if (ap_policy_target_refs(p) == NULL && ap_doc_get(p->spec, "targetRef") == NULL)
			translate(t, p);
	}
}
