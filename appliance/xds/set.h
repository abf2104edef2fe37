/*
 * set.h -- the resources of one type as a discovery server holds them, in the order in which they last changed.
 *
 * Glossary: an *entry* is one named resource; its *version* is a fingerprint of its bytes, so that it means the same after a
 * restart.  The set's *generation* grows by one with each change; a reader that remembers the generation up to which it
 * read finds what is new by walking back from the end of the order, at the cost of what changed.  A removed entry stays in the
 * order as a *tombstone*; tombstones are dropped oldest first when there are many, and `floor` says up to where.
 *
 * One thread.
 */
#ifndef XDS_SET_H
#define XDS_SET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"

struct ap_xds_entry {
	struct ap_list link;
	/* All with a NUL behind. */
	struct ap_slice name, version, body;
	struct ap_slice scope; /* whatever the reader's filter understands: who may see it */
	const struct ap_slice *aliases;
	size_t alias_count;
	const struct ap_slice *groups; /* names of entries whose readers on demand want this one too */
	size_t group_count;
	uint64_t changed; /* generation of its last change */
	uint64_t made;    /* generation at which it last came to be */
	bool removed, keep;
	char *block;
};

struct ap_xds_put {
	struct ap_slice name, body, scope;
	const struct ap_slice *aliases, *groups;
	size_t alias_count, group_count;
};

struct ap_xds_set {
	const char *type_url;
	struct ap_map by_name;  /* tombstones too */
	struct ap_map by_alias; /* -> struct ap_xds_entries */
	struct ap_map by_group;
	struct ap_list order;
	uint64_t generation, floor;
	size_t live, tombstones;
};

struct ap_xds_entries {
	struct ap_xds_entry **items;
	size_t count, room;
};

#define AP_XDS_TOMBSTONES_MIN 1024

AP_PUBLIC_BEGIN
struct ap_xds_set *ap_xds_set_new(const char *type_url);
void ap_xds_set_free(struct ap_xds_set **set);
/* Copies. False: it stands like this already. */
bool ap_xds_set_put(struct ap_xds_set *set, const struct ap_xds_put *put);
bool ap_xds_set_remove(struct ap_xds_set *set, struct ap_slice name);
/* Replace everything: begin, put all, end removes what was not put since begin. end: whether anything was removed. */
void ap_xds_set_begin(struct ap_xds_set *set);
bool ap_xds_set_end(struct ap_xds_set *set);
/* NULL also for a tombstone. */
const struct ap_xds_entry *ap_xds_set_find(const struct ap_xds_set *set, struct ap_slice name);
/* Entries with this alias, or members of this group; NULL: none. */
const struct ap_xds_entries *ap_xds_set_aliased(const struct ap_xds_set *set, struct ap_slice alias);
const struct ap_xds_entries *ap_xds_set_group(const struct ap_xds_set *set, struct ap_slice name);
AP_PUBLIC_END

#define AP_XDS_SET_FOR(entry_, set_) \
	for (struct ap_xds_entry *entry_ = AP_LIST_ITEM((set_)->order.next, struct ap_xds_entry, link); \
	     &entry_->link != &(set_)->order; entry_ = AP_LIST_ITEM(entry_->link.next, struct ap_xds_entry, link))

#endif
