/*
 * zt_role.c -- the node proxy as the module host sees it: what is made when, and undone in which order.  Main thread.
 *
 * Order of life: init reads the config; start makes tables, certificates, log and HTTP and begins to follow the control plane;
 * then the workers open their listeners; capture begins last, once the mesh is known, so that nothing is redirected to a
 * proxy that cannot serve it yet.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "mesh/access_log.h"
#include "mesh/xds_cache.h"
#include "xds/client.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_capture.h"
#include "ztunnel/zt_http.h"
#include "ztunnel/zt_role.h"
#include "ztunnel/zt_scripts.h"

AP_LOG_MODULE(ztunnel);

#define SUBSCRIPTIONS (AP_MESH_FEED_SUBSCRIPTIONS + 1)

static void
want_identities(struct zt *zt, const struct zt_hosted *old)
{
	uint32_t i;

	for (i = 0; i < zt->hosted->count; i++)
		ap_identity_want(zt->identities, ap_slice_of(zt->hosted->items[i].spiffe));
	for (i = 0; old != NULL && i < old->count; i++) {
		if (zt_hosted_find(zt->hosted, ap_slice_of(old->items[i].spiffe)) == NULL)
			ap_identity_drop(zt->identities, ap_slice_of(old->items[i].spiffe));
	}
}

/* Capture waits for the first state: until then nobody could be served. */
static void
begin_capture(struct zt *zt)
{
	struct ap_error err;

	if (zt->has_capture || zt->is_draining || zt->worker_count == 0 || !zt->is_synced)
		return;
	if (zt_capture_install(zt->capture, &err) != 0) {
		LOG_ERROR(NULL, "traffic is not captured: %s", err.text);
		ap_host_fail(zt->host, &err);
		return;
	}
	zt->has_capture = true;
}

static void
on_mesh_change(unsigned changed, void *arg)
{
	struct zt *zt = arg;

	(void)changed;
	if (zt->capture != NULL)
		zt_capture_mesh_changed(zt->capture);
}

static void
on_xds_state(void *arg, bool connected, bool synced)
{
	struct zt *zt = arg;

	AP_IS(zt, ZT_MAGIC);
	LOG_INFO(NULL, "control plane: %s%s", connected ? "connected" : "not connected", synced ? ", in step" : "");
	if (!synced)
		return;
	zt->is_synced = true;
	begin_capture(zt);
}

static void
on_identity(void *arg, const struct ap_identity *id)
{
	struct zt *zt = arg;

	/* The host has joined: no need to wait for the next try. */
	if (zt->xds != NULL && !ap_xds_client_is_connected(zt->xds) && ap_identity_is_host(zt->identities, id))
		ap_xds_client_reconnect(zt->xds);
}

static int
start_identities(struct zt *zt, struct ap_error *err)
{
	const struct ap_appliance *a = ap_config_appliance(zt->config);
	char folder[1024];
	struct ap_identity_settings settings = { .main = ap_host_main(zt->host),
		.jobs = ap_host_jobs(zt->host),
		.address = a->control_plane.address,
		.server_name = a->control_plane.host_name,
		.ca_file = a->control_plane.ca_file,
		.token_file = a->control_plane.token_file,
		.trust_domain = a->trust_domain,
		.host = a->name,
		.mark = zt->cfg.mark,
		.lifetime_s = zt->cfg.certificate_lifetime_s,
		.changed = on_identity,
		.arg = zt };
	int n = snprintf(folder, sizeof(folder), "%.*s/ztunnel", AP_FMT(a->state_dir));

	if (n < 0 || (size_t)n >= sizeof(folder))
		return ap_error_set(err, -ENAMETOOLONG, "stateDir is too long");
	settings.state_dir = ap_slice_of(folder);
	zt->identities = ap_identity_store_new(&settings, err);
	if (zt->identities == NULL)
		return err->code;
	want_identities(zt, NULL);
	return 0;
}

static struct ap_tls *
xds_tls(void *arg)
{
	return ap_identity_xds_tls(((struct zt *)arg)->identities);
}

static void
xds_token(void *arg, struct ap_buf *out)
{
	ap_identity_xds_token(((struct zt *)arg)->identities, out);
}

static bool
add_caches(struct zt *zt, struct ap_xds_subscription subscriptions[SUBSCRIPTIONS])
{
	static const char *const names[SUBSCRIPTIONS] = { "authorization", "address", "lua" };
	const struct ap_appliance *a = ap_config_appliance(zt->config);
	char *folder = ap_asprintf("%.*s/ztunnel", AP_FMT(a->state_dir));
	bool complete = true;
	int i;

	zt->cache = ap_xds_cache_new(ap_slice_of(folder));
	for (i = 0; i < SUBSCRIPTIONS; i++) {
		if (!ap_xds_cache_add(zt->cache, &subscriptions[i], names[i]))
			complete = false;
	}
	ap_free(&folder);
	return complete;
}

static int
start_state(struct zt *zt, struct ap_error *err)
{
	const struct ap_appliance *a = ap_config_appliance(zt->config);
	struct ap_xds_subscription subscriptions[SUBSCRIPTIONS];
	struct ap_xds_client_settings settings = { .loop = ap_host_main(zt->host)->loop,
		.address = a->control_plane.address,
		.host_name = a->control_plane.host_name,
		.tls = xds_tls,
		.token = xds_token,
		.arg = zt,
		.mark = zt->cfg.mark,
		.subscriptions = subscriptions,
		.subscription_count = SUBSCRIPTIONS,
		.state = on_xds_state };
	char *path, *node_id;
	int r;

	ap_mesh_feed_on_change(zt->feed, on_mesh_change, zt);
	if (zt->cfg.local_xds.len > 0) {
		path = ap_strndup(zt->cfg.local_xds.ptr, zt->cfg.local_xds.len);
		r = zt_local_xds_load(zt->feed, path, err);
		ap_free(&path);
		zt->is_local = true;
		zt->is_synced = r == 0;
		return r;
	}
	if (a->control_plane.address.len == 0)
		return ap_error_set(err, -EINVAL, "spec.controlPlane.address is missing");
	ap_mesh_feed_subscriptions(zt->feed, subscriptions);
	zt_scripts_subscription(zt->scripts, &subscriptions[AP_MESH_FEED_SUBSCRIPTIONS]);
	/* What an earlier life knew serves until the control plane answers; all of it or nothing, or policy might be missing. */
	zt->is_synced = add_caches(zt, subscriptions);
	zt->node_arena = ap_arena_new((size_t)16 * 1024 * 1024);
	node_id = zt_node_id(zt);
	settings.node_id = ap_slice_of(node_id);
	settings.metadata = zt_node_metadata(zt, zt->node_arena);
	zt->xds = ap_xds_client_new(&settings);
	ap_free(&node_id);
	return 0;
}

static int
start_log(struct zt *zt, struct ap_error *err)
{
	char *path;

	if (!zt->cfg.access_log)
		return 0;
	path = ap_strndup(zt->cfg.access_log_path.ptr, zt->cfg.access_log_path.len);
	zt->access_log = ap_access_log_open(path, err);
	ap_free(&path);
	return zt->access_log == NULL ? err->code : 0;
}

static int
zt_init(struct ap_host *host, void **self, struct ap_error *err)
{
	struct zt *zt = ap_new(struct zt);
	const struct ap_appliance *a;
	int r;

	*self = zt;
	zt->magic = ZT_MAGIC;
	zt->host = host;
	zt->config = ap_config_ref(ap_host_config(host));
	zt->first_config = ap_config_ref(zt->config);
	a = ap_config_appliance(zt->config);
	zt_config_read(a, &zt->cfg);
	zt->network = a->host.network;
	r = zt_config_find_ips(a, &zt->cfg, err);
	if (r != 0)
		return r;
	zt->hosted = zt_hosted_new(zt->config, err);
	return zt->hosted == NULL ? err->code : 0;
}

static void zt_stop(void *self);

static void
on_begin(struct ap_timer *t, void *arg)
{
	(void)t;
	begin_capture(arg);
}

static int
zt_start(void *self, struct ap_error *err)
{
	struct zt *zt = self;

	AP_IS(zt, ZT_MAGIC);
	zt->feed = ap_mesh_feed_new();
	zt->scripts = zt_scripts_new();
	/* The workers come after us: capture begins with the first turn of the loop, should the state be here by then. */
	ap_timer_init(&zt->begin, ap_host_main(zt->host)->loop, on_begin, zt);
	ap_timer_start(&zt->begin, 0);
	if (start_log(zt, err) == 0 && start_identities(zt, err) == 0 && start_state(zt, err) == 0) {
		zt->capture = zt_capture_new(zt, err);
		if (zt->capture != NULL)
			zt->http = zt_http_new(zt, err);
	}
	if (zt->http != NULL)
		return 0;
	zt_stop(zt);
	return err->code;
}

static void
zt_stop(void *self)
{
	struct zt *zt = self;

	ap_timer_stop(&zt->begin);
	zt_http_free(&zt->http);
	zt_capture_free(&zt->capture);
	ap_xds_client_free(&zt->xds);
	ap_xds_cache_free(&zt->cache);
	ap_identity_store_free(&zt->identities);
	zt_scripts_free(&zt->scripts);
	ap_mesh_feed_free(&zt->feed);
	ap_access_log_close(&zt->access_log);
	ap_arena_free(&zt->node_arena);
}

static void
zt_fini(void *self)
{
	struct zt *zt = self;

	if (zt == NULL)
		return;
	AP_IS(zt, ZT_MAGIC);
	zt_hosted_unref(&zt->hosted);
	ap_config_unref(&zt->config);
	ap_config_unref(&zt->first_config);
	zt->magic = 0;
	ap_free(&zt);
}

bool
zt_is_ready(const void *self, struct ap_buf *why)
{
	const struct zt *zt = self;

	if (!zt->is_synced) {
		ap_buf_add_text(why, "state manager");
		return false;
	}
	if (zt->worker_count == 0) {
		ap_buf_add_text(why, "proxy listeners");
		return false;
	}
	if (zt->is_draining) {
		ap_buf_add_text(why, "draining");
		return false;
	}
	return true;
}

static void
zt_drain(void *self, uint64_t deadline_ms)
{
	struct zt *zt = self;

	(void)deadline_ms;
	zt->is_draining = true;
	/* From here on new connections go as if we were not there; those that live end in their time. */
	if (zt->capture != NULL)
		zt_capture_pause(zt->capture);
}

static bool
zt_idle(const void *self)
{
	const struct zt *zt = self;

	return atomic_load_explicit(&zt->live, memory_order_relaxed) == 0;
}

/* Reload: workloads and capture. The section itself and the host's address are read by workers and stay. */

struct plan {
	struct ap_config *config;
	struct zt_hosted *hosted;
};

static void
zt_abort(void *self, void *arg)
{
	struct plan *p = arg;

	(void)self;
	if (p == NULL)
		return;
	zt_hosted_unref(&p->hosted);
	ap_config_unref(&p->config);
	ap_free(&p);
}

static int
zt_prepare(void *self, struct ap_config *next, void **plan, struct ap_error *err)
{
	const struct zt *zt = self;
	const struct ap_appliance *a = ap_config_appliance(next), *now = ap_config_appliance(zt->config);
	const struct ap_doc *section = ap_doc_get(a->spec, "ztunnel"), *old = ap_doc_get(now->spec, "ztunnel");
	struct plan *p = ap_new(struct plan);
	int r = 0;

	p->config = ap_config_ref(next);
	if ((section == NULL) != (old == NULL) || (section != NULL && !ap_doc_eq(section, old)))
		r = ap_error_set(err, -EINVAL, "spec.ztunnel of a running ztunnel cannot change; restart it");
	else if (!ap_slice_eq(a->host.network, zt->network) || a->capture.dns != zt->cfg.dns)
		r = ap_error_set(err, -EINVAL, "network and DNS capture of a running ztunnel cannot change; restart it");
	if (r == 0) {
		p->hosted = zt_hosted_new(next, err);
		r = p->hosted == NULL ? err->code : 0;
	}
	if (r != 0) {
		zt_abort(self, p);
		return r;
	}
	*plan = p;
	return 0;
}

static void
zt_commit(void *self, void *arg)
{
	struct zt *zt = self;
	struct plan *p = arg;
	struct zt_hosted *old_hosted = zt->hosted;
	struct ap_config *old_config = zt->config;
	struct ap_arena *old_arena = zt->node_arena;
	struct ap_error err;

	zt->config = p->config;
	zt->hosted = p->hosted;
	want_identities(zt, old_hosted);
	zt_workers_set_hosted(zt, zt->hosted);
	if (zt->xds != NULL) {
		zt->node_arena = ap_arena_new((size_t)16 * 1024 * 1024);
		ap_xds_client_set_metadata(zt->xds, zt_node_metadata(zt, zt->node_arena));
		ap_arena_free(&old_arena);
	}
	if (zt->has_capture && zt_capture_reload(zt->capture, &err) != 0)
		LOG_ERROR(NULL, "capture rules are those of before: %s", err.text);
	ap_access_log_reopen(zt->access_log);
	zt_hosted_unref(&old_hosted);
	ap_config_unref(&old_config);
	ap_free(&p);
}

static bool
zt_admin(void *self, const char *path, struct ap_buf *out)
{
	struct zt *zt = self;

	if (strcmp(path, "config_dump") == 0 || strcmp(path, "/config_dump") == 0) {
		zt_dump(zt, out);
		return true;
	}
	if (strcmp(path, "capture") == 0 || strcmp(path, "/capture") == 0) {
		zt_capture_dump(zt->capture, out);
		return true;
	}
	return false;
}

AP_PUBLIC const struct ap_role ROLE_SYMBOL(ztunnel) = {
	ROLE_HEAD("ztunnel"),
	.section = "ztunnel",
	.schema = &zt_schema,
	.init = zt_init,
	.start = zt_start,
	.prepare = zt_prepare,
	.commit = zt_commit,
	.abort = zt_abort,
	.ready = zt_is_ready,
	.drain = zt_drain,
	.idle = zt_idle,
	.stop = zt_stop,
	.fini = zt_fini,
	.admin = zt_admin,
	.worker_start = zt_worker_start,
	.worker_drain = zt_worker_drain,
	.worker_stop = zt_worker_stop,
};
