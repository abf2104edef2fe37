/*
 * ui_live.h -- from /metrics texts to what was counted since the last tick, per flow.
 *
 * Glossary: a *tally* remembers the last value of every series of one target, so that it can tell what each scrape adds; a
 * counter that went back (the proxy restarted) adds its whole new value; a target's first scrape is a *baseline* that adds
 * nothing when the proxy was there before us.  A *tick* is one round of scrapes.
 */
#ifndef UI_LIVE_H
#define UI_LIVE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/map.h"
#include "base/slice.h"
#include "metrics_ui/ui_flow.h"
#include "metrics_ui/ui_measure.h"

#define UI_FLOWS_MAX 20000U   /* flows told apart; later ones are counted as dropped */
#define UI_SERIES_MAX 100000U /* per target */

struct ui_live_flow {
	struct ui_flow flow; /* points into key */
	char *key;
	uint32_t key_len;
	int64_t id;             /* of the history; 0: it has none yet */
	struct ui_measure tick; /* since the last tick; its `open` is unused */
	int64_t open;           /* connections open now, over all targets */
};

struct ui_live {
	struct ap_map flows; /* key -> ui_live_flow */
	uint64_t dropped;    /* samples whose flow found no room */
};

struct ui_tally;

void ui_live_done(struct ui_live *live);
/* Find or make; NULL when the table is full or the key is none. */
struct ui_live_flow *ui_live_flow(struct ui_live *live, struct ap_slice key);

/* via: namespace/name of the waypoint that the target is, or empty. counts_first: the target is new, so all that it counted
 * happened before our eyes. */
struct ui_tally *ui_tally_new(struct ap_slice via, bool counts_first);
/* Take what its flows counted as open out of `live`, and free. */
void ui_tally_free(struct ui_tally **t, struct ui_live *live);
/* Read one answer. A broken text is -EINVAL with err filled; what stood before the broken line counts. */
int ui_tally_take(struct ui_tally *t, struct ui_live *live, struct ap_slice text, struct ap_error *err);
/* The target does not answer: its connections are not known to be open any more. */
void ui_tally_lost(struct ui_tally *t, struct ui_live *live);
size_t ui_tally_series(const struct ui_tally *t);

#endif
