/*
 * yaml.c -- libyaml's events to documents.
 *
 * libyaml gives events with marks and keeps no tree; the tree is built here without recursion over input, on an
 * explicit stack, so that hostile nesting costs nothing.  Aliases copy what the anchor names and count each copied
 * node, which ends "billion laughs".  Duplicate keys are looked for per map through a table of seen keys.  Writing is
 * in yaml_write.c.  Any thread.
 */
#include "codec/yaml.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/yaml_priv.h"

#define TEXT_MAX ((size_t)8 << 20)
#define DEPTH_MAX 64
#define NODES_MAX 1000000

struct level {
	struct ap_doc *node; /* list or map */
	struct ap_slice key; /* of the member that comes next; NULL pointer: a key comes next */
	struct ap_place key_at;
	struct ap_map keys; /* maps: those seen */
	char *anchor;       /* the anchor of this node, known to aliases when it ends */
};

struct builder {
	yaml_parser_t yaml;
	struct ap_arena *arena;
	const char *name;
	struct ap_error *err;
	struct level stack[DEPTH_MAX];
	unsigned depth;
	unsigned nodes;
	struct ap_map anchors; /* of this document: name -> node */
	struct ap_doc *root;   /* of this document */
	struct ap_doc **docs;
	uint32_t count, room;
};

static struct ap_place
place(const struct builder *b, yaml_mark_t mark)
{
	return (
	    struct ap_place){ .file = b->name, .line = (uint32_t)mark.line + 1, .column = (uint32_t)mark.column + 1 };
}

static int
fail_full(struct builder *b, struct ap_place at)
{
	return ap_error_set_at(b->err, -E2BIG, at, "the document is too big");
}

static struct ap_slice
text_of(const yaml_char_t *text)
{
	return ap_slice_of((const char *)text);
}

/* Scalars of the YAML 1.2 core schema. */

static bool
is_one_of(struct ap_slice s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (ap_slice_eq_text(s, *words))
			return true;
	return false;
}

static const char *const null_words[] = { "", "~", "null", "Null", "NULL", NULL };
static const char *const true_words[] = { "true", "True", "TRUE", NULL };
static const char *const false_words[] = { "false", "False", "FALSE", NULL };

static int
parse_radix(struct ap_slice digits, unsigned shift, int64_t *out)
{
	uint64_t v = 0;

	if (digits.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < digits.len; i++) {
		char c = digits.ptr[i];
		unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
			     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
			     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
						    : 99;

		if (d >= 1U << shift)
			return -EINVAL;
		if (v >> (63 - shift) != 0)
			return -ERANGE;
		v = v << shift | d;
	}
	*out = (int64_t)v;
	return 0;
}

static int
parse_int(struct ap_slice s, int64_t *out)
{
	if (ap_slice_starts(s, AP_S("0x")))
		return parse_radix(ap_slice_from(s, 2), 4, out);
	if (ap_slice_starts(s, AP_S("0o")))
		return parse_radix(ap_slice_from(s, 2), 3, out);
	return ap_text_to_i64(s.len > 1 && s.ptr[0] == '+' ? ap_slice_from(s, 1) : s, out);
}

/* What an unquoted scalar is. Also tells the writer which strings need quotes. */
int
ap_yaml_classify(struct ap_slice s, struct ap_doc *out)
{
	int r;

	if (is_one_of(s, null_words)) {
		out->type = AP_DOC_NULL;
		return 0;
	}
	if (is_one_of(s, true_words) || is_one_of(s, false_words)) {
		out->type = AP_DOC_BOOL;
		out->boolean = is_one_of(s, true_words);
		return 0;
	}
	r = parse_int(s, &out->integer);
	if (r == 0 || r == -ERANGE) {
		out->type = AP_DOC_INT;
		return r;
	}
	r = ap_text_to_double(s, &out->real);
	out->type = r == -EINVAL ? AP_DOC_STRING : AP_DOC_REAL;
	return r == -ERANGE ? r : 0;
}

static const char tag_prefix[] = "tag:yaml.org,2002:";

/* A tag on a scalar: str makes it a string; the other core tags must agree with what it reads as. */
static int
apply_tag(struct builder *b, const yaml_char_t *tag, struct ap_doc *node)
{
	static const char *const names[] = { "null", "bool", "int", "float", "str" };
	struct ap_slice t = text_of(tag), name;

	if (ap_slice_eq_text(t, "!")) {
		node->type = AP_DOC_STRING;
		return 0;
	}
	name = ap_slice_starts(t, ap_slice_of(tag_prefix)) ? ap_slice_from(t, sizeof(tag_prefix) - 1) : AP_S("");
	for (size_t i = 0; i < AP_COUNTOF(names); i++) {
		if (!ap_slice_eq_text(name, names[i]))
			continue;
		if (i == AP_DOC_STRING)
			node->type = AP_DOC_STRING;
		else if (i == AP_DOC_REAL && node->type == AP_DOC_INT) {
			node->type = AP_DOC_REAL;
			node->real = (double)node->integer;
		} else if (i != node->type)
			return ap_error_set_at(b->err, -EINVAL, node->at, "this is no %s", names[i]);
		return 0;
	}
	return ap_error_set_at(
	    b->err, -EINVAL, node->at, "unknown tag \"%.*s\"", (int)AP_MIN(t.len, (size_t)80), t.ptr);
}

static int
make_scalar(struct builder *b, const yaml_event_t *e, struct ap_doc *node)
{
	struct ap_slice s = ap_slice((const char *)e->data.scalar.value, e->data.scalar.length);
	bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	int r = 0;

	node->type = AP_DOC_STRING;
	if (is_plain)
		r = ap_yaml_classify(s, node);
	if (e->data.scalar.tag != NULL && (!is_plain || !e->data.scalar.plain_implicit)) {
		r = is_plain ? r : 0;
		if (apply_tag(b, e->data.scalar.tag, node) < 0)
			return -EINVAL;
	}
	if (r == -ERANGE && node->type != AP_DOC_STRING)
		return ap_error_set_at(b->err, -ERANGE, node->at, "the number %.*s is out of range",
		    (int)AP_MIN(s.len, (size_t)80), s.ptr);
	if (node->type != AP_DOC_STRING)
		return 0;
	node->string = ap_arena_copy(b->arena, s);
	return node->string.ptr == NULL ? fail_full(b, node->at) : 0;
}

static struct level *
top(struct builder *b)
{
	return b->depth == 0 ? NULL : &b->stack[b->depth - 1];
}

static void
remember_anchor(struct builder *b, const char *anchor, struct ap_doc *node)
{
	if (anchor != NULL)
		ap_map_put(&b->anchors, ap_slice_of(anchor), node);
}

/* Put a finished or opened node where it belongs. */
static void
place_node(struct builder *b, struct ap_doc *node)
{
	struct level *l = top(b);

	if (l == NULL) {
		b->root = node;
		return;
	}
	if (l->node->type == AP_DOC_MAP) {
		node->key = l->key;
		node->key_at = l->key_at;
		l->key = AP_SLICE_NONE;
	}
	if (l->node->last == NULL)
		l->node->first = node;
	else
		l->node->last->next = node;
	l->node->last = node;
	l->node->count++;
}

static bool
wants_key(struct builder *b)
{
	const struct level *l = top(b);

	return l != NULL && l->node->type == AP_DOC_MAP && l->key.ptr == NULL;
}

static int
take_key(struct builder *b, const yaml_event_t *e)
{
	struct ap_slice s = ap_slice((const char *)e->data.scalar.value, e->data.scalar.length);
	struct ap_place at = place(b, e->start_mark);
	struct level *l = top(b);

	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && ap_slice_eq_text(s, "<<"))
		return ap_error_set_at(b->err, -EINVAL, at, "merge keys (<<) are not supported; write the members out");
	if (ap_map_has(&l->keys, s))
		return ap_error_set_at(
		    b->err, -EEXIST, at, "\"%.*s\" is given twice in this map", (int)AP_MIN(s.len, (size_t)80), s.ptr);
	l->key = ap_arena_copy(b->arena, s);
	l->key_at = at;
	if (l->key.ptr == NULL)
		return fail_full(b, at);
	ap_map_put(&l->keys, l->key, b);
	return 0;
}

static int
count_node(struct builder *b, struct ap_place at)
{
	if (++b->nodes > NODES_MAX)
		return ap_error_set_at(b->err, -E2BIG, at, "more than %d values in one file", NODES_MAX);
	return 0;
}

static struct ap_doc *
new_node(struct builder *b, enum ap_doc_type type, yaml_mark_t mark, int *r)
{
	struct ap_doc *node;

	if ((*r = count_node(b, place(b, mark))) < 0)
		return NULL;
	node = ap_arena_new_object(b->arena, struct ap_doc);
	if (node == NULL) {
		*r = fail_full(b, place(b, mark));
		return NULL;
	}
	node->type = type;
	node->at = place(b, mark);
	return node;
}

static int
on_scalar(struct builder *b, const yaml_event_t *e)
{
	struct ap_doc *node;
	int r;

	if (wants_key(b)) {
		if (e->data.scalar.anchor != NULL)
			return ap_error_set_at(
			    b->err, -EINVAL, place(b, e->start_mark), "an anchor on a key is not supported");
		return take_key(b, e);
	}
	node = new_node(b, AP_DOC_STRING, e->start_mark, &r);
	if (node == NULL || (r = make_scalar(b, e, node)) < 0)
		return r;
	place_node(b, node);
	remember_anchor(b, (const char *)e->data.scalar.anchor, node);
	return 0;
}

static int
open_level(struct builder *b, const yaml_event_t *e, enum ap_doc_type type)
{
	bool is_map = type == AP_DOC_MAP;
	const yaml_char_t *anchor = is_map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor;
	const yaml_char_t *tag = is_map ? e->data.mapping_start.tag : e->data.sequence_start.tag;
	struct ap_place at = place(b, e->start_mark);
	struct ap_doc *node;
	int r;

	if (wants_key(b))
		return ap_error_set_at(b->err, -EINVAL, at, "a key must be a plain text");
	if (b->depth == DEPTH_MAX)
		return ap_error_set_at(b->err, -E2BIG, at, "nested deeper than %d", DEPTH_MAX);
	if (tag != NULL && !ap_slice_eq_text(text_of(tag), is_map ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq"))
		return ap_error_set_at(b->err, -EINVAL, at, "unknown tag \"%.80s\"", (const char *)tag);
	node = new_node(b, type, e->start_mark, &r);
	if (node == NULL)
		return r;
	place_node(b, node);
	b->stack[b->depth++] = (struct level){ .node = node, .anchor = ap_strdup((const char *)anchor) };
	return 0;
}

static void
close_level(struct builder *b)
{
	struct level *l = &b->stack[--b->depth];

	remember_anchor(b, l->anchor, l->node);
	ap_free(&l->anchor);
	ap_map_done(&l->keys, NULL);
}

static int
copy_aliased(struct builder *b, const struct ap_doc *from, unsigned depth, struct ap_place at, struct ap_doc **out)
{
	struct ap_doc *copy;
	int r = count_node(b, at);

	if (r < 0)
		return r;
	if (depth > DEPTH_MAX)
		return ap_error_set_at(b->err, -E2BIG, at, "nested deeper than %d", DEPTH_MAX);
	copy = ap_arena_new_object(b->arena, struct ap_doc);
	if (copy == NULL)
		return fail_full(b, at);
	*copy = *from; /* texts are shared: they never change */
	copy->next = copy->first = copy->last = NULL;
	copy->count = 0;
	AP_DOC_FOR(child, from)
	{
		struct ap_doc *c;

		if ((r = copy_aliased(b, child, depth + 1, at, &c)) < 0)
			return r;
		if (copy->last == NULL)
			copy->first = c;
		else
			copy->last->next = c;
		copy->last = c;
		copy->count++;
	}
	*out = copy;
	return 0;
}

static int
on_alias(struct builder *b, const yaml_event_t *e)
{
	struct ap_slice name = text_of(e->data.alias.anchor);
	struct ap_place at = place(b, e->start_mark);
	const struct ap_doc *from = ap_map_find(&b->anchors, name);
	struct ap_doc *copy;
	int r;

	if (wants_key(b))
		return ap_error_set_at(b->err, -EINVAL, at, "a key must be a plain text");
	if (from == NULL)
		return ap_error_set_at(b->err, -EINVAL, at, "no finished value has the anchor \"%.*s\"",
		    (int)AP_MIN(name.len, (size_t)80), name.ptr);
	if ((r = copy_aliased(b, from, b->depth + 1, at, &copy)) < 0)
		return r;
	copy->key = AP_SLICE_NONE;
	place_node(b, copy);
	return 0;
}

/* Empty documents ("---" with nothing behind it) are left out. */
static void
end_document(struct builder *b)
{
	struct ap_doc *root = b->root;

	b->root = NULL;
	ap_map_done(&b->anchors, NULL);
	if (root == NULL || root->type == AP_DOC_NULL)
		return;
	if (b->count == b->room) {
		b->room = b->room == 0 ? 8 : b->room * 2;
		b->docs = ap_realloc_array(b->docs, b->room, sizeof(struct ap_doc *));
	}
	b->docs[b->count++] = root;
}

static int
on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_ALIAS_EVENT:
		return on_alias(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return open_level(b, e, AP_DOC_LIST);
	case YAML_MAPPING_START_EVENT:
		return open_level(b, e, AP_DOC_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		close_level(b);
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		end_document(b);
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
		break;
	}
	return 0;
}

static int
syntax_error(struct builder *b)
{
	const yaml_parser_t *p = &b->yaml;

	if (p->error == YAML_READER_ERROR) {
		uint32_t line = 1;

		return ap_error_set_at(b->err, -EINVAL, (struct ap_place){ .file = b->name, .line = line },
		    "not YAML: %s at byte %zu", p->problem, p->problem_offset);
	}
	return ap_error_set_at(b->err, -EINVAL, place(b, p->problem_mark), "not YAML: %s%s%s",
	    p->problem == NULL ? "cannot be read" : p->problem, p->context == NULL ? "" : " ",
	    p->context == NULL ? "" : p->context);
}

static int
run(struct builder *b)
{
	for (;;) {
		yaml_event_t e;
		bool at_end;
		int r;

		if (!yaml_parser_parse(&b->yaml, &e))
			return syntax_error(b);
		at_end = e.type == YAML_STREAM_END_EVENT;
		r = on_event(b, &e);
		yaml_event_delete(&e);
		if (r < 0 || at_end)
			return r;
	}
}

static int
finish(struct builder *b, struct ap_yaml_docs *out)
{
	struct ap_doc **items;

	items = ap_arena_alloc(b->arena, AP_MAX(b->count, 1U) * sizeof(struct ap_doc *));
	if (items == NULL)
		return fail_full(b, (struct ap_place){ .file = b->name });
	if (b->count > 0)
		memcpy(items, b->docs, b->count * sizeof(struct ap_doc *));
	*out = (struct ap_yaml_docs){ .items = items, .count = b->count };
	return 0;
}

int
ap_yaml_parse(
    struct ap_arena *arena, const char *name, struct ap_slice text, struct ap_yaml_docs *out, struct ap_error *err)
{
	struct builder *b;
	int r;

	if (text.len > TEXT_MAX)
		return ap_error_set_at(
		    err, -E2BIG, (struct ap_place){ .file = name }, "more than %zu bytes in one file", TEXT_MAX);
	b = ap_new(struct builder);
	b->arena = arena;
	b->name = name;
	b->err = err;
	if (!yaml_parser_initialize(&b->yaml)) {
		ap_free(&b);
		return ap_error_set(err, -ENOMEM, "out of memory");
	}
	yaml_parser_set_input_string(&b->yaml, (const unsigned char *)(text.ptr == NULL ? "" : text.ptr), text.len);
	yaml_parser_set_encoding(&b->yaml, YAML_UTF8_ENCODING);
	r = run(b);
	if (r == 0)
		r = finish(b, out);
	while (b->depth > 0)
		close_level(b);
	ap_map_done(&b->anchors, NULL);
	yaml_parser_delete(&b->yaml);
	ap_free(&b->docs);
	ap_free(&b);
	return r;
}
