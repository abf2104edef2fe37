/*
 * api_patch.c -- PATCH: JSON patch, merge patch, the strategic merge that kubectl uses for core kinds, and server-side apply.
 *
 * Server-side apply makes the object when it is not there, else merges maps and replaces lists; who manages which field is
 * not kept, so nothing conflicts and nothing is taken away that another apply had put there.
 */
#include <errno.h>
#include <string.h>

#include "control_plane/api/api_priv.h"

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

static bool
read_type(struct api_request *r, enum patch_type *out)
{
	static const struct {
		const char *type;
		enum patch_type patch;
	} types[] = {
		{ "application/json-patch+json", PATCH_JSON },
		{ "application/merge-patch+json", PATCH_MERGE },
		{ "application/strategic-merge-patch+json", PATCH_STRATEGIC },
		{ "application/apply-patch+yaml", PATCH_APPLY },
	};
	struct ap_slice rest = ap_fields_get(&r->x->request.fields, AP_S("content-type"));
	struct ap_slice type = ap_slice_trim(ap_slice_cut(&rest, ';'));

	for (size_t i = 0; i < AP_COUNTOF(types); i++)
		if (ap_slice_eq_text(type, types[i].type)) {
			*out = types[i].patch;
			/* As Kubernetes: kinds that are not built in have no strategy. */
			if (*out != PATCH_STRATEGIC || r->target.kind->group[0] == '\0')
				return true;
		}
	api_fail(r, 415, "UnsupportedMediaType",
	    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
	    "application/merge-patch+json, application/apply-patch+yaml%s",
	    r->target.kind->group[0] == '\0' ? ", application/strategic-merge-patch+json" : "");
	return false;
}

static bool
patch_into(struct api_request *r, struct ap_arena *arena, enum patch_type type, struct ap_doc **doc, struct ap_doc *patch)
{
	struct ap_error err = { 0 };

	if (type == PATCH_JSON) {
		if (api_json_patch(arena, doc, patch, &err) == 0)
			return true;
		api_fail(r, 422, "Invalid", "the server rejected our request due to an error in our request: %s", err.text);
		return false;
	}
	if (!ap_doc_is(patch, AP_DOC_MAP)) {
		api_fail(r, 400, "BadRequest", "the patch must be an object");
		return false;
	}
	if (type == PATCH_STRATEGIC)
		api_strategic_merge(arena, *doc, patch, "");
	else
		cp_merge(arena, *doc, patch);
	return true;
}

void
api_patch(struct api_request *r)
{
	bool status = r->target.subresource.len > 0;
	struct ap_resource *before;
	struct ap_arena *arena;
	struct ap_doc *patch, *doc;
	enum patch_type type;
	char key[800];

	if (!read_type(r, &type))
		return;
	patch = api_read_body(r, &arena);
	if (patch == NULL)
		return;
	if (ap_resource_key(r->target.kind, r->target.namespace_, r->target.name, key, sizeof(key)) != 0) {
		api_fail(r, 400, "BadRequest", "the name is too long");
		ap_arena_free(&arena);
		return;
	}
	before = cp_current(r->cp, ap_slice_of(key));
	if (before == NULL && type == PATCH_APPLY && !status) {
		ap_doc_remove(ap_doc_get(patch, "metadata"), "managedFields");
		api_store(r, arena, patch, CP_CREATE, 201);
		return;
	}
	if (before == NULL) {
		api_fail(r, 404, "NotFound", "%s%s%s \"%.*s\" not found", r->target.kind->plural,
		    r->target.kind->group[0] == '\0' ? "" : ".", r->target.kind->group, AP_FMT(r->target.name));
		ap_arena_free(&arena);
		return;
	}
	doc = ap_doc_copy(arena, before->doc);
	if (doc == NULL) {
		api_fail(r, 413, "RequestEntityTooLarge", "the patch is too big");
		ap_arena_free(&arena);
		return;
	}
	/* A version in the patch is a precondition; without one the patch is to what is there now. */
	if (!patch_into(r, arena, type, &doc, patch)) {
		ap_arena_free(&arena);
		return;
	}
	if (ap_arena_is_full(arena)) {
		api_fail(r, 413, "RequestEntityTooLarge", "the object would become too big");
		ap_arena_free(&arena);
		return;
	}
	api_store(r, arena, doc, status ? CP_REPLACE_STATUS : CP_REPLACE, 200);
}
