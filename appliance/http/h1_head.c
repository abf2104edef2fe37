/*
 * h1_head.c -- heads that arrive: from the codec's slices to an exchange.
 *
 * Fields that belong to the connection end here: the well-known ones, and those that Connection names.
 */
#include <string.h>

#include "base/mem.h"
#include "http/h1_priv.h"
#include "net/tls.h"

#define FIELDS_ON_STACK 64
#define INTERIM_MAX 16

/* The bytes of a whole head at the front of the input: their count, 0 for not yet, or enum ap_h1_error. */
static int64_t
whole_head(struct h1 *h1)
{
	struct ap_slice in = h1_input(h1);
	int64_t size;

	if (in.len == 0)
		return 0;
	if (h1->head_since_ms == 0) {
		h1->head_since_ms = ap_loop_now_ms(h1->conn->loop);
		ap_http_conn_wake_at(h1->conn, h1->head_since_ms + h1->conn->settings.head_timeout_ms);
	}
	size = ap_h1_find_head(in, h1->conn->settings.max_head_bytes, &h1->scanned);
	return size == AP_H1_MORE ? 0 : size;
}

static void
head_is_taken(struct h1 *h1, size_t size)
{
	h1_input_took(h1, size);
	h1->scanned = 0;
	h1->head_since_ms = 0;
}

static bool
copy_fields(const struct ap_h1_head *from, struct ap_fields *to)
{
	bool listed = from->connection.len > 0 || from->many_connections;

	for (uint32_t i = 0; i < from->count; i++) {
		const struct ap_h1_field *f = &from->fields[i];
		struct ap_field *added;

		if (!ap_fields_add(to, f->name, f->value))
			return false;
		added = &to->items[to->count - 1];
		if (ap_http_is_hop_field(added->name) || ap_slice_eq(added->name, AP_S("te")) ||
		    (added->name.len == 6 && memcmp(added->name.ptr, "expect", 6) == 0) ||
		    (listed && ap_h1_is_listed(from, added->name))) {
			to->bytes -= added->name.len + added->value.len + 32;
			to->count--;
		}
	}
	return true;
}

static bool
copy_text(struct ap_arena *arena, struct ap_slice from, struct ap_slice *to)
{
	*to = AP_SLICE_NONE;
	if (from.len > 0)
		*to = ap_arena_copy(arena, from);
	return from.len == 0 || to->ptr != NULL;
}

static void
set_body(struct h1_stream *s, const struct ap_h1_head *head)
{
	s->in_body = (uint8_t)head->body;
	s->in_left = head->length;
	s->in_done = head->body == AP_H1_NO_BODY;
}

static bool
fill_request(struct h1_stream *s, const struct ap_h1_head *head)
{
	struct ap_http_head *to = &s->x.request;
	struct ap_arena *arena = s->x.arena;
	const struct ap_http_conn *conn = s->x.conn;

	to->scheme = ap_stream_is_tls(conn->transport) ? AP_S("https") : AP_S("http");
	if (!copy_text(arena, head->method, &to->method) || !copy_text(arena, head->path, &to->path) ||
	    !copy_text(arena, head->authority, &to->authority) || !copy_fields(head, &to->fields))
		return false;
	if (head->upgrade && conn->settings.allow_upgrade && !copy_text(arena, head->protocol, &to->protocol))
		return false;
	to->content_length = head->has_length ? (int64_t)head->length : -1;
	to->end = head->body == AP_H1_NO_BODY;
	s->x.version = head->minor == 0 ? AP_HTTP_1_0 : AP_HTTP_1_1;
	s->minor = head->minor;
	s->expects = head->expect_continue && head->minor == 1 && head->body != AP_H1_NO_BODY;
	set_body(s, head);
	if (ap_slice_eq(to->method, AP_S("CONNECT"))) {
		to->end = false;
		s->tunnel = true;
		s->in_body = AP_H1_TUNNEL;
		s->in_done = false;
	}
	s->x.request_complete = s->in_done;
	return true;
}

/* 0 or enum ap_h1_error; one exchange more on success. */
static int
begin_request(struct h1 *h1, struct ap_slice bytes)
{
	const struct ap_http_settings *set = &h1->conn->settings;
	const struct ap_h1_limits limits = { .head = set->max_head_bytes, .target = set->max_path_bytes };
	struct ap_h1_field on_stack[FIELDS_ON_STACK];
	struct ap_h1_head head = { .fields = on_stack, .room = AP_MIN(set->max_fields, (uint32_t)FIELDS_ON_STACK) };
	struct ap_h1_field *many = NULL;
	struct h1_stream *s;
	int rv = ap_h1_parse_request(bytes, &limits, &head);

	if (rv == AP_H1_LARGE && set->max_fields > FIELDS_ON_STACK) {
		many = ap_alloc_array(set->max_fields, sizeof(*many));
		head.fields = many;
		head.room = set->max_fields;
		rv = ap_h1_parse_request(bytes, &limits, &head);
	}
	if (rv == 0) {
		s = h1_stream_new(h1);
		h1->keep_alive = head.keep_alive && !h1->draining;
		if (!fill_request(s, &head)) {
			rv = AP_H1_LARGE;
		} else if (head.bad_expect) {
			h1_refuse(h1, 417);
		} else if (s->tunnel && !set->allow_connect) {
			h1_refuse(h1, 405);
		}
	}
	ap_free(&many);
	return rv;
}

int
h1_take_request(struct h1 *h1)
{
	int64_t size = whole_head(h1);
	int rv;

	if (size <= 0)
		return (int)size;
	if (size == 2) { /* RFC 9112 2.2: an empty line before the request line; once is enough */
		if (h1->skipped_empty)
			return AP_H1_BAD;
		h1->skipped_empty = true;
		head_is_taken(h1, 2);
		return h1_take_request(h1);
	}
	h1->skipped_empty = false;
	rv = begin_request(h1, ap_slice(h1_input(h1).ptr, (size_t)size));
	if (rv != 0)
		return rv;
	head_is_taken(h1, (size_t)size);
	return 1;
}

static bool
fill_response(struct h1_stream *s, const struct ap_h1_head *head)
{
	struct ap_http_head *to = &s->x.response;

	if (!copy_fields(head, &to->fields))
		return false;
	to->status = head->status;
	to->content_length = head->has_length ? (int64_t)head->length : -1;
	to->end = head->body == AP_H1_NO_BODY;
	if (head->status == 101 && !copy_text(s->x.arena, head->protocol, &to->protocol))
		return false;
	s->x.version = head->minor == 0 ? AP_HTTP_1_0 : AP_HTTP_1_1;
	set_body(s, head);
	s->x.response_complete = s->in_done;
	s->tunnel = head->body == AP_H1_TUNNEL;
	if (s->tunnel)
		s->out_body = AP_H1_TUNNEL;
	return true;
}

/* A final head becomes the exchange's response: 1. An interim one is skipped: 0. Or enum ap_h1_error. */
static int
begin_response(struct h1 *h1, struct ap_slice bytes)
{
	const struct ap_http_settings *set = &h1->conn->settings;
	const struct ap_h1_limits limits = { .head = set->max_head_bytes, .target = 0 };
	struct ap_h1_field on_stack[FIELDS_ON_STACK];
	struct ap_h1_head head = { .fields = on_stack, .room = AP_MIN(set->max_fields, (uint32_t)FIELDS_ON_STACK) };
	struct ap_h1_field *many = NULL;
	struct h1_stream *s = h1->x;
	int rv = ap_h1_parse_response(bytes, &limits, s->x.request.method, &head);

	if (rv == AP_H1_LARGE && set->max_fields > FIELDS_ON_STACK) {
		many = ap_alloc_array(set->max_fields, sizeof(*many));
		head.fields = many;
		head.room = set->max_fields;
		rv = ap_h1_parse_response(bytes, &limits, s->x.request.method, &head);
	}
	if (rv == 0 && head.status == 101 && s->x.request.protocol.len == 0)
		rv = AP_H1_BAD; /* nobody asked for another protocol */
	if (rv == 0 && (head.status == 101 || head.status >= 200)) {
		h1->keep_alive = h1->keep_alive && head.keep_alive && head.body != AP_H1_TUNNEL;
		rv = fill_response(s, &head) ? 1 : AP_H1_LARGE;
	}
	ap_free(&many);
	return rv;
}

int
h1_take_response(struct h1 *h1)
{
	for (;;) {
		int64_t size = whole_head(h1);
		int rv;

		if (size <= 0)
			return (int)size;
		rv = begin_response(h1, ap_slice(h1_input(h1).ptr, (size_t)size));
		if (rv < 0)
			return rv;
		head_is_taken(h1, (size_t)size);
		if (rv == 1)
			return 1;
		if (++h1->interim > INTERIM_MAX)
			return AP_H1_BAD;
	}
}
