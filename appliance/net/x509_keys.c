/*
 * x509_keys.c -- keys and certificate requests: what a workload makes before it asks, and what the authority checks
 * first.  Pure functions on memory; any thread.  Memory that held a private key is wiped.
 */
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/addr.h"
#include "base/check.h"
#include "base/mem.h"
#include "net/x509_priv.h"

int
ap_x509_fail(struct ap_error *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

	ERR_clear_error();
	return ap_error_set(err, -EINVAL, "%s: %s", what, reason == NULL ? "failed" : reason);
}

/* No prompt on a terminal for an encrypted key. */
static int
no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

static BIO *
bio_of(struct ap_slice pem)
{
	BIO *bio;

	AP_CHECK(pem.len <= INT32_MAX);
	bio = BIO_new_mem_buf(pem.len == 0 ? "" : pem.ptr, (int)pem.len);
	AP_CHECK(bio != NULL);
	ERR_clear_error();
	return bio;
}

EVP_PKEY *
ap_x509_private_key(struct ap_slice pem, struct ap_error *err)
{
	BIO *bio = bio_of(pem);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

	BIO_free(bio);
	if (key == NULL)
		(void)ap_x509_fail(err, "private key");
	return key;
}

EVP_PKEY *
ap_x509_public_key(struct ap_slice pem, struct ap_error *err)
{
	BIO *bio = bio_of(pem);
	EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);

	BIO_free(bio);
	if (key == NULL)
		(void)ap_x509_fail(err, "public key");
	return key;
}

X509 *
ap_x509_certificate(struct ap_slice pem, struct ap_error *err)
{
	BIO *bio = bio_of(pem);
	X509 *cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);

	BIO_free(bio);
	if (cert == NULL)
		(void)ap_x509_fail(err, "certificate");
	return cert;
}

int
ap_x509_take_bio(BIO *bio, struct ap_buf *out, struct ap_error *err)
{
	char *bytes = NULL;
	long size = BIO_get_mem_data(bio, &bytes);

	if (size > 0) {
		ap_buf_add(out, bytes, (size_t)size);
		ap_wipe(bytes, (size_t)size);
	}
	BIO_free(bio);
	if (size <= 0)
		return ap_x509_fail(err, "PEM");
	return out->bad ? ap_error_set(err, -EFBIG, "PEM: no room for %ld bytes", size) : 0;
}

int
ap_x509_check_key(EVP_PKEY *key, struct ap_error *err)
{
	char group[32] = "";
	size_t len = 0;

	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_EC:
		if (EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
		    (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0 ||
			strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0))
			return 0;
		return ap_error_set(err, -EINVAL, "key: curve %s is not taken, only P-256 and P-384", group);
	case EVP_PKEY_RSA:
		if (EVP_PKEY_get_bits(key) >= 2048)
			return 0;
		return ap_error_set(err, -EINVAL, "key: RSA of %d bits is too short", EVP_PKEY_get_bits(key));
	default:
		return ap_error_set(err, -EINVAL, "key: only ECDSA (P-256, P-384) and RSA are taken");
	}
}

int
ap_key_generate(struct ap_buf *out_pem, struct ap_error *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_secmem());
	int rc;

	if (bio == NULL)
		bio = BIO_new(BIO_s_mem());
	if (key == NULL || bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
		BIO_free(bio);
		rc = ap_x509_fail(err, "new key");
	} else {
		rc = ap_x509_take_bio(bio, out_pem, err);
	}
	EVP_PKEY_free(key);
	return rc;
}

void
ap_buf_wipe(struct ap_buf *b)
{
	if (b->ptr != NULL)
		ap_wipe(b->ptr, b->room);
	ap_buf_done(b);
}

int
ap_key_public(struct ap_slice key_pem, struct ap_buf *out_pem, struct ap_error *err)
{
	EVP_PKEY *key = ap_x509_private_key(key_pem, err);
	BIO *bio;
	int rc;

	if (key == NULL)
		return -EINVAL;
	bio = BIO_new(BIO_s_mem());
	if (bio == NULL || PEM_write_bio_PUBKEY(bio, key) != 1) {
		BIO_free(bio);
		rc = ap_x509_fail(err, "public key");
	} else {
		rc = ap_x509_take_bio(bio, out_pem, err);
	}
	EVP_PKEY_free(key);
	return rc;
}

/* Names in certificates are ASCII; a NUL or a control character in one is an attack. */
static bool
is_plain(struct ap_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return false;
	return s.len > 0;
}

static int
add_name(GENERAL_NAMES *list, int type, const void *bytes, size_t size)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *text = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	AP_CHECK(name != NULL && text != NULL);
	AP_CHECK(ASN1_STRING_set(text, bytes, (int)size) == 1);
	GENERAL_NAME_set0_value(name, type, text);
	return sk_GENERAL_NAME_push(list, name) > 0 ? 0 : -ENOMEM;
}

GENERAL_NAMES *
ap_x509_names(const struct ap_slice *uris, size_t uri_count, const struct ap_slice *names, size_t name_count,
    struct ap_error *err)
{
	GENERAL_NAMES *list = GENERAL_NAMES_new();
	int rc = 0;

	AP_CHECK(list != NULL);
	for (size_t i = 0; i < uri_count && rc == 0; i++)
		rc = is_plain(uris[i]) ? add_name(list, GEN_URI, uris[i].ptr, uris[i].len)
				       : ap_error_set(err, -EINVAL, "a URI name has characters that are not allowed");
	for (size_t i = 0; i < name_count && rc == 0; i++) {
		struct ap_ip ip;

		if (ap_ip_parse(names[i], &ip) == 0)
			rc = add_name(list, GEN_IPADD, ip.bytes, ip.len);
		else if (is_plain(names[i]))
			rc = add_name(list, GEN_DNS, names[i].ptr, names[i].len);
		else
			rc = ap_error_set(err, -EINVAL, "a DNS name has characters that are not allowed");
	}
	if (rc == 0)
		return list;
	GENERAL_NAMES_free(list);
	return NULL;
}

static int
add_request_names(X509_REQ *req, struct ap_slice uri, struct ap_error *err)
{
	GENERAL_NAMES *names = ap_x509_names(&uri, 1, NULL, 0, err);
	STACK_OF(X509_EXTENSION) *exts = NULL;
	int rc = 0;

	if (names == NULL)
		return -EINVAL;
	/* Critical, since the subject is empty (RFC 5280 4.2.1.6). */
	if (X509V3_add1_i2d(&exts, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) != 1 ||
	    X509_REQ_add_extensions(req, exts) != 1)
		rc = ap_x509_fail(err, "certificate request");
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	GENERAL_NAMES_free(names);
	return rc;
}

int
ap_csr_make(struct ap_slice key_pem, struct ap_slice uri, struct ap_buf *out_pem, struct ap_error *err)
{
	EVP_PKEY *key = ap_x509_private_key(key_pem, err);
	X509_REQ *req;
	BIO *bio;
	int rc;

	if (key == NULL)
		return -EINVAL;
	req = X509_REQ_new();
	AP_CHECK(req != NULL);
	rc = add_request_names(req, uri, err);
	if (rc == 0 && (X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 || X509_REQ_set_pubkey(req, key) != 1 ||
			   X509_REQ_sign(req, key, EVP_sha256()) <= 0))
		rc = ap_x509_fail(err, "certificate request");
	if (rc == 0) {
		bio = BIO_new(BIO_s_mem());
		AP_CHECK(bio != NULL && PEM_write_bio_X509_REQ(bio, req) == 1);
		rc = ap_x509_take_bio(bio, out_pem, err);
	}
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	return rc;
}

int
ap_csr_open(struct ap_slice csr_pem, struct ap_buf *out_public_key_pem, struct ap_error *err)
{
	BIO *bio = bio_of(csr_pem);
	X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL);
	EVP_PKEY *key;
	int rc;

	BIO_free(bio);
	if (req == NULL)
		return ap_x509_fail(err, "certificate request");
	key = X509_REQ_get0_pubkey(req);
	rc = key == NULL ? ap_x509_fail(err, "certificate request") : ap_x509_check_key(key, err);
	if (rc == 0 && X509_REQ_verify(req, key) != 1)
		rc = ap_x509_fail(err, "certificate request: the signature does not fit");
	if (rc == 0) {
		bio = BIO_new(BIO_s_mem());
		AP_CHECK(bio != NULL && PEM_write_bio_PUBKEY(bio, key) == 1);
		rc = ap_x509_take_bio(bio, out_public_key_pem, err);
	}
	X509_REQ_free(req);
	return rc;
}
