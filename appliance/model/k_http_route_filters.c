/* k_http_route_filters.c -- HTTPRoute: what its filters do to requests and responses. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "model/k_gateway_parts.h"
#include "model/k_http_route.h"

static const char *const cors_methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*",
	NULL };
static const char *const schemes[] = { "http", "https", NULL };
static const char *const path_changes[] = { "ReplaceFullPath", "ReplacePrefixMatch", NULL };

/* -- CORS -- */

static void
check_star_alone(const struct ap_doc *list, struct ap_errors *errs)
{
	AP_DOC_FOR (item, list)
		if (list->count > 1 && ap_slice_eq(item->string, AP_S("*")))
			ap_complain(errs, list, "must not contain '*' alongside other values");
}

static bool
is_origin(struct ap_slice s)
{
	struct ap_slice host, port;
	uint64_t number;
	size_t colon;

	if (ap_slice_eq(s, AP_S("*")))
		return true;
	if (ap_slice_starts(s, AP_S("http://")))
		host = ap_slice_from(s, 7);
	else if (ap_slice_starts(s, AP_S("https://")))
		host = ap_slice_from(s, 8);
	else
		return false;
	colon = ap_slice_find(host, ':');
	if (colon != SIZE_MAX) {
		port = ap_slice_from(host, colon + 1);
		if (ap_text_to_u64(port, 99999, &number) != 0)
			return false;
		host = ap_slice_sub(host, 0, colon);
	}
	if (ap_slice_eq(host, AP_S("*")))
		return true;
	return ap_check_is_hostname(ap_slice_starts(host, AP_S("*.")) ? ap_slice_from(host, 2) : host);
}

static void
check_origins(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	check_star_alone(list, errs);
	AP_DOC_FOR (item, list) {
		if (!is_origin(item->string))
			ap_complain(errs, item, "[%u]: \"%.*s\" is no origin such as https://www.example.com", i, AP_FMT(item->string));
		i++;
	}
}

static void
check_allow_headers(const struct ap_doc *list, struct ap_errors *errs)
{
	check_star_alone(list, errs);
	ap_check_header_names(list, errs);
}

static const struct ap_field_row cors_rows[] = {
	ROW_BOOL("allowCredentials", "Credentials may be sent."),
	ROW_STRINGS("allowHeaders", "Request headers that may be sent.", .max = 64, .flags = AP_F_UNIQUE,
	    .check = check_allow_headers),
	ROW_STRINGS("allowMethods", "Methods that may be used.", .max = 9, .values = cors_methods, .flags = AP_F_UNIQUE,
	    .check = check_star_alone),
	ROW_STRINGS("allowOrigins", "Origins that may call.", .max = 64, .flags = AP_F_UNIQUE, .check = check_origins),
	ROW_STRINGS("exposeHeaders", "Response headers that scripts may read.", .max = 64, .flags = AP_F_UNIQUE,
	    .check = ap_check_header_names),
	ROW_INT("maxAge", "Seconds that a preflight answer holds.", .min = 1, .max = 2147483647, .preset = "5"),
	ROW_END,
};
static const struct ap_schema cors = { .name = "filters[].cors", .rows = cors_rows };

/* -- headers -- */

static const struct ap_field_row header_rows[] = {
	ROW_STRING("name", "Name of the header.", REQUIRED, .min = 1, .max = 256, .check = ap_check_header_name),
	ROW_STRING("value", "Its value.", REQUIRED, .min = 1, .max = 4096),
	ROW_END,
};
static const struct ap_schema header = { .name = "filters[].requestHeaderModifier.set[]", .rows = header_rows };

static void
check_names(const struct ap_doc *list, struct ap_errors *errs)
{
	ap_check_unique_key(list, "name", errs);
}

static const struct ap_field_row modifier_rows[] = {
	ROW_OBJECTS("add", &header, "Headers to append.", .max = 16, .check = check_names),
	ROW_STRINGS("remove", "Headers to take out.", .max = 16, .flags = AP_F_UNIQUE),
	ROW_OBJECTS("set", &header, "Headers to overwrite.", .max = 16, .check = check_names),
	ROW_END,
};
static const struct ap_schema modifier = { .name = "filters[].requestHeaderModifier", .rows = modifier_rows };

/* -- mirror -- */

static const struct ap_field_row mirror_backend_rows[] = {
	GW_GROUP(.preset = ""),
	GW_KIND(.preset = "Service"),
	GW_NAME,
	GW_NAMESPACE,
	ROW_INT("port", "Port of the backend.", PORT),
	ROW_END,
};
static const struct ap_schema mirror_backend = { .name = "filters[].requestMirror.backendRef",
	.rows = mirror_backend_rows,
	.check = ap_http_route_check_backend };

static void
check_fraction(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_doc_int(node, "numerator", 0) > ap_doc_int(node, "denominator", 100))
		ap_complain(errs, node, "numerator must be less than or equal to denominator");
}

static const struct ap_field_row fraction_rows[] = {
	ROW_INT("denominator", "Out of how many.", .min = 1, .max = 2147483647, .preset = "100"),
	ROW_INT("numerator", "How many.", REQUIRED, .min = 0, .max = 2147483647),
	ROW_END,
};
static const struct ap_schema fraction = { .name = "filters[].requestMirror.fraction",
	.rows = fraction_rows,
	.check = check_fraction };

static void
check_mirror(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_check_has(node, "percent") && ap_check_has(node, "fraction"))
		ap_complain(errs, node, "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter");
}

static const struct ap_field_row mirror_rows[] = {
	ROW_OBJECT("backendRef", &mirror_backend, "Where copies of requests go.", REQUIRED),
	ROW_OBJECT("fraction", &fraction, "Share of requests that are copied."),
	ROW_INT("percent", "Share of requests that are copied, in percent.", .min = 0, .max = 100),
	ROW_END,
};
static const struct ap_schema mirror = { .name = "filters[].requestMirror", .rows = mirror_rows, .check = check_mirror };

/* -- redirect and rewrite -- */

static void
check_path_change(const struct ap_doc *node, struct ap_errors *errs)
{
	bool full = ap_slice_eq(ap_doc_string(node, "type", ""), AP_S("ReplaceFullPath"));

	if (full && !ap_check_has(node, "replaceFullPath"))
		ap_complain(errs, node, "replaceFullPath must be specified when type is set to 'ReplaceFullPath'");
	if (!full && ap_check_has(node, "replaceFullPath"))
		ap_complain(errs, node, "type must be 'ReplaceFullPath' when replaceFullPath is set");
	if (!full && !ap_check_has(node, "replacePrefixMatch"))
		ap_complain(errs, node, "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'");
	if (full && ap_check_has(node, "replacePrefixMatch"))
		ap_complain(errs, node, "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set");
}

static const struct ap_field_row path_rows[] = {
	ROW_STRING("replaceFullPath", "The new path.", .max = 1024),
	ROW_STRING("replacePrefixMatch", "What replaces the matched prefix.", .max = 1024),
	ROW_STRING("type", "What is replaced.", REQUIRED, .values = path_changes),
	ROW_END,
};
static const struct ap_schema path = { .name = "filters[].urlRewrite.path", .rows = path_rows, .check = check_path_change };

static void
check_code(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer != 301 && v->integer != 302 && v->integer != 303 && v->integer != 307 && v->integer != 308)
		ap_errors_add(errs, AP_SCHEMA_VALUES, v->at, "must be 301, 302, 303, 307 or 308, is %lld", (long long)v->integer);
}

static const struct ap_field_row redirect_rows[] = {
	ROW_STRING("hostname", "New host.", .min = 1, .max = 253, .check = ap_gw_check_precise_hostname),
	ROW_OBJECT("path", &path, "New path."),
	ROW_INT("port", "New port.", PORT),
	ROW_STRING("scheme", "New scheme.", .values = schemes),
	ROW_INT("statusCode", "Status of the answer.", .preset = "302", .check = check_code),
	ROW_END,
};
static const struct ap_schema redirect = { .name = "filters[].requestRedirect", .rows = redirect_rows };
static const struct ap_field_row rewrite_rows[] = {
	ROW_STRING("hostname", "New host.", .min = 1, .max = 253, .check = ap_gw_check_precise_hostname),
	ROW_OBJECT("path", &path, "New path."),
	ROW_END,
};
static const struct ap_schema rewrite = { .name = "filters[].urlRewrite", .rows = rewrite_rows };

/* -- one filter -- */

static const struct {
	const char *type, *field;
} types[] = {
	{ "RequestHeaderModifier", "requestHeaderModifier" },
	{ "ResponseHeaderModifier", "responseHeaderModifier" },
	{ "RequestMirror", "requestMirror" },
	{ "RequestRedirect", "requestRedirect" },
	{ "URLRewrite", "urlRewrite" },
	{ "ExtensionRef", "extensionRef" },
	{ "CORS", "cors" },
};
static const char *const type_names[] = { "RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror",
	"RequestRedirect", "URLRewrite", "ExtensionRef", "CORS", NULL };

static void
check_filter(const struct ap_doc *node, struct ap_errors *errs)
{
	struct ap_slice type = ap_doc_string(node, "type", "");

	for (size_t i = 0; i < AP_COUNTOF(types); i++) {
		bool is = ap_slice_eq_text(type, types[i].type), has = ap_check_has(node, types[i].field);

		if (is && !has)
			ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, "filter.%s must be specified for %s filter.type",
			    types[i].field, types[i].type);
		else if (!is && has)
			ap_complain(errs, node, "filter.%s must be nil if the filter.type is not %s", types[i].field, types[i].type);
	}
}

static const struct ap_field_row filter_rows[] = {
	ROW_OBJECT("cors", &cors, "What scripts of other origins may do."),
	ROW_OBJECT("extensionRef", &ap_gw_local_ref, "A filter of another kind.", .flags = AP_F_REPORTED),
	ROW_OBJECT("requestHeaderModifier", &modifier, "Changes of request headers."),
	ROW_OBJECT("requestMirror", &mirror, "Copies of requests."),
	ROW_OBJECT("requestRedirect", &redirect, "An answer that sends the client elsewhere."),
	ROW_OBJECT("responseHeaderModifier", &modifier, "Changes of response headers."),
	ROW_STRING("type", "Which filter it is.", REQUIRED, .values = type_names),
	ROW_OBJECT("urlRewrite", &rewrite, "Changes of host and path."),
	ROW_END,
};
const struct ap_schema ap_http_route_filter = { .name = "HTTPRoute.spec.rules[].filters[]",
	.rows = filter_rows,
	.check = check_filter };

void
ap_http_route_check_filters(const struct ap_doc *list, struct ap_errors *errs)
{
	static const char *const once[] = { "CORS", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect",
		"URLRewrite" };
	unsigned counts[AP_COUNTOF(once)] = { 0 };

	AP_DOC_FOR (item, list)
		for (size_t i = 0; i < AP_COUNTOF(once); i++)
			counts[i] += ap_slice_eq_text(ap_doc_string(item, "type", ""), once[i]);
	if (counts[3] > 0 && counts[4] > 0)
		ap_complain(errs, list, "May specify either RequestRedirect or URLRewrite, but not both");
	for (size_t i = 0; i < AP_COUNTOF(once); i++)
		if (counts[i] > 1)
			ap_complain(errs, list, "%s filter cannot be repeated", once[i]);
}
