/*
 * wp_priv.h -- the role, its workers, and what lives on them.
 *
 * Glossary: a *down* is what one client opened to one host: an accepted CONNECT, or a connection of a plain listener; it
 * carries requests (HTTP) or is relayed as it is (TCP).  A *cluster* is a destination's endpoints as this worker balances
 * them; an *endpoint* is one workload's port.  All of it lives and dies on its worker.
 */
#ifndef WAYPOINT_WP_PRIV_H
#define WAYPOINT_WP_PRIV_H
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "event/loop.h"
#include "event/worker.h"
#include "http/exchange.h"
#include "http/pool.h"
#include "mesh/access_log.h"
#include "mesh/feed.h"
#include "mesh/hbone.h"
#include "mesh/identity.h"
#include "mesh/table.h"
#include "script/lua_host.h"
#include "waypoint/wp_config.h"
#include "waypoint/wp_table.h"

struct ap_host;
struct ap_listener;
struct ap_xds_client;
struct wp_cache; /* wp_metrics.c */
struct wp_status;

/* Main thread; constant for the workers after start, but for the atomics. */
struct wp {
	struct ap_host *host;
	struct wp_settings set;
	char identity[320]; /* of the waypoint; empty without a gateway */
	char trust_domain[128];
	char network[128]; /* of this host */
	struct ap_mesh_feed *mesh;
	struct wp_feed *feed;
	struct ap_identity_store *store; /* NULL with local config */
	struct ap_xds_client *xds;
	struct ap_access_log *log;
	struct wp_status *metrics; /* main's listener */
	struct ap_arena *arena;    /* metadata of the node */
	const struct ap_doc *metadata;
	char node_id[256];
	char *state_dir;
	int reserved_fd; /* holds the HBONE port that the kernel chose; -1 */
	uint16_t hbone_port;
	_Atomic bool synced, certified, draining;
	_Atomic uint32_t listening; /* workers that do */
	_Atomic uint32_t downs;     /* open, on all workers */
	uint32_t worker_count;
};

#define WP_WORKER_MAGIC AP_MAGIC('w', 'p', 'w', 'k')
struct wp_worker {
	uint32_t magic;
	struct wp *wp;
	struct ap_worker *w;
	struct ap_loop *loop;
	struct wp_table table;
	struct ap_mesh_view *mesh;
	const struct ap_mesh_table *mesh_table;
	struct ap_identity_view *identities; /* NULL with local config */
	struct ap_hbone_pool *hbone;
	struct ap_http_pool *pool;
	struct ap_lua_host *lua;
	struct ap_map clusters; /* struct wp_cluster */
	struct ap_listener *hbone_listener;
	struct ap_listener *plain_listeners[WP_PLAIN_MAX];
	struct wp_plain_arg {
		struct wp_worker *ww;
		const struct wp_plain *plain;
	} plain_args[WP_PLAIN_MAX];
	struct wp_status *readiness; /* worker 0 */
	struct ap_list hbones;       /* struct wp_hbone: accepted HBONE connections */
	struct ap_list downs;
	struct ap_list mirror_list; /* copies of requests under way (f_mirror.c) */
	uint32_t mirrors;
	struct ap_list request_list; /* in flight */
	struct wp_cache *cache;
	struct ap_task stop_task;
	bool draining;
};

/* ---- upstream: wp_upstream.c, wp_dial.c ---- */

struct wp_endpoint {
	uint32_t refs;
	struct wp_worker *ww;
	struct ap_mesh_workload *workload; /* one reference */
	struct ap_mesh_service *service;   /* one reference */
	struct ap_addr addr;               /* where the program listens */
	char text[AP_ADDR_TEXT];           /* the same as text: CONNECT's authority, the log's upstream host */
	char *key[2];                      /* of the HTTP pool, for HTTP/1.1 and HTTP/2 */
	uint32_t active;                   /* requests and connections */
	char failure[160];                 /* why the last dial failed; for the log */
};

struct wp_cluster {
	char *key;
	struct ap_mesh_service *service; /* one reference; NULL: not known */
	struct wp_endpoint **endpoints;
	uint32_t count;
	uint32_t next;       /* round robin */
	uint64_t generation; /* of the mesh table that it was made from */
	uint64_t used_ms;    /* loop time */
};

/* The endpoints of a destination, as of now. Lives until the next sweep. */
struct wp_cluster *wp_cluster_get(struct wp_worker *ww, const struct wp_destination *d);
/* One endpoint, counted for the caller; avoid (may be NULL) is taken only when there is no other. NULL: none is healthy. */
struct wp_endpoint *wp_endpoint_pick(
    struct wp_cluster *c, enum wp_lb lb, uint64_t hash, const struct wp_endpoint *avoid);
/* For traffic that was addressed to a workload itself. Counted for the caller. */
struct wp_endpoint *wp_endpoint_pinned(
    struct wp_worker *ww, struct ap_mesh_workload *w, struct ap_mesh_service *s, const struct ap_ip *ip, uint16_t port);
void wp_endpoint_unref(struct wp_endpoint **e);
/* Forget what no route has asked for in a while; after a change of the configuration. */
void wp_clusters_sweep(struct wp_worker *ww);
void wp_clusters_done(struct wp_worker *ww);
/* A stream to the endpoint's program: a tunnel through its ztunnel, or plain TCP. arg: the endpoint. Never NULL. */
struct ap_stream *wp_dial(struct ap_loop *loop, void *arg);

/* ---- downstream: wp_listener.c, wp_down.c, wp_tcp.c ---- */

#define WP_HBONE_MAGIC AP_MAGIC('w', 'p', 'h', 'b')
struct wp_hbone { /* an accepted HBONE connection */
	uint32_t magic;
	struct ap_list link;
	struct wp_worker *ww;
	struct ap_http_conn *http;
	struct ap_addr peer, local;
	char *identity; /* of the peer; NULL until its first CONNECT */
};

#define WP_DOWN_MAGIC AP_MAGIC('w', 'p', 'd', 'n')
struct wp_down {
	uint32_t magic;
	struct ap_list link; /* of the worker */
	struct wp_worker *ww;
	struct ap_arena *arena;
	struct ap_exchange *tunnel; /* while it is neither HTTP nor relayed; NULL for plain connections */
	struct ap_http_conn *http;
	struct wp_tcp *tcp;
	struct ap_slice identity;
	struct ap_addr peer, local;  /* of the HBONE or plain connection */
	struct ap_ip destination_ip; /* as called */
	uint16_t port;               /* as called; the host's */
	struct ap_slice host_key;
	struct ap_mesh_workload *source; /* one reference; NULL: not known */
	uint16_t pinned_port;
	struct ap_mesh_workload *pinned; /* called by its own address; one reference */
	struct ap_mesh_service *service; /* of host_key; one reference; NULL: not known */
	struct ap_timer sniff_timer;
	struct ap_lua_result *tags; /* set by on_connect; NULL: none */
	bool is_mutual;
};

bool wp_listen(struct wp_worker *ww, struct ap_error *err);
void wp_listeners_close(struct wp_worker *ww);
/* A CONNECT arrived. */
void wp_down_connect(struct wp_hbone *h, struct ap_exchange *x);
/* A plain connection arrived; takes the stream. */
void wp_down_plain(struct wp_worker *ww, const struct wp_plain *p, struct ap_stream *s, const struct ap_addr *peer);
void wp_down_free(struct wp_down *d); /* its connection is gone */
/* Close it now. */
void wp_down_close(struct wp_down *d);
extern const struct ap_http_server_ops wp_request_ops;
extern const struct ap_http_settings wp_http_settings;

/* Relay the down's bytes to the host as TCP; takes over `below`. */
void wp_tcp_start(struct wp_down *d, struct wp_binding *b, const struct wp_port *port, struct ap_stream *below);
void wp_tcp_close(struct wp_tcp *t);

/* ---- wp_status.c: small HTTP listeners for metrics and readiness ---- */
struct wp_status *wp_status_new(struct ap_loop *loop, const struct ap_addr *at, bool reuse_port,
    void (*answer)(struct ap_exchange *x, void *arg), void *arg, struct ap_error *err);
void wp_status_free(struct wp_status **s);

/* ---- wp_admin.c ---- */
bool wp_admin(void *self, const char *path, struct ap_buf *out);
/* Whether all is there; names what is not in why. */
bool wp_is_ready(const struct wp *wp, struct ap_buf *why);

#endif
