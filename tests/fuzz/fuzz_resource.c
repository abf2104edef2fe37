/*
 * fuzz_resource.c -- a body of the resource API, from bytes to a checked resource: whatever it is, it is accepted or refused, and
 * what was accepted reads back as the same object.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "model/resource.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
check(struct ap_arena *arena, const struct ap_doc *doc)
{
	struct ap_errors errs = { 0 }, unknown = { 0 };
	struct ap_doc *again = NULL;
	struct ap_resource *r;
	struct ap_buf text;

	ap_resource_check(doc, &errs, &unknown);
	if (errs.total == 0) {
		r = ap_resource_new(doc, AP_SLICE_NONE, NULL); /* NULL: without a name, as with generateName */
		if (r != NULL) {
			ap_buf_init(&text, (size_t)64 * 1024 * 1024);
			ap_json_write(r->doc, 0, &text);
			AP_CHECK(ap_json_parse(arena, "again", ap_buf_slice(&text), &again, NULL) == 0);
			AP_CHECK(ap_doc_eq(r->doc, again));
			ap_buf_done(&text);
			ap_resource_unref(&r);
		}
	}
	ap_errors_done(&errs);
	ap_errors_done(&unknown);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ap_arena *arena = ap_arena_new((size_t)64 * 1024 * 1024);
	struct ap_slice text = ap_slice((const char *)bytes, size);
	struct ap_yaml_docs docs = { 0 };
	struct ap_doc *doc = NULL;

	if (ap_json_parse(arena, "body", text, &doc, NULL) == 0)
		check(arena, doc);
	if (ap_yaml_parse(arena, "body", text, &docs, NULL) == 0)
		for (uint32_t i = 0; i < docs.count; i++)
			check(arena, docs.items[i]);
	ap_arena_free(&arena);
	return 0;
}
