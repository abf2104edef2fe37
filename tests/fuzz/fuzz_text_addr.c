/* fuzz_text_addr.c -- numbers, durations, addresses, base64, log levels; what is written reads back. */
#include <stdint.h>

#include "base/addr.h"
#include "base/b64.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_addresses(struct ap_slice in)
{
	char text[AP_ADDR_TEXT];
	struct ap_addr a, b;
	struct ap_cidr c, d;
	struct ap_ip ip, jp;

	if (ap_ip_parse(in, &ip) == 0) {
		AP_CHECK(ap_ip_parse(ap_slice_of(ap_ip_format(&ip, text, sizeof(text))), &jp) == 0);
		AP_CHECK(ap_ip_eq(&ip, &jp));
	}
	if (ap_cidr_parse(in, &c) == 0) {
		AP_CHECK(ap_cidr_has(&c, &c.ip));
		AP_CHECK(ap_cidr_parse(ap_slice_of(ap_cidr_format(&c, text, sizeof(text))), &d) == 0);
		AP_CHECK(ap_ip_eq(&c.ip, &d.ip) && c.bits == d.bits);
	}
	if (ap_addr_parse(in, &a) == 0) {
		AP_CHECK(ap_addr_parse(ap_slice_of(ap_addr_format(&a, text, sizeof(text))), &b) == 0);
		AP_CHECK(ap_addr_eq(&a, &b));
	}
}

static void
check_numbers(struct ap_slice in)
{
	static const char *const words[] = { "hosts", "gateways", "timeout", NULL };
	char text[64];
	int64_t i, j;
	uint64_t u;
	double d;
	bool b;

	ap_text_to_u64(in, UINT64_MAX, &u);
	ap_text_to_i64(in, &i);
	ap_text_to_double(in, &d);
	ap_text_to_bool(in, &b);
	ap_text_to_size(in, &u);
	if (ap_text_to_duration(in, &i) == 0) {
		AP_CHECK(i >= 0);
		AP_CHECK(ap_text_to_duration(ap_slice_of(ap_text_format_duration(i, text, sizeof(text))), &j) == 0 &&
			 i == j);
	}
	ap_text_is_dns_name(in);
	ap_text_nearest(in, words);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice in = ap_slice((const char *)data, size);
	struct ap_buf out, back;

	check_addresses(in);
	check_numbers(in);
	ap_log_set_levels(in, NULL);
	ap_buf_init(&out, 6 * size + 16);
	ap_buf_init(&back, 6 * size + 16);
	ap_buf_add_json(&out, in);
	AP_CHECK(!out.bad && ap_text_is_utf8(ap_buf_slice(&out)));
	ap_buf_clear(&out);
	ap_b64_encode(in, &out);
	AP_CHECK(ap_b64_decode(ap_buf_slice(&out), &back) == 0 && ap_slice_eq(ap_buf_slice(&back), in));
	ap_buf_clear(&out);
	ap_buf_clear(&back);
	if (ap_b64_decode(in, &out) == 0 && ap_slice_find(in, '=') == SIZE_MAX) {
		ap_b64url_encode(ap_buf_slice(&out), &back);
		AP_CHECK(back.len == in.len);
	}
	ap_hex_decode(in, &out);
	ap_buf_done(&out);
	ap_buf_done(&back);
	return 0;
}
