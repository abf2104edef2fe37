/* k_host.c -- Host: a machine of the fleet, and which identities it may ask for. Made at enrolment. */
#include "base/text.h"
#include "model/k_ambit.h"
#include "model/rows.h"

/* "ns/sa"; "*" may stand for either part, or alone for both. */
void
ap_check_identities(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice rest = item->string, ns = ap_slice_cut(&rest, '/');
		bool star = ap_slice_eq(item->string, AP_S("*"));

		if (!star && (rest.ptr == NULL || (!ap_slice_eq(ns, AP_S("*")) && !ap_text_is_label(ns)) ||
				 (!ap_slice_eq(rest, AP_S("*")) && !ap_text_is_dns_name(rest))))
			ap_complain(errs, item, "[%u]: \"%.*s\" must be namespace/service account; \"*\" may stand for either", i,
			    AP_FMT(item->string));
		i++;
	}
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRINGS("identities", "What the host may ask certificates for: namespace/service account.", .max = 1024,
	    .flags = AP_F_UNIQUE, .check = ap_check_identities),
	ROW_STRING_MAP("labels", "Labels of the host; placement of waypoints selects them.", .check = ap_check_labels),
	ROW_BOOL("revoked", "The host gets no certificate and no configuration any more."),
	ROW_BOOL("unschedulable", "No waypoint is placed here."),
	ROW_END,
};
static const struct ap_schema spec = { .name = "Host.spec", .rows = spec_rows };
SPEC_ROOT(root, "Host", &spec, 0);

static const struct ap_kind_column columns[] = {
	{ "CONNECTED", "status.connected", false },
	{ "ADDRESSES", "status.addresses", false },
	{ "ROLE", "status.role", false },
	{ "REVOKED", "spec.revoked", true },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_host = {
	.group = "ambit.mesh",
	.versions = ap_ambit_versions,
	.kind = "Host",
	.plural = "hosts",
	.singular = "host",
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "A machine of the fleet and the identities that it may ask for.",
};
