/*
 * wm_reconcile.c -- compares what is needed with what runs and what the API says, and does what is missing.  Every step can be
 * done again without harm, and whatever fails is tried at the next change or tick, so there is no state but what is seen.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "state/registry.h"
#include "state/waypoint_need.h"
#include "wm.h"
#include "wm_client.h"
#include "wm_gateway.h"
#include "wm_instance.h"
#include "wm_world.h"

AP_LOG_MODULE(wm_reconcile);

#define SETTLE_MS 20U
#define BODY_MAX ((size_t)256 * 1024)
#define GATEWAYS "/apis/gateway.networking.k8s.io/v1/namespaces/%.*s/gateways"

/* One write to the API about one Gateway; while it is under way nothing else is written about that one. */
struct write {
	struct wm *m;
	char key[200];
	const char *what;
};

static struct ap_map pending; /* worker thread only; key -> struct write */

void
wm_touch(struct wm *m)
{
	if (!m->settle.armed && !m->is_stopping)
		ap_timer_start(&m->settle, SETTLE_MS);
}

static void
on_written(int status, struct ap_slice body, void *arg)
{
	struct write *w = arg;

	ap_map_remove(&pending, ap_slice_of(w->key));
	/* 409 on a create and 404 on a delete say that the world has moved on; its news is under way. */
	if (status / 100 != 2 && status != 409 && status != 404)
		LOG_WARN(NULL, "waypoint %s: to %s was answered with %d: %.*s", w->key, w->what, status,
		    (int)AP_MIN(body.len, (size_t)300), body.ptr == NULL ? "" : body.ptr);
	ap_free(&w);
}

static void
write_gateway(struct wm *m, struct ap_slice ns, struct ap_slice name, const char *what, const char *method, const char *tail,
    const char *type, struct ap_buf *body)
{
	struct write *w = ap_new(struct write);
	char path[400];
	bool is_create = strcmp(method, "POST") == 0;

	w->m = m;
	w->what = what;
	snprintf(w->key, sizeof(w->key), "%.*s/%.*s", AP_FMT(ns), AP_FMT(name));
	ap_map_put(&pending, ap_slice_of(w->key), w);
	snprintf(path, sizeof(path), GATEWAYS "%s%.*s%s", AP_FMT(ns), is_create ? "" : "/", is_create ? 0 : (int)name.len, name.ptr,
	    tail);
	wm_request(m->client, method, path, type, body == NULL ? AP_SLICE_NONE : ap_buf_slice(body), on_written, w);
}

static bool
is_pending(struct ap_slice ns, struct ap_slice name)
{
	char key[200];

	snprintf(key, sizeof(key), "%.*s/%.*s", AP_FMT(ns), AP_FMT(name));
	return ap_map_has(&pending, ap_slice_of(key));
}

static void
tell_status(struct wm *m, const struct ap_need *need, bool ready)
{
	struct ap_buf body;
	char now[40];

	ap_clock_format(ap_clock_wall_us(), 0, now, sizeof(now));
	ap_buf_init(&body, BODY_MAX);
	wm_gateway_status_patch(m->settings.address, need->gateway->generation, ready, ap_slice_of(now), &body);
	write_gateway(m, need->namespace_, need->name, "tell its status", "PATCH", "/status", "application/merge-patch+json", &body);
	ap_buf_done(&body);
}

/* The Gateway object as it should be; one write at a time. */
static void
settle_gateway(struct wm *m, const struct ap_need *need, const struct wm_instance *i)
{
	struct ap_buf body, reasons;
	bool ready = i != NULL && i->phase == WM_READY;

	if (is_pending(need->namespace_, need->name))
		return;
	ap_buf_init(&body, BODY_MAX);
	ap_buf_init(&reasons, BODY_MAX);
	wm_gateway_reasons(need, &reasons);
	if (need->gateway == NULL) {
		wm_gateway_body(need, &body);
		write_gateway(m, need->namespace_, need->name, "create its Gateway", "POST", "", "application/json", &body);
	} else if (!need->is_explicit && !wm_gateway_has_reasons(need->gateway, ap_buf_slice(&reasons))) {
		wm_gateway_reasons_patch(ap_buf_slice(&reasons), &body);
		write_gateway(m, need->namespace_, need->name, "write its reasons", "PATCH", "", "application/merge-patch+json", &body);
	} else if (ready && !wm_gateway_says_ready(need->gateway, m->settings.address)) {
		tell_status(m, need, true);
	} else if (!ready && !wm_gateway_says_not_ready(need->gateway)) {
		tell_status(m, need, false);
	}
	ap_buf_done(&reasons);
	ap_buf_done(&body);
}

static void
settle_need(struct wm *m, const struct ap_need *need)
{
	struct wm_instance *i;
	char key[200];

	snprintf(key, sizeof(key), "%.*s/%.*s", AP_FMT(need->namespace_), AP_FMT(need->name));
	i = ap_map_find(&m->instances, ap_slice_of(key));
	/* One that drains is waited for: its port and its name must be free before the next begins. */
	if (i == NULL)
		i = wm_instance_new(m, need->namespace_, need->name, need->name);
	settle_gateway(m, need, i);
}

static void
delete_gateway(struct wm *m, const struct ap_resource *gateway)
{
	if (!is_pending(gateway->namespace_, gateway->name))
		write_gateway(m, gateway->namespace_, gateway->name, "delete its Gateway", "DELETE", "", NULL, NULL);
}

/* Instances and managed Gateways that nothing needs. */
static void
retire_rest(struct wm *m, const struct ap_needs *needs)
{
	const struct ap_map *gateways = ap_resources_of(wm_world_resources(m->world), "gateway.networking.k8s.io", "Gateway");
	struct ap_map_entry *e;

	for (size_t k = 0; (e = ap_map_next(gateways, &k)) != NULL;) {
		const struct ap_resource *gateway = e->value;

		if (wm_gateway_is_managed(gateway) && !ap_map_has(&needs->by_gateway, gateway->path))
			delete_gateway(m, gateway);
	}
	for (size_t k = 0; (e = ap_map_next(&m->instances, &k)) != NULL;) {
		if (!ap_map_has(&needs->by_gateway, e->key))
			wm_instance_retire(e->value);
	}
}

void
wm_reconcile(struct wm *m)
{
	const struct ap_appliance *a = m->settings.appliance;
	struct ap_registry_options options = { .cluster_domain = AP_S("cluster.local"), .trust_domain = a->trust_domain };
	struct ap_registry *registry;
	struct ap_needs *needs;
	struct ap_arena *arena;

	if (!wm_world_is_complete(m->world) || m->is_stopping)
		return;
	arena = ap_arena_new(SIZE_MAX / 2);
	registry = ap_registry_build(arena, wm_world_resources(m->world), &options);
	needs = ap_waypoint_needs(arena, registry);
	for (size_t k = 0; k < needs->count; k++)
		settle_need(m, needs->items[k]);
	retire_rest(m, needs);
	ap_waypoint_needs_done(needs);
	ap_registry_done(registry);
	ap_arena_free(&arena);
}
