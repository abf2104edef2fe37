/* fuzz_proxyproto.c -- a header that is read can be written, and says the same. */
#include <stdint.h>

#include "base/check.h"
#include "codec/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice in = ap_slice((const char *)data, size), rest;
	struct ap_proxy_header h, again;
	struct ap_proxy_tlv tlvs[8];
	struct ap_buf out;
	size_t count = 0;

	if (ap_proxy_decode(in, &h) != 1)
		return 0;
	AP_CHECK(h.size <= size);
	rest = h.tlvs;
	while (count < AP_COUNTOF(tlvs) && ap_proxy_tlv_next(&rest, &tlvs[count]))
		count += tlvs[count].type != AP_PROXY_TLV_CRC32C; /* its sum is not ours */
	ap_buf_init(&out, 100000);
	AP_CHECK(ap_proxy_v2_encode(&h.src, &h.dst, tlvs, count, &out) == 0);
	if (out.len <= AP_PROXY_V2_SIZE_MAX) {
		AP_CHECK(ap_proxy_decode(ap_buf_slice(&out), &again) == 1);
		if (!h.is_local && !again.is_local) /* v4-mapped beside IPv6 cannot be said */
			AP_CHECK(ap_addr_eq(&h.src, &again.src) && ap_addr_eq(&h.dst, &again.dst));
	}
	ap_buf_done(&out);
	return 0;
}
