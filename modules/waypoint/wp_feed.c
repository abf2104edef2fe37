/*
 * wp_feed.c -- from xDS to every table.  The main loop decodes an update (what cannot be compiled is refused, and its old form
 * stays), applies it to its own table, and posts the same counted objects to each worker in one message, so that a worker
 * sees an update whole.
 */
#include <ambit/waypoint.pb-c.h>
#include <errno.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/refs.h"
#include "base/vec.h"
#include "event/mailbox.h"
#include "event/worker.h"
#include "waypoint/wp_pack.h"
#include "waypoint/wp_table.h"

AP_LOG_MODULE(wp_feed);

enum kind { KIND_HOST, KIND_POLICY, KIND_SCRIPT, KINDS };

/* One object that comes (a reference with it) or, when object is NULL, goes. */
struct change {
	enum kind kind;
	char *key;
	void *object;
};

struct viewer {
	struct ap_refs refs; /* the feed's, and one for each message under way */
	struct ap_list link;
	struct ap_worker *worker;
	struct wp_table *table;
	void (*changed)(void *arg);
	void *arg;
};

struct wp_feed {
	struct wp_table table;
	struct ap_list viewers;
	struct source {
		struct wp_feed *feed;
		enum kind kind;
	} sources[KINDS];
};

struct news {
	struct ap_msg msg;
	struct viewer *viewer;
	struct change *changes;
	size_t count;
};

static void *
object_ref(enum kind kind, void *object)
{
	if (object == NULL)
		return NULL;
	if (kind == KIND_HOST)
		return wp_host_ref(object);
	if (kind == KIND_POLICY)
		return wp_policy_ref(object);
	return ap_lua_script_ref(object);
}

static void
object_unref(enum kind kind, void *object)
{
	struct wp_host *h = object;
	struct wp_policy *p = object;
	struct ap_lua_script *s = object;

	if (kind == KIND_HOST)
		wp_host_unref(&h);
	else if (kind == KIND_POLICY)
		wp_policy_unref(&p);
	else
		ap_lua_script_unref(&s);
}

static struct ap_map *
table_map(struct wp_table *t, enum kind kind)
{
	return kind == KIND_HOST ? &t->hosts : kind == KIND_POLICY ? &t->policies : &t->scripts;
}

/* The name index points at hosts of the table, never at one that left it. */
static void
names_update(struct wp_table *t, struct wp_host *gone, struct wp_host *came)
{
	struct ap_map_entry *e;

	if (gone != NULL && ap_map_find(&t->names, gone->hostname) == gone) {
		ap_map_remove(&t->names, gone->hostname);
		for (size_t i = 0; came == NULL && (e = ap_map_next(&t->hosts, &i)) != NULL;) {
			struct wp_host *h = e->value;

			if (h != gone && ap_slice_eq(h->hostname, gone->hostname))
				ap_map_put(&t->names, h->hostname, h);
		}
	}
	if (came != NULL)
		ap_map_put(&t->names, came->hostname, came);
}

static void
table_apply(struct wp_table *t, const struct change *c)
{
	struct ap_map *m = table_map(t, c->kind);
	struct ap_slice key = ap_slice_of(c->key);
	void *old;

	if (c->object != NULL)
		old = ap_map_put(m, key, object_ref(c->kind, c->object));
	else
		old = ap_map_remove(m, key);
	if (c->kind == KIND_HOST)
		names_update(t, old, c->object);
	if (old != NULL)
		object_unref(c->kind, old);
	t->generation++;
}

static void
viewer_unref(struct viewer *v)
{
	if (ap_refs_drop(&v->refs))
		ap_free(&v);
}

static void
news_free(struct news *n)
{
	for (size_t i = 0; i < n->count; i++) {
		object_unref(n->changes[i].kind, n->changes[i].object);
		ap_free(&n->changes[i].key);
	}
	ap_free(&n->changes);
	viewer_unref(n->viewer);
	ap_free(&n);
}

/* On the worker. */
static void
news_apply(struct ap_msg *msg)
{
	struct news *n = AP_CONTAINER_OF(msg, struct news, msg);
	struct viewer *v = n->viewer;

	for (size_t i = 0; v->table != NULL && i < n->count; i++)
		table_apply(v->table, &n->changes[i]);
	if (v->table != NULL && v->changed != NULL)
		v->changed(v->arg);
	news_free(n);
}

static void
publish(struct wp_feed *f, const struct change *changes, size_t count)
{
	AP_LIST_FOR(l, &f->viewers)
	{
		struct viewer *v = AP_LIST_ITEM(l, struct viewer, link);
		struct news *n = ap_new(struct news);

		n->msg.fn = news_apply;
		n->viewer = v;
		ap_refs_add(&v->refs);
		n->count = count;
		n->changes = ap_alloc_array(count + 1, sizeof(*n->changes));
		for (size_t i = 0; i < count; i++) {
			n->changes[i].kind = changes[i].kind;
			n->changes[i].key = ap_strdup(changes[i].key);
			n->changes[i].object = object_ref(changes[i].kind, changes[i].object);
		}
		ap_mailbox_post(v->worker->mailbox, &n->msg);
	}
}

static int
script_decode(struct ap_slice body, struct ap_lua_script **out, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new((size_t)1 << 20);
	const Ambit__Waypoint__LuaPolicy *m = wp_unpack(arena, &ambit__waypoint__lua_policy__descriptor, body, err);
	struct ap_lua_settings set = { 0 };

	if (m != NULL) {
		set.name = ap_arena_printf(arena, "%s/%s", m->namespace_, m->name);
		set.version = ap_slice_of(m->version);
		set.source = ap_slice_of(m->source);
		set.max_instructions = m->max_instructions;
		set.max_memory_kib = m->max_memory_kib;
		set.allow_on_error = m->allow_on_error;
		set.hooks[AP_LUA_ON_CONNECT] = m->on_connect;
		set.hooks[AP_LUA_ON_REQUEST] = m->on_request;
		set.hooks[AP_LUA_ON_RESPONSE] = m->on_response;
		*out = ap_lua_script_new(&set, err);
	}
	ap_arena_free(&arena);
	return m == NULL || *out == NULL ? -EINVAL : 0;
}

static int
object_decode(enum kind kind, struct ap_slice body, void **out, struct ap_error *err)
{
	struct wp_host *h = NULL;
	struct wp_policy *p = NULL;
	struct ap_lua_script *s = NULL;
	int rc;

	if (kind == KIND_HOST) {
		rc = wp_host_decode(body, &h, err);
		*out = h;
	} else if (kind == KIND_POLICY) {
		rc = wp_policy_decode(body, &p, err);
		*out = p;
	} else {
		rc = script_decode(body, &s, err);
		*out = s;
	}
	return rc;
}

typedef AP_VEC(struct change) changes_vec;

static void
change_add(changes_vec *v, enum kind kind, struct ap_slice key, void *object)
{
	struct change c = { .kind = kind, .key = ap_strndup(key.ptr, key.len), .object = object };

	ap_vec_push(v, c);
}

/* What a first answer does not hold does not exist. */
static void
removals_add(struct wp_feed *f, enum kind kind, const struct ap_xds_update *u, changes_vec *v)
{
	struct ap_map named = { 0 };
	struct ap_map_entry *e;
	static char here;

	for (size_t i = 0; i < u->removed_count; i++)
		if (ap_map_has(table_map(&f->table, kind), u->removed[i]))
			change_add(v, kind, u->removed[i], NULL);
	if (!u->first)
		return;
	for (size_t i = 0; i < u->count; i++)
		ap_map_put(&named, u->resources[i].name, &here);
	for (size_t i = 0; (e = ap_map_next(table_map(&f->table, kind), &i)) != NULL;)
		if (!ap_map_has(&named, e->key))
			change_add(v, kind, e->key, NULL);
	ap_map_done(&named, NULL);
}

static void
feed_apply(void *arg, const struct ap_xds_update *u, struct ap_buf *reject)
{
	struct source *source = arg;
	struct wp_feed *f = source->feed;
	changes_vec v = { 0 };

	for (size_t i = 0; i < u->count; i++) {
		const struct ap_xds_resource *r = &u->resources[i];
		struct ap_error err = { 0 };
		void *object = NULL;

		if (object_decode(source->kind, r->body, &object, &err) != 0) {
			LOG_WARN(NULL, "%.*s refused: %s", AP_FMT(r->name), err.text);
			ap_buf_printf(reject, "%.*s: %s; ", AP_FMT(r->name), err.text);
			continue;
		}
		change_add(&v, source->kind, r->name, object);
	}
	removals_add(f, source->kind, u, &v);
	for (size_t i = 0; i < v.count; i++)
		table_apply(&f->table, &v.items[i]);
	if (v.count > 0)
		publish(f, v.items, v.count);
	for (size_t i = 0; i < v.count; i++) {
		object_unref(v.items[i].kind, v.items[i].object);
		ap_free(&v.items[i].key);
	}
	ap_vec_done(&v);
}

struct wp_feed *
wp_feed_new(void)
{
	struct wp_feed *f = ap_new(struct wp_feed);

	ap_list_init(&f->viewers);
	for (int k = 0; k < KINDS; k++)
		f->sources[k] = (struct source){ .feed = f, .kind = (enum kind)k };
	return f;
}

void
wp_feed_free(struct wp_feed **fp)
{
	struct wp_feed *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	AP_LIST_FOR_SAFE(l, &f->viewers)
	viewer_unref(AP_LIST_ITEM(l, struct viewer, link));
	wp_table_done(&f->table);
	ap_free(&f);
}

void
wp_feed_subscriptions(struct wp_feed *f, struct ap_xds_subscription out[WP_FEED_SUBSCRIPTIONS])
{
	/* Hosts last: what they name is known by then. */
	out[0] = (struct ap_xds_subscription){ AP_XDS_LUA, feed_apply, &f->sources[KIND_SCRIPT] };
	out[1] = (struct ap_xds_subscription){ AP_XDS_WAYPOINT_POLICY, feed_apply, &f->sources[KIND_POLICY] };
	out[2] = (struct ap_xds_subscription){ AP_XDS_WAYPOINT_HOST, feed_apply, &f->sources[KIND_HOST] };
}

const struct wp_table *
wp_feed_table(const struct wp_feed *f)
{
	return &f->table;
}

void
wp_feed_attach(struct wp_feed *f, struct ap_worker *w, struct wp_table *t, void (*changed)(void *arg), void *arg)
{
	struct viewer *v = ap_new(struct viewer);

	ap_refs_init(&v->refs);
	v->worker = w;
	v->table = t;
	v->changed = changed;
	v->arg = arg;
	ap_list_append(&f->viewers, &v->link);
	for (int k = 0; k < KINDS; k++) {
		struct ap_map_entry *e;

		for (size_t i = 0; (e = ap_map_next(table_map(&f->table, (enum kind)k), &i)) != NULL;) {
			char *key = ap_strndup(e->key.ptr, e->key.len);
			struct change c = { .kind = (enum kind)k, .key = key, .object = e->value };

			table_apply(t, &c);
			ap_free(&key);
		}
	}
}

/* On the worker's thread while main waits; what is still in its mailbox finds no table. */
void
wp_feed_detach(struct wp_feed *f, struct ap_worker *w)
{
	AP_LIST_FOR(l, &f->viewers)
	{
		struct viewer *v = AP_LIST_ITEM(l, struct viewer, link);

		if (v->worker == w) {
			v->table = NULL;
			v->changed = NULL;
		}
	}
}
