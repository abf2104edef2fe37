/*
 * wm.h -- the waypoint manager: watches the resources, deduces which waypoints are needed, runs a process for each, and tells the
 * mesh when one is ready.  Everything here belongs to the role's one worker thread.
 *
 * Glossary: the *world* is the set of resources as the API shows it; a *need* is one waypoint that should be (state/waypoint_need.h);
 * an *instance* is one that is: a process with a port, from its start to its end.
 */
#ifndef WAYPOINT_MANAGER_WM_H
#define WAYPOINT_MANAGER_WM_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/map.h"
#include "event/loop.h"
#include "event/worker.h"
#include "model/appliance.h"
#include "model/resource.h"

struct wm_client;
struct wm_world;

struct wm_settings {
	struct ap_config *config; /* counted; slices below live in it */
	const struct ap_appliance *appliance;
	struct ap_slice address; /* where its waypoints are reached */
	uint16_t first_port;
	uint16_t port_count;
	uint64_t drain_ms; /* between the end of a need and SIGTERM, and again until SIGKILL */
	char folder[256];  /* <state_dir>/waypoint-manager */
	char api[256];     /* "unix:<run_dir>/api.sock" */
	char self[512];    /* the binary that waypoints run */
};

struct wm {
	struct wm_settings settings;
	struct ap_worker *worker;
	struct ap_loop *loop;
	struct wm_client *client;
	struct wm_world *world;
	struct ap_map instances; /* "namespace/name" -> struct wm_instance * */
	struct ap_timer settle;  /* gathers changes for a moment, then reconciles */
	struct ap_timer tick;    /* probes, back-offs, deadlines */
	bool is_stopping;
};

/* wm_reconcile.c: compare needs and instances, act. Called when the world or an instance changed. */
void wm_touch(struct wm *m);
void wm_reconcile(struct wm *m);

#endif
