/* wp_admin.c -- what the admin socket shows of the waypoint.  Main thread; reads its own tables alone. */
#include <stdatomic.h>
#include <string.h>

#include "base/compiler.h"
#include "waypoint/wp_priv.h"

bool
wp_is_ready(const struct wp *wp, struct ap_buf *why)
{
	size_t before = why->len;

	if (!atomic_load(&wp->synced))
		ap_buf_add_text(why, "configuration");
	if (!atomic_load(&wp->certified))
		ap_buf_printf(why, "%scertificate", why->len > before ? ", " : "");
	if (atomic_load(&wp->listening) < wp->worker_count)
		ap_buf_printf(why, "%slisteners", why->len > before ? ", " : "");
	if (atomic_load(&wp->draining))
		ap_buf_printf(why, "%sdraining", why->len > before ? ", " : "");
	return why->len == before;
}

static void
names_add(struct ap_buf *out, const struct ap_slice *names, uint32_t count)
{
	ap_buf_add_char(out, '[');
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			ap_buf_add_char(out, ',');
		ap_buf_add_json(out, names[i]);
	}
	ap_buf_add_char(out, ']');
}

static void
route_add(struct ap_buf *out, const struct wp_route *r)
{
	ap_buf_add_text(out, "{\"name\":");
	ap_buf_add_json(out, r->name);
	ap_buf_printf(out, ",\"matches\":%u,\"timeoutMs\":%u,\"destinations\":[", r->match_count, r->timeout_ms);
	for (uint32_t i = 0; i < r->destination_count; i++) {
		if (i > 0)
			ap_buf_add_char(out, ',');
		ap_buf_add_text(out, "{\"cluster\":");
		ap_buf_add_json(out, r->destinations[i].cluster);
		ap_buf_printf(out, ",\"weight\":%u}", r->destinations[i].weight);
	}
	ap_buf_add_text(out, "]}");
}

static void
host_add(struct ap_buf *out, const struct wp_host *h)
{
	static const char *const protocols[] = { "AUTO", "HTTP", "HTTP2", "TCP" };

	ap_buf_add_text(out, "{\"host\":");
	ap_buf_add_json(out, h->key);
	ap_buf_add_text(out, ",\"policies\":");
	names_add(out, h->policies, h->policy_count);
	ap_buf_add_text(out, ",\"luaPolicies\":");
	names_add(out, h->lua_policies, h->lua_policy_count);
	ap_buf_add_text(out, ",\"ports\":[");
	for (uint32_t i = 0; i < h->port_count; i++) {
		const struct wp_port *p = &h->ports[i];

		ap_buf_printf(out, "%s{\"number\":%u,\"protocol\":\"%s\",\"routes\":[", i > 0 ? "," : "", p->number,
		    protocols[p->protocol]);
		for (uint32_t k = 0; k < p->route_count; k++) {
			if (k > 0)
				ap_buf_add_char(out, ',');
			route_add(out, &p->routes[k]);
		}
		ap_buf_add_text(out, "]}");
	}
	ap_buf_add_text(out, "]}");
}

static void
keys_add(struct ap_buf *out, const struct ap_map *m)
{
	struct ap_map_entry *e;
	bool first = true;

	ap_buf_add_char(out, '[');
	for (size_t i = 0; (e = ap_map_next(m, &i)) != NULL; first = false) {
		if (!first)
			ap_buf_add_char(out, ',');
		ap_buf_add_json(out, e->key);
	}
	ap_buf_add_char(out, ']');
}

bool
wp_admin(void *self, const char *path, struct ap_buf *out)
{
	struct wp *wp = self;
	const struct wp_table *t = wp_feed_table(wp->feed);
	struct ap_map_entry *e;
	struct ap_buf why;
	bool first = true;

	if (strcmp(path, "config") != 0 && strcmp(path, "/config") != 0 && strcmp(path, "") != 0 &&
	    strcmp(path, "/") != 0)
		return false;
	ap_buf_init(&why, 1024);
	ap_buf_printf(out,
	    "{\"gateway\":\"%s/%s\",\"identity\":\"%s\",\"hbonePort\":%u,\"ready\":%s,\"pending\":", wp->set.namespace_,
	    wp->set.gateway, wp->identity, wp->hbone_port, wp_is_ready(wp, &why) ? "true" : "false");
	ap_buf_add_json(out, ap_buf_slice(&why));
	ap_buf_done(&why);
	ap_buf_printf(out, ",\"connections\":%u,\"hosts\":[", atomic_load(&wp->downs));
	for (size_t i = 0; (e = ap_map_next(&t->hosts, &i)) != NULL; first = false) {
		if (!first)
			ap_buf_add_char(out, ',');
		host_add(out, e->value);
	}
	ap_buf_add_text(out, "],\"policies\":");
	keys_add(out, &t->policies);
	ap_buf_add_text(out, ",\"luaPolicies\":");
	keys_add(out, &t->scripts);
	ap_buf_add_char(out, '}');
	return true;
}
