/*
 * h2.c -- an HTTP/2 connection: nghttp2's session between a transport and exchanges; start, input, deadlines, drain, end.
 *
 * Input is lent by the transport and handed to nghttp2 as it lies; afterwards the touched streams' owners are told and may
 * read it in place, and only then is it taken from the transport.  Output is made at the end of the turn (h2_send.c).
 * A work task does both halves of what a turn left: telling and flushing.  One loop's thread.
 */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "http/h2_priv.h"

#define INPUT_BUDGET ((size_t)512 * 1024) /* per turn, so that one connection does not keep the loop */
#define INPUT_IOV 8
#define DRAIN_GRACE_MS 500 /* between the two GOAWAYs at most: what the peer sent meanwhile is still served */

const uint8_t h2_drain_ping[8] = { 'd', 'r', 'a', 'i', 'n', 'i', 'n', 'g' };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *option;

static void
make_shared(void)
{
	AP_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
	h2_set_callbacks(callbacks);
	h2_set_send_callbacks(callbacks);
	AP_CHECK(nghttp2_option_new(&option) == 0);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	/* Ours counts only streams that were reset before they were answered (h2_recv.c), and says ENHANCE_YOUR_CALM. */
	nghttp2_option_set_stream_reset_rate_limit(option, 1000000, 1000000);
}

bool
h2_take_token(struct h2 *h2, struct h2_bucket *b, uint32_t burst, uint32_t per_second)
{
	uint64_t now = ap_loop_now_ms(h2->conn->loop);

	if (b->since_ms == 0) {
		b->tokens = burst;
		b->since_ms = now;
	} else if (now - b->since_ms >= 1000) {
		uint64_t more = (now - b->since_ms) / 1000 * per_second;

		b->tokens = (uint32_t)AP_MIN((uint64_t)burst, b->tokens + more);
		b->since_ms = now;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

/* The peer misbehaves on purpose: say so and end. */
void
h2_calm(struct h2 *h2, enum ap_http_trouble t)
{
	if (h2->why == AP_STREAM_LIMIT)
		return;
	ap_http_trouble(t);
	h2->why = AP_STREAM_LIMIT;
	(void)nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

void
h2_schedule(struct h2 *h2)
{
	ap_task_schedule(h2->conn->loop, &h2->work);
}

void
h2_touch(struct h2_stream *s)
{
	struct h2 *h2 = s->h2;

	if (h2 == NULL || s->closed || ap_list_is_linked(&s->touch))
		return;
	ap_list_append(&h2->touched, &s->touch);
	/* While owners are told, a further telling waits for the next turn: one that never reads must not hold this one. */
	if (h2->telling)
		ap_task_schedule_next(h2->conn->loop, &h2->again);
	else if (!h2->receiving)
		h2_schedule(h2);
}

/* A window or the transport opened. */
void
h2_touch_writers(struct h2 *h2)
{
	if (h2->writers == 0)
		return;
	AP_LIST_FOR (l, &h2->streams) {
		struct h2_stream *s = AP_LIST_ITEM(l, struct h2_stream, link);

		if ((s->x.stream.wanted & AP_STREAM_WRITABLE) && !h2_stream_is_stalled(s))
			h2_touch(s);
	}
}

static void
h2_last_flush(struct h2 *h2)
{
	h2_flush(h2);
	h2->conn->last_words = h2->unsent == 0;
}

static void
tell_owner(struct h2 *h2)
{
	struct ap_http_conn *conn = h2->conn;
	const struct ap_http_client_ops *ops = conn->client;

	if (h2->tell_closing) {
		h2->tell_closing = false;
		ap_http_conn_closing(conn, h2->closing_why);
	}
	if (h2->tell_ready && !conn->is_closing && !conn->is_ending) {
		h2->tell_ready = h2->tell_room = false;
		if (ops->ready != NULL)
			ops->ready(conn, conn->arg);
	}
	if (h2->tell_room) {
		h2->tell_room = false;
		if (ops->room != NULL && !conn->is_closing && !conn->is_ending)
			ops->room(conn, conn->arg);
	}
}

/* Tell what was touched up to now; what is touched meanwhile comes in the next turn. */
static void
tell(struct h2 *h2)
{
	struct ap_list batch;

	ap_list_init(&batch);
	while (!ap_list_is_empty(&h2->touched)) {
		struct ap_list *l = h2->touched.next;

		ap_list_remove(l);
		ap_list_append(&batch, l);
	}
	h2->telling = true;
	while (!ap_list_is_empty(&batch)) {
		struct h2_stream *s = AP_LIST_ITEM(batch.next, struct h2_stream, touch);

		ap_list_remove(&s->touch);
		h2_stream_tell(s);
	}
	if (!h2->conn->is_server)
		tell_owner(h2);
	h2->telling = false;
}

/* Nothing more will come or go: the connection ends. */
static void
end_when_done(struct h2 *h2)
{
	struct ap_http_conn *conn = h2->conn;

	if (conn->is_ending || h2->unsent > 0)
		return;
	conn->last_words = true;
	if (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session))
		ap_http_conn_end(conn, h2->why, 0);
	else if (h2->goaway_sent && h2->count == 0 && !nghttp2_session_want_write(h2->session))
		ap_http_conn_end(conn, AP_STREAM_OK, 0);
}

void
h2_final_goaway(struct h2 *h2)
{
	if (h2->goaway_sent)
		return;
	h2->goaway_sent = true;
	(void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR, NULL, 0);
	h2_schedule(h2);
}

static void
work(struct h2 *h2)
{
	if (h2->conn->is_ending)
		return;
	tell(h2);
	if (h2->conn->is_ending)
		return;
	if (h2->draining && !h2->conn->is_server && h2->count == 0)
		h2_final_goaway(h2);
	h2_flush(h2);
	if (!h2->conn->is_ending)
		end_when_done(h2);
}

static void
on_work(struct ap_task *t, void *arg)
{
	(void)t;
	work(arg);
}

static void
on_again(struct ap_task *t, void *arg)
{
	(void)t;
	work(arg);
}

/* Give nghttp2 bytes as they lie. False: the connection is ending. */
static bool
feed(struct h2 *h2, const void *bytes, size_t size)
{
	ssize_t n;

	h2->receiving = true;
	n = nghttp2_session_mem_recv(h2->session, bytes, size);
	h2->receiving = false;
	if (n >= 0)
		return true;
	/* What makes the session useless but for a wrong preface is a bound that was passed: acks, continuations. */
	if (n != NGHTTP2_ERR_BAD_CLIENT_MAGIC && n != NGHTTP2_ERR_CALLBACK_FAILURE)
		h2_calm(h2, AP_HTTP_FRAME_FLOOD);
	else
		ap_http_trouble(h2->conn->is_server ? AP_HTTP_BAD_REQUEST : AP_HTTP_BAD_RESPONSE);
	if (!h2->conn->is_ending) {
		h2_last_flush(h2); /* the GOAWAY, when there is one */
		ap_http_conn_end(h2->conn, h2->why == AP_STREAM_OK ? AP_STREAM_PROTOCOL : h2->why, (int)n);
	}
	return false;
}

static void
keep_borrowed(struct h2 *h2)
{
	while (!ap_list_is_empty(&h2->borrowers)) {
		struct h2_stream *s = AP_LIST_ITEM(h2->borrowers.next, struct h2_stream, borrow);

		ap_list_remove(&s->borrow);
		h2_stream_keep(s);
	}
}

/* Feed, tell, and save what was not read: afterwards the bytes may go. */
static void
take_input(struct h2 *h2, const struct iovec *iov, int count)
{
	for (int i = 0; i < count; i++)
		if (!feed(h2, iov[i].iov_base, iov[i].iov_len))
			break;
	tell(h2);
	keep_borrowed(h2);
}

static void
input_ended(struct h2 *h2, ssize_t how)
{
	struct ap_stream *t = h2->conn->transport;

	h2->conn->saw_eof = true;
	if (how == AP_STREAM_ERROR)
		ap_http_conn_end(h2->conn, t->error, t->detail);
	else
		ap_http_conn_end(h2->conn, h2->live == 0 ? AP_STREAM_OK : AP_STREAM_RESET, 0);
}

static void
input_lent(struct h2 *h2)
{
	struct ap_http_conn *conn = h2->conn;
	size_t done = 0;

	while (done < INPUT_BUDGET) {
		struct iovec iov[INPUT_IOV];
		size_t total = 0;
		int n = conn->transport->ops->peek(conn->transport, iov, INPUT_IOV);

		if (n == AP_STREAM_AGAIN)
			return;
		if (n <= 0) {
			input_ended(h2, n);
			return;
		}
		for (int i = 0; i < n; i++)
			total += iov[i].iov_len;
		take_input(h2, iov, n);
		if (conn->is_ending)
			return;
		conn->transport->ops->consume(conn->transport, total);
		done += total;
	}
}

static void
input_copied(struct h2 *h2)
{
	struct ap_http_conn *conn = h2->conn;
	struct ap_block *b = ap_block_new(AP_BLOCK_LARGE);
	size_t done = 0;

	while (done < INPUT_BUDGET && !conn->is_ending) {
		ssize_t n = ap_stream_read(conn->transport, b->bytes, b->room);
		struct iovec iov = { .iov_base = b->bytes, .iov_len = (size_t)n };

		if (n == AP_STREAM_AGAIN)
			break;
		if (n <= 0) {
			input_ended(h2, n);
			break;
		}
		take_input(h2, &iov, 1);
		done += (size_t)n;
		if ((size_t)n < b->room)
			break;
	}
	ap_block_free(b);
}

static void
h2_events(struct ap_http_conn *conn, unsigned events)
{
	struct h2 *h2 = conn->impl;

	AP_IS(h2, H2_MAGIC);
	if (events & AP_STREAM_READABLE) {
		if (conn->transport->ops->peek != NULL)
			input_lent(h2);
		else
			input_copied(h2);
	}
	if (conn->is_ending)
		return;
	if (events & AP_STREAM_FAILED) {
		ap_http_conn_end(conn, conn->transport->error, conn->transport->detail);
		return;
	}
	if (events & AP_STREAM_WRITABLE) {
		h2->blocked = false;
		ap_stream_want(conn->transport, AP_STREAM_READABLE);
		h2_flush(h2);
		if (!conn->is_ending && !h2->blocked)
			h2_touch_writers(h2);
	}
	if (conn->is_ending)
		return;
	if (h2->head_since_ms != 0)
		ap_http_conn_wake_at(conn, h2->head_since_ms + conn->settings.head_timeout_ms);
	h2_schedule(h2);
}

static void
submit_settings(struct h2 *h2)
{
	const struct ap_http_conn *conn = h2->conn;
	const struct ap_http_settings *set = &conn->settings;
	nghttp2_settings_entry rows[8];
	size_t n = 0;

#define ROW(id_, value_) rows[n++] = (nghttp2_settings_entry){ (id_), (value_) }
	if (conn->is_server)
		ROW(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, set->max_streams);
	else
		ROW(NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
	if (set->stream_window != 65535)
		ROW(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, set->stream_window);
	if (set->max_frame != 16384)
		ROW(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, set->max_frame);
	ROW(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)set->max_head_bytes);
	if (conn->is_server && set->allow_upgrade)
		ROW(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
	ROW(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1);
#undef ROW
	AP_CHECK(nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, rows, n) == 0);
	if (set->connection_window > 65535)
		(void)nghttp2_session_set_local_window_size(
		    h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)set->connection_window);
}

void
ap_h2_start(struct ap_http_conn *conn, struct ap_slice early)
{
	struct h2 *h2 = ap_new(struct h2);
	int rv;

	(void)pthread_once(&once, make_shared);
	h2->magic = H2_MAGIC;
	h2->conn = conn;
	h2->why = AP_STREAM_OK;
	conn->impl = h2;
	ap_list_init(&h2->streams);
	ap_list_init(&h2->touched);
	ap_list_init(&h2->borrowers);
	ap_list_init(&h2->drawers);
	ap_task_init(&h2->work, on_work, h2);
	ap_task_init(&h2->again, on_again, h2);
	h2->started_ms = h2->ping_ms = ap_loop_now_ms(conn->loop);
	rv = conn->is_server ? nghttp2_session_server_new2(&h2->session, callbacks, h2, option) :
			       nghttp2_session_client_new2(&h2->session, callbacks, h2, option);
	AP_CHECK(rv == 0);
	submit_settings(h2);
	h2->tell_ready = !conn->is_server;
	ap_stream_want(conn->transport, AP_STREAM_READABLE);
	h2_schedule(h2);
	if (early.len > 0)
		(void)feed(h2, early.ptr, early.len);
}

static uint32_t
h2_room(const struct ap_http_conn *conn)
{
	const struct h2 *h2 = conn->impl;
	uint32_t max = nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	if (!h2->got_settings)
		max = conn->settings.max_streams;
	max = AP_MIN(max, conn->settings.max_streams);
	if (h2->tell_closing || !nghttp2_session_check_request_allowed(h2->session))
		return 0;
	return max > h2->live ? max - h2->live : 0;
}

static void
h2_drain(struct ap_http_conn *conn)
{
	struct h2 *h2 = conn->impl;

	if (h2->draining)
		return;
	h2->draining = true;
	if (!conn->is_server) {
		h2->tell_closing = true;
		h2->closing_why = AP_STREAM_OK;
	} else {
		(void)nghttp2_submit_shutdown_notice(h2->session);
		h2->goaway_ms = ap_loop_now_ms(conn->loop) + DRAIN_GRACE_MS;
		ap_http_conn_wake_at(conn, h2->goaway_ms);
	}
	h2_schedule(h2);
}

static uint64_t
tick_ping(struct h2 *h2, uint64_t now)
{
	const struct ap_http_settings *set = &h2->conn->settings;

	if (set->ping_interval_ms == 0)
		return UINT64_MAX;
	if (h2->ping_out && now >= h2->ping_ms + set->ping_timeout_ms) {
		ap_http_trouble(AP_HTTP_PING_TIMEOUT);
		(void)nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
		h2_last_flush(h2);
		ap_http_conn_end(h2->conn, AP_STREAM_TIMEOUT, 0);
		return UINT64_MAX;
	}
	if (!h2->ping_out && now >= h2->ping_ms + set->ping_interval_ms) {
		(void)nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
		h2->ping_out = true;
		h2->ping_ms = now;
		h2_schedule(h2);
	}
	return h2->ping_ms + (h2->ping_out ? set->ping_timeout_ms : set->ping_interval_ms);
}

/* A header block or the peer's first SETTINGS that do not end. */
static uint64_t
tick_head(struct h2 *h2, uint64_t now)
{
	uint64_t since = h2->head_since_ms != 0 ? h2->head_since_ms : h2->got_settings ? 0 : h2->started_ms;

	if (since == 0)
		return now + h2->conn->settings.head_timeout_ms;
	if (now >= since + h2->conn->settings.head_timeout_ms) {
		ap_http_trouble(AP_HTTP_HEAD_TIMEOUT);
		(void)nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
		h2_last_flush(h2);
		ap_http_conn_end(h2->conn, AP_STREAM_TIMEOUT, 0);
		return UINT64_MAX;
	}
	return since + h2->conn->settings.head_timeout_ms;
}

static uint64_t
h2_tick(struct ap_http_conn *conn, uint64_t now)
{
	struct h2 *h2 = conn->impl;
	uint64_t next = tick_ping(h2, now);
	uint64_t idle_at = conn->active == 0 ? conn->idle_since_ms + conn->settings.idle_timeout_ms :
					       now + conn->settings.idle_timeout_ms;

	if (!conn->is_ending && (h2->head_since_ms != 0 || !h2->got_settings))
		next = AP_MIN(next, tick_head(h2, now));
	if (conn->is_ending)
		return 0;
	if (h2->goaway_ms != 0 && !h2->goaway_sent) {
		if (now >= h2->goaway_ms)
			h2_final_goaway(h2);
		else
			next = AP_MIN(next, h2->goaway_ms);
	}
	if (now >= idle_at) {
		if (!h2->draining)
			ap_http_trouble(AP_HTTP_IDLE_TIMEOUT);
		h2_drain(conn);
		idle_at = now + conn->settings.idle_timeout_ms;
	}
	return AP_MIN(next, idle_at);
}

static void
h2_over(struct ap_http_conn *conn)
{
	struct h2 *h2 = conn->impl;
	enum ap_stream_error why = conn->why == AP_STREAM_OK ? AP_STREAM_RESET : conn->why;

	h2->telling = true;
	ap_task_cancel(&h2->work);
	ap_task_cancel(&h2->again);
	while (!ap_list_is_empty(&h2->streams)) {
		struct h2_stream *s = AP_LIST_ITEM(h2->streams.next, struct h2_stream, link);

		if (!s->failed)
			s->x.replayable = !conn->is_server && !s->head_sent;
		if (!h2_stream_is_whole(s))
			h2_stream_fail(s, why, conn->detail);
		h2_stream_tell(s);
		if (s->h2 != NULL) /* else its owner closed it just now */
			h2_stream_ended(s);
	}
	while (h2->out_head != NULL) {
		struct ap_block *b = h2->out_head;

		h2->out_head = b->next;
		ap_block_free(b);
	}
	nghttp2_session_del(h2->session);
	/* Owners that closed theirs just now scheduled a flush that will not be. */
	ap_task_cancel(&h2->work);
	ap_task_cancel(&h2->again);
	h2->magic = 0;
	conn->impl = NULL;
	ap_mem_free(h2);
}

const struct ap_http_ops ap_http_h2_ops = {
	.version = AP_HTTP_2,
	.respond = h2_respond,
	.reply = h2_reply,
	.proceed = h2_proceed,
	.room = h2_room,
	.request = h2_request,
	.drain = h2_drain,
	.over = h2_over,
	.events = h2_events,
	.tick = h2_tick,
};
