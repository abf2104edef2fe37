/*
 * tls.h -- TLS contexts and the TLS filter.  Raw SSL_* on a BIO of our own that gathers records, so that one write(2)
 * carries what a turn of the loop produced; no bufferevents.  Contexts are immutable and shared between threads.
 *
 * Ends: close_notify reads as EOF.  A transport that ends without it is AP_STREAM_RESET and ap_tls_is_cut() tells that it
 * was an end and not a reset: HTTP with a length does not care, a tunnel must.  A TLS 1.3 client may be OPEN before the
 * server has judged its certificate; the refusal is then the first thing read (AP_STREAM_TLS).
 */
#ifndef NET_TLS_H
#define NET_TLS_H
#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"
#include "net/stream.h"

enum ap_tls_verify {
	AP_TLS_VERIFY_NONE,     /* server: no client certificate asked; client: tests only */
	AP_TLS_VERIFY_OPTIONAL, /* server: asked for, checked when given */
	AP_TLS_VERIFY_REQUIRED, /* chain must verify against roots */
};

struct ap_tls_settings {
	struct ap_slice cert_chain_pem; /* leaf first; empty: no certificate */
	struct ap_slice key_pem;        /* PKCS#8 or SEC1 */
	struct ap_slice roots_pem;      /* trust anchors; empty with REQUIRED fails every handshake */
	struct ap_slice crls_pem;       /* revocation lists of any number; may be empty */
	const char *const *alpn; /* NULL-terminated, in order of preference; NULL: none. A server refuses a client
	                                 * that offers protocols of which none is ours */
	enum ap_tls_verify verify;
	bool is_server;
	bool mesh;       /* TLS 1.3 only, AES-GCM suites, no tickets: istio-ambient.md 1.2 */
	bool check_host; /* client: also match the server's DNS/IP name, given at ap_tls_client */
};

struct ap_tls; /* a context, counted */

/* Asked when the chain is fine, before the handshake completes: fail it by returning false. `uris`: the leaf's URI SANs.
 * Not asked when the peer gave no certificate, nor with AP_TLS_VERIFY_NONE. */
typedef bool (*ap_tls_peer_fn)(const struct ap_slice *uris, size_t count, void *arg);

/*
 * Asked at a ClientHello, with or without SNI (empty then), on the thread of the stream: which context answers this client?
 * Returns a context that the caller keeps alive during the call (the stream takes its own reference), or NULL for the one
 * given to ap_tls_server, or AP_TLS_WAIT: then the handshake stands still until ap_tls_choose_again asks once more.
 * The stream's ap_stream_bottom() tells the addresses.
 */
typedef struct ap_tls *(*ap_tls_choose_fn)(struct ap_stream *s, struct ap_slice sni, void *arg);
#define AP_TLS_WAIT ((struct ap_tls *)-1)

AP_PUBLIC_BEGIN
struct ap_tls *ap_tls_new(const struct ap_tls_settings *settings, struct ap_error *err);
struct ap_tls *ap_tls_ref(struct ap_tls *tls);
void ap_tls_unref(struct ap_tls **tls);
/* Server: set right after ap_tls_new, before the context is used or shared. */
void ap_tls_set_chooser(struct ap_tls *tls, ap_tls_choose_fn choose, void *arg);
void ap_tls_choose_again(struct ap_stream *s);

/* A filter on `below`, which it owns from here on. The handshake starts at once; OPEN or FAILED follows, within 10 s.
 * host: SNI and name to check (NULL: neither). peer_fn may be NULL. Never NULL. */
struct ap_stream *ap_tls_client(
    struct ap_stream *below, struct ap_tls *tls, const char *host, ap_tls_peer_fn peer_fn, void *peer_arg);
struct ap_stream *ap_tls_server(struct ap_stream *below, struct ap_tls *tls, ap_tls_peer_fn peer_fn, void *peer_arg);

/* After OPEN. The first URI SAN of the peer that is a SPIFFE id, or empty; lives as long as the stream. */
struct ap_slice ap_tls_peer_spiffe(const struct ap_stream *s);
/* The peer's leaf in DER, lives as long as the stream; empty when it gave none. */
struct ap_slice ap_tls_peer_der(const struct ap_stream *s);
struct ap_slice ap_tls_alpn(const struct ap_stream *s);
/* Why a handshake failed, as OpenSSL says it; for logs. */
const char *ap_tls_error_text(const struct ap_stream *s);
/* The transport ended without close_notify (error is AP_STREAM_RESET). */
bool ap_tls_is_cut(const struct ap_stream *s);
bool ap_stream_is_tls(const struct ap_stream *s);
AP_PUBLIC_END

#endif
