/*
 * wp_index.c -- finds the first matching of many routes without trying them all, with the same answer as trying them in
 * order.  Every match of every route is an *entry* with a rank (its place in order); entries hang on the path that they
 * need: exact ones on a hash of the path, prefixes on sorted keys whose every key knows its longest proper prefix among the
 * keys, all others on a list for any path.  A request gathers the few lists that its path leads to and tries their
 * entries in the order of rank.
 *
 * Why the walk along parents finds every prefix: a key that is a prefix of the path sorts at or before the path, and all
 * that sorts between the two begins with it; so it is the greatest key at or before the path, or one of its ancestors.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "waypoint/wp_route.h"

#define INDEX_FROM 16 /* matches; fewer are tried in order */
#define LISTS_MAX 64

struct entry {
	const struct wp_route *route;
	const struct wp_match *match; /* NULL: matches everything */
	uint32_t rank;
};

struct key {
	struct ap_slice path;
	const struct entry *entries;
	uint32_t count;
	int64_t parent; /* prefixes: index, or -1 */
};

struct wp_index {
	struct key *prefixes;
	size_t prefix_count;
	struct key *exact;   /* sorted by path too; found through the buckets */
	uint32_t *buckets;   /* of exact: index + 1 of the first key, linear probing */
	size_t bucket_count; /* power of two */
	size_t exact_count;
	const struct entry *others;
	uint32_t other_count;
};

struct cursor {
	const struct entry *at, *end;
};

enum entry_kind { ENTRY_EXACT, ENTRY_PREFIX, ENTRY_OTHER };

static enum entry_kind
entry_kind(const struct entry *e)
{
	if (e->match == NULL || !e->match->has_path || e->match->path.ignore_case)
		return ENTRY_OTHER;
	if (e->match->path.kind == WP_TEXT_EXACT)
		return ENTRY_EXACT;
	if (e->match->path.kind == WP_TEXT_PREFIX || e->match->path.kind == WP_TEXT_ELEMENTS)
		return ENTRY_PREFIX;
	return ENTRY_OTHER;
}

/* Kinds apart, by path, then by rank. */
static int
entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	enum entry_kind kx = entry_kind(x), ky = entry_kind(y);
	int c;

	if (kx != ky)
		return kx < ky ? -1 : 1;
	if (kx != ENTRY_OTHER) {
		c = ap_slice_cmp(x->match->path.text, y->match->path.text);
		if (c != 0)
			return c;
	}
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* Group sorted entries by path into keys; returns their number. */
static size_t
keys_make(const struct entry *entries, size_t count, struct key *keys)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (n > 0 && ap_slice_eq(keys[n - 1].path, entries[i].match->path.text)) {
			keys[n - 1].count++;
			continue;
		}
		keys[n].path = entries[i].match->path.text;
		keys[n].entries = &entries[i];
		keys[n].count = 1;
		keys[n].parent = -1;
		n++;
	}
	return n;
}

static void
keys_link(struct key *keys, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		int64_t p = (int64_t)i - 1;

		while (p >= 0 && !ap_slice_starts(keys[i].path, keys[p].path))
			p = keys[p].parent;
		keys[i].parent = p;
	}
}

static bool
exact_hash(struct ap_arena *arena, struct wp_index *x)
{
	x->bucket_count = 16;
	while (x->bucket_count < x->exact_count * 2)
		x->bucket_count *= 2;
	x->buckets = ap_arena_zalloc(arena, x->bucket_count * sizeof(*x->buckets));
	if (x->buckets == NULL)
		return false;
	for (size_t i = 0; i < x->exact_count; i++) {
		size_t b = ap_hash(x->exact[i].path.ptr, x->exact[i].path.len) & (x->bucket_count - 1);

		while (x->buckets[b] != 0)
			b = (b + 1) & (x->bucket_count - 1);
		x->buckets[b] = (uint32_t)i + 1;
	}
	return true;
}

/* NULL when there are few routes, or the arena is full (which the caller sees). */
struct wp_index *
wp_index_new(struct ap_arena *arena, const struct wp_port *port)
{
	size_t count = 0, n = 0, exact = 0, prefixes = 0;
	struct wp_index *x;
	struct entry *entries;

	for (uint32_t i = 0; i < port->route_count; i++)
		count += port->routes[i].match_count == 0 ? 1 : port->routes[i].match_count;
	if (count < INDEX_FROM)
		return NULL;
	x = ap_arena_new_object(arena, struct wp_index);
	entries = ap_arena_alloc(arena, count * sizeof(*entries));
	if (x == NULL || entries == NULL)
		return NULL;
	for (uint32_t i = 0; i < port->route_count; i++) {
		const struct wp_route *r = &port->routes[i];

		for (uint32_t k = 0; k == 0 || k < r->match_count; k++) {
			entries[n] = (struct entry){ .route = r, .rank = (uint32_t)n };
			entries[n].match = r->match_count == 0 ? NULL : &r->matches[k];
			exact += entry_kind(&entries[n]) == ENTRY_EXACT;
			prefixes += entry_kind(&entries[n]) == ENTRY_PREFIX;
			n++;
		}
	}
	qsort(entries, n, sizeof(*entries), entry_cmp);
	x->exact = ap_arena_zalloc(arena, (exact + 1) * sizeof(*x->exact));
	x->prefixes = ap_arena_zalloc(arena, (prefixes + 1) * sizeof(*x->prefixes));
	if (x->exact == NULL || x->prefixes == NULL)
		return NULL;
	x->exact_count = keys_make(entries, exact, x->exact);
	x->prefix_count = keys_make(entries + exact, prefixes, x->prefixes);
	keys_link(x->prefixes, x->prefix_count);
	x->others = entries + exact + prefixes;
	x->other_count = (uint32_t)(n - exact - prefixes);
	return exact_hash(arena, x) ? x : NULL;
}

static const struct key *
exact_find(const struct wp_index *x, struct ap_slice path)
{
	size_t b = ap_hash(path.ptr, path.len) & (x->bucket_count - 1);

	for (; x->buckets[b] != 0; b = (b + 1) & (x->bucket_count - 1))
		if (ap_slice_eq(x->exact[x->buckets[b] - 1].path, path))
			return &x->exact[x->buckets[b] - 1];
	return NULL;
}

/* Index of the longest key that is a prefix of the path, or -1. */
static int64_t
prefix_find(const struct wp_index *x, struct ap_slice path)
{
	size_t low = 0, high = x->prefix_count;
	int64_t k;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (ap_slice_cmp(x->prefixes[mid].path, path) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	k = (int64_t)low - 1;
	while (k >= 0 && !ap_slice_starts(path, x->prefixes[k].path))
		k = x->prefixes[k].parent;
	return k;
}

const struct wp_route *
wp_index_find(
    const struct wp_index *x, const struct wp_port *port, const struct wp_view *v, const struct wp_match **out_match)
{
	struct cursor lists[LISTS_MAX];
	const struct key *exact = exact_find(x, v->path);
	unsigned n = 0;

	*out_match = NULL;
	if (x->other_count > 0)
		lists[n++] = (struct cursor){ x->others, x->others + x->other_count };
	if (exact != NULL)
		lists[n++] = (struct cursor){ exact->entries, exact->entries + exact->count };
	for (int64_t k = prefix_find(x, v->path); k >= 0; k = x->prefixes[k].parent) {
		const struct key *key = &x->prefixes[k];

		if (n == LISTS_MAX) { /* a path with that many prefixes among the routes: try them in order */
			struct wp_port plain = *port;

			plain.index = NULL;
			return wp_route_find(&plain, v, out_match);
		}
		lists[n++] = (struct cursor){ key->entries, key->entries + key->count };
	}
	for (;;) {
		struct cursor *first = NULL;

		for (unsigned i = 0; i < n; i++)
			if (lists[i].at < lists[i].end && (first == NULL || lists[i].at->rank < first->at->rank))
				first = &lists[i];
		if (first == NULL)
			return NULL;
		if (first->at->match == NULL || wp_match_holds(first->at->match, v)) {
			*out_match = first->at->match;
			return first->at->route;
		}
		first->at++;
	}
}
