/* ui_history_priv.h -- the database's inside, shared by reading and writing (ui_history.c) and keeping it small (ui_history_keep.c). */
#ifndef UI_HISTORY_PRIV_H
#define UI_HISTORY_PRIV_H
#include <sqlite3.h>
#include <stdbool.h>

#include "base/buf.h"
#include "metrics_ui/ui_history.h"

#define UI_RES_FINE 0
#define UI_RES_COARSE 1

enum ui_sql {
	UI_SQL_BEGIN,
	UI_SQL_COMMIT,
	UI_SQL_ROLLBACK,
	UI_SQL_FLOW_FIND,
	UI_SQL_FLOW_ADD,
	UI_SQL_FLOWS,
	UI_SQL_PUT,
	UI_SQL_TICK,
	UI_SQL_READ,
	UI_SQL_COVERED,
	UI_SQL_LAST,
	UI_SQL_EXPIRE,
	UI_SQL_EXPIRE_TICKS,
	UI_SQL_FLOW_USED,
	UI_SQL_OLDEST,
	UI_SQL_SIZE,
	UI_SQL_FREE,
	UI_SQL_EVENT_ADD,
	UI_SQL_EVENTS,
	UI_SQL_EXPIRE_EVENTS,
	UI_SQL_COUNT,
};

struct ui_history {
	sqlite3 *db;
	sqlite3_stmt *statements[UI_SQL_COUNT];
	char *path;
	uint32_t keep_seconds;
	uint64_t max_bytes;
	int64_t last;   /* end of the last tick */
	int64_t rolled; /* end of the last coarse row */
	int64_t kept;   /* minute at which old rows were last deleted */
	bool is_writing;
	int64_t writing_t;
	struct ap_buf scratch;
};

int ui_history_failed(struct ui_history *h, const char *what, struct ap_error *err);
/* A statement, reset and without bindings. */
sqlite3_stmt *ui_history_sql(struct ui_history *h, enum ui_sql which);
/* Step once and reset; 0 or -EIO. */
int ui_history_run(struct ui_history *h, sqlite3_stmt *s);
int ui_history_put_row(struct ui_history *h, int res, int64_t flow, int64_t t, const struct ui_measure *m);
/* Inside the tick's transaction: roll up whole minutes, delete what is too old. */
int ui_history_keep(struct ui_history *h, int64_t now, struct ap_error *err);
/* After it: give pages back, and drop the oldest while the file is beyond its bound. */
void ui_history_shrink(struct ui_history *h);

#endif
