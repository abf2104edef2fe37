/* f_cors.c -- cross-origin rules of a route: answers preflights of allowed origins, marks the answers to allowed ones. */
#include "waypoint/wp_request.h"

static struct ap_slice
allowed_origin(const struct wp_request *r)
{
	const struct wp_cors *c = &r->route->cors;
	struct ap_slice origin = ap_fields_get(&r->head.fields, AP_S("origin"));

	for (uint32_t i = 0; origin.len > 0 && i < c->origin_count; i++)
		if (ap_slice_eq(c->origins[i].text, AP_S("*")) || wp_text_matches(&c->origins[i], NULL, origin))
			return origin;
	return AP_SLICE_NONE;
}

static void
origin_add(const struct wp_cors *c, struct ap_slice origin, struct ap_fields *f)
{
	ap_fields_set(f, AP_S("access-control-allow-origin"), origin);
	if (c->allow_credentials)
		ap_fields_set(f, AP_S("access-control-allow-credentials"), AP_S("true"));
}

bool
f_cors_request(struct wp_request *r)
{
	const struct wp_cors *c = &r->route->cors;
	struct ap_slice origin;
	struct ap_fields f;

	if (!c->is_set || !ap_slice_eq(r->view.method, AP_S("OPTIONS")) ||
	    !ap_fields_has(&r->head.fields, AP_S("access-control-request-method")))
		return false;
	origin = allowed_origin(r);
	if (origin.len == 0)
		return false;
	ap_fields_init(&f, r->x->arena);
	origin_add(c, origin, &f);
	if (c->methods.len > 0)
		ap_fields_add(&f, AP_S("access-control-allow-methods"), c->methods);
	if (c->headers.len > 0)
		ap_fields_add(&f, AP_S("access-control-allow-headers"), c->headers);
	if (c->max_age_s > 0)
		ap_fields_add(&f, AP_S("access-control-max-age"), ap_arena_printf(r->x->arena, "%u", c->max_age_s));
	wp_answer_fields(r, 200, 0, "cors_response", &f, AP_SLICE_NONE, NULL);
	return true;
}

void
f_cors_response(struct wp_request *r, struct ap_http_head *head)
{
	const struct wp_cors *c = &r->route->cors;
	struct ap_slice origin;

	if (!c->is_set)
		return;
	origin = allowed_origin(r);
	if (origin.len == 0)
		return;
	origin_add(c, origin, &head->fields);
	if (c->expose.len > 0)
		ap_fields_set(&head->fields, AP_S("access-control-expose-headers"), c->expose);
}
