/*
 * doc.c -- the tree between text and meaning.
 *
 * Nodes are linked lists in their document's arena: an operator's file is read once and walked a few times, so order
 * and places matter more than speed of lookup.  When the arena is full a maker returns NULL and the arena says so; the
 * setters pass over a NULL value.  Pure functions; one thread at a time may change a tree.
 */
#include "codec/doc.h"

#include <string.h>

#include "base/check.h"
#include "base/text.h"

#define COPY_DEPTH_MAX 256

struct ap_doc *
ap_doc_get_slice(const struct ap_doc *map, struct ap_slice key)
{
	if (map == NULL || map->type != AP_DOC_MAP)
		return NULL;
	AP_DOC_FOR(node, map)
	if (ap_slice_eq(node->key, key))
		return node;
	return NULL;
}

struct ap_doc *
ap_doc_get(const struct ap_doc *map, const char *key)
{
	return ap_doc_get_slice(map, ap_slice_of(key));
}

struct ap_doc *
ap_doc_path(const struct ap_doc *map, const char *path)
{
	struct ap_slice rest = ap_slice_of(path);
	struct ap_doc *node = NULL;

	while (rest.ptr != NULL) {
		node = ap_doc_get_slice(map, ap_slice_cut(&rest, '.'));
		map = node;
	}
	return node;
}

struct ap_doc *
ap_doc_item(const struct ap_doc *list, uint32_t i)
{
	if (list == NULL || list->type != AP_DOC_LIST)
		return NULL;
	AP_DOC_FOR(node, list)
	if (i-- == 0)
		return node;
	return NULL;
}

/* The member, when it is of the type. */
static const struct ap_doc *
get_typed(const struct ap_doc *map, const char *key, enum ap_doc_type type)
{
	const struct ap_doc *node = ap_doc_get(map, key);

	return node != NULL && node->type == type ? node : NULL;
}

struct ap_slice
ap_doc_string(const struct ap_doc *map, const char *key, const char *fallback)
{
	const struct ap_doc *node = get_typed(map, key, AP_DOC_STRING);

	return node == NULL ? ap_slice_of(fallback) : node->string;
}

int64_t
ap_doc_int(const struct ap_doc *map, const char *key, int64_t fallback)
{
	const struct ap_doc *node = get_typed(map, key, AP_DOC_INT);

	return node == NULL ? fallback : node->integer;
}

double
ap_doc_real(const struct ap_doc *map, const char *key, double fallback)
{
	const struct ap_doc *node = ap_doc_get(map, key);

	if (node != NULL && node->type == AP_DOC_REAL)
		return node->real;
	return node != NULL && node->type == AP_DOC_INT ? (double)node->integer : fallback;
}

bool
ap_doc_bool(const struct ap_doc *map, const char *key, bool fallback)
{
	const struct ap_doc *node = get_typed(map, key, AP_DOC_BOOL);

	return node == NULL ? fallback : node->boolean;
}

int64_t
ap_doc_duration_ns(const struct ap_doc *map, const char *key, int64_t fallback_ns)
{
	const struct ap_doc *node = get_typed(map, key, AP_DOC_STRING);
	int64_t ns;

	return node != NULL && ap_text_to_duration(node->string, &ns) == 0 ? ns : fallback_ns;
}

bool
ap_doc_is(const struct ap_doc *node, enum ap_doc_type type)
{
	return node != NULL && node->type == type;
}

static bool
eq_lists(const struct ap_doc *a, const struct ap_doc *b)
{
	const struct ap_doc *y = b->first;

	if (a->count != b->count)
		return false;
	for (const struct ap_doc *x = a->first; x != NULL; x = x->next, y = y->next)
		if (!ap_doc_eq(x, y))
			return false;
	return true;
}

static bool
eq_maps(const struct ap_doc *a, const struct ap_doc *b)
{
	const struct ap_doc *guess = b->first; /* most often the order is the same */

	if (a->count != b->count)
		return false;
	for (const struct ap_doc *x = a->first; x != NULL; x = x->next) {
		const struct ap_doc *y = guess;

		if (y == NULL || !ap_slice_eq(x->key, y->key))
			y = ap_doc_get_slice(b, x->key);
		if (y == NULL || !ap_doc_eq(x, y))
			return false;
		guess = y->next;
	}
	return true;
}

bool
ap_doc_eq(const struct ap_doc *a, const struct ap_doc *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case AP_DOC_NULL:
		return true;
	case AP_DOC_BOOL:
		return a->boolean == b->boolean;
	case AP_DOC_INT:
		return a->integer == b->integer;
	case AP_DOC_REAL:
		return !(a->real < b->real) && !(a->real > b->real);
	case AP_DOC_STRING:
		return ap_slice_eq(a->string, b->string);
	case AP_DOC_LIST:
		return eq_lists(a, b);
	case AP_DOC_MAP:
		return eq_maps(a, b);
	}
	AP_NEVER();
}

static struct ap_doc *
make(struct ap_arena *arena, enum ap_doc_type type)
{
	struct ap_doc *node = ap_arena_new_object(arena, struct ap_doc);

	if (node != NULL)
		node->type = type;
	return node;
}

struct ap_doc *
ap_doc_new_map(struct ap_arena *arena)
{
	return make(arena, AP_DOC_MAP);
}

struct ap_doc *
ap_doc_new_list(struct ap_arena *arena)
{
	return make(arena, AP_DOC_LIST);
}

struct ap_doc *
ap_doc_new_string(struct ap_arena *arena, struct ap_slice s)
{
	struct ap_doc *node = make(arena, AP_DOC_STRING);

	if (node == NULL)
		return NULL;
	node->string = ap_arena_copy(arena, s);
	return node->string.ptr == NULL ? NULL : node;
}

struct ap_doc *
ap_doc_new_int(struct ap_arena *arena, int64_t v)
{
	struct ap_doc *node = make(arena, AP_DOC_INT);

	if (node != NULL)
		node->integer = v;
	return node;
}

struct ap_doc *
ap_doc_new_real(struct ap_arena *arena, double v)
{
	struct ap_doc *node = make(arena, AP_DOC_REAL);

	if (node != NULL)
		node->real = v;
	return node;
}

struct ap_doc *
ap_doc_new_bool(struct ap_arena *arena, bool v)
{
	struct ap_doc *node = make(arena, AP_DOC_BOOL);

	if (node != NULL)
		node->boolean = v;
	return node;
}

struct ap_doc *
ap_doc_new_null(struct ap_arena *arena)
{
	return make(arena, AP_DOC_NULL);
}

/* Behind the last child. */
static void
link_child(struct ap_doc *parent, struct ap_doc *child)
{
	child->next = NULL;
	if (parent->last == NULL)
		parent->first = child;
	else
		parent->last->next = child;
	parent->last = child;
	parent->count++;
}

static struct ap_doc *
copy_node(struct ap_arena *arena, const struct ap_doc *node, unsigned depth)
{
	struct ap_doc *copy = ap_arena_new_object(arena, struct ap_doc);

	if (copy == NULL || depth == 0)
		return NULL;
	*copy = *node;
	copy->next = copy->first = copy->last = NULL;
	copy->count = 0;
	if (node->key.ptr != NULL && (copy->key = ap_arena_copy(arena, node->key)).ptr == NULL)
		return NULL;
	if (node->type == AP_DOC_STRING && (copy->string = ap_arena_copy(arena, node->string)).ptr == NULL)
		return NULL;
	AP_DOC_FOR(child, node)
	{
		struct ap_doc *c = copy_node(arena, child, depth - 1);

		if (c == NULL)
			return NULL;
		link_child(copy, c);
	}
	return copy;
}

struct ap_doc *
ap_doc_copy(struct ap_arena *arena, const struct ap_doc *node)
{
	return node == NULL ? NULL : copy_node(arena, node, COPY_DEPTH_MAX);
}

/* Take the member out of the chain and return the link that pointed to it; NULL when it is not there. */
static struct ap_doc **
find_link(struct ap_doc *map, struct ap_slice key, struct ap_doc **before)
{
	struct ap_doc **link = &map->first;

	*before = NULL;
	while (*link != NULL && !ap_slice_eq((*link)->key, key)) {
		*before = *link;
		link = &(*link)->next;
	}
	return *link == NULL ? NULL : link;
}

void
ap_doc_set_slice(struct ap_arena *arena, struct ap_doc *map, struct ap_slice key, struct ap_doc *value)
{
	struct ap_doc **link, *before, *old;

	AP_CHECK(map->type == AP_DOC_MAP);
	if (value == NULL)
		return;
	value->key = ap_arena_copy(arena, key);
	if (value->key.ptr == NULL)
		return;
	link = find_link(map, key, &before);
	if (link == NULL) {
		link_child(map, value);
		return;
	}
	old = *link;
	if (old == value)
		return;
	value->next = old->next;
	*link = value;
	if (map->last == old)
		map->last = value;
}

void
ap_doc_set(struct ap_arena *arena, struct ap_doc *map, const char *key, struct ap_doc *value)
{
	ap_doc_set_slice(arena, map, ap_slice_of(key), value);
}

void
ap_doc_set_string(struct ap_arena *arena, struct ap_doc *map, const char *key, struct ap_slice s)
{
	ap_doc_set(arena, map, key, ap_doc_new_string(arena, s));
}

bool
ap_doc_remove(struct ap_doc *map, const char *key)
{
	struct ap_doc **link, *before, *old;

	if (map == NULL || map->type != AP_DOC_MAP || (link = find_link(map, ap_slice_of(key), &before)) == NULL)
		return false;
	old = *link;
	*link = old->next;
	if (map->last == old)
		map->last = before;
	map->count--;
	old->next = NULL;
	return true;
}

void
ap_doc_append(struct ap_doc *list, struct ap_doc *value)
{
	AP_CHECK(list->type == AP_DOC_LIST);
	if (value != NULL)
		link_child(list, value);
}

struct ap_doc *
ap_doc_make_path(struct ap_arena *arena, struct ap_doc *map, const char *path)
{
	struct ap_slice rest = ap_slice_of(path);

	while (rest.ptr != NULL && map != NULL) {
		struct ap_slice key = ap_slice_cut(&rest, '.');
		struct ap_doc *child = ap_doc_get_slice(map, key);

		if (child == NULL || child->type != AP_DOC_MAP) {
			child = ap_doc_new_map(arena);
			ap_doc_set_slice(arena, map, key, child);
		}
		map = child;
	}
	return map;
}
