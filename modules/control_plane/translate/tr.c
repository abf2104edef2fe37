/* tr.c -- texts, lists and notes of one run of the compiler. */
#include "control_plane/translate/tr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "xds/pb.h"

#define MESSAGE_MAX ((size_t)16 * 1024 * 1024)

char *
tr_text(struct tr *t, struct ap_slice s)
{
	char *out = ap_arena_strndup(t->arena, s.ptr == NULL ? "" : s.ptr, s.len);
	return out == NULL ? (char *)(uintptr_t)"" : out;
}

char *
tr_printf(struct tr *t, const char *fmt, ...)
{
	char text[2048];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return tr_text(t, ap_slice_of(text));
}

void *
tr_init(struct tr *t, size_t size, void (*init)(void *))
{
	void *m = ap_arena_zalloc(t->arena, size);
	AP_CHECK(m != NULL); /* the arena of a run has no ceiling that is reached in earnest */
	init(m);
	return m;
}

void
tr_push(struct tr *t, void *items, size_t *count, void *item)
{
	/* A list grows at powers of two; what it outgrows stays in the arena until the run is over. */
	void **list;
	memcpy(&list, items, sizeof(list));
	if ((*count & (*count - 1)) == 0) {
		size_t room = *count == 0 ? 1 : *count * 2;
		void **grown = ap_arena_zalloc(t->arena, room * sizeof(void *));
		AP_CHECK(grown != NULL);
		if (*count > 0)
			memcpy(grown, list, *count * sizeof(void *));
		list = grown;
		memcpy(items, &list, sizeof(list));
	}
	list[(*count)++] = item;
}

void
tr_push_strings(struct tr *t, char ***items, size_t *count, const struct ap_doc *list)
{
	AP_DOC_FOR(d, list)
		if (d->type == AP_DOC_STRING)
			tr_push(t, items, count, tr_text(t, d->string));
}

void
tr_put(struct tr *t, enum cp_set set, const struct ap_xds_put *put, const void *message)
{
	struct ap_buf b;
	ap_buf_init(&b, MESSAGE_MAX);
	ap_pb_pack(message, &b);
	struct ap_xds_put p = *put;
	p.body = ap_buf_slice(&b);
	if (!b.bad)
		ap_xds_set_put(t->out->sets[set], &p);
	ap_buf_done(&b);
}

void
tr_note_parent(struct tr *t, const struct ap_resource *res, const struct ap_doc *parent_ref, const char *type, bool ok,
    const char *reason, struct ap_slice message)
{
	struct cp_notes *n = &t->out->notes;
	if (res == NULL)
		return;
	ap_vec_push(n, (struct cp_note){ .key = res->key,
	                   .type = type,
	                   .ok = ok,
	                   .reason = reason,
	                   .message = ap_arena_copy(t->arena, message),
	                   .parent_ref = parent_ref });
}

void
tr_note(struct tr *t, const struct ap_resource *res, const char *type, bool ok, const char *reason, struct ap_slice message)
{
	tr_note_parent(t, res, NULL, type, ok, reason, message);
}

bool
tr_is_bound(const struct ap_need *n, const struct ap_reg_service *s)
{
	return n != NULL && (ap_need_enforces(n, s) || ap_gateway_was_ready(n->gateway));
}

char *
tr_principal(struct tr *t, const struct ap_need *n)
{
	return tr_text(t, ap_slice_from(n->identity, sizeof("spiffe://") - 1));
}

struct tr_workload *
tr_workload_of(struct tr *t, const struct ap_reg_workload *w)
{
	/* r->workloads is ordered by uid. */
	size_t low = 0, high = t->r->workload_count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = ap_slice_cmp(t->r->workloads[mid]->uid, w->uid);
		if (c == 0)
			return &t->workloads[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool
tr_is_root(const struct tr *t, struct ap_slice namespace_)
{
	if (t->in->root_namespace.len > 0 && ap_slice_eq(namespace_, t->in->root_namespace))
		return true;
	for (size_t i = 0; i < AP_COUNTOF(ap_root_namespaces); i++)
		if (ap_slice_eq(namespace_, ap_root_namespaces[i]))
			return true;
	return false;
}

bool
tr_is_older(const struct ap_resource *a, const struct ap_resource *b)
{
	if (a->created_ms != b->created_ms)
		return a->created_ms < b->created_ms;
	return ap_slice_cmp(a->path, b->path) < 0;
}

bool
tr_cidr(struct tr *t, struct ap_slice text, struct ap_cidr *out)
{
	(void)t;
	return ap_cidr_parse(text, out) == 0;
}
