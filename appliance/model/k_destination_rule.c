/* k_destination_rule.c -- DestinationRule: subsets of a host, and how its endpoints are called. */
#include <errno.h>

#include "base/text.h"
#include "model/rows.h"

#define PCT .min = 0, .max = 100

/* -- connection pool -- */

static const struct ap_field_row http2_keepalive_rows[] = {
	ROW_DURATION("interval", "Time between PINGs.", .check = ap_check_positive_duration),
	ROW_DURATION("timeout", "Longest wait for an answer.", .check = ap_check_positive_duration),
	ROW_END,
};
static const struct ap_schema http2_keepalive = { .name = "connectionPool.http.http2KeepAlive",
	.rows = http2_keepalive_rows };
static const char *const upgrade_policies[] = { "DEFAULT", "DO_NOT_UPGRADE", "UPGRADE", NULL };
static const struct ap_field_row pool_http_rows[] = {
	ROW_STRING("h2UpgradePolicy", "Whether HTTP/1.1 is carried as HTTP/2.", .values = upgrade_policies),
	ROW_INT("http1MaxPendingRequests", "Requests that may wait for a connection.", INT32),
	ROW_OBJECT("http2KeepAlive", &http2_keepalive, "PINGs on idle connections."),
	ROW_INT("http2MaxRequests", "Requests at a time.", INT32),
	ROW_DURATION("idleTimeout", "Time until an idle connection is closed.", .check = ap_check_positive_duration),
	ROW_INT("maxConcurrentStreams", "Requests at a time on one connection.", INT32),
	ROW_INT("maxRequestsPerConnection", "Requests until a connection is closed.", INT32),
	ROW_INT("maxRetries", "Retries at a time.", INT32),
	ROW_BOOL("useClientProtocol", "The endpoint is called in the client's version of HTTP."),
	ROW_END,
};
static const struct ap_schema pool_http = { .name = "connectionPool.http", .rows = pool_http_rows };
static const struct ap_field_row keepalive_rows[] = {
	ROW_DURATION("interval", "Time between probes.", .check = ap_check_positive_duration),
	ROW_INT("probes", "Unanswered probes until the connection is given up.", UINT32),
	ROW_DURATION("time", "Idle time until the first probe.", .check = ap_check_positive_duration),
	ROW_END,
};
static const struct ap_schema keepalive = { .name = "connectionPool.tcp.tcpKeepalive", .rows = keepalive_rows };
static const struct ap_field_row pool_tcp_rows[] = {
	ROW_DURATION("connectTimeout", "Time to connect.", .check = ap_check_positive_duration),
	ROW_DURATION("idleTimeout", "Time until an idle connection is closed; 0s: never."),
	ROW_DURATION("maxConnectionDuration", "Longest life of a connection.", .check = ap_check_positive_duration),
	ROW_INT("maxConnections", "Connections at a time.", INT32),
	ROW_OBJECT("tcpKeepalive", &keepalive, "TCP keep-alive."),
	ROW_END,
};
static const struct ap_schema pool_tcp = { .name = "connectionPool.tcp", .rows = pool_tcp_rows };

static void
check_pool(const struct ap_doc *node, struct ap_errors *errs)
{
	if (!ap_check_has(node, "http") && !ap_check_has(node, "tcp"))
		ap_complain(errs, node, "connection pool must have at least one of http and tcp");
}

static const struct ap_field_row pool_rows[] = {
	ROW_OBJECT("http", &pool_http, "Of HTTP."),
	ROW_OBJECT("tcp", &pool_tcp, "Of TCP, and of HTTP's connections."),
	ROW_END,
};
static const struct ap_schema pool = { .name = "connectionPool", .rows = pool_rows, .check = check_pool };

/* -- load balancer -- */

static const struct ap_field_row cookie_attribute_rows[] = {
	ROW_STRING("name", "Attribute.", REQUIRED),
	ROW_STRING("value", "Its value."),
	ROW_END,
};
static const struct ap_schema cookie_attribute = { .name = "httpCookie.attributes[]", .rows = cookie_attribute_rows };
static const struct ap_field_row cookie_rows[] = {
	ROW_OBJECTS("attributes", &cookie_attribute, "Further attributes of a cookie that is made."),
	ROW_STRING("name", "Name of the cookie.", REQUIRED),
	ROW_STRING("path", "Path of the cookie."),
	ROW_DURATION("ttl", "Life of a cookie that is made; 0s: of the session."),
	ROW_END,
};
static const struct ap_schema cookie = { .name = "consistentHash.httpCookie", .rows = cookie_rows };
static const struct ap_field_row maglev_rows[] = {
	ROW_INT("tableSize", "Size of the table, a prime.", .min = 0, .max = 5000011),
	ROW_END,
};
static const struct ap_schema maglev = { .name = "consistentHash.maglev", .rows = maglev_rows };
static const struct ap_field_row ring_rows[] = {
	ROW_INT("minimumRingSize", "Least number of points on the ring.", .min = 0, .max = 8388608),
	ROW_END,
};
static const struct ap_schema ring = { .name = "consistentHash.ringHash", .rows = ring_rows };

static void
check_hash(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName", NULL };
	static const char *const tables[] = { "ringHash", "maglev", NULL };

	ap_check_one_of(node, keys, errs);
	ap_check_at_most_one(node, tables, errs);
}

static const struct ap_field_row hash_rows[] = {
	ROW_OBJECT("httpCookie", &cookie, "By a cookie, which is made when it is missing."),
	ROW_STRING("httpHeaderName", "By a header.", .check = ap_check_header_name),
	ROW_STRING("httpQueryParameterName", "By a parameter of the query."),
	ROW_OBJECT("maglev", &maglev, "Maglev's table."),
	ROW_INT("minimumRingSize", "Old form of ringHash.", .min = 0, .max = 8388608),
	ROW_OBJECT("ringHash", &ring, "A ring."),
	ROW_BOOL("useSourceIp", "By the client's address."),
	ROW_END,
};
static const struct ap_schema hash = { .name = "loadBalancer.consistentHash", .rows = hash_rows, .check = check_hash };

static void
check_distribute_to(const struct ap_doc *map, struct ap_errors *errs)
{
	int64_t total = 0;

	AP_DOC_FOR (member, map) {
		if (member->integer <= 0 || member->integer > 100)
			ap_complain(errs, member, "[\"%.*s\"]: locality weight must be in range [1, 100], is %lld",
			    AP_FMT(member->key), (long long)member->integer);
		total += member->integer;
	}
	if (total != 100)
		ap_complain(errs, map, "total locality weight must be 100, is %lld", (long long)total);
}

static const struct ap_field_row distribute_rows[] = {
	ROW_STRING("from", "Locality of the client."),
	ROW_INT_MAP("to", "Share of each locality; 100 in all.", .check = check_distribute_to),
	ROW_END,
};
static const struct ap_schema distribute = { .name = "localityLbSetting.distribute[]", .rows = distribute_rows };

static void
check_failover(const struct ap_doc *node, struct ap_errors *errs)
{
	struct ap_slice from = ap_doc_string(node, "from", ""), to = ap_doc_string(node, "to", "");

	if (ap_slice_eq(from, to))
		ap_complain(errs, node, "locality lb failover settings must specify different regions");
}

static const struct ap_field_row failover_rows[] = {
	ROW_STRING("from", "Region that fails."),
	ROW_STRING("to", "Region that takes over."),
	ROW_END,
};
static const struct ap_schema failover = { .name = "localityLbSetting.failover[]",
	.rows = failover_rows,
	.check = check_failover };

static void
check_locality(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "distribute", "failover", NULL };
	static const char *const priorities[] = { "distribute", "failoverPriority", NULL };

	ap_check_at_most_one(node, keys, errs);
	ap_check_at_most_one(node, priorities, errs);
}

static const struct ap_field_row locality_rows[] = {
	ROW_OBJECTS("distribute", &distribute, "Shares by locality."),
	ROW_BOOL("enabled", "Whether localities are regarded."),
	ROW_OBJECTS("failover", &failover, "Which region takes over from which."),
	ROW_STRINGS("failoverPriority", "Labels that order endpoints by nearness."),
	ROW_END,
};
static const struct ap_schema locality = { .name = "loadBalancer.localityLbSetting",
	.rows = locality_rows,
	.check = check_locality };
static const struct ap_field_row zone_aware_rows[] = {
	ROW_BOOL("enabled", "Whether zones are regarded."),
	ROW_OBJECTS("failover", &failover, "Which region takes over from which."),
	ROW_STRINGS("failoverPriority", "Labels that order endpoints by nearness."),
	ROW_INT("minClusterSize", "Least number of endpoints for it.", .min = 1, .max = 4294967295),
	ROW_END,
};
static const struct ap_schema zone_aware = { .name = "loadBalancer.zoneAwareLbSetting", .rows = zone_aware_rows };

static void
check_aggression(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!((v->type == AP_DOC_INT ? (double)v->integer : v->real) >= 0))
		ap_complain(errs, v, "must be at least 0");
}

static const struct ap_field_row warmup_rows[] = {
	ROW_REAL("aggression", "How fast the share grows.", .check = check_aggression),
	ROW_DURATION("duration", "Time until a new endpoint has its whole share.", REQUIRED, .check = ap_check_positive_duration),
	ROW_REAL("minimumPercent", "Share at the beginning.", PCT),
	ROW_END,
};
static const struct ap_schema warmup = { .name = "loadBalancer.warmup", .rows = warmup_rows };

static void
check_lb(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "simple", "consistentHash", NULL };

	ap_check_at_most_one(node, keys, errs);
}

static const char *const simple[] = { "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST",
	NULL };
static const struct ap_field_row lb_rows[] = {
	ROW_OBJECT("consistentHash", &hash, "The same key goes to the same endpoint."),
	ROW_OBJECT("localityLbSetting", &locality, "By locality.", .flags = AP_F_REPORTED),
	ROW_STRING("simple", "How an endpoint is chosen.", .values = simple),
	ROW_OBJECT("warmup", &warmup, "New endpoints begin slowly.", .flags = AP_F_REPORTED),
	ROW_DURATION("warmupDurationSecs", "Old form of warmup.", .check = ap_check_positive_duration, .flags = AP_F_REPORTED),
	ROW_OBJECT("zoneAwareLbSetting", &zone_aware, "By zone.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema lb = { .name = "loadBalancer", .rows = lb_rows, .check = check_lb };

/* -- outlier detection -- */

static void
check_codes(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		if (item->integer < 100 || item->integer > 599)
			ap_complain(errs, item, "[%u]: must be between 100 and 599, is %lld", i, (long long)item->integer);
		i++;
	}
}

static const struct ap_field_row outlier_rows[] = {
	ROW_DURATION("baseEjectionTime", "How long an endpoint stays out, times how often.", .check = ap_check_positive_duration),
	ROW_INT("consecutive5xxErrors", "Errors in a row until an endpoint is left out; 0: not regarded.", UINT32),
	ROW_INT("consecutiveErrors", "Old form of consecutive5xxErrors.", INT32),
	ROW_INT("consecutiveGatewayErrors", "502, 503 and 504 in a row; 0: not regarded.", UINT32),
	ROW_INT("consecutiveLocalOriginFailures", "Failures to connect in a row.", UINT32),
	ROW_DURATION("interval", "Time between looks.", .check = ap_check_positive_duration),
	ROW_INT("maxEjectionPercent", "Most endpoints that are left out.", PCT),
	ROW_INT("minHealthPercent", "Below it nothing is left out.", PCT),
	ROW_INTS("outlierDetectionHttpErrorCodes", "Statuses that count as errors.", .check = check_codes),
	ROW_BOOL("splitExternalLocalOriginErrors", "Count failures to connect apart."),
	ROW_END,
};
static const struct ap_schema outlier = { .name = "outlierDetection", .rows = outlier_rows };

/* -- TLS -- */

static void
check_tls(const struct ap_doc *node, struct ap_errors *errs)
{
	struct ap_slice mode = ap_doc_string(node, "mode", "DISABLE");
	bool credential = ap_doc_string(node, "credentialName", "").len > 0;

	if (credential && (ap_check_has(node, "clientCertificate") || ap_check_has(node, "privateKey")))
		ap_complain(errs, node, "credentialName must not be set beside clientCertificate or privateKey");
	if (!ap_slice_eq(mode, AP_S("MUTUAL")) || credential)
		return;
	if (ap_doc_string(node, "clientCertificate", "").len == 0)
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, ".clientCertificate: is required for mode MUTUAL");
	if (ap_doc_string(node, "privateKey", "").len == 0)
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, ".privateKey: is required for mode MUTUAL");
}

static const char *const tls_modes[] = { "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", NULL };
static const struct ap_field_row tls_rows[] = {
	ROW_STRING("caCertificates", "File with the roots that endpoints are checked against."),
	ROW_STRING("caCrl", "File with revocation lists."),
	ROW_STRING("clientCertificate", "File with the client's certificate."),
	ROW_STRING("credentialName", "Secret with certificate, key and roots."),
	ROW_BOOL("insecureSkipVerify", "The endpoint's certificate is not checked."),
	ROW_STRING("mode", "Whether and how TLS is begun to the endpoints.", .values = tls_modes),
	ROW_STRING("privateKey", "File with the client's key.", .flags = AP_F_SECRET),
	ROW_STRING("sni", "Name to ask for."),
	ROW_STRINGS("subjectAltNames", "Names that the endpoint's certificate must bear."),
	ROW_END,
};
static const struct ap_schema tls = { .name = "tls", .rows = tls_rows, .check = check_tls };

/* -- policy -- */

static const struct ap_field_row port_rows[] = {
	ROW_INT("number", "Port.", .check = ap_check_port),
	ROW_END,
};
static const struct ap_schema port = { .name = "portLevelSettings[].port", .rows = port_rows };

static void
check_port_policy(const struct ap_doc *node, struct ap_errors *errs)
{
	if (!ap_check_has(node, "port"))
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, ".port: portLevelSettings must have a port");
}

static const struct ap_field_row port_policy_rows[] = {
	ROW_OBJECT("connectionPool", &pool, "Bounds and times of connections.", .flags = AP_F_REPORTED),
	ROW_OBJECT("loadBalancer", &lb, "How an endpoint is chosen."),
	ROW_OBJECT("outlierDetection", &outlier, "Which endpoints are left out.", .flags = AP_F_REPORTED),
	ROW_OBJECT("port", &port, "The port of the host that this is for."),
	ROW_OBJECT("tls", &tls, "TLS to the endpoints.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema port_policy = { .name = "trafficPolicy.portLevelSettings[]",
	.rows = port_policy_rows,
	.check = check_port_policy };

static const char *const proxy_versions[] = { "V1", "V2", NULL };
static const struct ap_field_row proxy_protocol_rows[] = {
	ROW_STRING("version", "V1 or V2.", .values = proxy_versions),
	ROW_END,
};
static const struct ap_schema proxy_protocol = { .name = "trafficPolicy.proxyProtocol", .rows = proxy_protocol_rows };
static const struct ap_field_row budget_rows[] = {
	ROW_DURATION("budgetInterval", "Time over which requests are counted."),
	ROW_INT("minRetryConcurrency", "Retries that are always allowed at a time.", UINT32),
	ROW_REAL("percent", "Retries per hundred requests.", PCT),
	ROW_END,
};
static const struct ap_schema budget = { .name = "trafficPolicy.retryBudget", .rows = budget_rows };

static void
check_tunnel_protocol(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_slice_eq_nocase(v->string, AP_S("CONNECT")) && !ap_slice_eq_nocase(v->string, AP_S("POST")))
		ap_complain(errs, v, "tunnel protocol must be \"CONNECT\" or \"POST\", is \"%.*s\"", AP_FMT(v->string));
}

static const struct ap_field_row tunnel_rows[] = {
	ROW_STRING("protocol", "CONNECT or POST.", .check = check_tunnel_protocol),
	ROW_STRING("targetHost", "Host to reach through the tunnel.", REQUIRED, .check = ap_check_host),
	ROW_INT("targetPort", "Port to reach through the tunnel.", REQUIRED, .check = ap_check_port),
	ROW_END,
};
static const struct ap_schema tunnel = { .name = "trafficPolicy.tunnel", .rows = tunnel_rows };

static void
check_policy(const struct ap_doc *node, struct ap_errors *errs)
{
	if (node->count == 0)
		ap_complain(errs, node, "traffic policy must have at least one field");
}

static const struct ap_field_row policy_rows[] = {
	ROW_OBJECT("connectionPool", &pool, "Bounds and times of connections.", .flags = AP_F_REPORTED),
	ROW_OBJECT("loadBalancer", &lb, "How an endpoint is chosen."),
	ROW_OBJECT("outlierDetection", &outlier, "Which endpoints are left out.", .flags = AP_F_REPORTED),
	ROW_OBJECTS("portLevelSettings", &port_policy, "The same for single ports; replaces, does not add.", .max = 4096),
	ROW_OBJECT("proxyProtocol", &proxy_protocol, "PROXY header to the endpoints.", .flags = AP_F_REPORTED),
	ROW_OBJECT("retryBudget", &budget, "Most retries.", .flags = AP_F_REPORTED),
	ROW_OBJECT("tls", &tls, "TLS to the endpoints.", .flags = AP_F_REPORTED),
	ROW_OBJECT("tunnel", &tunnel, "Go through another proxy.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema policy = { .name = "trafficPolicy", .rows = policy_rows, .check = check_policy };

static const struct ap_field_row subset_rows[] = {
	ROW_STRING_MAP("labels", "Labels of the endpoints, beyond the service's own.", .check = ap_check_labels),
	ROW_STRING("name", "Name that routes use.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY),
	ROW_OBJECT("trafficPolicy", &policy, "How endpoints of the subset are called."),
	ROW_END,
};
static const struct ap_schema subset = { .name = "DestinationRule.spec.subsets[]", .rows = subset_rows };

static void
check_subsets(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice name = ap_doc_string(item, "name", "");

		if (name.len > 0 && !ap_check_is_hostname(name))
			ap_complain(errs, item, "[%u].name: \"%.*s\" must be letters, digits and '-'", i, AP_FMT(name));
		i++;
	}
	ap_check_unique_key(list, "name", errs);
}

static void
check_host(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_check_is_wild_hostname(v->string))
		ap_complain(errs, v, "\"%.*s\" is no host name", AP_FMT(v->string));
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRINGS("exportTo", "Namespaces that see it: \".\", \"*\" or names.", .check = ap_check_export_to),
	ROW_STRING("host", "Host that it is for.", REQUIRED, .check = check_host),
	ROW_OBJECTS("subsets", &subset, "Named parts of the host's endpoints.", .check = check_subsets),
	ROW_OBJECT("trafficPolicy", &policy, "How endpoints are called."),
	ROW_OBJECT("workloadSelector", &ap_istio_selector, "Only for these client workloads.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema spec = { .name = "DestinationRule.spec", .rows = spec_rows };
SPEC_ROOT(root, "DestinationRule", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "dr", NULL };
static const struct ap_kind_column columns[] = { { "HOST", "spec.host", false }, { NULL, NULL, false } };
const struct ap_kind ap_k_destination_rule = {
	.group = "networking.istio.io",
	.versions = ap_istio_versions,
	.kind = "DestinationRule",
	.plural = "destinationrules",
	.singular = "destinationrule",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Names subsets of a host's endpoints and says how endpoints are called.",
};
