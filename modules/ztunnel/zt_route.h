/* zt_route.h -- where an outbound connection goes: Istio's decision tree (istio-ambient.md 5.2) as a pure function of the table. */
#ifndef ZTUNNEL_ZT_ROUTE_H
#define ZTUNNEL_ZT_ROUTE_H
#include <stdbool.h>

#include "mesh/table.h"
#include "ztunnel/zt_conn.h"

#define ZT_TRIED_MAX 3

enum zt_route_kind {
	ZT_ROUTE_REFUSE,      /* see why */
	ZT_ROUTE_PASSTHROUGH, /* plain TCP to the original destination, nothing known of it */
	ZT_ROUTE_PLAIN,       /* plain TCP to `hop` */
	ZT_ROUTE_HBONE,       /* a tunnel at `hop` for authority `authority` */
	ZT_ROUTE_DOUBLE,      /* a tunnel within a tunnel through the gateway at `hop`, by name */
};

struct zt_question {
	const struct ap_mesh_workload *source;
	const struct zt_point *to;
	uint16_t hbone_port;  /* of direct hops: AP_HBONE_PORT */
	const struct ap_mesh_workload *tried[ZT_TRIED_MAX]; /* endpoints that failed */
	uint32_t tried_count;
};

/* Pointers live until the table's next change. */
struct zt_route {
	enum zt_route_kind kind;
	enum zt_end why;
	struct zt_point hop;          /* TCP connects here */
	struct zt_point authority;    /* HBONE */
	uint16_t service_port;        /* DOUBLE: authority is service->hostname:service_port */
	struct ap_mesh_workload *next;        /* whose certificate must be shown at hop: endpoint, waypoint or gateway */
	struct ap_mesh_workload *destination; /* for labels: endpoint or waypoint */
	struct ap_mesh_service *service;      /* that was called; NULL: none */
	struct ap_mesh_service *next_service; /* through which `next` was found: its SANs are accepted too; may be NULL */
	bool by_service; /* the address was a service's, not a workload's */
	bool via_waypoint;
};

void zt_route(const struct ap_mesh_table *t, const struct zt_question *q, struct zt_route *out);

#endif
