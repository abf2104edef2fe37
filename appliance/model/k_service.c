/* k_service.c -- Service: a name, ports and the workloads behind them. */
#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/rows.h"

static const char *const protocols[] = { "TCP", "UDP", "SCTP", NULL };
static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", NULL };
static const char *const affinities[] = { "None", "ClientIP", NULL };
static const char *const traffic_policies[] = { "Cluster", "Local", NULL };
static const char *const families[] = { "IPv4", "IPv6", NULL };
static const char *const family_policies[] = { "SingleStack", "PreferDualStack", "RequireDualStack", NULL };

static void
check_target_port(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->type == AP_DOC_INT)
		ap_check_port(v, errs);
	else if (!ap_text_is_label(v->string) || v->string.len > 15)
		ap_complain(errs, v, "\"%.*s\" is no port name: lower case letters, digits and '-', at most 15", AP_FMT(v->string));
}

static const struct ap_field_row port_rows[] = {
	ROW_STRING("appProtocol", "What is spoken on the port: http, http2, kubernetes.io/h2c, grpc, tcp, ..."),
	ROW_STRING("name", "Name of the port; needed when there are several.", .check = ap_check_dns_label),
	ROW_INT("nodePort", "Kept for Kubernetes' clients; has no meaning here.", .min = 0, .max = 65535),
	ROW_INT("port", "Port that clients call.", REQUIRED, PORT),
	ROW_STRING("protocol", "TCP; others are kept and not carried.", .values = protocols, .preset = "TCP"),
	ROW_INT_OR_STRING("targetPort", "Port of the workload, by number or name; the same as port by default.",
	    .check = check_target_port),
	ROW_END,
};
static const struct ap_schema port = { .name = "Service.spec.ports[]", .rows = port_rows };

static void
check_cluster_ip(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->string.len > 0 && !ap_slice_eq(v->string, AP_S("None")))
		ap_check_ip(v, errs);
}

static void
check_ports(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		if (list->count > 1 && ap_doc_string(item, "name", "").len == 0)
			ap_errors_add(errs, AP_SCHEMA_REQUIRED, item->at, "[%u].name: is required when there are several ports", i);
		for (const struct ap_doc *o = list->first; o != item; o = o->next)
			if (ap_doc_int(o, "port", 0) == ap_doc_int(item, "port", 0) &&
			    ap_slice_eq(ap_doc_string(o, "protocol", "TCP"), ap_doc_string(item, "protocol", "TCP"))) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at, "[%u]: port %lld/%.*s stands here twice", i,
				    (long long)ap_doc_int(item, "port", 0), AP_FMT(ap_doc_string(item, "protocol", "TCP")));
				break;
			}
		i++;
	}
	ap_check_unique_key(list, "name", errs);
}

static const struct ap_field_row client_ip_rows[] = {
	ROW_INT("timeoutSeconds", "How long a client stays with its workload.", .min = 1, .max = 86400),
	ROW_END,
};
static const struct ap_schema client_ip = { .name = "Service.spec.sessionAffinityConfig.clientIP", .rows = client_ip_rows };
static const struct ap_field_row affinity_config_rows[] = {
	ROW_OBJECT("clientIP", &client_ip, "Of affinity ClientIP."),
	ROW_END,
};
static const struct ap_schema affinity_config = { .name = "Service.spec.sessionAffinityConfig",
	.rows = affinity_config_rows };

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	struct ap_slice type = ap_doc_string(spec, "type", "ClusterIP");
	const struct ap_doc *ports = ap_doc_get(spec, "ports");
	bool headless = ap_slice_eq(ap_doc_string(spec, "clusterIP", ""), AP_S("None"));

	if (ap_slice_eq(type, AP_S("ExternalName"))) {
		struct ap_slice name = ap_doc_string(spec, "externalName", "");

		if (name.len == 0)
			ap_errors_add(errs, AP_SCHEMA_REQUIRED, spec->at, ".externalName: is required for type ExternalName");
		else if (!ap_check_is_hostname(name))
			ap_complain(errs, ap_doc_get(spec, "externalName"), ".externalName: \"%.*s\" is no host name", AP_FMT(name));
		return;
	}
	if (!headless && (ports == NULL || ports->count == 0))
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, spec->at, ".ports: is required");
}

static const struct ap_field_row spec_rows[] = {
	ROW_BOOL("allocateLoadBalancerNodePorts", "Kept for Kubernetes' clients; has no meaning here."),
	ROW_STRING("clusterIP", "Virtual address; None for none; given by the control plane when left out.",
	    .check = check_cluster_ip),
	ROW_STRINGS("clusterIPs", "Virtual addresses, one per IP family.", .max = 2),
	ROW_STRINGS("externalIPs", "Further addresses of the service.", .check = ap_check_ip_list),
	ROW_STRING("externalName", "Name that this one stands for, with type ExternalName."),
	ROW_STRING("externalTrafficPolicy", "Kept for Kubernetes' clients; has no meaning here.", .values = traffic_policies),
	ROW_INT("healthCheckNodePort", "Kept for Kubernetes' clients; has no meaning here.", .min = 0, .max = 65535),
	ROW_STRING("internalTrafficPolicy", "Local: only workloads on the client's own host.", .values = traffic_policies,
	    .preset = "Cluster"),
	ROW_STRINGS("ipFamilies", "IP families of the virtual addresses.", .values = families, .max = 2),
	ROW_STRING("ipFamilyPolicy", "Whether one or both families are wanted.", .values = family_policies),
	ROW_STRING("loadBalancerClass", "Kept for Kubernetes' clients; has no meaning here."),
	ROW_STRING("loadBalancerIP", "Kept for Kubernetes' clients; has no meaning here."),
	ROW_STRINGS("loadBalancerSourceRanges", "Kept for Kubernetes' clients; has no meaning here.",
	    .check = ap_check_cidr_list),
	ROW_OBJECTS("ports", &port, "Ports that clients call.", .max = 256, .check = check_ports),
	ROW_BOOL("publishNotReadyAddresses", "Unhealthy workloads are given too."),
	ROW_STRING_MAP("selector", "Labels of the workloads behind the service, all of them.", .check = ap_check_labels),
	ROW_STRING("sessionAffinity", "ClientIP: a client stays with its workload.", .values = affinities, .preset = "None",
	    .flags = AP_F_REPORTED),
	ROW_OBJECT("sessionAffinityConfig", &affinity_config, "Details of the affinity.", .flags = AP_F_REPORTED),
	ROW_STRING("trafficDistribution", "Which workloads are preferred: PreferClose, PreferSameZone, PreferSameNode."),
	ROW_STRING("type", "ClusterIP, or ExternalName for another name of an outside host.", .values = types,
	    .preset = "ClusterIP"),
	ROW_END,
};
static const struct ap_schema spec = { .name = "Service.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "Service", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "svc", NULL };
static const struct ap_kind_column columns[] = {
	{ "TYPE", "spec.type", false },
	{ "CLUSTER-IP", "spec.clusterIP", false },
	{ "PORT(S)", "spec.ports.port", false },
	{ "SELECTOR", "spec.selector", true },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_service = {
	.group = "",
	.versions = ap_core_versions,
	.kind = "Service",
	.plural = "services",
	.singular = "service",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "A name and ports for a set of workloads in the mesh.",
};
