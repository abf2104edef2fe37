/*
 * feed.c -- decodes xDS updates on the main loop, applies the difference to the main thread's table, and posts the same list of
 * changes to every worker's view.  A list is counted and immutable; the last worker that applied it frees it.  A worker applies at
 * most APPLY_BUDGET changes a turn, so that even the first answer with 100,000 objects stops no traffic.
 */
#include "mesh/feed.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/refs.h"
#include "base/vec.h"
#include "event/loop.h"
#include "event/mailbox.h"
#include "event/worker.h"
#include "mesh/policy.h"
#include "mesh/table_priv.h"

AP_LOG_MODULE(mesh_feed);

#define FEED_MAGIC AP_MAGIC('F', 'E', 'E', 'D')
#define VIEW_MAGIC AP_MAGIC('V', 'I', 'E', 'W')
#define APPLY_BUDGET 512U

struct changes {
	struct ap_refs refs;
	unsigned what;
	AP_VEC(struct ap_mesh_change) list;
};

struct ap_mesh_feed {
	uint32_t magic;
	struct ap_mesh_table *table;
	struct ap_list views;
	void (*changed)(unsigned changed, void *arg);
	void *arg;
};

/* On its worker, but for `link`, which the main thread owns. */
struct ap_mesh_view {
	uint32_t magic;
	struct ap_list link;
	struct ap_mesh_feed *feed;
	struct ap_worker *worker;
	struct ap_mesh_table *table;
	struct ap_list queue; /* of parcel */
	struct ap_timer timer; /* goes on with a long queue */
	void (*changed)(unsigned changed, void *arg);
	void *arg;
};

/* One list of changes on its way to one view. */
struct parcel {
	struct ap_msg msg;
	struct ap_list link;
	struct ap_mesh_view *view;
	struct changes *changes;
	size_t next;
};

static void
changes_unref(struct changes **c)
{
	struct changes *old = *c;
	size_t i;

	*c = NULL;
	if (old == NULL || !ap_refs_drop(&old->refs))
		return;
	for (i = 0; i < old->list.count; i++) {
		struct ap_mesh_change *x = &old->list.items[i];

		ap_mesh_workload_unref(&x->workload);
		ap_mesh_service_unref(&x->service);
		ap_authz_policy_unref(&x->policy);
		ap_mem_free((void *)(uintptr_t)x->key.ptr);
	}
	ap_vec_done(&old->list);
	ap_free(&old);
}

struct ap_mesh_feed *
ap_mesh_feed_new(void)
{
	struct ap_mesh_feed *f = ap_new(struct ap_mesh_feed);

	f->magic = FEED_MAGIC;
	f->table = ap_mesh_table_new();
	ap_list_init(&f->views);
	return f;
}

void
ap_mesh_feed_free(struct ap_mesh_feed **f)
{
	struct ap_mesh_feed *old = *f;

	*f = NULL;
	if (old == NULL)
		return;
	AP_IS(old, FEED_MAGIC);
	AP_CHECK(ap_list_is_empty(&old->views));
	ap_mesh_table_free(&old->table);
	old->magic = 0;
	ap_free(&old);
}

const struct ap_mesh_table *
ap_mesh_feed_table(const struct ap_mesh_feed *f)
{
	return f->table;
}

void
ap_mesh_feed_on_change(struct ap_mesh_feed *f, void (*fn)(unsigned changed, void *arg), void *arg)
{
	f->changed = fn;
	f->arg = arg;
}

/* Views. */

static void
work(struct ap_mesh_view *v)
{
	unsigned budget = APPLY_BUDGET, what = 0;

	while (budget > 0 && !ap_list_is_empty(&v->queue)) {
		struct parcel *p = AP_LIST_ITEM(v->queue.next, struct parcel, link);

		for (; budget > 0 && p->next < p->changes->list.count; budget--)
			(void)ap_mesh_table_apply(v->table, &p->changes->list.items[p->next++]);
		what |= p->changes->what;
		if (p->next < p->changes->list.count)
			break;
		ap_list_remove(&p->link);
		changes_unref(&p->changes);
		ap_free(&p);
	}
	if (!ap_list_is_empty(&v->queue))
		ap_timer_start(&v->timer, 0);
	if (what != 0 && v->changed != NULL)
		v->changed(what, v->arg);
}

static void
go_on(struct ap_timer *t, void *arg)
{
	struct ap_mesh_view *v = arg;

	(void)t;
	AP_IS(v, VIEW_MAGIC);
	work(v);
}

static void
receive(struct ap_msg *msg)
{
	struct parcel *p = AP_CONTAINER_OF(msg, struct parcel, msg);
	struct ap_mesh_view *v = p->view;
	bool was_idle;

	AP_IS(v, VIEW_MAGIC);
	was_idle = ap_list_is_empty(&v->queue);
	ap_list_append(&v->queue, &p->link);
	if (was_idle)
		work(v);
}

struct ap_mesh_view *
ap_mesh_feed_attach(
    struct ap_mesh_feed *f, struct ap_worker *w, void (*changed)(unsigned changed, void *arg), void *arg)
{
	struct ap_mesh_view *v = ap_new(struct ap_mesh_view);

	AP_IS(f, FEED_MAGIC);
	v->magic = VIEW_MAGIC;
	v->feed = f;
	v->worker = w;
	v->changed = changed;
	v->arg = arg;
	ap_list_init(&v->queue);
	ap_timer_init(&v->timer, w->loop, go_on, v);
	/* The main thread waits for us, so its table and its list stand still. */
	v->table = ap_mesh_table_copy(f->table);
	ap_list_append(&f->views, &v->link);
	return v;
}

void
ap_mesh_view_free(struct ap_mesh_view **v)
{
	struct ap_mesh_view *old = *v;

	*v = NULL;
	if (old == NULL)
		return;
	AP_IS(old, VIEW_MAGIC);
	ap_list_remove(&old->link);
	ap_timer_stop(&old->timer);
	AP_LIST_FOR_SAFE(link, &old->queue) {
		struct parcel *p = AP_LIST_ITEM(link, struct parcel, link);

		changes_unref(&p->changes);
		ap_free(&p);
	}
	ap_mesh_table_free(&old->table);
	old->magic = 0;
	ap_free(&old);
}

const struct ap_mesh_table *
ap_mesh_view_table(const struct ap_mesh_view *v)
{
	return v->table;
}

/* Updates. */

static void
publish(struct ap_mesh_feed *f, struct changes *c)
{
	size_t i;

	for (i = 0; i < c->list.count; i++)
		(void)ap_mesh_table_apply(f->table, &c->list.items[i]);
	AP_LIST_FOR(link, &f->views) {
		struct ap_mesh_view *v = AP_LIST_ITEM(link, struct ap_mesh_view, link);
		struct parcel *p = ap_new(struct parcel);

		p->view = v;
		p->changes = c;
		p->msg.fn = receive;
		ap_refs_add(&c->refs);
		ap_mailbox_post(v->worker->mailbox, &p->msg);
	}
	if (f->changed != NULL && c->list.count > 0)
		f->changed(c->what, f->arg);
}

static struct changes *
changes_new(unsigned what)
{
	struct changes *c = ap_new(struct changes);

	ap_refs_init(&c->refs);
	c->what = what;
	return c;
}

static void
push_removal(struct changes *c, enum ap_mesh_change_kind kind, struct ap_slice key)
{
	ap_vec_push(&c->list,
	    (struct ap_mesh_change){ .kind = (uint8_t)kind,
	        .key = ap_slice(ap_strndup(key.ptr, key.len), key.len) });
}

static void
note_reject(struct ap_buf *reject, struct ap_slice name, const struct ap_error *err)
{
	ap_buf_printf(reject, "%.*s: %s; ", AP_FMT(name), err->text);
	LOG_WARN_LIMIT(NULL, 5, "refused resource %.*s: %s", AP_FMT(name), err->text);
}

/* A set of names, to find what a first answer left out. */
struct stale {
	struct changes *c;
	struct ap_mesh_table *seen;
};

static bool
stale_workload(struct ap_mesh_workload *w, void *arg)
{
	struct stale *s = arg;

	if (ap_mesh_find_workload(s->seen, w->uid) == NULL)
		push_removal(s->c, AP_MESH_WORKLOAD, w->uid);
	return true;
}

static bool
stale_service(struct ap_mesh_service *v, void *arg)
{
	struct stale *s = arg;

	if (ap_mesh_find_service(s->seen, v->key) == NULL)
		push_removal(s->c, AP_MESH_SERVICE, v->key);
	return true;
}

static bool
stale_policy(struct ap_authz_policy *p, void *arg)
{
	struct stale *s = arg;

	if (mesh_index_find(&s->seen->policies, ap_authz_policy_key(p)) == NULL)
		push_removal(s->c, AP_MESH_POLICY, ap_authz_policy_key(p));
	return true;
}

/* What the table holds (from the disk, or an earlier stream) and a complete answer does not name is gone. */
static void
remove_stale(struct ap_mesh_feed *f, struct changes *c, bool policies)
{
	struct stale s = { .c = c, .seen = ap_mesh_table_new() };
	size_t i, count = c->list.count;

	for (i = 0; i < count; i++)
		(void)ap_mesh_table_apply(s.seen, &c->list.items[i]);
	if (policies) {
		ap_mesh_each_policy(f->table, stale_policy, &s);
	} else {
		ap_mesh_each_workload(f->table, stale_workload, &s);
		ap_mesh_each_service(f->table, stale_service, &s);
	}
	ap_mesh_table_free(&s.seen);
}

static void
apply_address(void *arg, const struct ap_xds_update *update, struct ap_buf *reject)
{
	struct ap_mesh_feed *f = arg;
	struct changes *c = changes_new(0);
	struct ap_error err = { 0 };
	size_t i;

	AP_IS(f, FEED_MAGIC);
	for (i = 0; i < update->count; i++) {
		struct ap_mesh_change x = { 0 };

		if (ap_mesh_object_decode(update->resources[i].body, &x.workload, &x.service, &err) != 0) {
			note_reject(reject, update->resources[i].name, &err);
			continue;
		}
		x.kind = x.workload != NULL ? AP_MESH_WORKLOAD : AP_MESH_SERVICE;
		c->what |= x.workload != NULL ? AP_MESH_CHANGED_WORKLOADS : AP_MESH_CHANGED_SERVICES;
		ap_vec_push(&c->list, x);
	}
	if (update->first)
		remove_stale(f, c, false);
	for (i = 0; i < update->removed_count; i++) {
		/* The name says not which it was: a uid may hold slashes, but never equals a service's key. */
		if (ap_mesh_find_workload(f->table, update->removed[i]) != NULL) {
			push_removal(c, AP_MESH_WORKLOAD, update->removed[i]);
			c->what |= AP_MESH_CHANGED_WORKLOADS;
		} else {
			push_removal(c, AP_MESH_SERVICE, update->removed[i]);
			c->what |= AP_MESH_CHANGED_SERVICES;
		}
	}
	if (update->first)
		c->what |= AP_MESH_CHANGED_WORKLOADS | AP_MESH_CHANGED_SERVICES;
	publish(f, c);
	changes_unref(&c);
}

static void
apply_policies(void *arg, const struct ap_xds_update *update, struct ap_buf *reject)
{
	struct ap_mesh_feed *f = arg;
	struct changes *c = changes_new(AP_MESH_CHANGED_POLICIES);
	struct ap_error err = { 0 };
	size_t i;

	AP_IS(f, FEED_MAGIC);
	for (i = 0; i < update->count; i++) {
		struct ap_mesh_change x = { .kind = AP_MESH_POLICY };

		if (ap_authz_policy_decode(update->resources[i].body, &x.policy, &err) != 0) {
			note_reject(reject, update->resources[i].name, &err);
			continue;
		}
		ap_vec_push(&c->list, x);
	}
	if (update->first)
		remove_stale(f, c, true);
	for (i = 0; i < update->removed_count; i++)
		push_removal(c, AP_MESH_POLICY, update->removed[i]);
	publish(f, c);
	changes_unref(&c);
}

void
ap_mesh_feed_subscriptions(struct ap_mesh_feed *f, struct ap_xds_subscription out[AP_MESH_FEED_SUBSCRIPTIONS])
{
	/* Policies first: a workload that names one should find it there. */
	out[0] = (struct ap_xds_subscription){ .type_url = AP_XDS_AUTHORIZATION, .apply = apply_policies, .arg = f };
	out[1] = (struct ap_xds_subscription){ .type_url = AP_XDS_ADDRESS, .apply = apply_address, .arg = f };
}
