/* pki.h -- a small authority for tests: a root and leaves below it, in memory. */
#ifndef TESTS_PKI_H
#define TESTS_PKI_H
#include <string.h>

#include "../test.h"

#include "net/x509.h"

struct pki_leaf {
	struct ap_buf key, cert;
};

struct pki {
	struct ap_buf key, cert;
};

static inline void
pki_init(struct pki *p, const char *name)
{
	struct ap_error err = { 0 };
	struct ap_slice uri = AP_S("spiffe://cluster.local");
	struct ap_cert_request req = { .common_name = ap_slice_of(name),
		.uris = &uri,
		.uri_count = 1,
		.lifetime_s = 3600,
		.backdate_s = 60,
		.is_ca = true };

	ap_buf_init(&p->key, 65536);
	ap_buf_init(&p->cert, 65536);
	assert_int_equal(ap_key_generate(&p->key, &err), 0);
	if (ap_cert_issue(&req, AP_SLICE_NONE, AP_SLICE_NONE, ap_buf_slice(&p->key), &p->cert, &err) != 0)
		fail_msg("%s", err.text);
}

static inline void
pki_done(struct pki *p)
{
	ap_buf_wipe(&p->key);
	ap_buf_done(&p->cert);
}

/* uri, name: NULL for none. */
static inline void
pki_leaf(struct pki *p, struct pki_leaf *l, const char *uri, const char *name, int64_t lifetime_s)
{
	struct ap_error err = { 0 };
	struct ap_slice u = ap_slice_of(uri), n = ap_slice_of(name);
	struct ap_cert_request req = { .uris = &u,
		.uri_count = uri != NULL,
		.names = &n,
		.name_count = name != NULL,
		.lifetime_s = lifetime_s,
		.backdate_s = 60 };
	struct ap_buf public_key;

	ap_buf_init(&l->key, 65536);
	ap_buf_init(&l->cert, 65536);
	ap_buf_init(&public_key, 65536);
	assert_int_equal(ap_key_generate(&l->key, &err), 0);
	assert_int_equal(ap_key_public(ap_buf_slice(&l->key), &public_key, &err), 0);
	if (ap_cert_issue(
		&req, ap_buf_slice(&public_key), ap_buf_slice(&p->cert), ap_buf_slice(&p->key), &l->cert, &err) != 0)
		fail_msg("%s", err.text);
	ap_buf_done(&public_key);
}

static inline void
pki_leaf_done(struct pki_leaf *l)
{
	ap_buf_wipe(&l->key);
	ap_buf_done(&l->cert);
}

#endif
