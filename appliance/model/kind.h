/* kind.h -- the table of kinds: what the control plane reads, how it is named, which schema checks it. */
#ifndef MODEL_KIND_H
#define MODEL_KIND_H
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"
#include "codec/doc.h"
#include "model/schema.h"

/* One column of `get` and of the API's Table output. */
struct ap_kind_column {
	const char *name; /* "HOSTS" */
	const char *path; /* dotted path from the root; lists are joined by ","; "metadata.creationTimestamp" is shown as an age */
	bool wide;        /* only with -o wide */
};

struct ap_kind {
	const char *group;           /* "" for the core group */
	const char *const *versions; /* served, NULL-terminated; the first one is stored and preferred */
	const char *kind;            /* "VirtualService" */
	const char *plural, *singular;
	const char *const *short_names; /* NULL-terminated, or NULL */
	bool namespaced;
	bool has_status; /* serves the status subresource; status in a plain write is ignored */
	/* Of the root object without apiVersion, kind and metadata: rows spec, status, or what else the kind has there. */
	const struct ap_schema *schema;
	/* Across the whole object; runs when the rows found nothing wrong. May be NULL. */
	void (*check)(const struct ap_doc *object, struct ap_errors *errs);
	const struct ap_kind_column *columns; /* beyond NAME and AGE; ends with a NULL name; may be NULL */
	const char *doc;                      /* one sentence */
};

AP_PUBLIC_BEGIN
/* All kinds, in the order of the manual. */
const struct ap_kind *const *ap_kinds(size_t *out_count);
/* NULL when the group, version or kind is not read. "apiVersion" as objects have it: "v1", "networking.istio.io/v1beta1". */
const struct ap_kind *ap_kind_of(struct ap_slice api_version, struct ap_slice kind);
/* By group ("" is core) and kind; any version. */
const struct ap_kind *ap_kind_find(const char *group, const char *kind);
/* By group, version and plural, as in a URL. */
const struct ap_kind *ap_kind_by_path(struct ap_slice group, struct ap_slice version, struct ap_slice plural);
/* What people type: kind, plural, singular or short name, in any case, maybe followed by ".group". *out_ambiguous is the other
 * one when two groups have it (the first in the table is returned). */
const struct ap_kind *ap_kind_by_word(struct ap_slice word, const struct ap_kind **out_ambiguous);
bool ap_kind_serves(const struct ap_kind *k, struct ap_slice version);
/* "networking.istio.io/v1" or "v1"; in `version`, or the stored one when NULL. Returns out. */
const char *ap_kind_api_version(const struct ap_kind *k, const char *version, char *out, size_t size);
AP_PUBLIC_END

#endif
