/*
 * ui_history.c -- the database: opening, writing ticks, reading spans.  Rows lie by (resolution, flow, time), so that one
 * flow's past is one stretch of the file.  What keeps it bounded is in ui_history_keep.c.
 */
#include "metrics_ui/ui_history.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "metrics_ui/ui_history_priv.h"

AP_LOG_MODULE(ui_history);

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS flow (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE IF NOT EXISTS sample (res INTEGER NOT NULL, flow INTEGER NOT NULL, t INTEGER NOT NULL, m BLOB NOT NULL,"
    " PRIMARY KEY (res, flow, t)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS tick (res INTEGER NOT NULL, t INTEGER NOT NULL, seconds INTEGER NOT NULL,"
    " PRIMARY KEY (res, t)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, t INTEGER NOT NULL, verb TEXT NOT NULL, kind TEXT NOT NULL,"
    " namespace TEXT NOT NULL, name TEXT NOT NULL, summary TEXT NOT NULL) STRICT;"
    "PRAGMA user_version = 1;";

static const char *const statements[UI_SQL_COUNT] = {
	[UI_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[UI_SQL_COMMIT] = "COMMIT",
	[UI_SQL_ROLLBACK] = "ROLLBACK",
	[UI_SQL_FLOW_FIND] = "SELECT id FROM flow WHERE key = ?1",
	[UI_SQL_FLOW_ADD] = "INSERT INTO flow (key) VALUES (?1)",
	[UI_SQL_FLOWS] = "SELECT id, key FROM flow",
	[UI_SQL_PUT] = "INSERT OR REPLACE INTO sample (res, flow, t, m) VALUES (?1, ?2, ?3, ?4)",
	[UI_SQL_TICK] = "INSERT OR REPLACE INTO tick (res, t, seconds) VALUES (?1, ?2, ?3)",
	[UI_SQL_READ] = "SELECT t, m FROM sample WHERE res = ?1 AND flow = ?2 AND t > ?3 AND t <= ?4 ORDER BY t",
	[UI_SQL_COVERED] = "SELECT coalesce(sum(seconds), 0), coalesce(max(t), 0) FROM tick WHERE res = ?1 AND t > ?2 AND t <= ?3",
	[UI_SQL_LAST] = "SELECT coalesce(max(t), 0) FROM tick WHERE res = ?1",
	[UI_SQL_EXPIRE] = "DELETE FROM sample WHERE res = ?1 AND flow = ?2 AND t <= ?3",
	[UI_SQL_EXPIRE_TICKS] = "DELETE FROM tick WHERE res = ?1 AND t <= ?2",
	[UI_SQL_FLOW_USED] = "SELECT 1 FROM sample WHERE flow = ?2 AND res = ?1 LIMIT 1",
	[UI_SQL_OLDEST] = "SELECT coalesce(min(t), 0) FROM tick WHERE res = ?1",
	[UI_SQL_SIZE] = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
	[UI_SQL_FREE] = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size",
	[UI_SQL_EVENT_ADD] = "INSERT INTO event (t, verb, kind, namespace, name, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[UI_SQL_EVENTS] = "SELECT t, verb, kind, namespace, name, summary FROM event ORDER BY id DESC LIMIT ?1",
	[UI_SQL_EXPIRE_EVENTS] = "DELETE FROM event WHERE t < ?1 OR id <= (SELECT max(id) - 5000 FROM event)",
};

int
ui_history_failed(struct ui_history *h, const char *what, struct ap_error *err)
{
	return ap_error_set(err, -EIO, "history %s: %s: %s", h->path, what, sqlite3_errmsg(h->db));
}

sqlite3_stmt *
ui_history_sql(struct ui_history *h, enum ui_sql which)
{
	sqlite3_reset(h->statements[which]);
	sqlite3_clear_bindings(h->statements[which]);
	return h->statements[which];
}

int
ui_history_run(struct ui_history *h, sqlite3_stmt *s)
{
	int status = sqlite3_step(s);

	(void)h;
	sqlite3_reset(s);
	return status == SQLITE_DONE || status == SQLITE_ROW ? 0 : -EIO;
}

static int
open_file(struct ui_history *h, struct ap_error *err)
{
	static const char *const pragmas[] = { "PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = NORMAL", "PRAGMA trusted_schema = OFF", "PRAGMA temp_store = MEMORY",
		"PRAGMA journal_size_limit = 4194304" };

	if (sqlite3_open_v2(h->path, &h->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return ui_history_failed(h, "open", err);
	sqlite3_busy_timeout(h->db, 2000);
	for (size_t i = 0; i < AP_COUNTOF(pragmas); i++)
		if (sqlite3_exec(h->db, pragmas[i], NULL, NULL, NULL) != SQLITE_OK)
			return ui_history_failed(h, pragmas[i], err);
	if (sqlite3_exec(h->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return ui_history_failed(h, "make the tables", err);
	for (size_t i = 0; i < UI_SQL_COUNT; i++)
		if (sqlite3_prepare_v3(h->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &h->statements[i], NULL) != SQLITE_OK)
			return ui_history_failed(h, statements[i], err);
	return 0;
}

static void
close_file(struct ui_history *h)
{
	for (size_t i = 0; i < UI_SQL_COUNT; i++) {
		sqlite3_finalize(h->statements[i]);
		h->statements[i] = NULL;
	}
	sqlite3_close(h->db);
	h->db = NULL;
}

/* The damaged file stays for whoever wants to look; its write-ahead log goes with it. */
static int
put_aside(struct ui_history *h, struct ap_error *err)
{
	static const char *const tails[] = { "", "-wal", "-shm" };
	int status = 0;

	for (size_t i = 0; i < AP_COUNTOF(tails); i++) {
		char *from = ap_asprintf("%s%s", h->path, tails[i]), *to = ap_asprintf("%s.damaged%s", h->path, tails[i]);

		if (rename(from, to) < 0 && errno != ENOENT)
			status = ap_error_set(err, -errno, "history %s cannot be put aside: %s", from, strerror(errno));
		ap_free(&from);
		ap_free(&to);
	}
	return status;
}

struct ui_history *
ui_history_open(const struct ui_history_settings *s, struct ap_error *err)
{
	struct ui_history *h = ap_new(struct ui_history);
	sqlite3_stmt *last;

	h->path = ap_strdup(s->path);
	h->keep_seconds = s->keep_seconds;
	h->max_bytes = s->max_bytes;
	if (open_file(h, err) < 0) {
		int code = h->db == NULL ? SQLITE_ERROR : sqlite3_errcode(h->db);

		close_file(h);
		if (code != SQLITE_CORRUPT && code != SQLITE_NOTADB) {
			ui_history_close(&h);
			return NULL;
		}
		LOG_WARN(NULL, "%s; it is put aside and a new one begun.", err == NULL ? s->path : err->text);
		if (put_aside(h, err) < 0 || open_file(h, err) < 0) {
			ui_history_close(&h);
			return NULL;
		}
	}
	last = ui_history_sql(h, UI_SQL_LAST);
	sqlite3_bind_int(last, 1, UI_RES_FINE);
	if (sqlite3_step(last) == SQLITE_ROW)
		h->last = sqlite3_column_int64(last, 0);
	sqlite3_reset(last);
	last = ui_history_sql(h, UI_SQL_LAST);
	sqlite3_bind_int(last, 1, UI_RES_COARSE);
	if (sqlite3_step(last) == SQLITE_ROW)
		h->rolled = sqlite3_column_int64(last, 0);
	sqlite3_reset(last);
	ap_buf_init(&h->scratch, 4096);
	return h;
}

void
ui_history_close(struct ui_history **history)
{
	struct ui_history *h = *history;

	if (h == NULL)
		return;
	close_file(h);
	ap_buf_done(&h->scratch);
	ap_free(&h->path);
	ap_free(history);
}

int64_t
ui_history_flow(struct ui_history *h, struct ap_slice key, struct ap_error *err)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_FLOW_FIND);
	int64_t id = 0;

	sqlite3_bind_blob64(s, 1, key.ptr, key.len, SQLITE_STATIC);
	if (sqlite3_step(s) == SQLITE_ROW)
		id = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	if (id != 0)
		return id;
	s = ui_history_sql(h, UI_SQL_FLOW_ADD);
	sqlite3_bind_blob64(s, 1, key.ptr, key.len, SQLITE_STATIC);
	if (ui_history_run(h, s) < 0)
		return ui_history_failed(h, "add a flow", err);
	return sqlite3_last_insert_rowid(h->db);
}

int
ui_history_flows(
    struct ui_history *h, void (*fn)(void *arg, int64_t id, struct ap_slice key), void *arg, struct ap_error *err)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_FLOWS);
	int status;

	while ((status = sqlite3_step(s)) == SQLITE_ROW)
		fn(arg, sqlite3_column_int64(s, 0),
		    ap_slice(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)));
	sqlite3_reset(s);
	return status == SQLITE_DONE ? 0 : ui_history_failed(h, "read flows", err);
}

int
ui_history_begin(struct ui_history *h, int64_t t, uint32_t seconds, struct ap_error *err)
{
	sqlite3_stmt *s;

	if (ui_history_run(h, ui_history_sql(h, UI_SQL_BEGIN)) < 0)
		return ui_history_failed(h, "begin", err);
	h->is_writing = true;
	h->writing_t = t;
	s = ui_history_sql(h, UI_SQL_TICK);
	sqlite3_bind_int(s, 1, UI_RES_FINE);
	sqlite3_bind_int64(s, 2, t);
	sqlite3_bind_int64(s, 3, seconds);
	if (ui_history_run(h, s) < 0)
		return ui_history_failed(h, "write a tick", err);
	return 0;
}

int
ui_history_put_row(struct ui_history *h, int res, int64_t flow, int64_t t, const struct ui_measure *m)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_PUT);

	ap_buf_clear(&h->scratch);
	ui_measure_encode(m, &h->scratch);
	sqlite3_bind_int(s, 1, res);
	sqlite3_bind_int64(s, 2, flow);
	sqlite3_bind_int64(s, 3, t);
	sqlite3_bind_blob64(s, 4, h->scratch.ptr, h->scratch.len, SQLITE_STATIC);
	return ui_history_run(h, s);
}

int
ui_history_put(struct ui_history *h, int64_t flow, const struct ui_measure *m, struct ap_error *err)
{
	if (ui_history_put_row(h, UI_RES_FINE, flow, h->writing_t, m) < 0)
		return ui_history_failed(h, "write", err);
	return 0;
}

int
ui_history_commit(struct ui_history *h, struct ap_error *err)
{
	int status = 0;

	if (!h->is_writing)
		return 0;
	h->is_writing = false;
	if (ui_history_keep(h, h->writing_t, err) < 0)
		status = -EIO;
	if (status == 0 && ui_history_run(h, ui_history_sql(h, UI_SQL_COMMIT)) < 0)
		status = ui_history_failed(h, "commit", err);
	if (status < 0) {
		ui_history_run(h, ui_history_sql(h, UI_SQL_ROLLBACK));
		return status;
	}
	h->last = AP_MAX(h->last, h->writing_t);
	ui_history_shrink(h);
	return 0;
}

struct reading {
	struct ui_history *h;
	int64_t from, to;
	int res;
	void (*fn)(void *arg, const struct ui_history_row *row);
	void *arg;
};

static int
read_flow(struct reading *r, int64_t flow)
{
	sqlite3_stmt *s = ui_history_sql(r->h, UI_SQL_READ);
	struct ui_history_row row = { .flow = flow };
	int status;

	sqlite3_bind_int(s, 1, r->res);
	sqlite3_bind_int64(s, 2, flow);
	sqlite3_bind_int64(s, 3, r->from);
	sqlite3_bind_int64(s, 4, r->to);
	while ((status = sqlite3_step(s)) == SQLITE_ROW) {
		row.t = sqlite3_column_int64(s, 0);
		row.seconds = r->res == UI_RES_COARSE ? UI_COARSE : 0;
		/* A row of a later version is skipped, not fatal. */
		if (ui_measure_decode(
			ap_slice(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)), &row.m) == 0)
			r->fn(r->arg, &row);
	}
	sqlite3_reset(s);
	return status == SQLITE_DONE ? 0 : -EIO;
}

struct all {
	int64_t *ids;
	size_t count, room;
};

static void
add_id(void *arg, int64_t id, struct ap_slice key)
{
	struct all *a = arg;

	(void)key;
	if (a->count == a->room) {
		a->room = a->room == 0 ? 64 : a->room * 2;
		a->ids = ap_realloc_array(a->ids, a->room, sizeof(*a->ids));
	}
	a->ids[a->count++] = id;
}

static int64_t
covered(struct ui_history *h, int res, int64_t from, int64_t to)
{
	sqlite3_stmt *s = ui_history_sql(h, UI_SQL_COVERED);
	int64_t seconds = 0;

	sqlite3_bind_int(s, 1, res);
	sqlite3_bind_int64(s, 2, from);
	sqlite3_bind_int64(s, 3, to);
	if (sqlite3_step(s) == SQLITE_ROW)
		seconds = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return seconds;
}

/* Where coarse rows end and fine ones begin in (from, to]. */
static int64_t
border(const struct ui_history *h, int64_t from, int64_t to, int coarse)
{
	int64_t fine_from = h->last - UI_FINE_SECONDS;

	if (coarse)
		return AP_MAX(from, AP_MIN(to, h->rolled));
	return from >= fine_from ? from : AP_MIN(to, AP_MIN(h->rolled, fine_from / UI_COARSE * UI_COARSE + UI_COARSE));
}

int64_t
ui_history_covered(struct ui_history *h, int64_t from, int64_t to, int coarse)
{
	int64_t at = border(h, from, to, coarse);

	return (at > from ? covered(h, UI_RES_COARSE, from, at) : 0) + (to > at ? covered(h, UI_RES_FINE, at, to) : 0);
}

int
ui_history_read(struct ui_history *h, int64_t from, int64_t to, int coarse, const int64_t *flows, size_t flow_count,
    void (*fn)(void *arg, const struct ui_history_row *row), void *arg, int64_t *out_covered, struct ap_error *err)
{
	int64_t at = border(h, from, to, coarse);
	struct reading old = { .h = h, .from = from, .to = at, .res = UI_RES_COARSE, .fn = fn, .arg = arg };
	struct reading new = { .h = h, .from = at, .to = to, .res = UI_RES_FINE, .fn = fn, .arg = arg };
	struct all all = { 0 };
	int status = 0;

	if (flows == NULL) {
		status = ui_history_flows(h, add_id, &all, err);
		flows = all.ids;
		flow_count = all.count;
	}
	for (size_t i = 0; i < flow_count && status == 0; i++) {
		if (at > from)
			status = read_flow(&old, flows[i]);
		if (status == 0 && to > at)
			status = read_flow(&new, flows[i]);
		if (status < 0)
			ui_history_failed(h, "read", err);
	}
	if (out_covered != NULL && status == 0)
		*out_covered = (at > from ? covered(h, UI_RES_COARSE, from, at) : 0) +
		    (to > at ? covered(h, UI_RES_FINE, at, to) : 0);
	ap_free(&all.ids);
	return status;
}

int64_t
ui_history_last(const struct ui_history *h)
{
	return h->last;
}
