/*
 * head.c -- what both versions must agree on: which fields are a connection's own, what may stand in a field, a path, an
 * authority, and the words for a status.  One place, so that routing and policy see the same request from either codec.
 */
#include <string.h>

#include "base/check.h"
#include "http/http_priv.h"

/* RFC 9110 5.6.2 token; one bit a byte. */
static const uint8_t is_token[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
	['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
	['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

void
ap_http_head_init(struct ap_http_head *head, struct ap_arena *arena)
{
	*head = (struct ap_http_head){ .content_length = -1 };
	ap_fields_init(&head->fields, arena);
}

static bool
copy_slice(struct ap_arena *arena, struct ap_slice *s)
{
	if (s->len == 0)
		return true;
	*s = ap_arena_copy(arena, *s);
	return s->ptr != NULL;
}

bool
ap_http_head_copy(struct ap_http_head *to, const struct ap_http_head *from)
{
	struct ap_arena *arena = to->fields.arena;
	struct ap_fields fields = to->fields;

	*to = *from;
	to->fields = fields;
	return copy_slice(arena, &to->method) && copy_slice(arena, &to->scheme) && copy_slice(arena, &to->authority) &&
	    copy_slice(arena, &to->path) && copy_slice(arena, &to->protocol) &&
	    ap_fields_copy(&to->fields, &from->fields);
}

bool
ap_http_is_hop_field(struct ap_slice name)
{
	switch (name.len) {
	case 4:
		return memcmp(name.ptr, "host", 4) == 0;
	case 7:
		return memcmp(name.ptr, "upgrade", 7) == 0;
	case 10:
		return memcmp(name.ptr, "connection", 10) == 0 || memcmp(name.ptr, "keep-alive", 10) == 0;
	case 14:
		return memcmp(name.ptr, "content-length", 14) == 0 || memcmp(name.ptr, "http2-settings", 14) == 0;
	case 16:
		return memcmp(name.ptr, "proxy-connection", 16) == 0;
	case 17:
		return memcmp(name.ptr, "transfer-encoding", 17) == 0;
	default:
		return false;
	}
}

bool
ap_http_field_is_sound(struct ap_slice name, struct ap_slice value)
{
	if (name.len == 0)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!is_token[(unsigned char)name.ptr[i]])
			return false;
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

bool
ap_http_authority_is_sound(struct ap_slice a)
{
	for (size_t i = 0; i < a.len; i++) {
		unsigned char c = (unsigned char)a.ptr[i];

		/* unreserved, pct-encoded, sub-delims, ":" and "[]"; no '@': user information in a Host is a trick. */
		if (!(is_token[c] || c == ':' || c == '[' || c == ']' || c == '(' || c == ')' || c == ',' || c == ';' ||
		        c == '=') ||
		    c == '#' || c == '|' || c == '^' || c == '`')
			return false;
	}
	return true;
}

bool
ap_http_path_is_sound(struct ap_slice p)
{
	if (p.len == 1 && p.ptr[0] == '*')
		return true;
	if (p.len == 0 || p.ptr[0] != '/')
		return false;
	for (size_t i = 1; i < p.len; i++) {
		unsigned char c = (unsigned char)p.ptr[i];

		if (c <= 0x20 || c >= 0x7f || c == '#')
			return false;
	}
	return true;
}

bool
ap_http_status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

const char *
ap_http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} rows[] = {
		{ 100, "Continue" }, { 101, "Switching Protocols" }, { 103, "Early Hints" }, { 200, "OK" },
		{ 201, "Created" }, { 202, "Accepted" }, { 203, "Non-Authoritative Information" }, { 204, "No Content" },
		{ 205, "Reset Content" }, { 206, "Partial Content" }, { 300, "Multiple Choices" },
		{ 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" },
		{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" }, { 400, "Bad Request" },
		{ 401, "Unauthorized" }, { 402, "Payment Required" }, { 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 407, "Proxy Authentication Required" },
		{ 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
		{ 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" },
		{ 421, "Misdirected Request" }, { 422, "Unprocessable Content" }, { 425, "Too Early" },
		{ 426, "Upgrade Required" }, { 428, "Precondition Required" }, { 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" }, { 451, "Unavailable For Legal Reasons" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		if (rows[i].status == status)
			return rows[i].reason;
	return status >= 500 ? "Server Error" : status >= 400 ? "Client Error" : "Unknown";
}
