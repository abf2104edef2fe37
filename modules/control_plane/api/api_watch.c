/*
 * api_watch.c -- watches: a stream of JSON lines about the changes after a revision.
 *
 * A watch has a cursor into the feed of changes and copies nothing: it is woken when something was committed or when its
 * client took bytes, and writes events until the stream says that it has enough.  A client that does not keep up with the
 * feed is told 410 Gone, as Kubernetes does, and lists again.  Changes older than the feed in memory come from the store.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "codec/json.h"
#include "control_plane/api/api_priv.h"
#include "store/store.h"

#define BOOKMARK_MS 60000U
#define TIMEOUT_MAX_MS (UINT64_C(24) * 3600 * 1000)
#define TIMEOUT_PRESET_MS (UINT64_C(30) * 60 * 1000)

struct api_watch {
	struct ap_list link; /* of api->watches */
	struct api_request *r;
	struct api_selector *selector;
	struct ap_arena_mark mark; /* of the request's arena: rewound after each event */
	uint64_t cursor;           /* the last revision that was looked at */
	struct ap_buf out;         /* not taken by the stream yet */
	struct ap_timer bookmark, timeout;
	bool bookmarks, columns_sent, ending, finished;
	bool input_ended; /* the request has no more bytes; that the client leaves is told by FAILED */
};

void
api_watch_end(struct api_request *r)
{
	struct api_watch *w = r->watch;

	if (w == NULL)
		return;
	r->watch = NULL;
	r->api->watch_count--;
	ap_list_remove(&w->link);
	ap_timer_stop(&w->bookmark);
	ap_timer_stop(&w->timeout);
	ap_buf_done(&w->out);
	ap_free(&w);
}

/* -- events -- */

static void
put_event(struct api_watch *w, const char *type, const struct ap_doc *object)
{
	ap_buf_printf(&w->out, "{\"type\":\"%s\",\"object\":", type);
	ap_json_write(object, 0, &w->out);
	ap_buf_add_text(&w->out, "}\n");
	ap_arena_rewind(w->r->arena, w->mark);
}

static void
put_resource(struct api_watch *w, const char *type, const struct ap_resource *res)
{
	struct api_request *r = w->r;
	struct ap_resource *one = (struct ap_resource *)(uintptr_t)res;

	if (r->table) {
		put_event(w, type, api_table(r, &one, 1, NULL, !w->columns_sent));
		w->columns_sent = true;
	} else {
		put_event(w, type, api_present(r, res));
	}
}

/* A deletion bears its own revision, so that a watch can go on from it. */
static void
put_deleted(struct api_watch *w, const struct ap_resource *res, uint64_t revision)
{
	struct ap_error err = { 0 };
	struct ap_resource *copy = ap_resource_new(res->doc, AP_SLICE_NONE, &err);
	char text[24];

	if (copy == NULL)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)revision);
	/* Nobody else has this copy yet. */
	ap_doc_set_string(
	    copy->arena, ap_doc_get(copy->doc, "metadata"), "resourceVersion", ap_slice_of(text));
	put_resource(w, "DELETED", copy);
	ap_resource_unref(&copy);
}

static bool
concerns(const struct api_watch *w, const struct ap_resource *res)
{
	const struct api_target *t = &w->r->target;

	return res != NULL && res->kind == t->kind &&
	    (t->namespace_.len == 0 || ap_slice_eq(res->namespace_, t->namespace_)) &&
	    (t->name.len == 0 || ap_slice_eq(res->name, t->name)) && api_selector_match(w->selector, res);
}

/* An object that stops to match looks deleted to this watch, one that begins to match looks new. */
static void
put_change(struct api_watch *w, const struct ap_resource *before, const struct ap_resource *after, uint64_t revision)
{
	bool was = concerns(w, before), is = concerns(w, after);

	if (is)
		put_resource(w, was ? "MODIFIED" : "ADDED", after);
	else if (was)
		put_deleted(w, after != NULL ? after : before, revision);
}

static void
put_gone(struct api_watch *w, const char *text)
{
	put_event(w, "ERROR", api_status_doc(w->r->arena, 410, "Expired", ap_slice_of(text)));
	w->ending = true;
}

/* initial_end: all that there was at the beginning has been told (sendInitialEvents). */
static void
put_bookmark(struct api_watch *w, bool initial_end)
{
	struct api_request *r = w->r;
	struct ap_doc *doc = ap_doc_new_map(r->arena), *meta = ap_doc_new_map(r->arena);
	char version[128], asked[64], text[24];

	snprintf(asked, sizeof(asked), "%.*s", AP_FMT(r->target.version));
	ap_kind_api_version(r->target.kind, asked, version, sizeof(version));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)w->cursor);
	ap_doc_set_string(r->arena, doc, "kind", ap_slice_of(r->target.kind->kind));
	ap_doc_set_string(r->arena, doc, "apiVersion", ap_slice_of(version));
	ap_doc_set_string(r->arena, meta, "resourceVersion", ap_slice_of(text));
	ap_doc_set(r->arena, meta, "creationTimestamp", ap_doc_new_null(r->arena));
	if (initial_end)
		ap_doc_set_string(r->arena, ap_doc_make_path(r->arena, meta, "annotations"), "k8s.io/initial-events-end", AP_S("true"));
	ap_doc_set(r->arena, doc, "metadata", meta);
	put_event(w, "BOOKMARK", doc);
}

/* -- the stream -- */

/* False: the stream has enough, or the watch is over. */
static bool
flush(struct api_watch *w)
{
	struct ap_stream *s = &w->r->x->stream;
	ssize_t n;

	while (w->out.len > 0) {
		n = ap_stream_write(s, w->out.ptr, w->out.len);
		if (n == AP_STREAM_AGAIN)
			return false;
		if (n <= 0) {
			w->finished = true;
			return false;
		}
		ap_buf_consume(&w->out, (size_t)n);
	}
	if (w->ending) {
		ap_stream_shutdown(s);
		w->finished = true;
	}
	return !w->finished;
}

static void
pump(struct api_watch *w)
{
	struct api_request *r = w->r;
	const struct cp_store *store = r->cp->store;
	const struct cp_event *e;

	while (flush(w)) {
		if (w->cursor < store->base) {
			put_gone(w, "too old resource version: the client did not keep up with the changes");
			continue;
		}
		e = cp_feed_next(r->cp, w->cursor);
		if (e == NULL)
			break;
		w->cursor = e->revision;
		put_change(w, e->before, e->after, e->revision);
		if (w->out.bad) { /* one object of many megabytes */
			w->finished = true;
			break;
		}
	}
	if (w->finished) {
		api_watch_end(r);
		api_done(r);
		return;
	}
	ap_stream_want(&r->x->stream,
	    (w->input_ended ? 0 : AP_STREAM_READABLE) | (w->out.len > 0 ? AP_STREAM_WRITABLE : 0));
}

static void
on_stream(struct ap_stream *s, unsigned events, void *arg)
{
	struct api_request *r = arg;
	char rest[512];
	ssize_t n;

	if ((events & AP_STREAM_FAILED) != 0)
		goto gone;
	if ((events & AP_STREAM_READABLE) != 0) {
		while ((n = ap_stream_read(s, rest, sizeof(rest))) > 0)
			;
		if (n == AP_STREAM_ERROR)
			goto gone;
		r->watch->input_ended = n == AP_STREAM_EOF;
	}
	pump(r->watch);
	return;
gone:
	api_watch_end(r);
	api_done(r);
}

void
api_watch_wake(struct cp_api *api)
{
	AP_LIST_FOR_SAFE (link, &api->watches)
		pump(AP_LIST_ITEM(link, struct api_watch, link));
}

static void
on_bookmark(struct ap_timer *t, void *arg)
{
	struct api_watch *w = arg;

	ap_timer_start(t, BOOKMARK_MS);
	if (w->out.len == 0 && w->cursor >= w->r->cp->store->base) {
		put_bookmark(w, false);
		pump(w);
	}
}

static void
on_timeout(struct ap_timer *t, void *arg)
{
	struct api_watch *w = arg;

	(void)t;
	w->ending = true;
	pump(w);
}

/* -- the beginning -- */

struct catch_up {
	struct api_watch *w;
	uint64_t upto;
};

static struct ap_resource *
from_text(struct ap_slice text, uint64_t revision)
{
	struct ap_arena *arena;
	struct ap_doc *doc = NULL;
	char number[24];

	if (text.len == 0)
		return NULL;
	arena = ap_arena_new((size_t)32 * 1024 * 1024);
	if (ap_json_parse(arena, "store", text, &doc, NULL) != 0) {
		ap_arena_free(&arena);
		return NULL;
	}
	snprintf(number, sizeof(number), "%llu", (unsigned long long)revision);
	ap_doc_set_string(arena, ap_doc_make_path(arena, doc, "metadata"), "resourceVersion", ap_slice_of(number));
	return ap_resource_take(arena, doc, NULL);
}

static int
catch_up_one(const struct ap_store_event *e, void *arg)
{
	struct catch_up *c = arg;
	struct ap_resource *before, *after;

	if (e->revision > c->upto)
		return 1;
	before = from_text(e->removed ? e->value : e->before, e->revision);
	after = e->removed ? NULL : from_text(e->value, e->revision);
	put_change(c->w, before, after, e->revision);
	ap_resource_unref(&before);
	ap_resource_unref(&after);
	c->w->cursor = e->revision;
	return c->w->out.bad ? -EFBIG : 0;
}

/* What happened between `since` and the beginning of the feed, from the store. */
static int
catch_up(struct api_watch *w, uint64_t since)
{
	const struct cp_store *store = w->r->cp->store;
	struct catch_up c = { .w = w, .upto = store->base };
	int rc;

	w->cursor = since;
	if (since >= store->base)
		return 0;
	rc = ap_store_events(store->disk, since, 1000000, catch_up_one, &c, NULL);
	if (rc < 0)
		return rc;
	w->cursor = store->base;
	return 0;
}

/* Without a revision, or with 0, a watch begins with all there is. */
static void
put_everything(struct api_watch *w)
{
	size_t count;
	struct ap_resource **items = api_collect(w->r, w->selector, &count);

	w->mark = ap_arena_mark(w->r->arena);
	w->cursor = cp_revision(w->r->cp);
	for (size_t i = 0; i < count; i++)
		if (concerns(w, items[i]))
			put_resource(w, "ADDED", items[i]);
}

static uint64_t
timeout_ms(struct api_request *r)
{
	struct ap_slice text = api_param(r, "timeoutSeconds");
	uint64_t s;

	if (text.len == 0 || ap_text_to_u64(text, TIMEOUT_MAX_MS / 1000, &s) != 0 || s == 0)
		return TIMEOUT_PRESET_MS;
	return s * 1000;
}

static void
respond(struct api_request *r)
{
	struct ap_http_head head;

	ap_http_head_init(&head, r->x->arena);
	head.status = 200;
	ap_fields_add(&head.fields, AP_S("content-type"), AP_S("application/json"));
	ap_fields_add(&head.fields, AP_S("cache-control"), AP_S("no-cache, private"));
	ap_exchange_respond(r->x, &head, false);
}

void
api_watch_start(struct api_request *r)
{
	struct api_selector *selector = api_selector_read(r);
	struct ap_slice since_text = api_param(r, "resourceVersion");
	bool initial = api_flag(r, "sendInitialEvents");
	struct api_watch *w;
	uint64_t since = 0;

	if (selector == NULL)
		return;
	if (since_text.len > 0 && ap_text_to_u64(since_text, UINT64_MAX, &since) != 0) {
		api_fail(r, 400, "BadRequest", "resourceVersion must be a number, is \"%.*s\"", AP_FMT(since_text));
		return;
	}
	if (since > cp_revision(r->cp))
		since = cp_revision(r->cp); /* a store that was restored from a backup; the client will see */
	if (r->api->watch_count >= API_WATCHES_MAX) {
		api_fail(r, 429, "TooManyRequests", "%u watches are open, the bound", API_WATCHES_MAX);
		return;
	}
	w = ap_new(struct api_watch);
	w->r = r;
	w->selector = selector;
	w->bookmarks = api_flag(r, "allowWatchBookmarks");
	ap_buf_init(&w->out, API_ANSWER_MAX);
	r->watch = w;
	r->api->watch_count++;
	ap_list_append(&r->api->watches, &w->link);
	ap_timer_init(&w->bookmark, r->cp->loop, on_bookmark, w);
	ap_timer_init(&w->timeout, r->cp->loop, on_timeout, w);
	w->mark = ap_arena_mark(r->arena);
	if (initial || since == 0) {
		put_everything(w);
		if (initial)
			put_bookmark(w, true);
	} else if (catch_up(w, since) != 0) {
		ap_buf_clear(&w->out);
		put_gone(w, "too old resource version: history does not go back so far");
	}
	respond(r);
	ap_stream_set_callback(&r->x->stream, on_stream, r);
	if (w->bookmarks)
		ap_timer_start(&w->bookmark, BOOKMARK_MS);
	ap_timer_start(&w->timeout, timeout_ms(r));
	pump(w);
}
