/* table_find.c -- look-ups by uid, address, VIP and name, with Istio's order of preference (istio-ambient.md 5.1). */
#include <string.h>

#include "mesh/policy.h"
#include "mesh/table.h"
#include "mesh/table_priv.h"

#define KEY_ROOM 512

struct ap_mesh_workload *
ap_mesh_find_workload(const struct ap_mesh_table *t, struct ap_slice uid)
{
	return mesh_index_find(&t->workloads, uid);
}

static struct ap_mesh_workloads
workloads_of(const struct mesh_node *n)
{
	struct ap_mesh_workloads none = { 0 };

	if (n == NULL || n->bag.count == 0)
		return none;
	return (struct ap_mesh_workloads){
		.items = (struct ap_mesh_workload *const *)(const void *)mesh_bag_items(&n->bag),
		.count = n->bag.count,
	};
}

struct ap_mesh_workloads
ap_mesh_at(const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip)
{
	char room[MESH_ADDRESS_KEY_MAX];
	struct ap_slice key = mesh_address_key(t, network, ip, room);

	return workloads_of(key.len == 0 ? NULL : mesh_index_find(&t->addresses, key));
}

struct ap_mesh_workload *
ap_mesh_find_source(
    const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip, struct ap_slice identity)
{
	struct ap_mesh_workloads at = ap_mesh_at(t, network, ip);
	size_t i;

	if (identity.len == 0)
		return at.count == 1 ? at.items[0] : NULL;
	for (i = 0; i < at.count; i++) {
		if (ap_slice_eq(at.items[i]->identity, identity))
			return at.items[i];
	}
	return NULL;
}

bool
ap_mesh_claims_port(const struct ap_mesh_table *t, const struct ap_mesh_workload *w, uint16_t port)
{
	uint32_t i, j;

	for (i = 0; i < w->membership_count; i++) {
		const struct ap_mesh_membership *m = &w->memberships[i];
		const struct mesh_node *n;
		const struct ap_mesh_service *s;

		for (j = 0; j < m->port_count; j++) {
			if (m->ports[j].target_port == port)
				return true;
		}
		n = mesh_index_find(&t->services, m->service);
		s = n == NULL ? NULL : n->object;
		for (j = 0; s != NULL && j < s->port_count; j++) {
			if (ap_mesh_target_port(w, s, s->ports[j].service_port) == port)
				return true;
		}
	}
	return false;
}

struct ap_mesh_workload *
ap_mesh_find_destination(
    const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip, uint16_t port)
{
	struct ap_mesh_workloads at = ap_mesh_at(t, network, ip);
	size_t i;

	if (at.count == 1)
		return at.items[0];
	for (i = 0; i < at.count; i++) {
		if (ap_mesh_claims_port(t, at.items[i], port))
			return at.items[i];
	}
	return NULL;
}

struct ap_mesh_service *
ap_mesh_find_service(const struct ap_mesh_table *t, struct ap_slice key)
{
	const struct mesh_node *n = mesh_index_find(&t->services, key);

	return n == NULL ? NULL : n->object;
}

struct mesh_node *
mesh_service_node(const struct ap_mesh_table *t, struct ap_slice namespace_, struct ap_slice hostname)
{
	char room[KEY_ROOM];

	if (namespace_.len + hostname.len + 1 > sizeof(room))
		return NULL;
	memcpy(room, namespace_.ptr, namespace_.len);
	room[namespace_.len] = '/';
	memcpy(room + namespace_.len + 1, hostname.ptr, hostname.len);
	return mesh_index_find(&t->services, ap_slice(room, namespace_.len + 1 + hostname.len));
}

static bool
is_visible(const struct ap_mesh_service *s, const struct ap_mesh_origin *from)
{
	return !s->is_private || from == NULL || ap_slice_eq(s->namespace_, from->namespace_);
}

static bool
is_near(const struct ap_mesh_service *s, const struct ap_mesh_origin *from)
{
	return from != NULL && from->namespace_.len > 0 && ap_slice_eq(s->namespace_, from->namespace_);
}

/* The best of several: visible, then of the client's namespace, then canonical, then the first by name, so that all agree. */
static struct ap_mesh_service *
best_of(const struct mesh_node *n, const struct ap_mesh_origin *from)
{
	struct ap_mesh_service *best = NULL;
	int score, best_score = -1;
	uint32_t i;

	for (i = 0; n != NULL && i < n->bag.count; i++) {
		struct ap_mesh_service *s = mesh_bag_items(&n->bag)[i];

		if (!is_visible(s, from))
			continue;
		score = (is_near(s, from) ? 2 : 0) + (s->is_canonical ? 1 : 0);
		if (score > best_score || (score == best_score && ap_slice_cmp(s->key, best->key) < 0)) {
			best = s;
			best_score = score;
		}
	}
	return best;
}

static struct ap_mesh_service *
find_cidr(const struct ap_mesh_table *t, const struct ap_mesh_origin *from, struct ap_slice network,
    const struct ap_ip *ip)
{
	struct ap_mesh_service *best = NULL;
	int score, best_score = -1;
	uint32_t n;
	size_t i;

	if (t->cidrs.count == 0 || !mesh_network_find(t, network, &n))
		return NULL;
	for (i = 0; i < t->cidrs.count; i++) {
		const struct mesh_cidr *c = &t->cidrs.items[i];

		if (c->network != n || !ap_cidr_has(&c->cidr, ip) || !is_visible(c->service, from))
			continue;
		score = (is_near(c->service, from) ? 1024 : 0) + c->cidr.bits * 2 + (c->service->is_canonical ? 1 : 0);
		if (score > best_score) {
			best = c->service;
			best_score = score;
		}
	}
	return best;
}

struct ap_mesh_service *
ap_mesh_find_vip(
    const struct ap_mesh_table *t, const struct ap_mesh_origin *from, struct ap_slice network, const struct ap_ip *ip)
{
	char room[MESH_ADDRESS_KEY_MAX];
	struct ap_slice key = mesh_address_key(t, network, ip, room);
	struct ap_mesh_service *s;

	if (key.len == 0)
		return NULL;
	s = best_of(mesh_index_find(&t->vips, key), from);
	return s != NULL ? s : find_cidr(t, from, network, ip);
}

struct ap_mesh_service *
ap_mesh_find_host(const struct ap_mesh_table *t, const struct ap_mesh_origin *from, struct ap_slice hostname)
{
	char room[KEY_ROOM];
	struct ap_mesh_service *s = best_of(mesh_index_find(&t->hosts, hostname), from);
	struct ap_slice rest = hostname;

	/* "*.b.c" for a.b.c, then "*.c". */
	while (s == NULL && rest.len > 0) {
		(void)ap_slice_cut(&rest, '.');
		if (rest.ptr == NULL || rest.len + 2 > sizeof(room))
			break;
		room[0] = '*';
		room[1] = '.';
		memcpy(room + 2, rest.ptr, rest.len);
		s = best_of(mesh_index_find(&t->hosts, ap_slice(room, rest.len + 2)), from);
	}
	return s;
}

struct ap_mesh_workloads
ap_mesh_endpoints(const struct ap_mesh_table *t, const struct ap_mesh_service *s)
{
	return workloads_of(mesh_index_find(&t->services, s->key));
}

struct each {
	bool (*workload)(struct ap_mesh_workload *w, void *arg);
	bool (*service)(struct ap_mesh_service *s, void *arg);
	bool (*policy)(struct ap_authz_policy *p, void *arg);
	void *arg;
};

static bool
each_workload(void *item, void *arg)
{
	const struct each *e = arg;

	return e->workload(item, e->arg);
}

static bool
each_service(void *item, void *arg)
{
	const struct each *e = arg;
	struct mesh_node *n = item;

	return n->object == NULL || e->service(n->object, e->arg);
}

static bool
each_policy(void *item, void *arg)
{
	const struct each *e = arg;

	return e->policy(item, e->arg);
}

void
ap_mesh_each_workload(const struct ap_mesh_table *t, bool (*fn)(struct ap_mesh_workload *w, void *arg), void *arg)
{
	mesh_index_each(&t->workloads, each_workload, &(struct each){ .workload = fn, .arg = arg });
}

void
ap_mesh_each_service(const struct ap_mesh_table *t, bool (*fn)(struct ap_mesh_service *s, void *arg), void *arg)
{
	mesh_index_each(&t->services, each_service, &(struct each){ .service = fn, .arg = arg });
}

void
ap_mesh_each_policy(const struct ap_mesh_table *t, bool (*fn)(struct ap_authz_policy *p, void *arg), void *arg)
{
	mesh_index_each(&t->policies, each_policy, &(struct each){ .policy = fn, .arg = arg });
}

static bool
count_service(struct ap_mesh_service *s, void *arg)
{
	(void)s;
	++*(size_t *)arg;
	return true;
}

void
ap_mesh_counts(const struct ap_mesh_table *t, size_t *out_workloads, size_t *out_services, size_t *out_policies)
{
	*out_workloads = t->workloads.count;
	*out_policies = t->policies.count;
	*out_services = 0;
	ap_mesh_each_service(t, count_service, out_services);
}
