/*
 * api_openapi_pb.c -- the same as api_openapi.c in the protocol buffers of github.com/google/gnostic (openapiv2), the only form of
 * /openapi/v2 that kubectl asks for.  With it `kubectl explain` and kubectl's own validation know the kinds, and its check that
 * a server-side dry run is understood (a PATCH with a parameter dryRun) finds what it looks for.
 */
#include <stdio.h>
#include <string.h>

#include "control_plane/api/api_priv.h"
#include "model/schema.h"

#define DEPTH_MAX 16
#define PART_MAX ((size_t)64 * 1024 * 1024)

/* Field numbers of OpenAPIv2.proto. */
enum {
	DOCUMENT_SWAGGER = 1,
	DOCUMENT_INFO = 2,
	DOCUMENT_PATHS = 8,
	DOCUMENT_DEFINITIONS = 9,
	INFO_TITLE = 1,
	INFO_VERSION = 2,
	PATHS_PATH = 2,
	NAMED_NAME = 1,
	NAMED_VALUE = 2,
	DEFINITIONS_ITEM = 1,
	SCHEMA_FORMAT = 2,
	SCHEMA_DESCRIPTION = 4,
	SCHEMA_REQUIRED = 19,
	SCHEMA_ADDITIONAL = 21,
	SCHEMA_TYPE = 22,
	SCHEMA_ITEMS = 23,
	SCHEMA_PROPERTIES = 25,
	SCHEMA_EXTENSION = 31,
	ANY_YAML = 2,
	PATH_ITEM_PATCH = 8,
	OPERATION_PARAMETERS = 8,
	OPERATION_EXTENSION = 13,
	PARAMETER_QUERY = 3,
	QUERY_IN = 2,
	QUERY_NAME = 4,
};

static void put_schema(struct ap_buf *out, const struct ap_schema *schema, const char *doc, unsigned depth);

static void
put_varint(struct ap_buf *out, uint64_t v)
{
	while (v >= 0x80) {
		ap_buf_add_u8(out, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	ap_buf_add_u8(out, (uint8_t)v);
}

static void
put_bytes(struct ap_buf *out, unsigned field, struct ap_slice bytes)
{
	put_varint(out, (uint64_t)field << 3 | 2);
	put_varint(out, bytes.len);
	ap_buf_add_slice(out, bytes);
}

static void
put_text(struct ap_buf *out, unsigned field, const char *text)
{
	put_bytes(out, field, ap_slice_of(text));
}

/* Close a part: put it as a field of its parent. */
static void
put_part(struct ap_buf *out, unsigned field, struct ap_buf *part)
{
	out->bad = out->bad || part->bad;
	put_bytes(out, field, part->len == 0 ? AP_S("") : ap_buf_slice(part));
	ap_buf_done(part);
}

static void
put_type(struct ap_buf *out, const char *type)
{
	struct ap_buf part;

	ap_buf_init(&part, 64);
	put_text(&part, 1, type);
	put_part(out, SCHEMA_TYPE, &part);
}

static void
put_scalar_type(struct ap_buf *out, enum ap_type type)
{
	switch (type) {
	case AP_T_INT:
		put_text(out, SCHEMA_FORMAT, "int64");
		put_type(out, "integer");
		return;
	case AP_T_REAL:
		put_type(out, "number");
		return;
	case AP_T_BOOL:
		put_type(out, "boolean");
		return;
	case AP_T_INT_OR_STRING:
		put_text(out, SCHEMA_FORMAT, "int-or-string");
		put_type(out, "string");
		return;
	case AP_T_STRING:
	case AP_T_DURATION:
		put_type(out, "string");
		return;
	case AP_T_ANY:
	case AP_T_OBJECT:
	case AP_T_LIST:
	case AP_T_MAP:
		put_type(out, "object");
		return;
	}
}

static void
put_item(struct ap_buf *out, const struct ap_field_row *row, unsigned depth)
{
	if (row->item == AP_T_OBJECT && row->of != NULL)
		put_schema(out, row->of, NULL, depth);
	else
		put_scalar_type(out, row->item);
}

static void
put_row(struct ap_buf *out, const struct ap_field_row *row, unsigned depth)
{
	struct ap_buf item, wrap;

	if (row->type == AP_T_OBJECT && row->of != NULL) {
		put_schema(out, row->of, row->doc, depth);
		return;
	}
	if (row->doc != NULL)
		put_text(out, SCHEMA_DESCRIPTION, row->doc);
	if (row->type != AP_T_LIST && row->type != AP_T_MAP) {
		put_scalar_type(out, row->type);
		return;
	}
	ap_buf_init(&item, PART_MAX);
	ap_buf_init(&wrap, PART_MAX);
	put_item(&item, row, depth);
	put_part(&wrap, 1, &item);
	put_part(out, row->type == AP_T_LIST ? SCHEMA_ITEMS : SCHEMA_ADDITIONAL, &wrap);
	put_type(out, row->type == AP_T_LIST ? "array" : "object");
}

static void
put_property(struct ap_buf *properties, const struct ap_field_row *row, unsigned depth)
{
	struct ap_buf named, value;

	ap_buf_init(&named, PART_MAX);
	ap_buf_init(&value, PART_MAX);
	put_text(&named, NAMED_NAME, row->name);
	put_row(&value, row, depth);
	put_part(&named, NAMED_VALUE, &value);
	put_part(properties, 1, &named);
}

static void
put_rows(struct ap_buf *out, const struct ap_schema *schema, const struct ap_field_row *more, unsigned depth)
{
	struct ap_buf properties;

	ap_buf_init(&properties, PART_MAX);
	for (const struct ap_field_row *row = more; row != NULL && row->name != NULL; row++)
		put_property(&properties, row, depth + 1);
	for (const struct ap_field_row *row = schema->rows; depth < DEPTH_MAX && row->name != NULL; row++)
		put_property(&properties, row, depth + 1);
	put_part(out, SCHEMA_PROPERTIES, &properties);
}

static void
put_schema(struct ap_buf *out, const struct ap_schema *schema, const char *doc, unsigned depth)
{
	if (doc != NULL || schema->doc != NULL)
		put_text(out, SCHEMA_DESCRIPTION, doc != NULL ? doc : schema->doc);
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++)
		if ((row->flags & AP_F_REQUIRED) != 0)
			put_text(out, SCHEMA_REQUIRED, row->name);
	put_rows(out, schema, NULL, depth);
	put_type(out, "object");
}

/* x-kubernetes-group-version-kind, as YAML inside. */
static void
put_gvk(struct ap_buf *out, unsigned field, const struct ap_kind *k, const char *version, bool list)
{
	struct ap_buf named, any;
	char text[300];

	snprintf(text, sizeof(text), "%sgroup: \"%s\"\n%skind: %s\n%sversion: %s\n", list ? "- " : "", k->group, list ? "  " : "",
	    k->kind, list ? "  " : "", version);
	ap_buf_init(&named, 1024);
	ap_buf_init(&any, 1024);
	put_text(&any, ANY_YAML, text);
	put_text(&named, NAMED_NAME, "x-kubernetes-group-version-kind");
	put_part(&named, NAMED_VALUE, &any);
	put_part(out, field, &named);
}

static void
put_definition(struct ap_buf *definitions, const struct ap_kind *k, const char *version)
{
	static const struct ap_field_row head[] = {
		{ .name = "apiVersion", .type = AP_T_STRING, .doc = "Group and version of the object." },
		{ .name = "kind", .type = AP_T_STRING, .doc = "Kind of the object." },
		{ .name = "metadata", .type = AP_T_ANY, .doc = "Name, namespace, labels, annotations." },
		{ .name = NULL },
	};
	struct ap_buf named, value;
	char name[300];

	ap_buf_init(&named, PART_MAX);
	ap_buf_init(&value, PART_MAX);
	snprintf(name, sizeof(name), "%s.%s.%s", k->group[0] == '\0' ? "core" : k->group, version, k->kind);
	put_text(&named, NAMED_NAME, name);
	put_text(&value, SCHEMA_DESCRIPTION, k->doc);
	put_rows(&value, k->schema, head, 0);
	put_type(&value, "object");
	put_gvk(&value, SCHEMA_EXTENSION, k, version, true);
	put_part(&named, NAMED_VALUE, &value);
	put_part(definitions, DEFINITIONS_ITEM, &named);
}

static void
put_query_parameter(struct ap_buf *operation, const char *name)
{
	struct ap_buf query, non_body, parameter, item;

	ap_buf_init(&query, 1024);
	ap_buf_init(&non_body, 1024);
	ap_buf_init(&parameter, 1024);
	ap_buf_init(&item, 1024);
	put_text(&query, QUERY_IN, "query");
	put_text(&query, QUERY_NAME, name);
	put_part(&non_body, PARAMETER_QUERY, &query);
	put_part(&parameter, 2, &non_body);
	put_part(&item, 1, &parameter);
	put_part(operation, OPERATION_PARAMETERS, &item);
}

/* One PATCH with the query parameters by which kubectl tells what the server can do. */
static void
put_path(struct ap_buf *paths, const struct ap_kind *k, const char *version)
{
	struct ap_buf operation, path, named;
	char name[400];

	ap_buf_init(&operation, 4096);
	ap_buf_init(&path, 4096);
	ap_buf_init(&named, 8192);
	put_query_parameter(&operation, "dryRun");
	put_query_parameter(&operation, "fieldValidation");
	put_gvk(&operation, OPERATION_EXTENSION, k, version, false);
	put_part(&path, PATH_ITEM_PATCH, &operation);
	snprintf(name, sizeof(name), "%s%s/%s/%s%s/{name}", k->group[0] == '\0' ? "/api" : "/apis/", k->group, version,
	    k->namespaced ? "namespaces/{namespace}/" : "", k->plural);
	put_text(&named, NAMED_NAME, name);
	put_part(&named, NAMED_VALUE, &path);
	put_part(paths, PATHS_PATH, &named);
}

void
api_openapi_pb(struct ap_buf *out)
{
	struct ap_buf info, paths, definitions;
	const struct ap_kind *const *kinds;
	size_t n;

	ap_buf_init(&info, 1024);
	ap_buf_init(&paths, PART_MAX);
	ap_buf_init(&definitions, PART_MAX);
	put_text(out, DOCUMENT_SWAGGER, "2.0");
	put_text(&info, INFO_TITLE, "Ambit");
	put_text(&info, INFO_VERSION, PACKAGE_VERSION);
	put_part(out, DOCUMENT_INFO, &info);
	kinds = ap_kinds(&n);
	for (size_t i = 0; i < n; i++)
		for (const char *const *v = kinds[i]->versions; *v != NULL; v++) {
			put_path(&paths, kinds[i], *v);
			put_definition(&definitions, kinds[i], *v);
		}
	put_part(out, DOCUMENT_PATHS, &paths);
	put_part(out, DOCUMENT_DEFINITIONS, &definitions);
}
