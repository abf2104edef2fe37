/*
 * client.h -- a delta ADS stream to the control plane: subscribes, acks, nacks, resumes with what is held, backs off
 * (istio-ambient.md 2).  One loop (the main one).  While disconnected the last state stands.
 */
#ifndef XDS_CLIENT_H
#define XDS_CLIENT_H
#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"
#include "codec/doc.h"

struct ap_loop;
struct ap_tls;
struct ap_xds_client;

#define AP_XDS_ADDRESS "type.googleapis.com/istio.workload.Address"
#define AP_XDS_AUTHORIZATION "type.googleapis.com/istio.security.Authorization"
#define AP_XDS_WAYPOINT_HOST "type.googleapis.com/ambit.waypoint.Host"
#define AP_XDS_WAYPOINT_POLICY "type.googleapis.com/ambit.waypoint.Policy"
#define AP_XDS_LUA "type.googleapis.com/ambit.waypoint.LuaPolicy"

struct ap_xds_resource {
	struct ap_slice name, version;
	struct ap_slice body; /* the protobuf message, without its Any */
};

struct ap_xds_update {
	const char *type_url;
	const struct ap_xds_resource *resources;
	size_t count;
	const struct ap_slice *removed; /* names; applied after resources */
	size_t removed_count;
	bool first; /* first answer of this type in this process: what is not in it does not exist */
};

/* Apply an update. A resource that cannot be taken: append "<name>: <reason>; " to reject and leave its old form in place; the
 * rest is applied. Slices live until return. */
typedef void (*ap_xds_apply_fn)(void *arg, const struct ap_xds_update *update, struct ap_buf *reject);

struct ap_xds_subscription {
	const char *type_url;
	ap_xds_apply_fn apply;
	void *arg;
};

struct ap_xds_client_settings {
	struct ap_loop *loop;
	struct ap_slice address;   /* "host:port" */
	struct ap_slice host_name; /* name to verify; empty: the address' host */
	/* Asked before each connect: a context (one reference for the client) with the mesh root and, once there is one, the
	 * host's certificate. NULL: not yet; try again later. */
	struct ap_tls *(*tls)(void *arg);
	/* Asked before each connect: "Bearer ..." value appended to out, or nothing. */
	void (*token)(void *arg, struct ap_buf *out);
	void *arg;
	struct ap_slice node_id;       /* "ztunnel~10.0.0.1~name.ns~ns.svc.cluster.local" */
	const struct ap_doc *metadata; /* map; kept alive by the caller */
	uint32_t mark;                 /* SO_MARK of its sockets */
	const struct ap_xds_subscription *subscriptions;
	size_t subscription_count;
	/* Connected or lost; synced = every type was answered once. May be NULL. */
	void (*state)(void *arg, bool connected, bool synced);
};

AP_PUBLIC_BEGIN
struct ap_xds_client *ap_xds_client_new(const struct ap_xds_client_settings *settings);
void ap_xds_client_free(struct ap_xds_client **c);
bool ap_xds_client_is_synced(const struct ap_xds_client *c);
bool ap_xds_client_is_connected(const struct ap_xds_client *c);
/* Node metadata changed: reconnect with it. */
void ap_xds_client_set_metadata(struct ap_xds_client *c, const struct ap_doc *metadata);
/* Drop the connection and connect anew (new certificate). */
void ap_xds_client_reconnect(struct ap_xds_client *c);
AP_PUBLIC_END

#endif
