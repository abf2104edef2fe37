/* k_gateway_class.c -- GatewayClass: which implementation runs a Gateway. */
#include "model/k_gateway_parts.h"

static const struct ap_field_row spec_rows[] = {
	ROW_STRING("controllerName", "Who runs Gateways of this class: domain/path; never changes.", REQUIRED, .min = 1,
	    .max = 253, .check = ap_gw_check_controller),
	ROW_STRING("description", "Words for people.", .max = 64),
	ROW_OBJECT("parametersRef", &ap_gw_parameters_ref, "More settings.", .flags = AP_F_REPORTED),
	ROW_END,
};
static const struct ap_schema spec = { .name = "GatewayClass.spec", .rows = spec_rows };
SPEC_ROOT(root, "GatewayClass", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "gc", NULL };
static const struct ap_kind_column columns[] = {
	{ "CONTROLLER", "spec.controllerName", false },
	{ "ACCEPTED", "status.conditions[Accepted]", false },
	{ "DESCRIPTION", "spec.description", true },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_gateway_class = {
	.group = "gateway.networking.k8s.io",
	.versions = ap_gateway_versions,
	.kind = "GatewayClass",
	.plural = "gatewayclasses",
	.singular = "gatewayclass",
	.short_names = short_names,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Names who runs Gateways; istio-waypoint is Ambit's.",
};
