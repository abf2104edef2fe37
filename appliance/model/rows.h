/* rows.h -- short forms for the rows of kinds, and the schemas that several kinds share. Private to the model. */
#ifndef MODEL_ROWS_H
#define MODEL_ROWS_H
#include "model/checks.h"
#include "model/kind.h"
#include "model/schema.h"

/* name, [of,] one sentence, then anything else as designated initialisers: .flags = AP_F_REQUIRED, .check = ... */
#define ROW_STRING(name_, doc_, ...) { .name = (name_), .type = AP_T_STRING, .doc = (doc_), __VA_ARGS__ }
#define ROW_INT(name_, doc_, ...) { .name = (name_), .type = AP_T_INT, .doc = (doc_), __VA_ARGS__ }
#define ROW_REAL(name_, doc_, ...) { .name = (name_), .type = AP_T_REAL, .doc = (doc_), __VA_ARGS__ }
#define ROW_BOOL(name_, doc_, ...) { .name = (name_), .type = AP_T_BOOL, .doc = (doc_), __VA_ARGS__ }
#define ROW_DURATION(name_, doc_, ...) { .name = (name_), .type = AP_T_DURATION, .doc = (doc_), __VA_ARGS__ }
#define ROW_INT_OR_STRING(name_, doc_, ...) { .name = (name_), .type = AP_T_INT_OR_STRING, .doc = (doc_), __VA_ARGS__ }
#define ROW_ANY(name_, doc_, ...) { .name = (name_), .type = AP_T_ANY, .doc = (doc_), __VA_ARGS__ }
#define ROW_OBJECT(name_, of_, doc_, ...) \
	{ .name = (name_), .type = AP_T_OBJECT, .of = (of_), .doc = (doc_), __VA_ARGS__ }
#define ROW_OBJECTS(name_, of_, doc_, ...) \
	{ .name = (name_), .type = AP_T_LIST, .item = AP_T_OBJECT, .of = (of_), .doc = (doc_), __VA_ARGS__ }
#define ROW_STRINGS(name_, doc_, ...) \
	{ .name = (name_), .type = AP_T_LIST, .item = AP_T_STRING, .doc = (doc_), __VA_ARGS__ }
#define ROW_INTS(name_, doc_, ...) { .name = (name_), .type = AP_T_LIST, .item = AP_T_INT, .doc = (doc_), __VA_ARGS__ }
#define ROW_STRING_MAP(name_, doc_, ...) \
	{ .name = (name_), .type = AP_T_MAP, .item = AP_T_STRING, .doc = (doc_), __VA_ARGS__ }
#define ROW_INT_MAP(name_, doc_, ...) { .name = (name_), .type = AP_T_MAP, .item = AP_T_INT, .doc = (doc_), __VA_ARGS__ }
#define ROW_OBJECT_MAP(name_, of_, doc_, ...) \
	{ .name = (name_), .type = AP_T_MAP, .item = AP_T_OBJECT, .of = (of_), .doc = (doc_), __VA_ARGS__ }
#define ROW_END { .name = NULL }

#define REQUIRED .flags = AP_F_REQUIRED
#define UINT32 .min = 0, .max = 4294967295
#define INT32 .min = -2147483648LL, .max = 2147483647LL
#define PORT .min = 1, .max = 65535

/* What objects of every kind with a spec and a status look like below the metadata. */
#define SPEC_ROOT(ident_, kind_, spec_, spec_flags_) \
	static const struct ap_field_row ident_##_rows[] = { \
		ROW_OBJECT("spec", (spec_), "What is wanted.", .flags = (spec_flags_)), \
		ROW_ANY("status", "What the control plane found; not for people to write."), \
		ROW_END, \
	}; \
	static const struct ap_schema ident_ = { .name = (kind_), .rows = ident_##_rows }

/* k_common.c */
extern const struct ap_schema ap_istio_selector;  /* matchLabels alone */
extern const struct ap_schema ap_label_selector_schema; /* Kubernetes: matchLabels, matchExpressions */
extern const struct ap_schema ap_target_ref;      /* Istio's policy target: group, kind, name, namespace */
extern const char *const ap_istio_versions[];     /* v1, v1beta1, v1alpha3 */
extern const char *const ap_security_versions[];  /* v1, v1beta1 */
extern const char *const ap_gateway_versions[];   /* v1, v1beta1 */
extern const char *const ap_core_versions[];      /* v1 */
extern const char *const ap_ambit_versions[];     /* v1alpha1 */
extern const char *const ap_gloo_versions[];      /* v2 */
void ap_check_export_to(const struct ap_doc *list, struct ap_errors *errs);
void ap_check_wild_hosts(const struct ap_doc *list, struct ap_errors *errs); /* Istio: each a name, wildcard or address */
void ap_check_fqdn(const struct ap_doc *v, struct ap_errors *errs); /* Istio: a destination's host; an address is none... */
/* Members of a list of maps must not share the value of `key` (NULL: the whole item). */
void ap_check_unique_key(const struct ap_doc *list, const char *key, struct ap_errors *errs);

extern const struct ap_kind ap_k_namespace, ap_k_service, ap_k_service_account, ap_k_service_entry, ap_k_workload_entry,
    ap_k_virtual_service, ap_k_destination_rule, ap_k_authorization_policy, ap_k_peer_authentication, ap_k_gateway_class,
    ap_k_gateway, ap_k_http_route, ap_k_reference_grant, ap_k_workspace, ap_k_workspace_settings, ap_k_route_table,
    ap_k_host, ap_k_join_token, ap_k_waypoint_policy, ap_k_lua_policy;

#endif
