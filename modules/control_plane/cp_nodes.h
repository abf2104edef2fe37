/*
 * cp_nodes.h -- the proxies that are connected, and what the control plane writes down for them: a WorkloadEntry for each workload of
 * a host, the waypoints' own entries, and Host.status.
 *
 * Glossary: a *node* is one proxy by host, role and gateway; it may have two streams for a moment, when it reconnects.  Its
 * *grace* is the time after its last stream ended during which its entries still count as healthy.
 *
 * The worker's thread.
 */
#ifndef CONTROL_PLANE_CP_NODES_H
#define CONTROL_PLANE_CP_NODES_H
#include "base/error.h"
#include "codec/doc.h"
#include "codec/grpc.h"

struct cp;
struct cp_caller;
struct cp_node;
struct cp_nodes;

/* Takes what earlier runs wrote down: who does not come back within the grace is unhealthy. */
struct cp_nodes *cp_nodes_new(struct cp *cp);
void cp_nodes_free(struct cp_nodes **n);
/*
 * A stream begins. Checks that the caller is who the metadata says, and registers.  *out is NULL for a proxy that does not
 * register (a stock ztunnel).  err: for the client.
 */
enum ap_grpc_status cp_nodes_connect(struct cp_nodes *n, const struct cp_caller *caller, const struct ap_doc *metadata,
    struct cp_node **out, struct ap_error *err);
/* A stream of the node ended. */
void cp_nodes_disconnect(struct cp_nodes *n, struct cp_node *node);
/* A waypoint's Gateway ("namespace/name") was deleted: forget it, unless it still runs; then when it stops. */
void cp_nodes_gateway_gone(struct cp_nodes *n, struct ap_slice path);
/* The control plane is leaving: that streams end says nothing of the nodes from here on. */
void cp_nodes_freeze(struct cp_nodes *n);
/* "namespace/name" of the gateway that it is, or "ztunnel". */
const char *cp_node_scope(const struct cp_node *node);
const char *cp_node_host(const struct cp_node *node);

#endif
