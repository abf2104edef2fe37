/*
 * resource_check.c -- is an object fit to be stored?  Kind and version, metadata, body; every problem at once.
 *
 * What refers to other objects is not looked at here: a reference that leads nowhere is told in the object's status, as
 * Kubernetes does, for the order in which a team applies its files must not matter.
 */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "model/checks.h"
#include "model/resource.h"

static const struct ap_field_row owner_rows[] = {
	{ .name = "apiVersion", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .doc = "Group and version of the owner." },
	{ .name = "kind", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .doc = "Kind of the owner." },
	{ .name = "name", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .doc = "Name of the owner." },
	{ .name = "uid", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .doc = "Identity of the owner." },
	{ .name = "controller", .type = AP_T_BOOL, .doc = "The owner manages the object." },
	{ .name = "blockOwnerDeletion", .type = AP_T_BOOL, .doc = "Kept for Kubernetes' clients." },
	{ 0 },
};
static const struct ap_schema owner = { .name = "metadata.ownerReferences[]", .rows = owner_rows };

static void
check_annotations(const struct ap_doc *map, struct ap_errors *errs)
{
	size_t total = 0;

	AP_DOC_FOR (member, map)
		total += member->key.len + member->string.len;
	if (total > 256 * 1024)
		ap_complain(errs, map, "annotations must be at most 256 KiB in all");
}

static const struct ap_field_row metadata_rows[] = {
	{ .name = "name", .type = AP_T_STRING, .max = 253, .doc = "Name of the object." },
	{ .name = "generateName", .type = AP_T_STRING, .max = 253, .doc = "Beginning of a name that is made up." },
	{ .name = "namespace", .type = AP_T_STRING, .check = ap_check_dns_label, .doc = "Namespace of the object." },
	{ .name = "labels", .type = AP_T_MAP, .item = AP_T_STRING, .check = ap_check_labels, .doc = "What selectors select." },
	{ .name = "annotations", .type = AP_T_MAP, .item = AP_T_STRING, .check = check_annotations, .doc = "Notes of tools and people." },
	{ .name = "uid", .type = AP_T_STRING, .doc = "Identity of the object through its life." },
	{ .name = "resourceVersion", .type = AP_T_STRING, .doc = "Revision of the last change." },
	{ .name = "generation", .type = AP_T_INT, .doc = "Number of changes of what is wanted." },
	{ .name = "creationTimestamp", .type = AP_T_STRING, .doc = "When it was made." },
	{ .name = "deletionTimestamp", .type = AP_T_STRING, .doc = "When its deletion was asked for." },
	{ .name = "deletionGracePeriodSeconds", .type = AP_T_INT, .doc = "Kept for Kubernetes' clients." },
	{ .name = "finalizers", .type = AP_T_LIST, .item = AP_T_STRING, .doc = "Kept for Kubernetes' clients." },
	{ .name = "ownerReferences", .type = AP_T_LIST, .item = AP_T_OBJECT, .of = &owner, .doc = "Objects that it belongs to." },
	{ .name = "managedFields", .type = AP_T_ANY, .doc = "Not kept." },
	{ .name = "selfLink", .type = AP_T_STRING, .doc = "Kept for old clients." },
	{ 0 },
};
static const struct ap_schema metadata_schema = { .name = "metadata", .rows = metadata_rows };

/* Services are DNS labels that begin with a letter; namespaces are labels; the rest are DNS names. */
static void
check_name(const struct ap_kind *k, const struct ap_doc *metadata, struct ap_errors *errs)
{
	const struct ap_doc *name = ap_doc_get(metadata, "name");
	struct ap_slice s = ap_doc_string(metadata, "name", ""), generate = ap_doc_string(metadata, "generateName", "");
	bool label = k->group[0] == '\0' && (strcmp(k->kind, "Service") == 0 || strcmp(k->kind, "Namespace") == 0);

	if (s.len == 0) {
		if (generate.len == 0)
			ap_errors_add(errs, AP_SCHEMA_REQUIRED, metadata->at, "metadata.name: is required");
		return;
	}
	if (label ? !ap_text_is_label(s) : !ap_text_is_dns_name(s))
		ap_errors_add(errs, -EINVAL, name->at,
		    "metadata.name: \"%.*s\" must be lower case letters, digits%s, and begin and end with a letter or digit", AP_FMT(s),
		    label ? " and '-'" : ", '-' and '.'");
	else if (strcmp(k->kind, "Service") == 0 && s.ptr[0] >= '0' && s.ptr[0] <= '9')
		ap_errors_add(errs, -EINVAL, name->at, "metadata.name: \"%.*s\" must begin with a letter", AP_FMT(s));
}

static void
check_metadata(const struct ap_kind *k, const struct ap_doc *object, struct ap_errors *errs, struct ap_errors *unknown)
{
	const struct ap_doc *metadata = ap_doc_get(object, "metadata");

	if (!ap_doc_is(metadata, AP_DOC_MAP)) {
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, object->at, "metadata: is required");
		return;
	}
	if (ap_schema_check_known(&metadata_schema, metadata, "metadata", errs, unknown) > 0)
		return;
	check_name(k, metadata, errs);
	if (!k->namespaced && ap_doc_string(metadata, "namespace", "").len > 0)
		ap_errors_add(errs, -EINVAL, metadata->at, "metadata.namespace: %s is not namespaced", k->kind);
}

/* The body without apiVersion, kind and metadata, which the schemas leave out. */
static void
check_body(const struct ap_kind *k, const struct ap_doc *object, struct ap_errors *errs, struct ap_errors *unknown)
{
	struct ap_arena *arena = ap_arena_new(64 * 1024);
	struct ap_doc *body = ap_doc_new_map(arena);
	size_t found;

	/* A second list of the same members: `next` is the only link that differs. */
	*body = *object;
	body->first = body->last = NULL;
	body->count = 0;
	AP_DOC_FOR (member, object) {
		struct ap_doc *copy;

		if (ap_slice_eq(member->key, AP_S("apiVersion")) || ap_slice_eq(member->key, AP_S("kind")) ||
		    ap_slice_eq(member->key, AP_S("metadata")))
			continue;
		copy = ap_arena_alloc(arena, sizeof(*copy));
		if (copy == NULL) {
			ap_errors_add(errs, -E2BIG, object->at, "has too many fields");
			goto out;
		}
		*copy = *member;
		copy->next = NULL;
		if (body->last == NULL)
			body->first = copy;
		else
			body->last->next = copy;
		body->last = copy;
		body->count++;
	}
	found = ap_schema_check_known(k->schema, body, "", errs, unknown);
	if (found == 0 && k->check != NULL)
		k->check(object, errs);
out:
	ap_arena_free(&arena);
}

static const char *
other_version(struct ap_slice api_version, struct ap_slice kind, char *out, size_t size)
{
	size_t n, slash = ap_slice_find(api_version, '/');
	struct ap_slice group = slash == SIZE_MAX ? AP_S("") : ap_slice_sub(api_version, 0, slash);
	const struct ap_kind *const *all = ap_kinds(&n);

	for (size_t i = 0; i < n; i++)
		if (ap_slice_eq_text(kind, all[i]->kind) && ap_slice_eq_text(group, all[i]->group))
			return ap_kind_api_version(all[i], NULL, out, size);
	return NULL;
}

const struct ap_kind *
ap_resource_check(const struct ap_doc *object, struct ap_errors *errs, struct ap_errors *unknown)
{
	struct ap_slice api_version = ap_doc_string(object, "apiVersion", ""), kind = ap_doc_string(object, "kind", "");
	const struct ap_kind *k;
	char version[128];

	if (!ap_doc_is(object, AP_DOC_MAP)) {
		ap_errors_add(errs, AP_SCHEMA_TYPE, object == NULL ? (struct ap_place){ 0 } : object->at,
		    "an object must be a map with apiVersion, kind and metadata");
		return NULL;
	}
	if (api_version.len == 0)
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, object->at, "apiVersion: is required");
	if (kind.len == 0)
		ap_errors_add(errs, AP_SCHEMA_REQUIRED, object->at, "kind: is required");
	if (api_version.len == 0 || kind.len == 0)
		return NULL;
	k = ap_kind_of(api_version, kind);
	if (k == NULL) {
		if (other_version(api_version, kind, version, sizeof(version)) != NULL)
			ap_errors_add(errs, -ENOENT, object->at, "kind %.*s is not read in version %.*s; use %s", AP_FMT(kind),
			    AP_FMT(api_version), version);
		else
			ap_errors_add(errs, -ENOENT, object->at, "kind %.*s of %.*s is not read", AP_FMT(kind), AP_FMT(api_version));
		return NULL;
	}
	check_metadata(k, object, errs, unknown == NULL ? errs : unknown);
	check_body(k, object, errs, unknown == NULL ? errs : unknown);
	return k;
}
