/* k_common.c -- rows and checks that several kinds share. */
#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "model/rows.h"

const char *const ap_istio_versions[] = { "v1", "v1beta1", "v1alpha3", NULL };
const char *const ap_security_versions[] = { "v1", "v1beta1", NULL };
const char *const ap_gateway_versions[] = { "v1", "v1beta1", NULL };
const char *const ap_core_versions[] = { "v1", NULL };
const char *const ap_ambit_versions[] = { "v1alpha1", NULL };
const char *const ap_gloo_versions[] = { "v2", NULL };

static void
check_match_labels(const struct ap_doc *map, struct ap_errors *errs)
{
	AP_DOC_FOR (member, map) {
		if (member->key.len == 0)
			ap_errors_add(errs, -EINVAL, member->key_at, "a label's name must not be empty");
		else if (ap_slice_find(member->key, '*') != SIZE_MAX)
			ap_errors_add(errs, -EINVAL, member->key_at, "\"%.*s\": wildcard is not supported in selector",
			    AP_FMT(member->key));
		if (ap_slice_find(member->string, '*') != SIZE_MAX)
			ap_complain(errs, member, "\"%.*s\": wildcard is not supported in selector", AP_FMT(member->string));
		if (member->string.len > 63)
			ap_complain(errs, member, "\"%.*s\" is longer than the 63 characters of a label's value",
			    AP_FMT(member->string));
	}
}

static const struct ap_field_row istio_selector_rows[] = {
	ROW_STRING_MAP("matchLabels", "Labels that a workload must have, all of them.", .max = 4096,
	    .check = check_match_labels),
	ROW_END,
};
const struct ap_schema ap_istio_selector = { .name = "selector", .rows = istio_selector_rows };

static void
check_expression(const struct ap_doc *node, struct ap_errors *errs)
{
	struct ap_slice op = ap_doc_string(node, "operator", "");
	const struct ap_doc *values = ap_doc_get(node, "values");
	bool has_values = ap_doc_is(values, AP_DOC_LIST) && values->count > 0;
	bool wants = ap_slice_eq(op, AP_S("In")) || ap_slice_eq(op, AP_S("NotIn"));

	if (wants && !has_values)
		ap_complain(errs, node, ".values: is required with operator %.*s", AP_FMT(op));
	else if (!wants && has_values)
		ap_complain(errs, node, ".values: must not be set with operator %.*s", AP_FMT(op));
}

static const char *const operators[] = { "In", "NotIn", "Exists", "DoesNotExist", NULL };
static const struct ap_field_row expression_rows[] = {
	ROW_STRING("key", "Name of the label.", REQUIRED),
	ROW_STRING("operator", "In, NotIn, Exists or DoesNotExist.", REQUIRED, .values = operators),
	ROW_STRINGS("values", "What In and NotIn compare with."),
	ROW_END,
};
static const struct ap_schema expression = { .name = "selector.matchExpressions[]",
	.rows = expression_rows,
	.check = check_expression };
static const struct ap_field_row label_selector_rows[] = {
	ROW_STRING_MAP("matchLabels", "Labels that must be there with these values.", .check = ap_check_labels),
	ROW_OBJECTS("matchExpressions", &expression, "Further conditions on labels; all must hold."),
	ROW_END,
};
const struct ap_schema ap_label_selector_schema = { .name = "selector", .rows = label_selector_rows };

static void
check_ref_namespace(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->string.len > 0)
		ap_complain(errs, v, "a policy cannot refer to another namespace; leave this out");
}

static const struct ap_field_row target_ref_rows[] = {
	ROW_STRING("group", "API group of the target; empty for Service.", .max = 253),
	ROW_STRING("kind", "Kind of the target.", REQUIRED, .min = 1, .max = 63),
	ROW_STRING("name", "Name of the target.", REQUIRED, .min = 1, .max = 253),
	ROW_STRING("namespace", "Must be empty: policies bind in their own namespace.", .check = check_ref_namespace),
	ROW_END,
};
const struct ap_schema ap_target_ref = { .name = "targetRef", .rows = target_ref_rows };

void
ap_check_export_to(const struct ap_doc *list, struct ap_errors *errs)
{
	bool star = false, rest = false;
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice s = item->string;

		if (ap_slice_eq(s, AP_S("*")))
			star = true;
		else
			rest = true;
		if (!ap_slice_eq(s, AP_S("*")) && !ap_slice_eq(s, AP_S(".")) && !ap_slice_eq(s, AP_S("~")) &&
		    !ap_text_is_label(s))
			ap_complain(errs, item, "[%u]: \"%.*s\" is neither a namespace nor \".\", \"*\" or \"~\"", i, AP_FMT(s));
		for (const struct ap_doc *o = list->first; o != item; o = o->next)
			if (ap_slice_eq(o->string, s)) {
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, item->at, "[%u]: \"%.*s\" stands here twice", i, AP_FMT(s));
				break;
			}
		i++;
	}
	if (star && rest)
		ap_complain(errs, list, "\"*\" must stand alone");
}

void
ap_check_wild_hosts(const struct ap_doc *list, struct ap_errors *errs)
{
	struct ap_ip ip;
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		struct ap_slice s = item->string;

		if (!ap_check_is_wild_hostname(s) && ap_ip_parse(s, &ip) != 0)
			ap_complain(errs, item,
			    "[%u]: \"%.*s\" is neither a host name nor an address; a wildcard may only be the first label", i,
			    AP_FMT(s));
		i++;
	}
}

void
ap_check_fqdn(const struct ap_doc *v, struct ap_errors *errs)
{
	if (ap_slice_eq(v->string, AP_S("*")))
		ap_complain(errs, v, "must name one host, not \"*\"");
	else if (!ap_check_is_hostname(v->string))
		ap_complain(errs, v, "\"%.*s\" is no host name", AP_FMT(v->string));
}

void
ap_check_unique_key(const struct ap_doc *list, const char *key, struct ap_errors *errs)
{
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		const struct ap_doc *v = key == NULL ? item : ap_doc_get(item, key);

		for (const struct ap_doc *o = list->first; v != NULL && o != item; o = o->next) {
			if (!ap_doc_eq(v, key == NULL ? o : ap_doc_get(o, key)))
				continue;
			if (key == NULL)
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, v->at, "[%u]: stands in the list already", i);
			else
				ap_errors_add(errs, AP_SCHEMA_DUPLICATE, v->at, "[%u].%s: another item has the same already", i, key);
			break;
		}
		i++;
	}
}
