/* k_route_table.c -- RouteTable: Gloo's routes of one or more hosts. */
#include <errno.h>

#include "base/text.h"
#include "model/k_gloo_parts.h"

static const char *const destination_kinds[] = { "SERVICE", "VIRTUAL_DESTINATION", "EXTERNAL_SERVICE", "CLOUD_PROVIDER",
	"UPSTREAM", NULL };
static const char *const workload_kinds[] = { "KUBE", "VM", NULL };
static const char *const sort_methods[] = { "TABLE_WEIGHT", "ROUTE_SPECIFICITY", NULL };
static const char *const failure_modes[] = { "ROUTE_REPLACEMENT", "FREEZE_CONFIG", NULL };

/* -- selectors -- */

static void
check_port(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "number", "name", NULL };

	ap_check_one_of(node, keys, errs);
}

static const struct ap_field_row port_rows[] = {
	ROW_STRING("name", "Name of the port."),
	ROW_INT("number", "Number of the port.", PORT),
	ROW_END,
};
static const struct ap_schema port = { .name = "port", .rows = port_rows, .check = check_port };
static const struct ap_field_row workload_selector_rows[] = {
	ROW_STRING("kind", "KUBE or VM; both mean the same here.", .values = workload_kinds),
	ROW_OBJECT("port", &port, "Port of the workload."),
	ROW_OBJECT("selector", &ap_gloo_object_selector, "Which workloads."),
	ROW_END,
};
static const struct ap_schema workload_selector = { .name = "RouteTable.spec.workloadSelectors[]",
	.rows = workload_selector_rows };
static const struct ap_field_row destination_selector_rows[] = {
	ROW_STRING("kind", "Kind of destination.", .values = destination_kinds, .preset = "SERVICE"),
	ROW_OBJECT("port", &port, "Port of the destination."),
	ROW_OBJECT("selector", &ap_gloo_object_selector, "Which destinations."),
	ROW_END,
};
static const struct ap_schema destination_selector = { .name = "RouteTable.spec.applyToDestinations[]",
	.rows = destination_selector_rows };

/* -- matchers -- */

static void
check_uri(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "exact", "prefix", "regex", "suffix", NULL };

	ap_check_at_most_one(node, keys, errs);
}

static const struct ap_field_row uri_rows[] = {
	ROW_STRING("exact", "The whole path."),
	ROW_BOOL("ignoreCase", "Without regard to case."),
	ROW_STRING("prefix", "Its beginning."),
	ROW_STRING("regex", "A regular expression that matches the whole path.", .check = ap_check_regex_value),
	ROW_STRING("suffix", "Its end."),
	ROW_END,
};
static const struct ap_schema uri = { .name = "RouteTable.spec.http[].matchers[].uri", .rows = uri_rows, .check = check_uri };

static void
check_named_value(const struct ap_doc *node, struct ap_errors *errs)
{
	char why[160];

	if (ap_doc_bool(node, "regex", false) &&
	    ap_check_regex(ap_doc_string(node, "value", ""), why, sizeof(why)) != NULL)
		ap_complain(errs, node, ".value: cannot be used: %s", why);
}

static const struct ap_field_row header_rows[] = {
	ROW_BOOL("invertMatch", "The header must not match."),
	ROW_STRING("name", "Name of the header.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY, .check = ap_check_header_name),
	ROW_BOOL("regex", "The value is a regular expression."),
	ROW_STRING("value", "The value; left out: the header must be there."),
	ROW_END,
};
static const struct ap_schema header = { .name = "RouteTable.spec.http[].matchers[].headers[]",
	.rows = header_rows,
	.check = check_named_value };
static const struct ap_field_row query_rows[] = {
	ROW_STRING("name", "Name of the parameter.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY),
	ROW_BOOL("regex", "The value is a regular expression."),
	ROW_STRING("value", "The value; left out: the parameter must be there."),
	ROW_END,
};
static const struct ap_schema query = { .name = "RouteTable.spec.http[].matchers[].queryParameters[]",
	.rows = query_rows,
	.check = check_named_value };
static const struct ap_field_row matcher_rows[] = {
	ROW_OBJECTS("headers", &header, "Headers; all must match."),
	ROW_STRING("method", "Method of the request."),
	ROW_STRING("name", "Name of the matcher."),
	ROW_INT("port", "Port that was called.", PORT),
	ROW_OBJECTS("queryParameters", &query, "Parameters of the query; all must match."),
	ROW_OBJECT("uri", &uri, "Path of the request."),
	ROW_END,
};
static const struct ap_schema matcher = { .name = "RouteTable.spec.http[].matchers[]", .rows = matcher_rows };

/* -- destinations -- */

static void
check_destination(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "ref", "awsLambda", NULL };

	ap_check_one_of(node, keys, errs);
}

static const struct ap_field_row destination_rows[] = {
	ROW_ANY("awsLambda", "A function at AWS.", .flags = AP_F_REPORTED),
	ROW_STRING("kind", "What the reference names.", .values = destination_kinds, .preset = "SERVICE"),
	ROW_OBJECT("port", &port, "Port of the destination, when it has several."),
	ROW_OBJECT("ref", &ap_gloo_object_ref, "The destination."),
	ROW_STRING_MAP("subset", "Only endpoints with these labels."),
	ROW_INT("weight", "Share of requests in percent; those without one share the rest.", .min = 0, .max = 100),
	ROW_END,
};
static const struct ap_schema destination = { .name = "RouteTable.spec.http[].forwardTo.destinations[]",
	.rows = destination_rows,
	.check = check_destination };

static void
check_destinations(const struct ap_doc *list, struct ap_errors *errs)
{
	int64_t total = 0;
	uint32_t without = 0;

	AP_DOC_FOR (item, list) {
		if (ap_check_has(item, "weight"))
			total += ap_doc_int(item, "weight", 0);
		else
			without++;
	}
	if (total > 100)
		ap_complain(errs, list, "the weights make %lld in all, more than 100", (long long)total);
	else if (without == 0 && list->count > 1 && total != 100)
		ap_complain(errs, list, "the weights must make 100 in all, not %lld", (long long)total);
}

static void
check_forward(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const paths[] = { "pathRewrite", "regexRewrite", NULL };
	static const char *const hosts[] = { "hostRewrite", "autoHostRewrite", NULL };

	ap_check_at_most_one(node, paths, errs);
	ap_check_at_most_one(node, hosts, errs);
}

static const struct ap_field_row pattern_rows[] = {
	ROW_ANY("googleRe2", "Kept for older files; RE2 is always meant."),
	ROW_STRING("regex", "Regular expression over the path.", REQUIRED, .check = ap_check_regex_value),
	ROW_END,
};
static const struct ap_schema pattern = { .name = "RouteTable.spec.http[].forwardTo.regexRewrite.pattern",
	.rows = pattern_rows };
static const struct ap_field_row regex_rewrite_rows[] = {
	ROW_OBJECT("pattern", &pattern, "What is replaced.", REQUIRED),
	ROW_STRING("substitution", "What replaces it; \\1 and so on stand for groups."),
	ROW_END,
};
static const struct ap_schema regex_rewrite = { .name = "RouteTable.spec.http[].forwardTo.regexRewrite",
	.rows = regex_rewrite_rows };
static const struct ap_field_row forward_rows[] = {
	ROW_BOOL("autoHostRewrite", "The host becomes the destination's."),
	ROW_OBJECTS("destinations", &destination, "Where requests go, by weight.", .max = 100, .check = check_destinations),
	ROW_STRING("hostRewrite", "New host."),
	ROW_STRING("pathRewrite", "Replaces the matched path or prefix."),
	ROW_OBJECT("regexRewrite", &regex_rewrite, "Replaces what an expression matches."),
	ROW_END,
};
static const struct ap_schema forward = { .name = "RouteTable.spec.http[].forwardTo",
	.rows = forward_rows,
	.check = check_forward };

/* -- other ends of a route -- */

static void
check_redirect_code(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer != 301 && v->integer != 302 && v->integer != 303 && v->integer != 307 && v->integer != 308)
		ap_errors_add(errs, AP_SCHEMA_VALUES, v->at, "must be 301, 302, 303, 307 or 308, is %lld", (long long)v->integer);
}

static const struct ap_field_row redirect_rows[] = {
	ROW_STRING("hostRedirect", "New host."),
	ROW_STRING("pathRedirect", "New path."),
	ROW_INT("responseCode", "Status of the answer.", .preset = "301", .check = check_redirect_code),
	ROW_END,
};
static const struct ap_schema redirect = { .name = "RouteTable.spec.http[].redirect", .rows = redirect_rows };

static void
check_body(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->string.len >= 1048576)
		ap_complain(errs, v, "must be smaller than 1 MiB");
}

static const struct ap_field_row direct_rows[] = {
	ROW_STRING("body", "Body of the answer.", .check = check_body),
	ROW_INT("status", "Status of the answer.", REQUIRED, .min = 200, .max = 599),
	ROW_END,
};
static const struct ap_schema direct = { .name = "RouteTable.spec.http[].directResponse", .rows = direct_rows };
static const struct ap_field_row delegate_rows[] = {
	ROW_ANY("allowedRoutes", "What the other tables may route."),
	ROW_OBJECTS("routeTables", &ap_gloo_object_selector, "The other tables."),
	ROW_STRING("sortMethod", "Which of their routes comes first.", .values = sort_methods, .preset = "TABLE_WEIGHT"),
	ROW_END,
};
static const struct ap_schema delegate = { .name = "RouteTable.spec.http[].delegate", .rows = delegate_rows };

static void
check_http(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "forwardTo", "delegate", "redirect", "directResponse", "graphql", NULL };

	ap_check_one_of(node, keys, errs);
}

static const struct ap_field_row http_rows[] = {
	ROW_OBJECT("delegate", &delegate, "Other tables that have the routes.", .flags = AP_F_REPORTED),
	ROW_OBJECT("directResponse", &direct, "An answer without any destination."),
	ROW_OBJECT("forwardTo", &forward, "Where requests go."),
	ROW_ANY("graphql", "GraphQL.", .flags = AP_F_REPORTED),
	ROW_STRING_MAP("labels", "Labels by which policies select the route."),
	ROW_OBJECTS("matchers", &matcher, "When the route applies; any one suffices; left out: always."),
	ROW_STRING("name", "Name of the route."),
	ROW_OBJECT("redirect", &redirect, "An answer that sends the client elsewhere."),
	ROW_END,
};
static const struct ap_schema http = { .name = "RouteTable.spec.http[]", .rows = http_rows, .check = check_http };

/* -- TCP and TLS -- */

static const struct ap_field_row l4_forward_rows[] = {
	ROW_OBJECTS("destinations", &destination, "Where connections go, by weight.", .max = 100, .check = check_destinations),
	ROW_END,
};
static const struct ap_schema l4_forward = { .name = "RouteTable.spec.tcp[].forwardTo", .rows = l4_forward_rows };
static const struct ap_field_row tcp_matcher_rows[] = {
	ROW_INT("port", "Port that was called.", PORT),
	ROW_END,
};
static const struct ap_schema tcp_matcher = { .name = "RouteTable.spec.tcp[].matchers[]", .rows = tcp_matcher_rows };
static const struct ap_field_row tcp_rows[] = {
	ROW_OBJECT("forwardTo", &l4_forward, "Where connections go.", REQUIRED),
	ROW_OBJECTS("matchers", &tcp_matcher, "When the route applies."),
	ROW_END,
};
static const struct ap_schema tcp = { .name = "RouteTable.spec.tcp[]", .rows = tcp_rows };
static const struct ap_field_row tls_matcher_rows[] = {
	ROW_INT("port", "Port that was called.", PORT),
	ROW_STRINGS("sniHosts", "Names that the client asks for in TLS.", .check = ap_check_wild_hosts),
	ROW_END,
};
static const struct ap_schema tls_matcher = { .name = "RouteTable.spec.tls[].matchers[]", .rows = tls_matcher_rows };
static const struct ap_field_row tls_rows[] = {
	ROW_OBJECT("forwardTo", &l4_forward, "Where connections go.", REQUIRED),
	ROW_OBJECTS("matchers", &tls_matcher, "When the route applies."),
	ROW_END,
};
static const struct ap_schema tls = { .name = "RouteTable.spec.tls[]", .rows = tls_rows };

/* -- the whole -- */

static void
check_hosts(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice s = item->string;

		if (ap_slice_eq(s, AP_S("*")))
			ap_complain(errs, item, "[%u]: a bare \"*\" is not allowed", i);
		else if (!ap_check_is_hostname(ap_slice_starts(s, AP_S("*.")) ? ap_slice_from(s, 2) : s))
			ap_complain(errs, item, "[%u]: \"%.*s\" is no host name; a wildcard may only be the first label", i, AP_FMT(s));
		i++;
	}
	ap_check_unique_key(list, NULL, errs);
}

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	const struct ap_doc *hosts = ap_doc_get(spec, "hosts");

	if (hosts != NULL && hosts->count > 0)
		return;
	/* Without hosts it is a child that others delegate to. */
	if (ap_check_has(spec, "virtualGateways"))
		ap_complain(errs, spec, ".virtualGateways: a table without hosts is delegated to and cannot name gateways");
	if (ap_check_has(spec, "applyToDestinations"))
		ap_complain(errs, spec, ".applyToDestinations: a table without hosts is delegated to and cannot select destinations");
}

static const struct ap_field_row spec_rows[] = {
	ROW_OBJECTS("applyToDestinations", &destination_selector, "Destinations whose waypoint applies the table."),
	ROW_OBJECT("defaultDestination", &destination, "Where forwardTo goes that names no destination."),
	ROW_STRING("failureMode", "What a bad route does to the others.", .values = failure_modes, .preset = "ROUTE_REPLACEMENT"),
	ROW_STRINGS("hosts", "Hosts whose traffic it routes.", .check = check_hosts),
	ROW_OBJECTS("http", &http, "Routes of HTTP traffic; the first that matches is taken."),
	ROW_OBJECTS("tcp", &tcp, "Routes of TCP traffic."),
	ROW_OBJECTS("tls", &tls, "Routes of TLS traffic that is not terminated."),
	ROW_OBJECTS("virtualGateways", &ap_gloo_object_ref, "Gateways that apply it."),
	ROW_INT("weight", "Order among tables that are delegated to; higher first.", INT32),
	ROW_OBJECTS("workloadSelectors", &workload_selector, "Client workloads that apply it; left out: all.", .max = 10000),
	ROW_END,
};
static const struct ap_schema spec = { .name = "RouteTable.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "RouteTable", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "rt", NULL };
static const struct ap_kind_column columns[] = { { "HOSTS", "spec.hosts", false }, { NULL, NULL, false } };
const struct ap_kind ap_k_route_table = {
	.group = "networking.gloo.solo.io",
	.versions = ap_gloo_versions,
	.kind = "RouteTable",
	.plural = "routetables",
	.singular = "routetable",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Routes of hosts as Gloo Mesh writes them.",
};
