/*
 * ca_client.c -- one CreateCertificate at a time per call, over pooled HTTP/2 connections to the control plane.  Main loop only.
 * A call ends by its answer, by its deadline or by cancel, and says in one sentence what failed.
 */
#include "mesh/ca_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "codec/grpc.h"
#include "event/loop.h"
#include "google/struct.pb-c.h"
#include "http/pool.h"
#include "istio/ca.pb-c.h"
#include "net/resolve.h"
#include "net/tcp.h"
#include "net/tls.h"

#define CALL_TIMEOUT_MS 15000U
#define ANSWER_MAX ((size_t)1024 * 1024)
#define PATH "/istio.v1.auth.IstioCertificateService/CreateCertificate"

struct ap_ca_client {
	struct ap_ca_settings set;
	char *host, *authority, *name; /* of the control plane; name: what its certificate must bear */
	uint16_t port;
	uint64_t generation;
	struct ap_resolver *resolver;
	struct ap_http_pool *pool;
	struct ap_list calls;
};

struct ap_ca_call {
	struct ap_list link;
	struct ap_ca_client *client;
	struct ap_timer deadline;
	struct ap_resolve *resolve;
	struct ap_http_wait *wait;
	struct ap_exchange *x;
	struct ap_arena *arena;
	struct ap_http_head head;
	struct ap_addr to;
	struct ap_tls *tls;
	struct ap_buf body;
	struct ap_grpc_reader reader;
	ap_ca_fn fn;
	void *arg;
};

struct ap_ca_client *
ap_ca_client_new(const struct ap_ca_settings *settings, struct ap_error *err)
{
	struct ap_http_pool_settings pool = { .http = { .idle_timeout_ms = 10000, .max_head_bytes = 16384 },
		.wait_timeout_ms = CALL_TIMEOUT_MS };
	size_t colon = ap_slice_find_last(settings->address, ':');
	struct ap_slice host = ap_slice_sub(settings->address, 0, colon == SIZE_MAX ? settings->address.len : colon);
	struct ap_ca_client *c;
	struct ap_addr addr;

	/* The port by the strict reader of addresses: ":15012" is one. */
	if (colon == SIZE_MAX || ap_addr_parse(ap_slice_from(settings->address, colon), &addr) != 0) {
		(void)ap_error_set(err, -EINVAL, "control plane address '%.*s' is not host:port", AP_FMT(settings->address));
		return NULL;
	}
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = ap_slice_sub(host, 1, host.len - 2);
	c = ap_new(struct ap_ca_client);
	c->set = *settings;
	c->port = ap_addr_port(&addr);
	c->host = ap_strndup(host.ptr, host.len);
	c->authority = ap_strndup(settings->address.ptr, settings->address.len);
	c->name = settings->server_name.len > 0
	    ? ap_strndup(settings->server_name.ptr, settings->server_name.len)
	    : ap_strdup(c->host);
	ap_list_init(&c->calls);
	c->resolver = ap_resolver_new(settings->loop, settings->mark, NULL, err);
	if (c->resolver == NULL) {
		ap_ca_client_free(&c);
		return NULL;
	}
	c->pool = ap_http_pool_new(settings->loop, &pool);
	return c;
}

void
ap_ca_client_free(struct ap_ca_client **c)
{
	struct ap_ca_client *old = *c;

	*c = NULL;
	if (old == NULL)
		return;
	AP_CHECK(ap_list_is_empty(&old->calls));
	ap_http_pool_free(&old->pool);
	ap_resolver_free(&old->resolver);
	ap_free(&old->host);
	ap_free(&old->authority);
	ap_free(&old->name);
	ap_free(&old);
}

void
ap_ca_client_renew(struct ap_ca_client *c)
{
	c->generation++;
}

static void
free_call(void *ptr)
{
	struct ap_ca_call *call = ptr;

	ap_buf_done(&call->body);
	ap_grpc_reader_done(&call->reader);
	ap_arena_free(&call->arena);
	ap_tls_unref(&call->tls);
	ap_free(&call);
}

void
ap_ca_cancel(struct ap_ca_call **call)
{
	struct ap_ca_call *old = *call;

	*call = NULL;
	if (old == NULL)
		return;
	ap_list_remove(&old->link);
	ap_timer_stop(&old->deadline);
	ap_resolve_cancel(&old->resolve);
	ap_http_pool_cancel(&old->wait);
	if (old->x != NULL) {
		struct ap_stream *s = &old->x->stream;

		old->x = NULL;
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
	}
	ap_defer_free(old->client->set.loop, old, free_call);
}

static void
fail(struct ap_ca_call *call, int code, const char *what, const char *why)
{
	struct ap_error err = { 0 };
	ap_ca_fn fn = call->fn;
	void *arg = call->arg;

	(void)ap_error_set(&err, code, "certificate authority %s: %s%s%s", call->client->authority, what,
	    why[0] == '\0' ? "" : ": ", why);
	ap_ca_cancel(&call);
	fn(AP_SLICE_NONE, AP_SLICE_NONE, &err, arg);
}

static void
succeed(struct ap_ca_call *call, struct ap_slice message)
{
	Istio__V1__Auth__IstioCertificateResponse *m =
	    istio__v1__auth__istio_certificate_response__unpack(NULL, message.len, (const uint8_t *)message.ptr);
	ap_ca_fn fn = call->fn;
	void *arg = call->arg;
	struct ap_buf chain;
	size_t i;

	if (m == NULL || m->n_cert_chain < 2) {
		if (m != NULL)
			istio__v1__auth__istio_certificate_response__free_unpacked(m, NULL);
		fail(call, -EPROTO, "answer without a certificate and its roots", "");
		return;
	}
	ap_buf_init(&chain, ANSWER_MAX);
	for (i = 0; i + 1 < m->n_cert_chain; i++) {
		ap_buf_add_text(&chain, m->cert_chain[i]);
		if (chain.len > 0 && chain.ptr[chain.len - 1] != '\n')
			ap_buf_add_char(&chain, '\n');
	}
	ap_ca_cancel(&call);
	fn(ap_buf_slice(&chain), ap_slice_of(m->cert_chain[m->n_cert_chain - 1]), NULL, arg);
	ap_buf_done(&chain);
	istio__v1__auth__istio_certificate_response__free_unpacked(m, NULL);
}

/* The body ended: its status decides. */
static void
finish(struct ap_ca_call *call)
{
	struct ap_exchange *x = call->x;
	struct ap_slice status = ap_fields_get(&x->trailers_in, AP_S("grpc-status")), message;
	const struct ap_fields *from = &x->trailers_in;
	enum ap_grpc_status code;
	struct ap_buf text;

	if (status.ptr == NULL) { /* a trailers-only answer has it in the head */
		from = &x->response.fields;
		status = ap_fields_get(from, AP_S("grpc-status"));
	}
	code = status.ptr != NULL ? ap_grpc_status_parse(status)
	                          : ap_grpc_status_from_http((unsigned)x->response.status);
	if (code == AP_GRPC_OK) {
		if (ap_grpc_reader_next(&call->reader, &message) == 1)
			succeed(call, message);
		else
			fail(call, -EPROTO, "no answer in the answer", "");
		return;
	}
	ap_buf_init(&text, 300);
	ap_grpc_message_decode(ap_fields_get(from, AP_S("grpc-message")), &text);
	fail(call, code == AP_GRPC_UNAUTHENTICATED || code == AP_GRPC_PERMISSION_DENIED ? -EACCES : -EIO,
	    ap_grpc_status_name(code), text.len > 0 ? text.ptr : "");
	ap_buf_done(&text);
}

static void
on_body(struct ap_stream *s, unsigned events, void *arg)
{
	struct ap_ca_call *call = arg;
	char bytes[4096];
	ssize_t n;

	if ((events & AP_STREAM_FAILED) != 0) {
		fail(call, -EIO, "answer cut off", ap_stream_error_name(s->error));
		return;
	}
	while ((n = ap_stream_read(s, bytes, sizeof(bytes))) > 0) {
		if (ap_grpc_reader_feed(&call->reader, ap_slice(bytes, (size_t)n)) != 0) {
			fail(call, -EMSGSIZE, "answer too large", "");
			return;
		}
	}
	if (n == AP_STREAM_EOF)
		finish(call);
	else if (n == AP_STREAM_ERROR)
		fail(call, -EIO, "answer cut off", ap_stream_error_name(s->error));
}

static void
on_response(struct ap_exchange *x, void *arg)
{
	struct ap_ca_call *call = arg;

	if (x->response.status == 0) {
		fail(call, -EIO, "request failed", ap_stream_error_name(x->stream.error));
		return;
	}
	ap_stream_set_callback(&x->stream, on_body, call);
	ap_stream_want(&x->stream, AP_STREAM_READABLE);
}

static void
on_exchange(struct ap_exchange *x, enum ap_stream_error why, int detail, void *arg)
{
	struct ap_ca_call *call = arg;

	call->wait = NULL;
	if (x == NULL) {
		fail(call, -EIO, "cannot connect", detail > 0 && why != AP_STREAM_TLS ? strerror(detail) : ap_stream_error_name(why));
		return;
	}
	call->x = x;
	if (ap_stream_write(&x->stream, call->body.ptr, call->body.len) != (ssize_t)call->body.len) {
		fail(call, -EIO, "request does not fit", "");
		return;
	}
	ap_stream_shutdown(&x->stream);
}

static struct ap_stream *
dial(struct ap_loop *loop, void *arg)
{
	struct ap_ca_call *call = arg;
	struct ap_tcp_options options = { .mark = call->client->set.mark, .connect_timeout_ms = 5000 };

	return ap_tls_client(ap_tcp_connect(loop, &call->to, &options), call->tls, call->client->name, NULL, NULL);
}

static void
on_address(const struct ap_addr *addrs, size_t count, const char *reason, void *arg)
{
	struct ap_ca_call *call = arg;
	struct ap_ca_client *c = call->client;
	struct ap_http_dial how = { .dial = dial, .arg = call, .version = AP_HTTP_2 };
	char key[64];

	call->resolve = NULL;
	if (count == 0) {
		fail(call, -EHOSTUNREACH, "no address", reason);
		return;
	}
	call->to = addrs[0];
	ap_addr_set_port(&call->to, c->port);
	(void)snprintf(key, sizeof(key), "ca %llu", (unsigned long long)c->generation);
	call->wait =
	    ap_http_pool_request(c->pool, ap_slice_of(key), &how, &call->head, false, on_exchange, on_response, call);
}

static void
on_deadline(struct ap_timer *t, void *arg)
{
	(void)t;
	fail(arg, -ETIMEDOUT, "no answer in time", "");
}

static void
on_no_tls(struct ap_timer *t, void *arg)
{
	(void)t;
	fail(arg, -ENOKEY, "no root certificate to trust it by", "give controlPlane.caFile");
}

static void
make_head(struct ap_ca_call *call)
{
	struct ap_buf token;

	ap_http_head_init(&call->head, call->arena);
	call->head.method = AP_S("POST");
	call->head.scheme = AP_S("https");
	call->head.authority = ap_slice_of(call->client->authority);
	call->head.path = AP_S(PATH);
	call->head.content_length = -1;
	(void)ap_fields_add(&call->head.fields, AP_S("content-type"), AP_S("application/grpc"));
	(void)ap_fields_add(&call->head.fields, AP_S("te"), AP_S("trailers"));
	ap_buf_init(&token, 16384);
	call->client->set.token(call->client->set.arg, &token);
	if (token.len > 0 && !token.bad)
		(void)ap_fields_add(&call->head.fields, AP_S("authorization"), ap_buf_slice(&token));
	ap_wipe(token.ptr, token.len);
	ap_buf_done(&token);
}

static void
make_body(struct ap_ca_call *call, struct ap_slice csr_pem, int64_t lifetime_s, struct ap_slice impersonate)
{
	Istio__V1__Auth__IstioCertificateRequest m;
	Google__Protobuf__Struct metadata;
	Google__Protobuf__Struct__FieldsEntry entry, *entries[1] = { &entry };
	Google__Protobuf__Value value;
	char key[] = "ImpersonatedIdentity";
	char *csr = ap_strndup(csr_pem.ptr, csr_pem.len), *who = ap_strndup(impersonate.ptr, impersonate.len);
	struct ap_buf packed;
	size_t size;
	uint8_t *at;

	istio__v1__auth__istio_certificate_request__init(&m);
	google__protobuf__struct__init(&metadata);
	google__protobuf__struct__fields_entry__init(&entry);
	google__protobuf__value__init(&value);
	m.csr = csr;
	m.validity_duration = lifetime_s;
	if (impersonate.len > 0) {
		value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
		value.string_value = who;
		entry.key = key;
		entry.value = &value;
		metadata.n_fields = 1;
		metadata.fields = entries;
		m.metadata = &metadata;
	}
	ap_buf_init(&packed, 65536);
	size = istio__v1__auth__istio_certificate_request__get_packed_size(&m);
	at = ap_buf_reserve(&packed, size);
	if (at != NULL)
		ap_buf_commit(&packed, istio__v1__auth__istio_certificate_request__pack(&m, at));
	ap_grpc_frame(ap_buf_slice(&packed), &call->body);
	ap_buf_done(&packed);
	ap_free(&csr);
	ap_free(&who);
}

struct ap_ca_call *
ap_ca_request(struct ap_ca_client *c, struct ap_slice csr_pem, int64_t lifetime_s, struct ap_slice impersonate,
    ap_ca_fn fn, void *arg)
{
	struct ap_ca_call *call = ap_new(struct ap_ca_call);

	call->client = c;
	call->fn = fn;
	call->arg = arg;
	ap_list_append(&c->calls, &call->link);
	ap_buf_init(&call->body, 65536);
	ap_grpc_reader_init(&call->reader, ANSWER_MAX);
	call->arena = ap_arena_new(65536);
	call->tls = c->set.tls(c->set.arg);
	if (call->tls == NULL) {
		ap_timer_init(&call->deadline, c->set.loop, on_no_tls, call);
		ap_timer_start(&call->deadline, 0);
		return call;
	}
	ap_timer_init(&call->deadline, c->set.loop, on_deadline, call);
	ap_timer_start(&call->deadline, CALL_TIMEOUT_MS);
	make_head(call);
	make_body(call, csr_pem, lifetime_s, impersonate);
	call->resolve = ap_resolve_start(c->resolver, c->host, 0, on_address, call);
	return call;
}
