/*
 * tr.h -- what the translations share: one run's context, and lists and texts of protobuf messages in its arena.
 *
 * Each translation is a function from resources and the registry to messages, and belongs to one family of kinds; routes of every
 * family become ambit.waypoint.Route, the one intermediate form.
 */
#ifndef CONTROL_PLANE_TRANSLATE_TR_H
#define CONTROL_PLANE_TRANSLATE_TR_H
#include "base/check.h"
#include "base/vec.h"
#include "control_plane/cp_compile.h"

#include "ambit/waypoint.pb-c.h"
#include "istio/authorization.pb-c.h"
#include "istio/workload.pb-c.h"

/* A workload's part in the run: which policies name it, which waypoints its services are bound to. */
struct tr_workload {
	const struct ap_reg_workload *w;
	AP_VEC(char *) policies;
	AP_VEC(const struct ap_need *) waypoints; /* bound only */
	bool has_allow; /* some ALLOW policy covers it */
};

struct tr {
	struct ap_arena *arena;
	const struct cp_compile_input *in;
	const struct ap_registry *r;
	const struct ap_needs *needs;
	struct cp_compiled *out;
	struct tr_workload *workloads; /* same order as r->workloads */
	/* Which object speaks for a service: service key -> resource. */
	struct ap_map virtual_services, route_tables;
	const struct ap_slice *networks; /* distinct, of all workloads, and the default one */
	size_t network_count;
};

/* NUL-terminated copy; "" for an empty slice. */
char *tr_text(struct tr *t, struct ap_slice s);
char *tr_printf(struct tr *t, const char *fmt, ...) AP_PRINTF(2, 3);
/* Append to a protobuf-c list (T **items; size_t n): tr_push(t, &m->items, &m->n_items, item). */
void tr_push(struct tr *t, void *items, size_t *count, void *item);
/* All strings of a list of a document. */
void tr_push_strings(struct tr *t, char ***items, size_t *count, const struct ap_doc *list);
/* Pack a message into a set. name and lists are copied by the set. */
void tr_put(struct tr *t, enum cp_set set, const struct ap_xds_put *put, const void *message);
void tr_note(struct tr *t, const struct ap_resource *res, const char *type, bool ok, const char *reason, struct ap_slice message);
void tr_note_parent(struct tr *t, const struct ap_resource *res, const struct ap_doc *parent_ref, const char *type, bool ok,
    const char *reason, struct ap_slice message);

/* Is the service's traffic sent through this need's waypoint now? */
bool tr_is_bound(const struct ap_need *n, const struct ap_reg_service *s);
/* The principal of a waypoint: its identity without spiffe://. */
char *tr_principal(struct tr *t, const struct ap_need *n);
struct tr_workload *tr_workload_of(struct tr *t, const struct ap_reg_workload *w);
bool tr_is_root(const struct tr *t, struct ap_slice namespace_);
/* Older first; then by path. */
bool tr_is_older(const struct ap_resource *a, const struct ap_resource *b);
/* "0.0.0.0/0" text into an address message; false: no address. */
bool tr_cidr(struct tr *t, struct ap_slice text, struct ap_cidr *out);

#define TR_NEW(t_, type_, init_) ((type_ *)tr_init((t_), sizeof(type_), (void (*)(void *))(void (*)(void))(init_)))
void *tr_init(struct tr *t, size_t size, void (*init)(void *));

/* t_authz.c */
void tr_authorizations(struct tr *t);
/* t_peer.c: PeerAuthentication, and what fail-closed and workspaces add. */
void tr_peer_authentications(struct tr *t);
void tr_waypoint_guards(struct tr *t);
/* t_workspace.c */
void tr_workspaces(struct tr *t);
/* t_address.c: last, since it lists the policies that the others attached. */
void tr_addresses(struct tr *t);
/* t_policy.c */
void tr_policies(struct tr *t);
void tr_lua_policies(struct tr *t);
/* Names of the policies of a service, in order, for its Host. */
void tr_host_policies(struct tr *t, const struct ap_need *n, const struct ap_reg_service *s, Ambit__Waypoint__Host *h);
/* t_host.c */
void tr_hosts(struct tr *t);
/* Shared with t_authz.c: a DENY or ALLOW of one group, by name, for WORKLOAD_SELECTOR. */
Istio__Security__Authorization *tr_authz_new(struct tr *t, struct ap_slice namespace_, const char *name, bool deny);
void tr_authz_put(struct tr *t, const Istio__Security__Authorization *a);
void tr_attach(struct tr *t, struct tr_workload *w, const Istio__Security__Authorization *a);
Istio__Security__Match *tr_authz_rule(struct tr *t, Istio__Security__Group *g); /* new Rules with one Match */
Istio__Security__Group *tr_authz_group(struct tr *t, Istio__Security__Authorization *a);
Istio__Security__StringMatch *tr_string_match(struct tr *t, struct ap_slice value);

#endif
