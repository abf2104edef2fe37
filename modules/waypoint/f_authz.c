/*
 * f_authz.c -- evaluates AuthorizationPolicy: rules are OR, the blocks of a rule are AND, fields of a block are AND, values of a
 * field are OR, and none of a not-field's values may match.  What the request does not have (no identity, no header, no
 * HTTP) fails positive fields and passes negative ones; on TCP, HTTP fields of a DENY are left out (it denies more) and those
 * of an ALLOW never match (it allows less), as in Istio.  Pure.
 */
#include "waypoint/f_authz.h"

#include <ambit/waypoint.pb-c.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/compiler.h"
#include "base/mem.h"
#include "base/refs.h"
#include "base/text.h"
#include "waypoint/wp_pack.h"

#define POLICY_MAGIC AP_MAGIC('w', 'p', 'p', 'o')
#define POLICY_MAX ((size_t)16 << 20)

/* What a field is compared with. */
enum attribute {
	A_PRINCIPAL,
	A_NAMESPACE,
	A_ACCOUNT, /* "ns/sa" */
	A_REQUEST_PRINCIPAL,
	A_HOST,
	A_METHOD,
	A_PATH,
	A_HEADER,
	A_SNI,
	A_JWT,   /* no token was checked: absent */
	A_TEXTS, /* above: texts */
	A_SOURCE_IP,
	A_REMOTE_IP,
	A_DESTINATION_IP,
	A_PORT,
};

struct field {
	uint8_t attribute;
	bool negative;
	struct ap_slice name; /* A_HEADER */
	uint32_t count;
	union {
		const struct wp_text *texts;
		const struct ap_cidr *cidrs;
		const uint16_t *ports;
	} u;
};

struct fields {
	struct field *items;
	uint32_t count;
};

struct rule {
	struct fields *from, *to; /* OR of blocks */
	uint32_t from_count, to_count;
	struct fields when;
};

struct wp_policy {
	uint32_t magic;
	struct ap_refs refs;
	struct ap_arena *arena;
	struct ap_slice key, namespace_;
	enum wp_action action;
	bool dry_run;
	struct rule *rules;
	uint32_t rule_count;
};

struct compile {
	struct wp_policy *policy;
	struct ap_arena *arena;
	struct ap_error *err;
};

static bool
is_http(uint8_t attribute)
{
	return attribute == A_HOST || attribute == A_METHOD || attribute == A_PATH || attribute == A_HEADER ||
	       attribute == A_REQUEST_PRINCIPAL || attribute == A_JWT;
}

static int
texts_make(struct compile *c, struct field *f, char **values, size_t n)
{
	struct wp_text *t = ap_arena_zalloc(c->arena, (n + 1) * sizeof(*t));

	if (t == NULL)
		return ap_error_set(c->err, -ENOMEM, "the policy is too large");
	for (size_t i = 0; i < n; i++) {
		struct ap_slice v = ap_slice_of(values[i]);

		if (f->attribute == A_ACCOUNT && ap_slice_find(v, '/') == SIZE_MAX)
			v = ap_arena_printf(c->arena, "%.*s/%.*s", AP_FMT(c->policy->namespace_), AP_FMT(v));
		if (f->attribute == A_PATH && ap_slice_search(v, AP_S("{*")) != SIZE_MAX) {
			if (!wp_template_is_valid(v))
				return ap_error_set(c->err, -EINVAL, "\"%.*s\" is not a path template", AP_FMT(v));
			t[i] = (struct wp_text){ .kind = WP_TEXT_TEMPLATE, .text = v };
			continue;
		}
		t[i] = wp_text_pattern(v);
		t[i].ignore_case = f->attribute == A_HOST;
	}
	f->u.texts = t;
	return 0;
}

static int
cidrs_make(struct compile *c, struct field *f, char **values, size_t n)
{
	struct ap_cidr *a = ap_arena_zalloc(c->arena, (n + 1) * sizeof(*a));

	if (a == NULL)
		return ap_error_set(c->err, -ENOMEM, "the policy is too large");
	for (size_t i = 0; i < n; i++)
		if (ap_cidr_parse(ap_slice_of(values[i]), &a[i]) != 0)
			return ap_error_set(c->err, -EINVAL, "\"%s\" is not an address or network", values[i]);
	f->u.cidrs = a;
	return 0;
}

static int
ports_make(struct compile *c, struct field *f, char **values, size_t n)
{
	uint16_t *a = ap_arena_zalloc(c->arena, (n + 1) * sizeof(*a));
	uint64_t v;

	if (a == NULL)
		return ap_error_set(c->err, -ENOMEM, "the policy is too large");
	for (size_t i = 0; i < n; i++) {
		if (ap_text_to_u64(ap_slice_of(values[i]), 65535, &v) != 0)
			return ap_error_set(c->err, -EINVAL, "\"%s\" is not a port", values[i]);
		a[i] = (uint16_t)v;
	}
	f->u.ports = a;
	return 0;
}

/* Append a field unless it has no values. */
static int
field_add(struct compile *c, struct fields *to, enum attribute attribute, bool negative, struct ap_slice name,
    char **values, size_t n)
{
	struct field *f;

	if (n == 0)
		return 0;
	f = &to->items[to->count++];
	*f =
	    (struct field){ .attribute = (uint8_t)attribute, .negative = negative, .name = name, .count = (uint32_t)n };
	if (attribute < A_TEXTS)
		return texts_make(c, f, values, n);
	return attribute == A_PORT ? ports_make(c, f, values, n) : cidrs_make(c, f, values, n);
}

static int
fields_room(struct compile *c, struct fields *f, size_t n)
{
	f->items = ap_arena_zalloc(c->arena, (n + 1) * sizeof(*f->items));
	return f->items == NULL ? ap_error_set(c->err, -ENOMEM, "the policy is too large") : 0;
}

#define ADD(attribute_, negative_, name_)                                                                            \
	do {                                                                                                         \
		if ((rc = field_add(c, out, (attribute_), (negative_), AP_SLICE_NONE, m->name_, m->n_##name_)) != 0) \
			return rc;                                                                                   \
	} while (0)

static int
source_make(struct compile *c, const Ambit__Waypoint__Source *m, struct fields *out)
{
	int rc = fields_room(c, out, 12);

	if (rc != 0)
		return rc;
	ADD(A_PRINCIPAL, false, principals);
	ADD(A_PRINCIPAL, true, not_principals);
	ADD(A_NAMESPACE, false, namespaces);
	ADD(A_NAMESPACE, true, not_namespaces);
	ADD(A_ACCOUNT, false, service_accounts);
	ADD(A_ACCOUNT, true, not_service_accounts);
	ADD(A_SOURCE_IP, false, ip_blocks);
	ADD(A_SOURCE_IP, true, not_ip_blocks);
	ADD(A_REMOTE_IP, false, remote_ip_blocks);
	ADD(A_REMOTE_IP, true, not_remote_ip_blocks);
	ADD(A_REQUEST_PRINCIPAL, false, request_principals);
	ADD(A_REQUEST_PRINCIPAL, true, not_request_principals);
	return 0;
}

static int
operation_make(struct compile *c, const Ambit__Waypoint__Operation *m, struct fields *out)
{
	int rc = fields_room(c, out, 8);

	if (rc != 0)
		return rc;
	ADD(A_PORT, false, ports);
	ADD(A_PORT, true, not_ports);
	ADD(A_METHOD, false, methods);
	ADD(A_METHOD, true, not_methods);
	ADD(A_HOST, false, hosts);
	ADD(A_HOST, true, not_hosts);
	ADD(A_PATH, false, paths);
	ADD(A_PATH, true, not_paths);
	return 0;
}

static const struct {
	const char *key;
	enum attribute attribute;
} condition_keys[] = {
	{ "source.ip", A_SOURCE_IP },
	{ "remote.ip", A_REMOTE_IP },
	{ "source.namespace", A_NAMESPACE },
	{ "source.principal", A_PRINCIPAL },
	{ "source.serviceAccount", A_ACCOUNT },
	{ "request.auth.principal", A_REQUEST_PRINCIPAL },
	{ "request.auth.audiences", A_JWT },
	{ "request.auth.presenter", A_JWT },
	{ "destination.ip", A_DESTINATION_IP },
	{ "destination.port", A_PORT },
	{ "connection.sni", A_SNI },
};

/* "prefix[name]" gives the name, else empty. */
static struct ap_slice
bracketed(struct ap_slice key, const char *prefix)
{
	struct ap_slice p = ap_slice_of(prefix);

	if (!ap_slice_starts(key, p) || !ap_slice_ends(key, AP_S("]")) || key.len <= p.len + 1)
		return AP_SLICE_NONE;
	return ap_slice_sub(key, p.len, key.len - p.len - 1);
}

static int
condition_make(struct compile *c, const Ambit__Waypoint__Condition *m, struct fields *out)
{
	struct ap_slice key = ap_slice_of(m->key), name = bracketed(key, "request.headers[");
	enum attribute attribute = A_HEADER;
	bool known = name.len > 0;
	int rc;

	if (name.len > 0) {
		char *low = ap_arena_strndup(c->arena, name.ptr, name.len);

		if (low == NULL)
			return ap_error_set(c->err, -ENOMEM, "the policy is too large");
		for (char *p = low; *p != '\0'; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
		name = ap_slice(low, name.len);
	} else if (bracketed(key, "request.auth.claims[").len > 0) {
		attribute = A_JWT;
		known = true;
	}
	for (size_t i = 0; !known && i < AP_COUNTOF(condition_keys); i++) {
		if (ap_slice_eq_text(key, condition_keys[i].key)) {
			attribute = condition_keys[i].attribute;
			known = true;
		}
	}
	if (!known)
		return ap_error_set(c->err, -EINVAL, "condition key \"%s\" is not known", m->key);
	if ((rc = field_add(c, out, attribute, false, name, m->values, m->n_values)) != 0)
		return rc;
	return field_add(c, out, attribute, true, name, m->not_values, m->n_not_values);
}

static int
rule_make(struct compile *c, const Ambit__Waypoint__Rule *m, struct rule *out)
{
	int rc = fields_room(c, &out->when, m->n_when * 2);

	if (rc != 0)
		return rc;
	out->from = ap_arena_zalloc(c->arena, (m->n_from + 1) * sizeof(*out->from));
	out->to = ap_arena_zalloc(c->arena, (m->n_to + 1) * sizeof(*out->to));
	if (out->from == NULL || out->to == NULL)
		return ap_error_set(c->err, -ENOMEM, "the policy is too large");
	for (size_t i = 0; i < m->n_from; i++)
		if ((rc = source_make(c, m->from[i], &out->from[i])) != 0)
			return rc;
	for (size_t i = 0; i < m->n_to; i++)
		if ((rc = operation_make(c, m->to[i], &out->to[i])) != 0)
			return rc;
	for (size_t i = 0; i < m->n_when; i++)
		if ((rc = condition_make(c, m->when[i], &out->when)) != 0)
			return rc;
	out->from_count = (uint32_t)m->n_from;
	out->to_count = (uint32_t)m->n_to;
	return 0;
}

int
wp_policy_decode(struct ap_slice body, struct wp_policy **out, struct ap_error *err)
{
	struct compile c = { .err = err, .arena = ap_arena_new(POLICY_MAX) };
	const Ambit__Waypoint__Policy *m = wp_unpack(c.arena, &ambit__waypoint__policy__descriptor, body, err);
	struct wp_policy *p = ap_new(struct wp_policy);
	int rc = -EINVAL;

	c.policy = p;
	p->magic = POLICY_MAGIC;
	p->arena = c.arena;
	ap_refs_init(&p->refs);
	if (m == NULL || (unsigned)m->action > WP_AUDIT) {
		if (m != NULL)
			ap_error_set(err, rc, "the policy's action is not known");
		goto refused;
	}
	p->key = ap_arena_printf(c.arena, "%s/%s", m->namespace_, m->name);
	p->namespace_ = ap_slice_of(m->namespace_);
	p->action = (enum wp_action)m->action;
	p->dry_run = m->dry_run;
	p->rules = ap_arena_zalloc(c.arena, (m->n_rules + 1) * sizeof(*p->rules));
	p->rule_count = (uint32_t)m->n_rules;
	for (size_t i = 0; p->rules != NULL && i < m->n_rules; i++) {
		rc = rule_make(&c, m->rules[i], &p->rules[i]);
		if (rc != 0) {
			ap_error_wrap(err, "rule %zu", i);
			goto refused;
		}
	}
	if (ap_arena_is_full(c.arena)) {
		ap_error_set(err, -ENOMEM, "the policy is too large");
		goto refused;
	}
	*out = p;
	return 0;
refused:
	ap_arena_free(&c.arena);
	ap_free(&p);
	return rc == 0 ? -EINVAL : rc;
}

struct wp_policy *
wp_policy_ref(struct wp_policy *p)
{
	ap_refs_add(&p->refs);
	return p;
}

void
wp_policy_unref(struct wp_policy **pp)
{
	struct wp_policy *p = *pp;

	*pp = NULL;
	if (p == NULL || !ap_refs_drop(&p->refs))
		return;
	AP_IS(p, POLICY_MAGIC);
	ap_arena_free(&p->arena);
	ap_free(&p);
}

struct ap_slice
wp_policy_key(const struct wp_policy *p)
{
	return p->key;
}

enum wp_action
wp_policy_action(const struct wp_policy *p)
{
	return p->action;
}

bool
wp_policy_is_dry_run(const struct wp_policy *p)
{
	return p->dry_run;
}

/* NULL pointer: the request has no such thing. */
static struct ap_slice
attribute_text(const struct field *f, const struct wp_view *v)
{
	struct ap_slice s = AP_SLICE_NONE;

	switch ((enum attribute)f->attribute) {
	case A_PRINCIPAL:
		s = v->principal;
		break;
	case A_NAMESPACE:
		s = v->source_namespace;
		break;
	case A_HOST:
		s = v->authority;
		break;
	case A_METHOD:
		s = v->method;
		break;
	case A_PATH:
		s = v->path;
		break;
	case A_SNI:
		s = v->sni;
		break;
	case A_HEADER:
		return wp_view_header(v, f->name);
	case A_ACCOUNT:
		/* The namespace and account stand in the identity as "ns/x/sa/y"; ours is written "x/y". */
		if (v->source_account.len > 0)
			s = ap_arena_printf(
			    v->arena, "%.*s/%.*s", AP_FMT(v->source_namespace), AP_FMT(v->source_account));
		break;
	case A_REQUEST_PRINCIPAL:
	case A_JWT:
	case A_TEXTS:
	case A_SOURCE_IP:
	case A_REMOTE_IP:
	case A_DESTINATION_IP:
	case A_PORT:
		break;
	}
	return s.len == 0 ? AP_SLICE_NONE : s;
}

static bool
field_any(const struct field *f, const struct wp_view *v)
{
	const struct ap_ip *ip;
	struct ap_slice s;

	if (f->attribute == A_PORT) {
		for (uint32_t i = 0; i < f->count; i++)
			if (f->u.ports[i] == v->destination_port)
				return true;
		return false;
	}
	if (f->attribute > A_TEXTS) {
		ip = f->attribute == A_DESTINATION_IP ? &v->destination_ip : &v->source_ip;
		for (uint32_t i = 0; ip->len != 0 && i < f->count; i++)
			if (ap_cidr_has(&f->u.cidrs[i], ip))
				return true;
		return false;
	}
	s = attribute_text(f, v);
	for (uint32_t i = 0; s.ptr != NULL && i < f->count; i++)
		if (wp_text_matches(&f->u.texts[i], v->undecided, s))
			return true;
	return false;
}

static bool
fields_hold(const struct fields *fs, const struct wp_view *v, bool is_deny)
{
	for (uint32_t i = 0; i < fs->count; i++) {
		const struct field *f = &fs->items[i];

		if (v->is_tcp && is_http(f->attribute)) {
			if (is_deny)
				continue;
			return false;
		}
		if (field_any(f, v) == f->negative)
			return false;
	}
	return true;
}

static bool
blocks_hold(const struct fields *blocks, uint32_t count, const struct wp_view *v, bool is_deny)
{
	if (count == 0)
		return true;
	for (uint32_t i = 0; i < count; i++)
		if (fields_hold(&blocks[i], v, is_deny))
			return true;
	return false;
}

bool
wp_policy_matches(const struct wp_policy *p, const struct wp_view *v, uint32_t *out_rule)
{
	bool is_deny = p->action == WP_DENY;

	for (uint32_t i = 0; i < p->rule_count; i++) {
		const struct rule *r = &p->rules[i];

		if (blocks_hold(r->from, r->from_count, v, is_deny) && blocks_hold(r->to, r->to_count, v, is_deny) &&
		    fields_hold(&r->when, v, is_deny)) {
			*out_rule = i;
			return true;
		}
	}
	return false;
}

static struct wp_authz_result
check(struct wp_policy *const *policies, size_t count, const struct wp_view *v)
{
	struct wp_authz_result r = { .verdict = WP_AUTHZ_ALLOW };
	bool has_allow = false;

	for (size_t i = 0; i < count; i++) {
		if (policies[i] == NULL)
			return (struct wp_authz_result){ .verdict = WP_AUTHZ_DENY_UNKNOWN };
		if (policies[i]->action == WP_DENY && !policies[i]->dry_run &&
		    wp_policy_matches(policies[i], v, &r.rule)) {
			r.verdict = WP_AUTHZ_DENY_EXPLICIT;
			r.policy = policies[i];
			return r;
		}
		has_allow |= policies[i]->action == WP_ALLOW && !policies[i]->dry_run;
	}
	if (!has_allow)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (policies[i]->action == WP_ALLOW && !policies[i]->dry_run &&
		    wp_policy_matches(policies[i], v, &r.rule)) {
			r.policy = policies[i];
			return r;
		}
	}
	r.verdict = WP_AUTHZ_DENY_IMPLICIT;
	return r;
}

struct wp_authz_result
wp_authz_check(struct wp_policy *const *policies, size_t count, const struct wp_view *v)
{
	struct wp_authz_result r = check(policies, count, v);

	/* A text that had no room would have looked absent to a not-field. */
	if (ap_arena_is_full(v->arena))
		return (struct wp_authz_result){ .verdict = WP_AUTHZ_DENY_UNKNOWN };
	return r;
}
