/* k_gloo_parts.c -- rows that the Gloo kinds share. */
#include "model/k_gloo_parts.h"

void
ap_gloo_check_glob(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_slice s = v->string;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
		    c == '_' || c == '*')
			continue;
		ap_complain(errs, v, "\"%.*s\" is no name, nor one with '*' in it", AP_FMT(s));
		return;
	}
}

static const struct ap_field_row object_selector_rows[] = {
	ROW_STRING("cluster", "Fleet that the object is of.", .check = ap_gloo_check_glob),
	ROW_STRING_MAP("labels", "Labels that the object must have, all of them."),
	ROW_STRING("name", "Name of the object.", .check = ap_gloo_check_glob),
	ROW_STRING("namespace", "Namespace of the object.", .check = ap_gloo_check_glob),
	ROW_STRING("workspace", "Workspace of the object.", .check = ap_gloo_check_glob),
	ROW_END,
};
const struct ap_schema ap_gloo_object_selector = { .name = "ObjectSelector", .rows = object_selector_rows };

static const struct ap_field_row object_ref_rows[] = {
	ROW_STRING("cluster", "Fleet that the object is of."),
	ROW_STRING("name", "Name of the object.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY),
	ROW_STRING("namespace", "Namespace of the object; the same by default."),
	ROW_END,
};
const struct ap_schema ap_gloo_object_ref = { .name = "ObjectReference", .rows = object_ref_rows };
