/*
 * ui_graph.c -- second half of the resolver: reports to edges.
 *
 * Direct traffic is reported twice; the destination's report counts, and what only the source saw (it could not connect)
 * is added.  Through a waypoint, the waypoint's report says who called whom and how it went; the client's leg carries the
 * connections and bytes, shared among the servers in proportion; the server's leg is already in both and is shown under
 * the edge only.  Sums are kept: every connection of a leg is on exactly one edge.
 */
#include "metrics_ui/ui_graph.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "metrics_ui/ui_graph_priv.h"

static struct ui_edge *
edge(struct ui_build *b, struct ui_node *src, struct ui_node *dst, const struct ui_flow *f)
{
	struct ap_slice key =
	    ap_arena_printf(b->arena, "%.*s\n%.*s\n%.*s", AP_FMT(src->id), AP_FMT(dst->id), AP_FMT(f->service));
	struct ui_edge *e = ap_map_find(&b->edges, key);

	if (e == NULL) {
		e = ap_arena_new_object(b->arena, struct ui_edge);
		if (e == NULL) {
			b->full = true;
			return NULL;
		}
		/* The same everywhere and always, so that a selected edge can be named in an address. */
		e->id = ap_arena_printf(b->arena, "e%016" PRIx64, ap_hash_fnv(key.ptr, key.len));
		e->src = src;
		e->dst = dst;
		e->service = f->service;
		e->service_name = f->service_name;
		e->service_namespace = f->service_namespace;
		e->reporter = UI_SOURCE;
		ap_map_put(&b->edges, key, e);
	}
	if (f->src.principal.len > 0 && src->kind != UI_NODE_WAYPOINT)
		e->src_principal = f->src.principal;
	if (f->dst.principal.len > 0)
		e->dst_principal = f->dst.principal;
	/* grpc or http says more than tcp. */
	if (e->protocol.len == 0 || ap_slice_eq_text(e->protocol, "tcp"))
		e->protocol = f->protocol.len > 0 ? f->protocol : AP_S("tcp");
	return e;
}

static void
add_via(struct ui_edge *e, struct ap_slice via)
{
	for (uint32_t i = 0; i < e->via_count; i++)
		if (ap_slice_eq(e->via[i], via))
			return;
	if (via.len > 0 && e->via_count < UI_VIA_MAX)
		e->via[e->via_count++] = via;
}

static void
add_measure(struct ui_edge *e, const struct ui_measure *m)
{
	ui_measure_add(&e->m, m);
	e->m.open += m->open;
}

/* In order of time: what the client saw, the waypoint, the server. */
static void
add_hop(struct ui_build *b, struct ui_edge *e, enum ui_hop_kind kind, enum ui_reporter reporter, const struct ui_report *r)
{
	struct ui_hop **at = &e->hops, *h;

	if (!r->seen[reporter] || (h = ap_arena_new_object(b->arena, struct ui_hop)) == NULL)
		return;
	while (*at != NULL && (*at)->kind <= kind)
		at = &(*at)->next;
	*h = (struct ui_hop){ .kind = kind, .reporter = reporter, .from = r->src, .to = r->dst, .m = r->m[reporter],
		.next = *at };
	*at = h;
}

/* The requests of one measure in place of the other's. */
static void
take_requests(struct ui_measure *to, const struct ui_measure *from)
{
	to->requests = from->requests;
	to->request_bytes = from->request_bytes;
	to->response_bytes = from->response_bytes;
	to->durations = from->durations;
	to->duration_sum = from->duration_sum;
	memcpy(to->at_most, from->at_most, sizeof(to->at_most));
	memcpy(to->codes, from->codes, sizeof(to->codes));
	to->code_count = from->code_count;
}

/* One measure of two reporters: the destination's, the failures that only the source can have seen, and its requests when the
 * destination recognises none (it may be another product's). */
static struct ui_measure
preferred(const struct ui_report *r, enum ui_reporter *who)
{
	struct ui_measure m;

	if (!r->seen[UI_DESTINATION]) {
		*who = UI_SOURCE;
		return r->m[UI_SOURCE];
	}
	*who = UI_DESTINATION;
	m = r->m[UI_DESTINATION];
	if (r->seen[UI_SOURCE] && r->m[UI_SOURCE].failed > m.failed) {
		uint64_t lost = r->m[UI_SOURCE].failed - m.failed;

		m.opened += lost;
		m.failed += lost;
	}
	if (r->seen[UI_SOURCE] && m.requests == 0)
		take_requests(&m, &r->m[UI_SOURCE]);
	return m;
}

static void
add_direct(struct ui_build *b, const struct ui_report *r)
{
	const struct ui_service *s;
	enum ui_reporter who;
	struct ui_measure m = preferred(r, &who);
	struct ui_edge *e;

	if (!r->seen[UI_SOURCE] && !r->seen[UI_DESTINATION])
		return;
	e = edge(b, r->src, r->dst, r->flow);
	if (e == NULL)
		return;
	add_measure(e, &m);
	e->secure += r->secure;
	e->known += r->known;
	if (e->reporter != UI_WAYPOINT)
		e->reporter = who;
	s = ap_map_find(&b->in->names->services, r->flow->service);
	if (s != NULL && s->waypoint.len > 0 && m.opened > m.failed)
		e->bypass = true;
	add_hop(b, e, UI_HOP_DIRECT, UI_SOURCE, r);
	add_hop(b, e, UI_HOP_DIRECT, UI_DESTINATION, r);
}

static bool
is_via(const struct ui_report *l7, const struct ui_report *leg)
{
	const struct ui_node *wp = leg->src->kind == UI_NODE_WAYPOINT ? leg->src : leg->dst;

	return ap_slice_eq(ap_slice_from(wp->id, 3), l7->via) && ap_slice_eq(l7->flow->service, leg->flow->service);
}

/* How the connections of a client's leg are shared among those it reached: by bytes where they are told, else by requests. */
static uint64_t
weight_of(const struct ui_measure *m)
{
	if (m->opened > 0)
		return m->opened;
	return m->requests > 0 ? m->requests : m->received + m->sent > 0 ? 1 : 0;
}

#define SHARES_MAX 256

struct shares {
	struct ui_edge *edges[SHARES_MAX];
	uint64_t weights[SHARES_MAX];
	bool counts_connections[SHARES_MAX];
	size_t count;
};

static void
add_share(struct shares *s, struct ui_edge *e, uint64_t weight, bool counts_connections)
{
	if (e == NULL || s->count == SHARES_MAX)
		return;
	s->edges[s->count] = e;
	s->weights[s->count] = weight;
	s->counts_connections[s->count++] = counts_connections;
}

/* Folded: where the client's leg led to. */
static void
find_shares(struct ui_build *b, const struct ui_report *leg, struct shares *s)
{
	struct ap_slice wp = ap_slice_from(leg->dst->id, 3);

	for (const struct ui_report *r = b->l7.first; r != NULL; r = r->next)
		if (r->src == leg->src && is_via(r, leg))
			add_share(s, edge(b, r->src, r->dst, r->flow), weight_of(&r->m[UI_WAYPOINT]),
			    r->m[UI_WAYPOINT].opened > 0);
	if (s->count > 0)
		return;
	/* The waypoint reports nothing (yet): its legs to servers tell where this went. */
	for (const struct ui_report *r = b->server.first; r != NULL; r = r->next) {
		enum ui_reporter who;

		if (r->src == leg->dst && ap_slice_eq(r->flow->service, leg->flow->service)) {
			struct ui_measure m = preferred(r, &who);
			struct ui_edge *e = edge(b, leg->src, r->dst, r->flow);

			if (e != NULL)
				e->src_principal = leg->flow->src.principal;
			add_share(s, e, weight_of(&m), false);
		}
	}
	if (s->count == 0 && leg->flow->service.len > 0) {
		/* It got no further than the waypoint. */
		struct ui_node *n = ui_graph_service_node(b, leg->flow);

		if (n != NULL)
			add_share(s, edge(b, leg->src, n, leg->flow), 1, false);
	}
	for (size_t i = 0; i < s->count; i++)
		add_via(s->edges[i], wp);
}

static void
fold_client_leg(struct ui_build *b, const struct ui_report *leg)
{
	struct shares *s = ap_arena_zalloc(b->arena, sizeof(*s));
	enum ui_reporter who = leg->seen[UI_SOURCE] ? UI_SOURCE : UI_DESTINATION; /* the source knows the service */
	const struct ui_measure *m = &leg->m[who];

	if (s == NULL)
		return;
	find_shares(b, leg, s);
	for (size_t i = 0; i < s->count; i++) {
		struct ui_edge *e = s->edges[i];
		struct ui_measure part = ui_measure_part(m, s->weights, s->count, i);

		if (s->counts_connections[i]) /* the waypoint counts them itself: TCP through a waypoint */
			part = (struct ui_measure){ .failed = 0 };
		add_measure(e, &part);
		if (e->reporter != UI_WAYPOINT) {
			e->secure += leg->secure;
			e->known += leg->known;
		}
		add_hop(b, e, UI_HOP_CLIENT, who, leg);
	}
}

static void
fold_l7(struct ui_build *b, const struct ui_report *r)
{
	struct ui_edge *e = edge(b, r->src, r->dst, r->flow);

	if (e == NULL)
		return;
	add_measure(e, &r->m[UI_WAYPOINT]);
	e->secure += r->secure;
	e->known += r->known;
	e->reporter = UI_WAYPOINT;
	add_via(e, r->via);
	add_hop(b, e, UI_HOP_WAYPOINT, UI_WAYPOINT, r);
	for (const struct ui_report *leg = b->server.first; leg != NULL; leg = leg->next)
		if (leg->dst == r->dst && is_via(r, leg))
			add_hop(b, e, UI_HOP_SERVER, leg->seen[UI_DESTINATION] ? UI_DESTINATION : UI_SOURCE, leg);
}

/* A server's leg that nothing explains: who stands before the waypoint is not known, so the waypoint itself is shown. */
static void
add_unexplained(struct ui_build *b, const struct ui_report *leg)
{
	for (const struct ui_report *r = b->l7.first; r != NULL; r = r->next)
		if (is_via(r, leg))
			return;
	for (const struct ui_report *r = b->client.first; r != NULL; r = r->next)
		if (r->dst == leg->src && ap_slice_eq(r->flow->service, leg->flow->service))
			return;
	add_direct(b, leg);
}

static void
fold(struct ui_build *b)
{
	for (const struct ui_report *r = b->l7.first; r != NULL; r = r->next)
		fold_l7(b, r);
	for (const struct ui_report *r = b->client.first; r != NULL; r = r->next)
		fold_client_leg(b, r);
	for (const struct ui_report *r = b->server.first; r != NULL; r = r->next)
		add_unexplained(b, r);
}

/* The waypoint's report on one side of it: requests of all that passed there; connections are the leg's. */
static void
show_side(struct ui_build *b, const struct ui_report *r, struct ui_node *src, struct ui_node *dst, bool client_side)
{
	struct ui_edge *e = edge(b, src, dst, r->flow);
	struct ui_measure m = r->m[UI_WAYPOINT];
	bool has_leg = false;

	if (e == NULL)
		return;
	for (const struct ui_report *leg = client_side ? b->client.first : b->server.first; leg != NULL; leg = leg->next)
		has_leg |= leg->src == src && leg->dst == dst && ap_slice_eq(leg->flow->service, r->flow->service);
	if (has_leg)
		m.opened = m.closed = m.failed = m.denied = m.received = m.sent = m.open = 0;
	add_measure(e, &m);
	e->reporter = UI_WAYPOINT;
	if (!has_leg) {
		e->secure += r->secure;
		e->known += r->known;
	}
	add_hop(b, e, UI_HOP_WAYPOINT, UI_WAYPOINT, r);
}

static void
show_leg(struct ui_build *b, const struct ui_report *leg, bool client_side)
{
	struct ui_edge *e = edge(b, leg->src, leg->dst, leg->flow);
	enum ui_reporter who = UI_SOURCE;
	struct ui_measure m;

	if (e == NULL)
		return;
	m = client_side && leg->seen[UI_SOURCE] ? leg->m[UI_SOURCE] : preferred(leg, &who);
	add_measure(e, &m);
	e->secure += leg->secure;
	e->known += leg->known;
	if (e->reporter != UI_WAYPOINT)
		e->reporter = who;
	add_hop(b, e, client_side ? UI_HOP_CLIENT : UI_HOP_SERVER, who, leg);
}

static void
show(struct ui_build *b)
{
	for (const struct ui_report *r = b->client.first; r != NULL; r = r->next)
		show_leg(b, r, true);
	for (const struct ui_report *r = b->server.first; r != NULL; r = r->next)
		show_leg(b, r, false);
	for (const struct ui_report *r = b->l7.first; r != NULL; r = r->next) {
		struct ui_node *wp;

		if (r->via.len == 0) { /* a waypoint that we cannot name has no node */
			fold_l7(b, r);
			continue;
		}
		wp = ui_graph_waypoint_node(b, r->via);
		if (wp == NULL)
			return;
		show_side(b, r, r->src, wp, true);
		show_side(b, r, wp, r->dst, false);
	}
}

static double
load(const struct ui_edge *e)
{
	return (double)(e->m.requests > 0 ? e->m.requests : e->m.opened);
}

static void
set_shares(struct ui_graph *g)
{
	for (struct ui_edge *e = g->edges; e != NULL; e = e->next) {
		double all = 0;

		for (const struct ui_edge *o = g->edges; o != NULL; o = o->next)
			if (o->src == e->src && ap_slice_eq(o->service, e->service) &&
			    (o->m.requests > 0) == (e->m.requests > 0))
				all += load(o);
		e->share = e->service.len == 0 ? 1 : all > 0 ? load(e) / all : 0;
	}
}

static void
count_at_nodes(struct ui_graph *g)
{
	for (struct ui_edge *e = g->edges; e != NULL; e = e->next) {
		ui_measure_add(&e->src->out, &e->m);
		e->src->out.open += e->m.open;
		e->src->out_secure += e->secure;
		e->src->out_known += e->known;
		ui_measure_add(&e->dst->in, &e->m);
		e->dst->in.open += e->m.open;
		e->dst->in_secure += e->secure;
		e->dst->in_known += e->known;
	}
}

/* Nothing but ends of connections that were opened before the window. */
static bool
is_silent(const struct ui_measure *m)
{
	struct ui_measure rest = *m;

	rest.closed = 0;
	return ui_measure_is_zero(&rest);
}

static bool
node_is_used(const struct ui_graph *g, const struct ui_node *n)
{
	for (const struct ui_edge *e = g->edges; e != NULL; e = e->next)
		if (e->src == n || e->dst == n)
			return true;
	return false;
}

/* Link what the maps hold in the order of their ids, so that two answers of the same state are equal byte for byte. */
static void
collect(struct ui_build *b, struct ui_graph *g)
{
	struct ap_map_entry *entry;

	for (size_t i = 0; (entry = ap_map_next(&b->edges, &i)) != NULL;) {
		struct ui_edge *e = entry->value, **at = &g->edges;

		if (is_silent(&e->m))
			continue;
		while (*at != NULL && ap_slice_cmp((*at)->id, e->id) < 0)
			at = &(*at)->next;
		e->next = *at;
		*at = e;
		g->edge_count++;
	}
	for (size_t i = 0; (entry = ap_map_next(&b->nodes, &i)) != NULL;) {
		struct ui_node *n = entry->value, **at = &g->nodes;

		if (!node_is_used(g, n))
			continue;
		while (*at != NULL && ap_slice_cmp((*at)->id, n->id) < 0)
			at = &(*at)->next;
		n->next = *at;
		*at = n;
		g->node_count++;
	}
}

struct ui_graph *
ui_graph_build(struct ap_arena *arena, const struct ui_graph_input *in)
{
	struct ui_graph *g = ap_arena_new_object(arena, struct ui_graph);
	struct ui_build b = { .arena = arena, .in = in };

	if (g == NULL)
		return NULL;
	ui_graph_sort(&b);
	for (const struct ui_report *r = b.direct.first; r != NULL; r = r->next)
		add_direct(&b, r);
	if (in->show_waypoints)
		show(&b);
	else
		fold(&b);
	collect(&b, g);
	set_shares(g);
	count_at_nodes(g);
	ap_map_done(&b.nodes, NULL);
	ap_map_done(&b.edges, NULL);
	ap_map_done(&b.servers, NULL);
	ap_map_done(&b.direct.by_key, NULL);
	ap_map_done(&b.l7.by_key, NULL);
	ap_map_done(&b.client.by_key, NULL);
	ap_map_done(&b.server.by_key, NULL);
	return b.full || ap_arena_is_full(arena) ? NULL : g;
}

struct ui_edge *
ui_graph_find_edge(const struct ui_graph *g, struct ap_slice id)
{
	for (struct ui_edge *e = g->edges; e != NULL; e = e->next)
		if (ap_slice_eq(e->id, id))
			return e;
	return NULL;
}

struct ui_node *
ui_graph_find_node(const struct ui_graph *g, struct ap_slice id)
{
	for (struct ui_node *n = g->nodes; n != NULL; n = n->next)
		if (ap_slice_eq(n->id, id))
			return n;
	return NULL;
}
