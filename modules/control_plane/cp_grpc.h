/* cp_grpc.h -- the control plane's gRPC service on 15012: CreateCertificate and DeltaAggregatedResources over TLS. */
#ifndef CONTROL_PLANE_CP_GRPC_H
#define CONTROL_PLANE_CP_GRPC_H
#include "base/addr.h"
#include "base/error.h"

struct cp;
struct cp_grpc;
struct ap_tls;

/* On the worker, when cp->ca and cp->xds are there. */
struct cp_grpc *cp_grpc_start(struct cp *cp, struct ap_error *err);
void cp_grpc_stop(struct cp_grpc **g);
/* The bound address; for tests. */
struct ap_addr cp_grpc_addr(const struct cp_grpc *g);

/* A server's TLS context with a certificate from the own authority for settings.names, localhost and the host's addresses; client
 * certificates of the mesh are asked for and checked when given. alpn: NULL-terminated. */
struct ap_tls *cp_server_tls(struct cp *cp, const char *const *alpn, struct ap_error *err);
extern const char *const cp_api_alpn[]; /* of the resource API */
/* How long such a context should be used, ms. */
uint64_t cp_server_tls_lifetime_ms(const struct cp *cp);

#endif
