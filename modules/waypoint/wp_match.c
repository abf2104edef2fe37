/* wp_match.c -- compiled conditions on texts, and what a request shows to them.  Pure. */
#include "waypoint/wp_match.h"

#include <ambit/waypoint.pb-c.h>
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "codec/regex.h"
#include "net/x509.h"

static void
regex_free(void *arg)
{
	struct ap_regex *re = arg;

	ap_regex_free(&re);
}

struct ap_regex *
wp_regex_new(struct ap_arena *arena, struct ap_slice pattern, unsigned flags, struct ap_error *err)
{
	struct ap_regex *re = ap_regex_new(pattern, flags, err);

	if (re != NULL)
		ap_arena_defer(arena, regex_free, re);
	return re;
}

int
wp_text_compile(struct ap_arena *arena, const Ambit__Waypoint__StringMatch *m, bool ignore_case, struct wp_text *out,
    struct ap_error *err)
{
	struct wp_text t = { .ignore_case = ignore_case || m->ignore_case };

	switch (m->kind_case) {
	case AMBIT__WAYPOINT__STRING_MATCH__KIND_EXACT:
		t.kind = WP_TEXT_EXACT;
		t.text = ap_slice_of(m->exact);
		break;
	case AMBIT__WAYPOINT__STRING_MATCH__KIND_PREFIX:
		t.kind = WP_TEXT_PREFIX;
		t.text = ap_slice_of(m->prefix);
		break;
	case AMBIT__WAYPOINT__STRING_MATCH__KIND_SUFFIX:
		t.kind = WP_TEXT_SUFFIX;
		t.text = ap_slice_of(m->suffix);
		break;
	case AMBIT__WAYPOINT__STRING_MATCH__KIND_PATH_PREFIX:
		t.kind = WP_TEXT_ELEMENTS;
		t.text = ap_slice_of(m->path_prefix);
		while (t.text.len > 0 && t.text.ptr[t.text.len - 1] == '/')
			t.text.len--;
		break;
	case AMBIT__WAYPOINT__STRING_MATCH__KIND_PRESENT:
		t.kind = m->present ? WP_TEXT_PRESENT : WP_TEXT_ABSENT;
		break;
	case AMBIT__WAYPOINT__STRING_MATCH__KIND_REGEX:
		t.kind = WP_TEXT_REGEX;
		t.text = ap_slice_of(m->regex);
		t.regex = wp_regex_new(arena, t.text, AP_REGEX_FULL | (t.ignore_case ? AP_REGEX_NOCASE : 0U), err);
		if (t.regex == NULL)
			return -EINVAL;
		break;
	case AMBIT__WAYPOINT__STRING_MATCH__KIND__NOT_SET:
	case _AMBIT__WAYPOINT__STRING_MATCH__KIND__CASE_IS_INT_SIZE:
	default:
		return ap_error_set(err, -EINVAL, "a match says neither exact, prefix, suffix, regex nor present");
	}
	*out = t;
	return 0;
}

struct wp_text
wp_text_pattern(struct ap_slice value)
{
	struct wp_text t = { .kind = WP_TEXT_EXACT, .text = value };

	if (ap_slice_eq(value, AP_S("*"))) {
		t.kind = WP_TEXT_PRESENT;
	} else if (ap_slice_ends(value, AP_S("*"))) {
		t.kind = WP_TEXT_PREFIX;
		t.text.len--;
	} else if (ap_slice_starts(value, AP_S("*"))) {
		t.kind = WP_TEXT_SUFFIX;
		t.text = ap_slice_from(value, 1);
	}
	return t;
}

static bool
part_eq(struct ap_slice a, struct ap_slice b, bool ignore_case)
{
	return ignore_case ? ap_slice_eq_nocase(a, b) : ap_slice_eq(a, b);
}

static bool
regex_matches(const struct ap_regex *re, bool *undecided, struct ap_slice v)
{
	enum ap_regex_result r = ap_regex_match(re, v);

	if (r == AP_REGEX_LIMIT && undecided != NULL)
		*undecided = true;
	return r == AP_REGEX_YES;
}

bool
wp_text_matches(const struct wp_text *t, bool *undecided, struct ap_slice v)
{
	size_t n = t->text.len;

	if (v.ptr == NULL)
		return t->kind == WP_TEXT_ABSENT;
	switch ((enum wp_text_kind)t->kind) {
	case WP_TEXT_EXACT:
		return v.len == n && part_eq(v, t->text, t->ignore_case);
	case WP_TEXT_PREFIX:
		return v.len >= n && part_eq(ap_slice(v.ptr, n), t->text, t->ignore_case);
	case WP_TEXT_SUFFIX:
		return v.len >= n && part_eq(ap_slice(v.ptr + v.len - n, n), t->text, t->ignore_case);
	case WP_TEXT_ELEMENTS:
		return v.len >= n && part_eq(ap_slice(v.ptr, n), t->text, t->ignore_case) &&
		       (v.len == n || v.ptr[n] == '/');
	case WP_TEXT_REGEX:
		return regex_matches(t->regex, undecided, v);
	case WP_TEXT_PRESENT:
		return true;
	case WP_TEXT_TEMPLATE:
		return wp_template_matches(t->text, v);
	case WP_TEXT_ABSENT:
	case WP_TEXT_NEVER:
		break;
	}
	return false;
}

struct ap_slice
wp_view_header(const struct wp_view *v, struct ap_slice name)
{
	const struct ap_fields *f = v->fields;
	struct ap_slice first = AP_SLICE_NONE, r;
	size_t count = 0, size = 0;
	char *p;

	if (name.len > 0 && name.ptr[0] == ':') {
		if (ap_slice_eq(name, AP_S(":authority")))
			return v->authority;
		if (ap_slice_eq(name, AP_S(":method")))
			return v->method;
		if (ap_slice_eq(name, AP_S(":path")))
			return v->path;
		return ap_slice_eq(name, AP_S(":scheme")) ? v->scheme : AP_SLICE_NONE;
	}
	if (ap_slice_eq(name, AP_S("host")))
		return v->authority;
	for (uint32_t i = 0; f != NULL && i < f->count; i++) {
		if (!ap_slice_eq(f->items[i].name, name))
			continue;
		if (count++ == 0)
			first = f->items[i].value;
		size += f->items[i].value.len + 1;
	}
	if (count == 1 && first.ptr == NULL)
		return AP_S("");
	if (count < 2)
		return first;
	p = ap_arena_alloc(v->arena, size);
	if (p == NULL)
		return AP_SLICE_NONE;
	r = ap_slice(p, size - 1);
	for (uint32_t i = 0, k = 0; i < f->count; i++) {
		if (!ap_slice_eq(f->items[i].name, name))
			continue;
		if (k++ > 0)
			*p++ = ',';
		if (f->items[i].value.len > 0)
			memcpy(p, f->items[i].value.ptr, f->items[i].value.len);
		p += f->items[i].value.len;
	}
	return r;
}

struct ap_slice
wp_view_query(const struct wp_view *v, struct ap_slice name)
{
	struct ap_slice rest = v->query;

	while (rest.ptr != NULL) {
		struct ap_slice value = ap_slice_cut(&rest, '&'), key = ap_slice_cut(&value, '=');

		if (ap_slice_eq(key, name))
			return value.ptr == NULL ? AP_S("") : value;
	}
	return AP_SLICE_NONE;
}

void
wp_view_set_identity(struct wp_view *v, struct ap_slice identity)
{
	struct ap_slice td;

	v->identity = identity;
	v->principal = v->source_namespace = v->source_account = AP_SLICE_NONE;
	if (!ap_slice_starts(identity, AP_S("spiffe://")))
		return;
	v->principal = ap_slice_from(identity, sizeof("spiffe://") - 1);
	if (!ap_spiffe_parse(identity, &td, &v->source_namespace, &v->source_account))
		v->source_namespace = v->source_account = AP_SLICE_NONE;
}
