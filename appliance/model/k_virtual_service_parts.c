/* k_virtual_service_parts.c -- VirtualService: matches, header changes, destinations, TCP and TLS routes. */
#include <errno.h>

#include "base/text.h"
#include "model/k_virtual_service.h"
#include "model/rows.h"

static void
check_string_match(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "exact", "prefix", "regex", NULL };

	ap_check_at_most_one(node, keys, errs);
}

static const struct ap_field_row string_match_rows[] = {
	ROW_STRING("exact", "The whole text."),
	ROW_STRING("prefix", "Its beginning."),
	ROW_STRING("regex", "A regular expression (RE2) that matches the whole text.", .check = ap_check_regex_value),
	ROW_END,
};
const struct ap_schema ap_vs_string_match = { .name = "StringMatch",
	.rows = string_match_rows,
	.check = check_string_match };

static void
check_match_headers(const struct ap_doc *map, struct ap_errors *errs)
{
	AP_DOC_FOR (member, map) {
		if (ap_slice_eq(member->key, AP_S("uri")) || ap_slice_eq(member->key, AP_S("scheme")) ||
		    ap_slice_eq(member->key, AP_S("method")) || ap_slice_eq(member->key, AP_S("authority")))
			continue; /* Istio ignores these four */
		if (!ap_check_is_header_name(member->key))
			ap_errors_add(errs, -EINVAL, member->key_at, "\"%.*s\" is no header name", AP_FMT(member->key));
	}
}

static const struct ap_field_row http_match_rows[] = {
	ROW_OBJECT("authority", &ap_vs_string_match, "Host of the request."),
	ROW_STRINGS("gateways", "Only for traffic of these gateways."),
	ROW_OBJECT_MAP("headers", &ap_vs_string_match, "Headers; an empty condition asks for presence.",
	    .check = check_match_headers),
	ROW_BOOL("ignoreUriCase", "The path is compared without regard to case."),
	ROW_OBJECT("method", &ap_vs_string_match, "Method of the request."),
	ROW_STRING("name", "Name of the match, for logs."),
	ROW_INT("port", "Port that was called.", .check = ap_check_port),
	ROW_OBJECT_MAP("queryParams", &ap_vs_string_match, "Parameters of the query."),
	ROW_OBJECT("scheme", &ap_vs_string_match, "Scheme of the request."),
	ROW_STRING_MAP("sourceLabels", "Labels of the calling workload.", .check = ap_check_labels),
	ROW_STRING("sourceNamespace", "Namespace of the calling workload."),
	ROW_STRING("statPrefix", "Name in statistics.", .flags = AP_F_REPORTED),
	ROW_OBJECT("uri", &ap_vs_string_match, "Path of the request."),
	ROW_OBJECT_MAP("withoutHeaders", &ap_vs_string_match, "Headers that must not match.", .check = check_match_headers),
	ROW_END,
};
const struct ap_schema ap_vs_http_match = { .name = "VirtualService.spec.http[].match[]", .rows = http_match_rows };

static const struct ap_field_row header_operations_rows[] = {
	ROW_STRING_MAP("add", "Headers to append.", .check = ap_check_header_map),
	ROW_STRINGS("remove", "Headers to take out."),
	ROW_STRING_MAP("set", "Headers to overwrite.", .check = ap_check_header_map),
	ROW_END,
};
static const struct ap_schema header_operations = { .name = "Headers.HeaderOperations", .rows = header_operations_rows };
static const struct ap_field_row headers_rows[] = {
	ROW_OBJECT("request", &header_operations, "Before a request is sent on."),
	ROW_OBJECT("response", &header_operations, "Before a response is given to the client."),
	ROW_END,
};
const struct ap_schema ap_vs_headers = { .name = "Headers", .rows = headers_rows };

static const struct ap_field_row port_selector_rows[] = {
	ROW_INT("number", "Port of the host.", .check = ap_check_port),
	ROW_END,
};
static const struct ap_schema port_selector = { .name = "PortSelector", .rows = port_selector_rows };
static const struct ap_field_row destination_rows[] = {
	ROW_STRING("host", "Service or ServiceEntry host; a short name means one of the VirtualService's own namespace.", REQUIRED,
	    .check = ap_check_fqdn),
	ROW_OBJECT("port", &port_selector, "Port, when the host has several."),
	ROW_STRING("subset", "Subset of a DestinationRule for the host."),
	ROW_END,
};
const struct ap_schema ap_vs_destination = { .name = "Destination", .rows = destination_rows };

void
ap_vs_check_weights(const struct ap_doc *list, struct ap_errors *errs)
{
	int64_t total = 0;

	AP_DOC_FOR (item, list)
		total += ap_doc_int(item, "weight", 0);
	if (list->count > 1 && total == 0)
		ap_complain(errs, list, "total destination weight = 0");
}

static const struct ap_field_row l4_route_rows[] = {
	ROW_OBJECT("destination", &ap_vs_destination, "Where connections go.", REQUIRED),
	ROW_INT("weight", "Share against the other destinations.", .min = 0, .max = 2147483647),
	ROW_END,
};
static const struct ap_schema l4_route = { .name = "VirtualService.spec.tcp[].route[]", .rows = l4_route_rows };

static const struct ap_field_row tcp_match_rows[] = {
	ROW_STRINGS("destinationSubnets", "Networks of the address that was called.", .check = ap_check_cidr_list),
	ROW_STRINGS("gateways", "Only for traffic of these gateways."),
	ROW_INT("port", "Port that was called.", .check = ap_check_port),
	ROW_STRING_MAP("sourceLabels", "Labels of the calling workload.", .check = ap_check_labels),
	ROW_STRING("sourceNamespace", "Namespace of the calling workload."),
	ROW_STRING("sourceSubnet", "Not used, as in Istio."),
	ROW_END,
};
static const struct ap_schema tcp_match = { .name = "VirtualService.spec.tcp[].match[]", .rows = tcp_match_rows };

static void
check_l4_route(const struct ap_doc *node, struct ap_errors *errs)
{
	const struct ap_doc *route = ap_doc_get(node, "route");

	if (route == NULL || route->count == 0)
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, ".route: is required");
}

static const struct ap_field_row tcp_rows[] = {
	ROW_OBJECTS("match", &tcp_match, "When the route applies; any one suffices; none: always."),
	ROW_OBJECTS("route", &l4_route, "Where connections go, by weight.", .check = ap_vs_check_weights),
	ROW_END,
};
const struct ap_schema ap_vs_tcp = { .name = "VirtualService.spec.tcp[]", .rows = tcp_rows, .check = check_l4_route };

static const struct ap_field_row tls_match_rows[] = {
	ROW_STRINGS("destinationSubnets", "Networks of the address that was called.", .check = ap_check_cidr_list),
	ROW_STRINGS("gateways", "Only for traffic of these gateways."),
	ROW_INT("port", "Port that was called.", .check = ap_check_port),
	ROW_STRINGS("sniHosts", "Names that the client asks for in TLS.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY,
	    .check = ap_check_wild_hosts),
	ROW_STRING_MAP("sourceLabels", "Labels of the calling workload.", .check = ap_check_labels),
	ROW_STRING("sourceNamespace", "Namespace of the calling workload."),
	ROW_END,
};
static const struct ap_schema tls_match = { .name = "VirtualService.spec.tls[].match[]", .rows = tls_match_rows };
static const struct ap_field_row tls_rows[] = {
	ROW_OBJECTS("match", &tls_match, "When the route applies.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY),
	ROW_OBJECTS("route", &l4_route, "Where connections go, by weight.", .check = ap_vs_check_weights),
	ROW_END,
};
const struct ap_schema ap_vs_tls = { .name = "VirtualService.spec.tls[]", .rows = tls_rows, .check = check_l4_route };
