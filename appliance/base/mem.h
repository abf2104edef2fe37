/* mem.h -- heap allocation that aborts rather than fails; every growth elsewhere is bounded by configuration. */
#ifndef BASE_MEM_H
#define BASE_MEM_H
#include <stddef.h>

#include "base/compiler.h"

AP_PUBLIC_BEGIN
/* Zeroed memory; never NULL (size 0 gives a unique pointer). Any thread. Free with ap_free. */
void *ap_alloc(size_t size) AP_NODISCARD;
/* Zeroed array; aborts when count * size overflows. */
void *ap_alloc_array(size_t count, size_t size) AP_NODISCARD;
/* Grow or shrink an array; new room is NOT zeroed. */
void *ap_realloc_array(void *ptr, size_t count, size_t size) AP_NODISCARD;
/* Copy of a NUL-terminated text; NULL gives NULL. */
char *ap_strdup(const char *text) AP_NODISCARD;
/* Copy of len bytes with a NUL behind them. */
char *ap_strndup(const char *text, size_t len) AP_NODISCARD;
/* printf into fresh memory. */
char *ap_asprintf(const char *fmt, ...) AP_PRINTF(1, 2) AP_NODISCARD;
void ap_mem_free(void *ptr);
/* Overwrite so that the compiler cannot leave it out. */
void ap_wipe(void *ptr, size_t size);
AP_PUBLIC_END

#define ap_new(type_) ((type_ *)ap_alloc(sizeof(type_)))
/* Free *pp_ and set it to NULL. */
#define ap_free(pp_) \
	do { \
		ap_mem_free((void *)*(pp_)); \
		*(pp_) = NULL; \
	} while (0)

#endif
