/* k_namespace.c -- Namespace: where names live, and the labels that enrol what is in it. */
#include "model/rows.h"

static const struct ap_field_row spec_rows[] = {
	ROW_STRINGS("finalizers", "Kept for Kubernetes' clients; Ambit has none of its own."),
	ROW_END,
};
static const struct ap_schema spec = { .name = "Namespace.spec", .rows = spec_rows };
SPEC_ROOT(root, "Namespace", &spec, 0);

static const char *const short_names[] = { "ns", NULL };
static const struct ap_kind_column columns[] = { { "STATUS", "status.phase", false }, { NULL, NULL, false } };
const struct ap_kind ap_k_namespace = {
	.group = "",
	.versions = ap_core_versions,
	.kind = "Namespace",
	.plural = "namespaces",
	.singular = "namespace",
	.short_names = short_names,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Holds names; its labels enrol workloads and name their waypoint.",
};
