/*
 * cp_compile.h -- from the set of all resources to what proxies are told, and what the objects' authors are told: a pure function.
 *
 * Glossary: a *scope* is who may see a compiled entry: empty for everybody, else lines of "namespace/name" of waypoints, or
 * "ztunnel"; a *note* is a condition that belongs on an object's status.
 *
 * Any thread; it changes nothing but its output.
 */
#ifndef CONTROL_PLANE_CP_COMPILE_H
#define CONTROL_PLANE_CP_COMPILE_H
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/slice.h"
#include "codec/doc.h"
#include "model/resource.h"
#include "state/registry.h"
#include "state/waypoint_need.h"
#include "xds/set.h"

#define CP_SCOPE_ZTUNNEL "ztunnel"

struct cp_compile_input {
	const struct ap_resource_set *resources;
	struct ap_slice trust_domain, cluster_domain, cluster, root_namespace;
	const struct ap_map *vips; /* see ap_registry_options */
};

struct cp_note {
	struct ap_slice key; /* of the resource */
	const char *type;    /* "istio.io/WaypointBound" */
	bool ok;
	const char *reason;
	struct ap_slice message;
	/* Of a route's parent: its parentRef, and the condition goes to status.parents[]. NULL: status.conditions. */
	const struct ap_doc *parent_ref;
	size_t order; /* set by cp_notes_sort */
};

struct cp_notes {
	struct cp_note *items;
	size_t count, room;
};

enum cp_set { CP_SET_AUTHORIZATION, CP_SET_POLICY, CP_SET_LUA, CP_SET_ADDRESS, CP_SET_HOST, CP_SETS };

struct cp_compiled {
	struct ap_xds_set *sets[CP_SETS]; /* the caller's; in the order in which they are pushed */
	/* Of this run, in its arena: */
	struct ap_arena *arena;
	struct ap_registry *registry;
	struct ap_needs *needs;
	struct cp_notes notes; /* ordered by key */
};

/* By key; notes of one object stay in the order in which they were made. */
void cp_notes_sort(struct cp_notes *notes);

extern const char *const cp_set_types[CP_SETS];

void cp_compiled_init(struct cp_compiled *c);
void cp_compiled_done(struct cp_compiled *c);
/* Replace what the sets hold by what follows from the resources; only what differs counts as changed. */
void cp_compile(struct cp_compiled *c, const struct cp_compile_input *input);

#endif
