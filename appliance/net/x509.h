/* x509.h -- keys, requests and certificates: what the authority signs and what a workload asks for. ECDSA P-256, SPIFFE URI SANs. */
#ifndef NET_X509_H
#define NET_X509_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

struct ap_cert_info {
	int64_t not_before, not_after; /* Unix seconds */
	char serial[64];               /* hex */
	bool is_ca;
	struct ap_slice *uris; /* URI SANs, in the arena given */
	size_t uri_count;
};

struct ap_cert_request {
	struct ap_slice common_name; /* may be empty */
	const struct ap_slice *uris; /* URI SANs */
	size_t uri_count;
	const struct ap_slice *names; /* DNS names or IP addresses as text */
	size_t name_count;
	int64_t lifetime_s;
	int64_t backdate_s; /* not_before = now - backdate */
	bool is_ca;
};

struct ap_arena;

AP_PUBLIC_BEGIN
/* New P-256 key as PKCS#8 PEM. Wipe the buffer when done (ap_buf_wipe). */
int ap_key_generate(struct ap_buf *out_pem, struct ap_error *err);
void ap_buf_wipe(struct ap_buf *b);
/* CSR with one URI SAN and an empty subject, PEM (istio-ambient.md 3). */
int ap_csr_make(struct ap_slice key_pem, struct ap_slice uri, struct ap_buf *out_pem, struct ap_error *err);
/* Check a CSR's signature and give its public key, PEM; only P-256, P-384 and RSA >= 2048 are taken. */
int ap_csr_open(struct ap_slice csr_pem, struct ap_buf *out_public_key_pem, struct ap_error *err);
/* Self-signed when issuer is empty (key_pem then is the private key of both). public_key_pem: who it is for. */
int ap_cert_issue(const struct ap_cert_request *req, struct ap_slice public_key_pem, struct ap_slice issuer_cert_pem,
    struct ap_slice issuer_key_pem, struct ap_buf *out_pem, struct ap_error *err);
/* Public half of a private key, PEM. */
int ap_key_public(struct ap_slice key_pem, struct ap_buf *out_pem, struct ap_error *err);
/* Facts of the first certificate in the PEM. */
int ap_cert_read(struct ap_slice pem, struct ap_arena *arena, struct ap_cert_info *out, struct ap_error *err);
/* Facts of a DER certificate. */
int ap_cert_read_der(struct ap_slice der, struct ap_arena *arena, struct ap_cert_info *out, struct ap_error *err);
/* SHA-256 of the first certificate's DER, hex. */
int ap_cert_fingerprint(struct ap_slice pem, struct ap_buf *out, struct ap_error *err);

/* spiffe://<td>/ns/<ns>/sa/<sa>, exactly these parts (istio-ambient.md 1.2); slices into uri. False: not of that form. */
bool ap_spiffe_parse(struct ap_slice uri, struct ap_slice *out_trust_domain, struct ap_slice *out_namespace,
    struct ap_slice *out_account);
AP_PUBLIC_END

#endif
