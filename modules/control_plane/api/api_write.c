/* api_write.c -- create, replace, delete; and how a body becomes a stored object. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "control_plane/api/api_priv.h"
#include "model/checks.h"

AP_LOG_MODULE(audit);

#define DOC_ARENA ((size_t)64 * 1024 * 1024)

enum validation { VALIDATE_STRICT, VALIDATE_WARN, VALIDATE_IGNORE };

/* -- the body -- */

static bool
is_yaml(struct api_request *r)
{
	struct ap_slice rest = ap_fields_get(&r->x->request.fields, AP_S("content-type"));
	struct ap_slice type = ap_slice_trim(ap_slice_cut(&rest, ';'));

	return ap_slice_eq(type, AP_S("application/yaml")) || ap_slice_eq(type, AP_S("application/apply-patch+yaml")) ||
	    ap_slice_eq(type, AP_S("text/yaml"));
}

struct ap_doc *
api_read_body(struct api_request *r, struct ap_arena **out_arena)
{
	struct ap_arena *arena = ap_arena_new(DOC_ARENA);
	struct ap_yaml_docs docs = { 0 };
	struct ap_error err = { 0 };
	struct ap_doc *doc = NULL;
	int rc;

	if (is_yaml(r)) {
		rc = ap_yaml_parse(arena, "body", ap_buf_slice(&r->body), &docs, &err);
		if (rc == 0 && docs.count == 1)
			doc = docs.items[0];
		else if (rc == 0)
			rc = ap_error_set(&err, -EINVAL, "the body must be one document, not %u", docs.count);
	} else {
		rc = ap_json_parse(arena, "body", ap_buf_slice(&r->body), &doc, &err);
	}
	if (rc != 0) {
		if (err.at.line > 0)
			api_fail(r, 400, "BadRequest", "the body cannot be read: line %u, column %u: %s", err.at.line, err.at.column,
			    err.text);
		else
			api_fail(r, 400, "BadRequest", "the body cannot be read: %s", err.text);
		ap_arena_free(&arena);
		return NULL;
	}
	*out_arena = arena;
	return doc;
}

/* -- checks of a write -- */

unsigned
api_write_flags(struct api_request *r, bool *out_bad)
{
	struct ap_slice dry = api_param(r, "dryRun");

	*out_bad = dry.len > 0 && !ap_slice_eq(dry, AP_S("All"));
	if (*out_bad)
		api_fail(r, 400, "BadRequest", "dryRun: must be All, is \"%.*s\"", AP_FMT(dry));
	return dry.len > 0 ? CP_APPLY_DRY_RUN : 0;
}

static bool
read_validation(struct api_request *r, enum validation *out)
{
	struct ap_slice v = api_param(r, "fieldValidation");

	/* Kubernetes' preset is Warn; a mesh that silently drops a misspelt field would be less safe than its operator believes,
	 * so unknown fields are refused unless the client says otherwise. */
	*out = VALIDATE_STRICT;
	if (ap_slice_eq(v, AP_S("Warn")))
		*out = VALIDATE_WARN;
	else if (ap_slice_eq(v, AP_S("Ignore")))
		*out = VALIDATE_IGNORE;
	else if (v.len > 0 && !ap_slice_eq(v, AP_S("Strict"))) {
		api_fail(r, 400, "BadRequest", "fieldValidation must be Strict, Warn or Ignore, is \"%.*s\"", AP_FMT(v));
		return false;
	}
	return true;
}

static void
warn_unknown(struct api_request *r, const struct ap_errors *unknown)
{
	for (size_t i = 0; i < unknown->count; i++) {
		ap_buf_add_text(&r->warnings, "299 - ");
		ap_buf_add_json(&r->warnings, ap_slice_of(unknown->items[i].text));
		ap_buf_add_char(&r->warnings, '\n');
	}
}

/* What the path says and the body says must be the same thing. */
static bool
agree(struct api_request *r, struct ap_arena *arena, struct ap_doc *doc, bool names)
{
	const struct api_target *t = &r->target;
	struct ap_slice api_version = ap_doc_string(doc, "apiVersion", ""), kind = ap_doc_string(doc, "kind", ""), own;
	struct ap_doc *metadata;
	char version[128], asked[64];

	snprintf(asked, sizeof(asked), "%.*s", AP_FMT(t->version));
	ap_kind_api_version(t->kind, asked, version, sizeof(version));
	if (!ap_doc_is(doc, AP_DOC_MAP)) {
		api_fail(r, 400, "BadRequest", "the body must be an object");
		return false;
	}
	if (api_version.len == 0)
		ap_doc_set_string(arena, doc, "apiVersion", ap_slice_of(version));
	if (kind.len == 0)
		ap_doc_set_string(arena, doc, "kind", ap_slice_of(t->kind->kind));
	if ((kind.len > 0 && !ap_slice_eq_text(kind, t->kind->kind)) ||
	    (api_version.len > 0 && ap_kind_of(api_version, ap_slice_of(t->kind->kind)) != t->kind)) {
		api_fail(r, 400, "BadRequest", "the object provided is %.*s of %.*s, and the path wants %s of %s", AP_FMT(kind),
		    AP_FMT(api_version), t->kind->kind, version);
		return false;
	}
	if (!ap_doc_is(ap_doc_get(doc, "metadata"), AP_DOC_MAP))
		ap_doc_set(arena, doc, "metadata", ap_doc_new_map(arena));
	metadata = ap_doc_get(doc, "metadata");
	own = ap_doc_string(metadata, "namespace", "");
	if (own.len > 0 && t->namespace_.len > 0 && !ap_slice_eq(own, t->namespace_)) {
		api_fail(r, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request");
		return false;
	}
	if (t->kind->namespaced && own.len == 0 && t->namespace_.len > 0)
		ap_doc_set_string(arena, metadata, "namespace", t->namespace_);
	own = ap_doc_string(metadata, "name", "");
	if (!names)
		return true;
	if (own.len == 0) {
		ap_doc_set_string(arena, metadata, "name", t->name);
	} else if (!ap_slice_eq(own, t->name)) {
		api_fail(r, 400, "BadRequest", "the name of the object (%.*s) does not match the name on the URL (%.*s)", AP_FMT(own),
		    AP_FMT(t->name));
		return false;
	}
	return true;
}

/* A token's name is no more than its number; nobody should have to think of one. */
static void
name_token(struct api_request *r, struct ap_arena *arena, struct ap_doc *doc, enum cp_verb verb)
{
	struct ap_doc *metadata = ap_doc_get(doc, "metadata");

	if (verb == CP_CREATE && strcmp(r->target.kind->kind, "JoinToken") == 0 &&
	    ap_doc_string(metadata, "name", "").len == 0 && ap_doc_string(metadata, "generateName", "").len == 0)
		ap_doc_set_string(arena, metadata, "generateName", AP_S("token-"));
}

/* A new token's secret is told in the answer and nowhere else. */
static void
send_with_secret(struct api_request *r, int status, const struct ap_resource *res, struct ap_slice secret)
{
	struct ap_doc *doc = ap_doc_copy(r->arena, api_present(r, res));

	ap_doc_set_string(r->arena, ap_doc_make_path(r->arena, doc, "status"), "token", secret);
	api_send(r, status, doc);
}

/* Who changed what; status is written by machines all the time and says nothing of intent. */
static void
audit(struct api_request *r, const char *verb, const struct ap_resource *res)
{
	if (r->target.subresource.len == 0)
		LOG_INFO(NULL, "%.*s %s %.*s, revision %llu", AP_FMT(r->user), verb, AP_FMT(res->key),
		    (unsigned long long)cp_revision(r->cp));
}

void
api_store(struct api_request *r, struct ap_arena *arena, struct ap_doc *doc, enum cp_verb verb, int status)
{
	struct ap_errors errs = { 0 }, unknown = { 0 };
	enum validation validation;
	struct ap_slice name;
	struct cp_result result = { 0 };
	unsigned flags;
	bool bad;

	flags = api_write_flags(r, &bad);
	if (bad || !read_validation(r, &validation) || !agree(r, arena, doc, verb != CP_CREATE)) {
		ap_arena_free(&arena);
		return;
	}
	name_token(r, arena, doc, verb);
	name = ap_arena_copy(r->arena, ap_doc_string(ap_doc_get(doc, "metadata"), "name", ""));
	/* A status write leaves the rest alone, so the rest is not looked at. */
	if (verb != CP_REPLACE_STATUS)
		ap_resource_check(doc, &errs, validation == VALIDATE_STRICT ? NULL : &unknown);
	if (errs.total > 0) {
		api_fail_errors(r, &errs, name);
		ap_arena_free(&arena);
	} else {
		if (validation == VALIDATE_WARN)
			warn_unknown(r, &unknown);
		if (cp_put(r->cp, arena, doc, verb, flags, r->arena, &result, &errs) != 0) {
			api_fail_errors(r, &errs, name);
			goto done;
		}
		if (result.changed && (flags & CP_APPLY_DRY_RUN) == 0)
			audit(r, result.created ? "created" : "changed", result.resource);
		if (result.secret.len > 0)
			send_with_secret(r, status, result.resource, result.secret);
		else
			api_send_resource(r, result.created ? 201 : status, result.resource);
	}
done:
	ap_resource_unref(&result.resource);
	ap_errors_done(&errs);
	ap_errors_done(&unknown);
}

/* -- verbs -- */

void
api_create(struct api_request *r)
{
	struct ap_arena *arena;
	struct ap_doc *doc;

	if (r->target.kind->namespaced && r->target.namespace_.len == 0) {
		api_fail(r, 405, "MethodNotAllowed", "%s are created within a namespace: namespaces/<namespace>/%s",
		    r->target.kind->plural, r->target.kind->plural);
		return;
	}
	doc = api_read_body(r, &arena);
	if (doc != NULL)
		api_store(r, arena, doc, CP_CREATE, 201);
}

void
api_replace(struct api_request *r)
{
	struct ap_arena *arena;
	struct ap_doc *doc = api_read_body(r, &arena);

	if (doc != NULL)
		api_store(r, arena, doc, r->target.subresource.len > 0 ? CP_REPLACE_STATUS : CP_REPLACE, 200);
}

static bool
current_key(struct api_request *r, char *key, size_t size)
{
	if (ap_resource_key(r->target.kind, r->target.namespace_, r->target.name, key, size) == 0)
		return true;
	api_fail(r, 400, "BadRequest", "the name is too long");
	return false;
}

/* DeleteOptions.preconditions: -EAGAIN when they do not hold. */
static bool
preconditions_hold(struct api_request *r, const struct ap_doc *options, const struct ap_resource *res)
{
	const struct ap_doc *p = ap_doc_get(options, "preconditions");
	struct ap_slice uid = ap_doc_string(p, "uid", ""), version = ap_doc_string(p, "resourceVersion", "");

	if ((uid.len == 0 || ap_slice_eq(uid, res->uid)) &&
	    (version.len == 0 || ap_slice_eq(version, ap_doc_string(res->metadata, "resourceVersion", ""))))
		return true;
	api_fail(r, 409, "Conflict",
	    "Operation cannot be fulfilled on %s \"%.*s\": the preconditions (uid, resourceVersion) do not hold",
	    r->target.kind->plural, AP_FMT(res->name));
	return false;
}

static bool
read_options(struct api_request *r, struct ap_arena **arena, struct ap_doc **options)
{
	*arena = NULL;
	*options = NULL;
	if (r->body.len == 0)
		return true;
	*options = api_read_body(r, arena);
	return *options != NULL;
}

void
api_delete(struct api_request *r)
{
	struct ap_arena *arena;
	struct ap_doc *options, *answer, *details;
	struct ap_error err = { 0 };
	struct ap_resource *res;
	struct cp_result result = { 0 };
	char key[800];
	unsigned flags;
	bool bad;

	flags = api_write_flags(r, &bad);
	if (bad || !current_key(r, key, sizeof(key)) || !read_options(r, &arena, &options))
		return;
	if (ap_doc_get(options, "dryRun") != NULL && ap_doc_get(options, "dryRun")->count > 0)
		flags |= CP_APPLY_DRY_RUN;
	res = cp_current(r->cp, ap_slice_of(key));
	if (res == NULL) {
		api_fail(r, 404, "NotFound", "%s%s%s \"%.*s\" not found", r->target.kind->plural,
		    r->target.kind->group[0] == '\0' ? "" : ".", r->target.kind->group, AP_FMT(r->target.name));
	} else if (preconditions_hold(r, options, res)) {
		if (cp_remove(r->cp, ap_slice_of(key), flags, &result, &err) != 0) {
			api_fail(r, err.code == -EPERM ? 403 : 500, err.code == -EPERM ? "Forbidden" : "InternalError", "%s", err.text);
		} else if (!result.changed && (flags & CP_APPLY_DRY_RUN) == 0) {
			api_send_resource(r, 200, result.resource); /* marked; finalizers must go first */
		} else {
			if (result.changed)
				audit(r, "deleted", result.resource);
			answer = api_status_doc(r->arena, 200, NULL, AP_S(""));
			ap_doc_remove(answer, "message");
			ap_doc_remove(answer, "code");
			details = ap_doc_make_path(r->arena, answer, "details");
			ap_doc_set_string(r->arena, details, "name", result.resource->name);
			ap_doc_set_string(r->arena, details, "kind", ap_slice_of(r->target.kind->plural));
			if (r->target.kind->group[0] != '\0')
				ap_doc_set_string(r->arena, details, "group", ap_slice_of(r->target.kind->group));
			ap_doc_set_string(r->arena, details, "uid", result.resource->uid);
			api_send(r, 200, answer);
		}
		ap_resource_unref(&result.resource);
	}
	ap_arena_free(&arena);
}

void
api_delete_collection(struct api_request *r)
{
	struct api_selector *s = api_selector_read(r);
	struct ap_resource **items;
	struct cp_result result;
	struct ap_error err = { 0 };
	unsigned flags;
	size_t count;
	bool bad;
	int rc = 0, end;

	if (s == NULL)
		return;
	flags = api_write_flags(r, &bad);
	if (bad)
		return;
	items = api_collect(r, s, &count);
	for (size_t i = 0; i < count; i++)
		ap_resource_ref(items[i]);
	cp_batch_begin(r->cp);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (cp_current(r->cp, items[i]->key) == NULL)
			continue;
		rc = cp_remove(r->cp, items[i]->key, flags, &result, &err);
		if (rc == 0 && result.changed)
			audit(r, "deleted", result.resource);
		ap_resource_unref(&result.resource);
	}
	end = cp_batch_end(r->cp, &err);
	if (rc == -EPERM)
		api_fail(r, 403, "Forbidden", "%s", err.text);
	else if (rc != 0 || end != 0)
		api_fail(r, 500, "InternalError", "%s", err.text);
	else
		api_send(r, 200, api_status_doc(r->arena, 200, NULL, AP_S("")));
	for (size_t i = 0; i < count; i++)
		ap_resource_unref(&items[i]);
}
