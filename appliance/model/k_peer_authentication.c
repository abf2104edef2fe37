/* k_peer_authentication.c -- PeerAuthentication: whether callers without a mesh identity are let in. */
#include <errno.h>

#include "base/text.h"
#include "model/rows.h"

static const char *const modes[] = { "UNSET", "DISABLE", "PERMISSIVE", "STRICT", NULL };
static const struct ap_field_row mtls_rows[] = {
	ROW_STRING("mode", "STRICT: only mesh identities; PERMISSIVE: plain text too.", .values = modes, .preset = "UNSET"),
	ROW_END,
};
static const struct ap_schema mtls = { .name = "PeerAuthentication.spec.mtls", .rows = mtls_rows };

static void
check_ports(const struct ap_doc *map, struct ap_errors *errs)
{
	uint64_t port;

	if (map->count == 0)
		ap_complain(errs, map, "must hold at least one port");
	AP_DOC_FOR (member, map) {
		int rc = ap_text_to_u64(member->key, UINT64_MAX, &port);

		if (rc != 0)
			ap_errors_add(errs, -EINVAL, member->key_at, "\"%.*s\" is no port number", AP_FMT(member->key));
		else if (port < 1 || port > 65535)
			ap_errors_add(errs, -EINVAL, member->key_at, "[\"%.*s\"]: port must be between 1-65535", AP_FMT(member->key));
	}
}

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	const struct ap_doc *labels = ap_doc_get(ap_doc_get(spec, "selector"), "matchLabels");

	if (ap_check_has(spec, "portLevelMtls") && (labels == NULL || labels->count == 0))
		ap_complain(errs, spec, ".portLevelMtls: portLevelMtls requires selector");
}

static const struct ap_field_row spec_rows[] = {
	ROW_OBJECT("mtls", &mtls, "For every port."),
	ROW_OBJECT_MAP("portLevelMtls", &mtls, "For single ports of the workload.", .check = check_ports),
	ROW_OBJECT("selector", &ap_istio_selector, "Workloads that it is for; left out: all of the namespace."),
	ROW_END,
};
static const struct ap_schema spec = { .name = "PeerAuthentication.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "PeerAuthentication", &spec, 0);

static const char *const short_names[] = { "pa", NULL };
static const struct ap_kind_column columns[] = { { "MODE", "spec.mtls.mode", false }, { NULL, NULL, false } };
const struct ap_kind ap_k_peer_authentication = {
	.group = "security.istio.io",
	.versions = ap_security_versions,
	.kind = "PeerAuthentication",
	.plural = "peerauthentications",
	.singular = "peerauthentication",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "Says whether callers outside the mesh may reach workloads in plain text.",
};
