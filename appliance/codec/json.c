/*
 * json.c -- jansson reads, this writes.
 *
 * jansson checks syntax, UTF-8 and duplicate keys and nests to 2048; the conversion to documents bounds depth at 64.
 * Its tree lives only during the call.  Integers beyond 64 bits are errors rather than reals: a number that changes
 * on its way is worse than one that is refused.  Any thread.
 */
#include "codec/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

struct reader {
	struct ap_arena *arena;
	struct ap_place at;
	struct ap_error *err;
};

static int read_value(struct reader *rd, json_t *value, unsigned depth, struct ap_doc **out);

static int
full(const struct reader *rd)
{
	return ap_error_set_at(rd->err, -E2BIG, rd->at, "the document is too big");
}

static int
read_object(struct reader *rd, json_t *object, unsigned depth, struct ap_doc *map)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		struct ap_doc *child;
		int r = read_value(rd, value, depth, &child);

		if (r < 0)
			return r;
		child->key = ap_arena_copy(rd->arena, ap_slice_of(key));
		if (child->key.ptr == NULL)
			return full(rd);
		child->key_at = rd->at;
		if (map->last == NULL)
			map->first = child;
		else
			map->last->next = child;
		map->last = child;
		map->count++;
	}
	return 0;
}

static int
read_array(struct reader *rd, json_t *array, unsigned depth, struct ap_doc *list)
{
	json_t *value;
	size_t i;

	json_array_foreach(array, i, value)
	{
		struct ap_doc *child;
		int r = read_value(rd, value, depth, &child);

		if (r < 0)
			return r;
		ap_doc_append(list, child);
	}
	return 0;
}

static int
read_value(struct reader *rd, json_t *value, unsigned depth, struct ap_doc **out)
{
	struct ap_doc *node = NULL;
	int r = 0;

	if (depth == 0)
		return ap_error_set_at(rd->err, -E2BIG, rd->at, "nested deeper than %d", DEPTH_MAX);
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		if ((node = ap_doc_new_map(rd->arena)) != NULL)
			r = read_object(rd, value, depth - 1, node);
		break;
	case JSON_ARRAY:
		if ((node = ap_doc_new_list(rd->arena)) != NULL)
			r = read_array(rd, value, depth - 1, node);
		break;
	case JSON_STRING:
		node = ap_doc_new_string(rd->arena, ap_slice(json_string_value(value), json_string_length(value)));
		break;
	case JSON_INTEGER:
		node = ap_doc_new_int(rd->arena, json_integer_value(value));
		break;
	case JSON_REAL:
		node = ap_doc_new_real(rd->arena, json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		node = ap_doc_new_bool(rd->arena, json_is_true(value));
		break;
	case JSON_NULL:
		node = ap_doc_new_null(rd->arena);
		break;
	}
	if (node == NULL)
		return full(rd);
	node->at = rd->at;
	*out = node;
	return r;
}

int
ap_json_parse(struct ap_arena *arena, const char *name, struct ap_slice text, struct ap_doc **out, struct ap_error *err)
{
	struct reader rd = { .arena = arena, .at = { .file = name }, .err = err };
	struct ap_doc *root;
	json_error_t problem;
	json_t *tree;
	int r;

	tree = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
	if (tree == NULL)
		return ap_error_set_at(err, -EINVAL,
		    (struct ap_place){ .file = name,
			.line = (uint32_t)AP_MAX(problem.line, 0),
			.column = (uint32_t)AP_MAX(problem.column, 0) },
		    "not JSON: %s", problem.text);
	r = read_value(&rd, tree, DEPTH_MAX, &root);
	json_decref(tree);
	if (r == 0)
		*out = root;
	return r;
}

/* The shortest text that reads back as the same number, with a dot or exponent so that it stays a real. */
static void
write_real(double v, struct ap_buf *out)
{
	char text[40];

	if (!isfinite(v)) { /* JSON has no word for it */
		ap_buf_add_text(out, "null");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (!(strtod(text, NULL) < v) && !(strtod(text, NULL) > v))
			break;
	}
	ap_buf_add_text(out, text);
	if (strpbrk(text, ".e") == NULL)
		ap_buf_add_text(out, ".0");
}

static void
write_break(int indent, unsigned depth, struct ap_buf *out)
{
	if (indent > 0)
		ap_buf_printf(out, "\n%*s", indent * (int)depth, "");
}

static void
write_value(const struct ap_doc *node, int indent, unsigned depth, struct ap_buf *out)
{
	bool is_map = node->type == AP_DOC_MAP;

	if (out->bad)
		return;
	switch (node->type) {
	case AP_DOC_NULL:
		ap_buf_add_text(out, "null");
		return;
	case AP_DOC_BOOL:
		ap_buf_add_text(out, node->boolean ? "true" : "false");
		return;
	case AP_DOC_INT:
		ap_buf_printf(out, "%lld", (long long)node->integer);
		return;
	case AP_DOC_REAL:
		write_real(node->real, out);
		return;
	case AP_DOC_STRING:
		ap_buf_add_json(out, node->string);
		return;
	case AP_DOC_LIST:
	case AP_DOC_MAP:
		break;
	}
	ap_buf_add_char(out, is_map ? '{' : '[');
	AP_DOC_FOR(child, node)
	{
		if (child != node->first)
			ap_buf_add_char(out, ',');
		write_break(indent, depth + 1, out);
		if (is_map) {
			ap_buf_add_json(out, child->key);
			ap_buf_add_text(out, indent > 0 ? ": " : ":");
		}
		write_value(child, indent, depth + 1, out);
	}
	if (node->first != NULL)
		write_break(indent, depth, out);
	ap_buf_add_char(out, is_map ? '}' : ']');
}

void
ap_json_write(const struct ap_doc *node, int indent, struct ap_buf *out)
{
	if (node == NULL)
		ap_buf_add_text(out, "null");
	else
		write_value(node, indent, 0, out);
}
