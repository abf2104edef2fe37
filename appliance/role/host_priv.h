/* host_priv.h -- the host's inside, for the files of this folder. */
#ifndef ROLE_HOST_PRIV_H
#define ROLE_HOST_PRIV_H
#include "base/error.h"
#include "base/log.h"
#include "event/loop.h"
#include "event/worker.h"
#include "model/appliance.h"
#include "role/host.h"

#define AP_ROLES_MAX 16U
#define AP_SERVICES_MAX 32U
#define AP_WORKERS_MAX 64U

/* One loaded module and how far its life has come; the steps are undone in reverse. */
struct ap_loaded {
	const struct ap_role *role;
	void *self;
	void *ws[AP_WORKERS_MAX]; /* per data worker */
	uint32_t worker_count;    /* on which worker_start succeeded */
	bool initialised, started;
	struct ap_logctx log;
};

enum ap_host_phase { AP_HOST_STARTING, AP_HOST_SERVING, AP_HOST_DRAINING, AP_HOST_STOPPED };

struct ap_admin;
struct ap_signal;

struct ap_host {
	struct ap_host_options options;
	struct ap_config *config; /* committed */
	struct ap_worker *main;
	struct ap_worker *workers[AP_WORKERS_MAX];
	uint32_t worker_count;
	struct ap_jobs *jobs;
	struct ap_loaded loaded[AP_ROLES_MAX]; /* in order of needs */
	uint32_t role_count;
	struct ap_service services[AP_SERVICES_MAX];
	uint32_t service_count;
	struct ap_admin *admin;
	struct ap_signal *signals[4];
	struct ap_timer watch; /* readiness while starting, idleness while draining, systemd's watchdog while serving */
	enum ap_host_phase phase;
	bool is_ready;
	uint64_t drain_deadline_ms; /* loop time */
	uint64_t watchdog_ms;       /* 0: none asked for */
	int exit_code;
};

/* loader.c: open role_dir/<name>.so and check that it is ours. 0 or negative with a sentence. */
int ap_role_load(const char *role_dir, const char *name, struct ap_loaded *out, struct ap_error *err);
/* order.c: sort so that who offers comes before who needs. Pure. */
int ap_role_order(struct ap_loaded *loaded, uint32_t count, struct ap_error *err);
/* reload.c */
void ap_host_reload(struct ap_host *host);
/* The names in the file's spec.roles, in the arena, NULL behind them; nothing else of it is checked. */
int ap_host_peek_roles(const char *path, struct ap_arena *arena, const char **out_names, uint32_t max, struct ap_error *err);
/* Load the file with the sections of the loaded roles; prints every problem to standard error. NULL when bad. */
struct ap_config *ap_host_load_config(struct ap_host *host);
/* admin.c: the admin socket. NULL with err when it cannot listen. */
struct ap_admin *ap_admin_new(struct ap_host *host, struct ap_error *err);
void ap_admin_free(struct ap_admin **admin);
/* host.c: true when every role is; else what is pending in why. */
bool ap_host_is_ready(struct ap_host *host, struct ap_buf *why);
void ap_host_begin_drain(struct ap_host *host);
/* Path of the admin socket: <run_dir>/admin-<appliance name>.sock. */
void ap_host_admin_path(const struct ap_appliance *a, char *out, size_t size);

#endif
