/*
 * fuzz_api_patch.c -- JSON patch and strategic merge of the resource API: one line of JSON, the object; the rest, the patch. Lists are
 * relinked by hand there, so each result is written out and must read back as the same tree.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "codec/json.h"
#include "control_plane/api/api_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
check(struct ap_arena *arena, const struct ap_doc *doc)
{
	struct ap_doc *again = NULL;
	struct ap_buf text;

	if (ap_arena_is_full(arena))
		return;
	ap_buf_init(&text, (size_t)64 * 1024 * 1024);
	ap_json_write(doc, 0, &text);
	/* A patch may nest deeper than what is read. */
	if (!text.bad && ap_json_parse(arena, "again", ap_buf_slice(&text), &again, NULL) == 0)
		AP_CHECK(ap_doc_eq(doc, again));
	ap_buf_done(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ap_arena *arena = ap_arena_new((size_t)64 * 1024 * 1024);
	struct ap_slice rest = ap_slice((const char *)bytes, size), first = ap_slice_cut(&rest, '\n');
	struct ap_doc *doc = NULL, *patch = NULL, *copy;

	if (rest.ptr != NULL && ap_json_parse(arena, "object", first, &doc, NULL) == 0 &&
	    ap_json_parse(arena, "patch", rest, &patch, NULL) == 0) {
		copy = ap_doc_copy(arena, doc);
		if (api_json_patch(arena, &copy, patch, NULL) == 0)
			check(arena, copy);
		if (ap_doc_is(doc, AP_DOC_MAP) && ap_doc_is(patch, AP_DOC_MAP)) {
			api_strategic_merge(arena, doc, patch, "");
			check(arena, doc);
		}
	}
	ap_arena_free(&arena);
	return 0;
}
