/* api_discovery.c -- what is served: /api, /apis, and a document per group and version, from the table of kinds. */
#include <stdio.h>
#include <string.h>

#include "control_plane/api/api_priv.h"

static void
set(struct api_request *r, struct ap_doc *map, const char *key, const char *value)
{
	ap_doc_set_string(r->arena, map, key, ap_slice_of(value));
}

static void
append(struct api_request *r, struct ap_doc *list, const char *text)
{
	ap_doc_append(list, ap_doc_new_string(r->arena, ap_slice_of(text)));
}

/* -- /api/v1, /apis/<group>/<version> -- */

static struct ap_doc *
resource_doc(struct api_request *r, const struct ap_kind *k, bool status)
{
	static const char *const verbs[] = { "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
		NULL };
	static const char *const status_verbs[] = { "get", "patch", "update", NULL };
	struct ap_doc *doc = ap_doc_new_map(r->arena), *list = ap_doc_new_list(r->arena), *categories;
	char name[128];

	snprintf(name, sizeof(name), "%s%s", k->plural, status ? "/status" : "");
	set(r, doc, "name", name);
	set(r, doc, "singularName", status ? "" : k->singular);
	ap_doc_set(r->arena, doc, "namespaced", ap_doc_new_bool(r->arena, k->namespaced));
	set(r, doc, "kind", k->kind);
	for (const char *const *v = status ? status_verbs : verbs; *v != NULL; v++)
		append(r, list, *v);
	ap_doc_set(r->arena, doc, "verbs", list);
	if (status)
		return doc;
	if (k->short_names != NULL) {
		list = ap_doc_new_list(r->arena);
		for (const char *const *s = k->short_names; *s != NULL; s++)
			append(r, list, *s);
		ap_doc_set(r->arena, doc, "shortNames", list);
	}
	categories = ap_doc_new_list(r->arena);
	append(r, categories, "all");
	append(r, categories, "mesh");
	ap_doc_set(r->arena, doc, "categories", categories);
	return doc;
}

static bool
resource_list(struct api_request *r, struct ap_slice group, struct ap_slice version)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena), *list = ap_doc_new_list(r->arena);
	const struct ap_kind *const *kinds;
	char text[200];
	size_t n;

	kinds = ap_kinds(&n);
	for (size_t i = 0; i < n; i++) {
		if (!ap_slice_eq_text(group, kinds[i]->group) || !ap_kind_serves(kinds[i], version))
			continue;
		ap_doc_append(list, resource_doc(r, kinds[i], false));
		if (kinds[i]->has_status)
			ap_doc_append(list, resource_doc(r, kinds[i], true));
	}
	if (list->count == 0)
		return false;
	snprintf(text, sizeof(text), "%.*s%s%.*s", AP_FMT(group), group.len == 0 ? "" : "/", AP_FMT(version));
	set(r, doc, "kind", "APIResourceList");
	if (group.len > 0)
		set(r, doc, "apiVersion", "v1");
	set(r, doc, "groupVersion", text);
	ap_doc_set(r->arena, doc, "resources", list);
	api_send(r, 200, doc);
	return true;
}

/* -- /apis, /apis/<group> -- */

static struct ap_doc *
version_doc(struct api_request *r, const char *group, const char *version)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena);
	char text[200];

	snprintf(text, sizeof(text), "%s/%s", group, version);
	set(r, doc, "groupVersion", text);
	set(r, doc, "version", version);
	return doc;
}

static bool
has_version(const struct ap_doc *versions, const char *version)
{
	AP_DOC_FOR (v, versions)
		if (ap_slice_eq_text(ap_doc_string(v, "version", ""), version))
			return true;
	return false;
}

static struct ap_doc *
group_doc(struct api_request *r, const char *group)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena), *versions = ap_doc_new_list(r->arena);
	const struct ap_kind *const *kinds;
	size_t n;

	kinds = ap_kinds(&n);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(kinds[i]->group, group) != 0)
			continue;
		for (const char *const *v = kinds[i]->versions; *v != NULL; v++)
			if (!has_version(versions, *v))
				ap_doc_append(versions, version_doc(r, group, *v));
	}
	if (versions->count == 0)
		return NULL;
	set(r, doc, "name", group);
	ap_doc_set(r->arena, doc, "versions", versions);
	ap_doc_set(r->arena, doc, "preferredVersion", ap_doc_copy(r->arena, versions->first));
	return doc;
}

static void
group_list(struct api_request *r)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena), *groups = ap_doc_new_list(r->arena);
	const struct ap_kind *const *kinds;
	size_t n;

	kinds = ap_kinds(&n);
	for (size_t i = 0; i < n; i++) {
		bool seen = kinds[i]->group[0] == '\0';

		AP_DOC_FOR (g, groups)
			seen = seen || ap_slice_eq_text(ap_doc_string(g, "name", ""), kinds[i]->group);
		if (!seen)
			ap_doc_append(groups, group_doc(r, kinds[i]->group));
	}
	set(r, doc, "kind", "APIGroupList");
	set(r, doc, "apiVersion", "v1");
	ap_doc_set(r->arena, doc, "groups", groups);
	api_send(r, 200, doc);
}

static bool
one_group(struct api_request *r, struct ap_slice group)
{
	char name[128];
	struct ap_doc *doc;

	snprintf(name, sizeof(name), "%.*s", AP_FMT(group));
	doc = group.len == 0 ? NULL : group_doc(r, name);
	if (doc == NULL)
		return false;
	set(r, doc, "kind", "APIGroup");
	set(r, doc, "apiVersion", "v1");
	api_send(r, 200, doc);
	return true;
}

static void
core_versions(struct api_request *r)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena), *versions = ap_doc_new_list(r->arena);

	append(r, versions, "v1");
	set(r, doc, "kind", "APIVersions");
	ap_doc_set(r->arena, doc, "versions", versions);
	ap_doc_set(r->arena, doc, "serverAddressByClientCIDRs", ap_doc_new_list(r->arena));
	api_send(r, 200, doc);
}

static void
root(struct api_request *r)
{
	static const char *const paths[] = { "/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/readyz",
		"/version" };
	struct ap_doc *doc = ap_doc_new_map(r->arena), *list = ap_doc_new_list(r->arena);

	for (size_t i = 0; i < AP_COUNTOF(paths); i++)
		append(r, list, paths[i]);
	ap_doc_set(r->arena, doc, "paths", list);
	api_send(r, 200, doc);
}

/* kubectl looks here for kinds that the schemas do not have, and gives up a whole file when there is no answer. */
static void
no_definitions(struct api_request *r)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena), *meta = ap_doc_new_map(r->arena);

	set(r, doc, "kind", "CustomResourceDefinitionList");
	set(r, doc, "apiVersion", "apiextensions.k8s.io/v1");
	set(r, meta, "resourceVersion", "1");
	ap_doc_set(r->arena, doc, "metadata", meta);
	ap_doc_set(r->arena, doc, "items", ap_doc_new_list(r->arena));
	api_send(r, 200, doc);
}

bool
api_discovery(struct api_request *r)
{
	struct ap_slice path = r->path, rest, group;

	while (path.len > 1 && path.ptr[path.len - 1] == '/')
		path.len--;
	if (ap_slice_eq(path, AP_S("/"))) {
		root(r);
	} else if (ap_slice_eq(path, AP_S("/api"))) {
		core_versions(r);
	} else if (ap_slice_eq(path, AP_S("/api/v1"))) {
		return resource_list(r, AP_S(""), AP_S("v1"));
	} else if (ap_slice_eq(path, AP_S("/apis"))) {
		group_list(r);
	} else if (ap_slice_eq(path, AP_S("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"))) {
		no_definitions(r);
	} else if (ap_slice_starts(path, AP_S("/apis/"))) {
		rest = ap_slice_from(path, 6);
		group = ap_slice_cut(&rest, '/');
		if (rest.ptr == NULL)
			return one_group(r, group);
		return ap_slice_find(rest, '/') == SIZE_MAX && group.len > 0 && resource_list(r, group, rest);
	} else {
		return false;
	}
	return true;
}
