/* wm_role.c -- the role: settings from the file, one worker thread, and the beat by which instances are looked after. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "codec/json.h"
#include "model/schema.h"
#include "role/host.h"
#include "role/role.h"
#include "wm.h"
#include "wm_client.h"
#include "wm_instance.h"
#include "wm_world.h"

#define TICK_MS 50U
#define FIRST_PORT 15100
#define PORT_COUNT 100

static const struct ap_field_row rows[] = {
	{ .name = "address",
	    .type = AP_T_STRING,
	    .doc = "IP address at which this host's waypoints are reached; the first of spec.host.addresses by default." },
	{ .name = "firstPort",
	    .type = AP_T_INT,
	    .min = 1024,
	    .max = 65000,
	    .preset = "15100",
	    .doc = "First HBONE port of the waypoints; metrics are 100 above it and readiness 200." },
	{ .name = "portCount", .type = AP_T_INT, .min = 1, .max = 100, .preset = "100", .doc = "Most waypoints on this host." },
	{ .name = "drain",
	    .type = AP_T_DURATION,
	    .preset = "5s",
	    .doc = "How long a waypoint that nothing needs goes on serving before it is told to stop." },
	{ .name = "api", .type = AP_T_STRING, .doc = "Unix socket of the resource API; <runDir>/api.sock by default." },
	{ .name = NULL },
};

static const struct ap_schema section = {
	.name = "spec.waypointManager",
	.doc = "How waypoints are run on this host.",
	.rows = rows,
};

struct role {
	struct ap_host *host;
	struct wm m;
	struct ap_worker *worker;
};

static int
read_settings(struct wm_settings *s, struct ap_config *config, struct ap_error *err)
{
	const struct ap_appliance *a = ap_config_appliance(config);
	const struct ap_doc *doc = ap_doc_get(a->spec, "waypointManager");
	struct ap_slice api = ap_doc_string(doc, "api", "");
	static char first_address[64];
	ssize_t n = readlink("/proc/self/exe", s->self, sizeof(s->self) - 1);
	struct ap_ip ip;

	if (n <= 0)
		return ap_error_set(err, -errno, "the path of this program cannot be read from /proc; mount it.");
	s->self[n] = '\0';
	s->config = config;
	s->appliance = a;
	s->address = ap_doc_string(doc, "address", "");
	if (s->address.len == 0 && a->host.address_count > 0)
		s->address = ap_slice_of(ap_ip_format(&a->host.addresses[0], first_address, sizeof(first_address)));
	if (ap_ip_parse(s->address, &ip) != 0)
		return ap_error_set(err, -EINVAL,
		    "no address is known at which waypoints are reached; give spec.waypointManager.address or spec.host.addresses.");
	if (a->control_plane.address.len == 0)
		return ap_error_set(err, -EINVAL, "waypoints need spec.controlPlane.address, to join the mesh.");
	s->first_port = (uint16_t)ap_doc_int(doc, "firstPort", FIRST_PORT);
	s->port_count = (uint16_t)ap_doc_int(doc, "portCount", PORT_COUNT);
	s->drain_ms = (uint64_t)ap_doc_duration_ns(doc, "drain", 5000000000LL) / 1000000U;
	snprintf(s->folder, sizeof(s->folder), "%.*s/waypoint-manager", AP_FMT(a->state_dir));
	if (api.len > 0)
		snprintf(s->api, sizeof(s->api), "unix:%.*s", AP_FMT(api));
	else
		snprintf(s->api, sizeof(s->api), "unix:%.*s/api.sock", AP_FMT(a->run_dir));
	return 0;
}

static void
on_settle(struct ap_timer *t, void *arg)
{
	(void)t;
	wm_reconcile(arg);
}

static void
on_tick(struct ap_timer *t, void *arg)
{
	struct wm *m = arg;
	struct ap_map_entry *e;
	static unsigned beat;

	for (size_t k = 0; (e = ap_map_next(&m->instances, &k)) != NULL;) {
		if (wm_instance_tick(e->value))
			wm_touch(m);
	}
	if (++beat % 20 == 0)
		wm_touch(m); /* once a second: what failed before is tried again */
	ap_timer_start(t, TICK_MS);
}

static void
on_world(void *arg)
{
	wm_touch(arg);
}

static int
start_on_worker(struct ap_worker *w, void *arg)
{
	struct wm *m = arg;

	m->worker = w;
	m->loop = w->loop;
	ap_timer_init(&m->settle, w->loop, on_settle, m);
	ap_timer_init(&m->tick, w->loop, on_tick, m);
	m->client = wm_client_new(w->loop, m->settings.api);
	m->world = wm_world_new(w->loop, m->client, on_world, m);
	ap_timer_start(&m->tick, TICK_MS);
	return 0;
}

static int
stop_on_worker(struct ap_worker *w, void *arg)
{
	struct wm *m = arg;
	struct ap_map_entry *e;

	(void)w;
	m->is_stopping = true;
	ap_timer_stop(&m->tick);
	ap_timer_stop(&m->settle);
	wm_client_free(&m->client);
	wm_world_free(&m->world);
	/* The processes go on: traffic does not depend on its manager. */
	for (size_t k = 0; (e = ap_map_next(&m->instances, &k)) != NULL;)
		wm_instance_forget(e->value);
	ap_map_done(&m->instances, NULL);
	return 0;
}

static int
wm_init(struct ap_host *host, void **self, struct ap_error *err)
{
	struct role *r = ap_new(struct role);

	r->host = host;
	if (read_settings(&r->m.settings, ap_host_config(host), err) != 0) {
		ap_free(&r);
		return err->code;
	}
	ap_config_ref(r->m.settings.config);
	*self = r;
	return 0;
}

static int
wm_start(void *self, struct ap_error *err)
{
	struct role *r = self;

	if (ap_dir_make(r->m.settings.folder, 0700, err) != 0)
		return err->code;
	r->worker = ap_worker_start("waypoint-mgr", 0, err);
	return r->worker == NULL ? err->code : ap_worker_run(r->worker, start_on_worker, &r->m);
}

static int
ask_complete(struct ap_worker *w, void *arg)
{
	const struct wm *m = arg;

	(void)w;
	return wm_world_is_complete(m->world) ? 1 : 0;
}

static bool
wm_ready(const void *self, struct ap_buf *why)
{
	struct role *r = (struct role *)(uintptr_t)self;

	if (ap_worker_run(r->worker, ask_complete, &r->m) == 1)
		return true;
	ap_buf_add_text(why, "waypoint-manager: resources");
	return false;
}

static void
wm_stop(void *self)
{
	struct role *r = self;

	if (r->worker == NULL)
		return;
	ap_worker_run(r->worker, stop_on_worker, &r->m);
	ap_worker_stop(&r->worker);
}

static void
wm_fini(void *self)
{
	struct role *r = self;

	ap_config_unref(&r->m.settings.config);
	ap_free(&r);
}

struct admin_call {
	struct wm *m;
	struct ap_buf *out;
};

static int
write_instances(struct ap_worker *w, void *arg)
{
	const struct admin_call *call = arg;
	struct ap_map_entry *e;
	bool first = true;

	(void)w;
	ap_buf_add_char(call->out, '[');
	for (size_t k = 0; (e = ap_map_next(&call->m->instances, &k)) != NULL; first = false) {
		const struct wm_instance *i = e->value;

		ap_buf_printf(call->out,
		    "%s{\"gateway\":\"%s\",\"phase\":\"%s\",\"pid\":%d,\"hbonePort\":%u,\"metricsPort\":%u,\"readinessPort\":%u,\"failures\":%u}",
		    first ? "" : ",", i->key, wm_phase_name(i->phase), (int)i->pid, i->port, i->port + WM_METRICS_DISTANCE,
		    i->port + WM_READINESS_DISTANCE, i->failures);
	}
	ap_buf_add_text(call->out, "]\n");
	return 0;
}

static bool
wm_admin(void *self, const char *path, struct ap_buf *out)
{
	struct role *r = self;
	struct admin_call call = { &r->m, out };

	if (strcmp(path, "/instances") != 0)
		return false;
	ap_worker_run(r->worker, write_instances, &call);
	return true;
}

AP_PUBLIC const struct ap_role ROLE_SYMBOL(waypoint_manager) = {
	ROLE_HEAD("waypoint-manager"),
	.section = "waypointManager",
	.schema = &section,
	.init = wm_init,
	.start = wm_start,
	.ready = wm_ready,
	.stop = wm_stop,
	.fini = wm_fini,
	.admin = wm_admin,
};
