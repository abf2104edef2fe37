/*
 * ui_http.c -- serves the embedded page and the API to browsers: GET and HEAD only, nothing that a page of another origin could
 * use (no CORS, Host checked against rebinding), a content security policy without exceptions, entity tags.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/uri.h"
#include "event/worker.h"
#include "http/exchange.h"
#include "metrics_ui/ui.h"
#include "metrics_ui/ui_assets.h"
#include "metrics_ui/ui_json.h"
#include "net/listener.h"
#include "net/tcp.h"

AP_LOG_MODULE(ui_http);

#define CONNECTIONS_MAX 256U
#define ANSWER_MAX ((size_t)64 * 1024 * 1024)
#define POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " \
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

struct ui_server {
	struct ui *ui;
	struct ap_listener *listener;
	struct ap_map conns; /* address of the connection -> connection */
};

/* A body on its way; freed when it was written or the exchange broke. */
struct reply {
	struct ap_exchange *x;
	struct ap_buf body;     /* owned, or empty */
	struct ap_slice rest;   /* what is still to be written: of body, or of an asset */
	struct ap_loop *loop;
};

static void
free_reply(struct reply *r)
{
	ap_buf_done(&r->body);
	ap_free(&r);
}

static void
end_reply(struct reply *r, enum ap_stream_close how)
{
	struct ap_stream *s = &r->x->stream;

	ap_stream_close(&s, how);
	free_reply(r);
}

static void
write_reply(struct reply *r)
{
	while (r->rest.len > 0) {
		ssize_t n = ap_stream_write(&r->x->stream, r->rest.ptr, r->rest.len);

		if (n == AP_STREAM_AGAIN) {
			ap_stream_want(&r->x->stream, AP_STREAM_WRITABLE);
			return;
		}
		if (n < 0) {
			end_reply(r, AP_STREAM_CLOSE_ABORT);
			return;
		}
		r->rest = ap_slice_from(r->rest, (size_t)n);
	}
	ap_stream_shutdown(&r->x->stream);
	end_reply(r, AP_STREAM_CLOSE_CLEAN);
}

static void
on_stream(struct ap_stream *s, unsigned events, void *arg)
{
	struct reply *r = arg;

	(void)s;
	if (events & AP_STREAM_FAILED)
		end_reply(r, AP_STREAM_CLOSE_ABORT);
	else if (events & AP_STREAM_WRITABLE)
		write_reply(r);
}

static void
add_safety(struct ap_fields *f)
{
	ap_fields_add(f, AP_S("content-security-policy"), AP_S(POLICY));
	ap_fields_add(f, AP_S("x-content-type-options"), AP_S("nosniff"));
	ap_fields_add(f, AP_S("x-frame-options"), AP_S("DENY"));
	ap_fields_add(f, AP_S("referrer-policy"), AP_S("no-referrer"));
	ap_fields_add(f, AP_S("cross-origin-resource-policy"), AP_S("same-origin"));
}

/* Send a head and, unless it is for HEAD or 304, the body. Takes `body` over when it is given; else `bytes` must be static. */
static void
answer(struct ui_server *server, struct ap_exchange *x, int status, const char *type, const char *etag, struct ap_slice bytes,
    struct ap_buf *body)
{
	struct ap_http_head head;
	struct reply *r;
	bool no_body = status == 304 || ap_slice_eq_text(x->request.method, "HEAD");

	ap_http_head_init(&head, x->arena);
	head.status = status;
	head.content_length = status == 304 ? -1 : (int64_t)bytes.len;
	add_safety(&head.fields);
	if (status != 304)
		ap_fields_add(&head.fields, AP_S("content-type"), ap_slice_of(type));
	if (etag != NULL)
		ap_fields_add(&head.fields, AP_S("etag"), ap_slice_of(etag));
	if (status == 405)
		ap_fields_add(&head.fields, AP_S("allow"), AP_S("GET, HEAD"));
	/* Assets bear their tag: asked again each time, sent again only when the program changed. */
	ap_fields_add(&head.fields, AP_S("cache-control"), etag != NULL ? AP_S("no-cache") : AP_S("no-store"));
	r = ap_new(struct reply);
	r->x = x;
	r->loop = server->ui->loop;
	if (body != NULL)
		r->body = *body;
	else
		ap_buf_init(&r->body, 1);
	r->rest = no_body ? AP_SLICE_NONE : bytes;
	ap_stream_set_callback(&x->stream, on_stream, r);
	ap_exchange_respond(x, &head, no_body || bytes.len == 0);
	if (no_body || bytes.len == 0)
		end_reply(r, AP_STREAM_CLOSE_CLEAN);
	else
		write_reply(r);
}

static void
answer_error(struct ui_server *server, struct ap_exchange *x, int status, const char *text)
{
	struct ap_buf b;

	ap_buf_init(&b, 4096);
	ui_json_error(&b, text);
	answer(server, x, status, "application/json", NULL, ap_buf_slice(&b), &b);
}

/*
 * A page of somebody else may have its name resolve to our address, and would then be of our origin.  It cannot choose the Host
 * that the browser sends, though: an address or a name that we were told of passes.
 */
static bool
host_is_ours(const struct ui_settings *s, struct ap_slice authority)
{
	struct ap_slice host;
	struct ap_ip ip;
	uint16_t port;

	if (ap_uri_split_host(authority, &host, &port) < 0)
		return false;
	if (ap_slice_eq_nocase(host, AP_S("localhost")) || ap_ip_parse(host, &ip) == 0)
		return true;
	for (uint32_t i = 0; i < s->host_count; i++)
		if (ap_slice_eq_nocase(host, s->hosts[i]))
			return true;
	return false;
}

static const struct ui_asset *
find_asset(struct ap_slice path)
{
	if (ap_slice_eq_text(path, "/"))
		path = AP_S("/index.html");
	for (const struct ui_asset *a = ui_assets; a->path != NULL; a++)
		if (ap_slice_eq_text(path, a->path))
			return a;
	return NULL;
}

static void
serve_asset(struct ui_server *server, struct ap_exchange *x, struct ap_slice path)
{
	const struct ui_asset *a = find_asset(path);
	struct ap_slice known = ap_fields_get(&x->request.fields, AP_S("if-none-match"));

	if (a == NULL)
		answer_error(server, x, 404, "there is no such page");
	else if (known.ptr != NULL && ap_slice_search(known, ap_slice_of(a->etag)) != SIZE_MAX)
		answer(server, x, 304, a->type, a->etag, AP_SLICE_NONE, NULL);
	else
		answer(server, x, 200, a->type, a->etag, ap_slice(a->bytes, a->size), NULL);
}

static void
serve_api(struct ui_server *server, struct ap_exchange *x, struct ap_slice path, struct ap_slice query)
{
	struct ap_buf raw, b;
	int status;

	ap_buf_init(&raw, (size_t)16 * 1024);
	ap_buf_init(&b, ANSWER_MAX);
	/* Ids hold ':' and '/', which browsers escape in queries. */
	if (ap_uri_decode(query, true, &raw) < 0 || raw.bad) {
		ui_json_error(&b, "the query cannot be decoded");
		status = 400;
	} else {
		status = ui_api_answer(server->ui, path, ap_buf_slice(&raw), &b);
	}
	ap_buf_done(&raw);
	answer(server, x, status, "application/json", NULL, ap_buf_slice(&b), &b);
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct ui_server *server = arg;
	struct ap_slice path, query;

	if (!host_is_ours(server->ui->settings, x->request.authority)) {
		answer_error(server, x, 403, "this name is not among metricsUi.hosts");
		return;
	}
	if (!ap_slice_eq_text(x->request.method, "GET") && !ap_slice_eq_text(x->request.method, "HEAD")) {
		answer_error(server, x, 405, "only GET and HEAD are served");
		return;
	}
	ap_uri_split_target(x->request.path, &path, &query);
	if (ap_slice_eq_text(path, "/healthz"))
		answer(server, x, 200, "text/plain", NULL, AP_S("ok\n"), NULL);
	else if (ap_slice_starts(path, AP_S("/api/")))
		serve_api(server, x, ap_slice_from(path, 5), query);
	else
		serve_asset(server, x, path);
}

static struct ap_slice
conn_key(struct ap_http_conn *const *conn)
{
	return ap_slice((const char *)conn, sizeof(*conn));
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct ui_server *server = arg;

	ap_map_remove(&server->conns, conn_key(&conn));
}

static const struct ap_http_server_ops ops = { .request = on_request, .closed = on_closed };

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	static const struct ap_http_settings settings = { .idle_timeout_ms = 60000, .max_head_bytes = (size_t)32 * 1024 };
	struct ui_server *server = arg;
	struct ap_stream *s = ap_tcp_take(server->ui->loop, fd, peer);
	struct ap_http_conn *conn;

	if (server->conns.count >= CONNECTIONS_MAX) {
		LOG_WARN_LIMIT(NULL, 1, "More than %u browsers are connected; one was refused.", CONNECTIONS_MAX);
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	conn = ap_http_serve(s, AP_HTTP_AUTO, &settings, &ops, server);
	ap_map_put(&server->conns, conn_key(&conn), conn);
}

int
ui_http_start(struct ui *ui, struct ap_error *err)
{
	struct ap_listener_options options = { .backlog = 128 };
	struct ui_server *server = ap_new(struct ui_server);
	char text[AP_ADDR_TEXT];
	struct ap_addr at;

	server->ui = ui;
	ui->server = server;
	server->listener = ap_listener_new(ui->loop, &ui->settings->listen, &options, on_accept, server, err);
	if (server->listener == NULL) {
		ap_free(&ui->server);
		return ap_error_wrap(err, "the page");
	}
	at = ap_listener_addr(server->listener);
	LOG_INFO(NULL, "The page is at http://%s/.", ap_addr_format(&at, text, sizeof(text)));
	return 0;
}

static void
free_server(void *ptr)
{
	struct ui_server *server = ptr;

	ap_map_done(&server->conns, NULL);
	ap_free(&server);
}

/* Connections tell that they are gone at the end of this turn, so their server goes after them. */
void
ui_http_stop(struct ui *ui)
{
	struct ui_server *server = ui->server;
	struct ap_map_entry *e;

	if (server == NULL)
		return;
	ap_listener_free(&server->listener);
	for (size_t i = 0; (e = ap_map_next(&server->conns, &i)) != NULL;)
		ap_http_close(e->value);
	ap_defer_free(ui->loop, server, free_server);
	ui->server = NULL;
}
