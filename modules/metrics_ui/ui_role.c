/*
 * ui_role.c -- the role metrics-ui: scrapes the proxies, keeps their figures, serves the page.  Everything of it lives on one
 * worker thread of its own; the main thread starts and stops that, and answers readiness from one atomic flag.
 */
#include <errno.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/worker.h"
#include "metrics_ui/ui.h"
#include "model/appliance.h"
#include "role/host.h"
#include "role/role.h"

AP_LOG_MODULE(ui_role);

struct ui_role {
	struct ap_host *host;
	struct ui ui;
	atomic_bool is_ready;
};

static int
role_init(struct ap_host *host, void **self, struct ap_error *err)
{
	struct ui_role *r = ap_new(struct ui_role);

	r->host = host;
	r->ui.magic = UI_MAGIC;
	r->ui.host = host;
	r->ui.settings = ui_settings_new(ap_config_appliance(ap_host_config(host)), err);
	if (r->ui.settings == NULL) {
		ap_free(&r);
		return -EINVAL;
	}
	*self = r;
	return 0;
}

static int
start_on_worker(struct ap_worker *w, void *arg)
{
	struct ui_role *r = ((void **)arg)[0];
	struct ap_error *err = ((void **)arg)[1];
	struct ui *ui = &r->ui;
	int status;

	AP_IS(ui, UI_MAGIC);
	ui->loop = w->loop;
	status = ui_store_open(ui, err);
	if (status == 0)
		status = ui_targets_start(ui, err);
	if (status == 0) {
		ui->names = ui_names_build(ui);
		status = ui_http_start(ui, err);
	}
	if (status == 0)
		ui_objects_start(ui);
	return status;
}

/* Ends what has callbacks; they run out in the turn after. */
static int
quiesce_on_worker(struct ap_worker *w, void *arg)
{
	struct ui *ui = arg;

	(void)w;
	ui_http_stop(ui);
	ui_objects_stop(ui);
	ui_targets_stop(ui);
	return 0;
}

static int
close_on_worker(struct ap_worker *w, void *arg)
{
	struct ui *ui = arg;

	(void)w;
	ui_store_close(ui);
	ui_names_free(&ui->names);
	return 0;
}

static void
stop_worker(struct ui *ui)
{
	if (ui->worker == NULL)
		return;
	ap_worker_run(ui->worker, quiesce_on_worker, ui);
	ap_worker_run(ui->worker, close_on_worker, ui);
	ap_worker_stop(&ui->worker);
}

static int
role_start(void *self, struct ap_error *err)
{
	struct ui_role *r = self;
	void *args[2] = { r, err };
	int status;

	r->ui.worker = ap_worker_start("metrics-ui", 0, err);
	if (r->ui.worker == NULL)
		return err->code;
	status = ap_worker_run(r->ui.worker, start_on_worker, args);
	if (status < 0) {
		stop_worker(&r->ui);
		return status;
	}
	atomic_store(&r->is_ready, true);
	return 0;
}

static int
role_prepare(void *self, struct ap_config *next, void **plan, struct ap_error *err)
{
	struct ui_settings *s = ui_settings_new(ap_config_appliance(next), err);

	(void)self;
	*plan = s;
	return s == NULL ? -EINVAL : 0;
}

static int
replace_on_worker(struct ap_worker *w, void *arg)
{
	struct ui *ui = ((void **)arg)[0];
	struct ui_settings *next = ((void **)arg)[1], *old = ui->settings;

	(void)w;
	if (!ap_addr_eq(&old->listen, &next->listen) || !ap_addr_eq(&old->api, &next->api) ||
	    !ap_slice_eq(old->folder, next->folder))
		LOG_WARN(NULL, "metricsUi: another listen, api or state folder takes effect when the role is started anew.");
	next->listen = old->listen;
	next->api = old->api;
	next->api_authority = ap_arena_copy(next->arena, old->api_authority);
	next->folder = ap_arena_copy(next->arena, old->folder);
	ui_targets_stop(ui);
	ui->settings = next;
	ui_targets_start(ui, NULL);
	ui_targets_sync(ui);
	ui_settings_free(&old);
	return 0;
}

static void
role_commit(void *self, void *plan)
{
	struct ui_role *r = self;
	void *args[2] = { &r->ui, plan };

	ap_worker_run(r->ui.worker, replace_on_worker, args);
}

static void
role_abort(void *self, void *plan)
{
	struct ui_settings *s = plan;

	(void)self;
	ui_settings_free(&s);
}

static bool
role_ready(const void *self, struct ap_buf *why)
{
	const struct ui_role *r = self;

	if (atomic_load(&r->is_ready))
		return true;
	ap_buf_add_text(why, "metrics-ui is starting");
	return false;
}

static void
role_stop(void *self)
{
	struct ui_role *r = self;

	atomic_store(&r->is_ready, false);
	stop_worker(&r->ui);
}

static void
role_fini(void *self)
{
	struct ui_role *r = self;

	if (r == NULL)
		return;
	ui_settings_free(&r->ui.settings);
	ap_free(&r);
}

AP_PUBLIC extern const struct ap_role ROLE_SYMBOL(metrics_ui);
AP_PUBLIC const struct ap_role ROLE_SYMBOL(metrics_ui) = {
	ROLE_HEAD("metrics-ui"),
	.section = "metricsUi",
	.schema = &ui_schema,
	.init = role_init,
	.start = role_start,
	.prepare = role_prepare,
	.commit = role_commit,
	.abort = role_abort,
	.ready = role_ready,
	.stop = role_stop,
	.fini = role_fini,
};
