/* table_pick.c -- which endpoint of a service takes a connection, and where a waypoint reference leads (istio-ambient.md 5.3). */
#include "base/rand.h"
#include "mesh/table.h"
#include "mesh/table_priv.h"

#define QUICK_TRIES 6

struct picking {
	const struct ap_mesh_service *service;
	const struct ap_mesh_origin *from;
	ap_mesh_filter_fn filter;
	void *arg;
	uint16_t service_port;
	int prefer_v6;
	bool saw_port; /* some endpoint had the port */
};

static bool
family_is_allowed(uint8_t families, const struct ap_ip *ip)
{
	if (families == AP_MESH_FAMILY_V4)
		return ip->len == 4;
	if (families == AP_MESH_FAMILY_V6)
		return ip->len == 16;
	return true;
}

/* The address to dial: of an allowed family, of the preferred one where there is a choice. */
static struct ap_ip
choose_ip(const struct ap_mesh_workload *w, uint8_t families, int prefer_v6)
{
	const struct ap_ip *best = NULL;
	uint32_t i;

	for (i = 0; i < w->ip_count; i++) {
		const struct ap_ip *ip = &w->ips[i];

		if (!family_is_allowed(families, ip))
			continue;
		if (prefer_v6 < 0 || (ip->len == 16) == (prefer_v6 > 0))
			return *ip;
		if (best == NULL)
			best = ip;
	}
	return best == NULL ? (struct ap_ip){ 0 } : *best;
}

/* Whether this endpoint can take the connection; fills out. */
static bool
is_usable(struct picking *p, struct ap_mesh_workload *w, struct ap_mesh_pick *out)
{
	const struct ap_mesh_service *s = p->service;

	if (!w->is_healthy && !s->allow_unhealthy)
		return false;
	out->port = ap_mesh_target_port(w, s, p->service_port);
	if (out->port == 0)
		return false;
	p->saw_port = true;
	out->ip = choose_ip(w, s->families, p->prefer_v6);
	if (out->ip.len == 0 && w->hostname.len == 0 && w->network_gateway.kind == AP_MESH_GATEWAY_NONE)
		return false;
	if (p->filter != NULL && !p->filter(w, p->arg))
		return false;
	out->workload = w;
	return w->capacity > 0;
}

static bool
scope_matches(enum ap_mesh_scope scope, const struct ap_mesh_origin *from, const struct ap_mesh_workload *w)
{
	switch (scope) {
	case AP_MESH_SCOPE_REGION:
		return ap_slice_eq(from->region, w->region);
	case AP_MESH_SCOPE_ZONE:
		return ap_slice_eq(from->zone, w->zone);
	case AP_MESH_SCOPE_SUBZONE:
		return ap_slice_eq(from->subzone, w->subzone);
	case AP_MESH_SCOPE_NODE:
		return ap_slice_eq(from->node, w->node);
	case AP_MESH_SCOPE_CLUSTER:
		return ap_slice_eq(from->cluster, w->cluster);
	case AP_MESH_SCOPE_NETWORK:
		return ap_slice_eq(from->network, w->network);
	case AP_MESH_SCOPE_NONE:
	default:
		return false;
	}
}

/* How near an endpoint is; -1: outside a strict scope. */
static int
rank_of(const struct ap_mesh_service *s, const struct ap_mesh_origin *from, const struct ap_mesh_workload *w)
{
	int rank = 0;
	uint8_t i;

	if (from == NULL || (s->mode != AP_MESH_LB_STRICT && s->mode != AP_MESH_LB_FAILOVER))
		return 0;
	for (i = 0; i < s->scope_count; i++) {
		bool matches = scope_matches((enum ap_mesh_scope)s->scopes[i], from, w);

		if (!matches && s->mode == AP_MESH_LB_STRICT)
			return -1;
		/* The own network outweighs all that follows, and another one does not end the comparison. */
		if (i == 0 && s->scopes[i] == AP_MESH_SCOPE_NETWORK) {
			rank += matches ? s->scope_count : 0;
			continue;
		}
		if (!matches)
			break;
		rank++;
	}
	return rank;
}

/* Most services have endpoints of equal weight and no preference: a few throws of the die instead of a walk over all. */
static bool
pick_quickly(struct picking *p, const struct mesh_node *n, struct ap_mesh_pick *out)
{
	int i;

	if (n->odd > 0 || p->service->mode != AP_MESH_LB_RANDOM || n->bag.count == 0)
		return false;
	for (i = 0; i < QUICK_TRIES; i++) {
		if (is_usable(p, mesh_bag_items(&n->bag)[ap_rand_below(n->bag.count)], out))
			return true;
	}
	return false;
}

/* One pass: the nearest rank wins, and within it each endpoint replaces the choice with its share of the weight so far. */
static bool
pick_by_walk(struct picking *p, const struct mesh_node *n, struct ap_mesh_pick *out)
{
	struct ap_mesh_pick candidate;
	uint64_t total = 0;
	int best = -1, rank;
	uint32_t i;

	for (i = 0; i < n->bag.count; i++) {
		struct ap_mesh_workload *w = mesh_bag_items(&n->bag)[i];

		if (!is_usable(p, w, &candidate))
			continue;
		rank = rank_of(p->service, p->from, w);
		if (rank < best || rank < 0)
			continue;
		if (rank > best) {
			best = rank;
			total = 0;
		}
		total += w->capacity;
		if (ap_rand_fast() % total < w->capacity)
			*out = candidate;
	}
	return total > 0;
}

enum ap_mesh_pick_result
ap_mesh_pick(const struct ap_mesh_table *t, const struct ap_mesh_service *s, uint16_t service_port,
    const struct ap_mesh_origin *from, int prefer_v6, ap_mesh_filter_fn filter, void *arg, struct ap_mesh_pick *out)
{
	const struct mesh_node *n = mesh_index_find(&t->services, s->key);
	struct picking p = { .service = s,
		.from = from,
		.filter = filter,
		.arg = arg,
		.service_port = service_port,
		.prefer_v6 = prefer_v6 };
	struct ap_mesh_pick picked = { 0 };

	if (n == NULL || n->bag.count == 0)
		return AP_MESH_NO_ENDPOINT;
	if (pick_quickly(&p, n, &picked) || pick_by_walk(&p, n, &picked)) {
		*out = picked;
		return AP_MESH_PICKED;
	}
	return p.saw_port ? AP_MESH_NO_ENDPOINT
	                  : (ap_mesh_service_port(s, service_port) == NULL ? AP_MESH_NO_PORT : AP_MESH_NO_ENDPOINT);
}

bool
ap_mesh_resolve_gateway(const struct ap_mesh_table *t, const struct ap_mesh_gateway *gateway,
    const struct ap_mesh_origin *from, int prefer_v6, struct ap_mesh_pick *out, struct ap_mesh_service **out_service)
{
	struct ap_mesh_service *s = NULL;
	struct ap_mesh_workload *w = NULL;
	const struct mesh_node *n;

	switch ((enum ap_mesh_gateway_kind)gateway->kind) {
	case AP_MESH_GATEWAY_HOST:
		n = mesh_service_node(t, gateway->namespace_, gateway->hostname);
		s = n == NULL ? NULL : n->object;
		break;
	case AP_MESH_GATEWAY_ADDRESS:
		prefer_v6 = gateway->ip.len == 16;
		w = ap_mesh_find_destination(t, gateway->network, &gateway->ip, gateway->hbone_port);
		if (w == NULL)
			s = ap_mesh_find_vip(t, from, gateway->network, &gateway->ip);
		break;
	case AP_MESH_GATEWAY_NONE:
	default:
		return false;
	}
	if (out_service != NULL)
		*out_service = s;
	if (s != NULL)
		return ap_mesh_pick(t, s, gateway->hbone_port, from, prefer_v6, NULL, NULL, out) == AP_MESH_PICKED;
	if (w == NULL || !w->is_healthy)
		return false;
	*out = (struct ap_mesh_pick){ .workload = w, .ip = gateway->ip, .port = gateway->hbone_port };
	return true;
}

const struct ap_mesh_gateway *
ap_mesh_sample_waypoint(const struct ap_mesh_table *t, const struct ap_mesh_service *s)
{
	uint64_t total = 0, at;
	uint32_t i;

	(void)t;
	for (i = 0; i < s->weighted_waypoint_count; i++)
		total += s->weighted_waypoints[i].weight;
	if (total > 0) {
		at = ap_rand_fast() % total;
		for (i = 0; i < s->weighted_waypoint_count; i++) {
			if (at < s->weighted_waypoints[i].weight)
				return &s->weighted_waypoints[i].gateway;
			at -= s->weighted_waypoints[i].weight;
		}
	}
	return s->waypoint.kind == AP_MESH_GATEWAY_NONE ? NULL : &s->waypoint;
}

bool
ap_mesh_gateway_is(
    const struct ap_mesh_table *t, const struct ap_mesh_gateway *gateway, const struct ap_mesh_workload *w)
{
	const struct mesh_node *n;
	uint32_t i;

	switch ((enum ap_mesh_gateway_kind)gateway->kind) {
	case AP_MESH_GATEWAY_HOST:
		n = mesh_service_node(t, gateway->namespace_, gateway->hostname);
		return n != NULL && ap_mesh_workload_membership(w, mesh_node_key(n)) != NULL;
	case AP_MESH_GATEWAY_ADDRESS:
		for (i = 0; i < w->ip_count; i++) {
			if (ap_ip_eq(&w->ips[i], &gateway->ip) && ap_slice_eq(w->network, gateway->network))
				return true;
		}
		return false;
	case AP_MESH_GATEWAY_NONE:
	default:
		return false;
	}
}
