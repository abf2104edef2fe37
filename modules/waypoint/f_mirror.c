/*
 * f_mirror.c -- copies of requests to other destinations, whose answers nobody waits for.  A copy is a thing of its own, with
 * its own arena and a bounded life; a request whose body is not wholly at hand is not copied, and counted.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "waypoint/wp_request.h"

#define MIRROR_MAGIC AP_MAGIC('w', 'p', 'm', 'i')
#define MIRROR_TIMEOUT_MS 15000
#define MIRRORS_MAX 1000 /* under way, on a worker */

struct mirror {
	uint32_t magic;
	struct ap_list link;
	struct wp_worker *ww;
	struct ap_arena *arena;
	struct ap_http_head head;
	struct ap_slice body;
	struct wp_endpoint *endpoint;
	struct ap_http_dial dial;
	struct ap_http_wait *wait;
	struct ap_exchange *up;
	struct wp_pump in;
	bool in_done;
	struct ap_timer timer;
};

static const char *const labels[] = { "outcome", NULL };
static const struct ap_metric metric = {
	.name = "ambit_waypoint_mirrors",
	.kind = AP_COUNTER,
	.help = "Copies of requests, by what became of them.",
	.unit = "",
	.labels = labels,
};

static void
outcome_count(struct wp_worker *ww, struct ap_slice outcome)
{
	ap_series_add(ap_series_get(ww->w->shard, &metric, &outcome), 1);
}

static void
mirror_free(void *p)
{
	struct mirror *m = p;

	ap_arena_free(&m->arena);
	ap_free(&m);
}

static void
mirror_end(struct mirror *m, struct ap_slice outcome)
{
	struct ap_stream *s = m->up == NULL ? NULL : &m->up->stream;

	outcome_count(m->ww, outcome);
	ap_http_pool_cancel(&m->wait);
	ap_timer_stop(&m->timer);
	m->up = NULL;
	ap_stream_close(&s, ap_slice_eq(outcome, AP_S("sent")) ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT);
	m->endpoint->active--;
	wp_endpoint_unref(&m->endpoint);
	ap_list_remove(&m->link);
	m->ww->mirrors--;
	m->magic = 0;
	ap_defer_free(m->ww->loop, m, mirror_free);
}

static void
on_timeout(struct ap_timer *t, void *arg)
{
	(void)t;
	mirror_end(arg, AP_S("timeout"));
}

/* Send what is left, read the answer away. */
static void
events(struct ap_stream *s, unsigned events_, void *arg)
{
	struct mirror *m = arg;
	unsigned want = AP_STREAM_READABLE;
	ssize_t n;

	AP_IS(m, MIRROR_MAGIC);
	if (events_ & AP_STREAM_FAILED) {
		mirror_end(m, AP_S("failed"));
		return;
	}
	if (!m->in_done) {
		enum wp_pump_state state = wp_pump_run(&m->in);

		m->in_done = state != WP_PUMP_WRITING;
		if (state == WP_PUMP_END)
			ap_stream_shutdown(s);
		if (state == WP_PUMP_WRITING)
			want |= AP_STREAM_WRITABLE;
	}
	while (m->up->response_started && (n = ap_stream_read(s, m->ww->w->scratch, 65536)) != AP_STREAM_AGAIN) {
		if (n > 0)
			continue;
		mirror_end(m, n == AP_STREAM_EOF ? AP_S("sent") : AP_S("failed"));
		return;
	}
	ap_stream_want(s, want);
}

static void
on_response(struct ap_exchange *up, void *arg)
{
	struct mirror *m = arg;

	AP_IS(m, MIRROR_MAGIC);
	if (up->response.status == 0)
		mirror_end(m, AP_S("failed"));
	else if (up->response.end)
		mirror_end(m, AP_S("sent"));
	else
		events(&up->stream, 0, m);
}

static void
on_exchange(struct ap_exchange *up, enum ap_stream_error why, int detail, void *arg)
{
	struct mirror *m = arg;

	(void)why;
	(void)detail;
	AP_IS(m, MIRROR_MAGIC);
	m->wait = NULL;
	if (up == NULL) {
		mirror_end(m, AP_S("failed"));
		return;
	}
	m->up = up;
	ap_stream_set_callback(&up->stream, events, m);
	m->in_done = m->body.len == 0;
	wp_pump_init(&m->in, NULL, &up->stream, m->body, true, NULL);
	if (!m->in_done)
		events(&up->stream, 0, m);
}

static bool
head_copy(struct mirror *m, const struct wp_request *r)
{
	m->head = r->head;
	m->head.method = ap_arena_copy(m->arena, r->head.method);
	m->head.scheme = ap_arena_copy(m->arena, r->head.scheme);
	m->head.path = ap_arena_copy(m->arena, r->head.path);
	/* Envoy marks copies in their authority. */
	m->head.authority = ap_arena_printf(m->arena, "%.*s-shadow", AP_FMT(r->head.authority));
	m->head.content_length = r->kept.len > 0 ? (int64_t)r->kept.len : -1;
	m->body = ap_arena_copy(m->arena, r->kept);
	ap_fields_init(&m->head.fields, m->arena);
	return ap_fields_copy(&m->head.fields, &r->head.fields) && !ap_arena_is_full(m->arena);
}

static void
mirror_begin(struct wp_request *r, const struct wp_destination *d)
{
	struct wp_cluster *c = wp_cluster_get(r->ww, d);
	struct wp_endpoint *e = wp_endpoint_pick(c, WP_LB_RANDOM, 0, NULL);
	struct ap_http_wait *wait;
	struct mirror *m;

	if (e == NULL) {
		outcome_count(r->ww, AP_S("no_endpoint"));
		return;
	}
	m = ap_new(struct mirror);
	m->magic = MIRROR_MAGIC;
	m->ww = r->ww;
	m->arena = ap_arena_new((size_t)256 * 1024);
	m->endpoint = e;
	e->active++;
	ap_list_append(&r->ww->mirror_list, &m->link);
	r->ww->mirrors++;
	ap_timer_init(&m->timer, r->ww->loop, on_timeout, m);
	if (!head_copy(m, r)) {
		mirror_end(m, AP_S("too_large"));
		return;
	}
	ap_timer_start(&m->timer, MIRROR_TIMEOUT_MS);
	m->dial.dial = wp_dial;
	m->dial.arg = e;
	m->dial.version = r->port->protocol == WP_HTTP2 ? AP_HTTP_2 : AP_HTTP_1_1;
	wait = ap_http_pool_request(r->ww->pool, ap_slice_of(e->key[m->dial.version == AP_HTTP_2]), &m->dial, &m->head,
	    m->body.len == 0, on_exchange, on_response, m);
	if (wait != NULL)
		m->wait = wait;
}

void
f_mirror_request(struct wp_request *r)
{
	for (uint32_t i = 0; i < r->route->mirror_count; i++) {
		const struct wp_mirror *m = &r->route->mirrors[i];

		if (m->per_million == 0 || ap_rand_below(1000000) >= m->per_million || m->destination.unknown_subset)
			continue;
		if (!r->kept_all || r->ww->mirrors >= MIRRORS_MAX)
			outcome_count(r->ww, r->kept_all ? AP_S("overflow") : AP_S("body_too_large"));
		else
			mirror_begin(r, &m->destination);
	}
}

void
f_mirrors_end(struct wp_worker *ww)
{
	AP_LIST_FOR_SAFE(l, &ww->mirror_list)
	mirror_end(AP_LIST_ITEM(l, struct mirror, link), AP_S("stopped"));
}
