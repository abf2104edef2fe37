/*
 * f_authz.h -- AuthorizationPolicy with all its fields, as Istio's API says; compiled from ambit.waypoint.Policy,
 * immutable, counted.  Pure.  A policy that cannot be compiled is refused, and a host that names it denies.
 */
#ifndef WAYPOINT_F_AUTHZ_H
#define WAYPOINT_F_AUTHZ_H
#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"
#include "waypoint/wp_match.h"

enum wp_action { WP_ALLOW, WP_DENY, WP_AUDIT };

struct wp_policy;

int wp_policy_decode(struct ap_slice body, struct wp_policy **out, struct ap_error *err);
struct wp_policy *wp_policy_ref(struct wp_policy *p);
void wp_policy_unref(struct wp_policy **p);
struct ap_slice wp_policy_key(const struct wp_policy *p); /* "namespace/name" */
enum wp_action wp_policy_action(const struct wp_policy *p);
bool wp_policy_is_dry_run(const struct wp_policy *p);
/* Whether its rules match, whatever the action; out_rule: which. */
bool wp_policy_matches(const struct wp_policy *p, const struct wp_view *v, uint32_t *out_rule);

enum wp_authz { WP_AUTHZ_ALLOW, WP_AUTHZ_DENY_EXPLICIT, WP_AUTHZ_DENY_IMPLICIT, WP_AUTHZ_DENY_UNKNOWN };

struct wp_authz_result {
	enum wp_authz verdict;
	const struct wp_policy *policy; /* that decided, or NULL */
	uint32_t rule;
};

/* DENY first, then ALLOW; a NULL among the policies is one that is named but not known: deny. */
struct wp_authz_result wp_authz_check(struct wp_policy *const *policies, size_t count, const struct wp_view *v);

#endif
