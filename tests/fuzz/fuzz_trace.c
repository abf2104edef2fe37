/* fuzz_trace.c -- traceparent, baggage and forwarded from any peer. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "codec/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice in = ap_slice((const char *)data, size);
	char text[AP_TRACEPARENT_LEN + 1];
	struct ap_baggage b = { 0 }, again = { 0 };
	struct ap_traceparent t;
	struct ap_buf out;

	if (ap_traceparent_parse(in, &t) == 0)
		AP_CHECK(memcmp(ap_traceparent_format(&t, text), data, AP_TRACEPARENT_LEN) == 0);
	ap_baggage_parse(in, &b);
	ap_buf_init(&out, size + 1000);
	ap_baggage_format(&b, &out);
	AP_CHECK(!out.bad);
	ap_baggage_parse(ap_buf_slice(&out), &again);
	AP_CHECK(again.ns.len == 0 || ap_slice_eq(b.ns, again.ns));
	AP_CHECK(ap_forwarded_host(in).len <= size);
	ap_buf_done(&out);
	return 0;
}
