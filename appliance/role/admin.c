/*
 * admin.c -- the admin socket: HTTP on a Unix socket that only its owner may open.  Answers health, readiness, metrics, the
 * configuration without secrets, log levels, and what each role adds below its own name.  Main thread; scraping it never
 * costs the data path anything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "codec/json.h"
#include "http/exchange.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "role/host_priv.h"

AP_LOG_MODULE(admin);

#define ANSWER_MAX ((size_t)256 * 1024 * 1024)
#define CONNECTIONS_MAX 64U

struct ap_admin {
	struct ap_host *host;
	struct ap_listener *listener;
	unsigned connections;
	bool is_over;
	struct ap_http_conn *open[CONNECTIONS_MAX];
};

/* What a path answers; the table below is the socket's whole manual. */
struct page {
	const char *method, *path, *summary;
	/* Status; body into out. query may be empty. */
	int (*answer)(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out);
};

static int
answer_health(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	(void)admin;
	(void)query;
	ap_buf_add_text(out, "ok\n");
	return 200;
}

static int
answer_ready(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	struct ap_buf why;
	bool ready;

	(void)query;
	ap_buf_init(&why, 4096);
	ready = ap_host_is_ready(admin->host, &why);
	if (ready)
		ap_buf_add_text(out, "ready\n");
	else
		ap_buf_printf(out, "not ready, pending: %.*s\n", (int)why.len, why.ptr == NULL ? "" : why.ptr);
	ap_buf_done(&why);
	return ready ? 200 : 503;
}

static int
answer_metrics(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	(void)admin;
	(void)query;
	ap_metrics_write(out);
	return 200;
}

static int
answer_config(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	(void)query;
	/* The file names where secrets are, and holds none. */
	ap_json_write(ap_config_appliance(admin->host->config)->spec, 2, out);
	ap_buf_add_char(out, '\n');
	return 200;
}

static int
answer_status(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	struct ap_host *host = admin->host;
	struct ap_buf why;

	(void)query;
	ap_buf_init(&why, 4096);
	ap_buf_printf(out, "{\"version\":\"%s\",\"ready\":%s,\"pending\":", PACKAGE_VERSION,
	    ap_host_is_ready(host, &why) ? "true" : "false");
	ap_buf_add_json(out, ap_buf_slice(&why));
	ap_buf_add_text(out, ",\"roles\":[");
	for (uint32_t i = 0; i < host->role_count; i++)
		ap_buf_printf(out, "%s\"%s\"", i == 0 ? "" : ",", host->loaded[i].role->name);
	ap_buf_printf(out, "],\"workers\":%u}\n", host->worker_count);
	ap_buf_done(&why);
	return 200;
}

static int
answer_reload(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	(void)query;
	ap_host_reload(admin->host);
	ap_buf_add_text(out, "reloaded, or refused with its reasons in the log\n");
	return 200;
}

static int
answer_drain(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	(void)query;
	ap_host_begin_drain(admin->host);
	ap_buf_add_text(out, "draining\n");
	return 200;
}

static int
answer_logging(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	static const struct ap_slice key = { "level=", 6 };
	struct ap_error err = { 0 };

	(void)admin;
	if (!ap_slice_starts(query, key)) {
		ap_buf_add_text(out, "say ?level=info or ?level=info,module:debug\n");
		return 400;
	}
	if (ap_log_set_levels(ap_slice_from(query, key.len), &err) != 0) {
		ap_buf_printf(out, "%s\n", err.text);
		return 400;
	}
	ap_buf_add_text(out, "set\n");
	return 200;
}

static int answer_index(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out);

static const struct page pages[] = {
	{ "GET", "/", "this list", answer_index },
	{ "GET", "/healthz", "the main loop answers", answer_health },
	{ "GET", "/readyz", "every role is ready, or what is pending", answer_ready },
	{ "GET", "/status", "version, roles, readiness as JSON", answer_status },
	{ "GET", "/metrics", "metrics of this process, OpenMetrics text", answer_metrics },
	{ "GET", "/config", "the Appliance's spec in force", answer_config },
	{ "POST", "/logging", "?level=info or ?level=info,module:debug", answer_logging },
	{ "POST", "/reload", "read the file again, as SIGHUP does", answer_reload },
	{ "POST", "/quitquitquit", "drain and stop, as SIGTERM does", answer_drain },
};

static int
answer_index(struct ap_admin *admin, struct ap_slice query, struct ap_buf *out)
{
	(void)query;
	for (size_t i = 0; i < AP_COUNTOF(pages); i++)
		ap_buf_printf(out, "%-4s %-16s %s\n", pages[i].method, pages[i].path, pages[i].summary);
	for (uint32_t i = 0; i < admin->host->role_count; i++) {
		if (admin->host->loaded[i].role->admin != NULL)
			ap_buf_printf(out, "GET  /%s/...\n", admin->host->loaded[i].role->name);
	}
	return 200;
}

/* "/ztunnel/config_dump" is the role ztunnel's "/config_dump". */
static int
answer_role(struct ap_admin *admin, struct ap_slice path, struct ap_buf *out)
{
	struct ap_slice rest = ap_slice_from(path, 1);
	struct ap_slice name = ap_slice_cut(&rest, '/');
	char inner[256];

	for (uint32_t i = 0; i < admin->host->role_count; i++) {
		struct ap_loaded *l = &admin->host->loaded[i];

		if (!ap_slice_eq_text(name, l->role->name) || l->role->admin == NULL)
			continue;
		snprintf(inner, sizeof(inner), "/%.*s", AP_FMT(rest));
		if (l->role->admin(l->self, inner, out))
			return 200;
	}
	ap_buf_add_text(out, "there is no such page; GET / lists them\n");
	return 404;
}

static int
answer(struct ap_admin *admin, const struct ap_http_head *head, struct ap_buf *out)
{
	struct ap_slice query = head->path;
	struct ap_slice path = ap_slice_cut(&query, '?');

	for (size_t i = 0; i < AP_COUNTOF(pages); i++) {
		if (!ap_slice_eq_text(path, pages[i].path))
			continue;
		if (ap_slice_eq_text(head->method, pages[i].method))
			return pages[i].answer(admin, query, out);
		ap_buf_printf(out, "%s wants %s\n", pages[i].path, pages[i].method);
		return 405;
	}
	if (!ap_slice_eq(head->method, AP_S("GET"))) {
		ap_buf_add_text(out, "only GET is answered here\n");
		return 405;
	}
	return answer_role(admin, path, out);
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct ap_admin *admin = arg;
	struct ap_stream *s;
	struct ap_buf out;
	int status;

	ap_buf_init(&out, ANSWER_MAX);
	status = answer(admin, &x->request, &out);
	if (out.bad)
		ap_exchange_reply(x, 500, "text/plain", AP_S("the answer is larger than 256 MiB\n"));
	else
		ap_exchange_reply(x, status, out.len > 0 && (out.ptr[0] == '{' || out.ptr[0] == '[') ? "application/json" :
		    "text/plain; charset=utf-8", ap_buf_slice(&out));
	ap_buf_done(&out);
	s = &x->stream;
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct ap_admin *admin = arg;

	for (unsigned i = 0; i < admin->connections; i++) {
		if (admin->open[i] == conn) {
			admin->open[i] = admin->open[--admin->connections];
			break;
		}
	}
	if (admin->is_over && admin->connections == 0)
		ap_free(&admin);
}

static const struct ap_http_server_ops ops = { .request = on_request, .closed = on_closed };

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct ap_admin *admin = arg;
	struct ap_stream *s = ap_tcp_take(admin->host->main->loop, fd, peer);
	struct ap_http_settings settings = { .max_streams = 8 };

	if (admin->connections == CONNECTIONS_MAX) {
		LOG_WARN_LIMIT(NULL, 1, "the admin socket has %u connections open; one more was refused.", CONNECTIONS_MAX);
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	admin->open[admin->connections++] = ap_http_serve(s, AP_HTTP_AUTO, &settings, &ops, admin);
}

struct ap_admin *
ap_admin_new(struct ap_host *host, struct ap_error *err)
{
	struct ap_listener_options options = { .unix_mode = 0600 };
	struct ap_admin *admin = ap_new(struct ap_admin);
	char path[200];
	struct ap_addr at;

	admin->host = host;
	snprintf(path, sizeof(path), "unix:");
	ap_host_admin_path(ap_config_appliance(host->config), path + 5, sizeof(path) - 5);
	if (ap_addr_parse(ap_slice_of(path), &at) != 0) {
		ap_error_set(err, -1, "%s is too long for a Unix socket; shorten spec.runDir.", path + 5);
	} else {
		admin->listener = ap_listener_new(host->main->loop, &at, &options, on_accept, admin, err);
	}
	if (admin->listener == NULL)
		ap_free(&admin);
	return admin;
}

/* Connections say goodbye at the end of the turn; the last of them takes the struct along. */
void
ap_admin_free(struct ap_admin **admin)
{
	struct ap_admin *old = *admin;
	struct ap_http_conn *open[CONNECTIONS_MAX];
	unsigned count;

	*admin = NULL;
	if (old == NULL)
		return;
	ap_listener_free(&old->listener);
	count = old->connections;
	if (count == 0) {
		ap_free(&old);
		return;
	}
	memcpy(open, old->open, count * sizeof(open[0]));
	old->is_over = true;
	for (unsigned i = 0; i < count; i++)
		ap_http_close(open[i]);
}
