/*
 * buf.c -- everything that is built is built here: bytes that grow by doubling up to a ceiling.
 *
 * Appends do not report failure; past the ceiling the buffer goes bad, ignores what follows and tells its finisher.
 * One more byte than the ceiling is allocated, for the NUL.  One thread at a time.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"

#define ROOM_MIN 64

void
ap_buf_init(struct ap_buf *b, size_t ceiling)
{
	*b = (struct ap_buf){ .ceiling = ceiling };
}

void
ap_buf_done(struct ap_buf *b)
{
	ap_free(&b->ptr);
	b->len = b->room = 0;
	b->bad = false;
}

void
ap_buf_clear(struct ap_buf *b)
{
	b->len = 0;
	b->bad = false;
	if (b->ptr != NULL)
		b->ptr[0] = '\0';
}

/* Room for size more bytes and a NUL. */
static bool
grow(struct ap_buf *b, size_t size)
{
	size_t room;

	if (AP_UNLIKELY(b->bad))
		return false;
	if (AP_UNLIKELY(size > b->ceiling - b->len)) {
		b->bad = true;
		return false;
	}
	if (AP_LIKELY(b->len + size < b->room))
		return true;
	room = AP_MAX(b->room * 2, (size_t)ROOM_MIN);
	room = AP_MAX(room, b->len + size + 1);
	if (room > b->ceiling)
		room = b->ceiling + 1;
	b->ptr = ap_realloc_array(b->ptr, room, 1);
	b->room = room;
	return true;
}

void
ap_buf_add(struct ap_buf *b, const void *bytes, size_t size)
{
	if (!grow(b, size))
		return;
	if (size > 0)
		memcpy(b->ptr + b->len, bytes, size);
	b->len += size;
	b->ptr[b->len] = '\0';
}

void
ap_buf_add_slice(struct ap_buf *b, struct ap_slice s)
{
	ap_buf_add(b, s.ptr, s.len);
}

void
ap_buf_add_text(struct ap_buf *b, const char *text)
{
	ap_buf_add(b, text, strlen(text));
}

void
ap_buf_add_char(struct ap_buf *b, char c)
{
	ap_buf_add(b, &c, 1);
}

void
ap_buf_printf(struct ap_buf *b, const char *fmt, ...)
{
	size_t left = b->room - b->len;
	va_list ap;
	int n;

	if (b->bad)
		return;
	va_start(ap, fmt);
	n = vsnprintf(left == 0 ? NULL : b->ptr + b->len, left, fmt, ap);
	va_end(ap);
	if (n < 0 || !grow(b, (size_t)n)) {
		b->bad = true;
		if (left > 0)
			b->ptr[b->len] = '\0';
		return;
	}
	if ((size_t)n >= left) {
		va_start(ap, fmt);
		vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
}

void *
ap_buf_reserve(struct ap_buf *b, size_t size)
{
	return grow(b, size) ? b->ptr + b->len : NULL;
}

void
ap_buf_commit(struct ap_buf *b, size_t size)
{
	if (b->ptr == NULL && size == 0)
		return;
	AP_CHECK(size < b->room - b->len);
	b->len += size;
	b->ptr[b->len] = '\0';
}

void
ap_buf_consume(struct ap_buf *b, size_t size)
{
	AP_CHECK(size <= b->len);
	if (size == 0)
		return;
	b->len -= size;
	memmove(b->ptr, b->ptr + size, b->len);
	b->ptr[b->len] = '\0';
}

struct ap_slice
ap_buf_slice(const struct ap_buf *b)
{
	return ap_slice(b->ptr, b->len);
}

void
ap_buf_add_u8(struct ap_buf *b, uint8_t v)
{
	ap_buf_add(b, &v, 1);
}

void
ap_buf_add_u16(struct ap_buf *b, uint16_t v)
{
	const uint8_t bytes[] = { (uint8_t)(v >> 8), (uint8_t)v };

	ap_buf_add(b, bytes, sizeof(bytes));
}

void
ap_buf_add_u32(struct ap_buf *b, uint32_t v)
{
	const uint8_t bytes[] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	ap_buf_add(b, bytes, sizeof(bytes));
}

static void
add_json_escape(struct ap_buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		ap_buf_add_text(b, "\\\"");
		break;
	case '\\':
		ap_buf_add_text(b, "\\\\");
		break;
	case '\n':
		ap_buf_add_text(b, "\\n");
		break;
	case '\r':
		ap_buf_add_text(b, "\\r");
		break;
	case '\t':
		ap_buf_add_text(b, "\\t");
		break;
	default:
		ap_buf_printf(b, "\\u%04x", c);
		break;
	}
}

void
ap_buf_add_json(struct ap_buf *b, struct ap_slice s)
{
	size_t plain = 0; /* where the bytes that need no escape begin */

	ap_buf_add_char(b, '"');
	for (size_t i = 0; i < s.len;) {
		unsigned char c = (unsigned char)s.ptr[i];
		size_t n = c < 0x80 ? 1 : ap_text_utf8_next(ap_slice_from(s, i));

		if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
			i += n;
			continue;
		}
		ap_buf_add(b, s.ptr + plain, i - plain);
		if (n == 0)
			ap_buf_add_text(b, "\xef\xbf\xbd");
		else
			add_json_escape(b, c);
		plain = ++i;
	}
	if (plain < s.len)
		ap_buf_add(b, s.ptr + plain, s.len - plain);
	ap_buf_add_char(b, '"');
}
