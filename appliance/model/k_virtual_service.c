/*
 * k_virtual_service.c -- VirtualService: Istio's routes, complete, with the checks of its own validation.
 *
 * Rows of HTTP here; those of matches, headers and TCP/TLS routes in k_virtual_service_parts.c.
 */
#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/k_virtual_service.h"
#include "model/rows.h"

/* -- CORS, fault, retries, redirect, rewrite, mirror -- */

static const char *const preflights[] = { "UNSPECIFIED", "FORWARD", "IGNORE", NULL };

static void
check_cors(const struct ap_doc *node, struct ap_errors *errs)
{
	uint32_t i = 0;

	if (ap_check_has(node, "allowOrigin") && ap_check_has(node, "allowOrigins"))
		ap_complain(errs, node, "only one of allowOrigin and allowOrigins may be set");
	AP_DOC_FOR (item, ap_doc_get(node, "allowOrigins")) {
		if (item->first == NULL || item->first->string.len == 0)
			ap_complain(errs, item, ".allowOrigins[%u]: an origin must not be empty", i);
		i++;
	}
}

static const struct ap_field_row cors_rows[] = {
	ROW_BOOL("allowCredentials", "Credentials may be sent."),
	ROW_STRINGS("allowHeaders", "Request headers that may be sent.", .check = ap_check_header_names),
	ROW_STRINGS("allowMethods", "Methods that may be used."),
	ROW_STRINGS("allowOrigin", "Old form of allowOrigins: exact origins or \"*\"."),
	ROW_OBJECTS("allowOrigins", &ap_vs_string_match, "Origins that may call."),
	ROW_STRINGS("exposeHeaders", "Response headers that scripts may read.", .check = ap_check_header_names),
	ROW_DURATION("maxAge", "How long a preflight answer holds.", .check = ap_check_positive_duration),
	ROW_STRING("unmatchedPreflights", "What happens to preflights of other origins.", .values = preflights),
	ROW_END,
};
static const struct ap_schema cors = { .name = "VirtualService.spec.http[].corsPolicy",
	.rows = cors_rows,
	.check = check_cors };

static void
check_percent(const struct ap_doc *v, struct ap_errors *errs)
{
	double value = v->type == AP_DOC_INT ? (double)v->integer : v->real;

	if (!(value >= 0 && value <= 100))
		ap_complain(errs, v, "percentage must be in range 0..100, is %g", value);
}

static const struct ap_field_row percent_rows[] = {
	ROW_REAL("value", "0 to 100, in steps of 0.0001.", .check = check_percent),
	ROW_END,
};
static const struct ap_schema percent = { .name = "Percent", .rows = percent_rows };

static const struct ap_field_row delegate_rows[] = {
	ROW_STRING("name", "VirtualService that decides.", .check = ap_check_dns_name),
	ROW_STRING("namespace", "Its namespace; the same by default.", .check = ap_check_dns_label),
	ROW_END,
};
static const struct ap_schema delegate = { .name = "VirtualService.spec.http[].delegate", .rows = delegate_rows };

static void
check_body(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "string", "bytes", NULL };

	ap_check_at_most_one(node, keys, errs);
	if (ap_doc_string(node, "string", "").len > 1048576 || ap_doc_string(node, "bytes", "").len > 1400000)
		ap_complain(errs, node, "must be at most 1 MiB");
}

static const struct ap_field_row body_rows[] = {
	ROW_STRING("bytes", "Body, base64."),
	ROW_STRING("string", "Body as text."),
	ROW_END,
};
static const struct ap_schema body = { .name = "VirtualService.spec.http[].directResponse.body",
	.rows = body_rows,
	.check = check_body };

static void
check_status(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer < 200 || v->integer > 599)
		ap_complain(errs, v, "HTTP status %lld is not in range 200..599", (long long)v->integer);
}

static const struct ap_field_row direct_response_rows[] = {
	ROW_OBJECT("body", &body, "Body of the answer."),
	ROW_INT("status", "Status of the answer.", REQUIRED, .check = check_status),
	ROW_END,
};
static const struct ap_schema direct_response = { .name = "VirtualService.spec.http[].directResponse",
	.rows = direct_response_rows };

static void
check_abort(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "httpStatus", "grpcStatus", "http2Error", NULL };

	ap_check_one_of(node, keys, errs);
}

static const char *const grpc_codes[] = { "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED", NULL };

static const struct ap_field_row abort_rows[] = {
	ROW_STRING("grpcStatus", "gRPC status to answer with.", .values = grpc_codes),
	ROW_STRING("http2Error", "HTTP/2 error to reset with.", .flags = AP_F_REPORTED),
	ROW_INT("httpStatus", "Status to answer with.", .check = check_status),
	ROW_OBJECT("percentage", &percent, "Share of requests; all by default."),
	ROW_END,
};
static const struct ap_schema abort_ = { .name = "VirtualService.spec.http[].fault.abort",
	.rows = abort_rows,
	.check = check_abort };

static void
check_delay(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_check_has(node, "exponentialDelay"))
		ap_complain(errs, node, ".exponentialDelay: is not supported; use fixedDelay");
	else if (!ap_check_has(node, "fixedDelay"))
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, ".fixedDelay: is required");
}

static const struct ap_field_row delay_rows[] = {
	ROW_DURATION("exponentialDelay", "Not supported, as in Istio."),
	ROW_DURATION("fixedDelay", "How long requests are held.", .check = ap_check_positive_duration),
	ROW_INT("percent", "Old form of percentage.", .min = 0, .max = 100),
	ROW_OBJECT("percentage", &percent, "Share of requests; all by default."),
	ROW_END,
};
static const struct ap_schema delay = { .name = "VirtualService.spec.http[].fault.delay",
	.rows = delay_rows,
	.check = check_delay };

static void
check_fault(const struct ap_doc *node, struct ap_errors *errs)
{
	if (!ap_check_has(node, "abort") && !ap_check_has(node, "delay"))
		ap_complain(errs, node, "HTTP fault injection must have an abort and/or a delay");
}

static const struct ap_field_row fault_rows[] = {
	ROW_OBJECT("abort", &abort_, "Answer some requests with an error."),
	ROW_OBJECT("delay", &delay, "Hold some requests for a while."),
	ROW_END,
};
static const struct ap_schema fault = { .name = "VirtualService.spec.http[].fault",
	.rows = fault_rows,
	.check = check_fault };

static void
check_mirror_percent(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer < 0 || v->integer > 100)
		ap_complain(errs, v, "mirror percent must be max 100, is %lld", (long long)v->integer);
}

static const struct ap_field_row mirror_rows[] = {
	ROW_OBJECT("destination", &ap_vs_destination, "Where the copies go.", REQUIRED),
	ROW_OBJECT("percentage", &percent, "Share of requests; all by default."),
	ROW_END,
};
static const struct ap_schema mirror = { .name = "VirtualService.spec.http[].mirrors[]", .rows = mirror_rows };

static void
check_redirect_code(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer != 0 && (v->integer < 301 || v->integer > 308 || (v->integer > 303 && v->integer < 307)))
		ap_complain(errs, v, "must be 301, 302, 303, 307 or 308, is %lld", (long long)v->integer);
}

static void
check_redirect(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const ports[] = { "port", "derivePort", NULL };
	static const char *const paths[] = { "uri", "prefixRewrite", NULL };
	struct ap_slice scheme = ap_doc_string(node, "scheme", "http");

	ap_check_at_most_one(node, ports, errs);
	ap_check_at_most_one(node, paths, errs);
	if (!ap_slice_eq(scheme, AP_S("http")) && !ap_slice_eq(scheme, AP_S("https")))
		ap_complain(errs, node, ".scheme: must be http or https, is \"%.*s\"", AP_FMT(scheme));
	if (!ap_check_has(node, "uri") && !ap_check_has(node, "authority") && !ap_check_has(node, "scheme") &&
	    !ap_check_has(node, "port") && !ap_check_has(node, "derivePort") && !ap_check_has(node, "prefixRewrite"))
		ap_complain(errs, node, "redirect must specify URI, authority, scheme, or port");
}

static const char *const derive_ports[] = { "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT", NULL };
static const struct ap_field_row redirect_rows[] = {
	ROW_STRING("authority", "New host."),
	ROW_STRING("derivePort", "Where the port comes from.", .values = derive_ports),
	ROW_INT("port", "New port.", .check = ap_check_port),
	ROW_STRING("prefixRewrite", "Replaces the matched prefix of the path."),
	ROW_INT("redirectCode", "Status of the answer.", .preset = "301", .check = check_redirect_code),
	ROW_STRING("scheme", "New scheme."),
	ROW_STRING("uri", "New path."),
	ROW_END,
};
static const struct ap_schema redirect = { .name = "VirtualService.spec.http[].redirect",
	.rows = redirect_rows,
	.check = check_redirect };

static const char *const retry_words[] = { "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure",
	"envoy-ratelimited", "retriable-4xx", "refused-stream", "retriable-status-codes", "retriable-headers",
	"http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable", NULL };

static void
check_retry_on(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_slice rest = v->string, word;
	uint64_t status;

	while (rest.ptr != NULL && v->string.len > 0) {
		const char *const *w = retry_words;

		word = ap_slice_trim(ap_slice_cut(&rest, ','));
		while (*w != NULL && !ap_slice_eq_text(word, *w))
			w++;
		if (*w == NULL && (ap_text_to_u64(word, 599, &status) != 0 || status < 100))
			ap_complain(errs, v, "\"%.*s\" is not a valid retryOn policy", AP_FMT(word));
	}
}

static void
check_retries(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_check_has(node, "attempts") && ap_doc_int(node, "attempts", 0) == 0 &&
	    (ap_check_has(node, "perTryTimeout") || ap_doc_string(node, "retryOn", "").len > 0 ||
		ap_check_has(node, "retryRemoteLocalities")))
		ap_complain(errs, node, "http retry policy configured when attempts are set to 0 (disabled)");
}

static const struct ap_field_row retry_rows[] = {
	ROW_INT("attempts", "Attempts beyond the first; 0 turns retries off.", .min = 0, .max = 2147483647),
	ROW_DURATION("backoff", "Least time between attempts.", .preset = "25ms", .check = ap_check_positive_duration),
	ROW_DURATION("perTryTimeout", "Time for one attempt.", .check = ap_check_positive_duration),
	ROW_BOOL("retryIgnorePreviousHosts", "Attempts go to endpoints that were not tried yet.", .flags = AP_F_REPORTED),
	ROW_STRING("retryOn", "What is worth an attempt: 5xx, gateway-error, reset, connect-failure, ..., or statuses.",
	    .check = check_retry_on),
	ROW_BOOL("retryRemoteLocalities", "Attempts may go to other localities.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema retry = { .name = "VirtualService.spec.http[].retries",
	.rows = retry_rows,
	.check = check_retries };

static const struct ap_field_row regex_rewrite_rows[] = {
	ROW_STRING("match", "Regular expression over the path.", .check = ap_check_regex_value),
	ROW_STRING("rewrite", "What replaces the match; \\1 and so on stand for groups."),
	ROW_END,
};
static const struct ap_schema regex_rewrite = { .name = "VirtualService.spec.http[].rewrite.uriRegexRewrite",
	.rows = regex_rewrite_rows };

static void
check_rewrite(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const paths[] = { "uri", "uriRegexRewrite", NULL };

	ap_check_at_most_one(node, paths, errs);
	if (!ap_check_has(node, "uri") && !ap_check_has(node, "authority") && !ap_check_has(node, "uriRegexRewrite"))
		ap_complain(errs, node, "rewrite must specify at least one of URI, authority, or uriRegexRewrite");
}

static const struct ap_field_row rewrite_rows[] = {
	ROW_STRING("authority", "New host."),
	ROW_STRING("uri", "Replaces the matched path or prefix."),
	ROW_OBJECT("uriRegexRewrite", &regex_rewrite, "Replaces what an expression matches."),
	ROW_END,
};
static const struct ap_schema rewrite = { .name = "VirtualService.spec.http[].rewrite",
	.rows = rewrite_rows,
	.check = check_rewrite };

/* -- one route -- */

static const struct ap_field_row route_rows[] = {
	ROW_OBJECT("destination", &ap_vs_destination, "Where requests go.", REQUIRED),
	ROW_OBJECT("headers", &ap_vs_headers, "Changes of headers for this destination."),
	ROW_INT("weight", "Share against the other destinations.", .min = 0, .max = 2147483647),
	ROW_END,
};
static const struct ap_schema route = { .name = "VirtualService.spec.http[].route[]", .rows = route_rows };

static void
check_http(const struct ap_doc *node, struct ap_errors *errs)
{
	bool has_route = ap_doc_get(node, "route") != NULL && ap_doc_get(node, "route")->count > 0;
	bool has_redirect = ap_check_has(node, "redirect"), has_direct = ap_check_has(node, "directResponse");
	bool has_delegate = ap_check_has(node, "delegate"), has_rewrite = ap_check_has(node, "rewrite");

	if (has_delegate && (has_route || has_redirect || has_direct))
		ap_complain(errs, node, "HTTP route cannot contain delegate beside route, redirect or directResponse");
	else if (has_redirect + has_route + has_direct > 1)
		ap_complain(errs, node, "HTTP route cannot contain more than one of route, redirect and directResponse");
	else if (!has_delegate && !has_redirect && !has_route && !has_direct)
		ap_complain(errs, node, "HTTP route, redirect or directResponse is required");
	if (has_redirect && has_rewrite)
		ap_complain(errs, node, "HTTP route rule cannot contain both rewrite and redirect");
	if (has_direct && has_rewrite)
		ap_complain(errs, node, "HTTP route rule cannot contain both rewrite and directResponse");
	if (has_direct && ap_check_has(node, "fault"))
		ap_complain(errs, node, "HTTP route rule cannot contain both fault and directResponse");
	if (ap_check_has(node, "mirror") && ap_check_has(node, "mirrors"))
		ap_complain(errs, node, "HTTP route cannot contain both mirror and mirrors");
}

static const struct ap_field_row http_rows[] = {
	ROW_OBJECT("corsPolicy", &cors, "What scripts of other origins may do."),
	ROW_OBJECT("delegate", &delegate, "Another VirtualService that has the routes below this match.", .flags = AP_F_REPORTED),
	ROW_OBJECT("directResponse", &direct_response, "An answer without any destination."),
	ROW_OBJECT("fault", &fault, "Errors and delays on purpose."),
	ROW_OBJECT("headers", &ap_vs_headers, "Changes of headers."),
	ROW_OBJECTS("match", &ap_vs_http_match, "When the route applies; any one suffices; none: always."),
	ROW_OBJECT("mirror", &ap_vs_destination, "Where copies of requests go."),
	ROW_INT("mirrorPercent", "Old form of mirrorPercentage.", .check = check_mirror_percent),
	ROW_INT("mirror_percent", "Older form of mirrorPercentage.", .check = check_mirror_percent),
	ROW_OBJECT("mirrorPercentage", &percent, "Share of requests that are copied; all by default."),
	ROW_OBJECTS("mirrors", &mirror, "Several places for copies of requests."),
	ROW_STRING("name", "Name of the route, for logs."),
	ROW_OBJECT("redirect", &redirect, "An answer that sends the client elsewhere."),
	ROW_OBJECT("retries", &retry, "When and how often requests are tried again."),
	ROW_OBJECT("rewrite", &rewrite, "Changes of path and host before requests are sent on."),
	ROW_OBJECTS("route", &route, "Where requests go, by weight.", .check = ap_vs_check_weights),
	ROW_DURATION("timeout", "Time for a whole request.", .check = ap_check_positive_duration),
	ROW_END,
};
static const struct ap_schema http = { .name = "VirtualService.spec.http[]", .rows = http_rows, .check = check_http };

/* -- the whole -- */

static bool
is_bound_to_mesh(const struct ap_doc *gateways)
{
	if (gateways == NULL || gateways->count == 0)
		return true;
	AP_DOC_FOR (item, gateways)
		if (ap_slice_eq(item->string, AP_S("mesh")))
			return true;
	return false;
}

static void
check_hosts(const struct ap_doc *spec, struct ap_errors *errs)
{
	const struct ap_doc *hosts = ap_doc_get(spec, "hosts");
	bool mesh = is_bound_to_mesh(ap_doc_get(spec, "gateways"));
	uint32_t i = 0;

	AP_DOC_FOR (item, hosts) {
		if (mesh && ap_slice_eq(item->string, AP_S("*")))
			ap_complain(errs, item,
			    ".hosts[%u]: wildcard host * is not allowed for virtual services bound to the mesh gateway", i);
		for (const struct ap_doc *o = hosts->first; o != item; o = o->next)
			if (ap_slice_eq_nocase(o->string, item->string)) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at, ".hosts[%u]: duplicate host \"%.*s\"", i,
				    AP_FMT(item->string));
				break;
			}
		i++;
	}
}

/* "*.example.com" holds "a.example.com" and "*.a.example.com". */
static bool
host_holds(struct ap_slice host, struct ap_slice sni)
{
	if (ap_slice_eq_nocase(host, sni) || ap_slice_eq(host, AP_S("*")))
		return true;
	return host.len > 1 && host.ptr[0] == '*' && sni.len >= host.len &&
	    ap_slice_eq_nocase(ap_slice_from(host, 1), ap_slice_from(sni, sni.len - host.len + 1));
}

static void
check_sni(const struct ap_doc *spec, struct ap_errors *errs)
{
	const struct ap_doc *hosts = ap_doc_get(spec, "hosts");
	uint32_t i = 0;

	AP_DOC_FOR (tls, ap_doc_get(spec, "tls")) {
		uint32_t k = 0;

		AP_DOC_FOR (match, ap_doc_get(tls, "match")) {
			AP_DOC_FOR (sni, ap_doc_get(match, "sniHosts")) {
				bool held = false;

				AP_DOC_FOR (host, hosts)
					held = held || host_holds(host->string, sni->string);
				if (!held)
					ap_complain(errs, sni,
					    ".tls[%u].match[%u].sniHosts: SNI host \"%.*s\" is not a compatible subset of any of the virtual service hosts",
					    i, k, AP_FMT(sni->string));
			}
			k++;
		}
		i++;
	}
}

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	const struct ap_doc *hosts = ap_doc_get(spec, "hosts");
	bool has_http = ap_doc_get(spec, "http") != NULL && ap_doc_get(spec, "http")->count > 0;
	bool has_tcp = ap_doc_get(spec, "tcp") != NULL && ap_doc_get(spec, "tcp")->count > 0;
	bool has_tls = ap_doc_get(spec, "tls") != NULL && ap_doc_get(spec, "tls")->count > 0;

	if (!has_http && !has_tcp && !has_tls)
		ap_complain(errs, spec, "http, tcp or tls must be provided in virtual service");
	if (hosts == NULL || hosts->count == 0) {
		/* Without hosts it is one that others delegate to. */
		if (ap_check_has(spec, "gateways"))
			ap_complain(errs, spec, ".gateways: delegate virtual service cannot specify gateways");
		if (has_tcp || has_tls)
			ap_complain(errs, spec, ".hosts: virtual service must have at least one host");
		return;
	}
	check_hosts(spec, errs);
	check_sni(spec, errs);
}

static void
check_gateways(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice rest = item->string, first = ap_slice_cut(&rest, '/');
		bool fine = rest.ptr == NULL
		    ? ap_check_is_hostname(first)
		    : (ap_slice_eq(first, AP_S(".")) || ap_text_is_label(first)) && ap_text_is_dns_name(rest);

		if (!fine)
			ap_complain(errs, item, "[%u]: \"%.*s\" is neither a gateway's name nor namespace/name", i,
			    AP_FMT(item->string));
		i++;
	}
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRINGS("exportTo", "Namespaces that see it: \".\", \"*\" or names.", .check = ap_check_export_to),
	ROW_STRINGS("gateways", "Gateways that apply it; \"mesh\" (the default) stands for the mesh itself.",
	    .check = check_gateways),
	ROW_STRINGS("hosts", "Hosts whose traffic it routes.", .check = ap_check_wild_hosts),
	ROW_OBJECTS("http", &http, "Routes of HTTP traffic; the first that matches is taken."),
	ROW_OBJECTS("tcp", &ap_vs_tcp, "Routes of TCP traffic."),
	ROW_OBJECTS("tls", &ap_vs_tls, "Routes of TLS traffic that is not terminated."),
	ROW_END,
};
static const struct ap_schema spec = { .name = "VirtualService.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "VirtualService", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "vs", NULL };
static const struct ap_kind_column columns[] = {
	{ "GATEWAYS", "spec.gateways", false },
	{ "HOSTS", "spec.hosts", false },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_virtual_service = {
	.group = "networking.istio.io",
	.versions = ap_istio_versions,
	.kind = "VirtualService",
	.plural = "virtualservices",
	.singular = "virtualservice",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Routes of hosts: matches, weights, rewrites, faults, retries.",
};
