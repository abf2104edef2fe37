/* test_addr.c -- addresses and networks as text and as values. */
#include <errno.h>
#include <string.h>

#include "../test.h"
#include "base/addr.h"

static void
addresses_have_one_text(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = { { "1.2.3.4:80", "1.2.3.4:80" }, { "[::1]:80", "[::1]:80" }, { ":80", "[::]:80" },
		{ "[::ffff:1.2.3.4]:5", "1.2.3.4:5" }, { "unix:/run/x", "unix:/run/x" }, { "unix:@x", "unix:@x" },
		{ "0.0.0.0:0", "0.0.0.0:0" }, { "1.2.3.4", NULL }, { "::1:80", NULL }, { "[1.2.3.4]:80", NULL },
		{ "1.2.3.4:65536", NULL }, { "1.2.3.4:", NULL }, { "host:80", NULL }, { "unix:", NULL },
		{ "unix:x", NULL }, { "[::1]80", NULL }, { "", NULL }, { "[fe80::1%1]:1", NULL } };
	char text[AP_ADDR_TEXT], path[200];
	struct ap_addr a, b;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		int r = ap_addr_parse(ap_slice_of(cases[i].in), &a);

		assert_int_equal(r, cases[i].out == NULL ? -EINVAL : 0);
		if (r < 0)
			continue;
		assert_string_equal(ap_addr_format(&a, text, sizeof(text)), cases[i].out);
		b = ap_addr_from_sockaddr(&a.u.sa, a.len);
		assert_true(ap_addr_eq(&a, &b));
	}
	memset(path, 'a', sizeof(path));
	memcpy(path, "unix:/", 6);
	assert_int_equal(ap_addr_parse(ap_slice(path, 5 + 107), &a), 0);
	assert_int_equal(strlen(ap_addr_format(&a, text, sizeof(text))), 5 + 107);
	assert_int_equal(ap_addr_parse(ap_slice(path, 5 + 108), &a), -EINVAL);
	a = ap_addr_from_sockaddr(NULL, 0);
	assert_string_equal(ap_addr_format(&a, text, sizeof(text)), "none");
	assert_int_equal(ap_addr_port(&a), 0);
}

static void
mapped_addresses_are_ipv4(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = 0x5000 };
	struct ap_addr a, b;
	struct ap_ip ip;

	(void)state;
	memcpy(&in6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	a = ap_addr_from_sockaddr((const struct sockaddr *)&in6, sizeof(in6));
	assert_int_equal(ap_addr_parse(AP_S("10.0.0.1:80"), &b), 0);
	assert_true(ap_addr_eq(&a, &b));
	assert_int_equal(ap_addr_ip(&a, &ip), 0);
	assert_int_equal(ip.len, 4);
	assert_int_equal(ap_ip_parse(AP_S("::1"), &ip), 0);
	assert_true(ap_ip_is_loopback(&ip));
	assert_int_equal(ap_ip_from_bytes("abc", 3, &ip), -EINVAL);
	ap_addr_set_port(&a, 81);
	assert_int_equal(ap_addr_port(&a), 81);
	assert_false(ap_addr_eq(&a, &b));
}

static void
networks_hold_their_addresses(void **state)
{
	static const struct {
		const char *cidr, *text; /* NULL: refused */
		const char *inside, *outside;
	} cases[] = { { "10.1.2.3/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.0" },
		{ "1.2.3.4", "1.2.3.4/32", "1.2.3.4", "1.2.3.5" },
		{ "10.0.0.129/25", "10.0.0.128/25", "10.0.0.255", "10.0.0.127" },
		{ "0.0.0.0/0", "0.0.0.0/0", "9.9.9.9", "::1" }, { "fd00::1/7", "fc00::/7", "fdff::", "fe00::" },
		{ "::ffff:10.0.0.9/120", "10.0.0.0/24", "10.0.0.1", "10.0.1.0" }, { "10.0.0.0/33", NULL, NULL, NULL },
		{ "10.0.0.0/", NULL, NULL, NULL }, { "::ffff:1.2.3.4/95", NULL, NULL, NULL },
		{ "x/8", NULL, NULL, NULL }, { "::/129", NULL, NULL, NULL } };
	char text[64];
	struct ap_cidr c;
	struct ap_ip ip;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		int r = ap_cidr_parse(ap_slice_of(cases[i].cidr), &c);

		assert_int_equal(r, cases[i].text == NULL ? -EINVAL : 0);
		if (r < 0)
			continue;
		assert_string_equal(ap_cidr_format(&c, text, sizeof(text)), cases[i].text);
		assert_int_equal(ap_ip_parse(ap_slice_of(cases[i].inside), &ip), 0);
		assert_true(ap_cidr_has(&c, &ip));
		assert_int_equal(ap_ip_parse(ap_slice_of(cases[i].outside), &ip), 0);
		assert_false(ap_cidr_has(&c, &ip));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_one_text),
		cmocka_unit_test(mapped_addresses_are_ipv4),
		cmocka_unit_test(networks_hold_their_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
