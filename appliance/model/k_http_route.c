/* k_http_route.c -- HTTPRoute of the Gateway API, with the checks that its CRD states. Filters are in k_http_route_filters.c. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "model/k_gateway_parts.h"
#include "model/k_http_route.h"

static const char *const path_types[] = { "Exact", "PathPrefix", "RegularExpression", NULL };
static const char *const match_types[] = { "Exact", "RegularExpression", NULL };
static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
	NULL };

/* -- matches -- */

static bool
is_path_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("/-._~!$&'()*+,;=:@%", c) != NULL);
}

static void
check_path(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const bad[] = { "//", "/./", "/../", "%2f", "%2F", "#", NULL };
	struct ap_slice type = ap_doc_string(node, "type", "PathPrefix"), value = ap_doc_string(node, "value", "/");
	char why[160];

	if (ap_slice_eq(type, AP_S("RegularExpression"))) {
		if (ap_check_regex(value, why, sizeof(why)) != NULL)
			ap_complain(errs, node, ".value: cannot be used: %s", why);
		return;
	}
	if (value.len == 0 || value.ptr[0] != '/')
		ap_complain(errs, node, ".value: value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']");
	for (const char *const *b = bad; *b != NULL; b++)
		if (ap_slice_search(value, ap_slice_of(*b)) != SIZE_MAX)
			ap_complain(errs, node, ".value: must not contain '%s' when type one of ['Exact', 'PathPrefix']", *b);
	if (ap_slice_ends(value, AP_S("/..")) || ap_slice_ends(value, AP_S("/.")))
		ap_complain(errs, node, ".value: must not end with '/..' or '/.'");
	for (size_t i = 0; i < value.len; i++)
		if (!is_path_char(value.ptr[i]) && value.ptr[i] != '#') {
			ap_complain(errs, node, ".value: must only contain valid characters of a path");
			break;
		}
}

static const struct ap_field_row path_rows[] = {
	ROW_STRING("type", "How the path is compared.", .values = path_types, .preset = "PathPrefix"),
	ROW_STRING("value", "The path.", .max = 1024, .preset = "/"),
	ROW_END,
};
static const struct ap_schema path = { .name = "HTTPRoute.spec.rules[].matches[].path",
	.rows = path_rows,
	.check = check_path };

static void
check_named(const struct ap_doc *node, struct ap_errors *errs)
{
	char why[160];

	if (ap_slice_eq(ap_doc_string(node, "type", "Exact"), AP_S("RegularExpression")) &&
	    ap_check_regex(ap_doc_string(node, "value", ""), why, sizeof(why)) != NULL)
		ap_complain(errs, node, ".value: cannot be used: %s", why);
}

static const struct ap_field_row header_rows[] = {
	ROW_STRING("name", "Name of the header.", REQUIRED, .min = 1, .max = 256, .check = ap_check_header_name),
	ROW_STRING("type", "How the value is compared.", .values = match_types, .preset = "Exact"),
	ROW_STRING("value", "The value.", REQUIRED, .min = 1, .max = 4096),
	ROW_END,
};
static const struct ap_schema header = { .name = "HTTPRoute.spec.rules[].matches[].headers[]",
	.rows = header_rows,
	.check = check_named };
static const struct ap_field_row query_rows[] = {
	ROW_STRING("name", "Name of the parameter.", REQUIRED, .min = 1, .max = 256, .check = ap_check_header_name),
	ROW_STRING("type", "How the value is compared.", .values = match_types, .preset = "Exact"),
	ROW_STRING("value", "The value.", REQUIRED, .min = 1, .max = 1024),
	ROW_END,
};
static const struct ap_schema query = { .name = "HTTPRoute.spec.rules[].matches[].queryParams[]",
	.rows = query_rows,
	.check = check_named };

static void
check_names(const struct ap_doc *list, struct ap_errors *errs)
{
	ap_check_unique_key(list, "name", errs);
}

static const struct ap_field_row match_rows[] = {
	ROW_OBJECTS("headers", &header, "Headers; all must match.", .max = 16, .check = check_names),
	ROW_STRING("method", "Method of the request.", .values = methods),
	ROW_OBJECT("path", &path, "Path of the request."),
	ROW_OBJECTS("queryParams", &query, "Parameters of the query; all must match.", .max = 16, .check = check_names),
	ROW_END,
};
static const struct ap_schema match = { .name = "HTTPRoute.spec.rules[].matches[]", .rows = match_rows };

/* -- rules -- */

void
ap_http_route_check_backend(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_doc_string(node, "group", "").len == 0 && ap_slice_eq(ap_doc_string(node, "kind", "Service"), AP_S("Service")) &&
	    !ap_check_has(node, "port"))
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, ".port: Must have port for Service reference");
}

static const struct ap_field_row backend_rows[] = {
	ROW_OBJECTS("filters", &ap_http_route_filter, "Changes for this backend alone.", .max = 16,
	    .check = ap_http_route_check_filters),
	GW_GROUP(.preset = ""),
	GW_KIND(.preset = "Service"),
	GW_NAME,
	GW_NAMESPACE,
	ROW_INT("port", "Port of the backend.", PORT),
	ROW_INT("weight", "Share against the other backends.", .min = 0, .max = 1000000, .preset = "1"),
	ROW_END,
};
static const struct ap_schema backend = { .name = "HTTPRoute.spec.rules[].backendRefs[]",
	.rows = backend_rows,
	.check = ap_http_route_check_backend };

static void
check_timeouts(const struct ap_doc *node, struct ap_errors *errs)
{
	int64_t request = ap_doc_duration_ns(node, "request", 0), one = ap_doc_duration_ns(node, "backendRequest", 0);

	if (ap_check_has(node, "request") && request != 0 && one > request)
		ap_complain(errs, node, "backendRequest timeout cannot be longer than request timeout");
}

static const struct ap_field_row timeouts_rows[] = {
	ROW_DURATION("backendRequest", "Time for one attempt.", .check = ap_check_gep_duration),
	ROW_DURATION("request", "Time for a whole request.", .check = ap_check_gep_duration),
	ROW_END,
};
static const struct ap_schema timeouts = { .name = "HTTPRoute.spec.rules[].timeouts",
	.rows = timeouts_rows,
	.check = check_timeouts };

/* A change of the matched prefix needs exactly one match, and that one a PathPrefix. */
static void
check_prefix_change(const struct ap_doc *rule, const struct ap_doc *filters, const char *field, struct ap_errors *errs)
{
	const struct ap_doc *matches = ap_doc_get(rule, "matches");

	AP_DOC_FOR (filter, filters) {
		const struct ap_doc *change = ap_doc_get(ap_doc_get(filter, field), "path");

		if (!ap_slice_eq(ap_doc_string(change, "type", ""), AP_S("ReplacePrefixMatch")))
			continue;
		if (matches == NULL && !ap_check_has(rule, "matches"))
			continue; /* the default match is one PathPrefix */
		if (matches->count != 1 || !ap_check_has(matches->first, "path") ||
		    !ap_slice_eq(ap_doc_string(ap_doc_get(matches->first, "path"), "type", "PathPrefix"), AP_S("PathPrefix")))
			ap_complain(errs, filter,
			    "When using %s filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified", field);
	}
}

static void
check_rule(const struct ap_doc *node, struct ap_errors *errs)
{
	const struct ap_doc *filters = ap_doc_get(node, "filters"), *backends = ap_doc_get(node, "backendRefs");

	AP_DOC_FOR (filter, filters)
		if (ap_check_has(filter, "requestRedirect") && backends != NULL && backends->count > 0)
			ap_complain(errs, filter, "RequestRedirect filter must not be used together with backendRefs");
	check_prefix_change(node, filters, "requestRedirect", errs);
	check_prefix_change(node, filters, "urlRewrite", errs);
	AP_DOC_FOR (item, backends) {
		check_prefix_change(node, ap_doc_get(item, "filters"), "requestRedirect", errs);
		check_prefix_change(node, ap_doc_get(item, "filters"), "urlRewrite", errs);
	}
}

static const struct ap_field_row rule_rows[] = {
	ROW_OBJECTS("backendRefs", &backend, "Where requests go, by weight.", .max = 16),
	ROW_OBJECTS("filters", &ap_http_route_filter, "Changes of requests and responses.", .max = 16,
	    .check = ap_http_route_check_filters),
	ROW_OBJECTS("matches", &match, "When the rule applies; any one suffices; left out: always.", .max = 64),
	ROW_STRING("name", "Name of the rule.", .min = 1, .max = 253, .check = ap_check_dns_name),
	ROW_OBJECT("timeouts", &timeouts, "Times for requests."),
	ROW_END,
};
static const struct ap_schema rule = { .name = "HTTPRoute.spec.rules[]", .rows = rule_rows, .check = check_rule };

static void
check_rules(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t total = 0;

	AP_DOC_FOR (item, list)
		total += ap_doc_get(item, "matches") == NULL ? 1 : ap_doc_get(item, "matches")->count;
	if (total > 128)
		ap_complain(errs, list, "While 16 rules and 64 matches per rule are allowed, the total number of matches must be less than 128");
	AP_DOC_FOR (item, list) {
		struct ap_slice name = ap_doc_string(item, "name", "");

		for (const struct ap_doc *o = list->first; name.len > 0 && o != item; o = o->next)
			if (ap_slice_eq(name, ap_doc_string(o, "name", "")))
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at, "Rule name must be unique within the route, \"%.*s\" is not",
				    AP_FMT(name));
	}
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRINGS("hostnames", "Hosts of requests that it is for; left out: all.", .max = 16, .check = ap_gw_check_hostnames),
	ROW_OBJECTS("parentRefs", &ap_gw_parent_ref, "Gateways, or Services whose traffic it routes.", .max = 32,
	    .check = ap_gw_check_parents),
	ROW_OBJECTS("rules", &rule, "Rules; the most specific match is taken.", .min = 1, .max = 16, .check = check_rules),
	ROW_END,
};
static const struct ap_schema spec = { .name = "HTTPRoute.spec", .rows = spec_rows };
SPEC_ROOT(root, "HTTPRoute", &spec, AP_F_REQUIRED);

static const struct ap_kind_column columns[] = { { "HOSTNAMES", "spec.hostnames", false }, { NULL, NULL, false } };
const struct ap_kind ap_k_http_route = {
	.group = "gateway.networking.k8s.io",
	.versions = ap_gateway_versions,
	.kind = "HTTPRoute",
	.plural = "httproutes",
	.singular = "httproute",
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Routes of HTTP requests to a Service or through a Gateway.",
};
