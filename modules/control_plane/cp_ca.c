/*
 * cp_ca.c -- the certificate authority.
 *
 * Owns the authority's key in memory and, when it made it, on disk; the key leaves neither.  Signing a P-256 leaf takes
 * tens of microseconds, so it is done in line.
 */
#include "control_plane/cp_ca.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/x509.h"

AP_LOG_MODULE(cp_ca);

#define PEM_MAX ((size_t)256 * 1024)
#define ROOT_LIFETIME_S ((int64_t)10 * 365 * 24 * 3600)

struct cp_ca {
	char *trust_domain;
	struct ap_buf cert, key, roots, intermediates;
	int64_t not_after;
};

/* --- The authority's own files ------------------------------------------------------------------------------------- */

static int
make_root(struct cp_ca *ca, const char *cert_path, const char *key_path, struct ap_error *err)
{
	struct ap_buf public_key;
	ap_buf_init(&public_key, PEM_MAX);
	char *uri = ap_asprintf("spiffe://%s", ca->trust_domain);
	struct ap_slice uris = ap_slice_of(uri);
	struct ap_cert_request req = { .common_name = AP_S("Ambit mesh root"),
		.uris = &uris,
		.uri_count = 1,
		.lifetime_s = ROOT_LIFETIME_S,
		.backdate_s = 3600,
		.is_ca = true };
	int r = ap_key_generate(&ca->key, err);
	if (r == 0)
		r = ap_key_public(ap_buf_slice(&ca->key), &public_key, err);
	if (r == 0)
		r = ap_cert_issue(&req, ap_buf_slice(&public_key), AP_SLICE_NONE, ap_buf_slice(&ca->key), &ca->cert, err);
	/* The key first: a certificate without its key would be taken for an authority at the next start. */
	if (r == 0)
		r = ap_file_write(key_path, ap_buf_slice(&ca->key), 0600, err);
	if (r == 0)
		r = ap_file_write(cert_path, ap_buf_slice(&ca->cert), 0600, err);
	ap_buf_done(&public_key);
	ap_free(&uri);
	if (r == 0)
		LOG_INFO(NULL, "made the mesh' root certificate for trust domain %s in %s", ca->trust_domain, cert_path);
	return r;
}

static int
load(struct cp_ca *ca, const char *cert_path, const char *key_path, struct ap_error *err)
{
	int r = ap_file_read(cert_path, &ca->cert, err);
	return r != 0 ? r : ap_file_read(key_path, &ca->key, err);
}

static int
open_own(struct cp_ca *ca, struct ap_slice dir, struct ap_error *err)
{
	char *folder = ap_strndup(dir.ptr, dir.len);
	char *cert_path = ap_asprintf("%s/root-cert.pem", folder);
	char *key_path = ap_asprintf("%s/root-key.pem", folder);
	int r = ap_dir_make(folder, 0700, err);
	bool has_cert = access(cert_path, F_OK) == 0, has_key = access(key_path, F_OK) == 0;
	if (r == 0 && has_cert && !has_key)
		r = ap_error_set(err, -ENOENT, "%s is missing beside its certificate; restore it, or remove %s to begin a new mesh",
		    key_path, cert_path);
	else if (r == 0)
		r = has_cert ? load(ca, cert_path, key_path, err) : make_root(ca, cert_path, key_path, err);
	ap_free(&folder);
	ap_free(&cert_path);
	ap_free(&key_path);
	if (r == 0)
		ap_buf_add_slice(&ca->roots, ap_buf_slice(&ca->cert));
	return r;
}

static int
open_given(struct cp_ca *ca, const struct cp_ca_settings *s, struct ap_error *err)
{
	char *cert = ap_strndup(s->cert_file.ptr, s->cert_file.len);
	char *key = ap_strndup(s->key_file.ptr, s->key_file.len);
	char *roots = ap_strndup(s->roots_file.ptr, s->roots_file.len);
	int r = load(ca, cert, key, err);
	if (r == 0 && s->roots_file.len > 0) {
		r = ap_file_read(roots, &ca->roots, err);
		ap_buf_add_slice(&ca->intermediates, ap_buf_slice(&ca->cert));
	} else if (r == 0) {
		ap_buf_add_slice(&ca->roots, ap_buf_slice(&ca->cert));
	}
	ap_free(&cert);
	ap_free(&key);
	ap_free(&roots);
	return r;
}

static int
check_authority(struct cp_ca *ca, struct ap_error *err)
{
	struct ap_arena *arena = ap_arena_new(64 * 1024);
	struct ap_cert_info info;
	int r = ap_cert_read(ap_buf_slice(&ca->cert), arena, &info, err);
	if (r == 0 && !info.is_ca)
		r = ap_error_set(err, -EINVAL, "the authority's certificate may not sign others (CA:FALSE)");
	if (r == 0 && info.not_after * 1000 <= ap_clock_wall_ms())
		r = ap_error_set(err, -EINVAL, "the authority's certificate has expired");
	ca->not_after = r == 0 ? info.not_after : 0;
	ap_arena_free(&arena);
	return r;
}

struct cp_ca *
cp_ca_open(const struct cp_ca_settings *s, struct ap_error *err)
{
	struct cp_ca *ca = ap_new(struct cp_ca);
	ca->trust_domain = ap_strndup(s->trust_domain.ptr, s->trust_domain.len);
	ap_buf_init(&ca->cert, PEM_MAX);
	ap_buf_init(&ca->key, PEM_MAX);
	ap_buf_init(&ca->roots, PEM_MAX);
	ap_buf_init(&ca->intermediates, PEM_MAX);
	int r = s->cert_file.len > 0 ? open_given(ca, s, err) : open_own(ca, s->dir, err);
	if (r == 0)
		r = check_authority(ca, err);
	if (r != 0) {
		ap_error_wrap(err, "certificate authority");
		cp_ca_free(&ca);
	}
	return ca;
}

void
cp_ca_free(struct cp_ca **pca)
{
	struct cp_ca *ca = *pca;
	if (ca == NULL)
		return;
	ap_buf_wipe(&ca->key);
	ap_buf_done(&ca->key);
	ap_buf_done(&ca->cert);
	ap_buf_done(&ca->roots);
	ap_buf_done(&ca->intermediates);
	ap_free(&ca->trust_domain);
	ap_free(pca);
}

struct ap_slice
cp_ca_roots(const struct cp_ca *ca)
{
	return ap_buf_slice(&ca->roots);
}

struct ap_slice
cp_ca_intermediates(const struct cp_ca *ca)
{
	return ap_buf_slice(&ca->intermediates);
}

struct ap_slice
cp_ca_certificate(const struct cp_ca *ca)
{
	return ap_buf_slice(&ca->cert);
}

/* --- Signing ---------------------------------------------------------------------------------------------------------- */

/* Clocks differ a little; a certificate of seconds must not be past its half-life when it is born. */
static int64_t
backdate(int64_t lifetime_s)
{
	return AP_MIN(lifetime_s / 10, 120);
}

static int
sign(struct cp_ca *ca, struct ap_cert_request *req, struct ap_slice public_key, struct ap_buf *out, struct ap_error *err)
{
	int64_t left = ca->not_after - ap_clock_wall_ms() / 1000;
	if (left <= 0)
		return ap_error_set(err, -EKEYEXPIRED, "the authority's certificate has expired");
	req->lifetime_s = AP_MIN(req->lifetime_s, left);
	req->backdate_s = backdate(req->lifetime_s);
	return ap_cert_issue(req, public_key, ap_buf_slice(&ca->cert), ap_buf_slice(&ca->key), out, err);
}

int
cp_ca_issue(struct cp_ca *ca, struct ap_slice spiffe, struct ap_slice csr_pem, int64_t lifetime_s, struct ap_buf *out,
    struct ap_error *err)
{
	struct ap_buf public_key;
	ap_buf_init(&public_key, PEM_MAX);
	struct ap_cert_request req = { .uris = &spiffe, .uri_count = 1, .lifetime_s = lifetime_s };
	int r = ap_csr_open(csr_pem, &public_key, err);
	if (r == 0)
		r = sign(ca, &req, ap_buf_slice(&public_key), out, err);
	ap_buf_done(&public_key);
	return r;
}

int
cp_ca_issue_server(struct cp_ca *ca, const struct ap_slice *names, size_t name_count, int64_t lifetime_s,
    struct ap_buf *out_chain, struct ap_buf *out_key, struct ap_error *err)
{
	struct ap_buf public_key;
	ap_buf_init(&public_key, PEM_MAX);
	char *uri = ap_asprintf("spiffe://%s/ns/ambit-system/sa/control-plane", ca->trust_domain);
	struct ap_slice uris = ap_slice_of(uri);
	struct ap_cert_request req = { .common_name = AP_S("Ambit control plane"),
		.uris = &uris,
		.uri_count = 1,
		.names = names,
		.name_count = name_count,
		.lifetime_s = lifetime_s };
	int r = ap_key_generate(out_key, err);
	if (r == 0)
		r = ap_key_public(ap_buf_slice(out_key), &public_key, err);
	if (r == 0)
		r = sign(ca, &req, ap_buf_slice(&public_key), out_chain, err);
	if (r == 0)
		ap_buf_add_slice(out_chain, ap_buf_slice(&ca->intermediates));
	ap_buf_done(&public_key);
	ap_free(&uri);
	return r;
}

/* --- What a request wishes -------------------------------------------------------------------------------------------- */

static void
first_uri(X509_REQ *req, struct ap_buf *out)
{
	STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
	GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
		if (n->type != GEN_URI)
			continue;
		ap_buf_add(out, ASN1_STRING_get0_data(n->d.uniformResourceIdentifier),
		    (size_t)ASN1_STRING_length(n->d.uniformResourceIdentifier));
		break;
	}
	GENERAL_NAMES_free(names);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
}

int
cp_csr_uri(struct ap_slice csr_pem, struct ap_buf *out, struct ap_error *err)
{
	if (csr_pem.len > PEM_MAX)
		return ap_error_set(err, -EINVAL, "the certificate request is too long");
	BIO *bio = BIO_new_mem_buf(csr_pem.ptr, (int)csr_pem.len);
	X509_REQ *req = bio == NULL ? NULL : PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (req == NULL)
		return ap_error_set(err, -EINVAL, "the certificate request is no PEM that can be read");
	first_uri(req, out);
	X509_REQ_free(req);
	return out->bad ? ap_error_set(err, -EINVAL, "the certificate request's name is too long") : 0;
}
