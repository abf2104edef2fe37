/* test_x509.c -- keys, requests, certificates and SPIFFE ids; the openssl program reads what we write. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pki.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/file.h"

static void
spiffe_ids_are_read_strictly(void **state)
{
	static const struct {
		const char *uri;
		bool fine;
	} rows[] = {
		{ "spiffe://cluster.local/ns/default/sa/web", true },
		{ "spiffe://td/ns/a/sa/host.vm-1", true },
		{ "spiffe://td/ns/a/sa/A_b", true },
		{ "spiffe://TD/ns/a/sa/b", false },
		{ "SPIFFE://td/ns/a/sa/b", false },
		{ "spiffe://td/ns/a/sa/", false },
		{ "spiffe://td/ns//sa/b", false },
		{ "spiffe:///ns/a/sa/b", false },
		{ "spiffe://td/ns/a/sa/b/", false },
		{ "spiffe://td/ns/a/sa/b/c", false },
		{ "spiffe://td/ns/a/xx/b", false },
		{ "spiffe://td/a/ns/sa/b", false },
		{ "spiffe://td/ns/../sa/b", false },
		{ "spiffe://td/ns/a/sa/b?x", false },
		{ "spiffe://td/ns/a/sa/b%20", false },
		{ "spiffe://td:1/ns/a/sa/b", false },
		{ "spiffe://", false },
		{ "", false },
		{ "https://td/ns/a/sa/b", false },
	};
	struct ap_slice td, ns, sa;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		if (ap_spiffe_parse(ap_slice_of(rows[i].uri), &td, &ns, &sa) != rows[i].fine)
			fail_msg("%s", rows[i].uri);
	assert_true(ap_spiffe_parse(ap_slice_of(rows[0].uri), &td, &ns, &sa));
	assert_true(ap_slice_eq_text(td, "cluster.local"));
	assert_true(ap_slice_eq_text(ns, "default"));
	assert_true(ap_slice_eq_text(sa, "web"));
	assert_false(ap_spiffe_parse(AP_S("spiffe://td/ns/a\0b/sa/c"), &td, &ns, &sa));
}

static void
a_certificate_tells_what_it_was_asked_for(void **state)
{
	struct pki ca;
	struct pki_leaf leaf, other;
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_cert_info info;
	struct ap_error err = { 0 };
	struct ap_buf print;
	int64_t now = ap_clock_wall_ms() / 1000;

	(void)state;
	pki_init(&ca, "root");
	pki_leaf(&ca, &leaf, "spiffe://cluster.local/ns/a/sa/b", "b.example", 600);
	pki_leaf(&ca, &other, NULL, "127.0.0.1", 600);
	assert_int_equal(ap_cert_read(ap_buf_slice(&leaf.cert), arena, &info, &err), 0);
	assert_false(info.is_ca);
	assert_int_equal(info.uri_count, 1);
	assert_true(ap_slice_eq_text(info.uris[0], "spiffe://cluster.local/ns/a/sa/b"));
	assert_in_range(info.not_before, now - 62, now - 58);
	assert_in_range(info.not_after, now + 598, now + 602);
	assert_int_equal(strlen(info.serial), 32);
	assert_int_equal(ap_cert_read(ap_buf_slice(&ca.cert), arena, &info, &err), 0);
	assert_true(info.is_ca);
	assert_int_equal(ap_cert_read(ap_buf_slice(&other.cert), arena, &info, &err), 0);
	assert_int_equal(info.uri_count, 0);
	ap_buf_init(&print, 1024);
	assert_int_equal(ap_cert_fingerprint(ap_buf_slice(&leaf.cert), &print, &err), 0);
	assert_int_equal(print.len, 64);
	ap_buf_done(&print);
	assert_int_not_equal(
	    ap_cert_read(AP_S("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), arena, &info, &err),
	    0);
	assert_int_not_equal(ap_cert_read(AP_S(""), arena, &info, &err), 0);
	assert_int_not_equal(ap_cert_read_der(AP_S("\x30\x03\x02\x01\x01"), arena, &info, &err), 0);
	assert_int_not_equal(ap_cert_read_der(AP_SLICE_NONE, arena, &info, &err), 0);
	pki_leaf_done(&leaf);
	pki_leaf_done(&other);
	pki_done(&ca);
	ap_arena_free(&arena);
}

static void
a_request_is_checked_before_its_key_is_used(void **state)
{
	struct ap_buf key, csr, public_key, expected;
	struct ap_error err = { 0 };

	(void)state;
	ap_buf_init(&key, 65536);
	ap_buf_init(&csr, 65536);
	ap_buf_init(&public_key, 65536);
	ap_buf_init(&expected, 65536);
	assert_int_equal(ap_key_generate(&key, &err), 0);
	assert_true(ap_slice_starts(ap_buf_slice(&key), AP_S("-----BEGIN PRIVATE KEY-----")));
	assert_int_equal(ap_csr_make(ap_buf_slice(&key), AP_S("spiffe://td/ns/a/sa/b"), &csr, &err), 0);
	assert_int_equal(ap_csr_open(ap_buf_slice(&csr), &public_key, &err), 0);
	assert_int_equal(ap_key_public(ap_buf_slice(&key), &expected, &err), 0);
	assert_true(ap_slice_eq(ap_buf_slice(&public_key), ap_buf_slice(&expected)));
	/* One character of the signature differs. */
	{
		size_t at = ap_slice_search(ap_buf_slice(&csr), AP_S("\n-----END")) - 8;

		csr.ptr[at] = csr.ptr[at] == 'A' ? 'B' : 'A';
		assert_int_not_equal(ap_csr_open(ap_buf_slice(&csr), &public_key, &err), 0);
	}
	assert_int_not_equal(ap_csr_open(AP_S("nonsense"), &public_key, &err), 0);
	assert_int_not_equal(ap_csr_make(ap_buf_slice(&key), AP_S("a b"), &csr, &err), 0);
	assert_int_not_equal(ap_csr_make(AP_S("no key"), AP_S("spiffe://td/ns/a/sa/b"), &csr, &err), 0);
	ap_buf_wipe(&key);
	ap_buf_done(&csr);
	ap_buf_done(&public_key);
	ap_buf_done(&expected);
}

static void
the_issuers_key_must_be_its_own(void **state)
{
	struct pki a, b;
	struct pki_leaf leaf;
	struct ap_buf public_key, out;
	struct ap_error err = { 0 };
	struct ap_slice uri = AP_S("spiffe://td/ns/a/sa/b");
	struct ap_cert_request req = { .uris = &uri, .uri_count = 1, .lifetime_s = 60 };

	(void)state;
	pki_init(&a, "a");
	pki_init(&b, "b");
	pki_leaf(&a, &leaf, "spiffe://td/ns/a/sa/b", NULL, 60);
	ap_buf_init(&public_key, 65536);
	ap_buf_init(&out, 65536);
	assert_int_equal(ap_key_public(ap_buf_slice(&leaf.key), &public_key, &err), 0);
	assert_int_not_equal(
	    ap_cert_issue(&req, ap_buf_slice(&public_key), ap_buf_slice(&a.cert), ap_buf_slice(&b.key), &out, &err), 0);
	ap_buf_done(&public_key);
	ap_buf_done(&out);
	pki_leaf_done(&leaf);
	pki_done(&a);
	pki_done(&b);
}

static void
weak_keys_are_refused(void **state)
{
	static const struct {
		const char *make;
		bool fine;
	} rows[] = {
		{ "openssl req -new -newkey rsa:1024 -nodes -keyout /dev/null -subj /CN=x", false },
		{ "openssl req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=x", true },
		{ "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes -keyout /dev/null -subj "
		  "/CN=x",
		    true },
		{ "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout /dev/null -subj "
		  "/CN=x",
		    false },
		{ "openssl req -new -newkey ed25519 -nodes -keyout /dev/null -subj /CN=x", false },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		char command[512], csr[8192];
		struct ap_buf out;
		struct ap_error err = { 0 };
		size_t size;
		FILE *f;

		(void)snprintf(command, sizeof(command), "%s 2>/dev/null", rows[i].make);
		f = popen(command, "r");
		assert_non_null(f);
		size = fread(csr, 1, sizeof(csr), f);
		(void)pclose(f);
		if (size == 0)
			continue; /* this openssl refuses to make it */
		ap_buf_init(&out, 65536);
		if ((ap_csr_open(ap_slice(csr, size), &out, &err) == 0) != rows[i].fine)
			fail_msg("%s: %s", rows[i].make, err.text);
		ap_buf_done(&out);
	}
}

static void
openssl_accepts_our_chain(void **state)
{
	struct pki ca;
	struct pki_leaf leaf;
	struct ap_error err = { 0 };
	char dir[] = "/tmp/ambit-x509-XXXXXX", command[512], text[128], root[64], cert[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(root, sizeof(root), "%s/root.pem", dir);
	(void)snprintf(cert, sizeof(cert), "%s/leaf.pem", dir);
	pki_init(&ca, "root");
	pki_leaf(&ca, &leaf, "spiffe://td/ns/a/sa/b", "::1", 600);
	assert_int_equal(ap_file_write(root, ap_buf_slice(&ca.cert), 0600, &err), 0);
	assert_int_equal(ap_file_write(cert, ap_buf_slice(&leaf.cert), 0600, &err), 0);
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(command, sizeof(command),
		    "openssl verify -x509_strict -purpose %s -verify_ip ::1 -CAfile %s %s >/dev/null",
		    i == 0 ? "sslserver" : "sslclient", root, cert);
		assert_int_equal(system(command), 0);
	}
	(void)snprintf(text, sizeof(text), "%s", dir);
	assert_int_equal(ap_dir_remove(text, &err), 0);
	pki_leaf_done(&leaf);
	pki_done(&ca);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spiffe_ids_are_read_strictly),
		cmocka_unit_test(a_certificate_tells_what_it_was_asked_for),
		cmocka_unit_test(a_request_is_checked_before_its_key_is_used),
		cmocka_unit_test(the_issuers_key_must_be_its_own),
		cmocka_unit_test(weak_keys_are_refused),
		cmocka_unit_test(openssl_accepts_our_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
