/* identity_view.c -- a worker's map of identities, changed by messages from the main loop. */
#include "base/clock.h"
#include "base/mem.h"
#include "event/mailbox.h"
#include "event/worker.h"
#include "mesh/identity_priv.h"
#include "mesh/object.h"

#define VIEW_MAGIC AP_MAGIC('I', 'D', 'V', 'W')

struct swap {
	struct ap_msg msg;
	struct ap_identity_view *view;
	struct ap_identity *id; /* NULL: drop */
	char *spiffe;
};

static void
set(struct ap_identity_view *v, struct ap_slice spiffe, struct ap_identity *id)
{
	char sni[AP_MESH_SNI_MAX];
	struct ap_identity *old;

	(void)ap_mesh_sni(spiffe, sni);
	if (id == NULL) {
		(void)ap_map_remove(&v->by_sni, ap_slice_of(sni));
		old = ap_map_remove(&v->by_spiffe, spiffe);
	} else {
		(void)ap_map_put(&v->by_sni, ap_slice_of(sni), id);
		old = ap_map_put(&v->by_spiffe, spiffe, id);
	}
	ap_identity_unref(&old);
}

static void
receive(struct ap_msg *msg)
{
	struct swap *s = AP_CONTAINER_OF(msg, struct swap, msg);
	struct ap_identity_view *v = s->view;

	AP_IS(v, VIEW_MAGIC);
	set(v, ap_slice_of(s->spiffe), s->id);
	if (v->changed != NULL && s->id != NULL)
		v->changed(v->arg, s->id);
	ap_free(&s->spiffe);
	ap_free(&s);
}

void
identity_publish(struct ap_identity_store *store, const char *spiffe, struct ap_identity *id)
{
	AP_LIST_FOR(link, &store->views) {
		struct ap_identity_view *v = AP_LIST_ITEM(link, struct ap_identity_view, link);
		struct swap *s = ap_new(struct swap);

		s->view = v;
		s->id = ap_identity_ref(id);
		s->spiffe = ap_strdup(spiffe);
		s->msg.fn = receive;
		ap_mailbox_post(v->worker->mailbox, &s->msg);
	}
}

struct ap_identity_view *
ap_identity_attach(struct ap_identity_store *s, struct ap_worker *w,
    void (*changed)(void *arg, const struct ap_identity *id), void *arg)
{
	struct ap_identity_view *v = ap_new(struct ap_identity_view);
	struct ap_map_entry *e;
	size_t i = 0;

	AP_IS(s, STORE_MAGIC);
	v->magic = VIEW_MAGIC;
	v->worker = w;
	v->changed = changed;
	v->arg = arg;
	/* The main thread waits for us: its map and list stand still. */
	while ((e = ap_map_next(&s->entries, &i)) != NULL) {
		struct identity_entry *entry = e->value;

		if (entry->current != NULL)
			set(v, ap_slice_of(entry->spiffe), ap_identity_ref(entry->current));
	}
	ap_list_append(&s->views, &v->link);
	return v;
}

static void
unref_value(void *value)
{
	struct ap_identity *id = value;

	ap_identity_unref(&id);
}

void
ap_identity_view_free(struct ap_identity_view **v)
{
	struct ap_identity_view *old = *v;

	*v = NULL;
	if (old == NULL)
		return;
	AP_IS(old, VIEW_MAGIC);
	ap_list_remove(&old->link);
	ap_map_done(&old->by_sni, NULL);
	ap_map_done(&old->by_spiffe, unref_value);
	old->magic = 0;
	ap_free(&old);
}

static struct ap_identity *
valid(struct ap_identity *id)
{
	return id != NULL && id->not_after * 1000 > ap_clock_wall_ms() ? id : NULL;
}

struct ap_identity *
ap_identity_view_find(const struct ap_identity_view *v, struct ap_slice spiffe)
{
	return valid(ap_map_find(&v->by_spiffe, spiffe));
}

struct ap_identity *
ap_identity_view_by_sni(const struct ap_identity_view *v, struct ap_slice sni)
{
	return valid(ap_map_find(&v->by_sni, sni));
}
