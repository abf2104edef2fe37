/*
 * client.c -- the delta ADS stream to the control plane: connects, subscribes, answers, resumes, backs off.
 *
 * States: IDLE (waits for the back-off timer), RESOLVING, CONNECTING (TCP, TLS, HTTP/2), STREAMING.  Everything that can go
 * wrong leads to lost(), which tears the attempt down and arms the timer; what was received stands meanwhile.  The
 * back-off starts at 10 ms and doubles to 15 s; an orderly end of a stream that had worked starts it anew, since servers
 * end streams by age.
 *
 * Owns its connection and the protocol state; the resources are the subscribers'.  Main loop only.
 */
#include "xds/client.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "event/loop.h"
#include "net/resolve.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "xds/delta.h"
#include "xds/rpc.h"

AP_LOG_MODULE(xds_client);

#define MAGIC AP_MAGIC('x', 'd', 's', 'c')
#define BACKOFF_FIRST_MS 10U
#define BACKOFF_MOST_MS 15000U
#define CONNECT_TIMEOUT_MS 5000U
#define NO_ROOT_WAIT_MS 50U
#define PATH "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

enum state { IDLE, RESOLVING, CONNECTING, STREAMING };

struct ap_xds_client {
	uint32_t magic;
	enum state state;
	struct ap_xds_client_settings s;
	char *address, *host, *host_name, *node_id;
	uint16_t port;
	struct ap_xds_subscription *subs;
	struct ap_delta_client *delta;
	struct ap_resolver *resolver;
	struct ap_resolve *lookup;
	struct ap_http_conn *conn;
	struct ap_exchange *x;
	struct ap_grpc_reader in;
	struct ap_rpc_out out;
	struct ap_timer timer;
	uint64_t backoff_ms;
	bool worked;     /* something was received on this stream */
	bool was_synced; /* as last told */
	bool told_connected;
	bool taking, reconnect; /* a subscriber that asks for a new connection while it is fed waits until it is done */
};

static void attempt(struct ap_timer *t, void *arg);

static void
tell(struct ap_xds_client *c)
{
	bool connected = c->state == STREAMING && c->worked;
	bool synced = ap_delta_client_is_synced(c->delta);
	if (connected == c->told_connected && synced == c->was_synced)
		return;
	c->told_connected = connected;
	c->was_synced = synced;
	if (c->s.state != NULL)
		c->s.state(c->s.arg, connected, synced);
}

/* Let go of the attempt's parts; callbacks of what is closed here come no more. */
static void
tear_down(struct ap_xds_client *c)
{
	if (c->lookup != NULL)
		ap_resolve_cancel(&c->lookup);
	if (c->x != NULL) {
		struct ap_stream *s = &c->x->stream;
		c->x = NULL;
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	}
	if (c->conn != NULL) {
		struct ap_http_conn *conn = c->conn;
		c->conn = NULL;
		ap_http_close(conn);
	}
	ap_grpc_reader_done(&c->in);
	ap_grpc_reader_init(&c->in, AP_RPC_MESSAGE_MAX);
	ap_rpc_out_done(&c->out);
	ap_rpc_out_init(&c->out, AP_RPC_MESSAGE_MAX + 64);
	c->state = IDLE;
}

static void
lost(struct ap_xds_client *c, bool orderly, const char *why)
{
	if (c->state == IDLE)
		return;
	uint64_t wait = c->backoff_ms;
	if (orderly && c->worked)
		wait = c->backoff_ms = BACKOFF_FIRST_MS;
	else
		c->backoff_ms = AP_MIN(c->backoff_ms * 2, (uint64_t)BACKOFF_MOST_MS);
	tear_down(c);
	c->worked = false;
	if (orderly)
		LOG_INFO(NULL, "control plane %s: stream ended (%s); connecting anew", c->address, why);
	else
		LOG_WARN_LIMIT(NULL, 2, "control plane %s: %s; trying again in %u ms", c->address, why, (unsigned)wait);
	wait = wait - wait / 5 + ap_rand_below((uint32_t)(wait * 2 / 5) + 1);
	ap_timer_start(&c->timer, wait);
	tell(c);
}

/* --- The stream ------------------------------------------------------------------------------------------------------ */

static void
flush(struct ap_xds_client *c)
{
	if (c->x == NULL)
		return;
	int r = ap_rpc_out_flush(&c->out, &c->x->stream);
	if (r < 0) {
		lost(c, false, ap_stream_error_name((enum ap_stream_error)c->x->stream.error));
		return;
	}
	ap_stream_want(&c->x->stream, AP_STREAM_READABLE | (r == 0 ? AP_STREAM_WRITABLE : 0));
}

/* False: the stream was given up. */
static bool
take(struct ap_xds_client *c, struct ap_slice message)
{
	struct ap_buf answer, reject;
	ap_buf_init(&answer, (size_t)1024 * 1024);
	ap_buf_init(&reject, (size_t)64 * 1024);
	c->taking = true;
	bool fine = ap_delta_client_take(c->delta, message, &answer, &reject);
	c->taking = false;
	if (fine) {
		if (reject.len > 0)
			LOG_WARN(NULL, "refused what the control plane sent: %.*s", AP_FMT(ap_buf_slice(&reject)));
		c->worked = true;
		c->backoff_ms = BACKOFF_FIRST_MS;
		ap_rpc_out_add(&c->out, ap_buf_slice(&answer));
	}
	ap_buf_done(&answer);
	ap_buf_done(&reject);
	if (!fine)
		lost(c, false, "it sent a message that cannot be read");
	else
		tell(c);
	if (c->reconnect) {
		ap_xds_client_reconnect(c);
		return false;
	}
	return fine && c->x != NULL;
}

static void
ended(struct ap_xds_client *c)
{
	struct ap_buf text;
	ap_buf_init(&text, 512);
	enum ap_grpc_status status = ap_rpc_result(c->x, &text);
	bool orderly = status == AP_GRPC_OK || status == AP_GRPC_UNKNOWN || status == AP_GRPC_CANCELLED ||
	               status == AP_GRPC_DEADLINE_EXCEEDED || status == AP_GRPC_UNAVAILABLE;
	char why[256];
	snprintf(why, sizeof(why), "%s%s%.*s", ap_grpc_status_name(status), text.len > 0 ? ": " : "",
	    AP_FMT(ap_buf_slice(&text)));
	ap_buf_done(&text);
	lost(c, orderly, why);
}

static void
on_readable(struct ap_xds_client *c)
{
	char bytes[16384];
	for (;;) {
		ssize_t n = ap_stream_read(&c->x->stream, bytes, sizeof(bytes));
		if (n == AP_STREAM_AGAIN)
			break;
		if (n == AP_STREAM_EOF) {
			ended(c);
			return;
		}
		if (n < 0) {
			lost(c, false, ap_stream_error_name((enum ap_stream_error)c->x->stream.error));
			return;
		}
		struct ap_slice message;
		int r = ap_grpc_reader_feed(&c->in, ap_slice(bytes, (size_t)n));
		while (r == 0 && (r = ap_grpc_reader_next(&c->in, &message)) > 0) {
			if (!take(c, message))
				return;
			r = 0;
		}
		if (r < 0) {
			lost(c, false, "it broke gRPC's framing");
			return;
		}
	}
	flush(c);
}

static void
on_stream(struct ap_stream *s, unsigned events, void *arg)
{
	struct ap_xds_client *c = arg;
	AP_IS(c, MAGIC);
	if ((events & AP_STREAM_FAILED) != 0) {
		lost(c, c->worked, ap_stream_error_name((enum ap_stream_error)s->error));
		return;
	}
	if ((events & AP_STREAM_READABLE) != 0)
		on_readable(c);
	if ((events & AP_STREAM_WRITABLE) != 0 && c->x != NULL)
		flush(c);
}

static void
on_response(struct ap_exchange *x, void *arg)
{
	struct ap_xds_client *c = arg;
	AP_IS(c, MAGIC);
	if (x->response.status == 0) {
		lost(c, false, ap_stream_error_name((enum ap_stream_error)x->stream.error));
		return;
	}
	if (x->response.status != 200 || ap_fields_has(&x->response.fields, AP_S("grpc-status")))
		ended(c);
}

static void
begin(struct ap_xds_client *c)
{
	struct ap_arena *arena = ap_arena_new((size_t)256 * 1024);
	struct ap_http_head h;
	ap_http_head_init(&h, arena);
	h.method = AP_S("POST");
	h.scheme = AP_S("https");
	h.authority = ap_slice_of(c->host_name != NULL ? c->host_name : c->address);
	h.path = AP_S(PATH);
	h.content_length = -1;
	ap_fields_add(&h.fields, AP_S("content-type"), AP_S("application/grpc"));
	ap_fields_add(&h.fields, AP_S("te"), AP_S("trailers"));
	ap_fields_add(&h.fields, AP_S("user-agent"), AP_S("ambit"));
	if (c->s.token != NULL) {
		struct ap_buf token;
		ap_buf_init(&token, 8192);
		c->s.token(c->s.arg, &token);
		if (token.len > 0)
			ap_fields_add(&h.fields, AP_S("authorization"), ap_buf_slice(&token));
		ap_wipe(token.ptr, token.len);
		ap_buf_done(&token);
	}
	c->x = ap_http_request(c->conn, &h, false, on_response, c);
	ap_arena_free(&arena);
	if (c->x == NULL) {
		lost(c, false, "it takes no request");
		return;
	}
	c->state = STREAMING;
	ap_stream_set_callback(&c->x->stream, on_stream, c);
	for (size_t i = 0; i < c->s.subscription_count; i++) {
		struct ap_buf b;
		ap_buf_init(&b, AP_RPC_MESSAGE_MAX);
		ap_delta_client_first(c->delta, i, &b);
		ap_rpc_out_add(&c->out, ap_buf_slice(&b));
		ap_buf_done(&b);
	}
	flush(c);
}

/* --- The connection --------------------------------------------------------------------------------------------------- */

static void
on_conn_ready(struct ap_http_conn *conn, void *arg)
{
	struct ap_xds_client *c = arg;
	AP_IS(c, MAGIC);
	if (conn == c->conn && c->state == CONNECTING)
		begin(c);
}

static void
on_conn_closing(struct ap_http_conn *conn, enum ap_stream_error why, void *arg)
{
	struct ap_xds_client *c = arg;
	AP_IS(c, MAGIC);
	if (conn != c->conn)
		return;
	/* GOAWAY while the stream goes on: it ends by itself. */
	if (c->state == STREAMING && c->x != NULL && why == AP_STREAM_OK)
		return;
	char text[300];
	struct ap_stream *tls = ap_http_transport(conn);
	if (why == AP_STREAM_TLS && tls != NULL && ap_stream_is_tls(tls))
		snprintf(text, sizeof(text), "TLS failed: %s", ap_tls_error_text(tls));
	else
		snprintf(text, sizeof(text), "%s", ap_stream_error_name(why));
	if (c->state != STREAMING)
		lost(c, false, text);
	else if (c->x == NULL)
		lost(c, c->worked, text);
}

static void
on_conn_closed(struct ap_http_conn *conn, void *arg)
{
	struct ap_xds_client *c = arg;
	AP_IS(c, MAGIC);
	if (conn != c->conn)
		return;
	c->conn = NULL;
	lost(c, c->worked, "the connection ended");
}

static const struct ap_http_client_ops conn_ops = {
	.ready = on_conn_ready,
	.closing = on_conn_closing,
	.closed = on_conn_closed,
};

static void
connect_to(struct ap_xds_client *c, struct ap_addr addr)
{
	ap_addr_set_port(&addr, c->port);
	struct ap_tls *tls = c->s.tls(c->s.arg);
	c->state = CONNECTING;
	if (tls == NULL) {
		/* Whoever is to obtain it says what is wrong; here it is merely too early. */
		LOG_DEBUG(NULL, "control plane %s: no root to trust it by is known yet", c->address);
		tear_down(c);
		ap_timer_start(&c->timer, NO_ROOT_WAIT_MS);
		return;
	}
	struct ap_tcp_options options = { .mark = c->s.mark, .connect_timeout_ms = CONNECT_TIMEOUT_MS, .keepalive = true };
	struct ap_stream *tcp = ap_tcp_connect(c->s.loop, &addr, &options);
	struct ap_stream *s = ap_tls_client(tcp, tls, c->host_name != NULL ? c->host_name : c->host, NULL, NULL);
	ap_tls_unref(&tls);
	struct ap_http_settings settings = { .stream_window = 4U << 20,
		.connection_window = 16U << 20,
		.ping_interval_ms = 30000,
		.ping_timeout_ms = 10000,
		.high_water = (size_t)256 * 1024 };
	c->conn = ap_http_client(s, AP_HTTP_2, &settings, &conn_ops, c);
}

static void
on_resolved(const struct ap_addr *addrs, size_t count, const char *reason, void *arg)
{
	struct ap_xds_client *c = arg;
	AP_IS(c, MAGIC);
	c->lookup = NULL;
	if (count == 0) {
		char text[300];
		snprintf(text, sizeof(text), "the name %s has no address: %s", c->host, reason);
		lost(c, false, text);
		return;
	}
	connect_to(c, addrs[ap_rand_below((uint32_t)count)]);
}

static void
attempt(struct ap_timer *t, void *arg)
{
	(void)t;
	struct ap_xds_client *c = arg;
	AP_IS(c, MAGIC);
	struct ap_ip ip;
	if (c->state != IDLE)
		return;
	if (ap_ip_parse(ap_slice_of(c->host), &ip) == 0) {
		connect_to(c, ap_addr_of(&ip, c->port));
		return;
	}
	c->state = RESOLVING;
	struct ap_error err = { 0 };
	if (c->resolver == NULL)
		c->resolver = ap_resolver_new(c->s.loop, c->s.mark, NULL, &err);
	if (c->resolver == NULL) {
		lost(c, false, err.text);
		return;
	}
	c->lookup = ap_resolve_start(c->resolver, c->host, 0, on_resolved, c);
}

/* --- Life -------------------------------------------------------------------------------------------------------------- */

/* "host:port", "[v6]:port" or a host alone. */
static void
split_address(struct ap_xds_client *c)
{
	struct ap_slice a = ap_slice_of(c->address);
	size_t colon = ap_slice_find_last(a, ':');
	size_t bracket = ap_slice_find_last(a, ']');
	struct ap_slice host = a;
	uint64_t port = 15012;
	if (colon != SIZE_MAX && (bracket == SIZE_MAX || colon > bracket)) {
		host = ap_slice_sub(a, 0, colon);
		if (ap_text_to_u64(ap_slice_from(a, colon + 1), 65535, &port) != 0)
			port = 15012;
	}
	if (host.len >= 2 && host.ptr[0] == '[')
		host = ap_slice_sub(host, 1, host.len - 2);
	c->host = ap_strndup(host.ptr, host.len);
	c->port = (uint16_t)port;
}

struct ap_xds_client *
ap_xds_client_new(const struct ap_xds_client_settings *settings)
{
	struct ap_xds_client *c = ap_new(struct ap_xds_client);
	c->magic = MAGIC;
	c->s = *settings;
	c->address = ap_strndup(settings->address.ptr, settings->address.len);
	if (settings->host_name.len > 0)
		c->host_name = ap_strndup(settings->host_name.ptr, settings->host_name.len);
	c->node_id = ap_strndup(settings->node_id.ptr, settings->node_id.len);
	c->subs = ap_alloc_array(settings->subscription_count, sizeof(*c->subs));
	memcpy(c->subs, settings->subscriptions, settings->subscription_count * sizeof(*c->subs));
	c->s.subscriptions = c->subs;
	split_address(c);
	c->delta = ap_delta_client_new(c->subs, settings->subscription_count, c->node_id);
	ap_delta_client_set_metadata(c->delta, settings->metadata);
	ap_grpc_reader_init(&c->in, AP_RPC_MESSAGE_MAX);
	ap_rpc_out_init(&c->out, AP_RPC_MESSAGE_MAX + 64);
	c->backoff_ms = BACKOFF_FIRST_MS;
	ap_timer_init(&c->timer, settings->loop, attempt, c);
	ap_timer_start(&c->timer, 0);
	return c;
}

static void
client_free(void *ptr)
{
	struct ap_xds_client *c = ptr;
	c->magic = 0;
	ap_free(&c);
}

void
ap_xds_client_free(struct ap_xds_client **pc)
{
	struct ap_xds_client *c = *pc;
	if (c == NULL)
		return;
	*pc = NULL;
	ap_timer_stop(&c->timer);
	tear_down(c);
	ap_grpc_reader_done(&c->in);
	ap_rpc_out_done(&c->out);
	ap_resolver_free(&c->resolver);
	ap_delta_client_free(&c->delta);
	ap_free(&c->address);
	ap_free(&c->host);
	ap_free(&c->host_name);
	ap_free(&c->node_id);
	ap_free(&c->subs);
	/* The closed connection says so at the end of this turn. */
	ap_defer_free(c->s.loop, c, client_free);
}

bool
ap_xds_client_is_synced(const struct ap_xds_client *c)
{
	return ap_delta_client_is_synced(c->delta);
}

bool
ap_xds_client_is_connected(const struct ap_xds_client *c)
{
	return c->state == STREAMING && c->worked;
}

void
ap_xds_client_set_metadata(struct ap_xds_client *c, const struct ap_doc *metadata)
{
	ap_delta_client_set_metadata(c->delta, metadata);
	ap_xds_client_reconnect(c);
}

void
ap_xds_client_reconnect(struct ap_xds_client *c)
{
	c->reconnect = c->taking;
	if (c->taking)
		return;
	tear_down(c);
	c->worked = false;
	c->backoff_ms = BACKOFF_FIRST_MS;
	ap_timer_start(&c->timer, BACKOFF_FIRST_MS);
	tell(c);
}
