/* wp_route.c -- which route a request takes: first match wins, by the index when there are many.  Pure. */
#include "waypoint/wp_route.h"

#include "base/compiler.h"
#include "mesh/object.h"

static bool
named_holds(const struct wp_named *n, const struct wp_view *v, struct ap_slice value)
{
	bool r = wp_text_matches(&n->value, v->undecided, value);

	return n->invert ? !r : r;
}

bool
wp_match_holds(const struct wp_match *m, const struct wp_view *v)
{
	if (m->has_path && !wp_text_matches(&m->path, v->undecided, v->path))
		return false;
	if (m->has_method && !wp_text_matches(&m->method, v->undecided, v->method))
		return false;
	if (m->has_authority && !wp_text_matches(&m->authority, v->undecided, v->authority))
		return false;
	if (m->has_scheme && !wp_text_matches(&m->scheme, v->undecided, v->scheme))
		return false;
	for (uint32_t i = 0; i < m->header_count; i++)
		if (!named_holds(&m->headers[i], v, wp_view_header(v, m->headers[i].name)))
			return false;
	for (uint32_t i = 0; i < m->query_count; i++)
		if (!named_holds(&m->query[i], v, wp_view_query(v, m->query[i].name)))
			return false;
	if (m->source_namespace.len > 0 && !ap_slice_eq(m->source_namespace, v->source_namespace))
		return false;
	for (uint32_t i = 0; i < m->source_labels.count; i++) {
		const struct wp_label *l = &m->source_labels.items[i];

		if (v->source == NULL || !ap_slice_eq(ap_mesh_workload_label(v->source, l->key), l->value))
			return false;
	}
	return true;
}

const struct wp_route *
wp_route_find(const struct wp_port *port, const struct wp_view *v, const struct wp_match **out_match)
{
	if (port->index != NULL)
		return wp_index_find(port->index, port, v, out_match);
	*out_match = NULL;
	if (port->route_count == 0)
		return port->fallback;
	for (uint32_t i = 0; i < port->route_count; i++) {
		const struct wp_route *r = &port->routes[i];

		if (r->match_count == 0)
			return r;
		for (uint32_t k = 0; k < r->match_count; k++) {
			if (wp_match_holds(&r->matches[k], v)) {
				*out_match = &r->matches[k];
				return r;
			}
		}
	}
	return NULL;
}

const struct wp_destination *
wp_route_pick(const struct wp_route *r, uint64_t dice)
{
	uint64_t at;

	if (r->destination_count == 0)
		return NULL;
	if (r->destination_count == 1)
		return &r->destinations[0];
	if (r->weight_total == 0)
		return &r->destinations[dice % r->destination_count];
	at = dice % r->weight_total;
	for (uint32_t i = 0; i < r->destination_count; i++) {
		if (at < r->destinations[i].weight)
			return &r->destinations[i];
		at -= r->destinations[i].weight;
	}
	return &r->destinations[r->destination_count - 1];
}

const struct wp_port *
wp_host_port(const struct wp_host *h, uint16_t number)
{
	for (uint32_t i = 0; i < h->port_count; i++)
		if (h->ports[i].number == number)
			return &h->ports[i];
	return NULL;
}
