/* slice.h -- a piece of text or bytes that somebody else owns; never NUL-terminated by assumption. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct ap_slice {
	const char *ptr;
	size_t len;
};

#define AP_S(literal_) ((struct ap_slice){ .ptr = (literal_), .len = sizeof(literal_) - 1 })
#define AP_SLICE_NONE ((struct ap_slice){ .ptr = NULL, .len = 0 })
/* printf("%.*s", AP_FMT(s)) */
#define AP_FMT(s_) (int)(s_).len, (s_).ptr == NULL ? "" : (s_).ptr

AP_PUBLIC_BEGIN
struct ap_slice ap_slice(const char *ptr, size_t len);
/* Of a NUL-terminated text; NULL gives the empty slice. */
struct ap_slice ap_slice_of(const char *text);
bool ap_slice_eq(struct ap_slice a, struct ap_slice b);
bool ap_slice_eq_text(struct ap_slice a, const char *text);
/* ASCII case ignored. */
bool ap_slice_eq_nocase(struct ap_slice a, struct ap_slice b);
int ap_slice_cmp(struct ap_slice a, struct ap_slice b);
bool ap_slice_starts(struct ap_slice s, struct ap_slice prefix);
bool ap_slice_ends(struct ap_slice s, struct ap_slice suffix);
/* Offset of the first c, or SIZE_MAX. */
size_t ap_slice_find(struct ap_slice s, char c);
size_t ap_slice_find_last(struct ap_slice s, char c);
/* Offset of the first `what`, or SIZE_MAX; an empty `what` is found at 0. */
size_t ap_slice_search(struct ap_slice s, struct ap_slice what);
/* The part from `from` on, at most len bytes; out of range gives empty. */
struct ap_slice ap_slice_sub(struct ap_slice s, size_t from, size_t len);
struct ap_slice ap_slice_from(struct ap_slice s, size_t from);
/* Spaces and tabs off both ends. */
struct ap_slice ap_slice_trim(struct ap_slice s);
/* Cut at the first c: returns what stands before it and leaves the rest in *rest. Without c: all, and *rest is
 * empty with a NULL pointer. Loop: while (rest.ptr != NULL) part = ap_slice_cut(&rest, ','); */
struct ap_slice ap_slice_cut(struct ap_slice *rest, char c);
AP_PUBLIC_END

#endif
