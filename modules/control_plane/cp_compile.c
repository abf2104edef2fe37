/*
 * cp_compile.c -- one run of the compiler: registry, needs, translations in their order, and the sets' sweep.
 *
 * Everything is derived anew from the resources; the sets keep what did not change, so the cost on the wire is that of the
 * change.  Pure.
 */
#include "control_plane/cp_compile.h"

#include <stdlib.h>

#include "base/check.h"
#include "control_plane/translate/t_route.h"
#include "xds/client.h"

#define ARENA_MAX ((size_t)4 * 1024 * 1024 * 1024)

const char *const cp_set_types[CP_SETS] = {
	[CP_SET_AUTHORIZATION] = AP_XDS_AUTHORIZATION,
	[CP_SET_POLICY] = AP_XDS_WAYPOINT_POLICY,
	[CP_SET_LUA] = AP_XDS_LUA,
	[CP_SET_ADDRESS] = AP_XDS_ADDRESS,
	[CP_SET_HOST] = AP_XDS_WAYPOINT_HOST,
};

void
cp_compiled_init(struct cp_compiled *c)
{
	*c = (struct cp_compiled){ 0 };
	for (size_t i = 0; i < CP_SETS; i++)
		c->sets[i] = ap_xds_set_new(cp_set_types[i]);
}

static void
run_done(struct cp_compiled *c)
{
	ap_waypoint_needs_done(c->needs);
	ap_registry_done(c->registry);
	ap_free(&c->notes.items);
	c->notes.count = c->notes.room = 0;
	c->needs = NULL;
	c->registry = NULL;
	ap_arena_free(&c->arena);
}

void
cp_compiled_done(struct cp_compiled *c)
{
	run_done(c);
	for (size_t i = 0; i < CP_SETS; i++)
		ap_xds_set_free(&c->sets[i]);
}

#define NETWORKS_MAX 64

static void
find_networks(struct tr *t)
{
	struct ap_slice *list = ap_arena_zalloc(t->arena, NETWORKS_MAX * sizeof(struct ap_slice));
	AP_CHECK(list != NULL);
	t->networks = list;
	list[t->network_count++] = AP_S("");
	for (size_t i = 0; i < t->r->workload_count; i++) {
		struct ap_slice n = t->r->workloads[i]->network;
		bool known = false;
		for (size_t k = 0; k < t->network_count && !known; k++)
			known = ap_slice_eq(list[k], n);
		if (!known && t->network_count < NETWORKS_MAX)
			list[t->network_count++] = n;
	}
}

/* Each workload's bound waypoints. */
static void
find_waypoints(struct tr *t)
{
	t->workloads = ap_arena_zalloc(t->arena, AP_MAX(t->r->workload_count, (size_t)1) * sizeof(struct tr_workload));
	AP_CHECK(t->workloads != NULL);
	for (size_t i = 0; i < t->r->workload_count; i++)
		t->workloads[i].w = t->r->workloads[i];
	for (size_t i = 0; i < t->needs->count; i++) {
		const struct ap_need *n = t->needs->items[i];
		for (size_t k = 0; k < n->service_count; k++) {
			const struct ap_reg_service *s = n->services[k];
			if (!tr_is_bound(n, s))
				continue;
			for (size_t e = 0; e < s->endpoint_count; e++) {
				struct tr_workload *w = tr_workload_of(t, s->endpoints[e]);
				size_t last = w == NULL ? 0 : w->waypoints.count;
				if (w != NULL && (last == 0 || w->waypoints.items[last - 1] != n))
					ap_vec_push(&w->waypoints, n);
			}
		}
	}
}

static int
compare_notes(const void *a, const void *b)
{
	const struct cp_note *x = a, *y = b;
	int c = ap_slice_cmp(x->key, y->key);
	return c != 0 ? c : x->order < y->order ? -1 : 1;
}

void
cp_notes_sort(struct cp_notes *notes)
{
	for (size_t i = 0; i < notes->count; i++)
		notes->items[i].order = i;
	if (notes->count > 1)
		qsort(notes->items, notes->count, sizeof(struct cp_note), compare_notes);
}

void
cp_compile(struct cp_compiled *c, const struct cp_compile_input *in)
{
	run_done(c);
	c->arena = ap_arena_new(ARENA_MAX);
	struct ap_registry_options options = { .cluster_domain = in->cluster_domain,
		.trust_domain = in->trust_domain,
		.cluster = in->cluster,
		.vips = in->vips };
	c->registry = ap_registry_build(c->arena, in->resources, &options);
	AP_CHECK(c->registry != NULL);
	c->needs = ap_waypoint_needs(c->arena, c->registry);
	AP_CHECK(c->needs != NULL);
	struct tr t = { .arena = c->arena, .in = in, .r = c->registry, .needs = c->needs, .out = c };
	find_networks(&t);
	find_waypoints(&t);
	tr_index_virtual_services(&t);
	tr_index_route_tables(&t);
	for (size_t i = 0; i < CP_SETS; i++)
		ap_xds_set_begin(c->sets[i]);
	tr_authorizations(&t);
	tr_peer_authentications(&t);
	tr_workspaces(&t);
	tr_waypoint_guards(&t);
	tr_policies(&t);
	tr_lua_policies(&t);
	tr_addresses(&t);
	tr_hosts(&t);
	for (size_t i = 0; i < CP_SETS; i++)
		ap_xds_set_end(c->sets[i]);
	for (size_t i = 0; i < c->registry->workload_count; i++) {
		ap_vec_done(&t.workloads[i].policies);
		ap_vec_done(&t.workloads[i].waypoints);
	}
	ap_map_done(&t.virtual_services, NULL);
	ap_map_done(&t.route_tables, NULL);
	cp_notes_sort(&c->notes);
}
