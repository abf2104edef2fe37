/* k_service_account.c -- ServiceAccount: the last part of an identity. */
#include "model/rows.h"

static const struct ap_field_row reference_rows[] = {
	ROW_STRING("name", "Name of the object."),
	ROW_STRING("namespace", "Namespace of the object."),
	ROW_STRING("kind", "Kind of the object."),
	ROW_STRING("apiVersion", "Group and version of the object."),
	ROW_STRING("fieldPath", "Part of the object."),
	ROW_STRING("resourceVersion", "Version of the object."),
	ROW_STRING("uid", "Identity of the object."),
	ROW_END,
};
static const struct ap_schema reference = { .name = "ServiceAccount.secrets[]", .rows = reference_rows };

static const struct ap_field_row rows[] = {
	ROW_BOOL("automountServiceAccountToken", "Kept for Kubernetes' clients; has no meaning here."),
	ROW_OBJECTS("imagePullSecrets", &reference, "Kept for Kubernetes' clients; has no meaning here."),
	ROW_OBJECTS("secrets", &reference, "Kept for Kubernetes' clients; has no meaning here."),
	ROW_END,
};
static const struct ap_schema root = { .name = "ServiceAccount", .rows = rows };

static const char *const short_names[] = { "sa", NULL };
const struct ap_kind ap_k_service_account = {
	.group = "",
	.versions = ap_core_versions,
	.kind = "ServiceAccount",
	.plural = "serviceaccounts",
	.singular = "serviceaccount",
	.short_names = short_names,
	.namespaced = true,
	.schema = &root,
	.doc = "An identity: spiffe://<trust domain>/ns/<namespace>/sa/<name>.",
};
