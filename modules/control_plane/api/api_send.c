/* api_send.c -- answers: objects in the version that was asked for, and Status objects that say what is wrong and where. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/yaml.h"
#include "control_plane/api/api_priv.h"
#include "model/checks.h"
#include "model/schema.h"

/* -- bytes -- */

void
api_send_text(struct api_request *r, int status, const char *type, struct ap_slice text)
{
	struct ap_http_head head;
	struct ap_slice rest = ap_buf_slice(&r->warnings);

	if (rest.len == 0) {
		ap_exchange_reply(r->x, status, type, text);
		api_done(r);
		return;
	}
	ap_http_head_init(&head, r->x->arena);
	head.status = status;
	head.content_length = (int64_t)text.len;
	ap_fields_add(&head.fields, AP_S("content-type"), ap_slice_of(type));
	while (rest.ptr != NULL) {
		struct ap_slice line = ap_slice_cut(&rest, '\n');

		if (line.len > 0)
			ap_fields_add(&head.fields, AP_S("warning"), line);
	}
	ap_exchange_respond(r->x, &head, false);
	/* Beyond the high-water mark nothing is taken at once: those who ask for warnings write single objects. */
	if (ap_stream_write(&r->x->stream, text.ptr, text.len) == (ssize_t)text.len)
		ap_stream_shutdown(&r->x->stream);
	api_done(r);
}

void
api_send(struct api_request *r, int status, const struct ap_doc *doc)
{
	struct ap_buf out;

	ap_buf_init(&out, API_ANSWER_MAX);
	if (r->format == API_YAML)
		ap_yaml_write(doc, &out);
	else
		ap_json_write(doc, 0, &out);
	ap_buf_add_char(&out, '\n');
	if (out.bad)
		api_send_text(r, 500, "text/plain", AP_S("the answer is too big; ask for less with limit=\n"));
	else
		api_send_text(r, status, r->format == API_YAML ? "application/yaml" : "application/json", ap_buf_slice(&out));
	ap_buf_done(&out);
}

/* -- Status -- */

struct ap_doc *
api_status_doc(struct ap_arena *arena, int status, const char *reason, struct ap_slice message)
{
	struct ap_doc *doc = ap_doc_new_map(arena);

	ap_doc_set_string(arena, doc, "kind", AP_S("Status"));
	ap_doc_set_string(arena, doc, "apiVersion", AP_S("v1"));
	ap_doc_set(arena, doc, "metadata", ap_doc_new_map(arena));
	ap_doc_set_string(arena, doc, "status", status < 400 ? AP_S("Success") : AP_S("Failure"));
	ap_doc_set_string(arena, doc, "message", message);
	if (reason != NULL)
		ap_doc_set_string(arena, doc, "reason", ap_slice_of(reason));
	ap_doc_set(arena, doc, "code", ap_doc_new_int(arena, status));
	return doc;
}

static struct ap_doc *
details(struct api_request *r, struct ap_doc *status, struct ap_slice name)
{
	struct ap_doc *d = ap_doc_new_map(r->arena);

	if (name.len > 0)
		ap_doc_set_string(r->arena, d, "name", name);
	if (r->target.kind != NULL) {
		if (r->target.kind->group[0] != '\0')
			ap_doc_set_string(r->arena, d, "group", ap_slice_of(r->target.kind->group));
		ap_doc_set_string(r->arena, d, "kind", ap_slice_of(r->target.kind->plural));
	}
	ap_doc_set(r->arena, status, "details", d);
	return d;
}

void
api_fail(struct api_request *r, int status, const char *reason, const char *fmt, ...)
{
	char text[1000];
	va_list ap;
	struct ap_doc *doc;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	doc = api_status_doc(r->arena, status, reason, ap_slice_of(text));
	if (r->target.kind != NULL)
		details(r, doc, r->target.name);
	api_send(r, status, doc);
}

/* "spec.http[0].timeout: must be ..." is a field and a sentence when the first part looks like a path. */
static struct ap_slice
field_of(struct ap_slice text, struct ap_slice *out_rest)
{
	size_t at = ap_slice_search(text, AP_S(": ")), i;

	*out_rest = text;
	if (at == SIZE_MAX || at == 0)
		return AP_SLICE_NONE;
	for (i = 0; i < at; i++)
		if (text.ptr[i] == ' ')
			return AP_SLICE_NONE;
	*out_rest = ap_slice_from(text, at + 2);
	return ap_slice_sub(text, 0, at);
}

static const char *
cause_reason(int code)
{
	switch (code) {
	case AP_SCHEMA_REQUIRED:
		return "FieldValueRequired";
	case AP_SCHEMA_VALUES:
		return "FieldValueNotSupported";
	case AP_SCHEMA_DUPLICATE:
		return "FieldValueDuplicate";
	case AP_SCHEMA_TYPE:
		return "FieldValueTypeInvalid";
	case AP_SCHEMA_UNKNOWN:
		return "FieldValueForbidden";
	default:
		return "FieldValueInvalid";
	}
}

static const char *
cause_words(int code)
{
	switch (code) {
	case AP_SCHEMA_REQUIRED:
		return "Required value";
	case AP_SCHEMA_VALUES:
		return "Unsupported value";
	case AP_SCHEMA_DUPLICATE:
		return "Duplicate value";
	case AP_SCHEMA_UNKNOWN:
		return "Forbidden";
	default:
		return "Invalid value";
	}
}

static void
fail_invalid(struct api_request *r, const struct ap_errors *errs, struct ap_slice name)
{
	const struct ap_kind *k = r->target.kind;
	struct ap_doc *doc, *causes = ap_doc_new_list(r->arena), *d;
	struct ap_buf message;

	name = ap_slice_sub(name, 0, 253); /* a longer one is what is wrong with it */
	ap_buf_init(&message, 64 * 1024);
	ap_buf_printf(&message, "%s%s%s \"%.*s\" is invalid: %s", k->kind, k->group[0] == '\0' ? "" : ".", k->group,
	    AP_FMT(name), errs->count > 1 ? "[" : "");
	for (size_t i = 0; i < errs->count; i++) {
		const struct ap_error *e = &errs->items[i];
		struct ap_slice words, field = field_of(ap_slice_of(e->text), &words);
		struct ap_doc *cause = ap_doc_new_map(r->arena);
		char text[500];

		snprintf(text, sizeof(text), "%s: %.*s", cause_words(e->code), AP_FMT(words));
		ap_doc_set_string(r->arena, cause, "reason", ap_slice_of(cause_reason(e->code)));
		ap_doc_set_string(r->arena, cause, "message", ap_slice_of(text));
		ap_doc_set_string(r->arena, cause, "field", field.len > 0 ? field : AP_S("<nil>"));
		ap_doc_append(causes, cause);
		ap_buf_printf(&message, "%s%.*s%s%s", i == 0 ? "" : ", ", AP_FMT(field), field.len > 0 ? ": " : "", text);
	}
	if (errs->total > errs->count)
		ap_buf_printf(&message, ", and %zu more problems", errs->total - errs->count);
	if (errs->count > 1)
		ap_buf_add_char(&message, ']');
	doc = api_status_doc(r->arena, 422, "Invalid", ap_buf_slice(&message));
	d = details(r, doc, name);
	ap_doc_set_string(r->arena, d, "kind", ap_slice_of(k->kind)); /* as Kubernetes: here the kind, elsewhere the plural */
	ap_doc_set(r->arena, d, "causes", causes);
	api_send(r, 422, doc);
	ap_buf_done(&message);
}

void
api_fail_errors(struct api_request *r, const struct ap_errors *errs, struct ap_slice name)
{
	const struct ap_error *e = &errs->items[0];
	const struct ap_kind *k = r->target.kind;

	if (errs->count == 1) {
		switch (e->code) {
		case -EAGAIN:
			api_fail(r, 409, "Conflict", "Operation cannot be fulfilled on %s%s%s \"%.*s\": %s", k->plural,
			    k->group[0] == '\0' ? "" : ".", k->group, AP_FMT(name), e->text);
			return;
		case -EEXIST:
			/* Also the code of a duplicate in a list, which has a path in front. */
			if (strstr(e->text, "already exists") != NULL) {
				api_fail(r, 409, "AlreadyExists", "%s", e->text);
				return;
			}
			break;
		case -ENOENT:
			api_fail(r, 404, "NotFound", "%s", e->text);
			return;
		case -ENOSPC:
		case -EIO:
		case -EBUSY:
			api_fail(r, 500, "InternalError", "%s", e->text);
			return;
		default:
			break;
		}
	}
	fail_invalid(r, errs, name);
}

/* -- objects -- */

static struct ap_doc *
share(struct ap_arena *arena, const struct ap_doc *node)
{
	struct ap_doc *copy = ap_arena_alloc(arena, sizeof(*copy));

	if (copy == NULL)
		return NULL;
	*copy = *node;
	copy->next = NULL;
	return copy;
}

static void
add(struct ap_doc *map, struct ap_doc *member)
{
	if (member == NULL)
		return;
	if (map->last == NULL)
		map->first = member;
	else
		map->last->next = member;
	map->last = member;
	map->count++;
}

struct ap_doc *
api_present(struct api_request *r, const struct ap_resource *res)
{
	struct ap_doc *root = ap_doc_new_map(r->arena);
	char version[128], asked[64];

	if (r->metadata_only) {
		ap_doc_set_string(r->arena, root, "kind", AP_S("PartialObjectMetadata"));
		ap_doc_set_string(r->arena, root, "apiVersion", AP_S("meta.k8s.io/v1"));
		add(root, share(r->arena, res->metadata));
		return root;
	}
	snprintf(asked, sizeof(asked), "%.*s", AP_FMT(r->target.version));
	ap_kind_api_version(res->kind, r->target.kind != NULL ? asked : NULL, version, sizeof(version));
	AP_DOC_FOR (member, res->doc) {
		if (ap_slice_eq(member->key, AP_S("apiVersion"))) {
			struct ap_doc *v = share(r->arena, member);

			if (v != NULL)
				v->string = ap_arena_copy(r->arena, ap_slice_of(version));
			add(root, v);
		} else {
			add(root, share(r->arena, member));
		}
	}
	return root;
}

void
api_send_resource(struct api_request *r, int status, const struct ap_resource *res)
{
	struct ap_resource *one = (struct ap_resource *)(uintptr_t)res;

	if (r->table)
		api_send(r, status, api_table(r, &one, 1, NULL, true));
	else
		api_send(r, status, api_present(r, res));
}
