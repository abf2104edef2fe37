/*
 * tls_ctx.c -- SSL_CTX from settings.  A context never changes once it is in use, so threads share it without a lock of
 * ours; a renewed certificate is a new context, and old connections keep the one they began with.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/tls_priv.h"

#define TLS_MAGIC AP_MAGIC('T', 'L', 'S', 'C')
#define READ_BUFFER ((size_t)128 * 1024)

/* AES-128 first: as strong for our purpose and a third faster. */
#define MESH_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define MESH_GROUPS "X25519:P-256:P-384"

/* The newest complaint of OpenSSL as err's text. */
static int
ssl_error(struct ap_error *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

	ERR_clear_error();
	return ap_error_set(err, -1, "%s: %s", what, reason == NULL ? "failed" : reason);
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
	BIO *bio = BIO_new_mem_buf(pem.ptr == NULL ? "" : pem.ptr, (int)pem.len);

	AP_CHECK(bio != NULL);
	return bio;
}

/* True when the PEM ended because nothing more is in it, rather than because it is broken. */
static bool
at_end_of_pem(void)
{
	unsigned long code = ERR_peek_last_error();

	ERR_clear_error();
	return code == 0 || (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE);
}

static int
load_chain(SSL_CTX *ctx, struct ap_slice pem, struct ap_error *err)
{
	BIO *bio = bio_of(pem);
	unsigned count = 0;
	X509 *cert;
	int rc = 0;

	while (rc == 0 && (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
		if (count++ == 0 ? SSL_CTX_use_certificate(ctx, cert) != 1 : SSL_CTX_add1_chain_cert(ctx, cert) != 1)
			rc = ssl_error(err, "certificate");
		X509_free(cert);
	}
	BIO_free(bio);
	if (rc == 0 && !at_end_of_pem())
		rc = ap_error_set(err, -1, "certificate chain: broken PEM");
	if (rc == 0 && count == 0)
		rc = ap_error_set(err, -1, "certificate chain: holds no certificate");
	return rc;
}

static int
load_key(SSL_CTX *ctx, struct ap_slice pem, struct ap_error *err)
{
	BIO *bio = bio_of(pem);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	int rc = 0;

	BIO_free(bio);
	if (key == NULL)
		return ssl_error(err, "private key");
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		rc = ssl_error(err, "private key");
	EVP_PKEY_free(key);
	return rc;
}

/* Trust anchors, and for a server their names, which tell the client which certificate to give. */
static int
load_roots(SSL_CTX *ctx, struct ap_slice pem, bool is_server, struct ap_error *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = bio_of(pem);
	X509 *cert;
	int rc = 0;

	while (rc == 0 && (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
		if (X509_STORE_add_cert(store, cert) != 1 || (is_server && SSL_CTX_add_client_CA(ctx, cert) != 1))
			rc = ssl_error(err, "trust anchors");
		X509_free(cert);
	}
	BIO_free(bio);
	if (rc == 0 && !at_end_of_pem())
		rc = ap_error_set(err, -1, "trust anchors: broken PEM");
	/* Whatever is given is an anchor, self-signed or not. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	return rc;
}

static int
load_crls(SSL_CTX *ctx, struct ap_slice pem, struct ap_error *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = bio_of(pem);
	X509_CRL *crl;
	unsigned count = 0;
	int rc = 0;

	while (rc == 0 && (crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL)) != NULL) {
		if (X509_STORE_add_crl(store, crl) != 1)
			rc = ssl_error(err, "revocation lists");
		count++;
		X509_CRL_free(crl);
	}
	BIO_free(bio);
	if (rc == 0 && !at_end_of_pem())
		rc = ap_error_set(err, -1, "revocation lists: broken PEM");
	if (count > 0)
		X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return rc;
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned int in_len,
    void *arg)
{
	/* The chooser may have put another context in the place of the first. */
	const struct ap_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	unsigned char *chosen;

	(void)arg;
	if (tls->alpn_size == 0)
		return SSL_TLSEXT_ERR_NOACK;
	if (SSL_select_next_proto(&chosen, out_len, tls->alpn, (unsigned)tls->alpn_size, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int
set_alpn(struct ap_tls *tls, const char *const *names, struct ap_error *err)
{
	size_t size = 0;

	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		size += 1 + strlen(names[i]);
	if (size == 0)
		return 0;
	tls->alpn = ap_alloc(size);
	for (size_t i = 0; names[i] != NULL; i++) {
		size_t len = strlen(names[i]);

		if (len == 0 || len > 255)
			return ap_error_set(err, -1, "ALPN: a protocol's name has 1 to 255 bytes");
		tls->alpn[tls->alpn_size++] = (unsigned char)len;
		memcpy(tls->alpn + tls->alpn_size, names[i], len);
		tls->alpn_size += len;
	}
	if (tls->is_server)
		SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, NULL);
	else if (SSL_CTX_set_alpn_protos(tls->ctx, tls->alpn, (unsigned)tls->alpn_size) != 0)
		return ssl_error(err, "ALPN");
	return 0;
}

static int
set_versions(SSL_CTX *ctx, const struct ap_tls_settings *settings, struct ap_error *err)
{
	if (SSL_CTX_set_min_proto_version(ctx, settings->mesh ? TLS1_3_VERSION : TLS1_2_VERSION) != 1)
		return ssl_error(err, "TLS version");
	if (settings->mesh &&
	    (SSL_CTX_set_ciphersuites(ctx, MESH_SUITES) != 1 || SSL_CTX_set1_groups_list(ctx, MESH_GROUPS) != 1))
		return ssl_error(err, "TLS suites");
	/* A resumed session is not verified again, so identity and revocation would go unchecked. */
	if (settings->mesh || settings->verify != AP_TLS_VERIFY_NONE) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	return 0;
}

static void
set_behaviour(struct ap_tls *tls)
{
	static const int modes[] = {
		[AP_TLS_VERIFY_NONE] = SSL_VERIFY_NONE,
		[AP_TLS_VERIFY_OPTIONAL] = SSL_VERIFY_PEER,
		[AP_TLS_VERIFY_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};

	SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	/* One recv(2) for several records, straight into OpenSSL's buffer, which it drops when empty. */
	SSL_CTX_set_read_ahead(tls->ctx, 1);
	SSL_CTX_set_default_read_buffer_len(tls->ctx, READ_BUFFER);
	SSL_CTX_set_verify(tls->ctx, modes[tls->verify], NULL);
	SSL_CTX_set_cert_verify_callback(tls->ctx, ap_tls_on_verify, NULL);
	SSL_CTX_set_app_data(tls->ctx, tls);
}

static void
tls_free(struct ap_tls *tls)
{
	SSL_CTX_free(tls->ctx);
	tls->magic = 0;
	ap_free(&tls->alpn);
	ap_free(&tls);
}

struct ap_tls *
ap_tls_new(const struct ap_tls_settings *settings, struct ap_error *err)
{
	struct ap_tls *tls = ap_new(struct ap_tls);
	int rc;

	ERR_clear_error();
	tls->magic = TLS_MAGIC;
	ap_refs_init(&tls->refs);
	tls->is_server = settings->is_server;
	tls->check_host = settings->check_host;
	tls->verify = settings->verify;
	tls->ctx = SSL_CTX_new(settings->is_server ? TLS_server_method() : TLS_client_method());
	AP_CHECK(tls->ctx != NULL);
	set_behaviour(tls);
	rc = set_versions(tls->ctx, settings, err);
	if (rc == 0 && settings->cert_chain_pem.len > 0)
		rc = load_chain(tls->ctx, settings->cert_chain_pem, err);
	if (rc == 0 && settings->cert_chain_pem.len > 0)
		rc = load_key(tls->ctx, settings->key_pem, err);
	if (rc == 0)
		rc = load_roots(tls->ctx, settings->roots_pem, settings->is_server, err);
	if (rc == 0)
		rc = load_crls(tls->ctx, settings->crls_pem, err);
	if (rc == 0)
		rc = set_alpn(tls, settings->alpn, err);
	if (rc != 0) {
		tls_free(tls);
		return NULL;
	}
	return tls;
}

struct ap_tls *
ap_tls_ref(struct ap_tls *tls)
{
	AP_IS(tls, TLS_MAGIC);
	ap_refs_add(&tls->refs);
	return tls;
}

void
ap_tls_unref(struct ap_tls **tls)
{
	struct ap_tls *t = *tls;

	*tls = NULL;
	if (t == NULL)
		return;
	AP_IS(t, TLS_MAGIC);
	if (ap_refs_drop(&t->refs))
		tls_free(t);
}

void
ap_tls_set_chooser(struct ap_tls *tls, ap_tls_choose_fn choose, void *arg)
{
	AP_IS(tls, TLS_MAGIC);
	tls->choose = choose;
	tls->choose_arg = arg;
	SSL_CTX_set_client_hello_cb(tls->ctx, choose == NULL ? NULL : ap_tls_on_client_hello, NULL);
}
