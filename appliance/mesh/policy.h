/*
 * policy.h -- L4 authorization as istio-ambient.md 4 has it: policies compiled once, found by scope, so that those which do not
 * apply cost nothing.  Unlike Istio's, a policy that a workload names and that is not known denies.
 */
#ifndef MESH_POLICY_H
#define MESH_POLICY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

struct ap_buf;
struct ap_authz_policy; /* compiled, immutable, counted */
struct ap_mesh_table;
struct ap_mesh_workload;

enum ap_authz_scope { AP_AUTHZ_GLOBAL, AP_AUTHZ_NAMESPACE, AP_AUTHZ_SELECTED };

/* One connection as policies see it. */
struct ap_authz_request {
	struct ap_slice identity; /* of the peer's certificate, "spiffe://td/ns/x/sa/y"; empty: no identity */
	struct ap_ip source_ip, destination_ip;
	uint16_t destination_port; /* of the application */
};

enum ap_authz_verdict {
	AP_AUTHZ_ALLOW,
	AP_AUTHZ_DENY_EXPLICIT, /* a DENY policy matched */
	AP_AUTHZ_DENY_IMPLICIT, /* ALLOW policies exist and none matched */
	AP_AUTHZ_DENY_UNKNOWN,  /* the workload names a policy that is not known */
};

struct ap_authz_result {
	enum ap_authz_verdict verdict;
	struct ap_slice policy; /* "namespace/name" that decided, or empty; lives as long as the table's next change */
};

AP_PUBLIC_BEGIN
/* From an istio.security.Authorization, with one reference. */
int ap_authz_policy_decode(struct ap_slice body, struct ap_authz_policy **out, struct ap_error *err);
struct ap_authz_policy *ap_authz_policy_ref(struct ap_authz_policy *p);
void ap_authz_policy_unref(struct ap_authz_policy **p);
struct ap_slice ap_authz_policy_key(const struct ap_authz_policy *p); /* "namespace/name" */
enum ap_authz_scope ap_authz_policy_scope(const struct ap_authz_policy *p);
struct ap_slice ap_authz_policy_namespace(const struct ap_authz_policy *p);
bool ap_authz_policy_is_deny(const struct ap_authz_policy *p);
bool ap_authz_policy_is_dry_run(const struct ap_authz_policy *p);
/* Its rules as JSON, for dumps: a list of groups, each a list of rules, each a list of matches. */
void ap_authz_policy_rules_json(const struct ap_authz_policy *p, struct ap_buf *out);
/* Whether its rules match, whatever the action. */
bool ap_authz_policy_matches(const struct ap_authz_policy *p, const struct ap_authz_request *req);

/* The decision of 4.2 for a connection to this workload. */
struct ap_authz_result ap_authz_check(
    const struct ap_mesh_table *t, const struct ap_mesh_workload *w, const struct ap_authz_request *req);
/* The sentence that operators grep for: "explicitly denied by: ns/name". Returns out. */
const char *ap_authz_reason(const struct ap_authz_result *result, char *out, size_t size);
AP_PUBLIC_END

#endif
