/* validate.c -- the few conflicts between objects for which one of them is refused. Pure. */
#include "model/validate.h"

#include <errno.h>
#include <string.h>

#include "base/addr.h"
#include "model/schema.h"

static bool
has_address(const struct ap_doc *spec, const struct ap_ip *ip)
{
	const struct ap_doc *list = ap_doc_get(spec, "clusterIPs");
	struct ap_ip other;

	if (ap_ip_parse(ap_doc_string(spec, "clusterIP", ""), &other) == 0 && ap_ip_eq(&other, ip))
		return true;
	AP_DOC_FOR (item, list)
		if (ap_ip_parse(item->string, &other) == 0 && ap_ip_eq(&other, ip))
			return true;
	return false;
}

static void
refuse_taken(const struct ap_resource_set *set, const struct ap_doc *object, const struct ap_doc *address,
    const char *field, struct ap_errors *errs)
{
	const struct ap_map *services = ap_resources_of(set, "", "Service");
	struct ap_slice name = ap_doc_string(ap_doc_get(object, "metadata"), "name", "");
	struct ap_slice ns = ap_doc_string(ap_doc_get(object, "metadata"), "namespace", "default");
	struct ap_map_entry *e;
	struct ap_ip ip;

	if (!ap_doc_is(address, AP_DOC_STRING) || ap_ip_parse(address->string, &ip) != 0)
		return;
	for (size_t i = 0; (e = ap_map_next(services, &i)) != NULL;) {
		const struct ap_resource *r = e->value;

		if (ap_slice_eq(r->name, name) && ap_slice_eq(r->namespace_, ns))
			continue;
		if (!has_address(r->spec, &ip))
			continue;
		ap_errors_add(errs, AP_SCHEMA_DUPLICATE, address->at,
		    "spec.%s: the address %.*s is that of Service %.*s in namespace %.*s already", field, AP_FMT(address->string),
		    AP_FMT(r->name), AP_FMT(r->namespace_));
		return;
	}
}

size_t
ap_validate(
    const struct ap_resource_set *set, const struct ap_kind *kind, const struct ap_doc *object, struct ap_errors *errs)
{
	const struct ap_doc *spec = ap_doc_get(object, "spec");
	size_t before = errs->total;

	/* Two services with one virtual address: whose endpoints a connection reaches, and whose policy holds, would be chance. */
	if (kind->group[0] == '\0' && strcmp(kind->kind, "Service") == 0) {
		refuse_taken(set, object, ap_doc_get(spec, "clusterIP"), "clusterIP", errs);
		if (errs->total == before)
			AP_DOC_FOR (item, ap_doc_get(spec, "clusterIPs"))
				refuse_taken(set, object, item, "clusterIPs", errs);
	}
	return errs->total - before;
}
