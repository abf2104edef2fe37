/*
 * zt_dial.c -- opens the next hop.  Before a byte was taken from the client a failed connect to one endpoint of a service is
 * repeated on another one, at most ZT_TRIED_MAX times in all.  Worker thread.
 */
#include "ztunnel/zt_dial.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "http/fields.h"
#include "net/tcp.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_conn.h"
#include "ztunnel/zt_route.h"
#include "ztunnel/zt_scripts.h"

#define IDENTITIES_MAX 64

/* What one attempt keeps beside the record, until it is decided. */
struct attempt {
	struct zt_conn *c;
	struct ap_mesh_service *next_service;
	struct ap_mesh_workload *tried[ZT_TRIED_MAX];
	uint32_t tried_count;
	uint16_t service_port;
	bool is_outer; /* of a double tunnel */
};

static void attempt_again(struct attempt *a, enum ap_stream_error e, const char *text);

static void
free_attempt(struct attempt *a)
{
	uint32_t i;

	for (i = 0; i < a->tried_count; i++)
		ap_mesh_workload_unref(&a->tried[i]);
	ap_mesh_service_unref(&a->next_service);
	a->c->attempt = NULL;
	ap_free(&a);
}

void
zt_attempt_drop(struct zt_conn *c)
{
	if (c->attempt != NULL)
		free_attempt(c->attempt);
}

static void
fail(struct zt_conn *c, enum zt_end why, const char *text)
{
	/* Known ends make a failed connection a counted one. */
	if (!c->is_open)
		zt_conn_open(c);
	zt_conn_end(c, why, text);
}

/* Plain TCP. */

static void
on_plain(struct ap_stream *s, unsigned events, void *arg)
{
	struct zt_conn *c = arg;

	AP_IS(c, ZT_CONN_MAGIC);
	if ((events & AP_STREAM_FAILED) != 0) {
		if (c->attempt != NULL)
			attempt_again(c->attempt, (enum ap_stream_error)s->error, strerror(s->detail));
		else
			fail(c, zt_end_of_connect((enum ap_stream_error)s->error, false), strerror(s->detail));
		return;
	}
	if ((events & AP_STREAM_OPEN) == 0)
		return;
	zt_attempt_drop(c);
	if (!c->is_open)
		zt_conn_open(c);
	zt_conn_join(c);
}

static void
dial_plain(struct zt_conn *c, const struct zt_point *to)
{
	struct ap_tcp_options options = { .mark = c->zw->zt->cfg.mark, .keepalive = true };
	struct ap_addr addr = zt_point_addr(to);

	c->protocol = ZT_TCP;
	c->mutual_tls = false;
	c->actual = *to;
	c->up = ap_tcp_connect(c->zw->w->loop, &addr, &options);
	ap_stream_set_callback(c->up, on_plain, c);
}

void
zt_dial_passthrough(struct zt_conn *c)
{
	dial_plain(c, &c->actual);
}

/* HBONE. */

/* Everybody whose certificate is accepted at the next hop. */
static size_t
expected(const struct ap_mesh_workload *next, const struct ap_mesh_service *s, struct ap_slice out[IDENTITIES_MAX])
{
	size_t n = 0;
	uint32_t i;

	out[n++] = next->identity;
	for (i = 0; s != NULL && i < s->san_count && n < IDENTITIES_MAX; i++)
		out[n++] = s->sans[i];
	return n;
}

struct heads {
	struct ap_field fields[4];
	size_t count;
	char baggage[AP_MESH_BAGGAGE_MAX], forwarded[512], traceparent[64], authority[300];
};

static void
add(struct heads *h, struct ap_slice name, const char *value, size_t len)
{
	h->fields[h->count++] = (struct ap_field){ .name = name, .value = ap_slice(value, len) };
}

/* istio-ambient.md 1.3: who we are, for whom, and a name for the journey. */
static void
make_heads(struct zt_conn *c, struct heads *h)
{
	struct ap_addr src = zt_point_addr(&c->src);
	char text[AP_ADDR_TEXT];
	int n;

	h->count = 0;
	add(h, AP_S("baggage"), h->baggage, ap_mesh_baggage_format(c->source, h->baggage));
	(void)ap_addr_format(&src, text, sizeof(text));
	if (c->service != NULL)
		n = snprintf(h->forwarded, sizeof(h->forwarded), "for=\"%s\";host=%.*s", text, AP_FMT(c->service->hostname));
	else
		n = snprintf(h->forwarded, sizeof(h->forwarded), "for=\"%s\"", text);
	if (n > 0 && (size_t)n < sizeof(h->forwarded))
		add(h, AP_S("forwarded"), h->forwarded, (size_t)n);
	n = snprintf(h->traceparent, sizeof(h->traceparent), "00-%016llx%016llx-%016llx-00",
	    (unsigned long long)ap_rand_fast(), (unsigned long long)ap_rand_fast(), (unsigned long long)ap_rand_fast());
	add(h, AP_S("traceparent"), h->traceparent, (size_t)n);
}

static void on_tunnel(const struct ap_hbone_result *r, void *arg);

static void
open_tunnel(struct attempt *a, const struct ap_slice *identities, size_t identity_count, bool sni, struct ap_slice authority,
    struct heads *h, struct ap_stream *over)
{
	struct zt_conn *c = a->c;
	struct ap_identity *id = ap_identity_view_find(c->zw->identities, c->source->identity);
	struct ap_hbone_target target = { .hop = zt_point_addr(&c->actual),
		.source_identity = c->source->identity,
		.server_identities = identities,
		.server_identity_count = identity_count,
		.source_ip = c->src.ip,
		.mark = c->zw->zt->cfg.mark,
		.authority = authority,
		.fields = h->fields,
		.field_count = h->count,
		.over = over };
	char name[AP_MESH_SNI_MAX];

	if (id == NULL) {
		if (over != NULL)
			ap_stream_close(&over, AP_STREAM_CLOSE_ABORT);
		fail(c, ZT_END_NO_IDENTITY, c->source_identity);
		return;
	}
	target.tls = id->client;
	if (sni)
		target.sni = ap_slice_of(ap_mesh_sni(identities[0], name));
	c->mutual_tls = true;
	c->wait = ap_hbone_open(c->zw->pool, &target, on_tunnel, a);
}

/* The outer tunnel stands: the inner one, to whoever serves the name, by the service's own list of identities. */
static void
open_inner(struct attempt *a, struct ap_exchange *outer)
{
	struct zt_conn *c = a->c;
	struct ap_slice network = c->source->network;
	struct heads h;
	int n;

	a->is_outer = false;
	make_heads(c, &h);
	h.fields[h.count++] = (struct ap_field){ .name = AP_S("x-forwarded-network"), .value = network };
	n = snprintf(h.authority, sizeof(h.authority), "%.*s:%u", AP_FMT(c->service->hostname), a->service_port);
	open_tunnel(a, c->service->sans, c->service->san_count, false, ap_slice(h.authority, (size_t)n), &h,
	    &outer->stream);
}

static void
on_tunnel(const struct ap_hbone_result *r, void *arg)
{
	struct attempt *a = arg;
	struct zt_conn *c = a->c;

	AP_IS(c, ZT_CONN_MAGIC);
	c->wait = NULL;
	if (r->tunnel == NULL) {
		if (r->status != 0) {
			c->status = (uint16_t)r->status;
			fail(c, ZT_END_HTTP_STATUS, r->text);
		} else {
			attempt_again(a, r->error, r->text);
		}
		return;
	}
	if (a->is_outer) {
		open_inner(a, r->tunnel);
		return;
	}
	free_attempt(a);
	c->up = &r->tunnel->stream;
	if (!c->is_open)
		zt_conn_open(c);
	zt_conn_join(c);
}

static void
dial_hbone(struct attempt *a, const struct zt_route *r)
{
	struct zt_conn *c = a->c;
	struct ap_slice identities[IDENTITIES_MAX];
	size_t count = expected(r->next, r->next_service, identities);
	struct ap_addr authority;
	struct heads h;
	int n;

	c->actual = r->hop;
	make_heads(c, &h);
	if (r->kind == ZT_ROUTE_DOUBLE) {
		c->protocol = ZT_DOUBLE_HBONE;
		a->is_outer = true;
		a->service_port = r->service_port;
		n = snprintf(h.authority, sizeof(h.authority), "%.*s:%u", AP_FMT(r->service->hostname), r->service_port);
		if (n < 0 || (size_t)n >= sizeof(h.authority)) {
			fail(c, ZT_END_NO_GATEWAY, "name too long");
			return;
		}
		ap_free(&c->host_authority);
		c->host_authority = ap_strdup(h.authority);
	} else {
		c->protocol = ZT_HBONE;
		c->authority = r->authority;
		authority = zt_point_addr(&r->authority);
		(void)ap_addr_format(&authority, h.authority, sizeof(h.authority));
	}
	/* Several identities may live behind one address of an Ambit node; a stock peer is not sent a name. */
	open_tunnel(a, identities, count, r->next->is_ambit, ap_slice_of(h.authority), &h, NULL);
}

static void
carry_out(struct attempt *a, const struct zt_route *r)
{
	struct zt_conn *c = a->c;

	ap_mesh_workload_unref(&c->destination);
	c->destination = ap_mesh_workload_ref(r->destination);
	ap_mesh_service_unref(&c->service);
	c->service = ap_mesh_service_ref(r->service);
	c->via_waypoint = r->via_waypoint;
	switch (r->kind) {
	case ZT_ROUTE_REFUSE:
		fail(c, r->why, c->service == NULL ? NULL : c->service->hostname.ptr);
		break;
	case ZT_ROUTE_PASSTHROUGH:
	case ZT_ROUTE_PLAIN:
		dial_plain(c, &r->hop);
		break;
	case ZT_ROUTE_HBONE:
	case ZT_ROUTE_DOUBLE:
		dial_hbone(a, r);
		break;
	}
}

/* Nothing was taken from the client: another endpoint may do better. */
static void
attempt_again(struct attempt *a, enum ap_stream_error e, const char *text)
{
	struct zt_conn *c = a->c;
	struct zt_question q = { .source = c->source, .to = &c->dst, .hbone_port = AP_HBONE_PORT };
	enum zt_end why = zt_end_of_connect(e, c->protocol != ZT_TCP);
	struct zt_route r;
	uint32_t i;

	ap_stream_close(&c->up, AP_STREAM_CLOSE_ABORT);
	if (c->service == NULL || c->destination == NULL || a->is_outer || a->tried_count + 1 >= ZT_TRIED_MAX ||
	    (e != AP_STREAM_REFUSED && e != AP_STREAM_UNREACHABLE && e != AP_STREAM_TIMEOUT && e != AP_STREAM_RESET)) {
		fail(c, why, text);
		return;
	}
	a->tried[a->tried_count++] = ap_mesh_workload_ref(c->destination);
	for (i = 0; i < a->tried_count; i++)
		q.tried[i] = a->tried[i];
	q.tried_count = a->tried_count;
	zt_route(c->zw->table, &q, &r);
	if (r.kind == ZT_ROUTE_REFUSE || r.via_waypoint || r.destination == c->destination) {
		fail(c, why, text);
		return;
	}
	carry_out(a, &r);
}

void
zt_dial(struct zt_conn *c, const struct zt_route *r)
{
	struct attempt *a = ap_new(struct attempt);
	const char *reason;

	a->c = c;
	c->attempt = a;
	c->destination = ap_mesh_workload_ref(r->destination);
	c->service = ap_mesh_service_ref(r->service);
	reason = zt_scripts_judge(c);
	if (reason != NULL) {
		fail(c, ZT_END_SCRIPT, reason);
		return;
	}
	carry_out(a, r);
}
