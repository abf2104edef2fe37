/*
 * uri.c -- splitting and normalising what clients ask for.
 *
 * Policy is decided on paths, so a path must have one spelling: normalising follows what Istio has Envoy do, in its
 * order: decode slashes (when told to), decode unreserved characters and resolve dot segments, merge slashes.  Escapes
 * are decoded once and only once.  Pure functions.
 */
#include "codec/uri.h"

#include <errno.h>
#include <string.h>

#include "base/addr.h"
#include "base/check.h"
#include "base/text.h"

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_unreserved(char c)
{
	return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that the escape at i stands for, or -1. */
static int
escaped_byte(struct ap_slice s, size_t i)
{
	int high, low;

	if (s.ptr[i] != '%' || s.len - i < 3)
		return -1;
	high = hex_value(s.ptr[i + 1]);
	low = hex_value(s.ptr[i + 2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int
ap_uri_split_host(struct ap_slice authority, struct ap_slice *host, uint16_t *port)
{
	struct ap_slice h = authority, p = AP_SLICE_NONE;
	uint64_t n = 0;
	size_t colon;

	if (h.len > 0 && h.ptr[0] == '[') {
		size_t end = ap_slice_find(h, ']');
		struct ap_slice rest = ap_slice_from(h, end == SIZE_MAX ? end : end + 1);
		struct ap_ip ip;

		if (end == SIZE_MAX || (rest.len > 0 && rest.ptr[0] != ':'))
			return -EINVAL;
		h = ap_slice_sub(h, 1, end - 1);
		if (ap_slice_find(h, ':') == SIZE_MAX || ap_ip_parse(h, &ip) < 0)
			return -EINVAL;
		p = rest.len > 0 ? ap_slice_from(rest, 1) : AP_SLICE_NONE;
	} else {
		colon = ap_slice_find(h, ':');
		if (colon != SIZE_MAX) {
			p = ap_slice_from(h, colon + 1);
			h = ap_slice_sub(h, 0, colon);
		}
		if (h.len == 0)
			return -EINVAL;
		for (size_t i = 0; i < h.len; i++)
			if (!is_unreserved(h.ptr[i]) && strchr("!$&'()*+,;=%", h.ptr[i]) == NULL)
				return -EINVAL;
		if (memchr(h.ptr, '\0', h.len) != NULL)
			return -EINVAL;
	}
	if (p.ptr != NULL && (ap_text_to_u64(p, 65535, &n) < 0 || n == 0))
		return -EINVAL;
	*host = h;
	*port = (uint16_t)n;
	return 0;
}

static size_t
scheme_len(struct ap_slice text)
{
	size_t n = 0;

	if (text.len == 0 || !is_alpha(text.ptr[0]))
		return 0;
	while (n < text.len && (is_alpha(text.ptr[n]) || is_digit(text.ptr[n]) || text.ptr[n] == '+' ||
				   text.ptr[n] == '-' || text.ptr[n] == '.'))
		n++;
	return n;
}

int
ap_uri_parse(struct ap_slice text, struct ap_uri *out)
{
	struct ap_uri u = { .port = 0 };
	size_t n = scheme_len(text), at;
	struct ap_slice rest;

	if (n == 0 || !ap_slice_starts(ap_slice_from(text, n), AP_S("://")))
		return -EINVAL;
	u.scheme = ap_slice_sub(text, 0, n);
	rest = ap_slice_from(text, n + 3);
	rest = ap_slice_sub(rest, 0, ap_slice_find(rest, '#'));
	for (n = 0; n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?'; n++)
		;
	u.authority = ap_slice_sub(rest, 0, n);
	ap_uri_split_target(ap_slice_from(rest, n), &u.path, &u.query);
	at = ap_slice_find_last(u.authority, '@');
	if (at != SIZE_MAX)
		u.authority = ap_slice_from(u.authority, at + 1);
	if (ap_uri_split_host(u.authority, &u.host, &u.port) < 0)
		return -EINVAL;
	*out = u;
	return 0;
}

void
ap_uri_split_target(struct ap_slice target, struct ap_slice *path, struct ap_slice *query)
{
	size_t at = ap_slice_find(target, '?');

	*query = at == SIZE_MAX ? AP_SLICE_NONE : ap_slice_from(target, at + 1);
	*path = ap_slice_sub(target, 0, at);
}

int
ap_uri_decode(struct ap_slice in, bool form, struct ap_buf *out)
{
	size_t start = out->len;

	for (size_t i = 0; i < in.len; i++) {
		int c = (unsigned char)in.ptr[i];

		if (c == '%') {
			c = escaped_byte(in, i);
			if (c < 0) {
				if (out->ptr != NULL)
					out->len = start;
				return -EINVAL;
			}
			i += 2;
		} else if (form && c == '+') {
			c = ' ';
		}
		ap_buf_add_char(out, (char)c);
	}
	return 0;
}

void
ap_uri_encode(struct ap_slice in, const char *keep, struct ap_buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];

		if (is_unreserved(c) || (keep != NULL && c != '\0' && strchr(keep, c) != NULL))
			ap_buf_add_char(out, c);
		else
			ap_buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

/*
 * Step one: what may be decoded is, backslashes become slashes.  -EINVAL: a NUL, or a '%' that starts no escape, which
 * could become part of one ("%%32e") and then mean something else to the next reader.
 */
static int
decode_unreserved(struct ap_slice path, bool slashes, struct ap_buf *out)
{
	for (size_t i = 0; i < path.len; i++) {
		int c = escaped_byte(path, i);

		if (path.ptr[i] == '\0' || c == 0 || (c < 0 && path.ptr[i] == '%'))
			return -EINVAL;
		if (c > 0 && (is_unreserved((char)c) || (slashes && (c == '/' || c == '\\')))) {
			ap_buf_add_char(out, c == '\\' ? '/' : (char)c);
			i += 2;
		} else {
			ap_buf_add_char(out, path.ptr[i] == '\\' ? '/' : path.ptr[i]);
		}
	}
	return out->bad ? -EINVAL : 0;
}

/* Step two: RFC 3986 5.2.4. Step three at once: empty segments are left out when merging. */
static void
resolve_dots(struct ap_slice path, bool merge, struct ap_buf *out)
{
	struct ap_buf flat; /* dots resolved, slashes not yet merged: ".." takes an empty segment away too */
	struct ap_slice rest = ap_slice_from(path, 1);

	ap_buf_init(&flat, path.len + 1);
	while (rest.ptr != NULL) {
		struct ap_slice segment = ap_slice_cut(&rest, '/');
		bool is_up = ap_slice_eq(segment, AP_S("..")), is_here = ap_slice_eq(segment, AP_S("."));

		if (is_up && flat.len > 0)
			flat.len = ap_slice_find_last(ap_buf_slice(&flat), '/');
		if (!is_up && !is_here) {
			ap_buf_add_char(&flat, '/');
			ap_buf_add_slice(&flat, segment);
		} else if (rest.ptr == NULL) {
			ap_buf_add_char(&flat, '/');
		}
	}
	for (size_t i = 0; i < flat.len; i++)
		if (!merge || flat.ptr[i] != '/' || i == 0 || flat.ptr[i - 1] != '/')
			ap_buf_add_char(out, flat.ptr[i]);
	ap_buf_done(&flat);
}

int
ap_uri_normalise(struct ap_slice path, enum ap_uri_normal how, struct ap_buf *out)
{
	struct ap_buf decoded;
	int r;

	if (path.len == 0 || path.ptr[0] != '/')
		return -EINVAL;
	if (how == AP_URI_NONE) {
		if (memchr(path.ptr, '\0', path.len) != NULL)
			return -EINVAL;
		ap_buf_add_slice(out, path);
		return 0;
	}
	ap_buf_init(&decoded, path.len);
	r = decode_unreserved(path, how == AP_URI_DECODE_AND_MERGE_SLASHES, &decoded);
	if (r == 0)
		resolve_dots(ap_buf_slice(&decoded), how >= AP_URI_MERGE_SLASHES, out);
	ap_buf_done(&decoded);
	return r;
}

bool
ap_uri_next_param(struct ap_slice *query, struct ap_slice *name, struct ap_slice *value)
{
	while (query->ptr != NULL) {
		struct ap_slice part = ap_slice_cut(query, '&');

		if (part.len == 0)
			continue;
		*name = ap_slice_cut(&part, '=');
		*value = part.ptr == NULL ? AP_S("") : part;
		return true;
	}
	return false;
}

struct ap_slice
ap_uri_param(struct ap_slice query, const char *name)
{
	struct ap_slice n, value;

	while (ap_uri_next_param(&query, &n, &value))
		if (ap_slice_eq_text(n, name))
			return value;
	return AP_SLICE_NONE;
}
