/* wp_path.c -- path normalisation before anything matches, and path templates.  Pure. */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "waypoint/wp_match.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

void
wp_path_split(struct ap_slice target, struct ap_slice *out_path, struct ap_slice *out_query)
{
	size_t at = ap_slice_find(target, '?');

	if (at == SIZE_MAX) {
		*out_path = target;
		*out_query = AP_SLICE_NONE;
		return;
	}
	*out_path = ap_slice_sub(target, 0, at);
	*out_query = ap_slice(target.ptr + at + 1, target.len - at - 1);
}

/* NUL, as it stands or encoded, is in no path. */
static bool
path_has_nul(struct ap_slice path)
{
	return ap_slice_find(path, '\0') != SIZE_MAX || ap_slice_search(path, AP_S("%00")) != SIZE_MAX;
}

/* Nothing that any step could change. */
static bool
path_is_plain(struct ap_slice path)
{
	for (size_t i = 0; i < path.len; i++) {
		char c = path.ptr[i];

		if (c == '%' || c == '\\')
			return false;
		if (c == '/' && i + 1 < path.len && (path.ptr[i + 1] == '.' || path.ptr[i + 1] == '/'))
			return false;
	}
	return true;
}

/* Percent-encodings that mean the same as their character become it. Returns the new length. */
static size_t
path_decode(struct ap_slice in, enum wp_normalise how, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		int hi, lo, v;

		if (c == '\\')
			c = '/';
		if (c != '%' || i + 2 >= in.len) {
			out[n++] = c;
			continue;
		}
		hi = hex_value(in.ptr[i + 1]);
		lo = hex_value(in.ptr[i + 2]);
		v = hi * 16 + lo;
		if (hi < 0 || lo < 0) {
			out[n++] = c;
			continue;
		}
		if (is_unreserved(v)) {
			out[n++] = (char)v;
			i += 2;
		} else if (how == WP_NORMALISE_DECODE && (v == '/' || v == '\\')) {
			out[n++] = '/';
			i += 2;
		} else {
			out[n++] = c;
		}
	}
	return n;
}

/* Resolve "." and ".." elements and, when asked, empty ones, in place. The path begins with '/'. */
static size_t
path_resolve(char *p, size_t len, bool merge)
{
	size_t out = 0, i = 0;

	while (i < len) {
		size_t end = i + 1, size;
		const char *element = p + i + 1;

		while (end < len && p[end] != '/')
			end++;
		size = end - i - 1;
		if (size == 1 && element[0] == '.') {
			if (end == len)
				p[out++] = '/';
		} else if (size == 2 && element[0] == '.' && element[1] == '.') {
			while (out > 0 && p[--out] != '/')
				;
			if (end == len)
				p[out++] = '/';
		} else if (merge && size == 0 && end < len) {
			/* one of several slashes */
		} else {
			memmove(p + out, p + i, end - i);
			out += end - i;
		}
		i = end;
	}
	if (out == 0)
		p[out++] = '/';
	return out;
}

int
wp_path_normalise(struct ap_slice in, enum wp_normalise how, struct ap_arena *arena, struct ap_slice *out)
{
	struct ap_slice path, query;
	size_t n;
	char *p;

	if (in.len == 1 && in.ptr[0] == '*') { /* OPTIONS * */
		*out = in;
		return 0;
	}
	if (in.len == 0 || in.ptr[0] != '/' || ap_slice_find(in, '#') != SIZE_MAX)
		return -EINVAL;
	wp_path_split(in, &path, &query);
	if (path_has_nul(path))
		return -EINVAL;
	if (how == WP_NORMALISE_NONE || path_is_plain(path)) {
		*out = in;
		return 0;
	}
	p = ap_arena_alloc(arena, in.len + 1);
	if (p == NULL)
		return -ENOMEM;
	n = path_decode(path, how, p);
	n = path_resolve(p, n, how == WP_NORMALISE_MERGE || how == WP_NORMALISE_DECODE);
	if (query.ptr != NULL) {
		p[n++] = '?';
		memcpy(p + n, query.ptr, query.len);
		n += query.len;
	}
	*out = ap_slice(p, n);
	return 0;
}

/* One element of a template: "{*}", "{**}", or text without braces and stars. */
static bool
template_element_is_valid(struct ap_slice e, bool *rest)
{
	if (ap_slice_eq(e, AP_S("{**}"))) {
		bool first = !*rest;

		*rest = true;
		return first;
	}
	if (ap_slice_eq(e, AP_S("{*}")))
		return !*rest;
	return ap_slice_find(e, '{') == SIZE_MAX && ap_slice_find(e, '}') == SIZE_MAX &&
	       ap_slice_find(e, '*') == SIZE_MAX;
}

bool
wp_template_is_valid(struct ap_slice t)
{
	bool rest = false;

	if (t.len == 0 || t.ptr[0] != '/')
		return false;
	t = ap_slice_from(t, 1);
	while (t.ptr != NULL)
		if (!template_element_is_valid(ap_slice_cut(&t, '/'), &rest))
			return false;
	return true;
}

bool
wp_template_matches(struct ap_slice t, struct ap_slice path)
{
	size_t at = ap_slice_search(t, AP_S("{**}"));

	if (at != SIZE_MAX) {
		/* What follows {**} holds no {*}: it must stand at the end of the path. */
		struct ap_slice tail = ap_slice_from(t, at + 4);

		if (!ap_slice_ends(path, tail))
			return false;
		path.len -= tail.len;
		t = ap_slice_sub(t, 0, at);
	}
	while (t.len > 0) {
		if (ap_slice_starts(t, AP_S("{*}"))) {
			size_t n = ap_slice_find(path, '/');

			if (n == SIZE_MAX)
				n = path.len;
			if (n == 0)
				return false;
			path = ap_slice_from(path, n);
			t = ap_slice_from(t, 3);
			continue;
		}
		if (path.len == 0 || path.ptr[0] != t.ptr[0])
			return false;
		path = ap_slice_from(path, 1);
		t = ap_slice_from(t, 1);
	}
	return at != SIZE_MAX || path.len == 0;
}
