/* k_workload_entry.c -- WorkloadEntry: a program on a VM, also inside ServiceEntry.spec.endpoints. */
#include "model/k_workload_entry.h"

#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/rows.h"

static void
check_address(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_slice s = v->string, path;
	struct ap_ip ip;

	if (ap_slice_starts(s, AP_S("unix://"))) {
		path = ap_slice_from(s, 7);
		if (path.len == 0 || (path.ptr[0] != '/' && path.ptr[0] != '@'))
			ap_complain(errs, v, "UDS must be an absolute path or abstract socket, is \"%.*s\"", AP_FMT(s));
		else if (s.ptr[s.len - 1] == '/')
			ap_complain(errs, v, "UDS may not be a dir, is \"%.*s\"", AP_FMT(s));
		return;
	}
	if (s.len > 0 && ap_ip_parse(s, &ip) != 0 && !ap_check_is_hostname(s))
		ap_complain(errs, v, "\"%.*s\" is neither an address nor a host name", AP_FMT(s));
}

static bool
is_port_name(struct ap_slice s)
{
	if (s.len == 0 || s.len >= 63)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!word && (c != '-' || i == 0 || i + 1 == s.len))
			return false;
	}
	return true;
}

static void
check_ports(const struct ap_doc *map, struct ap_errors *errs)
{
	AP_DOC_FOR (member, map) {
		if (!is_port_name(member->key))
			ap_errors_add(errs, -EINVAL, member->key_at,
			    "\"%.*s\" is no port name: letters, digits and '-', shorter than 63", AP_FMT(member->key));
		if (member->integer < 1 || member->integer > 65535)
			ap_complain(errs, member, "[\"%.*s\"]: port must be between 1-65535, is %lld", AP_FMT(member->key),
			    (long long)member->integer);
	}
}

static void
check_entry(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_doc_string(node, "address", "").len == 0 && ap_doc_string(node, "network", "").len == 0)
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, node->at, ".address: Address is required");
	if (ap_slice_starts(ap_doc_string(node, "address", ""), AP_S("unix://")) && ap_check_has(node, "ports"))
		ap_complain(errs, node, ".ports: UDS may not include ports");
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRING("address", "IP address of the workload, or a DNS name, or unix:///path.", .max = 256,
	    .check = check_address),
	ROW_STRING_MAP("labels", "Labels that Services, ServiceEntries and policies select.", .max = 256,
	    .check = ap_check_labels),
	ROW_STRING("locality", "region/zone/subzone.", .max = 2048),
	ROW_STRING("network", "Workloads of one network reach each other directly.", .max = 2048),
	ROW_INT_MAP("ports", "Port name of the Service to port of the workload.", .max = 128, .check = check_ports),
	ROW_STRING("serviceAccount", "Service account of its identity, in the entry's namespace.", .max = 253),
	ROW_INT("weight", "Share of the load, against the others.", UINT32),
	ROW_END,
};
const struct ap_schema ap_workload_entry_spec = { .name = "WorkloadEntry.spec",
	.rows = spec_rows,
	.check = check_entry };
SPEC_ROOT(root, "WorkloadEntry", &ap_workload_entry_spec, AP_F_REQUIRED);

static const char *const short_names[] = { "we", NULL };
static const struct ap_kind_column columns[] = {
	{ "ADDRESS", "spec.address", false },
	{ "SERVICE ACCOUNT", "spec.serviceAccount", false },
	{ "HEALTH", "status.health", false },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_workload_entry = {
	.group = "networking.istio.io",
	.versions = ap_istio_versions,
	.kind = "WorkloadEntry",
	.plural = "workloadentries",
	.singular = "workloadentry",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "One program on a VM, written by people or kept by the control plane while its host is connected.",
};
