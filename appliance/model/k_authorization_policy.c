/* k_authorization_policy.c -- AuthorizationPolicy: who may call what, with Istio's own checks. */
#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/rows.h"

static void
check_ip_blocks(const struct ap_doc *list, struct ap_errors *errs)
{
	ap_check_cidr_list(list, errs);
}

static void
check_port_texts(const struct ap_doc *list, struct ap_errors *errs)
{
	uint64_t port;
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		if (ap_text_to_u64(item->string, 65535, &port) != 0 || port == 0)
			ap_complain(errs, item, "[%u]: \"%.*s\" is no port between 1 and 65535", i, AP_FMT(item->string));
		i++;
	}
}

/* Templates: {*} is one path element, {**} the rest; each a whole element, and {**} only once and last of the operators. */
static bool
is_path(struct ap_slice path)
{
	bool deep = false;
	struct ap_slice rest = path, part;

	if (ap_slice_search(path, AP_S("{*}")) == SIZE_MAX && ap_slice_search(path, AP_S("{**}")) == SIZE_MAX)
		return true;
	while (rest.ptr != NULL) {
		part = ap_slice_cut(&rest, '/');
		if (ap_slice_eq(part, AP_S("{**}"))) {
			if (deep)
				return false;
			deep = true;
		} else if (ap_slice_eq(part, AP_S("{*}"))) {
			if (deep)
				return false;
		} else if (ap_slice_find(part, '{') != SIZE_MAX || ap_slice_find(part, '}') != SIZE_MAX ||
		    ap_slice_find(part, '*') != SIZE_MAX) {
			return false;
		}
	}
	return true;
}

static void
check_paths(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		if (item->string.len == 0)
			ap_complain(errs, item, "[%u]: must not be empty", i);
		else if (!is_path(item->string))
			ap_complain(errs, item, "[%u]: \"%.*s\": {*} and {**} must be whole path elements, {**} once and after every {*}", i,
			    AP_FMT(item->string));
		i++;
	}
}

static void
check_accounts(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice rest = item->string, first = ap_slice_cut(&rest, '/');

		if (item->string.len > 320)
			ap_complain(errs, item, "[%u]: is longer than 320 characters", i);
		else if (first.len == 0 || (rest.ptr != NULL && (rest.len == 0 || ap_slice_find(rest, '/') != SIZE_MAX)))
			ap_complain(errs, item, "[%u]: \"%.*s\" must be a service account or namespace/service account", i,
			    AP_FMT(item->string));
		i++;
	}
}

static void
check_source(const struct ap_doc *node, struct ap_errors *errs)
{
	if (node->count == 0)
		ap_complain(errs, node, "must set at least one field");
	if ((ap_check_has(node, "serviceAccounts") || ap_check_has(node, "notServiceAccounts")) &&
	    (ap_check_has(node, "principals") || ap_check_has(node, "notPrincipals") || ap_check_has(node, "namespaces") ||
		ap_check_has(node, "notNamespaces")))
		ap_complain(errs, node, "Cannot set serviceAccounts with namespaces or principals");
	AP_DOC_FOR (member, node)
		if (member->type == AP_DOC_LIST && member->count == 0)
			ap_complain(errs, member, ".%.*s: must not be empty", AP_FMT(member->key));
}

#define TEXTS(name_, doc_) ROW_STRINGS(name_, doc_, .check = ap_check_non_empty_items)
static const struct ap_field_row source_rows[] = {
	ROW_STRINGS("ipBlocks", "Addresses of the connection.", .check = check_ip_blocks),
	TEXTS("namespaces", "Namespaces of the caller."),
	ROW_STRINGS("notIpBlocks", "None of these.", .check = check_ip_blocks),
	TEXTS("notNamespaces", "None of these."),
	TEXTS("notPrincipals", "None of these."),
	ROW_STRINGS("notRemoteIpBlocks", "None of these.", .check = check_ip_blocks),
	TEXTS("notRequestPrincipals", "None of these."),
	ROW_STRINGS("notServiceAccounts", "None of these.", .max = 16, .check = check_accounts),
	TEXTS("notTrustDomains", "None of these."),
	TEXTS("principals", "Identities of the caller without spiffe://."),
	ROW_STRINGS("remoteIpBlocks", "Addresses of the original client.", .check = check_ip_blocks),
	TEXTS("requestPrincipals", "issuer/subject of a validated token."),
	ROW_STRINGS("serviceAccounts", "Service accounts of the caller: name, or namespace/name.", .max = 16,
	    .check = check_accounts),
	TEXTS("trustDomains", "Trust domains of the caller."),
	ROW_END,
};
static const struct ap_schema source = { .name = "AuthorizationPolicy.spec.rules[].from[].source",
	.rows = source_rows,
	.check = check_source };
static const struct ap_field_row from_rows[] = {
	ROW_OBJECT("source", &source, "Conditions on the caller; all must hold.", REQUIRED),
	ROW_END,
};
static const struct ap_schema from = { .name = "AuthorizationPolicy.spec.rules[].from[]", .rows = from_rows };

static void
check_operation(const struct ap_doc *node, struct ap_errors *errs)
{
	if (node->count == 0)
		ap_complain(errs, node, "must set at least one field");
	AP_DOC_FOR (member, node)
		if (member->type == AP_DOC_LIST && member->count == 0)
			ap_complain(errs, member, ".%.*s: must not be empty", AP_FMT(member->key));
}

static const struct ap_field_row operation_rows[] = {
	TEXTS("hosts", "Hosts of the request."),
	TEXTS("methods", "Methods of the request."),
	TEXTS("notHosts", "None of these."),
	TEXTS("notMethods", "None of these."),
	ROW_STRINGS("notPaths", "None of these.", .check = check_paths),
	ROW_STRINGS("notPorts", "None of these.", .check = check_port_texts),
	ROW_STRINGS("paths", "Paths of the request.", .check = check_paths),
	ROW_STRINGS("ports", "Ports of the workload.", .check = check_port_texts),
	ROW_END,
};
static const struct ap_schema operation = { .name = "AuthorizationPolicy.spec.rules[].to[].operation",
	.rows = operation_rows,
	.check = check_operation };
static const struct ap_field_row to_rows[] = {
	ROW_OBJECT("operation", &operation, "Conditions on the request; all must hold.", REQUIRED),
	ROW_END,
};
static const struct ap_schema to = { .name = "AuthorizationPolicy.spec.rules[].to[]", .rows = to_rows };

static bool
is_key(struct ap_slice key)
{
	static const char *const whole[] = { "source.ip", "remote.ip", "source.namespace", "source.principal",
		"source.trustDomain", "source.serviceAccount", "request.auth.principal", "request.auth.audiences",
		"request.auth.presenter", "destination.ip", "destination.port", "connection.sni", NULL };
	static const char *const bracketed[] = { "request.headers[", "request.auth.claims[", "experimental.envoy.filters.",
		NULL };

	for (const char *const *k = whole; *k != NULL; k++)
		if (ap_slice_eq_text(key, *k))
			return true;
	for (const char *const *k = bracketed; *k != NULL; k++) {
		struct ap_slice prefix = ap_slice_of(*k);

		if (ap_slice_starts(key, prefix))
			return key.len > prefix.len + 1 && key.ptr[key.len - 1] == ']';
	}
	return false;
}

static void
check_condition(const struct ap_doc *node, struct ap_errors *errs)
{
	struct ap_slice key = ap_doc_string(node, "key", "");
	const struct ap_doc *lists[] = { ap_doc_get(node, "values"), ap_doc_get(node, "notValues") };
	struct ap_cidr cidr;
	uint64_t port;

	if (!is_key(key))
		ap_complain(errs, node, ".key: \"%.*s\" is not a condition key", AP_FMT(key));
	if ((lists[0] == NULL || lists[0]->count == 0) && (lists[1] == NULL || lists[1]->count == 0))
		ap_complain(errs, node, "at least one of values and notValues must be set");
	for (size_t i = 0; i < AP_COUNTOF(lists); i++)
		AP_DOC_FOR (item, lists[i]) {
			if (ap_slice_ends(key, AP_S(".ip")) && ap_cidr_parse(item->string, &cidr) != 0)
				ap_complain(errs, item, ".%s: \"%.*s\" is neither an address nor a network",
				    i == 0 ? "values" : "notValues", AP_FMT(item->string));
			if (ap_slice_eq(key, AP_S("destination.port")) &&
			    (ap_text_to_u64(item->string, 65535, &port) != 0 || port == 0))
				ap_complain(errs, item, ".%s: \"%.*s\" is no port", i == 0 ? "values" : "notValues",
				    AP_FMT(item->string));
			if (item->string.len == 0)
				ap_complain(errs, item, ".%s: must not be empty", i == 0 ? "values" : "notValues");
		}
}

static const struct ap_field_row condition_rows[] = {
	ROW_STRING("key", "What is compared: source.ip, request.headers[name], request.auth.claims[name], ...", REQUIRED),
	ROW_STRINGS("notValues", "None of these."),
	ROW_STRINGS("values", "Any of these."),
	ROW_END,
};
static const struct ap_schema condition = { .name = "AuthorizationPolicy.spec.rules[].when[]",
	.rows = condition_rows,
	.check = check_condition };

static void
check_rule(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "from", "to" };

	for (size_t i = 0; i < AP_COUNTOF(keys); i++) {
		const struct ap_doc *list = ap_doc_get(node, keys[i]);

		if (ap_doc_is(list, AP_DOC_LIST) && list->count == 0)
			ap_complain(errs, list, ".%s: must not be empty; leave it out to match everything", keys[i]);
	}
}

static const struct ap_field_row rule_rows[] = {
	ROW_OBJECTS("from", &from, "Callers; any one suffices; left out: everybody.", .max = 512),
	ROW_OBJECTS("to", &to, "Requests; any one suffices; left out: everything."),
	ROW_OBJECTS("when", &condition, "Further conditions; all must hold."),
	ROW_END,
};
static const struct ap_schema rule = { .name = "AuthorizationPolicy.spec.rules[]", .rows = rule_rows, .check = check_rule };

static const struct ap_field_row provider_rows[] = {
	ROW_STRING("name", "Extension provider."),
	ROW_END,
};
static const struct ap_schema provider = { .name = "AuthorizationPolicy.spec.provider", .rows = provider_rows };

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	struct ap_slice action = ap_doc_string(spec, "action", "ALLOW");
	const struct ap_doc *rules = ap_doc_get(spec, "rules");
	bool custom = ap_slice_eq(action, AP_S("CUSTOM"));

	if (ap_check_has(spec, "selector") + ap_check_has(spec, "targetRef") + ap_check_has(spec, "targetRefs") > 1)
		ap_complain(errs, spec, "only one of targetRefs or selector can be set");
	if (custom && ap_doc_string(ap_doc_get(spec, "provider"), "name", "").len == 0)
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, spec->at, ".provider.name: is required with action CUSTOM");
	/* Requests that an outside authorizer would deny must not pass because nobody asks it. */
	if (custom)
		ap_errors_add(errs, -ENOTSUP, ap_doc_get(spec, "action")->at,
		    ".action: CUSTOM is not honoured by Ambit, and going on without it would weaken security");
	if (!custom && ap_check_has(spec, "provider"))
		ap_complain(errs, spec, ".provider: must not be set with action %.*s", AP_FMT(action));
	if (ap_slice_eq(action, AP_S("DENY")) && (rules == NULL || rules->count == 0))
		ap_complain(errs, spec, ".rules: a DENY policy without rules never matches and has no effect");
}

static const char *const actions[] = { "ALLOW", "DENY", "AUDIT", "CUSTOM", NULL };
static const struct ap_field_row spec_rows[] = {
	ROW_STRING("action", "What happens to requests that a rule matches.", .values = actions, .preset = "ALLOW"),
	ROW_OBJECT("provider", &provider, "Who decides, with action CUSTOM."),
	ROW_OBJECTS("rules", &rule, "Any one suffices; none: never matches, so ALLOW without rules allows nothing.", .max = 512),
	ROW_OBJECT("selector", &ap_istio_selector, "Workloads that it is for; left out: all of the namespace."),
	ROW_OBJECT("targetRef", &ap_target_ref, "Old form of targetRefs."),
	ROW_OBJECTS("targetRefs", &ap_target_ref, "Services, gateways and the like whose waypoint applies it.", .max = 16),
	ROW_END,
};
static const struct ap_schema spec = { .name = "AuthorizationPolicy.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "AuthorizationPolicy", &spec, 0);

static const char *const short_names[] = { "ap", "authz", NULL };
static const struct ap_kind_column columns[] = { { "ACTION", "spec.action", false }, { NULL, NULL, false } };
const struct ap_kind ap_k_authorization_policy = {
	.group = "security.istio.io",
	.versions = ap_security_versions,
	.kind = "AuthorizationPolicy",
	.plural = "authorizationpolicies",
	.singular = "authorizationpolicy",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Says who may call what; enforced by the ztunnel of the destination, or by its waypoint.",
};
