/*
 * kind.c -- the table of kinds and the ways to find a row in it.
 *
 * Everything that treats kinds alike (discovery, URLs, `ambit get`, the manual) walks this one table; what is particular to a
 * kind stands in its k_ file.  Constant data; any thread.
 */
#include "model/kind.h"

#include <stdio.h>
#include <string.h>

#include "model/rows.h"

static const struct ap_kind *const kinds[] = {
	&ap_k_namespace,
	&ap_k_service,
	&ap_k_service_account,
	&ap_k_service_entry,
	&ap_k_workload_entry,
	&ap_k_virtual_service,
	&ap_k_destination_rule,
	&ap_k_authorization_policy,
	&ap_k_peer_authentication,
	&ap_k_gateway_class,
	&ap_k_gateway,
	&ap_k_http_route,
	&ap_k_reference_grant,
	&ap_k_workspace,
	&ap_k_workspace_settings,
	&ap_k_route_table,
	&ap_k_host,
	&ap_k_join_token,
	&ap_k_waypoint_policy,
	&ap_k_lua_policy,
};

const struct ap_kind *const *
ap_kinds(size_t *out_count)
{
	*out_count = AP_COUNTOF(kinds);
	return kinds;
}

bool
ap_kind_serves(const struct ap_kind *k, struct ap_slice version)
{
	for (const char *const *v = k->versions; *v != NULL; v++)
		if (ap_slice_eq_text(version, *v))
			return true;
	return false;
}

const struct ap_kind *
ap_kind_of(struct ap_slice api_version, struct ap_slice kind)
{
	struct ap_slice version = api_version, group = AP_S("");
	size_t slash = ap_slice_find(api_version, '/');

	if (slash != SIZE_MAX) {
		group = ap_slice_sub(api_version, 0, slash);
		version = ap_slice_from(api_version, slash + 1);
	}
	for (size_t i = 0; i < AP_COUNTOF(kinds); i++)
		if (ap_slice_eq_text(kind, kinds[i]->kind) && ap_slice_eq_text(group, kinds[i]->group) &&
		    ap_kind_serves(kinds[i], version))
			return kinds[i];
	return NULL;
}

const struct ap_kind *
ap_kind_find(const char *group, const char *kind)
{
	for (size_t i = 0; i < AP_COUNTOF(kinds); i++)
		if (strcmp(kinds[i]->kind, kind) == 0 && strcmp(kinds[i]->group, group) == 0)
			return kinds[i];
	return NULL;
}

const struct ap_kind *
ap_kind_by_path(struct ap_slice group, struct ap_slice version, struct ap_slice plural)
{
	for (size_t i = 0; i < AP_COUNTOF(kinds); i++)
		if (ap_slice_eq_text(plural, kinds[i]->plural) && ap_slice_eq_text(group, kinds[i]->group) &&
		    ap_kind_serves(kinds[i], version))
			return kinds[i];
	return NULL;
}

static bool
is_word_of(const struct ap_kind *k, struct ap_slice word)
{
	if (ap_slice_eq_nocase(word, ap_slice_of(k->kind)) || ap_slice_eq_nocase(word, ap_slice_of(k->plural)) ||
	    ap_slice_eq_nocase(word, ap_slice_of(k->singular)))
		return true;
	for (const char *const *s = k->short_names; s != NULL && *s != NULL; s++)
		if (ap_slice_eq_nocase(word, ap_slice_of(*s)))
			return true;
	return false;
}

/* "services", "virtualservices.networking.istio.io", "virtualservices.v1.networking.istio.io". */
const struct ap_kind *
ap_kind_by_word(struct ap_slice word, const struct ap_kind **out_ambiguous)
{
	struct ap_slice rest = word, name = ap_slice_cut(&rest, '.');
	const struct ap_kind *found = NULL;

	if (out_ambiguous != NULL)
		*out_ambiguous = NULL;
	for (size_t i = 0; i < AP_COUNTOF(kinds); i++) {
		const struct ap_kind *k = kinds[i];

		if (!is_word_of(k, name))
			continue;
		if (rest.ptr != NULL && !ap_slice_eq_text(rest, k->group)) {
			struct ap_slice group = rest, version = ap_slice_cut(&group, '.');

			if (!ap_kind_serves(k, version) || !ap_slice_eq_text(group, k->group))
				continue;
		}
		if (found == NULL)
			found = k;
		else if (out_ambiguous != NULL && *out_ambiguous == NULL)
			*out_ambiguous = k;
	}
	return found;
}

const char *
ap_kind_api_version(const struct ap_kind *k, const char *version, char *out, size_t size)
{
	if (version == NULL)
		version = k->versions[0];
	if (k->group[0] == '\0')
		snprintf(out, size, "%s", version);
	else
		snprintf(out, size, "%s/%s", k->group, version);
	return out;
}
