/* k_gateway_parts.c -- rows and checks that the kinds of the Gateway API share. */
#include "model/k_gateway_parts.h"

#include <errno.h>
#include <string.h>

#include "base/addr.h"
#include "base/text.h"

void
ap_gw_check_group(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->string.len > 0 && !ap_text_is_dns_name(v->string))
		ap_complain(errs, v, "\"%.*s\" is no API group", AP_FMT(v->string));
}

void
ap_gw_check_kind(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_slice s = v->string;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (letter || (i > 0 && ((c >= '0' && c <= '9') || (c == '-' && i + 1 < s.len))))
			continue;
		ap_complain(errs, v, "\"%.*s\" is no kind", AP_FMT(s));
		return;
	}
}

bool
ap_gw_is_hostname(struct ap_slice s, bool wildcard)
{
	struct ap_ip ip;

	if (wildcard && ap_slice_starts(s, AP_S("*.")))
		s = ap_slice_from(s, 2);
	return ap_text_is_dns_name(s) && ap_ip_parse(s, &ip) != 0;
}

void
ap_gw_check_hostname(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_gw_is_hostname(v->string, true))
		ap_complain(errs, v, "\"%.*s\" is no host name in lower case, maybe with \"*.\" in front", AP_FMT(v->string));
}

void
ap_gw_check_precise_hostname(const struct ap_doc *v, struct ap_errors *errs)
{
	if (!ap_gw_is_hostname(v->string, false))
		ap_complain(errs, v, "\"%.*s\" is no host name in lower case", AP_FMT(v->string));
}

void
ap_gw_check_hostnames(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		if (!ap_gw_is_hostname(item->string, true))
			ap_complain(errs, item, "[%u]: \"%.*s\" is no host name in lower case, maybe with \"*.\" in front", i,
			    AP_FMT(item->string));
		i++;
	}
}

void
ap_gw_check_controller(const struct ap_doc *v, struct ap_errors *errs)
{
	size_t slash = ap_slice_find(v->string, '/');

	if (slash == SIZE_MAX || !ap_text_is_dns_name(ap_slice_sub(v->string, 0, slash)) || slash + 1 == v->string.len)
		ap_complain(errs, v, "\"%.*s\" must be a domain and a path, such as istio.io/mesh-controller", AP_FMT(v->string));
}

static bool
same(const struct ap_doc *a, const struct ap_doc *b, const char *key, const char *preset)
{
	return ap_slice_eq(ap_doc_string(a, key, preset), ap_doc_string(b, key, preset));
}

void
ap_gw_check_parents(const struct ap_doc *list, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		for (const struct ap_doc *o = list->first; o != item; o = o->next) {
			bool sections, ports;

			if (!same(item, o, "group", "gateway.networking.k8s.io") || !same(item, o, "kind", "Gateway") ||
			    !same(item, o, "name", "") || !same(item, o, "namespace", ""))
				continue;
			/* An empty sectionName counts as none. */
			sections = (ap_doc_string(item, "sectionName", "").len > 0) != (ap_doc_string(o, "sectionName", "").len > 0);
			ports = ap_check_has(item, "port") != ap_check_has(o, "port");
			if (sections || (ports && same(item, o, "sectionName", ""))) {
				ap_complain(errs, item,
				    "[%u]: sectionName or port must be set in each when parentRefs name the same parent twice", i);
				break;
			}
			if (same(item, o, "sectionName", "") && ap_doc_int(item, "port", 0) == ap_doc_int(o, "port", 0)) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at,
				    "[%u]: sectionName or port must be unique when parentRefs name the same parent twice", i);
				break;
			}
		}
		i++;
	}
}

static const struct ap_field_row parent_ref_rows[] = {
	GW_GROUP(.preset = "gateway.networking.k8s.io"),
	GW_KIND(.preset = "Gateway"),
	GW_NAME,
	GW_NAMESPACE,
	ROW_INT("port", "Only this port of the parent.", PORT),
	ROW_STRING("sectionName", "Only this listener of the Gateway, or this port of the Service.", .min = 1, .max = 253,
	    .check = ap_check_dns_name),
	ROW_END,
};
const struct ap_schema ap_gw_parent_ref = { .name = "parentRef", .rows = parent_ref_rows };

static const struct ap_field_row local_ref_rows[] = {
	GW_GROUP(REQUIRED),
	GW_KIND(REQUIRED),
	GW_NAME,
	ROW_END,
};
const struct ap_schema ap_gw_local_ref = { .name = "reference", .rows = local_ref_rows };

static const struct ap_field_row secret_ref_rows[] = {
	GW_GROUP(.preset = ""),
	GW_KIND(.preset = "Secret"),
	GW_NAME,
	GW_NAMESPACE,
	ROW_END,
};
const struct ap_schema ap_gw_secret_ref = { .name = "reference to a Secret", .rows = secret_ref_rows };

static const struct ap_field_row object_ref_rows[] = {
	GW_GROUP(REQUIRED),
	GW_KIND(REQUIRED),
	GW_NAME,
	GW_NAMESPACE,
	ROW_END,
};
const struct ap_schema ap_gw_object_ref = { .name = "reference", .rows = object_ref_rows };
const struct ap_schema ap_gw_parameters_ref = { .name = "parametersRef", .rows = object_ref_rows };
