/*
 * zt_conn.c -- the life of a connection's record on its worker.  A record is made once, counted once, logged once and freed at the
 * end of the turn; everything that can end a connection comes through zt_conn_end.
 */
#include "ztunnel/zt_conn.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_access_log.h"
#include "ztunnel/zt_dial.h"
#include "ztunnel/zt_peer.h"
#include "ztunnel/zt_requests.h"

static const struct {
	const char *text;
	enum ap_mesh_flags flag;
} ends[ZT_END_COUNT] = {
#define ZT_END(name_, flag_, text_) [ZT_END_##name_] = { text_, flag_ },
#include "ztunnel/zt_end.def"
#undef ZT_END
};

const char *
zt_end_text(enum zt_end why)
{
	return ends[why].text;
}

enum ap_mesh_flags
zt_end_flag(enum zt_end why)
{
	return ends[why].flag;
}

enum zt_end
zt_end_of_connect(enum ap_stream_error e, bool is_hbone)
{
	switch (e) {
	case AP_STREAM_TIMEOUT:
		return is_hbone ? ZT_END_CONNECT_TIMEOUT : ZT_END_CONNECT;
	case AP_STREAM_TLS:
		return ZT_END_TLS;
	case AP_STREAM_PROTOCOL:
		return ZT_END_H2;
	case AP_STREAM_LIMIT:
		return ZT_END_LIMIT;
	case AP_STREAM_OK:
	case AP_STREAM_REFUSED:
	case AP_STREAM_UNREACHABLE:
	case AP_STREAM_RESET:
	case AP_STREAM_CANCELLED:
	case AP_STREAM_INTERNAL:
	default:
		return ZT_END_CONNECT;
	}
}

struct zt_point
zt_point_of(const struct ap_addr *a)
{
	struct zt_point p = { 0 };

	if (ap_addr_ip(a, &p.ip) == 0)
		p.port = ap_addr_port(a);
	return p;
}

struct ap_addr
zt_point_addr(const struct zt_point *p)
{
	return p->ip.len == 0 ? (struct ap_addr){ 0 } : ap_addr_of(&p->ip, p->port);
}

struct zt_conn *
zt_conn_new(struct zt_worker *zw, enum zt_direction direction, const struct ap_addr *src)
{
	struct zt_conn *c = ap_new(struct zt_conn);

	c->magic = ZT_CONN_MAGIC;
	c->direction = (uint8_t)direction;
	c->zw = zw;
	c->src = zt_point_of(src);
	c->started_us = (uint64_t)ap_clock_wall_us();
	ap_list_append(&zw->conns, &c->link);
	ap_list_init(&c->wait_link);
	zw->conn_count++;
	atomic_fetch_add_explicit(&zw->zt->live, 1, memory_order_relaxed);
	return c;
}

void
zt_conn_ends(const struct zt_conn *c, struct ap_mesh_ends *out, struct ap_mesh_baggage *baggage)
{
	*out = (struct ap_mesh_ends){
		.reporter = c->direction == ZT_INBOUND ? AP_REPORTER_DESTINATION : AP_REPORTER_SOURCE,
		.source = c->source,
		.destination = c->destination,
		.service = c->service,
		.mutual_tls = c->mutual_tls,
	};
	if (c->mutual_tls)
		out->source_principal = ap_slice_of(c->source_identity);
	if (c->destination != NULL)
		out->destination_principal = c->destination->identity;
	if (c->source == NULL && c->baggage != NULL && baggage != NULL) {
		ap_mesh_baggage_parse(ap_slice_of(c->baggage), baggage);
		out->source_baggage = baggage;
	}
}

void
zt_conn_open(struct zt_conn *c)
{
	struct ap_mesh_baggage baggage;
	struct ap_mesh_ends e;

	AP_CHECK(!c->is_open);
	c->is_open = true;
	zt_conn_ends(c, &e, &baggage);
	ap_mesh_count_open(c->zw->w->shard, &e, &c->series);
	ap_series_add(c->zw->open_sockets[c->direction], 1);
}

static void
free_conn(void *ptr)
{
	struct zt_conn *c = ptr;

	ap_mesh_workload_unref(&c->source);
	ap_mesh_workload_unref(&c->destination);
	ap_mesh_service_unref(&c->service);
	zt_peer_unref(&c->peer);
	zt_hosted_unref(&c->hosted);
	ap_free(&c->host_authority);
	ap_free(&c->baggage);
	c->magic = 0;
	ap_free(&c);
}

static void
free_timer(void *ptr)
{
	struct ap_timer *t = ptr;

	ap_free(&t);
}

void
zt_conn_stop_timer(struct zt_conn *c)
{
	if (c->timer == NULL)
		return;
	ap_timer_stop(c->timer);
	ap_defer_free(c->zw->w->loop, c->timer, free_timer);
	c->timer = NULL;
}

void
zt_conn_set_timer(struct zt_conn *c, uint64_t ms, void (*fn)(struct ap_timer *t, void *arg))
{
	zt_conn_stop_timer(c);
	c->timer = ap_new(struct ap_timer);
	ap_timer_init(c->timer, c->zw->w->loop, fn, c);
	ap_timer_start(c->timer, ms);
}

static void
close_streams(struct zt_conn *c, enum zt_end why)
{
	enum ap_stream_close how = why == ZT_END_DONE ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT;

	ap_relay_free(&c->relay);
	ap_hbone_cancel(&c->wait);
	zt_attempt_drop(c);
	if (c->x != NULL) { /* the CONNECT was not answered, and the caller did not */
		struct ap_stream *s = &c->x->stream;

		c->x = NULL;
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
	}
	ap_stream_close(&c->down, how);
	ap_stream_close(&c->up, how);
}

void
zt_conn_end(struct zt_conn *c, enum zt_end why, const char *text)
{
	struct zt_worker *zw = c->zw;
	struct ap_mesh_baggage baggage;
	struct ap_mesh_ends e;

	AP_IS(c, ZT_CONN_MAGIC);
	zt_conn_stop_timer(c);
	zt_requests_end(c);
	close_streams(c, why);
	ap_list_remove(&c->link);
	ap_list_remove(&c->wait_link);
	zw->conn_count--;
	atomic_fetch_sub_explicit(&zw->zt->live, 1, memory_order_relaxed);
	if (c->is_open) {
		zt_conn_ends(c, &e, &baggage);
		e.flags = ends[why].flag;
		ap_mesh_count_close(zw->w->shard, &e);
		ap_series_sub(zw->open_sockets[c->direction], 1);
	}
	zt_access_log_write(zw->log, c, why, text);
	ap_defer_free(zw->w->loop, c, free_conn);
}

static void
on_moved(uint64_t a_to_b, uint64_t b_to_a, void *arg)
{
	struct zt_conn *c = arg;

	/* Always from the server's point of view (istio-ambient.md 6.3): what the client sent was received. */
	if (a_to_b > 0) {
		c->received += a_to_b;
		ap_series_add(c->series.received, a_to_b);
	}
	if (b_to_a > 0) {
		c->sent += b_to_a;
		ap_series_add(c->series.sent, b_to_a);
	}
}

static void
on_ended(struct ap_relay *r, enum ap_relay_end end, void *arg)
{
	struct zt_conn *c = arg;

	(void)r;
	AP_IS(c, ZT_CONN_MAGIC);
	/* A reset by either side while copying is how many programs say goodbye: the other side sees it, the log does not
	 * call it an error. */
	zt_conn_end(c, end == AP_RELAY_DONE ? ZT_END_DONE : ZT_END_RESET, NULL);
}

static void
on_bytes(int from_a, const struct iovec *iov, int count, void *arg)
{
	zt_requests_see(arg, from_a != 0, iov, count);
}

void
zt_conn_join(struct zt_conn *c)
{
	static const struct ap_relay_callbacks plain = { .moved = on_moved, .ended = on_ended };
	static const struct ap_relay_callbacks watched = { .moved = on_moved, .ended = on_ended, .sniff = on_bytes };

	AP_CHECK(c->is_open && c->down != NULL && c->up != NULL);
	c->relay = ap_relay_new(c->down, c->up, zt_requests_wanted(c) ? &watched : &plain, c);
}
