/*
 * waypoint_need.h -- where waypoints are needed, and why: a pure function from all resources, shared by the control plane (which
 * binds services to waypoints) and the manager (which runs them).
 *
 * Glossary: a *need* is one waypoint that should exist, with the services that go through it and its reasons; a reason is
 * *security* when passing it by would let through what policy forbids, and then the need is *enforced*: its services are
 * bound from that moment on and refuse traffic until the waypoint is ready.  A routing-only need binds once the
 * waypoint was ready.  *Explicit* needs are Gateways that somebody wrote; a service that its label binds to one gets no
 * other.
 *
 * Everything lives in the arena, or points into the resources, which must outlive it.
 */
#ifndef STATE_WAYPOINT_NEED_H
#define STATE_WAYPOINT_NEED_H
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/map.h"
#include "base/slice.h"
#include "codec/doc.h"
#include "model/resource.h"
#include "state/registry.h"

#define AP_WAYPOINT_CLASS "istio-waypoint"
#define AP_LABEL_MANAGED "ambit.mesh/managed"
#define AP_ANNOTATION_REASONS "ambit.mesh/reasons"
#define AP_LABEL_USE_WAYPOINT "istio.io/use-waypoint"
#define AP_LABEL_USE_WAYPOINT_NAMESPACE "istio.io/use-waypoint-namespace"
#define AP_LABEL_WAYPOINT_FOR "istio.io/waypoint-for"
#define AP_WAYPOINT_PORT 15008

/* Namespaces whose policies are mesh wide. */
AP_PUBLIC extern const struct ap_slice ap_root_namespaces[2];

#define AP_HOOK_CONNECT 1U
#define AP_HOOK_REQUEST 2U
#define AP_HOOK_RESPONSE 4U

enum ap_need_scope { AP_NEED_ACCOUNT, AP_NEED_NAMESPACE, AP_NEED_SERVICE, AP_NEED_GATEWAY };

struct ap_need_reason {
	const struct ap_resource *resource; /* the route or policy */
	struct ap_slice kind, namespace_, name;
	struct ap_slice field;  /* "spec.http[0].route[1].weight": what needs HTTP */
	struct ap_slice text;   /* one sentence for people */
	const struct ap_reg_service *service; /* whom it concerns */
	bool security;
};

struct ap_need {
	struct ap_slice namespace_, name; /* of the Gateway */
	enum ap_need_scope scope;
	struct ap_slice scope_name; /* service account or service; empty for a namespace */
	struct ap_slice identity;   /* spiffe id of the waypoint */
	bool enforce, is_explicit;
	const struct ap_resource *gateway; /* the Gateway object, when it is there */
	const struct ap_resource *policy;  /* the WaypointPolicy that governs it, or NULL */
	const struct ap_reg_service **services;
	size_t service_count, service_room;
	struct ap_need_reason *reasons;
	size_t reason_count, reason_room;
};

/* A service that wants HTTP but was told to have no waypoint (label istio.io/use-waypoint: none), or whose label cannot be honoured. */
struct ap_need_refusal {
	const struct ap_reg_service *service;
	const char *code;     /* WaypointIsNotReady, AttachmentDenied, UnsupportedTrafficType, OptedOut */
	struct ap_slice text;
	bool security; /* it has a security reason */
};

struct ap_needs {
	struct ap_need **items; /* ordered by namespace and name */
	size_t count, room;
	struct ap_need_refusal *refusals;
	size_t refusal_count, refusal_room;
	struct ap_map by_service; /* service key -> struct ap_need */
	struct ap_map by_gateway; /* "namespace/name" -> struct ap_need */
};

AP_PUBLIC_BEGIN
struct ap_needs *ap_waypoint_needs(struct ap_arena *arena, const struct ap_registry *registry);
/* The maps' memory; the rest goes with the arena. */
void ap_waypoint_needs_done(struct ap_needs *n);
/* Has this service itself a security reason? */
bool ap_need_enforces(const struct ap_need *n, const struct ap_reg_service *s);
/* The need that a service is bound by, or NULL. */
struct ap_need *ap_need_of(const struct ap_needs *n, const struct ap_reg_service *s);
/* [{"kind","namespace","name","field","text","security"}] for the annotation ambit.mesh/reasons and for people. */
struct ap_doc *ap_need_reasons_doc(struct ap_arena *arena, const struct ap_need *n);
/* Has the Gateway ever been ready? (status.addresses is never emptied afterwards.) */
bool ap_gateway_was_ready(const struct ap_resource *gateway);
/* Does a RouteTable apply inside the mesh (and not only at gateways)? */
bool ap_route_table_in_mesh(const struct ap_resource *rt);
/* The service that a route's parentRef names: a Service, or the first host of a ServiceEntry; NULL: none of these. */
struct ap_reg_service *ap_parent_service(
    const struct ap_registry *r, const struct ap_resource *route, const struct ap_doc *parent_ref);
/* Hooks that a LuaPolicy's script has (AP_HOOK_*). */
unsigned ap_lua_policy_hooks(const struct ap_resource *policy);
/* spec.targetRefs, spec.selector.matchLabels; NULL when absent or empty. */
const struct ap_doc *ap_policy_target_refs(const struct ap_resource *policy);
const struct ap_doc *ap_policy_selector(const struct ap_resource *policy);
bool ap_target_ref_is(const struct ap_doc *ref, const struct ap_reg_service *s, struct ap_slice policy_namespace);
/* Parts of AuthorizationPolicy: the first field of a source or operation that only HTTP has, or NULL; keys of `when` that L4 has. */
const char *ap_authz_source_l7_field(const struct ap_doc *source);
const char *ap_authz_operation_l7_field(const struct ap_doc *operation);
bool ap_authz_key_is_l4(struct ap_slice key);
bool ap_authz_rule_needs_http(
    struct ap_arena *arena, const struct ap_doc *rule, unsigned index, struct ap_slice *out_field);
/* Does an AuthorizationPolicy's rule, or the whole policy, need HTTP? *out_field names the first such field (in the arena). */
bool ap_authz_needs_http(struct ap_arena *arena, const struct ap_doc *policy_spec, struct ap_slice *out_field);
/* Does a VirtualService apply inside the mesh (and not only at gateways)? */
bool ap_virtual_service_in_mesh(const struct ap_resource *vs);
/* Does a policy with targetRefs, selector or neither concern this service (some endpoint of it)? root: the mesh-wide namespace. */
bool ap_policy_concerns(const struct ap_registry *r, const struct ap_resource *policy, const struct ap_reg_service *s,
    const struct ap_slice *roots, size_t root_count);
AP_PUBLIC_END

#endif
