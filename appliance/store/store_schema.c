/* store_schema.c -- the store's tables, as migrations numbered from 1, and every statement that is run on them. */
#include <errno.h>
#include <stdio.h>

#include "store/store_priv.h"

static const char *const migrations[] = {
	/* 1 */
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE value (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE resource ("
	"  key TEXT PRIMARY KEY, revision INTEGER NOT NULL, created INTEGER NOT NULL, value TEXT NOT NULL"
	") STRICT, WITHOUT ROWID;"
	/* before: revision of the value that this change replaced; 0: there was none */
	"CREATE TABLE history ("
	"  revision INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, key TEXT NOT NULL, removed INTEGER NOT NULL,"
	"  before INTEGER NOT NULL, value TEXT NOT NULL"
	") STRICT;"
	"CREATE INDEX history_key ON history (key, revision);"
	"INSERT INTO meta VALUES ('revision', 0), ('compacted', 0);",
};

const char *const ap_store_sql[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_GET] = "SELECT revision, created, value FROM resource WHERE key = ?1",
	[ST_PUT] = "INSERT INTO resource (key, revision, created, value) VALUES (?1, ?2, ?3, ?4)"
		   " ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value",
	[ST_REMOVE] = "DELETE FROM resource WHERE key = ?1",
	[ST_HISTORY_ADD] = "INSERT INTO history (revision, at_ms, key, removed, before, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[ST_META_GET] = "SELECT value FROM meta WHERE name = ?1",
	[ST_META_PUT] = "UPDATE meta SET value = ?2 WHERE name = ?1",
	[ST_EACH] = "SELECT key, value, revision, created FROM resource ORDER BY key",
	[ST_EVENTS] = "SELECT h.revision, h.at_ms, h.key, h.removed, h.before, h.value, b.value FROM history h"
		      " LEFT JOIN history b ON b.revision = h.before WHERE h.revision > ?1 ORDER BY h.revision LIMIT ?2",
	[ST_KEY_HISTORY] = "SELECT h.revision, h.at_ms, h.key, h.removed, h.before, h.value, b.value FROM history h"
			   " LEFT JOIN history b ON b.revision = h.before WHERE h.key = ?1 ORDER BY h.revision DESC LIMIT ?2",
	[ST_COMPACT] = "DELETE FROM history WHERE revision <= ?1",
	[ST_VALUE_GET] = "SELECT value FROM value WHERE name = ?1",
	[ST_VALUE_PUT] = "INSERT INTO value (name, value) VALUES (?1, ?2)"
			 " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
};

static int
read_version(sqlite3 *db, int *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL);

	if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		*out = sqlite3_column_int(st, 0);
	else
		rc = SQLITE_ERROR;
	sqlite3_finalize(st);
	return rc;
}

int
ap_store_migrate(sqlite3 *db, struct ap_error *err)
{
	int version = 0;
	char bump[64];

	if (read_version(db, &version) != SQLITE_OK)
		return ap_store_error(db, "read the version of", err);
	if (version > (int)AP_COUNTOF(migrations))
		return ap_error_set(err, -EPROTO, "the store is of version %d, written by a later ambit; this one knows up to %d",
		    version, (int)AP_COUNTOF(migrations));
	for (int i = version; i < (int)AP_COUNTOF(migrations); i++) {
		snprintf(bump, sizeof(bump), "PRAGMA user_version = %d", i + 1);
		if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, migrations[i], NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, bump, NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
			int rc = ap_store_error(db, "bring up to date", err);

			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return rc;
		}
	}
	return 0;
}
