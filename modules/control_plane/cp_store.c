/*
 * cp_store.c -- all resources in memory, every change on the disk before anybody hears of it.
 *
 * One thread owns it.  A change is staged, committed to the store with those of its batch in one transaction, then put into the
 * set, into the feed that watches read, and into the news that subscribers get at the end of the turn.  What could not be
 * written is as if it had not been tried.
 */
#include "control_plane/cp_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "store/store.h"

AP_LOG_MODULE(cp_store);

#define OBJECT_MAX ((size_t)9 * 1024 * 1024)

/* -- the feed -- */

static void
feed_push(struct cp_store *s, uint64_t revision, struct ap_resource *before, struct ap_resource *after)
{
	struct cp_event *e;

	if (s->count == CP_FEED_ROOM) {
		e = &s->ring[s->first];
		s->base = e->revision;
		ap_resource_unref(&e->before);
		ap_resource_unref(&e->after);
		s->first = (s->first + 1) % CP_FEED_ROOM;
		s->count--;
	}
	e = &s->ring[(s->first + s->count++) % CP_FEED_ROOM];
	e->revision = revision;
	e->before = before == NULL ? NULL : ap_resource_ref(before);
	e->after = after == NULL ? NULL : ap_resource_ref(after);
}

/* Revisions in the ring have no gaps, so the place follows from the number. */
const struct cp_event *
cp_feed_next(const struct cp *cp, uint64_t revision)
{
	const struct cp_store *s = cp->store;

	AP_CHECK(revision >= s->base);
	if (revision - s->base >= s->count)
		return NULL;
	return &s->ring[(s->first + (uint32_t)(revision - s->base)) % CP_FEED_ROOM];
}

/* -- subscribers -- */

static void
news_add(struct cp_store *s, struct ap_slice key, struct ap_resource *before, struct ap_resource *after)
{
	struct cp_news *n = ap_map_find(&s->news, key);

	if (n == NULL) {
		n = ap_new(struct cp_news);
		n->kind = before != NULL ? before->kind : after->kind;
		n->before = before == NULL ? NULL : ap_resource_ref(before);
		ap_map_put(&s->news, key, n);
	} else {
		ap_resource_unref(&n->after);
	}
	n->after = after == NULL ? NULL : ap_resource_ref(after);
}

static void
news_free(void *value)
{
	struct cp_news *n = value;

	ap_resource_unref(&n->before);
	ap_resource_unref(&n->after);
	ap_free(&n);
}

/* Everything but metadata and status, and of metadata what people write. */
static bool
only_status_differs(const struct ap_resource *a, const struct ap_resource *b)
{
	if (!ap_doc_eq(a->labels, b->labels) || !ap_doc_eq(a->annotations, b->annotations))
		return false;
	AP_DOC_FOR (member, a->doc)
		if (!ap_slice_eq(member->key, AP_S("metadata")) && !ap_slice_eq(member->key, AP_S("status")) &&
		    !ap_doc_eq(member, ap_doc_get_slice(b->doc, member->key)))
			return false;
	AP_DOC_FOR (member, b->doc)
		if (!ap_slice_eq(member->key, AP_S("status")) && ap_doc_get_slice(a->doc, member->key) == NULL)
			return false;
	return true;
}

static void
notify(struct ap_task *t, void *arg)
{
	struct cp *cp = arg;
	struct cp_store *s = cp->store;
	struct ap_map news = s->news;
	struct cp_change *changes;
	struct ap_map_entry *e;
	size_t n = 0;

	(void)t;
	s->news = (struct ap_map){ 0 };
	changes = ap_alloc_array(news.count, sizeof(*changes));
	for (size_t i = 0; (e = ap_map_next(&news, &i)) != NULL;) {
		struct cp_news *item = e->value;

		if (item->before == NULL && item->after == NULL)
			continue; /* made and removed since the last time */
		changes[n++] = (struct cp_change){ .key = e->key,
			.kind = item->kind,
			.before = item->before,
			.after = item->after,
			.status_only = item->before != NULL && item->after != NULL &&
			    only_status_differs(item->before, item->after) };
	}
	/* A subscriber may leave while it is called, or another; nobody may be added. */
	if (n > 0)
		AP_LIST_FOR_SAFE (link, &s->subscribers) {
			struct cp_subscriber *sub = AP_LIST_ITEM(link, struct cp_subscriber, link);

			sub->fn(cp, changes, n, sub->arg);
		}
	ap_free(&changes);
	ap_map_done(&news, news_free);
}

void
cp_subscribe(struct cp *cp, struct cp_subscriber *sub, cp_change_fn fn, void *arg)
{
	sub->fn = fn;
	sub->arg = arg;
	ap_list_append(&cp->store->subscribers, &sub->link);
}

void
cp_unsubscribe(struct cp *cp, struct cp_subscriber *sub)
{
	(void)cp;
	if (sub->link.next != NULL)
		ap_list_remove(&sub->link);
}

/* -- staging and commit -- */

struct ap_resource *
cp_current(const struct cp *cp, struct ap_slice key)
{
	const struct cp_store *s = cp->store;
	size_t at = (size_t)(uintptr_t)ap_map_find(&s->staged_at, key);

	return at != 0 ? s->staged.items[at - 1].after : ap_resources_find(&s->set, key);
}

static void
staged_clear(struct cp_store *s)
{
	for (size_t i = 0; i < s->staged.count; i++) {
		ap_resource_unref(&s->staged.items[i].before);
		ap_resource_unref(&s->staged.items[i].after);
	}
	s->staged.count = 0;
	ap_map_done(&s->staged_at, NULL);
	s->staged_at = (struct ap_map){ 0 };
}

/* Changes that a batch made and took back are dropped; the others are written. */
static int
write_staged(struct cp_store *s, uint64_t *out_first, struct ap_error *err)
{
	struct ap_store_change *changes = ap_alloc_array(s->staged.count + 1, sizeof(*changes));
	struct ap_buf *texts = ap_alloc_array(s->staged.count + 1, sizeof(*texts));
	size_t n = 0, kept = 0;
	int rc = 0;

	for (size_t i = 0; i < s->staged.count; i++) {
		struct cp_staged *st = &s->staged.items[i];

		if (st->before == NULL && st->after == NULL)
			continue;
		s->staged.items[kept++] = *st;
		st = &s->staged.items[n];
		changes[n].key = st->after != NULL ? st->after->key : st->before->key;
		changes[n].remove = st->after == NULL;
		ap_buf_init(&texts[n], OBJECT_MAX);
		if (st->after != NULL)
			ap_json_write(st->doc, 0, &texts[n]);
		changes[n].value = ap_buf_slice(&texts[n]);
		if (texts[n].bad)
			rc = ap_error_set(err, -EFBIG, "%.*s is too big to be stored", AP_FMT(changes[n].key));
		n++;
	}
	s->staged.count = kept;
	if (rc == 0)
		rc = ap_store_apply(s->disk, changes, n, out_first, err);
	for (size_t i = 0; i < n; i++)
		ap_buf_done(&texts[i]);
	ap_free(&texts);
	ap_free(&changes);
	return rc;
}

static void
publish(struct cp *cp, struct cp_staged *st, uint64_t revision)
{
	struct cp_store *s = cp->store;
	char text[24];

	if (st->after != NULL) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)revision);
		ap_doc_set_string(st->arena, ap_doc_get(st->doc, "metadata"), "resourceVersion", ap_slice_of(text));
		st->after->revision = revision;
		ap_resources_put(&s->set, ap_resource_ref(st->after));
	} else {
		ap_resources_remove(&s->set, st->before->key);
	}
	feed_push(s, revision, st->before, st->after);
	news_add(s, st->after != NULL ? st->after->key : st->before->key, st->before, st->after);
}

static int
commit(struct cp *cp, struct ap_error *err)
{
	struct cp_store *s = cp->store;
	struct ap_error compact_err = { 0 };
	uint64_t first = 0;
	int rc;

	if (s->staged.count == 0)
		return 0;
	rc = write_staged(s, &first, err);
	if (rc == 0 && s->staged.count > 0) {
		for (size_t i = 0; i < s->staged.count; i++)
			publish(cp, &s->staged.items[i], first + i);
		ap_task_schedule(cp->loop, &s->notify);
	}
	staged_clear(s);
	/* Now and then, so that the cost is spread and small. */
	if (rc == 0 && ap_store_revision(s->disk) - ap_store_compacted(s->disk) > s->keep + s->keep / 4 + 16 &&
	    ap_store_compact(s->disk, s->keep, &compact_err) != 0)
		LOG_WARN_LIMIT(NULL, 1, "history is not compacted: %s", compact_err.text);
	return rc;
}

void
cp_batch_begin(struct cp *cp)
{
	cp->store->batch++;
}

int
cp_batch_end(struct cp *cp, struct ap_error *err)
{
	AP_CHECK(cp->store->batch > 0);
	if (--cp->store->batch > 0)
		return 0;
	return commit(cp, err);
}

/* The entry of a key, made when it has none. before is what the set has. */
static struct cp_staged *
stage(struct cp_store *s, struct ap_slice key)
{
	size_t at = (size_t)(uintptr_t)ap_map_find(&s->staged_at, key);
	struct ap_resource *before = ap_resources_find(&s->set, key);

	if (at != 0) {
		struct cp_staged *st = &s->staged.items[at - 1];

		ap_resource_unref(&st->after);
		return st;
	}
	ap_vec_push(&s->staged, (struct cp_staged){ .before = before == NULL ? NULL : ap_resource_ref(before) });
	ap_map_put(&s->staged_at, key, (void *)(uintptr_t)s->staged.count);
	return &s->staged.items[s->staged.count - 1];
}

int
cp_stage_put(
    struct cp *cp, struct ap_arena *arena, struct ap_doc *doc, struct ap_resource **out_after, struct ap_error *err)
{
	struct ap_doc *metadata = ap_doc_get(doc, "metadata");
	struct ap_resource *after;
	struct cp_staged *st;
	int rc;

	if (metadata != NULL)
		ap_doc_remove(metadata, "resourceVersion"); /* the commit gives the new one */
	after = ap_resource_take(arena, doc, err);
	if (after == NULL)
		return err == NULL || err->code == 0 ? -EINVAL : err->code;
	st = stage(cp->store, after->key);
	st->after = after;
	st->arena = arena;
	st->doc = doc;
	after = ap_resource_ref(after);
	rc = cp->store->batch > 0 ? 0 : commit(cp, err);
	if (rc == 0 && out_after != NULL)
		*out_after = after; /* the set or the stage holds it */
	ap_resource_unref(&after);
	return rc;
}

int
cp_stage_removal(struct cp *cp, struct ap_resource *before, struct ap_error *err)
{
	stage(cp->store, before->key)->after = NULL;
	return cp->store->batch > 0 ? 0 : commit(cp, err);
}

/* -- open, close, look -- */

static int
load_row(const struct ap_store_row *row, void *arg)
{
	struct cp *cp = arg;
	struct ap_arena *arena = ap_arena_new((size_t)32 * 1024 * 1024);
	struct ap_error err = { 0 };
	struct ap_doc *doc = NULL, *metadata;
	struct ap_resource *r;
	char text[24];

	if (ap_json_parse(arena, "store", row->value, &doc, &err) != 0) {
		LOG_ERROR(NULL, "%.*s in the store cannot be read and is left out: %s", AP_FMT(row->key), err.text);
		ap_arena_free(&arena);
		return 0;
	}
	metadata = ap_doc_make_path(arena, doc, "metadata");
	snprintf(text, sizeof(text), "%llu", (unsigned long long)row->revision);
	ap_doc_set_string(arena, metadata, "resourceVersion", ap_slice_of(text));
	r = ap_resource_take(arena, doc, &err);
	if (r == NULL)
		LOG_ERROR(NULL, "%.*s in the store cannot be read and is left out: %s", AP_FMT(row->key), err.text);
	else
		ap_resources_put(&cp->store->set, r);
	return 0;
}

int
cp_store_open(struct cp *cp, uint64_t keep_revisions, struct ap_error *err)
{
	struct cp_store *s = ap_new(struct cp_store);
	char path[4096];
	int rc;

	cp->store = s;
	s->keep = keep_revisions;
	s->ring = ap_alloc_array(CP_FEED_ROOM, sizeof(*s->ring));
	ap_list_init(&s->subscribers);
	ap_task_init(&s->notify, notify, cp);
	snprintf(path, sizeof(path), "%.*s/store.db", AP_FMT(cp->settings.state_dir));
	s->disk = ap_store_open(path, err);
	if (s->disk == NULL)
		return err->code;
	rc = ap_store_each(s->disk, load_row, cp, err);
	s->base = ap_store_revision(s->disk);
	return rc;
}

void
cp_store_close(struct cp *cp)
{
	struct cp_store *s = cp->store;

	if (s == NULL)
		return;
	ap_task_cancel(&s->notify);
	staged_clear(s);
	ap_vec_done(&s->staged);
	ap_map_done(&s->news, news_free);
	while (s->count > 0) {
		struct cp_event *e = &s->ring[s->first];

		ap_resource_unref(&e->before);
		ap_resource_unref(&e->after);
		s->first = (s->first + 1) % CP_FEED_ROOM;
		s->count--;
	}
	ap_free(&s->ring);
	ap_resources_done(&s->set);
	ap_store_close(&s->disk);
	ap_free(&cp->store);
}

const struct ap_resource_set *
cp_resources(const struct cp *cp)
{
	return &cp->store->set;
}

uint64_t
cp_revision(const struct cp *cp)
{
	return ap_store_revision(cp->store->disk);
}

bool
cp_value_get(struct cp *cp, const char *name, struct ap_slice *out)
{
	return ap_store_value_get(cp->store->disk, name, out);
}

int
cp_value_put(struct cp *cp, const char *name, struct ap_slice value, struct ap_error *err)
{
	return ap_store_value_put(cp->store->disk, name, value, err);
}
