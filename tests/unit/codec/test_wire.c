/* test_wire.c -- gRPC frames, PROXY headers, trace headers, Prometheus text. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "codec/grpc.h"
#include "codec/prom.h"
#include "codec/proxyproto.h"
#include "codec/trace.h"

static void
grpc_frames_are_put_together_from_any_cuts(void **state)
{
	struct ap_grpc_reader r;
	struct ap_slice m;
	struct ap_buf out;
	int messages = 0;

	(void)state;
	ap_buf_init(&out, 1000);
	ap_grpc_frame(AP_S("hello"), &out);
	ap_grpc_frame(AP_S(""), &out);
	ap_grpc_frame(AP_S("x"), &out);
	ap_grpc_reader_init(&r, 5);
	for (size_t i = 0; i < out.len; i++) {
		assert_int_equal(ap_grpc_reader_feed(&r, ap_slice(out.ptr + i, 1)), 0);
		while (ap_grpc_reader_next(&r, &m) == 1)
			assert_int_equal(m.len, messages++ == 0 ? 5 : messages == 2 ? 0 : 1);
	}
	assert_int_equal(messages, 3);
	assert_true(ap_grpc_reader_is_at_edge(&r));
	ap_grpc_reader_feed(&r, AP_S("\0\0\0\0\6"));
	assert_int_equal(ap_grpc_reader_next(&r, &m), -EMSGSIZE);
	ap_grpc_reader_done(&r);
	ap_grpc_reader_init(&r, 5);
	ap_grpc_reader_feed(&r, AP_S("\1\0\0\0\1x"));
	assert_int_equal(ap_grpc_reader_next(&r, &m), -EPROTO);
	ap_grpc_reader_done(&r);
	ap_buf_clear(&out);
	ap_grpc_message_encode(AP_S("50% \n\xc3\xa9"), &out);
	assert_string_equal(out.ptr, "50%25 %0A%C3%A9");
	ap_buf_clear(&out);
	ap_grpc_message_decode(AP_S("50%25 %0A%z%4"), &out);
	assert_string_equal(out.ptr, "50% \n%z%4");
	ap_buf_done(&out);
	assert_string_equal(ap_grpc_status_name(14), "UNAVAILABLE");
	assert_string_equal(ap_grpc_status_name(99), "UNKNOWN");
	assert_int_equal(ap_grpc_status_parse(AP_S("7")), AP_GRPC_PERMISSION_DENIED);
	assert_int_equal(ap_grpc_status_parse(AP_S("17")), AP_GRPC_UNKNOWN);
	assert_int_equal(ap_grpc_status_parse(AP_SLICE_NONE), AP_GRPC_UNKNOWN);
	assert_int_equal(ap_grpc_status_from_http(503), AP_GRPC_UNAVAILABLE);
}

static struct ap_addr
addr(const char *text)
{
	struct ap_addr a;

	assert_int_equal(ap_addr_parse(ap_slice_of(text), &a), 0);
	return a;
}

static void
proxy_v1_is_read_and_written(void **state)
{
	static const struct {
		const char *in;
		int r;
	} cases[] = { { "", 0 }, { "PRO", 0 }, { "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", 0 },
		{ "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nx", 1 }, { "PROXY TCP6 ::1 ::2 1 65535\r\n", 1 },
		{ "PROXY UNKNOWN\r\n", 1 }, { "PROXY UNKNOWN ff x\r\n", 1 }, { "GET / HTTP/1.1\r\n", -EPROTO },
		{ "PROXY TCP4 ::1 ::2 1 2\r\n", -EPROTO }, { "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", -EPROTO },
		{ "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", -EPROTO }, { "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", -EPROTO },
		{ "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", -EPROTO }, { "PROXY\r\n", -EPROTO } };
	struct ap_addr a = addr("1.2.3.4:1"), b = addr("5.6.7.8:2"), c = addr("[::1]:3");
	struct ap_proxy_header h;
	struct ap_buf out;
	char text[AP_ADDR_TEXT], many[200];

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++)
		if (ap_proxy_decode(ap_slice_of(cases[i].in), &h) != cases[i].r)
			fail_msg("%s", cases[i].in);
	memset(many, 'x', sizeof(many));
	memcpy(many, "PROXY ", 6);
	assert_int_equal(ap_proxy_decode(ap_slice(many, sizeof(many)), &h), -EPROTO);
	ap_buf_init(&out, 200);
	ap_proxy_v1_encode(&a, &b, &out);
	assert_string_equal(out.ptr, "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n");
	assert_int_equal(ap_proxy_decode(ap_buf_slice(&out), &h), 1);
	assert_int_equal(h.size, out.len);
	assert_string_equal(ap_addr_format(&h.dst, text, sizeof(text)), "5.6.7.8:2");
	ap_buf_clear(&out);
	ap_proxy_v1_encode(&a, &c, &out);
	assert_string_equal(out.ptr, "PROXY UNKNOWN\r\n");
	ap_buf_done(&out);
}

static void
proxy_v2_carries_tlvs_and_checks_them(void **state)
{
	/* HAProxy's own example shape: TCP4 10.0.0.1:1000 -> 10.0.0.2:80, CRC32C TLV. */
	uint8_t crc[16 + 12 + 7] = { 0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 'Q', 'U', 'I', 'T', 0x0a, 0x21, 0x11, 0, 19,
		10, 0, 0, 1, 10, 0, 0, 2, 3, 0xe8, 0, 80, 3, 0, 4, 0, 0, 0, 0 };
	const struct ap_proxy_tlv tlvs[] = { { AP_PROXY_TLV_PEER_IDENTITY, AP_S("spiffe://td/ns/a/sa/b") },
		{ AP_PROXY_TLV_AUTHORITY, AP_S("") } };
	struct ap_addr a = addr("[2001:db8::1]:1"), b = addr("[::2]:2"), c = addr("1.2.3.4:3");
	struct ap_proxy_header h;
	struct ap_buf out;

	(void)state;
	ap_buf_init(&out, 100000);
	assert_int_equal(ap_proxy_v2_encode(&a, &b, tlvs, 2, &out), 0);
	for (size_t i = 0; i < out.len; i++)
		assert_int_equal(ap_proxy_decode(ap_slice(out.ptr, i), &h), 0);
	assert_int_equal(ap_proxy_decode(ap_buf_slice(&out), &h), 1);
	assert_true(ap_addr_eq(&h.src, &a) && ap_addr_eq(&h.dst, &b) && !h.is_local);
	assert_true(ap_slice_eq(ap_proxy_tlv_find(&h, 0xd0), tlvs[0].value));
	assert_non_null(ap_proxy_tlv_find(&h, 2).ptr);
	assert_null(ap_proxy_tlv_find(&h, 9).ptr);
	out.ptr[15]--; /* the last TLV is cut */
	assert_int_equal(ap_proxy_decode(ap_buf_slice(&out), &h), -EPROTO);
	ap_buf_clear(&out);
	assert_int_equal(ap_proxy_v2_encode(&a, &c, NULL, 0, &out), 0);
	assert_int_equal(ap_proxy_decode(ap_buf_slice(&out), &h), 1);
	assert_true(h.is_local);
	out.ptr[12] = 0x31;
	assert_int_equal(ap_proxy_decode(ap_buf_slice(&out), &h), -EPROTO);
	ap_buf_done(&out);
	assert_int_equal(ap_proxy_decode(ap_slice((char *)crc, sizeof(crc)), &h), -EPROTO);
	memcpy(crc + 31, "\x5c\x5b\xcd\x65", 4);
	assert_int_equal(ap_proxy_decode(ap_slice((char *)crc, sizeof(crc)), &h), 1);
}

static void
trace_headers_have_istio_s_forms(void **state)
{
	static const char *const bad[] = { "", "00-00000000000000000000000000000000-0000000000000001-00",
		"00-00000000000000000000000000000001-0000000000000000-00",
		"01-00000000000000000000000000000001-0000000000000001-00",
		"00-0000000000000000000000000000000A-0000000000000001-00",
		"00-00000000000000000000000000000001-0000000000000001-000" };
	struct ap_traceparent t, u;
	char text[AP_TRACEPARENT_LEN + 1];
	struct ap_baggage b = { .cluster = AP_S("c1"),
		.ns = AP_S("shop"),
		.workload_type = AP_S("deployment"),
		.workload_name = AP_S("cart-v1"),
		.service_name = AP_S("cart"),
		.version = AP_S(""),
		.region = AP_S("r,1"),
		.zone = AP_S("z1") };
	struct ap_baggage in = { 0 };
	struct ap_addr client = addr("10.0.0.1:555"), client6 = addr("[::1]:5");
	struct ap_buf out;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(bad); i++)
		assert_int_equal(ap_traceparent_parse(ap_slice_of(bad[i]), &t), -EINVAL);
	ap_traceparent_make(&t);
	assert_int_equal(ap_traceparent_parse(ap_slice_of(ap_traceparent_format(&t, text)), &u), 0);
	assert_memory_equal(&t, &u, sizeof(t));
	ap_traceparent_step(&u);
	assert_memory_equal(t.trace_id, u.trace_id, 16);
	assert_memory_not_equal(t.span_id, u.span_id, 8);
	ap_buf_init(&out, 1000);
	ap_baggage_format(&b, &out);
	assert_string_equal(out.ptr, "k8s.cluster.name=c1,k8s.namespace.name=shop,k8s.deployment.name=cart-v1,"
				     "service.name=cart,cloud.availability_zone=z1");
	ap_baggage_parse(ap_buf_slice(&out), &in);
	assert_true(ap_slice_eq_text(in.workload_type, "deployment"));
	assert_true(ap_slice_eq_text(in.workload_name, "cart-v1"));
	assert_true(ap_slice_eq_text(in.zone, "z1"));
	ap_baggage_parse(AP_S("x=y,service.version=v2,service.name=,k8s.thing.name=q,cloud.region=a=b,,="), &in);
	assert_true(ap_slice_eq_text(in.version, "v2"));
	assert_true(ap_slice_eq_text(in.service_name, "cart"));
	assert_true(ap_slice_eq_text(in.region, "a=b"));
	ap_buf_clear(&out);
	ap_forwarded_format(&client, AP_S("a.b.svc"), &out);
	assert_string_equal(out.ptr, "for=\"10.0.0.1:555\";host=a.b.svc");
	assert_true(ap_slice_eq_text(ap_forwarded_host(ap_buf_slice(&out)), "a.b.svc"));
	ap_buf_clear(&out);
	ap_forwarded_format(&client6, AP_SLICE_NONE, &out);
	assert_string_equal(out.ptr, "for=\"[::1]:5\"");
	assert_int_equal(ap_forwarded_host(ap_buf_slice(&out)).len, 0);
	assert_true(ap_slice_eq_text(ap_forwarded_host(AP_S("for=x; host=\"q\" ")), "q"));
	assert_int_equal(ap_forwarded_host(AP_S("host=\xc3\xa9")).len, 0);
	ap_buf_done(&out);
}

struct seen {
	size_t count;
	double sum;
	enum ap_prom_type types[16];
	char last[64];
};

static int
see(void *arg, const struct ap_prom_sample *s)
{
	struct seen *seen = arg;

	seen->types[seen->count++ % 16] = s->type;
	if (isfinite(s->value))
		seen->sum += s->value;
	snprintf(seen->last, sizeof(seen->last), "%.*s %.*s %zu", AP_FMT(s->family), AP_FMT(ap_prom_label(s, "l")),
	    s->label_count);
	return 0;
}

static void
prometheus_text_is_read(void **state)
{
	static const char *const bad[] = { "1x 2", "x", "x{", "x{a} 1", "x{a=\"b} 1", "x{a=\"b\" c=\"d\"} 1", "x 0x1",
		"x 1 y", "x 1 2 3", "x{a=b} 1", "x 1e999" };
	struct seen seen = { 0 };
	struct ap_error err;

	(void)state;
	assert_int_equal(
	    ap_prom_parse(AP_S("# HELP a x\n# TYPE a counter\na_total{l=\"q\\\"\\n\\\\\",m=\"\",} 3\n"
			       "a_created 1.5 123\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 4 # {t=\"1\"} 2\n"
			       "h_sum NaN\nother +Inf 1.25\r\n\n{ 1\n"),
		100, see, &seen, &err),
	    -EINVAL);
	assert_int_equal(err.at.line, 10);
	assert_int_equal(seen.count, 5);
	assert_true(seen.sum > 8.49 && seen.sum < 8.51);
	assert_int_equal(seen.types[1], AP_PROM_COUNTER);
	assert_int_equal(seen.types[2], AP_PROM_HISTOGRAM);
	assert_int_equal(seen.types[4], AP_PROM_UNKNOWN);
	assert_int_equal(ap_prom_parse(AP_S("b{l=\"q\\\"\\n\\\\\"} 1\n# EOF\n###\nx"), 100, see, &seen, &err), 0);
	assert_string_equal(seen.last, "b q\"\n\\ 1");
	for (size_t i = 0; i < AP_COUNTOF(bad); i++)
		if (ap_prom_parse(ap_slice_of(bad[i]), 100, see, &seen, &err) != -EINVAL)
			fail_msg("%s", bad[i]);
	assert_int_equal(ap_prom_parse(AP_S("a 1\nb 2\n"), 1, see, &seen, &err), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grpc_frames_are_put_together_from_any_cuts),
		cmocka_unit_test(proxy_v1_is_read_and_written),
		cmocka_unit_test(proxy_v2_carries_tlvs_and_checks_them),
		cmocka_unit_test(trace_headers_have_istio_s_forms),
		cmocka_unit_test(prometheus_text_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
