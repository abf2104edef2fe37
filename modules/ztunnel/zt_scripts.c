/*
 * zt_scripts.c -- scripts on their way from xDS to the workers, and the call at a connection.  A script is asked at the
 * destination's node, where the peer's identity is proved: those of the destination's namespace, and those of the mesh's root
 * namespaces for everybody.
 */
#include "ztunnel/zt_scripts.h"

#include <stdio.h>

#include "ambit/waypoint.pb-c.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/refs.h"
#include "event/mailbox.h"
#include "script/lua_host.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_conn.h"

AP_LOG_MODULE(zt_scripts);

#define CALL_ARENA ((size_t)256 * 1024)

/* A script and whom it is for. Immutable and counted. */
struct item {
	struct ap_refs refs;
	struct ap_lua_script *script;
	struct ap_slice namespace_; /* in the script's name */
	struct ap_arena *arena;
	struct ap_mesh_label *selector; /* labels that the destination must have */
	struct ap_slice *services;      /* "namespace/hostname"; none: any */
	size_t selector_count, service_count;
};

/* What a worker asks, in order of name; counted. */
struct list {
	struct ap_refs refs;
	size_t count;
	struct item *items[];
};

struct zt_scripts {
	struct ap_map all; /* "namespace/name" -> item */
	struct list *list;
	struct ap_list views;
};

struct zt_script_view {
	struct ap_list link; /* main thread */
	struct ap_worker *w;
	struct list *list;
	struct ap_lua_host *host; /* made when the first script comes */
	char reason[400];
};

struct parcel {
	struct ap_msg msg;
	struct zt_script_view *view;
	struct list *list;
};

static void
item_unref(void *value)
{
	struct item *item = value;

	if (item == NULL || !ap_refs_drop(&item->refs))
		return;
	ap_lua_script_unref(&item->script);
	ap_arena_free(&item->arena);
	ap_free(&item);
}

static void
list_unref(struct list **l)
{
	struct list *old = *l;
	size_t i;

	*l = NULL;
	if (old == NULL || !ap_refs_drop(&old->refs))
		return;
	for (i = 0; i < old->count; i++)
		item_unref(old->items[i]);
	ap_free(&old);
}

static struct list *
list_of(const struct ap_map *all)
{
	struct list *l = ap_alloc(sizeof(*l) + all->count * sizeof(l->items[0]));
	struct ap_map_entry *e;
	size_t i = 0;

	ap_refs_init(&l->refs);
	while ((e = ap_map_next(all, &i)) != NULL) {
		struct item *item = e->value;

		ap_refs_add(&item->refs);
		l->items[l->count++] = item;
	}
	return l;
}

struct zt_scripts *
zt_scripts_new(void)
{
	struct zt_scripts *s = ap_new(struct zt_scripts);

	ap_list_init(&s->views);
	s->list = list_of(&s->all);
	return s;
}

void
zt_scripts_free(struct zt_scripts **s)
{
	struct zt_scripts *old = *s;

	*s = NULL;
	if (old == NULL)
		return;
	ap_map_done(&old->all, item_unref);
	list_unref(&old->list);
	ap_free(&old);
}

static void
receive(struct ap_msg *msg)
{
	struct parcel *p = AP_CONTAINER_OF(msg, struct parcel, msg);

	list_unref(&p->view->list);
	p->view->list = p->list;
	if (p->view->host != NULL)
		ap_lua_host_sweep(p->view->host);
	ap_free(&p);
}

static void
publish(struct zt_scripts *s)
{
	list_unref(&s->list);
	s->list = list_of(&s->all);
	AP_LIST_FOR(link, &s->views) {
		struct parcel *p = ap_new(struct parcel);

		p->view = AP_LIST_ITEM(link, struct zt_script_view, link);
		p->list = s->list;
		ap_refs_add(&s->list->refs);
		p->msg.fn = receive;
		ap_mailbox_post(p->view->w->mailbox, &p->msg);
	}
}

static struct item *
item_of(const Ambit__Waypoint__LuaPolicy *m, struct ap_lua_script *script)
{
	struct item *item = ap_new(struct item);
	struct ap_slice name = ap_lua_script_name(script);
	size_t i;

	ap_refs_init(&item->refs);
	item->script = script;
	item->namespace_ = ap_slice_cut(&name, '/');
	item->arena = ap_arena_new((size_t)1024 * 1024);
	item->selector = ap_arena_zalloc(item->arena, (m->n_selector + 1) * sizeof(*item->selector));
	item->services = ap_arena_zalloc(item->arena, (m->n_services + 1) * sizeof(*item->services));
	for (i = 0; item->selector != NULL && i < m->n_selector; i++)
		item->selector[item->selector_count++] = (struct ap_mesh_label){
			.name = ap_arena_copy(item->arena, ap_slice_of(m->selector[i]->key)),
			.value = ap_arena_copy(item->arena, ap_slice_of(m->selector[i]->value)) };
	for (i = 0; item->services != NULL && i < m->n_services; i++)
		item->services[item->service_count++] = ap_arena_copy(item->arena, ap_slice_of(m->services[i]));
	return item;
}

/* A script with on_connect replaces the one of its name; one without leaves. */
static int
take(struct zt_scripts *s, struct ap_slice name, struct ap_slice body, struct ap_error *err)
{
	Ambit__Waypoint__LuaPolicy *m = ambit__waypoint__lua_policy__unpack(NULL, body.len, (const uint8_t *)body.ptr);
	struct ap_lua_script *script = NULL;
	struct ap_lua_settings set;
	int r = 0;

	if (m == NULL)
		return ap_error_set(err, -1, "not an ambit.waypoint.LuaPolicy");
	set = (struct ap_lua_settings){ .name = name,
		.version = ap_slice_of(m->version),
		.source = ap_slice_of(m->source),
		.max_instructions = m->max_instructions,
		.max_memory_kib = m->max_memory_kib,
		.allow_on_error = m->allow_on_error != 0 };
	set.hooks[AP_LUA_ON_CONNECT] = m->on_connect != 0;
	if (m->on_connect) {
		script = ap_lua_script_new(&set, err);
		r = script == NULL ? err->code : 0;
	}
	if (r == 0)
		item_unref(script == NULL ? ap_map_remove(&s->all, name) : ap_map_put(&s->all, name, item_of(m, script)));
	ambit__waypoint__lua_policy__free_unpacked(m, NULL);
	return r;
}

static void
apply(void *arg, const struct ap_xds_update *update, struct ap_buf *reject)
{
	struct zt_scripts *s = arg;
	struct ap_error err = { 0 };
	size_t i;

	if (update->first) {
		ap_map_done(&s->all, item_unref);
		s->all = (struct ap_map){ 0 };
	}
	for (i = 0; i < update->count; i++) {
		if (take(s, update->resources[i].name, update->resources[i].body, &err) == 0)
			continue;
		LOG_WARN_LIMIT(NULL, 5, "script %.*s: %s", AP_FMT(update->resources[i].name), err.text);
		ap_buf_printf(reject, "%.*s: %s; ", AP_FMT(update->resources[i].name), err.text);
	}
	for (i = 0; i < update->removed_count; i++)
		item_unref(ap_map_remove(&s->all, update->removed[i]));
	publish(s);
}

void
zt_scripts_subscription(struct zt_scripts *s, struct ap_xds_subscription *out)
{
	*out = (struct ap_xds_subscription){ .type_url = AP_XDS_LUA, .apply = apply, .arg = s };
}

struct zt_script_view *
zt_scripts_attach(struct zt_scripts *s, struct ap_worker *w)
{
	struct zt_script_view *v = ap_new(struct zt_script_view);

	v->w = w;
	v->list = s->list;
	ap_refs_add(&s->list->refs);
	ap_list_append(&s->views, &v->link);
	return v;
}

void
zt_script_view_free(struct zt_script_view **v)
{
	struct zt_script_view *old = *v;

	*v = NULL;
	if (old == NULL)
		return;
	ap_list_remove(&old->link);
	list_unref(&old->list);
	ap_lua_host_free(&old->host);
	ap_free(&old);
}

static struct ap_lua_peer
peer_of(const struct ap_mesh_workload *w, const struct zt_point *at, struct ap_slice identity, struct ap_lua_label *labels)
{
	struct ap_lua_peer p = { .identity = identity, .address = zt_point_addr(at) };
	uint32_t i;

	if (w == NULL)
		return p;
	p.namespace_ = w->namespace_;
	p.service_account = w->service_account;
	p.workload = w->name;
	for (i = 0; i < w->label_count && i < AP_LUA_TAGS_MAX; i++)
		labels[p.label_count++] = (struct ap_lua_label){ .key = w->labels[i].name, .value = w->labels[i].value };
	p.labels = labels;
	return p;
}

static bool
has_label(const struct ap_mesh_workload *w, const struct ap_mesh_label *want)
{
	uint32_t i;

	for (i = 0; i < w->label_count; i++)
		if (ap_slice_eq(w->labels[i].name, want->name))
			return ap_slice_eq(w->labels[i].value, want->value);
	return false;
}

static bool
is_selected(const struct item *item, const struct zt_conn *c)
{
	bool named = item->service_count == 0;
	size_t i;

	for (i = 0; i < item->selector_count; i++)
		if (!has_label(c->destination, &item->selector[i]))
			return false;
	for (i = 0; i < item->service_count && !named; i++) {
		struct ap_slice host = item->services[i], ns = ap_slice_cut(&host, '/');

		named = c->service != NULL && ap_slice_eq(host, c->service->hostname) &&
		    ap_slice_eq(ns, c->service->namespace_);
	}
	return named;
}

static bool
concerns(const struct item *item, const struct zt_conn *c)
{
	if (!is_selected(item, c))
		return false;
	return ap_slice_eq(item->namespace_, c->destination->namespace_) ||
	    ap_slice_eq_text(item->namespace_, "istio-system") || ap_slice_eq_text(item->namespace_, "ambit-system");
}

const char *
zt_scripts_judge(struct zt_conn *c)
{
	struct zt_script_view *v = c->zw->scripts;
	struct ap_lua_label from[AP_LUA_TAGS_MAX], to[AP_LUA_TAGS_MAX];
	struct ap_lua_result r = { 0 };
	struct ap_lua_conn conn;
	struct ap_arena *arena;
	size_t i;

	if (v == NULL || v->list->count == 0 || c->direction != ZT_INBOUND || c->destination == NULL)
		return NULL;
	if (v->host == NULL)
		v->host = ap_lua_host_new(v->w->shard);
	arena = ap_arena_new(CALL_ARENA);
	conn = (struct ap_lua_conn){
		.source = peer_of(
		    c->source, &c->src, c->mutual_tls ? ap_slice_of(c->source_identity) : AP_SLICE_NONE, from),
		.destination = peer_of(c->destination, &c->actual, c->destination->identity, to),
		.service = c->service == NULL ? AP_SLICE_NONE : c->service->hostname,
		.port = c->actual.port,
	};
	for (i = 0; i < v->list->count && r.verdict == AP_LUA_ALLOW; i++) {
		if (concerns(v->list->items[i], c))
			ap_lua_on_connect(v->host, v->list->items[i]->script, &conn, arena, &r);
	}
	if (r.verdict != AP_LUA_ALLOW)
		(void)snprintf(v->reason, sizeof(v->reason), "%.*s", AP_FMT(r.reason));
	ap_arena_free(&arena);
	return r.verdict == AP_LUA_ALLOW ? NULL : v->reason;
}
