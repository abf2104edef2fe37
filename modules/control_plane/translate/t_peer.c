/*
 * t_peer.c -- PeerAuthentication as synthetic DENY policies (istio-ambient.md 4.5), and the two policies per waypoint that make it
 * the only way in and always a way in.
 */
#include <string.h>

#include "base/text.h"
#include "control_plane/translate/tr.h"

#define STRICT_NAME "istio_converted_static_strict"

enum mode { MODE_UNSET, MODE_PERMISSIVE, MODE_STRICT };

static enum mode
mode_of(const struct ap_doc *mtls)
{
	struct ap_slice m = ap_doc_string(mtls, "mode", "UNSET");
	if (ap_slice_eq_text(m, "STRICT"))
		return MODE_STRICT;
	/* DISABLE asks for plaintext, which a ztunnel takes beside mTLS. */
	return ap_slice_eq_text(m, "PERMISSIVE") || ap_slice_eq_text(m, "DISABLE") ? MODE_PERMISSIVE : MODE_UNSET;
}

/* The oldest PeerAuthentication of each level for a workload. */
struct levels {
	const struct ap_resource *workload, *namespace_, *mesh;
};

static void
find_levels(const struct tr *t, const struct ap_reg_workload *w, struct levels *out)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "security.istio.io", "PeerAuthentication");
	struct ap_map_entry *e;
	*out = (struct levels){ 0 };
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *p = e->value;
		const struct ap_doc *selector = ap_policy_selector(p);
		const struct ap_resource **slot = NULL;
		if (selector != NULL) {
			if (ap_slice_eq(p->namespace_, w->namespace_) && ap_labels_match(selector, w->labels))
				slot = &out->workload;
		} else if (tr_is_root(t, p->namespace_)) {
			slot = &out->mesh;
		} else if (ap_slice_eq(p->namespace_, w->namespace_)) {
			slot = &out->namespace_;
		}
		if (slot != NULL && (*slot == NULL || tr_is_older(p, *slot)))
			*slot = p;
	}
}

static enum mode
effective(const struct levels *l)
{
	const struct ap_resource *order[] = { l->workload, l->namespace_, l->mesh };
	for (size_t i = 0; i < AP_COUNTOF(order); i++) {
		enum mode m = order[i] == NULL ? MODE_UNSET : mode_of(ap_doc_get(order[i]->spec, "mtls"));
		if (m != MODE_UNSET)
			return m;
	}
	return MODE_PERMISSIVE;
}

static void
add_port(struct tr *t, uint32_t **items, size_t *count, size_t most, uint32_t port)
{
	if (*items == NULL)
		*items = ap_arena_zalloc(t->arena, most * sizeof(uint32_t));
	AP_CHECK(*items != NULL);
	for (size_t i = 0; i < *count; i++)
		if ((*items)[i] == port)
			return;
	if (*count < most)
		(*items)[(*count)++] = port;
}

static void
deny_plaintext(struct tr *t, Istio__Security__Group *g)
{
	Istio__Security__Match *m = tr_authz_rule(t, g);
	tr_push(t, &m->not_principals, &m->n_not_principals, tr_string_match(t, AP_S("*")));
}

/* The DENY for a PeerAuthentication with ports of their own: all ports but the permissive ones, or the strict ones alone. NULL when the
 * ports change nothing. */
static Istio__Security__Authorization *
port_policy(struct tr *t, const struct ap_resource *p, enum mode mode)
{
	const struct ap_doc *list = ap_doc_get(p->spec, "portLevelMtls");
	size_t most = list == NULL ? 0 : list->count;
	uint32_t *ports = NULL;
	size_t count = 0;
	AP_DOC_FOR(d, list) {
		uint64_t port;
		enum mode m = mode_of(d);
		if (m != MODE_UNSET && m != mode && ap_text_to_u64(d->key, 65535, &port) == 0)
			add_port(t, &ports, &count, most, (uint32_t)port);
	}
	if (count == 0)
		return NULL;
	char *name = tr_printf(t, "converted_peer_authentication_%.*s", AP_FMT(p->name));
	Istio__Security__Authorization *a = tr_authz_new(t, p->namespace_, name, true);
	Istio__Security__Group *g = tr_authz_group(t, a);
	deny_plaintext(t, g);
	Istio__Security__Match *m = tr_authz_rule(t, g);
	if (mode == MODE_STRICT) {
		m->not_destination_ports = ports;
		m->n_not_destination_ports = count;
	} else {
		m->destination_ports = ports;
		m->n_destination_ports = count;
	}
	return a;
}

void
tr_peer_authentications(struct tr *t)
{
	if (ap_resources_of(t->in->resources, "security.istio.io", "PeerAuthentication")->count == 0)
		return;
	struct ap_slice root = t->in->root_namespace.len > 0 ? t->in->root_namespace : ap_root_namespaces[0];
	Istio__Security__Authorization *strict = tr_authz_new(t, root, STRICT_NAME, true);
	deny_plaintext(t, tr_authz_group(t, strict));
	bool used = false;
	struct ap_map put = { 0 };
	for (size_t i = 0; i < t->r->workload_count; i++) {
		struct tr_workload *w = &t->workloads[i];
		struct levels l;
		if (w->w->external)
			continue;
		find_levels(t, w->w, &l);
		enum mode mode = effective(&l);
		Istio__Security__Authorization *ports = l.workload == NULL ? NULL : port_policy(t, l.workload, mode);
		if (ports != NULL) {
			tr_attach(t, w, ports);
			if (ap_map_put(&put, l.workload->key, ports) == NULL)
				tr_authz_put(t, ports);
		} else if (mode == MODE_STRICT) {
			tr_attach(t, w, strict);
			used = true;
		}
	}
	if (used)
		tr_authz_put(t, strict);
	ap_map_done(&put, NULL);
}

/* --- Waypoints ------------------------------------------------------------------------------------------------------------------ */

#define PORTS_MAX 256

/* Every port of a workload by which a service of the need reaches it. */
static void
collect_ports(struct tr *t, const struct ap_reg_service *s, Istio__Security__Match *m)
{
	for (size_t e = 0; e < s->endpoint_count; e++)
		for (size_t p = 0; p < s->port_count; p++) {
			uint16_t target = ap_reg_target(s->endpoints[e], s, p);
			if (target != 0)
				add_port(t, &m->destination_ports, &m->n_destination_ports, PORTS_MAX, target);
		}
}

static bool
has_policy(const struct tr_workload *w, const char *name)
{
	for (size_t i = 0; i < w->policies.count; i++)
		if (strcmp(w->policies.items[i], name) == 0)
			return true;
	return false;
}

static size_t
attach_all(struct tr *t, const struct ap_need *n, const Istio__Security__Authorization *a, bool deny)
{
	size_t attached = 0;
	char *name = tr_printf(t, "%s/%s", a->namespace_, a->name);
	for (size_t i = 0; i < n->service_count; i++) {
		const struct ap_reg_service *s = n->services[i];
		if (deny ? !ap_need_enforces(n, s) : !tr_is_bound(n, s))
			continue;
		for (size_t e = 0; e < s->endpoint_count; e++) {
			struct tr_workload *w = tr_workload_of(t, s->endpoints[e]);
			/* An allow-list where there was none would deny everybody else. */
			if (w == NULL || !(deny || w->has_allow) || has_policy(w, name))
				continue;
			tr_attach(t, w, a);
			attached++;
		}
	}
	return attached;
}

/* deny: only through the waypoint, for services whose policy it enforces. Else: the waypoint stands on every allow-list. */
static void
guard(struct tr *t, const struct ap_need *n, bool deny)
{
	char *name = tr_printf(t, deny ? "ambit_require_waypoint_%.*s" : "ambit_allow_waypoint_%.*s", AP_FMT(n->name));
	Istio__Security__Authorization *a = tr_authz_new(t, n->namespace_, name, deny);
	Istio__Security__Group *g = tr_authz_group(t, a);
	Istio__Security__Match *who = tr_authz_rule(t, g), *where = tr_authz_rule(t, g);
	Istio__Security__StringMatch *principal = tr_string_match(t, ap_slice_of(tr_principal(t, n)));
	if (deny)
		tr_push(t, &who->not_principals, &who->n_not_principals, principal);
	else
		tr_push(t, &who->principals, &who->n_principals, principal);
	for (size_t i = 0; i < n->service_count; i++)
		if (deny ? ap_need_enforces(n, n->services[i]) : tr_is_bound(n, n->services[i]))
			collect_ports(t, n->services[i], where);
	if (where->n_destination_ports > 0 && attach_all(t, n, a, deny) > 0)
		tr_authz_put(t, a);
}

void
tr_waypoint_guards(struct tr *t)
{
	for (size_t i = 0; i < t->needs->count; i++) {
		guard(t, t->needs->items[i], true);
		guard(t, t->needs->items[i], false);
	}
}
