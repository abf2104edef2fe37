/* k_lua_policy.c -- LuaPolicy: a script on connections or requests. That it compiles is checked where Lua is (script). */
#include <errno.h>

#include "base/text.h"
#include "model/rows.h"

static const char *const hooks[] = { "on_connect", "on_request", "on_response", NULL };
static const char *const fallbacks[] = { "deny", "allow", NULL };

static void
check_source(const struct ap_doc *v, struct ap_errors *errs)
{
	if (v->string.len > 256 * 1024)
		ap_complain(errs, v, "must be at most 256 KiB");
}

static void
check_memory(const struct ap_doc *v, struct ap_errors *errs)
{
	uint64_t n = v->type == AP_DOC_INT && v->integer > 0 ? (uint64_t)v->integer : 0;

	if (v->type == AP_DOC_STRING && ap_text_to_size(v->string, &n) != 0)
		ap_complain(errs, v, "\"%.*s\" is no size such as 1Mi", AP_FMT(v->string));
	else if (n < 64 * 1024 || n > UINT64_C(256) * 1024 * 1024)
		ap_complain(errs, v, "must be between 64Ki and 256Mi");
}

static const struct ap_field_row limits_rows[] = {
	ROW_INT("instructions", "Most instructions of one call.", .min = 1000, .max = 100000000, .preset = "100000"),
	ROW_INT_OR_STRING("memory", "Most memory of the script on one thread.", .preset = "1Mi", .check = check_memory),
	ROW_DURATION("time", "Longest time of one call.", .preset = "50ms", .check = ap_check_positive_duration),
	ROW_END,
};
static const struct ap_schema limits = { .name = "LuaPolicy.spec.limits", .rows = limits_rows };

static void
check_spec(const struct ap_doc *spec, struct ap_errors *errs)
{
	static const char *const keys[] = { "selector", "targetRefs", NULL };

	ap_check_at_most_one(spec, keys, errs);
}

static const struct ap_field_row spec_rows[] = {
	ROW_STRINGS("hooks", "Functions of the script that are called; left out: those that it has.", .values = hooks,
	    .flags = AP_F_UNIQUE),
	ROW_OBJECT("limits", &limits, "What one call may use."),
	ROW_STRING("onError", "What happens when the script fails or exceeds its limits.", .values = fallbacks, .preset = "deny"),
	ROW_INT("priority", "Order among scripts; lower first.", .min = -1000, .max = 1000, .preset = "0"),
	ROW_OBJECT("selector", &ap_istio_selector, "Workloads that it is for; left out: all of the namespace, or of the mesh in "
						   "the root namespace."),
	ROW_STRING("source", "The script.", .flags = AP_F_REQUIRED | AP_F_NON_EMPTY, .check = check_source),
	ROW_OBJECTS("targetRefs", &ap_target_ref, "Services that it is for.", .max = 16),
	ROW_END,
};
static const struct ap_schema spec = { .name = "LuaPolicy.spec", .rows = spec_rows, .check = check_spec };
SPEC_ROOT(root, "LuaPolicy", &spec, AP_F_REQUIRED);

static const char *const short_names[] = { "lua", NULL };
static const struct ap_kind_column columns[] = {
	{ "HOOKS", "spec.hooks", false },
	{ "ON ERROR", "spec.onError", false },
	{ NULL, NULL, false },
};
const struct ap_kind ap_k_lua_policy = {
	.group = "ambit.mesh",
	.versions = ap_ambit_versions,
	.kind = "LuaPolicy",
	.plural = "luapolicies",
	.singular = "luapolicy",
	.short_names = short_names,
	.namespaced = true,
	.has_status = true,
	.schema = &root,
	.columns = columns,
	.doc = "A Lua script that decides about connections or requests.",
};
