/* k_workspace.c -- Workspace: a tenant is a set of namespaces of a set of fleets. */
#include "model/k_gloo_parts.h"

static void
check_namespace(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_doc_string(node, "name", "").len == 0 && !ap_check_has(node, "labels"))
		ap_complain(errs, node, "at least one of name and labels must be set; name: \"*\" selects all namespaces");
}

static const struct ap_field_row namespace_rows[] = {
	ROW_BOOL("configEnabled", "Configuration may be read from these namespaces."),
	ROW_STRING_MAP("labels", "Labels that the namespace must have too."),
	ROW_STRING("name", "Name of the namespace; '*' stands for any text.", .check = ap_gloo_check_glob),
	ROW_END,
};
static const struct ap_schema namespace_ = { .name = "Workspace.spec.workloadClusters[].namespaces[]",
	.rows = namespace_rows,
	.check = check_namespace };
static const struct ap_field_row cluster_rows[] = {
	ROW_BOOL("configEnabled", "Configuration may be read from this fleet."),
	ROW_STRING("name", "Name of the fleet; '*' stands for any text.", .check = ap_gloo_check_glob),
	ROW_OBJECTS("namespaces", &namespace_, "Namespaces of the fleet that belong to the workspace."),
	ROW_STRING_MAP("selector", "Labels of the fleet."),
	ROW_END,
};
static const struct ap_schema cluster = { .name = "Workspace.spec.workloadClusters[]", .rows = cluster_rows };

/* "If set anywhere it must be set everywhere": else nobody could say what the silence of the others means. */
static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	unsigned set = 0, all = 0;

	AP_DOC_FOR (item, ap_doc_get(spec, "workloadClusters")) {
		all++;
		set += ap_check_has(item, "configEnabled");
	}
	if (set != 0 && set != all)
		ap_complain(errs, spec, ".workloadClusters: configEnabled must be set on each of them or on none");
}

static const struct ap_field_row spec_rows[] = {
	ROW_OBJECTS("workloadClusters", &cluster, "Fleets and namespaces that belong to the workspace."),
	ROW_END,
};
static const struct ap_schema spec = { .name = "Workspace.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "Workspace", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "ws", NULL };
const struct ap_kind ap_k_workspace = {
	.group = "admin.gloo.solo.io",
	.versions = ap_gloo_versions,
	.kind = "Workspace",
	.plural = "workspaces",
	.singular = "workspace",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.doc = "A tenant: the namespaces that belong together.",
};
