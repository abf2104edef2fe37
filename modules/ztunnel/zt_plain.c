/*
 * zt_plain.c -- plaintext inbound (istio-ambient.md 1.11): policy is asked without an identity, then the connection goes on to its
 * original destination.  A port of a program that belongs to no workload is none of our business and passes.  Worker.
 */
#include "ztunnel/zt_plain.h"

#include <unistd.h>

#include "net/tcp.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_conn.h"
#include "ztunnel/zt_inbound.h"
#include "ztunnel/zt_scripts.h"

void
zt_plain_continue(struct zt_conn *c)
{
	struct zt_worker *zw = c->zw;
	const struct zt_hosted_workload *owner = NULL;
	struct ap_authz_result r;
	const char *reason;

	c->direction = ZT_INBOUND;
	c->actual = c->dst;
	switch (zt_inbound_owner(zw, &c->dst.ip, c->dst.port, &owner)) {
	case ZT_OWNER_NONE:
		zt_inbound_connect(c);
		return;
	case ZT_OWNER_AMBIGUOUS:
		zt_conn_end(c, ZT_END_AMBIGUOUS, NULL);
		return;
	case ZT_OWNER_FOUND:
		break;
	}
	c->destination = ap_mesh_workload_ref(zt_inbound_workload(zw, &c->dst.ip, ap_slice_of(owner->spiffe)));
	if (c->destination == NULL) {
		zt_conn_end(c, ZT_END_NO_DESTINATION, owner->spiffe);
		return;
	}
	c->source = ap_mesh_workload_ref(ap_mesh_find_source(zw->table, zw->zt->network, &c->src.ip, AP_SLICE_NONE));
	r = zt_inbound_judge(c);
	if (r.verdict != AP_AUTHZ_ALLOW) {
		zt_inbound_deny(c, &r, ZT_END_DENIED);
		return;
	}
	reason = zt_scripts_judge(c);
	if (reason != NULL) {
		zt_conn_open(c);
		zt_conn_end(c, ZT_END_SCRIPT, reason);
		return;
	}
	zt_inbound_connect(c);
}

void
zt_plain_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct zt_worker *zw = arg;
	struct zt_conn *c;
	struct ap_addr to;

	AP_IS(zw, ZT_WORKER_MAGIC);
	if (zw->conn_count >= zw->zt->cfg.max_connections) {
		close(fd);
		return;
	}
	c = zt_conn_new(zw, ZT_INBOUND, peer);
	c->down = ap_tcp_take(zw->w->loop, fd, peer);
	if (ap_capture_original_dst(fd, &to) != 0)
		to = ap_tcp_local(c->down);
	c->dst = zt_point_of(&to);
	if (c->dst.port == 0 || zt_config_is_illegal_port(&zw->zt->cfg, c->dst.port)) {
		zt_conn_end(c, ZT_END_RECURSIVE, NULL);
		return;
	}
	zt_plain_continue(c);
}
