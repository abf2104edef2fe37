/*
 * t_workspace.c -- Workspace and WorkspaceSettings: which namespaces are one tenant, and who may reach an isolated one.
 *
 * Of a workspace whose settings turn service isolation on, every workload denies peers from namespaces outside the workspace, but
 * for those of workspaces to which it exports the workload's service (and which import from it), and the system's own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "control_plane/translate/tr.h"

#define NAMESPACES_MAX 4096

struct workspace {
	const struct ap_resource *object, *settings;
	bool isolated;
	AP_VEC(struct ap_slice) namespaces;
};

struct spaces {
	AP_VEC(struct workspace *) list;
	AP_VEC(struct ap_slice) all; /* every namespace of the mesh */
};

/* Gloo's globs: a star stands for any characters, anywhere; an empty pattern for everything. */
static bool
glob(struct ap_slice pattern, struct ap_slice text)
{
	size_t p = 0, i = 0, star = SIZE_MAX, mark = 0;
	if (pattern.len == 0)
		return true;
	while (i < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			mark = i;
		} else if (p < pattern.len && pattern.ptr[p] == text.ptr[i]) {
			p++;
			i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

static void
collect_namespaces(struct tr *t, struct spaces *s)
{
	struct ap_map seen = { 0 };
	for (size_t i = 0; i < t->r->workload_count; i++)
		if (ap_map_put(&seen, t->r->workloads[i]->namespace_, s) == NULL)
			ap_vec_push(&s->all, t->r->workloads[i]->namespace_);
	for (size_t i = 0; i < t->r->service_count; i++)
		if (ap_map_put(&seen, t->r->services[i]->namespace_, s) == NULL)
			ap_vec_push(&s->all, t->r->services[i]->namespace_);
	const struct ap_map *objects = ap_resources_of(t->in->resources, "", "Namespace");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(objects, &i)) != NULL;) {
		const struct ap_resource *ns = e->value;
		if (ap_map_put(&seen, ns->name, s) == NULL)
			ap_vec_push(&s->all, ns->name);
	}
	ap_map_done(&seen, NULL);
}

static bool
has_namespace(const struct workspace *w, struct ap_slice ns)
{
	for (size_t i = 0; i < w->namespaces.count; i++)
		if (ap_slice_eq(w->namespaces.items[i], ns))
			return true;
	return false;
}

static bool
selects(struct tr *t, const struct ap_resource *object, struct ap_slice ns)
{
	const struct ap_resource *n = ap_resources_get(t->in->resources, "", "Namespace", AP_SLICE_NONE, ns);
	AP_DOC_FOR(cluster, ap_doc_get(object->spec, "workloadClusters")) {
		if (!glob(ap_doc_string(cluster, "name", ""), t->r->cluster))
			continue;
		AP_DOC_FOR(d, ap_doc_get(cluster, "namespaces")) {
			const struct ap_doc *labels = ap_doc_get(d, "labels");
			struct ap_slice name = ap_doc_string(d, "name", "");
			if (name.len > 0 && glob(name, ns) &&
			    (labels == NULL || (n != NULL && ap_labels_match(labels, n->labels))))
				return true;
		}
	}
	return false;
}

/* The settings in a namespace of the workspace; "global" in a root namespace otherwise. */
static const struct ap_resource *
settings_of(struct tr *t, const struct workspace *w)
{
	const struct ap_map *all = ap_resources_of(t->in->resources, "admin.gloo.solo.io", "WorkspaceSettings");
	const struct ap_resource *best = NULL, *global = NULL;
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *s = e->value;
		if (has_namespace(w, s->namespace_) && (best == NULL || tr_is_older(s, best)))
			best = s;
		if (ap_slice_eq_text(s->name, "global"))
			global = s;
	}
	return best != NULL ? best : global;
}

static void
build(struct tr *t, struct spaces *s)
{
	collect_namespaces(t, s);
	const struct ap_map *all = ap_resources_of(t->in->resources, "admin.gloo.solo.io", "Workspace");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		struct workspace *w = ap_arena_new_object(t->arena, struct workspace);
		AP_CHECK(w != NULL);
		w->object = e->value;
		for (size_t k = 0; k < s->all.count && w->namespaces.count < NAMESPACES_MAX; k++)
			if (selects(t, w->object, s->all.items[k]))
				ap_vec_push(&w->namespaces, s->all.items[k]);
		w->settings = settings_of(t, w);
		w->isolated = w->settings != NULL &&
		              ap_doc_bool(ap_doc_path(w->settings->spec, "options.serviceIsolation"), "enabled", false);
		ap_vec_push(&s->list, w);
	}
}

/* Does an entry {workspaces: [...]} of importFrom or exportTo name this workspace? */
static bool
names_workspace(const struct ap_doc *entry, const struct workspace *w)
{
	AP_DOC_FOR(d, ap_doc_get(entry, "workspaces")) {
		const struct ap_doc *selector = ap_doc_get(d, "selector");
		if (glob(ap_doc_string(d, "name", ""), w->object->name) &&
		    (selector == NULL || ap_labels_match(selector, w->object->labels)))
			return true;
	}
	return false;
}

static bool
resources_name(const struct ap_doc *entry, const struct ap_reg_service *s)
{
	const struct ap_doc *list = ap_doc_get(entry, "resources");
	if (list == NULL || list->count == 0)
		return true;
	AP_DOC_FOR(d, list) {
		struct ap_slice kind = ap_doc_string(d, "kind", "ALL");
		const struct ap_doc *labels = ap_doc_get(d, "labels");
		if (!ap_slice_eq_text(kind, "ALL") && !ap_slice_eq_text(kind, s->is_entry ? "EXTERNAL_SERVICE" : "SERVICE"))
			continue;
		if (glob(ap_doc_string(d, "name", ""), s->name) &&
		    glob(ap_doc_string(d, "namespace", ""), s->namespace_) &&
		    (labels == NULL || (s->resource != NULL && ap_labels_match(labels, s->resource->labels))))
			return true;
	}
	return false;
}

/* `from` exports the service to `to`, and `to` imports it. */
static bool
shares(const struct workspace *from, const struct workspace *to, const struct ap_reg_service *s)
{
	bool exported = false, imported = false;
	const struct ap_doc *imports = to->settings == NULL ? NULL : ap_doc_get(to->settings->spec, "importFrom");
	AP_DOC_FOR(d, ap_doc_get(from->settings->spec, "exportTo"))
		exported = exported || (names_workspace(d, to) && resources_name(d, s));
	AP_DOC_FOR(d, imports)
		imported = imported || (names_workspace(d, from) && resources_name(d, s));
	return exported && imported;
}

static bool
may_reach(const struct workspace *home, const struct workspace *guest, const struct ap_reg_workload *w)
{
	for (size_t i = 0; i < w->membership_count; i++)
		if (shares(home, guest, w->memberships[i].service))
			return true;
	return false;
}

static int
compare_slices(const void *a, const void *b)
{
	return ap_slice_cmp(*(const struct ap_slice *)a, *(const struct ap_slice *)b);
}

/* One DENY per distinct set of namespaces that are let in. */
static void
isolate(struct tr *t, const struct spaces *s, const struct workspace *home, struct tr_workload *w, struct ap_map *put)
{
	AP_VEC(struct ap_slice) in = { 0 };
	for (size_t i = 0; i < home->namespaces.count; i++)
		ap_vec_push(&in, home->namespaces.items[i]);
	for (size_t i = 0; i < s->list.count; i++) {
		const struct workspace *guest = s->list.items[i];
		if (guest == home || !may_reach(home, guest, w->w))
			continue;
		for (size_t k = 0; k < guest->namespaces.count; k++)
			ap_vec_push(&in, guest->namespaces.items[k]);
	}
	for (size_t i = 0; i < AP_COUNTOF(ap_root_namespaces); i++)
		ap_vec_push(&in, ap_root_namespaces[i]);
	qsort(in.items, in.count, sizeof(struct ap_slice), compare_slices);
	uint64_t hash = 0;
	for (size_t i = 0; i < in.count; i++)
		hash = hash * 31 + ap_hash_fnv(in.items[i].ptr, in.items[i].len);
	char *name = tr_printf(t, "ambit_workspace_%.*s_%08x", AP_FMT(home->object->name), (unsigned)(hash & 0xffffffffU));
	Istio__Security__Authorization *a = tr_authz_new(t, w->w->namespace_, name, true);
	Istio__Security__Match *m = tr_authz_rule(t, tr_authz_group(t, a));
	for (size_t i = 0; i < in.count; i++)
		if (i == 0 || !ap_slice_eq(in.items[i], in.items[i - 1]))
			tr_push(t, &m->not_namespaces, &m->n_not_namespaces, tr_string_match(t, in.items[i]));
	tr_attach(t, w, a);
	if (ap_map_put(put, ap_slice_of(tr_printf(t, "%s/%s", a->namespace_, a->name)), a) == NULL)
		tr_authz_put(t, a);
	ap_vec_done(&in);
}

void
tr_workspaces(struct tr *t)
{
	if (ap_resources_of(t->in->resources, "admin.gloo.solo.io", "Workspace")->count == 0)
		return;
	struct spaces s = { 0 };
	struct ap_map put = { 0 };
	build(t, &s);
	for (size_t i = 0; i < t->r->workload_count; i++) {
		struct tr_workload *w = &t->workloads[i];
		for (size_t k = 0; k < s.list.count; k++)
			if (!w->w->external && s.list.items[k]->isolated && has_namespace(s.list.items[k], w->w->namespace_)) {
				isolate(t, &s, s.list.items[k], w, &put);
				break;
			}
	}
	for (size_t k = 0; k < s.list.count; k++)
		ap_vec_done(&s.list.items[k]->namespaces);
	ap_vec_done(&s.list);
	ap_vec_done(&s.all);
	ap_map_done(&put, NULL);
}
