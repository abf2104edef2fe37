/* api_verbs.c -- which verb on which path: health and version, discovery, and the resources. */
#include <string.h>

#include "control_plane/api/api_priv.h"

static void
send_version(struct api_request *r)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena);
	/* kubectl compares these with its own and warns when they are far apart. */
	static const char *const fields[][2] = { { "major", "1" }, { "minor", "29" }, { "gitVersion", "v1.29.0+ambit." PACKAGE_VERSION },
		{ "gitCommit", "" }, { "gitTreeState", "clean" }, { "buildDate", "2026-01-01T00:00:00Z" }, { "goVersion", "" },
		{ "compiler", "gcc" }, { "platform", "linux/amd64" } };

	for (size_t i = 0; i < AP_COUNTOF(fields); i++)
		ap_doc_set_string(r->arena, doc, fields[i][0], ap_slice_of(fields[i][1]));
	api_send(r, 200, doc);
}

static bool
plain_paths(struct api_request *r)
{
	if (ap_slice_eq(r->path, AP_S("/version"))) {
		send_version(r);
	} else if (ap_slice_eq(r->path, AP_S("/healthz")) || ap_slice_eq(r->path, AP_S("/livez"))) {
		api_send_text(r, 200, "text/plain", AP_S("ok"));
	} else if (ap_slice_eq(r->path, AP_S("/readyz"))) {
		if (r->cp->ready && !r->api->draining)
			api_send_text(r, 200, "text/plain", AP_S("ok"));
		else
			api_send_text(r, 503, "text/plain", AP_S("not ready"));
	} else {
		return false;
	}
	return true;
}

static void
get_one(struct api_request *r)
{
	struct ap_resource *res = ap_resources_get(cp_resources(r->cp), r->target.kind->group, r->target.kind->kind,
	    r->target.namespace_, r->target.name);

	if (res == NULL)
		api_fail(r, 404, "NotFound", "%s%s%s \"%.*s\" not found", r->target.kind->plural,
		    r->target.kind->group[0] == '\0' ? "" : ".", r->target.kind->group, AP_FMT(r->target.name));
	else
		api_send_resource(r, 200, res);
}

static void
not_allowed(struct api_request *r)
{
	api_fail(r, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

static void
collection(struct api_request *r)
{
	if (ap_slice_eq(r->method, AP_S("GET"))) {
		if (api_flag(r, "watch"))
			api_watch_start(r);
		else
			api_list(r);
	} else if (ap_slice_eq(r->method, AP_S("POST"))) {
		api_create(r);
	} else if (ap_slice_eq(r->method, AP_S("DELETE"))) {
		api_delete_collection(r);
	} else {
		not_allowed(r);
	}
}

static void
object(struct api_request *r)
{
	bool sub = r->target.subresource.len > 0;

	if (sub && (!ap_slice_eq(r->target.subresource, AP_S("status")) || !r->target.kind->has_status)) {
		api_fail(r, 404, "NotFound", "the server could not find the requested resource");
		return;
	}
	if (ap_slice_eq(r->method, AP_S("GET"))) {
		if (api_flag(r, "watch") && !sub)
			api_watch_start(r);
		else
			get_one(r);
	} else if (ap_slice_eq(r->method, AP_S("PUT"))) {
		api_replace(r);
	} else if (ap_slice_eq(r->method, AP_S("PATCH"))) {
		api_patch(r);
	} else if (ap_slice_eq(r->method, AP_S("DELETE")) && !sub) {
		api_delete(r);
	} else {
		not_allowed(r);
	}
}

void
api_dispatch(struct api_request *r)
{
	bool reads = ap_slice_eq(r->method, AP_S("GET")) || ap_slice_eq(r->method, AP_S("HEAD"));

	if (reads && (plain_paths(r) || api_discovery(r) || api_openapi(r)))
		return;
	if (!api_target_parse(r)) {
		r->target.kind = NULL;
		api_fail(r, 404, "NotFound", "the server could not find the requested resource");
		return;
	}
	if (r->target.name.len > 0)
		object(r);
	else
		collection(r);
}
