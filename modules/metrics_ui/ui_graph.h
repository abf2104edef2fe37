/*
 * ui_graph.h -- from what proxies reported to who talks to whom: one edge per (source, destination, service), counted once
 * whatever hops lie under it (istio-ambient.md 6.4).  A pure function of its input.
 *
 * Glossary: a *leg* is one connection of a path through a waypoint (client to waypoint, waypoint to server); a *direct* flow
 * has no waypoint at either end; an edge is *folded* when the legs and the waypoint's own report are one edge from client to
 * server, and *shown* when the waypoint is a node between two edges.
 */
#ifndef UI_GRAPH_H
#define UI_GRAPH_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "metrics_ui/ui_flow.h"
#include "metrics_ui/ui_measure.h"
#include "metrics_ui/ui_names.h"

enum ui_node_kind { UI_NODE_WORKLOAD, UI_NODE_SERVICE, UI_NODE_WAYPOINT, UI_NODE_OUTSIDE };

struct ui_graph_flow {
	const struct ui_flow *flow;
	struct ui_measure m; /* over the window */
};

struct ui_graph_input {
	const struct ui_graph_flow *flows;
	size_t count;
	const struct ui_names *names;
	bool show_waypoints;
	bool by_service; /* nodes are identities: versions of a service together */
};

struct ui_node {
	struct ap_slice id;
	enum ui_node_kind kind;
	struct ap_slice namespace_, name, app, version, principal;
	struct ui_measure in, out;
	uint64_t in_secure, in_known, out_secure, out_known; /* weights for the mTLS ratio */
	struct ui_node *next; /* in order of id */
};

enum ui_hop_kind { UI_HOP_DIRECT, UI_HOP_CLIENT, UI_HOP_WAYPOINT, UI_HOP_SERVER };

/* What one reporter says of a part of the path. */
struct ui_hop {
	enum ui_hop_kind kind;
	enum ui_reporter reporter;
	const struct ui_node *from, *to;
	struct ui_measure m;
	struct ui_hop *next;
};

#define UI_VIA_MAX 4

struct ui_edge {
	struct ap_slice id;
	struct ui_node *src, *dst;
	struct ap_slice service, service_name, service_namespace;
	struct ap_slice protocol;
	struct ap_slice src_principal, dst_principal;
	enum ui_reporter reporter; /* whose figures these mostly are */
	struct ui_measure m;
	uint64_t secure, known; /* weight of what was mutual TLS, of all */
	struct ap_slice via[UI_VIA_MAX];
	uint32_t via_count;
	bool bypass;  /* the service has a waypoint, and part of this went without it */
	double share; /* of what the source sends to this service */
	struct ui_hop *hops;
	struct ui_edge *next; /* in order of id */
};

struct ui_graph {
	struct ui_node *nodes;
	struct ui_edge *edges;
	size_t node_count, edge_count;
};

/* All in the arena, and slices into the flows' keys and names, which must outlive the graph. NULL when the arena is full. */
struct ui_graph *ui_graph_build(struct ap_arena *arena, const struct ui_graph_input *in);
struct ui_edge *ui_graph_find_edge(const struct ui_graph *g, struct ap_slice id);
struct ui_node *ui_graph_find_node(const struct ui_graph *g, struct ap_slice id);

#endif
