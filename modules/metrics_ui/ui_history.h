/*
 * ui_history.h -- what every flow counted, tick by tick, in a bounded SQLite database: fine for an hour, by the minute for as
 * long as configured, then deleted.  One thread.
 */
#ifndef UI_HISTORY_H
#define UI_HISTORY_H
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "metrics_ui/ui_measure.h"

#define UI_FINE_SECONDS 3600 /* how long single ticks are kept */
#define UI_COARSE 60         /* seconds of a coarse row */

struct ui_history;

struct ui_history_settings {
	const char *path;      /* of the database file; its folder exists */
	uint32_t keep_seconds; /* of coarse rows */
	uint64_t max_bytes;
};

struct ui_history_row {
	int64_t flow, t; /* id; Unix time at which the counted time ended */
	uint32_t seconds; /* how long that was: a tick's or 60 */
	struct ui_measure m;
};

/* A file that is damaged is put aside as <path>.damaged and a new one begun: history is not worth a refusal to start. */
struct ui_history *ui_history_open(const struct ui_history_settings *s, struct ap_error *err);
void ui_history_close(struct ui_history **h);
/* Id of a flow, made when it is new; negative on failure. */
int64_t ui_history_flow(struct ui_history *h, struct ap_slice key, struct ap_error *err);
/* Call fn for each flow that is known. */
int ui_history_flows(
    struct ui_history *h, void (*fn)(void *arg, int64_t id, struct ap_slice key), void *arg, struct ap_error *err);
/* Write one tick that covers (t - seconds, t]: begin, any number of puts, commit. commit also rolls up and deletes. */
int ui_history_begin(struct ui_history *h, int64_t t, uint32_t seconds, struct ap_error *err);
int ui_history_put(struct ui_history *h, int64_t flow, const struct ui_measure *m, struct ap_error *err);
int ui_history_commit(struct ui_history *h, struct ap_error *err);
/*
 * Every row whose time lies in (from, to], coarse ones for whole minutes of the past when `coarse` is asked for and they exist,
 * fine ones for the rest.  flows: ids to read, or NULL for all.  out_covered (may be NULL): seconds of that time that were measured.
 */
int ui_history_read(struct ui_history *h, int64_t from, int64_t to, int coarse, const int64_t *flows, size_t flow_count,
    void (*fn)(void *arg, const struct ui_history_row *row), void *arg, int64_t *out_covered, struct ap_error *err);
/* Seconds measured in (from, to]. */
int64_t ui_history_covered(struct ui_history *h, int64_t from, int64_t to, int coarse);
/* End of the last tick; 0: none. */
int64_t ui_history_last(const struct ui_history *h);
uint64_t ui_history_bytes(struct ui_history *h);

/* What changed in the configuration, for the time line; the newest `limit` (t in ms). */
struct ui_event {
	int64_t t;
	struct ap_slice verb, kind, namespace_, name, summary;
};
int ui_history_add_event(struct ui_history *h, const struct ui_event *e, struct ap_error *err);
int ui_history_events(struct ui_history *h, uint32_t limit, void (*fn)(void *arg, const struct ui_event *e), void *arg,
    struct ap_error *err);

#endif
