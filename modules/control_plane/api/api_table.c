/* api_table.c -- Table output (meta.k8s.io/v1): what kubectl prints, from the columns of the kind. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "control_plane/api/api_priv.h"

/* How long ago, as kubectl says it: 45s, 12m, 5h, 3d. */
static struct ap_slice
age(struct ap_arena *arena, int64_t created_ms)
{
	int64_t s = (ap_clock_wall_ms() - created_ms) / 1000;

	if (created_ms == 0)
		return AP_S("<unknown>");
	if (s < 0)
		s = 0;
	if (s < 120)
		return ap_arena_printf(arena, "%llds", (long long)s);
	if (s < 7200)
		return ap_arena_printf(arena, "%lldm", (long long)(s / 60));
	if (s < 172800)
		return ap_arena_printf(arena, "%lldh", (long long)(s / 3600));
	return ap_arena_printf(arena, "%lldd", (long long)(s / 86400));
}

static void
add_text(struct ap_buf *out, const struct ap_doc *v)
{
	bool first = true;

	if (v == NULL)
		return;
	switch (v->type) {
	case AP_DOC_STRING:
		ap_buf_add_slice(out, v->string);
		return;
	case AP_DOC_INT:
		ap_buf_printf(out, "%lld", (long long)v->integer);
		return;
	case AP_DOC_REAL:
		ap_buf_printf(out, "%g", v->real);
		return;
	case AP_DOC_BOOL:
		ap_buf_add_text(out, v->boolean ? "true" : "false");
		return;
	case AP_DOC_LIST:
	case AP_DOC_MAP:
		AP_DOC_FOR (item, v) {
			if (!first)
				ap_buf_add_char(out, ',');
			if (v->type == AP_DOC_MAP)
				ap_buf_printf(out, "%.*s=", AP_FMT(item->key));
			add_text(out, item);
			first = false;
		}
		return;
	case AP_DOC_NULL:
	default:
		return;
	}
}

/* "spec.ports.port" (through lists), "status.conditions[Ready]" (the status of that condition). */
static void
add_path(struct ap_buf *out, const struct ap_doc *node, struct ap_slice path)
{
	struct ap_slice rest = path, part = ap_slice_cut(&rest, '.');
	size_t bracket = ap_slice_find(part, '[');
	bool first = true;

	if (node == NULL)
		return;
	if (ap_doc_is(node, AP_DOC_LIST)) {
		AP_DOC_FOR (item, node) {
			if (!first)
				ap_buf_add_char(out, ',');
			add_path(out, item, path);
			first = false;
		}
		return;
	}
	if (bracket != SIZE_MAX) {
		struct ap_slice type = ap_slice_sub(part, bracket + 1, part.len - bracket - 2);

		AP_DOC_FOR (item, ap_doc_get_slice(node, ap_slice_sub(part, 0, bracket)))
			if (ap_slice_eq(ap_doc_string(item, "type", ""), type))
				ap_buf_add_slice(out, ap_doc_string(item, "status", ""));
		return;
	}
	node = ap_doc_get_slice(node, part);
	if (rest.ptr == NULL)
		add_text(out, node);
	else
		add_path(out, node, rest);
}

static struct ap_doc *
column(struct ap_arena *arena, const char *name, const char *format, bool wide)
{
	struct ap_doc *c = ap_doc_new_map(arena);

	ap_doc_set_string(arena, c, "name", ap_slice_of(name));
	ap_doc_set_string(arena, c, "type", AP_S("string"));
	ap_doc_set_string(arena, c, "format", ap_slice_of(format));
	ap_doc_set_string(arena, c, "description", AP_S(""));
	ap_doc_set(arena, c, "priority", ap_doc_new_int(arena, wide ? 1 : 0));
	return c;
}

/* "CLUSTER-IP" is "Cluster-Ip" in a definition; kubectl makes it upper case again. */
static void
add_columns(struct api_request *r, struct ap_doc *table)
{
	struct ap_doc *list = ap_doc_new_list(r->arena);

	ap_doc_append(list, column(r->arena, "Name", "name", false));
	for (const struct ap_kind_column *c = r->target.kind->columns; c != NULL && c->name != NULL; c++)
		ap_doc_append(list, column(r->arena, c->name, "", c->wide));
	ap_doc_append(list, column(r->arena, "Age", "", false));
	ap_doc_set(r->arena, table, "columnDefinitions", list);
}

static struct ap_doc *
metadata_object(struct api_request *r, const struct ap_resource *res)
{
	bool old = r->metadata_only;
	struct ap_doc *doc;

	r->metadata_only = true;
	doc = api_present(r, res);
	r->metadata_only = old;
	return doc;
}

static struct ap_doc *
row(struct api_request *r, const struct ap_resource *res)
{
	struct ap_doc *out = ap_doc_new_map(r->arena), *cells = ap_doc_new_list(r->arena);
	struct ap_slice include = api_param(r, "includeObject");
	struct ap_buf text;

	ap_buf_init(&text, 64 * 1024);
	ap_doc_append(cells, ap_doc_new_string(r->arena, res->name));
	for (const struct ap_kind_column *c = res->kind->columns; c != NULL && c->name != NULL; c++) {
		ap_buf_clear(&text);
		add_path(&text, res->doc, ap_slice_of(c->path));
		ap_doc_append(cells, ap_doc_new_string(r->arena, text.len == 0 ? AP_S("") : ap_buf_slice(&text)));
	}
	ap_buf_done(&text);
	ap_doc_append(cells, ap_doc_new_string(r->arena, age(r->arena, res->created_ms)));
	ap_doc_set(r->arena, out, "cells", cells);
	if (ap_slice_eq(include, AP_S("Object")))
		ap_doc_set(r->arena, out, "object", api_present(r, res));
	else if (!ap_slice_eq(include, AP_S("None")))
		ap_doc_set(r->arena, out, "object", metadata_object(r, res));
	return out;
}

struct ap_doc *
api_table(struct api_request *r, struct ap_resource *const *items, size_t count, struct ap_doc *list_meta,
    bool with_columns)
{
	struct ap_doc *table = ap_doc_new_map(r->arena), *rows = ap_doc_new_list(r->arena);

	ap_doc_set_string(r->arena, table, "kind", AP_S("Table"));
	ap_doc_set_string(r->arena, table, "apiVersion", AP_S("meta.k8s.io/v1"));
	if (list_meta == NULL) {
		list_meta = ap_doc_new_map(r->arena);
		if (count == 1)
			ap_doc_set_string(
			    r->arena, list_meta, "resourceVersion", ap_doc_string(items[0]->metadata, "resourceVersion", ""));
	}
	ap_doc_set(r->arena, table, "metadata", list_meta);
	if (with_columns)
		add_columns(r, table);
	else
		ap_doc_set(r->arena, table, "columnDefinitions", ap_doc_new_list(r->arena));
	for (size_t i = 0; i < count; i++)
		ap_doc_append(rows, row(r, items[i]));
	ap_doc_set(r->arena, table, "rows", rows);
	return table;
}
