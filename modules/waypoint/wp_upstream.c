/*
 * wp_upstream.c -- clusters and their endpoints: made from the mesh table when it changed, balanced by the route's choice.
 * Endpoints outlive a change that they survived, so that their counts of active requests do.  One thread, the worker's.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "waypoint/wp_priv.h"

#define CLUSTER_IDLE_MS 600000

static struct wp_endpoint *
endpoint_new(
    struct wp_worker *ww, struct ap_mesh_workload *w, struct ap_mesh_service *s, const struct ap_ip *ip, uint16_t port)
{
	struct wp_endpoint *e = ap_new(struct wp_endpoint);

	e->refs = 1;
	e->ww = ww;
	e->workload = ap_mesh_workload_ref(w);
	e->service = s == NULL ? NULL : ap_mesh_service_ref(s);
	e->addr = ap_addr_of(ip, port);
	ap_addr_format(&e->addr, e->text, sizeof(e->text));
	for (int v = 0; v < 2; v++)
		e->key[v] = ap_asprintf(
		    "%d %s %.*s %.*s", v + 1, e->text, AP_FMT(w->uid), AP_FMT(s == NULL ? AP_SLICE_NONE : s->hostname));
	return e;
}

void
wp_endpoint_unref(struct wp_endpoint **ep)
{
	struct wp_endpoint *e = *ep;

	*ep = NULL;
	if (e == NULL || --e->refs > 0)
		return;
	ap_mesh_workload_unref(&e->workload);
	ap_mesh_service_unref(&e->service);
	ap_free(&e->key[0]);
	ap_free(&e->key[1]);
	ap_free(&e);
}

static bool
labels_hold(const struct ap_mesh_workload *w, const struct wp_labels *labels)
{
	for (uint32_t i = 0; i < labels->count; i++)
		if (!ap_slice_eq(ap_mesh_workload_label(w, labels->items[i].key), labels->items[i].value))
			return false;
	return true;
}

/* The address family that the service's clients use comes first. */
static const struct ap_ip *
workload_ip(const struct ap_mesh_workload *w)
{
	for (uint32_t i = 0; i < w->ip_count; i++)
		if (w->ips[i].len == 4)
			return &w->ips[i];
	return w->ip_count > 0 ? &w->ips[0] : NULL;
}

/* An endpoint of the old set that stays what it was. */
static struct wp_endpoint *
endpoint_keep(const struct wp_cluster *c, const struct ap_mesh_workload *w, const struct ap_addr *addr)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct wp_endpoint *e = c->endpoints[i];

		if (e->workload == w && e->service == c->service && ap_addr_eq(&e->addr, addr)) {
			e->refs++;
			return e;
		}
	}
	return NULL;
}

static bool
cluster_has(const struct wp_cluster *c, const char *key)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (strcmp(c->endpoints[i]->key[0], key) == 0)
			return true;
	return false;
}

/* Connections to what left the cluster end with their last request. */
static void
endpoints_drop(struct wp_worker *ww, const struct wp_cluster *now, struct wp_endpoint **endpoints, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!cluster_has(now, endpoints[i]->key[0])) {
			ap_http_pool_retire(ww->pool, ap_slice_of(endpoints[i]->key[0]));
			ap_http_pool_retire(ww->pool, ap_slice_of(endpoints[i]->key[1]));
		}
		wp_endpoint_unref(&endpoints[i]);
	}
	ap_free(&endpoints);
}

static void
cluster_fill(struct wp_worker *ww, struct wp_cluster *c, const struct wp_destination *d)
{
	struct ap_mesh_service *s = ap_mesh_find_service(ww->mesh_table, d->service);
	struct ap_mesh_workloads all = { 0 };
	struct wp_endpoint **endpoints;
	struct wp_cluster old;
	uint32_t n = 0;

	if (s != c->service) {
		ap_mesh_service_unref(&c->service);
		c->service = s == NULL ? NULL : ap_mesh_service_ref(s);
	}
	if (s != NULL)
		all = ap_mesh_endpoints(ww->mesh_table, s);
	endpoints = ap_alloc_array(all.count + 1, sizeof(struct wp_endpoint *));
	for (size_t i = 0; i < all.count; i++) {
		struct ap_mesh_workload *w = all.items[i];
		const struct ap_ip *ip = workload_ip(w);
		uint16_t port = ap_mesh_target_port(w, s, d->port);
		struct ap_addr addr;

		if (ip == NULL || port == 0 || (!w->is_healthy && !s->allow_unhealthy) || !labels_hold(w, &d->labels))
			continue;
		addr = ap_addr_of(ip, port);
		endpoints[n] = endpoint_keep(c, w, &addr);
		if (endpoints[n] == NULL)
			endpoints[n] = endpoint_new(ww, w, s, ip, port);
		n++;
	}
	old = *c;
	c->endpoints = endpoints;
	c->count = n;
	endpoints_drop(ww, c, old.endpoints, old.count);
	c->generation = ap_mesh_table_generation(ww->mesh_table);
}

struct wp_cluster *
wp_cluster_get(struct wp_worker *ww, const struct wp_destination *d)
{
	struct wp_cluster *c = ap_map_find(&ww->clusters, d->cluster);

	if (c == NULL) {
		c = ap_new(struct wp_cluster);
		c->key = ap_strndup(d->cluster.ptr, d->cluster.len);
		c->generation = UINT64_MAX;
		c->next = (uint32_t)ap_rand_fast();
		ap_map_put(&ww->clusters, d->cluster, c);
	}
	c->used_ms = ap_loop_now_ms(ww->loop);
	if (c->generation != ap_mesh_table_generation(ww->mesh_table))
		cluster_fill(ww, c, d);
	return c;
}

static struct wp_endpoint *
pick_least(struct wp_cluster *c)
{
	struct wp_endpoint *a = c->endpoints[ap_rand_below(c->count)], *b = c->endpoints[ap_rand_below(c->count)];

	return b->active < a->active ? b : a;
}

static struct wp_endpoint *
pick_random(struct wp_cluster *c)
{
	uint64_t total = 0, at;

	for (uint32_t i = 0; i < c->count; i++)
		total += c->endpoints[i]->workload->capacity;
	if (total == 0)
		return c->endpoints[ap_rand_below(c->count)];
	at = ap_rand_fast() % total;
	for (uint32_t i = 0; i < c->count; i++) {
		if (at < c->endpoints[i]->workload->capacity)
			return c->endpoints[i];
		at -= c->endpoints[i]->workload->capacity;
	}
	return c->endpoints[0];
}

/* Highest random weight: when an endpoint goes only its own keys move. */
static struct wp_endpoint *
pick_hash(struct wp_cluster *c, uint64_t hash)
{
	struct wp_endpoint *best = NULL;
	uint64_t best_weight = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		uint64_t pair[2] = { hash, ap_hash_fnv(c->endpoints[i]->text, strlen(c->endpoints[i]->text)) };
		uint64_t weight = ap_hash_fnv(pair, sizeof(pair));

		/* FNV's last step mixes little into the high bits, which decide here. */
		weight ^= weight >> 33;
		weight *= 0xff51afd7ed558ccdU;
		weight ^= weight >> 33;
		if (best == NULL || weight > best_weight) {
			best = c->endpoints[i];
			best_weight = weight;
		}
	}
	return best;
}

struct wp_endpoint *
wp_endpoint_pick(struct wp_cluster *c, enum wp_lb lb, uint64_t hash, const struct wp_endpoint *avoid)
{
	struct wp_endpoint *e = NULL;

	if (c->count == 0)
		return NULL;
	for (int tries = 0; tries < 4; tries++) {
		switch (lb) {
		case WP_LB_ROUND_ROBIN:
			e = c->endpoints[c->next++ % c->count];
			break;
		case WP_LB_LEAST_REQUEST:
			e = pick_least(c);
			break;
		case WP_LB_RANDOM:
			e = pick_random(c);
			break;
		case WP_LB_HASH_HEADER:
		case WP_LB_HASH_COOKIE:
		case WP_LB_HASH_SOURCE:
		case WP_LB_HASH_QUERY:
			/* A retry goes elsewhere, always to the same elsewhere. */
			e = pick_hash(c, tries == 0 ? hash : hash + (uint64_t)tries);
			break;
		}
		if (e != avoid)
			break;
	}
	if (e == avoid && c->count > 1)
		e = c->endpoints[0] != avoid ? c->endpoints[0] : c->endpoints[1];
	AP_CHECK(e != NULL);
	e->refs++;
	return e;
}

struct wp_endpoint *
wp_endpoint_pinned(
    struct wp_worker *ww, struct ap_mesh_workload *w, struct ap_mesh_service *s, const struct ap_ip *ip, uint16_t port)
{
	return endpoint_new(ww, w, s, ip, port);
}

static void
cluster_free(void *p)
{
	struct wp_cluster *c = p;

	for (uint32_t i = 0; i < c->count; i++)
		wp_endpoint_unref(&c->endpoints[i]);
	ap_free(&c->endpoints);
	ap_mesh_service_unref(&c->service);
	ap_free(&c->key);
	ap_free(&c);
}

void
wp_clusters_sweep(struct wp_worker *ww)
{
	uint64_t now = ap_loop_now_ms(ww->loop);
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&ww->clusters, &i)) != NULL;) {
		struct wp_cluster *c = e->value;

		if (now - c->used_ms < CLUSTER_IDLE_MS)
			continue;
		ap_map_remove(&ww->clusters, ap_slice_of(c->key));
		cluster_free(c);
	}
}

void
wp_clusters_done(struct wp_worker *ww)
{
	ap_map_done(&ww->clusters, cluster_free);
}
