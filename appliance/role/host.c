/*
 * host.c -- the life of a process: load roles, order them, init, start, serve, drain, stop; each step undone in reverse when a
 * later one fails.  Main thread.  Owns the workers, the jobs pool, the loaded modules and the committed configuration.
 */
#include "role/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "event/jobs.h"
#include "event/signals.h"
#include "model/resource.h"
#include "role/host_priv.h"

AP_LOG_MODULE(host);

#define WATCH_MS 50U
#define JOB_THREADS 2U
#define ROLES_ARENA ((size_t)256 * 1024 * 1024)

/* What roles ask of their host. */

struct ap_config *
ap_host_config(struct ap_host *host)
{
	return host->config;
}

struct ap_worker *
ap_host_main(struct ap_host *host)
{
	return host->main;
}

struct ap_worker *const *
ap_host_workers(struct ap_host *host, uint32_t *out_count)
{
	*out_count = host->worker_count;
	return host->workers;
}

struct ap_jobs *
ap_host_jobs(struct ap_host *host)
{
	return host->jobs;
}

void
ap_host_offer(struct ap_host *host, const struct ap_service *service)
{
	AP_CHECK(host->service_count < AP_SERVICES_MAX);
	host->services[host->service_count++] = *service;
}

const struct ap_service *
ap_host_service(struct ap_host *host, const char *name, uint32_t version)
{
	for (uint32_t i = 0; i < host->service_count; i++) {
		if (strcmp(host->services[i].name, name) == 0 && host->services[i].version == version)
			return &host->services[i];
	}
	return NULL;
}

void
ap_host_fail(struct ap_host *host, const struct ap_error *err)
{
	LOG_ERROR(NULL, "%s", err->text);
	host->exit_code = 1;
	ap_host_begin_drain(host);
}

void
ap_host_admin_path(const struct ap_appliance *a, char *out, size_t size)
{
	struct sockaddr_un un;
	int n = snprintf(out, size, "%.*s/admin-%.*s.sock", AP_FMT(a->run_dir), AP_FMT(a->name));

	/* A long name is cut and told apart by its hash, so that it fits the kernel's bound for socket names. */
	if (n >= (int)sizeof(un.sun_path))
		snprintf(out, size, "%.*s/admin-%.*s-%08x.sock", AP_FMT(a->run_dir), (int)AP_MIN(a->name.len, (size_t)20), a->name.ptr,
		    (unsigned)ap_hash_fnv(a->name.ptr, a->name.len));
}

bool
ap_host_is_ready(struct ap_host *host, struct ap_buf *why)
{
	bool ready = host->phase == AP_HOST_SERVING;

	if (!ready)
		ap_buf_add_text(why, host->phase == AP_HOST_DRAINING ? "draining" : "starting");
	for (uint32_t i = 0; i < host->role_count; i++) {
		const struct ap_loaded *l = &host->loaded[i];
		size_t before = why->len;

		if (l->role->ready == NULL || l->role->ready(l->self, why))
			continue;
		ready = false;
		if (why->len == before)
			ap_buf_add_text(why, l->role->name);
		ap_buf_add_char(why, ' ');
	}
	return ready;
}

/* Life: each function below takes the host one step further, or one back. */

/* The option, the environment, the build tree when this binary still lies in one (libtool's .libs), the installed folder. */
static const char *
find_role_dir(const struct ap_host *host, char *room, size_t size)
{
	static const char libs[] = "/.libs/";
	const char *given = host->options.role_dir != NULL ? host->options.role_dir : getenv("AMBIT_ROLE_DIR");
	char exe[512] = "";
	char *slash;

	if (given != NULL)
		return given;
	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0 && (slash = strrchr(exe, '/')) != NULL &&
	    slash - exe >= (ptrdiff_t)sizeof(libs) - 2 && strncmp(slash - (sizeof(libs) - 2), libs, sizeof(libs) - 1) == 0) {
		*slash = '\0';
		snprintf(room, size, "%s/../modules/.libs", exe);
		return room;
	}
	return AP_PKGLIBDIR "/roles";
}

static int
load_roles(struct ap_host *host, const char *const *names, struct ap_error *err)
{
	char room[560];
	const char *dir = find_role_dir(host, room, sizeof(room));

	for (; *names != NULL; names++) {
		int rc;

		if (host->role_count == AP_ROLES_MAX)
			return ap_error_set(err, -E2BIG, "more than %u roles are named.", AP_ROLES_MAX);
		for (uint32_t i = 0; i < host->role_count; i++) {
			if (strcmp(host->loaded[i].role->name, *names) == 0)
				return ap_error_set(err, -EEXIST, "role %s is named twice; name it once.", *names);
		}
		rc = ap_role_load(dir, *names, &host->loaded[host->role_count], err);
		if (rc != 0) {
			ap_error_wrap(err, "role '%s'", *names);
			return rc;
		}
		host->role_count++;
	}
	return ap_role_order(host->loaded, host->role_count, err);
}

/*
 * The names from the command line, else those of the file.  The file is only looked into for that; it is checked whole once the
 * roles, whose sections have their own schemas, are there.
 */
static int
load_named_roles(struct ap_host *host, struct ap_error *err)
{
	const char *names[AP_ROLES_MAX + 1] = { NULL };
	struct ap_arena *arena;
	int rc;

	if (host->options.roles != NULL)
		return load_roles(host, host->options.roles, err);
	arena = ap_arena_new(ROLES_ARENA);
	rc = ap_host_peek_roles(host->options.config_path, arena, names, AP_ROLES_MAX, err);
	if (rc == 0)
		rc = load_roles(host, names, err);
	ap_arena_free(&arena);
	return rc;
}

static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Only roles that carry traffic want data workers. */
static bool
wants_workers(const struct ap_host *host)
{
	for (uint32_t i = 0; i < host->role_count; i++) {
		if (host->loaded[i].role->worker_start != NULL)
			return true;
	}
	return false;
}

static int
start_workers(struct ap_host *host, struct ap_error *err)
{
	uint32_t want = ap_config_appliance(host->config)->workers;

	if (!wants_workers(host))
		return 0;
	if (want == 0)
		want = (uint32_t)AP_MAX(1L, sysconf(_SC_NPROCESSORS_ONLN));
	want = AP_MIN(want, AP_WORKERS_MAX);
	while (host->worker_count < want) {
		char name[16];

		snprintf(name, sizeof(name), "worker%u", host->worker_count);
		host->workers[host->worker_count] = ap_worker_start(name, host->worker_count, err);
		if (host->workers[host->worker_count] == NULL)
			return err->code;
		host->worker_count++;
	}
	return 0;
}

/* A role's callback that runs on a worker's thread. */
struct worker_call {
	struct ap_loaded *loaded;
	uint32_t index;
	struct ap_error *err;
};

static int
call_worker_start(struct ap_worker *w, void *arg)
{
	struct worker_call *call = arg;

	return call->loaded->role->worker_start(call->loaded->self, w, &call->loaded->ws[call->index], call->err);
}

static int
call_worker_drain(struct ap_worker *w, void *arg)
{
	struct worker_call *call = arg;

	(void)w;
	call->loaded->role->worker_drain(call->loaded->ws[call->index]);
	return 0;
}

static int
call_worker_stop(struct ap_worker *w, void *arg)
{
	struct worker_call *call = arg;

	(void)w;
	call->loaded->role->worker_stop(call->loaded->ws[call->index]);
	return 0;
}

static int
start_role(struct ap_host *host, struct ap_loaded *l, struct ap_error *err)
{
	int rc = l->role->start == NULL ? 0 : l->role->start(l->self, err);

	if (rc != 0)
		return rc;
	l->started = true;
	for (uint32_t w = 0; l->role->worker_start != NULL && w < host->worker_count; w++) {
		struct worker_call call = { l, w, err };

		rc = ap_worker_run(host->workers[w], call_worker_start, &call);
		if (rc != 0)
			return rc;
		l->worker_count = w + 1;
	}
	return 0;
}

static int
start_roles(struct ap_host *host, struct ap_error *err)
{
	for (uint32_t i = 0; i < host->role_count; i++) {
		struct ap_loaded *l = &host->loaded[i];

		if (l->role->init != NULL && l->role->init(host, &l->self, err) != 0)
			return ap_error_wrap(err, "role %s", l->role->name);
		l->initialised = true;
	}
	for (uint32_t i = 0; i < host->role_count; i++) {
		if (start_role(host, &host->loaded[i], err) != 0)
			return ap_error_wrap(err, "role %s", host->loaded[i].role->name);
	}
	return 0;
}

static void
stop_roles(struct ap_host *host)
{
	for (uint32_t i = host->role_count; i-- > 0;) {
		struct ap_loaded *l = &host->loaded[i];

		for (; l->worker_count > 0; l->worker_count--) {
			struct worker_call call = { l, l->worker_count - 1, NULL };

			if (l->role->worker_stop != NULL)
				ap_worker_run(host->workers[l->worker_count - 1], call_worker_stop, &call);
		}
		if (l->started && l->role->stop != NULL)
			l->role->stop(l->self);
		l->started = false;
	}
	for (uint32_t i = host->role_count; i-- > 0;) {
		struct ap_loaded *l = &host->loaded[i];

		if (l->initialised && l->role->fini != NULL)
			l->role->fini(l->self);
		l->initialised = false;
	}
}

void
ap_host_begin_drain(struct ap_host *host)
{
	uint64_t limit = ap_config_appliance(host->config)->drain_ms;

	if (host->phase >= AP_HOST_DRAINING)
		return;
	host->phase = AP_HOST_DRAINING;
	host->drain_deadline_ms = ap_loop_now_ms(host->main->loop) + limit;
	sd_notify(0, "STOPPING=1");
	LOG_INFO(NULL, "draining for at most %llu ms.", (unsigned long long)limit);
	for (uint32_t i = 0; i < host->role_count; i++) {
		struct ap_loaded *l = &host->loaded[i];

		if (l->started && l->role->drain != NULL)
			l->role->drain(l->self, limit);
		for (uint32_t w = 0; l->role->worker_drain != NULL && w < l->worker_count; w++) {
			struct worker_call call = { l, w, NULL };

			ap_worker_run(host->workers[w], call_worker_drain, &call);
		}
	}
	ap_timer_start(&host->watch, 1);
}

static bool
all_idle(const struct ap_host *host)
{
	for (uint32_t i = 0; i < host->role_count; i++) {
		const struct ap_loaded *l = &host->loaded[i];

		if (l->role->idle != NULL && !l->role->idle(l->self))
			return false;
	}
	return true;
}

static void
note_readiness(struct ap_host *host)
{
	struct ap_buf why;
	bool ready;

	ap_buf_init(&why, 4096);
	ready = ap_host_is_ready(host, &why);
	if (ready != host->is_ready) {
		host->is_ready = ready;
		if (ready) {
			LOG_INFO(NULL, "ready.");
			sd_notify(0, "READY=1\nSTATUS=Serving.");
		} else {
			LOG_WARN(NULL, "not ready any more, pending: %.*s", (int)why.len, why.ptr);
			sd_notifyf(0, "STATUS=Not ready, pending: %.*s", (int)why.len, why.ptr);
		}
	}
	ap_buf_done(&why);
}

static void
on_watch(struct ap_timer *t, void *arg)
{
	struct ap_host *host = arg;
	uint64_t next = WATCH_MS;

	if (host->phase == AP_HOST_DRAINING) {
		if (all_idle(host) || ap_loop_now_ms(host->main->loop) >= host->drain_deadline_ms) {
			ap_loop_stop(host->main->loop);
			return;
		}
	} else {
		note_readiness(host);
		if (host->is_ready)
			next = 1000;
		if (host->watchdog_ms > 0) {
			sd_notify(0, "WATCHDOG=1");
			next = AP_MIN(next, host->watchdog_ms);
		}
	}
	ap_timer_start(t, next);
}

static void
on_signal(int signo, void *arg)
{
	struct ap_host *host = arg;

	if (signo == SIGHUP) {
		if (host->phase == AP_HOST_SERVING)
			ap_host_reload(host);
	} else if (host->phase == AP_HOST_DRAINING && signo == SIGINT) {
		ap_loop_stop(host->main->loop);
	} else {
		ap_host_begin_drain(host);
	}
}

static void
watch_signals(struct ap_host *host)
{
	static const int signos[] = { SIGTERM, SIGINT, SIGHUP };

	for (size_t i = 0; i < AP_COUNTOF(signos); i++)
		host->signals[i] = ap_signal_watch(host->main->loop, signos[i], on_signal, host);
	signal(SIGPIPE, SIG_IGN);
}

static int
make_folders(const struct ap_appliance *a, struct ap_error *err)
{
	int rc = ap_dir_make(a->run_dir.ptr, 0755, err);

	return rc != 0 ? rc : ap_dir_make(a->state_dir.ptr, 0700, err);
}

static int
set_up_log(const struct ap_appliance *a, struct ap_error *err)
{
	ap_log_setup(AP_LOG_INFO, a->log_json ? AP_LOG_JSON : AP_LOG_TEXT, STDERR_FILENO);
	return a->log_level.len == 0 ? 0 : ap_log_set_levels(a->log_level, err);
}

static int
serve(struct ap_host *host, struct ap_error *err)
{
	uint64_t usec = 0;
	int rc = start_workers(host, err);

	if (rc == 0)
		rc = start_roles(host, err);
	if (rc == 0) {
		host->admin = ap_admin_new(host, err);
		rc = host->admin == NULL ? err->code : 0;
	}
	if (rc == 0) {
		host->phase = AP_HOST_SERVING;
		if (sd_watchdog_enabled(0, &usec) > 0)
			host->watchdog_ms = usec / 2000;
		ap_timer_start(&host->watch, 1);
		ap_loop_run(host->main->loop);
	}
	ap_admin_free(&host->admin);
	ap_timer_stop(&host->watch);
	stop_roles(host);
	return rc;
}

static int
complain(const struct ap_error *err)
{
	fprintf(stderr, "ambit run: %s\n", err->text);
	return 2;
}

static void
clean_up(struct ap_host *host)
{
	for (uint32_t i = host->worker_count; i-- > 0;)
		ap_worker_stop(&host->workers[i]);
	if (host->jobs != NULL)
		ap_jobs_free(&host->jobs);
	for (size_t i = 0; i < AP_COUNTOF(host->signals); i++)
		ap_signal_free(&host->signals[i]);
	ap_config_unref(&host->config);
	if (host->main != NULL)
		ap_worker_stop(&host->main);
}

int
ap_host_run(const struct ap_host_options *options)
{
	struct ap_host host = { .options = *options };
	struct ap_error err = { 0 };
	int exit_code;

	if (load_named_roles(&host, &err) != 0 || (host.config = ap_host_load_config(&host)) == NULL) {
		if (err.code == 0)
			ap_error_set(&err, -EINVAL, "%s is refused.", options->config_path);
		exit_code = complain(&err);
		clean_up(&host);
		return exit_code;
	}
	raise_descriptor_limit();
	host.main = ap_worker_adopt("main");
	ap_timer_init(&host.watch, host.main->loop, on_watch, &host);
	host.jobs = ap_jobs_new(JOB_THREADS);
	watch_signals(&host);
	if (set_up_log(ap_config_appliance(host.config), &err) != 0 ||
	    make_folders(ap_config_appliance(host.config), &err) != 0 || serve(&host, &err) != 0)
		exit_code = complain(&err);
	else
		exit_code = host.exit_code;
	clean_up(&host);
	return exit_code;
}

/* The resources behind the Appliance, as the control plane will check them; the number that it will not take. */
static size_t
check_resources(const struct ap_yaml_docs *docs)
{
	struct ap_errors errs = { 0 };
	char line[640];
	size_t bad;

	for (uint32_t i = 0; i < docs->count; i++)
		ap_resource_check(docs->items[i], &errs, NULL);
	for (size_t i = 0; i < errs.count; i++)
		fprintf(stderr, "%s\n", ap_error_format(&errs.items[i], line, sizeof(line)));
	bad = errs.total;
	ap_errors_done(&errs);
	return bad;
}

int
ap_host_check(const struct ap_host_options *options)
{
	struct ap_host host = { .options = *options };
	struct ap_error err = { 0 };
	int exit_code = 0;

	if (load_named_roles(&host, &err) != 0 || (host.config = ap_host_load_config(&host)) == NULL) {
		if (err.code == 0)
			ap_error_set(&err, -EINVAL, "%s is refused.", options->config_path);
		exit_code = complain(&err);
	} else if (check_resources(ap_config_resources(host.config)) > 0) {
		exit_code = 2;
	} else {
		printf("%s: fine; %u roles, %u resources.\n", options->config_path, host.role_count,
		    ap_config_resources(host.config)->count);
	}
	clean_up(&host);
	return exit_code;
}
