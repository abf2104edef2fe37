/*
 * x509_issue.c -- the authority's hand: certificates with SPIFFE names, for workloads, servers and intermediates.
 * Pure functions on memory; any thread.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "net/x509_priv.h"

#define SERIAL_BYTES 16

/* Positive, random, never zero (RFC 5280 4.1.2.2). */
static int
set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *number;
	int rc;

	ap_rand_bytes(bytes, sizeof(bytes));
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	AP_CHECK(number != NULL);
	rc = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
	BN_free(number);
	return rc;
}

static int
set_times(X509 *cert, const struct ap_cert_request *req)
{
	int64_t now = ap_clock_wall_ms() / 1000;

	return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(now - req->backdate_s)) != NULL &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(now + req->lifetime_s)) != NULL;
}

static int
set_subject(X509 *cert, struct ap_slice common_name)
{
	union {
		const char *in;
		const unsigned char *out;
	} u = { .in = common_name.ptr };

	if (common_name.len == 0)
		return 1;
	return X509_NAME_add_entry_by_NID(
	    X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8, u.out, (int)common_name.len, -1, 0);
}

static int
add_text(X509 *cert, X509V3_CTX *ctx, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
	int rc = ext != NULL && X509_add_ext(cert, ext, -1) == 1;

	X509_EXTENSION_free(ext);
	return rc;
}

static int
add_names(X509 *cert, const struct ap_cert_request *req, struct ap_error *err)
{
	GENERAL_NAMES *names;
	int rc;

	if (req->uri_count + req->name_count == 0)
		return 0;
	names = ap_x509_names(req->uris, req->uri_count, req->names, req->name_count, err);
	if (names == NULL)
		return -EINVAL;
	/* Critical when the names are all there is (RFC 5280 4.2.1.6). */
	rc = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, req->common_name.len == 0, X509V3_ADD_DEFAULT);
	GENERAL_NAMES_free(names);
	return rc == 1 ? 0 : ap_x509_fail(err, "certificate names");
}

static int
add_extensions(X509 *cert, X509 *issuer, const struct ap_cert_request *req, struct ap_error *err)
{
	X509V3_CTX ctx;
	int ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ok = add_text(cert, &ctx, NID_basic_constraints, req->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
	     add_text(cert, &ctx, NID_key_usage,
		 req->is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,keyEncipherment") &&
	     (req->is_ca || add_text(cert, &ctx, NID_ext_key_usage, "serverAuth,clientAuth")) &&
	     add_text(cert, &ctx, NID_subject_key_identifier, "hash") &&
	     add_text(cert, &ctx, NID_authority_key_identifier, issuer == cert ? "keyid" : "keyid:always");
	if (!ok)
		return ap_x509_fail(err, "certificate");
	return add_names(cert, req, err);
}

/* The hash that goes with the signer's key. */
static const EVP_MD *
hash_for(EVP_PKEY *key)
{
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) > 256)
		return EVP_sha384();
	return EVP_sha256();
}

static int
build(X509 *cert, X509 *issuer, EVP_PKEY *subject_key, EVP_PKEY *issuer_key, const struct ap_cert_request *req,
    struct ap_error *err)
{
	int rc;

	if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) || !set_times(cert, req) ||
	    set_subject(cert, req->common_name) != 1 || X509_set_pubkey(cert, subject_key) != 1 ||
	    X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1)
		return ap_x509_fail(err, "certificate");
	rc = add_extensions(cert, issuer, req, err);
	if (rc == 0 && X509_sign(cert, issuer_key, hash_for(issuer_key)) <= 0)
		rc = ap_x509_fail(err, "certificate: signing");
	return rc;
}

int
ap_cert_issue(const struct ap_cert_request *req, struct ap_slice public_key_pem, struct ap_slice issuer_cert_pem,
    struct ap_slice issuer_key_pem, struct ap_buf *out_pem, struct ap_error *err)
{
	const bool self = issuer_cert_pem.len == 0;
	EVP_PKEY *signer = NULL, *subject = NULL;
	X509 *issuer = NULL, *cert = X509_new();
	BIO *bio;
	int rc = -EINVAL;

	AP_CHECK(cert != NULL);
	signer = ap_x509_private_key(issuer_key_pem, err);
	if (signer == NULL)
		goto out;
	if (self) {
		EVP_PKEY_up_ref(signer);
		subject = signer;
	} else if ((subject = ap_x509_public_key(public_key_pem, err)) == NULL ||
		   (issuer = ap_x509_certificate(issuer_cert_pem, err)) == NULL) {
		goto out;
	} else if (X509_check_private_key(issuer, signer) != 1) {
		rc = ap_x509_fail(err, "the issuer's key is not that of its certificate");
		goto out;
	}
	rc = ap_x509_check_key(subject, err);
	if (rc == 0)
		rc = build(cert, self ? cert : issuer, subject, signer, req, err);
	if (rc == 0) {
		bio = BIO_new(BIO_s_mem());
		AP_CHECK(bio != NULL && PEM_write_bio_X509(bio, cert) == 1);
		rc = ap_x509_take_bio(bio, out_pem, err);
	}
out:
	X509_free(cert);
	X509_free(issuer);
	EVP_PKEY_free(subject);
	EVP_PKEY_free(signer);
	return rc;
}
