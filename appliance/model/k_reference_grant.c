/* k_reference_grant.c -- ReferenceGrant: lets routes of other namespaces refer to objects of this one. */
#include "model/k_gateway_parts.h"

static const struct ap_field_row from_rows[] = {
	GW_GROUP(REQUIRED),
	GW_KIND(REQUIRED),
	ROW_STRING("namespace", "Namespace that may refer.", REQUIRED, .min = 1, .max = 63, .check = ap_check_dns_label),
	ROW_END,
};
static const struct ap_schema from = { .name = "ReferenceGrant.spec.from[]", .rows = from_rows };
static const struct ap_field_row to_rows[] = {
	GW_GROUP(REQUIRED),
	GW_KIND(REQUIRED),
	ROW_STRING("name", "Only this object; left out: all of the kind.", .min = 1, .max = 253),
	ROW_END,
};
static const struct ap_schema to = { .name = "ReferenceGrant.spec.to[]", .rows = to_rows };
static const struct ap_field_row spec_rows[] = {
	ROW_OBJECTS("from", &from, "Who may refer.", REQUIRED, .min = 1, .max = 16),
	ROW_OBJECTS("to", &to, "To what.", REQUIRED, .min = 1, .max = 16),
	ROW_END,
};
static const struct ap_schema spec = { .name = "ReferenceGrant.spec", .rows = spec_rows };
/* Unlike the others it has no status. */
static const struct ap_field_row root_rows[] = {
	ROW_OBJECT("spec", &spec, "What is allowed.", REQUIRED),
	ROW_END,
};
static const struct ap_schema root = { .name = "ReferenceGrant", .rows = root_rows };

static const char *const short_names[] = { "refgrant", NULL };
const struct ap_kind ap_k_reference_grant = {
	.group = "gateway.networking.k8s.io",
	.versions = ap_gateway_versions,
	.kind = "ReferenceGrant",
	.plural = "referencegrants",
	.singular = "referencegrant",
	.short_names = short_names,
	.namespaced = true,
	.schema = &root,
	.doc = "Allows references from other namespaces.",
};
