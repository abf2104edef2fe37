/*
 * h1_out.c -- messages on their way out.
 *
 * Heads and small pieces gather in the out block, which is passed on at the end of the turn; a large piece goes to the
 * transport together with what waits there, without a copy.  A chunk that was announced is always taken whole: what
 * the transport did not take of it is kept.
 */
#include <string.h>

#include "http/h1_priv.h"
#include "net/tls.h"

#define SMALL_PIECE ((size_t)4096)       /* copied rather than sent by itself */
#define OUT_LIMIT ((size_t)64 * 1024)    /* unsent bytes at which writing stops */
#define CHUNK_MAX ((size_t)256 * 1024)    /* of write(); what the transport does not take of it is kept */
#define DRAWN_MAX ((size_t)64 * 1024 - 1) /* four hex digits, for which room is left */
#define IOV_MAX_OURS 16

static struct ap_block *
out_room(struct h1 *h1, size_t size)
{
	struct ap_block *b = h1->out_tail;

	if (b != NULL && b->room - b->end >= size)
		return b;
	b = ap_block_new(AP_MAX(size, AP_BLOCK_LARGE));
	if (h1->out_tail == NULL)
		h1->out_head = b;
	else
		h1->out_tail->next = b;
	h1->out_tail = b;
	return b;
}

void
h1_out_add(struct h1 *h1, const void *bytes, size_t size)
{
	struct ap_block *b;

	if (size == 0)
		return;
	b = out_room(h1, size);
	memcpy(b->bytes + b->end, bytes, size);
	b->end += (uint32_t)size;
	h1->unsent += size;
	h1_schedule(h1);
}

static void
out_sent(struct h1 *h1, size_t n)
{
	h1->unsent -= n;
	while (h1->out_head != NULL) {
		struct ap_block *b = h1->out_head;
		size_t part = AP_MIN(n, (size_t)(b->end - b->start));

		b->start += (uint32_t)part;
		n -= part;
		if (b->start < b->end)
			break;
		h1->out_head = b->next;
		if (h1->out_head == NULL)
			h1->out_tail = NULL;
		ap_block_free(b);
	}
}

void
h1_out_clear(struct h1 *h1)
{
	out_sent(h1, h1->unsent);
}

/* Send what waits and then `iov`. How much of `iov` went; negative when the transport is broken. */
static ssize_t
out_writev(struct h1 *h1, const struct iovec *iov, int count)
{
	struct ap_http_conn *conn = h1->conn;
	struct iovec all[IOV_MAX_OURS];
	size_t total = h1->unsent;
	int n = 0;
	ssize_t sent;

	for (struct ap_block *b = h1->out_head; b != NULL && n < IOV_MAX_OURS; b = b->next)
		all[n++] = (struct iovec){ .iov_base = b->bytes + b->start, .iov_len = b->end - b->start };
	for (int i = 0; i < count && n < IOV_MAX_OURS; i++) {
		all[n++] = iov[i];
		total += iov[i].iov_len;
	}
	sent = ap_stream_writev(conn->transport, all, n);
	if (sent == AP_STREAM_ERROR) {
		ap_http_conn_end(conn, conn->transport->error, conn->transport->detail);
		return AP_STREAM_ERROR;
	}
	sent = AP_MAX(sent, 0);
	if ((size_t)sent < total)
		h1->blocked = true;
	total = AP_MIN((size_t)sent, h1->unsent);
	out_sent(h1, total);
	return sent - (ssize_t)total;
}

void
h1_flush(struct h1 *h1)
{
	while (h1->unsent > 0 && !h1->blocked && !h1->conn->is_ending)
		if (out_writev(h1, NULL, 0) < 0)
			return;
	if (h1->unsent > 0 || h1->conn->is_ending)
		return;
	if (h1->shut_when_sent) {
		h1->shut_when_sent = false;
		ap_stream_shutdown(h1->conn->transport);
	}
}

bool
h1_is_stalled(const struct h1_stream *s)
{
	const struct h1 *h1 = s->h1;

	if (h1 == NULL || s->failed || s->discard)
		return false;
	return h1->blocked || h1->unsent >= OUT_LIMIT || (s->x.is_server && !s->x.response_started);
}

/* ---- heads ---- */

struct head_writer {
	struct h1 *h1;
	char *at, *start;
	size_t left;
	bool full;
};

static void
put(struct head_writer *w, struct ap_slice s)
{
	if (s.len > w->left) {
		w->full = true;
		return;
	}
	if (s.len > 0)
		memcpy(w->at, s.ptr, s.len);
	w->at += s.len;
	w->left -= s.len;
}

static void
put_number(struct head_writer *w, uint64_t n)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	put(w, ap_slice(text + at, sizeof(text) - at));
}

static void
put_field(struct head_writer *w, struct ap_slice name, struct ap_slice value)
{
	put(w, name);
	put(w, AP_S(": "));
	put(w, value);
	put(w, AP_S("\r\n"));
}

/* HTTP/1 wants one Cookie field where HTTP/2 may have several. */
static void
put_cookie(struct head_writer *w, const struct ap_fields *fields, uint32_t first)
{
	put(w, AP_S("cookie: "));
	put(w, fields->items[first].value);
	for (uint32_t i = first + 1; i < fields->count; i++) {
		if (!ap_slice_eq(fields->items[i].name, AP_S("cookie")))
			continue;
		put(w, AP_S("; "));
		put(w, fields->items[i].value);
	}
	put(w, AP_S("\r\n"));
}

static void
put_fields(struct head_writer *w, const struct ap_fields *fields)
{
	bool cookie = false;

	for (uint32_t i = 0; i < fields->count; i++) {
		const struct ap_field *f = &fields->items[i];

		if (ap_http_is_hop_field(f->name) || ap_slice_eq(f->name, AP_S("te")))
			continue;
		if (!ap_http_field_is_sound(f->name, f->value)) {
			ap_http_trouble(AP_HTTP_FIELD_DROPPED);
			continue;
		}
		if (f->name.len == 6 && memcmp(f->name.ptr, "cookie", 6) == 0) {
			if (!cookie)
				put_cookie(w, fields, i);
			cookie = true;
			continue;
		}
		put_field(w, f->name, f->value);
	}
}

/* Room in the out block for a head with these fields; what does not fit shows in w->full. */
static void
head_open(struct head_writer *w, struct h1 *h1, const struct ap_http_head *head)
{
	size_t size = head->fields.bytes + head->path.len + head->authority.len + head->method.len +
	    head->protocol.len + 512;
	struct ap_block *b = out_room(h1, size);

	w->h1 = h1;
	w->at = w->start = b->bytes + b->end;
	w->left = size;
	w->full = false;
}

static bool
head_close(struct head_writer *w)
{
	put(w, AP_S("\r\n"));
	if (w->full)
		return false;
	w->h1->out_tail->end += (uint32_t)(w->at - w->start);
	w->h1->unsent += (size_t)(w->at - w->start);
	h1_schedule(w->h1);
	return true;
}

static void
cannot_say(struct h1 *h1)
{
	ap_http_conn_end(h1->conn, AP_STREAM_INTERNAL, 0);
}

/* ---- responses ---- */

/* How the end of our answer will be found; false: the connection must end for it. */
static void
choose_response_body(struct h1_stream *s, const struct ap_http_head *head, bool end)
{
	struct h1 *h1 = s->h1;

	if (head->status == 101 || (s->tunnel && head->status / 100 == 2)) {
		s->tunnel = true;
		s->in_body = s->out_body = AP_H1_TUNNEL;
		s->in_done = s->x.request_complete = false;
		h1->keep_alive = false;
		return;
	}
	if (s->tunnel) { /* CONNECT refused: what the client sent behind it is nobody's */
		s->tunnel = false;
		s->in_body = AP_H1_NO_BODY;
		s->in_done = true;
		h1->keep_alive = false;
	}
	if (!ap_http_status_has_body(head->status) || ap_slice_eq(s->x.request.method, AP_S("HEAD"))) {
		s->out_body = AP_H1_NO_BODY;
		s->discard = true;
	} else if (end) {
		s->out_body = AP_H1_NO_BODY;
	} else if (head->content_length >= 0) {
		s->out_body = AP_H1_LENGTH;
		s->out_left = (uint64_t)head->content_length;
	} else if (s->minor > 0) {
		s->out_body = AP_H1_CHUNKED;
	} else {
		s->out_body = AP_H1_TO_CLOSE;
		h1->keep_alive = false;
	}
	/* The client was never told to send its body: whether it will is anybody's guess. */
	if (s->expects && !s->in_done)
		h1->keep_alive = false;
}

static void
put_response_framing(struct head_writer *w, const struct h1_stream *s, const struct ap_http_head *head, bool end)
{
	bool no_length = head->status < 200 || head->status == 204 || s->out_body == AP_H1_TUNNEL;

	if (s->out_body == AP_H1_CHUNKED) {
		put(w, AP_S("transfer-encoding: chunked\r\n"));
	} else if (!no_length && (head->content_length >= 0 || (end && !s->discard))) {
		put(w, AP_S("content-length: "));
		put_number(w, head->content_length >= 0 ? (uint64_t)head->content_length : 0);
		put(w, AP_S("\r\n"));
	}
	if (head->status == 101) {
		put(w, AP_S("connection: upgrade\r\n"));
		put_field(w, AP_S("upgrade"), head->protocol.len > 0 ? head->protocol : s->x.request.protocol);
	} else if (s->out_body == AP_H1_TUNNEL) {
		return;
	} else if (!s->h1->keep_alive) {
		put(w, AP_S("connection: close\r\n"));
	} else if (s->minor == 0) {
		put(w, AP_S("connection: keep-alive\r\n"));
	}
}

static void
message_is_out(struct h1_stream *s)
{
	if (s->x.is_server)
		s->x.response_complete = true;
	else
		s->x.request_complete = true;
}

void
h1_respond(struct ap_exchange *x, const struct ap_http_head *head, bool end)
{
	struct h1_stream *s = h1_stream_of(x);
	struct h1 *h1 = s->h1;
	struct head_writer w;

	if (h1 == NULL || s->failed)
		return;
	choose_response_body(s, head, end);
	head_open(&w, h1, head);
	put(&w, AP_S("HTTP/1.1 "));
	put_number(&w, (uint64_t)head->status);
	put(&w, AP_S(" "));
	put(&w, ap_slice_of(ap_http_reason(head->status)));
	put(&w, AP_S("\r\n"));
	put_fields(&w, &head->fields);
	put_response_framing(&w, s, head, end);
	if (!head_close(&w)) {
		cannot_say(h1);
		return;
	}
	if (s->out_body == AP_H1_NO_BODY || (s->out_body == AP_H1_LENGTH && s->out_left == 0)) {
		s->shut = true;
		message_is_out(s);
	}
	if (s->tunnel && s->in_body == AP_H1_TUNNEL)
		h1_again(h1); /* the client may have sent early */
}

void
h1_reply(struct ap_exchange *x, const struct ap_http_head *head, struct ap_slice body)
{
	struct h1_stream *s = h1_stream_of(x);

	h1_respond(x, head, body.len == 0);
	if (s->h1 == NULL || s->h1->conn->is_ending || s->shut)
		return;
	if (s->out_body == AP_H1_LENGTH && s->out_left == body.len) {
		h1_out_add(s->h1, body.ptr, body.len);
		s->out_left = 0;
	}
	s->shut = true;
	message_is_out(s);
}

void
h1_proceed(struct ap_exchange *x)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct h1_stream *s = h1_stream_of(x);

	if (!s->expects || s->h1 == NULL || s->failed)
		return;
	s->expects = false;
	if (h1_input(s->h1).len == 0) /* else the body is here already */
		h1_out_add(s->h1, text, sizeof(text) - 1);
}

/* Our own answer to what cannot be an exchange; then the connection ends. */
void
h1_refuse(struct h1 *h1, int status)
{
	struct h1_stream *s = h1->x;
	char text[256];
	struct ap_buf b;

	ap_http_trouble(status == 431 || status == 414 ? AP_HTTP_HEAD_TOO_LARGE : AP_HTTP_BAD_REQUEST);
	h1->keep_alive = false;
	ap_buf_init(&b, sizeof(text));
	ap_buf_printf(&b, "HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", status,
	    ap_http_reason(status));
	h1_out_add(h1, b.ptr, b.len);
	ap_buf_done(&b);
	if (s != NULL) {
		s->closed = true;
		s->shut = s->in_done = true;
	}
	h1->state = H1_BUSY;
	h1_exchange_over(h1);
}

/* ---- requests ---- */

static void
put_request_line(struct head_writer *w, const struct ap_http_head *head)
{
	put(w, head->method);
	put(w, AP_S(" "));
	if (ap_slice_eq(head->method, AP_S("CONNECT")))
		put(w, head->authority);
	else
		put(w, head->path.len > 0 ? head->path : AP_S("/"));
	put(w, AP_S(" HTTP/1.1\r\n"));
	put_field(w, AP_S("host"), head->authority);
}

static void
choose_request_body(struct h1_stream *s, const struct ap_http_head *head, bool end)
{
	if (ap_slice_eq(head->method, AP_S("CONNECT")) || head->protocol.len > 0) {
		/* Nothing is sent before the peer agreed; then the response makes it a tunnel. */
		s->tunnel = true;
		s->out_body = AP_H1_TUNNEL;
	} else if (end) {
		s->out_body = AP_H1_NO_BODY;
	} else if (head->content_length >= 0) {
		s->out_body = AP_H1_LENGTH;
		s->out_left = (uint64_t)head->content_length;
	} else {
		s->out_body = AP_H1_CHUNKED;
	}
}

static bool
request_is_sound(const struct ap_http_head *head)
{
	return head->method.len > 0 && ap_http_field_is_sound(head->method, AP_SLICE_NONE) &&
	    ap_http_authority_is_sound(head->authority) && (head->path.len == 0 || ap_http_path_is_sound(head->path)) &&
	    ap_http_field_is_sound(AP_S("upgrade"), head->protocol);
}

/* A method that usually has a body says so when it has none. */
static bool
says_zero(const struct ap_http_head *head)
{
	return ap_slice_eq(head->method, AP_S("POST")) || ap_slice_eq(head->method, AP_S("PUT")) ||
	    ap_slice_eq(head->method, AP_S("PATCH"));
}

static bool
write_request(struct h1_stream *s, const struct ap_http_head *head)
{
	struct head_writer w;

	head_open(&w, s->h1, head);
	put_request_line(&w, head);
	put_fields(&w, &head->fields);
	if (s->out_body == AP_H1_CHUNKED) {
		put(&w, AP_S("transfer-encoding: chunked\r\n"));
	} else if (s->out_body == AP_H1_LENGTH || (s->out_body == AP_H1_NO_BODY && says_zero(head))) {
		put(&w, AP_S("content-length: "));
		put_number(&w, s->out_left);
		put(&w, AP_S("\r\n"));
	}
	if (head->protocol.len > 0 && !ap_slice_eq(head->method, AP_S("CONNECT"))) {
		put(&w, AP_S("connection: upgrade\r\n"));
		put_field(&w, AP_S("upgrade"), head->protocol);
	}
	return head_close(&w);
}

struct ap_exchange *
h1_request(struct ap_http_conn *conn, const struct ap_http_head *head, bool end, ap_response_fn fn, void *arg)
{
	struct h1 *h1 = conn->impl;
	struct h1_stream *s;

	if (!request_is_sound(head))
		return NULL;
	s = h1_stream_new(h1);
	s->response_fn = fn;
	s->response_arg = arg;
	choose_request_body(s, head, end);
	if (!ap_http_head_copy(&s->x.request, head) || !write_request(s, head)) {
		h1_forget(h1); /* nothing was sent */
		return NULL;
	}
	h1->keep_alive = true;
	h1->got_bytes = false;
	h1->interim = 0;
	s->x.request.end = end;
	if (s->out_body == AP_H1_NO_BODY || (s->out_body == AP_H1_LENGTH && s->out_left == 0)) {
		s->shut = true;
		message_is_out(s);
	}
	h1_settle(h1);
	return &s->x;
}

/* ---- bodies ---- */

static bool
may_write(const struct h1_stream *s)
{
	return s->h1 != NULL && !s->failed && !s->shut && !s->h1->conn->is_ending;
}

/* A client's tunnel is none before the peer agreed. */
static bool
waits_for_tunnel(const struct h1_stream *s)
{
	return s->out_body == AP_H1_TUNNEL && !s->x.is_server && !s->answered;
}

static void
took(struct h1_stream *s, size_t n)
{
	if (s->out_body != AP_H1_LENGTH)
		return;
	s->out_left -= n;
	if (s->out_left == 0) {
		s->shut = true;
		message_is_out(s);
	}
}

static void
add_all(struct h1 *h1, const struct iovec *iov, int count, size_t skip, size_t total)
{
	for (int i = 0; i < count && total > 0; i++) {
		size_t n = iov[i].iov_len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		n = AP_MIN(n - skip, total);
		h1_out_add(h1, (const char *)iov[i].iov_base + skip, n);
		total -= n;
		skip = 0;
	}
}

static ssize_t
write_chunk(struct h1 *h1, const struct iovec *iov, int count, size_t total)
{
	char head[18];
	ssize_t sent = 0;
	size_t size = AP_MIN(total, CHUNK_MAX);

	h1_out_add(h1, head, ap_h1_chunk_head(size, head));
	/* The vectors go as they are only when they are the chunk; else the end would have to be cut out of them. */
	if (size == total && size >= SMALL_PIECE && count + 2 <= IOV_MAX_OURS) {
		sent = out_writev(h1, iov, count);
		if (sent < 0)
			return AP_STREAM_ERROR;
	}
	add_all(h1, iov, count, (size_t)sent, size - (size_t)sent);
	h1_out_add(h1, "\r\n", 2);
	return (ssize_t)size;
}

static ssize_t
write_plain(struct h1 *h1, const struct iovec *iov, int count, size_t total)
{
	ssize_t sent;

	if (total < SMALL_PIECE) {
		add_all(h1, iov, count, 0, total);
		return (ssize_t)total;
	}
	sent = out_writev(h1, iov, AP_MIN(count, IOV_MAX_OURS - 4));
	h1_settle(h1);
	return sent == 0 ? AP_STREAM_AGAIN : sent < 0 ? AP_STREAM_ERROR : sent;
}

ssize_t
h1_write(struct ap_stream *st, const struct iovec *iov, int count)
{
	struct h1_stream *s = (struct h1_stream *)(void *)st;
	size_t total = 0;
	ssize_t n;

	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	if (s->discard)
		return (ssize_t)total;
	if (!may_write(s) || (s->out_body == AP_H1_LENGTH && total > s->out_left))
		return AP_STREAM_ERROR;
	if (total == 0)
		return 0;
	if (h1_is_stalled(s) || waits_for_tunnel(s))
		return AP_STREAM_AGAIN;
	if (s->out_body == AP_H1_CHUNKED)
		n = write_chunk(s->h1, iov, count, total);
	else
		n = write_plain(s->h1, iov, count, total);
	if (n > 0)
		took(s, (size_t)n);
	return n;
}

ssize_t
h1_draw(struct ap_stream *st, struct ap_stream *source, size_t max)
{
	struct h1_stream *s = (struct h1_stream *)(void *)st;
	struct h1 *h1 = s->h1;
	size_t head = s->out_body == AP_H1_CHUNKED ? 6 : 0;
	struct ap_block *b;
	char *place, text[18];
	ssize_t n;

	if (s->discard) {
		char sink[4096];

		return source->ops->read(source, sink, AP_MIN(max, sizeof(sink)));
	}
	if (!may_write(s))
		return AP_STREAM_ERROR;
	if (h1_is_stalled(s) || waits_for_tunnel(s))
		return AP_STREAM_FULL;
	b = out_room(h1, head + 2 + AP_MIN(max, (size_t)4096));
	place = b->bytes + b->end;
	max = AP_MIN(max, (size_t)(b->room - b->end) - head - 2);
	max = AP_MIN(max, DRAWN_MAX);
	if (s->out_body == AP_H1_LENGTH)
		max = AP_MIN(max, s->out_left);
	n = source->ops->read(source, place + head, max);
	if (n <= 0) {
		if (h1->unsent == 0)
			h1_out_clear(h1); /* an empty block is not kept */
		return n;
	}
	if (head > 0) {
		size_t len = ap_h1_chunk_head((size_t)n, text);

		/* Leading zeros fill the room: the data lies behind it already. */
		memset(place, '0', head);
		memcpy(place + head - len, text, len);
		memcpy(place + head + n, "\r\n", 2);
		head += 2;
	}
	b->end += (uint32_t)((size_t)n + head);
	h1->unsent += (size_t)n + head;
	took(s, (size_t)n);
	if (h1->unsent >= OUT_LIMIT)
		h1_flush(h1);
	h1_schedule(h1);
	return n;
}

static void
end_chunked(struct h1_stream *s)
{
	const struct ap_fields *t = s->x.trailers_out;
	struct h1 *h1 = s->h1;

	h1_out_add(h1, "0\r\n", 3);
	for (uint32_t i = 0; t != NULL && i < t->count; i++) {
		const struct ap_field *f = &t->items[i];

		if (ap_http_is_hop_field(f->name) || !ap_http_field_is_sound(f->name, f->value))
			continue;
		h1_out_add(h1, f->name.ptr, f->name.len);
		h1_out_add(h1, ": ", 2);
		h1_out_add(h1, f->value.ptr, f->value.len);
		h1_out_add(h1, "\r\n", 2);
	}
	h1_out_add(h1, "\r\n", 2);
}

void
h1_shutdown(struct ap_stream *st)
{
	struct h1_stream *s = (struct h1_stream *)(void *)st;
	struct h1 *h1 = s->h1;

	if (!may_write(s))
		return;
	s->shut = true;
	switch ((enum ap_h1_body)s->out_body) {
	case AP_H1_CHUNKED:
		end_chunked(s);
		break;
	case AP_H1_LENGTH:
		/* Less than was announced: only a cut connection says so. */
		ap_http_conn_end(h1->conn, AP_STREAM_INTERNAL, 0);
		return;
	case AP_H1_TUNNEL:
	case AP_H1_TO_CLOSE:
		h1->shut_when_sent = true;
		break;
	case AP_H1_NO_BODY:
		break;
	}
	message_is_out(s);
	h1_schedule(h1);
}
