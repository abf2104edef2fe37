/*
 * wm_instance.h -- one running waypoint: its files, its process, its readiness, its end.
 *
 * Life: TOKEN (a join token is asked for) -> STARTING (the process runs, not ready) <-> READY -> DRAINING (nothing needs it; SIGTERM
 * after a moment) -> gone.  A process that dies is started anew: at once the first time, then with a growing pause.
 */
#ifndef WAYPOINT_MANAGER_WM_INSTANCE_H
#define WAYPOINT_MANAGER_WM_INSTANCE_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "event/loop.h"
#include "wm.h"

enum wm_phase { WM_TOKEN, WM_STARTING, WM_READY, WM_DRAINING, WM_PAUSED };

struct wm_instance {
	struct wm *m;
	char namespace_[64], name[128]; /* of the Gateway */
	char key[200];                  /* "namespace/name" */
	char account[128];              /* service account of its identity */
	char folder[460];
	char token[128]; /* name of the JoinToken made for it, until it has joined; empty otherwise */
	uint16_t port; /* HBONE; metrics and readiness follow at fixed distances */
	enum wm_phase phase;
	pid_t pid; /* 0: none */
	int pidfd; /* -1: none */
	struct ap_io exit_io;
	unsigned failures;        /* ends in a row without having been ready */
	uint64_t started_ms;      /* loop time of the last start */
	uint64_t next_ms;         /* loop time of what its phase waits for: the next start, SIGTERM, SIGKILL */
	bool term_sent, is_probing;
	bool shown_ready; /* the Gateway's status says so */
	bool status_pending;
};

#define WM_METRICS_DISTANCE 100U
#define WM_READINESS_DISTANCE 200U

const char *wm_phase_name(enum wm_phase p);
/* A new one, in the map of m; adopts a process that an earlier manager left running. */
struct wm_instance *wm_instance_new(struct wm *m, struct ap_slice namespace_, struct ap_slice name, struct ap_slice account);
/* Nothing needs it: let it end. */
void wm_instance_retire(struct wm_instance *i);
/* Called a few times a second: probes, starts, signals. True: it is gone and was freed. */
bool wm_instance_tick(struct wm_instance *i);
/* Forget it; its process runs on (a manager that restarts adopts it). */
void wm_instance_forget(struct wm_instance *i);

/* wm_launch.c */
int wm_write_files(const struct wm_instance *i, struct ap_slice token, struct ap_error *err);
int wm_launch(struct wm_instance *i, struct ap_error *err);
/* The process that a pid file of the folder names, when it is still that one; 0 otherwise. *out_port is its HBONE port. */
pid_t wm_find_left_running(const char *folder, uint16_t *out_port);
int wm_pidfd_open(pid_t pid);
/* wm_probe.c: is the waypoint's readiness page 200? The answer comes by the callback, later. */
void wm_probe(struct wm_instance *i, void (*fn)(struct wm_instance *i, bool ready));

#endif
