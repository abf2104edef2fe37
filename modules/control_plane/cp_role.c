/*
 * cp_role.c -- the role control-plane: the truth of the mesh, and who gets which part of it.
 *
 * Everything of it lives on one thread of its own, SQLite included; the main thread only starts it, reads whether it is ready,
 * and tells it of a new configuration, by running a function there or by its mailbox.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "control_plane/api/api.h"
#include "control_plane/cp_ca.h"
#include "control_plane/cp_grpc.h"
#include "control_plane/cp_reported.h"
#include "control_plane/cp_store.h"
#include "control_plane/cp_xds.h"
#include "event/mailbox.h"
#include "event/worker.h"
#include "model/appliance.h"
#include "net/tls.h"
#include "role/host.h"
#include "role/role.h"

AP_LOG_MODULE(control_plane);

#define SETTINGS_ARENA ((size_t)256 * 1024)
#define DUMP_ARENA ((size_t)1024 * 1024 * 1024)

/* Main thread, but for cp, which is the worker's. */
struct role {
	struct ap_host *host;
	struct ap_worker *worker;
	struct cp cp;
	struct ap_arena *settings_arena; /* worker */
	atomic_bool ready;
};

/* -- on the worker -- */

static int
open_state(struct role *role, struct ap_error *err)
{
	struct cp *cp = &role->cp;
	uint64_t keep = 0;
	char dir[4096];
	int rc;

	role->settings_arena = ap_arena_new(SETTINGS_ARENA);
	rc = cp_settings_read(cp->config, role->settings_arena, &cp->settings, &keep, err);
	if (rc != 0)
		return rc;
	snprintf(dir, sizeof(dir), "%.*s", AP_FMT(cp->settings.state_dir));
	if ((rc = ap_dir_make(dir, 0700, err)) != 0)
		return rc;
	snprintf(dir, sizeof(dir), "%.*s", AP_FMT(cp->settings.run_dir));
	if ((rc = ap_dir_make(dir, 0755, err)) != 0)
		return rc;
	return cp_store_open(cp, keep, err);
}

/* The authority, the API with a certificate of it, discovery, and last the service that hosts come to. */
static int
start_services(struct cp *cp, struct ap_error *err)
{
	const struct ap_doc *ca = ap_doc_get(cp->settings.section, "ca");
	char dir[4096];
	struct cp_ca_settings s = { .trust_domain = cp->settings.trust_domain,
		.cert_file = ap_doc_string(ca, "certFile", ""),
		.key_file = ap_doc_string(ca, "keyFile", ""),
		.roots_file = ap_doc_string(ca, "rootsFile", "") };
	struct ap_tls *tls;

	snprintf(dir, sizeof(dir), "%.*s/ca", AP_FMT(cp->settings.state_dir));
	s.dir = ap_slice_of(dir);
	cp->ca = cp_ca_open(&s, err);
	if (cp->ca == NULL)
		return err->code;
	tls = cp_server_tls(cp, cp_api_alpn, err);
	if (tls == NULL)
		return err->code;
	cp->api = cp_api_start(cp, tls, err);
	ap_tls_unref(&tls);
	if (cp->api == NULL || cp_api_write_kubeconfig(cp->api, cp_ca_roots(cp->ca), err) != 0)
		return err->code;
	cp->reported = cp_reported_start(cp);
	cp->xds = cp_xds_start(cp, err);
	if (cp->xds == NULL)
		return err->code;
	cp->ready = true;
	if (cp->settings.xds_listen.len == 0)
		return 0;
	cp->grpc = cp_grpc_start(cp, err);
	return cp->grpc == NULL ? err->code : 0;
}

static int
start_on_worker(struct ap_worker *w, void *arg)
{
	struct role *role = ((void **)arg)[0];
	struct ap_error *err = ((void **)arg)[1];
	struct cp *cp = &role->cp;
	int rc;

	cp->magic = CP_MAGIC;
	cp->host = role->host;
	cp->worker = w;
	cp->loop = w->loop;
	if ((rc = open_state(role, err)) != 0)
		return rc;
	cp_apply_defaults(cp);
	cp_apply_file(cp, cp->config);
	if ((rc = start_services(cp, err)) != 0)
		return rc;
	LOG_INFO(NULL, "serving %zu resources at revision %llu", cp_resources(cp)->by_key.count,
	    (unsigned long long)cp_revision(cp));
	return 0;
}

static int
stop_on_worker(struct ap_worker *w, void *arg)
{
	struct role *role = arg;
	struct cp *cp = &role->cp;

	(void)w;
	cp->ready = false;
	cp_grpc_stop(&cp->grpc);
	cp_xds_stop(&cp->xds);
	cp_reported_stop(&cp->reported);
	cp_api_stop(&cp->api);
	cp_ca_free(&cp->ca);
	cp_store_close(cp);
	ap_config_unref(&cp->config);
	ap_arena_free(&role->settings_arena);
	return 0;
}

static int
drain_on_worker(struct ap_worker *w, void *arg)
{
	struct role *role = arg;

	(void)w;
	if (role->cp.api != NULL)
		cp_api_drain(role->cp.api);
	if (role->cp.xds != NULL)
		cp_xds_drain(role->cp.xds);
	return 0;
}

/* -- a new configuration -- */

struct plan {
	struct role *role;
	struct ap_config *next;
	struct ap_arena *arena;
	struct cp_settings settings;
};

static void
plan_free(struct plan *p)
{
	ap_config_unref(&p->next);
	ap_arena_free(&p->arena);
	ap_free(&p);
}

static void
warn_fixed(const char *what, struct ap_slice old, struct ap_slice new_)
{
	if (!ap_slice_eq(old, new_))
		LOG_WARN(NULL, "%s changed from \"%.*s\" to \"%.*s\": this takes effect at the next start", what, AP_FMT(old),
		    AP_FMT(new_));
}

/* What may change while the role runs is taken over; the rest keeps pointing into the first configuration. */
static int
commit_on_worker(struct ap_worker *w, void *arg)
{
	struct plan *p = arg;
	struct cp *cp = &p->role->cp;

	(void)w;
	warn_fixed("trustDomain", cp->settings.trust_domain, p->settings.trust_domain);
	warn_fixed("controlPlaneServer.xds", cp->settings.xds_listen, p->settings.xds_listen);
	warn_fixed("controlPlaneServer.api", cp->settings.api_listen, p->settings.api_listen);
	warn_fixed("controlPlaneServer.clusterDomain", cp->settings.cluster_domain, p->settings.cluster_domain);
	cp->settings.certificate_ttl_ms = p->settings.certificate_ttl_ms;
	cp->settings.max_certificate_ttl_ms = p->settings.max_certificate_ttl_ms;
	cp_apply_file(cp, p->next);
	return 0;
}

/* -- the role's life, on the main thread -- */

static int
role_init(struct ap_host *host, void **self, struct ap_error *err)
{
	struct role *role = ap_new(struct role);

	(void)err;
	role->host = host;
	*self = role;
	return 0;
}

static int
role_start(void *self, struct ap_error *err)
{
	struct role *role = self;
	void *args[2] = { role, err };
	int rc;

	role->worker = ap_worker_start("control-plane", 0, err);
	if (role->worker == NULL)
		return err->code;
	role->cp.config = ap_config_ref(ap_host_config(role->host));
	rc = ap_worker_run(role->worker, start_on_worker, args);
	if (rc == 0)
		atomic_store(&role->ready, true);
	return rc;
}

static void
role_stop(void *self)
{
	struct role *role = self;

	atomic_store(&role->ready, false);
	if (role->worker == NULL)
		return;
	ap_worker_run(role->worker, stop_on_worker, role);
	ap_worker_stop(&role->worker);
}

static void
role_fini(void *self)
{
	struct role *role = self;

	ap_free(&role);
}

static int
role_prepare(void *self, struct ap_config *next, void **plan, struct ap_error *err)
{
	struct plan *p = ap_new(struct plan);
	uint64_t keep;
	int rc;

	p->role = self;
	p->next = ap_config_ref(next);
	p->arena = ap_arena_new(SETTINGS_ARENA);
	rc = cp_settings_read(next, p->arena, &p->settings, &keep, err);
	if (rc != 0)
		plan_free(p);
	else
		*plan = p;
	return rc;
}

static void
role_commit(void *self, void *plan)
{
	struct role *role = self;

	ap_worker_run(role->worker, commit_on_worker, plan);
	plan_free(plan);
}

static void
role_abort(void *self, void *plan)
{
	(void)self;
	plan_free(plan);
}

static bool
role_ready(const void *self, struct ap_buf *why)
{
	const struct role *role = self;

	if (atomic_load(&role->ready))
		return true;
	ap_buf_add_text(why, "the store is not open");
	return false;
}

static void
role_drain(void *self, uint64_t deadline_ms)
{
	struct role *role = self;

	(void)deadline_ms;
	if (role->worker != NULL)
		ap_worker_run(role->worker, drain_on_worker, role);
}

/* GET /control-plane/<what>: what is compiled for proxies, and who follows it. */
struct dump_call {
	struct cp *cp;
	const char *what;
	struct ap_buf *out;
};

static int
dump_on_worker(struct ap_worker *w, void *arg)
{
	const struct dump_call *call = arg;
	struct ap_arena *arena;
	struct ap_doc *doc;

	(void)w;
	if (call->cp->xds == NULL)
		return 0;
	arena = ap_arena_new(DUMP_ARENA);
	doc = cp_xds_dump(call->cp->xds, call->what, arena);
	if (doc != NULL)
		ap_json_write(doc, 2, call->out);
	ap_arena_free(&arena);
	return doc != NULL;
}

static bool
role_admin(void *self, const char *path, struct ap_buf *out)
{
	struct role *role = self;
	struct dump_call call = { &role->cp, path[0] == '/' ? path + 1 : path, out };

	return role->worker != NULL && ap_worker_run(role->worker, dump_on_worker, &call) != 0;
}

AP_PUBLIC const struct ap_role ROLE_SYMBOL(control_plane) = {
	ROLE_HEAD("control-plane"),
	.section = "controlPlaneServer",
	.schema = &cp_section_schema,
	.init = role_init,
	.start = role_start,
	.prepare = role_prepare,
	.commit = role_commit,
	.abort = role_abort,
	.ready = role_ready,
	.drain = role_drain,
	.admin = role_admin,
	.stop = role_stop,
	.fini = role_fini,
};
