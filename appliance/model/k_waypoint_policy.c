/* k_waypoint_policy.c -- WaypointPolicy: how the waypoints that Ambit deduces are cut, placed, scaled and drained. */
#include "base/text.h"
#include "model/rows.h"

static const char *const granularities[] = { "serviceAccount", "namespace", "service", NULL };
static const char *const spreads[] = { "host", "zone", "none", NULL };

static void
check_autoscaling(const struct ap_doc *node, struct ap_errors *errs)
{
	if (ap_doc_int(node, "minReplicas", 1) > ap_doc_int(node, "maxReplicas", 1))
		ap_complain(errs, node, "minReplicas must not be greater than maxReplicas");
}

static const struct ap_field_row autoscaling_rows[] = {
	ROW_INT("maxReplicas", "Most replicas.", REQUIRED, .min = 1, .max = 100),
	ROW_INT("minReplicas", "Fewest replicas.", .min = 1, .max = 100, .preset = "1"),
	ROW_INT("targetCPUPercent", "Load of a core that a replica is meant to have.", .min = 1, .max = 100),
	ROW_INT("targetRequestsPerSecond", "Requests a second that a replica is meant to have.", .min = 1, .max = 100000000),
	ROW_END,
};
static const struct ap_schema autoscaling = { .name = "WaypointPolicy.spec.autoscaling",
	.rows = autoscaling_rows,
	.check = check_autoscaling };
static const struct ap_field_row placement_rows[] = {
	ROW_OBJECT("hostSelector", &ap_label_selector_schema, "Labels of the hosts where waypoints may run."),
	ROW_STRINGS("hosts", "Names of the hosts where waypoints may run, best first.", .max = 1024,
	    .check = ap_check_non_empty_items),
	ROW_STRING("spread", "Over what replicas are spread.", .values = spreads, .preset = "host"),
	ROW_END,
};
static const struct ap_schema placement = { .name = "WaypointPolicy.spec.placement", .rows = placement_rows };

static void
check_size(const struct ap_doc *v, struct ap_errors *errs)
{
	uint64_t n;

	if (v->type == AP_DOC_STRING && ap_text_to_size(v->string, &n) != 0)
		ap_complain(errs, v, "\"%.*s\" is no size such as 256Mi", AP_FMT(v->string));
}

static const struct ap_field_row resources_rows[] = {
	ROW_INT_OR_STRING("memory", "Most memory of a waypoint process.", .check = check_size),
	ROW_INT("workers", "Threads of a waypoint process.", .min = 1, .max = 256),
	ROW_END,
};
static const struct ap_schema resources = { .name = "WaypointPolicy.spec.resources", .rows = resources_rows };

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	static const char *const keys[] = { "replicas", "autoscaling", NULL };
	static const char *const targets[] = { "selector", "targetRefs", NULL };

	ap_check_at_most_one(spec, keys, errs);
	ap_check_at_most_one(spec, targets, errs);
}

static const struct ap_field_row spec_rows[] = {
	ROW_OBJECT("autoscaling", &autoscaling, "Number of processes by load.", .flags = AP_F_REPORTED),
	ROW_DURATION("drain", "Longest time that a waypoint's connections get to end.", .preset = "5s", .flags = AP_F_REPORTED),
	ROW_STRING("granularity", "What one waypoint is for.", .values = granularities, .preset = "serviceAccount"),
	ROW_OBJECT("placement", &placement, "On which hosts waypoints run.", .flags = AP_F_REPORTED),
	ROW_INT("replicas", "Number of processes of each waypoint.", .min = 1, .max = 100, .preset = "1", .flags = AP_F_REPORTED),
	ROW_OBJECT("resources", &resources, "What a process may use.", .flags = AP_F_REPORTED),
	ROW_OBJECT("selector", &ap_istio_selector, "Labels of workloads whose waypoints it is for; left out: all of the namespace, "
						   "or of the mesh in the root namespace."),
	ROW_OBJECTS("targetRefs", &ap_target_ref, "Services whose waypoints it is for.", .max = 16),
	ROW_END,
};
static const struct ap_schema spec = { .name = "WaypointPolicy.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "WaypointPolicy", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "wp", NULL };
static const struct ap_kind_column columns[] = {
	{ "GRANULARITY", "spec.granularity", false },
	{ "REPLICAS", "spec.replicas", false },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_waypoint_policy = {
	.group = "ambit.mesh",
	.versions = ap_ambit_versions,
	.kind = "WaypointPolicy",
	.plural = "waypointpolicies",
	.singular = "waypointpolicy",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "How waypoints are cut, placed, scaled and drained.",
};
