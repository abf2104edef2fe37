/* arena.h -- bump allocation with one free for all, a byte ceiling and clean-ups; one arena per connection, request, snapshot. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/slice.h"

struct ap_arena;

/* Where an arena stood; see ap_arena_rewind. */
struct ap_arena_mark {
	void *block;
	size_t used;
	size_t total;
	void *cleanups;
};

AP_PUBLIC_BEGIN
/* ceiling: most bytes ever handed out. The first block (1 KiB) is allocated with the arena. One thread at a time. */
struct ap_arena *ap_arena_new(size_t ceiling);
/* Run the clean-ups, newest first; free everything and set *arena to NULL. NULL is fine. */
void ap_arena_free(struct ap_arena **arena);
/* 16-byte aligned, not zeroed; NULL when the ceiling would be passed (and ap_arena_is_full from then on). */
void *ap_arena_alloc(struct ap_arena *arena, size_t size);
/* The same, zeroed. */
void *ap_arena_zalloc(struct ap_arena *arena, size_t size);
/* Copies; NULL/empty when full. The text has a NUL behind it in each case. */
char *ap_arena_strndup(struct ap_arena *arena, const char *text, size_t len);
struct ap_slice ap_arena_copy(struct ap_arena *arena, struct ap_slice s);
struct ap_slice ap_arena_printf(struct ap_arena *arena, const char *fmt, ...) AP_PRINTF(2, 3);
/* Call fn(arg) when the arena is freed or rewound past this point. */
void ap_arena_defer(struct ap_arena *arena, void (*fn)(void *arg), void *arg);
struct ap_arena_mark ap_arena_mark(struct ap_arena *arena);
/* Give back all that was handed out since the mark; run its clean-ups. */
void ap_arena_rewind(struct ap_arena *arena, struct ap_arena_mark mark);
bool ap_arena_is_full(const struct ap_arena *arena);
/* Bytes handed out. */
size_t ap_arena_size(const struct ap_arena *arena);
AP_PUBLIC_END

#define ap_arena_new_object(arena_, type_) ((type_ *)ap_arena_zalloc((arena_), sizeof(type_)))

#endif
