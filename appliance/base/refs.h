/* refs.h -- atomic reference count, for objects with two owners on different lifetimes. */
#ifndef BASE_REFS_H
#define BASE_REFS_H
#include <stdatomic.h>
#include <stdbool.h>

struct ap_refs {
	atomic_uint count;
};

static inline void
ap_refs_init(struct ap_refs *r)
{
	atomic_init(&r->count, 1);
}
static inline void
ap_refs_add(struct ap_refs *r)
{
	atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
}
/* True: that was the last one, and the caller frees the object. */
static inline bool
ap_refs_drop(struct ap_refs *r)
{
	return atomic_fetch_sub_explicit(&r->count, 1, memory_order_acq_rel) == 1;
}

#endif
