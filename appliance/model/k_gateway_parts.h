/* k_gateway_parts.h -- rows that the kinds of the Gateway API share. */
#ifndef MODEL_K_GATEWAY_PARTS_H
#define MODEL_K_GATEWAY_PARTS_H
#include "base/error.h"
#include "model/rows.h"

/* A namespace's name, a section name, an API group, a kind, a hostname: strings with the Gateway API's own patterns. */
void ap_gw_check_group(const struct ap_doc *v, struct ap_errors *errs);
void ap_gw_check_kind(const struct ap_doc *v, struct ap_errors *errs);
void ap_gw_check_hostname(const struct ap_doc *v, struct ap_errors *errs);  /* may begin with "*." */
void ap_gw_check_precise_hostname(const struct ap_doc *v, struct ap_errors *errs);
void ap_gw_check_hostnames(const struct ap_doc *list, struct ap_errors *errs);
void ap_gw_check_controller(const struct ap_doc *v, struct ap_errors *errs);
bool ap_gw_is_hostname(struct ap_slice s, bool wildcard);
/* parentRefs: those of the same parent need distinct sections or ports. */
void ap_gw_check_parents(const struct ap_doc *list, struct ap_errors *errs);

extern const struct ap_schema ap_gw_parent_ref, ap_gw_local_ref, ap_gw_secret_ref, ap_gw_object_ref, ap_gw_parameters_ref;

#define GW_GROUP(...) \
	ROW_STRING("group", "API group; empty for the core group.", .max = 253, .check = ap_gw_check_group, __VA_ARGS__)
#define GW_KIND(...) ROW_STRING("kind", "Kind of the object.", .min = 1, .max = 63, .check = ap_gw_check_kind, __VA_ARGS__)
#define GW_NAME ROW_STRING("name", "Name of the object.", REQUIRED, .min = 1, .max = 253)
#define GW_NAMESPACE \
	ROW_STRING("namespace", "Namespace of the object; the same by default.", .min = 1, .max = 63, .check = ap_check_dns_label)

#endif
