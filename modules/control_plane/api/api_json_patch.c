/* api_json_patch.c -- RFC 6902 on documents: add, remove, replace, move, copy, test. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "control_plane/api/api_priv.h"

#define OPERATIONS_MAX 10000U

/* "~1" is '/', "~0" is '~'. */
static struct ap_slice
unescape(struct ap_arena *arena, struct ap_slice token)
{
	char *out = ap_arena_strndup(arena, token.ptr == NULL ? "" : token.ptr, token.len);
	size_t n = 0;

	if (out == NULL)
		return AP_SLICE_NONE;
	for (size_t i = 0; i < token.len; i++) {
		char c = out[i];

		if (c == '~' && i + 1 < token.len && (out[i + 1] == '0' || out[i + 1] == '1'))
			c = out[++i] == '1' ? '/' : '~';
		out[n++] = c;
	}
	out[n] = '\0';
	return ap_slice(out, n);
}

static bool
list_index(const struct ap_doc *list, struct ap_slice token, bool may_append, uint32_t *out)
{
	uint64_t i;

	if (may_append && ap_slice_eq(token, AP_S("-"))) {
		*out = list->count;
		return true;
	}
	if (ap_text_to_u64(token, UINT32_MAX, &i) != 0 || i > list->count || (!may_append && i == list->count))
		return false;
	*out = (uint32_t)i;
	return true;
}

static struct ap_doc *
child(struct ap_doc *node, struct ap_slice token)
{
	uint32_t i;

	if (ap_doc_is(node, AP_DOC_MAP))
		return ap_doc_get_slice(node, token);
	if (ap_doc_is(node, AP_DOC_LIST) && list_index(node, token, false, &i))
		return ap_doc_item(node, i);
	return NULL;
}

/* The container that holds the last token of the pointer. */
static struct ap_doc *
walk(struct ap_arena *arena, struct ap_doc *root, struct ap_slice pointer, struct ap_slice *last)
{
	struct ap_slice rest = pointer;
	struct ap_doc *node = root;

	if (pointer.len == 0 || pointer.ptr[0] != '/')
		return NULL;
	rest = ap_slice_from(pointer, 1);
	for (;;) {
		struct ap_slice token = unescape(arena, ap_slice_cut(&rest, '/'));

		if (rest.ptr == NULL) {
			*last = token;
			return node;
		}
		node = child(node, token);
		if (node == NULL)
			return NULL;
	}
}

static void
list_insert(struct ap_doc *list, uint32_t at, struct ap_doc *value)
{
	struct ap_doc *before = at == 0 ? NULL : ap_doc_item(list, at - 1);

	if (at == list->count) {
		ap_doc_append(list, value);
		return;
	}
	value->next = before == NULL ? list->first : before->next;
	if (before == NULL)
		list->first = value;
	else
		before->next = value;
	list->count++;
}

static void
list_remove(struct ap_doc *list, uint32_t at)
{
	struct ap_doc *before = at == 0 ? NULL : ap_doc_item(list, at - 1);
	struct ap_doc *gone = ap_doc_item(list, at);

	if (before == NULL)
		list->first = gone->next;
	else
		before->next = gone->next;
	if (list->last == gone)
		list->last = before;
	list->count--;
}

static int
op_add(struct ap_arena *arena, struct ap_doc **root, struct ap_slice path, const struct ap_doc *value, struct ap_error *err)
{
	struct ap_doc *at, *copy = ap_doc_copy(arena, value);
	struct ap_slice last;
	uint32_t i;

	if (copy == NULL) /* "copy" can double an object with each operation */
		return ap_error_set(err, -EFBIG, "the result is too big");
	if (path.len == 0) {
		*root = copy;
		return 0;
	}
	at = walk(arena, *root, path, &last);
	if (ap_doc_is(at, AP_DOC_MAP) && last.ptr != NULL)
		ap_doc_set(arena, at, last.ptr, copy);
	else if (ap_doc_is(at, AP_DOC_LIST) && list_index(at, last, true, &i))
		list_insert(at, i, copy);
	else
		return ap_error_set(err, -ENOENT, "add: there is no place %.*s", AP_FMT(path));
	return 0;
}

static int
op_remove(struct ap_arena *arena, struct ap_doc *root, struct ap_slice path, struct ap_error *err)
{
	struct ap_slice last = AP_SLICE_NONE;
	struct ap_doc *at = walk(arena, root, path, &last);
	uint32_t i;

	if (ap_doc_is(at, AP_DOC_MAP) && last.ptr != NULL && ap_doc_remove(at, last.ptr))
		return 0;
	if (ap_doc_is(at, AP_DOC_LIST) && list_index(at, last, false, &i)) {
		list_remove(at, i);
		return 0;
	}
	return ap_error_set(err, -ENOENT, "remove: there is nothing at %.*s", AP_FMT(path));
}

static struct ap_doc *
find(struct ap_arena *arena, struct ap_doc *root, struct ap_slice path)
{
	struct ap_slice last;
	struct ap_doc *at;

	if (path.len == 0)
		return root;
	at = walk(arena, root, path, &last);
	return at == NULL ? NULL : child(at, last);
}

static int
apply_one(struct ap_arena *arena, struct ap_doc **root, const struct ap_doc *op, struct ap_error *err)
{
	struct ap_slice name = ap_doc_string(op, "op", ""), path = ap_doc_string(op, "path", "");
	struct ap_slice from = ap_doc_string(op, "from", "");
	const struct ap_doc *value = ap_doc_get(op, "value");
	struct ap_doc *old;
	int rc;

	if (ap_slice_eq(name, AP_S("remove")))
		return op_remove(arena, *root, path, err);
	if (ap_slice_eq(name, AP_S("move")) || ap_slice_eq(name, AP_S("copy"))) {
		old = find(arena, *root, from);
		if (old == NULL)
			return ap_error_set(err, -ENOENT, "%.*s: there is nothing at %.*s", AP_FMT(name), AP_FMT(from));
		value = ap_doc_copy(arena, old);
		if (ap_slice_eq(name, AP_S("move")) && (rc = op_remove(arena, *root, from, err)) != 0)
			return rc;
		return op_add(arena, root, path, value, err);
	}
	if (value == NULL)
		return ap_error_set(err, -EINVAL, "%.*s: value is missing", AP_FMT(name));
	if (ap_slice_eq(name, AP_S("add")))
		return op_add(arena, root, path, value, err);
	old = find(arena, *root, path);
	if (ap_slice_eq(name, AP_S("test")))
		return old != NULL && ap_doc_eq(old, value)
		    ? 0
		    : ap_error_set(err, -EINVAL, "test: %.*s is not what was expected", AP_FMT(path));
	if (!ap_slice_eq(name, AP_S("replace")))
		return ap_error_set(err, -EINVAL, "\"%.*s\" is no operation", AP_FMT(name));
	if (old == NULL)
		return ap_error_set(err, -ENOENT, "replace: there is nothing at %.*s", AP_FMT(path));
	if (path.len > 0 && (rc = op_remove(arena, *root, path, err)) != 0)
		return rc;
	return op_add(arena, root, path, value, err);
}

int
api_json_patch(struct ap_arena *arena, struct ap_doc **doc, const struct ap_doc *patch, struct ap_error *err)
{
	int rc = 0;

	if (!ap_doc_is(patch, AP_DOC_LIST))
		return ap_error_set(err, -EINVAL, "a JSON patch is a list of operations");
	if (patch->count > OPERATIONS_MAX)
		return ap_error_set(err, -E2BIG, "the patch has %u operations, more than %u", patch->count, OPERATIONS_MAX);
	AP_DOC_FOR (op, patch) {
		if (rc == 0)
			rc = apply_one(arena, doc, op, err);
	}
	return rc;
}
