/*
 * wp_forward.c -- attempts to send a request upstream, and the answer's way back.  An attempt asks the pool for an exchange
 * with an endpoint, pumps the request's body into it while the answer may come at any time, and ends with the answer's head
 * (passed on, or judged worth another attempt) or with a failure.  Each body is pumped as far as the other side takes it.
 */
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/text.h"
#include "mesh/object.h"
#include "waypoint/wp_request.h"

static void on_response(struct ap_exchange *up, void *arg);
static void up_events(struct ap_stream *s, unsigned events, void *arg);

static uint64_t
hash_of(const struct wp_request *r)
{
	struct ap_slice s = AP_SLICE_NONE;
	char text[AP_ADDR_TEXT];

	switch ((enum wp_lb)r->route->lb) {
	case WP_LB_HASH_HEADER:
		s = wp_view_header(&r->view, r->route->hash_name);
		break;
	case WP_LB_HASH_QUERY:
		s = wp_view_query(&r->view, r->route->hash_name);
		break;
	case WP_LB_HASH_SOURCE:
		if (r->view.source_ip.len > 0)
			s = ap_slice_of(ap_ip_format(&r->view.source_ip, text, sizeof(text)));
		break;
	case WP_LB_HASH_COOKIE: {
		struct ap_slice rest = ap_fields_join(&r->head.fields, AP_S("cookie"), r->x->arena);

		while (rest.ptr != NULL && s.ptr == NULL) {
			struct ap_slice value = ap_slice_trim(ap_slice_cut(&rest, ';')),
					name = ap_slice_cut(&value, '=');

			if (ap_slice_eq(name, r->route->hash_name))
				s = value;
		}
		break;
	}
	case WP_LB_ROUND_ROBIN:
	case WP_LB_LEAST_REQUEST:
	case WP_LB_RANDOM:
		break;
	}
	return s.ptr == NULL ? ap_rand_fast() : ap_hash_fnv(s.ptr, s.len);
}

static enum ap_http_version
upstream_version(const struct wp_request *r)
{
	if (r->port->protocol == WP_HTTP2)
		return AP_HTTP_2;
	if (r->is_upgrade)
		return AP_HTTP_1_1;
	if (r->is_grpc && r->x->version == AP_HTTP_2)
		return AP_HTTP_2;
	if (r->port->protocol == WP_AUTO && r->down->is_mutual && r->x->version == AP_HTTP_2)
		return AP_HTTP_2;
	return AP_HTTP_1_1;
}

/* What was taken from the client and is not kept cannot be sent again. */
static bool
can_send_again(const struct wp_request *r)
{
	return r->status == 0 && (r->kept_all || r->in.bytes <= r->kept.len);
}

void
wp_forward_cancel(struct wp_request *r)
{
	struct ap_stream *s = r->up == NULL ? NULL : &r->up->stream;
	bool complete = r->in_done && r->out_done;

	ap_http_pool_cancel(&r->wait);
	ap_timer_stop(&r->try_timer);
	wp_pump_done(&r->in);
	wp_pump_done(&r->out);
	r->up = NULL;
	ap_stream_close(&s, complete ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT);
	if (r->up_counted)
		r->endpoint->active--;
	r->up_counted = false;
}

static void
on_backoff(struct ap_timer *t, void *arg)
{
	(void)t;
	wp_forward(arg);
}

/* Once more, unless the route's attempts are used up. */
static bool
try_again(struct wp_request *r)
{
	if (!can_send_again(r))
		return false;
	if (r->attempt > r->route->retry.attempts) {
		if (r->route->retry.attempts > 0)
			r->flags |= WP_FLAG(RETRY_LIMIT);
		return false;
	}
	wp_forward_cancel(r);
	ap_timer_init(&r->wait_timer, r->ww->loop, on_backoff, r);
	ap_timer_start(&r->wait_timer, wp_retry_backoff_ms(&r->route->retry, r->attempt, ap_rand_fast()));
	return true;
}

static void
on_timeout(struct ap_timer *t, void *arg)
{
	struct wp_request *r = arg;

	(void)t;
	if (r->status != 0) { /* too late for another answer */
		r->flags |= WP_FLAG(TIMEOUT);
		r->details = "response_timeout";
		wp_request_end(r, AP_STREAM_CLOSE_ABORT);
		return;
	}
	wp_answer(r, 504, WP_FLAG(TIMEOUT), "response_timeout", AP_S("upstream request timeout"));
}

static void
on_try_timeout(struct ap_timer *t, void *arg)
{
	struct wp_request *r = arg;

	(void)t;
	if ((r->route->retry.on & (WP_RETRY_5XX | WP_RETRY_GATEWAY_ERROR)) && try_again(r))
		return;
	wp_answer(r, 504, WP_FLAG(TIMEOUT), "upstream_per_try_timeout", AP_S("upstream request timeout"));
}

/* Envoy's clock of a request begins when the client has sent all of it. */
static void
timeout_begin(struct wp_request *r)
{
	if (r->timer_armed || r->route->timeout_ms == 0)
		return;
	r->timer_armed = true;
	ap_timer_init(&r->timer, r->ww->loop, on_timeout, r);
	ap_timer_start(&r->timer, r->route->timeout_ms);
}

static void
connect_failed(struct wp_request *r, enum ap_stream_error why)
{
	struct ap_slice text;

	if (why == AP_STREAM_LIMIT) {
		wp_answer(r, 503, WP_FLAG(OVERFLOW), "overflow",
		    AP_S("upstream connect error or disconnect/reset before headers. reset reason: overflow"));
		return;
	}
	if (wp_retry_wants_failure(&r->route->retry, true, true, true) && try_again(r))
		return;
	text =
	    ap_arena_printf(r->x->arena, "upstream connect error or disconnect/reset before headers. reset reason: %s",
		why == AP_STREAM_TIMEOUT ? "connection timeout" : "connection failure");
	wp_answer(r, 503, WP_FLAG(CONNECT_FAILED), "upstream_reset_before_response_started{connection_failure}", text);
}

static void
attempt_failed(struct wp_request *r, enum ap_stream_error why, bool replayable)
{
	bool refused = why == AP_STREAM_CANCELLED;
	bool lost = why == AP_STREAM_RESET || why == AP_STREAM_TIMEOUT || why == AP_STREAM_OK;

	if (wp_retry_wants_failure(&r->route->retry, false, replayable, refused) && try_again(r))
		return;
	if (why == AP_STREAM_PROTOCOL || why == AP_STREAM_LIMIT) {
		wp_answer(r, 502, WP_FLAG(REMOTE_RESET), "upstream_reset_before_response_started{protocol_error}",
		    AP_S("upstream connect error or disconnect/reset before headers. reset reason: protocol error"));
		return;
	}
	if (lost)
		wp_answer(r, 503, WP_FLAG(CONNECTION_LOST),
		    "upstream_reset_before_response_started{connection_termination}",
		    AP_S("upstream connect error or disconnect/reset before headers. reset reason: connection "
			 "termination"));
	else
		wp_answer(r, 503, WP_FLAG(REMOTE_RESET), "upstream_reset_before_response_started{remote_reset}",
		    AP_S("upstream connect error or disconnect/reset before headers. reset reason: remote reset"));
}

/* ---- bodies ---- */

static struct ap_fields *
trailers_copy(const struct ap_fields *from, struct ap_arena *arena)
{
	struct ap_fields *to;

	if (from->count == 0)
		return NULL;
	to = ap_arena_alloc(arena, sizeof(*to));
	if (to == NULL)
		return NULL;
	ap_fields_init(to, arena);
	return ap_fields_copy(to, from) ? to : NULL;
}

static unsigned
pump_in(struct wp_request *r, unsigned *down)
{
	if (r->up == NULL || r->in_done || r->in.sink == NULL)
		return 0;
	switch (wp_pump_run(&r->in)) {
	case WP_PUMP_READING:
		*down |= AP_STREAM_READABLE;
		return 0;
	case WP_PUMP_WRITING:
		return AP_STREAM_WRITABLE;
	case WP_PUMP_END:
		r->in_done = true;
		r->up->trailers_out = trailers_copy(&r->x->trailers_in, r->up->arena);
		ap_stream_shutdown(&r->up->stream);
		timeout_begin(r);
		return 0;
	case WP_PUMP_SOURCE_FAILED: /* FAILED tells the rest */
	case WP_PUMP_SINK_FAILED:   /* it may have answered already, or fails too */
	default:
		return 0;
	}
}

static void
grpc_note(struct wp_request *r, const struct ap_fields *f)
{
	struct ap_slice s = ap_fields_get(f, AP_S("grpc-status"));
	uint64_t v;

	if (s.ptr != NULL && ap_text_to_u64(s, 1000, &v) == 0)
		r->grpc_status = (int)v;
}

/* False: the request ended. */
static bool
pump_out(struct wp_request *r, unsigned *down, unsigned *up)
{
	if (r->out.sink == NULL)
		return true;
	switch (wp_pump_run(&r->out)) {
	case WP_PUMP_READING:
		*up |= AP_STREAM_READABLE;
		return true;
	case WP_PUMP_WRITING:
		*down |= AP_STREAM_WRITABLE;
		return true;
	case WP_PUMP_END:
		r->out_done = true;
		if (r->up != NULL) {
			grpc_note(r, &r->up->trailers_in);
			r->x->trailers_out = trailers_copy(&r->up->trailers_in, r->x->arena);
		}
		ap_stream_shutdown(&r->x->stream);
		if (r->is_upgrade && !r->in_done) {
			r->out.sink = NULL; /* the other direction goes on */
			return true;
		}
		wp_request_end(r, AP_STREAM_CLOSE_CLEAN);
		return false;
	case WP_PUMP_SOURCE_FAILED:
	case WP_PUMP_SINK_FAILED:
	default:
		return true; /* FAILED tells the rest */
	}
}

/* Move what moves, then want what is waited for. */
static void
settle(struct wp_request *r)
{
	unsigned down = 0, up = 0;

	up |= pump_in(r, &down);
	if (!pump_out(r, &down, &up))
		return;
	if (r->in_done && r->out_done) {
		wp_request_end(r, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	ap_stream_want(&r->x->stream, down);
	if (r->up != NULL)
		ap_stream_want(&r->up->stream, up);
}

void
wp_forward_wake(struct ap_task *t, void *arg)
{
	struct wp_request *r = arg;

	(void)t;
	AP_IS(r, WP_REQUEST_MAGIC);
	settle(r);
}

void
wp_forward_down_events(struct ap_stream *s, unsigned events, void *arg)
{
	struct wp_request *r = arg;

	(void)s;
	AP_IS(r, WP_REQUEST_MAGIC);
	if (events & AP_STREAM_FAILED) {
		r->flags |= WP_FLAG(CLIENT_GONE);
		r->details = "downstream_remote_disconnect";
		wp_request_end(r, AP_STREAM_CLOSE_ABORT);
		return;
	}
	settle(r);
}

static void
up_events(struct ap_stream *s, unsigned events, void *arg)
{
	struct wp_request *r = arg;

	(void)s;
	AP_IS(r, WP_REQUEST_MAGIC);
	if (events & AP_STREAM_FAILED) { /* behind the answer's head */
		r->flags |= WP_FLAG(CONNECTION_LOST);
		r->details = "upstream_reset_after_response_started{connection_termination}";
		wp_request_end(r, AP_STREAM_CLOSE_ABORT);
		return;
	}
	settle(r);
}

/* ---- the answer ---- */

/* Agreed: both sides are tunnels from here on. Else it is an ordinary answer. */
static void
upgrade_answered(struct wp_request *r, struct ap_http_head *head)
{
	if (head->status != 101) {
		r->is_upgrade = false;
		r->in_done = true;
		return;
	}
	head->protocol = r->up->response.protocol;
	if (r->x->version == AP_HTTP_2)
		head->status = 200;
	wp_pump_init(&r->in, &r->x->stream, &r->up->stream, AP_SLICE_NONE, false, &r->wake);
}

static void
answer_begin(struct wp_request *r)
{
	struct ap_exchange *up = r->up;
	struct ap_http_head head;
	bool end = up->response.end;

	r->answered_ns = ap_clock_mono_ns();
	ap_http_head_init(&head, r->x->arena);
	head.status = up->response.status;
	head.content_length = up->response.content_length;
	ap_fields_copy(&head.fields, &up->response.fields);
	grpc_note(r, &head.fields);
	f_headers_change(r, &head, &r->destination->response_headers);
	f_headers_change(r, &head, &r->route->response_headers);
	f_cors_response(r, &head);
	if (f_lua_response(r, &head))
		return;
	if (ap_arena_is_full(r->x->arena)) {
		wp_answer(r, 502, WP_FLAG(REMOTE_RESET), "response_headers_too_large", AP_SLICE_NONE);
		return;
	}
	if (r->is_upgrade)
		upgrade_answered(r, &head);
	r->status = head.status;
	r->response_bytes += head.fields.bytes;
	ap_exchange_respond(r->x, &head, end);
	if (end) {
		r->out_done = true;
		wp_request_end(r, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	wp_pump_init(&r->out, &up->stream, &r->x->stream, AP_SLICE_NONE, false, &r->wake);
	settle(r);
}

static void
on_response(struct ap_exchange *up, void *arg)
{
	struct wp_request *r = arg;
	struct ap_slice grpc;
	uint64_t grpc_status = 1000;

	AP_IS(r, WP_REQUEST_MAGIC);
	ap_timer_stop(&r->try_timer);
	if (up->response.status == 0) {
		attempt_failed(r, (enum ap_stream_error)up->stream.error, up->replayable);
		return;
	}
	grpc = ap_fields_get(&up->response.fields, AP_S("grpc-status"));
	if (grpc.ptr != NULL)
		(void)ap_text_to_u64(grpc, 1000, &grpc_status);
	if (wp_retry_wants_status(&r->route->retry, up->response.status, (int)grpc_status) && try_again(r))
		return;
	answer_begin(r);
}

/* ---- an attempt ---- */

static void
on_exchange(struct ap_exchange *up, enum ap_stream_error why, int detail, void *arg)
{
	struct wp_request *r = arg;

	(void)detail;
	AP_IS(r, WP_REQUEST_MAGIC);
	r->wait = NULL;
	if (up == NULL) {
		connect_failed(r, why);
		return;
	}
	r->up = up;
	r->sent_ns = ap_clock_mono_ns();
	ap_stream_set_callback(&up->stream, up_events, r);
	if (r->kept_all && r->kept.len == 0) {
		r->in_done = true;
		timeout_begin(r);
		return;
	}
	r->in_done = false;
	r->in = (struct wp_pump){ 0 };
	if (r->is_upgrade)
		return; /* bytes flow once it is agreed */
	wp_pump_init(&r->in, &r->x->stream, &up->stream, r->kept, r->kept_all, &r->wake);
	settle(r);
}

static struct wp_endpoint *
endpoint_choose(struct wp_request *r, struct wp_cluster **out_cluster)
{
	struct wp_down *d = r->down;

	*out_cluster = NULL;
	if (d->pinned != NULL)
		return wp_endpoint_pinned(r->ww, d->pinned, d->service, &d->destination_ip, d->pinned_port);
	*out_cluster = wp_cluster_get(r->ww, r->destination);
	return wp_endpoint_pick(*out_cluster, (enum wp_lb)r->route->lb, hash_of(r), r->last_endpoint);
}

void
wp_forward(struct wp_request *r)
{
	bool end = r->kept_all && r->kept.len == 0;
	struct wp_cluster *cluster;
	struct ap_http_wait *wait;
	char count[12];

	wp_endpoint_unref(&r->last_endpoint);
	r->last_endpoint = r->endpoint;
	r->endpoint = endpoint_choose(r, &cluster);
	if (r->endpoint == NULL) {
		if (cluster != NULL && cluster->service == NULL)
			wp_answer(r, 503, WP_FLAG(NO_CLUSTER), "cluster_not_found", AP_SLICE_NONE);
		else
			wp_answer(r, 503, WP_FLAG(NO_HEALTHY), "no_healthy_upstream", AP_S("no healthy upstream"));
		return;
	}
	r->attempt++;
	r->endpoint->active++;
	r->up_counted = true;
	snprintf(count, sizeof(count), "%u", r->attempt);
	ap_fields_set(&r->head.fields, AP_S("x-envoy-attempt-count"), ap_slice_of(count));
	if (r->kept_all && r->kept.len > 0 && r->x->trailers_in.count == 0)
		r->head.content_length = (int64_t)r->kept.len;
	r->dial.dial = wp_dial;
	r->dial.arg = r->endpoint;
	r->dial.version = upstream_version(r);
	if (r->route->retry.per_try_timeout_ms > 0) {
		ap_timer_init(&r->try_timer, r->ww->loop, on_try_timeout, r);
		ap_timer_start(&r->try_timer, r->route->retry.per_try_timeout_ms);
	}
	wait = ap_http_pool_request(r->ww->pool, ap_slice_of(r->endpoint->key[r->dial.version == AP_HTTP_2]), &r->dial,
	    &r->head, end, on_exchange, on_response, r);
	if (wait != NULL)
		r->wait = wait; /* else it is begun, or over, already */
}
