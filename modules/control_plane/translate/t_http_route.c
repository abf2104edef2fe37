/*
 * t_http_route.c -- HTTPRoute bound to a Service or ServiceEntry (the Gateway API's mesh profile).
 *
 * Each match of each rule becomes one route, because precedence is a matter of matches: exact path, longest prefix, method, most
 * headers, most query parameters, then the older route, its name, and the order written.  A route in another namespace than
 * its parent applies to clients of its own namespace.
 */
#include <stdlib.h>
#include <string.h>

#include "control_plane/translate/t_route.h"

#define GROUP "gateway.networking.k8s.io"

/* One rule and one of its matches (NULL: matches everything). */
struct item {
	const struct ap_resource *route;
	const struct ap_doc *rule, *match;
	unsigned rule_index, match_index;
	bool consumer; /* another namespace than the service's */
};

/* --- Precedence ------------------------------------------------------------------------------------------------------------- */

static int
path_rank(const struct ap_doc *match)
{
	const struct ap_doc *path = ap_doc_get(match, "path");
	struct ap_slice type = ap_doc_string(path, "type", "PathPrefix");
	if (ap_slice_eq_text(type, "Exact"))
		return 3;
	return ap_slice_eq_text(type, "PathPrefix") ? 2 : 1;
}

static size_t
path_length(const struct ap_doc *match)
{
	return ap_doc_string(ap_doc_get(match, "path"), "value", "/").len;
}

static uint32_t
count_of(const struct ap_doc *match, const char *key)
{
	const struct ap_doc *d = ap_doc_get(match, key);
	return ap_doc_is(d, AP_DOC_LIST) ? d->count : 0;
}

static int
more_first(size_t a, size_t b)
{
	return a == b ? 0 : a > b ? -1 : 1;
}

static int
compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = more_first(x->consumer, y->consumer);
	if (c == 0)
		c = more_first((size_t)path_rank(x->match), (size_t)path_rank(y->match));
	if (c == 0)
		c = more_first(path_length(x->match), path_length(y->match));
	if (c == 0)
		c = more_first(ap_doc_get(x->match, "method") != NULL, ap_doc_get(y->match, "method") != NULL);
	if (c == 0)
		c = more_first(count_of(x->match, "headers"), count_of(y->match, "headers"));
	if (c == 0)
		c = more_first(count_of(x->match, "queryParams"), count_of(y->match, "queryParams"));
	if (c != 0)
		return c;
	if (x->route != y->route)
		return tr_is_older(x->route, y->route) ? -1 : 1;
	if (x->rule_index != y->rule_index)
		return x->rule_index < y->rule_index ? -1 : 1;
	return x->match_index < y->match_index ? -1 : 1;
}

/* --- Matches ------------------------------------------------------------------------------------------------------------------ */

static Ambit__Waypoint__StringMatch *
value_match(struct tr *t, const struct ap_doc *d)
{
	struct ap_slice value = ap_doc_string(d, "value", "");
	return ap_slice_eq_text(ap_doc_string(d, "type", "Exact"), "RegularExpression") ? tr_regex(t, value)
	                                                                                : tr_exact(t, value);
}

static void
match_of(struct tr *t, const struct item *it, Ambit__Waypoint__Match *m)
{
	const struct ap_doc *path = ap_doc_get(it->match, "path");
	struct ap_slice type = ap_doc_string(path, "type", "PathPrefix"), value = ap_doc_string(path, "value", "/");
	if (ap_slice_eq_text(type, "Exact")) {
		m->path = tr_exact(t, value);
	} else if (ap_slice_eq_text(type, "RegularExpression")) {
		m->path = tr_regex(t, value);
	} else if (value.len > 1) {
		m->path = tr_exact(t, value);
		m->path->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_PATH_PREFIX;
	}
	struct ap_slice method = ap_doc_string(it->match, "method", "");
	if (method.len > 0)
		m->method = tr_exact(t, method);
	AP_DOC_FOR(d, ap_doc_get(it->match, "headers"))
		tr_push(t, &m->headers, &m->n_headers,
		    tr_named(t, ap_doc_string(d, "name", ""), true, value_match(t, d)));
	AP_DOC_FOR(d, ap_doc_get(it->match, "queryParams"))
		tr_push(t, &m->query, &m->n_query,
		    tr_named(t, ap_doc_string(d, "name", ""), false, value_match(t, d)));
	if (it->consumer)
		m->source_namespace = tr_text(t, it->route->namespace_);
}

/* --- Backends ------------------------------------------------------------------------------------------------------------------- */

struct backend {
	const struct ap_reg_service *service;
	const char *reason; /* NULL: fine */
	char *why;
};

static struct backend
resolve(struct tr *t, const struct ap_resource *route, const struct ap_doc *ref)
{
	struct backend b = { 0 };
	struct ap_slice group = ap_doc_string(ref, "group", ""), kind = ap_doc_string(ref, "kind", "Service");
	struct ap_slice ns = ap_doc_string(ref, "namespace", ""), name = ap_doc_string(ref, "name", "");
	if (ns.len == 0)
		ns = route->namespace_;
	bool is_service = (group.len == 0 || ap_slice_eq_text(group, "core")) && ap_slice_eq_text(kind, "Service");
	bool is_host = ap_slice_eq_text(group, "networking.istio.io") && ap_slice_eq_text(kind, "Hostname");
	if (!is_service && !is_host) {
		b.reason = "InvalidKind";
		b.why = tr_printf(t, "a backend of kind %.*s is not supported", AP_FMT(kind));
		return b;
	}
	b.service = is_host ? ap_registry_find(t->r, name, ns) : ap_registry_service(t->r, ns, name);
	if (b.service == NULL) {
		b.reason = "BackendNotFound";
		b.why = tr_printf(t, "there is no %s %.*s/%.*s", is_host ? "host" : "Service", AP_FMT(ns), AP_FMT(name));
	} else if (is_service && !ap_slice_eq(ns, route->namespace_) &&
	           !tr_is_granted(t, GROUP, route->kind->kind, route->namespace_, ns, name)) {
		b.reason = "RefNotPermitted";
		b.why = tr_printf(t, "no ReferenceGrant in %.*s lets routes of %.*s use Service %.*s", AP_FMT(ns),
		    AP_FMT(route->namespace_), AP_FMT(name));
	}
	return b;
}

/* --- Filters --------------------------------------------------------------------------------------------------------------------- */

static void
redirect(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	Ambit__Waypoint__Redirect *m = TR_NEW(t, Ambit__Waypoint__Redirect, ambit__waypoint__redirect__init);
	m->scheme = tr_text(t, ap_doc_string(d, "scheme", ""));
	m->authority = tr_text(t, ap_doc_string(d, "hostname", ""));
	m->port = (uint32_t)ap_doc_int(d, "port", 0);
	m->status = (uint32_t)ap_doc_int(d, "statusCode", 302);
	m->port_from_request = m->port == 0 && m->scheme[0] == '\0';
	const struct ap_doc *path = ap_doc_get(d, "path");
	if (ap_slice_eq_text(ap_doc_string(path, "type", ""), "ReplaceFullPath")) {
		m->path_change_case = AMBIT__WAYPOINT__REDIRECT__PATH_CHANGE_PATH;
		m->path = tr_text(t, ap_doc_string(path, "replaceFullPath", "/"));
	} else if (path != NULL) {
		m->path_change_case = AMBIT__WAYPOINT__REDIRECT__PATH_CHANGE_PREFIX;
		m->prefix = tr_text(t, ap_doc_string(path, "replacePrefixMatch", ""));
	}
	r->redirect = m;
}

static void
rewrite(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	Ambit__Waypoint__Rewrite *m = TR_NEW(t, Ambit__Waypoint__Rewrite, ambit__waypoint__rewrite__init);
	m->authority = tr_text(t, ap_doc_string(d, "hostname", ""));
	const struct ap_doc *path = ap_doc_get(d, "path");
	if (ap_slice_eq_text(ap_doc_string(path, "type", ""), "ReplaceFullPath")) {
		m->path_change_case = AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_PATH;
		m->path = tr_text(t, ap_doc_string(path, "replaceFullPath", "/"));
	} else if (path != NULL) {
		m->path_change_case = AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_PREFIX;
		m->prefix = tr_text(t, ap_doc_string(path, "replacePrefixMatch", ""));
	}
	r->rewrite = m;
}

static uint32_t
mirror_share(const struct ap_doc *d)
{
	const struct ap_doc *fraction = ap_doc_get(d, "fraction");
	if (fraction != NULL) {
		int64_t of = ap_doc_int(fraction, "denominator", 100), n = ap_doc_int(fraction, "numerator", 0);
		return of <= 0 || n <= 0 ? 0 : (uint32_t)AP_MIN(n * 1000000 / of, (int64_t)1000000);
	}
	int64_t percent = ap_doc_int(d, "percent", 100);
	return percent <= 0 ? 0 : (uint32_t)AP_MIN(percent * 10000, (int64_t)1000000);
}

static void
mirror(struct tr *t, const struct ap_resource *route, const struct ap_doc *d, Ambit__Waypoint__Route *r,
    const struct tr_target *to)
{
	const struct ap_doc *ref = ap_doc_get(d, "backendRef");
	struct backend b = resolve(t, route, ref);
	if (b.reason != NULL)
		return; /* its status says so; the request itself goes on */
	Ambit__Waypoint__Mirror *m = TR_NEW(t, Ambit__Waypoint__Mirror, ambit__waypoint__mirror__init);
	m->destination = tr_destination_new(t);
	tr_destination_to(t, m->destination, b.service, (uint32_t)ap_doc_int(ref, "port", 0), to);
	m->per_million = mirror_share(d);
	tr_push(t, &r->mirrors, &r->n_mirrors, m);
}

static void
cors(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	Ambit__Waypoint__Cors *m = TR_NEW(t, Ambit__Waypoint__Cors, ambit__waypoint__cors__init);
	AP_DOC_FOR(o, ap_doc_get(d, "allowOrigins"))
		if (o->type == AP_DOC_STRING)
			tr_push(t, &m->allow_origins, &m->n_allow_origins,
			    ap_slice_eq_text(o->string, "*") ? tr_present(t) : tr_exact(t, o->string));
	tr_push_strings(t, &m->allow_methods, &m->n_allow_methods, ap_doc_get(d, "allowMethods"));
	tr_push_strings(t, &m->allow_headers, &m->n_allow_headers, ap_doc_get(d, "allowHeaders"));
	tr_push_strings(t, &m->expose_headers, &m->n_expose_headers, ap_doc_get(d, "exposeHeaders"));
	m->max_age_s = (uint32_t)AP_MAX(ap_doc_int(d, "maxAge", 5), (int64_t)0);
	m->allow_credentials = ap_doc_bool(d, "allowCredentials", false);
	r->cors = m;
}

/* False: a filter that is not known here, so that requests must not get through as if it were not there. */
static bool
filter(struct tr *t, const struct ap_resource *route, const struct ap_doc *d, Ambit__Waypoint__Route *r,
    const struct tr_target *to)
{
	struct ap_slice type = ap_doc_string(d, "type", "");
	if (ap_slice_eq_text(type, "RequestHeaderModifier"))
		r->request_headers = tr_header_changes(t, ap_doc_get(d, "requestHeaderModifier"));
	else if (ap_slice_eq_text(type, "ResponseHeaderModifier"))
		r->response_headers = tr_header_changes(t, ap_doc_get(d, "responseHeaderModifier"));
	else if (ap_slice_eq_text(type, "RequestRedirect"))
		redirect(t, ap_doc_get(d, "requestRedirect"), r);
	else if (ap_slice_eq_text(type, "URLRewrite"))
		rewrite(t, ap_doc_get(d, "urlRewrite"), r);
	else if (ap_slice_eq_text(type, "RequestMirror"))
		mirror(t, route, ap_doc_get(d, "requestMirror"), r, to);
	else if (ap_slice_eq_text(type, "CORS"))
		cors(t, ap_doc_get(d, "cors"), r);
	else
		return false;
	return true;
}

/* --- Routes ------------------------------------------------------------------------------------------------------------------------ */

static void
backends(struct tr *t, const struct item *it, Ambit__Waypoint__Route *r, const struct tr_target *to)
{
	uint64_t total = 0;
	AP_DOC_FOR(ref, ap_doc_get(it->rule, "backendRefs")) {
		struct backend b = resolve(t, it->route, ref);
		int64_t weight = ap_doc_int(ref, "weight", 1);
		if (weight <= 0)
			continue;
		Ambit__Waypoint__Destination *d = tr_destination_new(t);
		d->weight = (uint32_t)AP_MIN(weight, (int64_t)1000000);
		total += d->weight;
		if (b.reason != NULL)
			d->invalid_status = 500;
		else
			tr_destination_to(t, d, b.service, (uint32_t)ap_doc_int(ref, "port", 0), to);
		AP_DOC_FOR(f, ap_doc_get(ref, "filters")) {
			if (ap_slice_eq_text(ap_doc_string(f, "type", ""), "RequestHeaderModifier"))
				d->request_headers = tr_header_changes(t, ap_doc_get(f, "requestHeaderModifier"));
			else if (ap_slice_eq_text(ap_doc_string(f, "type", ""), "ResponseHeaderModifier"))
				d->response_headers = tr_header_changes(t, ap_doc_get(f, "responseHeaderModifier"));
			else
				d->invalid_status = 500;
		}
		tr_push(t, &r->destinations, &r->n_destinations, d);
	}
	if (total == 0 && r->redirect == NULL)
		tr_direct(t, r, 500, AP_SLICE_NONE);
}

static void
retry(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	if (d == NULL)
		return;
	Ambit__Waypoint__Retry *m = TR_NEW(t, Ambit__Waypoint__Retry, ambit__waypoint__retry__init);
	m->attempts = (uint32_t)AP_MAX(AP_MIN(ap_doc_int(d, "attempts", 1), (int64_t)1000), (int64_t)0);
	m->backoff_ms = tr_ms(d, "backoff");
	tr_retry_words(t, m, AP_S("connect-failure,refused-stream"));
	AP_DOC_FOR(c, ap_doc_get(d, "codes"))
		if (c->type == AP_DOC_INT)
			tr_retry_words(t, m, ap_slice_of(tr_printf(t, "%lld", (long long)c->integer)));
	r->retry = m;
}

static void
route_of(struct tr *t, const struct item *it, const struct tr_target *to)
{
	Ambit__Waypoint__Route *r = tr_route_new(t, to->out);
	r->name = tr_printf(t, "%s/%.*s[%u]", it->route->kind->kind, AP_FMT(it->route->path), it->rule_index);
	if (it->match != NULL || it->consumer)
		match_of(t, it, tr_match_new(t, r));
	bool known = true;
	AP_DOC_FOR(f, ap_doc_get(it->rule, "filters"))
		known = filter(t, it->route, f, r, to) && known;
	if (known)
		backends(t, it, r, to);
	else
		tr_direct(t, r, 500, AP_SLICE_NONE);
	const struct ap_doc *timeouts = ap_doc_get(it->rule, "timeouts");
	r->timeout_ms = tr_ms(timeouts, "request");
	retry(t, ap_doc_get(it->rule, "retry"), r);
	tr_default_retry(t, r);
	if (r->retry != NULL)
		r->retry->per_try_timeout_ms = tr_ms(timeouts, "backendRequest");
}

static bool
parent_names_port(const struct ap_doc *parent, const struct ap_reg_port *port)
{
	int64_t number = ap_doc_int(parent, "port", 0);
	struct ap_slice section = ap_doc_string(parent, "sectionName", "");
	return (number == 0 || number == port->number) && (section.len == 0 || ap_slice_eq(section, port->name));
}

bool
tr_http_routes(struct tr *t, const struct tr_target *to)
{
	if (!ap_reg_is_http(to->port->protocol))
		return false;
	AP_VEC(struct item) items = { 0 };
	const struct ap_map *all = ap_resources_of(t->in->resources, GROUP, "HTTPRoute");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *route = e->value;
		bool applies = false;
		AP_DOC_FOR(p, ap_doc_get(route->spec, "parentRefs"))
			applies = applies ||
			          (ap_parent_service(t->r, route, p) == to->service && parent_names_port(p, to->port));
		if (!applies)
			continue;
		struct item it = { .route = route, .consumer = !ap_slice_eq(route->namespace_, to->service->namespace_) };
		AP_DOC_FOR(rule, ap_doc_get(route->spec, "rules")) {
			it.rule = rule;
			it.match_index = 0;
			const struct ap_doc *matches = ap_doc_get(rule, "matches");
			it.match = NULL;
			if (matches == NULL || matches->count == 0)
				ap_vec_push(&items, it);
			AP_DOC_FOR(m, matches) {
				it.match = m;
				ap_vec_push(&items, it);
				it.match_index++;
			}
			it.rule_index++;
		}
	}
	if (items.count > 1)
		qsort(items.items, items.count, sizeof(struct item), compare_items);
	for (size_t i = 0; i < items.count; i++)
		route_of(t, &items.items[i], to);
	bool any = items.count > 0;
	ap_vec_done(&items);
	return any;
}

/* --- What authors are told ------------------------------------------------------------------------------------------------------------ */

static struct backend
first_bad(struct tr *t, const struct ap_resource *route)
{
	AP_DOC_FOR(rule, ap_doc_get(route->spec, "rules")) {
		AP_DOC_FOR(ref, ap_doc_get(rule, "backendRefs")) {
			struct backend b = resolve(t, route, ref);
			if (b.reason != NULL)
				return b;
		}
		AP_DOC_FOR(f, ap_doc_get(rule, "filters")) {
			const struct ap_doc *ref = ap_doc_path(f, "requestMirror.backendRef");
			struct backend b = ref == NULL ? (struct backend){ 0 } : resolve(t, route, ref);
			if (b.reason != NULL)
				return b;
		}
	}
	return (struct backend){ 0 };
}

static bool
is_mesh_parent(const struct ap_doc *p)
{
	struct ap_slice kind = ap_doc_string(p, "kind", "Gateway");
	return ap_slice_eq_text(kind, "Service") || ap_slice_eq_text(kind, "ServiceEntry");
}

void
tr_note_http_routes(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, GROUP, "HTTPRoute");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *route = e->value;
		struct backend bad = first_bad(t, route);
		AP_DOC_FOR(p, ap_doc_get(route->spec, "parentRefs")) {
			if (!is_mesh_parent(p))
				continue;
			const struct ap_reg_service *s = ap_parent_service(t->r, route, p);
			bool port = s == NULL;
			for (size_t k = 0; s != NULL && k < s->port_count; k++)
				port = port || parent_names_port(p, &s->ports[k]);
			if (s == NULL)
				tr_note_parent(t, route, p, "Accepted", false, "NoMatchingParent",
				    ap_slice_of(tr_printf(t, "there is no %.*s %.*s", AP_FMT(ap_doc_string(p, "kind", "")),
				        AP_FMT(ap_doc_string(p, "name", "")))));
			else if (!port)
				tr_note_parent(t, route, p, "Accepted", false, "NoMatchingParent",
				    AP_S("the parent has no such port"));
			else
				tr_note_parent(t, route, p, "Accepted", true, "Accepted", AP_S("Route was valid"));
			tr_note_parent(t, route, p, "ResolvedRefs", bad.reason == NULL,
			    bad.reason == NULL ? "ResolvedRefs" : bad.reason,
			    bad.reason == NULL ? AP_S("All references resolved") : ap_slice_of(bad.why));
		}
	}
}
