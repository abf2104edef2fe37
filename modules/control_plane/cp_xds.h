/*
 * cp_xds.h -- the discovery half of the control plane: keeps the compiled sets current, serves them, keeps the nodes' registrations.
 *
 * The worker's thread.
 */
#ifndef CONTROL_PLANE_CP_XDS_H
#define CONTROL_PLANE_CP_XDS_H
#include "base/arena.h"
#include "base/error.h"
#include "codec/doc.h"

struct ap_exchange;
struct cp;
struct cp_caller;
struct cp_xds;

/* When resources are loaded (cp->ready may still be false): compiles, listens to changes. */
struct cp_xds *cp_xds_start(struct cp *cp, struct ap_error *err);
void cp_xds_stop(struct cp_xds **x);
/* End all streams: the role drains. */
void cp_xds_drain(struct cp_xds *x);
/* Serve a DeltaAggregatedResources call. Owns the exchange and the caller. */
void cp_xds_serve(struct cp_xds *x, struct ap_exchange *exchange, struct cp_caller *caller);
/* What is compiled right now ("address", "authorization", "host", "policy", "lua"), or the streams ("streams"); NULL: no such. */
struct ap_doc *cp_xds_dump(struct cp_xds *x, const char *what, struct ap_arena *arena);

#endif
