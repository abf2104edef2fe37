/* ui_names.c -- the tables of ui_names.h; everything lies in one arena.  Pure. */
#include "metrics_ui/ui_names.h"

#include <stdio.h>

#include "base/mem.h"
#include "metrics_ui/ui_flow.h"

#define NAMES_CEILING ((size_t)64 * 1024 * 1024)

struct ui_names *
ui_names_new(void)
{
	struct ui_names *n = ap_new(struct ui_names);

	n->arena = ap_arena_new(NAMES_CEILING);
	return n;
}

void
ui_names_free(struct ui_names **names)
{
	struct ui_names *n = *names;

	if (n == NULL)
		return;
	ap_map_done(&n->waypoints, NULL);
	ap_map_done(&n->workloads, NULL);
	ap_map_done(&n->services, NULL);
	ap_map_done(&n->principals, NULL);
	ap_arena_free(&n->arena);
	ap_free(names);
}

static struct ap_slice
make_id(struct ui_names *n, struct ap_slice namespace_, struct ap_slice name)
{
	return ap_arena_printf(n->arena, "%.*s/%.*s", AP_FMT(namespace_), AP_FMT(name));
}

struct ui_waypoint *
ui_names_waypoint(struct ui_names *n, struct ap_slice namespace_, struct ap_slice name)
{
	struct ap_slice id = make_id(n, namespace_, name);
	struct ui_waypoint *w = ap_map_find(&n->waypoints, id);

	if (w != NULL || (w = ap_arena_new_object(n->arena, struct ui_waypoint)) == NULL)
		return w;
	w->id = id;
	w->namespace_ = ap_arena_copy(n->arena, namespace_);
	w->name = ap_arena_copy(n->arena, name);
	ap_map_put(&n->waypoints, id, w);
	return w;
}

struct ui_workload *
ui_names_workload(struct ui_names *n, struct ap_slice namespace_, struct ap_slice name)
{
	struct ap_slice id = make_id(n, namespace_, name);
	struct ui_workload *w = ap_map_find(&n->workloads, id);

	if (w != NULL || (w = ap_arena_new_object(n->arena, struct ui_workload)) == NULL)
		return w;
	w->id = id;
	w->namespace_ = ap_arena_copy(n->arena, namespace_);
	w->name = ap_arena_copy(n->arena, name);
	ap_map_put(&n->workloads, id, w);
	return w;
}

struct ui_service *
ui_names_service(struct ui_names *n, struct ap_slice host)
{
	struct ui_service *s = ap_map_find(&n->services, host);

	if (s != NULL || (s = ap_arena_new_object(n->arena, struct ui_service)) == NULL)
		return s;
	s->host = ap_arena_copy(n->arena, host);
	ap_map_put(&n->services, host, s);
	return s;
}

void
ui_names_workload_host(struct ui_names *n, struct ui_workload *w, struct ap_slice host)
{
	struct ap_slice *grown;

	for (uint32_t i = 0; i < w->host_count; i++)
		if (ap_slice_eq(w->hosts[i], host))
			return;
	/* Few per workload: copying on each addition is fine in an arena. */
	grown = ap_arena_alloc(n->arena, (w->host_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return;
	for (uint32_t i = 0; i < w->host_count; i++)
		grown[i] = w->hosts[i];
	grown[w->host_count++] = ap_arena_copy(n->arena, host);
	w->hosts = grown;
}

void
ui_names_finish(struct ui_names *n)
{
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&n->workloads, &i)) != NULL;) {
		struct ui_workload *w = e->value;

		if (w->principal.len == 0)
			continue;
		ap_map_put(&n->principals, w->principal, ap_map_has(&n->principals, w->principal) ? NULL : w);
	}
}

const struct ui_waypoint *
ui_names_is_waypoint(
    const struct ui_names *n, struct ap_slice principal, struct ap_slice namespace_, struct ap_slice workload)
{
	struct ap_slice ns, sa;
	const struct ui_waypoint *w = NULL;
	char id[640];
	int len;

	if (n->waypoints.count == 0)
		return NULL;
	/* A waypoint's service account bears its name. */
	if (ui_principal_parts(principal, &ns, &sa)) {
		len = snprintf(id, sizeof(id), "%.*s/%.*s", AP_FMT(ns), AP_FMT(sa));
		if (len > 0 && (size_t)len < sizeof(id))
			w = ap_map_find(&n->waypoints, ap_slice(id, (size_t)len));
	}
	if (w != NULL)
		return w;
	len = snprintf(id, sizeof(id), "%.*s/%.*s", AP_FMT(namespace_), AP_FMT(workload));
	return len > 0 && (size_t)len < sizeof(id) ? ap_map_find(&n->waypoints, ap_slice(id, (size_t)len)) : NULL;
}
