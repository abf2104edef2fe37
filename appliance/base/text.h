/* text.h -- strict numbers, sizes, durations and booleans from text and back; each refuses what it does not use up. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

AP_PUBLIC_BEGIN
/* 0, or -EINVAL (not a number) or -ERANGE. No sign for unsigned, no blanks, no prefix. */
int ap_text_to_u64(struct ap_slice s, uint64_t max, uint64_t *out);
int ap_text_to_i64(struct ap_slice s, int64_t *out);
int ap_text_to_double(struct ap_slice s, double *out);
int ap_text_to_bool(struct ap_slice s, bool *out); /* true, false */
/* Go's form: "1h30m", "1.5s", "250ms", "0s"; result in nanoseconds, never negative. */
int ap_text_to_duration(struct ap_slice s, int64_t *out_ns);
/* "64Ki", "10Mi", "1G", "512". */
int ap_text_to_size(struct ap_slice s, uint64_t *out);
/* Bytes of the valid UTF-8 sequence in front, 1 to 4; 0 when there is none. */
size_t ap_text_utf8_next(struct ap_slice s);
/* Valid UTF-8 without overlong forms and surrogates. */
bool ap_text_is_utf8(struct ap_slice s);
/* RFC 1123 label (63) and name (253): lower case letters, digits, '-', and '.' between labels. */
bool ap_text_is_label(struct ap_slice s);
bool ap_text_is_dns_name(struct ap_slice s);
/* Edits to turn a into b, at most `limit` + 1; for "did you mean". */
unsigned ap_text_distance(struct ap_slice a, struct ap_slice b, unsigned limit);
/* Nearest of the NULL-terminated list, or NULL when none is near. */
const char *ap_text_nearest(struct ap_slice s, const char *const *list);
/* Decimal digits at out, which has room for AP_TEXT_U64; returns their number. For paths on which printf is too dear. */
#define AP_TEXT_U64 20
size_t ap_text_put_u64(uint64_t v, char *out);
/* "1h2m3s", "250ms". Returns out. */
const char *ap_text_format_duration(int64_t ns, char *out, size_t size);
AP_PUBLIC_END

#endif
