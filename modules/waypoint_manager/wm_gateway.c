/* wm_gateway.c -- bodies and patches of Gateway objects; values in, text out. */
#include "wm_gateway.h"

#include "codec/json.h"

#define REASONS_CEILING ((size_t)64 * 1024)

void
wm_gateway_reasons(const struct ap_need *need, struct ap_buf *out)
{
	struct ap_arena *arena = ap_arena_new((size_t)4 * 1024 * 1024);

	ap_json_write(ap_need_reasons_doc(arena, need), 0, out);
	ap_arena_free(&arena);
}

void
wm_gateway_body(const struct ap_need *need, struct ap_buf *out)
{
	struct ap_buf reasons;

	ap_buf_init(&reasons, REASONS_CEILING);
	wm_gateway_reasons(need, &reasons);
	ap_buf_printf(out,
	    "{\"apiVersion\":\"gateway.networking.k8s.io/v1\",\"kind\":\"Gateway\",\"metadata\":{\"name\":\"%.*s\",\"namespace\":\"%.*s\","
	    "\"labels\":{\"" AP_LABEL_MANAGED "\":\"true\",\"" AP_LABEL_WAYPOINT_FOR "\":\"service\"},\"annotations\":{\""
	    AP_ANNOTATION_REASONS "\":",
	    AP_FMT(need->name), AP_FMT(need->namespace_));
	ap_buf_add_json(out, ap_buf_slice(&reasons));
	ap_buf_printf(out,
	    "}},\"spec\":{\"gatewayClassName\":\"" AP_WAYPOINT_CLASS
	    "\",\"listeners\":[{\"name\":\"mesh\",\"port\":%d,\"protocol\":\"HBONE\"}]}}",
	    AP_WAYPOINT_PORT);
	ap_buf_done(&reasons);
}

bool
wm_gateway_has_reasons(const struct ap_resource *gateway, struct ap_slice reasons)
{
	return ap_slice_eq(ap_resource_annotation(gateway, AP_ANNOTATION_REASONS), reasons);
}

void
wm_gateway_reasons_patch(struct ap_slice reasons, struct ap_buf *out)
{
	ap_buf_add_text(out, "{\"metadata\":{\"annotations\":{\"" AP_ANNOTATION_REASONS "\":");
	ap_buf_add_json(out, reasons);
	ap_buf_add_text(out, "}}}");
}

void
wm_gateway_status_patch(struct ap_slice address, int64_t generation, bool ready, struct ap_slice now, struct ap_buf *out)
{
	static const char *const words[2][3] = { { "False", "Pending", "The waypoint's process is not ready." },
		{ "True", "Programmed", "The waypoint serves." } };

	/* The address stays when the process goes: bound services must refuse then, not fall back to the direct way. */
	ap_buf_add_text(out, "{\"status\":{");
	if (ready)
		ap_buf_printf(out, "\"addresses\":[{\"type\":\"IPAddress\",\"value\":\"%.*s\"}],", AP_FMT(address));
	ap_buf_printf(out,
	    "\"conditions\":[{\"type\":\"Accepted\",\"status\":\"True\",\"reason\":\"Accepted\",\"message\":\"The waypoint manager runs "
	    "it.\",\"observedGeneration\":%lld,\"lastTransitionTime\":\"%.*s\"},{\"type\":\"Programmed\",\"status\":\"%s\",\"reason\":\"%s\","
	    "\"message\":\"%s\",\"observedGeneration\":%lld,\"lastTransitionTime\":\"%.*s\"}]}}",
	    (long long)generation, AP_FMT(now), words[ready][0], words[ready][1], words[ready][2], (long long)generation, AP_FMT(now));
}

static struct ap_slice
programmed(const struct ap_resource *gateway)
{
	AP_DOC_FOR(c, ap_doc_get(gateway->status, "conditions")) {
		if (ap_slice_eq(ap_doc_string(c, "type", ""), AP_S("Programmed")))
			return ap_doc_string(c, "status", "");
	}
	return AP_SLICE_NONE;
}

bool
wm_gateway_says_ready(const struct ap_resource *gateway, struct ap_slice address)
{
	if (!ap_slice_eq(programmed(gateway), AP_S("True")))
		return false;
	AP_DOC_FOR(a, ap_doc_get(gateway->status, "addresses")) {
		if (ap_slice_eq(ap_doc_string(a, "value", ""), address))
			return true;
	}
	return false;
}

bool
wm_gateway_says_not_ready(const struct ap_resource *gateway)
{
	return ap_slice_eq(programmed(gateway), AP_S("False"));
}

bool
wm_gateway_is_managed(const struct ap_resource *gateway)
{
	return ap_slice_eq(ap_resource_label(gateway, AP_LABEL_MANAGED), AP_S("true"));
}
