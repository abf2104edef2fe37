/*
 * http1.c -- the strict reader of HTTP/1.
 *
 * A proxy in front of another parser must refuse what that one might understand otherwise, so there is no leniency
 * here: lines end in CRLF and nothing else, a name is a token right before its colon, a value has no control character,
 * one Content-Length, no Content-Length beside Transfer-Encoding, chunked alone and once, one Host that agrees with
 * the target.  Pure functions; owns nothing; any thread.
 */
#include "codec/http1.h"

#include <string.h>

#define CHUNK_LINE_MAX 256 /* a size line with its extensions */

enum { CLASS_TOKEN = 1, CLASS_TARGET = 2, CLASS_VALUE = 4, CLASS_HOST = 8 };

#define ALNUM(flags_) ['0' ... '9'] = (flags_), ['A' ... 'Z'] = (flags_), ['a' ... 'z'] = (flags_)
#define ALL (CLASS_TOKEN | CLASS_TARGET | CLASS_VALUE | CLASS_HOST)
#define TEXT (CLASS_TARGET | CLASS_VALUE)
static const uint8_t class_of[256] = {
	ALNUM(ALL),
	['!'] = ALL, ['$'] = ALL, ['%'] = ALL, ['&'] = ALL, ['\''] = ALL, ['*'] = ALL, ['+'] = ALL, ['-'] = ALL,
	['.'] = ALL, ['_'] = ALL, ['~'] = ALL,
	['^'] = CLASS_TOKEN | TEXT, ['`'] = CLASS_TOKEN | TEXT, ['|'] = CLASS_TOKEN | TEXT,
	['#'] = CLASS_TOKEN | CLASS_VALUE, /* a fragment is never sent */
	['('] = TEXT | CLASS_HOST, [')'] = TEXT | CLASS_HOST, [','] = TEXT | CLASS_HOST, [':'] = TEXT | CLASS_HOST,
	[';'] = TEXT | CLASS_HOST, ['='] = TEXT | CLASS_HOST, ['['] = TEXT | CLASS_HOST, [']'] = TEXT | CLASS_HOST,
	['/'] = TEXT, ['?'] = TEXT, ['@'] = TEXT, ['"'] = TEXT, ['<'] = TEXT, ['>'] = TEXT, ['\\'] = TEXT,
	['{'] = TEXT, ['}'] = TEXT,
	[' '] = CLASS_VALUE, ['\t'] = CLASS_VALUE, [128 ... 255] = CLASS_VALUE,
};

static bool
is_all(struct ap_slice s, uint8_t class)
{
	for (size_t i = 0; i < s.len; i++)
		if (!(class_of[(unsigned char)s.ptr[i]] & class))
			return false;
	return true;
}

int64_t
ap_h1_find_head(struct ap_slice in, size_t max, size_t *scanned)
{
	size_t at = *scanned;

	for (;;) {
		const char *nl = at < in.len ? memchr(in.ptr + at, '\n', in.len - at) : NULL;
		size_t end;

		if (nl == NULL) {
			*scanned = in.len;
			return in.len > max ? AP_H1_LARGE : AP_H1_MORE;
		}
		end = (size_t)(nl - in.ptr) + 1;
		if (end > max)
			return AP_H1_LARGE;
		if (end < 2 || nl[-1] != '\r')
			return AP_H1_BAD;
		/* An empty line: CRLF at the front, or right behind another one. */
		if (end == 2 || (end >= 4 && nl[-2] == '\n'))
			return (int64_t)end;
		at = end;
	}
}

/* Cut a line at its CRLF; find_head saw that each LF has its CR. False: there is no line left. */
static bool
cut_line(struct ap_slice *rest, struct ap_slice *line)
{
	const char *nl = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
	size_t n;

	if (nl == NULL)
		return false;
	n = (size_t)(nl - rest->ptr);
	if (n == 0 || nl[-1] != '\r')
		return false;
	*line = ap_slice(rest->ptr, n - 1);
	rest->ptr += n + 1;
	rest->len -= n + 1;
	return true;
}

static int
parse_field(struct ap_slice line, struct ap_h1_field *out)
{
	size_t colon = 0;

	while (colon < line.len && (class_of[(unsigned char)line.ptr[colon]] & CLASS_TOKEN))
		colon++;
	/* No name, a blank before the colon, a folded line (it begins with a blank), no colon at all. */
	if (colon == 0 || colon == line.len || line.ptr[colon] != ':')
		return AP_H1_BAD;
	out->name = ap_slice(line.ptr, colon);
	out->value = ap_slice_trim(ap_slice(line.ptr + colon + 1, line.len - colon - 1));
	return is_all(out->value, CLASS_VALUE) ? 0 : AP_H1_BAD;
}

static int
parse_fields(struct ap_slice rest, struct ap_h1_head *out)
{
	struct ap_slice line;

	out->count = 0;
	while (cut_line(&rest, &line)) {
		int rv;

		if (line.len == 0)
			return rest.len == 0 ? 0 : AP_H1_BAD;
		if (out->count == out->room)
			return AP_H1_LARGE;
		rv = parse_field(line, &out->fields[out->count]);
		if (rv != 0)
			return rv;
		out->count++;
	}
	return AP_H1_BAD;
}

/* Digits alone; 0 or AP_H1_BAD. */
static int
parse_length(struct ap_slice s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0 || s.len > 18)
		return AP_H1_BAD;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return AP_H1_BAD;
		n = n * 10 + (uint64_t)(s.ptr[i] - '0');
	}
	*out = n;
	return 0;
}

static bool
lists(struct ap_slice list, struct ap_slice word)
{
	while (list.ptr != NULL)
		if (ap_slice_eq_nocase(ap_slice_trim(ap_slice_cut(&list, ',')), word))
			return true;
	return false;
}

bool
ap_h1_is_listed(const struct ap_h1_head *head, struct ap_slice name)
{
	if (!head->many_connections)
		return head->connection.len > 0 && lists(head->connection, name);
	for (uint32_t i = 0; i < head->count; i++)
		if (ap_slice_eq_nocase(head->fields[i].name, AP_S("connection")) && lists(head->fields[i].value, name))
			return true;
	return false;
}

struct framing {
	struct ap_slice host, coding;
	bool has_host, has_coding;
};

/* One field that decides something. */
static int
note_field(struct ap_h1_head *h, struct framing *f, const struct ap_h1_field *field)
{
	struct ap_slice name = field->name;

	switch (name.len) {
	case 4:
		if (!ap_slice_eq_nocase(name, AP_S("host")))
			return 0;
		if (f->has_host || !is_all(field->value, CLASS_HOST))
			return AP_H1_BAD;
		f->has_host = true;
		f->host = field->value;
		return 0;
	case 6:
		if (!ap_slice_eq_nocase(name, AP_S("expect")))
			return 0;
		if (ap_slice_eq_nocase(field->value, AP_S("100-continue")))
			h->expect_continue = true;
		else
			h->bad_expect = true;
		return 0;
	case 7:
		if (ap_slice_eq_nocase(name, AP_S("upgrade")))
			h->protocol = field->value;
		return 0;
	case 10:
		if (!ap_slice_eq_nocase(name, AP_S("connection")))
			return 0;
		h->many_connections = h->connection.len > 0;
		h->connection = field->value;
		return 0;
	case 14:
		if (!ap_slice_eq_nocase(name, AP_S("content-length")))
			return 0;
		if (h->has_length)
			return AP_H1_BAD;
		h->has_length = true;
		return parse_length(field->value, &h->length);
	case 17:
		if (!ap_slice_eq_nocase(name, AP_S("transfer-encoding")))
			return 0;
		if (f->has_coding)
			return AP_H1_BAD;
		f->has_coding = true;
		f->coding = field->value;
		return 0;
	default:
		return 0;
	}
}

/* A field that says who asks or where to, named in Connection, would be taken off on its way: a trick. */
static bool
connection_is_sound(const struct ap_h1_head *h)
{
	static const char *const end_to_end[] = { "host", "content-length", "transfer-encoding", "authorization", "cookie",
		"content-type", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "baggage",
		"traceparent", NULL };

	if (!h->many_connections &&
	    (h->connection.len == 0 || ap_slice_eq_nocase(h->connection, AP_S("keep-alive")) ||
	        ap_slice_eq_nocase(h->connection, AP_S("close"))))
		return true;
	for (const char *const *name = end_to_end; *name != NULL; name++)
		if (ap_h1_is_listed(h, ap_slice_of(*name)))
			return false;
	return true;
}

static int
note_fields(struct ap_h1_head *h, struct framing *f)
{
	for (uint32_t i = 0; i < h->count; i++) {
		int rv = note_field(h, f, &h->fields[i]);

		if (rv != 0)
			return rv;
	}
	if (!connection_is_sound(h))
		return AP_H1_BAD;
	if (h->connection.len > 0 || h->many_connections) {
		if (ap_h1_is_listed(h, AP_S("close")))
			h->keep_alive = false;
		else if (h->minor == 0)
			h->keep_alive = ap_h1_is_listed(h, AP_S("keep-alive"));
		h->upgrade = h->minor == 1 && h->protocol.len > 0 && ap_h1_is_listed(h, AP_S("upgrade"));
	}
	if (!f->has_coding)
		return 0;
	if (h->has_length || h->minor == 0)
		return AP_H1_BAD;
	return ap_slice_eq_nocase(f->coding, AP_S("chunked")) ? 0 : AP_H1_CODING;
}

/* "HTTP/1.1": 0, AP_H1_VERSION or AP_H1_BAD. */
static int
parse_version(struct ap_slice s, struct ap_h1_head *out)
{
	if (s.len != 8 || memcmp(s.ptr, "HTTP/", 5) != 0 || s.ptr[6] != '.' || s.ptr[5] < '0' || s.ptr[5] > '9' ||
	    s.ptr[7] < '0' || s.ptr[7] > '9')
		return AP_H1_BAD;
	if (s.ptr[5] != '1')
		return AP_H1_VERSION;
	out->minor = s.ptr[7] == '0' ? 0 : 1;
	out->keep_alive = out->minor == 1;
	return 0;
}

/* "http://host:port/path?query". */
static int
parse_absolute(struct ap_slice target, struct ap_h1_head *out)
{
	size_t colon = ap_slice_search(target, AP_S("://"));
	struct ap_slice rest;
	size_t end;

	if (colon == SIZE_MAX)
		return AP_H1_BAD;
	out->scheme = ap_slice(target.ptr, colon);
	if (!ap_slice_eq_nocase(out->scheme, AP_S("http")) && !ap_slice_eq_nocase(out->scheme, AP_S("https")))
		return AP_H1_BAD;
	rest = ap_slice_from(target, colon + 3);
	for (end = 0; end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?';)
		end++;
	out->authority = ap_slice(rest.ptr, end);
	out->path = ap_slice_from(rest, end);
	if (out->authority.len == 0 || !is_all(out->authority, CLASS_HOST))
		return AP_H1_BAD;
	if (out->path.len == 0)
		out->path = AP_S("/");
	return out->path.ptr[0] == '/' ? 0 : AP_H1_BAD; /* "http://a?b" is not worth a rewritten path */
}

static int
parse_target(struct ap_h1_head *out, const struct framing *f)
{
	struct ap_slice t = out->target;
	int rv;

	if (ap_slice_eq(out->method, AP_S("CONNECT"))) {
		size_t colon = ap_slice_find_last(t, ':');

		if (!is_all(t, CLASS_HOST) || colon == SIZE_MAX || colon == 0 || colon + 1 == t.len)
			return AP_H1_BAD;
		out->authority = t;
	} else if (t.ptr[0] == '/') {
		out->path = t;
		out->authority = f->host;
		return 0;
	} else if (t.len == 1 && t.ptr[0] == '*') {
		if (!ap_slice_eq(out->method, AP_S("OPTIONS")))
			return AP_H1_BAD;
		out->path = t;
		out->authority = f->host;
		return 0;
	} else if ((rv = parse_absolute(t, out)) != 0) {
		return rv;
	}
	/* Two names for the place it goes to must be one. */
	return !f->has_host || ap_slice_eq_nocase(f->host, out->authority) ? 0 : AP_H1_BAD;
}

static void
clear(struct ap_h1_head *out)
{
	struct ap_h1_field *fields = out->fields;
	uint32_t room = out->room;

	*out = (struct ap_h1_head){ .fields = fields, .room = room };
}

int
ap_h1_parse_request(struct ap_slice head, const struct ap_h1_limits *limits, struct ap_h1_head *out)
{
	struct framing f = { .has_host = false };
	struct ap_slice line;
	size_t method_end, target_end;
	int rv;

	clear(out);
	if (head.len > limits->head)
		return AP_H1_LARGE;
	if (!cut_line(&head, &line))
		return AP_H1_BAD;
	method_end = ap_slice_find(line, ' ');
	target_end = ap_slice_find_last(line, ' ');
	if (method_end == SIZE_MAX || method_end == 0 || target_end <= method_end + 1)
		return AP_H1_BAD;
	out->method = ap_slice(line.ptr, method_end);
	out->target = ap_slice(line.ptr + method_end + 1, target_end - method_end - 1);
	if (!is_all(out->method, CLASS_TOKEN) || !is_all(out->target, CLASS_TARGET))
		return AP_H1_BAD;
	if ((rv = parse_version(ap_slice_from(line, target_end + 1), out)) != 0)
		return rv;
	if (out->target.len > limits->target)
		return AP_H1_LONG;
	if ((rv = parse_fields(head, out)) != 0 || (rv = note_fields(out, &f)) != 0)
		return rv;
	if (!f.has_host && out->minor == 1)
		return AP_H1_BAD;
	if ((rv = parse_target(out, &f)) != 0)
		return rv;
	if (f.has_coding)
		out->body = AP_H1_CHUNKED;
	else if (out->has_length && out->length > 0)
		out->body = AP_H1_LENGTH;
	/* What follows a CONNECT is the tunnel's; a body would be read as either. */
	if (ap_slice_eq(out->method, AP_S("CONNECT")) && (f.has_coding || (out->has_length && out->length > 0)))
		return AP_H1_BAD;
	return 0;
}

static int
parse_status_line(struct ap_slice line, struct ap_h1_head *out)
{
	const char *p = line.ptr + 9;
	int rv;

	if (line.len < 12 || line.ptr[8] != ' ')
		return AP_H1_BAD;
	if ((rv = parse_version(ap_slice(line.ptr, 8), out)) != 0)
		return rv;
	for (int i = 0; i < 3; i++)
		if (p[i] < '0' || p[i] > '9')
			return AP_H1_BAD;
	out->status = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
	if (out->status < 100 || (line.len > 12 && line.ptr[12] != ' '))
		return AP_H1_BAD;
	out->reason = line.len > 13 ? ap_slice_from(line, 13) : AP_SLICE_NONE;
	return is_all(out->reason, CLASS_VALUE) ? 0 : AP_H1_BAD;
}

int
ap_h1_parse_response(
    struct ap_slice head, const struct ap_h1_limits *limits, struct ap_slice method, struct ap_h1_head *out)
{
	struct framing f = { .has_host = false };
	struct ap_slice line;
	int rv;

	clear(out);
	if (head.len > limits->head)
		return AP_H1_LARGE;
	if (!cut_line(&head, &line))
		return AP_H1_BAD;
	if ((rv = parse_status_line(line, out)) != 0 || (rv = parse_fields(head, out)) != 0 ||
	    (rv = note_fields(out, &f)) != 0)
		return rv;
	if (out->status == 101 || (ap_slice_eq(method, AP_S("CONNECT")) && out->status / 100 == 2)) {
		/* RFC 9110 9.3.6 lets a client ignore lengths here; a length that is ignored is refused instead. */
		if (f.has_coding || (out->has_length && out->length > 0))
			return AP_H1_BAD;
		out->body = AP_H1_TUNNEL;
	} else if (out->status < 200 || out->status == 204) {
		if (f.has_coding || (out->has_length && out->length > 0))
			return AP_H1_BAD;
		out->body = AP_H1_NO_BODY;
	} else if (out->status == 304 || ap_slice_eq(method, AP_S("HEAD"))) {
		out->body = AP_H1_NO_BODY;
	} else if (f.has_coding) {
		out->body = AP_H1_CHUNKED;
	} else if (out->has_length) {
		out->body = out->length > 0 ? AP_H1_LENGTH : AP_H1_NO_BODY;
	} else {
		out->body = AP_H1_TO_CLOSE;
		out->keep_alive = false;
	}
	return 0;
}

int
ap_h1_parse_trailers(struct ap_slice fields, struct ap_h1_head *out)
{
	clear(out);
	return parse_fields(fields, out);
}

int
ap_h1_status_of(int error)
{
	switch (error) {
	case AP_H1_LARGE:
		return 431;
	case AP_H1_LONG:
		return 414;
	case AP_H1_VERSION:
		return 505;
	case AP_H1_CODING:
		return 501;
	default:
		return 400;
	}
}

/* ---- chunks ---- */

enum { AT_SIZE, IN_SIZE, IN_EXTENSION, IN_QUOTED, IN_QUOTED_PAIR, AT_SIZE_LF, IN_DATA, AT_DATA_CR, AT_DATA_LF, AT_END };

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One byte of a size line. */
static int
size_line(struct ap_h1_chunks *c, char ch)
{
	int v;

	if (++c->line > CHUNK_LINE_MAX)
		return AP_H1_BAD;
	switch (c->state) {
	case AT_SIZE:
	case IN_SIZE:
		v = hex_value(ch);
		if (v >= 0) {
			if (c->left > (UINT64_MAX >> 8))
				return AP_H1_BAD;
			c->left = c->left * 16 + (unsigned)v;
			c->state = IN_SIZE;
		} else if (c->state == AT_SIZE) {
			return AP_H1_BAD;
		} else if (ch == ';') {
			c->state = IN_EXTENSION;
		} else if (ch == '\r') {
			c->state = AT_SIZE_LF;
		} else {
			return AP_H1_BAD;
		}
		return 0;
	case IN_EXTENSION:
		if (ch == '\r')
			c->state = AT_SIZE_LF;
		else if (ch == '"')
			c->state = IN_QUOTED;
		else if (!(class_of[(unsigned char)ch] & CLASS_TOKEN) && ch != ';' && ch != '=')
			return AP_H1_BAD;
		return 0;
	case IN_QUOTED:
		if (ch == '"')
			c->state = IN_EXTENSION;
		else if (ch == '\\')
			c->state = IN_QUOTED_PAIR;
		else if (!(class_of[(unsigned char)ch] & CLASS_VALUE))
			return AP_H1_BAD;
		return 0;
	case IN_QUOTED_PAIR:
		c->state = IN_QUOTED;
		return (class_of[(unsigned char)ch] & CLASS_VALUE) ? 0 : AP_H1_BAD;
	default: /* AT_SIZE_LF */
		if (ch != '\n')
			return AP_H1_BAD;
		c->line = 0;
		c->state = c->left > 0 ? IN_DATA : AT_END;
		return 0;
	}
}

int
ap_h1_chunks_next(struct ap_h1_chunks *c, struct ap_slice in, size_t *used, struct ap_slice *data)
{
	size_t i = 0;
	int rv;

	*data = AP_SLICE_NONE;
	for (;;) {
		*used = i;
		if (c->state == AT_END)
			return 0;
		if (i == in.len)
			return AP_H1_MORE;
		switch (c->state) {
		case IN_DATA:
			*data = ap_slice_sub(in, i, (size_t)(c->left < in.len - i ? c->left : in.len - i));
			return 1;
		case AT_DATA_CR:
			if (in.ptr[i++] != '\r')
				return AP_H1_BAD;
			c->state = AT_DATA_LF;
			break;
		case AT_DATA_LF:
			if (in.ptr[i++] != '\n')
				return AP_H1_BAD;
			c->state = AT_SIZE;
			break;
		default:
			rv = size_line(c, in.ptr[i++]);
			if (rv != 0)
				return rv;
			break;
		}
	}
}

void
ap_h1_chunks_took(struct ap_h1_chunks *c, size_t n)
{
	c->left -= n;
	if (c->left == 0)
		c->state = AT_DATA_CR;
}

size_t
ap_h1_chunk_head(size_t size, char *out)
{
	static const char digits[] = "0123456789abcdef";
	char text[16];
	size_t n = 0, at = 0;

	do {
		text[n++] = digits[size & 15];
		size >>= 4;
	} while (size > 0);
	while (n > 0)
		out[at++] = text[--n];
	out[at++] = '\r';
	out[at++] = '\n';
	return at;
}
