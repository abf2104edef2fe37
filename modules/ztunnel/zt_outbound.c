/*
 * zt_outbound.c -- captured connections of local programs: original destination, owner, route, and the way there.  Everything
 * that decides is fail closed: an unknown source, an ambiguous owner, a waypoint that cannot be resolved, a missing certificate.
 * A connection whose source or certificate is not there yet waits for it, a few seconds.
 */
#include <errno.h>
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

AP_LOG_MODULE(zt_outbound);

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

/* A virtual address means nothing outside the mesh: one of the endpoints takes the call, in plain. False: c is gone. */
static bool
choose_endpoint(struct zt_conn *c)
{
	struct zt_worker *zw = c->zw;
	struct ap_mesh_origin from = { .network = zw->zt->network };
	struct ap_mesh_service *s = ap_mesh_find_vip(zw->table, &from, zw->zt->network, &c->dst.ip);
	struct ap_mesh_pick u;

	c->actual = c->dst;
	if (s == NULL || s->mode == AP_MESH_LB_PASSTHROUGH || ap_mesh_at(zw->table, zw->zt->network, &c->dst.ip).count > 0)
		return true;
	c->service = ap_mesh_service_ref(s);
	if (ap_mesh_sample_waypoint(zw->table, s) != NULL) {
		zt_conn_end(c, ZT_END_UNMATCHED, "the service's waypoint takes callers with an identity alone");
		return false;
	}
	if (ap_mesh_pick(zw->table, s, c->dst.port, &from, c->dst.ip.len == 16, NULL, NULL, &u) != AP_MESH_PICKED ||
	    u.ip.len == 0) {
		zt_conn_end(c, ZT_END_NO_UPSTREAM, s->hostname.ptr);
		return false;
	}
	c->actual = (struct zt_point){ .ip = u.ip, .port = u.port };
	c->destination = ap_mesh_workload_ref(u.workload);
	return true;
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
	if (!choose_endpoint(c))
		return;
	/* To a workload of this very host its policy applies, as for any plaintext caller. */
	if (zt_config_is_own_ip(&zw->zt->cfg, &c->actual.ip)) {
		c->dst = c->actual;
		ap_mesh_workload_unref(&c->destination);
		zt_plain_continue(c);
		return;
	}
	zt_dial_passthrough(c);
}

/* The kernel's word on the socket that called; c->src becomes that socket's own address. 0 or negative errno. */
static int
ask_kernel(struct zt_conn *c, const struct ap_addr *to, struct ap_socket_owner *out)
{
	struct zt_worker *zw = c->zw;
	struct ap_addr peer = zt_point_addr(&c->src), local, source;
	int r = ap_sock_diag_find(zw->diag, &peer, to, out);

	if (r != -ENOENT)
		return r;
	/* Translation may have changed the source port (net/conntrack.h). */
	local = ap_tcp_local(c->down);
	r = ap_conntrack_original_source(zw->conntrack, &local, &peer, &source);
	if (r != 0 || ap_addr_eq(&source, &peer))
		return -ENOENT;
	c->src = zt_point_of(&source);
	return ap_sock_diag_find(zw->diag, &source, to, out);
}

/* Whose connection it is. False: the kernel does not know the socket any more, so nobody may say that it is his. */
static bool
find_owner(struct zt_conn *c, const struct ap_addr *to, const struct zt_hosted_workload **out, enum zt_owner_result *result)
{
	struct zt_worker *zw = c->zw;
	struct ap_socket_owner owner;
	int r;

	*result = ZT_OWNER_FOUND;
	/* One workload without selectors has every socket of the host: nothing to ask. */
	if (zw->hosted->count == 1 && !zw->hosted->items[0].has_selector) {
		*out = &zw->hosted->items[0];
		return true;
	}
	*result = ZT_OWNER_NONE;
	if (zw->hosted->count == 0)
		return true;
	r = ask_kernel(c, to, &owner);
	if (r != 0) {
		if (r != -ENOENT)
			LOG_WARN_LIMIT(NULL, 1, "socket owner: %s", strerror(-r));
		return false;
	}
	*result = zt_owners_find(zw->owners, zw->hosted, &owner, &c->src.ip, out);
	return true;
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
	enum zt_owner_result result;
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
	if (!find_owner(c, &to, &owner, &result)) {
		zt_conn_end(c, ZT_END_NO_SOURCE, "its socket is gone");
		return;
	}
	switch (result) {
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
