/*
 * wp_compile.c -- ambit.waypoint.Host to struct wp_host: every pattern compiled, every reference inside the host resolved, so
 * that a request only follows pointers.  The unpacked message lives in the host's arena, and the compiled parts point into
 * it.  Pure.
 */
#include <ambit/waypoint.pb-c.h>
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "codec/regex.h"
#include "waypoint/wp_pack.h"
#include "waypoint/wp_route.h"

#define HOST_MAGIC AP_MAGIC('w', 'p', 'h', 'o')
#define HOST_MAX ((size_t)128 << 20)

typedef Ambit__Waypoint__Host PbHost;
typedef Ambit__Waypoint__Route PbRoute;

struct compile {
	struct wp_host *host;
	const PbHost *pb;
	struct ap_arena *arena;
	struct ap_error *err;
	uint16_t port; /* in work */
};

static int
full(struct compile *c)
{
	return ap_error_set(c->err, -ENOMEM, "the configuration is too large");
}

static void *
array_new(struct compile *c, size_t count, size_t size)
{
	return ap_arena_zalloc(c->arena, (count + 1) * size);
}

static int
slices_make(struct compile *c, char **texts, size_t n, const struct ap_slice **out, uint32_t *out_count)
{
	struct ap_slice *s = array_new(c, n, sizeof(*s));

	if (s == NULL)
		return full(c);
	for (size_t i = 0; i < n; i++)
		s[i] = ap_slice_of(texts[i]);
	*out = s;
	*out_count = (uint32_t)n;
	return 0;
}

static struct ap_slice
slice_join(struct compile *c, char **texts, size_t n)
{
	struct ap_slice r = AP_S("");

	for (size_t i = 0; i < n; i++)
		r = i == 0 ? ap_slice_of(texts[0]) : ap_arena_printf(c->arena, "%.*s,%s", AP_FMT(r), texts[i]);
	return r;
}

static int
header_list(
    struct compile *c, Ambit__Waypoint__Header **in, size_t n, const struct wp_header **out, uint32_t *out_count)
{
	struct wp_header *h = array_new(c, n, sizeof(*h));

	if (h == NULL)
		return full(c);
	for (size_t i = 0; i < n; i++) {
		h[i].name = ap_slice_of(in[i]->name);
		h[i].value = ap_slice_of(in[i]->value);
		h[i].has_variables = ap_slice_find(h[i].value, '%') != SIZE_MAX;
		for (char *p = in[i]->name; *p != '\0'; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
		for (size_t k = 0; k < h[i].value.len; k++)
			if (strchr("\r\n", h[i].value.ptr[k]) != NULL)
				return ap_error_set(
				    c->err, -EINVAL, "the value of header %s holds a line break", in[i]->name);
		if (h[i].name.len == 0)
			return ap_error_set(c->err, -EINVAL, "a header change has no name");
	}
	*out = h;
	*out_count = (uint32_t)n;
	return 0;
}

static int
headers_make(struct compile *c, const Ambit__Waypoint__HeaderChanges *m, struct wp_headers *out)
{
	int rc;

	if (m == NULL)
		return 0;
	if ((rc = header_list(c, m->set, m->n_set, &out->set, &out->set_count)) != 0 ||
	    (rc = header_list(c, m->add, m->n_add, &out->add, &out->add_count)) != 0)
		return rc;
	for (size_t i = 0; i < m->n_remove; i++)
		for (char *p = m->remove[i]; *p != '\0'; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
	return slices_make(c, m->remove, m->n_remove, &out->remove, &out->remove_count);
}

static int
named_make(struct compile *c, Ambit__Waypoint__NamedMatch **in, size_t n, const struct wp_named **out, uint32_t *count)
{
	struct wp_named *a = array_new(c, n, sizeof(*a));
	int rc;

	if (a == NULL)
		return full(c);
	for (size_t i = 0; i < n; i++) {
		a[i].name = ap_slice_of(in[i]->name);
		a[i].invert = in[i]->invert;
		if (in[i]->value == NULL) {
			a[i].value.kind = WP_TEXT_PRESENT;
			continue;
		}
		rc = wp_text_compile(c->arena, in[i]->value, false, &a[i].value, c->err);
		if (rc != 0)
			return rc;
	}
	*out = a;
	*count = (uint32_t)n;
	return 0;
}

static int
text_make(struct compile *c, const Ambit__Waypoint__StringMatch *m, bool ignore_case, bool *has, struct wp_text *out)
{
	*has = m != NULL;
	return m == NULL ? 0 : wp_text_compile(c->arena, m, ignore_case, out, c->err);
}

static int
match_make(struct compile *c, const Ambit__Waypoint__Match *m, struct wp_match *out)
{
	struct wp_label *labels = array_new(c, m->n_source_labels, sizeof(*labels));
	int rc;

	if (labels == NULL)
		return full(c);
	if ((rc = text_make(c, m->path, m->ignore_case_path, &out->has_path, &out->path)) != 0 ||
	    (rc = text_make(c, m->method, false, &out->has_method, &out->method)) != 0 ||
	    (rc = text_make(c, m->authority, false, &out->has_authority, &out->authority)) != 0 ||
	    (rc = text_make(c, m->scheme, false, &out->has_scheme, &out->scheme)) != 0 ||
	    (rc = named_make(c, m->headers, m->n_headers, &out->headers, &out->header_count)) != 0 ||
	    (rc = named_make(c, m->query, m->n_query, &out->query, &out->query_count)) != 0)
		return rc;
	for (size_t i = 0; i < m->n_source_labels; i++) {
		labels[i].key = ap_slice_of(m->source_labels[i]->key);
		labels[i].value = ap_slice_of(m->source_labels[i]->value);
	}
	out->source_labels.items = labels;
	out->source_labels.count = (uint32_t)m->n_source_labels;
	out->source_namespace = ap_slice_of(m->source_namespace);
	return 0;
}

/* Equal texts: equal endpoints. */
static void
cluster_name(struct compile *c, struct wp_destination *d)
{
	d->cluster = ap_arena_printf(c->arena, "%.*s|%u", AP_FMT(d->service), d->port);
	for (uint32_t i = 0; i < d->labels.count; i++)
		d->cluster = ap_arena_printf(c->arena, "%.*s|%.*s=%.*s", AP_FMT(d->cluster),
		    AP_FMT(d->labels.items[i].key), AP_FMT(d->labels.items[i].value));
}

static int
destination_make(struct compile *c, const Ambit__Waypoint__Destination *m, struct wp_destination *out)
{
	const Ambit__Waypoint__Subset *subset = NULL;
	struct wp_label *labels;
	size_t n = 0;
	int rc;

	if (m->port > 65535 || m->invalid_status > 599)
		return ap_error_set(c->err, -EINVAL, "a destination's port or status is out of range");
	out->service = ap_arena_printf(c->arena, "%s/%s", m->namespace_, m->hostname);
	out->port = m->port == 0 ? c->port : (uint16_t)m->port;
	out->weight = m->weight;
	out->invalid_status = (uint16_t)m->invalid_status;
	out->subset = ap_slice_of(m->subset);
	if (out->subset.len > 0 && ap_slice_eq(out->service, c->host->key)) {
		for (size_t i = 0; i < c->pb->n_subsets; i++)
			if (ap_slice_eq_text(out->subset, c->pb->subsets[i]->name))
				subset = c->pb->subsets[i];
		out->unknown_subset = subset == NULL;
	} else if (out->subset.len > 0 && m->n_labels == 0) {
		/* Another host's subset is not in this message: the control plane gives its labels instead. */
		out->unknown_subset = true;
	}
	labels = array_new(c, m->n_labels + (subset == NULL ? 0 : subset->n_labels), sizeof(*labels));
	if (labels == NULL || out->service.ptr == NULL)
		return full(c);
	for (size_t i = 0; i < m->n_labels; i++)
		labels[n++] = (struct wp_label){ ap_slice_of(m->labels[i]->key), ap_slice_of(m->labels[i]->value) };
	for (size_t i = 0; subset != NULL && i < subset->n_labels; i++)
		labels[n++] =
		    (struct wp_label){ ap_slice_of(subset->labels[i]->key), ap_slice_of(subset->labels[i]->value) };
	out->labels = (struct wp_labels){ .items = labels, .count = (uint32_t)n };
	cluster_name(c, out);
	if ((rc = headers_make(c, m->request_headers, &out->request_headers)) != 0)
		return rc;
	return headers_make(c, m->response_headers, &out->response_headers);
}

static int
redirect_make(struct compile *c, const Ambit__Waypoint__Redirect *m, struct wp_redirect *out)
{
	if (m == NULL)
		return 0;
	out->is_set = true;
	out->status = m->status == 0 ? 301 : (uint16_t)m->status;
	out->port = (uint16_t)m->port;
	out->port_from_request = m->port_from_request;
	out->scheme = ap_slice_of(m->scheme);
	out->authority = ap_slice_of(m->authority);
	if (m->path_change_case == AMBIT__WAYPOINT__REDIRECT__PATH_CHANGE_PATH) {
		out->change = WP_PATH_WHOLE;
		out->path = ap_slice_of(m->path);
	} else if (m->path_change_case == AMBIT__WAYPOINT__REDIRECT__PATH_CHANGE_PREFIX) {
		out->change = WP_PATH_PREFIX;
		out->path = ap_slice_of(m->prefix);
	}
	if (m->status > 399 || (m->status != 0 && m->status < 300) || m->port > 65535)
		return ap_error_set(c->err, -EINVAL, "a redirect's status or port is out of range");
	return 0;
}

static int
rewrite_make(struct compile *c, const Ambit__Waypoint__Rewrite *m, struct wp_rewrite *out)
{
	if (m == NULL)
		return 0;
	out->is_set = true;
	out->authority = ap_slice_of(m->authority);
	if (m->path_change_case == AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_PATH) {
		out->change = WP_PATH_WHOLE;
		out->path = ap_slice_of(m->path);
	} else if (m->path_change_case == AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_PREFIX) {
		out->change = WP_PATH_PREFIX;
		out->path = ap_slice_of(m->prefix);
	} else if (m->path_change_case == AMBIT__WAYPOINT__REWRITE__PATH_CHANGE_REGEX) {
		out->change = WP_PATH_REGEX;
		out->path = ap_slice_of(m->regex->substitution);
		out->regex = wp_regex_new(c->arena, ap_slice_of(m->regex->match), 0, c->err);
		if (out->regex == NULL || ap_regex_check_replacement(out->regex, out->path, c->err) != 0)
			return -EINVAL;
	}
	return 0;
}

static int
direct_make(struct compile *c, const Ambit__Waypoint__DirectResponse *m, struct wp_direct *out)
{
	if (m == NULL)
		return 0;
	if (m->status < 200 || m->status > 599)
		return ap_error_set(c->err, -EINVAL, "a direct response's status is out of range");
	out->is_set = true;
	out->status = (uint16_t)m->status;
	out->body = ap_slice((const char *)m->body.data, m->body.len);
	return header_list(c, m->headers, m->n_headers, &out->headers.set, &out->headers.set_count);
}

static int
cors_make(struct compile *c, const Ambit__Waypoint__Cors *m, struct wp_cors *out)
{
	struct wp_text *t;
	int rc;

	if (m == NULL)
		return 0;
	t = array_new(c, m->n_allow_origins, sizeof(*t));
	if (t == NULL)
		return full(c);
	for (size_t i = 0; i < m->n_allow_origins; i++)
		if ((rc = wp_text_compile(c->arena, m->allow_origins[i], false, &t[i], c->err)) != 0)
			return rc;
	out->is_set = true;
	out->origins = t;
	out->origin_count = (uint32_t)m->n_allow_origins;
	out->methods = slice_join(c, m->allow_methods, m->n_allow_methods);
	out->headers = slice_join(c, m->allow_headers, m->n_allow_headers);
	out->expose = slice_join(c, m->expose_headers, m->n_expose_headers);
	out->max_age_s = m->max_age_s;
	out->allow_credentials = m->allow_credentials;
	return 0;
}

static const struct {
	const char *word;
	uint32_t bit;
} retry_words[] = {
	{ "5xx", WP_RETRY_5XX | WP_RETRY_CONNECT | WP_RETRY_REFUSED | WP_RETRY_RESET },
	{ "gateway-error", WP_RETRY_GATEWAY_ERROR | WP_RETRY_RESET },
	{ "connect-failure", WP_RETRY_CONNECT },
	{ "refused-stream", WP_RETRY_REFUSED },
	{ "reset", WP_RETRY_RESET | WP_RETRY_CONNECT },
	{ "reset-before-request", WP_RETRY_RESET_BEFORE },
	{ "retriable-4xx", WP_RETRY_4XX },
	{ "retriable-status-codes", WP_RETRY_CODES },
	{ "retriable-headers", 0 },
	{ "envoy-ratelimited", 0 },
	{ "http3-post-connect-failure", 0 },
	{ "cancelled", WP_RETRY_GRPC_CANCELLED },
	{ "deadline-exceeded", WP_RETRY_GRPC_DEADLINE },
	{ "internal", WP_RETRY_GRPC_INTERNAL },
	{ "resource-exhausted", WP_RETRY_GRPC_EXHAUSTED },
	{ "unavailable", WP_RETRY_GRPC_UNAVAILABLE },
};

/* Istio's default: two more attempts, when the request cannot have been acted on or the service was unavailable. */
static const uint32_t retry_default_codes[] = { 503 };
static const struct wp_retry retry_default = {
	.attempts = 2,
	.backoff_ms = 25,
	.on =
	    WP_RETRY_CONNECT | WP_RETRY_REFUSED | WP_RETRY_GRPC_UNAVAILABLE | WP_RETRY_GRPC_CANCELLED | WP_RETRY_CODES,
	.codes = retry_default_codes,
	.code_count = AP_COUNTOF(retry_default_codes),
};

static int
retry_word(struct compile *c, struct ap_slice word, uint32_t *on, uint32_t *codes, uint32_t *code_count)
{
	uint64_t number;

	for (size_t i = 0; i < AP_COUNTOF(retry_words); i++) {
		if (ap_slice_eq_text(word, retry_words[i].word)) {
			*on |= retry_words[i].bit;
			return 0;
		}
	}
	number = 0;
	for (size_t i = 0; i < word.len && number < 1000; i++)
		number = word.ptr[i] >= '0' && word.ptr[i] <= '9' ? number * 10 + (uint64_t)(word.ptr[i] - '0') : 1000;
	if (number < 200 || number > 599)
		return ap_error_set(c->err, -EINVAL, "retry condition \"%.*s\" is not known", AP_FMT(word));
	*on |= WP_RETRY_CODES;
	codes[(*code_count)++] = (uint32_t)number;
	return 0;
}

static int
retry_make(struct compile *c, const Ambit__Waypoint__Retry *m, struct wp_retry *out)
{
	uint32_t *codes;
	size_t words = 0;
	int rc;

	*out = retry_default;
	if (m == NULL)
		return 0;
	for (size_t i = 0; i < m->n_retry_on; i++) {
		words++;
		for (const char *p = m->retry_on[i]; *p != '\0'; p++)
			words += *p == ',';
	}
	codes = array_new(c, m->n_status_codes + words, sizeof(*codes));
	if (codes == NULL)
		return full(c);
	out->attempts = m->attempts;
	out->per_try_timeout_ms = m->per_try_timeout_ms;
	out->backoff_ms = m->backoff_ms == 0 ? 25 : m->backoff_ms;
	if (words == 0 && m->n_status_codes == 0)
		return 0; /* the default conditions with these numbers */
	out->on = m->n_status_codes > 0 ? WP_RETRY_CODES : 0;
	out->codes = codes;
	out->code_count = (uint32_t)m->n_status_codes;
	if (m->n_status_codes > 0)
		memcpy(codes, m->status_codes, m->n_status_codes * sizeof(*codes));
	for (size_t i = 0; i < m->n_retry_on; i++) {
		struct ap_slice rest = ap_slice_of(m->retry_on[i]);

		while (rest.ptr != NULL) {
			struct ap_slice word = ap_slice_trim(ap_slice_cut(&rest, ','));

			if (word.len > 0 && (rc = retry_word(c, word, &out->on, codes, &out->code_count)) != 0)
				return rc;
		}
	}
	return 0;
}

static int
fault_make(struct compile *c, const Ambit__Waypoint__Fault *m, struct wp_fault *out)
{
	if (m == NULL)
		return 0;
	if (m->abort_status != 0 && (m->abort_status < 200 || m->abort_status > 599))
		return ap_error_set(c->err, -EINVAL, "a fault's status is out of range");
	out->delay_ms = m->delay_ms;
	out->delay_per_million = m->delay_per_million;
	out->abort_per_million = m->abort_per_million;
	out->abort_status = (uint16_t)m->abort_status;
	out->abort_grpc_status = m->abort_grpc_status;
	return 0;
}

static int
route_parts(struct compile *c, const PbRoute *m, struct wp_route *out)
{
	struct wp_mirror *mirrors = array_new(c, m->n_mirrors, sizeof(*mirrors));
	int rc;

	if (mirrors == NULL)
		return full(c);
	for (size_t i = 0; i < m->n_mirrors; i++) {
		mirrors[i].per_million = m->mirrors[i]->per_million;
		if (m->mirrors[i]->destination == NULL)
			return ap_error_set(c->err, -EINVAL, "a mirror has no destination");
		if ((rc = destination_make(c, m->mirrors[i]->destination, &mirrors[i].destination)) != 0)
			return rc;
	}
	out->mirrors = mirrors;
	out->mirror_count = (uint32_t)m->n_mirrors;
	if ((rc = redirect_make(c, m->redirect, &out->redirect)) != 0 ||
	    (rc = direct_make(c, m->direct_response, &out->direct)) != 0 ||
	    (rc = rewrite_make(c, m->rewrite, &out->rewrite)) != 0 ||
	    (rc = headers_make(c, m->request_headers, &out->request_headers)) != 0 ||
	    (rc = headers_make(c, m->response_headers, &out->response_headers)) != 0 ||
	    (rc = retry_make(c, m->retry, &out->retry)) != 0 || (rc = fault_make(c, m->fault, &out->fault)) != 0)
		return rc;
	return cors_make(c, m->cors, &out->cors);
}

static int
route_make(struct compile *c, const PbRoute *m, struct wp_route *out)
{
	struct wp_match *matches = array_new(c, m->n_matches, sizeof(*matches));
	struct wp_destination *destinations = array_new(c, m->n_destinations, sizeof(*destinations));
	int rc;

	if (matches == NULL || destinations == NULL)
		return full(c);
	out->name = ap_slice_of(m->name);
	for (size_t i = 0; i < m->n_matches; i++)
		if ((rc = match_make(c, m->matches[i], &matches[i])) != 0)
			return rc;
	for (size_t i = 0; i < m->n_destinations; i++) {
		if ((rc = destination_make(c, m->destinations[i], &destinations[i])) != 0)
			return rc;
		out->weight_total += destinations[i].weight;
	}
	out->matches = matches;
	out->match_count = (uint32_t)m->n_matches;
	out->destinations = destinations;
	out->destination_count = (uint32_t)m->n_destinations;
	out->timeout_ms = m->timeout_ms;
	if (m->load_balancer != NULL) {
		if ((unsigned)m->load_balancer->policy > WP_LB_HASH_QUERY)
			return ap_error_set(c->err, -EINVAL, "the load balancer is not known");
		out->lb = (uint8_t)m->load_balancer->policy;
		out->hash_name = ap_slice_of(m->load_balancer->hash_name);
	} else {
		out->lb = WP_LB_LEAST_REQUEST;
	}
	return route_parts(c, m, out);
}

/* What a port without routes does: everything to the host itself. */
static const struct wp_route *
fallback_make(struct compile *c)
{
	struct wp_route *r = ap_arena_new_object(c->arena, struct wp_route);
	struct wp_destination *d = ap_arena_new_object(c->arena, struct wp_destination);

	if (r == NULL || d == NULL)
		return NULL;
	d->service = c->host->key;
	d->port = c->port;
	cluster_name(c, d);
	r->name = AP_S("default");
	r->destinations = d;
	r->destination_count = 1;
	r->retry = retry_default;
	r->lb = WP_LB_LEAST_REQUEST;
	return r;
}

static int
port_make(struct compile *c, const Ambit__Waypoint__Port *m, struct wp_port *out)
{
	struct wp_route *routes = array_new(c, m->n_routes, sizeof(*routes));
	int rc;

	if (m->number == 0 || m->number > 65535)
		return ap_error_set(c->err, -EINVAL, "port %u is out of range", m->number);
	if ((unsigned)m->protocol > WP_TCP)
		return ap_error_set(c->err, -EINVAL, "the protocol of port %u is not known", m->number);
	out->number = (uint16_t)m->number;
	out->protocol = (uint8_t)m->protocol;
	c->port = out->number;
	out->fallback = fallback_make(c);
	if (routes == NULL || out->fallback == NULL)
		return full(c);
	for (size_t i = 0; i < m->n_routes; i++) {
		rc = route_make(c, m->routes[i], &routes[i]);
		if (rc != 0)
			return ap_error_wrap(c->err, "port %u, route %zu (%s)", m->number, i, m->routes[i]->name);
	}
	out->routes = routes;
	out->route_count = (uint32_t)m->n_routes;
	out->index = wp_index_new(c->arena, out);
	return ap_arena_is_full(c->arena) ? full(c) : 0;
}

static int
host_make(struct compile *c)
{
	struct wp_host *h = c->host;
	const PbHost *m = c->pb;
	struct wp_port *ports = array_new(c, m->n_ports, sizeof(*ports));
	int rc;

	h->namespace_ = ap_slice_of(m->namespace_);
	h->hostname = ap_slice_of(m->hostname);
	h->key = ap_arena_printf(c->arena, "%s/%s", m->namespace_, m->hostname);
	if (ports == NULL || h->key.ptr == NULL)
		return full(c);
	if (h->hostname.len == 0)
		return ap_error_set(c->err, -EINVAL, "a host has no hostname");
	if ((rc = slices_make(c, m->policies, m->n_policies, &h->policies, &h->policy_count)) != 0 ||
	    (rc = slices_make(c, m->lua_policies, m->n_lua_policies, &h->lua_policies, &h->lua_policy_count)) != 0 ||
	    (rc = slices_make(c, m->aliases, m->n_aliases, &h->aliases, &h->alias_count)) != 0)
		return rc;
	for (size_t i = 0; i < m->n_ports; i++)
		if ((rc = port_make(c, m->ports[i], &ports[i])) != 0)
			return rc;
	h->ports = ports;
	h->port_count = (uint32_t)m->n_ports;
	return 0;
}

int
wp_host_decode(struct ap_slice body, struct wp_host **out, struct ap_error *err)
{
	struct compile c = { .err = err };
	int rc = -EINVAL;

	c.arena = ap_arena_new(HOST_MAX);
	c.pb = wp_unpack(c.arena, &ambit__waypoint__host__descriptor, body, err);
	if (c.pb != NULL) {
		c.host = ap_new(struct wp_host);
		c.host->magic = HOST_MAGIC;
		c.host->arena = c.arena;
		ap_refs_init(&c.host->refs);
		rc = host_make(&c);
		if (rc == 0 && ap_arena_is_full(c.arena))
			rc = full(&c);
	}
	if (rc != 0) {
		ap_arena_free(&c.arena);
		ap_free(&c.host);
		return rc;
	}
	*out = c.host;
	return 0;
}

struct wp_host *
wp_host_ref(struct wp_host *h)
{
	ap_refs_add(&h->refs);
	return h;
}

void
wp_host_unref(struct wp_host **hp)
{
	struct wp_host *h = *hp;

	*hp = NULL;
	if (h == NULL || !ap_refs_drop(&h->refs))
		return;
	AP_IS(h, HOST_MAGIC);
	ap_arena_free(&h->arena);
	ap_free(&h);
}
