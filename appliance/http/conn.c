/*
 * conn.c -- the connection: made on a transport, gives it to HTTP/1 or HTTP/2 once that is known, and ends.
 *
 * An ending is noted at once and done by a task at the end of the turn, so nobody's exchange or connection disappears
 * inside a call into it.  One timer serves all deadlines of a connection; it is not moved when something happens, but
 * finds, when it runs, that nothing is due yet and is set anew.  Owns the transport.  One loop's thread.
 */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "http/http_priv.h"
#include "net/tls.h"

static const char preface[24] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void
free_conn(void *ptr)
{
	struct ap_http_conn *conn = ptr;

	conn->magic = 0;
	ap_mem_free(conn);
}

/* A server's last words are worth waiting for; everything that broke is cut, so that nothing looks whole which is not. */
static void
close_transport(struct ap_http_conn *conn)
{
	bool spoke_last = conn->why == AP_STREAM_OK || conn->why == AP_STREAM_PROTOCOL || conn->why == AP_STREAM_LIMIT ||
	    conn->why == AP_STREAM_TIMEOUT;

	if (spoke_last && conn->ops != NULL && conn->transport->error == AP_STREAM_OK && !conn->saw_eof &&
	    (conn->is_server || conn->why != AP_STREAM_OK) && conn->last_words) {
		ap_http_linger(conn->transport);
		conn->transport = NULL;
		return;
	}
	ap_stream_close(
	    &conn->transport, conn->why == AP_STREAM_OK ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT);
}

static void
on_end(struct ap_task *t, void *arg)
{
	struct ap_http_conn *conn = arg;

	(void)t;
	AP_IS(conn, AP_HTTP_CONN_MAGIC);
	ap_http_conn_closing(conn, conn->why);
	if (conn->ops != NULL)
		conn->ops->over(conn);
	ap_timer_stop(&conn->timer);
	close_transport(conn);
	if (conn->is_server && conn->server->closed != NULL)
		conn->server->closed(conn, conn->arg);
	if (!conn->is_server && conn->client->closed != NULL)
		conn->client->closed(conn, conn->arg);
	ap_defer_free(conn->loop, conn, free_conn);
}

void
ap_http_conn_end(struct ap_http_conn *conn, enum ap_stream_error why, int detail)
{
	if (conn->is_ending)
		return;
	conn->is_ending = true;
	conn->why = (uint8_t)why;
	conn->detail = detail;
	ap_stream_set_callback(conn->transport, NULL, NULL);
	ap_stream_want(conn->transport, 0);
	ap_task_schedule(conn->loop, &conn->end_task);
}

void
ap_http_conn_closing(struct ap_http_conn *conn, enum ap_stream_error why)
{
	if (conn->is_closing)
		return;
	conn->is_closing = true;
	if (!conn->is_server && conn->client->closing != NULL)
		conn->client->closing(conn, why, conn->arg);
}

void
ap_http_conn_wake_at(struct ap_http_conn *conn, uint64_t at_ms)
{
	uint64_t now;

	if (at_ms == 0 || conn->is_ending || (conn->timer_at_ms != 0 && conn->timer_at_ms <= at_ms))
		return;
	now = ap_loop_now_ms(conn->loop);
	conn->timer_at_ms = at_ms;
	ap_timer_start(&conn->timer, at_ms > now ? at_ms - now : 0);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	struct ap_http_conn *conn = arg;
	uint64_t now = ap_loop_now_ms(conn->loop);

	(void)t;
	conn->timer_at_ms = 0;
	if (conn->is_ending)
		return;
	if (conn->ops != NULL) {
		ap_http_conn_wake_at(conn, conn->ops->tick(conn, now));
	} else if (conn->is_open) {
		/* Not one byte, or half a preface. */
		ap_http_trouble(conn->sniffed > 0 ? AP_HTTP_HEAD_TIMEOUT : AP_HTTP_IDLE_TIMEOUT);
		ap_http_conn_end(conn, AP_STREAM_TIMEOUT, 0);
	}
}

void
ap_http_conn_count(struct ap_http_conn *conn, int by)
{
	conn->active += (uint32_t)by;
	if (conn->active == 0)
		conn->idle_since_ms = ap_loop_now_ms(conn->loop);
}

static void
start(struct ap_http_conn *conn, enum ap_http_version version, struct ap_slice early)
{
	conn->version = version;
	conn->ops = version == AP_HTTP_2 ? &ap_http_h2_ops : &ap_http_h1_ops;
	conn->idle_since_ms = ap_loop_now_ms(conn->loop);
	if (version == AP_HTTP_2)
		ap_h2_start(conn, early);
	else
		ap_h1_start(conn, early);
	if (!conn->is_ending)
		ap_http_conn_wake_at(conn, conn->ops->tick(conn, conn->idle_since_ms));
}

/* Clear text and no version given: the first bytes tell. */
static void
sniff(struct ap_http_conn *conn)
{
	for (;;) {
		ssize_t n = ap_stream_read(
		    conn->transport, conn->sniff + conn->sniffed, sizeof(preface) - conn->sniffed);

		if (n == AP_STREAM_AGAIN)
			return;
		if (n <= 0) {
			ap_http_conn_end(conn, n == 0 ? AP_STREAM_OK : conn->transport->error, conn->transport->detail);
			return;
		}
		conn->sniffed = (uint8_t)(conn->sniffed + n);
		if (memcmp(conn->sniff, preface, conn->sniffed) != 0) {
			start(conn, AP_HTTP_1_1, ap_slice(conn->sniff, conn->sniffed));
			return;
		}
		if (conn->sniffed == sizeof(preface)) {
			start(conn, AP_HTTP_2, ap_slice(conn->sniff, conn->sniffed));
			return;
		}
	}
}

static void
opened(struct ap_http_conn *conn)
{
	bool tls = ap_stream_is_tls(conn->transport);
	struct ap_slice alpn = tls ? ap_tls_alpn(conn->transport) : AP_SLICE_NONE;

	conn->is_open = true;
	if (conn->version == AP_HTTP_AUTO && (tls || !conn->is_server)) {
		conn->version = ap_slice_eq(alpn, AP_S("h2")) ? AP_HTTP_2 : AP_HTTP_1_1;
	} else if (alpn.len > 0 && (conn->version == AP_HTTP_2) != ap_slice_eq(alpn, AP_S("h2"))) {
		ap_http_conn_end(conn, AP_STREAM_PROTOCOL, 0);
		return;
	}
	if (conn->version != AP_HTTP_AUTO) {
		start(conn, conn->version, AP_SLICE_NONE);
		return;
	}
	ap_http_conn_wake_at(conn, ap_loop_now_ms(conn->loop) + conn->settings.head_timeout_ms);
	ap_stream_want(conn->transport, AP_STREAM_READABLE);
}

static void
on_transport(struct ap_stream *s, unsigned events, void *arg)
{
	struct ap_http_conn *conn = arg;

	AP_IS(conn, AP_HTTP_CONN_MAGIC);
	if (events & AP_STREAM_OPEN)
		opened(conn);
	if (conn->is_ending)
		return;
	if (conn->ops != NULL)
		conn->ops->events(conn, events & ~AP_STREAM_OPEN);
	else if (events & AP_STREAM_FAILED)
		ap_http_conn_end(conn, s->error, s->detail);
	else if ((events & AP_STREAM_READABLE) && conn->is_open)
		sniff(conn);
}

#define DEFAULT(field_, value_) \
	if (conn->settings.field_ == 0) \
	conn->settings.field_ = (value_)

static struct ap_http_conn *
conn_new(struct ap_stream *transport, enum ap_http_version version, const struct ap_http_settings *settings, void *arg)
{
	struct ap_http_conn *conn = ap_new(struct ap_http_conn);

	conn->magic = AP_HTTP_CONN_MAGIC;
	conn->loop = transport->loop;
	conn->transport = transport;
	conn->version = version == AP_HTTP_1_0 ? AP_HTTP_1_1 : version;
	conn->arg = arg;
	if (settings != NULL)
		conn->settings = *settings;
	DEFAULT(max_streams, 100);
	DEFAULT(stream_window, 65535);
	DEFAULT(connection_window, 65535);
	DEFAULT(max_frame, 16384);
	DEFAULT(max_head_bytes, 64 * 1024);
	DEFAULT(max_fields, 128);
	DEFAULT(max_path_bytes, 8 * 1024);
	DEFAULT(idle_timeout_ms, 300000);
	DEFAULT(head_timeout_ms, 10000);
	DEFAULT(ping_timeout_ms, 20000);
	DEFAULT(high_water, 64 * 1024);
	ap_timer_init(&conn->timer, conn->loop, on_timer, conn);
	ap_task_init(&conn->end_task, on_end, conn);
	return conn;
}

static void
begin(struct ap_http_conn *conn)
{
	ap_stream_set_callback(conn->transport, on_transport, conn);
	if (conn->transport->is_open)
		opened(conn);
}

struct ap_http_conn *
ap_http_serve(struct ap_stream *transport, enum ap_http_version version, const struct ap_http_settings *settings,
    const struct ap_http_server_ops *ops, void *arg)
{
	struct ap_http_conn *conn = conn_new(transport, version, settings, arg);

	conn->is_server = true;
	conn->server = ops;
	begin(conn);
	return conn;
}

struct ap_http_conn *
ap_http_client(struct ap_stream *transport, enum ap_http_version version, const struct ap_http_settings *settings,
    const struct ap_http_client_ops *ops, void *arg)
{
	struct ap_http_conn *conn = conn_new(transport, version, settings, arg);

	conn->client = ops;
	begin(conn);
	return conn;
}

uint32_t
ap_http_room(const struct ap_http_conn *conn)
{
	return conn->ops == NULL || conn->is_closing || conn->is_ending ? 0 : conn->ops->room(conn);
}

struct ap_exchange *
ap_http_request(
    struct ap_http_conn *conn, const struct ap_http_head *head, bool end, ap_response_fn fn, void *arg)
{
	AP_IS(conn, AP_HTTP_CONN_MAGIC);
	return ap_http_room(conn) == 0 ? NULL : conn->ops->request(conn, head, end, fn, arg);
}

void
ap_http_drain(struct ap_http_conn *conn)
{
	AP_IS(conn, AP_HTTP_CONN_MAGIC);
	if (conn->is_ending)
		return;
	if (conn->ops == NULL)
		ap_http_conn_end(conn, AP_STREAM_OK, 0);
	else
		conn->ops->drain(conn);
}

void
ap_http_close(struct ap_http_conn *conn)
{
	AP_IS(conn, AP_HTTP_CONN_MAGIC);
	ap_http_conn_end(conn, AP_STREAM_CANCELLED, 0);
}

struct ap_stream *
ap_http_transport(struct ap_http_conn *conn)
{
	return conn->transport;
}

uint32_t
ap_http_active(const struct ap_http_conn *conn)
{
	return conn->active;
}

enum ap_http_version
ap_http_version(const struct ap_http_conn *conn)
{
	return conn->version;
}

void *
ap_http_arg(const struct ap_http_conn *conn)
{
	return conn->arg;
}
