/*
 * arena.c -- bump allocation in blocks that double up to 64 KiB.
 *
 * The first block lies behind the arena itself, so that a small request costs one allocation.  Clean-ups are kept in
 * the arena's own blocks (beyond the ceiling when need be: a clean-up that is forgotten is a leak).  Under ASan what
 * was not handed out is poisoned, so overruns and use after rewind are found.  One thread at a time.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(ptr_, size_) ASAN_POISON_MEMORY_REGION((ptr_), (size_))
#define UNPOISON(ptr_, size_) ASAN_UNPOISON_MEMORY_REGION((ptr_), (size_))
#else
#define POISON(ptr_, size_) ((void)(ptr_), (void)(size_))
#define UNPOISON(ptr_, size_) ((void)(ptr_), (void)(size_))
#endif

#define ALIGN 16
#define FIRST_ROOM 1024
#define BLOCK_ROOM_MAX (64 * 1024)

struct block {
	struct block *prev;
	size_t room, used;
	_Alignas(ALIGN) char bytes[];
};

struct cleanup {
	struct cleanup *prev;
	void (*fn)(void *arg);
	void *arg;
};

struct ap_arena {
	size_t ceiling, total;
	struct block *top;
	struct cleanup *cleanups; /* newest first */
	bool full;
	_Alignas(ALIGN) struct block first;
};

struct ap_arena *
ap_arena_new(size_t ceiling)
{
	/* Not zeroed: a request's arena lives for microseconds. */
	struct ap_arena *a = ap_realloc_array(NULL, 1, sizeof(*a) + FIRST_ROOM);

	memset(a, 0, sizeof(*a));
	a->ceiling = ceiling;
	a->first.room = FIRST_ROOM;
	a->top = &a->first;
	POISON(a->first.bytes, FIRST_ROOM);
	return a;
}

static void
run_cleanups(struct ap_arena *a, const struct cleanup *until)
{
	while (a->cleanups != until) {
		struct cleanup *c = a->cleanups;

		AP_CHECK(c != NULL);
		a->cleanups = c->prev;
		c->fn(c->arg);
	}
}

static void
drop_blocks(struct ap_arena *a, const struct block *until)
{
	while (a->top != until) {
		struct block *b = a->top;

		AP_CHECK(b != &a->first);
		a->top = b->prev;
		UNPOISON(b->bytes, b->room);
		ap_mem_free(b);
	}
}

void
ap_arena_free(struct ap_arena **arena)
{
	struct ap_arena *a = *arena;

	if (a == NULL)
		return;
	*arena = NULL;
	run_cleanups(a, NULL);
	drop_blocks(a, &a->first);
	UNPOISON(a->first.bytes, a->first.room);
	ap_mem_free(a);
}

/* Bytes from the top block or a new one; the ceiling is the caller's matter. size is a multiple of ALIGN. */
static void *
take(struct ap_arena *a, size_t size)
{
	struct block *b = a->top;
	void *out;

	if (b->room - b->used < size) {
		size_t room = AP_MAX(AP_MIN(b->room * 2, (size_t)BLOCK_ROOM_MAX), size);

		b = ap_realloc_array(NULL, 1, sizeof(*b) + room);
		b->prev = a->top;
		b->room = room;
		b->used = 0;
		a->top = b;
		POISON(b->bytes, room);
	}
	out = b->bytes + b->used;
	b->used += size;
	return out;
}

void *
ap_arena_alloc(struct ap_arena *a, size_t size)
{
	size_t rounded;
	void *out;

	if (size > a->ceiling - a->total) {
		a->full = true;
		return NULL;
	}
	rounded = (AP_MAX(size, (size_t)1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	out = take(a, rounded);
	a->total += AP_MIN(rounded, a->ceiling - a->total);
	UNPOISON(out, size);
	return out;
}

void *
ap_arena_zalloc(struct ap_arena *a, size_t size)
{
	void *out = ap_arena_alloc(a, size);

	return out == NULL ? NULL : memset(out, 0, size);
}

char *
ap_arena_strndup(struct ap_arena *a, const char *text, size_t len)
{
	char *copy;

	if (len == SIZE_MAX || (copy = ap_arena_alloc(a, len + 1)) == NULL)
		return NULL;
	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

struct ap_slice
ap_arena_copy(struct ap_arena *a, struct ap_slice s)
{
	char *copy = ap_arena_strndup(a, s.ptr, s.len);

	return copy == NULL ? AP_SLICE_NONE : ap_slice(copy, s.len);
}

struct ap_slice
ap_arena_printf(struct ap_arena *a, const char *fmt, ...)
{
	va_list ap;
	char *out;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || (out = ap_arena_alloc(a, (size_t)n + 1)) == NULL)
		return AP_SLICE_NONE;
	va_start(ap, fmt);
	vsnprintf(out, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return ap_slice(out, (size_t)n);
}

void
ap_arena_defer(struct ap_arena *a, void (*fn)(void *arg), void *arg)
{
	struct cleanup *c = take(a, (sizeof(*c) + ALIGN - 1) & ~(size_t)(ALIGN - 1));

	UNPOISON(c, sizeof(*c));
	c->prev = a->cleanups;
	c->fn = fn;
	c->arg = arg;
	a->cleanups = c;
}

struct ap_arena_mark
ap_arena_mark(struct ap_arena *a)
{
	return (
	    struct ap_arena_mark){ .block = a->top, .used = a->top->used, .total = a->total, .cleanups = a->cleanups };
}

void
ap_arena_rewind(struct ap_arena *a, struct ap_arena_mark mark)
{
	run_cleanups(a, mark.cleanups);
	drop_blocks(a, mark.block);
	AP_CHECK(mark.used <= a->top->used);
	a->top->used = mark.used;
	POISON(a->top->bytes + mark.used, a->top->room - mark.used);
	a->total = mark.total;
	a->full = false;
}

bool
ap_arena_is_full(const struct ap_arena *a)
{
	return a->full;
}

size_t
ap_arena_size(const struct ap_arena *a)
{
	return a->total;
}
