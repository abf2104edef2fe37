/*
 * zt_worker.c -- one worker's share of the node proxy: its listeners, tables, pool and connections, from start to stop.  Everything
 * here runs on the worker, but for zt_workers_set_hosted.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/mailbox.h"
#include "net/conntrack.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_access_log.h"
#include "ztunnel/zt_conn.h"
#include "ztunnel/zt_dns.h"
#include "ztunnel/zt_peer.h"
#include "ztunnel/zt_scripts.h"

static const char *const reporter_label[] = { "reporter", NULL };
static const struct ap_metric open_sockets = { .name = "istio_tcp_sockets_open",
	.kind = AP_GAUGE,
	.unit = "",
	.help = "Connections that are open now.",
	.labels = reporter_label };
static const struct ap_metric uncaptured = { .name = "ambit_unmatched_connections",
	.kind = AP_COUNTER,
	.unit = "",
	.help = "Captured connections of programs that no workload selects, passed on in plain." };

static void
on_mesh_change(unsigned changed, void *arg)
{
	struct zt_worker *zw = arg;

	AP_IS(zw, ZT_WORKER_MAGIC);
	zt_outbound_retry(zw);
	zt_inbound_recheck(zw, changed);
}

static void
on_identity(void *arg, const struct ap_identity *id)
{
	(void)id;
	zt_outbound_retry(arg);
}

static struct ap_listener *
listen_at(struct zt_worker *zw, uint16_t port, bool transparent, ap_accept_fn fn, struct ap_error *err)
{
	struct ap_listener_options options = { .reuse_port = true, .transparent = transparent, .mark = zw->zt->cfg.mark };
	struct ap_addr any;
	struct ap_listener *l;

	/* [::] serves IPv4 too; a host without IPv6 gets 0.0.0.0. */
	(void)ap_addr_parse(AP_S("[::]:0"), &any);
	ap_addr_set_port(&any, port);
	l = ap_listener_new(zw->w->loop, &any, &options, fn, zw, err);
	if (l != NULL || (err->code != -EAFNOSUPPORT && err->code != -EADDRNOTAVAIL))
		return l;
	(void)ap_addr_parse(AP_S("0.0.0.0:0"), &any);
	ap_addr_set_port(&any, port);
	return ap_listener_new(zw->w->loop, &any, &options, fn, zw, err);
}

static int
open_listeners(struct zt_worker *zw, struct ap_error *err)
{
	const struct zt_config *cfg = &zw->zt->cfg;

	zw->outbound = listen_at(zw, cfg->outbound_port, false, zt_outbound_accept, err);
	if (zw->outbound == NULL)
		return ap_error_wrap(err, "outbound port %u", cfg->outbound_port);
	zw->inbound = listen_at(zw, cfg->inbound_port, false, zt_plain_accept, err);
	if (zw->inbound == NULL)
		return ap_error_wrap(err, "inbound port %u", cfg->inbound_port);
	zw->hbone = listen_at(zw, cfg->hbone_port, false, zt_peer_accept, err);
	if (zw->hbone == NULL)
		return ap_error_wrap(err, "HBONE port %u", cfg->hbone_port);
	return 0;
}

/* What cannot fail. */
static struct zt_worker *
make(struct zt *zt, struct ap_worker *w)
{
	static const struct ap_slice reporters[] = { AP_S("source"), AP_S("destination") };
	struct zt_worker *zw = ap_new(struct zt_worker);

	zw->magic = ZT_WORKER_MAGIC;
	zw->zt = zt;
	zw->w = w;
	ap_list_init(&zw->conns);
	ap_list_init(&zw->peers);
	ap_list_init(&zw->waiting);
	zw->hosted = zt_hosted_ref(zt->hosted);
	zw->open_sockets[ZT_OUTBOUND] = ap_series_get(w->shard, &open_sockets, &reporters[0]);
	zw->open_sockets[ZT_INBOUND] = ap_series_get(w->shard, &open_sockets, &reporters[1]);
	zw->uncaptured = ap_series_get(w->shard, &uncaptured, NULL);
	zw->view = ap_mesh_feed_attach(zt->feed, w, on_mesh_change, zw);
	zw->table = ap_mesh_view_table(zw->view);
	zw->identities = ap_identity_attach(zt->identities, w, on_identity, zw);
	zw->scripts = zt_scripts_attach(zt->scripts, w);
	zw->log = zt_log_ring_new(zt->access_log, ap_config_appliance(zt->config)->log_json, w);
	zw->pool = ap_hbone_pool_new(w, NULL);
	zw->owners = zt_owners_new();
	return zw;
}

static int
open_all(struct zt_worker *zw, struct ap_error *err)
{
	zw->diag = ap_sock_diag_new(err);
	if (zw->diag == NULL)
		return ap_error_wrap(err, "socket owners");
	zw->conntrack = ap_conntrack_new(err);
	if (zw->conntrack == NULL)
		return err->code;
	zw->server_tls = zt_peer_context(zw, err);
	if (zw->server_tls == NULL || open_listeners(zw, err) != 0)
		return err->code;
	if (zw->zt->cfg.dns && zw->w->index == 0) {
		zw->dns = zt_dns_new(zw, err);
		if (zw->dns == NULL)
			return ap_error_wrap(err, "DNS port %u", zw->zt->cfg.dns_port);
	}
	return 0;
}

int
zt_worker_start(void *self, struct ap_worker *w, void **ws, struct ap_error *err)
{
	struct zt *zt = self;
	struct zt_worker *zw;

	AP_IS(zt, ZT_MAGIC);
	AP_CHECK(w->index < ZT_WORKERS_MAX);
	zw = make(zt, w);
	if (open_all(zw, err) != 0) {
		zt_worker_stop(zw);
		return err->code;
	}
	zt->workers[w->index] = zw;
	zt->worker_count = AP_MAX(zt->worker_count, w->index + 1);
	*ws = zw;
	return 0;
}

void
zt_worker_drain(void *ws)
{
	struct zt_worker *zw = ws;

	if (zw == NULL)
		return;
	zw->is_draining = true;
	ap_listener_free(&zw->outbound);
	ap_listener_free(&zw->inbound);
	ap_listener_free(&zw->hbone);
	zt_dns_free(&zw->dns);
	zt_peer_drain(zw);
	if (zw->pool != NULL)
		ap_hbone_drain(zw->pool);
}

static void
free_worker(void *ptr)
{
	struct zt_worker *zw = ptr;

	zw->magic = 0;
	ap_free(&zw);
}

/* What was closed in this turn may look at us once more on its way out. */
static void
free_worker_later(void *ptr)
{
	struct zt_worker *zw = ptr;

	ap_defer_free(zw->w->loop, zw, free_worker);
}

void
zt_worker_stop(void *ws)
{
	struct zt_worker *zw = ws;

	if (zw == NULL)
		return;
	AP_IS(zw, ZT_WORKER_MAGIC);
	zt_worker_drain(zw);
	AP_LIST_FOR_SAFE(link, &zw->conns) {
		zt_conn_end(AP_LIST_ITEM(link, struct zt_conn, link), ZT_END_DRAINED, NULL);
	}
	zt_peer_close_all(zw);
	zt_inbound_forget(zw);
	ap_hbone_pool_free(&zw->pool);
	ap_tls_unref(&zw->server_tls);
	ap_sock_diag_free(&zw->diag);
	ap_conntrack_free(&zw->conntrack);
	zt_owners_free(&zw->owners);
	zt_log_ring_free(&zw->log);
	zt_script_view_free(&zw->scripts);
	ap_identity_view_free(&zw->identities);
	zw->table = NULL;
	ap_mesh_view_free(&zw->view);
	zt_hosted_unref(&zw->hosted);
	if (zw->zt->workers[zw->w->index] == zw)
		zw->zt->workers[zw->w->index] = NULL;
	ap_defer_free(zw->w->loop, zw, free_worker_later);
}

struct new_hosted {
	struct ap_msg msg;
	struct zt_worker *zw;
	struct zt_hosted *hosted;
};

static void
receive_hosted(struct ap_msg *msg)
{
	struct new_hosted *n = AP_CONTAINER_OF(msg, struct new_hosted, msg);

	zt_hosted_unref(&n->zw->hosted);
	n->zw->hosted = n->hosted;
	ap_free(&n);
}

void
zt_workers_set_hosted(struct zt *zt, struct zt_hosted *hosted)
{
	uint32_t i;

	for (i = 0; i < zt->worker_count; i++) {
		struct new_hosted *n;

		if (zt->workers[i] == NULL)
			continue;
		n = ap_new(struct new_hosted);
		n->zw = zt->workers[i];
		n->hosted = zt_hosted_ref(hosted);
		n->msg.fn = receive_hosted;
		ap_mailbox_post(n->zw->w->mailbox, &n->msg);
	}
}
