/* api_path.c -- from a request's target to what it names, and what its query and Accept ask for. */
#include <string.h>

#include "base/text.h"
#include "codec/uri.h"
#include "control_plane/api/api_priv.h"

#define PARTS_MAX 10

static struct ap_slice
decode(struct api_request *r, struct ap_slice text, bool form)
{
	struct ap_buf out;
	struct ap_slice copy;

	ap_buf_init(&out, text.len + 1);
	if (ap_uri_decode(text, form, &out) != 0)
		copy = AP_SLICE_NONE;
	else
		copy = ap_arena_copy(r->arena, out.len == 0 ? AP_S("") : ap_buf_slice(&out));
	ap_buf_done(&out);
	return copy;
}

struct ap_slice
api_param(struct api_request *r, const char *name)
{
	struct ap_slice v = ap_uri_param(r->query, name);

	return v.ptr == NULL ? AP_SLICE_NONE : decode(r, v, true);
}

bool
api_flag(struct api_request *r, const char *name)
{
	struct ap_slice v = api_param(r, name);

	return v.ptr != NULL && (v.len == 0 || ap_slice_eq(v, AP_S("true")) || ap_slice_eq(v, AP_S("1")));
}

/* namespaces/{ns}/{plural}[/{name}[/{sub}]], or {plural}[/{name}[/{sub}]]. */
static bool
parse_resource(struct api_target *t, const struct ap_slice *parts, size_t n)
{
	if (n == 0)
		return false;
	if (ap_slice_eq(parts[0], AP_S("namespaces")) && n >= 3 && !ap_slice_eq(parts[2], AP_S("status")) &&
	    !ap_slice_eq(parts[2], AP_S("finalize"))) {
		t->namespace_ = parts[1];
		parts += 2;
		n -= 2;
	}
	t->kind = ap_kind_by_path(t->group, t->version, parts[0]);
	if (t->kind == NULL || n > 3 || (t->namespace_.len > 0 && !t->kind->namespaced))
		return false;
	if (n > 1)
		t->name = parts[1];
	if (n > 2)
		t->subresource = parts[2];
	/* An object of a namespaced kind is only named within its namespace. */
	return t->name.len == 0 || !t->kind->namespaced || t->namespace_.len > 0;
}

bool
api_target_parse(struct api_request *r)
{
	struct ap_slice parts[PARTS_MAX], rest = ap_slice_from(r->path, 1);
	struct api_target *t = &r->target;
	size_t n = 0;

	while (rest.ptr != NULL) {
		struct ap_slice part = ap_slice_cut(&rest, '/');

		if (part.len == 0 && rest.ptr == NULL)
			break; /* a slash at the end */
		if (n == PARTS_MAX || part.len == 0)
			return false;
		parts[n] = decode(r, part, false);
		if (parts[n].ptr == NULL || ap_slice_find(parts[n], '/') != SIZE_MAX)
			return false;
		n++;
	}
	if (n >= 3 && ap_slice_eq(parts[0], AP_S("api"))) {
		t->group = AP_S("");
		t->version = parts[1];
		return parse_resource(t, parts + 2, n - 2);
	}
	if (n >= 4 && ap_slice_eq(parts[0], AP_S("apis"))) {
		t->group = parts[1];
		t->version = parts[2];
		return parse_resource(t, parts + 3, n - 3);
	}
	return false;
}

/* The first media type of the list that we speak decides. */
void
api_read_accept(struct api_request *r)
{
	struct ap_slice rest = ap_fields_get(&r->x->request.fields, AP_S("accept"));

	r->format = API_JSON;
	while (rest.ptr != NULL) {
		struct ap_slice params = ap_slice_cut(&rest, ','), type = ap_slice_trim(ap_slice_cut(&params, ';'));
		bool table = false, partial = false;

		while (params.ptr != NULL) {
			struct ap_slice p = ap_slice_trim(ap_slice_cut(&params, ';'));

			table = table || ap_slice_eq(p, AP_S("as=Table"));
			partial = partial || ap_slice_eq(p, AP_S("as=PartialObjectMetadata")) ||
			    ap_slice_eq(p, AP_S("as=PartialObjectMetadataList"));
		}
		if (ap_slice_eq(type, AP_S("application/yaml")))
			r->format = API_YAML;
		else if (!ap_slice_eq(type, AP_S("application/json")) && !ap_slice_eq(type, AP_S("*/*")) &&
		    !ap_slice_eq(type, AP_S("application/*")))
			continue;
		r->table = table;
		r->metadata_only = partial;
		return;
	}
}
