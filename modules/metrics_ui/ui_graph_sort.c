/*
 * ui_graph_sort.c -- first half of the resolver: each flow is put where it belongs (direct, client leg, server leg, the
 * waypoint's own report), with its ends turned into nodes.  Reporters of the same thing meet in one report, and are not
 * added to each other.
 */
#include <stdio.h>

#include "metrics_ui/ui_graph_priv.h"

/* A node by id; made when it is not there. NULL only when the arena is full. */
static struct ui_node *
node(struct ui_build *b, struct ap_slice id, enum ui_node_kind kind)
{
	struct ui_node *n = ap_map_find(&b->nodes, id);

	if (n != NULL)
		return n;
	n = ap_arena_new_object(b->arena, struct ui_node);
	if (n == NULL) {
		b->full = true;
		return NULL;
	}
	n->id = ap_arena_copy(b->arena, id);
	n->kind = kind;
	ap_map_put(&b->nodes, id, n);
	return n;
}

struct ui_node *
ui_graph_waypoint_node(struct ui_build *b, struct ap_slice id)
{
	struct ap_slice rest = id, ns = ap_slice_cut(&rest, '/');
	struct ui_node *n = node(b, ap_arena_printf(b->arena, "wp:%.*s", AP_FMT(id)), UI_NODE_WAYPOINT);

	if (n != NULL && n->name.len == 0) {
		n->namespace_ = ap_arena_copy(b->arena, ns);
		n->name = n->app = ap_arena_copy(b->arena, rest);
	}
	return n;
}

struct ui_node *
ui_graph_service_node(struct ui_build *b, const struct ui_flow *f)
{
	struct ui_node *n = node(b, ap_arena_printf(b->arena, "svc:%.*s", AP_FMT(f->service)), UI_NODE_SERVICE);

	if (n != NULL) {
		n->namespace_ = f->service_namespace;
		n->name = n->app = f->service_name.len > 0 ? f->service_name : f->service;
	}
	return n;
}

/* Labels are not filled by every reporter: what the control plane knows of the identity fills the gaps. */
static struct ui_end
complete(const struct ui_build *b, const struct ui_end *end)
{
	struct ui_end e = *end;
	const struct ui_workload *w = NULL;
	struct ap_slice ns, sa;

	if (e.workload.len == 0 && e.principal.len > 0)
		w = ap_map_find(&b->in->names->principals, e.principal);
	if (w != NULL) {
		e.namespace_ = w->namespace_;
		e.workload = w->name;
		e.app = w->app;
		e.version = w->version;
	} else if (e.workload.len == 0 && ui_principal_parts(e.principal, &ns, &sa)) {
		e.namespace_ = ns;
		e.workload = e.app = sa;
	}
	return e;
}

/* NULL: nothing is known of this end. */
static struct ui_node *
end_node(struct ui_build *b, const struct ui_end *end)
{
	const struct ui_waypoint *wp =
	    ui_names_is_waypoint(b->in->names, end->principal, end->namespace_, end->workload);
	struct ui_end e;
	struct ap_slice ns, sa;
	struct ui_node *n;

	if (wp != NULL)
		return ui_graph_waypoint_node(b, wp->id);
	e = complete(b, end);
	if (e.workload.len == 0)
		return NULL;
	if (b->in->by_service && ui_principal_parts(e.principal, &ns, &sa))
		n = node(b, ap_arena_printf(b->arena, "id:%.*s/%.*s", AP_FMT(ns), AP_FMT(sa)), UI_NODE_WORKLOAD);
	else if (b->in->by_service)
		n = node(b,
		    ap_arena_printf(b->arena, "app:%.*s/%.*s", AP_FMT(e.namespace_),
			AP_FMT(e.app.len > 0 ? e.app : e.workload)),
		    UI_NODE_WORKLOAD);
	else
		n = node(b, ap_arena_printf(b->arena, "w:%.*s/%.*s", AP_FMT(e.namespace_), AP_FMT(e.workload)),
		    UI_NODE_WORKLOAD);
	if (n == NULL)
		return NULL;
	n->namespace_ = e.namespace_;
	if (e.app.len > 0)
		n->app = e.app;
	if (b->in->by_service) {
		n->name = n->app.len > 0 ? n->app : e.workload;
	} else {
		n->name = e.workload;
		if (e.version.len > 0)
			n->version = e.version;
	}
	if (e.principal.len > 0)
		n->principal = e.principal;
	return n;
}

static struct ui_node *
outside(struct ui_build *b)
{
	struct ui_node *n = node(b, AP_S("outside"), UI_NODE_OUTSIDE);

	if (n != NULL)
		n->name = n->app = AP_S("outside");
	return n;
}

static struct ui_report *
report(struct ui_build *b, struct ui_reports *list, struct ui_node *src, struct ui_node *dst, const struct ui_flow *f,
    struct ap_slice via)
{
	struct ap_slice key = ap_arena_printf(
	    b->arena, "%.*s\n%.*s\n%.*s\n%.*s", AP_FMT(src->id), AP_FMT(dst->id), AP_FMT(f->service), AP_FMT(via));
	struct ui_report *r = ap_map_find(&list->by_key, key);

	if (r != NULL)
		return r;
	r = ap_arena_new_object(b->arena, struct ui_report);
	if (r == NULL) {
		b->full = true;
		return NULL;
	}
	r->src = src;
	r->dst = dst;
	r->flow = f;
	r->via = via;
	*list->tail = r;
	list->tail = &r->next;
	ap_map_put(&list->by_key, key, r);
	return r;
}

static void
count(struct ui_report *r, const struct ui_graph_flow *gf)
{
	const struct ui_flow *f = gf->flow;
	const struct ui_measure *m = &gf->m;
	uint64_t weight = AP_MAX(AP_MAX(m->requests, m->opened), 1U);

	ui_measure_add(&r->m[f->reporter], m);
	r->m[f->reporter].open += m->open;
	r->seen[f->reporter] = true;
	/* Requests that are recognised in passing come beside the figures of their connections, and say more. */
	if (ap_slice_eq_text(r->flow->protocol, "tcp") && !ap_slice_eq_text(f->protocol, "tcp"))
		r->flow = f;
	/* A connection that never came to be says nothing about its security. */
	if (m->failed > 0 && m->failed >= m->opened && m->requests == 0 && !f->mutual_tls)
		return;
	r->known += weight;
	r->secure += f->mutual_tls ? weight : 0;
}

/* Which workload serves which service, as far as flows tell. */
static void
learn_server(struct ui_build *b, const struct ui_flow *f)
{
	struct ui_node *n = f->service.len > 0 ? end_node(b, &f->dst) : NULL;

	if (n == NULL || n->kind == UI_NODE_WAYPOINT)
		return;
	if (!ap_map_has(&b->servers, f->service))
		ap_map_put(&b->servers, f->service, n);
	else if (ap_map_find(&b->servers, f->service) != n)
		ap_map_put(&b->servers, f->service, NULL);
}

/*
 * What a flow says of its destination.  A request that policy or a fault ended before an endpoint was chosen has none: it was
 * meant for the one workload that serves the service, or stays at the service itself.
 */
static struct ui_node *
destination_node(struct ui_build *b, const struct ui_flow *f)
{
	struct ui_node *n = end_node(b, &f->dst);

	if (n == NULL && f->service.len > 0)
		n = ap_map_find(&b->servers, f->service);
	if (n == NULL)
		n = f->service.len > 0 ? ui_graph_service_node(b, f) : outside(b);
	return n;
}

static void
sort_flow(struct ui_build *b, const struct ui_graph_flow *gf)
{
	const struct ui_flow *f = gf->flow;
	struct ui_node *src = end_node(b, &f->src);
	struct ui_node *dst = destination_node(b, f);
	struct ui_report *r;

	/* Neither end is of the mesh: nothing that a picture of it could tell. */
	if (src == NULL && dst != NULL && dst->kind == UI_NODE_OUTSIDE)
		return;
	if (src == NULL)
		src = outside(b);
	if (src == NULL || dst == NULL)
		return;
	if (f->reporter == UI_WAYPOINT)
		r = report(b, &b->l7, src, dst, f, f->via);
	else if (dst->kind == UI_NODE_WAYPOINT)
		r = report(b, &b->client, src, dst, f, AP_SLICE_NONE);
	else if (src->kind == UI_NODE_WAYPOINT)
		r = report(b, &b->server, src, dst, f, AP_SLICE_NONE);
	else
		r = report(b, &b->direct, src, dst, f, AP_SLICE_NONE);
	if (r != NULL)
		count(r, gf);
}

/*
 * A client that dials an address without a name reports no service; the server's side guesses it by the port.  Both mean the
 * same connections: let the source's report join the destination's.
 */
static void
join_nameless(struct ui_build *b)
{
	for (struct ui_report *r = b->direct.first; r != NULL; r = r->next) {
		if (r->flow->service.len > 0 || r->seen[UI_DESTINATION] || !r->seen[UI_SOURCE])
			continue;
		for (struct ui_report *o = b->direct.first; o != NULL; o = o->next) {
			if (o == r || o->src != r->src || o->dst != r->dst || !o->seen[UI_DESTINATION] || o->seen[UI_SOURCE])
				continue;
			o->m[UI_SOURCE] = r->m[UI_SOURCE];
			o->seen[UI_SOURCE] = true;
			r->seen[UI_SOURCE] = false;
			break;
		}
	}
}

void
ui_graph_sort(struct ui_build *b)
{
	struct ui_reports *lists[] = { &b->direct, &b->l7, &b->client, &b->server };

	for (size_t i = 0; i < AP_COUNTOF(lists); i++)
		lists[i]->tail = &lists[i]->first;
	for (size_t i = 0; i < b->in->count && !b->full; i++)
		if (!ui_measure_is_zero(&b->in->flows[i].m))
			learn_server(b, b->in->flows[i].flow);
	for (size_t i = 0; i < b->in->count && !b->full; i++)
		if (!ui_measure_is_zero(&b->in->flows[i].m))
			sort_flow(b, &b->in->flows[i]);
	join_nameless(b);
}
