/* k_gateway.c -- Gateway of the Gateway API: a waypoint that somebody asks for, or one that the manager keeps. */
#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/k_gateway_parts.h"

static const char *const froms[] = { "All", "Selector", "Same", NULL };
static const char *const listener_froms[] = { "All", "Selector", "Same", "None", NULL };
static const char *const modes[] = { "Terminate", "Passthrough", NULL };
static const char *const frontend_modes[] = { "AllowValidOnly", "AllowInsecureFallback", NULL };

static void
check_domain_keys(const struct ap_doc *map, struct ap_errors *errs)
{
	AP_DOC_FOR (member, map) {
		size_t slash = ap_slice_find(member->key, '/');

		if (member->key.len == 0 || (slash != SIZE_MAX && !ap_text_is_dns_name(ap_slice_sub(member->key, 0, slash))))
			ap_errors_add(errs, -EINVAL, member->key_at, "\"%.*s\" is no name such as example.com/key", AP_FMT(member->key));
		if (member->string.len > 4096)
			ap_complain(errs, member, "[\"%.*s\"]: is longer than 4,096 characters", AP_FMT(member->key));
	}
}

/* -- addresses -- */

static void
check_address(const struct ap_doc *node, struct ap_errors *errs)
{
	struct ap_slice type = ap_doc_string(node, "type", "IPAddress"), value = ap_doc_string(node, "value", "");
	struct ap_ip ip;

	if (value.len == 0)
		return;
	if (ap_slice_eq(type, AP_S("IPAddress")) && ap_ip_parse(value, &ip) != 0)
		ap_complain(errs, node, ".value: \"%.*s\" is no IP address", AP_FMT(value));
	else if (ap_slice_eq(type, AP_S("Hostname")) && !ap_gw_is_hostname(value, true))
		ap_complain(errs, node, ".value: Hostname value must be empty or contain only valid characters, is \"%.*s\"",
		    AP_FMT(value));
}

static void
check_address_type(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_slice_eq(v->string, AP_S("IPAddress")) && !ap_slice_eq(v->string, AP_S("Hostname")) &&
	    !ap_slice_eq(v->string, AP_S("NamedAddress")) && ap_slice_find(v->string, '/') == SIZE_MAX)
		ap_complain(errs, v, "must be IPAddress, Hostname, NamedAddress or a domain/name of one's own");
}

static const struct ap_field_row address_rows[] = {
	ROW_STRING("type", "IPAddress or Hostname.", .min = 1, .max = 253, .preset = "IPAddress", .check = check_address_type),
	ROW_STRING("value", "The address; left out: the control plane gives one.", .max = 253),
	ROW_END,
};
static const struct ap_schema address = { .name = "Gateway.spec.addresses[]",
	.rows = address_rows,
	.check = check_address };

static void
check_addresses(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		for (const struct ap_doc *o = list->first; o != item; o = o->next)
			if (ap_check_has(item, "value") &&
			    ap_slice_eq(ap_doc_string(o, "type", "IPAddress"), ap_doc_string(item, "type", "IPAddress")) &&
			    ap_slice_eq(ap_doc_string(o, "value", ""), ap_doc_string(item, "value", ""))) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at, "[%u]: address values must be unique", i);
				break;
			}
		i++;
	}
}

/* -- listeners -- */

static const struct ap_field_row route_kind_rows[] = {
	GW_GROUP(.preset = "gateway.networking.k8s.io"),
	GW_KIND(REQUIRED),
	ROW_END,
};
static const struct ap_schema route_kind = { .name = "allowedRoutes.kinds[]", .rows = route_kind_rows };
static const struct ap_field_row namespaces_rows[] = {
	ROW_STRING("from", "All, Same, or those that the selector picks.", .values = froms, .preset = "Same"),
	ROW_OBJECT("selector", &ap_label_selector_schema, "Labels of namespaces, with from: Selector."),
	ROW_END,
};
static const struct ap_schema namespaces = { .name = "allowedRoutes.namespaces", .rows = namespaces_rows };
static const struct ap_field_row allowed_routes_rows[] = {
	ROW_OBJECTS("kinds", &route_kind, "Kinds of routes.", .max = 8),
	ROW_OBJECT("namespaces", &namespaces, "Namespaces of routes."),
	ROW_END,
};
static const struct ap_schema allowed_routes = { .name = "Gateway.spec.listeners[].allowedRoutes",
	.rows = allowed_routes_rows };

static void
check_tls(const struct ap_doc *node, struct ap_errors *errs)
{
	const struct ap_doc *refs = ap_doc_get(node, "certificateRefs"), *options = ap_doc_get(node, "options");

	if (ap_slice_eq(ap_doc_string(node, "mode", "Terminate"), AP_S("Terminate")) && (refs == NULL || refs->count == 0) &&
	    (options == NULL || options->count == 0))
		ap_complain(errs, node, "certificateRefs or options must be specified when mode is Terminate");
}

static const struct ap_field_row tls_rows[] = {
	ROW_OBJECTS("certificateRefs", &ap_gw_secret_ref, "Certificates and keys.", .max = 64),
	ROW_STRING("mode", "Terminate or Passthrough.", .values = modes, .preset = "Terminate"),
	ROW_STRING_MAP("options", "Settings of the implementation.", .max = 16, .check = check_domain_keys),
	ROW_END,
};
static const struct ap_schema tls = { .name = "Gateway.spec.listeners[].tls", .rows = tls_rows, .check = check_tls };

static void
check_protocol(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_slice s = v->string;
	size_t slash = ap_slice_find(s, '/');

	if (slash != SIZE_MAX && ap_text_is_dns_name(ap_slice_sub(s, 0, slash)) && slash + 1 < s.len)
		return;
	if (slash == SIZE_MAX && ap_check_is_header_name(s) && ap_slice_find(s, '.') == SIZE_MAX)
		return;
	ap_complain(errs, v, "\"%.*s\" is no protocol such as HTTP, HTTPS, TLS, TCP, HBONE or example.com/name", AP_FMT(s));
}

static const struct ap_field_row listener_rows[] = {
	ROW_OBJECT("allowedRoutes", &allowed_routes, "Routes that may attach."),
	ROW_STRING("hostname", "Host of requests that it serves.", .min = 1, .max = 253, .check = ap_gw_check_hostname),
	ROW_STRING("name", "Name of the listener.", REQUIRED, .min = 1, .max = 253, .check = ap_check_dns_name),
	ROW_INT("port", "Port that it listens on.", REQUIRED, PORT),
	ROW_STRING("protocol", "HTTP, HTTPS, TLS, TCP, UDP, or HBONE for a waypoint.", REQUIRED, .min = 1, .max = 255,
	    .check = check_protocol),
	ROW_OBJECT("tls", &tls, "TLS of the listener."),
	ROW_END,
};
static const struct ap_schema listener = { .name = "Gateway.spec.listeners[]", .rows = listener_rows };

static bool
same_place(const struct ap_doc *a, const struct ap_doc *b)
{
	return ap_doc_int(a, "port", 0) == ap_doc_int(b, "port", 0) &&
	    ap_slice_eq(ap_doc_string(a, "protocol", ""), ap_doc_string(b, "protocol", "")) &&
	    ap_slice_eq(ap_doc_string(a, "hostname", ""), ap_doc_string(b, "hostname", ""));
}

static void
check_listener(const struct ap_doc *l, uint32_t i, struct ap_errors *errs)
{
	struct ap_slice protocol = ap_doc_string(l, "protocol", "");
	bool http = ap_slice_eq(protocol, AP_S("HTTP")), https = ap_slice_eq(protocol, AP_S("HTTPS"));
	bool plain = ap_slice_eq(protocol, AP_S("TCP")) || ap_slice_eq(protocol, AP_S("UDP"));
	struct ap_slice mode = ap_doc_string(ap_doc_get(l, "tls"), "mode", "");

	if ((http || plain) && ap_check_has(l, "tls"))
		ap_complain(errs, l, "[%u]: tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']", i);
	if (https && ap_slice_eq(mode, AP_S("Passthrough")))
		ap_complain(errs, l, "[%u]: tls mode must be Terminate for protocol HTTPS", i);
	if (ap_slice_eq(protocol, AP_S("TLS")) && mode.len == 0)
		ap_complain(errs, l, "[%u]: tls mode must be set for protocol TLS", i);
	if (plain && ap_doc_string(l, "hostname", "").len > 0)
		ap_complain(errs, l, "[%u]: hostname must not be specified for protocols ['TCP', 'UDP']", i);
}

static void
check_listeners(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		check_listener(item, i, errs);
		for (const struct ap_doc *o = list->first; o != item; o = o->next)
			if (same_place(o, item)) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at,
				    "[%u]: Combination of port, protocol and hostname must be unique for each listener", i);
				break;
			}
		i++;
	}
	ap_check_unique_key(list, "name", errs);
}

/* -- the rest -- */

static const struct ap_field_row listener_namespaces_rows[] = {
	ROW_STRING("from", "None, Same, All, or those that the selector picks.", .values = listener_froms, .preset = "None"),
	ROW_OBJECT("selector", &ap_label_selector_schema, "Labels of namespaces, with from: Selector."),
	ROW_END,
};
static const struct ap_schema listener_namespaces = { .name = "allowedListeners.namespaces",
	.rows = listener_namespaces_rows };
static const struct ap_field_row allowed_listeners_rows[] = {
	ROW_OBJECT("namespaces", &listener_namespaces, "Namespaces of ListenerSets."),
	ROW_END,
};
static const struct ap_schema allowed_listeners = { .name = "Gateway.spec.allowedListeners", .rows = allowed_listeners_rows };

static const struct ap_field_row infrastructure_rows[] = {
	ROW_STRING_MAP("annotations", "For what is made for the Gateway.", .max = 16, .check = check_domain_keys),
	ROW_STRING_MAP("labels", "For what is made for the Gateway.", .max = 8, .check = ap_check_labels),
	ROW_OBJECT("parametersRef", &ap_gw_local_ref, "More settings.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema infrastructure = { .name = "Gateway.spec.infrastructure", .rows = infrastructure_rows };

static const struct ap_field_row validation_rows[] = {
	ROW_OBJECTS("caCertificateRefs", &ap_gw_object_ref, "Roots that client certificates are checked against.", REQUIRED,
	    .min = 1, .max = 16),
	ROW_STRING("mode", "What happens to clients without a good certificate.", .values = frontend_modes,
	    .preset = "AllowValidOnly"),
	ROW_END,
};
static const struct ap_schema validation = { .name = "Gateway.spec.tls.frontend.default.validation", .rows = validation_rows };
static const struct ap_field_row frontend_tls_rows[] = {
	ROW_OBJECT("validation", &validation, "How client certificates are checked."),
	ROW_END,
};
static const struct ap_schema frontend_tls = { .name = "Gateway.spec.tls.frontend.default", .rows = frontend_tls_rows };
static const struct ap_field_row per_port_rows[] = {
	ROW_INT("port", "Port of the Gateway.", REQUIRED, PORT),
	ROW_OBJECT("tls", &frontend_tls, "What holds for it.", REQUIRED),
	ROW_END,
};
static const struct ap_schema per_port = { .name = "Gateway.spec.tls.frontend.perPort[]", .rows = per_port_rows };

static void
check_per_port(const struct ap_doc *list, struct ap_errors *errs)
{
	ap_check_unique_key(list, "port", errs);
}

static const struct ap_field_row frontend_rows[] = {
	ROW_OBJECT("default", &frontend_tls, "For every port.", REQUIRED),
	ROW_OBJECTS("perPort", &per_port, "For single ports.", .max = 64, .check = check_per_port),
	ROW_END,
};
static const struct ap_schema frontend = { .name = "Gateway.spec.tls.frontend", .rows = frontend_rows };
static const struct ap_field_row backend_rows[] = {
	ROW_OBJECT("clientCertificateRef", &ap_gw_secret_ref, "Certificate that the Gateway shows to backends."),
	ROW_END,
};
static const struct ap_schema backend = { .name = "Gateway.spec.tls.backend", .rows = backend_rows };
static const struct ap_field_row gateway_tls_rows[] = {
	ROW_OBJECT("backend", &backend, "Towards backends."),
	ROW_OBJECT("frontend", &frontend, "Towards clients."),
	ROW_END,
};
static const struct ap_schema gateway_tls = { .name = "Gateway.spec.tls", .rows = gateway_tls_rows };

static const struct ap_field_row spec_rows[] = {
	ROW_OBJECTS("addresses", &address, "Addresses that are asked for.", .max = 16, .check = check_addresses),
	ROW_OBJECT("allowedListeners", &allowed_listeners, "Whose ListenerSets may attach.", .flags = AP_F_REPORTED),
	ROW_STRING("gatewayClassName", "Who runs it: istio-waypoint for a waypoint.", REQUIRED, .min = 1, .max = 253),
	ROW_OBJECT("infrastructure", &infrastructure, "Labels and settings for what is made for it."),
	ROW_OBJECTS("listeners", &listener, "Ports and protocols.", REQUIRED, .min = 1, .max = 64, .check = check_listeners),
	ROW_OBJECT("tls", &gateway_tls, "TLS towards clients and backends.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema spec = { .name = "Gateway.spec", .rows = spec_rows };
SPEC_ROOT(root, "Gateway", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "gtw", NULL };
static const struct ap_kind_column columns[] = {
	{ "CLASS", "spec.gatewayClassName", false },
	{ "ADDRESS", "status.addresses.value", false },
	{ "PROGRAMMED", "status.conditions[Programmed]", false },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_gateway = {
	.group = "gateway.networking.k8s.io",
	.versions = ap_gateway_versions,
	.kind = "Gateway",
	.plural = "gateways",
	.singular = "gateway",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "A proxy that takes traffic: a waypoint when its class is istio-waypoint.",
};
