/* hbone_priv.h -- the pool of tunnels inside: hops, their connections, and who waits (hbone.c, hbone_hop.c). */
#ifndef MESH_HBONE_PRIV_H
#define MESH_HBONE_PRIV_H
#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "event/loop.h"
#include "mesh/hbone.h"

#define POOL_MAGIC AP_MAGIC('h', 'b', 'p', 'o')
#define CONN_MAGIC AP_MAGIC('h', 'b', 'c', 'o')
#define WAIT_MAGIC AP_MAGIC('h', 'b', 'w', 'a')

struct hop {
	struct ap_hbone_pool *pool;
	struct ap_slice key; /* empty: private, not in the map */
	struct ap_addr addr;
	struct ap_tls *tls;  /* the newest context that was asked with */
	uint32_t mark;
	char *source_identity, *sni;
	char **identities; /* NULL-terminated */
	struct ap_list conns; /* with room */
	struct ap_list waiting;
	struct conn *dialing;
	uint32_t refs; /* connections that point here, and whoever is at work on it */
};

struct conn {
	uint32_t magic;
	struct hop *hop; /* NULL: the pool is gone */
	struct ap_list link; /* in hop->conns */
	struct ap_list all;  /* in pool->conns */
	struct ap_http_conn *http;
	struct ap_tls *tls;
	struct ap_addr local;
	bool is_ready, refused_peer;
};

struct ap_hbone_wait {
	uint32_t magic;
	struct ap_hbone_pool *pool;
	struct hop *hop;     /* while it waits there */
	struct ap_list link; /* hop->waiting, or pool->ended */
	struct ap_list order; /* pool->opening */
	uint64_t deadline_ms;
	struct ap_arena *arena; /* the head, until it was sent */
	struct ap_http_head head;
	struct ap_exchange *x; /* begun */
	struct ap_addr local;
	unsigned tries;
	bool reused;
	enum ap_stream_error error;
	int detail;
	char *text;
	ap_hbone_fn fn;
	void *arg;
};

struct ap_hbone_pool {
	uint32_t magic;
	struct ap_loop *loop;
	struct ap_hbone_settings settings;
	struct ap_http_settings http;
	struct ap_map hops;
	struct ap_list conns;   /* all */
	struct ap_list opening; /* waits, oldest first */
	struct ap_list ended;   /* waits to be told */
	struct ap_task tell;
	struct ap_timer timer;
	struct ap_hbone_stats stats;
};

/* The hop of the target's key, made when there is none; a private one for a tunnel that runs over another. One reference
 * more. */
struct hop *ap_hbone_hop_get(struct ap_hbone_pool *pool, const struct ap_hbone_target *t);
/* Freed with the last reference, unless somebody waits there. */
void ap_hbone_hop_unref(struct hop *hop);

#endif
