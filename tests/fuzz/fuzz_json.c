/* fuzz_json.c -- what is read is written, and reads back equal. */
#include <stdint.h>

#include "base/check.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_arena *arena = ap_arena_new((size_t)16 << 20);
	struct ap_doc *doc, *again;
	struct ap_error err;
	struct ap_buf out;

	ap_buf_init(&out, (size_t)8 << 20);
	if (ap_json_parse(arena, "fuzz", ap_slice((const char *)data, size), &doc, &err) == 0) {
		ap_json_write(doc, (int)(size % 3), &out);
		if (!out.bad && ap_json_parse(arena, "again", ap_buf_slice(&out), &again, &err) == 0)
			AP_CHECK(ap_doc_eq(doc, again));
		else
			AP_CHECK(out.bad || ap_arena_is_full(arena));
	}
	ap_buf_done(&out);
	ap_arena_free(&arena);
	return 0;
}
