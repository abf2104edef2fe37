/*
 * delta.c -- the server's half of the delta protocol for one type on one stream.
 *
 * A wildcard client costs one number: the generation up to which it was told.  What it holds follows from that, but for the
 * first response of a stream, where the client itself says what it holds (initial_resource_versions).  On-demand clients, and
 * those of small sets whose filter matters, have their holdings tracked by name.
 *
 * Owns the names it was given.  Pure; one thread.
 */
#include "xds/delta.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "xds/pb.h"

/* Values of `wants`: has the client been told that there is no such thing? */
static char want_new, want_told;

void
ap_delta_init(struct ap_delta *d, const struct ap_xds_set *set,
    bool (*visible)(void *arg, const struct ap_xds_entry *e), void *arg, bool exact)
{
	*d = (struct ap_delta){ .set = set, .visible = visible, .arg = arg, .exact = exact };
}

void
ap_delta_done(struct ap_delta *d)
{
	ap_map_done(&d->wants, NULL);
	ap_map_done(&d->held, ap_mem_free);
}

static bool
sees(const struct ap_delta *d, const struct ap_xds_entry *e)
{
	return !e->removed && (d->visible == NULL || d->visible(d->arg, e));
}

static bool
is_tracked(const struct ap_delta *d)
{
	return !d->wildcard || d->exact;
}

static void
hold(struct ap_delta *d, struct ap_slice name, struct ap_slice version)
{
	char *old = ap_map_put(&d->held, name, ap_strndup(version.ptr, version.len));
	ap_free(&old);
}

static void
let_go(struct ap_delta *d, struct ap_slice name)
{
	char *old = ap_map_remove(&d->held, name);
	ap_free(&old);
}

static bool
holds_version(const struct ap_delta *d, const struct ap_xds_entry *e)
{
	const char *v = ap_map_find(&d->held, e->name);
	return v != NULL && ap_slice_eq_text(e->version, v);
}

/* --- Requests ---------------------------------------------------------------------------------------------------- */

static bool
has_star(char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], "*") == 0)
			return true;
	return false;
}

static void
subscribe(struct ap_delta *d, const ap_delta_request *r)
{
	bool wildcard = d->wildcard;
	if (!d->started && r->n_resource_names_subscribe == 0)
		wildcard = true;
	if (has_star(r->resource_names_subscribe, r->n_resource_names_subscribe))
		wildcard = true;
	if (has_star(r->resource_names_unsubscribe, r->n_resource_names_unsubscribe))
		wildcard = false;
	if (wildcard != d->wildcard) {
		d->wildcard = wildcard;
		d->cursor = 0;
		d->answered = false;
	}
	for (size_t i = 0; i < r->n_resource_names_subscribe; i++) {
		if (strcmp(r->resource_names_subscribe[i], "*") == 0 || d->wants.count >= AP_DELTA_NAMES_MAX)
			continue;
		ap_map_put(&d->wants, ap_slice_of(r->resource_names_subscribe[i]), &want_new);
		d->wants_changed = true;
	}
	for (size_t i = 0; i < r->n_resource_names_unsubscribe; i++)
		if (ap_map_remove(&d->wants, ap_slice_of(r->resource_names_unsubscribe[i])) != NULL)
			d->wants_changed = true;
}

enum ap_delta_event
ap_delta_take(struct ap_delta *d, const ap_delta_request *r)
{
	if (!d->started) {
		for (size_t i = 0; i < r->n_initial_resource_versions && i < AP_DELTA_NAMES_MAX; i++) {
			const Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry *e =
			    r->initial_resource_versions[i];
			hold(d, ap_slice_of(e->key), ap_slice_of(e->value));
		}
	}
	subscribe(d, r);
	d->started = true;
	if (r->response_nonce == NULL || r->response_nonce[0] == '\0')
		return AP_DELTA_SUBSCRIBED;
	char nonce[24];
	snprintf(nonce, sizeof(nonce), "%" PRIx64, d->nonce);
	if (!d->in_flight || strcmp(nonce, r->response_nonce) != 0)
		return AP_DELTA_STALE;
	d->in_flight = false;
	if (r->error_detail != NULL) {
		d->nacks++;
		return AP_DELTA_NACKED;
	}
	d->acks++;
	return AP_DELTA_ACKED;
}

/* --- Responses --------------------------------------------------------------------------------------------------- */

static void
send_item(struct ap_delta *d, struct ap_delta_update *u, const struct ap_xds_entry *e)
{
	if (u->count == u->room) {
		u->room = u->room == 0 ? 16 : u->room * 2;
		u->items = ap_realloc_array(u->items, u->room, sizeof(const struct ap_xds_entry *));
	}
	u->items[u->count++] = e;
	u->bytes += e->body.len + e->name.len + 64;
	if (is_tracked(d))
		hold(d, e->name, e->version);
}

/* The name must outlive the update: an entry's, a want's key, or a held name that is dropped after packing. */
static void
send_removed(struct ap_delta_update *u, struct ap_slice name)
{
	if (u->removed_count == u->removed_room) {
		u->removed_room = u->removed_room == 0 ? 16 : u->removed_room * 2;
		u->removed = ap_realloc_array(u->removed, u->removed_room, sizeof(struct ap_slice));
	}
	u->removed[u->removed_count++] = name;
	u->bytes += name.len + 8;
}

/* First response under a wildcard: everything that the client does not hold in this version, and what it holds in vain. */
static void
next_first(struct ap_delta *d, struct ap_delta_update *u)
{
	AP_XDS_SET_FOR(e, d->set)
		if (sees(d, e) && !holds_version(d, e))
			send_item(d, u, e);
	struct ap_map_entry *h;
	for (size_t i = 0; (h = ap_map_next(&d->held, &i)) != NULL;) {
		const struct ap_xds_entry *e = ap_xds_set_find(d->set, h->key);
		if (e == NULL || !sees(d, e))
			send_removed(u, h->key);
	}
}

/* Later ones: what changed since, newest first. */
static void
next_changes(struct ap_delta *d, struct ap_delta_update *u)
{
	for (struct ap_list *l = d->set->order.prev; l != &d->set->order; l = l->prev) {
		const struct ap_xds_entry *e = AP_LIST_ITEM(l, struct ap_xds_entry, link);
		if (e->changed <= d->cursor)
			break;
		if (sees(d, e)) {
			if (!is_tracked(d) || !holds_version(d, e))
				send_item(d, u, e);
		} else if (is_tracked(d) ? ap_map_has(&d->held, e->name) : e->made <= d->cursor) {
			send_removed(u, e->name);
		}
	}
}

static void
want_entry(struct ap_delta *d, struct ap_delta_update *u, struct ap_map *seen, const struct ap_xds_entry *e)
{
	if (ap_map_has(seen, e->name))
		return;
	ap_map_put(seen, e->name, d);
	if (!holds_version(d, e))
		send_item(d, u, e);
}

/* Entries that a wanted name leads to: itself, those with the alias, and the members of each. The number found. */
static size_t
resolve_want(struct ap_delta *d, struct ap_delta_update *u, struct ap_map *seen, struct ap_slice name)
{
	size_t found = 0;
	const struct ap_xds_entry *own = ap_xds_set_find(d->set, name);
	const struct ap_xds_entries *aliased = ap_xds_set_aliased(d->set, name);
	size_t count = aliased == NULL ? 0 : aliased->count;
	for (size_t i = 0; i <= count; i++) {
		const struct ap_xds_entry *e = i < count ? aliased->items[i] : own;
		if (e == NULL || !sees(d, e))
			continue;
		found++;
		want_entry(d, u, seen, e);
		const struct ap_xds_entries *members = ap_xds_set_group(d->set, e->name);
		for (size_t k = 0; members != NULL && k < members->count; k++)
			if (sees(d, members->items[k]))
				want_entry(d, u, seen, members->items[k]);
	}
	return found;
}

/* On demand: what the names lead to; a name that leads nowhere is answered once as removed, since the client waits for it. */
static void
next_wants(struct ap_delta *d, struct ap_delta_update *u)
{
	struct ap_map seen = { 0 };
	struct ap_map_entry *w;
	for (size_t i = 0; (w = ap_map_next(&d->wants, &i)) != NULL;) {
		if (resolve_want(d, u, &seen, w->key) > 0) {
			w->value = &want_new;
		} else if (w->value == &want_new) {
			w->value = &want_told;
			if (!ap_map_has(&d->held, w->key))
				send_removed(u, w->key);
		}
	}
	struct ap_map_entry *h;
	for (size_t i = 0; (h = ap_map_next(&d->held, &i)) != NULL;)
		if (!ap_map_has(&seen, h->key))
			send_removed(u, h->key);
	ap_map_done(&seen, NULL);
}

/* A wildcard client that asks for names beside it waits for an answer too. */
static void
answer_wants(struct ap_delta *d, struct ap_delta_update *u)
{
	struct ap_map_entry *w;
	for (size_t i = 0; (w = ap_map_next(&d->wants, &i)) != NULL;) {
		if (w->value != &want_new)
			continue;
		w->value = &want_told;
		const struct ap_xds_entry *e = ap_xds_set_find(d->set, w->key);
		const struct ap_xds_entries *aliased = ap_xds_set_aliased(d->set, w->key);
		if ((e == NULL || !sees(d, e)) && aliased == NULL)
			send_removed(u, w->key);
	}
}

bool
ap_delta_is_current(const struct ap_delta *d)
{
	if (!d->started)
		return true;
	if (d->wildcard)
		return d->answered && !d->wants_changed && d->cursor == d->set->generation;
	return !d->wants_changed && (d->wants.count == 0 || d->cursor == d->set->generation);
}

bool
ap_delta_is_lost(const struct ap_delta *d)
{
	return d->started && d->wildcard && d->answered && d->cursor < d->set->floor;
}

bool
ap_delta_next(struct ap_delta *d, struct ap_delta_update *out)
{
	*out = (struct ap_delta_update){ 0 };
	if (!d->started || d->in_flight || ap_delta_is_current(d))
		return false;
	if (!d->wildcard)
		next_wants(d, out);
	else if (!d->answered)
		next_first(d, out);
	else
		next_changes(d, out);
	if (d->wildcard && d->wants_changed)
		answer_wants(d, out);
	d->wants_changed = false;
	d->cursor = d->set->generation;
	bool must_answer = d->wildcard && !d->answered;
	d->answered = true;
	if (out->count == 0 && out->removed_count == 0 && !must_answer)
		return false;
	snprintf(out->nonce, sizeof(out->nonce), "%" PRIx64, ++d->nonce);
	d->in_flight = true;
	return true;
}

void
ap_delta_update_done(struct ap_delta *d, struct ap_delta_update *u)
{
	for (size_t i = 0; i < u->removed_count; i++)
		let_go(d, u->removed[i]);
	if (!is_tracked(d))
		ap_map_done(&d->held, ap_mem_free);
	ap_free(&u->items);
	ap_free(&u->removed);
	*u = (struct ap_delta_update){ 0 };
}

void
ap_delta_update_pack(const struct ap_delta *d, const struct ap_delta_update *u, struct ap_buf *out)
{
	size_t alias_count = 0, at = 0;
	for (size_t i = 0; i < u->count; i++)
		alias_count += u->items[i]->alias_count;
	Envoy__Service__Discovery__V3__Resource *r = ap_alloc_array(u->count, sizeof(*r));
	Envoy__Service__Discovery__V3__Resource **rp = ap_alloc_array(u->count, sizeof(*rp));
	Google__Protobuf__Any *any = ap_alloc_array(u->count, sizeof(*any));
	char **aliases = ap_alloc_array(alias_count, sizeof(char *));
	char **removed = ap_alloc_array(u->removed_count, sizeof(char *));
	char version[24];
	snprintf(version, sizeof(version), "%" PRIu64, d->cursor);
	/* protobuf-c wants writable pointers and writes nothing through them. */
	for (size_t i = 0; i < u->count; i++) {
		const struct ap_xds_entry *e = u->items[i];
		google__protobuf__any__init(&any[i]);
		any[i].type_url = (char *)(uintptr_t)d->set->type_url;
		any[i].value = (ProtobufCBinaryData){ .len = e->body.len, .data = (uint8_t *)(uintptr_t)e->body.ptr };
		envoy__service__discovery__v3__resource__init(&r[i]);
		r[i].version = (char *)(uintptr_t)e->version.ptr;
		r[i].name = (char *)(uintptr_t)e->name.ptr;
		r[i].resource = &any[i];
		r[i].n_aliases = e->alias_count;
		r[i].aliases = aliases + at;
		for (size_t k = 0; k < e->alias_count; k++)
			aliases[at++] = (char *)(uintptr_t)e->aliases[k].ptr;
		rp[i] = &r[i];
	}
	for (size_t i = 0; i < u->removed_count; i++)
		removed[i] = (char *)(uintptr_t)u->removed[i].ptr;
	ap_delta_response m;
	envoy__service__discovery__v3__delta_discovery_response__init(&m);
	m.type_url = (char *)(uintptr_t)d->set->type_url;
	m.system_version_info = version;
	m.nonce = (char *)(uintptr_t)u->nonce;
	m.resources = rp;
	m.n_resources = u->count;
	m.removed_resources = removed;
	m.n_removed_resources = u->removed_count;
	ap_pb_pack(&m, out);
	ap_free(&r);
	ap_free(&rp);
	ap_free(&any);
	ap_free(&aliases);
	ap_free(&removed);
}
