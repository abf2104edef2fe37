/*
 * pool.c -- kept client connections.
 *
 * An endpoint is all that has one key: connections with room, dials, and who waits.  HTTP/1 needs a connection per request, so
 * each wait may start a dial; HTTP/2 carries many, so one dial at a time is enough, and as long as the version is
 * unknown (ALPN decides) it is treated so too.  The connection used last is used next: the others grow idle and end.
 * Callbacks may do anything, freeing the pool included; an endpoint at work is held by a count.  One loop's thread.
 */
#include "http/pool.h"

#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "event/loop.h"

#define POOL_MAGIC AP_MAGIC('h', 't', 'p', 'o')
#define CONN_MAGIC AP_MAGIC('h', 't', 'p', 'c')
#define WAIT_MAGIC AP_MAGIC('h', 't', 'p', 'w')

struct endpoint {
	struct ap_http_pool *pool; /* NULL: freed while it was at work */
	struct ap_slice key;
	struct ap_list conns;   /* with room, used last first */
	struct ap_list all;
	struct ap_list waiting; /* oldest first */
	uint32_t conn_count, dialing, wait_count;
	enum ap_http_version seen; /* what its last connection spoke */
	uint32_t refs;
};

struct pooled {
	uint32_t magic;
	struct endpoint *e; /* NULL: the pool is gone */
	struct ap_list link, all;
	struct ap_http_conn *http;
	uint32_t requests;
	bool is_ready, retired;
};

struct ap_http_wait {
	uint32_t magic;
	struct endpoint *e;
	struct ap_list link;  /* endpoint's */
	struct ap_list order; /* pool's */
	uint64_t deadline_ms;
	const struct ap_http_dial *dial;
	const struct ap_http_head *head;
	bool end;
	ap_http_pool_fn got;
	ap_response_fn response;
	void *arg;
};

struct ap_http_pool {
	uint32_t magic;
	struct ap_loop *loop;
	struct ap_http_pool_settings settings;
	struct ap_map endpoints;
	struct ap_list waits; /* of all endpoints, oldest first */
	struct ap_timer timer;
	struct ap_http_pool_stats stats;
};

static const struct ap_http_client_ops conn_ops;

/* ---- endpoints ---- */

static struct endpoint *
endpoint_get(struct ap_http_pool *pool, struct ap_slice key)
{
	struct endpoint *e = ap_map_find(&pool->endpoints, key);

	if (e == NULL) {
		e = ap_new(struct endpoint);
		e->pool = pool;
		e->key = ap_slice(ap_strndup(key.ptr, key.len), key.len);
		ap_list_init(&e->conns);
		ap_list_init(&e->all);
		ap_list_init(&e->waiting);
		(void)ap_map_put(&pool->endpoints, key, e);
	}
	e->refs++;
	return e;
}

static void
endpoint_unref(struct endpoint *e)
{
	if (--e->refs > 0 || e->conn_count > 0 || e->wait_count > 0)
		return;
	if (e->pool != NULL)
		(void)ap_map_remove(&e->pool->endpoints, e->key);
	ap_mem_free((void *)(uintptr_t)e->key.ptr);
	ap_free(&e);
}

/* ---- waits ---- */

static void
free_wait(struct ap_http_wait *w)
{
	if (w->e->pool != NULL)
		w->e->pool->stats.waiting--;
	w->e->wait_count--;
	ap_list_remove(&w->link);
	ap_list_remove(&w->order);
	w->magic = 0;
	ap_free(&w);
}

static void
fail_wait(struct ap_http_wait *w, enum ap_stream_error why, int detail)
{
	ap_http_pool_fn got = w->got;
	void *arg = w->arg;

	free_wait(w);
	got(NULL, why, detail, arg);
}

/* ---- connections ---- */

static void
retire(struct pooled *c)
{
	c->retired = true;
	ap_list_remove(&c->link);
	ap_http_drain(c->http);
}

static void
dial(struct endpoint *e, const struct ap_http_dial *how)
{
	struct ap_http_pool *pool = e->pool;
	struct pooled *c = ap_new(struct pooled);

	c->magic = CONN_MAGIC;
	c->e = e;
	ap_list_init(&c->link);
	ap_list_append(&e->all, &c->all);
	e->conn_count++;
	e->dialing++;
	pool->stats.connections++;
	pool->stats.dialing++;
	pool->stats.dials++;
	c->http = ap_http_client(how->dial(pool->loop, how->arg), how->version, &pool->settings.http, &conn_ops, c);
}

static struct ap_exchange *
begin(struct pooled *c, const struct ap_http_head *head, bool end, ap_response_fn response, void *arg)
{
	struct endpoint *e = c->e;
	struct ap_exchange *x = ap_http_request(c->http, head, end, response, arg);

	if (x == NULL)
		return NULL;
	if (c->requests++ > 0)
		e->pool->stats.reused++;
	if (e->pool->settings.max_requests > 0 && c->requests >= e->pool->settings.max_requests) {
		retire(c);
	} else {
		ap_list_remove(&c->link);
		if (ap_http_room(c->http) > 0)
			ap_list_prepend(&e->conns, &c->link);
	}
	return x;
}

static struct pooled *
conn_with_room(struct endpoint *e)
{
	while (!ap_list_is_empty(&e->conns)) {
		struct pooled *c = AP_LIST_ITEM(e->conns.next, struct pooled, link);

		if (ap_http_room(c->http) > 0)
			return c;
		ap_list_remove(&c->link); /* comes back with its next room */
	}
	return NULL;
}

/* How many dials should be under way for those that wait. */
static uint32_t
dials_wanted(const struct endpoint *e, enum ap_http_version asked)
{
	enum ap_http_version version = asked == AP_HTTP_AUTO ? e->seen : asked;

	if (e->wait_count == 0)
		return 0;
	return version == AP_HTTP_1_1 || version == AP_HTTP_1_0 ? e->wait_count : 1;
}

static void
dial_for_waiting(struct endpoint *e)
{
	const struct ap_http_pool_settings *set = &e->pool->settings;

	while (!ap_list_is_empty(&e->waiting)) {
		struct ap_http_wait *w = AP_LIST_ITEM(e->waiting.next, struct ap_http_wait, link);

		if (e->dialing >= dials_wanted(e, w->dial->version) || e->conn_count >= set->max_connections ||
		    e->pool->stats.connections >= set->max_total)
			return;
		dial(e, w->dial);
	}
}

static void
serve_waiting(struct endpoint *e)
{
	struct pooled *c;

	e->refs++;
	while (e->pool != NULL && !ap_list_is_empty(&e->waiting) && (c = conn_with_room(e)) != NULL) {
		struct ap_http_wait *w = AP_LIST_ITEM(e->waiting.next, struct ap_http_wait, link);
		struct ap_exchange *x = begin(c, w->head, w->end, w->response, w->arg);
		ap_http_pool_fn got = w->got;
		void *arg = w->arg;

		if (x == NULL) {
			fail_wait(w, AP_STREAM_INTERNAL, 0);
			continue;
		}
		free_wait(w);
		got(x, AP_STREAM_OK, 0, arg);
	}
	if (e->pool != NULL)
		dial_for_waiting(e);
	endpoint_unref(e);
}

static void
has_room(struct pooled *c)
{
	if (c->e == NULL || c->retired)
		return;
	if (!ap_list_is_linked(&c->link))
		ap_list_prepend(&c->e->conns, &c->link);
	serve_waiting(c->e);
}

static void
on_ready(struct ap_http_conn *http, void *arg)
{
	struct pooled *c = arg;

	AP_IS(c, CONN_MAGIC);
	c->is_ready = true;
	if (c->e == NULL)
		return;
	c->e->dialing--;
	c->e->pool->stats.dialing--;
	c->e->seen = ap_http_version(http);
	has_room(c);
}

static void
on_room(struct ap_http_conn *http, void *arg)
{
	struct pooled *c = arg;

	AP_IS(c, CONN_MAGIC);
	if (ap_http_room(http) > 0)
		has_room(c);
}

static void
on_closing(struct ap_http_conn *http, enum ap_stream_error why, void *arg)
{
	struct pooled *c = arg;
	struct endpoint *e = c->e;
	int detail = ap_http_transport(http)->detail;
	bool all;

	AP_IS(c, CONN_MAGIC);
	ap_list_remove(&c->link);
	if (e == NULL)
		return;
	c->retired = true;
	if (c->is_ready)
		return; /* on_closed() dials for those that wait */
	c->is_ready = true;
	e->dialing--;
	e->pool->stats.dialing--;
	e->pool->stats.dial_failures++;
	/* One dial is one wait's, unless it was the only hope of all. */
	all = e->dialing == 0 && e->conn_count == 1;
	e->refs++;
	while (e->pool != NULL && !ap_list_is_empty(&e->waiting)) {
		struct ap_http_wait *w = AP_LIST_ITEM(e->waiting.next, struct ap_http_wait, link);
		bool last = w->link.next == &e->waiting;

		fail_wait(w, why == AP_STREAM_OK ? AP_STREAM_RESET : why, detail);
		if (!all || last)
			break;
	}
	endpoint_unref(e);
}

static void
on_closed(struct ap_http_conn *http, void *arg)
{
	struct pooled *c = arg;
	struct endpoint *e = c->e;

	(void)http;
	AP_IS(c, CONN_MAGIC);
	ap_list_remove(&c->link);
	ap_list_remove(&c->all);
	c->magic = 0;
	ap_free(&c);
	if (e == NULL)
		return;
	e->refs++;
	e->conn_count--;
	e->pool->stats.connections--;
	dial_for_waiting(e);
	endpoint_unref(e);
}

static const struct ap_http_client_ops conn_ops = { on_ready, on_closing, on_closed, on_room };

/* ---- the pool ---- */

static void
arm_timer(struct ap_http_pool *pool)
{
	struct ap_http_wait *w;
	uint64_t now = ap_loop_now_ms(pool->loop);

	if (pool->timer.armed || ap_list_is_empty(&pool->waits))
		return;
	w = AP_LIST_ITEM(pool->waits.next, struct ap_http_wait, order);
	ap_timer_start(&pool->timer, w->deadline_ms > now ? w->deadline_ms - now : 0);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	struct ap_http_pool *pool = arg;
	uint64_t now = ap_loop_now_ms(pool->loop);
	struct ap_http_wait *w = NULL;

	(void)t;
	if (!ap_list_is_empty(&pool->waits))
		w = AP_LIST_ITEM(pool->waits.next, struct ap_http_wait, order);
	if (w != NULL && w->deadline_ms <= now) {
		struct endpoint *e = w->e;

		/* One a turn: its callback may free the pool. */
		ap_timer_start(&pool->timer, 0);
		e->refs++;
		fail_wait(w, AP_STREAM_TIMEOUT, 0);
		endpoint_unref(e);
		return;
	}
	arm_timer(pool);
}

struct ap_http_pool *
ap_http_pool_new(struct ap_loop *loop, const struct ap_http_pool_settings *settings)
{
	struct ap_http_pool *pool = ap_new(struct ap_http_pool);
	struct ap_http_pool_settings *s = &pool->settings;

	pool->magic = POOL_MAGIC;
	pool->loop = loop;
	if (settings != NULL)
		*s = *settings;
	s->max_connections = s->max_connections == 0 ? 1024 : s->max_connections;
	s->max_total = s->max_total == 0 ? 10000 : s->max_total;
	s->max_waiting = s->max_waiting == 0 ? 1024 : s->max_waiting;
	s->wait_timeout_ms = s->wait_timeout_ms == 0 ? 10000 : s->wait_timeout_ms;
	ap_list_init(&pool->waits);
	ap_timer_init(&pool->timer, loop, on_timer, pool);
	return pool;
}

struct ap_http_wait *
ap_http_pool_request(struct ap_http_pool *pool, struct ap_slice key, const struct ap_http_dial *how,
    const struct ap_http_head *head, bool end, ap_http_pool_fn got, ap_response_fn response, void *arg)
{
	struct endpoint *e;
	struct ap_http_wait *w;
	struct pooled *c;

	AP_IS(pool, POOL_MAGIC);
	e = endpoint_get(pool, key);
	if (ap_list_is_empty(&e->waiting) && (c = conn_with_room(e)) != NULL) {
		struct ap_exchange *x = begin(c, head, end, response, arg);

		endpoint_unref(e);
		got(x, x == NULL ? AP_STREAM_INTERNAL : AP_STREAM_OK, 0, arg);
		return NULL;
	}
	if (e->wait_count >= pool->settings.max_waiting) {
		pool->stats.overflowed++;
		endpoint_unref(e);
		got(NULL, AP_STREAM_LIMIT, 0, arg);
		return NULL;
	}
	w = ap_new(struct ap_http_wait);
	w->magic = WAIT_MAGIC;
	w->e = e;
	w->deadline_ms = ap_loop_now_ms(pool->loop) + pool->settings.wait_timeout_ms;
	w->dial = how;
	w->head = head;
	w->end = end;
	w->got = got;
	w->response = response;
	w->arg = arg;
	ap_list_append(&e->waiting, &w->link);
	ap_list_append(&pool->waits, &w->order);
	e->wait_count++;
	pool->stats.waiting++;
	arm_timer(pool);
	dial_for_waiting(e);
	endpoint_unref(e);
	return w;
}

void
ap_http_pool_cancel(struct ap_http_wait **wait)
{
	struct ap_http_wait *w = *wait;
	struct endpoint *e;

	*wait = NULL;
	if (w == NULL)
		return;
	AP_IS(w, WAIT_MAGIC);
	e = w->e;
	e->refs++;
	free_wait(w);
	endpoint_unref(e);
}

void
ap_http_pool_retire(struct ap_http_pool *pool, struct ap_slice key)
{
	struct endpoint *e = ap_map_find(&pool->endpoints, key);

	if (e == NULL)
		return;
	AP_LIST_FOR (l, &e->all) {
		struct pooled *c = AP_LIST_ITEM(l, struct pooled, all);

		if (c->is_ready && !c->retired)
			retire(c);
	}
}

uint32_t
ap_http_pool_load(const struct ap_http_pool *pool, struct ap_slice key)
{
	const struct endpoint *e = ap_map_find(&pool->endpoints, key);
	uint32_t load;

	if (e == NULL)
		return 0;
	load = e->wait_count;
	AP_LIST_FOR (l, &e->all)
		load += ap_http_active(AP_LIST_ITEM(l, struct pooled, all)->http);
	return load;
}

void
ap_http_pool_stats(const struct ap_http_pool *pool, struct ap_http_pool_stats *out)
{
	struct ap_map_entry *entry;

	*out = pool->stats;
	out->active = 0;
	for (size_t i = 0; (entry = ap_map_next(&pool->endpoints, &i)) != NULL;) {
		const struct endpoint *e = entry->value;

		AP_LIST_FOR (l, &e->all)
			out->active += ap_http_active(AP_LIST_ITEM(l, struct pooled, all)->http);
	}
}

static void
endpoint_drop(struct endpoint *e)
{
	e->refs++;
	while (!ap_list_is_empty(&e->waiting))
		free_wait(AP_LIST_ITEM(e->waiting.next, struct ap_http_wait, link));
	while (!ap_list_is_empty(&e->all)) {
		struct pooled *c = AP_LIST_ITEM(e->all.next, struct pooled, all);

		ap_list_remove(&c->all);
		ap_list_remove(&c->link);
		c->e = NULL;
		e->conn_count--;
		ap_http_close(c->http);
	}
	e->pool = NULL;
	endpoint_unref(e);
}

void
ap_http_pool_free(struct ap_http_pool **ptr)
{
	struct ap_http_pool *pool = *ptr;
	struct ap_map_entry *entry;

	*ptr = NULL;
	if (pool == NULL)
		return;
	AP_IS(pool, POOL_MAGIC);
	for (size_t i = 0; (entry = ap_map_next(&pool->endpoints, &i)) != NULL;)
		endpoint_drop(entry->value);
	ap_map_done(&pool->endpoints, NULL);
	ap_timer_stop(&pool->timer);
	pool->magic = 0;
	ap_free(&pool);
}
