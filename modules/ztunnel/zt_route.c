/*
 * zt_route.c -- the decision tree of istio-ambient.md 5.2.  A waypoint that is wanted and cannot be resolved refuses the
 * connection: there is no falling back to the direct way.  Pure: a table and a question in, a route out.
 */
#include "ztunnel/zt_route.h"

static void
refuse(struct zt_route *r, enum zt_end why)
{
	r->kind = ZT_ROUTE_REFUSE;
	r->why = why;
}

/* The peer is on another network: through its gateway, by the service's name. */
static void
cross_networks(const struct ap_mesh_table *t, const struct zt_question *q, const struct ap_mesh_workload *far,
    const struct ap_mesh_origin *from, struct zt_route *r)
{
	struct ap_mesh_pick gateway;

	if (r->service == NULL || far->network_gateway.kind == AP_MESH_GATEWAY_NONE ||
	    !ap_mesh_resolve_gateway(t, &far->network_gateway, from, -1, &gateway, &r->next_service) ||
	    gateway.ip.len == 0) {
		refuse(r, ZT_END_NO_GATEWAY);
		return;
	}
	r->kind = ZT_ROUTE_DOUBLE;
	r->next = gateway.workload;
	r->hop = (struct zt_point){ .ip = gateway.ip, .port = gateway.port };
	r->service_port = q->to->port;
}

static void
through_waypoint(const struct ap_mesh_table *t, const struct zt_question *q, const struct ap_mesh_gateway *ref,
    const struct ap_mesh_origin *from, struct zt_route *r)
{
	struct ap_mesh_pick w;

	if (!ap_mesh_resolve_gateway(t, ref, from, q->to->ip.len == 16, &w, &r->next_service)) {
		refuse(r, ZT_END_NO_WAYPOINT);
		return;
	}
	r->via_waypoint = true;
	r->destination = w.workload;
	r->next = w.workload;
	if (!ap_slice_eq(w.workload->network, q->source->network)) {
		cross_networks(t, q, w.workload, from, r);
		return;
	}
	if (w.ip.len == 0) {
		refuse(r, ZT_END_NO_WAYPOINT);
		return;
	}
	r->kind = ZT_ROUTE_HBONE;
	r->hop = (struct zt_point){ .ip = w.ip, .port = w.port };
	r->authority = *q->to;
}

static bool
was_not_tried(const struct ap_mesh_workload *w, void *arg)
{
	const struct zt_question *q = arg;
	uint32_t i;

	for (i = 0; i < q->tried_count; i++) {
		if (q->tried[i] == w)
			return false;
	}
	return true;
}

/* The caller is the waypoint that the destination wants: it goes direct. */
static bool
is_own_waypoint(const struct ap_mesh_table *t, const struct ap_mesh_gateway *ref, const struct ap_mesh_workload *source)
{
	return ref->kind != AP_MESH_GATEWAY_NONE && ap_mesh_gateway_is(t, ref, source);
}

static void
to_endpoint(const struct ap_mesh_table *t, const struct zt_question *q, const struct ap_mesh_pick *u,
    const struct ap_mesh_origin *from, struct zt_route *r)
{
	struct ap_mesh_workload *w = u->workload;

	r->destination = w;
	r->next = w;
	if (!ap_slice_eq(w->network, q->source->network)) {
		cross_networks(t, q, w, from, r);
		return;
	}
	if (!r->by_service && w->waypoint.kind != AP_MESH_GATEWAY_NONE && !is_own_waypoint(t, &w->waypoint, q->source)) {
		through_waypoint(t, q, &w->waypoint, from, r);
		return;
	}
	if (u->ip.len == 0) {
		refuse(r, ZT_END_NO_UPSTREAM);
		return;
	}
	r->next_service = r->service;
	if (w->is_hbone) {
		r->kind = ZT_ROUTE_HBONE;
		r->hop = (struct zt_point){ .ip = u->ip, .port = q->hbone_port };
		r->authority = (struct zt_point){ .ip = u->ip, .port = u->port };
	} else {
		r->kind = ZT_ROUTE_PLAIN;
		r->hop = (struct zt_point){ .ip = u->ip, .port = u->port };
	}
}

static void
to_service(const struct ap_mesh_table *t, const struct zt_question *q, struct ap_mesh_service *s,
    const struct ap_mesh_origin *from, struct zt_route *r)
{
	const struct ap_mesh_gateway *waypoint = ap_mesh_sample_waypoint(t, s);
	struct zt_question copy = *q;
	struct ap_mesh_pick u;

	r->service = s;
	if (r->by_service && waypoint != NULL && !is_own_waypoint(t, waypoint, q->source)) {
		through_waypoint(t, q, waypoint, from, r);
		return;
	}
	if (s->mode == AP_MESH_LB_PASSTHROUGH) {
		r->kind = ZT_ROUTE_PLAIN;
		r->hop = *q->to;
		return;
	}
	switch (ap_mesh_pick(t, s, q->to->port, from, q->to->ip.len == 16, was_not_tried, &copy, &u)) {
	case AP_MESH_PICKED:
		to_endpoint(t, q, &u, from, r);
		break;
	case AP_MESH_NO_PORT:
		refuse(r, ZT_END_NO_PORT);
		break;
	case AP_MESH_NO_ENDPOINT:
		refuse(r, ZT_END_NO_UPSTREAM);
		break;
	}
}

void
zt_route(const struct ap_mesh_table *t, const struct zt_question *q, struct zt_route *out)
{
	struct ap_mesh_origin from = { .namespace_ = q->source->namespace_,
		.network = q->source->network,
		.cluster = q->source->cluster,
		.node = q->source->node,
		.region = q->source->region,
		.zone = q->source->zone,
		.subzone = q->source->subzone };
	struct ap_mesh_service *s = ap_mesh_find_vip(t, &from, from.network, &q->to->ip);
	struct ap_mesh_workload *w;
	struct ap_mesh_pick u;

	*out = (struct zt_route){ .kind = ZT_ROUTE_PASSTHROUGH, .hop = *q->to };
	/* An address that is both a workload's and a VIP: Istio takes the workload for the waypoint question and the
	 * service for the endpoint; the service's waypoint then does not apply. */
	if (s != NULL) {
		out->by_service = ap_mesh_at(t, from.network, &q->to->ip).count == 0;
		to_service(t, q, s, &from, out);
		return;
	}
	w = ap_mesh_find_destination(t, from.network, &q->to->ip, q->to->port);
	if (w == NULL) {
		/* A host of the mesh, but none of its workloads has this port: not ours to carry. */
		out->kind = ZT_ROUTE_PASSTHROUGH;
		return;
	}
	if (!w->is_healthy && q->tried_count > 0) {
		refuse(out, ZT_END_NO_UPSTREAM);
		return;
	}
	u = (struct ap_mesh_pick){ .workload = w, .ip = q->to->ip, .port = q->to->port };
	to_endpoint(t, q, &u, &from, out);
}
