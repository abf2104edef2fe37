/* wire.h -- builds istio.workload and istio.security messages for the tests of the mesh floor. */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H
#include <stdint.h>
#include <string.h>

#include "ambit/workload.pb-c.h"
#include "base/addr.h"
#include "base/check.h"
#include "base/mem.h"
#include "istio/authorization.pb-c.h"
#include "istio/workload.pb-c.h"
#include "mesh/policy.h"
#include "mesh/table.h"

/* Short descriptions; texts of "" and zeros are left out. */
struct wire_workload {
	const char *uid, *ns, *sa, *ip, *network;
	const char *service;             /* "ns/host", or NULL */
	uint32_t service_port, target_port;
	const char *policies[4];
	const char *region, *zone, *node;
	const char *waypoint_ns, *waypoint_host;
	uint32_t capacity; /* 0: absent */
	bool unhealthy, plain, host_network;
	const char *label_name, *label_value;
};

struct wire_service {
	const char *ns, *host, *vip, *network;
	uint32_t prefix; /* 0: one address */
	uint32_t port, target_port;
	const char *waypoint_ns, *waypoint_host;
	int mode; /* Istio__Workload__LoadBalancing__Mode */
	int scopes[4];
	bool canonical, is_private, allow_unhealthy;
};

static char *
wire_text(const char *s)
{
	return ap_strdup(s == NULL ? "" : s);
}

static ProtobufCBinaryData
wire_ip(const char *text)
{
	struct ap_ip ip;
	ProtobufCBinaryData out = { 0 };

	AP_CHECK(ap_ip_parse(ap_slice_of(text), &ip) == 0);
	out.len = ip.len;
	out.data = ap_alloc(16);
	memcpy(out.data, ip.bytes, ip.len);
	return out;
}

static Istio__Workload__GatewayAddress *
wire_gateway(const char *ns, const char *host)
{
	Istio__Workload__GatewayAddress *g = ap_new(Istio__Workload__GatewayAddress);

	istio__workload__gateway_address__init(g);
	g->destination_case = ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_HOSTNAME;
	g->hostname = ap_new(Istio__Workload__NamespacedHostname);
	istio__workload__namespaced_hostname__init(g->hostname);
	g->hostname->namespace_ = wire_text(ns);
	g->hostname->hostname = wire_text(host);
	g->hbone_mtls_port = 15008;
	return g;
}

static Istio__Workload__Port *
wire_port(uint32_t service_port, uint32_t target_port)
{
	Istio__Workload__Port *p = ap_new(Istio__Workload__Port);

	istio__workload__port__init(p);
	p->service_port = service_port;
	p->target_port = target_port;
	return p;
}

/* Pack an Address into fresh memory and free the message. */
static struct ap_slice
wire_pack_address(Istio__Workload__Address *a)
{
	size_t size = istio__workload__address__get_packed_size(a);
	char *bytes = ap_alloc(size + 1);

	istio__workload__address__pack(a, (uint8_t *)bytes);
	istio__workload__address__free_unpacked(a, NULL);
	return ap_slice(bytes, size);
}

static void
wire_labels(Istio__Workload__Workload *m, const char *name, const char *value)
{
	Ambit__Workload__Labels labels;
	Ambit__Workload__Labels__LabelsEntry e, *list[1] = { &e };
	Istio__Workload__Extension *x = ap_new(Istio__Workload__Extension);

	ambit__workload__labels__init(&labels);
	ambit__workload__labels__labels_entry__init(&e);
	e.key = wire_text(name);
	e.value = wire_text(value);
	labels.n_labels = 1;
	labels.labels = list;
	istio__workload__extension__init(x);
	x->name = wire_text("ambit.labels");
	x->config = ap_new(Google__Protobuf__Any);
	google__protobuf__any__init(x->config);
	x->config->type_url = wire_text("type.googleapis.com/ambit.workload.Labels");
	x->config->value.len = ambit__workload__labels__get_packed_size(&labels);
	x->config->value.data = ap_alloc(x->config->value.len);
	ambit__workload__labels__pack(&labels, x->config->value.data);
	ap_free(&e.key);
	ap_free(&e.value);
	m->extensions = ap_alloc_array(1, sizeof(*m->extensions));
	m->extensions[m->n_extensions++] = x;
}

static struct ap_slice
wire_workload(const struct wire_workload *d)
{
	Istio__Workload__Address *a = ap_new(Istio__Workload__Address);
	Istio__Workload__Workload *m = ap_new(Istio__Workload__Workload);
	size_t i;

	istio__workload__address__init(a);
	istio__workload__workload__init(m);
	a->type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD;
	a->workload = m;
	m->uid = wire_text(d->uid);
	m->name = wire_text(d->uid);
	m->workload_name = wire_text(d->uid);
	m->canonical_name = wire_text(d->uid);
	m->namespace_ = wire_text(d->ns);
	m->service_account = wire_text(d->sa);
	m->network = wire_text(d->network);
	m->node = wire_text(d->node);
	m->tunnel_protocol =
	    d->plain ? ISTIO__WORKLOAD__TUNNEL_PROTOCOL__NONE : ISTIO__WORKLOAD__TUNNEL_PROTOCOL__HBONE;
	m->status = d->unhealthy ? ISTIO__WORKLOAD__WORKLOAD_STATUS__UNHEALTHY
	                         : ISTIO__WORKLOAD__WORKLOAD_STATUS__HEALTHY;
	m->network_mode = d->host_network ? ISTIO__WORKLOAD__NETWORK_MODE__HOST_NETWORK
	                                  : ISTIO__WORKLOAD__NETWORK_MODE__STANDARD;
	if (d->ip != NULL) {
		m->addresses = ap_alloc_array(1, sizeof(*m->addresses));
		m->addresses[m->n_addresses++] = wire_ip(d->ip);
	}
	if (d->region != NULL || d->zone != NULL) {
		m->locality = ap_new(Istio__Workload__Locality);
		istio__workload__locality__init(m->locality);
		m->locality->region = wire_text(d->region);
		m->locality->zone = wire_text(d->zone);
	}
	if (d->service != NULL) {
		Istio__Workload__Workload__ServicesEntry *e = ap_new(Istio__Workload__Workload__ServicesEntry);

		istio__workload__workload__services_entry__init(e);
		e->key = wire_text(d->service);
		e->value = ap_new(Istio__Workload__PortList);
		istio__workload__port_list__init(e->value);
		if (d->service_port != 0) {
			e->value->ports = ap_alloc_array(1, sizeof(*e->value->ports));
			e->value->ports[e->value->n_ports++] = wire_port(d->service_port, d->target_port);
		}
		m->services = ap_alloc_array(1, sizeof(*m->services));
		m->services[m->n_services++] = e;
	}
	m->authorization_policies = ap_alloc_array(4, sizeof(*m->authorization_policies));
	for (i = 0; i < 4 && d->policies[i] != NULL; i++)
		m->authorization_policies[m->n_authorization_policies++] = wire_text(d->policies[i]);
	if (d->waypoint_host != NULL)
		m->waypoint = wire_gateway(d->waypoint_ns, d->waypoint_host);
	if (d->capacity != 0) {
		m->capacity = ap_new(Google__Protobuf__UInt32Value);
		google__protobuf__uint32_value__init(m->capacity);
		m->capacity->value = d->capacity;
	}
	if (d->label_name != NULL)
		wire_labels(m, d->label_name, d->label_value);
	return wire_pack_address(a);
}

static struct ap_slice
wire_service(const struct wire_service *d)
{
	Istio__Workload__Address *a = ap_new(Istio__Workload__Address);
	Istio__Workload__Service *m = ap_new(Istio__Workload__Service);
	size_t i;

	istio__workload__address__init(a);
	istio__workload__service__init(m);
	a->type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE;
	a->service = m;
	m->name = wire_text(d->host);
	m->namespace_ = wire_text(d->ns);
	m->hostname = wire_text(d->host);
	m->canonical = d->canonical;
	m->visibility =
	    d->is_private ? ISTIO__WORKLOAD__VISIBILITY__NAMESPACE : ISTIO__WORKLOAD__VISIBILITY__PUBLIC;
	if (d->vip != NULL) {
		Istio__Workload__NetworkAddress *n = ap_new(Istio__Workload__NetworkAddress);

		istio__workload__network_address__init(n);
		n->network = wire_text(d->network);
		n->address = wire_ip(d->vip);
		if (d->prefix != 0) {
			n->has_length_case = ISTIO__WORKLOAD__NETWORK_ADDRESS__HAS_LENGTH_LENGTH;
			n->length = d->prefix;
		}
		m->addresses = ap_alloc_array(1, sizeof(*m->addresses));
		m->addresses[m->n_addresses++] = n;
	}
	if (d->port != 0) {
		m->ports = ap_alloc_array(1, sizeof(*m->ports));
		m->ports[m->n_ports++] = wire_port(d->port, d->target_port);
	}
	if (d->waypoint_host != NULL)
		m->waypoint = wire_gateway(d->waypoint_ns, d->waypoint_host);
	if (d->mode != 0 || d->allow_unhealthy) {
		m->load_balancing = ap_new(Istio__Workload__LoadBalancing);
		istio__workload__load_balancing__init(m->load_balancing);
		m->load_balancing->mode = (Istio__Workload__LoadBalancing__Mode)d->mode;
		m->load_balancing->health_policy = d->allow_unhealthy
		    ? ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL
		    : ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ONLY_HEALTHY;
		m->load_balancing->routing_preference =
		    ap_alloc_array(4, sizeof(*m->load_balancing->routing_preference));
		for (i = 0; i < 4 && d->scopes[i] != 0; i++)
			m->load_balancing->routing_preference[m->load_balancing->n_routing_preference++] =
			    (Istio__Workload__LoadBalancing__Scope)d->scopes[i];
	}
	return wire_pack_address(a);
}

/* Decode and apply; what is wrong stops the test. */
static void
wire_apply(struct ap_mesh_table *t, struct ap_slice body)
{
	struct ap_mesh_change x = { 0 };
	struct ap_error err;

	AP_CHECK(ap_mesh_object_decode(body, &x.workload, &x.service, &err) == 0);
	x.kind = x.workload != NULL ? AP_MESH_WORKLOAD : AP_MESH_SERVICE;
	(void)ap_mesh_table_apply(t, &x);
	ap_mesh_workload_unref(&x.workload);
	ap_mesh_service_unref(&x.service);
	ap_mem_free((void *)(uintptr_t)body.ptr);
}

static AP_UNUSED void
wire_add_workload(struct ap_mesh_table *t, const struct wire_workload *d)
{
	wire_apply(t, wire_workload(d));
}

static AP_UNUSED void
wire_add_service(struct ap_mesh_table *t, const struct wire_service *d)
{
	wire_apply(t, wire_service(d));
}

/* A policy of one group, one rules and one match in the words of the caller. */
static AP_UNUSED struct ap_authz_policy *
wire_policy(const char *ns, const char *name, int scope, int action, const Istio__Security__Match *match)
{
	Istio__Security__Authorization m;
	Istio__Security__Group g, *groups[1] = { &g };
	Istio__Security__Rules r, *rules[1] = { &r };
	Istio__Security__Match copy, *matches[1] = { &copy };
	struct ap_authz_policy *p = NULL;
	struct ap_error err;
	char *ns_text = wire_text(ns), *name_text = wire_text(name), *bytes;
	size_t size;

	istio__security__authorization__init(&m);
	istio__security__group__init(&g);
	istio__security__rules__init(&r);
	m.namespace_ = ns_text;
	m.name = name_text;
	m.scope = (Istio__Security__Scope)scope;
	m.action = (Istio__Security__Action)action;
	if (match != NULL) {
		copy = *match;
		m.n_groups = 1;
		m.groups = groups;
		g.n_rules = 1;
		g.rules = rules;
		r.n_matches = 1;
		r.matches = matches;
	}
	size = istio__security__authorization__get_packed_size(&m);
	bytes = ap_alloc(size + 1);
	istio__security__authorization__pack(&m, (uint8_t *)bytes);
	AP_CHECK(ap_authz_policy_decode(ap_slice(bytes, size), &p, &err) == 0);
	ap_free(&bytes);
	ap_free(&ns_text);
	ap_free(&name_text);
	return p;
}

#endif
