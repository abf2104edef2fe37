/* map.h -- hash map from bytes to a pointer: seeded SipHash, iteration in insertion order. */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/slice.h"

struct ap_map_entry {
	struct ap_slice key; /* the map's own copy, NUL behind it */
	void *value;
};

/* Zeroed is empty and ready to use. One thread at a time; readers alone may share it. */
struct ap_map {
	struct ap_map_entry *entries; /* insertion order; key.ptr == NULL marks a hole */
	size_t count;                 /* live entries */
	size_t used, room;            /* of `entries` */
	unsigned *buckets;            /* index + 1 */
	size_t bucket_count;
};

AP_PUBLIC_BEGIN
/* The value, or NULL. */
void *ap_map_find(const struct ap_map *m, struct ap_slice key);
bool ap_map_has(const struct ap_map *m, struct ap_slice key);
/* Set; returns the value that stood there before, or NULL. */
void *ap_map_put(struct ap_map *m, struct ap_slice key, void *value);
/* Take out; returns the value, or NULL. Safe while iterating. */
void *ap_map_remove(struct ap_map *m, struct ap_slice key);
/* Free the map; free_value (may be NULL) is called on each value. */
void ap_map_done(struct ap_map *m, void (*free_value)(void *value));
/* for (size_t i = 0; (e = ap_map_next(&m, &i)) != NULL;) */
struct ap_map_entry *ap_map_next(const struct ap_map *m, size_t *cursor);
AP_PUBLIC_END

#endif
