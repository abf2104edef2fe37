/*
 * h1_body.c -- bodies that arrive: where they end, and their bytes at the front of the input.
 *
 * Bytes go from the transport either into the input block, for chunks and for whoever looks in place, or straight into
 * the reader's memory when the length is known (h1_stream.c).
 */
#include "base/mem.h"
#include "http/h1_priv.h"

#define TRAILERS_MAX 64

static int
body_is_done(struct h1_stream *s)
{
	s->in_done = true;
	if (s->x.is_server)
		s->x.request_complete = true;
	else
		s->x.response_complete = true;
	return AP_STREAM_EOF;
}

static int
body_is_broken(struct h1_stream *s, enum ap_stream_error why)
{
	ap_http_trouble(s->x.is_server ? AP_HTTP_BAD_REQUEST : AP_HTTP_BAD_RESPONSE);
	s->h1->keep_alive = false;
	h1_stream_fail(s, why, 0);
	return AP_STREAM_ERROR;
}

/* The transport has no more, or is broken. */
static int
input_is_over(struct h1_stream *s, ssize_t how)
{
	const struct ap_stream *t = s->h1->conn->transport;

	s->h1->keep_alive = false;
	if (how == AP_STREAM_EOF && (s->in_body == AP_H1_TO_CLOSE || s->in_body == AP_H1_TUNNEL))
		return body_is_done(s);
	h1_stream_fail(
	    s, how == AP_STREAM_ERROR ? (enum ap_stream_error)t->error : AP_STREAM_RESET, t->detail);
	return AP_STREAM_ERROR;
}

/* Behind the last chunk. */
static int
take_trailers(struct h1_stream *s)
{
	struct h1 *h1 = s->h1;
	struct ap_h1_field fields[TRAILERS_MAX];
	struct ap_h1_head head = { .fields = fields, .room = TRAILERS_MAX };
	struct ap_slice in = h1_input(h1);
	int64_t size = in.len == 0 ? AP_H1_MORE :
				     ap_h1_find_head(in, h1->conn->settings.max_head_bytes, &h1->scanned);

	if (size == AP_H1_MORE)
		return AP_STREAM_AGAIN;
	if (size < 0 || ap_h1_parse_trailers(ap_slice(in.ptr, (size_t)size), &head) != 0)
		return body_is_broken(s, size == AP_H1_LARGE ? AP_STREAM_LIMIT : AP_STREAM_PROTOCOL);
	for (uint32_t i = 0; i < head.count; i++) {
		struct ap_fields *to = &s->x.trailers_in;

		if (!ap_fields_add(to, fields[i].name, fields[i].value))
			return body_is_broken(s, AP_STREAM_LIMIT);
		if (ap_http_is_hop_field(to->items[to->count - 1].name))
			to->count--;
	}
	h1_input_took(h1, (size_t)size);
	h1->scanned = 0;
	return body_is_done(s);
}

/* AGAIN: the input at hand gives nothing. */
static int
look(struct h1_stream *s, struct ap_slice *out)
{
	struct h1 *h1 = s->h1;
	struct ap_slice in = h1_input(h1);
	size_t used;
	int rv;

	switch ((enum ap_h1_body)s->in_body) {
	case AP_H1_LENGTH:
		*out = ap_slice_sub(in, 0, (size_t)AP_MIN((uint64_t)in.len, s->in_left));
		return in.len > 0 ? 1 : AP_STREAM_AGAIN;
	case AP_H1_TO_CLOSE:
	case AP_H1_TUNNEL:
		*out = in;
		return in.len > 0 ? 1 : AP_STREAM_AGAIN;
	case AP_H1_CHUNKED:
		if (s->in_trailers)
			return take_trailers(s);
		rv = ap_h1_chunks_next(&s->chunks, in, &used, out);
		h1_input_took(h1, used);
		if (rv == 0) {
			s->in_trailers = true;
			h1->scanned = 0;
			return take_trailers(s);
		}
		if (rv == AP_H1_BAD)
			return body_is_broken(s, AP_STREAM_PROTOCOL);
		return rv == 1 ? 1 : AP_STREAM_AGAIN;
	case AP_H1_NO_BODY:
		break;
	}
	return body_is_done(s);
}

int
h1_body_front(struct h1_stream *s, struct ap_slice *out)
{
	for (;;) {
		ssize_t n;
		int rv;

		if (s->failed || s->h1 == NULL)
			return s->in_done && !s->failed ? AP_STREAM_EOF : AP_STREAM_ERROR;
		if (s->in_done)
			return AP_STREAM_EOF;
		rv = look(s, out);
		if (rv != AP_STREAM_AGAIN)
			return rv;
		n = h1_fill(s->h1, s->in_trailers ? s->h1->conn->settings.max_head_bytes : AP_BLOCK_LARGE);
		if (n == AP_STREAM_AGAIN)
			return AP_STREAM_AGAIN;
		if (n <= 0)
			return input_is_over(s, n);
	}
}

void
h1_body_took(struct h1_stream *s, size_t n)
{
	h1_input_took(s->h1, n);
	if (s->in_body == AP_H1_CHUNKED) {
		ap_h1_chunks_took(&s->chunks, n);
	} else if (s->in_body == AP_H1_LENGTH) {
		s->in_left -= n;
		if (s->in_left == 0)
			(void)body_is_done(s);
	}
}

/* Reading would give something without the transport's help. */
bool
h1_body_is_ready(const struct h1_stream *s)
{
	if (s->failed)
		return false;
	/* Half a trailer section waits for more bytes; the decoder leaves nothing else unused. */
	return s->in_done ? !s->eof_read : s->h1 != NULL && s->h1->in != NULL && !s->in_trailers;
}
