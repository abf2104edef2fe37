/* check.h -- assertions that stay on in release: a proxy that stops at once is safer than one that goes on wrong. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H
#include <stdint.h>

#include "base/compiler.h"

AP_PUBLIC_BEGIN
/* Print the sentence, the place, the thread's name and a backtrace to standard error; abort. */
void ap_panic(const char *file, int line, const char *fmt, ...) AP_PRINTF(3, 4) AP_NORETURN AP_COLD;
AP_PUBLIC_END

#define AP_CHECK(cond_) \
	do { \
		if (AP_UNLIKELY(!(cond_))) \
			ap_panic(__FILE__, __LINE__, "check failed: %s", #cond_); \
	} while (0)
#define AP_NEVER() ap_panic(__FILE__, __LINE__, "unreachable code was reached")

/* Long-lived structs open with `uint32_t magic`; AP_IS checks it where a void pointer comes back to life. */
#define AP_IS(ptr_, magic_) AP_CHECK((ptr_) != NULL && (ptr_)->magic == (magic_))
#define AP_MAGIC(a_, b_, c_, d_) \
	((uint32_t)(a_) << 24 | (uint32_t)(b_) << 16 | (uint32_t)(c_) << 8 | (uint32_t)(d_))

#endif
