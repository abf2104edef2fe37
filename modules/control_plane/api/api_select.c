/*
 * api_select.c -- labelSelector and fieldSelector of a query, read once and matched against each object.
 *
 *   labelSelector: a=b,c==d,e!=f,g,!h,i in (x,y),j notin (z)
 *   fieldSelector: metadata.name and metadata.namespace with = == !=
 */
#include <string.h>

#include "control_plane/api/api_priv.h"

#define TERMS_MAX 64
#define VALUES_MAX 256

enum op { OP_EQ, OP_NE, OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT };

struct term {
	enum op op;
	struct ap_slice key;
	struct ap_slice *values;
	uint32_t count;
};

struct api_selector {
	struct term labels[TERMS_MAX];
	struct term fields[TERMS_MAX];
	uint32_t label_count, field_count;
};

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	    c == '.' || c == '/';
}

static struct ap_slice
take_name(struct ap_slice *s)
{
	struct ap_slice out = *s;
	size_t n = 0;

	while (n < s->len && is_name_char(s->ptr[n]))
		n++;
	out.len = n;
	*s = ap_slice_from(*s, n);
	return out;
}

static void
skip_blanks(struct ap_slice *s)
{
	while (s->len > 0 && (s->ptr[0] == ' ' || s->ptr[0] == '\t'))
		*s = ap_slice_from(*s, 1);
}

static bool
take(struct ap_slice *s, struct ap_slice what)
{
	if (!ap_slice_starts(*s, what))
		return false;
	*s = ap_slice_from(*s, what.len);
	return true;
}

static bool
add_value(struct ap_arena *arena, struct term *t, struct ap_slice v)
{
	if (t->values == NULL)
		t->values = ap_arena_alloc(arena, VALUES_MAX * sizeof(*t->values));
	if (t->values == NULL || t->count == VALUES_MAX)
		return false;
	t->values[t->count++] = v;
	return true;
}

/* "(x,y)" */
static bool
take_set(struct ap_arena *arena, struct ap_slice *s, struct term *t)
{
	skip_blanks(s);
	if (!take(s, AP_S("(")))
		return false;
	for (;;) {
		skip_blanks(s);
		if (!add_value(arena, t, take_name(s)))
			return false;
		skip_blanks(s);
		if (take(s, AP_S(")")))
			return true;
		if (!take(s, AP_S(",")))
			return false;
	}
}

static bool
take_term(struct ap_arena *arena, struct ap_slice *s, struct term *t)
{
	skip_blanks(s);
	if (take(s, AP_S("!"))) {
		skip_blanks(s);
		t->op = OP_ABSENT;
		t->key = take_name(s);
		return t->key.len > 0;
	}
	t->key = take_name(s);
	if (t->key.len == 0)
		return false;
	skip_blanks(s);
	t->op = OP_EXISTS;
	if (s->len == 0 || s->ptr[0] == ',')
		return true;
	if (take(s, AP_S("!=")))
		t->op = OP_NE;
	else if (take(s, AP_S("==")) || take(s, AP_S("=")))
		t->op = OP_EQ;
	else if (take(s, AP_S("notin")))
		t->op = OP_NOT_IN;
	else if (take(s, AP_S("in")))
		t->op = OP_IN;
	else
		return false;
	if (t->op == OP_IN || t->op == OP_NOT_IN)
		return take_set(arena, s, t);
	skip_blanks(s);
	return add_value(arena, t, take_name(s));
}

static bool
read_terms(struct ap_arena *arena, struct ap_slice text, struct term *terms, uint32_t *count)
{
	skip_blanks(&text);
	while (text.len > 0) {
		if (*count == TERMS_MAX || !take_term(arena, &text, &terms[*count]))
			return false;
		(*count)++;
		skip_blanks(&text);
		if (text.len == 0)
			return true;
		if (!take(&text, AP_S(",")))
			return false;
	}
	return true;
}

struct api_selector *
api_selector_read(struct api_request *r)
{
	struct api_selector *s = ap_arena_zalloc(r->arena, sizeof(*s));
	struct ap_slice labels = api_param(r, "labelSelector"), fields = api_param(r, "fieldSelector");

	if (!read_terms(r->arena, labels, s->labels, &s->label_count)) {
		api_fail(r, 400, "BadRequest", "unable to parse labelSelector \"%.*s\"", AP_FMT(labels));
		return NULL;
	}
	if (!read_terms(r->arena, fields, s->fields, &s->field_count)) {
		api_fail(r, 400, "BadRequest", "unable to parse fieldSelector \"%.*s\"", AP_FMT(fields));
		return NULL;
	}
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct term *t = &s->fields[i];

		if ((!ap_slice_eq(t->key, AP_S("metadata.name")) && !ap_slice_eq(t->key, AP_S("metadata.namespace"))) ||
		    (t->op != OP_EQ && t->op != OP_NE)) {
			api_fail(r, 400, "BadRequest", "field label not supported: %.*s", AP_FMT(t->key));
			return NULL;
		}
	}
	return s;
}

static bool
label_matches(const struct term *t, const struct ap_resource *res)
{
	const struct ap_doc *v = ap_doc_get_slice(res->labels, t->key);
	bool has = ap_doc_is(v, AP_DOC_STRING), in = false;

	for (uint32_t i = 0; i < t->count && !in; i++)
		in = has && ap_slice_eq(v->string, t->values[i]);
	switch (t->op) {
	case OP_EXISTS:
		return has;
	case OP_ABSENT:
		return !has;
	case OP_EQ:
	case OP_IN:
		return in;
	case OP_NE:
	case OP_NOT_IN:
		return !in;
	}
	return false;
}

bool
api_selector_match(const struct api_selector *s, const struct ap_resource *res)
{
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct term *t = &s->fields[i];
		bool name = ap_slice_eq(t->key, AP_S("metadata.name"));

		if (ap_slice_eq(name ? res->name : res->namespace_, t->values[0]) != (t->op == OP_EQ))
			return false;
	}
	for (uint32_t i = 0; i < s->label_count; i++)
		if (!label_matches(&s->labels[i], res))
			return false;
	return true;
}
