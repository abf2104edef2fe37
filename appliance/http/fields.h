/* fields.h -- header and trailer lists in an arena, names in lower case, bounded in count and bytes. */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/slice.h"

struct ap_field {
	struct ap_slice name, value; /* name in lower case */
};

struct ap_fields {
	struct ap_arena *arena;
	struct ap_field *items;
	uint32_t count, room;
	size_t bytes; /* names, values, and 32 per field, as HTTP/2 counts */
};

AP_PUBLIC_BEGIN
void ap_fields_init(struct ap_fields *f, struct ap_arena *arena);
/* Append; name is lower-cased and both are copied. False when the arena is full. */
bool ap_fields_add(struct ap_fields *f, struct ap_slice name, struct ap_slice value);
/* Replace all of that name by one, in the place of the first. */
bool ap_fields_set(struct ap_fields *f, struct ap_slice name, struct ap_slice value);
/* Number removed. Name in lower case. */
uint32_t ap_fields_remove(struct ap_fields *f, struct ap_slice name);
/* First value, or NULL pointer. Name in lower case. */
struct ap_slice ap_fields_get(const struct ap_fields *f, struct ap_slice name);
bool ap_fields_has(const struct ap_fields *f, struct ap_slice name);
/* All values joined by ", " (cookie: "; "), in the arena. */
struct ap_slice ap_fields_join(const struct ap_fields *f, struct ap_slice name, struct ap_arena *arena);
bool ap_fields_copy(struct ap_fields *to, const struct ap_fields *from);
AP_PUBLIC_END

#endif
