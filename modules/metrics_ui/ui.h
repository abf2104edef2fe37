/*
 * ui.h -- the role's state, all of it on its one worker thread: targets and what they counted, the history, what the control
 * plane's objects say, and the server that answers browsers.
 */
#ifndef UI_H
#define UI_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/vec.h"
#include "event/loop.h"
#include "metrics_ui/ui_history.h"
#include "metrics_ui/ui_live.h"
#include "metrics_ui/ui_names.h"

#define UI_MAGIC AP_MAGIC('m', 't', 'u', 'i')

struct ap_appliance;
struct ap_doc;
struct ap_host;
struct ap_schema;
struct ap_worker;
struct ui_objects;
struct ui_server;
struct ui_targets;

/* spec.metricsUi, decoded; texts in the arena. */
struct ui_settings {
	struct ap_arena *arena;
	struct ap_addr listen;
	const struct ap_slice *hosts; /* names under which browsers may ask, besides addresses and localhost */
	uint32_t host_count;
	uint32_t interval; /* seconds */
	uint32_t keep_seconds;
	uint64_t max_bytes;
	struct ap_addr api; /* len 0: none */
	struct ap_slice api_authority;
	const struct ap_doc *targets; /* list, or NULL */
	struct ap_slice trust_domain, cluster_domain;
	struct ap_slice folder;       /* of the database */
};

struct ui_cached {
	struct ap_buf body;
	int status;
};

struct ui {
	uint32_t magic;
	struct ap_host *host;
	struct ap_worker *worker;
	struct ap_loop *loop;
	struct ui_settings *settings;
	struct ui_live live;
	struct ui_history *history;
	struct ui_names *names; /* never NULL while running */
	struct ui_objects *objects;
	struct ui_targets *targets;
	struct ui_server *server;
	AP_VEC(struct ui_live_flow *) by_id; /* index: id of the history */
	int64_t total_flow;                  /* id under which the mesh's sums are kept */
	struct ap_map cache; /* path and query -> ui_cached; empty after each tick and each change of names */
};

extern const struct ap_schema ui_schema;

/* ui_config.c. NULL with err filled. */
struct ui_settings *ui_settings_new(const struct ap_appliance *a, struct ap_error *err);
void ui_settings_free(struct ui_settings **s);

/* ui_store.c: the border between what is live and what is kept. */
int ui_store_open(struct ui *ui, struct ap_error *err);
void ui_store_close(struct ui *ui);
/* A round of scrapes is over: what it counted becomes a tick that ends at t (Unix seconds). */
void ui_store_tick(struct ui *ui, int64_t t, uint32_t seconds);
void ui_store_forget_answers(struct ui *ui);

/* ui_targets.c */
int ui_targets_start(struct ui *ui, struct ap_error *err);
void ui_targets_stop(struct ui *ui);
/* Learn targets from the control plane's Host objects. */
void ui_targets_sync(struct ui *ui);
void ui_targets_count(const struct ui *ui, uint32_t *out_up, uint32_t *out_total);
void ui_targets_json(const struct ui *ui, struct ap_buf *out);
/* Waypoints among the targets, for names. */
void ui_targets_name(const struct ui *ui, struct ui_names *names);

/* ui_objects.c */
void ui_objects_start(struct ui *ui);
void ui_objects_stop(struct ui *ui);
/* Objects of one kind; NULL when it is not watched. */
const struct ap_map *ui_objects_of(const struct ui *ui, const char *kind); /* namespace/name -> ui_object */
bool ui_objects_connected(const struct ui *ui, const char **out_message);
/* The hosts that were there when we came are targets by now: what comes later is new. */
bool ui_objects_known(const struct ui *ui);
struct ui_object {
	struct ap_arena *arena;
	struct ap_doc *doc;
};
/* ui_names_build.c */
struct ui_names *ui_names_build(const struct ui *ui);

/* ui_api.c: an answer's status, its JSON into out. path without "/api/". */
int ui_api_answer(struct ui *ui, struct ap_slice path, struct ap_slice query, struct ap_buf *out);

/* ui_http.c */
int ui_http_start(struct ui *ui, struct ap_error *err);
void ui_http_stop(struct ui *ui);

#endif
