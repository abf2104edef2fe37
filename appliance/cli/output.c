/* output.c -- aligned columns, JSON, YAML. */
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "codec/json.h"
#include "codec/yaml.h"

#define TEXT_CEILING ((size_t)1024 * 1024 * 1024)

int
ap_cli_format_parse(const char *word, enum ap_cli_format *out)
{
	static const char *const names[] = { "table", "wide", "json", "yaml", "name" };

	for (size_t i = 0; i < AP_COUNTOF(names); i++) {
		if (strcmp(word, names[i]) == 0) {
			*out = (enum ap_cli_format)i;
			return 0;
		}
	}
	return -1;
}

void
ap_cli_print_doc(const struct ap_doc *doc, enum ap_cli_format format)
{
	struct ap_buf text;

	ap_buf_init(&text, TEXT_CEILING);
	if (format == AP_CLI_YAML) {
		ap_yaml_write(doc, &text);
	} else {
		ap_json_write(doc, 2, &text);
		ap_buf_add_char(&text, '\n');
	}
	fwrite(text.ptr, 1, text.len, stdout);
	ap_buf_done(&text);
}

void
ap_cli_table_init(struct ap_cli_table *t, struct ap_arena *arena, const char *const *heads)
{
	memset(t, 0, sizeof(*t));
	t->arena = arena;
	for (; *heads != NULL && t->columns < AP_CLI_COLUMNS_MAX; heads++, t->columns++)
		ap_vec_push(&t->cells, ap_slice_of(*heads));
}

void
ap_cli_table_add(struct ap_cli_table *t, struct ap_slice cell)
{
	ap_vec_push(&t->cells, cell.len == 0 ? AP_S("-") : ap_arena_copy(t->arena, cell));
}

void
ap_cli_table_print(struct ap_cli_table *t)
{
	size_t widths[AP_CLI_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; t->columns > 0 && i < t->cells.count; i++)
		widths[i % t->columns] = AP_MAX(widths[i % t->columns], t->cells.items[i].len);
	for (size_t i = 0; t->columns > 0 && i < t->cells.count; i++) {
		bool last = i % t->columns == t->columns - 1;

		if (last)
			printf("%.*s\n", AP_FMT(t->cells.items[i]));
		else
			printf("%-*.*s   ", (int)widths[i % t->columns], AP_FMT(t->cells.items[i]));
	}
	ap_vec_done(&t->cells);
}

static struct ap_slice
cell_text(struct ap_arena *arena, const struct ap_doc *cell)
{
	switch (cell->type) {
	case AP_DOC_STRING:
		return cell->string;
	case AP_DOC_INT:
		return ap_arena_printf(arena, "%lld", (long long)cell->integer);
	case AP_DOC_REAL:
		return ap_arena_printf(arena, "%g", cell->real);
	case AP_DOC_BOOL:
		return cell->boolean ? AP_S("true") : AP_S("false");
	case AP_DOC_NULL:
	case AP_DOC_LIST:
	case AP_DOC_MAP:
		break;
	}
	return AP_SLICE_NONE;
}

void
ap_cli_print_table(struct ap_arena *arena, const struct ap_doc *table, bool wide, bool namespaces, bool heads)
{
	const char *names[AP_CLI_COLUMNS_MAX + 1] = { NULL };
	bool shown[AP_CLI_COLUMNS_MAX] = { false };
	struct ap_cli_table t;
	unsigned n = 0, column = 0;

	if (namespaces)
		names[n++] = "NAMESPACE";
	AP_DOC_FOR(c, ap_doc_get(table, "columnDefinitions")) {
		if (column == AP_CLI_COLUMNS_MAX || n == AP_CLI_COLUMNS_MAX)
			break;
		shown[column] = wide || ap_doc_int(c, "priority", 0) == 0;
		if (shown[column]) {
			struct ap_slice name = ap_arena_copy(arena, ap_doc_string(c, "name", ""));
			char *upper = ap_arena_strndup(arena, name.ptr, name.len);

			for (char *p = upper; *p != '\0'; p++)
				*p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
			names[n++] = upper;
		}
		column++;
	}
	ap_cli_table_init(&t, arena, names);
	if (!heads)
		t.cells.count = 0;
	AP_DOC_FOR(row, ap_doc_get(table, "rows")) {
		column = 0;
		if (namespaces)
			ap_cli_table_add(&t, ap_doc_string(ap_doc_path(row, "object.metadata"), "namespace", ""));
		AP_DOC_FOR(cell, ap_doc_get(row, "cells")) {
			if (column < AP_CLI_COLUMNS_MAX && shown[column])
				ap_cli_table_add(&t, cell_text(arena, cell));
			column++;
		}
	}
	ap_cli_table_print(&t);
}
