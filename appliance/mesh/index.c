/*
 * index.c -- the hash tables inside table.c.  Open addressing with linear probing and backward-shift removal; 256 parts chosen by
 * the top bits of the hash, so that growth moves a 256th of the items at a time and a worker never stalls on it.  One
 * thread each.
 */
#include "mesh/index.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

#define ROOM_MIN 4U

void
mesh_index_init(struct mesh_index *ix, mesh_key_fn key)
{
	*ix = (struct mesh_index){ .key = key };
}

void
mesh_index_done(struct mesh_index *ix)
{
	size_t i;

	for (i = 0; i < MESH_INDEX_PARTS; i++)
		ap_free(&ix->parts[i].slots);
	ix->count = 0;
}

static struct mesh_part *
part_of(const struct mesh_index *ix, uint64_t hash)
{
	/* The index is ours: const says only that this look-up changes nothing. */
	return (struct mesh_part *)(uintptr_t)&ix->parts[hash >> 56];
}

/* The slot that holds the key, or the free one where it would go; room > 0. */
static uint32_t
probe(const struct mesh_index *ix, const struct mesh_part *p, uint32_t hash, struct ap_slice key)
{
	uint32_t mask = p->room - 1, i = hash & mask;

	while (p->slots[i].item != NULL &&
	    (p->slots[i].hash != hash || !ap_slice_eq(ix->key(p->slots[i].item), key)))
		i = (i + 1) & mask;
	return i;
}

void *
mesh_index_find(const struct mesh_index *ix, struct ap_slice key)
{
	uint64_t hash = ap_hash(key.ptr, key.len);
	const struct mesh_part *p = part_of(ix, hash);

	if (p->count == 0)
		return NULL;
	return p->slots[probe(ix, p, (uint32_t)hash, key)].item;
}

static void
grow(struct mesh_part *p)
{
	uint32_t room = p->room == 0 ? ROOM_MIN : p->room * 2, i, j;
	struct mesh_slot *slots = ap_alloc_array(room, sizeof(*slots));

	for (i = 0; i < p->room; i++) {
		if (p->slots[i].item == NULL)
			continue;
		j = p->slots[i].hash & (room - 1);
		while (slots[j].item != NULL)
			j = (j + 1) & (room - 1);
		slots[j] = p->slots[i];
	}
	ap_free(&p->slots);
	p->slots = slots;
	p->room = room;
}

void *
mesh_index_put(struct mesh_index *ix, void *item)
{
	struct ap_slice key = ix->key(item);
	uint64_t hash = ap_hash(key.ptr, key.len);
	struct mesh_part *p = part_of(ix, hash);
	struct mesh_slot *s;
	void *old;

	if ((p->count + 1) * 4 > p->room * 3)
		grow(p);
	s = &p->slots[probe(ix, p, (uint32_t)hash, key)];
	old = s->item;
	s->item = item;
	s->hash = (uint32_t)hash;
	if (old == NULL) {
		p->count++;
		ix->count++;
	}
	return old;
}

void
mesh_index_add(struct mesh_index *ix, void *item)
{
	AP_CHECK(mesh_index_put(ix, item) == NULL);
}

void *
mesh_index_remove(struct mesh_index *ix, struct ap_slice key)
{
	uint64_t hash = ap_hash(key.ptr, key.len);
	struct mesh_part *p = part_of(ix, hash);
	uint32_t mask, hole, i, home;
	void *item;

	if (p->count == 0)
		return NULL;
	mask = p->room - 1;
	hole = probe(ix, p, (uint32_t)hash, key);
	item = p->slots[hole].item;
	if (item == NULL)
		return NULL;
	/* Move up every item that may not stand behind a gap. */
	for (i = (hole + 1) & mask; p->slots[i].item != NULL; i = (i + 1) & mask) {
		home = p->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			p->slots[hole] = p->slots[i];
			hole = i;
		}
	}
	p->slots[hole].item = NULL;
	ix->count--;
	if (--p->count == 0) {
		ap_free(&p->slots);
		p->room = 0;
	}
	return item;
}

void
mesh_index_each(const struct mesh_index *ix, bool (*fn)(void *item, void *arg), void *arg)
{
	uint32_t part, i;

	for (part = 0; part < MESH_INDEX_PARTS; part++) {
		for (i = 0; i < ix->parts[part].room; i++) {
			if (ix->parts[part].slots[i].item != NULL && !fn(ix->parts[part].slots[i].item, arg))
				return;
		}
	}
}

void
mesh_bag_add(struct mesh_bag *b, void *item)
{
	void *one = b->one;

	if (b->count == 0 && b->room == 0) {
		b->one = item;
		b->count = 1;
		return;
	}
	if (b->room == 0) {
		b->room = 4;
		b->items = ap_alloc_array(b->room, sizeof(*b->items));
		b->items[0] = one;
	} else if (b->count == b->room) {
		b->room *= 2;
		b->items = ap_realloc_array(b->items, b->room, sizeof(*b->items));
	}
	b->items[b->count++] = item;
}

bool
mesh_bag_remove(struct mesh_bag *b, const void *item)
{
	void **items = b->room == 0 ? &b->one : b->items;
	uint32_t i;

	for (i = 0; i < b->count && items[i] != item; i++)
		;
	if (i == b->count)
		return false;
	items[i] = items[--b->count];
	return true;
}

void
mesh_bag_done(struct mesh_bag *b)
{
	if (b->room > 0)
		ap_free(&b->items);
	*b = (struct mesh_bag){ 0 };
}

struct ap_slice
mesh_node_key(const void *node)
{
	const struct mesh_node *n = node;

	return ap_slice(n->key, n->key_len);
}

struct mesh_node *
mesh_node_get(struct mesh_index *ix, struct ap_slice key)
{
	struct mesh_node *n = mesh_index_find(ix, key);

	if (n != NULL)
		return n;
	n = ap_alloc(sizeof(*n) + key.len + 1);
	n->key_len = (uint32_t)key.len;
	memcpy(n->key, key.ptr, key.len);
	mesh_index_add(ix, n);
	return n;
}

void
mesh_node_tidy(struct mesh_index *ix, struct mesh_node *n)
{
	if (n->bag.count > 0 || n->object != NULL)
		return;
	(void)mesh_index_remove(ix, mesh_node_key(n));
	mesh_bag_done(&n->bag);
	ap_free(&n);
}
