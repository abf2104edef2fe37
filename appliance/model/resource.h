/*
 * resource.h -- one object of the mesh: a checked document with its key and what everybody asks for; and the set of them all.
 *
 * Glossary: *key* is "group/Kind/namespace/name" ("core" stands for the empty group, the namespace is empty for cluster-scoped
 * kinds: "core/Namespace//shop"); *path* is "namespace/name" within one kind ("/shop").
 */
#ifndef MODEL_RESOURCE_H
#define MODEL_RESOURCE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/map.h"
#include "base/refs.h"
#include "base/slice.h"
#include "codec/doc.h"
#include "model/kind.h"

/* Immutable and counted; any thread may read. All slices and nodes live in its arena. */
struct ap_resource {
	struct ap_refs refs;
	struct ap_arena *arena;
	const struct ap_kind *kind;
	struct ap_slice key, path; /* NUL behind each */
	struct ap_slice namespace_, name, uid;
	uint64_t revision;   /* metadata.resourceVersion; 0: not stored yet */
	int64_t generation;
	int64_t created_ms;  /* Unix ms of metadata.creationTimestamp; 0: unknown */
	const struct ap_doc *doc; /* the whole object, apiVersion in the stored version */
	const struct ap_doc *metadata, *labels, *annotations, *spec, *status; /* parts of doc, or NULL */
};

/* key -> resource, and per kind path -> resource. Zeroed is empty. Owns one reference each. */
struct ap_resource_set {
	struct ap_map by_key;
	struct ap_map by_kind; /* "group/Kind" -> struct ap_map * */
};

AP_PUBLIC_BEGIN
/*
 * Check an object whole: apiVersion and kind known, metadata well-formed, body against the kind's schema and checks.  unknown
 * fields go to `unknown` when it is given, else to errs.  Returns the kind (also when errors were found in it), or NULL.
 */
const struct ap_kind *ap_resource_check(const struct ap_doc *object, struct ap_errors *errs, struct ap_errors *unknown);
/*
 * Make a resource of a checked object, which is copied.  namespace_: for namespaced kinds that do not name one ("default"
 * when empty).  apiVersion becomes the stored version.  NULL with err when kind or name is missing.
 */
struct ap_resource *ap_resource_new(const struct ap_doc *object, struct ap_slice namespace_, struct ap_error *err);
/* The same around a document that lives in `arena` already; both belong to the resource from here on, also on failure. */
struct ap_resource *ap_resource_take(struct ap_arena *arena, struct ap_doc *object, struct ap_error *err);
struct ap_resource *ap_resource_ref(struct ap_resource *r);
void ap_resource_unref(struct ap_resource **r);

/* A label's value, or NULL pointer. */
struct ap_slice ap_resource_label(const struct ap_resource *r, const char *name);
struct ap_slice ap_resource_annotation(const struct ap_resource *r, const char *name);
/* Every member of `selector` (map of strings; NULL or empty selects all) stands in `labels`. */
bool ap_labels_match(const struct ap_doc *selector, const struct ap_doc *labels);
/* Kubernetes' LabelSelector: matchLabels and matchExpressions (In, NotIn, Exists, DoesNotExist). NULL or empty selects all. */
bool ap_label_selector_match(const struct ap_doc *selector, const struct ap_doc *labels);

/* "group/Kind/ns/name" into out; -EINVAL when it does not fit. */
int ap_resource_key(const struct ap_kind *k, struct ap_slice namespace_, struct ap_slice name, char *out, size_t size);

/* The resource, not counted for the caller, or NULL. */
struct ap_resource *ap_resources_find(const struct ap_resource_set *set, struct ap_slice key);
struct ap_resource *ap_resources_get(const struct ap_resource_set *set, const char *group, const char *kind,
    struct ap_slice namespace_, struct ap_slice name);
/* All of one kind: path -> struct ap_resource *; never NULL. Iterate with ap_map_next. */
const struct ap_map *ap_resources_of(const struct ap_resource_set *set, const char *group, const char *kind);
/* Takes the caller's reference; drops that of the one it replaces. */
void ap_resources_put(struct ap_resource_set *set, struct ap_resource *r);
void ap_resources_remove(struct ap_resource_set *set, struct ap_slice key);
void ap_resources_done(struct ap_resource_set *set);
AP_PUBLIC_END

#endif
