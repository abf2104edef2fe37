/* vec.h -- typed growable array: AP_VEC(struct foo) foos = { 0 }; ap_vec_push(&foos, x); */
#ifndef BASE_VEC_H
#define BASE_VEC_H
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#define AP_VEC(type_) \
	struct { \
		type_ *items; \
		size_t count, room; \
	}
#define ap_vec_grow(v_) \
	do { \
		if ((v_)->count == (v_)->room) { \
			(v_)->room = (v_)->room == 0 ? 8 : (v_)->room * 2; \
			(v_)->items = ap_realloc_array((v_)->items, (v_)->room, sizeof(*(v_)->items)); \
		} \
	} while (0)
#define ap_vec_push(v_, ...) \
	do { \
		ap_vec_grow(v_); \
		(v_)->items[(v_)->count++] = (__VA_ARGS__); \
	} while (0)
/* Order is kept. */
#define ap_vec_remove(v_, i_) \
	do { \
		size_t ap_i_ = (i_); \
		memmove(&(v_)->items[ap_i_], &(v_)->items[ap_i_ + 1], \
		    ((v_)->count - ap_i_ - 1) * sizeof(*(v_)->items)); \
		(v_)->count--; \
	} while (0)
#define ap_vec_done(v_) \
	do { \
		ap_free(&(v_)->items); \
		(v_)->count = (v_)->room = 0; \
	} while (0)

#endif
