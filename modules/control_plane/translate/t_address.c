/* t_address.c -- services and workloads as istio.workload.Address (istio-ambient.md 2.5, 2.6), with the waypoint that each is bound to. */
#include <stdlib.h>
#include <string.h>

#include "control_plane/translate/tr.h"
#include "xds/pb.h"

#include "ambit/workload.pb-c.h"

#define TYPE_LABELS "type.googleapis.com/ambit.workload.Labels"

static void
put_address(struct tr *t, const struct ap_xds_put *put, Istio__Workload__Workload *w, Istio__Workload__Service *s)
{
	Istio__Workload__Address a;
	istio__workload__address__init(&a);
	if (w != NULL) {
		a.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD;
		a.workload = w;
	} else {
		a.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE;
		a.service = s;
	}
	tr_put(t, CP_SET_ADDRESS, put, &a);
}

static ProtobufCBinaryData
ip_bytes(struct tr *t, const struct ap_ip *ip)
{
	struct ap_slice b = ap_arena_copy(t->arena, ap_slice((const char *)ip->bytes, ip->len));
	return (ProtobufCBinaryData){ .len = b.len, .data = (uint8_t *)(uintptr_t)b.ptr };
}

struct aliases {
	AP_VEC(struct ap_slice) list;
};

static void
add_alias(struct tr *t, struct aliases *a, struct ap_slice network, const struct ap_ip *ip)
{
	char text[AP_ADDR_TEXT];
	ap_vec_push(&a->list,
	    ap_slice_of(tr_printf(t, "%.*s/%s", AP_FMT(network), ap_ip_format(ip, text, sizeof(text)))));
}

/* --- Services ------------------------------------------------------------------------------------------------------------- */

static Istio__Workload__GatewayAddress *
gateway_address(struct tr *t, const struct ap_need *n)
{
	Istio__Workload__GatewayAddress *g =
	    TR_NEW(t, Istio__Workload__GatewayAddress, istio__workload__gateway_address__init);
	g->destination_case = ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_HOSTNAME;
	g->hostname = TR_NEW(t, Istio__Workload__NamespacedHostname, istio__workload__namespaced_hostname__init);
	g->hostname->namespace_ = tr_text(t, n->namespace_);
	g->hostname->hostname = tr_printf(
	    t, "%.*s.%.*s.svc.%.*s", AP_FMT(n->name), AP_FMT(n->namespace_), AP_FMT(t->r->cluster_domain));
	g->hbone_mtls_port = AP_WAYPOINT_PORT;
	return g;
}

static void
prefer(struct tr *t, Istio__Workload__LoadBalancing *lb, const Istio__Workload__LoadBalancing__Scope *scopes, size_t count,
    Istio__Workload__LoadBalancing__Mode mode)
{
	Istio__Workload__LoadBalancing__Scope *list = ap_arena_zalloc(t->arena, count * sizeof(*list));
	AP_CHECK(list != NULL);
	memcpy(list, scopes, count * sizeof(*list));
	lb->routing_preference = list;
	lb->n_routing_preference = count;
	lb->mode = mode;
}

#define SCOPE(name_) ISTIO__WORKLOAD__LOAD_BALANCING__SCOPE__##name_
#define LB_MODE(name_) ISTIO__WORKLOAD__LOAD_BALANCING__MODE__##name_

static struct ap_slice
distribution(const struct ap_reg_service *s)
{
	if (s->resource == NULL)
		return AP_SLICE_NONE;
	struct ap_slice d = ap_resource_annotation(s->resource, "networking.istio.io/traffic-distribution");
	return d.len > 0 ? d : ap_doc_string(s->resource->spec, "trafficDistribution", "");
}

static Istio__Workload__LoadBalancing *
load_balancing(struct tr *t, const struct ap_reg_service *s)
{
	static const Istio__Workload__LoadBalancing__Scope near[] = { SCOPE(NETWORK), SCOPE(REGION), SCOPE(ZONE),
		SCOPE(SUBZONE), SCOPE(NODE) };
	static const Istio__Workload__LoadBalancing__Scope node[] = { SCOPE(NODE) };
	Istio__Workload__LoadBalancing *lb =
	    TR_NEW(t, Istio__Workload__LoadBalancing, istio__workload__load_balancing__init);
	struct ap_slice d = distribution(s);
	bool local = s->resource != NULL && !s->is_entry &&
	             ap_slice_eq_text(ap_doc_string(s->resource->spec, "internalTrafficPolicy", ""), "Local");
	if (s->passthrough)
		lb->mode = LB_MODE(PASSTHROUGH);
	else if (local)
		prefer(t, lb, node, 1, LB_MODE(STRICT));
	else if (ap_slice_eq_text(d, "PreferClose") || ap_slice_eq_text(d, "PreferSameZone"))
		prefer(t, lb, near, 3, LB_MODE(FAILOVER));
	else if (ap_slice_eq_text(d, "PreferSameNode"))
		prefer(t, lb, near, 5, LB_MODE(FAILOVER));
	if (s->passthrough || s->publish_not_ready)
		lb->health_policy = ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL;
	bool plain = lb->mode == LB_MODE(UNSPECIFIED_MODE) &&
	             lb->health_policy == ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ONLY_HEALTHY;
	return plain ? NULL : lb;
}

static void
service_addresses(struct tr *t, const struct ap_reg_service *s, Istio__Workload__Service *m, struct aliases *aliases)
{
	for (size_t i = 0; i < s->address_count; i++) {
		const struct ap_cidr *c = &s->addresses[i];
		bool whole = c->bits == c->ip.len * 8;
		/* A host looks addresses up in its own network. */
		for (size_t k = 0; k < t->network_count; k++) {
			Istio__Workload__NetworkAddress *a =
			    TR_NEW(t, Istio__Workload__NetworkAddress, istio__workload__network_address__init);
			a->network = tr_text(t, t->networks[k]);
			a->address = ip_bytes(t, &c->ip);
			if (!whole) {
				a->has_length_case = ISTIO__WORKLOAD__NETWORK_ADDRESS__HAS_LENGTH_LENGTH;
				a->length = c->bits;
			}
			tr_push(t, &m->addresses, &m->n_addresses, a);
			if (whole)
				add_alias(t, aliases, t->networks[k], &c->ip);
		}
	}
}

static Istio__Workload__AppProtocol
app_protocol(enum ap_reg_protocol p)
{
	return (Istio__Workload__AppProtocol)p; /* the registry counts as the wire does */
}

static void
put_service(struct tr *t, const struct ap_reg_service *s)
{
	Istio__Workload__Service *m = TR_NEW(t, Istio__Workload__Service, istio__workload__service__init);
	struct aliases aliases = { 0 };
	m->name = tr_text(t, s->name);
	m->namespace_ = tr_text(t, s->namespace_);
	m->hostname = tr_text(t, s->hostname);
	m->canonical = !s->is_entry;
	service_addresses(t, s, m, &aliases);
	for (size_t i = 0; i < s->port_count; i++) {
		Istio__Workload__Port *p = TR_NEW(t, Istio__Workload__Port, istio__workload__port__init);
		p->service_port = s->ports[i].number;
		p->target_port = s->ports[i].target;
		p->app_protocol = app_protocol(s->ports[i].protocol);
		tr_push(t, &m->ports, &m->n_ports, p);
	}
	for (size_t i = 0; i < s->san_count; i++)
		tr_push(t, &m->subject_alt_names, &m->n_subject_alt_names, tr_text(t, s->sans[i]));
	m->load_balancing = load_balancing(t, s);
	const struct ap_need *n = ap_need_of(t->needs, s);
	if (tr_is_bound(n, s))
		m->waypoint = gateway_address(t, n);
	struct ap_xds_put put = { .name = s->key, .aliases = aliases.list.items, .alias_count = aliases.list.count };
	put_address(t, &put, NULL, m);
	ap_vec_done(&aliases.list);
}

/* --- Workloads ------------------------------------------------------------------------------------------------------------- */

static void
add_extension(struct tr *t, Istio__Workload__Workload *m, const char *name, const char *type_url, const void *message)
{
	Istio__Workload__Extension *x = TR_NEW(t, Istio__Workload__Extension, istio__workload__extension__init);
	x->name = tr_text(t, ap_slice_of(name));
	x->config = TR_NEW(t, Google__Protobuf__Any, google__protobuf__any__init);
	x->config->type_url = tr_text(t, ap_slice_of(type_url));
	struct ap_buf b;
	ap_buf_init(&b, (size_t)256 * 1024);
	ap_pb_pack(message, &b);
	struct ap_slice body = ap_arena_copy(t->arena, ap_buf_slice(&b));
	ap_buf_done(&b);
	x->config->value = (ProtobufCBinaryData){ .len = body.len, .data = (uint8_t *)(uintptr_t)body.ptr };
	tr_push(t, &m->extensions, &m->n_extensions, x);
}

static int
compare_label(const void *a, const void *b)
{
	const Ambit__Workload__Labels__LabelsEntry *x = *(Ambit__Workload__Labels__LabelsEntry *const *)a;
	const Ambit__Workload__Labels__LabelsEntry *y = *(Ambit__Workload__Labels__LabelsEntry *const *)b;
	return strcmp(x->key, y->key);
}

static void
add_labels(struct tr *t, const struct ap_reg_workload *w, Istio__Workload__Workload *m)
{
	Ambit__Workload__Labels labels;
	ambit__workload__labels__init(&labels);
	AP_DOC_FOR(d, w->labels) {
		if (d->type != AP_DOC_STRING)
			continue;
		Ambit__Workload__Labels__LabelsEntry *e =
		    TR_NEW(t, Ambit__Workload__Labels__LabelsEntry, ambit__workload__labels__labels_entry__init);
		e->key = tr_text(t, d->key);
		e->value = tr_text(t, d->string);
		tr_push(t, &labels.labels, &labels.n_labels, e);
	}
	if (labels.n_labels > 0)
		qsort(labels.labels, labels.n_labels, sizeof(*labels.labels), compare_label);
	/* Empty too: it tells Ambit's own proxies that the other end is one of them. */
	if (labels.n_labels > 0 || w->registered)
		add_extension(t, m, "ambit.labels", TYPE_LABELS, &labels);
}

static int
compare_membership(const void *a, const void *b)
{
	const struct ap_reg_membership *x = a, *y = b;
	return ap_slice_cmp(x->service->key, y->service->key);
}

static void
add_services(struct tr *t, const struct ap_reg_workload *w, Istio__Workload__Workload *m, struct aliases *groups)
{
	if (w->membership_count > 1)
		qsort(w->memberships, w->membership_count, sizeof(*w->memberships), compare_membership);
	for (size_t i = 0; i < w->membership_count; i++) {
		const struct ap_reg_service *s = w->memberships[i].service;
		Istio__Workload__Workload__ServicesEntry *e = TR_NEW(
		    t, Istio__Workload__Workload__ServicesEntry, istio__workload__workload__services_entry__init);
		e->key = tr_text(t, s->key);
		e->value = TR_NEW(t, Istio__Workload__PortList, istio__workload__port_list__init);
		for (size_t k = 0; k < s->port_count; k++) {
			uint16_t target = ap_reg_target(w, s, k);
			if (target == 0)
				continue; /* a named port that this endpoint does not have */
			Istio__Workload__Port *p = TR_NEW(t, Istio__Workload__Port, istio__workload__port__init);
			p->service_port = s->ports[k].number;
			p->target_port = target;
			p->app_protocol = app_protocol(s->ports[k].protocol);
			tr_push(t, &e->value->ports, &e->value->n_ports, p);
		}
		tr_push(t, &m->services, &m->n_services, e);
		ap_vec_push(&groups->list, s->key);
	}
}

static int
compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
add_policies(struct tr *t, struct tr_workload *tw, Istio__Workload__Workload *m)
{
	if (tw->policies.count > 1)
		qsort(tw->policies.items, tw->policies.count, sizeof(char *), compare_text);
	for (size_t i = 0; i < tw->policies.count; i++)
		if (i == 0 || strcmp(tw->policies.items[i], tw->policies.items[i - 1]) != 0)
			tr_push(t, &m->authorization_policies, &m->n_authorization_policies, tw->policies.items[i]);
}

static void
put_workload(struct tr *t, struct tr_workload *tw)
{
	const struct ap_reg_workload *w = tw->w;
	Istio__Workload__Workload *m = TR_NEW(t, Istio__Workload__Workload, istio__workload__workload__init);
	struct aliases aliases = { 0 }, groups = { 0 };
	m->uid = tr_text(t, w->uid);
	m->name = tr_text(t, w->name);
	m->namespace_ = tr_text(t, w->namespace_);
	m->network = tr_text(t, w->network);
	m->hostname = w->ip.len == 0 ? tr_text(t, w->hostname) : m->hostname;
	m->trust_domain = tr_text(t, t->r->trust_domain);
	m->service_account = tr_text(t, w->account);
	m->node = tr_text(t, w->host);
	m->canonical_name = tr_text(t, w->canonical_name);
	m->canonical_revision = tr_text(t, w->canonical_revision);
	m->workload_name = tr_text(t, w->workload_name);
	m->workload_type =
	    w->registered ? ISTIO__WORKLOAD__WORKLOAD_TYPE__DEPLOYMENT : ISTIO__WORKLOAD__WORKLOAD_TYPE__POD;
	m->cluster_id = tr_text(t, w->cluster);
	m->native_tunnel = w->native_tunnel;
	if (w->hbone)
		m->tunnel_protocol = ISTIO__WORKLOAD__TUNNEL_PROTOCOL__HBONE;
	if (!w->healthy)
		m->status = ISTIO__WORKLOAD__WORKLOAD_STATUS__UNHEALTHY;
	if (w->shared)
		m->network_mode = ISTIO__WORKLOAD__NETWORK_MODE__HOST_NETWORK;
	if (w->ip.len > 0) {
		ProtobufCBinaryData *a = ap_arena_zalloc(t->arena, sizeof(*a));
		AP_CHECK(a != NULL);
		*a = ip_bytes(t, &w->ip);
		m->addresses = a;
		m->n_addresses = 1;
		add_alias(t, &aliases, w->network, &w->ip);
	}
	if (w->region.len + w->zone.len + w->subzone.len > 0) {
		m->locality = TR_NEW(t, Istio__Workload__Locality, istio__workload__locality__init);
		m->locality->region = tr_text(t, w->region);
		m->locality->zone = tr_text(t, w->zone);
		m->locality->subzone = tr_text(t, w->subzone);
	}
	if (w->weight > 0) {
		m->capacity = TR_NEW(t, Google__Protobuf__UInt32Value, google__protobuf__uint32_value__init);
		m->capacity->value = w->weight;
	}
	add_policies(t, tw, m);
	add_services(t, w, m, &groups);
	add_labels(t, w, m);
	struct ap_xds_put put = { .name = w->uid, .aliases = aliases.list.items, .alias_count = aliases.list.count,
		.groups = groups.list.items, .group_count = groups.list.count };
	put_address(t, &put, m, NULL);
	ap_vec_done(&aliases.list);
	ap_vec_done(&groups.list);
}

/* --- What authors are told --------------------------------------------------------------------------------------------------- */

static void
note_binding(struct tr *t, const struct ap_reg_service *s)
{
	const struct ap_need *n = ap_need_of(t->needs, s);
	if (n == NULL || s->resource == NULL)
		return;
	bool ready = ap_gateway_was_ready(n->gateway);
	if (ready)
		tr_note(t, s->resource, "istio.io/WaypointBound", true, "WaypointAccepted",
		    ap_slice_of(tr_printf(t, "bound to %.*s/%.*s", AP_FMT(n->namespace_), AP_FMT(n->name))));
	else if (ap_need_enforces(n, s))
		tr_note(t, s->resource, "istio.io/WaypointBound", false, "WaypointIsNotReady",
		    ap_slice_of(tr_printf(t, "waypoint %.*s/%.*s is not ready; its policy is enforced: traffic is refused until it is",
		        AP_FMT(n->namespace_), AP_FMT(n->name))));
	else
		tr_note(t, s->resource, "istio.io/WaypointBound", false, "WaypointIsNotReady",
		    ap_slice_of(tr_printf(t, "waypoint %.*s/%.*s is not ready; traffic goes direct until it is", AP_FMT(n->namespace_),
		        AP_FMT(n->name))));
}

static void
note_refusals(struct tr *t)
{
	for (size_t i = 0; i < t->needs->refusal_count; i++) {
		const struct ap_need_refusal *r = &t->needs->refusals[i];
		if (strcmp(r->code, "OptedOut") == 0 && !r->security)
			continue;
		tr_note(t, r->service->resource, "istio.io/WaypointBound", false, r->code, r->text);
	}
}

void
tr_addresses(struct tr *t)
{
	for (size_t i = 0; i < t->r->service_count; i++) {
		put_service(t, t->r->services[i]);
		note_binding(t, t->r->services[i]);
	}
	for (size_t i = 0; i < t->r->workload_count; i++)
		put_workload(t, &t->workloads[i]);
	note_refusals(t);
}
