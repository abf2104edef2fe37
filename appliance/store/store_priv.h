/* store_priv.h -- the inside of the store, for its own files and tests. */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H
#include <sqlite3.h>

#include "base/buf.h"
#include "store/store.h"

enum store_statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_GET,
	ST_PUT,
	ST_REMOVE,
	ST_HISTORY_ADD,
	ST_META_GET,
	ST_META_PUT,
	ST_EACH,
	ST_EVENTS,
	ST_KEY_HISTORY,
	ST_COMPACT,
	ST_VALUE_GET,
	ST_VALUE_PUT,
	ST_COUNT,
};

struct ap_store {
	uint32_t magic;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[ST_COUNT];
	uint64_t revision, compacted;
	struct ap_buf value; /* what ap_store_value_get lent */
};

extern const char *const ap_store_sql[ST_COUNT];

/* Bring the tables to this program's version. */
int ap_store_migrate(sqlite3 *db, struct ap_error *err);
/* err from SQLite's words; returns a negative code. */
int ap_store_error(sqlite3 *db, const char *what, struct ap_error *err);

#endif
