/*
 * set.c -- resources of one type, in order of change.
 *
 * Owns its entries, each one block of memory for its struct's texts.  The version is FNV-1a over the body: not a
 * secret, and the same in every process, so that a client that reconnects to a restarted server is sent nothing that it
 * has.  One thread, pure.
 */
#include "xds/set.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct ap_xds_set *
ap_xds_set_new(const char *type_url)
{
	struct ap_xds_set *set = ap_new(struct ap_xds_set);
	set->type_url = type_url;
	ap_list_init(&set->order);
	return set;
}

static void
entry_free(struct ap_xds_entry *e)
{
	ap_free(&e->block);
	ap_free(&e);
}

static void
entries_free(void *value)
{
	struct ap_xds_entries *list = value;
	ap_free(&list->items);
	ap_free(&list);
}

void
ap_xds_set_free(struct ap_xds_set **set)
{
	if (*set == NULL)
		return;
	AP_LIST_FOR_SAFE(l, &(*set)->order)
		entry_free(AP_LIST_ITEM(l, struct ap_xds_entry, link));
	ap_map_done(&(*set)->by_name, NULL);
	ap_map_done(&(*set)->by_alias, entries_free);
	ap_map_done(&(*set)->by_group, entries_free);
	ap_free(set);
}

/* --- The index by alias and group -------------------------------------------------------------------------------- */

static void
index_add(struct ap_map *index, struct ap_slice key, struct ap_xds_entry *e)
{
	struct ap_xds_entries *list = ap_map_find(index, key);
	if (list == NULL) {
		list = ap_new(struct ap_xds_entries);
		ap_map_put(index, key, list);
	}
	if (list->count == list->room) {
		list->room = list->room == 0 ? 2 : list->room * 2;
		list->items = ap_realloc_array(list->items, list->room, sizeof(struct ap_xds_entry *));
	}
	list->items[list->count++] = e;
}

static void
index_remove(struct ap_map *index, struct ap_slice key, const struct ap_xds_entry *e)
{
	struct ap_xds_entries *list = ap_map_find(index, key);
	if (list == NULL)
		return;
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] != e)
			continue;
		list->items[i] = list->items[--list->count];
		break;
	}
	if (list->count == 0) {
		ap_map_remove(index, key);
		entries_free(list);
	}
}

static void
index_entry(struct ap_xds_set *set, struct ap_xds_entry *e, bool add)
{
	for (size_t i = 0; i < e->alias_count; i++) {
		if (add)
			index_add(&set->by_alias, e->aliases[i], e);
		else
			index_remove(&set->by_alias, e->aliases[i], e);
	}
	for (size_t i = 0; i < e->group_count; i++) {
		if (add)
			index_add(&set->by_group, e->groups[i], e);
		else
			index_remove(&set->by_group, e->groups[i], e);
	}
}

/* --- Entries ----------------------------------------------------------------------------------------------------- */

static struct ap_slice
copy_into(char **at, struct ap_slice s)
{
	struct ap_slice out = { .ptr = *at, .len = s.len };
	if (s.len > 0)
		memcpy(*at, s.ptr, s.len);
	(*at)[s.len] = '\0';
	*at += s.len + 1;
	return out;
}

/* Give the entry its new texts; the old block goes, so nothing of `put` may point into it. */
static void
entry_fill(struct ap_xds_entry *e, const struct ap_xds_put *put, struct ap_slice version)
{
	size_t lists = put->alias_count + put->group_count;
	size_t size = lists * sizeof(struct ap_slice) + put->name.len + version.len + put->body.len + put->scope.len + 4;
	for (size_t i = 0; i < put->alias_count; i++)
		size += put->aliases[i].len + 1;
	for (size_t i = 0; i < put->group_count; i++)
		size += put->groups[i].len + 1;
	char *block = ap_alloc(size);
	struct ap_slice *list = (struct ap_slice *)(void *)block;
	char *at = block + lists * sizeof(struct ap_slice);
	e->name = copy_into(&at, put->name);
	e->version = copy_into(&at, version);
	e->scope = copy_into(&at, put->scope);
	e->body = copy_into(&at, put->body);
	for (size_t i = 0; i < put->alias_count; i++)
		list[i] = copy_into(&at, put->aliases[i]);
	for (size_t i = 0; i < put->group_count; i++)
		list[put->alias_count + i] = copy_into(&at, put->groups[i]);
	e->aliases = list;
	e->alias_count = put->alias_count;
	e->groups = list + put->alias_count;
	e->group_count = put->group_count;
	ap_free(&e->block);
	e->block = block;
}

static bool
same_list(const struct ap_slice *a, size_t a_count, const struct ap_slice *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (!ap_slice_eq(a[i], b[i]))
			return false;
	return true;
}

static bool
same(const struct ap_xds_entry *e, const struct ap_xds_put *put)
{
	return !e->removed && ap_slice_eq(e->body, put->body) && ap_slice_eq(e->scope, put->scope) &&
	       same_list(e->aliases, e->alias_count, put->aliases, put->alias_count) &&
	       same_list(e->groups, e->group_count, put->groups, put->group_count);
}

static void
mark_changed(struct ap_xds_set *set, struct ap_xds_entry *e)
{
	e->changed = ++set->generation;
	ap_list_remove(&e->link);
	ap_list_append(&set->order, &e->link);
}

bool
ap_xds_set_put(struct ap_xds_set *set, const struct ap_xds_put *put)
{
	struct ap_xds_entry *e = ap_map_find(&set->by_name, put->name);
	if (e != NULL && same(e, put)) {
		e->keep = true;
		return false;
	}
	bool is_new = e == NULL || e->removed;
	if (e == NULL) {
		e = ap_new(struct ap_xds_entry);
		ap_list_init(&e->link);
		ap_map_put(&set->by_name, put->name, e);
	} else if (e->removed) {
		set->tombstones--;
	} else {
		index_entry(set, e, false);
	}
	char version[24];
	snprintf(version, sizeof(version), "%016" PRIx64, ap_hash_fnv(put->body.ptr, put->body.len));
	entry_fill(e, put, ap_slice_of(version));
	index_entry(set, e, true);
	e->removed = false;
	e->keep = true;
	mark_changed(set, e);
	if (is_new) {
		e->made = e->changed;
		set->live++;
	}
	return true;
}

/* Forget the oldest tombstones when they outnumber the living. */
static void
trim(struct ap_xds_set *set)
{
	size_t most = AP_MAX(set->live, (size_t)AP_XDS_TOMBSTONES_MIN);
	if (set->tombstones <= most)
		return;
	AP_LIST_FOR_SAFE(l, &set->order) {
		struct ap_xds_entry *e = AP_LIST_ITEM(l, struct ap_xds_entry, link);
		if (!e->removed)
			continue;
		set->floor = e->changed;
		ap_map_remove(&set->by_name, e->name);
		ap_list_remove(&e->link);
		entry_free(e);
		if (--set->tombstones <= most / 2)
			return;
	}
}

static void
entry_bury(struct ap_xds_set *set, struct ap_xds_entry *e)
{
	index_entry(set, e, false);
	/* Of a tombstone only the name and the scope are read. */
	struct ap_xds_put empty = { .name = e->name, .scope = e->scope };
	entry_fill(e, &empty, AP_SLICE_NONE);
	e->removed = true;
	set->live--;
	set->tombstones++;
	mark_changed(set, e);
}

bool
ap_xds_set_remove(struct ap_xds_set *set, struct ap_slice name)
{
	struct ap_xds_entry *e = ap_map_find(&set->by_name, name);
	if (e == NULL || e->removed)
		return false;
	entry_bury(set, e);
	trim(set);
	return true;
}

void
ap_xds_set_begin(struct ap_xds_set *set)
{
	AP_XDS_SET_FOR(e, set)
		e->keep = false;
}

bool
ap_xds_set_end(struct ap_xds_set *set)
{
	uint64_t before = set->generation;
	/* Burying moves an entry to the end of the order: stop where the order ended when we came. */
	AP_LIST_FOR_SAFE(l, &set->order) {
		struct ap_xds_entry *e = AP_LIST_ITEM(l, struct ap_xds_entry, link);
		if (e->changed > before)
			break;
		if (!e->removed && !e->keep)
			entry_bury(set, e);
	}
	trim(set);
	return set->generation != before;
}

const struct ap_xds_entry *
ap_xds_set_find(const struct ap_xds_set *set, struct ap_slice name)
{
	const struct ap_xds_entry *e = ap_map_find(&set->by_name, name);
	return e == NULL || e->removed ? NULL : e;
}

const struct ap_xds_entries *
ap_xds_set_aliased(const struct ap_xds_set *set, struct ap_slice alias)
{
	return ap_map_find(&set->by_alias, alias);
}

const struct ap_xds_entries *
ap_xds_set_group(const struct ap_xds_set *set, struct ap_slice name)
{
	return ap_map_find(&set->by_group, name);
}
