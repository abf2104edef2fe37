/*
 * wm_world.c -- list and watch, per kind, as every client of a Kubernetes API does: a list gives the state and its version, a
 * watch from that version the changes; when the watch ends or its version is too old, the kind is listed anew.
 */
#include "wm_world.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "event/loop.h"
#include "wm_client.h"

AP_LOG_MODULE(wm_world);

#define RELIST_MS 500U
#define OBJECT_MAX ((size_t)16 * 1024 * 1024)
#define LIST_MAX ((size_t)512 * 1024 * 1024)

struct watched {
	struct wm_world *world;
	const struct ap_kind *kind;
	char version[32]; /* resourceVersion to watch from */
	bool is_listed;
	struct ap_timer again;
};

struct wm_world {
	struct ap_loop *loop;
	struct wm_client *client;
	struct ap_resource_set set;
	struct watched *kinds;
	size_t count, listed;
	void (*changed)(void *arg);
	void *arg;
};

static void list(struct watched *w);

static void
kind_path(const struct watched *w, char *out, size_t size)
{
	const struct ap_kind *k = w->kind;

	if (k->group[0] == '\0')
		snprintf(out, size, "/api/%s/%s", k->versions[0], k->plural);
	else
		snprintf(out, size, "/apis/%s/%s/%s", k->group, k->versions[0], k->plural);
}

static void
list_later(struct watched *w)
{
	ap_timer_start(&w->again, RELIST_MS);
}

static void
tell(struct wm_world *world)
{
	if (wm_world_is_complete(world))
		world->changed(world->arg);
}

/* List items carry no apiVersion and kind of their own in some servers; ours says them, and so do we where it does not. */
static void
name_kind(struct ap_arena *arena, struct ap_doc *object, const struct ap_kind *k)
{
	char version[128];

	if (ap_doc_get(object, "kind") == NULL)
		ap_doc_set_string(arena, object, "kind", ap_slice_of(k->kind));
	if (ap_doc_get(object, "apiVersion") == NULL)
		ap_doc_set_string(arena, object, "apiVersion", ap_slice_of(ap_kind_api_version(k, NULL, version, sizeof(version))));
}

static void
put_object(struct watched *w, struct ap_arena *arena, struct ap_doc *object)
{
	struct ap_error err = { 0 };
	struct ap_resource *r;

	name_kind(arena, object, w->kind);
	r = ap_resource_new(object, AP_SLICE_NONE, &err);
	if (r == NULL)
		LOG_WARN(NULL, "an object of kind %s cannot be read: %s", w->kind->kind, err.text);
	else
		ap_resources_put(&w->world->set, r);
}

/* What the list does not hold is gone. */
static void
drop_missing(struct watched *w, const struct ap_map *seen)
{
	const struct ap_map *have = ap_resources_of(&w->world->set, w->kind->group, w->kind->kind);
	struct ap_map_entry *e;
	struct ap_map gone = { 0 };

	for (size_t i = 0; (e = ap_map_next(have, &i)) != NULL;) {
		const struct ap_resource *r = e->value;

		if (!ap_map_has(seen, r->path))
			ap_map_put(&gone, r->key, NULL);
	}
	for (size_t i = 0; (e = ap_map_next(&gone, &i)) != NULL;)
		ap_resources_remove(&w->world->set, e->key);
	ap_map_done(&gone, NULL);
}

static void
take_list(struct watched *w, struct ap_arena *arena, const struct ap_doc *answer)
{
	struct ap_map seen = { 0 };
	char path[600];

	AP_DOC_FOR(item, ap_doc_get(answer, "items")) {
		const struct ap_doc *meta = ap_doc_get(item, "metadata");
		struct ap_slice ns = ap_doc_string(meta, "namespace", "");
		struct ap_slice name = ap_doc_string(meta, "name", "");

		snprintf(path, sizeof(path), "%.*s/%.*s", AP_FMT(ns), AP_FMT(name));
		ap_map_put(&seen, ap_slice_of(path), w);
		put_object(w, arena, item);
	}
	drop_missing(w, &seen);
	ap_map_done(&seen, NULL);
}

static void
on_event(struct ap_slice line, bool ended, void *arg)
{
	struct watched *w = arg;
	struct ap_arena *arena;
	struct ap_doc *event, *object;
	struct ap_slice type;
	struct ap_error err = { 0 };

	if (ended) {
		list_later(w);
		return;
	}
	if (line.len == 0)
		return;
	arena = ap_arena_new(OBJECT_MAX * 8);
	if (ap_json_parse(arena, "watch", line, &event, &err) != 0) {
		LOG_WARN(NULL, "a watch event of %s cannot be read: %s", w->kind->kind, err.text);
		ap_arena_free(&arena);
		return;
	}
	type = ap_doc_string(event, "type", "");
	object = ap_doc_get(event, "object");
	if (ap_slice_eq(type, AP_S("ADDED")) || ap_slice_eq(type, AP_S("MODIFIED"))) {
		put_object(w, arena, object);
		tell(w->world);
	} else if (ap_slice_eq(type, AP_S("DELETED"))) {
		const struct ap_doc *meta = ap_doc_get(object, "metadata");
		char key[800];

		if (ap_resource_key(w->kind, ap_doc_string(meta, "namespace", ""), ap_doc_string(meta, "name", ""), key,
			sizeof(key)) == 0)
			ap_resources_remove(&w->world->set, ap_slice_of(key));
		tell(w->world);
	}
	/* BOOKMARK tells nothing that matters here; ERROR (410) is followed by the stream's end, which lists anew. */
	ap_arena_free(&arena);
}

static void
on_list(int status, struct ap_slice body, void *arg)
{
	struct watched *w = arg;
	struct ap_arena *arena;
	struct ap_doc *answer;
	struct ap_error err = { 0 };
	char path[400], watch[600];

	if (status != 200) {
		if (status != 0)
			LOG_WARN(NULL, "listing %s was answered with %d: %.*s", w->kind->plural, status,
			    (int)AP_MIN(body.len, (size_t)200), body.ptr);
		list_later(w);
		return;
	}
	arena = ap_arena_new(LIST_MAX);
	if (ap_json_parse(arena, "list", body, &answer, &err) != 0) {
		LOG_WARN(NULL, "the list of %s cannot be read: %s", w->kind->plural, err.text);
		ap_arena_free(&arena);
		list_later(w);
		return;
	}
	take_list(w, arena, answer);
	snprintf(w->version, sizeof(w->version), "%.*s",
	    AP_FMT(ap_doc_string(ap_doc_get(answer, "metadata"), "resourceVersion", "0")));
	ap_arena_free(&arena);
	if (!w->is_listed) {
		w->is_listed = true;
		w->world->listed++;
	}
	kind_path(w, path, sizeof(path));
	snprintf(watch, sizeof(watch), "%s?watch=1&resourceVersion=%s", path, w->version);
	wm_stream(w->world->client, watch, on_event, w);
	tell(w->world);
}

static void
list(struct watched *w)
{
	char path[400];

	kind_path(w, path, sizeof(path));
	wm_request(w->world->client, "GET", path, NULL, AP_SLICE_NONE, on_list, w);
}

static void
on_again(struct ap_timer *t, void *arg)
{
	(void)t;
	list(arg);
}

/* Tokens are nobody's business here, and hosts come and go without a bearing on waypoints. */
static bool
matters(const struct ap_kind *k)
{
	return strcmp(k->kind, "JoinToken") != 0 && strcmp(k->kind, "Host") != 0;
}

struct wm_world *
wm_world_new(struct ap_loop *loop, struct wm_client *client, void (*changed)(void *arg), void *arg)
{
	struct wm_world *world = ap_new(struct wm_world);
	const struct ap_kind *const *kinds;
	size_t count;

	world->loop = loop;
	world->client = client;
	world->changed = changed;
	world->arg = arg;
	kinds = ap_kinds(&count);
	world->kinds = ap_alloc_array(count, sizeof(*world->kinds));
	for (size_t i = 0; i < count; i++) {
		struct watched *w = &world->kinds[world->count];

		if (!matters(kinds[i]))
			continue;
		w->world = world;
		w->kind = kinds[i];
		ap_timer_init(&w->again, loop, on_again, w);
		world->count++;
		list(w);
	}
	return world;
}

void
wm_world_free(struct wm_world **w)
{
	struct wm_world *world = *w;

	if (world == NULL)
		return;
	for (size_t i = 0; i < world->count; i++)
		ap_timer_stop(&world->kinds[i].again);
	ap_resources_done(&world->set);
	ap_free(&world->kinds);
	ap_free(w);
}

bool
wm_world_is_complete(const struct wm_world *w)
{
	return w->listed == w->count;
}

const struct ap_resource_set *
wm_world_resources(const struct wm_world *w)
{
	return &w->set;
}
