/* wp_status.c -- a small HTTP/1 listener that answers every request by one function: metrics, readiness.  Its loop's thread. */
#include "base/mem.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "waypoint/wp_priv.h"

#define STATUS_CONNS 64

struct conn {
	struct ap_list link;
	struct wp_status *status;
	struct ap_http_conn *http;
};

struct wp_status {
	struct ap_loop *loop;
	struct ap_listener *listener;
	struct ap_list conns;
	unsigned count;
	void (*answer)(struct ap_exchange *x, void *arg);
	void *arg;
};

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct conn *c = arg;
	struct ap_stream *s = &x->stream;

	c->status->answer(x, c->status->arg);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
}

static void
on_closed(struct ap_http_conn *http, void *arg)
{
	struct conn *c = arg;

	(void)http;
	ap_list_remove(&c->link);
	if (c->status != NULL)
		c->status->count--;
	ap_free(&c);
}

static const struct ap_http_server_ops ops = { .request = on_request, .closed = on_closed };
static const struct ap_http_settings settings = { .idle_timeout_ms = 60000 };

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct wp_status *s = arg;
	struct ap_stream *stream = ap_tcp_take(s->loop, fd, peer);
	struct conn *c;

	if (s->count == STATUS_CONNS) {
		ap_stream_close(&stream, AP_STREAM_CLOSE_ABORT);
		return;
	}
	c = ap_new(struct conn);
	c->status = s;
	s->count++;
	ap_list_append(&s->conns, &c->link);
	c->http = ap_http_serve(stream, AP_HTTP_1_1, &settings, &ops, c);
}

struct wp_status *
wp_status_new(struct ap_loop *loop, const struct ap_addr *at, bool reuse_port,
    void (*answer)(struct ap_exchange *x, void *arg), void *arg, struct ap_error *err)
{
	const struct ap_listener_options options = { .reuse_port = reuse_port };
	struct wp_status *s = ap_new(struct wp_status);

	s->loop = loop;
	s->answer = answer;
	s->arg = arg;
	ap_list_init(&s->conns);
	s->listener = ap_listener_new(loop, at, &options, on_accept, s, err);
	if (s->listener == NULL)
		ap_free(&s);
	return s;
}

void
wp_status_free(struct wp_status **sp)
{
	struct wp_status *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	ap_listener_free(&s->listener);
	AP_LIST_FOR_SAFE(l, &s->conns)
	{
		struct conn *c = AP_LIST_ITEM(l, struct conn, link);

		c->status = NULL;
		ap_http_close(c->http);
	}
	ap_free(&s);
}
