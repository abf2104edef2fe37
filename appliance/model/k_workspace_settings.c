/* k_workspace_settings.c -- WorkspaceSettings: what a tenant shows to others and takes from them, and its isolation. */
#include "model/k_gloo_parts.h"

static const char *const kinds[] = { "ROUTE_TABLE", "SERVICE", "VIRTUAL_DESTINATION", "EXTERNAL_SERVICE", "API_DOC",
	"GRAPHQL_RESOLVER_MAP", "GRAPHQL_SCHEMA", "GRAPHQL_STITCHED_SCHEMA", "EXTERNAL_WORKLOAD", "ALL", NULL };

static const struct ap_field_row workspace_rows[] = {
	ROW_STRING("name", "Name of the workspace; '*' stands for any text.", .check = ap_gloo_check_glob),
	ROW_STRING_MAP("selector", "Labels of the workspace."),
	ROW_END,
};
static const struct ap_schema workspace = { .name = "WorkspaceSettings.spec.importFrom[].workspaces[]",
	.rows = workspace_rows };
static const struct ap_field_row resource_rows[] = {
	ROW_STRING("cluster", "Fleet of the resource.", .check = ap_gloo_check_glob),
	ROW_STRING("kind", "Kind of resource.", .values = kinds, .preset = "ALL"),
	ROW_STRING_MAP("labels", "Labels that it must have."),
	ROW_STRING("name", "Name of the resource.", .check = ap_gloo_check_glob),
	ROW_STRING("namespace", "Namespace of the resource.", .check = ap_gloo_check_glob),
	ROW_END,
};
static const struct ap_schema resource = { .name = "WorkspaceSettings.spec.importFrom[].resources[]",
	.rows = resource_rows };
static const struct ap_field_row exchange_rows[] = {
	ROW_OBJECTS("resources", &resource, "What; left out: everything."),
	ROW_OBJECTS("workspaces", &workspace, "With whom; any one suffices."),
	ROW_END,
};
static const struct ap_schema exchange = { .name = "WorkspaceSettings.spec.importFrom[]", .rows = exchange_rows };

static const struct ap_field_row layers_rows[] = {
	ROW_BOOL("cni", "By the network below, which Ambit does not run.", .flags = AP_F_REPORTED),
	ROW_BOOL("mesh", "By the mesh.", .preset = "true"),
	ROW_END,
};
static const struct ap_schema layers = { .name = "WorkspaceSettings.spec.options.serviceIsolation.enforcementLayers",
	.rows = layers_rows };
static const struct ap_field_row isolation_rows[] = {
	ROW_BOOL("enabled", "Only callers of this workspace, and of those that import from it, are let in."),
	ROW_OBJECT("enforcementLayers", &layers, "Who enforces it."),
	ROW_BOOL("trimProxyConfig", "Proxies know no more than they may call."),
	ROW_END,
};
static const struct ap_schema isolation = { .name = "WorkspaceSettings.spec.options.serviceIsolation",
	.rows = isolation_rows };

static const struct ap_field_row label_selector_rows[] = {
	ROW_STRING_MAP("labels", "Labels of the services."),
	ROW_STRING("name", "Name of the service."),
	ROW_STRING("namespace", "Namespace of the service."),
	ROW_STRING("cluster", "Fleet of the service."),
	ROW_STRING("workspace", "Workspace of the service."),
	ROW_END,
};
static const struct ap_schema service_selector = { .name = "serviceSelector[]", .rows = label_selector_rows };
static const struct ap_field_row port_rows[] = {
	ROW_STRING("name", "Name of the port."),
	ROW_INT("number", "Number of the port.", PORT),
	ROW_END,
};
static const struct ap_schema port = { .name = "port", .rows = port_rows };
static const struct ap_field_row federation_rows[] = {
	ROW_BOOL("enabled", "Services get names for all fleets."),
	ROW_STRING("hostSuffix", "End of those names.", .check = ap_check_dns_name),
	ROW_OBJECTS("ports", &port, "Ports that are federated."),
	ROW_OBJECTS("serviceSelector", &service_selector, "Services that are federated."),
	ROW_END,
};
static const struct ap_schema federation = { .name = "WorkspaceSettings.spec.options.federation", .rows = federation_rows };
static const struct ap_field_row host_info_rows[] = {
	ROW_STRING("addr", "Address of the gateway."),
	ROW_INT("port", "Port of the gateway.", PORT),
	ROW_END,
};
static const struct ap_schema host_info = { .name = "hostInfoOverrides[]", .rows = host_info_rows };
static const struct ap_field_row gateway_rows[] = {
	ROW_OBJECTS("hostInfoOverrides", &host_info, "Addresses at which others reach it."),
	ROW_OBJECT("port", &port, "Its port."),
	ROW_OBJECT("selector", &ap_gloo_object_selector, "Which gateway."),
	ROW_OBJECT("tlsTerminationPort", &port, "Its port that ends TLS."),
	ROW_END,
};
static const struct ap_schema gateway = { .name = "WorkspaceSettings.spec.options.eastWestGateways[]", .rows = gateway_rows };

static void
check_mode(const struct ap_doc *node, struct ap_errors *errs)
{
	static const char *const keys[] = { "auto", "sniRouting", "tlsTermination", NULL };

	ap_check_at_most_one(node, keys, errs);
}

static const struct ap_field_row mode_rows[] = {
	ROW_ANY("auto", "As it fits."),
	ROW_ANY("sniRouting", "By the name in TLS."),
	ROW_ANY("tlsTermination", "TLS ends at the gateway."),
	ROW_END,
};
static const struct ap_schema mode = { .name = "WorkspaceSettings.spec.options.virtualDestClientMode",
	.rows = mode_rows,
	.check = check_mode };
static const struct ap_field_row options_rows[] = {
	ROW_OBJECTS("eastWestGateways", &gateway, "Gateways between fleets.", .flags = AP_F_REPORTED),
	ROW_OBJECT("federation", &federation, "Names for services in all fleets.", .flags = AP_F_REPORTED),
	ROW_OBJECT("serviceIsolation", &isolation, "Who may call the workspace's services."),
	ROW_BOOL("trimAllProxyConfig", "Proxies know no more than they may call."),
	ROW_OBJECT("virtualDestClientMode", &mode, "How virtual destinations are called.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema options = { .name = "WorkspaceSettings.spec.options", .rows = options_rows };

static const struct ap_field_row spec_rows[] = {
	ROW_OBJECTS("exportTo", &exchange, "What others may see."),
	ROW_OBJECTS("importFrom", &exchange, "What of others is seen here."),
	ROW_OBJECT("options", &options, "Isolation and the like."),
	ROW_END,
};
static const struct ap_schema spec = { .name = "WorkspaceSettings.spec", .rows = spec_rows };
SPEC_ROOT(root, "WorkspaceSettings", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "wss", NULL };
const struct ap_kind ap_k_workspace_settings = {
	.group = "admin.gloo.solo.io",
	.versions = ap_gloo_versions,
	.kind = "WorkspaceSettings",
	.plural = "workspacesettings",
	.singular = "workspacesettings",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.doc = "Exports, imports and isolation of a workspace.",
};
