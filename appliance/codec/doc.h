/* doc.h -- the one tree type for YAML and JSON: every node knows its file, line and column. */
#ifndef CODEC_DOC_H
#define CODEC_DOC_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

enum ap_doc_type { AP_DOC_NULL, AP_DOC_BOOL, AP_DOC_INT, AP_DOC_REAL, AP_DOC_STRING, AP_DOC_LIST, AP_DOC_MAP };

/*
 * All nodes live in the arena of their document.  When it is full, makers return NULL, setters do nothing with a NULL
 * value, and ap_arena_is_full() tells the one who built the tree.
 */
struct ap_doc {
	enum ap_doc_type type;
	struct ap_place at;   /* of the value */
	struct ap_slice key;  /* member of a map: its name; NUL behind it */
	struct ap_place key_at;
	struct ap_doc *next;  /* next item or member, in order */
	struct ap_doc *first, *last; /* list, map */
	uint32_t count;              /* list, map */
	bool boolean;
	int64_t integer;
	double real;
	struct ap_slice string; /* NUL behind it */
};

AP_PUBLIC_BEGIN
/* Every finder accepts a NULL node and gives "none", so that paths can be chained. */
struct ap_doc *ap_doc_get(const struct ap_doc *map, const char *key);
struct ap_doc *ap_doc_get_slice(const struct ap_doc *map, struct ap_slice key);
/* "spec.http" -- keys joined by dots, none of which holds a dot itself. */
struct ap_doc *ap_doc_path(const struct ap_doc *map, const char *path);
struct ap_doc *ap_doc_item(const struct ap_doc *list, uint32_t i);
/* Value of a member, or the fallback when it is absent, null or of another type. */
struct ap_slice ap_doc_string(const struct ap_doc *map, const char *key, const char *fallback);
int64_t ap_doc_int(const struct ap_doc *map, const char *key, int64_t fallback);
double ap_doc_real(const struct ap_doc *map, const char *key, double fallback); /* integers too */
bool ap_doc_bool(const struct ap_doc *map, const char *key, bool fallback);
/* Duration text ("250ms") in nanoseconds. */
int64_t ap_doc_duration_ns(const struct ap_doc *map, const char *key, int64_t fallback_ns);
bool ap_doc_is(const struct ap_doc *node, enum ap_doc_type type); /* false for NULL */
bool ap_doc_eq(const struct ap_doc *a, const struct ap_doc *b);   /* maps: order ignored */

struct ap_doc *ap_doc_new_map(struct ap_arena *arena);
struct ap_doc *ap_doc_new_list(struct ap_arena *arena);
struct ap_doc *ap_doc_new_string(struct ap_arena *arena, struct ap_slice s); /* copies */
struct ap_doc *ap_doc_new_int(struct ap_arena *arena, int64_t v);
struct ap_doc *ap_doc_new_real(struct ap_arena *arena, double v);
struct ap_doc *ap_doc_new_bool(struct ap_arena *arena, bool v);
struct ap_doc *ap_doc_new_null(struct ap_arena *arena);
struct ap_doc *ap_doc_copy(struct ap_arena *arena, const struct ap_doc *node); /* deep */
/* Set a member: replaces one of that name in its place, or appends. value must not be in another container. */
void ap_doc_set(struct ap_arena *arena, struct ap_doc *map, const char *key, struct ap_doc *value);
/* The same with a key that may hold any bytes. */
void ap_doc_set_slice(struct ap_arena *arena, struct ap_doc *map, struct ap_slice key, struct ap_doc *value);
void ap_doc_set_string(struct ap_arena *arena, struct ap_doc *map, const char *key, struct ap_slice s);
bool ap_doc_remove(struct ap_doc *map, const char *key);
void ap_doc_append(struct ap_doc *list, struct ap_doc *value);
/* The map at a path of keys, made where it is missing. */
struct ap_doc *ap_doc_make_path(struct ap_arena *arena, struct ap_doc *map, const char *path);
AP_PUBLIC_END

#define AP_DOC_FOR(node_, container_) \
	for (struct ap_doc *node_ = (container_) == NULL ? NULL : (container_)->first; node_ != NULL; \
	     node_ = node_->next)

#endif
