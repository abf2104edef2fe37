/*
 * cp_store.h -- inside the control plane: staging and committing changes, and the feed of recent ones for watches.  The API
 * uses this; the xDS half needs cp.h alone.
 */
#ifndef CONTROL_PLANE_CP_STORE_H
#define CONTROL_PLANE_CP_STORE_H
#include "base/arena.h"
#include "base/map.h"
#include "base/vec.h"
#include "control_plane/cp.h"
#include "event/loop.h"

struct ap_store;

/* One change as watches see it; both counted. */
struct cp_event {
	uint64_t revision;
	struct ap_resource *before, *after;
};

#define CP_FEED_ROOM 8192U
#define CP_OBJECTS_MAX 500000U

/* A change that waits for its commit. */
struct cp_staged {
	struct ap_slice key; /* of before or after */
	struct ap_resource *before, *after; /* counted */
	struct ap_arena *arena; /* of after: not shared yet */
	struct ap_doc *doc;
};

/* A change that subscribers have not heard of. */
struct cp_news {
	const struct ap_kind *kind;
	struct ap_resource *before, *after; /* counted */
};

struct cp_store {
	struct ap_store *disk;
	struct ap_resource_set set;
	/* The ring holds the events after `base`, oldest at `first`. */
	struct cp_event *ring;
	uint32_t first, count;
	uint64_t base;
	uint64_t keep; /* revisions of history on disk */
	struct ap_list subscribers;
	struct ap_map news; /* key -> struct cp_news */
	struct ap_task notify;
	unsigned batch;
	AP_VEC(struct cp_staged) staged;
	struct ap_map staged_at; /* key -> index + 1 */
};

enum cp_verb {
	CP_CREATE,         /* -EEXIST when it is there */
	CP_REPLACE,        /* -ENOENT when it is not */
	CP_REPLACE_STATUS, /* only status is taken */
};

struct cp_result {
	struct ap_resource *resource; /* as it is now, counted; NULL when it was removed */
	bool created, changed;
	struct ap_slice secret; /* JoinToken: the text that is told this once; in the arena given */
};

/* Open <state_dir>/store.db and load what is in it. */
int cp_store_open(struct cp *cp, uint64_t keep_revisions, struct ap_error *err);
void cp_store_close(struct cp *cp);

/* With what is staged; not counted. */
struct ap_resource *cp_current(const struct cp *cp, struct ap_slice key);
/* Stage a change: the document in its arena, which belong to the stage from here on; or, without one, a removal. Outside
 * a batch it is committed at once. *out_after (may be NULL) is not counted. */
int cp_stage_put(
    struct cp *cp, struct ap_arena *arena, struct ap_doc *doc, struct ap_resource **out_after, struct ap_error *err);
int cp_stage_removal(struct cp *cp, struct ap_resource *before, struct ap_error *err);

/*
 * Admit a checked document in `arena` (both are taken, also on failure): preconditions of metadata.resourceVersion and uid, what
 * the server fills in, generation; then stage it.  -EEXIST, -ENOENT, -EAGAIN (conflict), -EINVAL.  scratch: where
 * out->secret lives.
 */
int cp_put(struct cp *cp, struct ap_arena *arena, struct ap_doc *doc, enum cp_verb verb, unsigned flags,
    struct ap_arena *scratch, struct cp_result *out, struct ap_errors *errs);
/* Delete with what Kubernetes does around it: finalizers only mark it; a Namespace takes along what is in it. out->resource
 * is the object as it was, counted. */
int cp_remove(struct cp *cp, struct ap_slice key, unsigned flags, struct cp_result *out, struct ap_error *err);
/* JSON merge patch (RFC 7396) into target. */
void cp_merge(struct ap_arena *arena, struct ap_doc *target, const struct ap_doc *patch);

/* Next event of the feed after `revision`, or NULL. */
const struct cp_event *cp_feed_next(const struct cp *cp, uint64_t revision);

/* cp_validate.c: conflicts with other objects, scripts that do not compile. Adds to errs; the number of problems. */
size_t cp_validate(const struct cp *cp, const struct ap_kind *k, const struct ap_doc *object, struct ap_errors *errs);

/* cp_token.c: fill in a new JoinToken: name, hash, expiry. The secret's text, in scratch. */
struct ap_slice cp_token_mint(struct ap_arena *arena, struct ap_doc *doc, struct ap_arena *scratch);

/* cp_files.c: apply the resources of the configuration's file. Objects that are refused are logged, each by name and place. */
void cp_apply_file(struct cp *cp, struct ap_config *config);
/* Objects that a mesh begins with. */
void cp_apply_defaults(struct cp *cp);

/* cp_settings.c */
extern const struct ap_schema cp_section_schema;
/* Slices point into the config, or into *arena. 0, or a sentence. */
int cp_settings_read(const struct ap_config *config, struct ap_arena *arena, struct cp_settings *out, uint64_t *out_keep,
    struct ap_error *err);

#endif
