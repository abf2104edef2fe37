/* wm_probe.c -- asks a waypoint's readiness page, over HTTP as anybody would. */
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "http/exchange.h"
#include "net/tcp.h"
#include "wm_instance.h"

#define PROBE_TIMEOUT_MS 1000U

struct probe {
	struct wm *m;
	char key[200]; /* the instance may be gone when the answer comes */
	struct ap_http_conn *conn;
	struct ap_timer deadline;
	bool ready, is_told;
	void (*fn)(struct wm_instance *i, bool ready);
};

static void
tell(struct probe *p)
{
	struct wm_instance *i = ap_map_find(&p->m->instances, ap_slice_of(p->key));

	if (p->is_told)
		return;
	p->is_told = true;
	if (i != NULL && !p->m->is_stopping) {
		i->is_probing = false;
		p->fn(i, p->ready);
	}
}

static void
on_response(struct ap_exchange *x, void *arg)
{
	struct probe *p = arg;
	struct ap_stream *s = &x->stream;

	p->ready = x->response.status == 200;
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	tell(p);
	ap_http_close(p->conn);
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct probe *p = arg;

	(void)conn;
	tell(p);
	ap_timer_stop(&p->deadline);
	ap_free(&p);
}

static void
on_deadline(struct ap_timer *t, void *arg)
{
	struct probe *p = arg;

	(void)t;
	ap_http_close(p->conn);
}

static void
on_ready(struct ap_http_conn *conn, void *arg)
{
	struct ap_arena *arena = ap_arena_new(4096);
	struct ap_http_head head;

	ap_http_head_init(&head, arena);
	head.method = AP_S("GET");
	head.scheme = AP_S("http");
	head.authority = AP_S("localhost");
	head.path = AP_S("/healthz/ready");
	if (ap_http_request(conn, &head, true, on_response, arg) == NULL)
		ap_http_close(conn);
	ap_arena_free(&arena);
}

static const struct ap_http_client_ops ops = { .ready = on_ready, .closed = on_closed };

void
wm_probe(struct wm_instance *i, void (*fn)(struct wm_instance *i, bool ready))
{
	struct probe *p = ap_new(struct probe);
	struct ap_http_settings settings = { .idle_timeout_ms = PROBE_TIMEOUT_MS };
	struct ap_addr to;
	struct ap_ip ip;

	p->m = i->m;
	p->fn = fn;
	snprintf(p->key, sizeof(p->key), "%s", i->key);
	i->is_probing = true;
	AP_CHECK(ap_ip_parse(i->m->settings.address, &ip) == 0); /* checked at start */
	to = ap_addr_of(&ip, (uint16_t)(i->port + WM_READINESS_DISTANCE));
	ap_timer_init(&p->deadline, i->m->loop, on_deadline, p);
	ap_timer_start(&p->deadline, PROBE_TIMEOUT_MS);
	p->conn = ap_http_client(
	    ap_tcp_connect(i->m->loop, &to, &(struct ap_tcp_options){ .mark = 0x539, .connect_timeout_ms = PROBE_TIMEOUT_MS }),
	    AP_HTTP_1_1, &settings, &ops, p);
}
