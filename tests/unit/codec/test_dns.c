/* test_dns.c -- queries taken apart, replies put together; malformed messages. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "codec/dns.h"

/* id 0x1234, RD, one question: WwW.ex.io A IN */
#define QUERY                                                         \
	"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03WwW\x02" \
	"ex\x02io\x00\x00\x01\x00\x01"
#define QUERY_EDNS                                                    \
	"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03WwW\x02" \
	"ex\x02io\x00\x00\x01\x00\x01"                                \
	"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00"

static void
queries_come_apart(void **state)
{
	struct ap_dns_query q;

	(void)state;
	assert_int_equal(ap_dns_query_decode(AP_S(QUERY), &q), 0);
	assert_int_equal(q.id, 0x1234);
	assert_string_equal(q.name, "www.ex.io");
	assert_int_equal(q.type, AP_DNS_A);
	assert_true(q.recursion_desired && !q.has_edns);
	assert_int_equal(ap_dns_udp_limit(&q), 512);
	assert_int_equal(ap_dns_query_decode(AP_S(QUERY_EDNS), &q), 0);
	assert_true(q.has_edns && q.dnssec_ok);
	assert_int_equal(q.udp_size, 4096);
	assert_int_equal(ap_dns_udp_limit(&q), 1232);
}

static void
bad_queries_get_the_right_code(void **state)
{
	static const struct {
		struct ap_slice in;
		int r;
	} cases[] = {
		{ AP_S(""), -EBADMSG },
		{ AP_S("\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"), -EBADMSG },
		{ AP_S("\x12\x34\x11\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"), AP_DNS_NOTIMP },
		{ AP_S("\x12\x34\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"), AP_DNS_FORMERR },
		{ AP_S("\x12\x34\x01\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x01"), AP_DNS_FORMERR },
		{ AP_S("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"), AP_DNS_FORMERR },
		{ AP_S("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05"
		       "ab"),
		    AP_DNS_FORMERR },
		{ AP_S("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03"
		       "a.b\x00\x00\x01\x00\x01"),
		    AP_DNS_REFUSED },
		{ AP_S("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01"
		       "a\x00\x00\x01\x00\x01\x00\x00\x29\x10\x00\x00\x01\x00\x00\x00\x00"),
		    AP_DNS_BADVERS },
		{ AP_S("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01"
		       "a\x00\x00\x01\x00\x01\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x09"),
		    AP_DNS_FORMERR },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		struct ap_dns_query q;
		struct ap_buf out;
		int r = ap_dns_query_decode(cases[i].in, &q);

		if (r != cases[i].r)
			fail_msg("case %zu: %d", i, r);
		if (r < 0)
			continue;
		ap_buf_init(&out, 1000);
		assert_int_equal(
		    ap_dns_reply_encode(&q, &(struct ap_dns_reply){ .rcode = (enum ap_dns_rcode)r }, 512, &out), 0);
		assert_true(out.len >= 12);
		assert_int_equal(out.ptr[3] & 15, r & 15);
		ap_buf_done(&out);
	}
}

static void
note(void *arg, const struct ap_dns_record *rec)
{
	struct ap_buf *out = arg;
	char ip[64];

	ap_buf_printf(out, "%.*s %u %s%.*s %u\n", AP_FMT(rec->name), rec->type, ap_ip_format(&rec->ip, ip, sizeof(ip)),
	    AP_FMT(rec->target), rec->ttl);
}

static void
replies_compress_truncate_and_read_back(void **state)
{
	struct ap_dns_record recs[100] = {
		{ .type = AP_DNS_CNAME, .target = AP_S("Real.ex.io."), .ttl = 30 },
		{ .type = AP_DNS_A, .name = AP_S("real.ex.io"), .ip = { 4, { 10, 0, 0, 1 } }, .ttl = 30 },
		{ .type = AP_DNS_AAAA, .name = AP_S("other.io"), .ip = { 16, { 0xfd, [15] = 1 } }, .ttl = 5 },
	};
	struct ap_dns_reply reply = { .authoritative = true, .records = recs, .count = 3 };
	struct ap_dns_query q;
	struct ap_dns_head head;
	struct ap_buf out, seen;

	(void)state;
	ap_buf_init(&out, 70000);
	ap_buf_init(&seen, 70000);
	assert_int_equal(ap_dns_query_decode(AP_S(QUERY_EDNS), &q), 0);
	ap_buf_add_u16(&out, 0); /* the TCP length stands before: offsets count from the message */
	assert_int_equal(ap_dns_reply_encode(&q, &reply, AP_DNS_MESSAGE_MAX, &out), 0);
	ap_buf_consume(&out, 2);
	assert_int_equal(ap_dns_response_walk(ap_buf_slice(&out), note, &seen), 0);
	assert_string_equal(seen.ptr, "www.ex.io 5 real.ex.io 30\nreal.ex.io 1 10.0.0.1 30\nother.io 28 fd00::1 5\n");
	assert_true(ap_dns_answers(ap_buf_slice(&out), AP_S(QUERY)));
	assert_memory_equal(out.ptr + 13, "WwW", 3);
	assert_int_equal(out.ptr[2] & 4, 4);
	for (size_t i = 1; i < out.len; i++) /* any cut is found */
		ap_dns_response_walk(ap_slice(out.ptr, i), note, &seen);
	for (size_t i = 0; i < 100; i++)
		recs[i] = recs[1], recs[i].name = AP_SLICE_NONE;
	reply.count = 100;
	ap_buf_clear(&out);
	assert_int_equal(ap_dns_reply_encode(&q, &reply, 512, &out), 0);
	assert_true(out.len <= 512 && out.len > 480);
	assert_int_equal(ap_dns_head_decode(ap_buf_slice(&out), &head), 0);
	assert_true(head.is_truncated && head.is_response);
	ap_buf_clear(&seen);
	assert_int_equal(ap_dns_response_walk(ap_buf_slice(&out), note, &seen), 0);
	recs[0].ip.len = 16;
	ap_buf_clear(&out);
	assert_int_equal(ap_dns_reply_encode(&q, &reply, 512, &out), -EINVAL);
	recs[0] = (struct ap_dns_record){ .type = AP_DNS_CNAME, .target = AP_S("a..b") };
	assert_int_equal(ap_dns_reply_encode(&q, &reply, 512, &out), -EINVAL);
	ap_buf_done(&out);
	ap_buf_done(&seen);
}

static void
pointers_that_do_not_go_back_are_refused(void **state)
{
	static const struct ap_slice cases[] = {
		/* an answer whose name points at itself; at what follows; at a pointer at itself */
		AP_S("\0\1\x80\0\0\0\0\1\0\0\0\0\xc0\x0c\0\1\0\1\0\0\0\0\0\4abcd"),
		AP_S("\0\1\x80\0\0\0\0\1\0\0\0\0\xc0\x10\0\1\0\1\0\0\0\0\0\4abcd"),
		AP_S("\0\1\x80\0\0\0\0\1\0\0\0\0\1a\xc0\x0c\0\1\0\1\0\0\0\0\0\4abcd"),
	};
	struct ap_buf seen;

	(void)state;
	ap_buf_init(&seen, 1000);
	for (size_t i = 0; i < AP_COUNTOF(cases); i++)
		assert_int_equal(ap_dns_response_walk(cases[i], note, &seen), -EBADMSG);
	ap_buf_done(&seen);
}

static void
our_queries_read_back(void **state)
{
	struct ap_dns_query q;
	struct ap_buf out;
	char label[80];

	(void)state;
	ap_buf_init(&out, 1000);
	assert_int_equal(ap_dns_query_encode(7, AP_S("a.b.c"), AP_DNS_AAAA, &out), 0);
	assert_int_equal(ap_dns_query_decode(ap_buf_slice(&out), &q), 0);
	assert_string_equal(q.name, "a.b.c");
	assert_true(q.has_edns);
	memset(label, 'a', sizeof(label));
	assert_int_equal(ap_dns_query_encode(7, ap_slice(label, 64), AP_DNS_A, &out), -EINVAL);
	ap_buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries_come_apart),
		cmocka_unit_test(bad_queries_get_the_right_code),
		cmocka_unit_test(replies_compress_truncate_and_read_back),
		cmocka_unit_test(pointers_that_do_not_go_back_are_refused),
		cmocka_unit_test(our_queries_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
