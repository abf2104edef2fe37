/*
 * h2_recv.c -- what nghttp2 tells of the peer's frames: heads become exchanges, data becomes borrowed slices, floods are cut.
 *
 * nghttp2 checks the framing, HPACK, field syntax and the order of pseudo fields; here are the rules of a proxy on top:
 * Host against :authority, sizes, what a path and an authority may be.  Nobody's callback is called from here.
 */
#include <string.h>

#include "base/text.h"
#include "http/h2_priv.h"

#define RESET_BURST 1000 /* streams that the peer reset before they were answered */
#define RESET_RATE 100
#define CONTROL_BURST 2000 /* PING, SETTINGS, PRIORITY, empty DATA, frames for nothing */
#define CONTROL_RATE 400

static struct h2_stream *
find(struct h2 *h2, int32_t id)
{
	struct h2_stream *s = h2->last;

	if (s != NULL && s->id == id)
		return s;
	s = nghttp2_session_get_stream_user_data(h2->session, id);
	if (s != NULL) {
		AP_IS(s, H2_STREAM_MAGIC);
		h2->last = s;
	}
	return s;
}

void
h2_give_credit(struct h2 *h2, struct h2_stream *s, size_t n)
{
	const struct ap_http_settings *set = &h2->conn->settings;

	if (s != NULL && s->live) {
		s->credit += (uint32_t)n;
		if (s->credit >= set->stream_window / 8) {
			(void)nghttp2_session_consume_stream(h2->session, s->id, s->credit);
			s->credit = 0;
			if (!h2->receiving)
				h2_schedule(h2);
		}
	}
	h2->credit += (uint32_t)n;
	if (h2->credit >= set->connection_window / 8) {
		(void)nghttp2_session_consume_connection(h2->session, h2->credit);
		h2->credit = 0;
		if (!h2->receiving)
			h2_schedule(h2);
	}
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	h2->head_bytes = 0;
	h2->head_fields = 0;
	h2->head_since_ms = ap_loop_now_ms(h2->conn->loop);
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
		s = find(h2, frame->hd.stream_id);
		h2->head_of = s == NULL || s->closed ? NULL : s;
		return 0;
	}
	h2->head_of = NULL;
	/* nghttp2 counts live streams; what handlers still hold of reset ones counts too. */
	if (h2->count >= h2->conn->settings.max_streams * 2 + 16) {
		ap_http_trouble(AP_HTTP_STREAM_REFUSED);
		(void)nghttp2_submit_rst_stream(
		    session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	s = h2_stream_new(h2);
	s->id = frame->hd.stream_id;
	s->live = true;
	h2->live++;
	(void)nghttp2_session_set_stream_user_data(session, s->id, s);
	h2->head_of = h2->last = s;
	return 0;
}

static void
take_pseudo(struct h2_stream *s, struct ap_slice name, struct ap_slice value)
{
	struct ap_http_head *head = s->x.is_server ? &s->x.request : &s->x.response;

	if (ap_slice_eq(name, AP_S(":status"))) {
		uint64_t status = 0;

		(void)ap_text_to_u64(value, 999, &status);
		head->status = (int)status;
	} else if (ap_slice_eq(name, AP_S(":method"))) {
		head->method = value;
	} else if (ap_slice_eq(name, AP_S(":path"))) {
		head->path = value;
	} else if (ap_slice_eq(name, AP_S(":authority"))) {
		head->authority = value;
	} else if (ap_slice_eq(name, AP_S(":scheme"))) {
		head->scheme = value;
	} else if (ap_slice_eq(name, AP_S(":protocol"))) {
		head->protocol = value;
	}
}

/* Fields that are the codec's business. nghttp2 refused the truly connection-specific ones. */
static void
take_hop_field(struct h2_stream *s, struct ap_slice name, struct ap_slice value)
{
	struct ap_http_head *head = s->x.is_server ? &s->x.request : &s->x.response;
	uint64_t n;

	if (ap_slice_eq(name, AP_S("content-length"))) {
		if (ap_text_to_u64(value, INT64_MAX, &n) == 0)
			head->content_length = (int64_t)n;
	} else if (ap_slice_eq(name, AP_S("host"))) {
		s->host = value;
	}
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_bytes, size_t name_len,
    const uint8_t *value_bytes, size_t value_len, uint8_t flags, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *s = h2->head_of;
	const struct ap_http_settings *set = &h2->conn->settings;
	struct ap_slice name, value;
	struct ap_fields *fields;
	char *p;

	(void)session;
	(void)flags;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	h2->head_bytes += name_len + value_len + 32;
	h2->head_fields++;
	if (h2->head_bytes > set->max_head_bytes * 4 || h2->head_fields > set->max_fields * 8) {
		h2_calm(h2, AP_HTTP_HEAD_TOO_LARGE);
		return 0;
	}
	if (s == NULL)
		return 0;
	if (h2->head_bytes > set->max_head_bytes || h2->head_fields > set->max_fields + 6) {
		s->too_large = true;
		return 0;
	}
	p = ap_arena_alloc(s->x.arena, name_len + value_len + 2);
	if (p == NULL) {
		s->too_large = true;
		return 0;
	}
	memcpy(p, name_bytes, name_len);
	p[name_len] = '\0';
	memcpy(p + name_len + 1, value_bytes, value_len);
	p[name_len + 1 + value_len] = '\0';
	name = ap_slice(p, name_len);
	value = ap_slice(p + name_len + 1, value_len);
	if (p[0] == ':') {
		take_pseudo(s, name, value);
		return 0;
	}
	if (ap_http_is_hop_field(name)) {
		take_hop_field(s, name, value);
		return 0;
	}
	if (s->x.is_server && !s->head_done && ap_slice_eq(name, AP_S("expect"))) {
		s->expects = ap_slice_eq_nocase(value, AP_S("100-continue"));
		s->bad_expect = !s->expects;
		return 0;
	}
	fields = s->head_done ? &s->x.trailers_in : s->x.is_server ? &s->x.request.fields : &s->x.response.fields;
	if (!ap_fields_add_owned(fields, name, value))
		s->too_large = true;
	return 0;
}

/* A field that HTTP forbids: the stream ends, where nghttp2 alone would leave the field out. */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
    const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct h2 *h2 = arg;

	(void)name;
	(void)name_len;
	(void)value;
	(void)value_len;
	(void)flags;
	ap_http_trouble(h2->conn->is_server ? AP_HTTP_BAD_REQUEST : AP_HTTP_BAD_RESPONSE);
	(void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* 0, or the status that refuses it. */
static int
check_request(struct h2_stream *s)
{
	struct ap_http_head *head = &s->x.request;
	const struct ap_http_settings *set = &s->h2->conn->settings;
	bool is_connect = ap_slice_eq(head->method, AP_S("CONNECT"));

	if (s->too_large)
		return 431;
	if (head->authority.len == 0)
		head->authority = s->host;
	else if (s->host.ptr != NULL && !ap_slice_eq_nocase(s->host, head->authority))
		return 400;
	if (head->authority.len == 0 || !ap_http_authority_is_sound(head->authority))
		return 400;
	if (head->protocol.len > 0 && !set->allow_upgrade)
		return 400;
	if (is_connect && head->protocol.len == 0) {
		s->is_tunnel = true;
		return set->allow_connect ? 0 : 405;
	}
	if (!ap_slice_eq(head->scheme, AP_S("http")) && !ap_slice_eq(head->scheme, AP_S("https")))
		return 400;
	if (head->path.len > set->max_path_bytes)
		return 414;
	if (!ap_http_path_is_sound(head->path))
		return 400;
	s->is_tunnel = head->protocol.len > 0;
	return s->bad_expect ? 417 : 0;
}

static void
refuse(struct h2_stream *s, int status)
{
	struct ap_http_head head;

	ap_http_trouble(status == 431 || status == 414 ? AP_HTTP_HEAD_TOO_LARGE : AP_HTTP_BAD_REQUEST);
	ap_http_head_init(&head, s->x.arena);
	head.status = status;
	s->x.response_started = true;
	h2_respond(&s->x, &head, true);
	s->closed = true;
}

static void
got_request(struct h2_stream *s, bool end)
{
	int status = check_request(s);

	s->x.request.end = end;
	if (status != 0) {
		refuse(s, status);
		return;
	}
	s->head_pending = true;
	h2_touch(s);
}

static void
got_response(struct h2_stream *s, bool end)
{
	struct ap_http_head *head = &s->x.response;

	if (s->too_large) {
		ap_http_trouble(AP_HTTP_HEAD_TOO_LARGE);
		h2_rst(s, NGHTTP2_CANCEL);
		h2_stream_fail(s, AP_STREAM_LIMIT, NGHTTP2_CANCEL);
		return;
	}
	if (head->status < 200) { /* interim: forget it, the final one follows */
		ap_http_head_init(head, s->x.arena);
		return;
	}
	head->end = end;
	s->head_done = true;
	s->head_pending = true;
	s->x.response_started = true;
	if (s->is_tunnel && head->status >= 300)
		s->is_tunnel = false;
	h2_touch(s);
}

static void
got_end(struct h2_stream *s)
{
	s->in_eof = true;
	if (s->x.is_server)
		s->x.request_complete = true;
	else
		s->x.response_complete = true;
	h2_touch(s);
}

static void
got_headers(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *s = h2->head_of;
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	h2->head_of = NULL;
	h2->head_since_ms = 0;
	if (s == NULL)
		return;
	if (end)
		got_end(s);
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s->head_done = true;
		got_request(s, end);
	} else if (!s->head_done) {
		got_response(s, end);
	} else if (s->too_large && !s->failed) {
		h2_rst(s, NGHTTP2_CANCEL);
		h2_stream_fail(s, AP_STREAM_LIMIT, NGHTTP2_CANCEL);
	}
}

static void
got_reset(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *s = find(h2, frame->hd.stream_id);

	if (!h2->conn->is_server || (s != NULL && s->x.response_complete))
		return;
	if (!h2_take_token(h2, &h2->resets, RESET_BURST, RESET_RATE))
		h2_calm(h2, AP_HTTP_RESET_FLOOD);
}

static void
got_goaway(struct h2 *h2, const nghttp2_frame *frame)
{
	if (h2->conn->is_server || h2->tell_closing || h2->conn->is_closing)
		return;
	h2->tell_closing = true;
	h2->closing_why = frame->goaway.error_code == NGHTTP2_NO_ERROR ? AP_STREAM_OK : AP_STREAM_RESET;
	h2->draining = true;
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *s;
	bool control = false;

	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		got_headers(h2, frame);
		break;
	case NGHTTP2_DATA:
		control = frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
		s = find(h2, frame->hd.stream_id);
		if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && s != NULL)
			got_end(s);
		break;
	case NGHTTP2_RST_STREAM:
		got_reset(h2, frame);
		break;
	case NGHTTP2_SETTINGS:
		control = true;
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
			h2->got_settings = true;
			h2->tell_room = !h2->conn->is_server;
			h2_touch_writers(h2);
		}
		break;
	case NGHTTP2_WINDOW_UPDATE:
		if (frame->hd.stream_id == 0)
			h2_touch_writers(h2);
		else if ((s = find(h2, frame->hd.stream_id)) != NULL && (s->x.stream.wanted & AP_STREAM_WRITABLE))
			h2_touch(s);
		break;
	case NGHTTP2_PING:
		control = true;
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			break;
		if (memcmp(frame->ping.opaque_data, h2_drain_ping, sizeof(h2_drain_ping)) == 0) {
			if (h2->draining)
				h2_final_goaway(h2);
		} else {
			h2->ping_out = false;
			h2->ping_ms = ap_loop_now_ms(h2->conn->loop);
		}
		break;
	case NGHTTP2_GOAWAY:
		got_goaway(h2, frame);
		break;
	default:
		control = true;
		break;
	}
	if (control && !h2_take_token(h2, &h2->controls, CONTROL_BURST, CONTROL_RATE))
		h2_calm(h2, AP_HTTP_FRAME_FLOOD);
	return 0;
}

/* nghttp2 refused a frame; a peer that keeps making us reset its streams is a flood, too. */
static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code, void *arg)
{
	struct h2 *h2 = arg;

	(void)session;
	(void)frame;
	(void)code;
	ap_http_trouble(h2->conn->is_server ? AP_HTTP_BAD_REQUEST : AP_HTTP_BAD_RESPONSE);
	if (h2->why == AP_STREAM_OK && frame->hd.stream_id == 0)
		h2->why = AP_STREAM_PROTOCOL;
	if (!h2_take_token(h2, &h2->resets, RESET_BURST, RESET_RATE))
		h2_calm(h2, AP_HTTP_RESET_FLOOD);
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t size, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *s = find(h2, id);

	(void)session;
	(void)flags;
	if (s == NULL || s->closed || s->failed) {
		/* Nobody reads it: give the room back at once. */
		if (s != NULL)
			(void)nghttp2_session_consume_stream(h2->session, id, size);
		h2_give_credit(h2, NULL, size);
		return 0;
	}
	if (s->borrow_count == H2_BORROW_MAX)
		h2_stream_keep(s);
	s->borrowed[s->borrow_count++] = ap_slice((const char *)bytes, size);
	s->in_bytes += size;
	if (!ap_list_is_linked(&s->borrow))
		ap_list_append(&h2->borrowers, &s->borrow);
	if (s->x.stream.wanted & AP_STREAM_READABLE)
		h2_touch(s);
	return 0;
}

/* How the end of nghttp2's stream looks to its owner. */
static void
judge_end(struct h2_stream *s, uint32_t code)
{
	s->out_dead = true;
	if ((s->in_eof && s->x.response_complete && s->x.request_complete) || s->failed)
		return;
	/* Facts 1.6: on a tunnel NO_ERROR and CANCEL end reading as EOF does; writing is broken from here on. */
	if (s->is_tunnel && s->head_done && (code == NGHTTP2_NO_ERROR || code == NGHTTP2_CANCEL)) {
		s->in_eof = true;
		h2_touch(s);
		return;
	}
	/* The answer is here as a whole; the peer merely did not care for the rest of the request. */
	if (!s->x.is_server && s->in_eof && s->head_done && code == NGHTTP2_NO_ERROR) {
		h2_touch(s);
		return;
	}
	if (code == NGHTTP2_REFUSED_STREAM && !s->x.is_server) {
		s->x.replayable = true;
		h2_stream_fail(s, AP_STREAM_CANCELLED, (int)code);
		return;
	}
	h2_stream_fail(s, code == NGHTTP2_PROTOCOL_ERROR ? AP_STREAM_PROTOCOL : AP_STREAM_RESET, (int)code);
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	if (s == NULL)
		return 0;
	AP_IS(s, H2_STREAM_MAGIC);
	if (h2->last == s)
		h2->last = NULL;
	if (h2->head_of == s)
		h2->head_of = NULL;
	s->live = false;
	h2->live--;
	h2->tell_room = !h2->conn->is_server;
	judge_end(s, code);
	(void)nghttp2_session_set_stream_user_data(session, id, NULL);
	if (s->closed)
		h2_stream_ended(s);
	return 0;
}

void
h2_set_callbacks(nghttp2_session_callbacks *cbs)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cbs, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cbs, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
}
