/* buf.h -- growable bytes with a mandatory ceiling; past it the buffer goes bad and stays bad, and its finisher checks once. */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

struct ap_buf {
	char *ptr; /* ptr[len] is NUL once anything was appended */
	size_t len, room, ceiling;
	bool bad; /* something did not fit */
};

AP_PUBLIC_BEGIN
void ap_buf_init(struct ap_buf *b, size_t ceiling);
void ap_buf_done(struct ap_buf *b); /* free the bytes; b may be used again after ap_buf_init */
void ap_buf_clear(struct ap_buf *b); /* empty and good again; keeps its room */
void ap_buf_add(struct ap_buf *b, const void *bytes, size_t size);
void ap_buf_add_slice(struct ap_buf *b, struct ap_slice s);
void ap_buf_add_text(struct ap_buf *b, const char *text);
void ap_buf_add_char(struct ap_buf *b, char c);
void ap_buf_printf(struct ap_buf *b, const char *fmt, ...) AP_PRINTF(2, 3);
/* Room for size more bytes at the end, or NULL (and bad). Follow with ap_buf_commit. */
void *ap_buf_reserve(struct ap_buf *b, size_t size);
void ap_buf_commit(struct ap_buf *b, size_t size);
/* Drop bytes from the front. */
void ap_buf_consume(struct ap_buf *b, size_t size);
struct ap_slice ap_buf_slice(const struct ap_buf *b);
/* Big-endian integers. */
void ap_buf_add_u8(struct ap_buf *b, uint8_t v);
void ap_buf_add_u16(struct ap_buf *b, uint16_t v);
void ap_buf_add_u32(struct ap_buf *b, uint32_t v);
/* JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void ap_buf_add_json(struct ap_buf *b, struct ap_slice s);
AP_PUBLIC_END

#endif
