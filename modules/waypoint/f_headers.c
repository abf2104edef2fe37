/*
 * f_headers.c -- header changes of a route or destination: removals first, then what is set, then what is added, as Envoy
 * does.  "host" and ":authority" mean the authority.  Fields that frame a message are left alone.
 */
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "waypoint/wp_request.h"

static const char *const fixed_names[] = { "connection", "content-length", "keep-alive", "proxy-connection", "te",
	"trailer", "transfer-encoding", "upgrade" };

static bool
is_fixed(struct ap_slice name)
{
	if (name.len == 0 || name.ptr[0] == ':')
		return true;
	for (size_t i = 0; i < AP_COUNTOF(fixed_names); i++)
		if (ap_slice_eq_text(name, fixed_names[i]))
			return true;
	return false;
}

static void
address_add(struct ap_buf *b, const struct ap_addr *a, bool with_port)
{
	char text[AP_ADDR_TEXT];
	struct ap_ip ip;

	if (with_port)
		ap_buf_add_text(b, ap_addr_format(a, text, sizeof(text)));
	else if (ap_addr_ip(a, &ip) == 0)
		ap_buf_add_text(b, ap_ip_format(&ip, text, sizeof(text)));
}

/* One word between percent signs; false: not known. */
static bool
variable_add(const struct wp_request *r, struct ap_slice name, struct ap_buf *b)
{
	char text[40];

	if (ap_slice_starts(name, AP_S("REQ(")) && ap_slice_ends(name, AP_S(")"))) {
		struct ap_slice header = ap_slice_sub(name, 4, name.len - 5);
		char low[128];

		if (header.len >= sizeof(low))
			return false;
		for (size_t i = 0; i < header.len; i++)
			low[i] =
			    header.ptr[i] >= 'A' && header.ptr[i] <= 'Z' ? (char)(header.ptr[i] + 32) : header.ptr[i];
		ap_buf_add_slice(b, wp_view_header(&r->view, ap_slice(low, header.len)));
	} else if (ap_slice_eq(name, AP_S("DOWNSTREAM_REMOTE_ADDRESS"))) {
		address_add(b, &r->down->peer, true);
	} else if (ap_slice_eq(name, AP_S("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"))) {
		address_add(b, &r->down->peer, false);
	} else if (ap_slice_eq(name, AP_S("DOWNSTREAM_LOCAL_ADDRESS"))) {
		address_add(b, &r->down->local, true);
	} else if (ap_slice_eq(name, AP_S("DOWNSTREAM_PEER_URI_SAN"))) {
		ap_buf_add_slice(b, r->down->identity);
	} else if (ap_slice_eq(name, AP_S("PROTOCOL"))) {
		ap_buf_add_text(b, r->x->version == AP_HTTP_2 ? "HTTP/2" : "HTTP/1.1");
	} else if (ap_slice_eq(name, AP_S("ROUTE_NAME"))) {
		ap_buf_add_slice(b, r->route == NULL ? AP_SLICE_NONE : r->route->name);
	} else if (ap_slice_eq(name, AP_S("UPSTREAM_HOST"))) {
		ap_buf_add_text(b, r->endpoint == NULL ? "" : r->endpoint->text);
	} else if (ap_slice_eq(name, AP_S("START_TIME"))) {
		ap_buf_add_text(b, ap_clock_format(r->started_us, 3, text, sizeof(text)));
	} else {
		return false;
	}
	return true;
}

static struct ap_slice
value_expand(const struct wp_request *r, struct ap_slice v)
{
	struct ap_slice out;
	struct ap_buf b;

	ap_buf_init(&b, 16384);
	while (v.len > 0) {
		size_t at = ap_slice_find(v, '%'), end;

		if (at == SIZE_MAX) {
			ap_buf_add_slice(&b, v);
			break;
		}
		ap_buf_add(&b, v.ptr, at);
		v = ap_slice_from(v, at + 1);
		end = ap_slice_find(v, '%');
		if (end == 0) {
			ap_buf_add_char(&b, '%');
		} else if (end == SIZE_MAX || !variable_add(r, ap_slice_sub(v, 0, end), &b)) {
			ap_buf_add_char(&b, '%'); /* as it stands */
			continue;
		}
		v = ap_slice_from(v, end + 1);
	}
	out = b.bad ? AP_S("") : ap_arena_copy(r->x->arena, ap_buf_slice(&b));
	ap_buf_done(&b);
	return out;
}

static struct ap_slice
value_of(const struct wp_request *r, const struct wp_header *h)
{
	return h->has_variables ? value_expand(r, h->value) : h->value;
}

static bool
is_authority(const struct ap_http_head *head, struct ap_slice name)
{
	return head->status == 0 && (ap_slice_eq(name, AP_S("host")) || ap_slice_eq(name, AP_S(":authority")));
}

void
f_headers_change(struct wp_request *r, struct ap_http_head *head, const struct wp_headers *h)
{
	for (uint32_t i = 0; i < h->remove_count; i++)
		if (!is_fixed(h->remove[i]))
			ap_fields_remove(&head->fields, h->remove[i]);
	for (uint32_t i = 0; i < h->set_count; i++) {
		if (is_authority(head, h->set[i].name))
			head->authority = value_of(r, &h->set[i]);
		else if (!is_fixed(h->set[i].name))
			ap_fields_set(&head->fields, h->set[i].name, value_of(r, &h->set[i]));
	}
	for (uint32_t i = 0; i < h->add_count; i++)
		if (!is_fixed(h->add[i].name) && !is_authority(head, h->add[i].name))
			ap_fields_add(&head->fields, h->add[i].name, value_of(r, &h->add[i]));
}
