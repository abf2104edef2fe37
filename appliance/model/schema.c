/*
 * schema.c -- checks documents against their rows.
 *
 * Everything an operator writes passes here once, whether it comes from the YAML file or through the API, so every problem is
 * found in the same words.  The walk keeps the path of where it is and puts it in front of each text, also of those
 * that rows' own checks add: they see a value and need not know where it stands.  No state; any thread.
 */
#include "model/schema.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"
#include "base/text.h"

#define PATH_MAX_TEXT 240 /* leaves room for the sentence in an error's text */

_Static_assert(AP_SCHEMA_REQUIRED == -ENODATA && AP_SCHEMA_UNKNOWN == -ENOKEY && AP_SCHEMA_VALUES == -EDOM &&
		AP_SCHEMA_DUPLICATE == -EEXIST && AP_SCHEMA_TYPE == -ENOMSG,
    "the codes of schema.h are errno values");

struct walk {
	struct ap_errors *errs;
	struct ap_errors *unknown;
	size_t found;
	char path[PATH_MAX_TEXT];
	size_t len;
};

static void check_object(struct walk *w, const struct ap_schema *schema, const struct ap_doc *node);

static size_t
path_push(struct walk *w, const char *separator, struct ap_slice part, const char *end)
{
	size_t old = w->len;
	int n;

	n = snprintf(
	    w->path + w->len, sizeof(w->path) - w->len, "%s%.*s%s", w->len == 0 ? "" : separator, AP_FMT(part), end);
	if (n > 0)
		w->len = AP_MIN(w->len + (size_t)n, sizeof(w->path) - 1);
	return old;
}

static size_t
path_push_index(struct walk *w, uint32_t i)
{
	size_t old = w->len;
	int n;

	n = snprintf(w->path + w->len, sizeof(w->path) - w->len, "[%u]", i);
	if (n > 0)
		w->len = AP_MIN(w->len + (size_t)n, sizeof(w->path) - 1);
	return old;
}

static void
path_pop(struct walk *w, size_t old)
{
	w->len = old;
	w->path[old] = '\0';
}

/* A map key that is no plain word would make the path ambiguous: metadata.labels["a/b"]. */
static size_t
path_push_key(struct walk *w, struct ap_slice key)
{
	if (ap_slice_find(key, '.') == SIZE_MAX && ap_slice_find(key, '/') == SIZE_MAX)
		return path_push(w, ".", key, "");
	size_t old = w->len;

	int n = snprintf(w->path + w->len, sizeof(w->path) - w->len, "[\"%.*s\"]", AP_FMT(key));
	if (n > 0)
		w->len = AP_MIN(w->len + (size_t)n, sizeof(w->path) - 1);
	return old;
}

#define problem(w_, code_, at_, fmt_, ...) \
	do { \
		(w_)->found++; \
		if ((w_)->len == 0) \
			ap_errors_add((w_)->errs, (code_), (at_), fmt_, ##__VA_ARGS__); \
		else \
			ap_errors_add((w_)->errs, (code_), (at_), "%s: " fmt_, (w_)->path, ##__VA_ARGS__); \
	} while (0)

/* Put the path before what a check added since `before`. */
static void
adopt(struct walk *w, size_t kept_before, size_t total_before)
{
	char text[sizeof(((struct ap_error *)NULL)->text)];

	for (size_t i = kept_before; i < w->errs->count; i++) {
		struct ap_error *e = &w->errs->items[i];
		bool goes_on = e->text[0] == '.' || e->text[0] == '[';

		if (w->len == 0) {
			if (e->text[0] == '.')
				memmove(e->text, e->text + 1, strlen(e->text));
			continue;
		}
		memcpy(text, e->text, sizeof(text));
		ap_error_set_at(e, e->code, e->at, "%s%s%s", w->path, goes_on ? "" : ": ", text);
	}
	w->found += w->errs->total - total_before;
}

static const char *
type_name(enum ap_doc_type t)
{
	static const char *const names[] = { [AP_DOC_NULL] = "null",
		[AP_DOC_BOOL] = "a boolean",
		[AP_DOC_INT] = "a whole number",
		[AP_DOC_REAL] = "a number",
		[AP_DOC_STRING] = "a string",
		[AP_DOC_LIST] = "a list",
		[AP_DOC_MAP] = "a map" };

	return (size_t)t < AP_COUNTOF(names) ? names[t] : "something else";
}

static const char *
wanted_name(enum ap_type t)
{
	static const char *const names[] = { [AP_T_STRING] = "a string",
		[AP_T_INT] = "a whole number",
		[AP_T_REAL] = "a number",
		[AP_T_BOOL] = "true or false",
		[AP_T_DURATION] = "a duration such as 250ms or 1h30m",
		[AP_T_OBJECT] = "a map",
		[AP_T_LIST] = "a list",
		[AP_T_MAP] = "a map",
		[AP_T_INT_OR_STRING] = "a whole number or a string",
		[AP_T_ANY] = "anything" };

	return (size_t)t < AP_COUNTOF(names) ? names[t] : "something else";
}

static bool
type_fits(enum ap_type want, enum ap_doc_type have)
{
	switch (want) {
	case AP_T_STRING:
	case AP_T_DURATION:
		return have == AP_DOC_STRING;
	case AP_T_INT:
		return have == AP_DOC_INT;
	case AP_T_REAL:
		return have == AP_DOC_INT || have == AP_DOC_REAL;
	case AP_T_BOOL:
		return have == AP_DOC_BOOL;
	case AP_T_OBJECT:
	case AP_T_MAP:
		return have == AP_DOC_MAP;
	case AP_T_LIST:
		return have == AP_DOC_LIST;
	case AP_T_INT_OR_STRING:
		return have == AP_DOC_INT || have == AP_DOC_STRING;
	case AP_T_ANY:
		return true;
	}
	return false;
}

static void
check_enum(struct walk *w, const char *const *values, const struct ap_doc *v)
{
	char list[200];
	size_t len = 0;
	const char *near;

	for (const char *const *p = values; *p != NULL; p++)
		if (ap_slice_eq_text(v->string, *p))
			return;
	list[0] = '\0';
	for (const char *const *p = values; *p != NULL && len < sizeof(list); p++) {
		int n = snprintf(list + len, sizeof(list) - len, "%s%s", p == values ? "" : ", ", *p);
		len += n > 0 ? (size_t)n : 0;
	}
	near = ap_text_nearest(v->string, values);
	if (near != NULL)
		problem(w, AP_SCHEMA_VALUES, v->at, "\"%.*s\" is not allowed; did you mean \"%s\"? Allowed: %s",
		    AP_FMT(v->string), near, list);
	else
		problem(w, AP_SCHEMA_VALUES, v->at, "\"%.*s\" is not allowed; allowed: %s", AP_FMT(v->string), list);
}

static void
check_bounds(struct walk *w, const struct ap_field_row *row, enum ap_type type, const struct ap_doc *v)
{
	const char *what = "";
	double n;

	if (row->min == 0 && row->max == 0)
		return;
	switch (v->type) {
	case AP_DOC_INT:
		n = (double)v->integer;
		break;
	case AP_DOC_REAL:
		n = v->real;
		break;
	case AP_DOC_STRING:
		if (type == AP_T_DURATION || type == AP_T_INT_OR_STRING)
			return;
		n = (double)v->string.len;
		what = " characters long";
		break;
	case AP_DOC_LIST:
	case AP_DOC_MAP:
		n = (double)v->count;
		what = v->type == AP_DOC_LIST ? " items long" : " members long";
		break;
	case AP_DOC_NULL:
	case AP_DOC_BOOL:
	default:
		return;
	}
	if (row->max >= row->min && (n < (double)row->min || n > (double)row->max)) {
		if (row->min == 0 && what[0] != '\0')
			problem(w, -ERANGE, v->at, "must be at most %lld%s, is %.15g", (long long)row->max, what, n);
		else
			problem(w, -ERANGE, v->at, "must be between %lld and %lld%s, is %.15g", (long long)row->min,
			    (long long)row->max, what, n);
	} else if (n < (double)row->min) {
		problem(w, -ERANGE, v->at, "must be at least %lld%s, is %.15g", (long long)row->min, what, n);
	}
}

/* Lists of a thousand items are checked too, so the quadratic way is only for short ones. */
static void
check_unique(struct walk *w, const struct ap_doc *list)
{
	uint32_t i = 0;

	if (list->count > 4096)
		return;
	AP_DOC_FOR (item, list) {
		uint32_t k = 0;

		for (const struct ap_doc *other = list->first; other != item; other = other->next, k++)
			if (ap_doc_eq(item, other)) {
				size_t old = path_push_index(w, i);

				problem(w, AP_SCHEMA_DUPLICATE, item->at, "stands in the list already, at [%u]", k);
				path_pop(w, old);
				break;
			}
		i++;
	}
}

/* One value of a type: a field's, a list's item, a map's member. is_item: the row's bounds and enum are the list's or its items'. */
static void
check_value(struct walk *w, const struct ap_field_row *row, enum ap_type type, bool is_item, const struct ap_doc *v)
{
	int64_t ns;

	if (!type_fits(type, v->type)) {
		problem(w, AP_SCHEMA_TYPE, v->at, "must be %s, not %s", wanted_name(type), type_name(v->type));
		return;
	}
	if (!is_item)
		check_bounds(w, row, type, v);
	if (v->type == AP_DOC_STRING) {
		if (!is_item && (row->flags & AP_F_NON_EMPTY) != 0 && v->string.len == 0)
			problem(w, AP_SCHEMA_REQUIRED, v->at, "must not be empty");
		else if (row->values != NULL)
			check_enum(w, row->values, v);
	}
	if (type == AP_T_DURATION && ap_text_to_duration(v->string, &ns) != 0)
		problem(w, -EINVAL, v->at, "\"%.*s\" is no duration such as 250ms or 1h30m", AP_FMT(v->string));
	if (type == AP_T_OBJECT && row->of != NULL)
		check_object(w, row->of, v);
}

static void
check_field(struct walk *w, const struct ap_field_row *row, const struct ap_doc *v)
{
	size_t found = w->found, old, kept, total;
	uint32_t i = 0;

	check_value(w, row, row->type, false, v);
	if (row->type == AP_T_LIST && v->type == AP_DOC_LIST) {
		if ((row->flags & AP_F_NON_EMPTY) != 0 && v->count == 0)
			problem(w, AP_SCHEMA_REQUIRED, v->at, "must hold at least one item");
		AP_DOC_FOR (item, v) {
			old = path_push_index(w, i++);
			if (item->type == AP_DOC_NULL)
				problem(w, AP_SCHEMA_TYPE, item->at, "must be %s, not null", wanted_name(row->item));
			else
				check_value(w, row, row->item, true, item);
			path_pop(w, old);
		}
		if ((row->flags & AP_F_UNIQUE) != 0)
			check_unique(w, v);
	} else if (row->type == AP_T_MAP && v->type == AP_DOC_MAP) {
		AP_DOC_FOR (member, v) {
			old = path_push_key(w, member->key);
			if (member->type == AP_DOC_NULL && row->item == AP_T_STRING)
				problem(w, AP_SCHEMA_TYPE, member->at, "must be a string, not null");
			else if (member->type != AP_DOC_NULL)
				check_value(w, row, row->item, true, member);
			path_pop(w, old);
		}
	}
	if ((row->flags & AP_F_REFUSED) != 0)
		problem(w, -ENOTSUP, v->at, "is not honoured by Ambit, and going on without it would weaken security");
	if (row->check != NULL && w->found == found) {
		kept = w->errs->count;
		total = w->errs->total;
		row->check(v, w->errs);
		adopt(w, kept, total);
	}
}

/* Nearest row's name, for "did you mean". */
static const char *
nearest_row(const struct ap_schema *schema, struct ap_slice key)
{
	const char *best = NULL;
	unsigned distance = 4;

	if (key.len < 3)
		distance = 2;
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++) {
		unsigned d;

		if (ap_slice_eq_nocase(key, ap_slice_of(row->name)))
			return row->name;
		d = ap_text_distance(key, ap_slice_of(row->name), distance);
		if (d < distance) {
			distance = d;
			best = row->name;
		}
	}
	return best;
}

static void
report_unknown(struct walk *w, const struct ap_schema *schema, const struct ap_doc *member)
{
	const char *near = nearest_row(schema, member->key);
	size_t old;

	if (w->unknown == NULL)
		return;
	old = path_push_key(w, member->key);
	if (w->unknown == w->errs)
		w->found++;
	if (near != NULL)
		ap_errors_add(w->unknown, AP_SCHEMA_UNKNOWN, member->key_at, "%s: unknown field; did you mean \"%s\"?",
		    w->path, near);
	else
		ap_errors_add(w->unknown, AP_SCHEMA_UNKNOWN, member->key_at, "%s: unknown field", w->path);
	path_pop(w, old);
}

const struct ap_field_row *
ap_schema_row(const struct ap_schema *schema, struct ap_slice name)
{
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++)
		if (ap_slice_eq_text(name, row->name))
			return row;
	return NULL;
}

static void
check_object(struct walk *w, const struct ap_schema *schema, const struct ap_doc *node)
{
	size_t found = w->found, kept, total, old;

	AP_DOC_FOR (member, node) {
		const struct ap_field_row *row = ap_schema_row(schema, member->key);

		if (row == NULL) {
			report_unknown(w, schema, member);
			continue;
		}
		if (member->type == AP_DOC_NULL) /* as in Kubernetes: null is absent */
			continue;
		old = path_push(w, ".", member->key, "");
		check_field(w, row, member);
		path_pop(w, old);
	}
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++) {
		const struct ap_doc *v;

		if ((row->flags & AP_F_REQUIRED) == 0)
			continue;
		v = ap_doc_get(node, row->name);
		if (v != NULL && v->type != AP_DOC_NULL)
			continue;
		old = path_push(w, ".", ap_slice_of(row->name), "");
		problem(w, AP_SCHEMA_REQUIRED, node->at, "is required");
		path_pop(w, old);
	}
	if (schema->check != NULL && w->found == found) {
		kept = w->errs->count;
		total = w->errs->total;
		schema->check(node, w->errs);
		adopt(w, kept, total);
	}
}

size_t
ap_schema_check_known(const struct ap_schema *schema, const struct ap_doc *node, const char *path, struct ap_errors *errs,
    struct ap_errors *unknown)
{
	struct walk w = { .errs = errs, .unknown = unknown };

	path_push(&w, "", ap_slice_of(path), "");
	if (!ap_doc_is(node, AP_DOC_MAP)) {
		problem(&w, AP_SCHEMA_TYPE, node == NULL ? (struct ap_place){ 0 } : node->at, "must be a map, not %s",
		    node == NULL ? "nothing" : type_name(node->type));
		return w.found;
	}
	check_object(&w, schema, node);
	return w.found;
}

size_t
ap_schema_check(const struct ap_schema *schema, const struct ap_doc *node, const char *path, struct ap_errors *errs)
{
	return ap_schema_check_known(schema, node, path, errs, errs);
}

static void
report_object(struct walk *w, const struct ap_schema *schema, const struct ap_doc *node)
{
	size_t old, inner;

	AP_DOC_FOR (member, node) {
		const struct ap_field_row *row = ap_schema_row(schema, member->key);
		uint32_t i = 0;

		if (row == NULL || member->type == AP_DOC_NULL)
			continue;
		old = path_push(w, ".", member->key, "");
		if ((row->flags & AP_F_REPORTED) != 0) {
			w->found++;
			ap_errors_add(w->errs, -ENOTSUP, member->at, "%s: is kept but not honoured yet", w->path);
		} else if (row->of != NULL && row->type == AP_T_OBJECT && member->type == AP_DOC_MAP) {
			report_object(w, row->of, member);
		} else if (row->of != NULL && row->type == AP_T_LIST && member->type == AP_DOC_LIST) {
			AP_DOC_FOR (item, member) {
				inner = path_push_index(w, i++);
				if (item->type == AP_DOC_MAP)
					report_object(w, row->of, item);
				path_pop(w, inner);
			}
		} else if (row->of != NULL && row->type == AP_T_MAP && member->type == AP_DOC_MAP) {
			AP_DOC_FOR (item, member) {
				inner = path_push_key(w, item->key);
				if (item->type == AP_DOC_MAP)
					report_object(w, row->of, item);
				path_pop(w, inner);
			}
		}
		path_pop(w, old);
	}
}

size_t
ap_schema_reported(const struct ap_schema *schema, const struct ap_doc *node, const char *path, struct ap_errors *errs)
{
	struct walk w = { .errs = errs };

	path_push(&w, "", ap_slice_of(path), "");
	if (ap_doc_is(node, AP_DOC_MAP))
		report_object(&w, schema, node);
	return w.found;
}

const char *
ap_schema_type_text(const struct ap_field_row *row, char *out, size_t size)
{
	static const char *const names[] = { [AP_T_STRING] = "string",
		[AP_T_INT] = "integer",
		[AP_T_REAL] = "number",
		[AP_T_BOOL] = "boolean",
		[AP_T_DURATION] = "duration",
		[AP_T_OBJECT] = "object",
		[AP_T_LIST] = "list",
		[AP_T_MAP] = "map",
		[AP_T_INT_OR_STRING] = "integer or string",
		[AP_T_ANY] = "any" };

	if (row->type == AP_T_LIST)
		snprintf(out, size, "list of %ss", names[row->item]);
	else if (row->type == AP_T_MAP)
		snprintf(out, size, "map of %ss", names[row->item]);
	else
		snprintf(out, size, "%s", names[row->type]);
	return out;
}
