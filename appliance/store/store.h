/*
 * store.h -- keys, values and revisions that survive a restart: what the control plane keeps, as etcd would keep it.
 *
 * Glossary: every change has a *revision*, one more than the last; a key's value has the revision that wrote it and the one that
 * *created* it; *history* holds the changes of the past until *compaction* takes the older ones away.  Values are text
 * that the store does not look into.
 *
 * One thread (each call blocks until the disk has what it was told to keep).  The interface asks for no more than etcd
 * offers, so that another store can stand behind it.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

struct ap_store;

struct ap_store_row {
	struct ap_slice key, value;
	uint64_t revision, created;
};

struct ap_store_change {
	struct ap_slice key, value; /* value is empty when the key is removed */
	bool remove;
};

struct ap_store_event {
	uint64_t revision;
	int64_t at_ms; /* Unix time */
	struct ap_slice key;
	struct ap_slice value;  /* as written; of a removal: as it was last */
	struct ap_slice before; /* as it was; empty: it was not there, or nobody knows any more */
	bool removed, created;
};

AP_PUBLIC_BEGIN
/* Open or make the database. One that is corrupt or of a later version is refused. NULL with err. */
struct ap_store *ap_store_open(const char *path, struct ap_error *err);
void ap_store_close(struct ap_store **store);
/* Of the last change; 0: there was none. */
uint64_t ap_store_revision(const struct ap_store *store);
/* History up to and with this revision is gone. */
uint64_t ap_store_compacted(const struct ap_store *store);

/* Every key, in order. fn returns 0 to go on; another value ends the walk and is returned. */
int ap_store_each(struct ap_store *store, int (*fn)(const struct ap_store_row *row, void *arg), void *arg,
    struct ap_error *err);
/*
 * Make all changes or none.  The first gets revision *out_first, the next one more, and so on.  0 means that they are on
 * the disk.  Removing a key that is not there is -ENOENT.
 */
int ap_store_apply(struct ap_store *store, const struct ap_store_change *changes, size_t count, uint64_t *out_first,
    struct ap_error *err);
/* Changes after `since`, in order, at most `limit`. -ESTALE when compaction took some of them. */
int ap_store_events(struct ap_store *store, uint64_t since, size_t limit,
    int (*fn)(const struct ap_store_event *event, void *arg), void *arg, struct ap_error *err);
/* Changes of one key, newest first. */
int ap_store_history(struct ap_store *store, struct ap_slice key, size_t limit,
    int (*fn)(const struct ap_store_event *event, void *arg), void *arg, struct ap_error *err);
/* Take away history but for the last `keep` revisions. */
int ap_store_compact(struct ap_store *store, uint64_t keep, struct ap_error *err);

/* Small values without a revision. The slice is good until the next call. False: not there. */
bool ap_store_value_get(struct ap_store *store, const char *name, struct ap_slice *out);
int ap_store_value_put(struct ap_store *store, const char *name, struct ap_slice value, struct ap_error *err);
AP_PUBLIC_END

#endif
