/*
 * zt_peer.c -- HBONE connections to this host: TLS with the certificate that the peer asked for, then HTTP/2.  A connection's
 * record outlives it while tunnels refer to it.  Worker.
 */
#include "ztunnel/zt_peer.h"

#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/x509.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_access_log.h"

#define PEERS_MAX 20000U /* HBONE connections per worker: each costs a TLS session */

void
zt_peer_unref(struct zt_peer **p)
{
	struct zt_peer *old = *p;

	*p = NULL;
	if (old == NULL)
		return;
	AP_IS(old, ZT_PEER_MAGIC);
	if (--old->refs > 0)
		return;
	ap_identity_unref(&old->shown);
	ap_free(&old->spiffe);
	old->magic = 0;
	ap_free(&old);
}

static struct zt_peer *
find_peer(struct zt_worker *zw, int fd)
{
	AP_LIST_FOR(link, &zw->peers) {
		struct zt_peer *p = AP_LIST_ITEM(link, struct zt_peer, link);

		if (p->fd == fd)
			return p;
	}
	return NULL;
}

/* The only workload of the address, else the first one of this host: what a peer that sends no name gets. */
static struct ap_identity *
identity_by_address(struct zt_worker *zw, const struct ap_ip *ip)
{
	struct ap_mesh_workloads at = ap_mesh_at(zw->table, zw->zt->network, ip);
	const struct zt_hosted_workload *w = NULL;
	size_t i;

	for (i = 0; at.count == 1 && w == NULL && i < at.count; i++)
		w = zt_hosted_find(zw->hosted, at.items[i]->identity);
	if (w == NULL && zw->hosted->count > 0)
		w = &zw->hosted->items[0];
	return w == NULL ? NULL : ap_identity_view_find(zw->identities, ap_slice_of(w->spiffe));
}

static struct ap_tls *
choose(struct ap_stream *s, struct ap_slice sni, void *arg)
{
	struct zt_worker *zw = arg;
	struct ap_stream *bottom = ap_stream_bottom(s);
	struct zt_peer *p = bottom == NULL ? NULL : find_peer(zw, ap_tcp_fd(bottom));
	struct ap_identity *id = NULL;

	if (p == NULL)
		return NULL;
	if (sni.len > 0)
		id = ap_identity_view_by_sni(zw->identities, sni);
	if (id == NULL)
		id = identity_by_address(zw, &p->local.ip);
	ap_identity_unref(&p->shown);
	p->shown = ap_identity_ref(id);
	/* Without one the context that asks answers, which has no certificate: the handshake fails. */
	return id == NULL ? NULL : id->server;
}

struct ap_tls *
zt_peer_context(struct zt_worker *zw, struct ap_error *err)
{
	static const char *const alpn[] = { "h2", NULL };
	struct ap_tls_settings settings = { .alpn = alpn, .verify = AP_TLS_VERIFY_REQUIRED, .is_server = true, .mesh = true };
	struct ap_tls *tls = ap_tls_new(&settings, err);

	if (tls != NULL)
		ap_tls_set_chooser(tls, choose, zw);
	return tls;
}

/* A peer of another trust domain is refused at this level (istio-ambient.md 1.2). */
static bool
is_of_our_domain(const struct ap_slice *uris, size_t count, void *arg)
{
	struct zt_peer *p = arg;
	struct ap_slice td, ns, sa;
	size_t i;

	for (i = 0; p->shown != NULL && i < count; i++) {
		if (ap_spiffe_parse(uris[i], &td, &ns, &sa) && ap_slice_eq(td, p->shown->trust_domain))
			return true;
	}
	return false;
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct zt_peer *p = arg;
	struct ap_slice spiffe;

	AP_IS(p, ZT_PEER_MAGIC);
	if (p->spiffe == NULL) {
		spiffe = ap_tls_peer_spiffe(p->tls);
		p->spiffe = ap_strndup(spiffe.ptr, spiffe.len);
	}
	zt_inbound_request(p, x);
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct zt_peer *p = arg;

	(void)conn;
	AP_IS(p, ZT_PEER_MAGIC);
	if (p->spiffe == NULL) /* it never came to a request */
		zt_access_log_refusal(p->zw->log, ZT_INBOUND, &p->remote, &p->local,
		    ap_tls_error_text(p->tls) == NULL || ap_tls_error_text(p->tls)[0] == '\0'
		        ? "connection closed before a request"
		        : ap_tls_error_text(p->tls));
	ap_list_remove(&p->link);
	p->http = NULL;
	p->tls = NULL;
	p->zw->peer_count--;
	zt_peer_unref(&p);
}

static const struct ap_http_server_ops server_ops = { .request = on_request, .closed = on_closed };

void
zt_peer_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct zt_worker *zw = arg;
	struct ap_stream *tcp;
	struct ap_addr local;
	struct zt_peer *p;

	AP_IS(zw, ZT_WORKER_MAGIC);
	if (zw->peer_count >= PEERS_MAX || zw->is_draining) {
		close(fd);
		return;
	}
	tcp = ap_tcp_take(zw->w->loop, fd, peer);
	local = ap_tcp_local(tcp);
	p = ap_new(struct zt_peer);
	p->magic = ZT_PEER_MAGIC;
	p->refs = 1;
	p->zw = zw;
	p->fd = fd;
	p->remote = zt_point_of(peer);
	p->local = zt_point_of(&local);
	ap_list_prepend(&zw->peers, &p->link); /* handshakes are at the front: find_peer looks for them */
	zw->peer_count++;
	p->tls = ap_tls_server(tcp, zw->server_tls, is_of_our_domain, p);
	p->http = ap_hbone_serve(p->tls, &server_ops, p);
}

void
zt_peer_drain(struct zt_worker *zw)
{
	AP_LIST_FOR_SAFE(link, &zw->peers) {
		ap_http_drain(AP_LIST_ITEM(link, struct zt_peer, link)->http);
	}
}

void
zt_peer_close_all(struct zt_worker *zw)
{
	AP_LIST_FOR_SAFE(link, &zw->peers) {
		ap_http_close(AP_LIST_ITEM(link, struct zt_peer, link)->http);
	}
}
