/*
 * table.h -- what is where: the workloads, services and L4 policies of the mesh, with the look-ups that a connection needs.
 *
 * Every thread that asks has a table of its own over the same immutable, counted objects.  The main thread decodes an xDS update
 * once and applies the difference to its table; the same difference then goes to each worker by mailbox (feed.h).
 * So a look-up is a plain hash look-up without a lock or a locked instruction, a change costs what changed, and what a
 * thread pays for its own table is a few pointers per object.  A persistent trie shared by all would save those pointers and
 * cost a chain of cache misses per look-up.  The hash tables are cut into small parts that grow by themselves, so no
 * single insertion ever moves more than a few hundred entries.
 *
 * What a look-up returns lives until the thread applies the next change: take a reference (object.h) to keep it.
 */
#ifndef MESH_TABLE_H
#define MESH_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/slice.h"
#include "mesh/object.h"

struct ap_authz_policy; /* mesh/policy.h */
struct ap_mesh_table;

/* One step from a table to the next. Removal: the object pointers are NULL and key says what goes. */
enum ap_mesh_change_kind { AP_MESH_WORKLOAD, AP_MESH_SERVICE, AP_MESH_POLICY };
struct ap_mesh_change {
	uint8_t kind;
	struct ap_mesh_workload *workload; /* one reference, held by the list of changes */
	struct ap_mesh_service *service;
	struct ap_authz_policy *policy;
	struct ap_slice key; /* removal: uid, "namespace/hostname" or "namespace/name" */
};

/* Several workloads of one address, or the endpoints of a service. */
struct ap_mesh_workloads {
	struct ap_mesh_workload *const *items;
	size_t count;
};

/* Who asks, for visibility, preference and locality. Any pointer may be NULL. */
struct ap_mesh_origin {
	struct ap_slice namespace_, network, cluster, node, region, zone, subzone;
};

enum ap_mesh_pick_result {
	AP_MESH_PICKED,
	AP_MESH_NO_PORT,     /* the service does not have this port, or no endpoint maps it */
	AP_MESH_NO_ENDPOINT, /* no endpoint at all, none healthy, or none within a strict scope */
};

struct ap_mesh_pick {
	struct ap_mesh_workload *workload;
	struct ap_ip ip; /* len 0: the workload has a hostname only */
	uint16_t port;   /* where it listens */
};

/* An endpoint may be left out by the caller (tried already, subset, outlier). True: take it. */
typedef bool (*ap_mesh_filter_fn)(const struct ap_mesh_workload *w, void *arg);

AP_PUBLIC_BEGIN
struct ap_mesh_table *ap_mesh_table_new(void);
void ap_mesh_table_free(struct ap_mesh_table **t);
/* Takes its own references. Unknown removals are ignored. True when something changed. */
bool ap_mesh_table_apply(struct ap_mesh_table *t, const struct ap_mesh_change *change);
/* Counts every change that was applied. */
uint64_t ap_mesh_table_generation(const struct ap_mesh_table *t);
/* A fresh table with the same content (for a worker that starts late). */
struct ap_mesh_table *ap_mesh_table_copy(const struct ap_mesh_table *t);

struct ap_mesh_workload *ap_mesh_find_workload(const struct ap_mesh_table *t, struct ap_slice uid);
/* Every workload of an address. */
struct ap_mesh_workloads ap_mesh_at(const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip);
/* Who is calling from this address with this identity ("spiffe://..."). Empty identity (plaintext): the one workload of the
 * address, when it is alone there. NULL: nobody known. */
struct ap_mesh_workload *ap_mesh_find_source(
    const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip, struct ap_slice identity);
/* Whom this address and port belong to: the workload that maps a service port to it, else the one that is alone there, else, of
 * several without a claim on the port, none. */
struct ap_mesh_workload *ap_mesh_find_destination(
    const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip, uint16_t port);

/* Whether one of the workload's services leads to this port of it. */
bool ap_mesh_claims_port(const struct ap_mesh_table *t, const struct ap_mesh_workload *w, uint16_t port);

struct ap_mesh_service *ap_mesh_find_service(const struct ap_mesh_table *t, struct ap_slice key); /* "ns/hostname" */
/* Exact VIP, then the longest CIDR; of several, ranked by 5.1. */
struct ap_mesh_service *ap_mesh_find_vip(
    const struct ap_mesh_table *t, const struct ap_mesh_origin *from, struct ap_slice network, const struct ap_ip *ip);
/* Exact hostname, then wildcards, longest first; of several, ranked by 5.1. */
struct ap_mesh_service *ap_mesh_find_host(
    const struct ap_mesh_table *t, const struct ap_mesh_origin *from, struct ap_slice hostname);
/* Every workload that names the service, healthy or not. */
struct ap_mesh_workloads ap_mesh_endpoints(const struct ap_mesh_table *t, const struct ap_mesh_service *s);
/* Load balancing by 5.3. prefer_v6: family of the original destination (-1: no preference). filter may be NULL. */
enum ap_mesh_pick_result ap_mesh_pick(const struct ap_mesh_table *t, const struct ap_mesh_service *s,
    uint16_t service_port, const struct ap_mesh_origin *from, int prefer_v6, ap_mesh_filter_fn filter, void *arg,
    struct ap_mesh_pick *out);
/* The waypoint or network gateway workload that a reference leads to, and where to dial it. out_service (may be NULL): the service
 * through which it was found, or NULL. False: it cannot be resolved, and the traffic must be refused. */
bool ap_mesh_resolve_gateway(const struct ap_mesh_table *t, const struct ap_mesh_gateway *gateway,
    const struct ap_mesh_origin *from, int prefer_v6, struct ap_mesh_pick *out, struct ap_mesh_service **out_service);
/* The waypoint reference of a service for one connection: a sample of the weighted ones, else the one; NULL: none. */
const struct ap_mesh_gateway *ap_mesh_sample_waypoint(const struct ap_mesh_table *t, const struct ap_mesh_service *s);
/* Whether the reference names this workload (by its services or its address). */
bool ap_mesh_gateway_is(
    const struct ap_mesh_table *t, const struct ap_mesh_gateway *gateway, const struct ap_mesh_workload *w);

/* Every object, in no order; fn returns false to stop. For dumps. */
void ap_mesh_each_workload(
    const struct ap_mesh_table *t, bool (*fn)(struct ap_mesh_workload *w, void *arg), void *arg);
void ap_mesh_each_service(const struct ap_mesh_table *t, bool (*fn)(struct ap_mesh_service *s, void *arg), void *arg);
void ap_mesh_each_policy(const struct ap_mesh_table *t, bool (*fn)(struct ap_authz_policy *p, void *arg), void *arg);
void ap_mesh_counts(const struct ap_mesh_table *t, size_t *out_workloads, size_t *out_services, size_t *out_policies);
AP_PUBLIC_END

#endif
