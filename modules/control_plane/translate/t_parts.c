/* t_parts.c -- matches, headers, destinations and retries, as every family of routes needs them. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "control_plane/translate/t_route.h"

Ambit__Waypoint__Route *
tr_route_new(struct tr *t, Ambit__Waypoint__Port *p)
{
	Ambit__Waypoint__Route *r = TR_NEW(t, Ambit__Waypoint__Route, ambit__waypoint__route__init);
	tr_push(t, &p->routes, &p->n_routes, r);
	return r;
}

Ambit__Waypoint__Match *
tr_match_new(struct tr *t, Ambit__Waypoint__Route *r)
{
	Ambit__Waypoint__Match *m = TR_NEW(t, Ambit__Waypoint__Match, ambit__waypoint__match__init);
	tr_push(t, &r->matches, &r->n_matches, m);
	return m;
}

/* --- Who speaks for a service ------------------------------------------------------------------------------------------------- */

void
tr_each_named(struct tr *t, const struct ap_resource *res, bool loose,
    void (*fn)(struct tr *t, const struct ap_resource *res, const struct ap_reg_service *s, void *arg), void *arg)
{
	AP_DOC_FOR(h, ap_doc_get(res->spec, "hosts")) {
		if (h->type != AP_DOC_STRING)
			continue;
		if (ap_slice_find(h->string, '*') == SIZE_MAX) {
			const struct ap_reg_service *s = loose ? ap_registry_find_loose(t->r, h->string, res->namespace_)
			                                       : ap_registry_find(t->r, h->string, res->namespace_);
			if (s != NULL && s->gateway == NULL)
				fn(t, res, s, arg);
			continue;
		}
		for (size_t i = 0; i < t->r->service_count; i++)
			if (t->r->services[i]->gateway == NULL && ap_host_matches(h->string, t->r->services[i]->hostname))
				fn(t, res, t->r->services[i], arg);
	}
}

void
tr_compete(struct ap_map *best, const struct ap_resource *res, const struct ap_reg_service *s)
{
	const struct ap_resource *other = ap_map_find(best, s->key);
	if (other != NULL) {
		bool own = ap_slice_eq(res->namespace_, s->namespace_), others_own = ap_slice_eq(other->namespace_, s->namespace_);
		if (own != others_own ? others_own : !tr_is_older(res, other))
			return;
	}
	ap_map_put(best, s->key, (void *)(uintptr_t)res);
}

/* --- Matches ---------------------------------------------------------------------------------------------------------------- */

static Ambit__Waypoint__StringMatch *
string_match(struct tr *t)
{
	return TR_NEW(t, Ambit__Waypoint__StringMatch, ambit__waypoint__string_match__init);
}

Ambit__Waypoint__StringMatch *
tr_exact(struct tr *t, struct ap_slice value)
{
	Ambit__Waypoint__StringMatch *m = string_match(t);
	m->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_EXACT;
	m->exact = tr_text(t, value);
	return m;
}

Ambit__Waypoint__StringMatch *
tr_regex(struct tr *t, struct ap_slice value)
{
	Ambit__Waypoint__StringMatch *m = string_match(t);
	m->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_REGEX;
	m->regex = tr_text(t, value);
	return m;
}

Ambit__Waypoint__StringMatch *
tr_present(struct tr *t)
{
	Ambit__Waypoint__StringMatch *m = string_match(t);
	m->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_PRESENT;
	m->present = true;
	return m;
}

Ambit__Waypoint__StringMatch *
tr_istio_match(struct tr *t, const struct ap_doc *d)
{
	const struct ap_doc *v;
	if (ap_doc_is(v = ap_doc_get(d, "exact"), AP_DOC_STRING))
		return tr_exact(t, v->string);
	if (ap_doc_is(v = ap_doc_get(d, "regex"), AP_DOC_STRING))
		return tr_regex(t, v->string);
	if (ap_doc_is(v = ap_doc_get(d, "prefix"), AP_DOC_STRING)) {
		Ambit__Waypoint__StringMatch *m = string_match(t);
		m->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_PREFIX;
		m->prefix = tr_text(t, v->string);
		return m;
	}
	return tr_present(t);
}

Ambit__Waypoint__NamedMatch *
tr_named(struct tr *t, struct ap_slice name, bool lower, Ambit__Waypoint__StringMatch *value)
{
	Ambit__Waypoint__NamedMatch *m = TR_NEW(t, Ambit__Waypoint__NamedMatch, ambit__waypoint__named_match__init);
	m->name = tr_text(t, name);
	for (char *c = m->name; lower && *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	m->value = value;
	return m;
}

/* --- Headers ------------------------------------------------------------------------------------------------------------------ */

static void
push_header(struct tr *t, Ambit__Waypoint__Header ***items, size_t *count, struct ap_slice name, struct ap_slice value)
{
	Ambit__Waypoint__Header *h = TR_NEW(t, Ambit__Waypoint__Header, ambit__waypoint__header__init);
	h->name = tr_text(t, name);
	h->value = tr_text(t, value);
	tr_push(t, items, count, h);
}

static void
push_headers(struct tr *t, Ambit__Waypoint__Header ***items, size_t *count, const struct ap_doc *d)
{
	AP_DOC_FOR(h, d) {
		if (d->type == AP_DOC_LIST)
			push_header(t, items, count, ap_doc_string(h, "name", ""), ap_doc_string(h, "value", ""));
		else if (h->type == AP_DOC_STRING)
			push_header(t, items, count, h->key, h->string);
	}
}

Ambit__Waypoint__HeaderChanges *
tr_header_changes(struct tr *t, const struct ap_doc *d)
{
	if (!ap_doc_is(d, AP_DOC_MAP) || d->count == 0)
		return NULL;
	Ambit__Waypoint__HeaderChanges *c =
	    TR_NEW(t, Ambit__Waypoint__HeaderChanges, ambit__waypoint__header_changes__init);
	push_headers(t, &c->set, &c->n_set, ap_doc_get(d, "set"));
	push_headers(t, &c->add, &c->n_add, ap_doc_get(d, "add"));
	tr_push_strings(t, &c->remove, &c->n_remove, ap_doc_get(d, "remove"));
	return c;
}

/* --- Destinations --------------------------------------------------------------------------------------------------------------- */

Ambit__Waypoint__Destination *
tr_destination_new(struct tr *t)
{
	return TR_NEW(t, Ambit__Waypoint__Destination, ambit__waypoint__destination__init);
}

void
tr_destination_to(struct tr *t, Ambit__Waypoint__Destination *d, const struct ap_reg_service *s, uint32_t port,
    const struct tr_target *from)
{
	d->namespace_ = tr_text(t, s->namespace_);
	d->hostname = tr_text(t, s->hostname);
	d->port = port;
	if (port == 0 && s != from->service && s->port_count == 1)
		d->port = s->ports[0].number;
}

void
tr_direct(struct tr *t, Ambit__Waypoint__Route *r, uint32_t status, struct ap_slice body)
{
	r->direct_response = TR_NEW(t, Ambit__Waypoint__DirectResponse, ambit__waypoint__direct_response__init);
	r->direct_response->status = status;
	struct ap_slice copy = ap_arena_copy(t->arena, body);
	r->direct_response->body = (ProtobufCBinaryData){ .len = copy.len, .data = (uint8_t *)(uintptr_t)copy.ptr };
}

static bool
names_service(struct tr *t, const struct ap_resource *dr, const struct ap_reg_service *s)
{
	struct ap_slice host = ap_doc_string(dr->spec, "host", "");
	if (ap_slice_find(host, '*') != SIZE_MAX)
		return ap_host_matches(host, s->hostname);
	return ap_registry_find(t->r, host, dr->namespace_) == s;
}

static int
compare_age(const void *a, const void *b)
{
	const struct ap_resource *x = *(const struct ap_resource *const *)a, *y = *(const struct ap_resource *const *)b;
	return tr_is_older(x, y) ? -1 : 1;
}

size_t
tr_rules_of(struct tr *t, const struct ap_reg_service *s, const struct ap_resource **out, size_t most)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "networking.istio.io", "DestinationRule");
	struct ap_map_entry *e;
	size_t n = 0;
	for (size_t i = 0; n < most && (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *dr = e->value;
		/* The service's own namespace speaks for it, and the mesh-wide one. */
		if ((ap_slice_eq(dr->namespace_, s->namespace_) || tr_is_root(t, dr->namespace_)) && names_service(t, dr, s))
			out[n++] = dr;
	}
	if (n > 1)
		qsort(out, n, sizeof(*out), compare_age);
	return n;
}

#define RULES_MAX 64

const struct ap_doc *
tr_subset(struct tr *t, const struct ap_reg_service *s, struct ap_slice name)
{
	const struct ap_resource *rules[RULES_MAX];
	size_t n = tr_rules_of(t, s, rules, RULES_MAX);
	for (size_t i = 0; i < n; i++)
		AP_DOC_FOR(sub, ap_doc_get(rules[i]->spec, "subsets"))
			if (ap_slice_eq(ap_doc_string(sub, "name", ""), name)) {
				const struct ap_doc *labels = ap_doc_get(sub, "labels");
				return labels != NULL ? labels : ap_doc_new_map(t->arena);
			}
	return NULL;
}

bool
tr_is_granted(const struct tr *t, const char *group, const char *kind, struct ap_slice from_namespace,
    struct ap_slice to_namespace, struct ap_slice to_name)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "gateway.networking.k8s.io", "ReferenceGrant");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *g = e->value;
		if (!ap_slice_eq(g->namespace_, to_namespace))
			continue;
		bool from = false, to = false;
		AP_DOC_FOR(d, ap_doc_get(g->spec, "from"))
			from = from || (ap_slice_eq_text(ap_doc_string(d, "group", ""), group) &&
			                   ap_slice_eq_text(ap_doc_string(d, "kind", ""), kind) &&
			                   ap_slice_eq(ap_doc_string(d, "namespace", ""), from_namespace));
		AP_DOC_FOR(d, ap_doc_get(g->spec, "to")) {
			struct ap_slice name = ap_doc_string(d, "name", "");
			to = to || (ap_slice_eq_text(ap_doc_string(d, "kind", ""), "Service") &&
			               (name.len == 0 || ap_slice_eq(name, to_name)));
		}
		if (from && to)
			return true;
	}
	return false;
}

/* --- Time and retries -------------------------------------------------------------------------------------------------------------- */

uint32_t
tr_ms(const struct ap_doc *map, const char *key)
{
	int64_t ns = ap_doc_duration_ns(map, key, 0);
	if (ns <= 0)
		return 0;
	int64_t ms = (ns + 999999) / 1000000;
	return (uint32_t)AP_MIN(ms, (int64_t)UINT32_MAX);
}

static void
push_code(struct tr *t, Ambit__Waypoint__Retry *r, uint32_t code)
{
	uint32_t *list = ap_arena_zalloc(t->arena, (r->n_status_codes + 1) * sizeof(uint32_t));
	AP_CHECK(list != NULL);
	if (r->n_status_codes > 0)
		memcpy(list, r->status_codes, r->n_status_codes * sizeof(uint32_t));
	list[r->n_status_codes++] = code;
	r->status_codes = list;
}

void
tr_retry_words(struct tr *t, Ambit__Waypoint__Retry *r, struct ap_slice words)
{
	bool codes = false, word_codes = false;
	while (words.ptr != NULL && words.len > 0) {
		struct ap_slice w = ap_slice_trim(ap_slice_cut(&words, ','));
		uint64_t code;
		if (w.len == 0)
			continue;
		if (ap_text_to_u64(w, 599, &code) == 0 && code >= 100) {
			push_code(t, r, (uint32_t)code);
			codes = true;
			continue;
		}
		word_codes = word_codes || ap_slice_eq_text(w, "retriable-status-codes");
		tr_push(t, &r->retry_on, &r->n_retry_on, tr_text(t, w));
	}
	if (codes && !word_codes)
		tr_push(t, &r->retry_on, &r->n_retry_on, tr_text(t, AP_S("retriable-status-codes")));
}

void
tr_default_retry(struct tr *t, Ambit__Waypoint__Route *r)
{
	if (r->retry != NULL || r->n_destinations == 0)
		return;
	r->retry = TR_NEW(t, Ambit__Waypoint__Retry, ambit__waypoint__retry__init);
	r->retry->attempts = 2;
	tr_retry_words(t, r->retry, AP_S("connect-failure,refused-stream"));
}
