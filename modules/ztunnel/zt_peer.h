/* zt_peer.h -- one HBONE connection that somebody made to us: its handshake, who it is, and the workload that it was shown. */
#ifndef ZTUNNEL_ZT_PEER_H
#define ZTUNNEL_ZT_PEER_H
#include <stdbool.h>

#include "base/list.h"
#include "http/exchange.h"
#include "mesh/identity.h"
#include "ztunnel/zt_conn.h"

#define ZT_PEER_MAGIC AP_MAGIC('Z', 'T', 'P', 'R')

/* Held by its HTTP connection and by each of its tunnels; one worker. */
struct zt_peer {
	uint32_t magic;
	unsigned refs;
	struct ap_list link;       /* in the worker's peers while its connection lives */
	struct zt_worker *zw;
	struct ap_http_conn *http; /* NULL once it is over */
	struct ap_stream *tls;     /* owned by http */
	int fd;
	struct zt_point local, remote;
	struct ap_identity *shown; /* whose certificate we presented */
	char *spiffe;              /* of the peer; set with the first request */
};

void zt_peer_unref(struct zt_peer **p);
/* zt_inbound.c: a CONNECT arrived. */
void zt_inbound_request(struct zt_peer *p, struct ap_exchange *x);

#endif
