/*
 * glob.c -- the two small pattern languages of mesh policy.
 *
 * Neither backtracks: a star stands at one end only.  Pure functions.
 */
#include "codec/glob.h"

#include "base/check.h"

struct ap_glob
ap_glob_parse(struct ap_slice pattern)
{
	if (ap_slice_eq(pattern, AP_S("*")))
		return (struct ap_glob){ .kind = AP_GLOB_PRESENT };
	if (pattern.len > 0 && pattern.ptr[0] == '*')
		return (struct ap_glob){ .kind = AP_GLOB_SUFFIX, .text = ap_slice_from(pattern, 1) };
	if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*')
		return (struct ap_glob){ .kind = AP_GLOB_PREFIX, .text = ap_slice_sub(pattern, 0, pattern.len - 1) };
	return (struct ap_glob){ .kind = AP_GLOB_EXACT, .text = pattern };
}

bool
ap_glob_match(const struct ap_glob *g, struct ap_slice text)
{
	switch (g->kind) {
	case AP_GLOB_EXACT:
		return ap_slice_eq(text, g->text);
	case AP_GLOB_PREFIX:
		return ap_slice_starts(text, g->text);
	case AP_GLOB_SUFFIX:
		return ap_slice_ends(text, g->text);
	case AP_GLOB_PRESENT:
		return text.len > 0;
	}
	AP_NEVER();
}

bool
ap_glob_matches(struct ap_slice pattern, struct ap_slice text)
{
	struct ap_glob g = ap_glob_parse(pattern);

	return ap_glob_match(&g, text);
}

static struct ap_slice
without_final_dot(struct ap_slice s)
{
	return s.len > 1 && s.ptr[s.len - 1] == '.' ? ap_slice_sub(s, 0, s.len - 1) : s;
}

static bool
is_wild(struct ap_slice pattern)
{
	return pattern.len >= 2 && pattern.ptr[0] == '*' && pattern.ptr[1] == '.';
}

bool
ap_glob_host_matches(struct ap_slice pattern, struct ap_slice host)
{
	struct ap_slice suffix;

	pattern = without_final_dot(pattern);
	host = without_final_dot(host);
	if (ap_slice_eq(pattern, AP_S("*")))
		return host.len > 0;
	if (!is_wild(pattern))
		return ap_slice_eq_nocase(pattern, host);
	suffix = ap_slice_from(pattern, 1); /* ".x" */
	return host.len > suffix.len && ap_slice_eq_nocase(ap_slice_from(host, host.len - suffix.len), suffix);
}

static bool
is_host_label(struct ap_slice s)
{
	if (s.len == 0 || s.len > 63 || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			c == '_'))
			return false;
	}
	return true;
}

bool
ap_glob_host_is_valid(struct ap_slice pattern)
{
	struct ap_slice rest = without_final_dot(pattern);

	if (ap_slice_eq(rest, AP_S("*")))
		return true;
	if (rest.len == 0 || rest.len > 253)
		return false;
	if (is_wild(rest))
		rest = ap_slice_from(rest, 2);
	while (rest.ptr != NULL)
		if (!is_host_label(ap_slice_cut(&rest, '.')))
			return false;
	return true;
}

int
ap_glob_host_cmp(struct ap_slice a, struct ap_slice b)
{
	bool wild_a = a.len > 0 && a.ptr[0] == '*', wild_b = b.len > 0 && b.ptr[0] == '*';

	if (wild_a != wild_b)
		return wild_a ? 1 : -1;
	if (a.len != b.len && wild_a)
		return a.len > b.len ? -1 : 1;
	return ap_slice_cmp(a, b);
}

bool
ap_glob_host_overlaps(struct ap_slice a, struct ap_slice b)
{
	a = without_final_dot(a);
	b = without_final_dot(b);
	if (ap_slice_eq(a, AP_S("*")) || ap_slice_eq(b, AP_S("*")))
		return true;
	if (is_wild(a) && is_wild(b)) { /* one contains the other, or they are strangers */
		struct ap_slice x = ap_slice_from(a, 1), y = ap_slice_from(b, 1), t;

		if (x.len < y.len) {
			t = x;
			x = y;
			y = t;
		}
		return ap_slice_eq_nocase(ap_slice_from(x, x.len - y.len), y);
	}
	return is_wild(a) ? ap_glob_host_matches(a, b) : ap_glob_host_matches(b, a);
}
