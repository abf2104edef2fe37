/* tls_priv.h -- what the files of the TLS filter know of each other: context, filter, handshake, send buffers. */
#ifndef NET_TLS_PRIV_H
#define NET_TLS_PRIV_H
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>

#include "base/refs.h"
#include "event/loop.h"
#include "net/tls.h"

struct ap_tls {
	uint32_t magic;
	struct ap_refs refs;
	SSL_CTX *ctx; /* its app data is this struct */
	enum ap_tls_verify verify;
	bool is_server, check_host;
	unsigned char *alpn; /* as on the wire */
	size_t alpn_size;
	ap_tls_choose_fn choose;
	void *choose_arg;
};

/* Needed until OPEN. */
struct handshake {
	struct ap_timer deadline;
	ap_tls_peer_fn peer_fn;
	void *peer_arg;
	bool refused; /* by peer_fn */
};

/* After close() with bytes still to send: the filter lives on alone for a while. */
struct tls_linger {
	struct ap_timer deadline;
	struct ap_loop_exit at_exit;
};

/* A send buffer; held only while bytes wait. */
#define AP_TLS_OUT_HIGH ((size_t)128 * 1024)
#define AP_TLS_OUT_ROOM (AP_TLS_OUT_HIGH + (size_t)40 * 1024) /* a record that is begun finds room */
struct ap_tls_out {
	struct ap_tls_out *next; /* while idle */
	size_t head, tail;
	char bytes[AP_TLS_OUT_ROOM];
};

struct tls {
	struct ap_stream s;
	SSL *ssl; /* its app data is this struct */
	struct ap_tls *tls;
	struct ap_tls_out *out; /* NULL: nothing waits */
	struct ap_task flush, wake;
	struct handshake *handshake;
	struct tls_linger *linger;
	char *spiffe; /* first of the peer's URI SANs that is one */
	unsigned char *der;
	int der_size;
	bool started;     /* the handshake began */
	bool postponed;   /* its next step waits for a turn with room */
	bool dry;         /* the last read below came back short */
	bool starved;     /* OpenSSL wants more bytes before it can give any */
	bool eof;         /* close_notify came */
	bool below_eof;   /* the filter below ended */
	bool cut;         /* ... without close_notify */
	bool read_broken; /* nothing more will be read; s.error may be set by writing alone */
	bool stuck;       /* the filter below takes no more for now */
	bool write_ended, shut_below, told_failed;
	char *why; /* a failed handshake's sentence */
};

extern const struct ap_stream_ops ap_tls_ops;
struct tls *ap_tls_filter(const struct ap_stream *s);

/* tls.c */
BIO_METHOD *ap_tls_bio_method(void);
void ap_tls_want_below(struct tls *t);
/* Bring wants and wake-ups in line with what is so now. */
void ap_tls_settle(struct tls *t);
/* After a failed call of OpenSSL: AGAIN, EOF or ERROR, with the stream's error set. */
int ap_tls_judge(struct tls *t, int rc);
/* Send the alert, tell FAILED. */
void ap_tls_fail(struct tls *t);
void ap_tls_on_below(struct ap_stream *below, unsigned events, void *arg);
void ap_tls_on_wake(struct ap_task *task, void *arg);
void ap_tls_on_flush(struct ap_task *task, void *arg);

/* tls_handshake.c */
void ap_tls_handshake_begin(struct tls *t);
void ap_tls_handshake_step(struct tls *t);
/* A step is possible: now, or when a turn has room for it. */
void ap_tls_handshake_ready(struct tls *t);
void ap_tls_handshake_end(struct tls *t);
int ap_tls_on_verify(X509_STORE_CTX *store, void *arg);
int ap_tls_on_client_hello(SSL *ssl, int *alert, void *arg);

/* x509.c: URI SANs of a certificate, at most max; they point into *out_names: GENERAL_NAMES_free. */
size_t ap_x509_uris(X509 *cert, struct ap_slice *out, size_t max, GENERAL_NAMES **out_names);

/* tls_out.c */
struct ap_tls_out *ap_tls_out_take(void);
void ap_tls_out_give(struct ap_tls_out *out);

#endif
