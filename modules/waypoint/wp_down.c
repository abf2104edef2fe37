/*
 * wp_down.c -- what a client opened to one host: judged by the host's scripts, told apart into HTTP and other bytes, then
 * served or relayed.  A CONNECT that names nothing we serve is refused; nothing passes a waypoint that it does not know.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "mesh/labels.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/x509.h"
#include "waypoint/wp_priv.h"

AP_LOG_MODULE(wp_down);

#define DOWN_ARENA ((size_t)64 * 1024)
#define SNIFF_MS 1000 /* a client that says nothing for so long waits for the server to speak first */

static void
down_release(void *p)
{
	struct wp_down *d = p;

	ap_mesh_workload_unref(&d->source);
	ap_mesh_workload_unref(&d->pinned);
	ap_mesh_service_unref(&d->service);
	ap_arena_free(&d->arena);
	ap_free(&d);
}

void
wp_down_free(struct wp_down *d)
{
	AP_CHECK(d->http == NULL && d->tcp == NULL && d->tunnel == NULL);
	ap_timer_stop(&d->sniff_timer);
	ap_list_remove(&d->link);
	atomic_fetch_sub_explicit(&d->ww->wp->downs, 1, memory_order_relaxed);
	d->magic = 0;
	ap_defer_free(d->ww->loop, d, down_release);
}

void
wp_down_close(struct wp_down *d)
{
	if (d->http != NULL) {
		ap_http_close(d->http); /* closed() follows */
	} else if (d->tcp != NULL) {
		wp_tcp_close(d->tcp);
	} else {
		struct ap_stream *s = &d->tunnel->stream;

		d->tunnel = NULL;
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		wp_down_free(d);
	}
}

static struct wp_down *
down_new(struct wp_worker *ww, const struct ap_addr *peer, const struct ap_addr *local, struct ap_slice identity)
{
	struct wp_down *d = ap_new(struct wp_down);
	struct ap_mesh_workload *w;
	struct ap_ip ip;

	d->magic = WP_DOWN_MAGIC;
	d->ww = ww;
	d->arena = ap_arena_new(DOWN_ARENA);
	d->peer = *peer;
	d->local = *local;
	d->identity = ap_arena_copy(d->arena, identity);
	d->is_mutual = identity.len > 0;
	if (ap_addr_ip(peer, &ip) == 0) {
		w = ap_mesh_find_source(ww->mesh_table, ap_slice_of(ww->wp->network), &ip, identity);
		d->source = w == NULL ? NULL : ap_mesh_workload_ref(w);
	}
	ap_list_append(&ww->downs, &d->link);
	atomic_fetch_add_explicit(&ww->wp->downs, 1, memory_order_relaxed);
	return d;
}

static void
host_set(struct wp_down *d, const struct wp_host *h)
{
	struct ap_mesh_service *s = ap_mesh_find_service(d->ww->mesh_table, h->key);

	d->host_key = ap_arena_copy(d->arena, h->key);
	d->service = s == NULL ? NULL : ap_mesh_service_ref(s);
}

/* A workload called by its own address: the host among its services that maps a port to this one. */
static struct wp_host *
host_of_workload(struct wp_down *d, struct ap_mesh_workload *w, uint16_t target)
{
	for (uint32_t i = 0; i < w->membership_count; i++) {
		struct wp_host *h = wp_table_host(&d->ww->table, w->memberships[i].service);
		struct ap_mesh_service *s = ap_mesh_find_service(d->ww->mesh_table, w->memberships[i].service);

		for (uint32_t k = 0; h != NULL && s != NULL && k < h->port_count; k++) {
			if (ap_mesh_target_port(w, s, h->ports[k].number) != target)
				continue;
			d->pinned = ap_mesh_workload_ref(w);
			d->pinned_port = target;
			d->port = h->ports[k].number;
			return h;
		}
	}
	return NULL;
}

/* Who is meant by the CONNECT's authority. */
static struct wp_host *
host_find(struct wp_down *d, const struct ap_addr *addr, struct ap_slice name, uint16_t port)
{
	const struct ap_mesh_table *t = d->ww->mesh_table;
	struct ap_slice network = ap_slice_of(d->ww->wp->network);
	struct ap_mesh_origin from = { .network = network };
	struct ap_mesh_service *s;
	struct ap_mesh_workload *w;
	struct wp_host *h;

	d->port = port;
	if (name.len > 0)
		return wp_table_named(&d->ww->table, name);
	if (ap_addr_ip(addr, &d->destination_ip) != 0)
		return NULL;
	s = ap_mesh_find_vip(t, &from, network, &d->destination_ip);
	h = s == NULL ? NULL : wp_table_host(&d->ww->table, s->key);
	if (h != NULL)
		return h;
	w = ap_mesh_find_destination(t, network, &d->destination_ip, port);
	return w == NULL ? NULL : host_of_workload(d, w, port);
}

/* The host's on_connect scripts; false: refused. */
static bool
scripts_allow(struct wp_down *d, struct wp_binding *b)
{
	struct ap_lua_conn c = { .service = b->host->hostname, .port = d->port };
	struct ap_slice td;

	c.source.identity = d->identity;
	if (!ap_spiffe_parse(d->identity, &td, &c.source.namespace_, &c.source.service_account))
		c.source.namespace_ = c.source.service_account = AP_SLICE_NONE;
	c.source.address = d->peer;
	if (d->source != NULL)
		c.source.workload = d->source->workload_name;
	c.destination.namespace_ = b->host->namespace_;
	c.destination.address = ap_addr_of(&d->destination_ip, d->port);
	for (uint32_t i = 0; i < b->script_count; i++) {
		if (b->scripts[i] == NULL)
			return false;
		if (!ap_lua_script_has(b->scripts[i], AP_LUA_ON_CONNECT))
			continue;
		if (d->tags == NULL)
			d->tags = ap_arena_new_object(d->arena, struct ap_lua_result);
		ap_lua_on_connect(d->ww->lua, b->scripts[i], &c, d->arena, d->tags);
		if (d->tags->verdict != AP_LUA_ALLOW) {
			LOG_DEBUG(NULL, "denied by %.*s: %.*s", AP_FMT(ap_lua_script_name(b->scripts[i])),
			    AP_FMT(d->tags->reason));
			return false;
		}
	}
	return true;
}

static struct ap_stream *
tunnel_take(struct wp_down *d)
{
	struct ap_stream *s = &d->tunnel->stream;

	d->tunnel = NULL;
	ap_timer_stop(&d->sniff_timer);
	return s;
}

static void
http_start(struct wp_down *d)
{
	d->http = ap_http_serve(tunnel_take(d), AP_HTTP_AUTO, &wp_http_settings, &wp_request_ops, d);
}

static void
tcp_start(struct wp_down *d)
{
	struct wp_binding *b = wp_table_bind(&d->ww->table, d->host_key);
	const struct wp_port *port = b == NULL ? NULL : wp_host_port(b->host, d->port);

	if (port == NULL)
		wp_down_close(d);
	else
		wp_tcp_start(d, b, port, tunnel_take(d));
	wp_binding_unref(&b);
}

enum sniffed { SNIFF_MORE, SNIFF_HTTP, SNIFF_OTHER };

/* A request line begins with a method of capital letters and a blank, then '/', 'h' or '*'; "PRI * HTTP/2.0" too. */
static enum sniffed
sniff_judge(struct ap_slice s)
{
	size_t n = 0;

	while (n < s.len && ((s.ptr[n] >= 'A' && s.ptr[n] <= 'Z') || (n > 0 && s.ptr[n] == '-')))
		n++;
	if (n > 24)
		return SNIFF_OTHER;
	if (n == s.len)
		return SNIFF_MORE;
	if (n < 3 || s.ptr[n] != ' ')
		return SNIFF_OTHER;
	if (n + 1 == s.len)
		return SNIFF_MORE;
	return s.ptr[n + 1] == '/' || s.ptr[n + 1] == '*' || s.ptr[n + 1] == 'h' ? SNIFF_HTTP : SNIFF_OTHER;
}

static void
sniff_events(struct ap_stream *s, unsigned events, void *arg)
{
	struct wp_down *d = arg;
	struct iovec iov[1];
	enum sniffed what;
	int n;

	AP_IS(d, WP_DOWN_MAGIC);
	if (events & AP_STREAM_FAILED) {
		wp_down_close(d);
		return;
	}
	n = s->ops->peek(s, iov, 1);
	if (n == AP_STREAM_AGAIN)
		return;
	what = n == 1 ? sniff_judge(ap_slice(iov[0].iov_base, iov[0].iov_len)) : SNIFF_OTHER;
	if (what == SNIFF_MORE) {
		ap_stream_want(s, 0); /* level triggered: look again when the timer runs, not in every turn */
		ap_timer_start(&d->sniff_timer, 5);
		return;
	}
	if (what == SNIFF_HTTP)
		http_start(d);
	else
		tcp_start(d);
}

static void
on_sniff_timer(struct ap_timer *timer, void *arg)
{
	struct wp_down *d = arg;
	struct ap_stream *s = &d->tunnel->stream;
	struct iovec iov[1];

	(void)timer;
	if (s->ops->peek(s, iov, 1) == 1 && sniff_judge(ap_slice(iov[0].iov_base, iov[0].iov_len)) == SNIFF_HTTP)
		http_start(d);
	else
		tcp_start(d);
}

static void
down_serve(struct wp_down *d, const struct wp_port *port)
{
	struct ap_stream *s = &d->tunnel->stream;

	if (port->protocol == WP_TCP) {
		tcp_start(d);
	} else if (port->protocol != WP_AUTO || port->route_count > 0) {
		http_start(d);
	} else {
		/* Nothing says what is inside: look. What is not HTTP meets the policies as TCP. */
		ap_timer_init(&d->sniff_timer, d->ww->loop, on_sniff_timer, d);
		ap_timer_start(&d->sniff_timer, SNIFF_MS);
		ap_stream_set_callback(s, sniff_events, d);
		ap_stream_want(s, AP_STREAM_READABLE);
	}
}

static void
identity_note(struct wp_hbone *h)
{
	struct ap_slice id;

	if (h->identity != NULL)
		return;
	id = ap_tls_peer_spiffe(ap_http_transport(h->http));
	h->identity = ap_strndup(id.ptr == NULL ? "" : id.ptr, id.len);
}

static void
refuse(struct wp_down *d, struct ap_exchange *x, int status)
{
	struct ap_stream *s = &x->stream;

	ap_hbone_refuse(x, status);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	wp_down_free(d);
}

void
wp_down_connect(struct wp_hbone *h, struct ap_exchange *x)
{
	struct wp_worker *ww = h->ww;
	const struct wp_port *port = NULL;
	struct wp_binding *b = NULL;
	struct ap_slice name;
	struct wp_host *host;
	struct wp_down *d;
	struct ap_addr addr;
	uint16_t number;

	identity_note(h);
	d = down_new(ww, &h->peer, &h->local, ap_slice_of(h->identity));
	if (ap_hbone_authority(x->request.authority, &addr, &name, &number) != 0) {
		refuse(d, x, 400);
		return;
	}
	if (ww->draining) {
		refuse(d, x, 503);
		return;
	}
	host = host_find(d, &addr, name, number);
	if (host != NULL) {
		host_set(d, host);
		b = wp_table_bind(&ww->table, d->host_key);
		port = wp_host_port(host, d->port);
	}
	if (b == NULL || port == NULL) {
		LOG_DEBUG(NULL, "CONNECT %.*s: not served here", AP_FMT(x->request.authority));
		refuse(d, x, 404);
	} else if (!scripts_allow(d, b)) {
		refuse(d, x, 401);
	} else {
		ap_hbone_accept(x, NULL, 0);
		d->tunnel = x;
		down_serve(d, port);
	}
	wp_binding_unref(&b);
}

void
wp_down_plain(struct wp_worker *ww, const struct wp_plain *p, struct ap_stream *s, const struct ap_addr *peer)
{
	struct ap_addr local = ap_tcp_local(s);
	struct wp_down *d = down_new(ww, peer, &local, AP_SLICE_NONE);
	struct ap_mesh_service *service = ap_mesh_find_service(ww->mesh_table, ap_slice_of(p->host));
	struct wp_binding *b;
	bool allowed;

	d->host_key = ap_arena_copy(d->arena, ap_slice_of(p->host));
	d->service = service == NULL ? NULL : ap_mesh_service_ref(service);
	d->port = p->port;
	(void)ap_addr_ip(&local, &d->destination_ip);
	b = wp_table_bind(&ww->table, d->host_key);
	allowed = !ww->draining && b != NULL && scripts_allow(d, b);
	wp_binding_unref(&b);
	if (!allowed) {
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		wp_down_free(d);
		return;
	}
	d->http = ap_http_serve(s, AP_HTTP_AUTO, &wp_http_settings, &wp_request_ops, d);
}
