/* fuzz_yaml.c -- what is read is written, and reads back equal. */
#include <stdint.h>

#include "base/check.h"
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_arena *arena = ap_arena_new((size_t)16 << 20);
	struct ap_yaml_docs docs, again;
	struct ap_error err;
	struct ap_buf out;

	ap_buf_init(&out, (size_t)4 << 20);
	if (ap_yaml_parse(arena, "fuzz", ap_slice((const char *)data, size), &docs, &err) == 0 && docs.count > 0) {
		ap_yaml_write(docs.items[0], &out);
		if (!out.bad && ap_yaml_parse(arena, "again", ap_buf_slice(&out), &again, &err) == 0)
			AP_CHECK(again.count == 1 && ap_doc_eq(docs.items[0], again.items[0]));
		else
			AP_CHECK(out.bad || ap_arena_is_full(arena));
	}
	ap_buf_done(&out);
	ap_arena_free(&arena);
	return 0;
}
