/* fuzz_http1.c -- a connection's bytes as a request, as a response and as a chunked body. */
#include <stdint.h>

#include "base/check.h"
#include "codec/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct ap_slice part, struct ap_slice whole)
{
	if (part.len > 0)
		AP_CHECK(part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void
check_head(const struct ap_h1_head *h, struct ap_slice in)
{
	AP_CHECK(h->count <= h->room);
	for (uint32_t i = 0; i < h->count; i++) {
		check_inside(h->fields[i].name, in);
		check_inside(h->fields[i].value, in);
		AP_CHECK(h->fields[i].name.len > 0);
		AP_CHECK(ap_slice_find(h->fields[i].value, '\n') == SIZE_MAX);
		AP_CHECK(ap_slice_find(h->fields[i].value, '\0') == SIZE_MAX);
		ap_h1_is_listed(h, h->fields[i].name);
	}
}

/* The body's bytes, step by step; what is given out must be part of the input and progress must be made. */
static void
read_chunks(struct ap_slice in)
{
	struct ap_h1_chunks c = { 0 };
	struct ap_slice data;
	size_t used = 0;
	int r;

	while ((r = ap_h1_chunks_next(&c, in, &used, &data)) == 1) {
		AP_CHECK(used <= in.len && data.len > 0);
		in = ap_slice_from(in, used);
		check_inside(data, in);
		ap_h1_chunks_took(&c, data.len);
		in = ap_slice_from(in, data.len);
	}
	AP_CHECK(r == 0 || r == AP_H1_MORE || r == AP_H1_BAD);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ap_h1_limits limits = { .head = 8192, .target = 1024 };
	static const char *const methods[] = { "GET", "HEAD", "CONNECT" };
	struct ap_slice in = ap_slice((const char *)data, size), head;
	struct ap_h1_field fields[16];
	struct ap_h1_head h = { .fields = fields, .room = AP_COUNTOF(fields) };
	size_t scanned = 0;
	int64_t n = ap_h1_find_head(in, limits.head, &scanned);

	read_chunks(in);
	if (n <= 0)
		return 0;
	AP_CHECK((size_t)n <= size);
	head = ap_slice_sub(in, 0, (size_t)n);
	if (ap_h1_parse_request(head, &limits, &h) == 0) {
		check_head(&h, head);
		AP_CHECK(h.body == AP_H1_NO_BODY || h.body == AP_H1_LENGTH || h.body == AP_H1_CHUNKED);
		if (h.body == AP_H1_CHUNKED)
			read_chunks(ap_slice_from(in, (size_t)n));
	}
	for (size_t i = 0; i < AP_COUNTOF(methods); i++) {
		h = (struct ap_h1_head){ .fields = fields, .room = AP_COUNTOF(fields) };
		if (ap_h1_parse_response(head, &limits, ap_slice_of(methods[i]), &h) == 0)
			check_head(&h, head);
	}
	h = (struct ap_h1_head){ .fields = fields, .room = AP_COUNTOF(fields) };
	if (ap_h1_parse_trailers(head, &h) == 0)
		check_head(&h, head);
	return 0;
}
