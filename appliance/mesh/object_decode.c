/*
 * object_decode.c -- istio.workload.Address to our own form.  An object is one block of memory: the same filling function runs twice,
 * first to measure and then to write, so that 100,000 workloads are 100,000 allocations and not two million.
 */
#include <errno.h>
#include <string.h>

#include "ambit/workload.pb-c.h"
#include "base/mem.h"
#include "istio/workload.pb-c.h"
#include "mesh/object.h"
#include "mesh/object_priv.h"

#define EXTENSION_LABELS "ambit.labels"
#define LABELS_MAX 256

/* base NULL: measuring. */
struct pack {
	char *base;
	size_t size;
};

/* Room for an array; NULL while measuring. */
static void *
take(struct pack *p, size_t count, size_t size)
{
	void *at;

	p->size = (p->size + 7) & ~(size_t)7;
	at = p->base == NULL ? NULL : p->base + p->size;
	p->size += count * size;
	return at;
}

static struct ap_slice
text_n(struct pack *p, const char *s, size_t len)
{
	char *at = p->base == NULL ? NULL : p->base + p->size;

	p->size += len + 1;
	if (at == NULL)
		return ap_slice(NULL, len);
	memcpy(at, s, len);
	at[len] = '\0';
	return ap_slice(at, len);
}

static struct ap_slice
text(struct pack *p, const char *s)
{
	return text_n(p, s, strlen(s));
}

static struct ap_slice
text_or(struct pack *p, const char *s, const char *preset)
{
	return text(p, s[0] == '\0' ? preset : s);
}

/* "a/b" */
static struct ap_slice
joined(struct pack *p, const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	char *at = p->base == NULL ? NULL : p->base + p->size;

	p->size += a_len + b_len + 2;
	if (at == NULL)
		return AP_SLICE_NONE;
	memcpy(at, a, a_len);
	at[a_len] = '/';
	memcpy(at + a_len + 1, b, b_len);
	at[a_len + 1 + b_len] = '\0';
	return ap_slice(at, a_len + 1 + b_len);
}

static struct ap_slice
spiffe(struct pack *p, struct ap_slice td, struct ap_slice ns, struct ap_slice sa)
{
	static const char *const words[] = { "spiffe://", "/ns/", "/sa/" };
	const struct ap_slice parts[] = { td, ns, sa };
	char *at = p->base == NULL ? NULL : p->base + p->size, *start = at;
	size_t i, len;

	for (i = 0; i < 3; i++) {
		len = strlen(words[i]);
		if (at != NULL) {
			memcpy(at, words[i], len);
			if (parts[i].len > 0)
				memcpy(at + len, parts[i].ptr, parts[i].len);
			at += len + parts[i].len;
		}
		p->size += len + parts[i].len;
	}
	p->size++;
	if (at == NULL)
		return AP_SLICE_NONE;
	*at = '\0';
	return ap_slice(start, (size_t)(at - start));
}

static void
fill_gateway(struct pack *p, const Istio__Workload__GatewayAddress *m, struct ap_mesh_gateway *g)
{
	struct ap_mesh_gateway unused;

	if (m == NULL)
		return;
	if (g == NULL)
		g = &unused;
	g->hbone_port = (uint16_t)m->hbone_mtls_port;
	switch (m->destination_case) {
	case ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_HOSTNAME:
		g->kind = AP_MESH_GATEWAY_HOST;
		g->namespace_ = text(p, m->hostname->namespace_);
		g->hostname = text(p, m->hostname->hostname);
		break;
	case ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_ADDRESS:
		g->kind = AP_MESH_GATEWAY_ADDRESS;
		g->network = text(p, m->address->network);
		(void)ap_ip_from_bytes(m->address->address.data, m->address->address.len, &g->ip);
		break;
	case ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION__NOT_SET:
	case _ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION__CASE_IS_INT_SIZE:
	default:
		g->kind = AP_MESH_GATEWAY_NONE;
		break;
	}
}

static const struct ap_mesh_port *
fill_ports(struct pack *p, Istio__Workload__Port *const *m, size_t count)
{
	struct ap_mesh_port *ports = take(p, count, sizeof(*ports));
	size_t i;

	for (i = 0; ports != NULL && i < count; i++) {
		ports[i].service_port = (uint16_t)m[i]->service_port;
		ports[i].target_port = (uint16_t)m[i]->target_port;
		ports[i].protocol = (uint8_t)m[i]->app_protocol;
	}
	return ports;
}

static const struct ap_mesh_membership *
fill_memberships(struct pack *p, const Istio__Workload__Workload *m)
{
	struct ap_mesh_membership *out = take(p, m->n_services, sizeof(*out));
	size_t i;

	for (i = 0; i < m->n_services; i++) {
		const Istio__Workload__PortList *list = m->services[i]->value;
		size_t count = list == NULL ? 0 : list->n_ports;
		struct ap_slice key = text(p, m->services[i]->key);
		const struct ap_mesh_port *ports = count == 0 ? NULL : fill_ports(p, list->ports, count);

		if (out == NULL)
			continue;
		out[i].service = key;
		out[i].ports = ports;
		out[i].port_count = (uint32_t)count;
	}
	return out;
}

static const struct ap_slice *
fill_texts(struct pack *p, char *const *m, size_t count)
{
	struct ap_slice *out = take(p, count, sizeof(*out));
	size_t i;

	for (i = 0; i < count; i++) {
		struct ap_slice s = text(p, m[i]);

		if (out != NULL)
			out[i] = s;
	}
	return out;
}

static const struct ap_mesh_label *
fill_labels(struct pack *p, const Ambit__Workload__Labels *m)
{
	struct ap_mesh_label *out = take(p, m->n_labels, sizeof(*out));
	size_t i;

	for (i = 0; i < m->n_labels; i++) {
		struct ap_slice name = text(p, m->labels[i]->key), value = text(p, m->labels[i]->value);

		if (out == NULL)
			continue;
		out[i].name = name;
		out[i].value = value;
	}
	return out;
}

static void
fill_workload(struct pack *p, const Istio__Workload__Workload *m, const Ambit__Workload__Labels *labels)
{
	struct ap_mesh_workload measured = { 0 }, *w = take(p, 1, sizeof(*w));
	struct ap_ip *ips;
	size_t i;

	if (w == NULL)
		w = &measured;
	w->magic = AP_MESH_WORKLOAD_MAGIC;
	ap_refs_init(&w->refs);
	w->uid = text(p, m->uid);
	w->name = text(p, m->name);
	w->namespace_ = text(p, m->namespace_);
	w->service_account = text_or(p, m->service_account, "default");
	w->trust_domain = text_or(p, m->trust_domain, "cluster.local");
	w->network = text(p, m->network);
	w->cluster = text_or(p, m->cluster_id, "Kubernetes");
	w->node = text(p, m->node);
	w->hostname = text(p, m->hostname);
	w->workload_name = text(p, m->workload_name);
	w->canonical_name = text(p, m->canonical_name);
	w->canonical_revision = text(p, m->canonical_revision);
	if (m->locality != NULL) {
		w->region = text(p, m->locality->region);
		w->zone = text(p, m->locality->zone);
		w->subzone = text(p, m->locality->subzone);
	}
	w->identity = spiffe(p, w->trust_domain, w->namespace_, w->service_account);
	ips = take(p, m->n_addresses, sizeof(*ips));
	for (i = 0; ips != NULL && i < m->n_addresses; i++)
		(void)ap_ip_from_bytes(m->addresses[i].data, m->addresses[i].len, &ips[i]);
	w->ips = ips;
	w->ip_count = (uint32_t)m->n_addresses;
	w->memberships = fill_memberships(p, m);
	w->membership_count = (uint32_t)m->n_services;
	w->policies = fill_texts(p, m->authorization_policies, m->n_authorization_policies);
	w->policy_count = (uint32_t)m->n_authorization_policies;
	if (labels != NULL) {
		w->labels = fill_labels(p, labels);
		w->label_count = (uint32_t)labels->n_labels;
		w->is_ambit = true;
	}
	fill_gateway(p, m->waypoint, &w->waypoint);
	fill_gateway(p, m->network_gateway, &w->network_gateway);
	w->capacity = m->capacity == NULL ? 1 : m->capacity->value;
	if (m->application_tunnel != NULL) {
		w->has_app_tunnel = true;
		w->app_tunnel_port = (uint16_t)m->application_tunnel->port;
		w->app_tunnel_proxy =
		    m->application_tunnel->protocol == ISTIO__WORKLOAD__APPLICATION_TUNNEL__PROTOCOL__PROXY;
	}
	w->is_hbone = m->tunnel_protocol == ISTIO__WORKLOAD__TUNNEL_PROTOCOL__HBONE;
	w->is_healthy = m->status == ISTIO__WORKLOAD__WORKLOAD_STATUS__HEALTHY;
	w->is_native = m->native_tunnel != 0;
	w->is_host_network = m->network_mode == ISTIO__WORKLOAD__NETWORK_MODE__HOST_NETWORK;
	w->workload_type = (uint8_t)m->workload_type;
}

static void
fill_vips(struct pack *p, const Istio__Workload__Service *m, struct ap_mesh_service *s)
{
	struct ap_mesh_vip *vips = take(p, m->n_addresses, sizeof(*vips));
	size_t i;

	for (i = 0; i < m->n_addresses; i++) {
		const Istio__Workload__NetworkAddress *a = m->addresses[i];
		struct ap_slice network = text(p, a->network);
		uint32_t bits = (uint32_t)a->address.len * 8;

		if (vips == NULL)
			continue;
		if (a->has_length_case == ISTIO__WORKLOAD__NETWORK_ADDRESS__HAS_LENGTH_LENGTH)
			bits = a->length;
		vips[i].network = network;
		(void)ap_ip_from_bytes(a->address.data, a->address.len, &vips[i].cidr.ip);
		/* A v4-mapped address became IPv4: its prefix shrinks with it. */
		if (a->address.len == 16 && vips[i].cidr.ip.len == 4)
			bits = bits >= 96 ? bits - 96 : 0;
		vips[i].cidr.bits = (uint8_t)bits;
	}
	s->vips = vips;
	s->vip_count = (uint32_t)m->n_addresses;
}

static void
fill_service(struct pack *p, const Istio__Workload__Service *m)
{
	struct ap_mesh_service measured = { 0 }, *s = take(p, 1, sizeof(*s));
	struct ap_mesh_weighted_gateway *weighted;
	size_t i;

	if (s == NULL)
		s = &measured;
	s->magic = AP_MESH_SERVICE_MAGIC;
	ap_refs_init(&s->refs);
	s->key = joined(p, m->namespace_, m->hostname);
	s->name = text(p, m->name);
	s->namespace_ = text(p, m->namespace_);
	s->hostname = text(p, m->hostname);
	fill_vips(p, m, s);
	s->ports = fill_ports(p, m->ports, m->n_ports);
	s->port_count = (uint32_t)m->n_ports;
	s->sans = fill_texts(p, m->subject_alt_names, m->n_subject_alt_names);
	s->san_count = (uint32_t)m->n_subject_alt_names;
	fill_gateway(p, m->waypoint, &s->waypoint);
	weighted = take(p, m->n_weighted_waypoints, sizeof(*weighted));
	for (i = 0; i < m->n_weighted_waypoints; i++) {
		fill_gateway(p, m->weighted_waypoints[i]->destination, weighted == NULL ? NULL : &weighted[i].gateway);
		if (weighted != NULL)
			weighted[i].weight = m->weighted_waypoints[i]->weight;
	}
	s->weighted_waypoints = weighted;
	s->weighted_waypoint_count = (uint32_t)m->n_weighted_waypoints;
	if (m->load_balancing != NULL) {
		s->mode = (uint8_t)m->load_balancing->mode;
		s->allow_unhealthy = m->load_balancing->health_policy ==
		    ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL;
		s->scope_count = (uint8_t)m->load_balancing->n_routing_preference;
		for (i = 0; i < m->load_balancing->n_routing_preference; i++)
			s->scopes[i] = (uint8_t)m->load_balancing->routing_preference[i];
	}
	s->families = (uint8_t)m->ip_families;
	s->is_canonical = m->canonical != 0;
	s->is_private = m->visibility == ISTIO__WORKLOAD__VISIBILITY__NAMESPACE;
}

/* What must be refused, by istio-ambient.md 2.5. */

static int
check_ports(Istio__Workload__Port *const *ports, size_t count, struct ap_error *err)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (ports[i]->service_port > 65535 || ports[i]->target_port > 65535)
			return ap_error_set(err, -EINVAL, "port out of range");
		if ((unsigned)ports[i]->app_protocol > ISTIO__WORKLOAD__APP_PROTOCOL__TLS)
			return ap_error_set(err, -EINVAL, "unknown app_protocol %d", (int)ports[i]->app_protocol);
	}
	return 0;
}

static int
check_gateway(const Istio__Workload__GatewayAddress *g, struct ap_error *err)
{
	struct ap_ip ip;

	if (g == NULL)
		return 0;
	if (g->hbone_mtls_port > 65535)
		return ap_error_set(err, -EINVAL, "gateway port out of range");
	if (g->destination_case == ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_ADDRESS)
		return ap_ip_from_bytes(g->address->address.data, g->address->address.len, &ip) != 0
		    ? ap_error_set(err, -EINVAL, "gateway address is not an IP address")
		    : 0;
	if (g->destination_case != ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_HOSTNAME)
		return ap_error_set(err, -EINVAL, "gateway without a destination");
	return 0;
}

static int
check_workload(const Istio__Workload__Workload *m, struct ap_error *err)
{
	struct ap_ip ip;
	size_t i;
	int r;

	if (m->uid[0] == '\0')
		return ap_error_set(err, -EINVAL, "workload without a uid");
	for (i = 0; i < m->n_addresses; i++) {
		if (ap_ip_from_bytes(m->addresses[i].data, m->addresses[i].len, &ip) != 0)
			return ap_error_set(err, -EINVAL, "address of %zu bytes", m->addresses[i].len);
	}
	if (m->tunnel_protocol != ISTIO__WORKLOAD__TUNNEL_PROTOCOL__NONE &&
	    m->tunnel_protocol != ISTIO__WORKLOAD__TUNNEL_PROTOCOL__HBONE)
		return ap_error_set(err, -EINVAL, "unsupported tunnel protocol %d", (int)m->tunnel_protocol);
	if ((unsigned)m->status > ISTIO__WORKLOAD__WORKLOAD_STATUS__UNHEALTHY ||
	    (unsigned)m->workload_type > ISTIO__WORKLOAD__WORKLOAD_TYPE__JOB ||
	    (unsigned)m->network_mode > ISTIO__WORKLOAD__NETWORK_MODE__HOST_NETWORK)
		return ap_error_set(err, -EINVAL, "unknown status, type or network mode");
	for (i = 0; i < m->n_services; i++) {
		if (m->services[i]->value == NULL)
			continue;
		r = check_ports(m->services[i]->value->ports, m->services[i]->value->n_ports, err);
		if (r != 0)
			return r;
	}
	if (m->application_tunnel != NULL && m->application_tunnel->port > 65535)
		return ap_error_set(err, -EINVAL, "application tunnel port out of range");
	r = check_gateway(m->waypoint, err);
	return r != 0 ? r : check_gateway(m->network_gateway, err);
}

static int
check_balancing(const Istio__Workload__LoadBalancing *lb, struct ap_error *err)
{
	size_t i;

	if (lb == NULL)
		return 0;
	if ((unsigned)lb->mode > ISTIO__WORKLOAD__LOAD_BALANCING__MODE__PASSTHROUGH ||
	    (unsigned)lb->health_policy > ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL)
		return ap_error_set(err, -EINVAL, "unknown load balancing mode");
	if (lb->n_routing_preference > AP_COUNTOF(((struct ap_mesh_service *)NULL)->scopes))
		return ap_error_set(err, -EINVAL, "too many routing preferences");
	for (i = 0; i < lb->n_routing_preference; i++) {
		if ((unsigned)lb->routing_preference[i] > ISTIO__WORKLOAD__LOAD_BALANCING__SCOPE__NETWORK)
			return ap_error_set(err, -EINVAL, "unknown scope %d", (int)lb->routing_preference[i]);
	}
	return 0;
}

static int
check_service(const Istio__Workload__Service *m, struct ap_error *err)
{
	struct ap_ip ip;
	size_t i;
	int r;

	if (m->hostname[0] == '\0')
		return ap_error_set(err, -EINVAL, "service without a hostname");
	for (i = 0; i < m->n_addresses; i++) {
		const Istio__Workload__NetworkAddress *a = m->addresses[i];

		if (ap_ip_from_bytes(a->address.data, a->address.len, &ip) != 0)
			return ap_error_set(err, -EINVAL, "address of %zu bytes", a->address.len);
		if (a->has_length_case == ISTIO__WORKLOAD__NETWORK_ADDRESS__HAS_LENGTH_LENGTH &&
		    a->length > a->address.len * 8)
			return ap_error_set(err, -EINVAL, "prefix of %u bits", a->length);
	}
	if ((unsigned)m->ip_families > ISTIO__WORKLOAD__IPFAMILIES__DUAL)
		return ap_error_set(err, -EINVAL, "unknown ip_families %d", (int)m->ip_families);
	for (i = 0; i < m->n_weighted_waypoints; i++) {
		if (m->weighted_waypoints[i]->destination == NULL)
			return ap_error_set(err, -EINVAL, "weighted waypoint without a destination");
		r = check_gateway(m->weighted_waypoints[i]->destination, err);
		if (r != 0)
			return r;
	}
	r = check_ports(m->ports, m->n_ports, err);
	if (r == 0)
		r = check_gateway(m->waypoint, err);
	return r != 0 ? r : check_balancing(m->load_balancing, err);
}

/* Our labels, or NULL; an extension that cannot be read is ignored, as any unknown one is. */
static Ambit__Workload__Labels *
open_labels(const Istio__Workload__Workload *m)
{
	Ambit__Workload__Labels *labels;
	size_t i;

	for (i = 0; i < m->n_extensions; i++) {
		const Istio__Workload__Extension *x = m->extensions[i];

		if (strcmp(x->name, EXTENSION_LABELS) != 0 || x->config == NULL)
			continue;
		labels = ambit__workload__labels__unpack(NULL, x->config->value.len, x->config->value.data);
		if (labels != NULL && labels->n_labels > LABELS_MAX) {
			ambit__workload__labels__free_unpacked(labels, NULL);
			labels = NULL;
		}
		return labels;
	}
	return NULL;
}

static struct ap_mesh_workload *
make_workload(const Istio__Workload__Workload *m)
{
	Ambit__Workload__Labels *labels = open_labels(m);
	struct pack p = { 0 };

	fill_workload(&p, m, labels);
	p.base = ap_alloc(p.size);
	p.size = 0;
	fill_workload(&p, m, labels);
	if (labels != NULL)
		ambit__workload__labels__free_unpacked(labels, NULL);
	return (struct ap_mesh_workload *)(void *)p.base;
}

static struct ap_mesh_service *
make_service(const Istio__Workload__Service *m)
{
	struct pack p = { 0 };

	fill_service(&p, m);
	p.base = ap_alloc(p.size);
	p.size = 0;
	fill_service(&p, m);
	return (struct ap_mesh_service *)(void *)p.base;
}

int
ap_mesh_object_decode(struct ap_slice body, struct ap_mesh_workload **out_workload,
    struct ap_mesh_service **out_service, struct ap_error *err)
{
	Istio__Workload__Address *m =
	    istio__workload__address__unpack(NULL, body.len, (const uint8_t *)body.ptr);
	int r = 0;

	*out_workload = NULL;
	*out_service = NULL;
	if (m == NULL)
		return ap_error_set(err, -EINVAL, "not an istio.workload.Address");
	switch (m->type_case) {
	case ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD:
		r = check_workload(m->workload, err);
		if (r == 0)
			*out_workload = make_workload(m->workload);
		break;
	case ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE:
		r = check_service(m->service, err);
		if (r == 0)
			*out_service = make_service(m->service);
		break;
	case ISTIO__WORKLOAD__ADDRESS__TYPE__NOT_SET:
	case _ISTIO__WORKLOAD__ADDRESS__TYPE__CASE_IS_INT_SIZE:
	default:
		r = ap_error_set(err, -EINVAL, "neither a workload nor a service");
		break;
	}
	istio__workload__address__free_unpacked(m, NULL);
	return r;
}
