/*
 * hbone.c -- the pool of tunnels.
 *
 * A hop collects what has one key: its connections with room, at most one dial, and who waits for it.  An open takes a
 * connection with room at once, or waits; when the dial is through, the waiting are served in order, and another dial
 * follows when they are more than one connection carries.  Opens that ended but may only be told from the loop go
 * through one task.  All have the same timeout, so their deadlines are a queue with one timer.  The worker's thread.
 */
#include "mesh/hbone_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "event/worker.h"
#include "net/tcp.h"

#define TRIES 3 /* a request that the peer cannot have seen is made again, on another connection */

static void serve_waiting(struct hop *hop);
static const struct ap_http_client_ops conn_ops;

/* ---- waits ---- */

static void
free_wait(struct ap_hbone_wait *w)
{
	ap_list_remove(&w->link);
	ap_list_remove(&w->order);
	ap_arena_free(&w->arena);
	ap_free(&w->text);
	w->magic = 0;
	ap_free(&w);
}

static void
tell_wait(struct ap_hbone_wait *w, struct ap_exchange *tunnel, int status)
{
	struct ap_hbone_result r = {
		.tunnel = tunnel,
		.status = status,
		.error = w->error,
		.detail = w->detail,
		.text = w->text == NULL ? "" : w->text,
		.reused = w->reused,
		.local = w->local,
	};
	ap_hbone_fn fn = w->fn;
	void *arg = w->arg;
	char *text = w->text; /* lives until fn returned */

	if (tunnel != NULL)
		w->pool->stats.opened++;
	else if (status != 0)
		w->pool->stats.refused++;
	else
		w->pool->stats.failed++;
	w->text = NULL;
	free_wait(w);
	fn(&r, arg);
	ap_free(&text);
}

static void
fail_now(struct ap_hbone_wait *w, enum ap_stream_error error, int detail, const char *text)
{
	w->error = error;
	w->detail = detail;
	ap_free(&w->text);
	w->text = ap_strdup(text);
	tell_wait(w, NULL, 0);
}

/* From the loop, not from where we are. */
static void
fail_later(struct ap_hbone_wait *w, enum ap_stream_error error, const char *text)
{
	w->error = error;
	ap_free(&w->text);
	w->text = ap_strdup(text);
	w->hop = NULL;
	ap_list_remove(&w->link);
	ap_list_append(&w->pool->ended, &w->link);
	ap_task_schedule_next(w->pool->loop, &w->pool->tell);
}

static void
on_tell(struct ap_task *t, void *arg)
{
	struct ap_hbone_pool *pool = arg;

	(void)t;
	while (!ap_list_is_empty(&pool->ended))
		tell_wait(AP_LIST_ITEM(pool->ended.next, struct ap_hbone_wait, link), NULL, 0);
}

/* ---- connections ---- */

/* It takes no new tunnels and ends with its last one. */
static void
retire(struct conn *c)
{
	ap_list_remove(&c->link);
	ap_http_drain(c->http);
}

static bool
check_peer(const struct ap_slice *uris, size_t count, void *arg)
{
	struct conn *c = arg;

	AP_IS(c, CONN_MAGIC);
	for (size_t i = 0; c->hop != NULL && i < count; i++)
		for (char **id = c->hop->identities; *id != NULL; id++)
			if (ap_slice_eq_text(uris[i], *id))
				return true;
	c->refused_peer = true;
	return false;
}

static void
dial(struct hop *hop, struct ap_stream *over)
{
	struct ap_hbone_pool *pool = hop->pool;
	struct conn *c = ap_new(struct conn);
	struct ap_stream *s = over;

	if (s == NULL) {
		const struct ap_tcp_options options = {
			.mark = hop->mark,
			.connect_timeout_ms = pool->settings.connect_timeout_ms,
			.keepalive = true,
		};

		s = ap_tcp_connect(pool->loop, &hop->addr, &options);
	}
	c->magic = CONN_MAGIC;
	c->hop = hop;
	c->tls = ap_tls_ref(hop->tls);
	hop->refs++;
	hop->dialing = c;
	ap_list_init(&c->link);
	ap_list_append(&pool->conns, &c->all);
	pool->stats.connections++;
	pool->stats.dialing++;
	pool->stats.dials++;
	s = ap_tls_client(s, c->tls, hop->sni, check_peer, c);
	c->http = ap_http_client(s, AP_HTTP_2, &pool->http, &conn_ops, c);
}

static void
on_ready(struct ap_http_conn *http, void *arg)
{
	struct conn *c = arg;
	struct hop *hop = c->hop;
	struct ap_stream *bottom;

	AP_IS(c, CONN_MAGIC);
	if (hop == NULL)
		return;
	c->is_ready = true;
	hop->dialing = NULL;
	hop->pool->stats.dialing--;
	bottom = ap_stream_bottom(ap_http_transport(http));
	if (bottom != NULL)
		c->local = ap_tcp_local(bottom);
	if (c->tls == hop->tls)
		ap_list_prepend(&hop->conns, &c->link);
	else
		retire(c); /* the certificate was replaced during the handshake */
	serve_waiting(hop);
}

/* One sentence for the log. */
static void
describe(const struct conn *c, const struct hop *hop, enum ap_stream_error why, char *out, size_t size)
{
	struct ap_stream *s = ap_http_transport(c->http);
	char addr[AP_ADDR_TEXT];

	ap_addr_format(&hop->addr, addr, sizeof(addr));
	if (c->refused_peer)
		(void)snprintf(out, size, "HBONE to %s: the peer's certificate is of another identity than was expected", addr);
	else if (why == AP_STREAM_TLS)
		(void)snprintf(out, size, "HBONE to %s: TLS: %s", addr, ap_tls_error_text(s));
	else if (why == AP_STREAM_TIMEOUT)
		(void)snprintf(out, size, "HBONE to %s timed out; does a firewall block the port?", addr);
	else if (s->detail > 0 && why != AP_STREAM_PROTOCOL && why != AP_STREAM_RESET)
		(void)snprintf(out, size, "HBONE to %s: %s", addr, strerror(s->detail));
	else
		(void)snprintf(out, size, "HBONE to %s: %s", addr, ap_stream_error_name(why));
}

static void
on_closing(struct ap_http_conn *http, enum ap_stream_error why, void *arg)
{
	struct conn *c = arg;
	struct hop *hop = c->hop;
	struct ap_list failed;
	char text[400];

	AP_IS(c, CONN_MAGIC);
	ap_list_remove(&c->link);
	if (hop == NULL)
		return;
	if (c->is_ready) {
		if (why == AP_STREAM_OK)
			hop->pool->stats.goaways++;
		return;
	}
	/* The dial failed: its result is the result of all who waited for it. */
	hop->dialing = NULL;
	hop->pool->stats.dialing--;
	hop->pool->stats.dial_failures++;
	describe(c, hop, why, text, sizeof(text));
	ap_list_init(&failed);
	while (!ap_list_is_empty(&hop->waiting)) {
		struct ap_list *l = hop->waiting.next;

		ap_list_remove(l);
		ap_list_append(&failed, l);
	}
	while (!ap_list_is_empty(&failed)) {
		struct ap_hbone_wait *w = AP_LIST_ITEM(failed.next, struct ap_hbone_wait, link);

		w->hop = NULL;
		hop->pool->stats.waiting--;
		fail_now(w, why == AP_STREAM_OK ? AP_STREAM_RESET : why, ap_http_transport(http)->detail, text);
		if (c->hop == NULL) /* the callback freed the pool, and the rest of the list with it */
			return;
	}
}

static void
on_closed(struct ap_http_conn *http, void *arg)
{
	struct conn *c = arg;

	(void)http;
	AP_IS(c, CONN_MAGIC);
	ap_list_remove(&c->link);
	ap_list_remove(&c->all);
	if (c->hop != NULL) {
		c->hop->pool->stats.connections--;
		ap_hbone_hop_unref(c->hop);
	}
	ap_tls_unref(&c->tls);
	c->magic = 0;
	ap_free(&c);
}

static void
on_room(struct ap_http_conn *http, void *arg)
{
	struct conn *c = arg;

	(void)http;
	/* The peer's SETTINGS may have lowered the number of tunnels below what it carries. */
	if (c->hop != NULL && ap_list_is_linked(&c->link) && ap_http_room(c->http) == 0)
		retire(c);
}

static const struct ap_http_client_ops conn_ops = { on_ready, on_closing, on_closed, on_room };

/* ---- tunnels ---- */

/* The head again, for another connection: the failed exchange goes. */
static void
take_head_back(struct ap_hbone_wait *w, const struct ap_exchange *x)
{
	struct ap_arena *arena = ap_arena_new(256 * 1024);
	struct ap_http_head head;

	ap_http_head_init(&head, arena);
	head.method = AP_S("CONNECT");
	head.authority = ap_arena_copy(arena, x->request.authority);
	(void)ap_fields_copy(&head.fields, &x->request.fields);
	w->arena = arena;
	w->head = head;
}

static void
on_answer(struct ap_exchange *x, void *arg)
{
	struct ap_hbone_wait *w = arg;
	struct ap_stream *s = &x->stream;
	int status = x->response.status;

	AP_IS(w, WAIT_MAGIC);
	w->x = NULL;
	if (status / 100 == 2) {
		ap_hbone_hop_unref(w->hop);
		w->hop = NULL;
		tell_wait(w, x, status);
		return;
	}
	if (status == 0 && x->replayable && w->tries < TRIES) {
		struct hop *hop = w->hop;

		take_head_back(w, x);
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		ap_list_append(&hop->waiting, &w->link);
		hop->pool->stats.waiting++;
		serve_waiting(hop);
		ap_hbone_hop_unref(hop); /* it waits there now, which holds it */
		return;
	}
	ap_hbone_hop_unref(w->hop);
	w->hop = NULL;
	w->error = status == 0 ? (enum ap_stream_error)s->error : AP_STREAM_OK;
	w->detail = s->detail;
	if (status == 0)
		w->text = ap_asprintf("HBONE tunnel: %s (%d)", ap_stream_error_name(s->error), s->detail);
	else
		w->text = ap_asprintf("http status: %d %s", status, ap_http_reason(status));
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	tell_wait(w, NULL, status);
}

/* Begin on a connection with room. */
static bool
begin(struct ap_hbone_wait *w, struct conn *c, const struct ap_http_head *head)
{
	w->x = ap_http_request(c->http, head, false, on_answer, w);
	if (w->x == NULL)
		return false;
	w->tries++;
	w->local = c->local;
	ap_arena_free(&w->arena);
	if (ap_http_room(c->http) == 0 || c->hop->key.len == 0)
		retire(c);
	return true;
}

static struct conn *
conn_with_room(struct hop *hop)
{
	while (!ap_list_is_empty(&hop->conns)) {
		struct conn *c = AP_LIST_ITEM(hop->conns.next, struct conn, link);

		if (c->tls == hop->tls && ap_http_room(c->http) > 0)
			return c;
		retire(c);
	}
	return NULL;
}

static void
serve_waiting(struct hop *hop)
{
	struct ap_hbone_pool *pool = hop->pool;

	hop->refs++;
	while (!ap_list_is_empty(&hop->waiting)) {
		struct ap_hbone_wait *w = AP_LIST_ITEM(hop->waiting.next, struct ap_hbone_wait, link);
		struct conn *c = conn_with_room(hop);

		if (c == NULL)
			break;
		ap_list_remove(&w->link);
		pool->stats.waiting--;
		hop->refs++; /* the wait's, until it is answered: it may have to come back */
		if (!begin(w, c, &w->head)) {
			ap_hbone_hop_unref(hop);
			fail_later(w, AP_STREAM_INTERNAL, "HBONE: the request could not be made");
		}
	}
	if (!ap_list_is_empty(&hop->waiting) && hop->dialing == NULL) {
		if (hop->key.len > 0 && pool->stats.connections < pool->settings.max_connections) {
			dial(hop, NULL);
		} else {
			while (!ap_list_is_empty(&hop->waiting)) {
				pool->stats.waiting--;
				fail_later(AP_LIST_ITEM(hop->waiting.next, struct ap_hbone_wait, link), AP_STREAM_LIMIT,
				    "HBONE: too many connections");
			}
		}
	}
	ap_hbone_hop_unref(hop);
}

static void
arm_timer(struct ap_hbone_pool *pool)
{
	struct ap_hbone_wait *w;
	uint64_t now = ap_loop_now_ms(pool->loop);

	if (pool->timer.armed || ap_list_is_empty(&pool->opening))
		return;
	w = AP_LIST_ITEM(pool->opening.next, struct ap_hbone_wait, order);
	ap_timer_start(&pool->timer, w->deadline_ms > now ? w->deadline_ms - now : 0);
}

/* Off its hop and its exchange, whatever state it is in. */
static void
withdraw(struct ap_hbone_wait *w)
{
	struct ap_stream *s = w->x == NULL ? NULL : &w->x->stream;
	struct hop *hop = w->hop;

	w->x = NULL;
	w->hop = NULL;
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	if (hop == NULL)
		return;
	if (ap_list_is_linked(&w->link)) {
		ap_list_remove(&w->link);
		w->pool->stats.waiting--;
		hop->refs++; /* waiting held it without a count */
	}
	ap_hbone_hop_unref(hop);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	struct ap_hbone_pool *pool = arg;
	uint64_t now = ap_loop_now_ms(pool->loop);

	(void)t;
	while (!ap_list_is_empty(&pool->opening)) {
		struct ap_hbone_wait *w = AP_LIST_ITEM(pool->opening.next, struct ap_hbone_wait, order);

		if (w->deadline_ms > now)
			break;
		withdraw(w);
		ap_list_remove(&w->order);
		fail_later(w, AP_STREAM_TIMEOUT, "HBONE: the peer did not answer in time");
	}
	arm_timer(pool);
}

/* Without a copy: for a request that is made at once. */
static struct ap_http_head
lend_head(const struct ap_hbone_target *t)
{
	return (struct ap_http_head){
		.method = AP_S("CONNECT"),
		.authority = t->authority,
		.content_length = -1,
		.fields = {
			.items = (struct ap_field *)(uintptr_t)t->fields, /* read alone */
			.count = (uint32_t)t->field_count,
			.room = (uint32_t)t->field_count,
		},
	};
}

static void
fill_head(struct ap_http_head *head, struct ap_arena *arena, const struct ap_hbone_target *t)
{
	ap_http_head_init(head, arena);
	head->method = AP_S("CONNECT");
	head->authority = ap_arena_copy(arena, t->authority);
	for (size_t i = 0; i < t->field_count; i++)
		(void)ap_fields_add(&head->fields, t->fields[i].name, t->fields[i].value);
}

struct ap_hbone_wait *
ap_hbone_open(struct ap_hbone_pool *pool, const struct ap_hbone_target *t, ap_hbone_fn fn, void *arg)
{
	struct ap_hbone_wait *w = ap_new(struct ap_hbone_wait);
	struct hop *hop;
	struct conn *c;

	AP_IS(pool, POOL_MAGIC);
	w->magic = WAIT_MAGIC;
	w->pool = pool;
	w->fn = fn;
	w->arg = arg;
	w->deadline_ms = ap_loop_now_ms(pool->loop) + pool->settings.open_timeout_ms;
	ap_list_init(&w->link);
	ap_list_append(&pool->opening, &w->order);
	arm_timer(pool);
	hop = ap_hbone_hop_get(pool, t);
	if (hop->tls != t->tls) {
		ap_tls_unref(&hop->tls);
		hop->tls = ap_tls_ref(t->tls);
	}
	if (t->over == NULL && ap_list_is_empty(&hop->waiting) && (c = conn_with_room(hop)) != NULL) {
		struct ap_http_head head = lend_head(t);

		w->reused = true;
		w->hop = hop; /* with the reference of ap_hbone_hop_get */
		if (!begin(w, c, &head)) {
			fail_later(w, AP_STREAM_INTERNAL, "HBONE: the request could not be made");
			ap_hbone_hop_unref(hop);
		}
		return w;
	}
	if (pool->stats.waiting >= pool->settings.max_waiting && t->over == NULL) {
		fail_later(w, AP_STREAM_LIMIT, "HBONE: too many tunnels wait for a connection");
		ap_hbone_hop_unref(hop);
		return w;
	}
	w->arena = ap_arena_new(256 * 1024);
	fill_head(&w->head, w->arena, t);
	w->hop = hop;
	ap_list_append(&hop->waiting, &w->link);
	pool->stats.waiting++;
	if (t->over != NULL)
		dial(hop, t->over);
	else
		serve_waiting(hop);
	ap_hbone_hop_unref(hop);
	return w;
}

void
ap_hbone_cancel(struct ap_hbone_wait **wait)
{
	struct ap_hbone_wait *w = *wait;

	*wait = NULL;
	if (w == NULL)
		return;
	AP_IS(w, WAIT_MAGIC);
	withdraw(w);
	free_wait(w);
}

/* ---- the pool ---- */

struct ap_hbone_pool *
ap_hbone_pool_new(struct ap_worker *worker, const struct ap_hbone_settings *settings)
{
	struct ap_hbone_pool *pool = ap_new(struct ap_hbone_pool);
	struct ap_hbone_settings *s = &pool->settings;

	pool->magic = POOL_MAGIC;
	pool->loop = worker->loop;
	if (settings != NULL)
		*s = *settings;
	s->max_tunnels = s->max_tunnels == 0 ? 100 : s->max_tunnels;
	s->max_connections = s->max_connections == 0 ? 10000 : s->max_connections;
	s->max_waiting = s->max_waiting == 0 ? 10000 : s->max_waiting;
	s->open_timeout_ms = s->open_timeout_ms == 0 ? 30000 : s->open_timeout_ms;
	s->idle_timeout_ms = s->idle_timeout_ms == 0 ? 300000 : s->idle_timeout_ms;
	pool->http = (struct ap_http_settings){
		.max_streams = s->max_tunnels,
		.stream_window = 4 * 1024 * 1024,
		.connection_window = 16 * 1024 * 1024,
		.max_frame = 1024 * 1024,
		.max_head_bytes = (size_t)16 * 1024,
		.idle_timeout_ms = s->idle_timeout_ms,
		.ping_interval_ms = 10000,
		.ping_timeout_ms = 20000,
	};
	ap_list_init(&pool->conns);
	ap_list_init(&pool->opening);
	ap_list_init(&pool->ended);
	ap_task_init(&pool->tell, on_tell, pool);
	ap_timer_init(&pool->timer, pool->loop, on_timer, pool);
	return pool;
}

void
ap_hbone_drain(struct ap_hbone_pool *pool)
{
	AP_LIST_FOR (l, &pool->conns) {
		struct conn *c = AP_LIST_ITEM(l, struct conn, all);

		if (c->is_ready)
			retire(c);
	}
}

void
ap_hbone_cut(struct ap_hbone_pool *pool, bool (*fn)(struct ap_slice source_identity, struct ap_stream *tls, void *arg),
    void *arg)
{
	AP_LIST_FOR_SAFE (l, &pool->conns) {
		struct conn *c = AP_LIST_ITEM(l, struct conn, all);

		if (c->is_ready && fn(ap_slice_of(c->hop->source_identity), ap_http_transport(c->http), arg)) {
			ap_list_remove(&c->link);
			ap_http_close(c->http);
		}
	}
}

void
ap_hbone_pool_stats(const struct ap_hbone_pool *pool, struct ap_hbone_stats *out)
{
	*out = pool->stats;
	out->tunnels = 0;
	AP_LIST_FOR (l, &pool->conns)
		out->tunnels += ap_http_active(AP_LIST_ITEM(l, struct conn, all)->http);
}

void
ap_hbone_pool_free(struct ap_hbone_pool **ptr)
{
	struct ap_hbone_pool *pool = *ptr;

	*ptr = NULL;
	if (pool == NULL)
		return;
	AP_IS(pool, POOL_MAGIC);
	while (!ap_list_is_empty(&pool->opening)) {
		struct ap_hbone_wait *w = AP_LIST_ITEM(pool->opening.next, struct ap_hbone_wait, order);

		withdraw(w);
		free_wait(w);
	}
	while (!ap_list_is_empty(&pool->ended))
		free_wait(AP_LIST_ITEM(pool->ended.next, struct ap_hbone_wait, link));
	while (!ap_list_is_empty(&pool->conns)) {
		struct conn *c = AP_LIST_ITEM(pool->conns.next, struct conn, all);
		struct hop *hop = c->hop;

		ap_list_remove(&c->all);
		ap_list_remove(&c->link);
		c->hop = NULL;
		ap_http_close(c->http);
		ap_hbone_hop_unref(hop);
	}
	ap_map_done(&pool->hops, NULL);
	ap_timer_stop(&pool->timer);
	ap_task_cancel(&pool->tell);
	pool->magic = 0;
	ap_free(&pool);
}
