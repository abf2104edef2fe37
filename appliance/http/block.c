/*
 * block.c -- the blocks and their per-thread lists.
 *
 * A list belongs to the thread and needs no lock.  It is short: what a burst left behind beyond it goes back to the heap.  A
 * pthread key frees the lists when their thread ends, so that a stopped worker leaves nothing.
 */
#include "http/block.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/mem.h"

#define KEEP_SMALL 64
#define KEEP_LARGE 16

struct shelf {
	struct ap_block *free;
	unsigned count;
};

static _Thread_local struct shelf small_shelf, large_shelf;
static _Thread_local bool registered;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void
shelf_trim(struct shelf *s)
{
	struct ap_block *b;

	while ((b = s->free) != NULL) {
		s->free = b->next;
		ap_mem_free(b);
	}
	s->count = 0;
}

void
ap_block_trim(void)
{
	shelf_trim(&small_shelf);
	shelf_trim(&large_shelf);
}

static void
on_thread_end(void *arg)
{
	(void)arg;
	ap_block_trim();
}

static void
make_key(void)
{
	(void)pthread_key_create(&key, on_thread_end);
}

static struct shelf *
shelf_of(size_t room)
{
	return room == AP_BLOCK_SMALL ? &small_shelf : room == AP_BLOCK_LARGE ? &large_shelf : NULL;
}

struct ap_block *
ap_block_new(size_t size)
{
	struct shelf *s;
	struct ap_block *b;

	if (size <= AP_BLOCK_SMALL)
		size = AP_BLOCK_SMALL;
	else if (size <= AP_BLOCK_LARGE)
		size = AP_BLOCK_LARGE;
	s = shelf_of(size);
	if (s != NULL && s->free != NULL) {
		b = s->free;
		s->free = b->next;
		s->count--;
	} else {
		b = ap_realloc_array(NULL, 1, sizeof(*b) + size); /* not zeroed, on purpose */
		b->room = (uint32_t)size;
	}
	b->next = NULL;
	b->start = b->end = 0;
	return b;
}

void
ap_block_free(struct ap_block *b)
{
	struct shelf *s;

	if (b == NULL)
		return;
	s = shelf_of(b->room);
	if (s == NULL || s->count >= (s == &small_shelf ? KEEP_SMALL : KEEP_LARGE)) {
		ap_mem_free(b);
		return;
	}
	if (!registered) {
		(void)pthread_once(&once, make_key);
		(void)pthread_setspecific(key, &registered);
		registered = true;
	}
	b->next = s->free;
	s->free = b;
	s->count++;
}
