/* api_list.c -- lists: sorted, selected, in pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64.h"
#include "base/text.h"
#include "control_plane/api/api_priv.h"

static int
by_path(const void *a, const void *b)
{
	const struct ap_resource *const *x = a;
	const struct ap_resource *const *y = b;

	return ap_slice_cmp((*x)->path, (*y)->path);
}

struct ap_resource **
api_collect(struct api_request *r, const struct api_selector *s, size_t *out_count)
{
	const struct ap_kind *k = r->target.kind;
	const struct ap_map *all = ap_resources_of(cp_resources(r->cp), k->group, k->kind);
	struct ap_resource **items = ap_arena_alloc(r->arena, (all->count + 1) * sizeof(struct ap_resource *));
	struct ap_map_entry *e;
	size_t n = 0;

	for (size_t i = 0; items != NULL && (e = ap_map_next(all, &i)) != NULL;) {
		struct ap_resource *res = e->value;

		if (r->target.namespace_.len > 0 && !ap_slice_eq(res->namespace_, r->target.namespace_))
			continue;
		if (api_selector_match(s, res))
			items[n++] = res;
	}
	if (n > 1)
		qsort(items, n, sizeof(struct ap_resource *), by_path);
	*out_count = n;
	return items;
}

/*
 * A continue token is "<revision of the first page> <path of the last item>".  Later pages come from what is true then, but bear
 * the first page's revision: a watch from there sees whatever changed between the pages.
 */
static bool
read_continue(struct api_request *r, uint64_t *revision, struct ap_slice *after)
{
	struct ap_slice token = api_param(r, "continue"), rest, number;
	struct ap_buf text;
	bool fine;

	*after = AP_SLICE_NONE;
	if (token.len == 0)
		return true;
	ap_buf_init(&text, 1024);
	fine = ap_b64_decode(token, &text) == 0;
	if (fine) {
		rest = ap_arena_copy(r->arena, ap_buf_slice(&text));
		number = ap_slice_cut(&rest, ' ');
		fine = rest.len > 0 && ap_text_to_u64(number, UINT64_MAX, revision) == 0;
		*after = rest;
	}
	ap_buf_done(&text);
	return fine;
}

static void
write_continue(struct api_request *r, struct ap_doc *meta, uint64_t revision, const struct ap_resource *last, size_t left)
{
	struct ap_slice text = ap_arena_printf(r->arena, "%llu %.*s", (unsigned long long)revision, AP_FMT(last->path));
	struct ap_buf token;

	ap_buf_init(&token, 2048);
	ap_b64url_encode(text, &token);
	ap_doc_set_string(r->arena, meta, "continue", ap_buf_slice(&token));
	ap_doc_set(r->arena, meta, "remainingItemCount", ap_doc_new_int(r->arena, (int64_t)left));
	ap_buf_done(&token);
}

static struct ap_doc *
list_doc(struct api_request *r, struct ap_resource **items, size_t count, struct ap_doc *meta)
{
	struct ap_doc *doc = ap_doc_new_map(r->arena), *list = ap_doc_new_list(r->arena);
	char version[128], asked[64], kind[128];

	snprintf(asked, sizeof(asked), "%.*s", AP_FMT(r->target.version));
	ap_kind_api_version(r->target.kind, asked, version, sizeof(version));
	snprintf(kind, sizeof(kind), "%sList", r->target.kind->kind);
	ap_doc_set_string(r->arena, doc, "kind", r->metadata_only ? AP_S("PartialObjectMetadataList") : ap_slice_of(kind));
	ap_doc_set_string(r->arena, doc, "apiVersion", r->metadata_only ? AP_S("meta.k8s.io/v1") : ap_slice_of(version));
	ap_doc_set(r->arena, doc, "metadata", meta);
	for (size_t i = 0; i < count; i++)
		ap_doc_append(list, api_present(r, items[i]));
	ap_doc_set(r->arena, doc, "items", list);
	return doc;
}

void
api_list(struct api_request *r)
{
	struct api_selector *s = api_selector_read(r);
	struct ap_slice limit_text = api_param(r, "limit"), after;
	uint64_t limit = 0, revision = cp_revision(r->cp);
	struct ap_resource **items;
	struct ap_doc *meta;
	size_t count, from = 0, n;

	if (s == NULL)
		return;
	if (limit_text.len > 0 && ap_text_to_u64(limit_text, 1000000, &limit) != 0) {
		api_fail(r, 400, "BadRequest", "limit must be a number, is \"%.*s\"", AP_FMT(limit_text));
		return;
	}
	if (!read_continue(r, &revision, &after)) {
		api_fail(r, 400, "BadRequest", "continue key is not valid");
		return;
	}
	items = api_collect(r, s, &count);
	while (after.ptr != NULL && from < count && ap_slice_cmp(items[from]->path, after) <= 0)
		from++;
	n = count - from;
	meta = ap_doc_new_map(r->arena);
	ap_doc_set_string(r->arena, meta, "resourceVersion",
	    ap_arena_printf(r->arena, "%llu", (unsigned long long)revision));
	if (limit > 0 && n > limit) {
		n = (size_t)limit;
		write_continue(r, meta, revision, items[from + n - 1], count - from - n);
	}
	if (r->table)
		api_send(r, 200, api_table(r, items + from, n, meta, true));
	else
		api_send(r, 200, list_doc(r, items + from, n, meta));
}
