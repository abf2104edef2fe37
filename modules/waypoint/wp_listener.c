/* wp_listener.c -- a worker's listeners: HBONE with the waypoint's certificate, and plain ones.  One thread, the worker's. */
#include "base/check.h"
#include "base/mem.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/x509.h"
#include "waypoint/wp_priv.h"

#define MARK 1337U

static void
on_connect(struct ap_exchange *x, void *arg)
{
	struct wp_hbone *h = arg;

	AP_IS(h, WP_HBONE_MAGIC);
	wp_down_connect(h, x);
}

static void
on_hbone_closed(struct ap_http_conn *conn, void *arg)
{
	struct wp_hbone *h = arg;

	(void)conn;
	AP_IS(h, WP_HBONE_MAGIC);
	ap_list_remove(&h->link);
	h->magic = 0;
	ap_free(&h->identity);
	ap_free(&h);
}

static const struct ap_http_server_ops hbone_ops = { .request = on_connect, .closed = on_hbone_closed };

/* The peer must be of our trust domain (istio-ambient.md 1.2). */
static bool
peer_is_ours(const struct ap_slice *uris, size_t count, void *arg)
{
	const struct wp_hbone *h = arg;
	struct ap_slice td, ns, account;

	for (size_t i = 0; i < count; i++)
		if (ap_spiffe_parse(uris[i], &td, &ns, &account) && ap_slice_eq_text(td, h->ww->wp->trust_domain))
			return true;
	return false;
}

static void
on_hbone_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct wp_worker *ww = arg;
	struct ap_stream *s = ap_tcp_take(ww->loop, fd, peer);
	struct ap_identity *self = ap_identity_view_find(ww->identities, ap_slice_of(ww->wp->identity));
	struct wp_hbone *h;

	if (self == NULL) { /* not certified yet, or no longer */
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	h = ap_new(struct wp_hbone);
	h->magic = WP_HBONE_MAGIC;
	h->ww = ww;
	h->peer = *peer;
	h->local = ap_tcp_local(s);
	ap_list_append(&ww->hbones, &h->link);
	s = ap_tls_server(s, self->server, peer_is_ours, h);
	h->http = ap_hbone_serve(s, &hbone_ops, h);
}

static void
on_plain_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct wp_plain_arg *a = arg;

	wp_down_plain(a->ww, a->plain, ap_tcp_take(a->ww->loop, fd, peer), peer);
}

bool
wp_listen(struct wp_worker *ww, struct ap_error *err)
{
	const struct ap_listener_options options = { .reuse_port = true, .mark = MARK };
	const struct wp *wp = ww->wp;
	struct ap_addr at = wp->set.address;

	if (wp->set.hbone) {
		ap_addr_set_port(&at, wp->hbone_port);
		ww->hbone_listener = ap_listener_new(ww->loop, &at, &options, on_hbone_accept, ww, err);
		if (ww->hbone_listener == NULL)
			return false;
	}
	for (uint32_t i = 0; i < wp->set.plain_count; i++) {
		ww->plain_args[i] = (struct wp_plain_arg){ .ww = ww, .plain = &wp->set.plain[i] };
		ww->plain_listeners[i] =
		    ap_listener_new(ww->loop, &wp->set.plain[i].at, &options, on_plain_accept, &ww->plain_args[i], err);
		if (ww->plain_listeners[i] == NULL)
			return false;
	}
	return true;
}

void
wp_listeners_close(struct wp_worker *ww)
{
	ap_listener_free(&ww->hbone_listener);
	for (int i = 0; i < WP_PLAIN_MAX; i++)
		ap_listener_free(&ww->plain_listeners[i]);
}
