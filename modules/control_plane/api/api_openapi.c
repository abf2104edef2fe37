/*
 * api_openapi.c -- /openapi/v2 from the schema rows, so that kubectl explain and its validation know the kinds: as JSON, or in
 * the protocol buffers that kubectl asks for (api_openapi_pb.c).
 */
#include <stdio.h>
#include <string.h>

#include "control_plane/api/api_priv.h"
#include "model/schema.h"

#define DEPTH_MAX 16

static struct ap_doc *schema_doc(struct api_request *r, const struct ap_schema *schema, const char *doc, unsigned depth);

static void
set(struct api_request *r, struct ap_doc *map, const char *key, const char *value)
{
	ap_doc_set_string(r->arena, map, key, ap_slice_of(value));
}

static void
set_type(struct api_request *r, struct ap_doc *out, enum ap_type type)
{
	switch (type) {
	case AP_T_STRING:
	case AP_T_DURATION:
		set(r, out, "type", "string");
		return;
	case AP_T_INT:
		set(r, out, "type", "integer");
		set(r, out, "format", "int64");
		return;
	case AP_T_REAL:
		set(r, out, "type", "number");
		return;
	case AP_T_BOOL:
		set(r, out, "type", "boolean");
		return;
	case AP_T_INT_OR_STRING:
		set(r, out, "type", "string");
		set(r, out, "format", "int-or-string");
		return;
	case AP_T_OBJECT:
	case AP_T_MAP:
	case AP_T_ANY:
		set(r, out, "type", "object");
		return;
	case AP_T_LIST:
		set(r, out, "type", "array");
		return;
	}
}

static struct ap_doc *
item_doc(struct api_request *r, const struct ap_field_row *row, unsigned depth)
{
	struct ap_doc *out;

	if (row->item == AP_T_OBJECT && row->of != NULL)
		return schema_doc(r, row->of, NULL, depth);
	out = ap_doc_new_map(r->arena);
	set_type(r, out, row->item);
	return out;
}

static struct ap_doc *
row_doc(struct api_request *r, const struct ap_field_row *row, unsigned depth)
{
	struct ap_doc *out, *values;

	if (row->type == AP_T_OBJECT && row->of != NULL)
		return schema_doc(r, row->of, row->doc, depth);
	out = ap_doc_new_map(r->arena);
	if (row->doc != NULL)
		set(r, out, "description", row->doc);
	set_type(r, out, row->type);
	if (row->type == AP_T_LIST)
		ap_doc_set(r->arena, out, "items", item_doc(r, row, depth));
	else if (row->type == AP_T_MAP)
		ap_doc_set(r->arena, out, "additionalProperties", item_doc(r, row, depth));
	if (row->values != NULL && row->type == AP_T_STRING) {
		values = ap_doc_new_list(r->arena);
		for (const char *const *v = row->values; *v != NULL; v++)
			ap_doc_append(values, ap_doc_new_string(r->arena, ap_slice_of(*v)));
		ap_doc_set(r->arena, out, "enum", values);
	}
	return out;
}

static struct ap_doc *
schema_doc(struct api_request *r, const struct ap_schema *schema, const char *doc, unsigned depth)
{
	struct ap_doc *out = ap_doc_new_map(r->arena), *properties, *required;

	if (doc != NULL || schema->doc != NULL)
		set(r, out, "description", doc != NULL ? doc : schema->doc);
	set(r, out, "type", "object");
	if (depth == DEPTH_MAX)
		return out;
	properties = ap_doc_new_map(r->arena);
	required = ap_doc_new_list(r->arena);
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++) {
		ap_doc_set(r->arena, properties, row->name, row_doc(r, row, depth + 1));
		if ((row->flags & AP_F_REQUIRED) != 0)
			ap_doc_append(required, ap_doc_new_string(r->arena, ap_slice_of(row->name)));
	}
	ap_doc_set(r->arena, out, "properties", properties);
	if (required->count > 0)
		ap_doc_set(r->arena, out, "required", required);
	return out;
}

static void
add_definition(struct api_request *r, struct ap_doc *definitions, const struct ap_kind *k, const char *version)
{
	struct ap_doc *doc = schema_doc(r, k->schema, k->doc, 0), *properties = ap_doc_get(doc, "properties");
	struct ap_doc *list = ap_doc_new_list(r->arena), *gvk = ap_doc_new_map(r->arena), *p;
	char name[300];

	p = ap_doc_new_map(r->arena);
	set(r, p, "type", "string");
	set(r, p, "description", "Group and version of the object.");
	ap_doc_set(r->arena, properties, "apiVersion", p);
	p = ap_doc_new_map(r->arena);
	set(r, p, "type", "string");
	set(r, p, "description", "Kind of the object.");
	ap_doc_set(r->arena, properties, "kind", p);
	p = ap_doc_new_map(r->arena);
	set(r, p, "type", "object");
	set(r, p, "description", "Name, namespace, labels, annotations.");
	ap_doc_set(r->arena, properties, "metadata", p);
	set(r, gvk, "group", k->group);
	set(r, gvk, "version", version);
	set(r, gvk, "kind", k->kind);
	ap_doc_append(list, gvk);
	ap_doc_set(r->arena, doc, "x-kubernetes-group-version-kind", list);
	snprintf(name, sizeof(name), "%s%s%s.%s", k->group[0] == '\0' ? "core" : k->group, ".", version, k->kind);
	ap_doc_set(r->arena, definitions, name, doc);
}

static void
send_v2(struct api_request *r)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena), *info = ap_doc_new_map(r->arena);
	struct ap_doc *definitions = ap_doc_new_map(r->arena);
	const struct ap_kind *const *kinds;
	size_t n;

	kinds = ap_kinds(&n);
	for (size_t i = 0; i < n; i++)
		for (const char *const *v = kinds[i]->versions; *v != NULL; v++)
			add_definition(r, definitions, kinds[i], *v);
	set(r, doc, "swagger", "2.0");
	set(r, info, "title", "Ambit");
	set(r, info, "version", PACKAGE_VERSION);
	ap_doc_set(r->arena, doc, "info", info);
	ap_doc_set(r->arena, doc, "paths", ap_doc_new_map(r->arena));
	ap_doc_set(r->arena, doc, "definitions", definitions);
	api_send(r, 200, doc);
}

bool
api_openapi(struct api_request *r)
{
	static const char protobuf[] = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
	struct ap_slice accept = ap_fields_get(&r->x->request.fields, AP_S("accept"));
	struct ap_buf out;

	if (!ap_slice_eq(r->path, AP_S("/openapi/v2")))
		return false;
	if (!ap_slice_starts(accept, ap_slice_of(protobuf))) {
		send_v2(r);
		return true;
	}
	ap_buf_init(&out, API_ANSWER_MAX);
	api_openapi_pb(&out);
	if (out.bad)
		api_fail(r, 500, "InternalError", "the schemas are too big");
	else
		/* As Kubernetes answers: '@' is no letter of a media type. */
		api_send_text(r, 200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", ap_buf_slice(&out));
	ap_buf_done(&out);
	return true;
}
