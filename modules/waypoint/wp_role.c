/*
 * wp_role.c -- the waypoint as a role: reads its section, asks for its certificate and configuration, says when it is ready.
 * Main thread.  Owns the feeds that the workers' tables come from, so it outlives the workers' share.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "codec/json.h"
#include "model/appliance.h"
#include "role/host.h"
#include "role/role.h"
#include "waypoint/wp_local.h"
#include "waypoint/wp_worker.h"

AP_LOG_MODULE(waypoint);

#define MARK 1337U
#define SUBSCRIPTIONS (AP_MESH_FEED_SUBSCRIPTIONS + WP_FEED_SUBSCRIPTIONS)

static const struct ap_appliance *
appliance_of(const struct wp *wp)
{
	return ap_config_appliance(ap_host_config(wp->host));
}

static void
wp_fini(void *self)
{
	struct wp *wp = self;

	if (wp == NULL)
		return;
	wp_feed_free(&wp->feed);
	ap_mesh_feed_free(&wp->mesh);
	wp_settings_done(&wp->set);
	ap_arena_free(&wp->arena);
	ap_free(&wp->state_dir);
	ap_free(&wp);
}

static int
wp_init(struct ap_host *host, void **self, struct ap_error *err)
{
	struct wp *wp = ap_new(struct wp);
	const struct ap_appliance *a;
	int rc;

	wp->host = host;
	wp->reserved_fd = -1;
	a = appliance_of(wp);
	rc = wp_settings_decode(a, &wp->set, err);
	if (rc != 0) {
		wp_fini(wp);
		return rc;
	}
	snprintf(wp->network, sizeof(wp->network), "%.*s", AP_FMT(a->host.network));
	snprintf(wp->trust_domain, sizeof(wp->trust_domain), "%.*s", AP_FMT(a->trust_domain));
	if (wp->set.hbone)
		ap_identity_format(a->trust_domain, ap_slice_of(wp->set.namespace_), ap_slice_of(wp->set.account),
		    wp->identity, sizeof(wp->identity));
	(void)ap_host_workers(host, &wp->worker_count);
	wp->mesh = ap_mesh_feed_new();
	wp->feed = wp_feed_new();
	*self = wp;
	return 0;
}

/* A port of the kernel's choice, held by a socket that never listens, so that every worker can share it. */
static int
port_reserve(struct wp *wp, struct ap_error *err)
{
	struct ap_addr at = wp->set.address;
	int on = 1;

	wp->hbone_port = ap_addr_port(&at);
	if (!wp->set.hbone || wp->hbone_port != 0)
		return 0;
	wp->reserved_fd = socket(at.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (wp->reserved_fd < 0 || setsockopt(wp->reserved_fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
	    setsockopt(wp->reserved_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(wp->reserved_fd, &at.u.sa, at.len) != 0 ||
	    getsockname(wp->reserved_fd, &at.u.sa, &(socklen_t){ sizeof(at.u) }) != 0)
		return ap_error_set(err, -errno, "waypoint: no free port for HBONE: %s", strerror(errno));
	wp->hbone_port = ap_addr_port(&at);
	return 0;
}

static struct ap_slice
instance_ips(struct wp *wp)
{
	const struct ap_appliance *a = appliance_of(wp);
	struct ap_slice r = AP_SLICE_NONE;
	char text[AP_ADDR_TEXT];
	struct ap_ip own;

	for (uint32_t i = 0; i < a->host.address_count; i++) {
		ap_ip_format(&a->host.addresses[i], text, sizeof(text));
		r = r.len == 0 ? ap_arena_printf(wp->arena, "%s", text)
			       : ap_arena_printf(wp->arena, "%.*s,%s", AP_FMT(r), text);
	}
	if (r.len == 0 && ap_addr_ip(&wp->set.address, &own) == 0)
		r = ap_arena_printf(wp->arena, "%s", ap_ip_format(&own, text, sizeof(text)));
	return r;
}

/* This waypoint as a workload: what clients' ztunnels dial. */
static struct ap_slice
workloads_text(struct wp *wp)
{
	struct ap_arena *arena = wp->arena;
	struct ap_doc *list = ap_doc_new_list(arena), *w = ap_doc_new_map(arena), *ports = ap_doc_new_list(arena),
		      *port = ap_doc_new_map(arena), *labels = ap_doc_new_map(arena);
	struct ap_slice text;
	struct ap_buf b;

	ap_doc_set_string(arena, w, "name", ap_slice_of(wp->set.gateway));
	ap_doc_set_string(arena, w, "namespace", ap_slice_of(wp->set.namespace_));
	ap_doc_set_string(arena, w, "serviceAccount", ap_slice_of(wp->set.account));
	ap_doc_set_string(arena, labels, "gateway.networking.k8s.io/gateway-name", ap_slice_of(wp->set.gateway));
	ap_doc_set(arena, w, "labels", labels);
	ap_doc_set_string(arena, port, "name", AP_S("hbone"));
	ap_doc_set(arena, port, "port", ap_doc_new_int(arena, wp->hbone_port));
	ap_doc_append(ports, port);
	ap_doc_set(arena, w, "ports", ports);
	ap_doc_append(list, w);
	ap_buf_init(&b, 65536);
	ap_json_write(list, 0, &b);
	text = ap_arena_copy(arena, ap_buf_slice(&b));
	ap_buf_done(&b);
	return text;
}

static void
metadata_make(struct wp *wp)
{
	const struct ap_appliance *a = appliance_of(wp);
	struct ap_doc *m;
	struct ap_slice ips;

	wp->arena = ap_arena_new((size_t)1 << 20);
	m = ap_doc_new_map(wp->arena);
	ips = instance_ips(wp);
	ap_doc_set_string(wp->arena, m, "AMBIT_HOST", a->name);
	ap_doc_set_string(wp->arena, m, "AMBIT_ROLE", AP_S("waypoint"));
	ap_doc_set_string(wp->arena, m, "INSTANCE_IPS", ips);
	ap_doc_set_string(wp->arena, m, "NETWORK", a->host.network);
	ap_doc_set_string(wp->arena, m, "CLUSTER_ID", a->host.cluster);
	ap_doc_set_string(wp->arena, m, "REGION", a->host.region);
	ap_doc_set_string(wp->arena, m, "ZONE", a->host.zone);
	ap_doc_set_string(wp->arena, m, "SUBZONE", a->host.subzone);
	ap_doc_set_string(wp->arena, m, "METRICS_PORT", ap_arena_printf(wp->arena, "%u", wp->set.metrics_port));
	ap_doc_set_string(wp->arena, m, "HBONE_PORT", ap_arena_printf(wp->arena, "%u", wp->hbone_port));
	ap_doc_set_string(
	    wp->arena, m, "GATEWAY", ap_arena_printf(wp->arena, "%s/%s", wp->set.namespace_, wp->set.gateway));
	ap_doc_set_string(wp->arena, m, "WORKLOADS", workloads_text(wp));
	wp->metadata = m;
	snprintf(wp->node_id, sizeof(wp->node_id), "waypoint~%.*s~%s.%s~%s.svc.cluster.local",
	    AP_FMT(ap_slice_cut(&ips, ',')), wp->set.gateway, wp->set.namespace_, wp->set.namespace_);
}

static void
on_identity(void *arg, const struct ap_identity *id)
{
	struct wp *wp = arg;

	if (ap_slice_eq_text(id->spiffe, wp->identity))
		atomic_store(&wp->certified, ap_identity_find(wp->store, id->spiffe) != NULL);
}

static void
on_xds_state(void *arg, bool connected, bool synced)
{
	struct wp *wp = arg;

	(void)connected;
	if (synced && !atomic_exchange(&wp->synced, true))
		LOG_INFO(NULL, "configuration is complete");
}

static struct ap_tls *
xds_tls(void *arg)
{
	struct wp *wp = arg;

	return ap_identity_xds_tls(wp->store);
}

static void
xds_token(void *arg, struct ap_buf *out)
{
	struct wp *wp = arg;

	ap_identity_xds_token(wp->store, out);
}

static int
store_start(struct wp *wp, struct ap_error *err)
{
	const struct ap_appliance *a = appliance_of(wp);
	struct ap_identity_settings set = {
		.main = ap_host_main(wp->host),
		.jobs = ap_host_jobs(wp->host),
		.address = a->control_plane.address,
		.server_name = a->control_plane.host_name,
		.ca_file = a->control_plane.ca_file,
		.token_file = a->control_plane.token_file,
		.trust_domain = a->trust_domain,
		.host = a->name,
		.mark = MARK,
		.changed = on_identity,
		.arg = wp,
	};

	wp->state_dir = ap_asprintf("%.*s/waypoint", AP_FMT(a->state_dir));
	set.state_dir = ap_slice_of(wp->state_dir);
	wp->store = ap_identity_store_new(&set, err);
	if (wp->store == NULL)
		return err->code;
	if (wp->set.hbone) {
		struct ap_slice id = ap_slice_of(wp->identity);

		ap_identity_want(wp->store, id);
		if (ap_identity_find(wp->store, id) != NULL)
			atomic_store(&wp->certified, true);
	} else {
		atomic_store(&wp->certified, true);
	}
	return 0;
}

static void
xds_start(struct wp *wp, const struct ap_xds_subscription *subscriptions)
{
	const struct ap_appliance *a = appliance_of(wp);
	struct ap_xds_client_settings set = {
		.loop = ap_host_main(wp->host)->loop,
		.address = a->control_plane.address,
		.host_name = a->control_plane.host_name,
		.tls = xds_tls,
		.token = xds_token,
		.arg = wp,
		.node_id = ap_slice_of(wp->node_id),
		.metadata = wp->metadata,
		.mark = MARK,
		.subscriptions = subscriptions,
		.subscription_count = SUBSCRIPTIONS,
		.state = on_xds_state,
	};

	wp->xds = ap_xds_client_new(&set);
}

static void
answer_metrics(struct ap_exchange *x, void *arg)
{
	struct ap_slice path, query;
	struct ap_buf b;

	(void)arg;
	wp_path_split(x->request.path, &path, &query);
	if (!ap_slice_eq(path, AP_S("/metrics")) && !ap_slice_eq(path, AP_S("/stats/prometheus"))) {
		ap_exchange_reply(x, 404, "text/plain", AP_S("not found\n"));
		return;
	}
	ap_buf_init(&b, (size_t)256 << 20);
	ap_metrics_write(&b);
	ap_exchange_reply(x, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", ap_buf_slice(&b));
	ap_buf_done(&b);
}

static int
metrics_start(struct wp *wp, struct ap_error *err)
{
	struct ap_addr at = wp->set.status_address;

	if (wp->set.metrics_port == 0)
		return 0;
	ap_addr_set_port(&at, wp->set.metrics_port);
	wp->metrics = wp_status_new(ap_host_main(wp->host)->loop, &at, false, answer_metrics, wp, err);
	return wp->metrics == NULL ? err->code : 0;
}

static int
turn_pass(struct ap_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 0;
}

/* What worker_stop closed ends at the end of its turn, and a little of it one turn later: let these turns pass. */
static void
workers_settle(struct wp *wp)
{
	uint32_t count;
	struct ap_worker *const *workers = ap_host_workers(wp->host, &count);

	for (int turn = 0; turn < 3; turn++)
		for (uint32_t i = 0; i < count; i++)
			ap_worker_run(workers[i], turn_pass, NULL);
}

static void
wp_stop(void *self)
{
	struct wp *wp = self;

	workers_settle(wp);
	ap_xds_client_free(&wp->xds);
	ap_identity_store_free(&wp->store);
	wp_status_free(&wp->metrics);
	ap_access_log_close(&wp->log);
	if (wp->reserved_fd >= 0)
		close(wp->reserved_fd);
	wp->reserved_fd = -1;
}

static int
wp_start(void *self, struct ap_error *err)
{
	struct wp *wp = self;
	struct ap_xds_subscription subscriptions[SUBSCRIPTIONS];
	int rc;

	ap_mesh_feed_subscriptions(wp->mesh, subscriptions);
	wp_feed_subscriptions(wp->feed, subscriptions + AP_MESH_FEED_SUBSCRIPTIONS);
	if (wp->set.access_log != NULL) {
		wp->log = ap_access_log_open(wp->set.access_log, err);
		if (wp->log == NULL)
			return err->code;
	}
	if ((rc = port_reserve(wp, err)) != 0 || (rc = metrics_start(wp, err)) != 0)
		return rc;
	if (wp->set.local_config != NULL) {
		rc = wp_local_load(wp->set.local_config, subscriptions, SUBSCRIPTIONS, err);
		atomic_store(&wp->synced, true);
		if (!wp->set.hbone)
			atomic_store(&wp->certified, true);
		return rc == 0 && wp->set.hbone ? store_start(wp, err) : rc;
	}
	if (appliance_of(wp)->control_plane.address.len == 0)
		return ap_error_set(err, -EINVAL, "spec.controlPlane.address is missing");
	metadata_make(wp);
	rc = store_start(wp, err);
	if (rc == 0)
		xds_start(wp, subscriptions);
	return rc;
}

static bool
wp_ready(const void *self, struct ap_buf *why)
{
	return wp_is_ready(self, why);
}

static void
wp_drain(void *self, uint64_t deadline_ms)
{
	struct wp *wp = self;

	(void)deadline_ms;
	atomic_store(&wp->draining, true);
}

static bool
wp_idle(const void *self)
{
	const struct wp *wp = self;

	return atomic_load(&wp->downs) == 0;
}

/* A changed section needs a new process; the access log's file may have been rotated. */
static int
wp_prepare(void *self, struct ap_config *next, void **plan, struct ap_error *err)
{
	struct wp_settings set = { 0 };
	int rc = wp_settings_decode(ap_config_appliance(next), &set, err);

	(void)self;
	wp_settings_done(&set);
	*plan = NULL;
	return rc;
}

static void
wp_commit(void *self, void *plan)
{
	struct wp *wp = self;

	(void)plan;
	ap_access_log_reopen(wp->log);
}

static void
wp_abort(void *self, void *plan)
{
	(void)self;
	(void)plan;
}

AP_PUBLIC extern const struct ap_role ROLE_SYMBOL(waypoint);
AP_PUBLIC const struct ap_role ROLE_SYMBOL(waypoint) = {
	ROLE_HEAD("waypoint"),
	.section = "waypoint",
	.schema = &wp_schema,
	.init = wp_init,
	.start = wp_start,
	.prepare = wp_prepare,
	.commit = wp_commit,
	.abort = wp_abort,
	.ready = wp_ready,
	.drain = wp_drain,
	.idle = wp_idle,
	.stop = wp_stop,
	.fini = wp_fini,
	.admin = wp_admin,
	.worker_start = wp_worker_start,
	.worker_drain = wp_worker_drain,
	.worker_stop = wp_worker_stop,
};
