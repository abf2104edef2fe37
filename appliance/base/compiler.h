/* compiler.h -- the few compiler words that the rest of the code uses. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H
#include <stddef.h>

/* Between these two lines a header's functions are visible outside libappliance.so. */
#define AP_PUBLIC_BEGIN _Pragma("GCC visibility push(default)")
#define AP_PUBLIC_END _Pragma("GCC visibility pop")
#define AP_PUBLIC __attribute__((visibility("default")))

#define AP_PRINTF(fmt_, args_) __attribute__((format(printf, fmt_, args_)))
#define AP_NORETURN __attribute__((noreturn))
#define AP_NODISCARD __attribute__((warn_unused_result))
#define AP_UNUSED __attribute__((unused))
#define AP_HOT __attribute__((hot))
#define AP_COLD __attribute__((cold))
#define AP_LIKELY(x_) __builtin_expect(!!(x_), 1)
#define AP_UNLIKELY(x_) __builtin_expect(!!(x_), 0)

#define AP_COUNTOF(a_) (sizeof(a_) / sizeof((a_)[0]))
#define AP_MIN(a_, b_) ((a_) < (b_) ? (a_) : (b_))
#define AP_MAX(a_, b_) ((a_) > (b_) ? (a_) : (b_))
/* The struct that holds `member` at `ptr`. */
#define AP_CONTAINER_OF(ptr_, type_, member_) \
	((type_ *)(void *)((char *)(ptr_)-offsetof(type_, member_)))

#endif
