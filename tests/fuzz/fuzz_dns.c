/* fuzz_dns.c -- queries are answered, responses walked; what we send reads back. */
#include <stdint.h>

#include "base/check.h"
#include "codec/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
count(void *arg, const struct ap_dns_record *record)
{
	*(size_t *)arg += record->name.len + record->target.len + record->ip.len;
}

static void
answer(const struct ap_dns_query *q, int rcode)
{
	struct ap_dns_record recs[] = {
		{ .type = AP_DNS_CNAME, .target = AP_S("real.example"), .ttl = 30 },
		{ .type = AP_DNS_A, .name = AP_S("real.example"), .ip = { 4, { 10, 0, 0, 1 } } },
		{ .type = AP_DNS_AAAA, .ip = { 16, { 0xfd } } },
	};
	struct ap_dns_reply reply = { .rcode = (enum ap_dns_rcode)rcode, .records = recs, .count = rcode == 0 ? 3 : 0 };
	struct ap_dns_head head;
	struct ap_buf out;
	size_t seen = 0;

	ap_buf_init(&out, 65535);
	AP_CHECK(ap_dns_reply_encode(q, &reply, ap_dns_udp_limit(q), &out) == 0);
	AP_CHECK(out.len <= ap_dns_udp_limit(q));
	AP_CHECK(ap_dns_head_decode(ap_buf_slice(&out), &head) == 0 && head.is_response && head.id == q->id);
	AP_CHECK(ap_dns_response_walk(ap_buf_slice(&out), count, &seen) == 0);
	ap_buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice in = ap_slice((const char *)data, size);
	struct ap_dns_query q;
	size_t seen = 0;
	int r = ap_dns_query_decode(in, &q);

	if (r >= 0)
		answer(&q, r);
	ap_dns_response_walk(in, count, &seen);
	ap_dns_answers(in, in);
	return 0;
}
