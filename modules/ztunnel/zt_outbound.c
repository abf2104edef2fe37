/*
 * zt_outbound.c -- captured connections of local programs: original destination, owner, route, and the way there.  Everything
 * that decides is fail closed: an unknown source, an ambiguous owner, a waypoint that cannot be resolved, a missing certificate.
 * A connection whose source or certificate is not there yet waits for it, a few seconds.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conntrack.h"
#include "net/tcp.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_access_log.h"
#include "ztunnel/zt_conn.h"
#include "ztunnel/zt_dial.h"
#include "ztunnel/zt_plain.h"
#include "ztunnel/zt_route.h"
#include "ztunnel/zt_scripts.h"

#define WAIT_MS 5000U

static void
on_wait_over(struct ap_timer *t, void *arg)
{
	struct zt_conn *c = arg;

	(void)t;
	if (c->source != NULL)
		zt_conn_open(c); /* one end is known: it counts */
	zt_conn_end(c, c->source == NULL ? ZT_END_NO_SOURCE : ZT_END_NO_IDENTITY, c->source_identity);
}

static void
wait_for_more(struct zt_conn *c)
{
	if (c->is_waiting)
		return;
	c->is_waiting = true;
	ap_list_append(&c->zw->waiting, &c->wait_link);
	zt_conn_set_timer(c, WAIT_MS, on_wait_over);
}

static void
stop_waiting(struct zt_conn *c)
{
	if (!c->is_waiting)
		return;
	c->is_waiting = false;
	ap_list_remove(&c->wait_link);
	zt_conn_stop_timer(c);
}

/* The workload of the mesh that this connection comes from: our address, with the owner's identity. */
static struct ap_mesh_workload *
find_source(struct zt_conn *c)
{
	struct zt_worker *zw = c->zw;
	struct ap_slice id = ap_slice_of(c->source_identity);
	struct ap_mesh_workload *w = ap_mesh_find_source(zw->table, zw->zt->network, &c->src.ip, id);
	uint32_t i;

	for (i = 0; w == NULL && i < zw->zt->cfg.ip_count; i++)
		w = ap_mesh_find_source(zw->table, zw->zt->network, &zw->zt->cfg.ips[i], id);
	return w;
}

static void
go(struct zt_conn *c)
{
	struct zt_worker *zw = c->zw;
	struct zt_question q = { .to = &c->dst, .hbone_port = AP_HBONE_PORT };
	struct zt_route r;

	if (c->source == NULL)
		c->source = ap_mesh_workload_ref(find_source(c));
	if (c->source == NULL) {
		wait_for_more(c);
		return;
	}
	q.source = c->source;
	zt_route(zw->table, &q, &r);
	if ((r.kind == ZT_ROUTE_HBONE || r.kind == ZT_ROUTE_DOUBLE) &&
	    ap_identity_view_find(zw->identities, c->source->identity) == NULL) {
		wait_for_more(c);
		return;
	}
	stop_waiting(c);
	zt_dial(c, &r);
}

void
zt_outbound_retry(struct zt_worker *zw)
{
	AP_LIST_FOR_SAFE(link, &zw->waiting) {
		go(AP_LIST_ITEM(link, struct zt_conn, wait_link));
	}
}

/* Nobody's: either policy of this host refuses it, or it goes on as if we were not there. */
static void
pass_unmatched(struct zt_conn *c)
{
	struct zt_worker *zw = c->zw;

	if (zw->zt->cfg.refuse_unmatched) {
		zt_conn_end(c, ZT_END_UNMATCHED, NULL);
		return;
	}
	ap_series_add(zw->uncaptured, 1);
	/* To a workload of this very host its policy applies, as for any plaintext caller. */
	if (zt_config_is_own_ip(&zw->zt->cfg, &c->dst.ip)) {
		zt_plain_continue(c);
		return;
	}
	zt_dial_passthrough(c);
}

/* The kernel's word on the socket, by the port that we see, or else by the one it had before the redirection. */
static int
ask_owner(struct zt_worker *zw, const struct zt_conn *c, const struct ap_addr *peer, const struct ap_addr *to,
    struct ap_socket_owner *out)
{
	struct ap_addr local, source;
	int rc = ap_sock_diag_find(zw->diag, peer, to, out);

	if (rc == 0)
		return 0;
	local = ap_tcp_local(c->down);
	rc = ap_conntrack_original_source(zw->conntrack, &local, peer, &source);
	return rc != 0 ? rc : ap_sock_diag_find(zw->diag, &source, to, out);
}

static enum zt_owner_result
find_owner(struct zt_worker *zw, const struct zt_conn *c, const struct ap_addr *peer, const struct ap_addr *to,
    const struct zt_hosted_workload **out)
{
	struct ap_socket_owner owner;
	struct ap_ip ip;

	/* One workload without selectors has every socket of the host: nothing to ask. */
	if (zw->hosted->count == 1 && !zw->hosted->items[0].has_selector) {
		*out = &zw->hosted->items[0];
		return ZT_OWNER_FOUND;
	}
	if (zw->hosted->count == 0 || ap_addr_ip(peer, &ip) != 0 ||
	    ask_owner(zw, c, peer, to, &owner) != 0)
		return ZT_OWNER_NONE;
	return zt_owners_find(zw->owners, zw->hosted, &owner, &ip, out);
}

static bool
is_recursive(const struct zt_worker *zw, const struct zt_point *to)
{
	const struct zt_config *cfg = &zw->zt->cfg;

	if (ap_ip_is_loopback(&to->ip) && zt_config_is_illegal_port(cfg, to->port))
		return true;
	return zt_config_is_own_ip(cfg, &to->ip) && zt_config_is_illegal_port(cfg, to->port);
}

void
zt_outbound_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct zt_worker *zw = arg;
	const struct zt_hosted_workload *owner = NULL;
	struct zt_conn *c;
	struct ap_addr to;

	AP_IS(zw, ZT_WORKER_MAGIC);
	if (zw->conn_count >= zw->zt->cfg.max_connections) {
		close(fd);
		return;
	}
	c = zt_conn_new(zw, ZT_OUTBOUND, peer);
	c->down = ap_tcp_take(zw->w->loop, fd, peer);
	/* Without a translation the "original" destination is our own listener: somebody called it directly. */
	if (ap_capture_original_dst(fd, &to) != 0)
		to = ap_tcp_local(c->down);
	c->dst = zt_point_of(&to);
	if (c->dst.port == 0 || is_recursive(zw, &c->dst)) {
		zt_conn_end(c, ZT_END_RECURSIVE, NULL);
		return;
	}
	switch (find_owner(zw, c, peer, &to, &owner)) {
	case ZT_OWNER_FOUND:
		c->hosted = zt_hosted_ref(zw->hosted);
		c->source_identity = owner->spiffe;
		go(c);
		break;
	case ZT_OWNER_NONE:
		pass_unmatched(c);
		break;
	case ZT_OWNER_AMBIGUOUS:
		zt_conn_end(c, ZT_END_AMBIGUOUS, NULL);
		break;
	}
}
