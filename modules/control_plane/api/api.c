/*
 * api.c -- the resource API's listeners, connections and requests.
 *
 * A request is made when its head is complete, gathers its body up to a bound, is answered, and is freed at the end of the
 * turn; a watch goes on until the client leaves, lags, or the server drains.  All on the control plane's worker, where the
 * resources are, so nothing is locked.
 */
#include "control_plane/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/uri.h"
#include "control_plane/api/api_priv.h"
#include "event/worker.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "net/tls.h"

AP_LOG_MODULE(api);

#define REQUEST_ARENA ((size_t)512 * 1024 * 1024)

/* -- requests -- */

static void
request_free(void *ptr)
{
	struct api_request *r = ptr;
	struct ap_stream *s;

	if (r->x != NULL) {
		s = &r->x->stream;
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	}
	ap_buf_done(&r->body);
	ap_buf_done(&r->warnings);
	ap_arena_free(&r->arena);
	r->magic = 0;
	ap_free(&r);
}

void
api_done(struct api_request *r)
{
	struct ap_stream *s;

	AP_IS(r, API_MAGIC);
	if (r->x == NULL)
		return;
	s = &r->x->stream;
	r->x = NULL;
	ap_list_remove(&r->link);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	ap_defer_free(r->cp->loop, r, request_free);
}

/* The client left before it was answered. */
static void
request_abort(struct api_request *r)
{
	struct ap_stream *s = &r->x->stream;

	api_watch_end(r);
	r->x = NULL;
	ap_list_remove(&r->link);
	ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
	ap_defer_free(r->cp->loop, r, request_free);
}

/* Many clients look for the answer only when they have sent all: up to another bound the rest is read and thrown away. */
static void
too_large(struct api_request *r)
{
	api_fail(r, 413, "RequestEntityTooLarge", "the body is larger than %zu bytes", API_BODY_MAX);
}

static void
on_body(struct ap_stream *s, unsigned events, void *arg)
{
	struct api_request *r = arg;
	ssize_t n;

	AP_IS(r, API_MAGIC);
	if ((events & AP_STREAM_FAILED) != 0) {
		request_abort(r);
		return;
	}
	if ((events & AP_STREAM_READABLE) == 0)
		return;
	for (;;) {
		struct ap_worker *w = r->cp->worker;

		n = ap_stream_read(s, w->scratch, AP_SCRATCH_SIZE);
		if (n > 0) {
			r->received += (size_t)n;
			ap_buf_add(&r->body, w->scratch, (size_t)n);
			if (r->received > API_DISCARD_MAX) {
				too_large(r);
				return;
			}
			continue;
		}
		if (n == AP_STREAM_AGAIN)
			return;
		if (n == AP_STREAM_ERROR) {
			request_abort(r);
			return;
		}
		ap_stream_want(s, 0);
		if (r->body.bad)
			too_large(r);
		else
			api_dispatch(r);
		return;
	}
}

static bool
has_body(const struct ap_exchange *x)
{
	return !x->request.end && x->request.content_length != 0;
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct api_connection *conn = arg;
	struct api_request *r = ap_new(struct api_request);
	struct ap_slice path, query;

	r->magic = API_MAGIC;
	r->api = conn->api;
	r->cp = conn->api->cp;
	r->x = x;
	r->arena = ap_arena_new(REQUEST_ARENA);
	ap_buf_init(&r->body, API_BODY_MAX);
	ap_buf_init(&r->warnings, 16 * 1024);
	ap_list_append(&conn->api->requests, &r->link);
	ap_uri_split_target(x->request.path, &path, &query);
	r->method = ap_arena_copy(r->arena, x->request.method);
	r->path = ap_arena_copy(r->arena, path);
	r->query = query.ptr == NULL ? AP_SLICE_NONE : ap_arena_copy(r->arena, query);
	ap_stream_set_callback(&x->stream, on_body, r);
	api_read_accept(r);
	api_authenticate(r, conn);
	if (r->path.len == 0 || r->path.ptr[0] != '/') {
		api_fail(r, 400, "BadRequest", "the path must begin with a slash");
		return;
	}
	if (!api_authorize(r))
		return;
	if (x->request.content_length > (int64_t)API_DISCARD_MAX) {
		too_large(r);
		return;
	}
	if (has_body(x)) {
		ap_exchange_continue(x);
		ap_stream_want(&x->stream, AP_STREAM_READABLE);
	} else {
		api_dispatch(r);
	}
}

/* -- connections -- */

static void
connection_free(struct api_connection *conn)
{
	ap_list_remove(&conn->link);
	conn->api->connection_count--;
	ap_free(&conn);
}

static void
on_closed(struct ap_http_conn *http, void *arg)
{
	(void)http;
	connection_free(arg);
}

static const struct ap_http_server_ops server_ops = { .request = on_request, .closed = on_closed };

static struct api_connection *
connection_new(struct cp_api *api, bool local)
{
	struct api_connection *conn = ap_new(struct api_connection);

	conn->api = api;
	conn->local = local;
	ap_list_append(&api->connections, &conn->link);
	api->connection_count++;
	return conn;
}

static void
serve(struct api_connection *conn, struct ap_stream *s)
{
	static const struct ap_http_settings settings = { .max_streams = 256,
		.max_path_bytes = 16 * 1024,
		.ping_interval_ms = 60000,
		.high_water = 1024 * 1024 };

	conn->transport = s;
	conn->http = ap_http_serve(s, AP_HTTP_AUTO, &settings, &server_ops, conn);
}

static void
on_accept_unix(int fd, const struct ap_addr *peer, void *arg)
{
	struct cp_api *api = arg;
	struct ap_stream *s = ap_tcp_take(api->cp->loop, fd, peer);

	if (api->connection_count >= API_CONNECTIONS_MAX) {
		LOG_WARN_LIMIT(NULL, 1, "%u connections are open; one more was refused", API_CONNECTIONS_MAX);
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	serve(connection_new(api, true), s);
}

static void
on_accept_tls(int fd, const struct ap_addr *peer, void *arg)
{
	struct cp_api *api = arg;
	struct ap_stream *s = ap_tcp_take(api->cp->loop, fd, peer);

	if (api->connection_count >= API_CONNECTIONS_MAX) {
		LOG_WARN_LIMIT(NULL, 1, "%u connections are open; one more was refused", API_CONNECTIONS_MAX);
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	serve(connection_new(api, false), ap_tls_server(s, api->tls, NULL, NULL));
}

/* -- life -- */

static void
on_change(struct cp *cp, const struct cp_change *changes, size_t count, void *arg)
{
	(void)cp;
	(void)changes;
	(void)count;
	api_watch_wake(arg);
}

static int
listen_unix(struct cp_api *api, struct ap_error *err)
{
	struct ap_listener_options options = { .unix_mode = 0600 };
	struct ap_addr at;
	char path[200];

	snprintf(path, sizeof(path), "unix:%.*s/api.sock", AP_FMT(api->cp->settings.run_dir));
	if (ap_addr_parse(ap_slice_of(path), &at) != 0)
		return ap_error_set(err, -EINVAL, "%s is no path for a socket", path);
	api->unix_listener = ap_listener_new(api->cp->loop, &at, &options, on_accept_unix, api, err);
	return api->unix_listener != NULL ? 0 : err->code;
}

static int
listen_tls(struct cp_api *api, struct ap_error *err)
{
	struct ap_listener_options options = { 0 };
	struct ap_addr at;

	if (api->tls == NULL || api->cp->settings.api_listen.len == 0)
		return 0;
	if (ap_addr_parse(api->cp->settings.api_listen, &at) != 0)
		return ap_error_set(err, -EINVAL, "%.*s is no address to listen at", AP_FMT(api->cp->settings.api_listen));
	api->tls_listener = ap_listener_new(api->cp->loop, &at, &options, on_accept_tls, api, err);
	return api->tls_listener != NULL ? 0 : err->code;
}

struct cp_api *
cp_api_start(struct cp *cp, struct ap_tls *tls, struct ap_error *err)
{
	struct cp_api *api = ap_new(struct cp_api);

	api->cp = cp;
	api->tls = tls == NULL ? NULL : ap_tls_ref(tls);
	ap_list_init(&api->connections);
	ap_list_init(&api->requests);
	ap_list_init(&api->watches);
	cp_subscribe(cp, &api->subscriber, on_change, api);
	if (api_auth_open(api, err) == 0 && listen_unix(api, err) == 0 && listen_tls(api, err) == 0)
		return api;
	ap_error_wrap(err, "the resource API");
	cp_api_stop(&api);
	return NULL;
}

void
cp_api_set_tls(struct cp_api *api, struct ap_tls *tls)
{
	struct ap_tls *old = api->tls;

	api->tls = ap_tls_ref(tls);
	ap_tls_unref(&old);
}

void
cp_api_drain(struct cp_api *api)
{
	api->draining = true;
	ap_listener_free(&api->unix_listener);
	ap_listener_free(&api->tls_listener);
	AP_LIST_FOR_SAFE (link, &api->requests) {
		struct api_request *r = AP_LIST_ITEM(link, struct api_request, link);

		if (r->watch != NULL) {
			api_watch_end(r);
			ap_stream_shutdown(&r->x->stream);
			api_done(r);
		}
	}
	AP_LIST_FOR_SAFE (link, &api->connections)
		ap_http_drain(AP_LIST_ITEM(link, struct api_connection, link)->http);
}

bool
cp_api_idle(const struct cp_api *api)
{
	return ap_list_is_empty(&api->requests);
}

void
cp_api_stop(struct cp_api **out)
{
	struct cp_api *api = *out;

	*out = NULL;
	if (api == NULL)
		return;
	cp_unsubscribe(api->cp, &api->subscriber);
	ap_listener_free(&api->unix_listener);
	ap_listener_free(&api->tls_listener);
	AP_LIST_FOR_SAFE (link, &api->requests)
		request_abort(AP_LIST_ITEM(link, struct api_request, link));
	AP_LIST_FOR_SAFE (link, &api->connections)
		ap_http_close(AP_LIST_ITEM(link, struct api_connection, link)->http);
	ap_tls_unref(&api->tls);
	ap_wipe(api->admin_token, sizeof(api->admin_token));
	ap_wipe(api->viewer_token, sizeof(api->viewer_token));
	/* Connections tell their end when the loop turns; they hold api until then. */
	ap_defer_free(api->cp->loop, api, ap_mem_free);
}
