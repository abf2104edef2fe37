/*
 * zt.h -- the node proxy's own world: one struct for the process, one for each worker.
 *
 * Main thread: xDS, certificates, capture rules, dumps.  Workers: listeners with SO_REUSEPORT, connections, DNS.  A worker
 * has its own view of the table and of the certificates, so a connection touches nothing that another thread writes.
 */
#ifndef ZTUNNEL_ZT_H
#define ZTUNNEL_ZT_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/list.h"
#include "base/metrics.h"
#include "event/loop.h"
#include "event/worker.h"
#include "mesh/feed.h"
#include "mesh/hbone.h"
#include "mesh/identity.h"
#include "mesh/table.h"
#include "net/capture.h"
#include "net/listener.h"
#include "net/tls.h"
#include "role/host.h"
#include "role/role.h"
#include "ztunnel/zt_config.h"
#include "ztunnel/zt_hosted.h"

#define ZT_MAGIC AP_MAGIC('Z', 'T', 'U', 'N')
#define ZT_WORKER_MAGIC AP_MAGIC('Z', 'T', 'W', 'K')
#define ZT_WORKERS_MAX 256

struct ap_access_log;
struct zt_capture;
struct zt_dns;
struct zt_http;
struct zt_log_ring;
struct zt_scripts;
struct zt_script_view;
struct ap_xds_cache;
struct ap_xds_client;

struct zt_worker;

struct zt {
	uint32_t magic;
	struct ap_host *host;
	struct ap_config *config;       /* the committed one; main thread */
	struct ap_config *first_config; /* that of the start: texts of cfg and network, which never change */
	struct zt_config cfg;
	struct ap_slice network;  /* of this host */
	struct zt_hosted *hosted;
	struct ap_mesh_feed *feed;
	struct ap_identity_store *identities;
	struct ap_xds_client *xds;     /* NULL: local state */
	struct ap_xds_cache *cache;
	struct ap_arena *node_arena;   /* of the metadata that the client was given */
	struct zt_capture *capture;
	struct ap_access_log *access_log;
	struct zt_http *http;          /* admin, metrics, readiness */
	struct zt_scripts *scripts;
	struct zt_worker *workers[ZT_WORKERS_MAX];
	uint32_t worker_count;
	struct ap_timer begin;         /* the first turn of the loop */
	bool is_synced, is_local, has_capture;
	bool can_spoof;                /* original source addresses work: rules and rights are there */
	bool is_draining;
	_Atomic uint32_t live;         /* connections of all workers */
};

struct zt_worker {
	uint32_t magic;
	struct zt *zt;
	struct ap_worker *w;
	struct zt_hosted *hosted;
	struct ap_mesh_view *view;
	const struct ap_mesh_table *table;
	struct ap_identity_view *identities;
	struct ap_hbone_pool *pool;
	struct ap_tls *server_tls; /* asks zt_peer_choose for the real one */
	struct ap_sock_diag *diag;
	struct ap_conntrack *conntrack;
	struct zt_owners *owners;
	struct ap_listener *outbound, *inbound, *hbone;
	struct ap_list conns;      /* zt_conn */
	struct ap_list peers;      /* zt_peer: HBONE server connections */
	struct ap_list waiting;    /* zt_conn that wait for their source or certificate */
	struct ap_mesh_workload **own; /* as last seen, one for each of hosted; NULL: not in the mesh */
	uint32_t own_count;
	uint32_t conn_count, peer_count;
	struct zt_log_ring *log;
	struct zt_dns *dns;
	struct zt_script_view *scripts;
	struct ap_series *open_sockets[2]; /* by reporter */
	struct ap_series *uncaptured;
	bool is_draining;
};

/* The origin of look-ups for a workload of this host. */
static inline struct ap_mesh_origin
zt_origin_of(const struct ap_mesh_workload *w)
{
	return (struct ap_mesh_origin){ .namespace_ = w->namespace_,
		.network = w->network,
		.cluster = w->cluster,
		.node = w->node,
		.region = w->region,
		.zone = w->zone,
		.subzone = w->subzone };
}

/* zt_worker.c */
int zt_worker_start(void *self, struct ap_worker *w, void **ws, struct ap_error *err);
void zt_worker_drain(void *ws);
void zt_worker_stop(void *ws);
/* Main: give every worker the list of hosted workloads of the new config. */
void zt_workers_set_hosted(struct zt *zt, struct zt_hosted *hosted);

/* zt_outbound.c, zt_plain.c, zt_peer.c: accept callbacks; arg: the zt_worker. */
void zt_outbound_accept(int fd, const struct ap_addr *peer, void *arg);
void zt_plain_accept(int fd, const struct ap_addr *peer, void *arg);
void zt_peer_accept(int fd, const struct ap_addr *peer, void *arg);
/* The server context that asks which certificate to show; NULL with err. */
struct ap_tls *zt_peer_context(struct zt_worker *zw, struct ap_error *err);
void zt_peer_drain(struct zt_worker *zw);
void zt_peer_close_all(struct zt_worker *zw);
/* zt_outbound.c: what the waiting connections waited for may have come. */
void zt_outbound_retry(struct zt_worker *zw);
/* zt_inbound.c: look at every inbound connection again when what changed concerns this host (AP_MESH_CHANGED_*). */
void zt_inbound_recheck(struct zt_worker *zw, unsigned what);
void zt_inbound_forget(struct zt_worker *zw);

/* zt_node.c: who we are, for xDS. The tree lives in the arena. */
struct ap_doc *zt_node_metadata(const struct zt *zt, struct ap_arena *arena);
char *zt_node_id(const struct zt *zt);
/* zt_local_xds.c: feed the file's content as an xDS update would. */
int zt_local_xds_load(struct ap_mesh_feed *feed, const char *path, struct ap_error *err);
/* zt_dump.c: config_dump in Istio's shape, and what Ambit adds. */
void zt_dump(struct zt *zt, struct ap_buf *out);

#endif
