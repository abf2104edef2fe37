/* fuzz_uri.c -- normal paths are normal: normalising twice changes nothing. */
#include <stdint.h>

#include "base/check.h"
#include "codec/glob.h"
#include "codec/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_normal(struct ap_slice path, enum ap_uri_normal how)
{
	struct ap_buf once, twice;

	ap_buf_init(&once, path.len + 16);
	ap_buf_init(&twice, path.len + 16);
	if (ap_uri_normalise(path, how, &once) == 0) {
		AP_CHECK(!once.bad && once.len > 0 && once.ptr[0] == '/' && once.len <= path.len);
		AP_CHECK(ap_uri_normalise(ap_buf_slice(&once), how, &twice) == 0);
		AP_CHECK(ap_slice_eq(ap_buf_slice(&once), ap_buf_slice(&twice)));
		if (how != AP_URI_NONE)
			AP_CHECK(ap_slice_search(ap_buf_slice(&once), AP_S("/../")) == SIZE_MAX);
	}
	ap_buf_done(&once);
	ap_buf_done(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice in = ap_slice((const char *)data, size), name, value, rest = in;
	struct ap_buf coded, back;
	struct ap_uri u;

	for (int how = AP_URI_NONE; how <= AP_URI_DECODE_AND_MERGE_SLASHES; how++)
		check_normal(in, (enum ap_uri_normal)how);
	if (ap_uri_parse(in, &u) == 0)
		AP_CHECK(u.host.len > 0);
	while (ap_uri_next_param(&rest, &name, &value))
		AP_CHECK(name.len + value.len <= size);
	ap_buf_init(&coded, 3 * size + 1);
	ap_buf_init(&back, 3 * size + 1);
	ap_uri_encode(in, "/", &coded);
	AP_CHECK(ap_uri_decode(ap_buf_slice(&coded), false, &back) == 0 && ap_slice_eq(ap_buf_slice(&back), in));
	ap_uri_decode(in, true, &back);
	ap_buf_done(&coded);
	ap_buf_done(&back);
	ap_glob_host_is_valid(in);
	ap_glob_host_matches(in, in);
	return 0;
}
