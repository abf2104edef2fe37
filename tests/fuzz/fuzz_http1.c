/* fuzz_http1.c -- HTTP/1 heads and chunks: no crash, slices inside the input, and the same answer however it is cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "codec/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ap_h1_limits limits = { .head = 8192, .target = 1024 };

static void
check_inside(struct ap_slice all, struct ap_slice part)
{
	static const char slash[] = "/";

	if (part.len == 0 || (part.len == 1 && memcmp(part.ptr, slash, 1) == 0))
		return; /* the path of an absolute form without one */
	AP_CHECK(part.ptr >= all.ptr && part.ptr + part.len <= all.ptr + all.len);
}

static void
check_head(struct ap_slice all, const struct ap_h1_head *h)
{
	check_inside(all, h->method);
	check_inside(all, h->target);
	check_inside(all, h->path);
	check_inside(all, h->authority);
	check_inside(all, h->reason);
	check_inside(all, h->protocol);
	for (uint32_t i = 0; i < h->count; i++) {
		check_inside(all, h->fields[i].name);
		check_inside(all, h->fields[i].value);
		AP_CHECK(h->fields[i].name.len > 0);
		(void)ap_h1_is_listed(h, h->fields[i].name);
		for (size_t n = 0; n < h->fields[i].value.len; n++) {
			char c = h->fields[i].value.ptr[n];

			AP_CHECK(c != '\r' && c != '\n' && c != '\0');
		}
	}
}

static void
heads(struct ap_slice in)
{
	struct ap_h1_field fields[32];
	struct ap_h1_head h = { .fields = fields, .room = 32 };
	size_t scanned = 0, again = 0;
	int64_t size = ap_h1_find_head(in, limits.head, &scanned), piecewise = AP_H1_MORE;
	struct ap_slice head;

	for (size_t n = 0; n <= in.len && piecewise == AP_H1_MORE; n += 1 + n / 4)
		piecewise = ap_h1_find_head(ap_slice_sub(in, 0, n), limits.head, &again);
	if (piecewise == AP_H1_MORE)
		piecewise = ap_h1_find_head(in, limits.head, &again);
	AP_CHECK(piecewise == size || (size < 0 && piecewise < 0));
	if (size <= 0)
		return;
	head = ap_slice_sub(in, 0, (size_t)size);
	if (ap_h1_parse_request(head, &limits, &h) == 0)
		check_head(head, &h);
	if (ap_h1_parse_response(head, &limits, AP_S("GET"), &h) == 0)
		check_head(head, &h);
	if (ap_h1_parse_response(head, &limits, AP_S("HEAD"), &h) == 0)
		check_head(head, &h);
	(void)ap_h1_parse_trailers(head, &h);
}

/* FNV over the decoded bytes, and how it ended. */
static uint64_t
dechunk(struct ap_slice in, size_t step, int *out_rv)
{
	struct ap_h1_chunks c = { 0 };
	uint64_t hash = 14695981039346656037ULL;
	size_t at = 0, have = 0;
	int rv;

	for (;;) {
		struct ap_slice data;
		size_t used;

		rv = ap_h1_chunks_next(&c, ap_slice_sub(in, at, have - at), &used, &data);
		AP_CHECK(used <= have - at);
		at += used;
		if (rv == 1) {
			AP_CHECK(data.len > 0 && data.ptr == in.ptr + at);
			for (size_t i = 0; i < data.len; i++)
				hash = (hash ^ (unsigned char)data.ptr[i]) * 1099511628211ULL;
			at += data.len;
			ap_h1_chunks_took(&c, data.len);
		} else if (rv == AP_H1_MORE && have < in.len) {
			have = AP_MIN(have + step, in.len);
		} else {
			break;
		}
	}
	*out_rv = rv;
	return hash;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice in = ap_slice((const char *)data, size);
	int whole, pieces;
	uint64_t a, b;

	heads(in);
	a = dechunk(in, size == 0 ? 1 : size, &whole);
	b = dechunk(in, 3, &pieces);
	AP_CHECK(a == b && whole == pieces);
	return 0;
}
