/*
 * cp_grpc.c -- the gRPC service: its listener, its certificate, and the two methods.
 *
 * Callers are known before any message of theirs is read.  The server certificate is made anew at half its life, for new
 * connections; the old ones go on.
 *
 * Owns the listener, connections' calls under way, and the TLS context.  The worker's thread.
 */
#include "control_plane/cp_grpc.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "control_plane/api/api.h"
#include "control_plane/cp.h"
#include "control_plane/cp_ca.h"
#include "control_plane/cp_enrol.h"
#include "control_plane/cp_xds.h"
#include "event/loop.h"
#include "model/appliance.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/x509.h"
#include "xds/pb.h"
#include "xds/rpc.h"

#include "istio/ca.pb-c.h"

AP_LOG_MODULE(cp_grpc);

#define MAGIC AP_MAGIC('c', 'p', 'g', 'r')
#define CALL_MAGIC AP_MAGIC('c', 'a', 'l', 'l')
#define PATH_CERTIFICATE "/istio.v1.auth.IstioCertificateService/CreateCertificate"
#define PATH_DELTA "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
#define CSR_MESSAGE_MAX ((size_t)256 * 1024)
#define CALL_TIMEOUT_MS 10000U
#define SERVER_LIFETIME_S ((int64_t)90 * 24 * 3600)

struct cp_grpc {
	uint32_t magic;
	struct cp *cp;
	struct ap_listener *listener;
	struct ap_tls *tls;
	struct ap_timer renew;
	struct ap_list conns; /* struct connection */
	struct ap_list calls;
};

struct connection {
	struct ap_list link;
	struct cp_grpc *g;
	struct ap_http_conn *http;
};

/* A CreateCertificate call whose message is being read. */
struct call {
	uint32_t magic;
	struct ap_list link;
	struct cp_grpc *g;
	struct ap_exchange *x;
	struct cp_caller caller;
	struct ap_grpc_reader in;
	struct ap_timer timeout;
};

/* --- CreateCertificate ------------------------------------------------------------------------------------------------- */

static void
call_free(void *ptr)
{
	struct call *c = ptr;
	c->magic = 0;
	ap_grpc_reader_done(&c->in);
	cp_caller_done(&c->caller);
	ap_free(&c);
}

static void
call_done(struct call *c)
{
	ap_timer_stop(&c->timeout);
	ap_list_remove(&c->link);
	if (c->x != NULL) {
		struct ap_stream *s = &c->x->stream;
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		c->x = NULL;
	}
	ap_defer_free(c->g->cp->loop, c, call_free);
}

/* The identity asked for: that of the impersonated workload, else what the request wishes, else the caller's own. */
static int
wished(const Istio__V1__Auth__IstioCertificateRequest *m, const struct cp_caller *caller, struct ap_buf *out,
    struct ap_error *err)
{
	for (size_t i = 0; m->metadata != NULL && i < m->metadata->n_fields; i++) {
		const Google__Protobuf__Struct__FieldsEntry *e = m->metadata->fields[i];
		if (e->value == NULL || strcmp(e->key, "ImpersonatedIdentity") != 0 ||
		    e->value->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
			continue;
		ap_buf_add_text(out, e->value->string_value);
		return 0;
	}
	int r = cp_csr_uri(ap_slice_of(m->csr), out, err);
	if (r == 0 && out->len == 0 && caller->spiffe != NULL)
		ap_buf_add_text(out, caller->spiffe);
	if (r == 0 && out->len == 0)
		r = ap_error_set(err, -EINVAL, "the request names no identity");
	return r;
}

static int64_t
lifetime(const struct cp *cp, int64_t asked_s)
{
	int64_t most = (int64_t)(cp->settings.max_certificate_ttl_ms / 1000);
	int64_t preset = (int64_t)(cp->settings.certificate_ttl_ms / 1000);
	if (preset <= 0)
		preset = 24 * 3600;
	if (most <= 0)
		most = preset;
	/* The configured time is also the longest that a client gets by asking: operators shorten it to shorten all. */
	int64_t s = asked_s <= 0 ? preset : AP_MIN(asked_s, preset);
	return AP_MAX(AP_MIN(s, most), (int64_t)1);
}

static void
answer(struct call *c, struct ap_slice leaf)
{
	struct cp_ca *ca = c->g->cp->ca;
	Istio__V1__Auth__IstioCertificateResponse m;
	istio__v1__auth__istio_certificate_response__init(&m);
	char *chain[3];
	struct ap_slice between = cp_ca_intermediates(ca);
	chain[m.n_cert_chain++] = ap_strndup(leaf.ptr, leaf.len);
	if (between.len > 0)
		chain[m.n_cert_chain++] = ap_strndup(between.ptr, between.len);
	chain[m.n_cert_chain++] = ap_strndup(cp_ca_roots(ca).ptr, cp_ca_roots(ca).len);
	m.cert_chain = chain;
	struct ap_buf b;
	struct ap_rpc_out out;
	ap_buf_init(&b, CSR_MESSAGE_MAX);
	ap_rpc_out_init(&out, CSR_MESSAGE_MAX + 16);
	ap_pb_pack(&m, &b);
	ap_rpc_begin(c->x);
	/* Far below a stream's high-water mark: it is taken whole, or the stream is broken. */
	if (ap_rpc_out_add(&out, ap_buf_slice(&b)) && ap_rpc_out_flush(&out, &c->x->stream) > 0)
		ap_rpc_end(&c->x, AP_GRPC_OK, NULL);
	ap_rpc_out_done(&out);
	ap_buf_done(&b);
	for (size_t i = 0; i < m.n_cert_chain; i++)
		ap_free(&chain[i]);
}

static void
create(struct call *c, const Istio__V1__Auth__IstioCertificateRequest *m)
{
	struct cp *cp = c->g->cp;
	struct ap_error err = { 0 };
	struct ap_buf id, leaf;
	ap_buf_init(&id, 2048);
	ap_buf_init(&leaf, 64 * 1024);
	enum ap_grpc_status status = AP_GRPC_OK;
	if (wished(m, &c->caller, &id, &err) != 0 || id.bad)
		status = AP_GRPC_INVALID_ARGUMENT;
	if (status == AP_GRPC_OK)
		status = cp_may_have(cp, &c->caller, ap_buf_slice(&id), &err);
	if (status == AP_GRPC_OK &&
	    cp_ca_issue(cp->ca, ap_buf_slice(&id), ap_slice_of(m->csr), lifetime(cp, m->validity_duration), &leaf, &err) != 0)
		status = AP_GRPC_INVALID_ARGUMENT;
	if (status == AP_GRPC_OK)
		status = cp_count_issue(cp, &c->caller, ap_buf_slice(&id), &err);
	if (status == AP_GRPC_OK) {
		LOG_DEBUG(NULL, "issued a certificate for %.*s", AP_FMT(ap_buf_slice(&id)));
		answer(c, ap_buf_slice(&leaf));
	} else {
		LOG_WARN_LIMIT(NULL, 5, "no certificate for %.*s: %s", AP_FMT(ap_buf_slice(&id)), err.text);
		ap_rpc_refuse(&c->x, status, err.text);
	}
	ap_buf_done(&id);
	ap_buf_done(&leaf);
}

static void
call_take(struct call *c, struct ap_slice message)
{
	Istio__V1__Auth__IstioCertificateRequest *m =
	    ap_pb_unpack(&istio__v1__auth__istio_certificate_request__descriptor, message);
	if (m == NULL || m->csr == NULL)
		ap_rpc_refuse(&c->x, AP_GRPC_INVALID_ARGUMENT, "the request cannot be read");
	else
		create(c, m);
	if (m != NULL)
		protobuf_c_message_free_unpacked(&m->base, NULL);
	call_done(c);
}

static void
call_event(struct ap_stream *s, unsigned events, void *arg)
{
	struct call *c = arg;
	AP_IS(c, CALL_MAGIC);
	char bytes[8192];
	if ((events & AP_STREAM_FAILED) != 0) {
		call_done(c);
		return;
	}
	for (;;) {
		ssize_t n = ap_stream_read(s, bytes, sizeof(bytes));
		if (n == AP_STREAM_AGAIN)
			return;
		struct ap_slice message;
		int r = n > 0 ? ap_grpc_reader_feed(&c->in, ap_slice(bytes, (size_t)n)) : -EPROTO;
		if (r == 0)
			r = ap_grpc_reader_next(&c->in, &message);
		if (r > 0) {
			call_take(c, message);
			return;
		}
		if (r < 0) {
			if (n >= 0)
				ap_rpc_refuse(&c->x, AP_GRPC_INVALID_ARGUMENT, "the request cannot be read");
			call_done(c);
			return;
		}
	}
}

static void
call_late(struct ap_timer *t, void *arg)
{
	(void)t;
	struct call *c = arg;
	AP_IS(c, CALL_MAGIC);
	ap_rpc_refuse(&c->x, AP_GRPC_DEADLINE_EXCEEDED, "the request did not arrive in time");
	call_done(c);
}

static void
call_begin(struct cp_grpc *g, struct ap_exchange *x, struct cp_caller *caller)
{
	struct call *c = ap_new(struct call);
	c->magic = CALL_MAGIC;
	c->g = g;
	c->x = x;
	c->caller = *caller;
	ap_list_append(&g->calls, &c->link);
	ap_grpc_reader_init(&c->in, CSR_MESSAGE_MAX);
	ap_timer_init(&c->timeout, g->cp->loop, call_late, c);
	ap_timer_start(&c->timeout, CALL_TIMEOUT_MS);
	ap_stream_set_callback(&x->stream, call_event, c);
	ap_stream_want(&x->stream, AP_STREAM_READABLE);
}

/* --- Requests ------------------------------------------------------------------------------------------------------------ */

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct connection *conn = arg;
	struct cp_grpc *g = conn->g;
	if (!ap_rpc_is_call(x)) {
		ap_exchange_reply(x, 415, "text/plain", AP_S("gRPC is spoken here\n"));
		struct ap_stream *s = &x->stream;
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	bool is_certificate = ap_slice_eq_text(x->request.path, PATH_CERTIFICATE);
	if (!is_certificate && !ap_slice_eq_text(x->request.path, PATH_DELTA)) {
		ap_rpc_refuse(&x, AP_GRPC_UNIMPLEMENTED, "no such method");
		return;
	}
	if (!g->cp->ready) {
		ap_rpc_refuse(&x, AP_GRPC_UNAVAILABLE, "the control plane is starting");
		return;
	}
	struct cp_caller caller;
	struct ap_error err = { 0 };
	enum ap_grpc_status status = cp_caller_of(g->cp, x, &caller, &err);
	if (status != AP_GRPC_OK) {
		ap_rpc_refuse(&x, status, status == AP_GRPC_UNAUTHENTICATED ? "not authenticated" : err.text);
		return;
	}
	if (is_certificate)
		call_begin(g, x, &caller);
	else
		cp_xds_serve(g->cp->xds, x, &caller);
}

static void
on_closed(struct ap_http_conn *http, void *arg)
{
	(void)http;
	struct connection *conn = arg;
	ap_list_remove(&conn->link);
	ap_free(&conn);
}

static const struct ap_http_server_ops http_ops = { .request = on_request, .closed = on_closed };

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct cp_grpc *g = arg;
	AP_IS(g, MAGIC);
	struct connection *conn = ap_new(struct connection);
	conn->g = g;
	ap_list_append(&g->conns, &conn->link);
	struct ap_stream *tcp = ap_tcp_take(g->cp->loop, fd, peer);
	struct ap_stream *tls = ap_tls_server(tcp, g->tls, NULL, NULL);
	struct ap_http_settings settings = { .max_streams = 128,
		.ping_interval_ms = 30000,
		.ping_timeout_ms = 20000,
		.high_water = (size_t)256 * 1024,
		.stream_window = 1U << 20,
		.connection_window = 4U << 20 };
	conn->http = ap_http_serve(tls, AP_HTTP_2, &settings, &http_ops, conn);
}

/* --- The server's certificate ---------------------------------------------------------------------------------------------- */

uint64_t
cp_server_tls_lifetime_ms(const struct cp *cp)
{
	(void)cp;
	return (uint64_t)SERVER_LIFETIME_S * 1000 / 2;
}

struct ap_tls *
cp_server_tls(struct cp *cp, const char *const *alpn, struct ap_error *err)
{
	AP_VEC(struct ap_slice) names = { 0 };
	const struct ap_appliance *a = ap_config_appliance(cp->config);
	char host[256] = "", texts[16][AP_ADDR_TEXT];
	for (uint32_t i = 0; i < cp->settings.name_count; i++)
		ap_vec_push(&names, cp->settings.names[i]);
	ap_vec_push(&names, AP_S("localhost"));
	ap_vec_push(&names, AP_S("127.0.0.1"));
	ap_vec_push(&names, AP_S("::1"));
	if (gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0')
		ap_vec_push(&names, ap_slice_of(host));
	for (uint32_t i = 0; i < a->host.address_count && i < AP_COUNTOF(texts); i++)
		ap_vec_push(&names, ap_slice_of(ap_ip_format(&a->host.addresses[i], texts[i], AP_ADDR_TEXT)));
	struct ap_buf chain, key;
	ap_buf_init(&chain, (size_t)64 * 1024);
	ap_buf_init(&key, (size_t)16 * 1024);
	struct ap_tls *tls = NULL;
	if (cp_ca_issue_server(cp->ca, names.items, names.count, SERVER_LIFETIME_S, &chain, &key, err) == 0) {
		struct ap_tls_settings s = { .cert_chain_pem = ap_buf_slice(&chain),
			.key_pem = ap_buf_slice(&key),
			.roots_pem = cp_ca_roots(cp->ca),
			.alpn = alpn,
			.verify = AP_TLS_VERIFY_OPTIONAL,
			.is_server = true };
		tls = ap_tls_new(&s, err);
	}
	ap_buf_wipe(&key);
	ap_buf_done(&key);
	ap_buf_done(&chain);
	ap_vec_done(&names);
	return tls;
}

static const char *const alpn[] = { "h2", NULL };
const char *const cp_api_alpn[] = { "h2", "http/1.1", NULL };

static void
on_renew(struct ap_timer *t, void *arg)
{
	(void)t;
	struct cp_grpc *g = arg;
	AP_IS(g, MAGIC);
	struct ap_error err = { 0 };
	struct ap_tls *next = cp_server_tls(g->cp, alpn, &err);
	if (next == NULL) {
		LOG_ERROR(NULL, "the server certificate cannot be renewed: %s", err.text);
		ap_timer_start(&g->renew, 60000);
		return;
	}
	ap_tls_unref(&g->tls);
	g->tls = next;
	next = cp_server_tls(g->cp, cp_api_alpn, &err);
	if (next != NULL)
		cp_api_set_tls(g->cp->api, next);
	if (next != NULL)
		ap_tls_unref(&next);
	ap_timer_start(&g->renew, cp_server_tls_lifetime_ms(g->cp));
}

/* --- Life --------------------------------------------------------------------------------------------------------------------- */

struct cp_grpc *
cp_grpc_start(struct cp *cp, struct ap_error *err)
{
	struct cp_grpc *g = ap_new(struct cp_grpc);
	g->magic = MAGIC;
	g->cp = cp;
	ap_list_init(&g->conns);
	ap_list_init(&g->calls);
	ap_timer_init(&g->renew, cp->loop, on_renew, g);
	struct ap_addr at;
	struct ap_listener_options options = { 0 };
	if (ap_addr_parse(cp->settings.xds_listen, &at) != 0) {
		ap_error_set(err, -EINVAL, "\"%.*s\" is no address to listen on", AP_FMT(cp->settings.xds_listen));
		cp_grpc_stop(&g);
		return NULL;
	}
	g->tls = cp_server_tls(cp, alpn, err);
	if (g->tls != NULL)
		g->listener = ap_listener_new(cp->loop, &at, &options, on_accept, g, err);
	if (g->listener == NULL) {
		cp_grpc_stop(&g);
		return NULL;
	}
	ap_timer_start(&g->renew, cp_server_tls_lifetime_ms(cp));
	char text[AP_ADDR_TEXT];
	struct ap_addr bound = ap_listener_addr(g->listener);
	LOG_INFO(NULL, "xDS and CA are served on %s", ap_addr_format(&bound, text, sizeof(text)));
	return g;
}

void
cp_grpc_stop(struct cp_grpc **pg)
{
	struct cp_grpc *g = *pg;
	if (g == NULL)
		return;
	ap_listener_free(&g->listener);
	ap_timer_stop(&g->renew);
	while (!ap_list_is_empty(&g->calls))
		call_done(AP_LIST_ITEM(g->calls.next, struct call, link));
	/* Each says `closed` at the end of the turn; its struct needs nothing of g by then. */
	AP_LIST_FOR_SAFE(l, &g->conns) {
		struct connection *c = AP_LIST_ITEM(l, struct connection, link);
		ap_list_remove(&c->link);
		ap_http_close(c->http);
	}
	if (g->tls != NULL)
		ap_tls_unref(&g->tls);
	g->magic = 0;
	ap_free(pg);
}

struct ap_addr
cp_grpc_addr(const struct cp_grpc *g)
{
	return ap_listener_addr(g->listener);
}
