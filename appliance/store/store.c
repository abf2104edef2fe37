/*
 * store.c -- the store on SQLite: WAL, every commit synced, strict tables.
 *
 * One connection, used by one thread, so there is nothing to lock; statements are prepared once.  A change goes into
 * `resource` (what is) and `history` (what was) in one transaction with the revision, so after a power cut both agree or
 * neither has it.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_priv.h"

#define STORE_MAGIC AP_MAGIC('s', 't', 'o', 'r')
#define VALUE_MAX ((size_t)16 * 1024 * 1024)

int
ap_store_error(sqlite3 *db, const char *what, struct ap_error *err)
{
	int code = db == NULL ? SQLITE_NOMEM : sqlite3_extended_errcode(db), negative = -EIO;

	if ((code & 0xff) == SQLITE_FULL)
		negative = -ENOSPC;
	else if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED)
		negative = -EBUSY;
	else if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		negative = -EBADMSG;
	return ap_error_set(err, negative, "could not %s the store: %s", what, db == NULL ? "no memory" : sqlite3_errmsg(db));
}

/* -- statements -- */

static sqlite3_stmt *
statement(struct ap_store *s, enum store_statement which)
{
	sqlite3_stmt *st = s->statements[which];

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return st;
}

static void
bind_text(sqlite3_stmt *st, int at, struct ap_slice text)
{
	sqlite3_bind_text64(st, at, text.ptr == NULL ? "" : text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static void
bind_u64(sqlite3_stmt *st, int at, uint64_t v)
{
	sqlite3_bind_int64(st, at, (sqlite3_int64)v);
}

static struct ap_slice
column_slice(sqlite3_stmt *st, int at)
{
	const void *bytes = sqlite3_column_blob(st, at);

	return ap_slice(bytes, (size_t)sqlite3_column_bytes(st, at));
}

static uint64_t
column_u64(sqlite3_stmt *st, int at)
{
	return (uint64_t)sqlite3_column_int64(st, at);
}

static bool
run(struct ap_store *s, enum store_statement which)
{
	sqlite3_stmt *st = s->statements[which];
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

/* -- open and close -- */

static int
read_meta(struct ap_store *s, const char *name, uint64_t *out, struct ap_error *err)
{
	sqlite3_stmt *st = statement(s, ST_META_GET);

	bind_text(st, 1, ap_slice_of(name));
	if (sqlite3_step(st) != SQLITE_ROW) {
		sqlite3_reset(st);
		return ap_store_error(s->db, "read", err);
	}
	*out = column_u64(st, 0);
	sqlite3_reset(st);
	return 0;
}

static int
check_whole(struct ap_store *s, struct ap_error *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;

	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK)
		return ap_store_error(s->db, "check", err);
	if (sqlite3_step(st) != SQLITE_ROW)
		rc = ap_store_error(s->db, "check", err);
	else if (!ap_slice_eq(column_slice(st, 0), AP_S("ok")))
		rc = ap_error_set(err, -EBADMSG, "the store is damaged: %.*s; restore it from a backup", AP_FMT(column_slice(st, 0)));
	sqlite3_finalize(st);
	return rc;
}

static int
prepare(struct ap_store *s, struct ap_error *err)
{
	/* The rest of the world does not decide what our statements mean, and a commit is on the disk when it says so. */
	static const char settings[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF;"
				       "PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;";
	int rc;

	sqlite3_busy_timeout(s->db, 2000);
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (sqlite3_exec(s->db, settings, NULL, NULL, NULL) != SQLITE_OK)
		return ap_store_error(s->db, "open", err);
	if ((rc = check_whole(s, err)) != 0 || (rc = ap_store_migrate(s->db, err)) != 0)
		return rc;
	for (int i = 0; i < ST_COUNT; i++)
		if (sqlite3_prepare_v3(s->db, ap_store_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL) !=
		    SQLITE_OK)
			return ap_store_error(s->db, "prepare", err);
	if ((rc = read_meta(s, "revision", &s->revision, err)) != 0)
		return rc;
	return read_meta(s, "compacted", &s->compacted, err);
}

struct ap_store *
ap_store_open(const char *path, struct ap_error *err)
{
	struct ap_store *s = ap_new(struct ap_store);
	int rc, fd;

	s->magic = STORE_MAGIC;
	s->path = ap_strdup(path);
	ap_buf_init(&s->value, VALUE_MAX);
	/* Made before SQLite would: its two companions get the mode of the first, and none is anybody else's business. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		rc = ap_store_error(s->db, "open", err);
	else
		rc = prepare(s, err);
	if (rc == 0)
		return s;
	ap_error_wrap(err, "%s", path);
	ap_store_close(&s);
	return NULL;
}

void
ap_store_close(struct ap_store **store)
{
	struct ap_store *s = *store;

	*store = NULL;
	if (s == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->db);
	ap_buf_done(&s->value);
	ap_free(&s->path);
	ap_free(&s);
}

uint64_t
ap_store_revision(const struct ap_store *store)
{
	return store->revision;
}

uint64_t
ap_store_compacted(const struct ap_store *store)
{
	return store->compacted;
}

/* -- reading -- */

int
ap_store_each(
    struct ap_store *s, int (*fn)(const struct ap_store_row *row, void *arg), void *arg, struct ap_error *err)
{
	sqlite3_stmt *st = statement(s, ST_EACH);
	int rc, out = 0;

	AP_IS(s, STORE_MAGIC);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct ap_store_row row = { .key = column_slice(st, 0),
			.value = column_slice(st, 1),
			.revision = column_u64(st, 2),
			.created = column_u64(st, 3) };

		if ((out = fn(&row, arg)) != 0)
			break;
	}
	sqlite3_reset(st);
	if (out == 0 && rc != SQLITE_DONE)
		return ap_store_error(s->db, "read", err);
	return out;
}

static int
walk_events(struct ap_store *s, sqlite3_stmt *st, int (*fn)(const struct ap_store_event *event, void *arg), void *arg,
    struct ap_error *err)
{
	int rc, out = 0;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct ap_store_event e = { .revision = column_u64(st, 0),
			.at_ms = sqlite3_column_int64(st, 1),
			.key = column_slice(st, 2),
			.removed = sqlite3_column_int(st, 3) != 0,
			.created = sqlite3_column_int64(st, 4) == 0,
			.value = column_slice(st, 5),
			.before = column_slice(st, 6) };

		if ((out = fn(&e, arg)) != 0)
			break;
	}
	sqlite3_reset(st);
	if (out == 0 && rc != SQLITE_DONE)
		return ap_store_error(s->db, "read", err);
	return out;
}

int
ap_store_events(struct ap_store *s, uint64_t since, size_t limit,
    int (*fn)(const struct ap_store_event *event, void *arg), void *arg, struct ap_error *err)
{
	sqlite3_stmt *st = statement(s, ST_EVENTS);

	AP_IS(s, STORE_MAGIC);
	if (since < s->compacted)
		return ap_error_set(err, -ESTALE, "history before revision %llu is gone", (unsigned long long)s->compacted + 1);
	bind_u64(st, 1, since);
	bind_u64(st, 2, limit);
	return walk_events(s, st, fn, arg, err);
}

int
ap_store_history(struct ap_store *s, struct ap_slice key, size_t limit,
    int (*fn)(const struct ap_store_event *event, void *arg), void *arg, struct ap_error *err)
{
	sqlite3_stmt *st = statement(s, ST_KEY_HISTORY);

	AP_IS(s, STORE_MAGIC);
	bind_text(st, 1, key);
	bind_u64(st, 2, limit);
	return walk_events(s, st, fn, arg, err);
}

/* -- writing -- */

/* What the key has now: *before is its revision, 0 when it is not there. */
static int
read_current(struct ap_store *s, struct ap_slice key, uint64_t *before, uint64_t *created, struct ap_buf *value,
    struct ap_error *err)
{
	sqlite3_stmt *st = statement(s, ST_GET);
	int rc;

	bind_text(st, 1, key);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*before = column_u64(st, 0);
		*created = column_u64(st, 1);
		ap_buf_add_slice(value, column_slice(st, 2));
	}
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ap_store_error(s->db, "read", err);
}

/* One change at a revision, within a transaction. */
static int
write_change(struct ap_store *s, const struct ap_store_change *c, uint64_t revision, struct ap_error *err)
{
	uint64_t before = 0, created = revision;
	sqlite3_stmt *st;
	struct ap_buf last;
	int rc;

	ap_buf_init(&last, VALUE_MAX);
	if ((rc = read_current(s, c->key, &before, &created, &last, err)) != 0)
		goto done;
	if (c->remove && before == 0) {
		rc = ap_error_set(err, -ENOENT, "there is no %.*s in the store", AP_FMT(c->key));
		goto done;
	}
	st = statement(s, c->remove ? ST_REMOVE : ST_PUT);
	bind_text(st, 1, c->key);
	if (!c->remove) {
		bind_u64(st, 2, revision);
		bind_u64(st, 3, created);
		bind_text(st, 4, c->value);
	}
	if (!run(s, c->remove ? ST_REMOVE : ST_PUT)) {
		rc = ap_store_error(s->db, "write to", err);
		goto done;
	}
	st = statement(s, ST_HISTORY_ADD);
	bind_u64(st, 1, revision);
	sqlite3_bind_int64(st, 2, ap_clock_wall_ms());
	bind_text(st, 3, c->key);
	sqlite3_bind_int(st, 4, c->remove);
	bind_u64(st, 5, before);
	bind_text(st, 6, c->remove ? ap_buf_slice(&last) : c->value);
	if (!run(s, ST_HISTORY_ADD))
		rc = ap_store_error(s->db, "write to", err);
	sqlite3_clear_bindings(st); /* they point into what goes away now */
done:
	ap_buf_done(&last);
	return rc;
}

static bool
put_meta(struct ap_store *s, const char *name, uint64_t v)
{
	sqlite3_stmt *st = statement(s, ST_META_PUT);

	bind_text(st, 1, ap_slice_of(name));
	bind_u64(st, 2, v);
	return run(s, ST_META_PUT);
}

int
ap_store_apply(struct ap_store *s, const struct ap_store_change *changes, size_t count, uint64_t *out_first,
    struct ap_error *err)
{
	uint64_t revision = s->revision;
	int rc = 0;

	AP_IS(s, STORE_MAGIC);
	*out_first = revision + 1;
	if (count == 0)
		return 0;
	if (!run(s, ST_BEGIN))
		return ap_store_error(s->db, "write to", err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = write_change(s, &changes[i], ++revision, err);
	if (rc == 0 && !put_meta(s, "revision", revision))
		rc = ap_store_error(s->db, "write to", err);
	if (rc == 0 && !run(s, ST_COMMIT))
		rc = ap_store_error(s->db, "commit to", err);
	if (rc != 0) {
		run(s, ST_ROLLBACK);
		return rc;
	}
	s->revision = revision;
	return 0;
}

int
ap_store_compact(struct ap_store *s, uint64_t keep, struct ap_error *err)
{
	uint64_t upto = s->revision > keep ? s->revision - keep : 0;
	sqlite3_stmt *st;
	int rc = 0;

	AP_IS(s, STORE_MAGIC);
	if (upto <= s->compacted)
		return 0;
	if (!run(s, ST_BEGIN))
		return ap_store_error(s->db, "compact", err);
	st = statement(s, ST_COMPACT);
	bind_u64(st, 1, upto);
	if (!run(s, ST_COMPACT) || !put_meta(s, "compacted", upto) || !run(s, ST_COMMIT))
		rc = ap_store_error(s->db, "compact", err);
	if (rc != 0)
		run(s, ST_ROLLBACK);
	else
		s->compacted = upto;
	return rc;
}

bool
ap_store_value_get(struct ap_store *s, const char *name, struct ap_slice *out)
{
	sqlite3_stmt *st = statement(s, ST_VALUE_GET);
	bool found;

	AP_IS(s, STORE_MAGIC);
	bind_text(st, 1, ap_slice_of(name));
	found = sqlite3_step(st) == SQLITE_ROW;
	if (found) {
		ap_buf_clear(&s->value);
		ap_buf_add_slice(&s->value, column_slice(st, 0));
		*out = ap_buf_slice(&s->value);
	}
	sqlite3_reset(st);
	return found;
}

int
ap_store_value_put(struct ap_store *s, const char *name, struct ap_slice value, struct ap_error *err)
{
	sqlite3_stmt *st = statement(s, ST_VALUE_PUT);

	AP_IS(s, STORE_MAGIC);
	bind_text(st, 1, ap_slice_of(name));
	sqlite3_bind_blob64(st, 2, value.ptr == NULL ? "" : value.ptr, value.len, SQLITE_STATIC);
	return run(s, ST_VALUE_PUT) ? 0 : ap_store_error(s->db, "write to", err);
}
