/*
 * resource.c -- one object as everybody holds it, and the set of all objects.
 *
 * A resource owns the arena that its document lives in, never changes, and is counted, so a watcher, a compiler and a set
 * may hold the same one.  The set keeps, beside the map by key, one map per kind: who translates routes should not walk
 * past fifty thousand workloads to find them.
 */
#include "model/resource.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "model/checks.h"

#define RESOURCE_MAX ((size_t)32 * 1024 * 1024)

int
ap_resource_key(const struct ap_kind *k, struct ap_slice namespace_, struct ap_slice name, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/%s/%.*s/%.*s", k->group[0] == '\0' ? "core" : k->group, k->kind,
	    k->namespaced ? (int)namespace_.len : 0, namespace_.ptr == NULL ? "" : namespace_.ptr, AP_FMT(name));

	return n < 0 || (size_t)n >= size ? -EINVAL : 0;
}

static uint64_t
read_revision(const struct ap_doc *metadata)
{
	uint64_t v = 0;

	if (ap_text_to_u64(ap_doc_string(metadata, "resourceVersion", ""), UINT64_MAX, &v) != 0)
		return 0;
	return v;
}

static void
fill(struct ap_resource *r)
{
	const struct ap_doc *m = ap_doc_get(r->doc, "metadata");

	r->metadata = m;
	r->name = ap_doc_string(m, "name", "");
	r->namespace_ = r->kind->namespaced ? ap_doc_string(m, "namespace", "") : AP_S("");
	r->uid = ap_doc_string(m, "uid", "");
	r->labels = ap_doc_get(m, "labels");
	r->annotations = ap_doc_get(m, "annotations");
	r->spec = ap_doc_get(r->doc, "spec");
	r->status = ap_doc_get(r->doc, "status");
	r->revision = read_revision(m);
	r->generation = ap_doc_int(m, "generation", 0);
	if (!ap_check_parse_time(ap_doc_string(m, "creationTimestamp", ""), &r->created_ms))
		r->created_ms = 0;
	r->key = ap_arena_printf(r->arena, "%s/%s/%.*s/%.*s", r->kind->group[0] == '\0' ? "core" : r->kind->group,
	    r->kind->kind, AP_FMT(r->namespace_), AP_FMT(r->name));
	r->path = ap_arena_printf(r->arena, "%.*s/%.*s", AP_FMT(r->namespace_), AP_FMT(r->name));
}

struct ap_resource *
ap_resource_take(struct ap_arena *arena, struct ap_doc *object, struct ap_error *err)
{
	const struct ap_kind *kind =
	    ap_kind_of(ap_doc_string(object, "apiVersion", ""), ap_doc_string(object, "kind", ""));
	struct ap_doc *metadata = ap_doc_get(object, "metadata");
	struct ap_resource *r;
	char version[128];

	if (kind == NULL) {
		ap_error_set_at(err, -ENOENT, object == NULL ? (struct ap_place){ 0 } : object->at,
		    "kind %.*s of %.*s is not read", AP_FMT(ap_doc_string(object, "kind", "")),
		    AP_FMT(ap_doc_string(object, "apiVersion", "")));
		goto fail;
	}
	if (ap_doc_string(metadata, "name", "").len == 0) {
		ap_error_set_at(err, -EINVAL, object->at, "metadata.name: is required");
		goto fail;
	}
	if (kind->namespaced && ap_doc_string(metadata, "namespace", "").len == 0)
		ap_doc_set_string(arena, metadata, "namespace", AP_S("default"));
	ap_kind_api_version(kind, NULL, version, sizeof(version));
	if (!ap_slice_eq_text(ap_doc_string(object, "apiVersion", ""), version))
		ap_doc_set_string(arena, object, "apiVersion", ap_slice_of(version));
	r = ap_new(struct ap_resource);
	ap_refs_init(&r->refs);
	r->arena = arena;
	r->kind = kind;
	r->doc = object;
	fill(r);
	if (!ap_arena_is_full(arena))
		return r;
	ap_free(&r);
	ap_error_set(err, -EFBIG, "the object is too big");
fail:
	ap_arena_free(&arena);
	return NULL;
}

struct ap_resource *
ap_resource_new(const struct ap_doc *object, struct ap_slice namespace_, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new(RESOURCE_MAX);
	struct ap_doc *doc = ap_doc_copy(arena, object);
	struct ap_doc *metadata = ap_doc_get(doc, "metadata");

	if (doc == NULL || ap_arena_is_full(arena)) {
		ap_arena_free(&arena);
		ap_error_set(err, -EFBIG, "the object is too big");
		return NULL;
	}
	if (metadata != NULL && namespace_.len > 0 && ap_doc_string(metadata, "namespace", "").len == 0) {
		const struct ap_kind *k =
		    ap_kind_of(ap_doc_string(doc, "apiVersion", ""), ap_doc_string(doc, "kind", ""));

		if (k != NULL && k->namespaced)
			ap_doc_set_string(arena, metadata, "namespace", namespace_);
	}
	return ap_resource_take(arena, doc, err);
}

struct ap_resource *
ap_resource_ref(struct ap_resource *r)
{
	ap_refs_add(&r->refs);
	return r;
}

void
ap_resource_unref(struct ap_resource **resource)
{
	struct ap_resource *r = *resource;

	*resource = NULL;
	if (r == NULL || !ap_refs_drop(&r->refs))
		return;
	ap_arena_free(&r->arena);
	ap_free(&r);
}

struct ap_slice
ap_resource_label(const struct ap_resource *r, const char *name)
{
	const struct ap_doc *v = ap_doc_get(r->labels, name);

	return ap_doc_is(v, AP_DOC_STRING) ? v->string : AP_SLICE_NONE;
}

struct ap_slice
ap_resource_annotation(const struct ap_resource *r, const char *name)
{
	const struct ap_doc *v = ap_doc_get(r->annotations, name);

	return ap_doc_is(v, AP_DOC_STRING) ? v->string : AP_SLICE_NONE;
}

/* -- label selectors -- */

bool
ap_labels_match(const struct ap_doc *selector, const struct ap_doc *labels)
{
	AP_DOC_FOR (member, selector) {
		const struct ap_doc *v = ap_doc_get_slice(labels, member->key);

		if (!ap_doc_is(v, AP_DOC_STRING) || !ap_slice_eq(v->string, member->string))
			return false;
	}
	return true;
}

static bool
expression_matches(const struct ap_doc *e, const struct ap_doc *labels)
{
	const struct ap_doc *v = ap_doc_get_slice(labels, ap_doc_string(e, "key", ""));
	struct ap_slice op = ap_doc_string(e, "operator", "");
	bool has = ap_doc_is(v, AP_DOC_STRING), in = false;

	if (ap_slice_eq(op, AP_S("Exists")))
		return has;
	if (ap_slice_eq(op, AP_S("DoesNotExist")))
		return !has;
	AP_DOC_FOR (item, ap_doc_get(e, "values"))
		in = in || (has && ap_slice_eq(item->string, v->string));
	return ap_slice_eq(op, AP_S("NotIn")) ? !in : in;
}

bool
ap_label_selector_match(const struct ap_doc *selector, const struct ap_doc *labels)
{
	if (!ap_labels_match(ap_doc_get(selector, "matchLabels"), labels))
		return false;
	AP_DOC_FOR (e, ap_doc_get(selector, "matchExpressions"))
		if (!expression_matches(e, labels))
			return false;
	return true;
}

/* -- the set -- */

static const struct ap_map no_resources;

static struct ap_slice
kind_key(const char *group, const char *kind, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/%s", group[0] == '\0' ? "core" : group, kind);

	return ap_slice(out, n < 0 ? 0 : (size_t)n);
}

struct ap_resource *
ap_resources_find(const struct ap_resource_set *set, struct ap_slice key)
{
	return ap_map_find(&set->by_key, key);
}

const struct ap_map *
ap_resources_of(const struct ap_resource_set *set, const char *group, const char *kind)
{
	char key[160];
	const struct ap_map *m = ap_map_find(&set->by_kind, kind_key(group, kind, key, sizeof(key)));

	return m == NULL ? &no_resources : m;
}

struct ap_resource *
ap_resources_get(const struct ap_resource_set *set, const char *group, const char *kind, struct ap_slice namespace_,
    struct ap_slice name)
{
	char key[700];
	int n = snprintf(key, sizeof(key), "%s/%s/%.*s/%.*s", group[0] == '\0' ? "core" : group, kind, AP_FMT(namespace_),
	    AP_FMT(name));

	if (n < 0 || (size_t)n >= sizeof(key))
		return NULL;
	return ap_map_find(&set->by_key, ap_slice(key, (size_t)n));
}

void
ap_resources_put(struct ap_resource_set *set, struct ap_resource *r)
{
	char key[160];
	struct ap_slice kind = kind_key(r->kind->group, r->kind->kind, key, sizeof(key));
	struct ap_map *m = ap_map_find(&set->by_kind, kind);
	struct ap_resource *old;

	if (m == NULL) {
		m = ap_new(struct ap_map);
		ap_map_put(&set->by_kind, kind, m);
	}
	ap_map_put(m, r->path, r);
	old = ap_map_put(&set->by_key, r->key, r);
	ap_resource_unref(&old);
}

void
ap_resources_remove(struct ap_resource_set *set, struct ap_slice key)
{
	struct ap_resource *r = ap_map_remove(&set->by_key, key);
	char text[160];
	struct ap_map *m;

	if (r == NULL)
		return;
	m = ap_map_find(&set->by_kind, kind_key(r->kind->group, r->kind->kind, text, sizeof(text)));
	if (m != NULL)
		ap_map_remove(m, r->path);
	ap_resource_unref(&r);
}

static void
free_kind(void *value)
{
	struct ap_map *m = value;

	ap_map_done(m, NULL);
	ap_free(&m);
}

static void
drop(void *value)
{
	struct ap_resource *r = value;

	ap_resource_unref(&r);
}

void
ap_resources_done(struct ap_resource_set *set)
{
	ap_map_done(&set->by_kind, free_kind);
	ap_map_done(&set->by_key, drop);
}
