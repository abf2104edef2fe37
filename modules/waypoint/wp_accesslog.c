/* wp_accesslog.c -- one line per request in Istio's default text or JSON form, handed to the access log's writer. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/text.h"
#include "net/tcp.h"
#include "waypoint/wp_request.h"

static const char *const flag_texts[] = {
#define WP_FLAG_ROW(name_, text_, doc_) text_,
#include "waypoint/wp_flags.def"
#undef WP_FLAG_ROW
};

const char *
wp_flags_format(uint32_t flags, char *out, size_t size)
{
	size_t n = 0;

	for (unsigned i = 0; i < WP_FLAG_COUNT && n < size; i++)
		if (flags & (1U << i))
			n += (size_t)snprintf(out + n, size - n, "%s%s", n > 0 ? "," : "", flag_texts[i]);
	if (n == 0)
		snprintf(out, size, "-");
	return out;
}

enum style { NUMBER, TEXT, QUOTED }; /* QUOTED: in quotes in the text form too */

static void
text_add(struct ap_buf *b, struct ap_slice v, bool quoted)
{
	if (quoted)
		ap_buf_add_char(b, '"');
	if (v.len == 0)
		ap_buf_add_char(b, '-');
	for (size_t from = 0, i = 0; i <= v.len; i++) {
		unsigned char c = i < v.len ? (unsigned char)v.ptr[i] : 0;

		/* Nothing that a client sends may break or forge a line. */
		if (i < v.len && c >= 0x20 && c != 0x7f && c != '"' && c != '\\')
			continue;
		if (i > from)
			ap_buf_add(b, v.ptr + from, i - from);
		if (i < v.len)
			ap_buf_printf(b, "\\x%02x", c);
		from = i + 1;
	}
	if (quoted)
		ap_buf_add_char(b, '"');
}

/* Append one field in the log's form. */
static void
field_add(struct ap_buf *b, bool json, const char *name, enum style style, struct ap_slice v)
{
	if (!json) {
		if (b->len > 0)
			ap_buf_add_char(b, ' ');
		text_add(b, v, style == QUOTED);
		return;
	}
	ap_buf_add_char(b, b->len == 0 ? '{' : ',');
	ap_buf_printf(b, "\"%s\":", name);
	if (v.len == 0)
		ap_buf_add_text(b, "null");
	else if (style == NUMBER)
		ap_buf_add_slice(b, v);
	else
		ap_buf_add_json(b, v);
}

static void
number_add(struct ap_buf *b, bool json, const char *name, uint64_t v)
{
	char text[AP_TEXT_U64];

	field_add(b, json, name, NUMBER, ap_slice(text, ap_text_put_u64(v, text)));
}

static void
request_add(struct wp_request *r, struct ap_buf *b, bool json)
{
	const char *protocol = r->x->version == AP_HTTP_2     ? "HTTP/2"
			       : r->x->version == AP_HTTP_1_0 ? "HTTP/1.0"
							      : "HTTP/1.1";
	struct ap_slice method = r->x->request.method;

	if (json) {
		field_add(b, true, "method", TEXT, method);
		field_add(b, true, "path", TEXT, r->original_path);
		field_add(b, true, "protocol", TEXT, ap_slice_of(protocol));
		return;
	}
	ap_buf_add_text(b, " \"");
	text_add(b, method, false);
	ap_buf_add_char(b, ' ');
	text_add(b, r->original_path, false);
	ap_buf_add_char(b, ' ');
	ap_buf_add_text(b, protocol);
	ap_buf_add_char(b, '"');
}

static void
upstream_add(struct wp_request *r, struct ap_buf *b, bool json)
{
	char cluster[320] = "", local[AP_ADDR_TEXT] = "";
	const struct wp_destination *d = r->destination;

	if (d != NULL) {
		size_t slash = ap_slice_find(d->service, '/');

		snprintf(cluster, sizeof(cluster), "inbound-vip|%u|http%s%.*s|%.*s;", d->port,
		    d->subset.len > 0 ? "/" : "", AP_FMT(d->subset), AP_FMT(ap_slice_from(d->service, slash + 1)));
	}
	if (r->up != NULL && r->up->conn != NULL) {
		struct ap_stream *bottom = ap_stream_bottom(ap_http_transport(r->up->conn));
		struct ap_addr a = { 0 };

		if (bottom != NULL)
			a = ap_tcp_local(bottom);
		if (a.len > 0)
			ap_addr_format(&a, local, sizeof(local));
	}
	field_add(b, json, "upstream_host", QUOTED, ap_slice_of(r->endpoint == NULL ? "" : r->endpoint->text));
	field_add(b, json, "upstream_cluster", TEXT, ap_slice_of(cluster));
	field_add(b, json, "upstream_local_address", TEXT, ap_slice_of(local));
}

static void
tail_add(struct wp_request *r, struct ap_buf *b, bool json)
{
	char text[AP_ADDR_TEXT];
	struct ap_addr called = ap_addr_of(&r->down->destination_ip, r->down->port);

	field_add(b, json, "downstream_local_address", TEXT,
	    r->down->destination_ip.len == 0 ? AP_SLICE_NONE
					     : ap_slice_of(ap_addr_format(&called, text, sizeof(text))));
	field_add(b, json, "downstream_remote_address", TEXT,
	    ap_slice_of(ap_addr_format(&r->down->peer, text, sizeof(text))));
	field_add(b, json, "requested_server_name", TEXT, AP_SLICE_NONE);
	field_add(b, json, "route_name", TEXT, r->route == NULL ? AP_SLICE_NONE : r->route->name);
	for (size_t i = 0; r->lua != NULL && i < r->lua->tag_count; i++) {
		char key[80];

		snprintf(key, sizeof(key), "tag.%.*s", (int)AP_MIN(r->lua->tags[i].key.len, (size_t)64),
		    r->lua->tags[i].key.ptr);
		if (!json) {
			ap_buf_add_char(b, ' ');
			text_add(b, ap_slice_of(key), false);
			ap_buf_add_char(b, '=');
			text_add(b, r->lua->tags[i].value, true);
		} else {
			ap_buf_add_char(b, ',');
			ap_buf_add_json(b, ap_slice_of(key));
			ap_buf_add_char(b, ':');
			ap_buf_add_json(b, r->lua->tags[i].value);
		}
	}
}

static void
line_make(struct wp_request *r, uint64_t duration_ns, struct ap_buf *b, bool json)
{
	const struct ap_fields *f = &r->head.fields;
	char text[80];

	ap_clock_format(r->started_us, 3, text, sizeof(text));
	if (json)
		field_add(b, true, "start_time", TEXT, ap_slice_of(text));
	else {
		ap_buf_add_char(b, '[');
		ap_buf_add_text(b, text);
		ap_buf_add_char(b, ']');
	}
	request_add(r, b, json);
	number_add(b, json, "response_code", (uint64_t)r->status);
	field_add(b, json, "response_flags", TEXT, ap_slice_of(wp_flags_format(r->flags, text, sizeof(text))));
	field_add(b, json, "response_code_details", TEXT, r->rbac.len > 0 ? r->rbac : ap_slice_of(r->details));
	field_add(b, json, "connection_termination_details", TEXT, AP_SLICE_NONE);
	field_add(b, json, "upstream_transport_failure_reason", QUOTED,
	    r->endpoint != NULL && (r->flags & WP_FLAG(CONNECT_FAILED)) ? ap_slice_of(r->endpoint->failure)
									: AP_SLICE_NONE);
	number_add(b, json, "bytes_received", AP_MAX(r->in.bytes, (uint64_t)r->kept.len));
	number_add(b, json, "bytes_sent", r->out.bytes);
	number_add(b, json, "duration", duration_ns / 1000000);
	if (r->answered_ns > 0)
		number_add(b, json, "upstream_service_time", (r->answered_ns - r->sent_ns) / 1000000);
	else
		field_add(b, json, "upstream_service_time", TEXT, AP_SLICE_NONE);
	field_add(b, json, "x_forwarded_for", QUOTED, ap_fields_get(f, AP_S("x-forwarded-for")));
	field_add(b, json, "user_agent", QUOTED, ap_fields_get(f, AP_S("user-agent")));
	field_add(b, json, "request_id", QUOTED, ap_fields_get(f, AP_S("x-request-id")));
	field_add(b, json, "authority", QUOTED, r->x->request.authority);
	upstream_add(r, b, json);
	tail_add(r, b, json);
	ap_buf_add_text(b, json ? "}\n" : "\n");
}

void
wp_log_request(struct wp_request *r, uint64_t duration_ns)
{
	struct wp *wp = r->ww->wp;
	/* On the scratch memory: the ceiling is far below its room, so it never grows. */
	struct ap_buf b = { .ptr = r->ww->w->scratch, .room = AP_SCRATCH_SIZE, .ceiling = AP_SCRATCH_SIZE / 2 };

	if (wp->log == NULL)
		return;
	line_make(r, duration_ns, &b, wp->set.access_log_json);
	if (!b.bad)
		ap_access_log_write(wp->log, ap_buf_slice(&b));
}
