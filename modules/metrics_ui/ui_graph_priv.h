/* ui_graph_priv.h -- what the two halves of the resolver share: sorting flows into classes, and making edges of them. */
#ifndef UI_GRAPH_PRIV_H
#define UI_GRAPH_PRIV_H
#include "base/map.h"
#include "metrics_ui/ui_graph.h"

/* What is known of one (source, destination, service), from each reporter apart. */
struct ui_report {
	struct ui_node *src, *dst;
	const struct ui_flow *flow; /* one of them, for its names */
	struct ui_measure m[3];     /* by enum ui_reporter */
	bool seen[3];
	uint64_t secure, known;
	struct ap_slice via;        /* of the waypoint's reports */
	struct ui_report *next;
};

struct ui_reports {
	struct ap_map by_key; /* -> ui_report; freed by ui_graph_build */
	struct ui_report *first, **tail;
};

struct ui_build {
	struct ap_arena *arena;
	const struct ui_graph_input *in;
	struct ap_map nodes, edges; /* by id */
	struct ap_map servers;      /* service -> the one node that served it in this window; NULL value: several did */
	struct ui_reports direct;   /* neither end is a waypoint */
	struct ui_reports l7;       /* the waypoint's own reports: client, server */
	struct ui_reports client;   /* client to waypoint */
	struct ui_reports server;   /* waypoint to server */
	bool full;
};

/* ui_graph_sort.c: fill the four classes. */
void ui_graph_sort(struct ui_build *b);
/* The node of a service that no endpoint of is known. */
struct ui_node *ui_graph_service_node(struct ui_build *b, const struct ui_flow *f);
/* The waypoint's node by "namespace/name". */
struct ui_node *ui_graph_waypoint_node(struct ui_build *b, struct ap_slice id);

#endif
