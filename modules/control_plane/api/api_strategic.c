/*
 * api_strategic.c -- Kubernetes' strategic merge patch for the core kinds, where kubectl does not let go of it: maps merge, lists
 * with a merge key merge by it, other lists are replaced; $patch, $deleteFromPrimitiveList and $retainKeys are obeyed,
 * $setElementOrder is only a wish.
 */
#include <stdio.h>
#include <string.h>

#include "control_plane/api/api_priv.h"

/* List of maps -> key by which its items are told apart; a list of scalars with "" is a set. */
static const struct {
	const char *path, *key;
} merge_keys[] = {
	{ "spec.ports", "port" },
	{ "metadata.ownerReferences", "uid" },
	{ "metadata.finalizers", "" },
	{ "secrets", "name" },
	{ "imagePullSecrets", "name" },
	{ "status.conditions", "type" },
};

static const char *
merge_key(const char *path)
{
	for (size_t i = 0; i < AP_COUNTOF(merge_keys); i++)
		if (strcmp(merge_keys[i].path, path) == 0)
			return merge_keys[i].key;
	return NULL;
}

static struct ap_doc *
find_item(const struct ap_doc *list, const char *key, const struct ap_doc *like)
{
	AP_DOC_FOR (item, list)
		if (key[0] == '\0' ? ap_doc_eq(item, like) : ap_doc_eq(ap_doc_get(item, key), ap_doc_get(like, key)))
			return item;
	return NULL;
}

static void
drop_item(struct ap_doc *list, const struct ap_doc *gone)
{
	struct ap_doc *before = NULL;

	AP_DOC_FOR (item, list) {
		if (item == gone) {
			if (before == NULL)
				list->first = item->next;
			else
				before->next = item->next;
			if (list->last == item)
				list->last = before;
			list->count--;
			return;
		}
		before = item;
	}
}

static void
merge_list(struct ap_arena *arena, struct ap_doc *target, const struct ap_doc *patch, const char *key, const char *path)
{
	AP_DOC_FOR (item, patch) {
		struct ap_slice directive = ap_doc_string(item, "$patch", "");
		struct ap_doc *old = find_item(target, key, item), *fresh;

		if (ap_slice_eq(directive, AP_S("replace"))) {
			target->first = target->last = NULL;
			target->count = 0;
		} else if (ap_slice_eq(directive, AP_S("delete"))) {
			drop_item(target, old);
		} else if (old == NULL) {
			fresh = ap_doc_copy(arena, item);
			ap_doc_append(target, fresh);
		} else if (item->type == AP_DOC_MAP && old->type == AP_DOC_MAP) {
			api_strategic_merge(arena, old, item, path);
		}
	}
}

static void
retain_keys(struct ap_doc *target, const struct ap_doc *keys)
{
	for (struct ap_doc *m = target->first, *next; m != NULL; m = next) {
		bool keep = false;

		next = m->next;
		AP_DOC_FOR (key, keys)
			keep = keep || ap_slice_eq(key->string, m->key);
		if (!keep)
			ap_doc_remove(target, m->key.ptr);
	}
}

static void
merge_member(struct ap_arena *arena, struct ap_doc *target, const struct ap_doc *member, const char *path)
{
	struct ap_doc *old = ap_doc_get_slice(target, member->key), *fresh;
	char below[300];
	const char *key;

	snprintf(below, sizeof(below), "%s%s%.*s", path, path[0] == '\0' ? "" : ".", AP_FMT(member->key));
	key = merge_key(below);
	if (member->type == AP_DOC_NULL) {
		ap_doc_remove(target, member->key.ptr);
	} else if (member->type == AP_DOC_MAP) {
		if (!ap_doc_is(old, AP_DOC_MAP)) {
			ap_doc_set(arena, target, member->key.ptr, ap_doc_new_map(arena));
			old = ap_doc_get_slice(target, member->key);
		}
		if (ap_doc_is(old, AP_DOC_MAP)) /* else the arena is full, and the caller sees that */
			api_strategic_merge(arena, old, member, below);
	} else if (member->type == AP_DOC_LIST && key != NULL && ap_doc_is(old, AP_DOC_LIST)) {
		merge_list(arena, old, member, key, below);
	} else {
		fresh = ap_doc_copy(arena, member);
		ap_doc_set(arena, target, member->key.ptr, fresh);
	}
}

void
api_strategic_merge(struct ap_arena *arena, struct ap_doc *target, const struct ap_doc *patch, const char *path)
{
	static const struct ap_slice delete_from = { "$deleteFromPrimitiveList/", 25 };

	if (ap_slice_eq(ap_doc_string(patch, "$patch", ""), AP_S("replace"))) {
		target->first = target->last = NULL;
		target->count = 0;
	}
	if (ap_doc_get(patch, "$retainKeys") != NULL)
		retain_keys(target, ap_doc_get(patch, "$retainKeys"));
	AP_DOC_FOR (member, patch) {
		if (ap_slice_starts(member->key, delete_from)) {
			struct ap_doc *list = ap_doc_get_slice(target, ap_slice_from(member->key, delete_from.len));

			AP_DOC_FOR (gone, member) {
				struct ap_doc *old = find_item(list, "", gone);

				if (old != NULL)
					drop_item(list, old);
			}
		} else if (member->key.len > 0 && member->key.ptr[0] != '$') {
			merge_member(arena, target, member, path);
		}
	}
}
