/*
 * cp_status.c -- statuses of objects, from the compiler's notes.
 *
 * Whole statuses are built and compared before they are written, so that a run that decides nothing new writes nothing.  Times of
 * transitions are kept while a condition's truth stays.
 */
#include "control_plane/cp_status.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "control_plane/cp.h"
#include "control_plane/cp_compile.h"
#include "control_plane/cp_vips.h"

AP_LOG_MODULE(cp_status);

#define CONTROLLER "ambit.mesh/control-plane"

/* Types of conditions that are ours alone: one that no note of a run speaks of is taken away again. */
static const char *const own_types[] = { "istio.io/WaypointBound", "ZtunnelAccepted", "WaypointAccepted", "Accepted",
	"ResolvedRefs" };

static bool
is_own(struct ap_slice type)
{
	for (size_t i = 0; i < AP_COUNTOF(own_types); i++)
		if (ap_slice_eq_text(type, own_types[i]))
			return true;
	return false;
}

static const struct ap_doc *
find_condition(const struct ap_doc *list, const char *type)
{
	AP_DOC_FOR(c, list)
		if (ap_slice_eq_text(ap_doc_string(c, "type", ""), type))
			return c;
	return NULL;
}

static struct ap_doc *
condition(struct ap_arena *arena, const struct cp_note *n, const struct ap_resource *res, const struct ap_doc *before)
{
	const struct ap_doc *old = find_condition(before, n->type);
	struct ap_doc *c = ap_doc_new_map(arena);
	struct ap_slice truth = n->ok ? AP_S("True") : AP_S("False");
	struct ap_slice since = ap_doc_string(old, "lastTransitionTime", "");
	char now[40];
	if (old == NULL || !ap_slice_eq(ap_doc_string(old, "status", ""), truth) || since.len == 0)
		since = ap_slice_of(ap_clock_format(ap_clock_wall_us(), 0, now, sizeof(now)));
	ap_doc_set_string(arena, c, "type", ap_slice_of(n->type));
	ap_doc_set_string(arena, c, "status", truth);
	ap_doc_set_string(arena, c, "reason", ap_slice_of(n->reason));
	ap_doc_set_string(arena, c, "message", n->message);
	ap_doc_set_string(arena, c, "lastTransitionTime", since);
	ap_doc_set(arena, c, "observedGeneration", ap_doc_new_int(arena, res->generation));
	return c;
}

/* status.conditions: ours replaced, others' kept. */
static void
set_conditions(struct ap_arena *arena, struct ap_doc *status, const struct ap_resource *res, const struct cp_note *notes, size_t count)
{
	const struct ap_doc *before = ap_doc_get(res->status, "conditions");
	struct ap_doc *list = ap_doc_new_list(arena);
	AP_DOC_FOR(c, before)
		if (!is_own(ap_doc_string(c, "type", "")))
			ap_doc_append(list, ap_doc_copy(arena, c));
	for (size_t i = 0; i < count; i++) {
		/* Two notes of one type: the last word counts. */
		bool again = false;
		for (size_t k = i + 1; k < count; k++)
			again = again || (notes[k].parent_ref == NULL && strcmp(notes[k].type, notes[i].type) == 0);
		if (notes[i].parent_ref == NULL && !again)
			ap_doc_append(list, condition(arena, &notes[i], res, before));
	}
	if (list->count > 0)
		ap_doc_set(arena, status, "conditions", list);
	else
		ap_doc_remove(status, "conditions");
}

static const struct ap_doc *
old_parent(const struct ap_resource *res, const struct ap_doc *ref)
{
	AP_DOC_FOR(p, ap_doc_get(res->status, "parents"))
		if (ap_slice_eq_text(ap_doc_string(p, "controllerName", ""), CONTROLLER) &&
		    ap_doc_eq(ap_doc_get(p, "parentRef"), ref))
			return ap_doc_get(p, "conditions");
	return NULL;
}

/* status.parents of a route: those of this controller anew, others' kept. */
static void
set_parents(struct ap_arena *arena, struct ap_doc *status, const struct ap_resource *res, const struct cp_note *notes, size_t count)
{
	struct ap_doc *list = ap_doc_new_list(arena);
	bool any = ap_doc_get(res->status, "parents") != NULL;
	AP_DOC_FOR(p, ap_doc_get(res->status, "parents"))
		if (!ap_slice_eq_text(ap_doc_string(p, "controllerName", ""), CONTROLLER))
			ap_doc_append(list, ap_doc_copy(arena, p));
	for (size_t i = 0; i < count; i++) {
		const struct ap_doc *ref = notes[i].parent_ref;
		bool first = ref != NULL;
		for (size_t k = 0; k < i && first; k++)
			first = notes[k].parent_ref != ref;
		if (!first)
			continue;
		any = true;
		struct ap_doc *p = ap_doc_new_map(arena), *conditions = ap_doc_new_list(arena);
		ap_doc_set(arena, p, "parentRef", ap_doc_copy(arena, ref));
		ap_doc_set_string(arena, p, "controllerName", AP_S(CONTROLLER));
		for (size_t k = i; k < count; k++)
			if (notes[k].parent_ref == ref)
				ap_doc_append(conditions, condition(arena, &notes[k], res, old_parent(res, ref)));
		ap_doc_set(arena, p, "conditions", conditions);
		ap_doc_append(list, p);
	}
	if (any)
		ap_doc_set(arena, status, "parents", list);
}

/* status.addresses [{value, host}] of a Service or ServiceEntry that was given addresses. */
static void
set_addresses(struct ap_arena *arena, struct ap_doc *status, const struct ap_resource *res, const struct cp_compiled *c,
    const struct cp_vips *vips)
{
	struct ap_doc *list = ap_doc_new_list(arena);
	bool is_entry = strcmp(res->kind->kind, "ServiceEntry") == 0;
	const struct ap_doc *hosts = is_entry ? ap_doc_get(res->spec, "hosts") : NULL;
	size_t most = is_entry ? (hosts == NULL ? 0 : hosts->count) : 1;
	for (size_t i = 0; i < most; i++) {
		const struct ap_doc *h = ap_doc_item(hosts, (uint32_t)i);
		const struct ap_reg_service *s = is_entry ? ap_registry_find(c->registry, h->string, res->namespace_)
		                                          : ap_registry_service(c->registry, res->namespace_, res->name);
		const char *vip = s == NULL || s->resource != res || !s->needs_vip ? NULL
		                                                                   : ap_map_find(cp_vips_map(vips), s->key);
		if (vip == NULL)
			continue;
		struct ap_doc *a = ap_doc_new_map(arena);
		ap_doc_set_string(arena, a, "value", ap_slice_of(vip));
		ap_doc_set_string(arena, a, "host", s->hostname);
		ap_doc_append(list, a);
	}
	if (list->count > 0)
		ap_doc_set(arena, status, "addresses", list);
	else
		ap_doc_remove(status, "addresses");
}

static void
write_one(struct cp *cp, const struct ap_resource *res, const struct cp_compiled *c, const struct cp_vips *vips,
    const struct cp_note *notes, size_t count)
{
	bool is_service = strcmp(res->kind->kind, "Service") == 0 || strcmp(res->kind->kind, "ServiceEntry") == 0;
	struct ap_arena *arena = ap_arena_new((size_t)4 * 1024 * 1024);
	struct ap_doc *status = res->status == NULL ? ap_doc_new_map(arena) : ap_doc_copy(arena, res->status);
	set_conditions(arena, status, res, notes, count);
	set_parents(arena, status, res, notes, count);
	if (is_service)
		set_addresses(arena, status, res, c, vips);
	bool same = res->status == NULL ? status->count == 0 : ap_doc_eq(status, res->status);
	struct ap_error err = { 0 };
	if (!same && cp_set_status(cp, res->key, status, &err) != 0)
		LOG_ERROR(NULL, "the status of %.*s cannot be written: %s", AP_FMT(res->key), err.text);
	ap_arena_free(&arena);
}

/* Kinds whose conditions follow from a compile; each object is looked at, since a note that is gone must go from its status too. */
static const struct {
	const char *group, *kind;
} kinds[] = {
	{ "", "Service" },
	{ "networking.istio.io", "ServiceEntry" },
	{ "networking.istio.io", "VirtualService" },
	{ "networking.istio.io", "DestinationRule" },
	{ "security.istio.io", "AuthorizationPolicy" },
	{ "gateway.networking.k8s.io", "HTTPRoute" },
	{ "networking.gloo.solo.io", "RouteTable" },
};

static int
compare_key(const void *key, const void *note)
{
	return ap_slice_cmp(*(const struct ap_slice *)key, ((const struct cp_note *)note)->key);
}

void
cp_status_write(struct cp *cp, const struct cp_compiled *c, const struct cp_vips *vips)
{
	const struct cp_notes *notes = &c->notes;
	cp_batch_begin(cp);
	for (size_t k = 0; k < AP_COUNTOF(kinds); k++) {
		const struct ap_map *all = ap_resources_of(cp_resources(cp), kinds[k].group, kinds[k].kind);
		struct ap_map_entry *e;
		for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
			const struct ap_resource *res = e->value;
			const struct cp_note *n = notes->count == 0
			                              ? NULL
			                              : bsearch(&res->key, notes->items, notes->count, sizeof(*n), compare_key);
			size_t from = n == NULL ? 0 : (size_t)(n - notes->items), count = 0;
			while (n != NULL && from > 0 && ap_slice_eq(notes->items[from - 1].key, res->key))
				from--;
			while (n != NULL && from + count < notes->count &&
			       ap_slice_eq(notes->items[from + count].key, res->key))
				count++;
			write_one(cp, res, c, vips, n == NULL ? NULL : &notes->items[from], count);
		}
	}
	struct ap_error err = { 0 };
	if (cp_batch_end(cp, &err) != 0)
		LOG_ERROR(NULL, "statuses cannot be written: %s", err.text);
}

/* --- What proxies refuse ---------------------------------------------------------------------------------------------------------- */

/* Only policies carry their object's name; the others' names are of services and workloads, several objects' work. */
static const struct {
	enum cp_set set;
	const char *group, *kind, *type;
} refusable[] = {
	{ CP_SET_AUTHORIZATION, "security.istio.io", "AuthorizationPolicy", "ZtunnelAccepted" },
	{ CP_SET_POLICY, "security.istio.io", "AuthorizationPolicy", "WaypointAccepted" },
	{ CP_SET_LUA, "ambit.mesh", "LuaPolicy", "WaypointAccepted" },
};

struct refusal {
	size_t row; /* of refusable */
	char *name, *version, *message;
};

struct cp_refusals {
	struct ap_map by_name; /* "<row>/<namespace>/<name>" -> struct refusal */
};

struct cp_refusals *
cp_refusals_new(void)
{
	return ap_new(struct cp_refusals);
}

static void
refusal_free(void *value)
{
	struct refusal *r = value;
	ap_free(&r->name);
	ap_free(&r->version);
	ap_free(&r->message);
	ap_free(&r);
}

void
cp_refusals_free(struct cp_refusals **r)
{
	if (*r == NULL)
		return;
	ap_map_done(&(*r)->by_name, refusal_free);
	ap_free(r);
}

static void
add_refusal(struct cp_refusals *r, const struct cp_compiled *c, size_t row, const char *node, struct ap_slice text)
{
	size_t colon = ap_slice_search(text, AP_S(": "));
	struct ap_slice name = colon == SIZE_MAX ? text : ap_slice_sub(text, 0, colon);
	const struct ap_xds_entry *e = ap_xds_set_find(c->sets[refusable[row].set], name);
	if (e == NULL)
		return;
	struct refusal *f = ap_new(struct refusal);
	f->row = row;
	f->name = ap_strndup(name.ptr, name.len);
	f->version = ap_strndup(e->version.ptr, e->version.len);
	f->message = ap_asprintf("%s refused it: %.*s", node, AP_FMT(text));
	char *key = ap_asprintf("%zu/%s", row, f->name);
	struct refusal *old = ap_map_put(&r->by_name, ap_slice_of(key), f);
	if (old != NULL)
		refusal_free(old);
	ap_free(&key);
}

void
cp_refusals_add(struct cp_refusals *r, const struct cp_compiled *c, const char *type_url, const char *node, const char *text)
{
	for (size_t row = 0; row < AP_COUNTOF(refusable); row++) {
		struct ap_slice rest = ap_slice_of(text);
		if (strcmp(cp_set_types[refusable[row].set], type_url) != 0)
			continue;
		while (rest.len > 0) {
			size_t end = ap_slice_search(rest, AP_S("; "));
			add_refusal(r, c, row, node, end == SIZE_MAX ? rest : ap_slice_sub(rest, 0, end));
			rest = end == SIZE_MAX ? AP_SLICE_NONE : ap_slice_from(rest, end + 2);
		}
	}
}

void
cp_refusals_note(struct cp_refusals *r, struct cp_compiled *c, const struct cp *cp)
{
	struct ap_map_entry *m;
	for (size_t i = 0; (m = ap_map_next(&r->by_name, &i)) != NULL;) {
		struct refusal *f = m->value;
		struct ap_slice rest = ap_slice_of(f->name), ns = ap_slice_cut(&rest, '/');
		const struct ap_xds_entry *e = ap_xds_set_find(c->sets[refusable[f->row].set], ap_slice_of(f->name));
		const struct ap_resource *res = ap_resources_get(
		    cp_resources(cp), refusable[f->row].group, refusable[f->row].kind, ns, rest);
		if (e == NULL || res == NULL || !ap_slice_eq_text(e->version, f->version)) {
			refusal_free(ap_map_remove(&r->by_name, m->key));
			continue;
		}
		ap_vec_push(&c->notes, (struct cp_note){ .key = res->key,
		                           .type = refusable[f->row].type,
		                           .reason = "Refused",
		                           .message = ap_slice_of(f->message) });
	}
	cp_notes_sort(&c->notes);
}
