/*
 * slice.c -- bytes that somebody else owns: compare, find, cut.
 *
 * Everything read from outside travels as a slice, so nothing is copied to be looked at and nothing depends on a NUL.
 * Pure functions; a NULL pointer with length 0 is an empty slice everywhere.
 */
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

struct ap_slice
ap_slice(const char *ptr, size_t len)
{
	return (struct ap_slice){ .ptr = ptr, .len = len };
}

struct ap_slice
ap_slice_of(const char *text)
{
	return text == NULL ? AP_SLICE_NONE : ap_slice(text, strlen(text));
}

bool
ap_slice_eq(struct ap_slice a, struct ap_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool
ap_slice_eq_text(struct ap_slice a, const char *text)
{
	return ap_slice_eq(a, ap_slice_of(text));
}

static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool
ap_slice_eq_nocase(struct ap_slice a, struct ap_slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

int
ap_slice_cmp(struct ap_slice a, struct ap_slice b)
{
	size_t n = AP_MIN(a.len, b.len);
	int d = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

	if (d != 0)
		return d;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool
ap_slice_starts(struct ap_slice s, struct ap_slice prefix)
{
	return s.len >= prefix.len && ap_slice_eq(ap_slice(s.ptr, prefix.len), prefix);
}

bool
ap_slice_ends(struct ap_slice s, struct ap_slice suffix)
{
	return s.len >= suffix.len && ap_slice_eq(ap_slice_from(s, s.len - suffix.len), suffix);
}

size_t
ap_slice_find(struct ap_slice s, char c)
{
	const char *p = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);

	return p == NULL ? SIZE_MAX : (size_t)(p - s.ptr);
}

size_t
ap_slice_find_last(struct ap_slice s, char c)
{
	const char *p = s.len == 0 ? NULL : memrchr(s.ptr, c, s.len);

	return p == NULL ? SIZE_MAX : (size_t)(p - s.ptr);
}

size_t
ap_slice_search(struct ap_slice s, struct ap_slice what)
{
	const char *p;

	if (what.len == 0)
		return 0;
	if (s.len < what.len)
		return SIZE_MAX;
	p = memmem(s.ptr, s.len, what.ptr, what.len);
	return p == NULL ? SIZE_MAX : (size_t)(p - s.ptr);
}

struct ap_slice
ap_slice_sub(struct ap_slice s, size_t from, size_t len)
{
	if (s.ptr == NULL)
		return AP_SLICE_NONE;
	if (from >= s.len)
		return ap_slice(s.ptr + s.len, 0);
	return ap_slice(s.ptr + from, AP_MIN(len, s.len - from));
}

struct ap_slice
ap_slice_from(struct ap_slice s, size_t from)
{
	return ap_slice_sub(s, from, SIZE_MAX);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct ap_slice
ap_slice_trim(struct ap_slice s)
{
	while (s.len > 0 && is_blank(s.ptr[0]))
		s = ap_slice(s.ptr + 1, s.len - 1);
	while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

struct ap_slice
ap_slice_cut(struct ap_slice *rest, char c)
{
	struct ap_slice all = *rest;
	size_t at = ap_slice_find(all, c);

	if (at == SIZE_MAX) {
		*rest = AP_SLICE_NONE;
		return all;
	}
	*rest = ap_slice(all.ptr + at + 1, all.len - at - 1);
	return ap_slice(all.ptr, at);
}
