/*
 * ui_history_keep.c -- what keeps the history bounded: whole minutes become one coarse row, fine rows live an hour, coarse
 * ones as long as configured, and when the file would pass its size the oldest hour goes first.  Also its events.
 */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "metrics_ui/ui_history_priv.h"

AP_LOG_MODULE(ui_history);

struct ids {
	int64_t *ids;
	size_t count, room;
};

static void
add_id(void *arg, int64_t id, struct ap_slice key)
{
	struct ids *a = arg;

	(void)key;
	if (a->count == a->room) {
		a->room = a->room == 0 ? 64 : a->room * 2;
		a->ids = ap_realloc_array(a->ids, a->room, sizeof(*a->ids));
	}
	a->ids[a->count++] = id;
}

/* One flow's fine rows of (from, to] as one coarse row at `to`. */
static int
roll_flow(struct ui_history *h, int64_t flow, int64_t from, int64_t to)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_READ);
	struct ui_measure sum = { 0 }, m;
	int status;

	sqlite3_bind_int(s, 1, UI_RES_FINE);
	sqlite3_bind_int64(s, 2, flow);
	sqlite3_bind_int64(s, 3, from);
	sqlite3_bind_int64(s, 4, to);
	while ((status = sqlite3_step(s)) == SQLITE_ROW) {
		if (ui_measure_decode(
			ap_slice(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)), &m) < 0)
			continue;
		ui_measure_add(&sum, &m);
		sum.open = m.open;
	}
	sqlite3_reset(s);
	if (status != SQLITE_DONE)
		return -EIO;
	return ui_measure_is_zero(&sum) ? 0 : ui_history_put_row(h, UI_RES_COARSE, flow, to, &sum);
}

static int
roll(struct ui_history *h, const struct ids *flows, int64_t to)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_COVERED);
	int64_t from = to - UI_COARSE, seconds = 0;

	sqlite3_bind_int(s, 1, UI_RES_FINE);
	sqlite3_bind_int64(s, 2, from);
	sqlite3_bind_int64(s, 3, to);
	if (sqlite3_step(s) == SQLITE_ROW)
		seconds = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	if (seconds == 0)
		return 0;
	for (size_t i = 0; i < flows->count; i++)
		if (roll_flow(h, flows->ids[i], from, to) < 0)
			return -EIO;
	s = ui_history_sql(h, UI_SQL_TICK);
	sqlite3_bind_int(s, 1, UI_RES_COARSE);
	sqlite3_bind_int64(s, 2, to);
	sqlite3_bind_int64(s, 3, seconds);
	return ui_history_run(h, s);
}

static int
expire(struct ui_history *h, const struct ids *flows, int res, int64_t before)
{
	sqlite3_stmt *s;

	for (size_t i = 0; i < flows->count; i++) {
		s = ui_history_sql(h, UI_SQL_EXPIRE);
		sqlite3_bind_int(s, 1, res);
		sqlite3_bind_int64(s, 2, flows->ids[i]);
		sqlite3_bind_int64(s, 3, before);
		if (ui_history_run(h, s) < 0)
			return -EIO;
	}
	s = ui_history_sql(h, UI_SQL_EXPIRE_TICKS);
	sqlite3_bind_int(s, 1, res);
	sqlite3_bind_int64(s, 2, before);
	return ui_history_run(h, s);
}

int
ui_history_keep(struct ui_history *h, int64_t now, struct ap_error *err)
{
	int64_t minute = now / UI_COARSE * UI_COARSE, first;
	struct ids flows = { 0 };
	sqlite3_stmt *s;
	int status = 0;

	if (minute <= h->kept)
		return 0;
	if (ui_history_flows(h, add_id, &flows, err) < 0)
		return -EIO;
	/* After a long silence, minutes that nothing was measured in are skipped at once. */
	first = AP_MAX(h->rolled + UI_COARSE, minute - UI_FINE_SECONDS);
	for (int64_t to = first; to <= minute && status == 0; to += UI_COARSE)
		status = roll(h, &flows, to);
	if (status == 0)
		status = expire(h, &flows, UI_RES_FINE, now - UI_FINE_SECONDS);
	if (status == 0)
		status = expire(h, &flows, UI_RES_COARSE, now - h->keep_seconds);
	s = ui_history_sql(h, UI_SQL_EXPIRE_EVENTS);
	sqlite3_bind_int64(s, 1, (now - h->keep_seconds) * 1000);
	if (status == 0)
		status = ui_history_run(h, s);
	ap_free(&flows.ids);
	if (status < 0)
		return ui_history_failed(h, "roll up", err);
	h->rolled = minute;
	h->kept = minute;
	return 0;
}

static uint64_t
ask_size(struct ui_history *h, enum ui_sql which)
{
	sqlite3_stmt *s = ui_history_sql(h, which);
	uint64_t bytes = 0;

	if (sqlite3_step(s) == SQLITE_ROW)
		bytes = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return bytes;
}

uint64_t
ui_history_bytes(struct ui_history *h)
{
	uint64_t all = ask_size(h, UI_SQL_SIZE), unused = ask_size(h, UI_SQL_FREE);

	return all > unused ? all - unused : 0;
}

static int64_t
oldest(struct ui_history *h, int res)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_OLDEST);
	int64_t t = 0;

	sqlite3_bind_int(s, 1, res);
	if (sqlite3_step(s) == SQLITE_ROW)
		t = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return t;
}

void
ui_history_shrink(struct ui_history *h)
{
	struct ids flows = { 0 };

	if (ask_size(h, UI_SQL_SIZE) <= h->max_bytes)
		return;
	if (ui_history_flows(h, add_id, &flows, NULL) == 0) {
		/* A quarter of what is kept goes at a time: the oldest of the coarse rows, then of the fine ones. */
		for (int round = 0; round < 8 && ui_history_bytes(h) > h->max_bytes / 4 * 3; round++) {
			int res = oldest(h, UI_RES_COARSE) > 0 && oldest(h, UI_RES_COARSE) < h->last - UI_FINE_SECONDS ?
			    UI_RES_COARSE :
			    UI_RES_FINE;
			int64_t from = oldest(h, res);

			if (from == 0 || from >= h->last)
				break;
			LOG_DEBUG(NULL, "The history reached %llu bytes; its oldest part is deleted.",
			    (unsigned long long)h->max_bytes);
			if (expire(h, &flows, res, from + (h->last - from) / 4) < 0)
				break;
		}
	}
	sqlite3_exec(h->db, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
	ap_free(&flows.ids);
}

static struct ap_slice
column(sqlite3_stmt *s, int i)
{
	return ap_slice((const char *)sqlite3_column_text(s, i), (size_t)sqlite3_column_bytes(s, i));
}

int
ui_history_add_event(struct ui_history *h, const struct ui_event *e, struct ap_error *err)
{
	const struct ap_slice texts[] = { e->verb, e->kind, e->namespace_, e->name, e->summary };
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_EVENT_ADD);

	sqlite3_bind_int64(s, 1, e->t);
	for (int i = 0; i < 5; i++)
		sqlite3_bind_text(s, i + 2, texts[i].ptr == NULL ? "" : texts[i].ptr, (int)texts[i].len, SQLITE_STATIC);
	return ui_history_run(h, s) < 0 ? ui_history_failed(h, "add an event", err) : 0;
}

int
ui_history_events(struct ui_history *h, uint32_t limit, void (*fn)(void *arg, const struct ui_event *e), void *arg,
    struct ap_error *err)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_EVENTS);
	int status;

	sqlite3_bind_int64(s, 1, limit);
	while ((status = sqlite3_step(s)) == SQLITE_ROW) {
		struct ui_event e = { .t = sqlite3_column_int64(s, 0), .verb = column(s, 1), .kind = column(s, 2),
			.namespace_ = column(s, 3), .name = column(s, 4), .summary = column(s, 5) };

		fn(arg, &e);
	}
	sqlite3_reset(s);
	return status == SQLITE_DONE ? 0 : ui_history_failed(h, "read events", err);
}
