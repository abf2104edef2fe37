/*
 * error.c -- sentences for people, carried upwards by value.
 *
 * A library fills one struct ap_error and returns its code; callers put context in front; whoever decides logs it
 * once.  Too long texts lose their end, which is the least useful part.  Any thread.
 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

int
ap_error_set(struct ap_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return code;
	*err = (struct ap_error){ .code = code };
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

int
ap_error_set_at(struct ap_error *err, int code, struct ap_place at, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return code;
	*err = (struct ap_error){ .code = code, .at = at };
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

int
ap_error_wrap(struct ap_error *err, const char *fmt, ...)
{
	char text[2 * sizeof(err->text) + 4]; /* both and the colon; the end is cut when it moves back */
	size_t len;
	va_list ap;

	if (err == NULL)
		return 0;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(err->text), fmt, ap);
	va_end(ap);
	len = strlen(text);
	snprintf(text + len, sizeof(text) - len, ": %s", err->text);
	memcpy(err->text, text, sizeof(err->text));
	err->text[sizeof(err->text) - 1] = '\0';
	return err->code;
}

const char *
ap_error_format(const struct ap_error *err, char *out, size_t size)
{
	const struct ap_place *at = &err->at;

	if (at->file == NULL)
		snprintf(out, size, "%s", err->text);
	else if (at->line == 0)
		snprintf(out, size, "%s: %s", at->file, err->text);
	else if (at->column == 0)
		snprintf(out, size, "%s:%u: %s", at->file, at->line, err->text);
	else
		snprintf(out, size, "%s:%u:%u: %s", at->file, at->line, at->column, err->text);
	return out;
}

int
ap_errors_add(struct ap_errors *errs, int code, struct ap_place at, const char *fmt, ...)
{
	struct ap_error *err;
	va_list ap;

	errs->total++;
	if (errs->count >= AP_ERRORS_MAX)
		return code;
	errs->items = ap_realloc_array(errs->items, errs->count + 1, sizeof(*errs->items));
	err = &errs->items[errs->count++];
	*err = (struct ap_error){ .code = code, .at = at };
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

void
ap_errors_done(struct ap_errors *errs)
{
	ap_free(&errs->items);
	errs->count = errs->total = 0;
}
