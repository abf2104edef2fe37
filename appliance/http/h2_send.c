/*
 * h2_send.c -- frames on their way out.
 *
 * nghttp2 makes them one by one into the connection's out block, which exists only while something waits in it.  The payload
 * of DATA is written by us straight behind room for its nine-byte head: from the caller's vectors inside write(), or
 * read from the source of draw() in the flush at the end of the turn.  So streams that woke in one turn share one write
 * of the transport, and a byte is copied once between its source and the transport.
 */
#include <string.h>

#include "base/text.h"
#include "http/h2_priv.h"

#define FLUSH_BUDGET ((size_t)1024 * 1024)
#define NV_ON_STACK 64

/* ---- the out block ---- */

static struct ap_block *
out_room(struct h2 *h2, size_t size)
{
	struct ap_block *b = h2->out_tail;

	if (b != NULL && b->room - b->end >= size)
		return b;
	b = ap_block_new(AP_MAX(size, AP_BLOCK_LARGE));
	if (h2->out_tail == NULL)
		h2->out_head = b;
	else
		h2->out_tail->next = b;
	h2->out_tail = b;
	return b;
}

static void
out_add(struct h2 *h2, const uint8_t *bytes, size_t size)
{
	struct ap_block *b = out_room(h2, size);

	memcpy(b->bytes + b->end, bytes, size);
	b->end += (uint32_t)size;
	h2->unsent += size;
}

static void
out_sent(struct h2 *h2, size_t n)
{
	h2->unsent -= n;
	while (n > 0 || (h2->out_head != NULL && h2->out_head->start == h2->out_head->end)) {
		struct ap_block *b = h2->out_head;
		size_t take = AP_MIN(n, (size_t)(b->end - b->start));

		b->start += (uint32_t)take;
		n -= take;
		if (b->start < b->end)
			break;
		h2->out_head = b->next;
		if (h2->out_head == NULL)
			h2->out_tail = NULL;
		ap_block_free(b);
	}
}

/* Offer what is ready to the transport. */
static void
out_write(struct h2 *h2)
{
	struct ap_http_conn *conn = h2->conn;

	while (h2->unsent > 0) {
		struct iovec iov[4];
		int count = 0;
		ssize_t n;

		for (struct ap_block *b = h2->out_head; b != NULL && count < 4; b = b->next)
			iov[count++] = (struct iovec){ .iov_base = b->bytes + b->start, .iov_len = b->end - b->start };
		n = ap_stream_writev(conn->transport, iov, count);
		if (n == AP_STREAM_ERROR) {
			ap_http_conn_end(conn, conn->transport->error, conn->transport->detail);
			return;
		}
		if (n <= 0)
			break;
		out_sent(h2, (size_t)n);
	}
	if (h2->unsent > 0 && !h2->blocked) {
		h2->blocked = true;
		ap_stream_want(conn->transport, AP_STREAM_READABLE | AP_STREAM_WRITABLE);
	}
}

void
h2_fill(struct h2 *h2)
{
	if (h2->conn->is_ending)
		return;
	h2->filling = true;
	h2->drained = false;
	while (h2->unsent < H2_OUT_LIMIT) {
		const uint8_t *bytes;
		ssize_t n;

		h2->paused = false;
		n = nghttp2_session_mem_send(h2->session, &bytes);
		if (n < 0) {
			ap_http_conn_end(h2->conn, AP_STREAM_INTERNAL, (int)n);
			break;
		}
		if (n > 0) {
			out_add(h2, bytes, (size_t)n);
		} else if (!h2->paused) {
			h2->drained = true;
			break;
		}
	}
	h2->filling = false;
}

void
h2_flush(struct h2 *h2)
{
	size_t done = 0;

	while (!h2->blocked && !h2->conn->is_ending) {
		h2_fill(h2);
		if (h2->unsent == 0)
			break;
		done += h2->unsent;
		out_write(h2);
		if (h2->drained)
			break;
		if (done >= FLUSH_BUDGET) { /* others want their turn */
			ap_task_schedule_next(h2->conn->loop, &h2->again);
			break;
		}
	}
	while (!ap_list_is_empty(&h2->drawers)) {
		struct h2_stream *s = AP_LIST_ITEM(h2->drawers.next, struct h2_stream, draw);

		ap_list_remove(&s->draw);
		s->source = NULL;
	}
}

bool
h2_stream_is_stalled(const struct h2_stream *s)
{
	const struct h2 *h2 = s->h2;

	if (h2 == NULL || s->out_dead || s->failed || s->discard)
		return false;
	if (h2->blocked || (s->x.is_server && !s->x.response_started))
		return true;
	return nghttp2_session_get_remote_window_size(h2->session) <= 0 ||
	       nghttp2_session_get_stream_remote_window_size(h2->session, s->id) == 0;
}

/* ---- DATA ---- */

static size_t
take_given(struct h2_stream *s, char *to, size_t max)
{
	size_t done = 0;

	while (done < max && s->give_left > 0) {
		size_t n = AP_MIN(max - done, s->give->iov_len - s->give_at);

		memcpy(to + done, (const char *)s->give->iov_base + s->give_at, n);
		done += n;
		s->give_left -= n;
		s->give_at += n;
		if (s->give_at == s->give->iov_len) {
			s->give++;
			s->give_at = 0;
		}
	}
	return done;
}

static size_t
take_source(struct h2_stream *s, char *to, size_t max)
{
	struct ap_stream *source = s->source;
	ssize_t n;

	if (source->is_closed) {
		s->source = NULL;
		return 0;
	}
	max = AP_MIN(max, s->source_max);
	n = source->ops->read(source, to, max);
	if (n <= 0) {
		s->source = NULL;
		if (n != AP_STREAM_AGAIN)
			s->source_end = n;
		return 0;
	}
	s->source_max -= (size_t)n;
	/* A short read has most likely emptied it; if not, it is readable still, and the next turn comes. */
	if ((size_t)n < max || s->source_max == 0)
		s->source = NULL;
	return (size_t)n;
}

/* Take from the caller's vectors what the windows and the transport allow; a full block is passed on at once. */
size_t
h2_give(struct h2_stream *s, const struct iovec *iov, int count, size_t total)
{
	struct h2 *h2 = s->h2;

	(void)count;
	s->give = iov;
	s->give_at = 0;
	s->give_left = total;
	(void)nghttp2_session_resume_data(h2->session, s->id);
	for (;;) {
		h2_fill(h2);
		if (s->give_left == 0 || h2->drained || h2->conn->is_ending)
			break;
		out_write(h2);
		if (h2->blocked || h2->conn->is_ending)
			break;
	}
	total -= s->give_left;
	s->give = NULL;
	s->give_left = 0;
	return total;
}

/* The owner's bytes for the next frame, into `to`. */
static size_t
take_payload(struct h2_stream *s, char *to, size_t max)
{
	size_t n = 0;

	if (s->left >= 0)
		max = AP_MIN(max, (size_t)s->left);
	if (s->pending.len > 0) {
		n = AP_MIN(max, s->pending.len);
		memcpy(to, s->pending.ptr, n);
		s->pending = ap_slice_from(s->pending, n);
	} else if (s->give_left > 0) {
		n = take_given(s, to, max);
	} else if (s->source != NULL && max > 0) {
		n = take_source(s, to, max);
	}
	if (s->left >= 0) {
		s->left -= (int64_t)n;
		/* The announced length is complete: this frame can end the stream, which spares an empty one. */
		if (s->left == 0 && s->x.trailers_out == NULL)
			s->shut = true;
	}
	return n;
}

static size_t
make_nv(const struct ap_fields *fields, nghttp2_nv *nv, size_t n)
{
	for (uint32_t i = 0; i < fields->count; i++) {
		const struct ap_field *f = &fields->items[i];

		if (ap_http_is_hop_field(f->name) ||
		    (ap_slice_eq(f->name, AP_S("te")) && !ap_slice_eq(f->value, AP_S("trailers"))))
			continue;
		if (!ap_http_field_is_sound(f->name, f->value)) {
			ap_http_trouble(AP_HTTP_FIELD_DROPPED);
			continue;
		}
		nv[n].name = (uint8_t *)(uintptr_t)f->name.ptr;
		nv[n].namelen = f->name.len;
		nv[n].value = (uint8_t *)(uintptr_t)f->value.ptr;
		nv[n].valuelen = f->value.len;
		nv[n].flags = NGHTTP2_NV_FLAG_NONE;
		n++;
	}
	return n;
}

static void
submit_trailers(struct h2_stream *s)
{
	const struct ap_fields *fields = s->x.trailers_out;
	nghttp2_nv on_stack[NV_ON_STACK];
	nghttp2_nv *nv = on_stack;
	size_t n;

	if (fields->count > NV_ON_STACK)
		nv = ap_arena_alloc(s->x.arena, fields->count * sizeof(*nv));
	if (nv == NULL) {
		h2_rst(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	n = make_nv(fields, nv, 0);
	(void)nghttp2_submit_trailer(s->h2->session, s->id, nv, n);
}

static ssize_t
on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags, nghttp2_data_source *source,
    void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *s = source->ptr;
	struct ap_block *b;
	size_t n;

	(void)session;
	(void)id;
	(void)buf;
	AP_IS(s, H2_STREAM_MAGIC);
	b = out_room(h2, H2_FRAME_HEAD + length);
	h2->place = b->bytes + b->end;
	n = take_payload(s, h2->place + H2_FRAME_HEAD, length);
	s->bulk = n >= H2_DATA_MAX;
	if (s->shut && s->pending.len == 0 && s->give_left == 0) {
		if (s->left > 0) /* less than was announced: the peer must not take it for whole */
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		s->out_ended = true;
		if (s->x.trailers_out != NULL && s->x.trailers_out->count > 0) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(s);
		}
	} else if (n == 0) {
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)n;
}

static int
on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
    nghttp2_data_source *source, void *arg)
{
	struct h2 *h2 = arg;

	(void)session;
	(void)source;
	AP_CHECK(frame->data.padlen == 0 && h2->place == h2->out_tail->bytes + h2->out_tail->end);
	memcpy(h2->place, framehd, H2_FRAME_HEAD);
	h2->out_tail->end += (uint32_t)(H2_FRAME_HEAD + length);
	h2->unsent += H2_FRAME_HEAD + length;
	if (h2->unsent < H2_OUT_LIMIT)
		return 0;
	h2->paused = true;
	return NGHTTP2_ERR_PAUSE;
}

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *s;

	/* Behind the notice that we drain: the ping's answer tells that the peer has seen it, and so that what it sent before
	 * has come. */
	if (frame->hd.type == NGHTTP2_GOAWAY && h2->draining && !h2->goaway_sent && h2->conn->is_server)
		(void)nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, h2_drain_ping);
	if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (s == NULL)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		s->head_sent = true;
	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s->out_ended = true;
	if (s->x.is_server)
		s->x.response_complete = true;
	else
		s->x.request_complete = true;
	/* Its owner is gone and the peer has not finished: the rest is of no interest. */
	if (s->closed && !s->in_eof)
		h2_rst(s, s->x.is_server && !s->is_tunnel ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
	return 0;
}

/* How long the next DATA frame may be: long where the last one was full, since each costs a read of the source. */
static ssize_t
on_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t connection_window, int32_t stream_window,
    uint32_t max_frame, void *arg)
{
	const struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)type;
	(void)connection_window;
	(void)stream_window;
	(void)arg;
	return s != NULL && s->bulk ? (ssize_t)AP_MIN(H2_DATA_BULK, (size_t)max_frame) : (ssize_t)H2_DATA_MAX;
}

/* A frame of ours that nghttp2 could not send; a head too large for it leaves the peer waiting for ever. */
static int
on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int code, void *arg)
{
	(void)arg;
	if (frame->hd.type == NGHTTP2_HEADERS && code != NGHTTP2_ERR_STREAM_CLOSED &&
	    code != NGHTTP2_ERR_STREAM_CLOSING && code != NGHTTP2_ERR_START_STREAM_NOT_ALLOWED)
		(void)nghttp2_submit_rst_stream(
		    session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

void
h2_set_send_callbacks(nghttp2_session_callbacks *cbs)
{
	nghttp2_session_callbacks_set_send_data_callback(cbs, on_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cbs, on_length);
	nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cbs, on_frame_not_send);
}

void
h2_rst(struct h2_stream *s, uint32_t code)
{
	if (s->h2 == NULL || !s->live)
		return;
	(void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, code);
	s->out_dead = true;
	h2_schedule(s->h2);
}

/* ---- heads ---- */

static nghttp2_nv
nv_of(const char *name, struct ap_slice value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)(value.ptr == NULL ? "" : value.ptr),
		.valuelen = value.len,
		.flags = NGHTTP2_NV_FLAG_NONE,
	};
}

static struct ap_slice
number_text(uint64_t n, char *out, size_t size)
{
	size_t at = size;

	do {
		out[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return ap_slice(out + at, size - at);
}

static nghttp2_nv *
nv_room(struct h2_stream *s, nghttp2_nv *on_stack, const struct ap_fields *fields)
{
	if (fields->count + 8 <= NV_ON_STACK)
		return on_stack;
	return ap_arena_alloc(s->x.arena, (fields->count + 8) * sizeof(*on_stack));
}

static bool
answers_without_body(const struct ap_exchange *x, int status)
{
	return !ap_http_status_has_body(status) || ap_slice_eq(x->request.method, AP_S("HEAD"));
}

void
h2_respond(struct ap_exchange *x, const struct ap_http_head *head, bool end)
{
	struct h2_stream *s = h2_stream_of(x);
	nghttp2_data_provider provider = { .source.ptr = s, .read_callback = on_read };
	nghttp2_nv on_stack[NV_ON_STACK];
	nghttp2_nv *nv = nv_room(s, on_stack, &head->fields);
	char status[3], length[20];
	size_t n = 0;

	if (!s->live || s->h2 == NULL)
		return;
	if (nv == NULL) {
		h2_rst(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	if (answers_without_body(x, head->status)) {
		s->discard = true;
		end = true;
	}
	if (s->is_tunnel && head->status >= 300)
		s->is_tunnel = false;
	nv[n++] = nv_of(":status", number_text((uint64_t)head->status, status, sizeof(status)));
	if (head->content_length >= 0 && head->status >= 200 && head->status != 204 && !s->is_tunnel) {
		nv[n++] = nv_of("content-length", number_text((uint64_t)head->content_length, length, sizeof(length)));
		if (!end)
			s->left = head->content_length;
	}
	n = make_nv(&head->fields, nv, n);
	if (end)
		s->shut = s->out_ended = true;
	if (nghttp2_submit_response(s->h2->session, s->id, nv, n, end ? NULL : &provider) != 0)
		h2_rst(s, NGHTTP2_INTERNAL_ERROR);
	h2_schedule(s->h2);
}

void
h2_reply(struct ap_exchange *x, const struct ap_http_head *head, struct ap_slice body)
{
	struct h2_stream *s = h2_stream_of(x);

	if (body.len > 0 && !answers_without_body(x, head->status)) {
		s->pending = ap_arena_copy(x->arena, body);
		if (s->pending.ptr == NULL) {
			h2_rst(s, NGHTTP2_INTERNAL_ERROR);
			return;
		}
	}
	h2_respond(x, head, s->pending.len == 0);
	s->shut = true;
}

void
h2_proceed(struct ap_exchange *x)
{
	struct h2_stream *s = h2_stream_of(x);
	nghttp2_nv nv = nv_of(":status", AP_S("100"));

	if (!s->expects || !s->live || s->h2 == NULL)
		return;
	s->expects = false;
	(void)nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, &nv, 1, NULL);
	h2_schedule(s->h2);
}

static size_t
request_nv(struct h2_stream *s, const struct ap_http_head *head, nghttp2_nv *nv, char *length, size_t length_size)
{
	bool is_connect = ap_slice_eq(head->method, AP_S("CONNECT"));
	size_t n = 0;

	nv[n++] = nv_of(":method", head->method);
	if (!is_connect || head->protocol.len > 0) {
		nv[n++] = nv_of(":scheme", head->scheme.len > 0 ? head->scheme : AP_S("http"));
		nv[n++] = nv_of(":path", head->path.len > 0 ? head->path : AP_S("/"));
	}
	if (head->authority.len > 0)
		nv[n++] = nv_of(":authority", head->authority);
	if (head->protocol.len > 0)
		nv[n++] = nv_of(":protocol", head->protocol);
	if (head->content_length >= 0 && !is_connect)
		nv[n++] = nv_of("content-length", number_text((uint64_t)head->content_length, length, length_size));
	s->is_tunnel = is_connect;
	return make_nv(&head->fields, nv, n);
}

struct ap_exchange *
h2_request(struct ap_http_conn *conn, const struct ap_http_head *head, bool end, ap_response_fn fn, void *arg)
{
	struct h2 *h2 = conn->impl;
	struct h2_stream *s = h2_stream_new(h2);
	nghttp2_data_provider provider = { .source.ptr = s, .read_callback = on_read };
	nghttp2_nv on_stack[NV_ON_STACK];
	nghttp2_nv *nv = nv_room(s, on_stack, &head->fields);
	char length[20];
	int32_t id;
	size_t n;

	s->known = true;
	s->response_fn = fn;
	s->response_arg = arg;
	n = nv == NULL ? 0 : request_nv(s, head, nv, length, sizeof(length));
	end = end && !s->is_tunnel;
	if (nv == NULL || !ap_http_head_copy(&s->x.request, head) ||
	    (id = nghttp2_submit_request(h2->session, NULL, nv, n, end ? NULL : &provider, s)) < 0) {
		s->closed = true;
		h2_stream_ended(s);
		return NULL;
	}
	s->id = id;
	s->live = true;
	h2->live++;
	s->x.request.end = end;
	if (end)
		s->shut = s->out_ended = true;
	else if (head->content_length >= 0 && !s->is_tunnel)
		s->left = head->content_length;
	h2_schedule(h2);
	return &s->x;
}
