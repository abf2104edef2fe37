/*
 * map.c -- entries in the order they came, and buckets of indexes into them (linear probing).
 *
 * Taking out leaves a hole in the entries and a tombstone in the buckets, so a cursor never sees anything move; both
 * are swept when the entries are full.  There are at least twice as many buckets as entries, so a probe always ends.
 * One thread at a time; readers alone may share a map.
 */
#include "base/map.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

#define ROOM_MIN 8
#define TOMBSTONE UINT_MAX

/* The bucket of the key, or SIZE_MAX. */
static size_t
find_bucket(const struct ap_map *m, struct ap_slice key)
{
	size_t mask = m->bucket_count - 1;

	if (m->count == 0)
		return SIZE_MAX;
	for (size_t i = (size_t)ap_hash(key.ptr, key.len) & mask;; i = (i + 1) & mask) {
		unsigned at = m->buckets[i];

		if (at == 0)
			return SIZE_MAX;
		if (at != TOMBSTONE && ap_slice_eq(m->entries[at - 1].key, key))
			return i;
	}
}

void *
ap_map_find(const struct ap_map *m, struct ap_slice key)
{
	size_t i = find_bucket(m, key);

	return i == SIZE_MAX ? NULL : m->entries[m->buckets[i] - 1].value;
}

bool
ap_map_has(const struct ap_map *m, struct ap_slice key)
{
	return find_bucket(m, key) != SIZE_MAX;
}

static void
fill_bucket(struct ap_map *m, size_t index)
{
	struct ap_slice key = m->entries[index].key;
	size_t mask = m->bucket_count - 1;
	size_t i = (size_t)ap_hash(key.ptr, key.len) & mask;

	while (m->buckets[i] != 0 && m->buckets[i] != TOMBSTONE)
		i = (i + 1) & mask;
	m->buckets[i] = (unsigned)(index + 1);
}

/* Sweep the holes; grow unless that made room enough. */
static void
make_room(struct ap_map *m)
{
	size_t used = 0;

	for (size_t i = 0; i < m->used; i++)
		if (m->entries[i].key.ptr != NULL)
			m->entries[used++] = m->entries[i];
	m->used = used;
	if (m->room == 0 || used > m->room / 2) {
		m->room = AP_MAX(m->room * 2, (size_t)ROOM_MIN);
		AP_CHECK(m->room < UINT_MAX / 4);
		m->entries = ap_realloc_array(m->entries, m->room, sizeof(*m->entries));
	}
	ap_free(&m->buckets);
	m->bucket_count = m->room * 2;
	m->buckets = ap_alloc_array(m->bucket_count, sizeof(*m->buckets));
	for (size_t i = 0; i < used; i++)
		fill_bucket(m, i);
}

void *
ap_map_put(struct ap_map *m, struct ap_slice key, void *value)
{
	size_t i = find_bucket(m, key);

	if (i != SIZE_MAX) {
		struct ap_map_entry *e = &m->entries[m->buckets[i] - 1];
		void *old = e->value;

		e->value = value;
		return old;
	}
	if (m->used == m->room)
		make_room(m);
	m->entries[m->used] =
	    (struct ap_map_entry){ .key = ap_slice(ap_strndup(key.ptr, key.len), key.len), .value = value };
	fill_bucket(m, m->used);
	m->used++;
	m->count++;
	return NULL;
}

static void
free_key(struct ap_map_entry *e)
{
	ap_mem_free((void *)(uintptr_t)e->key.ptr); /* the map's own copy */
	*e = (struct ap_map_entry){ .key = AP_SLICE_NONE };
}

void *
ap_map_remove(struct ap_map *m, struct ap_slice key)
{
	size_t i = find_bucket(m, key);
	struct ap_map_entry *e;
	void *value;

	if (i == SIZE_MAX)
		return NULL;
	e = &m->entries[m->buckets[i] - 1];
	value = e->value;
	m->buckets[i] = TOMBSTONE;
	m->count--;
	free_key(e);
	return value;
}

void
ap_map_done(struct ap_map *m, void (*free_value)(void *value))
{
	for (size_t i = 0; i < m->used; i++) {
		if (m->entries[i].key.ptr == NULL)
			continue;
		if (free_value != NULL)
			free_value(m->entries[i].value);
		free_key(&m->entries[i]);
	}
	ap_free(&m->entries);
	ap_free(&m->buckets);
	*m = (struct ap_map){ 0 };
}

struct ap_map_entry *
ap_map_next(const struct ap_map *m, size_t *cursor)
{
	while (*cursor < m->used) {
		struct ap_map_entry *e = &m->entries[(*cursor)++];

		if (e->key.ptr != NULL)
			return e;
	}
	return NULL;
}
