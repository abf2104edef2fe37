/*
 * wp_request.c -- a request's way through the waypoint: normalised path, scripts, authorization, route, faults, changes, then
 * upstream (wp_forward.c).  Scripts and policies come before the route is chosen, so that they see and may change what it
 * is chosen by, and a denied request learns nothing of routes.  One thread, the worker's.
 */
#include "waypoint/wp_request.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"

const struct ap_http_settings wp_http_settings = {
	.max_streams = 1000,
	.stream_window = 256 * 1024,
	.connection_window = 1024 * 1024,
	.allow_upgrade = true,
	.idle_timeout_ms = 3600000, /* the client's ztunnel holds it; it ends with the program's connection */
};

static bool
is_grpc(const struct ap_fields *f)
{
	struct ap_slice type = ap_fields_get(f, AP_S("content-type"));

	return ap_slice_starts(type, AP_S("application/grpc")) &&
	       (type.len == 16 || type.ptr[16] == '+' || type.ptr[16] == ';');
}

/* A random (version 4) UUID. */
static struct ap_slice
request_id_make(struct ap_arena *arena)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t a = ap_rand_fast(), b = ap_rand_fast();
	char text[36];
	size_t n = 0;

	a = (a & 0xffffffffffff0fffU) | 0x4000U;
	b = (b & 0x3fffffffffffffffU) | 0x8000000000000000U;
	for (unsigned digit = 0; digit < 32; digit++) {
		if (digit == 8 || digit == 12 || digit == 16 || digit == 20)
			text[n++] = '-';
		text[n++] = hex[((digit < 16 ? a : b) >> (60 - digit % 16 * 4)) & 0xfU];
	}
	return ap_arena_copy(arena, ap_slice(text, n));
}

static void
view_make(struct wp_request *r)
{
	struct wp_view *v = &r->view;
	struct wp_down *d = r->down;
	struct ap_ip ip;

	v->method = r->head.method;
	v->scheme = r->head.scheme;
	v->authority = r->head.authority;
	v->fields = &r->head.fields;
	v->arena = r->x->arena;
	v->undecided = &r->undecided;
	wp_path_split(r->head.path, &v->path, &v->query);
	wp_view_set_identity(v, d->identity);
	v->source = d->source;
	if (ap_addr_ip(&d->peer, &ip) == 0)
		v->source_ip = ip;
	v->destination_ip = d->destination_ip;
	v->destination_port = d->port;
}

bool
f_authz_request(struct wp_request *r)
{
	struct wp_authz_result a;

	if (r->binding->policy_count == 0)
		return false;
	a = wp_authz_check(r->binding->policies, r->binding->policy_count, &r->view);
	if (a.verdict == WP_AUTHZ_ALLOW)
		return false;
	if (a.verdict == WP_AUTHZ_DENY_EXPLICIT)
		r->rbac = ap_arena_printf(r->x->arena, "rbac_access_denied_matched_policy[ns[%.*s]-rule[%u]]",
		    AP_FMT(wp_policy_key(a.policy)), a.rule);
	else
		r->rbac = AP_S("rbac_access_denied_matched_policy[none]");
	wp_answer(r, 403, 0, "rbac_access_denied", AP_S("RBAC: access denied"));
	return true;
}

static void
request_headers(struct wp_request *r)
{
	struct ap_fields *f = &r->head.fields;

	if (!ap_fields_has(f, AP_S("x-forwarded-proto")))
		ap_fields_add(f, AP_S("x-forwarded-proto"), AP_S("http"));
	if (!ap_fields_has(f, AP_S("x-request-id")))
		ap_fields_add(f, AP_S("x-request-id"), request_id_make(r->x->arena));
}

/* Behind the faults: what the route says is done. */
void
wp_request_route(struct wp_request *r)
{
	const struct wp_route *route = r->route;

	if (f_redirect_request(r))
		return;
	r->destination = wp_route_pick(route, ap_rand_fast());
	if (r->destination == NULL) {
		wp_answer(r, 500, WP_FLAG(NO_ROUTE), "no_destination", AP_SLICE_NONE);
		return;
	}
	if (r->destination->invalid_status != 0) {
		wp_answer(r, r->destination->invalid_status, 0, "direct_response", AP_SLICE_NONE);
		return;
	}
	if (r->destination->unknown_subset) {
		wp_answer(r, 503, WP_FLAG(NO_CLUSTER), "cluster_not_found", AP_SLICE_NONE);
		return;
	}
	request_headers(r);
	f_rewrite_request(r);
	f_headers_change(r, &r->head, &route->request_headers);
	f_headers_change(r, &r->head, &r->destination->request_headers);
	f_mirror_request(r);
	if (ap_arena_is_full(r->x->arena)) {
		wp_answer(r, 431, WP_FLAG(BAD_REQUEST), "arena_full", AP_SLICE_NONE);
		return;
	}
	wp_forward(r);
}

/* Read at once what there is of a small body, so that it can be sent again. */
static void
body_keep(struct wp_request *r)
{
	struct ap_stream *s = &r->x->stream;
	size_t n = 0, room = WP_KEEP_MAX;
	char *kept;
	ssize_t count = AP_STREAM_AGAIN;

	if (r->is_upgrade)
		return;
	if (r->x->request.end) {
		r->kept_all = true;
		return;
	}
	if (r->x->request.content_length > WP_KEEP_MAX)
		return;
	if (r->x->request.content_length >= 0)
		room = (size_t)r->x->request.content_length + 1; /* one more, to see the end */
	kept = ap_arena_alloc(r->x->arena, room);
	while (kept != NULL && n < room) {
		count = ap_stream_read(s, kept + n, room - n);
		if (count <= 0)
			break;
		n += (size_t)count;
	}
	r->kept = ap_slice(kept, n);
	r->kept_all = count == AP_STREAM_EOF;
}

static void
request_filter(struct wp_request *r)
{
	if (f_lua_request(r))
		return;
	view_make(r); /* a script may have changed the request */
	if (f_authz_request(r))
		return;
	if (r->down->pinned != NULL) {
		r->route = r->port->fallback;
	} else {
		r->route = wp_route_find(r->port, &r->view, &r->match);
	}
	if (r->undecided) {
		wp_answer(r, 500, WP_FLAG(NO_ROUTE), "match_limit", AP_SLICE_NONE);
		return;
	}
	if (r->route == NULL) {
		wp_answer(r, 404, WP_FLAG(NO_ROUTE), "route_not_found", AP_SLICE_NONE);
		return;
	}
	if (f_cors_request(r) || f_fault_request(r))
		return;
	wp_request_route(r);
}

/* An upgrade over HTTP/2 is an extended CONNECT, and an ordinary GET to an HTTP/1 server (RFC 8441). */
static void
upgrade_begin(struct wp_request *r)
{
	r->is_upgrade = r->head.protocol.len > 0;
	if (!r->is_upgrade)
		return;
	if (r->x->version == AP_HTTP_2) {
		r->head.method = AP_S("GET");
	} else if (!r->head.end) { /* with a body: answered as if it had not asked */
		r->head.protocol = AP_SLICE_NONE;
		r->is_upgrade = false;
	}
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct wp_down *d = arg;
	struct wp_worker *ww = d->ww;
	struct wp_request *r = ap_arena_new_object(x->arena, struct wp_request);
	struct ap_stream *s = &x->stream;
	int rc;

	AP_IS(d, WP_DOWN_MAGIC);
	if (r == NULL) {
		ap_exchange_reply(x, 431, NULL, AP_SLICE_NONE);
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	r->magic = WP_REQUEST_MAGIC;
	r->ww = ww;
	r->down = d;
	r->x = x;
	r->grpc_status = -1;
	r->started_us = ap_clock_wall_us();
	r->started_ns = ap_clock_mono_ns();
	r->head = x->request;
	r->original_path = r->head.path;
	r->request_bytes = r->head.fields.bytes + r->head.method.len + r->head.path.len + r->head.authority.len;
	r->is_grpc = is_grpc(&r->head.fields);
	upgrade_begin(r);
	r->details = "via_upstream";
	ap_task_init(&r->wake, wp_forward_wake, r);
	ap_list_append(&ww->request_list, &r->link);
	x->user = r;
	ap_stream_set_callback(&x->stream, wp_forward_down_events, r);
	r->binding = wp_table_bind(&ww->table, d->host_key);
	rc = wp_path_normalise(r->head.path, ww->wp->set.normalise, x->arena, &r->head.path);
	view_make(r);
	if (rc != 0) {
		r->head.path = r->original_path;
		wp_answer(
		    r, rc == -EINVAL ? 400 : 431, WP_FLAG(BAD_REQUEST), "path_normalization_failed", AP_SLICE_NONE);
		return;
	}
	if (r->binding != NULL)
		r->port = wp_host_port(r->binding->host, d->port);
	if (r->port == NULL) { /* the host went away under an open connection */
		wp_answer(r, 404, WP_FLAG(NO_ROUTE), "route_not_found", AP_SLICE_NONE);
		return;
	}
	body_keep(r);
	request_filter(r);
}

void
wp_request_end(struct wp_request *r, enum ap_stream_close how)
{
	struct ap_stream *s = &r->x->stream;
	uint64_t duration_ns = ap_clock_mono_ns() - r->started_ns;

	AP_IS(r, WP_REQUEST_MAGIC);
	wp_count_request(r, duration_ns);
	wp_log_request(r, duration_ns);
	wp_forward_cancel(r);
	ap_timer_stop(&r->timer);
	ap_timer_stop(&r->wait_timer);
	ap_task_cancel(&r->wake);
	wp_endpoint_unref(&r->endpoint);
	wp_endpoint_unref(&r->last_endpoint);
	wp_binding_unref(&r->binding);
	r->magic = 0;
	r->x->user = NULL;
	ap_list_remove(&r->link);
	ap_stream_close(&s, how);
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct wp_down *d = arg;

	(void)conn;
	AP_IS(d, WP_DOWN_MAGIC);
	d->http = NULL;
	wp_down_free(d);
}

const struct ap_http_server_ops wp_request_ops = { .request = on_request, .closed = on_closed };
