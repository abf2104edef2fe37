/*
 * registry.c -- builds the view of services and workloads, and looks names up in it.
 *
 * Built whole from a set of resources; cheap enough to be built again on every change (the delta protocol sends only what
 * differs).  Its lists are ordered by name, so that the same resources always give the same bytes.
 */
#include "state/registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/registry_parts.h"

struct ap_slice
reg_printf(struct reg_build *b, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	return ap_arena_copy(b->r->arena, ap_slice(text, AP_MIN((size_t)n, sizeof(text) - 1)));
}

static int
compare_services(const void *a, const void *b)
{
	const struct ap_reg_service *x = *(struct ap_reg_service *const *)a, *y = *(struct ap_reg_service *const *)b;
	return ap_slice_cmp(x->key, y->key);
}

static int
compare_workloads(const void *a, const void *b)
{
	const struct ap_reg_workload *x = *(struct ap_reg_workload *const *)a;
	const struct ap_reg_workload *y = *(struct ap_reg_workload *const *)b;
	return ap_slice_cmp(x->uid, y->uid);
}

static void *
to_arena(struct ap_arena *arena, const void *items, size_t count, size_t size)
{
	if (count == 0)
		return NULL;
	void *out = ap_arena_alloc(arena, count * size);
	if (out != NULL)
		memcpy(out, items, count * size);
	return out;
}

/* Which of two services of one host name answers where no namespace is preferred: a Service before a ServiceEntry. */
static bool
is_preferred(const struct ap_reg_service *s, const struct ap_reg_service *other)
{
	return other == NULL || (other->is_entry && !s->is_entry);
}

static void
finish(struct reg_build *b)
{
	struct ap_registry *r = b->r;
	if (b->services.count > 0)
		qsort(b->services.items, b->services.count, sizeof(void *), compare_services);
	if (b->workloads.count > 0)
		qsort(b->workloads.items, b->workloads.count, sizeof(void *), compare_workloads);
	r->services = to_arena(r->arena, b->services.items, b->services.count, sizeof(void *));
	r->service_count = r->services == NULL ? 0 : b->services.count;
	r->workloads = to_arena(r->arena, b->workloads.items, b->workloads.count, sizeof(void *));
	r->workload_count = r->workloads == NULL ? 0 : b->workloads.count;
	for (size_t i = 0; i < r->service_count; i++) {
		struct ap_reg_service *s = r->services[i];
		if (is_preferred(s, ap_map_find(&r->by_host, s->hostname)))
			ap_map_put(&r->by_host, s->hostname, s);
	}
}

static void
free_workloads(void *value)
{
	struct reg_workloads *list = value;
	ap_free(&list->items);
	ap_free(&list);
}

struct ap_registry *
ap_registry_build(
    struct ap_arena *arena, const struct ap_resource_set *resources, const struct ap_registry_options *options)
{
	struct ap_registry *r = ap_arena_new_object(arena, struct ap_registry);
	if (r == NULL)
		return NULL;
	r->arena = arena;
	r->resources = resources;
	r->cluster_domain = options->cluster_domain.len > 0 ? options->cluster_domain : AP_S("cluster.local");
	r->trust_domain = options->trust_domain.len > 0 ? options->trust_domain : AP_S("cluster.local");
	r->cluster = options->cluster.len > 0 ? options->cluster : AP_S("Kubernetes");
	struct reg_build b = { .r = r, .vips = options->vips };
	reg_add_workload_entries(&b);
	reg_add_services(&b);
	reg_add_service_entries(&b);
	reg_add_waypoints(&b);
	reg_mark_shared(&b);
	finish(&b);
	ap_vec_done(&b.services);
	ap_vec_done(&b.workloads);
	ap_map_done(&b.by_label, free_workloads);
	return r;
}

void
ap_registry_done(struct ap_registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->service_count; i++)
		ap_free(&r->services[i]->endpoints);
	for (size_t i = 0; i < r->workload_count; i++)
		ap_free(&r->workloads[i]->memberships);
	ap_map_done(&r->by_key, NULL);
	ap_map_done(&r->by_host, NULL);
	ap_map_done(&r->by_uid, NULL);
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

struct ap_slice
ap_registry_fqdn(const struct ap_registry *r, struct ap_slice host, struct ap_slice namespace_)
{
	if (host.len == 0 || ap_slice_find(host, '.') != SIZE_MAX || host.ptr[0] == '*')
		return host;
	return ap_arena_printf(
	    r->arena, "%.*s.%.*s.svc.%.*s", AP_FMT(host), AP_FMT(namespace_), AP_FMT(r->cluster_domain));
}

static struct ap_reg_service *
find_key(const struct ap_registry *r, struct ap_slice namespace_, struct ap_slice host)
{
	char key[600];
	int n = snprintf(key, sizeof(key), "%.*s/%.*s", AP_FMT(namespace_), AP_FMT(host));
	return n < 0 || (size_t)n >= sizeof(key) ? NULL : ap_map_find(&r->by_key, ap_slice(key, (size_t)n));
}

struct ap_reg_service *
ap_registry_find(const struct ap_registry *r, struct ap_slice host, struct ap_slice namespace_)
{
	char name[600];
	if (ap_slice_find(host, '.') == SIZE_MAX) {
		int n = snprintf(name, sizeof(name), "%.*s.%.*s.svc.%.*s", AP_FMT(host), AP_FMT(namespace_),
		    AP_FMT(r->cluster_domain));
		if (n < 0 || (size_t)n >= sizeof(name))
			return NULL;
		struct ap_reg_service *s = find_key(r, namespace_, ap_slice(name, (size_t)n));
		if (s != NULL)
			return s;
	}
	struct ap_reg_service *s = find_key(r, namespace_, host);
	return s != NULL ? s : ap_map_find(&r->by_host, host);
}

struct ap_reg_service *
ap_registry_service(const struct ap_registry *r, struct ap_slice namespace_, struct ap_slice name)
{
	char host[600];
	int n = snprintf(
	    host, sizeof(host), "%.*s.%.*s.svc.%.*s", AP_FMT(name), AP_FMT(namespace_), AP_FMT(r->cluster_domain));
	return n < 0 || (size_t)n >= sizeof(host) ? NULL : find_key(r, namespace_, ap_slice(host, (size_t)n));
}

struct ap_reg_service *
ap_registry_find_loose(const struct ap_registry *r, struct ap_slice host, struct ap_slice namespace_)
{
	struct ap_reg_service *s = ap_registry_find(r, host, namespace_);
	if (s != NULL)
		return s;
	struct ap_slice rest = host;
	struct ap_slice name = ap_slice_cut(&rest, '.');
	struct ap_slice ns = ap_slice_cut(&rest, '.');
	if (ns.len == 0 || (rest.len > 0 && !ap_slice_eq_text(rest, "svc")))
		return NULL;
	return ap_registry_service(r, ns, name);
}

struct ap_slice
ap_registry_spiffe(const struct ap_registry *r, struct ap_slice namespace_, struct ap_slice account)
{
	return ap_arena_printf(
	    r->arena, "spiffe://%.*s/ns/%.*s/sa/%.*s", AP_FMT(r->trust_domain), AP_FMT(namespace_), AP_FMT(account));
}

bool
ap_host_matches(struct ap_slice pattern, struct ap_slice host)
{
	if (ap_slice_eq_text(pattern, "*"))
		return true;
	if (pattern.len > 1 && pattern.ptr[0] == '*')
		return host.len >= pattern.len && ap_slice_ends(host, ap_slice_from(pattern, 1));
	return ap_slice_eq_nocase(pattern, host);
}

uint16_t
ap_reg_target(const struct ap_reg_workload *w, const struct ap_reg_service *s, size_t port_index)
{
	for (size_t i = 0; i < w->membership_count; i++)
		if (w->memberships[i].service == s && w->memberships[i].targets[port_index] != 0)
			return w->memberships[i].targets[port_index];
	return s->ports[port_index].target;
}

bool
ap_reg_is_http(enum ap_reg_protocol p)
{
	return p == AP_REG_UNKNOWN || p == AP_REG_HTTP || p == AP_REG_HTTP2 || p == AP_REG_GRPC;
}
