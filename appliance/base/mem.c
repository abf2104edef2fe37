/*
 * mem.c -- the only caller of the C library's allocator.
 *
 * Nobody can do anything sensible when a few bytes are missing, so allocation aborts; what strangers can make grow is
 * bounded where it grows (arenas, buffers, tables).  Any thread.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static void *
must(void *ptr, size_t size)
{
	if (AP_UNLIKELY(ptr == NULL))
		ap_panic(__FILE__, __LINE__, "out of memory: %zu bytes", size);
	return ptr;
}

static size_t
array_size(size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total) || total > PTRDIFF_MAX)
		ap_panic(__FILE__, __LINE__, "array of %zu times %zu bytes is too big", count, size);
	return total == 0 ? 1 : total;
}

void *
ap_alloc(size_t size)
{
	return must(calloc(1, size == 0 ? 1 : size), size);
}

void *
ap_alloc_array(size_t count, size_t size)
{
	size_t total = array_size(count, size);

	return must(calloc(1, total), total);
}

void *
ap_realloc_array(void *ptr, size_t count, size_t size)
{
	size_t total = array_size(count, size);

	return must(realloc(ptr, total), total);
}

char *
ap_strdup(const char *text)
{
	return text == NULL ? NULL : ap_strndup(text, strlen(text));
}

char *
ap_strndup(const char *text, size_t len)
{
	char *copy = must(malloc(len + 1), len + 1);

	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *
ap_asprintf(const char *fmt, ...)
{
	char *out = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&out, fmt, ap);
	va_end(ap);
	if (n < 0)
		ap_panic(__FILE__, __LINE__, "cannot format \"%s\"", fmt);
	return must(out, (size_t)n);
}

void
ap_mem_free(void *ptr)
{
	free(ptr);
}

void
ap_wipe(void *ptr, size_t size)
{
	if (size > 0)
		explicit_bzero(ptr, size);
}
