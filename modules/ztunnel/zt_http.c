/*
 * zt_http.c -- three small servers (istio-ambient.md 7.2): 15000 on the loopback address for dumps and log levels, 15020 for
 * metrics, 15021 for readiness.  Whole answers only; at most CONNECTIONS_MAX connections each.
 */
#include "ztunnel/zt_http.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http/exchange.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_role.h"

#define CONNECTIONS_MAX 64U
#define ANSWER_MAX ((size_t)512 * 1024 * 1024)

enum which { ADMIN, METRICS, READINESS, SERVERS };

struct server {
	struct zt_http *http;
	enum which which;
	struct ap_listener *listeners[2];
	struct ap_list connections;
	unsigned count;
};

struct connection {
	struct ap_list link;
	struct server *server;
	struct ap_http_conn *http;
};

struct zt_http {
	struct zt *zt;
	struct server servers[SERVERS];
};

static const char index_text[] = "ambit ztunnel\n"
				 "GET  /config_dump            workloads, services, policies, certificates, connections\n"
				 "POST /logging?level=SPEC     log levels, as in info,zt_inbound:debug\n"
				 "POST /quitquitquit           drain and stop\n";

static void
reply_text(struct ap_exchange *x, int status, struct ap_slice text)
{
	ap_exchange_reply(x, status, "text/plain; charset=utf-8", text);
}

static void
answer_metrics(struct ap_exchange *x)
{
	struct ap_buf out;

	ap_buf_init(&out, ANSWER_MAX);
	ap_metrics_write(&out);
	ap_exchange_reply(
	    x, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", ap_buf_slice(&out));
	ap_buf_done(&out);
}

static void
answer_ready(struct zt *zt, struct ap_exchange *x)
{
	struct ap_buf why;

	ap_buf_init(&why, 4096);
	if (zt_is_ready(zt, &why)) {
		reply_text(x, 200, AP_S("ready"));
	} else {
		struct ap_buf text;

		ap_buf_init(&text, 8192);
		ap_buf_printf(&text, "not ready, pending: %.*s", (int)why.len, why.ptr == NULL ? "" : why.ptr);
		reply_text(x, 500, ap_buf_slice(&text));
		ap_buf_done(&text);
	}
	ap_buf_done(&why);
}

static void
answer_logging(struct ap_exchange *x, struct ap_slice query)
{
	struct ap_error err;

	if (ap_slice_starts(query, AP_S("level=")))
		query = ap_slice_from(query, 6);
	if (query.len == 0) {
		reply_text(x, 400, AP_S("give ?level=SPEC, as in info,zt_inbound:debug\n"));
	} else if (ap_log_set_levels(query, &err) != 0) {
		reply_text(x, 400, ap_slice_of(err.text));
	} else {
		reply_text(x, 200, AP_S("ok\n"));
	}
}

static void
answer_admin(struct zt *zt, struct ap_exchange *x, struct ap_slice path, struct ap_slice query)
{
	bool post = ap_slice_eq_text(x->request.method, "POST");
	struct ap_buf out;

	if (!post && ap_slice_eq_text(path, "/")) {
		reply_text(x, 200, AP_S(index_text));
	} else if (!post && ap_slice_eq_text(path, "/config_dump")) {
		ap_buf_init(&out, ANSWER_MAX);
		zt_dump(zt, &out);
		ap_exchange_reply(x, 200, "application/json", ap_buf_slice(&out));
		ap_buf_done(&out);
	} else if (post && ap_slice_eq_text(path, "/logging")) {
		answer_logging(x, query);
	} else if (post && ap_slice_eq_text(path, "/quitquitquit")) {
		reply_text(x, 200, AP_S("shutdown now\n"));
		(void)kill(getpid(), SIGTERM);
	} else {
		reply_text(x, 404, AP_S("not found\n"));
	}
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct connection *c = arg;
	struct zt *zt = c->server->http->zt;
	struct ap_stream *s;
	struct ap_slice query = x->request.path, path = ap_slice_cut(&query, '?');

	switch (c->server->which) {
	case METRICS:
		if (ap_slice_eq_text(path, "/metrics") || ap_slice_eq_text(path, "/stats/prometheus"))
			answer_metrics(x);
		else
			reply_text(x, 404, AP_S("not found\n"));
		break;
	case READINESS:
		if (ap_slice_eq_text(path, "/healthz/ready"))
			answer_ready(zt, x);
		else
			reply_text(x, 404, AP_S("not found\n"));
		break;
	case ADMIN:
	case SERVERS:
		answer_admin(zt, x, path, query);
		break;
	}
	s = &x->stream;
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct connection *c = arg;

	(void)conn;
	ap_list_remove(&c->link);
	if (c->server != NULL)
		c->server->count--;
	ap_free(&c);
}

static const struct ap_http_server_ops ops = { .request = on_request, .closed = on_closed };

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct ap_http_settings settings = { .idle_timeout_ms = 60000, .max_head_bytes = 16384, .max_streams = 8 };
	struct server *s = arg;
	struct connection *c;

	if (s->count >= CONNECTIONS_MAX) {
		close(fd);
		return;
	}
	c = ap_new(struct connection);
	c->server = s;
	ap_list_append(&s->connections, &c->link);
	s->count++;
	c->http = ap_http_serve(
	    ap_tcp_take(ap_host_main(s->http->zt->host)->loop, fd, peer), AP_HTTP_AUTO, &settings, &ops, c);
}

static struct ap_listener *
listen_at(struct server *s, const char *ip, uint16_t port, struct ap_error *err)
{
	struct ap_listener_options options = { .mark = s->http->zt->cfg.mark };
	struct ap_addr at;
	struct ap_ip parsed;

	(void)ap_ip_parse(ap_slice_of(ip), &parsed);
	at = ap_addr_of(&parsed, port);
	return ap_listener_new(ap_host_main(s->http->zt->host)->loop, &at, &options, on_accept, s, err);
}

struct zt_http *
zt_http_new(struct zt *zt, struct ap_error *err)
{
	const uint16_t ports[SERVERS] = { zt->cfg.admin_port, zt->cfg.metrics_port, zt->cfg.readiness_port };
	static const char *const names[SERVERS] = { "admin", "metrics", "readiness" };
	struct zt_http *h = ap_new(struct zt_http);
	struct ap_error ignored;
	int i;

	h->zt = zt;
	for (i = 0; i < SERVERS; i++) {
		struct server *s = &h->servers[i];

		s->http = h;
		s->which = (enum which)i;
		ap_list_init(&s->connections);
	}
	for (i = 0; i < SERVERS; i++) {
		struct server *s = &h->servers[i];

		if (i == ADMIN) {
			s->listeners[0] = listen_at(s, "127.0.0.1", ports[i], err);
			s->listeners[1] = listen_at(s, "::1", ports[i], &ignored);
		} else {
			s->listeners[0] = listen_at(s, "::", ports[i], err);
			if (s->listeners[0] == NULL)
				s->listeners[0] = listen_at(s, "0.0.0.0", ports[i], err);
		}
		if (s->listeners[0] == NULL) {
			(void)ap_error_wrap(err, "%s port %u", names[i], ports[i]);
			zt_http_free(&h);
			return NULL;
		}
	}
	return h;
}

void
zt_http_free(struct zt_http **h)
{
	struct zt_http *old = *h;
	int i, j;

	*h = NULL;
	if (old == NULL)
		return;
	for (i = 0; i < SERVERS; i++) {
		struct server *s = &old->servers[i];

		for (j = 0; j < 2; j++)
			ap_listener_free(&s->listeners[j]);
		AP_LIST_FOR_SAFE(link, &s->connections) {
			struct connection *c = AP_LIST_ITEM(link, struct connection, link);

			/* It ends in this turn, after us. */
			ap_list_remove(&c->link);
			c->server = NULL;
			ap_http_close(c->http);
		}
	}
	ap_free(&old);
}
