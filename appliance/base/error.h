/* error.h -- one sentence that says what, where and what to do; returned by libraries, logged once by the one who decides. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct ap_place {
	const char *file; /* lives as long as the document it names, which outlives its errors; NULL: no place */
	uint32_t line, column; /* from 1; 0: unknown */
};

struct ap_error {
	int code; /* negative, errno-like; for programs */
	struct ap_place at;
	char text[400]; /* for people; cut at the end when too long */
};

#define AP_ERRORS_MAX 50 /* an operator fixes a file once: that many problems are told at a time */
struct ap_errors {
	struct ap_error *items;
	size_t count; /* kept, at most AP_ERRORS_MAX */
	size_t total; /* seen */
};

AP_PUBLIC_BEGIN
/* Fill err (may be NULL) and return code. */
int ap_error_set(struct ap_error *err, int code, const char *fmt, ...) AP_PRINTF(3, 4);
int ap_error_set_at(struct ap_error *err, int code, struct ap_place at, const char *fmt, ...) AP_PRINTF(4, 5);
/* Put "<context>: " in front; returns err->code. */
int ap_error_wrap(struct ap_error *err, const char *fmt, ...) AP_PRINTF(2, 3);
/* "file:line:column: text" into out; returns out. */
const char *ap_error_format(const struct ap_error *err, char *out, size_t size);
/* Collect one more; returns code. */
int ap_errors_add(struct ap_errors *errs, int code, struct ap_place at, const char *fmt, ...) AP_PRINTF(4, 5);
void ap_errors_done(struct ap_errors *errs);
AP_PUBLIC_END

#endif
