/* k_join_token.c -- JoinToken: lets a host enrol. The secret is told once, at creation, and only its hash is kept. */
#include "base/text.h"
#include "model/k_ambit.h"
#include "model/rows.h"

static void
check_host(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_slice_eq(v->string, AP_S("*")))
		ap_check_dns_name(v, errs);
}

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	static const char *const keys[] = { "ttl", "expires", NULL };

	ap_check_at_most_one(spec, keys, errs);
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRING("expires", "Time after which the token is refused.", .check = ap_check_time),
	ROW_STRING("host", "Name of the host that may use it; \"*\": any.", .preset = "*", .check = check_host),
	ROW_STRINGS("identities", "What the host may ask certificates for: namespace/service account; \"*\" may stand for either.",
	    .flags = AP_F_REQUIRED | AP_F_NON_EMPTY | AP_F_UNIQUE, .max = 1024, .check = ap_check_identities),
	ROW_DURATION("ttl", "How long the token can be used.", .preset = "1h", .check = ap_check_positive_duration),
	ROW_INT("uses", "How many hosts may enrol with it; 0: any number.", .min = 0, .max = 1000000, .preset = "1"),
	ROW_END,
};
static const struct ap_schema spec = { .name = "JoinToken.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "JoinToken", &spec, AP_F_REQUIRED);

static const struct ap_kind_column columns[] = {
	{ "HOST", "spec.host", false },
	{ "IDENTITIES", "spec.identities", false },
	{ "USES", "spec.uses", false },
	{ "USED", "status.uses", false },
	{ "EXPIRES", "status.expiresAt", false },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_join_token = {
	.group = "ambit.mesh",
	.versions = ap_ambit_versions,
	.kind = "JoinToken",
	.plural = "jointokens",
	.singular = "jointoken",
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Lets a host enrol, once or a number of times, until it expires.",
};
