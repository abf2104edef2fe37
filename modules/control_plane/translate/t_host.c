/*
 * t_host.c -- the waypoints' Hosts: each service of each need, with its subsets, aliases, policies and, port by port, its routes.
 *
 * Families are not mixed on one port: HTTPRoute comes before VirtualService, and that before RouteTable.  Hosts are compiled before
 * their service is bound, so that the waypoint can become ready first.
 */
#include <stdlib.h>
#include <string.h>

#include "control_plane/translate/t_route.h"

#define RULES_MAX 64

/* --- Subsets and load balancing --------------------------------------------------------------------------------------------------- */

static bool
has_subset(const Ambit__Waypoint__Host *h, struct ap_slice name)
{
	for (size_t i = 0; i < h->n_subsets; i++)
		if (ap_slice_eq_text(name, h->subsets[i]->name))
			return true;
	return false;
}

static void
subsets(struct tr *t, const struct ap_reg_service *s, Ambit__Waypoint__Host *h)
{
	const struct ap_resource *rules[RULES_MAX];
	size_t n = tr_rules_of(t, s, rules, RULES_MAX);
	for (size_t i = 0; i < n; i++)
		AP_DOC_FOR(d, ap_doc_get(rules[i]->spec, "subsets")) {
			struct ap_slice name = ap_doc_string(d, "name", "");
			if (has_subset(h, name))
				continue;
			Ambit__Waypoint__Subset *m = TR_NEW(t, Ambit__Waypoint__Subset, ambit__waypoint__subset__init);
			m->name = tr_text(t, name);
			AP_DOC_FOR(l, ap_doc_get(d, "labels")) {
				if (l->type != AP_DOC_STRING)
					continue;
				Ambit__Waypoint__Subset__LabelsEntry *e = TR_NEW(
				    t, Ambit__Waypoint__Subset__LabelsEntry, ambit__waypoint__subset__labels_entry__init);
				e->key = tr_text(t, l->key);
				e->value = tr_text(t, l->string);
				tr_push(t, &m->labels, &m->n_labels, e);
			}
			tr_push(t, &h->subsets, &h->n_subsets, m);
		}
}

static Ambit__Waypoint__LoadBalancer *
balancer_of(struct tr *t, const struct ap_doc *lb)
{
	if (!ap_doc_is(lb, AP_DOC_MAP))
		return NULL;
	Ambit__Waypoint__LoadBalancer *m = TR_NEW(t, Ambit__Waypoint__LoadBalancer, ambit__waypoint__load_balancer__init);
	const struct ap_doc *hash = ap_doc_get(lb, "consistentHash");
	struct ap_slice simple = ap_doc_string(lb, "simple", "");
	m->policy = AMBIT__WAYPOINT__LOAD_BALANCER__POLICY__LEAST_REQUEST; /* Istio's default */
	if (ap_slice_eq_text(simple, "ROUND_ROBIN"))
		m->policy = AMBIT__WAYPOINT__LOAD_BALANCER__POLICY__ROUND_ROBIN;
	else if (ap_slice_eq_text(simple, "RANDOM"))
		m->policy = AMBIT__WAYPOINT__LOAD_BALANCER__POLICY__RANDOM;
	if (ap_doc_string(hash, "httpHeaderName", "").len > 0) {
		m->policy = AMBIT__WAYPOINT__LOAD_BALANCER__POLICY__HASH_HEADER;
		m->hash_name = tr_text(t, ap_doc_string(hash, "httpHeaderName", ""));
	} else if (ap_doc_get(hash, "httpCookie") != NULL) {
		m->policy = AMBIT__WAYPOINT__LOAD_BALANCER__POLICY__HASH_COOKIE;
		m->hash_name = tr_text(t, ap_doc_string(ap_doc_get(hash, "httpCookie"), "name", ""));
	} else if (ap_doc_string(hash, "httpQueryParameterName", "").len > 0) {
		m->policy = AMBIT__WAYPOINT__LOAD_BALANCER__POLICY__HASH_QUERY;
		m->hash_name = tr_text(t, ap_doc_string(hash, "httpQueryParameterName", ""));
	} else if (ap_doc_bool(hash, "useSourceIp", false)) {
		m->policy = AMBIT__WAYPOINT__LOAD_BALANCER__POLICY__HASH_SOURCE;
	}
	return m;
}

static Ambit__Waypoint__LoadBalancer *
balancer(struct tr *t, const struct ap_reg_service *s)
{
	const struct ap_resource *rules[RULES_MAX];
	size_t n = tr_rules_of(t, s, rules, RULES_MAX);
	for (size_t i = 0; i < n; i++) {
		Ambit__Waypoint__LoadBalancer *m = balancer_of(t, ap_doc_path(rules[i]->spec, "trafficPolicy.loadBalancer"));
		if (m != NULL)
			return m;
	}
	return NULL;
}

/* --- Ports -------------------------------------------------------------------------------------------------------------------------- */

static Ambit__Waypoint__Protocol
protocol(enum ap_reg_protocol p)
{
	switch (p) {
	case AP_REG_HTTP:
		return AMBIT__WAYPOINT__PROTOCOL__HTTP;
	case AP_REG_HTTP2:
	case AP_REG_GRPC:
		return AMBIT__WAYPOINT__PROTOCOL__HTTP2;
	case AP_REG_TCP:
	case AP_REG_TLS:
		return AMBIT__WAYPOINT__PROTOCOL__TCP;
	case AP_REG_UNKNOWN:
		break;
	}
	return AMBIT__WAYPOINT__PROTOCOL__AUTO;
}

/* Without any route of its own the port still needs one where its load balancing is said. */
static void
plain_route(struct tr *t, const struct tr_target *to, Ambit__Waypoint__LoadBalancer *lb)
{
	if (lb == NULL || !ap_reg_is_http(to->port->protocol))
		return;
	Ambit__Waypoint__Route *r = tr_route_new(t, to->out);
	r->name = tr_text(t, AP_S("default"));
	Ambit__Waypoint__Destination *d = tr_destination_new(t);
	tr_destination_to(t, d, to->service, 0, to);
	tr_push(t, &r->destinations, &r->n_destinations, d);
	tr_default_retry(t, r);
}

static void
port(struct tr *t, const struct ap_need *n, const struct ap_reg_service *s, size_t i, Ambit__Waypoint__Host *h)
{
	Ambit__Waypoint__Port *p = TR_NEW(t, Ambit__Waypoint__Port, ambit__waypoint__port__init);
	p->number = s->ports[i].number;
	p->protocol = protocol(s->ports[i].protocol);
	struct tr_target to = { .service = s, .need = n, .port = &s->ports[i], .out = p };
	Ambit__Waypoint__LoadBalancer *lb = balancer(t, s);
	bool routed = tr_http_routes(t, &to) || tr_virtual_services(t, &to) || tr_route_tables(t, &to);
	if (routed && p->n_routes == 0) {
		/* Every route names another port: nothing matches here, which is not the same as having no routes. */
		Ambit__Waypoint__Route *none = tr_route_new(t, p);
		none->name = tr_text(t, AP_S("none"));
		tr_direct(t, none, 404, AP_SLICE_NONE);
	} else if (!routed) {
		plain_route(t, &to, lb);
	}
	for (size_t k = 0; lb != NULL && k < p->n_routes; k++)
		p->routes[k]->load_balancer = lb;
	tr_push(t, &h->ports, &h->n_ports, p);
}

/* --- Hosts --------------------------------------------------------------------------------------------------------------------------- */

static void
aliases(struct tr *t, const struct ap_reg_service *s, Ambit__Waypoint__Host *h)
{
	if (s->is_entry)
		return;
	tr_push(t, &h->aliases, &h->n_aliases, tr_text(t, s->name));
	tr_push(t, &h->aliases, &h->n_aliases, tr_printf(t, "%.*s.%.*s", AP_FMT(s->name), AP_FMT(s->namespace_)));
	tr_push(t, &h->aliases, &h->n_aliases, tr_printf(t, "%.*s.%.*s.svc", AP_FMT(s->name), AP_FMT(s->namespace_)));
}

static void
put_host(struct tr *t, const struct ap_need *n, const struct ap_reg_service *s)
{
	Ambit__Waypoint__Host *h = TR_NEW(t, Ambit__Waypoint__Host, ambit__waypoint__host__init);
	h->namespace_ = tr_text(t, s->namespace_);
	h->hostname = tr_text(t, s->hostname);
	for (size_t i = 0; i < s->port_count; i++)
		port(t, n, s, i, h);
	subsets(t, s, h);
	aliases(t, s, h);
	tr_host_policies(t, n, s, h);
	struct ap_xds_put put = { .name = s->key,
		.scope = ap_slice_of(tr_printf(t, "%.*s/%.*s", AP_FMT(n->namespace_), AP_FMT(n->name))) };
	tr_put(t, CP_SET_HOST, &put, h);
}

void
tr_note_destination_rules(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "networking.istio.io", "DestinationRule");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *dr = e->value;
		struct ap_slice host = ap_doc_string(dr->spec, "host", "");
		bool found = ap_registry_find(t->r, host, dr->namespace_) != NULL;
		for (size_t k = 0; !found && ap_slice_find(host, '*') != SIZE_MAX && k < t->r->service_count; k++)
			found = ap_host_matches(host, t->r->services[k]->hostname);
		tr_note(t, dr, "ResolvedRefs", found, found ? "ResolvedRefs" : "HostNotFound",
		    found ? AP_S("the host exists")
		          : ap_slice_of(tr_printf(t, "there is no service %.*s",
		                AP_FMT(ap_registry_fqdn(t->r, host, dr->namespace_)))));
	}
}

void
tr_hosts(struct tr *t)
{
	for (size_t i = 0; i < t->needs->count; i++)
		for (size_t k = 0; k < t->needs->items[i]->service_count; k++)
			put_host(t, t->needs->items[i], t->needs->items[i]->services[k]);
	tr_note_http_routes(t);
	tr_note_virtual_services(t);
	tr_note_route_tables(t);
	tr_note_destination_rules(t);
}
