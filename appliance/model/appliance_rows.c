/* appliance_rows.c -- every key of the Appliance document: product.md 3. Rows only; appliance.c decodes. */
#include "model/appliance_rows.h"

#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/checks.h"

static void
check_address(const struct ap_doc *v, struct ap_errors *errs)
{
	size_t colon = ap_slice_find_last(v->string, ':');
	uint64_t port;

	if (colon == SIZE_MAX || colon == 0 || ap_text_to_u64(ap_slice_from(v->string, colon + 1), 65535, &port) != 0 ||
	    port == 0)
		ap_complain(errs, v, "\"%.*s\" must be host:port, such as mesh.example.com:15012", AP_FMT(v->string));
}

static void
check_trust_domain(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_text_is_dns_name(v->string))
		ap_complain(errs, v, "\"%.*s\" is no trust domain: lower case letters, digits, '-' and '.'", AP_FMT(v->string));
}

static const struct ap_field_row metadata_rows[] = {
	{ .name = "name",
	    .type = AP_T_STRING,
	    .flags = AP_F_REQUIRED,
	    .check = ap_check_dns_name,
	    .doc = "Name of this host; its Host object and its host identity are called so." },
	{ .name = "labels", .type = AP_T_MAP, .item = AP_T_STRING, .check = ap_check_labels, .doc = "For people." },
	{ .name = "annotations", .type = AP_T_MAP, .item = AP_T_STRING, .doc = "For people." },
	{ 0 },
};
static const struct ap_schema metadata = { .name = "Appliance.metadata", .rows = metadata_rows };

static const struct ap_field_row root_rows[] = {
	{ .name = "apiVersion", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .doc = "ambit.mesh/v1alpha1" },
	{ .name = "kind", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .doc = "Appliance" },
	{ .name = "metadata",
	    .type = AP_T_OBJECT,
	    .of = &metadata,
	    .flags = AP_F_REQUIRED,
	    .doc = "Name of this host and words for people." },
	{ .name = "spec", .type = AP_T_OBJECT, .flags = AP_F_REQUIRED, .doc = "What this process does." },
	{ 0 },
};
const struct ap_schema ap_appliance_root = { .name = "Appliance",
	.doc = "Configures one process; the first document of its file.",
	.rows = root_rows };

static const struct ap_field_row control_plane_rows[] = {
	{ .name = "address",
	    .type = AP_T_STRING,
	    .flags = AP_F_REQUIRED,
	    .check = check_address,
	    .doc = "host:port of xDS and the certificate authority." },
	{ .name = "tokenFile",
	    .type = AP_T_STRING,
	    .doc = "File with the join token; needed until the first certificate was issued." },
	{ .name = "caFile", .type = AP_T_STRING, .doc = "PEM file with the root that the control plane's certificate chains to." },
	{ .name = "hostName",
	    .type = AP_T_STRING,
	    .check = ap_check_host,
	    .doc = "Name to verify in the control plane's certificate, when it differs from the address." },
	{ 0 },
};
static const struct ap_schema control_plane = { .name = "Appliance.spec.controlPlane", .rows = control_plane_rows };

static const struct ap_field_row host_rows[] = {
	{ .name = "region", .type = AP_T_STRING, .doc = "Region of this host, for locality." },
	{ .name = "zone", .type = AP_T_STRING, .doc = "Zone within the region." },
	{ .name = "subzone", .type = AP_T_STRING, .doc = "Part of the zone, such as a rack." },
	{ .name = "network", .type = AP_T_STRING, .doc = "Hosts with the same network reach each other directly." },
	{ .name = "cluster", .type = AP_T_STRING, .preset = "Kubernetes", .doc = "Fleet that this host belongs to, as metrics name it." },
	{ .name = "labels",
	    .type = AP_T_MAP,
	    .item = AP_T_STRING,
	    .check = ap_check_labels,
	    .doc = "Labels of the host, which its workloads carry too unless they say otherwise." },
	{ .name = "addresses",
	    .type = AP_T_LIST,
	    .item = AP_T_STRING,
	    .flags = AP_F_UNIQUE,
	    .check = ap_check_ip_list,
	    .doc = "Addresses at which peers reach this host; without it the one towards the control plane." },
	{ 0 },
};
static const struct ap_schema host = { .name = "Appliance.spec.host", .rows = host_rows };

static const char *const select_keys[] = { "systemdUnit", "cgroup", "user", "executable", "networkNamespace", "address",
	NULL };

static void
check_select(const struct ap_doc *node, struct ap_errors *errs)
{
	for (const char *const *k = select_keys; *k != NULL; k++)
		if (ap_doc_string(node, *k, "").len > 0)
			return;
	ap_complain(errs, node,
	    "at least one of systemdUnit, cgroup, user, executable, networkNamespace, address must be set");
}

static const struct ap_field_row select_rows[] = {
	{ .name = "systemdUnit", .type = AP_T_STRING, .doc = "Programs of this systemd unit." },
	{ .name = "cgroup", .type = AP_T_STRING, .doc = "Programs in this control group or below it." },
	{ .name = "user", .type = AP_T_STRING, .doc = "Programs of this user, by name or number." },
	{ .name = "executable", .type = AP_T_STRING, .doc = "Programs whose executable is this file." },
	{ .name = "networkNamespace", .type = AP_T_STRING, .doc = "Programs in this named network namespace." },
	{ .name = "address", .type = AP_T_STRING, .check = ap_check_ip, .doc = "Programs that use this local address." },
	{ 0 },
};
static const struct ap_schema select_ = { .name = "Appliance.spec.workloads[].select",
	.rows = select_rows,
	.check = check_select };

static const struct ap_field_row port_rows[] = {
	{ .name = "name", .type = AP_T_STRING, .check = ap_check_dns_label, .doc = "Name that Services use as targetPort." },
	{ .name = "port", .type = AP_T_INT, .flags = AP_F_REQUIRED, .check = ap_check_port, .doc = "Port that the program listens on." },
	{ 0 },
};
static const struct ap_schema port = { .name = "Appliance.spec.workloads[].ports[]", .rows = port_rows };

static const char *const schemes[] = { "HTTP", "HTTPS", NULL };
static const struct ap_field_row probe_header_rows[] = {
	{ .name = "name", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .check = ap_check_header_name, .doc = "Header name." },
	{ .name = "value", .type = AP_T_STRING, .doc = "Header value." },
	{ 0 },
};
static const struct ap_schema probe_header = { .name = "probe.httpGet.httpHeaders[]", .rows = probe_header_rows };
static const struct ap_field_row http_get_rows[] = {
	{ .name = "path", .type = AP_T_STRING, .preset = "/", .doc = "Path to ask for." },
	{ .name = "port", .type = AP_T_INT, .flags = AP_F_REQUIRED, .check = ap_check_port, .doc = "Port to ask at." },
	{ .name = "host", .type = AP_T_STRING, .doc = "Host header." },
	{ .name = "scheme", .type = AP_T_STRING, .values = schemes, .preset = "HTTP", .doc = "HTTP or HTTPS." },
	{ .name = "httpHeaders", .type = AP_T_LIST, .item = AP_T_OBJECT, .of = &probe_header, .doc = "More headers." },
	{ 0 },
};
static const struct ap_schema http_get = { .name = "probe.httpGet", .rows = http_get_rows };
static const struct ap_field_row tcp_socket_rows[] = {
	{ .name = "port", .type = AP_T_INT, .flags = AP_F_REQUIRED, .check = ap_check_port, .doc = "Port to connect to." },
	{ .name = "host", .type = AP_T_STRING, .doc = "Address to connect to; this host by default." },
	{ 0 },
};
static const struct ap_schema tcp_socket = { .name = "probe.tcpSocket", .rows = tcp_socket_rows };
static const struct ap_field_row exec_rows[] = {
	{ .name = "command",
	    .type = AP_T_LIST,
	    .item = AP_T_STRING,
	    .flags = AP_F_REQUIRED | AP_F_NON_EMPTY,
	    .doc = "Program and its arguments; healthy when it exits with 0." },
	{ 0 },
};
static const struct ap_schema exec = { .name = "probe.exec", .rows = exec_rows };
static const struct ap_field_row grpc_rows[] = {
	{ .name = "port", .type = AP_T_INT, .flags = AP_F_REQUIRED, .check = ap_check_port, .doc = "Port of the health service." },
	{ .name = "service", .type = AP_T_STRING, .doc = "Service name to ask for." },
	{ 0 },
};
static const struct ap_schema grpc = { .name = "probe.grpc", .rows = grpc_rows };

static void
check_probe(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "httpGet", "tcpSocket", "exec", "grpc", NULL };

	ap_check_one_of(node, keys, errs);
}

static const struct ap_field_row probe_rows[] = {
	{ .name = "httpGet", .type = AP_T_OBJECT, .of = &http_get, .doc = "Healthy when it answers 200 to 399." },
	{ .name = "tcpSocket", .type = AP_T_OBJECT, .of = &tcp_socket, .doc = "Healthy when it accepts a connection." },
	{ .name = "exec", .type = AP_T_OBJECT, .of = &exec, .doc = "Healthy when a command succeeds." },
	{ .name = "grpc", .type = AP_T_OBJECT, .of = &grpc, .doc = "Healthy when gRPC's health service says SERVING." },
	{ .name = "initialDelaySeconds", .type = AP_T_INT, .min = 0, .max = 86400, .doc = "Wait before the first probe." },
	{ .name = "timeoutSeconds", .type = AP_T_INT, .min = 1, .max = 3600, .preset = "1", .doc = "Longest wait for an answer." },
	{ .name = "periodSeconds", .type = AP_T_INT, .min = 1, .max = 86400, .preset = "10", .doc = "Time between probes." },
	{ .name = "successThreshold", .type = AP_T_INT, .min = 1, .max = 1000, .preset = "1", .doc = "Good answers in a row to become healthy." },
	{ .name = "failureThreshold", .type = AP_T_INT, .min = 1, .max = 1000, .preset = "3", .doc = "Failures in a row to become unhealthy." },
	{ 0 },
};
static const struct ap_schema probe = { .name = "Appliance.spec.workloads[].probe",
	.rows = probe_rows,
	.check = check_probe };

static const struct ap_field_row workload_rows[] = {
	{ .name = "name", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .check = ap_check_dns_name, .doc = "Name of the workload on this host." },
	{ .name = "namespace", .type = AP_T_STRING, .preset = "default", .check = ap_check_dns_label, .doc = "Namespace of its identity." },
	{ .name = "serviceAccount", .type = AP_T_STRING, .preset = "default", .check = ap_check_dns_name, .doc = "Service account of its identity." },
	{ .name = "select", .type = AP_T_OBJECT, .of = &select_, .flags = AP_F_REQUIRED, .doc = "Which programs it is; all that is given must hold." },
	{ .name = "ports", .type = AP_T_LIST, .item = AP_T_OBJECT, .of = &port, .min = 0, .max = 256, .doc = "Ports that it serves." },
	{ .name = "labels", .type = AP_T_MAP, .item = AP_T_STRING, .check = ap_check_labels, .doc = "Labels that Services and policies select." },
	{ .name = "probe", .type = AP_T_OBJECT, .of = &probe, .doc = "How to find out whether it is healthy." },
	{ 0 },
};
static const struct ap_schema workload = { .name = "Appliance.spec.workloads[]", .rows = workload_rows };

static void
check_workloads(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice name = ap_doc_string(item, "name", "");

		for (const struct ap_doc *other = list->first; other != item; other = other->next)
			if (ap_slice_eq(name, ap_doc_string(other, "name", ""))) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at,
				    "[%u].name: \"%.*s\" is the name of another workload already", i, AP_FMT(name));
				break;
			}
		i++;
	}
}

static const char *const capture_modes[] = { "mesh", "all", "off", NULL };
static const struct ap_field_row capture_rows[] = {
	{ .name = "mode", .type = AP_T_STRING, .values = capture_modes, .preset = "mesh", .doc = "mesh: only mesh destinations; all: every destination; off: nothing." },
	{ .name = "excludeOutboundPorts", .type = AP_T_LIST, .item = AP_T_INT, .max = 256, .check = ap_check_ports, .doc = "Destination ports that are never captured." },
	{ .name = "excludeInboundPorts", .type = AP_T_LIST, .item = AP_T_INT, .max = 256, .check = ap_check_ports, .doc = "Local ports that are never captured; SSH's and Ambit's own never are." },
	{ .name = "excludeCIDRs", .type = AP_T_LIST, .item = AP_T_STRING, .max = 1024, .check = ap_check_cidr_list, .doc = "Destination networks that are never captured." },
	{ .name = "includeCIDRs", .type = AP_T_LIST, .item = AP_T_STRING, .max = 1024, .check = ap_check_cidr_list, .doc = "When given, only these destination networks are captured." },
	{ .name = "excludeUsers", .type = AP_T_LIST, .item = AP_T_STRING, .max = 256, .check = ap_check_non_empty_items, .doc = "Users, by name or number, whose programs are never captured." },
	{ .name = "dns", .type = AP_T_BOOL, .preset = "true", .doc = "Answer DNS queries for names of the mesh." },
	{ 0 },
};
static const struct ap_schema capture = { .name = "Appliance.spec.capture", .rows = capture_rows };

static const char *const log_formats[] = { "text", "json", NULL };
static const struct ap_field_row log_rows[] = {
	{ .name = "level", .type = AP_T_STRING, .preset = "info", .doc = "error, warn, info, debug or trace; more after commas for single modules: info,zt_inbound:debug." },
	{ .name = "format", .type = AP_T_STRING, .values = log_formats, .preset = "text", .doc = "text or json." },
	{ 0 },
};
static const struct ap_schema log_ = { .name = "Appliance.spec.log", .rows = log_rows };

static const struct ap_field_row spec_rows[] = {
	{ .name = "roles", .type = AP_T_LIST, .item = AP_T_STRING, .flags = AP_F_UNIQUE, .max = 16, .check = ap_check_non_empty_items, .doc = "What this process loads: ztunnel, waypoint, control-plane, waypoint-manager, metrics-ui." },
	{ .name = "controlPlane", .type = AP_T_OBJECT, .of = &control_plane, .doc = "Where configuration and certificates come from." },
	{ .name = "host", .type = AP_T_OBJECT, .of = &host, .doc = "Where this host is and how peers reach it." },
	{ .name = "workloads", .type = AP_T_LIST, .item = AP_T_OBJECT, .of = &workload, .max = 1024, .check = check_workloads, .doc = "Programs on this host and the identity that each asks for." },
	{ .name = "capture", .type = AP_T_OBJECT, .of = &capture, .doc = "Which traffic is captured." },
	{ .name = "trustDomain", .type = AP_T_STRING, .preset = "cluster.local", .check = check_trust_domain, .doc = "Trust domain of every identity of this mesh." },
	{ .name = "stateDir", .type = AP_T_STRING, .flags = AP_F_NON_EMPTY, .preset = "/var/lib/ambit", .doc = "Folder for what must outlive a restart." },
	{ .name = "runDir", .type = AP_T_STRING, .flags = AP_F_NON_EMPTY, .preset = "/run/ambit", .doc = "Folder for sockets." },
	{ .name = "workers", .type = AP_T_INT, .min = 0, .max = 256, .preset = "0", .doc = "Threads that carry traffic; 0 means one per core." },
	{ .name = "log", .type = AP_T_OBJECT, .of = &log_, .doc = "What is logged and how." },
	{ .name = "drain", .type = AP_T_DURATION, .preset = "5s", .doc = "Longest time that connections get to end when the process stops." },
	{ .name = "controlPlaneServer", .type = AP_T_ANY, .doc = "Section of the role control-plane." },
	{ .name = "ztunnel", .type = AP_T_ANY, .doc = "Section of the role ztunnel." },
	{ .name = "waypoint", .type = AP_T_ANY, .doc = "Section of the role waypoint." },
	{ .name = "waypointManager", .type = AP_T_ANY, .doc = "Section of the role waypoint-manager." },
	{ .name = "metricsUI", .type = AP_T_ANY, .doc = "Section of the role metrics-ui." },
	{ 0 },
};
const struct ap_schema ap_appliance_spec = { .name = "Appliance.spec", .rows = spec_rows };
