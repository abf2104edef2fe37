/*
 * t_virtual_service.c -- VirtualService http and tcp routes inside the mesh.
 *
 * Istio's rules: routes in the order written; a route whose matches all name other ports or only gateways does not apply; short
 * host names resolve in the object's namespace.  Of several objects for one host that of the service's own namespace
 * counts, then the oldest; the others are told so.
 */
#include <string.h>

#include "base/b64.h"
#include "base/text.h"
#include "control_plane/translate/t_route.h"

/* --- Which one ------------------------------------------------------------------------------------------------------------ */

/* May the service's namespace see it? exportTo names namespaces, "." its own, "*" all (the default). */
static bool
is_exported(const struct ap_resource *vs, struct ap_slice ns)
{
	const struct ap_doc *list = ap_doc_get(vs->spec, "exportTo");
	if (list == NULL || list->count == 0)
		return true;
	AP_DOC_FOR(d, list) {
		if (d->type != AP_DOC_STRING)
			continue;
		if (ap_slice_eq_text(d->string, "*") || ap_slice_eq(d->string, ns) ||
		    (ap_slice_eq_text(d->string, ".") && ap_slice_eq(vs->namespace_, ns)))
			return true;
	}
	return false;
}

static void
compete(struct tr *t, const struct ap_resource *vs, const struct ap_reg_service *s, void *arg)
{
	(void)arg;
	if (is_exported(vs, s->namespace_))
		tr_compete(&t->virtual_services, vs, s);
}

void
tr_index_virtual_services(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "networking.istio.io", "VirtualService");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;)
		if (ap_virtual_service_in_mesh(e->value))
			tr_each_named(t, e->value, false, compete, NULL);
}

/* --- Matches ---------------------------------------------------------------------------------------------------------------- */

static void
named_list(struct tr *t, const struct ap_doc *map, bool lower, bool invert, Ambit__Waypoint__NamedMatch ***items,
    size_t *count)
{
	AP_DOC_FOR(d, map) {
		Ambit__Waypoint__NamedMatch *m = tr_named(t, d->key, lower, tr_istio_match(t, d));
		m->invert = invert;
		tr_push(t, items, count, m);
	}
}

static void
labels(struct tr *t, const struct ap_doc *map, Ambit__Waypoint__Match *m)
{
	AP_DOC_FOR(d, map) {
		if (d->type != AP_DOC_STRING)
			continue;
		Ambit__Waypoint__Match__SourceLabelsEntry *e = TR_NEW(
		    t, Ambit__Waypoint__Match__SourceLabelsEntry, ambit__waypoint__match__source_labels_entry__init);
		e->key = tr_text(t, d->key);
		e->value = tr_text(t, d->string);
		tr_push(t, &m->source_labels, &m->n_source_labels, e);
	}
}

static void
match_of(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Match *m)
{
	const struct ap_doc *v;
	if ((v = ap_doc_get(d, "uri")) != NULL)
		m->path = tr_istio_match(t, v);
	if ((v = ap_doc_get(d, "scheme")) != NULL)
		m->scheme = tr_istio_match(t, v);
	if ((v = ap_doc_get(d, "method")) != NULL)
		m->method = tr_istio_match(t, v);
	if ((v = ap_doc_get(d, "authority")) != NULL)
		m->authority = tr_istio_match(t, v);
	m->ignore_case_path = ap_doc_bool(d, "ignoreUriCase", false);
	named_list(t, ap_doc_get(d, "headers"), true, false, &m->headers, &m->n_headers);
	named_list(t, ap_doc_get(d, "withoutHeaders"), true, true, &m->headers, &m->n_headers);
	named_list(t, ap_doc_get(d, "queryParams"), false, false, &m->query, &m->n_query);
	labels(t, ap_doc_get(d, "sourceLabels"), m);
	m->source_namespace = tr_text(t, ap_doc_string(d, "sourceNamespace", ""));
}

static bool
match_applies(const struct ap_doc *d, uint16_t port)
{
	int64_t p = ap_doc_int(d, "port", 0);
	if (p != 0 && p != port)
		return false;
	const struct ap_doc *gateways = ap_doc_get(d, "gateways");
	if (gateways == NULL || gateways->count == 0)
		return true;
	AP_DOC_FOR(g, gateways)
		if (g->type == AP_DOC_STRING && ap_slice_eq_text(g->string, "mesh"))
			return true;
	return false;
}

/* --- Destinations ------------------------------------------------------------------------------------------------------------ */

static void
fill_labels(struct tr *t, Ambit__Waypoint__Destination *d, const struct ap_doc *map)
{
	AP_DOC_FOR(l, map) {
		if (l->type != AP_DOC_STRING)
			continue;
		Ambit__Waypoint__Destination__LabelsEntry *e = TR_NEW(
		    t, Ambit__Waypoint__Destination__LabelsEntry, ambit__waypoint__destination__labels_entry__init);
		e->key = tr_text(t, l->key);
		e->value = tr_text(t, l->string);
		tr_push(t, &d->labels, &d->n_labels, e);
	}
}

static Ambit__Waypoint__Destination *
destination_of(struct tr *t, const struct ap_resource *vs, const struct ap_doc *to, const struct tr_target *target)
{
	Ambit__Waypoint__Destination *d = tr_destination_new(t);
	struct ap_slice host = ap_doc_string(to, "host", ""), subset = ap_doc_string(to, "subset", "");
	int64_t port = ap_doc_int(ap_doc_get(to, "port"), "number", 0);
	const struct ap_reg_service *s = ap_registry_find(t->r, host, vs->namespace_);
	if (s == NULL) {
		d->hostname = tr_text(t, ap_registry_fqdn(t->r, host, vs->namespace_));
		d->invalid_status = 503; /* as Envoy answers where a cluster is missing */
		return d;
	}
	tr_destination_to(t, d, s, (uint32_t)port, target);
	if (subset.len == 0)
		return d;
	const struct ap_doc *map = tr_subset(t, s, subset);
	if (map == NULL)
		d->invalid_status = 503;
	else if (s != target->service)
		fill_labels(t, d, map); /* the waypoint knows subsets of its own hosts only */
	d->subset = s == target->service ? tr_text(t, subset) : d->subset;
	return d;
}

static void
destinations(struct tr *t, const struct ap_resource *vs, const struct ap_doc *list, Ambit__Waypoint__Route *r,
    const struct tr_target *target)
{
	AP_DOC_FOR(d, list) {
		int64_t weight = ap_doc_int(d, "weight", 0);
		/* Where shares are given, a destination without one gets nothing. */
		Ambit__Waypoint__Destination *to = destination_of(t, vs, ap_doc_get(d, "destination"), target);
		to->weight = weight > 0 ? (uint32_t)AP_MIN(weight, (int64_t)1000000) : 0;
		const struct ap_doc *headers = ap_doc_get(d, "headers");
		to->request_headers = tr_header_changes(t, ap_doc_get(headers, "request"));
		to->response_headers = tr_header_changes(t, ap_doc_get(headers, "response"));
		tr_push(t, &r->destinations, &r->n_destinations, to);
	}
}

/* --- The other fields --------------------------------------------------------------------------------------------------------- */

static void
redirect(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	if (d == NULL)
		return;
	Ambit__Waypoint__Redirect *m = TR_NEW(t, Ambit__Waypoint__Redirect, ambit__waypoint__redirect__init);
	const struct ap_doc *uri = ap_doc_get(d, "uri");
	if (ap_doc_is(uri, AP_DOC_STRING) && uri->string.len > 0) {
		struct ap_slice path = uri->string;
		bool by_prefix = ap_slice_starts(path, AP_S("%PREFIX()%"));
		m->path_change_case = by_prefix ? AMBIT__WAYPOINT__REDIRECT__PATH_CHANGE_PREFIX
		                                : AMBIT__WAYPOINT__REDIRECT__PATH_CHANGE_PATH;
		if (by_prefix)
			m->prefix = tr_text(t, ap_slice_from(path, 10));
		else
			m->path = tr_text(t, path);
	}
	m->authority = tr_text(t, ap_doc_string(d, "authority", ""));
	m->scheme = tr_text(t, ap_doc_string(d, "scheme", ""));
	m->port = (uint32_t)ap_doc_int(d, "port", 0);
	m->port_from_request = ap_slice_eq_text(ap_doc_string(d, "derivePort", ""), "FROM_REQUEST_PORT");
	m->status = (uint32_t)ap_doc_int(d, "redirectCode", 301);
	r->redirect = m;
}

static void
direct_response(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	if (d == NULL)
		return;
	const struct ap_doc *body = ap_doc_get(d, "body");
	struct ap_slice text = ap_doc_string(body, "string", "");
	struct ap_buf bytes;
	ap_buf_init(&bytes, (size_t)2 * 1024 * 1024);
	if (text.len == 0 && ap_b64_decode(ap_doc_string(body, "bytes", ""), &bytes) == 0)
		text = ap_buf_slice(&bytes);
	tr_direct(t, r, (uint32_t)ap_doc_int(d, "status", 200), text);
	ap_buf_done(&bytes);
}

static void
rewrite(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	if (d == NULL)
		return;
	Ambit__Waypoint__Rewrite *m = TR_NEW(t, Ambit__Waypoint__Rewrite, ambit__waypoint__rewrite__init);
	const struct ap_doc *regex = ap_doc_get(d, "uriRegexRewrite");
	struct ap_slice uri = ap_doc_string(d, "uri", "");
	if (regex != NULL) {
		m->path_change_case = AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_REGEX;
		m->regex = TR_NEW(t, Ambit__Waypoint__RegexRewrite, ambit__waypoint__regex_rewrite__init);
		m->regex->match = tr_text(t, ap_doc_string(regex, "match", ""));
		m->regex->substitution = tr_text(t, ap_doc_string(regex, "rewrite", ""));
	} else if (uri.len > 0) {
		m->path_change_case = AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_PREFIX;
		m->prefix = tr_text(t, uri);
	}
	m->authority = tr_text(t, ap_doc_string(d, "authority", ""));
	r->rewrite = m;
}

static void
retries(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	if (d == NULL)
		return;
	Ambit__Waypoint__Retry *m = TR_NEW(t, Ambit__Waypoint__Retry, ambit__waypoint__retry__init);
	m->attempts = (uint32_t)AP_MIN(ap_doc_int(d, "attempts", 0), (int64_t)1000);
	m->per_try_timeout_ms = tr_ms(d, "perTryTimeout");
	m->backoff_ms = tr_ms(d, "backoff");
	tr_retry_words(t, m, ap_doc_string(d, "retryOn", "connect-failure,refused-stream,503"));
	r->retry = m;
}

/* percentage {value: 12.5}, or the older whole number; absent: never. */
static uint32_t
per_million(const struct ap_doc *d, double fallback)
{
	const struct ap_doc *p = ap_doc_get(d, "percentage");
	double percent = p != NULL ? ap_doc_real(p, "value", 0) : ap_doc_real(d, "percent", fallback);
	if (percent <= 0)
		return 0;
	return percent >= 100 ? 1000000 : (uint32_t)(percent * 10000 + 0.5);
}

static void
fault(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	if (d == NULL)
		return;
	Ambit__Waypoint__Fault *m = TR_NEW(t, Ambit__Waypoint__Fault, ambit__waypoint__fault__init);
	const struct ap_doc *delay = ap_doc_get(d, "delay"), *abort = ap_doc_get(d, "abort");
	m->delay_ms = tr_ms(delay, "fixedDelay");
	m->delay_per_million = per_million(delay, 0);
	m->abort_status = (uint32_t)ap_doc_int(abort, "httpStatus", 0);
	m->abort_per_million = abort == NULL ? 0 : per_million(abort, 0);
	static const char *const grpc[] = { "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
		"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" };
	struct ap_slice word = ap_doc_string(abort, "grpcStatus", "");
	uint64_t number;
	if (word.len > 0 && ap_text_to_u64(word, 16, &number) == 0)
		m->abort_grpc_status = (int32_t)number;
	for (size_t i = 0; i < AP_COUNTOF(grpc); i++)
		if (ap_slice_eq_text(word, grpc[i]))
			m->abort_grpc_status = (int32_t)i;
	r->fault = m;
}

static void
mirror(struct tr *t, const struct ap_resource *vs, const struct ap_doc *to, uint32_t share, Ambit__Waypoint__Route *r,
    const struct tr_target *target)
{
	Ambit__Waypoint__Destination *d = to == NULL ? NULL : destination_of(t, vs, to, target);
	if (d == NULL || d->invalid_status != 0 || share == 0)
		return;
	Ambit__Waypoint__Mirror *m = TR_NEW(t, Ambit__Waypoint__Mirror, ambit__waypoint__mirror__init);
	m->destination = d;
	m->per_million = share;
	tr_push(t, &r->mirrors, &r->n_mirrors, m);
}

static void
mirrors(struct tr *t, const struct ap_resource *vs, const struct ap_doc *route, Ambit__Waypoint__Route *r,
    const struct tr_target *target)
{
	const struct ap_doc *share = ap_doc_get(route, "mirrorPercentage");
	double percent = share != NULL ? ap_doc_real(share, "value", 0) : ap_doc_real(route, "mirrorPercent", 100);
	mirror(t, vs, ap_doc_get(route, "mirror"), percent <= 0 ? 0 : (uint32_t)(AP_MIN(percent, 100.0) * 10000), r, target);
	AP_DOC_FOR(d, ap_doc_get(route, "mirrors"))
		mirror(t, vs, ap_doc_get(d, "destination"), per_million(d, 100), r, target);
}

static void
cors(struct tr *t, const struct ap_doc *d, Ambit__Waypoint__Route *r)
{
	if (d == NULL)
		return;
	Ambit__Waypoint__Cors *m = TR_NEW(t, Ambit__Waypoint__Cors, ambit__waypoint__cors__init);
	AP_DOC_FOR(o, ap_doc_get(d, "allowOrigins"))
		tr_push(t, &m->allow_origins, &m->n_allow_origins, tr_istio_match(t, o));
	AP_DOC_FOR(o, ap_doc_get(d, "allowOrigin"))
		if (o->type == AP_DOC_STRING)
			tr_push(t, &m->allow_origins, &m->n_allow_origins,
			    ap_slice_eq_text(o->string, "*") ? tr_present(t) : tr_exact(t, o->string));
	tr_push_strings(t, &m->allow_methods, &m->n_allow_methods, ap_doc_get(d, "allowMethods"));
	tr_push_strings(t, &m->allow_headers, &m->n_allow_headers, ap_doc_get(d, "allowHeaders"));
	tr_push_strings(t, &m->expose_headers, &m->n_expose_headers, ap_doc_get(d, "exposeHeaders"));
	m->max_age_s = tr_ms(d, "maxAge") / 1000;
	m->allow_credentials = ap_doc_bool(d, "allowCredentials", false);
	r->cors = m;
}

/* --- Routes ------------------------------------------------------------------------------------------------------------------------- */

static void
http_route(struct tr *t, const struct ap_resource *vs, const struct ap_doc *d, unsigned index, const struct tr_target *to)
{
	const struct ap_doc *matches = ap_doc_get(d, "match");
	bool any = matches == NULL || matches->count == 0;
	AP_DOC_FOR(m, matches)
		any = any || match_applies(m, to->port->number);
	if (!any)
		return;
	Ambit__Waypoint__Route *r = tr_route_new(t, to->out);
	struct ap_slice name = ap_doc_string(d, "name", "");
	r->name = name.len > 0 ? tr_printf(t, "VirtualService/%.*s[%.*s]", AP_FMT(vs->path), AP_FMT(name))
	                       : tr_printf(t, "VirtualService/%.*s[%u]", AP_FMT(vs->path), index);
	AP_DOC_FOR(m, matches)
		if (match_applies(m, to->port->number))
			match_of(t, m, tr_match_new(t, r));
	destinations(t, vs, ap_doc_get(d, "route"), r, to);
	redirect(t, ap_doc_get(d, "redirect"), r);
	direct_response(t, ap_doc_get(d, "directResponse"), r);
	rewrite(t, ap_doc_get(d, "rewrite"), r);
	r->timeout_ms = tr_ms(d, "timeout");
	retries(t, ap_doc_get(d, "retries"), r);
	tr_default_retry(t, r);
	fault(t, ap_doc_get(d, "fault"), r);
	mirrors(t, vs, d, r, to);
	cors(t, ap_doc_get(d, "corsPolicy"), r);
	const struct ap_doc *headers = ap_doc_get(d, "headers");
	r->request_headers = tr_header_changes(t, ap_doc_get(headers, "request"));
	r->response_headers = tr_header_changes(t, ap_doc_get(headers, "response"));
	if (r->n_destinations == 0 && r->redirect == NULL && r->direct_response == NULL)
		tr_direct(t, r, 500, AP_SLICE_NONE); /* delegation, or nothing at all */
}

static void
tcp_route(struct tr *t, const struct ap_resource *vs, const struct ap_doc *d, unsigned index, const struct tr_target *to)
{
	const struct ap_doc *matches = ap_doc_get(d, "match");
	bool any = matches == NULL || matches->count == 0;
	AP_DOC_FOR(m, matches)
		any = any || match_applies(m, to->port->number);
	if (!any)
		return;
	Ambit__Waypoint__Route *r = tr_route_new(t, to->out);
	r->name = tr_printf(t, "VirtualService/%.*s[tcp %u]", AP_FMT(vs->path), index);
	destinations(t, vs, ap_doc_get(d, "route"), r, to);
}

bool
tr_virtual_services(struct tr *t, const struct tr_target *to)
{
	const struct ap_resource *vs = ap_map_find(&t->virtual_services, to->service->key);
	bool http = ap_reg_is_http(to->port->protocol);
	const struct ap_doc *list = vs == NULL ? NULL : ap_doc_get(vs->spec, http ? "http" : "tcp");
	if (list == NULL || list->count == 0)
		return false;
	unsigned i = 0;
	AP_DOC_FOR(d, list) {
		if (http)
			http_route(t, vs, d, i++, to);
		else
			tcp_route(t, vs, d, i++, to);
	}
	return true;
}

/* --- What authors are told ------------------------------------------------------------------------------------------------------------ */

/* The first reference that leads nowhere, or empty. */
static struct ap_slice
dangling(struct tr *t, const struct ap_resource *vs)
{
	static const char *const families[] = { "http", "tcp" };
	for (size_t f = 0; f < AP_COUNTOF(families); f++) {
		unsigned i = 0;
		AP_DOC_FOR(route, ap_doc_get(vs->spec, families[f])) {
			unsigned k = 0;
			AP_DOC_FOR(d, ap_doc_get(route, "route")) {
				const struct ap_doc *to = ap_doc_get(d, "destination");
				struct ap_slice host = ap_doc_string(to, "host", ""), subset = ap_doc_string(to, "subset", "");
				const struct ap_reg_service *s = ap_registry_find(t->r, host, vs->namespace_);
				if (s == NULL)
					return ap_slice_of(tr_printf(t, "spec.%s[%u].route[%u]: there is no service %.*s",
					    families[f], i, k, AP_FMT(ap_registry_fqdn(t->r, host, vs->namespace_))));
				if (subset.len > 0 && tr_subset(t, s, subset) == NULL)
					return ap_slice_of(tr_printf(t,
					    "spec.%s[%u].route[%u]: no DestinationRule has a subset %.*s of %.*s", families[f],
					    i, k, AP_FMT(subset), AP_FMT(s->hostname)));
				k++;
			}
			i++;
		}
	}
	return AP_SLICE_NONE;
}

struct heard {
	bool used, beaten;
};

static void
hear(struct tr *t, const struct ap_resource *vs, const struct ap_reg_service *s, void *arg)
{
	struct heard *h = arg;
	if (ap_map_find(&t->virtual_services, s->key) == vs)
		h->used = true;
	else
		h->beaten = true;
}

static void
note_hosts(struct tr *t, const struct ap_resource *vs)
{
	struct heard h = { 0 };
	tr_each_named(t, vs, false, hear, &h);
	if (h.used)
		tr_note(t, vs, "Accepted", true, "Accepted", AP_S("routes are applied by the waypoints of its hosts"));
	else if (h.beaten)
		tr_note(t, vs, "Accepted", false, "Conflicted", AP_S("another VirtualService for the same host comes first"));
	else
		tr_note(t, vs, "Accepted", false, "HostNotFound", AP_S("no host of spec.hosts is a service of the mesh"));
}

void
tr_note_virtual_services(struct tr *t)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "networking.istio.io", "VirtualService");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *vs = e->value;
		struct ap_slice bad = dangling(t, vs);
		tr_note(t, vs, "ResolvedRefs", bad.len == 0, bad.len == 0 ? "ResolvedRefs" : "DestinationNotFound",
		    bad.len == 0 ? AP_S("every destination exists") : bad);
		if (ap_virtual_service_in_mesh(vs))
			note_hosts(t, vs);
		else
			tr_note(t, vs, "Accepted", false, "NotInMesh",
			    AP_S("it is bound to gateways alone and does not apply inside the mesh"));
	}
}
