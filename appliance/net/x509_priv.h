/* x509_priv.h -- OpenSSL objects from and to PEM, for the files that deal with keys and certificates. */
#ifndef NET_X509_PRIV_H
#define NET_X509_PRIV_H
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "net/x509.h"

#define AP_PEM_CEILING ((size_t)1024 * 1024)

/* Fill err with `what` and OpenSSL's newest complaint; clears its queue. Returns -EINVAL. */
int ap_x509_fail(struct ap_error *err, const char *what);
/* Each gives NULL with err filled. */
EVP_PKEY *ap_x509_private_key(struct ap_slice pem, struct ap_error *err);
EVP_PKEY *ap_x509_public_key(struct ap_slice pem, struct ap_error *err);
X509 *ap_x509_certificate(struct ap_slice pem, struct ap_error *err);
/* P-256, P-384, RSA of 2,048 bits and more. */
int ap_x509_check_key(EVP_PKEY *key, struct ap_error *err);
/* Append what was written to a memory BIO, and free (and wipe) the BIO. */
int ap_x509_take_bio(BIO *bio, struct ap_buf *out, struct ap_error *err);
/* A new list of general names: URIs, then DNS names and IP addresses. NULL with err filled. */
GENERAL_NAMES *ap_x509_names(const struct ap_slice *uris, size_t uri_count, const struct ap_slice *names,
    size_t name_count, struct ap_error *err);

#endif
