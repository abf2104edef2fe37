/*
 * policy_check.c -- the decision for one connection (istio-ambient.md 4.1 and 4.2): which policies apply to a workload, in one pass
 * over them.  Policies of other namespaces and those selected for other workloads are never looked at.
 */
#include <stdio.h>

#include "base/log.h"
#include "mesh/policy.h"
#include "mesh/table.h"
#include "mesh/table_priv.h"

AP_LOG_MODULE(mesh_policy);

struct deciding {
	const struct ap_authz_request *req;
	struct ap_authz_result result;
	bool has_allow, is_allowed, is_denied;
};

static void
consider(struct deciding *d, const struct ap_authz_policy *p)
{
	bool deny = ap_authz_policy_is_deny(p);

	if (d->is_denied)
		return;
	if (ap_authz_policy_is_dry_run(p)) {
		if (ap_log_is_on(&ap_log_this, AP_LOG_DEBUG) && ap_authz_policy_matches(p, d->req))
			LOG_DEBUG(NULL, "dry run: %s would %s", ap_authz_policy_key(p).ptr, deny ? "deny" : "allow");
		return;
	}
	if (!deny)
		d->has_allow = true;
	if (!deny && d->is_allowed)
		return;
	if (!ap_authz_policy_matches(p, d->req))
		return;
	if (deny) {
		d->is_denied = true;
		d->result.verdict = AP_AUTHZ_DENY_EXPLICIT;
		d->result.policy = ap_authz_policy_key(p);
	} else {
		d->is_allowed = true;
		d->result.policy = ap_authz_policy_key(p);
	}
}

static void
consider_bag(struct deciding *d, const struct mesh_bag *b)
{
	uint32_t i;

	for (i = 0; i < b->count; i++)
		consider(d, mesh_bag_items(b)[i]);
}

struct ap_authz_result
ap_authz_check(
    const struct ap_mesh_table *t, const struct ap_mesh_workload *w, const struct ap_authz_request *req)
{
	struct deciding d = { .req = req };
	struct ap_slice unknown = AP_SLICE_NONE;
	const struct ap_authz_policy *p;
	const struct mesh_node *n;
	uint32_t i;

	consider_bag(&d, &t->global_policies);
	n = t->namespace_policies.count == 0 ? NULL : mesh_index_find(&t->namespace_policies, w->namespace_);
	if (n != NULL)
		consider_bag(&d, &n->bag);
	for (i = 0; i < w->policy_count; i++) {
		p = mesh_index_find(&t->policies, w->policies[i]);
		if (p == NULL)
			unknown = w->policies[i];
		else if (ap_authz_policy_scope(p) == AP_AUTHZ_SELECTED)
			consider(&d, p);
	}
	if (d.is_denied)
		return d.result;
	if (unknown.ptr != NULL)
		return (struct ap_authz_result){ .verdict = AP_AUTHZ_DENY_UNKNOWN, .policy = unknown };
	if (d.has_allow && !d.is_allowed)
		return (struct ap_authz_result){ .verdict = AP_AUTHZ_DENY_IMPLICIT };
	return d.result;
}

const char *
ap_authz_reason(const struct ap_authz_result *result, char *out, size_t size)
{
	switch (result->verdict) {
	case AP_AUTHZ_ALLOW:
		(void)snprintf(out, size, "allowed");
		break;
	case AP_AUTHZ_DENY_EXPLICIT:
		(void)snprintf(out, size, "explicitly denied by: %.*s", AP_FMT(result->policy));
		break;
	case AP_AUTHZ_DENY_IMPLICIT:
		(void)snprintf(out, size, "allow policies exist, but none allowed");
		break;
	case AP_AUTHZ_DENY_UNKNOWN:
		(void)snprintf(out, size, "denied until the policy is known: %.*s", AP_FMT(result->policy));
		break;
	}
	return out;
}
