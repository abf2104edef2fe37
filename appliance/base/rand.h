/* rand.h -- randomness from the kernel; the fast generator is seeded from it, per thread. */
#ifndef BASE_RAND_H
#define BASE_RAND_H
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

AP_PUBLIC_BEGIN
/* Fit for secrets. */
void ap_rand_bytes(void *out, size_t size);
/* Fast, not for secrets; per-thread state. */
uint64_t ap_rand_fast(void);
/* Uniform in [0, bound); bound > 0. */
uint32_t ap_rand_below(uint32_t bound);
AP_PUBLIC_END

#endif
