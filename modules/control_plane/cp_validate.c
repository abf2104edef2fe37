/*
 * cp_validate.c -- the last questions before an object is stored, which need more than its own text: does it conflict with others,
 * and does its script compile?
 *
 * A script is compiled and its body run once, under the limits that the policy gives itself, as every proxy will: a policy
 * that would only fail there, and then deny everything, is told to whoever writes it.
 */
#include <string.h>

#include "base/text.h"
#include "control_plane/cp_store.h"
#include "model/validate.h"
#include "script/lua_host.h"

static uint32_t
memory_kib(const struct ap_doc *limits)
{
	uint64_t n = (uint64_t)AP_MAX(ap_doc_int(limits, "memory", 0), (int64_t)0);

	if (n == 0 && ap_text_to_size(ap_doc_string(limits, "memory", ""), &n) != 0)
		return 0;
	return (uint32_t)(n / 1024);
}

static bool
names_hook(const struct ap_doc *hooks, const char *name)
{
	AP_DOC_FOR (item, hooks)
		if (ap_slice_eq_text(item->string, name))
			return true;
	return false;
}

static void
check_script(const struct ap_doc *object, struct ap_errors *errs)
{
	const struct ap_doc *spec = ap_doc_get(object, "spec"), *limits = ap_doc_get(spec, "limits");
	const struct ap_doc *hooks = ap_doc_get(spec, "hooks"), *source = ap_doc_get(spec, "source");
	struct ap_lua_settings s = {
		.name = ap_doc_string(ap_doc_get(object, "metadata"), "name", ""),
		.source = ap_doc_string(spec, "source", ""),
		.max_instructions = (uint32_t)ap_doc_int(limits, "instructions", 0),
		.max_memory_kib = memory_kib(limits),
		.max_wall_ms = (uint32_t)(ap_doc_duration_ns(limits, "time", 0) / 1000000),
		.hooks = { [AP_LUA_ON_CONNECT] = names_hook(hooks, "on_connect"),
		    [AP_LUA_ON_REQUEST] = names_hook(hooks, "on_request"),
		    [AP_LUA_ON_RESPONSE] = names_hook(hooks, "on_response") },
	};
	struct ap_error err = { 0 };
	struct ap_lua_script *script = ap_lua_script_new(&s, &err);

	if (script == NULL)
		ap_errors_add(errs, err.code, source->at, "spec.source: %s", err.text);
	ap_lua_script_unref(&script);
}

size_t
cp_validate(const struct cp *cp, const struct ap_kind *k, const struct ap_doc *object, struct ap_errors *errs)
{
	size_t before = errs->total;

	ap_validate(cp_resources(cp), k, object, errs);
	if (strcmp(k->kind, "LuaPolicy") == 0 && strcmp(k->group, "ambit.mesh") == 0)
		check_script(object, errs);
	return errs->total - before;
}
