/*
 * wm_launch.c -- starts a waypoint with fork and exec: a folder with its YAML file and token, a process in a session of its own,
 * and a pid file by which a manager that was restarted finds it again.  The process outlives the manager on purpose: traffic
 * must not stop because its manager did.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "wm_instance.h"

extern char **environ;

#define FILE_CEILING ((size_t)65536)

int
wm_pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Start time in clock ticks since boot, by which a reused pid is told from ours; 0: no such process. */
static unsigned long long
start_time(pid_t pid)
{
	char path[64];
	struct ap_buf stat;
	struct ap_error err;
	unsigned long long value = 0;
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	ap_buf_init(&stat, 8192);
	if (ap_file_read(path, &stat, &err) == 0 && (at = strrchr(stat.ptr, ')')) != NULL) {
		/* Fields 3..22 follow the name; the 22nd is the start time. */
		for (int field = 2; at != NULL && field < 22; field++)
			at = strchr(at + 1, ' ');
		if (at != NULL)
			value = strtoull(at + 1, NULL, 10);
	}
	ap_buf_done(&stat);
	return value;
}

static int
write_pid(const struct wm_instance *i, struct ap_error *err)
{
	char path[512], text[96];

	snprintf(path, sizeof(path), "%s/pid", i->folder);
	snprintf(text, sizeof(text), "%d %llu %u\n", (int)i->pid, start_time(i->pid), i->port);
	return ap_file_write(path, ap_slice_of(text), 0600, err);
}

pid_t
wm_find_left_running(const char *folder, uint16_t *out_port)
{
	char path[512];
	struct ap_buf text;
	struct ap_error err;
	unsigned long long started = 0;
	unsigned port = 0;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/pid", folder);
	ap_buf_init(&text, 4096);
	if (ap_file_read(path, &text, &err) != 0 || sscanf(text.ptr, "%d %llu %u", &pid, &started, &port) != 3 || pid <= 1 ||
	    started == 0 || start_time((pid_t)pid) != started || port == 0 || port > 65535)
		pid = 0;
	ap_buf_done(&text);
	*out_port = (uint16_t)port;
	return (pid_t)pid;
}

static void
add_host(struct ap_buf *b, const struct wm_settings *s)
{
	const struct ap_appliance *a = s->appliance;

	ap_buf_printf(b, "  host:\n    addresses: [\"%.*s\"]\n", AP_FMT(s->address));
	if (a->host.region.len > 0)
		ap_buf_printf(b, "    region: \"%.*s\"\n", AP_FMT(a->host.region));
	if (a->host.zone.len > 0)
		ap_buf_printf(b, "    zone: \"%.*s\"\n", AP_FMT(a->host.zone));
	if (a->host.network.len > 0)
		ap_buf_printf(b, "    network: \"%.*s\"\n", AP_FMT(a->host.network));
	if (a->host.cluster.len > 0)
		ap_buf_printf(b, "    cluster: \"%.*s\"\n", AP_FMT(a->host.cluster));
}

static void
add_file(struct ap_buf *b, const struct wm_instance *i)
{
	const struct wm_settings *s = &i->m->settings;
	const struct ap_appliance *a = s->appliance;

	ap_buf_printf(b,
	    "# Written by the waypoint manager; changes are lost.\napiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nmetadata:\n"
	    "  name: \"%.*s.%s.%s\"\nspec:\n  roles: [waypoint]\n  workers: %u\n  trustDomain: \"%.*s\"\n  runDir: \"%.*s\"\n"
	    "  stateDir: \"%s/state\"\n  drain: %llums\n  log: {level: \"%.*s\"}\n",
	    AP_FMT(a->name), i->name, i->namespace_, AP_MAX(a->workers, 1U), AP_FMT(a->trust_domain), AP_FMT(a->run_dir), i->folder,
	    (unsigned long long)a->drain_ms, AP_FMT(a->log_level.len > 0 ? a->log_level : AP_S("info")));
	ap_buf_printf(b, "  controlPlane:\n    address: \"%.*s\"\n    caFile: \"%.*s\"\n    tokenFile: \"%s/token\"\n",
	    AP_FMT(a->control_plane.address), AP_FMT(a->control_plane.ca_file), i->folder);
	if (a->control_plane.host_name.len > 0)
		ap_buf_printf(b, "    hostName: \"%.*s\"\n", AP_FMT(a->control_plane.host_name));
	add_host(b, s);
	ap_buf_printf(b,
	    "  waypoint:\n    gateway: \"%s\"\n    serviceAccount: \"%s\"\n    hbonePort: %u\n    metricsPort: %u\n    readinessPort: "
	    "%u\n",
	    i->key, i->account, i->port, i->port + WM_METRICS_DISTANCE, i->port + WM_READINESS_DISTANCE);
}

int
wm_write_files(const struct wm_instance *i, struct ap_slice token, struct ap_error *err)
{
	char path[512];
	struct ap_buf b;
	int rc;

	if (ap_dir_make(i->folder, 0700, err) != 0)
		return err->code;
	ap_buf_init(&b, FILE_CEILING);
	add_file(&b, i);
	snprintf(path, sizeof(path), "%s/ambit.yaml", i->folder);
	rc = ap_file_write(path, ap_buf_slice(&b), 0600, err);
	ap_buf_done(&b);
	if (rc == 0 && token.len > 0) {
		snprintf(path, sizeof(path), "%s/token", i->folder);
		rc = ap_file_write(path, token, 0600, err);
	}
	return rc;
}

static int
spawn(const char *self, const char *config, int log_fd, pid_t *pid)
{
	const char *argv[] = { self, "run", "-c", config, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, log_fd, 1);
	posix_spawn_file_actions_adddup2(&actions, log_fd, 2);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(pid, self, &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

int
wm_launch(struct wm_instance *i, struct ap_error *err)
{
	char config[512], log[512];
	int fd, rc;

	snprintf(config, sizeof(config), "%s/ambit.yaml", i->folder);
	snprintf(log, sizeof(log), "%s/ambit.log", i->folder);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return ap_error_set(err, -errno, "%s cannot be written: %s.", log, strerror(errno));
	rc = spawn(i->m->settings.self, config, fd, &i->pid);
	close(fd);
	if (rc != 0) {
		i->pid = 0;
		return ap_error_set(err, -rc, "%s cannot be started: %s.", i->m->settings.self, strerror(rc));
	}
	return write_pid(i, err);
}
