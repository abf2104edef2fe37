/* k_service_entry.c -- ServiceEntry: hosts outside the mesh, and services made of WorkloadEntries. */
#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/k_workload_entry.h"
#include "model/rows.h"

static const char *const locations[] = { "MESH_EXTERNAL", "MESH_INTERNAL", NULL };
static const char *const resolutions[] = { "NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS", NULL };

static void
check_hosts(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice s = item->string;

		if (ap_slice_eq(s, AP_S("*")))
			ap_complain(errs, item, "[%u]: hostname cannot be wildcard", i);
		else if (s.len == 0)
			ap_complain(errs, item, "[%u]: must not be empty", i);
		/* Istio takes "*x" too. */
		else if (!ap_check_is_hostname(s) && !(s.ptr[0] == '*' && ap_slice_find(ap_slice_from(s, 1), '*') == SIZE_MAX &&
			     (s.ptr[1] == '.' ? ap_check_is_hostname(ap_slice_from(s, 2))
					      : ap_check_is_hostname(ap_slice_from(s, s.ptr[1] == '-' ? 2 : 1)))))
			ap_complain(errs, item, "[%u]: \"%.*s\" is no host name; a wildcard may only stand in front", i, AP_FMT(s));
		i++;
	}
}

static void
check_addresses(const struct ap_doc *list, struct ap_errors *errs)
{
	struct ap_cidr cidr;
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		if (ap_cidr_parse(item->string, &cidr) != 0)
			ap_complain(errs, item, "[%u]: \"%.*s\" is neither an address nor a network", i, AP_FMT(item->string));
		i++;
	}
}

static void
check_port_number(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->integer < 1 || v->integer > 65535)
		ap_complain(errs, v, "port must be between 1-65535, is %lld", (long long)v->integer);
}

static const struct ap_field_row port_rows[] = {
	ROW_STRING("name", "Name of the port.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY, .min = 1, .max = 256),
	ROW_INT("number", "Port that clients call.", REQUIRED, .check = check_port_number),
	ROW_STRING("protocol", "HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS.", .max = 256),
	ROW_INT("targetPort", "Port of the endpoints; the same by default.", .check = check_port_number),
	ROW_END,
};
static const struct ap_schema port = { .name = "ServiceEntry.spec.ports[]", .rows = port_rows };

static void
check_ports(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		for (const struct ap_doc *o = list->first; o != item; o = o->next)
			if (ap_doc_int(o, "number", 0) == ap_doc_int(item, "number", 0)) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at, "[%u].number: port number cannot be duplicated", i);
				break;
			}
		i++;
	}
	ap_check_unique_key(list, "name", errs);
}

static void
check_selector_labels(const struct ap_doc *map, struct ap_errors *errs)
{
	AP_DOC_FOR (member, map) {
		if (ap_slice_find(member->string, '*') != SIZE_MAX)
			ap_complain(errs, member, "\"%.*s\": wildcard is not supported in selector", AP_FMT(member->string));
		else if (member->string.len > 63)
			ap_complain(errs, member, "\"%.*s\" is longer than 63 characters", AP_FMT(member->string));
	}
}

static const struct ap_field_row selector_rows[] = {
	ROW_STRING_MAP("labels", "Labels that a workload must have, all of them.", .max = 256,
	    .check = check_selector_labels),
	ROW_END,
};
static const struct ap_schema selector = { .name = "ServiceEntry.spec.workloadSelector", .rows = selector_rows };

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	struct ap_slice resolution = ap_doc_string(spec, "resolution", "NONE");
	const struct ap_doc *endpoints = ap_doc_get(spec, "endpoints"), *addresses = ap_doc_get(spec, "addresses");
	bool none = ap_slice_eq(resolution, AP_S("NONE")), fixed = ap_slice_eq(resolution, AP_S("STATIC"));
	struct ap_ip ip;
	uint32_t i = 0;

	if (ap_check_has(spec, "workloadSelector") && ap_check_has(spec, "endpoints"))
		ap_complain(errs, spec, "only one of WorkloadSelector or Endpoints can be set");
	AP_DOC_FOR (item, addresses) {
		if (!none && !fixed && ap_slice_find(item->string, '/') != SIZE_MAX)
			ap_complain(errs, item, ".addresses[%u]: CIDR addresses are allowed only for NONE/STATIC resolution types", i);
		i++;
	}
	if (none && endpoints != NULL && endpoints->type == AP_DOC_LIST)
		ap_complain(errs, endpoints, ".endpoints: NONE mode cannot set endpoints; give a resolution");
	if (ap_slice_eq(resolution, AP_S("DNS_ROUND_ROBIN")) && endpoints != NULL && endpoints->count > 1)
		ap_complain(errs, endpoints, ".endpoints: DNS_ROUND_ROBIN mode cannot have multiple endpoints");
	if (!fixed)
		return;
	i = 0;
	AP_DOC_FOR (item, endpoints) {
		struct ap_slice address = ap_doc_string(item, "address", "");

		if (address.len > 0 && !ap_slice_starts(address, AP_S("unix://")) && ap_ip_parse(address, &ip) != 0)
			ap_complain(errs, item, ".endpoints[%u].address: must be an IP address with resolution STATIC, is \"%.*s\"", i,
			    AP_FMT(address));
		i++;
	}
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRINGS("addresses", "Virtual addresses; given by the control plane when left out.", .max = 256,
	    .check = check_addresses),
	ROW_OBJECTS("endpoints", &ap_workload_entry_spec, "Where the host is; instead of workloadSelector.", .max = 4096),
	ROW_STRINGS("exportTo", "Namespaces that see it: \".\", \"*\" or names.", .check = ap_check_export_to),
	ROW_STRINGS("hosts", "Names by which clients call.", REQUIRED, .min = 1, .max = 256, .check = check_hosts),
	ROW_STRING("location", "Whether the host is part of the mesh.", .values = locations, .preset = "MESH_EXTERNAL"),
	ROW_OBJECTS("ports", &port, "Ports that clients call.", .max = 256, .check = check_ports),
	ROW_STRING("resolution", "How endpoints are found.", .values = resolutions, .preset = "NONE"),
	ROW_STRINGS("subjectAltNames", "Names that the endpoints' certificates must bear."),
	ROW_OBJECT("workloadSelector", &selector, "WorkloadEntries of the namespace that are its endpoints."),
	ROW_END,
};
static const struct ap_schema spec = { .name = "ServiceEntry.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "ServiceEntry", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "se", NULL };
static const struct ap_kind_column columns[] = {
	{ "HOSTS", "spec.hosts", false },
	{ "LOCATION", "spec.location", false },
	{ "RESOLUTION", "spec.resolution", false },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_service_entry = {
	.group = "networking.istio.io",
	.versions = ap_istio_versions,
	.kind = "ServiceEntry",
	.plural = "serviceentries",
	.singular = "serviceentry",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Adds hosts to what the mesh knows: outside ones, or services made of WorkloadEntries.",
};
