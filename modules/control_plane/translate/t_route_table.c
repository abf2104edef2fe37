/*
 * t_route_table.c -- RouteTable as Gloo Mesh writes it: direct forwarding, weights, matchers, rewrites, redirects.
 *
 * What a table asks for and is not done here (delegation, functions, destinations of other kinds) answers 500 for that route alone, as
 * failureMode ROUTE_REPLACEMENT says, and is named in its status.
 */
#include <string.h>

#include "control_plane/translate/t_route.h"

/* --- Which one ---------------------------------------------------------------------------------------------------------------- */

static void
compete(struct tr *t, const struct ap_resource *rt, const struct ap_reg_service *s, void *arg)
{
	(void)arg;
	tr_compete(&t->route_tables, rt, s);
}

void
tr_index_route_tables(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "networking.gloo.solo.io", "RouteTable");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;)
		if (ap_route_table_in_mesh(e->value))
			tr_each_named(t, e->value, true, compete, NULL);
}

/* --- Matchers ------------------------------------------------------------------------------------------------------------------ */

static Ambit__Waypoint__StringMatch *
value_match(struct tr *t, const struct ap_doc *d)
{
	const struct ap_doc *v = ap_doc_get(d, "value");
	if (!ap_doc_is(v, AP_DOC_STRING))
		return tr_present(t);
	return ap_doc_bool(d, "regex", false) ? tr_regex(t, v->string) : tr_exact(t, v->string);
}

static void
uri_match(struct tr *t, const struct ap_doc *uri, Ambit__Waypoint__Match *m)
{
	if (uri == NULL)
		return;
	struct ap_slice suffix = ap_doc_string(uri, "suffix", "");
	if (suffix.len > 0) {
		m->path = tr_exact(t, suffix);
		m->path->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_SUFFIX;
	} else {
		m->path = tr_istio_match(t, uri);
	}
	m->ignore_case_path = ap_doc_bool(uri, "ignoreCase", false);
}

/* selector: of the clients that it is for, or NULL. */
static void
match_of(struct tr *t, const struct ap_doc *d, const struct ap_doc *selector, Ambit__Waypoint__Match *m)
{
	uri_match(t, ap_doc_get(d, "uri"), m);
	struct ap_slice method = ap_doc_string(d, "method", "");
	if (method.len > 0)
		m->method = tr_exact(t, method);
	AP_DOC_FOR(h, ap_doc_get(d, "headers")) {
		Ambit__Waypoint__NamedMatch *n = tr_named(t, ap_doc_string(h, "name", ""), true, value_match(t, h));
		n->invert = ap_doc_bool(h, "invertMatch", false);
		tr_push(t, &m->headers, &m->n_headers, n);
	}
	AP_DOC_FOR(q, ap_doc_get(d, "queryParameters"))
		tr_push(t, &m->query, &m->n_query, tr_named(t, ap_doc_string(q, "name", ""), false, value_match(t, q)));
	AP_DOC_FOR(l, ap_doc_get(selector, "labels")) {
		if (l->type != AP_DOC_STRING)
			continue;
		Ambit__Waypoint__Match__SourceLabelsEntry *e = TR_NEW(
		    t, Ambit__Waypoint__Match__SourceLabelsEntry, ambit__waypoint__match__source_labels_entry__init);
		e->key = tr_text(t, l->key);
		e->value = tr_text(t, l->string);
		tr_push(t, &m->source_labels, &m->n_source_labels, e);
	}
	struct ap_slice ns = ap_doc_string(selector, "namespace", "");
	if (ns.len > 0 && ap_slice_find(ns, '*') == SIZE_MAX)
		m->source_namespace = tr_text(t, ns);
}

static bool
matcher_applies(const struct ap_doc *d, uint16_t port)
{
	int64_t p = ap_doc_int(d, "port", 0);
	return p == 0 || p == port;
}

static void
matches_for(struct tr *t, const struct ap_doc *matchers, const struct ap_doc *selector, Ambit__Waypoint__Route *r, uint16_t port)
{
	if ((matchers == NULL || matchers->count == 0) && selector != NULL)
		match_of(t, NULL, selector, tr_match_new(t, r));
	AP_DOC_FOR(d, matchers)
		if (matcher_applies(d, port))
			match_of(t, d, selector, tr_match_new(t, r));
}

/* --- Destinations ---------------------------------------------------------------------------------------------------------------- */

static const struct ap_reg_service *
resolve(struct tr *t, const struct ap_resource *rt, const struct ap_doc *d)
{
	const struct ap_doc *ref = ap_doc_get(d, "ref");
	struct ap_slice ns = ap_doc_string(ref, "namespace", "");
	if (ref == NULL || !ap_slice_eq_text(ap_doc_string(d, "kind", "SERVICE"), "SERVICE"))
		return NULL;
	return ap_registry_service(t->r, ns.len > 0 ? ns : rt->namespace_, ap_doc_string(ref, "name", ""));
}

static uint32_t
port_number(const struct ap_doc *port, const struct ap_reg_service *s)
{
	int64_t number = ap_doc_int(port, "number", 0);
	struct ap_slice name = ap_doc_string(port, "name", "");
	for (size_t i = 0; name.len > 0 && i < s->port_count; i++)
		if (ap_slice_eq(s->ports[i].name, name))
			return s->ports[i].number;
	return (uint32_t)number;
}

static Ambit__Waypoint__Destination *
destination_of(struct tr *t, const struct ap_resource *rt, const struct ap_doc *d, const struct tr_target *to)
{
	Ambit__Waypoint__Destination *m = tr_destination_new(t);
	const struct ap_reg_service *s = resolve(t, rt, d);
	if (s == NULL) {
		m->invalid_status = 500;
		return m;
	}
	tr_destination_to(t, m, s, port_number(ap_doc_get(d, "port"), s), to);
	AP_DOC_FOR(l, ap_doc_get(d, "subset")) {
		if (l->type != AP_DOC_STRING)
			continue;
		Ambit__Waypoint__Destination__LabelsEntry *e = TR_NEW(
		    t, Ambit__Waypoint__Destination__LabelsEntry, ambit__waypoint__destination__labels_entry__init);
		e->key = tr_text(t, l->key);
		e->value = tr_text(t, l->string);
		tr_push(t, &m->labels, &m->n_labels, e);
	}
	return m;
}

/* Weights are percent; destinations without one share what the others leave. Counted in hundredths, for shares like 33 1/3. */
static void
destinations(struct tr *t, const struct ap_resource *rt, const struct ap_doc *list, Ambit__Waypoint__Route *r,
    const struct tr_target *to)
{
	int64_t given = 0;
	uint32_t without = 0;
	AP_DOC_FOR(d, list) {
		const struct ap_doc *w = ap_doc_get(d, "weight");
		if (ap_doc_is(w, AP_DOC_INT))
			given += w->integer;
		else
			without++;
	}
	uint32_t share = without == 0 || given >= 100 ? 0 : (uint32_t)((100 - given) * 100 / without);
	AP_DOC_FOR(d, list) {
		const struct ap_doc *w = ap_doc_get(d, "weight");
		Ambit__Waypoint__Destination *m = destination_of(t, rt, d, to);
		m->weight = ap_doc_is(w, AP_DOC_INT) ? (uint32_t)AP_MAX(w->integer, (int64_t)0) * 100 : share;
		if (list->count > 1 && m->weight == 0)
			continue;
		if (list->count == 1)
			m->weight = 0;
		tr_push(t, &r->destinations, &r->n_destinations, m);
	}
}

static void
forward(struct tr *t, const struct ap_resource *rt, const struct ap_doc *d, Ambit__Waypoint__Route *r, const struct tr_target *to)
{
	const struct ap_doc *list = ap_doc_get(d, "destinations"), *preset = ap_doc_get(rt->spec, "defaultDestination");
	if (list != NULL && list->count > 0) {
		destinations(t, rt, list, r, to);
	} else if (preset != NULL) {
		tr_push(t, &r->destinations, &r->n_destinations, destination_of(t, rt, preset, to));
	} else {
		Ambit__Waypoint__Destination *self = tr_destination_new(t);
		tr_destination_to(t, self, to->service, 0, to);
		tr_push(t, &r->destinations, &r->n_destinations, self);
	}
	struct ap_slice path = ap_doc_string(d, "pathRewrite", ""), host = ap_doc_string(d, "hostRewrite", "");
	const struct ap_doc *regex = ap_doc_get(d, "regexRewrite");
	bool own = ap_doc_bool(d, "autoHostRewrite", false) && r->n_destinations > 0;
	if (path.len == 0 && host.len == 0 && regex == NULL && !own)
		return;
	Ambit__Waypoint__Rewrite *m = TR_NEW(t, Ambit__Waypoint__Rewrite, ambit__waypoint__rewrite__init);
	if (regex != NULL) {
		m->path_change_case = AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_REGEX;
		m->regex = TR_NEW(t, Ambit__Waypoint__RegexRewrite, ambit__waypoint__regex_rewrite__init);
		m->regex->match = tr_text(t, ap_doc_string(ap_doc_get(regex, "pattern"), "regex", ""));
		m->regex->substitution = tr_text(t, ap_doc_string(regex, "substitution", ""));
	} else if (path.len > 0) {
		m->path_change_case = AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_PREFIX;
		m->prefix = tr_text(t, path);
	}
	m->authority = own ? r->destinations[0]->hostname : tr_text(t, host);
	r->rewrite = m;
}

/* --- Routes ------------------------------------------------------------------------------------------------------------------------ */

static void
redirect(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	Ambit__Waypoint__Redirect *m = TR_NEW(t, Ambit__Waypoint__Redirect, ambit__waypoint__redirect__init);
	struct ap_slice path = ap_doc_string(d, "pathRedirect", "");
	m->authority = tr_text(t, ap_doc_string(d, "hostRedirect", ""));
	m->status = (uint32_t)ap_doc_int(d, "responseCode", 301);
	if (path.len > 0) {
		m->path_change_case = AMBIT__WAYPOINT__REDIRECT__PATH_CHANGE_PATH;
		m->path = tr_text(t, path);
	}
	r->redirect = m;
}

static void
http_route(struct tr *t, const struct ap_resource *rt, const struct ap_doc *d, unsigned index, const struct tr_target *to)
{
	const struct ap_doc *matchers = ap_doc_get(d, "matchers"), *selectors = ap_doc_get(rt->spec, "workloadSelectors");
	bool any = matchers == NULL || matchers->count == 0;
	AP_DOC_FOR(m, matchers)
		any = any || matcher_applies(m, to->port->number);
	if (!any)
		return;
	Ambit__Waypoint__Route *r = tr_route_new(t, to->out);
	struct ap_slice name = ap_doc_string(d, "name", "");
	r->name = name.len > 0 ? tr_printf(t, "RouteTable/%.*s[%.*s]", AP_FMT(rt->path), AP_FMT(name))
	                       : tr_printf(t, "RouteTable/%.*s[%u]", AP_FMT(rt->path), index);
	if (selectors == NULL || selectors->count == 0)
		matches_for(t, matchers, NULL, r, to->port->number);
	AP_DOC_FOR(s, selectors)
		matches_for(t, matchers, ap_doc_get(s, "selector"), r, to->port->number);
	const struct ap_doc *direct = ap_doc_get(d, "directResponse"), *away = ap_doc_get(d, "redirect");
	if (ap_doc_get(d, "forwardTo") != NULL)
		forward(t, rt, ap_doc_get(d, "forwardTo"), r, to);
	else if (away != NULL)
		redirect(t, away, r);
	else if (direct != NULL)
		tr_direct(t, r, (uint32_t)ap_doc_int(direct, "status", 200), ap_doc_string(direct, "body", ""));
	else
		tr_direct(t, r, 500, AP_SLICE_NONE);
	tr_default_retry(t, r);
}

static void
tcp_route(struct tr *t, const struct ap_resource *rt, const struct ap_doc *d, unsigned index, const struct tr_target *to)
{
	const struct ap_doc *matchers = ap_doc_get(d, "matchers");
	bool any = matchers == NULL || matchers->count == 0;
	AP_DOC_FOR(m, matchers)
		any = any || matcher_applies(m, to->port->number);
	if (!any)
		return;
	Ambit__Waypoint__Route *r = tr_route_new(t, to->out);
	r->name = tr_printf(t, "RouteTable/%.*s[tcp %u]", AP_FMT(rt->path), index);
	destinations(t, rt, ap_doc_path(d, "forwardTo.destinations"), r, to);
}

bool
tr_route_tables(struct tr *t, const struct tr_target *to)
{
	const struct ap_resource *rt = ap_map_find(&t->route_tables, to->service->key);
	bool http = ap_reg_is_http(to->port->protocol);
	const struct ap_doc *list = rt == NULL ? NULL : ap_doc_get(rt->spec, http ? "http" : "tcp");
	if (list == NULL || list->count == 0)
		return false;
	unsigned i = 0;
	AP_DOC_FOR(d, list) {
		if (http)
			http_route(t, rt, d, i++, to);
		else
			tcp_route(t, rt, d, i++, to);
	}
	return true;
}

/* --- What authors are told ------------------------------------------------------------------------------------------------------------ */

static struct ap_slice
first_bad(struct tr *t, const struct ap_resource *rt)
{
	unsigned i = 0;
	AP_DOC_FOR(route, ap_doc_get(rt->spec, "http")) {
		unsigned k = 0;
		if (ap_doc_get(route, "delegate") != NULL)
			return ap_slice_of(tr_printf(t, "spec.http[%u].delegate is not supported: the route answers 500", i));
		AP_DOC_FOR(d, ap_doc_path(route, "forwardTo.destinations")) {
			const struct ap_doc *ref = ap_doc_get(d, "ref");
			struct ap_slice ns = ap_doc_string(ref, "namespace", "");
			if (!ap_slice_eq_text(ap_doc_string(d, "kind", "SERVICE"), "SERVICE"))
				return ap_slice_of(
				    tr_printf(t, "spec.http[%u].forwardTo.destinations[%u]: kind %.*s is not supported", i, k,
				        AP_FMT(ap_doc_string(d, "kind", ""))));
			if (resolve(t, rt, d) == NULL)
				return ap_slice_of(
				    tr_printf(t, "spec.http[%u].forwardTo.destinations[%u]: there is no Service %.*s/%.*s", i, k,
				        AP_FMT(ns.len > 0 ? ns : rt->namespace_), AP_FMT(ap_doc_string(ref, "name", ""))));
			k++;
		}
		i++;
	}
	return AP_SLICE_NONE;
}

struct heard {
	bool named, used;
};

static void
hear(struct tr *t, const struct ap_resource *rt, const struct ap_reg_service *s, void *arg)
{
	struct heard *h = arg;
	h->named = true;
	h->used = h->used || ap_map_find(&t->route_tables, s->key) == rt;
}

void
tr_note_route_tables(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "networking.gloo.solo.io", "RouteTable");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *rt = e->value;
		struct ap_slice bad = first_bad(t, rt);
		tr_note(t, rt, "ResolvedRefs", bad.len == 0, bad.len == 0 ? "ResolvedRefs" : "DestinationNotFound",
		    bad.len == 0 ? AP_S("every destination exists") : bad);
		if (!ap_route_table_in_mesh(rt)) {
			tr_note(t, rt, "Accepted", false, "NotInMesh", AP_S("it is bound to virtual gateways alone"));
			continue;
		}
		struct heard h = { 0 };
		tr_each_named(t, rt, true, hear, &h);
		if (h.used)
			tr_note(t, rt, "Accepted", true, "Accepted", AP_S("routes are applied by the waypoints of its hosts"));
		else if (h.named)
			tr_note(t, rt, "Accepted", false, "Conflicted", AP_S("another RouteTable for the same host comes first"));
		else
			tr_note(t, rt, "Accepted", false, "HostNotFound", AP_S("no host of spec.hosts is a service of the mesh"));
	}
}
