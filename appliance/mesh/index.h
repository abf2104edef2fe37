/* index.h -- the hash tables inside table.c: pointers found by a key that lies in the item; cut into parts that grow one by one. */
#ifndef MESH_INDEX_H
#define MESH_INDEX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define MESH_INDEX_PARTS 256

typedef struct ap_slice (*mesh_key_fn)(const void *item);

struct mesh_slot {
	void *item; /* NULL: free */
	uint32_t hash;
};

struct mesh_part {
	struct mesh_slot *slots;
	uint32_t count, room; /* room: 0 or a power of two */
};

struct mesh_index {
	mesh_key_fn key;
	size_t count;
	struct mesh_part parts[MESH_INDEX_PARTS];
};

void mesh_index_init(struct mesh_index *ix, mesh_key_fn key);
void mesh_index_done(struct mesh_index *ix); /* the items stay whose they are */
void *mesh_index_find(const struct mesh_index *ix, struct ap_slice key);
/* The key must not be there yet. */
void mesh_index_add(struct mesh_index *ix, void *item);
/* Put item in the place of the one with its key; returns that one, or NULL when it was added. */
void *mesh_index_put(struct mesh_index *ix, void *item);
void *mesh_index_remove(struct mesh_index *ix, struct ap_slice key);
/* fn returns false to stop. The index must not change meanwhile. */
void mesh_index_each(const struct mesh_index *ix, bool (*fn)(void *item, void *arg), void *arg);

/* A set of pointers that is mostly one; order is not kept on removal. */
struct mesh_bag {
	void **items; /* room > 0 */
	void *one;    /* room == 0 */
	uint32_t count, room;
};

static inline void *const *
mesh_bag_items(const struct mesh_bag *b)
{
	return b->room == 0 ? &b->one : b->items;
}
void mesh_bag_add(struct mesh_bag *b, void *item);
bool mesh_bag_remove(struct mesh_bag *b, const void *item);
void mesh_bag_done(struct mesh_bag *b);

/* A bag under a key. */
struct mesh_node {
	struct mesh_bag bag;
	void *object;     /* the service itself, in the service index */
	uint32_t odd;     /* service index: members whose weight is not 1 */
	uint32_t key_len;
	char key[];
};

struct ap_slice mesh_node_key(const void *node);
/* Find or make. */
struct mesh_node *mesh_node_get(struct mesh_index *ix, struct ap_slice key);
/* Take out of the index and free when nothing is in it. */
void mesh_node_tidy(struct mesh_index *ix, struct mesh_node *n);

#endif
