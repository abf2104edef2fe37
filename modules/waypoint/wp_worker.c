/*
 * wp_worker.c -- a worker's share of the role: its view of the mesh and of the configuration, its pools, listeners and scripts.
 * Made and ended on the worker's thread while main waits; in between nobody else touches it.
 */
#include "waypoint/wp_worker.h"

#include <stdatomic.h>

#include "base/check.h"
#include "base/mem.h"
#include "waypoint/wp_request.h"

static const struct ap_http_pool_settings pool_settings = {
	.http = { .idle_timeout_ms = 60000, .stream_window = 256 * 1024, .connection_window = 4 * 1024 * 1024 },
	.max_connections = 1024,
	.max_waiting = 1024,
};

static void
on_config(void *arg)
{
	struct wp_worker *ww = arg;

	ap_lua_host_sweep(ww->lua);
	wp_clusters_sweep(ww);
}

static void
answer_ready(struct ap_exchange *x, void *arg)
{
	const struct wp_worker *ww = arg;
	struct ap_slice path, query;
	struct ap_buf why;

	wp_path_split(x->request.path, &path, &query);
	if (!ap_slice_eq(path, AP_S("/healthz/ready"))) {
		ap_exchange_reply(x, 404, "text/plain", AP_S("not found\n"));
		return;
	}
	ap_buf_init(&why, 1024);
	if (wp_is_ready(ww->wp, &why)) {
		ap_exchange_reply(x, 200, "text/plain", AP_S("ready\n"));
	} else {
		struct ap_slice text =
		    ap_arena_printf(x->arena, "not ready, pending: %.*s\n", AP_FMT(ap_buf_slice(&why)));

		ap_exchange_reply(x, 500, "text/plain", text);
	}
	ap_buf_done(&why);
}

static bool
readiness_start(struct wp_worker *ww, struct ap_error *err)
{
	struct ap_addr at = ww->wp->set.status_address;

	if (ww->w->index != 0 || ww->wp->set.readiness_port == 0)
		return true;
	ap_addr_set_port(&at, ww->wp->set.readiness_port);
	ww->readiness = wp_status_new(ww->loop, &at, false, answer_ready, ww, err);
	return ww->readiness != NULL;
}

int
wp_worker_start(void *self, struct ap_worker *w, void **ws, struct ap_error *err)
{
	struct wp *wp = self;
	struct wp_worker *ww = ap_new(struct wp_worker);

	ww->magic = WP_WORKER_MAGIC;
	ww->wp = wp;
	ww->w = w;
	ww->loop = w->loop;
	ap_list_init(&ww->hbones);
	ap_list_init(&ww->downs);
	ap_list_init(&ww->mirror_list);
	ap_list_init(&ww->request_list);
	ww->cache = wp_cache_new();
	ww->lua = ap_lua_host_new(w->shard);
	ww->mesh = ap_mesh_feed_attach(wp->mesh, w, NULL, NULL);
	ww->mesh_table = ap_mesh_view_table(ww->mesh);
	wp_feed_attach(wp->feed, w, &ww->table, on_config, ww);
	if (wp->store != NULL)
		ww->identities = ap_identity_attach(wp->store, w, NULL, NULL);
	ww->hbone = ap_hbone_pool_new(w, NULL);
	ww->pool = ap_http_pool_new(w->loop, &pool_settings);
	*ws = ww;
	if (!readiness_start(ww, err) || !wp_listen(ww, err)) {
		wp_worker_stop(ww);
		*ws = NULL;
		return err->code != 0 ? err->code : -1;
	}
	atomic_fetch_add(&wp->listening, 1);
	return 0;
}

void
wp_worker_drain(void *ws)
{
	struct wp_worker *ww = ws;

	AP_IS(ww, WP_WORKER_MAGIC);
	ww->draining = true;
	wp_listeners_close(ww);
	AP_LIST_FOR_SAFE(l, &ww->hbones)
	ap_http_drain(AP_LIST_ITEM(l, struct wp_hbone, link)->http);
	AP_LIST_FOR_SAFE(l, &ww->downs)
	{
		struct wp_down *d = AP_LIST_ITEM(l, struct wp_down, link);

		if (d->http != NULL)
			ap_http_drain(d->http);
	}
}

static void
worker_free(void *p)
{
	struct wp_worker *ww = p;

	wp_table_done(&ww->table);
	ap_free(&ww);
}

/* Behind the ends of the connections that stop() closed. */
static void
on_stop_task(struct ap_task *t, void *arg)
{
	struct wp_worker *ww = arg;

	(void)t;
	ap_hbone_pool_free(&ww->hbone);
	wp_clusters_done(ww);
	wp_cache_free(&ww->cache);
	ap_lua_host_free(&ww->lua);
	ap_defer_free(ww->loop, ww, worker_free);
}

void
wp_worker_stop(void *ws)
{
	struct wp_worker *ww = ws;

	if (ww == NULL)
		return;
	AP_IS(ww, WP_WORKER_MAGIC);
	ww->draining = true;
	wp_listeners_close(ww);
	wp_status_free(&ww->readiness);
	AP_LIST_FOR_SAFE(l, &ww->request_list)
	wp_request_end(AP_LIST_ITEM(l, struct wp_request, link), AP_STREAM_CLOSE_ABORT);
	AP_LIST_FOR_SAFE(l, &ww->downs)
	wp_down_close(AP_LIST_ITEM(l, struct wp_down, link));
	AP_LIST_FOR_SAFE(l, &ww->hbones)
	ap_http_close(AP_LIST_ITEM(l, struct wp_hbone, link)->http);
	f_mirrors_end(ww);
	ap_http_pool_free(&ww->pool);
	wp_feed_detach(ww->wp->feed, ww->w);
	ap_mesh_view_free(&ww->mesh);
	ap_identity_view_free(&ww->identities);
	ap_task_init(&ww->stop_task, on_stop_task, ww);
	ap_task_schedule(ww->loop, &ww->stop_task);
}
