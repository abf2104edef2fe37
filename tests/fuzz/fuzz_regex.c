/* fuzz_regex.c -- an expression, a newline, and a text to match. */
#include <stdint.h>

#include "base/check.h"
#include "codec/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice text = ap_slice((const char *)data, size), groups[AP_REGEX_GROUPS_MAX];
	struct ap_slice pattern = ap_slice_cut(&text, '\n');
	struct ap_regex *re = ap_regex_new(pattern, size % 4, NULL);
	struct ap_buf out;

	if (re == NULL)
		return 0;
	if (ap_regex_match_groups(re, text, groups, AP_COUNTOF(groups)) == AP_REGEX_YES)
		for (size_t i = 0; i < AP_COUNTOF(groups); i++)
			AP_CHECK(groups[i].ptr == NULL || groups[i].len <= text.len);
	ap_buf_init(&out, 1 << 16);
	if (text.len < 4096)
		ap_regex_replace(re, text, AP_S("<\\0>"), &out);
	ap_buf_done(&out);
	ap_regex_free(&re);
	return 0;
}
