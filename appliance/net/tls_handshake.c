/*
 * tls_handshake.c -- from the birth of a TLS filter to OPEN: stepping the handshake within its deadline, choosing the
 * server's context at the ClientHello, judging the peer's certificate; and what is known of the peer afterwards.
 *
 * A step is a few hundred microseconds of arithmetic.  A storm of new connections would make turns of seconds out of
 * them, so a turn has room for a few and the rest waits for the next ones, while traffic goes on in between.
 * The loop's thread.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/addr.h"
#include "base/check.h"
#include "base/mem.h"
#include "net/tls_priv.h"
#include "net/x509.h"

#define HANDSHAKE_MS 10000
#define URIS_MAX 32
#define STEPS_PER_TURN 16

void
ap_tls_handshake_end(struct tls *t)
{
	if (t->handshake == NULL)
		return;
	ap_timer_stop(&t->handshake->deadline);
	ap_free(&t->handshake);
}

void
ap_tls_handshake_step(struct tls *t)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		ap_tls_handshake_end(t);
		t->s.is_open = true;
		t->starved = false;
		if (t->write_ended)
			(void)SSL_shutdown(t->ssl);
		ap_stream_emit(&t->s, AP_STREAM_OPEN);
		ap_tls_settle(t);
		return;
	}
	if (ap_tls_judge(t, rc) == AP_STREAM_ERROR)
		ap_tls_fail(t);
	else
		ap_tls_want_below(t);
}

/* Is there room for one more step in this turn? */
static bool
take_room(struct ap_loop *loop)
{
	static _Thread_local uint64_t turn;
	static _Thread_local unsigned steps;

	if (turn != ap_loop_turns(loop)) {
		turn = ap_loop_turns(loop);
		steps = 0;
	}
	return steps++ < STEPS_PER_TURN;
}

static void
on_postponed(struct ap_task *task, void *arg)
{
	struct tls *t = arg;

	if (t->s.error != AP_STREAM_OK)
		return; /* too late */
	if (!take_room(t->s.loop)) {
		ap_task_schedule_next(t->s.loop, task);
		return;
	}
	t->postponed = false;
	ap_task_init(task, ap_tls_on_wake, t); /* it was lent */
	ap_tls_handshake_step(t);
}

void
ap_tls_handshake_ready(struct tls *t)
{
	if (t->postponed)
		return;
	if (take_room(t->s.loop)) {
		ap_tls_handshake_step(t);
		return;
	}
	t->postponed = true;
	ap_tls_want_below(t);
	ap_task_cancel(&t->wake);
	ap_task_init(&t->wake, on_postponed, t);
	ap_task_schedule_next(t->s.loop, &t->wake);
}

static void
on_deadline(struct ap_timer *timer, void *arg)
{
	struct tls *t = arg;

	(void)timer;
	(void)ap_stream_break(&t->s, AP_STREAM_TIMEOUT, 0);
	if (t->why == NULL)
		t->why = ap_strdup("the handshake took too long");
	ap_tls_fail(t);
}

void
ap_tls_handshake_begin(struct tls *t)
{
	if (t->started)
		return;
	t->started = true;
	ap_task_cancel(&t->wake);
	ap_task_init(&t->wake, ap_tls_on_wake, t);
	ap_timer_start(&t->handshake->deadline, HANDSHAKE_MS);
	if (t->tls->is_server)
		ap_tls_want_below(t);
	else
		ap_tls_handshake_ready(t);
}

static void
on_begin(struct ap_task *task, void *arg)
{
	struct tls *t = arg;

	ap_task_init(task, ap_tls_on_wake, t); /* it was lent */
	if (t->started)
		ap_tls_handshake_ready(t); /* the chooser is to be asked again */
	else
		ap_tls_handshake_begin(t);
}

/* Unknown status is tolerated and an old list is better than none: istio-ambient.md 1.2. */
static int
tolerate_crl_gaps(int ok, X509_STORE_CTX *store)
{
	switch (X509_STORE_CTX_get_error(store)) {
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_NOT_YET_VALID:
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	default:
		return ok;
	}
}

static void
keep_spiffe(struct tls *t, const struct ap_slice *uris, size_t count)
{
	struct ap_slice domain, namespace, account;

	ap_free(&t->spiffe);
	for (size_t i = 0; i < count; i++)
		if (ap_spiffe_parse(uris[i], &domain, &namespace, &account)) {
			t->spiffe = ap_strndup(uris[i].ptr, uris[i].len);
			return;
		}
}

int
ap_tls_on_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	struct ap_slice uris[URIS_MAX];
	GENERAL_NAMES *names = NULL;
	size_t count;
	bool fine = true;

	(void)arg;
	if (t->tls->verify != AP_TLS_VERIFY_NONE) {
		X509_STORE_CTX_set_verify_cb(store, tolerate_crl_gaps);
		if (X509_verify_cert(store) != 1)
			return 0;
	}
	count = ap_x509_uris(X509_STORE_CTX_get0_cert(store), uris, AP_COUNTOF(uris), &names);
	if (t->tls->verify != AP_TLS_VERIFY_NONE && t->handshake != NULL && t->handshake->peer_fn != NULL)
		fine = t->handshake->peer_fn(uris, count, t->handshake->peer_arg);
	if (fine)
		keep_spiffe(t, uris, count);
	GENERAL_NAMES_free(names);
	if (!fine) {
		t->handshake->refused = true;
		X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
		return 0;
	}
	return 1;
}

/* RFC 6066 section 3: list length, type 0, name length, name. */
static struct ap_slice
sni_of(SSL *ssl)
{
	const unsigned char *ext;
	size_t size, len;
	union {
		const unsigned char *in;
		const char *out;
	} u;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &size) != 1 || size < 5 || ext[2] != 0)
		return AP_SLICE_NONE;
	len = (size_t)ext[3] << 8 | ext[4];
	if (len + 5 > size)
		return AP_SLICE_NONE;
	u.in = ext + 5;
	return ap_slice(u.out, len);
}

int
ap_tls_on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);
	struct ap_tls *chosen;

	(void)alert;
	(void)arg;
	chosen = t->tls->choose(&t->s, sni_of(ssl), t->tls->choose_arg);
	if (chosen == AP_TLS_WAIT)
		return SSL_CLIENT_HELLO_RETRY;
	if (chosen == NULL || chosen == t->tls)
		return SSL_CLIENT_HELLO_SUCCESS;
	AP_CHECK(chosen->is_server);
	if (SSL_set_SSL_CTX(ssl, chosen->ctx) == NULL)
		return SSL_CLIENT_HELLO_ERROR;
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(chosen->ctx), NULL);
	ap_tls_ref(chosen);
	ap_tls_unref(&t->tls);
	t->tls = chosen;
	return SSL_CLIENT_HELLO_SUCCESS;
}

void
ap_tls_choose_again(struct ap_stream *s)
{
	struct tls *t = ap_tls_filter(s);

	if (t->s.is_open || t->s.error != AP_STREAM_OK || !t->started)
		return;
	if (t->postponed)
		return; /* it is asked then */
	ap_task_cancel(&t->wake);
	ap_task_init(&t->wake, on_begin, t);
	ap_task_schedule(t->s.loop, &t->wake);
}

static void
set_host(struct tls *t, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	struct ap_ip ip;
	bool is_ip = ap_ip_parse(ap_slice_of(host), &ip) == 0;

	if (!is_ip)
		(void)SSL_set_tlsext_host_name(t->ssl, host);
	if (!t->tls->check_host)
		return;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (is_ip)
		AP_CHECK(X509_VERIFY_PARAM_set1_ip(param, ip.bytes, ip.len) == 1);
	else
		AP_CHECK(X509_VERIFY_PARAM_set1_host(param, host, 0) == 1);
}

static struct tls *
tls_new(struct ap_stream *below, struct ap_tls *tls, ap_tls_peer_fn peer_fn, void *peer_arg)
{
	struct tls *t = ap_new(struct tls);
	BIO *bio;

	ap_stream_init(&t->s, &ap_tls_ops, below->loop, below);
	t->tls = ap_tls_ref(tls);
	t->ssl = SSL_new(tls->ctx);
	bio = BIO_new(ap_tls_bio_method());
	AP_CHECK(t->ssl != NULL && bio != NULL);
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_app_data(t->ssl, t);
	t->handshake = ap_new(struct handshake);
	t->handshake->peer_fn = peer_fn;
	t->handshake->peer_arg = peer_arg;
	ap_timer_init(&t->handshake->deadline, t->s.loop, on_deadline, t);
	ap_task_init(&t->flush, ap_tls_on_flush, t);
	ap_task_init(&t->wake, on_begin, t);
	ap_stream_set_callback(below, ap_tls_on_below, t);
	if (below->is_open)
		ap_task_schedule(t->s.loop, &t->wake);
	return t;
}

struct ap_stream *
ap_tls_client(struct ap_stream *below, struct ap_tls *tls, const char *host, ap_tls_peer_fn peer_fn, void *peer_arg)
{
	struct tls *t;

	AP_CHECK(!tls->is_server);
	t = tls_new(below, tls, peer_fn, peer_arg);
	SSL_set_connect_state(t->ssl);
	if (host != NULL)
		set_host(t, host);
	return &t->s;
}

struct ap_stream *
ap_tls_server(struct ap_stream *below, struct ap_tls *tls, ap_tls_peer_fn peer_fn, void *peer_arg)
{
	struct tls *t;

	AP_CHECK(tls->is_server);
	t = tls_new(below, tls, peer_fn, peer_arg);
	SSL_set_accept_state(t->ssl);
	return &t->s;
}

struct ap_slice
ap_tls_peer_spiffe(const struct ap_stream *s)
{
	return ap_slice_of(ap_tls_filter(s)->spiffe);
}

struct ap_slice
ap_tls_peer_der(const struct ap_stream *s)
{
	struct tls *t = ap_tls_filter(s);
	X509 *cert = SSL_get0_peer_certificate(t->ssl);

	if (t->der == NULL && cert != NULL)
		t->der_size = i2d_X509(cert, &t->der);
	return t->der == NULL || t->der_size <= 0 ? AP_SLICE_NONE : ap_slice((const char *)t->der, (size_t)t->der_size);
}

struct ap_slice
ap_tls_alpn(const struct ap_stream *s)
{
	union {
		const unsigned char *in;
		const char *out;
	} u;
	unsigned len;

	SSL_get0_alpn_selected(ap_tls_filter(s)->ssl, &u.in, &len);
	return len == 0 ? AP_SLICE_NONE : ap_slice(u.out, len);
}

const char *
ap_tls_error_text(const struct ap_stream *s)
{
	const struct tls *t = ap_tls_filter(s);

	return t->why == NULL ? ap_stream_error_name(s->error) : t->why;
}

bool
ap_tls_is_cut(const struct ap_stream *s)
{
	return ap_tls_filter(s)->cut;
}

bool
ap_stream_is_tls(const struct ap_stream *s)
{
	return s->ops == &ap_tls_ops;
}

struct tls *
ap_tls_filter(const struct ap_stream *s)
{
	union {
		const struct ap_stream *in;
		struct tls *out;
	} u = { .in = s };

	AP_CHECK(s->ops == &ap_tls_ops);
	return u.out;
}
