/*
 * zt_inbound.c -- tunnels that reach this host: is the request sound, is the port that of the workload whose certificate was shown,
 * does policy allow the peer, and is the program there?  200 only after all four (istio-ambient.md 1.5).  Also the second
 * look at connections that live when policies change.  Worker.
 */
#include "ztunnel/zt_inbound.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/tcp.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_access_log.h"
#include "ztunnel/zt_peer.h"
#include "ztunnel/zt_scripts.h"

enum zt_owner_result
zt_inbound_owner(struct zt_worker *zw, const struct ap_ip *ip, uint16_t port, const struct zt_hosted_workload **out)
{
	struct ap_mesh_workloads at = ap_mesh_at(zw->table, zw->zt->network, ip);
	struct ap_socket_owner owner;
	struct ap_addr local;
	size_t i;

	*out = zt_hosted_by_port(zw->hosted, port);
	for (i = 0; *out == NULL && i < at.count; i++) {
		if (ap_mesh_claims_port(zw->table, at.items[i], port))
			*out = zt_hosted_find(zw->hosted, at.items[i]->identity);
	}
	if (*out == NULL && zw->hosted->count == 1 && !zw->hosted->items[0].has_selector)
		*out = &zw->hosted->items[0];
	if (*out != NULL)
		return ZT_OWNER_FOUND;
	local = ap_addr_of(ip, port);
	if (zw->hosted->count == 0 || ap_sock_diag_find_listener(zw->diag, &local, &owner) != 0)
		return ZT_OWNER_NONE;
	return zt_owners_find(zw->owners, zw->hosted, &owner, ip, out);
}

struct ap_mesh_workload *
zt_inbound_workload(const struct zt_worker *zw, const struct ap_ip *ip, struct ap_slice spiffe)
{
	const struct zt_config *cfg = &zw->zt->cfg;
	struct ap_mesh_workload *w = ap_mesh_find_source(zw->table, zw->zt->network, ip, spiffe);
	uint32_t i;

	/* Behind a NAT the mesh knows another address of ours than the one that packets bear. */
	for (i = 0; w == NULL && i < cfg->ip_count; i++)
		w = ap_mesh_find_source(zw->table, zw->zt->network, &cfg->ips[i], spiffe);
	return w;
}

struct ap_authz_result
zt_inbound_judge(const struct zt_conn *c)
{
	struct ap_authz_request req = { .source_ip = c->src.ip,
		.destination_ip = c->actual.ip,
		.destination_port = c->actual.port };

	if (c->mutual_tls)
		req.identity = ap_slice_of(c->source_identity);
	return ap_authz_check(c->zw->table, c->destination, &req);
}

static void
refuse_exchange(struct zt_conn *c, int status)
{
	struct ap_stream *s;

	if (c->x == NULL)
		return;
	ap_hbone_refuse(c->x, status);
	s = &c->x->stream;
	c->x = NULL;
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
}

void
zt_inbound_deny(struct zt_conn *c, const struct ap_authz_result *r, enum zt_end why)
{
	char reason[400];

	refuse_exchange(c, 401);
	if (!c->is_open)
		zt_conn_open(c);
	zt_conn_end(c, why, ap_authz_reason(r, reason, sizeof(reason)));
}

/* To the program. */

static void
on_upstream(struct ap_stream *s, unsigned events, void *arg)
{
	struct zt_conn *c = arg;
	char baggage[AP_MESH_BAGGAGE_MAX];
	struct ap_field field = { .name = AP_S("baggage") };

	AP_IS(c, ZT_CONN_MAGIC);
	if ((events & AP_STREAM_FAILED) != 0) {
		refuse_exchange(c, 503);
		if (!c->is_open)
			zt_conn_open(c);
		zt_conn_end(c, ZT_END_CONNECT, strerror(s->detail));
		return;
	}
	if ((events & AP_STREAM_OPEN) == 0)
		return;
	if (c->x != NULL) {
		field.value = ap_slice(baggage, ap_mesh_baggage_format(c->destination, baggage));
		ap_hbone_accept(c->x, &field, c->zw->zt->cfg.response_baggage && field.value.len > 0 ? 1 : 0);
		c->down = &c->x->stream;
		c->x = NULL;
	}
	zt_conn_open(c);
	zt_conn_join(c);
}

void
zt_inbound_connect(struct zt_conn *c)
{
	const struct zt *zt = c->zw->zt;
	struct ap_tcp_options options = { .mark = zt->cfg.mark, .keepalive = true };
	struct ap_addr to = zt_point_addr(&c->actual);
	bool spoof = zt->can_spoof && zt->cfg.original_source != ZT_SOURCE_NEVER &&
	    !zt_config_is_own_ip(&zt->cfg, &c->src.ip) && !ap_ip_is_loopback(&c->src.ip) &&
	    c->src.ip.len == c->actual.ip.len;

	if (spoof)
		options.source = &c->src.ip;
	c->up = ap_tcp_connect(c->zw->w->loop, &to, &options);
	ap_stream_set_callback(c->up, on_upstream, c);
}

/* The request. */

static void
reject(struct zt_conn *c, int status, enum zt_end why, const char *text)
{
	refuse_exchange(c, status);
	/* Only a connection to a known workload is one to count. */
	if (c->destination != NULL && !c->is_open)
		zt_conn_open(c);
	zt_conn_end(c, why, text);
}

/* The value of `host` in a Forwarded field: istio-ambient.md 1.3. */
static struct ap_slice
forwarded_host(const struct ap_exchange *x)
{
	struct ap_slice rest = ap_fields_get(&x->request.fields, AP_S("forwarded")), part;
	size_t i;

	while (rest.ptr != NULL) {
		part = ap_slice_trim(ap_slice_cut(&rest, ';'));
		if (!ap_slice_starts(part, AP_S("host=")))
			continue;
		part = ap_slice_from(part, 5);
		if (part.len >= 2 && part.ptr[0] == '"' && part.ptr[part.len - 1] == '"')
			part = ap_slice_sub(part, 1, part.len - 2);
		for (i = 0; i < part.len; i++) {
			if ((unsigned char)part.ptr[i] >= 0x80)
				return AP_SLICE_NONE;
		}
		return part;
	}
	return AP_SLICE_NONE;
}

static bool
leads_to(const struct ap_mesh_service *s, const struct ap_mesh_workload *w, uint16_t port)
{
	uint32_t i;

	for (i = 0; i < s->port_count; i++) {
		if (ap_mesh_target_port(w, s, s->ports[i].service_port) == port)
			return true;
	}
	return false;
}

/* Which service the client meant, for labels: istio-ambient.md 5.4. */
static struct ap_mesh_service *
guess_service(const struct ap_mesh_table *t, const struct ap_mesh_workload *w, struct ap_slice host, uint16_t port)
{
	struct ap_mesh_service *s, *by_port = NULL;
	uint32_t i;

	for (i = 0; i < w->membership_count; i++) {
		s = ap_mesh_find_service(t, w->memberships[i].service);
		if (s == NULL)
			continue;
		if (host.len > 0 && ap_slice_eq(s->hostname, host))
			return s;
		if (by_port == NULL && leads_to(s, w, port))
			by_port = s;
	}
	return by_port;
}

/* May a request for this address be served here? istio-ambient.md 1.5, and for hosts behind NAT: any address that the
 * mesh knows the workload by. */
static bool
is_address_ours(const struct zt_conn *c, const struct ap_ip *asked)
{
	const struct ap_mesh_workload *w = c->destination;
	const struct ap_mesh_table *t = c->zw->table;
	struct ap_mesh_origin from = zt_origin_of(w);
	struct ap_mesh_workloads at;
	const struct ap_mesh_service *s;
	uint32_t i;
	size_t j;

	if (ap_ip_eq(asked, &c->dst.ip) || w->has_app_tunnel)
		return true;
	for (i = 0; i < w->ip_count; i++) {
		if (ap_ip_eq(asked, &w->ips[i]))
			return true;
	}
	s = ap_mesh_find_vip(t, &from, w->network, asked);
	if (s != NULL && ap_mesh_gateway_is(t, &s->waypoint, w))
		return true;
	at = ap_mesh_at(t, w->network, asked);
	for (j = 0; j < at.count; j++) {
		if (ap_mesh_gateway_is(t, &at.items[j]->waypoint, w))
			return true;
	}
	return false;
}

/* host:servicePort to our own port; 0: no such service or port here. */
static uint16_t
port_of_name(struct zt_conn *c, struct ap_slice host, uint16_t service_port)
{
	struct ap_mesh_origin from = zt_origin_of(c->destination);
	struct ap_mesh_service *s = ap_mesh_find_host(c->zw->table, &from, host);

	if (s == NULL || ap_mesh_workload_membership(c->destination, s->key) == NULL)
		return 0;
	c->service = ap_mesh_service_ref(s);
	return ap_mesh_target_port(c->destination, s, service_port);
}

/* The table does not know the peer's address: what it says of itself will do for labels. */
static void
describe_source(struct zt_conn *c, const struct ap_exchange *x)
{
	struct zt_worker *zw = c->zw;
	struct ap_slice network = ap_fields_get(&x->request.fields, AP_S("x-forwarded-network")), baggage;

	if (network.ptr == NULL || ap_slice_eq_nocase(network, zw->zt->network))
		c->source = ap_mesh_workload_ref(
		    ap_mesh_find_source(zw->table, zw->zt->network, &c->src.ip, ap_slice_of(c->source_identity)));
	if (c->source != NULL)
		return;
	baggage = ap_fields_get(&x->request.fields, AP_S("baggage"));
	if (baggage.len > 0 && baggage.len <= AP_MESH_BAGGAGE_MAX)
		c->baggage = ap_strndup(baggage.ptr, baggage.len);
}

/* The port must be that of the workload whose certificate the peer saw, so that identity is exact where several share a host. */
static bool
port_is_of(struct zt_conn *c, uint16_t port)
{
	const struct zt_hosted_workload *owner = NULL;

	return zt_inbound_owner(c->zw, &c->dst.ip, port, &owner) == ZT_OWNER_FOUND &&
	    ap_slice_eq(ap_slice_of(owner->spiffe), c->destination->identity);
}

static void
begin(struct zt_conn *c, struct ap_exchange *x)
{
	struct zt_peer *p = c->peer;
	struct ap_addr asked;
	struct ap_slice host;
	struct ap_authz_result r;
	const char *reason;
	uint16_t port;

	if (!ap_slice_eq_text(x->request.method, "CONNECT") ||
	    ap_hbone_authority(x->request.authority, &asked, &host, &port) != 0) {
		reject(c, 400, ZT_END_BAD_REQUEST, NULL);
		return;
	}
	if (asked.len > 0)
		c->authority = zt_point_of(&asked);
	else
		c->host_authority = ap_strndup(x->request.authority.ptr, x->request.authority.len);
	c->destination = p->shown == NULL
	    ? NULL
	    : ap_mesh_workload_ref(zt_inbound_workload(c->zw, &c->dst.ip, p->shown->spiffe));
	if (c->destination == NULL) {
		reject(c, 503, ZT_END_NO_DESTINATION, p->shown == NULL ? NULL : p->shown->spiffe.ptr);
		return;
	}
	describe_source(c, x);
	if (asked.len == 0) {
		port = port_of_name(c, host, port);
		if (port == 0) {
			reject(c, 503, ZT_END_NO_PORT, c->host_authority);
			return;
		}
	} else if (!is_address_ours(c, &c->authority.ip)) {
		reject(c, 400, ZT_END_MISMATCH, NULL);
		return;
	}
	if (zt_config_is_illegal_port(&c->zw->zt->cfg, port)) {
		reject(c, 503, ZT_END_RECURSIVE, NULL);
		return;
	}
	c->actual = (struct zt_point){ .ip = c->dst.ip, .port = port };
	if (!port_is_of(c, port)) {
		reject(c, 400, ZT_END_MISMATCH, "the port is not of the workload that was asked for");
		return;
	}
	if (c->service == NULL)
		c->service = ap_mesh_service_ref(guess_service(c->zw->table, c->destination, forwarded_host(x), port));
	r = zt_inbound_judge(c);
	if (r.verdict != AP_AUTHZ_ALLOW) {
		zt_inbound_deny(c, &r, ZT_END_DENIED);
		return;
	}
	reason = zt_scripts_judge(c);
	if (reason != NULL) {
		reject(c, 401, ZT_END_SCRIPT, reason);
		return;
	}
	zt_inbound_connect(c);
}

/* The client gave up before its CONNECT was answered. */
static void
on_exchange(struct ap_stream *s, unsigned events, void *arg)
{
	struct zt_conn *c = arg;

	(void)s;
	AP_IS(c, ZT_CONN_MAGIC);
	if ((events & AP_STREAM_FAILED) != 0)
		zt_conn_end(c, ZT_END_RESET, NULL);
}

void
zt_inbound_request(struct zt_peer *p, struct ap_exchange *x)
{
	struct zt_worker *zw = p->zw;
	struct ap_addr remote = zt_point_addr(&p->remote);
	struct ap_stream *s = &x->stream;
	struct zt_conn *c;

	if (zw->conn_count >= zw->zt->cfg.max_connections) {
		ap_hbone_refuse(x, 503);
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	c = zt_conn_new(zw, ZT_INBOUND, &remote);
	c->protocol = ZT_HBONE;
	c->mutual_tls = true;
	c->peer = p;
	p->refs++;
	c->source_identity = p->spiffe;
	c->dst = p->local;
	c->x = x;
	ap_stream_set_callback(&x->stream, on_exchange, c);
	begin(c, x);
}

/* Did a workload of this host change (its list of policies, say)? Remembers what it saw. */
static bool
own_workloads_changed(struct zt_worker *zw)
{
	struct ap_mesh_workload *now;
	bool changed = false;
	uint32_t i, j;

	if (zw->own_count != zw->hosted->count) {
		zt_inbound_forget(zw);
		zw->own_count = zw->hosted->count;
		zw->own = ap_alloc_array(zw->own_count, sizeof(*zw->own));
		changed = true;
	}
	for (i = 0; i < zw->own_count; i++) {
		now = NULL;
		for (j = 0; now == NULL && j < zw->zt->cfg.ip_count; j++)
			now = zt_inbound_workload(zw, &zw->zt->cfg.ips[j], ap_slice_of(zw->hosted->items[i].spiffe));
		if (now == zw->own[i])
			continue;
		ap_mesh_workload_unref(&zw->own[i]);
		zw->own[i] = ap_mesh_workload_ref(now);
		changed = true;
	}
	return changed;
}

void
zt_inbound_forget(struct zt_worker *zw)
{
	uint32_t i;

	for (i = 0; i < zw->own_count; i++)
		ap_mesh_workload_unref(&zw->own[i]);
	ap_free(&zw->own);
	zw->own_count = 0;
}

void
zt_inbound_recheck(struct zt_worker *zw, unsigned what)
{
	struct ap_mesh_workload *now;
	struct ap_authz_result r;
	bool own_changed = (what & AP_MESH_CHANGED_WORKLOADS) != 0 && own_workloads_changed(zw);

	/* Somebody else's workloads come and go all the time: that is no reason to look at every connection. */
	if ((what & AP_MESH_CHANGED_POLICIES) == 0 && !own_changed)
		return;
	AP_LIST_FOR_SAFE(link, &zw->conns) {
		struct zt_conn *c = AP_LIST_ITEM(link, struct zt_conn, link);

		if (c->direction != ZT_INBOUND || c->destination == NULL || c->relay == NULL)
			continue;
		/* The workload's list of policies may be what changed. */
		now = ap_mesh_find_workload(zw->table, c->destination->uid);
		if (now != NULL && now != c->destination) {
			ap_mesh_workload_unref(&c->destination);
			c->destination = ap_mesh_workload_ref(now);
		}
		r = zt_inbound_judge(c);
		if (r.verdict != AP_AUTHZ_ALLOW)
			zt_inbound_deny(c, &r, ZT_END_POLICY_CHANGE);
	}
}
