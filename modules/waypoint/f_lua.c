/* f_lua.c -- the operators' scripts at a request and at its answer, in the host's order; a script that is not known denies. */
#include "base/mem.h"
#include "waypoint/wp_request.h"

static bool
verdict_take(struct wp_request *r, const struct ap_lua_result *out)
{
	if (out->verdict == AP_LUA_ALLOW)
		return false;
	if (out->verdict == AP_LUA_RESPOND)
		wp_answer_fields(r, out->status, 0, "lua_response", out->fields, out->body,
		    out->fields != NULL && ap_fields_has(out->fields, AP_S("content-type")) ? NULL : "text/plain");
	else if (out->failed)
		wp_answer(r, 403, 0, "lua_failed", AP_S("denied: a policy script failed"));
	else
		wp_answer(r, 403, 0, "lua_denied", out->reason.len > 0 ? out->reason : AP_S("denied"));
	return true;
}

static void
peer_fill(struct ap_arena *arena, const struct ap_mesh_workload *w, struct ap_lua_peer *p)
{
	struct ap_lua_label *labels;

	if (w == NULL)
		return;
	p->workload = w->workload_name;
	labels = ap_arena_alloc(arena, (w->label_count + 1) * sizeof(*labels));
	for (uint32_t i = 0; labels != NULL && i < w->label_count; i++)
		labels[i] = (struct ap_lua_label){ w->labels[i].name, w->labels[i].value };
	p->labels = labels;
	p->label_count = labels == NULL ? 0 : w->label_count;
}

/* What scripts see of the connection; made at the first script of a request. */
static bool
conn_make(struct wp_request *r)
{
	struct wp_down *d = r->down;
	struct ap_lua_conn *c = ap_arena_new_object(r->x->arena, struct ap_lua_conn);

	r->lua = ap_arena_new_object(r->x->arena, struct ap_lua_result);
	r->lua_conn = c;
	if (c == NULL || r->lua == NULL)
		return false;
	if (d->tags != NULL)
		*r->lua = *d->tags;
	c->source.identity = d->identity;
	c->source.namespace_ = r->view.source_namespace;
	c->source.service_account = r->view.source_account;
	c->source.address = d->peer;
	peer_fill(r->x->arena, d->source, &c->source);
	c->destination.namespace_ = r->binding->host->namespace_;
	c->destination.address = ap_addr_of(&d->destination_ip, d->port);
	c->service = r->binding->host->hostname;
	c->port = d->port;
	return true;
}

bool
f_lua_request(struct wp_request *r)
{
	for (uint32_t i = 0; i < r->binding->script_count; i++) {
		struct ap_lua_script *s = r->binding->scripts[i];

		if (s == NULL) {
			wp_answer(r, 403, 0, "lua_unknown", AP_S("denied: a policy script is not known"));
			return true;
		}
		if (!ap_lua_script_has(s, AP_LUA_ON_REQUEST))
			continue;
		if (r->lua_conn == NULL && !conn_make(r)) {
			wp_answer(r, 431, WP_FLAG(BAD_REQUEST), "arena_full", AP_SLICE_NONE);
			return true;
		}
		ap_lua_on_request(r->ww->lua, s, r->lua_conn, &r->head, r->x->arena, r->lua);
		if (verdict_take(r, r->lua))
			return true;
	}
	return false;
}

bool
f_lua_response(struct wp_request *r, struct ap_http_head *head)
{
	for (uint32_t i = 0; i < r->binding->script_count; i++) {
		struct ap_lua_script *s = r->binding->scripts[i];

		if (s == NULL || !ap_lua_script_has(s, AP_LUA_ON_RESPONSE))
			continue;
		if (r->lua_conn == NULL && !conn_make(r)) {
			wp_answer(r, 500, 0, "arena_full", AP_SLICE_NONE);
			return true;
		}
		ap_lua_on_response(r->ww->lua, s, r->lua_conn, &r->head, head, r->x->arena, r->lua);
		if (verdict_take(r, r->lua))
			return true;
	}
	return false;
}
