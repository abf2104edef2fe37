/*
 * table.c -- how a table changes: one object comes, is replaced or goes, and every index follows.  Look-ups are in table_find.c and
 * table_pick.c.  A table belongs to one thread; its objects are shared.
 */
#include "mesh/table.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "mesh/policy.h"
#include "mesh/table_priv.h"

#define TABLE_MAGIC AP_MAGIC('M', 'T', 'B', 'L')

static struct ap_slice
workload_key(const void *item)
{
	return ((const struct ap_mesh_workload *)item)->uid;
}

static struct ap_slice
policy_key(const void *item)
{
	return ap_authz_policy_key(item);
}

struct ap_mesh_table *
ap_mesh_table_new(void)
{
	struct ap_mesh_table *t = ap_new(struct ap_mesh_table);

	t->magic = TABLE_MAGIC;
	mesh_index_init(&t->workloads, workload_key);
	mesh_index_init(&t->addresses, mesh_node_key);
	mesh_index_init(&t->services, mesh_node_key);
	mesh_index_init(&t->hosts, mesh_node_key);
	mesh_index_init(&t->vips, mesh_node_key);
	mesh_index_init(&t->policies, policy_key);
	mesh_index_init(&t->namespace_policies, mesh_node_key);
	return t;
}

static bool
free_workload(void *item, void *arg)
{
	struct ap_mesh_workload *w = item;

	(void)arg;
	ap_mesh_workload_unref(&w);
	return true;
}

static bool
free_policy(void *item, void *arg)
{
	struct ap_authz_policy *p = item;

	(void)arg;
	ap_authz_policy_unref(&p);
	return true;
}

static bool
free_node(void *item, void *arg)
{
	struct mesh_node *n = item;
	struct ap_mesh_service *s = n->object;

	(void)arg;
	ap_mesh_service_unref(&s);
	mesh_bag_done(&n->bag);
	ap_free(&n);
	return true;
}

void
ap_mesh_table_free(struct ap_mesh_table **t)
{
	struct ap_mesh_table *old = *t;
	struct mesh_index *nodes[] = { NULL, NULL, NULL, NULL, NULL };
	size_t i;

	*t = NULL;
	if (old == NULL)
		return;
	AP_IS(old, TABLE_MAGIC);
	mesh_index_each(&old->workloads, free_workload, NULL);
	mesh_index_done(&old->workloads);
	mesh_index_each(&old->policies, free_policy, NULL);
	mesh_index_done(&old->policies);
	nodes[0] = &old->addresses;
	nodes[1] = &old->services;
	nodes[2] = &old->hosts;
	nodes[3] = &old->vips;
	nodes[4] = &old->namespace_policies;
	for (i = 0; i < AP_COUNTOF(nodes); i++) {
		mesh_index_each(nodes[i], free_node, NULL);
		mesh_index_done(nodes[i]);
	}
	for (i = 0; i < old->networks.count; i++)
		ap_mem_free((void *)(uintptr_t)old->networks.items[i].ptr);
	ap_vec_done(&old->networks);
	ap_vec_done(&old->cidrs);
	mesh_bag_done(&old->global_policies);
	old->magic = 0;
	ap_free(&old);
}

uint64_t
ap_mesh_table_generation(const struct ap_mesh_table *t)
{
	return t->generation;
}

bool
mesh_network_find(const struct ap_mesh_table *t, struct ap_slice network, uint32_t *out)
{
	size_t i;

	for (i = 0; i < t->networks.count; i++) {
		if (ap_slice_eq(t->networks.items[i], network)) {
			*out = (uint32_t)i;
			return true;
		}
	}
	return false;
}

static uint32_t
network_get(struct ap_mesh_table *t, struct ap_slice network)
{
	uint32_t n;

	if (mesh_network_find(t, network, &n))
		return n;
	ap_vec_push(&t->networks, ap_slice(ap_strndup(network.ptr, network.len), network.len));
	return (uint32_t)(t->networks.count - 1);
}

static struct ap_slice
address_key(uint32_t network, const struct ap_ip *ip, char room[MESH_ADDRESS_KEY_MAX])
{
	memcpy(room, &network, sizeof(network));
	memcpy(room + sizeof(network), ip->bytes, ip->len);
	return ap_slice(room, sizeof(network) + ip->len);
}

struct ap_slice
mesh_address_key(const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip,
    char room[MESH_ADDRESS_KEY_MAX])
{
	uint32_t n;

	if (ip->len == 0 || !mesh_network_find(t, network, &n))
		return AP_SLICE_NONE;
	return address_key(n, ip, room);
}

static void
bag_out(struct mesh_index *ix, struct ap_slice key, const void *item)
{
	struct mesh_node *n = mesh_index_find(ix, key);

	if (n == NULL)
		return;
	(void)mesh_bag_remove(&n->bag, item);
	mesh_node_tidy(ix, n);
}

static void
unlink_workload(struct ap_mesh_table *t, struct ap_mesh_workload *w)
{
	char room[MESH_ADDRESS_KEY_MAX];
	struct mesh_node *n;
	uint32_t i;

	for (i = 0; i < w->ip_count; i++)
		bag_out(&t->addresses, mesh_address_key(t, w->network, &w->ips[i], room), w);
	for (i = 0; i < w->membership_count; i++) {
		n = mesh_index_find(&t->services, w->memberships[i].service);
		if (n == NULL || !mesh_bag_remove(&n->bag, w))
			continue;
		if (w->capacity != 1)
			n->odd--;
		mesh_node_tidy(&t->services, n);
	}
}

static void
link_workload(struct ap_mesh_table *t, struct ap_mesh_workload *w)
{
	char room[MESH_ADDRESS_KEY_MAX];
	uint32_t i, network = network_get(t, w->network);
	struct mesh_node *n;

	for (i = 0; i < w->ip_count; i++)
		mesh_bag_add(&mesh_node_get(&t->addresses, address_key(network, &w->ips[i], room))->bag, w);
	for (i = 0; i < w->membership_count; i++) {
		n = mesh_node_get(&t->services, w->memberships[i].service);
		mesh_bag_add(&n->bag, w);
		if (w->capacity != 1)
			n->odd++;
	}
}

static bool
workload_out(struct ap_mesh_table *t, struct ap_slice uid)
{
	struct ap_mesh_workload *w = mesh_index_find(&t->workloads, uid);

	if (w == NULL)
		return false;
	unlink_workload(t, w);
	(void)mesh_index_remove(&t->workloads, uid);
	ap_mesh_workload_unref(&w);
	return true;
}

static bool
is_one_address(const struct ap_cidr *c)
{
	return c->bits == c->ip.len * 8;
}

static void
unlink_service(struct ap_mesh_table *t, struct ap_mesh_service *s)
{
	char room[MESH_ADDRESS_KEY_MAX];
	size_t i;

	bag_out(&t->hosts, s->hostname, s);
	for (i = 0; i < s->vip_count; i++) {
		if (is_one_address(&s->vips[i].cidr))
			bag_out(&t->vips, mesh_address_key(t, s->vips[i].network, &s->vips[i].cidr.ip, room), s);
	}
	for (i = t->cidrs.count; i-- > 0;) {
		if (t->cidrs.items[i].service == s)
			ap_vec_remove(&t->cidrs, i);
	}
}

static void
link_service(struct ap_mesh_table *t, struct ap_mesh_service *s)
{
	char room[MESH_ADDRESS_KEY_MAX];
	uint32_t i, network;

	mesh_bag_add(&mesh_node_get(&t->hosts, s->hostname)->bag, s);
	for (i = 0; i < s->vip_count; i++) {
		network = network_get(t, s->vips[i].network);
		if (is_one_address(&s->vips[i].cidr))
			mesh_bag_add(
			    &mesh_node_get(&t->vips, address_key(network, &s->vips[i].cidr.ip, room))->bag, s);
		else
			ap_vec_push(&t->cidrs,
			    (struct mesh_cidr){ .network = network, .cidr = s->vips[i].cidr, .service = s });
	}
}

static bool
service_out(struct ap_mesh_table *t, struct ap_slice key)
{
	struct mesh_node *n = mesh_index_find(&t->services, key);
	struct ap_mesh_service *s = n == NULL ? NULL : n->object;

	if (s == NULL)
		return false;
	unlink_service(t, s);
	n->object = NULL;
	mesh_node_tidy(&t->services, n);
	ap_mesh_service_unref(&s);
	return true;
}

static bool
policy_out(struct ap_mesh_table *t, struct ap_slice key)
{
	struct ap_authz_policy *p = mesh_index_find(&t->policies, key);

	if (p == NULL)
		return false;
	switch (ap_authz_policy_scope(p)) {
	case AP_AUTHZ_GLOBAL:
		(void)mesh_bag_remove(&t->global_policies, p);
		break;
	case AP_AUTHZ_NAMESPACE:
		bag_out(&t->namespace_policies, ap_authz_policy_namespace(p), p);
		break;
	case AP_AUTHZ_SELECTED:
		break;
	}
	(void)mesh_index_remove(&t->policies, key);
	ap_authz_policy_unref(&p);
	return true;
}

static void
policy_in(struct ap_mesh_table *t, struct ap_authz_policy *p)
{
	(void)policy_out(t, ap_authz_policy_key(p));
	mesh_index_add(&t->policies, ap_authz_policy_ref(p));
	switch (ap_authz_policy_scope(p)) {
	case AP_AUTHZ_GLOBAL:
		mesh_bag_add(&t->global_policies, p);
		break;
	case AP_AUTHZ_NAMESPACE:
		mesh_bag_add(&mesh_node_get(&t->namespace_policies, ap_authz_policy_namespace(p))->bag, p);
		break;
	case AP_AUTHZ_SELECTED:
		break;
	}
}

bool
ap_mesh_table_apply(struct ap_mesh_table *t, const struct ap_mesh_change *change)
{
	bool changed = true;

	AP_IS(t, TABLE_MAGIC);
	switch ((enum ap_mesh_change_kind)change->kind) {
	case AP_MESH_WORKLOAD:
		if (change->workload == NULL) {
			changed = workload_out(t, change->key);
			break;
		}
		(void)workload_out(t, change->workload->uid);
		mesh_index_add(&t->workloads, ap_mesh_workload_ref(change->workload));
		link_workload(t, change->workload);
		break;
	case AP_MESH_SERVICE:
		if (change->service == NULL) {
			changed = service_out(t, change->key);
			break;
		}
		(void)service_out(t, change->service->key);
		mesh_node_get(&t->services, change->service->key)->object = ap_mesh_service_ref(change->service);
		link_service(t, change->service);
		break;
	case AP_MESH_POLICY:
		if (change->policy == NULL)
			changed = policy_out(t, change->key);
		else
			policy_in(t, change->policy);
		break;
	default:
		AP_NEVER();
	}
	if (changed)
		t->generation++;
	return changed;
}

struct copying {
	struct ap_mesh_table *to;
};

static bool
copy_workload(struct ap_mesh_workload *w, void *arg)
{
	struct copying *c = arg;

	(void)ap_mesh_table_apply(c->to, &(struct ap_mesh_change){ .kind = AP_MESH_WORKLOAD, .workload = w });
	return true;
}

static bool
copy_service(struct ap_mesh_service *s, void *arg)
{
	struct copying *c = arg;

	(void)ap_mesh_table_apply(c->to, &(struct ap_mesh_change){ .kind = AP_MESH_SERVICE, .service = s });
	return true;
}

static bool
copy_policy(struct ap_authz_policy *p, void *arg)
{
	struct copying *c = arg;

	(void)ap_mesh_table_apply(c->to, &(struct ap_mesh_change){ .kind = AP_MESH_POLICY, .policy = p });
	return true;
}

struct ap_mesh_table *
ap_mesh_table_copy(const struct ap_mesh_table *t)
{
	struct copying c = { .to = ap_mesh_table_new() };

	ap_mesh_each_policy(t, copy_policy, &c);
	ap_mesh_each_service(t, copy_service, &c);
	ap_mesh_each_workload(t, copy_workload, &c);
	return c.to;
}
