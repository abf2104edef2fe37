/*
 * cp_apply.c -- what stands between a checked document and its commit: preconditions, what the server fills in, generations, and
 * what a deletion takes along.
 *
 * People's writes (through the API) and the control plane's own (from the file, the enrolment, the compiler) come through
 * cp_put, so that both leave objects of the same shape.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "control_plane/cp_store.h"
#include "model/checks.h"

#define ARENA_MAX ((size_t)32 * 1024 * 1024)

/* -- what the server fills in -- */

static void
set_uid(struct ap_arena *arena, struct ap_doc *metadata)
{
	uint8_t b[16];
	char text[40];

	ap_rand_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(text, sizeof(text), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
	    b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	ap_doc_set_string(arena, metadata, "uid", ap_slice_of(text));
}

static void
set_now(struct ap_arena *arena, struct ap_doc *map, const char *key)
{
	char text[40];

	ap_clock_format(ap_clock_wall_us(), 0, text, sizeof(text));
	ap_doc_set_string(arena, map, key, ap_slice_of(text));
}

/* Is anything else than metadata and status different? */
static bool
body_differs(const struct ap_doc *a, const struct ap_doc *b)
{
	const struct ap_doc *const sides[2][2] = { { a, b }, { b, a } };

	for (size_t i = 0; i < 2; i++)
		AP_DOC_FOR (member, sides[i][0]) {
			const struct ap_doc *other = ap_doc_get_slice(sides[i][1], member->key);

			if (ap_slice_eq(member->key, AP_S("metadata")) || ap_slice_eq(member->key, AP_S("status")) ||
			    ap_slice_eq(member->key, AP_S("apiVersion")))
				continue;
			if (other == NULL || !ap_doc_eq(member, other))
				return true;
		}
	return false;
}

static void
keep(struct ap_arena *arena, struct ap_doc *to, const struct ap_doc *from, const char *key)
{
	const struct ap_doc *v = ap_doc_get(from, key);

	if (v != NULL)
		ap_doc_set(arena, to, key, ap_doc_copy(arena, v));
	else
		ap_doc_remove(to, key);
}

static void
make_name(struct ap_arena *arena, struct ap_doc *metadata)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	struct ap_slice base = ap_doc_string(metadata, "generateName", "");
	char text[260];
	size_t len;

	if (ap_doc_string(metadata, "name", "").len > 0 || base.len == 0)
		return;
	len = AP_MIN(base.len, (size_t)58);
	memcpy(text, base.ptr, len);
	for (size_t i = 0; i < 5; i++)
		text[len++] = alphabet[ap_rand_below(sizeof(alphabet) - 1)];
	ap_doc_set_string(arena, metadata, "name", ap_slice(text, len));
}

/* What some kinds have from their birth. */
static void
fill_kind(const struct ap_kind *k, struct ap_arena *arena, struct ap_doc *doc)
{
	struct ap_doc *metadata = ap_doc_get(doc, "metadata");

	if (strcmp(k->kind, "Namespace") == 0) {
		ap_doc_set_string(arena, ap_doc_make_path(arena, metadata, "labels"), "kubernetes.io/metadata.name",
		    ap_doc_string(metadata, "name", ""));
		if (!ap_check_has(ap_doc_get(doc, "status"), "phase"))
			ap_doc_set_string(arena, ap_doc_make_path(arena, doc, "status"), "phase", AP_S("Active"));
	}
}

/* -- put -- */

static int
check_preconditions(const struct ap_doc *metadata, const struct ap_resource *before, enum cp_verb verb,
    const char *name, struct ap_errors *errs)
{
	struct ap_slice version = ap_doc_string(metadata, "resourceVersion", "");
	struct ap_slice uid = ap_doc_string(metadata, "uid", "");

	if (verb == CP_CREATE) {
		if (before != NULL)
			return ap_errors_add(errs, -EEXIST, metadata->at, "%s \"%.*s\" already exists", name,
			    AP_FMT(before->name));
		if (version.len > 0)
			return ap_errors_add(errs, -EINVAL, metadata->at,
			    "metadata.resourceVersion: should not be set on objects to be created");
		return 0;
	}
	if (before == NULL)
		return ap_errors_add(errs, -ENOENT, metadata->at, "%s \"%.*s\" not found", name,
		    AP_FMT(ap_doc_string(metadata, "name", "")));
	if (version.len > 0 && !ap_slice_eq(version, AP_S("0")) &&
	    !ap_slice_eq(version, ap_doc_string(before->metadata, "resourceVersion", "")))
		return ap_errors_add(errs, -EAGAIN, metadata->at,
		    "the object has been modified; please apply your changes to the latest version and try again");
	if (uid.len > 0 && !ap_slice_eq(uid, before->uid))
		return ap_errors_add(errs, -EAGAIN, metadata->at,
		    "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s", AP_FMT(uid), AP_FMT(before->uid));
	return 0;
}

/* Fields that never change once they are there. */
static int
check_immutable(const struct ap_kind *k, const struct ap_doc *doc, const struct ap_resource *before, struct ap_errors *errs)
{
	const struct ap_doc *spec = ap_doc_get(doc, "spec");

	if (before == NULL)
		return 0;
	if (strcmp(k->kind, "JoinToken") == 0 && !ap_doc_eq(spec, before->spec))
		return ap_errors_add(errs, -EINVAL, doc->at, "spec: a token does not change; make another one");
	if (strcmp(k->kind, "GatewayClass") == 0 &&
	    !ap_slice_eq(ap_doc_string(spec, "controllerName", ""), ap_doc_string(before->spec, "controllerName", "")))
		return ap_errors_add(errs, -EINVAL, doc->at, "spec.controllerName: Value is immutable");
	return 0;
}

/* Metadata and status as the verb leaves them. */
static void
fill(const struct ap_kind *k, struct ap_arena *arena, struct ap_doc *doc, const struct ap_resource *before,
    unsigned flags)
{
	struct ap_doc *metadata = ap_doc_get(doc, "metadata"), *generation;
	bool trusted = (flags & CP_APPLY_TRUSTED) != 0;

	ap_doc_remove(metadata, "managedFields");
	ap_doc_remove(metadata, "selfLink");
	ap_doc_remove(metadata, "resourceVersion");
	if (before == NULL) {
		if (!trusted)
			ap_doc_remove(doc, "status");
		set_uid(arena, metadata);
		set_now(arena, metadata, "creationTimestamp");
		ap_doc_remove(metadata, "deletionTimestamp");
		ap_doc_set(arena, metadata, "generation", ap_doc_new_int(arena, 1));
	} else {
		if (!trusted || ap_doc_get(doc, "status") == NULL)
			keep(arena, doc, before->doc, "status");
		keep(arena, metadata, before->metadata, "uid");
		keep(arena, metadata, before->metadata, "creationTimestamp");
		keep(arena, metadata, before->metadata, "deletionTimestamp");
		generation = ap_doc_new_int(arena, before->generation + (body_differs(doc, before->doc) ? 1 : 0));
		ap_doc_set(arena, metadata, "generation", generation);
	}
	fill_kind(k, arena, doc);
}

/* The same but for resourceVersion, which doc does not have. */
static bool
is_unchanged(const struct ap_doc *doc, const struct ap_resource *before)
{
	const struct ap_doc *metadata = ap_doc_get(doc, "metadata");

	if (before == NULL || body_differs(doc, before->doc) || !ap_doc_eq(ap_doc_get(doc, "status"), before->status))
		return false;
	if (metadata->count + 1 != before->metadata->count)
		return false;
	AP_DOC_FOR (member, before->metadata)
		if (!ap_slice_eq(member->key, AP_S("resourceVersion")) &&
		    !ap_doc_eq(member, ap_doc_get_slice(metadata, member->key)))
			return false;
	return true;
}

static int
finish(struct cp *cp, struct ap_arena *arena, struct ap_doc *doc, struct ap_resource *before, unsigned flags,
    struct cp_result *out, struct ap_errors *errs)
{
	const struct ap_doc *metadata = ap_doc_get(doc, "metadata"), *finalizers = ap_doc_get(metadata, "finalizers");
	struct ap_error err = { 0 };
	struct ap_resource *after = NULL;
	int rc;

	if (is_unchanged(doc, before)) {
		out->resource = ap_resource_ref(before);
		ap_arena_free(&arena);
		return 0;
	}
	out->changed = true;
	if ((flags & CP_APPLY_DRY_RUN) != 0) {
		if (before != NULL)
			keep(arena, ap_doc_get(doc, "metadata"), before->metadata, "resourceVersion");
		out->resource = ap_resource_take(arena, doc, &err);
		return out->resource != NULL ? 0 : ap_errors_add(errs, err.code, err.at, "%s", err.text);
	}
	/* The last finalizer of an object that is to go has gone. */
	if (before != NULL && ap_check_has(metadata, "deletionTimestamp") && (finalizers == NULL || finalizers->count == 0)) {
		out->resource = ap_resource_ref(before);
		ap_arena_free(&arena);
		rc = cp_stage_removal(cp, before, &err);
	} else {
		rc = cp_stage_put(cp, arena, doc, &after, &err);
		if (rc == 0)
			out->resource = ap_resource_ref(after);
	}
	return rc == 0 ? 0 : ap_errors_add(errs, rc, err.at, "%s", err.text);
}

/* All but the status stays as it is. */
static int
put_status(struct cp *cp, struct ap_arena *arena, const struct ap_doc *given, struct ap_resource *before, unsigned flags,
    struct cp_result *out, struct ap_errors *errs)
{
	const struct ap_doc *status = ap_doc_get(given, "status");
	struct ap_doc *doc = ap_doc_copy(arena, before->doc);

	if (status == NULL)
		ap_doc_remove(doc, "status");
	else
		ap_doc_set(arena, doc, "status", ap_doc_copy(arena, status));
	ap_doc_remove(ap_doc_get(doc, "metadata"), "resourceVersion");
	return finish(cp, arena, doc, before, flags, out, errs);
}

/* Name and namespace, which make the key. */
static int
name_object(const struct ap_kind *k, struct ap_arena *arena, struct ap_doc *doc, char *key, size_t size, struct ap_errors *errs)
{
	struct ap_doc *metadata = ap_doc_get(doc, "metadata");
	int rc;

	make_name(arena, metadata);
	if (k->namespaced && ap_doc_string(metadata, "namespace", "").len == 0)
		ap_doc_set_string(arena, metadata, "namespace", AP_S("default"));
	rc = ap_resource_key(k, ap_doc_string(metadata, "namespace", ""), ap_doc_string(metadata, "name", ""), key, size);
	return rc == 0 ? 0 : ap_errors_add(errs, rc, metadata->at, "metadata.name: is too long");
}

/* What is asked of the object beyond its own text. */
static int
admit(struct cp *cp, const struct ap_kind *k, const struct ap_doc *doc, const struct ap_resource *before, struct ap_errors *errs)
{
	int rc = check_immutable(k, doc, before, errs);

	if (rc != 0)
		return rc;
	if (before == NULL && cp->store->set.by_key.count >= CP_OBJECTS_MAX)
		return ap_errors_add(
		    errs, -ENOSPC, doc->at, "the store holds %u objects already, its bound", CP_OBJECTS_MAX);
	return cp_validate(cp, k, doc, errs) > 0 ? -EINVAL : 0;
}

int
cp_put(struct cp *cp, struct ap_arena *arena, struct ap_doc *doc, enum cp_verb verb, unsigned flags,
    struct ap_arena *scratch, struct cp_result *out, struct ap_errors *errs)
{
	const struct ap_kind *k = ap_kind_of(ap_doc_string(doc, "apiVersion", ""), ap_doc_string(doc, "kind", ""));
	struct ap_resource *before;
	char key[800], name[160];
	int rc;

	*out = (struct cp_result){ 0 };
	if (k == NULL || ap_doc_get(doc, "metadata") == NULL) {
		rc = ap_errors_add(errs, -EINVAL, doc->at, "kind %.*s is not read", AP_FMT(ap_doc_string(doc, "kind", "")));
		goto refuse;
	}
	if (verb == CP_CREATE && strcmp(k->kind, "JoinToken") == 0 && (flags & CP_APPLY_TRUSTED) == 0)
		out->secret = cp_token_mint(arena, doc, scratch);
	if ((rc = name_object(k, arena, doc, key, sizeof(key), errs)) != 0)
		goto refuse;
	snprintf(name, sizeof(name), "%s%s%s", k->plural, k->group[0] == '\0' ? "" : ".", k->group);
	before = cp_current(cp, ap_slice_of(key));
	if ((rc = check_preconditions(ap_doc_get(doc, "metadata"), before, verb, name, errs)) != 0)
		goto refuse;
	if (verb == CP_REPLACE_STATUS)
		return put_status(cp, arena, doc, before, flags, out, errs);
	if ((rc = admit(cp, k, doc, before, errs)) != 0)
		goto refuse;
	out->created = before == NULL;
	if (out->secret.len > 0)
		flags |= CP_APPLY_TRUSTED; /* its status was made here */
	fill(k, arena, doc, before, flags);
	return finish(cp, arena, doc, before, flags, out, errs);
refuse:
	ap_arena_free(&arena);
	return rc;
}

/* -- delete -- */

static int
remove_namespaced(struct cp *cp, struct ap_slice namespace_, struct ap_error *err)
{
	struct ap_map_entry *e;
	int rc = 0;

	for (size_t i = 0; rc == 0 && (e = ap_map_next(&cp->store->set.by_key, &i)) != NULL;) {
		struct ap_resource *r = e->value;

		if (r->kind->namespaced && ap_slice_eq(r->namespace_, namespace_) && cp_current(cp, r->key) != NULL)
			rc = cp_stage_removal(cp, r, err);
	}
	return rc;
}

/* Namespaces that the mesh begins with: deleting one would take along what the whole mesh hangs on. */
static bool
is_permanent(const struct cp *cp, const struct ap_resource *r)
{
	return r->kind->group[0] == '\0' && strcmp(r->kind->kind, "Namespace") == 0 &&
	    (ap_slice_eq(r->name, AP_S("default")) || ap_slice_eq(r->name, cp->settings.root_namespace));
}

int
cp_remove(struct cp *cp, struct ap_slice key, unsigned flags, struct cp_result *out, struct ap_error *err)
{
	struct ap_resource *before = cp_current(cp, key), *after = NULL;
	const struct ap_doc *finalizers;
	struct ap_arena *arena;
	struct ap_doc *doc;
	int rc, end;

	*out = (struct cp_result){ 0 };
	if (before == NULL)
		return ap_error_set(err, -ENOENT, "%.*s not found", AP_FMT(key));
	if ((flags & CP_APPLY_TRUSTED) == 0 && is_permanent(cp, before))
		return ap_error_set(err, -EPERM, "namespaces \"%.*s\" is forbidden: this namespace may not be deleted",
		    AP_FMT(before->name));
	out->resource = ap_resource_ref(before);
	if ((flags & CP_APPLY_DRY_RUN) != 0)
		return 0;
	finalizers = ap_doc_get(before->metadata, "finalizers");
	if (finalizers != NULL && finalizers->count > 0) {
		if (ap_check_has(before->metadata, "deletionTimestamp"))
			return 0;
		arena = ap_arena_new(ARENA_MAX);
		doc = ap_doc_copy(arena, before->doc);
		set_now(arena, ap_doc_get(doc, "metadata"), "deletionTimestamp");
		rc = cp_stage_put(cp, arena, doc, &after, err);
		if (rc == 0) {
			ap_resource_unref(&out->resource);
			out->resource = ap_resource_ref(after);
		}
	} else {
		cp_batch_begin(cp);
		rc = 0;
		if (before->kind->group[0] == '\0' && strcmp(before->kind->kind, "Namespace") == 0)
			rc = remove_namespaced(cp, before->name, err);
		if (rc == 0)
			rc = cp_stage_removal(cp, before, err);
		end = cp_batch_end(cp, err);
		rc = rc != 0 ? rc : end;
		out->changed = rc == 0;
	}
	if (rc != 0)
		ap_resource_unref(&out->resource);
	return rc;
}

int
cp_delete(struct cp *cp, struct ap_slice key, struct ap_error *err)
{
	struct cp_result result;
	int rc = cp_remove(cp, key, CP_APPLY_TRUSTED, &result, err);

	ap_resource_unref(&result.resource);
	return rc;
}

/* -- for the control plane's own writes -- */

void
cp_merge(struct ap_arena *arena, struct ap_doc *target, const struct ap_doc *patch)
{
	AP_DOC_FOR (member, patch) {
		struct ap_doc *old = ap_doc_get_slice(target, member->key);

		if (member->type == AP_DOC_NULL) {
			ap_doc_remove(target, member->key.ptr);
		} else if (member->type == AP_DOC_MAP && ap_doc_is(old, AP_DOC_MAP)) {
			cp_merge(arena, old, member);
		} else if (member->type == AP_DOC_MAP) {
			struct ap_doc *fresh = ap_doc_new_map(arena);

			if (fresh == NULL)
				return; /* the arena is full, and the caller sees that */
			cp_merge(arena, fresh, member);
			ap_doc_set(arena, target, member->key.ptr, fresh);
		} else {
			ap_doc_set(arena, target, member->key.ptr, ap_doc_copy(arena, member));
		}
	}
}

static int
apply_one(struct cp *cp, const struct ap_doc *given, unsigned flags, struct ap_errors *errs)
{
	struct ap_arena *arena = ap_arena_new(ARENA_MAX), *scratch;
	struct ap_doc *doc = ap_doc_copy(arena, given), *merged;
	const struct ap_kind *k = ap_kind_of(ap_doc_string(doc, "apiVersion", ""), ap_doc_string(doc, "kind", ""));
	const struct ap_doc *metadata = ap_doc_get(doc, "metadata");
	struct ap_resource *before = NULL;
	size_t problems = errs->total;
	struct cp_result result;
	char key[800];
	int rc = 0;

	if (k != NULL && metadata != NULL) {
		struct ap_slice ns = ap_doc_string(metadata, "namespace", "default");

		if (ap_resource_key(k, ns, ap_doc_string(metadata, "name", ""), key, sizeof(key)) == 0)
			before = cp_current(cp, ap_slice_of(key));
	}
	if (before != NULL && (flags & CP_APPLY_KEEP_EXISTING) != 0) {
		ap_arena_free(&arena);
		return 0;
	}
	if (before != NULL && (flags & CP_APPLY_MERGE) != 0) {
		merged = ap_doc_copy(arena, before->doc);
		cp_merge(arena, merged, doc);
		doc = merged;
	}
	ap_resource_check(doc, errs, NULL);
	if (errs->total != problems) {
		ap_arena_free(&arena);
		return -EINVAL;
	}
	scratch = ap_arena_new(4096);
	rc = cp_put(cp, arena, doc, before == NULL || (flags & CP_APPLY_CREATE_ONLY) != 0 ? CP_CREATE : CP_REPLACE, flags,
	    scratch, &result, errs);
	ap_resource_unref(&result.resource);
	ap_arena_free(&scratch);
	return rc;
}

int
cp_apply(struct cp *cp, struct ap_doc *const *docs, size_t count, unsigned flags, struct ap_errors *errs)
{
	struct ap_errors own = { 0 };
	struct ap_errors *to = errs == NULL ? &own : errs;
	struct ap_error err = { 0 };
	size_t staged = cp->store->staged.count;
	int rc = 0, one, end;

	cp_batch_begin(cp);
	for (size_t i = 0; i < count; i++) {
		one = apply_one(cp, docs[i], flags, to);
		rc = rc != 0 ? rc : one;
	}
	/* All or none: what this call staged goes again. Keys staged before it cannot be told apart once replaced, so inside a
	 * caller's batch a failed apply must fail the batch; nobody does otherwise. */
	if (rc != 0)
		while (cp->store->staged.count > staged) {
			struct cp_staged *st = &cp->store->staged.items[--cp->store->staged.count];
			struct ap_slice key = st->after != NULL ? st->after->key : st->before->key;

			ap_map_remove(&cp->store->staged_at, key);
			ap_resource_unref(&st->before);
			ap_resource_unref(&st->after);
		}
	end = cp_batch_end(cp, &err);
	if (rc == 0 && end != 0)
		rc = ap_errors_add(to, end, err.at, "%s", err.text);
	ap_errors_done(&own);
	return rc;
}

int
cp_set_status(struct cp *cp, struct ap_slice key, const struct ap_doc *status, struct ap_error *err)
{
	struct ap_resource *before = cp_current(cp, key);
	struct ap_arena *arena;
	struct ap_doc *doc;

	if (before == NULL)
		return ap_error_set(err, -ENOENT, "%.*s not found", AP_FMT(key));
	if (status == NULL ? before->status == NULL : before->status != NULL && ap_doc_eq(status, before->status))
		return 0;
	arena = ap_arena_new(ARENA_MAX);
	doc = ap_doc_copy(arena, before->doc);
	if (status == NULL)
		ap_doc_remove(doc, "status");
	else
		ap_doc_set(arena, doc, "status", ap_doc_copy(arena, status));
	return cp_stage_put(cp, arena, doc, NULL, err);
}

int
cp_set_condition(struct cp *cp, struct ap_slice key, const char *type, bool ok, const char *reason, const char *message,
    struct ap_error *err)
{
	struct ap_resource *r = cp_current(cp, key);
	struct ap_arena *arena;
	struct ap_doc *status, *list, *condition = NULL;
	struct ap_slice value = ok ? AP_S("True") : AP_S("False");
	int rc;

	if (r == NULL)
		return ap_error_set(err, -ENOENT, "%.*s not found", AP_FMT(key));
	arena = ap_arena_new(ARENA_MAX);
	status = r->status == NULL ? ap_doc_new_map(arena) : ap_doc_copy(arena, r->status);
	list = ap_doc_get(status, "conditions");
	if (!ap_doc_is(list, AP_DOC_LIST)) {
		list = ap_doc_new_list(arena);
		ap_doc_set(arena, status, "conditions", list);
	}
	AP_DOC_FOR (item, list)
		if (ap_slice_eq_text(ap_doc_string(item, "type", ""), type))
			condition = item;
	if (condition == NULL) {
		condition = ap_doc_new_map(arena);
		ap_doc_set_string(arena, condition, "type", ap_slice_of(type));
		ap_doc_append(list, condition);
	}
	if (!ap_slice_eq(ap_doc_string(condition, "status", ""), value)) {
		ap_doc_set_string(arena, condition, "status", value);
		set_now(arena, condition, "lastTransitionTime");
	}
	ap_doc_set_string(arena, condition, "reason", ap_slice_of(reason));
	ap_doc_set_string(arena, condition, "message", ap_slice_of(message));
	ap_doc_set(arena, condition, "observedGeneration", ap_doc_new_int(arena, r->generation));
	rc = cp_set_status(cp, key, status, err);
	ap_arena_free(&arena);
	return rc;
}
