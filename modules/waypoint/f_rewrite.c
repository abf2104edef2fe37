/* f_rewrite.c -- paths and authorities changed on the way, redirects and direct answers.  Pure but for the answer. */
#include <string.h>

#include "base/buf.h"
#include "codec/regex.h"
#include "waypoint/wp_request.h"

static struct ap_slice
join(struct ap_arena *arena, struct ap_slice a, struct ap_slice b)
{
	return ap_arena_printf(arena, "%.*s%.*s", AP_FMT(a), AP_FMT(b));
}

/* The path with its matched prefix replaced, by the kind of match that led here. */
static struct ap_slice
prefix_change(const struct wp_request *r, struct ap_slice with)
{
	struct ap_slice path = r->view.path, rest;
	const struct wp_match *m = r->match;

	if (m != NULL && m->has_path && m->path.kind == WP_TEXT_ELEMENTS) {
		/* Whole elements: what is left begins with '/' or is nothing. */
		rest = ap_slice_from(path, m->path.text.len);
		while (with.len > 0 && with.ptr[with.len - 1] == '/')
			with.len--;
		if (with.len + rest.len == 0)
			return AP_S("/");
		return join(r->x->arena, with, rest);
	}
	if (m == NULL || !m->has_path)
		rest = ap_slice_from(path, 1); /* matched by "/" */
	else if (m->path.kind == WP_TEXT_PREFIX)
		rest = ap_slice_from(path, m->path.text.len);
	else
		return with; /* exact and the like: all of it was matched */
	return join(r->x->arena, with, rest);
}

/* A path that is too hard to change stays as it is. */
static struct ap_slice
regex_change(const struct wp_request *r, const struct ap_regex *regex, struct ap_slice with)
{
	struct ap_slice path = r->view.path;
	struct ap_buf b;

	ap_buf_init(&b, 16384);
	if (ap_regex_replace(regex, path, with, &b) == 0 && !b.bad)
		path = ap_arena_copy(r->x->arena, ap_buf_slice(&b));
	ap_buf_done(&b);
	return path;
}

static struct ap_slice
path_change(const struct wp_request *r, uint8_t change, struct ap_slice with, const struct ap_regex *regex)
{
	struct ap_slice p = r->view.path;

	if (change == WP_PATH_WHOLE)
		p = with;
	else if (change == WP_PATH_PREFIX)
		p = prefix_change(r, with);
	else if (change == WP_PATH_REGEX)
		p = regex_change(r, regex, with);
	if (p.len == 0 || p.ptr[0] != '/')
		p = join(r->x->arena, AP_S("/"), p);
	return p;
}

static struct ap_slice
with_query(const struct wp_request *r, struct ap_slice path)
{
	if (r->view.query.ptr == NULL || ap_slice_find(path, '?') != SIZE_MAX)
		return path;
	return ap_arena_printf(r->x->arena, "%.*s?%.*s", AP_FMT(path), AP_FMT(r->view.query));
}

void
f_rewrite_request(struct wp_request *r)
{
	const struct wp_rewrite *w = &r->route->rewrite;

	if (!w->is_set)
		return;
	if (w->authority.len > 0)
		r->head.authority = w->authority;
	if (w->change != WP_PATH_KEEP)
		r->head.path = with_query(r, path_change(r, w->change, w->path, w->regex));
}

/* "[::1]:80" and "a:80" into name and port text. */
static struct ap_slice
host_cut(struct ap_slice authority, struct ap_slice *port)
{
	size_t at = ap_slice_find_last(authority, ':'), bracket = ap_slice_find_last(authority, ']');

	*port = AP_SLICE_NONE;
	if (at == SIZE_MAX || (bracket != SIZE_MAX && bracket > at))
		return authority;
	*port = ap_slice_from(authority, at + 1);
	return ap_slice_sub(authority, 0, at);
}

static bool
is_default_port(struct ap_slice scheme, struct ap_slice port)
{
	return port.len == 0 || (ap_slice_eq(scheme, AP_S("http")) && ap_slice_eq(port, AP_S("80"))) ||
	       (ap_slice_eq(scheme, AP_S("https")) && ap_slice_eq(port, AP_S("443")));
}

static struct ap_slice
location_make(const struct wp_request *r, const struct wp_redirect *d)
{
	struct ap_slice scheme = d->scheme, port, host, asked_port, path;
	struct ap_slice was = r->head.scheme.len > 0 ? r->head.scheme : AP_S("http");

	if (scheme.len == 0)
		scheme = was;
	host = host_cut(r->head.authority, &asked_port);
	port = asked_port;
	if (d->authority.len > 0)
		host = host_cut(d->authority, &port);
	if (d->port != 0)
		port = ap_arena_printf(r->x->arena, "%u", d->port);
	else if (d->port_from_request)
		port = ap_arena_printf(r->x->arena, "%u", r->down->port);
	else if (d->authority.len == 0 && !ap_slice_eq(scheme, was) && is_default_port(was, asked_port))
		port = AP_SLICE_NONE;
	path = with_query(r, path_change(r, d->change, d->path, NULL));
	if (is_default_port(scheme, port))
		return ap_arena_printf(r->x->arena, "%.*s://%.*s%.*s", AP_FMT(scheme), AP_FMT(host), AP_FMT(path));
	return ap_arena_printf(
	    r->x->arena, "%.*s://%.*s:%.*s%.*s", AP_FMT(scheme), AP_FMT(host), AP_FMT(port), AP_FMT(path));
}

bool
f_redirect_request(struct wp_request *r)
{
	const struct wp_route *route = r->route;
	struct ap_http_head head;

	if (!route->redirect.is_set && !route->direct.is_set)
		return false;
	ap_http_head_init(&head, r->x->arena);
	head.status = 1; /* an answer's: "host" is no authority here */
	if (route->redirect.is_set) {
		ap_fields_add(&head.fields, AP_S("location"), location_make(r, &route->redirect));
		f_headers_change(r, &head, &route->response_headers);
		wp_answer_fields(r, route->redirect.status, 0, "direct_response", &head.fields, AP_SLICE_NONE, NULL);
		return true;
	}
	f_headers_change(r, &head, &route->direct.headers);
	f_headers_change(r, &head, &route->response_headers);
	wp_answer_fields(r, route->direct.status, 0, "direct_response", &head.fields, route->direct.body,
	    ap_fields_has(&head.fields, AP_S("content-type")) ? NULL : "text/plain");
	return true;
}
