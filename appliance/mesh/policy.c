/*
 * policy.c -- istio.security.Authorization compiled into flat rows, and whether they match one connection.  The semantics are
 * those of istio-ambient.md 4.3, with its traps: matches are OR although a comment upstream says AND, a match without any
 * field never matches, no groups never match, no rules always do.  Immutable: any thread.
 */
#include "mesh/policy.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/refs.h"
#include "istio/authorization.pb-c.h"
#include "mesh/policy_priv.h"
#include "mesh/table.h"
#include "net/x509.h"

#define POLICY_BYTES_MAX ((size_t)16 * 1024 * 1024)

static void *
array(struct ap_arena *arena, size_t count, size_t size)
{
	/* Never NULL: the ceiling was checked against the message's size, and what is compiled is of its order. */
	void *p = ap_arena_zalloc(arena, count == 0 ? 1 : count * size);

	AP_CHECK(p != NULL);
	return p;
}

static struct texts
compile_texts(struct ap_arena *arena, Istio__Security__StringMatch *const *m, size_t count)
{
	struct text_match *out = array(arena, count, sizeof(*out));
	size_t i;

	for (i = 0; i < count; i++) {
		const char *s = "";

		switch (m[i]->match_type_case) {
		case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX:
			out[i].kind = TEXT_PREFIX;
			s = m[i]->prefix;
			break;
		case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_SUFFIX:
			out[i].kind = TEXT_SUFFIX;
			s = m[i]->suffix;
			break;
		case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PRESENCE:
			out[i].kind = TEXT_PRESENT;
			break;
		case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_EXACT:
			s = m[i]->exact;
			break;
		case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE__NOT_SET:
		case _ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE__CASE_IS_INT_SIZE:
		default:
			break;
		}
		out[i].text = ap_arena_copy(arena, ap_slice_of(s));
	}
	return (struct texts){ .items = out, .count = count };
}

static int
compile_cidrs(struct ap_arena *arena, Istio__Security__Address *const *m, size_t count, struct cidrs *out,
    struct ap_error *err)
{
	struct ap_cidr *items = array(arena, count, sizeof(*items));
	size_t i;

	for (i = 0; i < count; i++) {
		uint32_t bits = m[i]->length;

		if (ap_ip_from_bytes(m[i]->address.data, m[i]->address.len, &items[i].ip) != 0 ||
		    bits > m[i]->address.len * 8)
			return ap_error_set(err, -EINVAL, "address block that is none");
		if (m[i]->address.len == 16 && items[i].ip.len == 4)
			bits = bits >= 96 ? bits - 96 : 0;
		items[i].bits = (uint8_t)bits;
	}
	*out = (struct cidrs){ .items = items, .count = count };
	return 0;
}

static int
compile_ports(
    struct ap_arena *arena, const uint32_t *m, size_t count, struct ports *out, struct ap_error *err)
{
	uint16_t *items = array(arena, count, sizeof(*items));
	size_t i;

	for (i = 0; i < count; i++) {
		if (m[i] > 65535)
			return ap_error_set(err, -EINVAL, "port %u", m[i]);
		items[i] = (uint16_t)m[i];
	}
	*out = (struct ports){ .items = items, .count = count };
	return 0;
}

static struct accounts
compile_accounts(struct ap_arena *arena, Istio__Security__ServiceAccountMatch *const *m, size_t count)
{
	struct account *items = array(arena, count, sizeof(*items));
	size_t i;

	for (i = 0; i < count; i++) {
		items[i].namespace_ = ap_arena_copy(arena, ap_slice_of(m[i]->namespace_));
		items[i].account = ap_arena_copy(arena, ap_slice_of(m[i]->serviceaccount));
	}
	return (struct accounts){ .items = items, .count = count };
}

static int
compile_match(
    struct ap_arena *arena, const Istio__Security__Match *m, struct match *out, struct ap_error *err)
{
	int r = 0;

	out->namespaces = compile_texts(arena, m->namespaces, m->n_namespaces);
	out->not_namespaces = compile_texts(arena, m->not_namespaces, m->n_not_namespaces);
	out->principals = compile_texts(arena, m->principals, m->n_principals);
	out->not_principals = compile_texts(arena, m->not_principals, m->n_not_principals);
	out->accounts = compile_accounts(arena, m->service_accounts, m->n_service_accounts);
	out->not_accounts = compile_accounts(arena, m->not_service_accounts, m->n_not_service_accounts);
	if (r == 0)
		r = compile_cidrs(arena, m->source_ips, m->n_source_ips, &out->source_ips, err);
	if (r == 0)
		r = compile_cidrs(arena, m->not_source_ips, m->n_not_source_ips, &out->not_source_ips, err);
	if (r == 0)
		r = compile_cidrs(arena, m->destination_ips, m->n_destination_ips, &out->destination_ips, err);
	if (r == 0)
		r = compile_cidrs(
		    arena, m->not_destination_ips, m->n_not_destination_ips, &out->not_destination_ips, err);
	if (r == 0)
		r = compile_ports(arena, m->destination_ports, m->n_destination_ports, &out->ports, err);
	if (r == 0)
		r = compile_ports(arena, m->not_destination_ports, m->n_not_destination_ports, &out->not_ports, err);
	out->is_empty = m->n_namespaces + m->n_not_namespaces + m->n_principals + m->n_not_principals +
	        m->n_service_accounts + m->n_not_service_accounts + m->n_source_ips + m->n_not_source_ips +
	        m->n_destination_ips + m->n_not_destination_ips + m->n_destination_ports +
	        m->n_not_destination_ports ==
	    0;
	return r;
}

static int
compile_groups(struct ap_authz_policy *p, const Istio__Security__Authorization *m, struct ap_error *err)
{
	struct group *groups = array(p->arena, m->n_groups, sizeof(*groups));
	size_t g, r, i;
	int code;

	for (g = 0; g < m->n_groups; g++) {
		struct rules *rules = array(p->arena, m->groups[g]->n_rules, sizeof(*rules));

		for (r = 0; r < m->groups[g]->n_rules; r++) {
			const Istio__Security__Rules *from = m->groups[g]->rules[r];
			struct match *matches = array(p->arena, from->n_matches, sizeof(*matches));

			for (i = 0; i < from->n_matches; i++) {
				code = compile_match(p->arena, from->matches[i], &matches[i], err);
				if (code != 0)
					return code;
			}
			rules[r] = (struct rules){ .items = matches, .count = from->n_matches };
		}
		groups[g] = (struct group){ .items = rules, .count = m->groups[g]->n_rules };
	}
	p->groups = groups;
	p->group_count = m->n_groups;
	return 0;
}

static int
compile(const Istio__Security__Authorization *m, struct ap_authz_policy *p, struct ap_error *err)
{
	switch (m->scope) {
	case ISTIO__SECURITY__SCOPE__GLOBAL:
		p->scope = AP_AUTHZ_GLOBAL;
		break;
	case ISTIO__SECURITY__SCOPE__NAMESPACE:
		p->scope = AP_AUTHZ_NAMESPACE;
		break;
	case ISTIO__SECURITY__SCOPE__WORKLOAD_SELECTOR:
		p->scope = AP_AUTHZ_SELECTED;
		break;
	case _ISTIO__SECURITY__SCOPE_IS_INT_SIZE:
	default:
		return ap_error_set(err, -EINVAL, "unknown scope %d", (int)m->scope);
	}
	if ((unsigned)m->action > ISTIO__SECURITY__ACTION__DENY)
		return ap_error_set(err, -EINVAL, "unknown action %d", (int)m->action);
	if (m->name[0] == '\0')
		return ap_error_set(err, -EINVAL, "policy without a name");
	p->key = ap_arena_printf(p->arena, "%s/%s", m->namespace_, m->name);
	p->namespace_ = ap_slice_sub(p->key, 0, strlen(m->namespace_));
	p->is_deny = m->action == ISTIO__SECURITY__ACTION__DENY;
	p->is_dry_run = m->dry_run != 0;
	return compile_groups(p, m, err);
}

int
ap_authz_policy_decode(struct ap_slice body, struct ap_authz_policy **out, struct ap_error *err)
{
	Istio__Security__Authorization *m;
	struct ap_authz_policy *p;
	int r;

	if (body.len > POLICY_BYTES_MAX)
		return ap_error_set(err, -EFBIG, "policy of %zu bytes", body.len);
	m = istio__security__authorization__unpack(NULL, body.len, (const uint8_t *)body.ptr);
	if (m == NULL)
		return ap_error_set(err, -EINVAL, "not an istio.security.Authorization");
	p = ap_new(struct ap_authz_policy);
	p->magic = POLICY_MAGIC;
	ap_refs_init(&p->refs);
	/* An empty match takes 2 bytes on the wire and some 200 here. */
	p->arena = ap_arena_new(body.len * 256 + 65536);
	r = compile(m, p, err);
	istio__security__authorization__free_unpacked(m, NULL);
	if (r != 0)
		ap_authz_policy_unref(&p);
	*out = p;
	return r;
}

struct ap_authz_policy *
ap_authz_policy_ref(struct ap_authz_policy *p)
{
	if (p != NULL)
		ap_refs_add(&p->refs);
	return p;
}

void
ap_authz_policy_unref(struct ap_authz_policy **p)
{
	struct ap_authz_policy *old = *p;

	*p = NULL;
	if (old == NULL)
		return;
	AP_IS(old, POLICY_MAGIC);
	if (!ap_refs_drop(&old->refs))
		return;
	ap_arena_free(&old->arena);
	old->magic = 0;
	ap_free(&old);
}

struct ap_slice
ap_authz_policy_key(const struct ap_authz_policy *p)
{
	return p->key;
}

enum ap_authz_scope
ap_authz_policy_scope(const struct ap_authz_policy *p)
{
	return p->scope;
}

struct ap_slice
ap_authz_policy_namespace(const struct ap_authz_policy *p)
{
	return p->namespace_;
}

bool
ap_authz_policy_is_deny(const struct ap_authz_policy *p)
{
	return p->is_deny;
}

bool
ap_authz_policy_is_dry_run(const struct ap_authz_policy *p)
{
	return p->is_dry_run;
}

/* Matching. A peer without identity has no value: positive lists fail, negative ones pass. */

static bool
text_matches(const struct text_match *m, struct ap_slice value)
{
	switch (m->kind) {
	case TEXT_EXACT:
		return ap_slice_eq(value, m->text);
	case TEXT_PREFIX:
		return ap_slice_starts(value, m->text);
	case TEXT_SUFFIX:
		return ap_slice_ends(value, m->text);
	case TEXT_PRESENT:
		return value.len > 0;
	}
	return false;
}

static bool
any_text(const struct texts *t, struct ap_slice value)
{
	size_t i;

	for (i = 0; value.len > 0 && i < t->count; i++) {
		if (text_matches(&t->items[i], value))
			return true;
	}
	return false;
}

static bool
any_cidr(const struct cidrs *c, const struct ap_ip *ip)
{
	size_t i;

	for (i = 0; i < c->count; i++) {
		if (ap_cidr_has(&c->items[i], ip))
			return true;
	}
	return false;
}

static bool
any_port(const struct ports *p, uint16_t port)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (p->items[i] == port)
			return true;
	}
	return false;
}

static bool
any_account(const struct accounts *a, struct ap_slice namespace_, struct ap_slice account)
{
	size_t i;

	for (i = 0; account.len > 0 && i < a->count; i++) {
		if (ap_slice_eq(a->items[i].namespace_, namespace_) && ap_slice_eq(a->items[i].account, account))
			return true;
	}
	return false;
}

struct peer {
	const struct ap_authz_request *req;
	struct ap_slice principal, namespace_, account;
};

static bool
match_matches(const struct match *m, const struct peer *p)
{
	const struct ap_authz_request *req = p->req;

	if (m->is_empty)
		return false;
	if (m->ports.count > 0 && !any_port(&m->ports, req->destination_port))
		return false;
	if (m->not_ports.count > 0 && any_port(&m->not_ports, req->destination_port))
		return false;
	if (m->namespaces.count > 0 && !any_text(&m->namespaces, p->namespace_))
		return false;
	if (m->not_namespaces.count > 0 && any_text(&m->not_namespaces, p->namespace_))
		return false;
	if (m->principals.count > 0 && !any_text(&m->principals, p->principal))
		return false;
	if (m->not_principals.count > 0 && any_text(&m->not_principals, p->principal))
		return false;
	if (m->accounts.count > 0 && !any_account(&m->accounts, p->namespace_, p->account))
		return false;
	if (m->not_accounts.count > 0 && any_account(&m->not_accounts, p->namespace_, p->account))
		return false;
	if (m->source_ips.count > 0 && !any_cidr(&m->source_ips, &req->source_ip))
		return false;
	if (m->not_source_ips.count > 0 && any_cidr(&m->not_source_ips, &req->source_ip))
		return false;
	if (m->destination_ips.count > 0 && !any_cidr(&m->destination_ips, &req->destination_ip))
		return false;
	return m->not_destination_ips.count == 0 || !any_cidr(&m->not_destination_ips, &req->destination_ip);
}

static bool
rules_match(const struct rules *r, const struct peer *p)
{
	size_t i;

	for (i = 0; i < r->count; i++) {
		if (match_matches(&r->items[i], p))
			return true;
	}
	return r->count == 0;
}

static bool
group_matches(const struct group *g, const struct peer *p)
{
	size_t i;

	for (i = 0; i < g->count; i++) {
		if (!rules_match(&g->items[i], p))
			return false;
	}
	return true;
}

bool
ap_authz_policy_matches(const struct ap_authz_policy *policy, const struct ap_authz_request *req)
{
	struct peer p = { .req = req };
	struct ap_slice td;
	size_t i;

	if (ap_slice_starts(req->identity, AP_S("spiffe://")))
		p.principal = ap_slice_from(req->identity, sizeof("spiffe://") - 1);
	if (req->identity.len > 0 && !ap_spiffe_parse(req->identity, &td, &p.namespace_, &p.account)) {
		p.namespace_ = AP_SLICE_NONE;
		p.account = AP_SLICE_NONE;
	}
	for (i = 0; i < policy->group_count; i++) {
		if (group_matches(&policy->groups[i], &p))
			return true;
	}
	return false;
}
