/* wm_instance.c -- the life of one waypoint's process; see the header. */
#include "wm_instance.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "wm_client.h"

AP_LOG_MODULE(wm_instance);

#define TOKENS "/apis/ambit.mesh/v1alpha1/jointokens"
#define PAUSE_FIRST_MS 100U
#define PAUSE_MAX_MS 10000U
#define KILL_AFTER_MS 5000U /* beyond the process' own drain */

const char *
wm_phase_name(enum wm_phase p)
{
	static const char *const names[] = { "waits for a token", "starting", "ready", "draining", "restarts after a pause" };

	return names[p];
}

/* How the process ended, for the log; adopted ones cannot be waited for. */
static int
reap(struct wm_instance *i)
{
	int status = 0;

	if (i->pidfd < 0)
		return 0;
	ap_io_done(&i->exit_io);
	close(i->pidfd);
	i->pidfd = -1;
	if (waitpid(i->pid, &status, WNOHANG) != i->pid)
		status = 0;
	i->pid = 0;
	return status;
}

static void
pause_before_restart(struct wm_instance *i)
{
	uint64_t wait = i->failures == 0 ? 0 : AP_MIN((uint64_t)PAUSE_FIRST_MS << AP_MIN(i->failures, 10U), PAUSE_MAX_MS);

	i->phase = WM_PAUSED;
	i->next_ms = ap_loop_now_ms(i->m->loop) + wait;
	i->failures++;
	wm_touch(i->m);
}

static void
on_exit_event(struct ap_io *io, unsigned events, void *arg)
{
	struct wm_instance *i = arg;
	pid_t pid = i->pid;
	int status = reap(i);

	(void)io;
	(void)events;
	if (i->phase == WM_DRAINING)
		return; /* the tick removes it */
	LOG_WARN(NULL, "waypoint %s (process %d) ended with %s %d; it is started anew.", i->key, (int)pid,
	    WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	pause_before_restart(i);
	wm_instance_tick(i);
}

static void
watch_process(struct wm_instance *i)
{
	i->pidfd = wm_pidfd_open(i->pid);
	if (i->pidfd < 0) {
		i->pid = 0;
		pause_before_restart(i);
		return;
	}
	ap_io_init(&i->exit_io, i->m->loop, i->pidfd, on_exit_event, i);
	ap_io_want(&i->exit_io, AP_IO_READ);
	i->phase = WM_STARTING;
	i->started_ms = ap_loop_now_ms(i->m->loop);
}

static void
start_process(struct wm_instance *i)
{
	struct ap_error err = { 0 };

	if (wm_launch(i, &err) != 0 && i->pid == 0) {
		LOG_ERROR(NULL, "waypoint %s: %s", i->key, err.text);
		pause_before_restart(i);
		return;
	}
	watch_process(i);
	LOG_INFO(NULL, "waypoint %s starts as process %d on port %u.", i->key, (int)i->pid, i->port);
}

/* Who asked for a token; the instance may be gone when it comes. */
struct who {
	struct wm *m;
	char key[200];
};

static void
on_token(int status, struct ap_slice body, void *arg)
{
	struct who *who = arg;
	struct ap_arena *arena = ap_arena_new((size_t)1 << 20);
	struct ap_error err = { 0 };
	struct wm_instance *i;
	struct ap_doc *answer = NULL;
	struct ap_slice token = AP_SLICE_NONE;

	i = who->m->is_stopping ? NULL : ap_map_find(&who->m->instances, ap_slice_of(who->key));
	if (i == NULL || i->phase != WM_TOKEN) {
		/* it went meanwhile */
	} else if (status / 100 == 2 && ap_json_parse(arena, "token", body, &answer, &err) == 0 &&
	    (token = ap_doc_string(ap_doc_get(answer, "status"), "token", "")).len > 0) {
		snprintf(i->token, sizeof(i->token), "%.*s", AP_FMT(ap_doc_string(ap_doc_get(answer, "metadata"), "name", "")));
		if (wm_write_files(i, token, &err) == 0)
			start_process(i);
		else
			LOG_ERROR(NULL, "waypoint %s: %s", i->key, err.text);
	} else {
		LOG_WARN(NULL, "waypoint %s gets no join token, the API answered %d: %.*s", i->key, status,
		    (int)AP_MIN(body.len, (size_t)300), body.ptr == NULL ? "" : body.ptr);
	}
	if (i != NULL && i->phase == WM_TOKEN)
		pause_before_restart(i);
	ap_arena_free(&arena);
	ap_free(&who);
}

static void
ask_token(struct wm_instance *i)
{
	const struct ap_appliance *a = i->m->settings.appliance;
	struct who *who = ap_new(struct who);
	struct ap_buf body;

	who->m = i->m;
	snprintf(who->key, sizeof(who->key), "%s", i->key);
	i->phase = WM_TOKEN;
	ap_buf_init(&body, 8192);
	ap_buf_printf(&body,
	    "{\"apiVersion\":\"ambit.mesh/v1alpha1\",\"kind\":\"JoinToken\",\"metadata\":{\"generateName\":\"waypoint-\"},"
	    "\"spec\":{\"host\":\"%.*s.%s.%s\",\"identities\":[\"%s/%s\"],\"uses\":1,\"ttl\":\"10m\"}}",
	    AP_FMT(a->name), i->name, i->namespace_, i->namespace_, i->account);
	wm_request(i->m->client, "POST", TOKENS, "application/json", ap_buf_slice(&body), on_token,
	    who);
	ap_buf_done(&body);
}

/* A certificate from an earlier life, or a token that was not used yet. After a few failures neither is believed in. */
static bool
can_join(const struct wm_instance *i)
{
	static const char *const files[] = { "state/waypoint", "token" };
	char path[512];

	for (size_t k = 0; k < AP_COUNTOF(files); k++) {
		snprintf(path, sizeof(path), "%s/%s", i->folder, files[k]);
		if (access(path, F_OK) == 0)
			return i->failures % 4 != 3;
	}
	return false;
}

static void
begin(struct wm_instance *i)
{
	struct ap_error err = { 0 };

	if (!can_join(i)) {
		ask_token(i);
		return;
	}
	if (wm_write_files(i, AP_SLICE_NONE, &err) != 0) {
		LOG_ERROR(NULL, "waypoint %s: %s", i->key, err.text);
		pause_before_restart(i);
		return;
	}
	start_process(i);
}

static bool
port_is_taken(const struct wm *m, uint16_t port)
{
	struct ap_map_entry *e;

	for (size_t k = 0; (e = ap_map_next(&m->instances, &k)) != NULL;) {
		if (((const struct wm_instance *)e->value)->port == port)
			return true;
	}
	return false;
}

static uint16_t
free_port(const struct wm *m)
{
	for (unsigned n = 0; n < m->settings.port_count; n++) {
		uint16_t port = (uint16_t)(m->settings.first_port + n);

		if (!port_is_taken(m, port))
			return port;
	}
	return 0;
}

struct wm_instance *
wm_instance_new(struct wm *m, struct ap_slice namespace_, struct ap_slice name, struct ap_slice account)
{
	struct wm_instance *i;
	uint16_t port = free_port(m), left_port = 0;

	if (port == 0) {
		LOG_ERROR(NULL, "all %u ports for waypoints are in use; raise spec.waypointManager.portCount.", m->settings.port_count);
		return NULL;
	}
	i = ap_new(struct wm_instance);
	i->m = m;
	i->pidfd = -1;
	snprintf(i->namespace_, sizeof(i->namespace_), "%.*s", AP_FMT(namespace_));
	snprintf(i->name, sizeof(i->name), "%.*s", AP_FMT(name));
	snprintf(i->account, sizeof(i->account), "%.*s", AP_FMT(account));
	snprintf(i->key, sizeof(i->key), "%s/%s", i->namespace_, i->name);
	snprintf(i->folder, sizeof(i->folder), "%s/%s.%s", m->settings.folder, i->namespace_, i->name);
	i->pid = wm_find_left_running(i->folder, &left_port);
	i->port = i->pid > 0 ? left_port : port;
	ap_map_put(&m->instances, ap_slice_of(i->key), i);
	if (i->pid > 0) {
		LOG_INFO(NULL, "waypoint %s still runs as process %d and is taken over.", i->key, (int)i->pid);
		watch_process(i);
	} else {
		begin(i);
	}
	return i;
}

void
wm_instance_retire(struct wm_instance *i)
{
	if (i->phase == WM_DRAINING)
		return;
	LOG_INFO(NULL, "nothing needs waypoint %s any more; it drains.", i->key);
	i->phase = WM_DRAINING;
	i->term_sent = false;
	/* The control plane has just been told; its news must reach every ztunnel before new streams are refused. */
	i->next_ms = ap_loop_now_ms(i->m->loop) + i->m->settings.drain_ms;
}

static void
ignore_answer(int status, struct ap_slice body, void *arg)
{
	(void)status;
	(void)body;
	(void)arg;
}

/* It has joined: what its token could still do, nobody should. */
static void
forget_token(struct wm_instance *i)
{
	char path[300];

	if (i->token[0] == '\0')
		return;
	snprintf(path, sizeof(path), TOKENS "/%s", i->token);
	wm_request(i->m->client, "DELETE", path, NULL, AP_SLICE_NONE, ignore_answer, NULL);
	i->token[0] = '\0';
}

static void
on_probe(struct wm_instance *i, bool ready)
{
	enum wm_phase now = ready ? WM_READY : WM_STARTING;

	if ((i->phase != WM_READY && i->phase != WM_STARTING) || i->phase == now)
		return;
	i->phase = now;
	if (ready) {
		i->failures = 0;
		forget_token(i);
		LOG_INFO(NULL, "waypoint %s is ready, %llu ms after its start.", i->key,
		    (unsigned long long)(ap_loop_now_ms(i->m->loop) - i->started_ms));
	} else {
		LOG_WARN(NULL, "waypoint %s is not ready any more.", i->key);
	}
	wm_touch(i->m);
}

void
wm_instance_forget(struct wm_instance *i)
{
	if (i->pidfd >= 0) {
		ap_io_done(&i->exit_io);
		close(i->pidfd);
	}
	ap_map_remove(&i->m->instances, ap_slice_of(i->key));
	ap_free(&i);
}

static bool
tick_draining(struct wm_instance *i, uint64_t now)
{
	struct ap_error err;

	if (i->pid == 0) {
		LOG_INFO(NULL, "waypoint %s is gone.", i->key);
		ap_dir_remove(i->folder, &err);
		wm_instance_forget(i);
		return true;
	}
	if (now < i->next_ms)
		return false;
	syscall(SYS_pidfd_send_signal, i->pidfd, i->term_sent ? SIGKILL : SIGTERM, NULL, 0);
	i->term_sent = true;
	i->next_ms = now + i->m->settings.appliance->drain_ms + KILL_AFTER_MS;
	return false;
}

bool
wm_instance_tick(struct wm_instance *i)
{
	uint64_t now = ap_loop_now_ms(i->m->loop);

	switch (i->phase) {
	case WM_TOKEN:
		return false;
	case WM_PAUSED:
		if (now >= i->next_ms)
			begin(i);
		return false;
	case WM_STARTING:
	case WM_READY:
		if (!i->is_probing)
			wm_probe(i, on_probe);
		return false;
	case WM_DRAINING:
		return tick_draining(i, now);
	}
	AP_NEVER();
}
