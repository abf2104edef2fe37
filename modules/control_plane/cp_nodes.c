/*
 * cp_nodes.c -- nodes and their registrations.
 *
 * Entries outlive the connection and the control plane: an unreachable or restarted control plane must not empty the mesh.  A
 * ztunnel's entries turn unhealthy ten seconds after its last stream ended, a waypoint's at once, since its clients are to
 * fail rather than wait.
 *
 * Owns the nodes; the entries belong to the store.
 */
#include "control_plane/cp_nodes.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/vec.h"
#include "codec/json.h"
#include "control_plane/cp.h"
#include "control_plane/cp_compile.h"
#include "control_plane/cp_enrol.h"
#include "event/loop.h"
#include "state/registry.h"

AP_LOG_MODULE(cp_nodes);

#define GRACE_MS 10000U
#define WORKLOADS_MAX 1024U

struct cp_node {
	struct cp_nodes *nodes;
	char *key, *host, *role, *gateway; /* gateway "ns/name", or "" */
	unsigned streams;
	bool was_away;     /* since it was last connected */
	bool gateway_gone; /* its Gateway was deleted while it ran */
	struct ap_timer grace;
	AP_VEC(char *) entries; /* keys of its WorkloadEntries */
};

struct cp_nodes {
	struct cp *cp;
	struct ap_map by_key;
	bool frozen;
};

/* --- Nodes ---------------------------------------------------------------------------------------------------------------- */

static void on_grace(struct ap_timer *t, void *arg);

static void
entries_clear(struct cp_node *n)
{
	for (size_t i = 0; i < n->entries.count; i++)
		ap_free(&n->entries.items[i]);
	ap_vec_done(&n->entries);
}

static void
node_free(void *ptr)
{
	struct cp_node *n = ptr;
	ap_timer_stop(&n->grace);
	entries_clear(n);
	ap_free(&n->key);
	ap_free(&n->host);
	ap_free(&n->role);
	ap_free(&n->gateway);
	ap_free(&n);
}

static struct cp_node *
node_get(struct cp_nodes *nodes, struct ap_slice host, struct ap_slice role, struct ap_slice gateway)
{
	char *key = ap_asprintf("%.*s|%.*s|%.*s", AP_FMT(host), AP_FMT(role), AP_FMT(gateway));
	struct cp_node *n = ap_map_find(&nodes->by_key, ap_slice_of(key));
	if (n != NULL) {
		ap_free(&key);
		return n;
	}
	n = ap_new(struct cp_node);
	n->nodes = nodes;
	n->key = key;
	n->host = ap_strndup(host.ptr, host.len);
	n->role = ap_strndup(role.ptr, role.len);
	n->gateway = ap_strndup(gateway.ptr, gateway.len);
	ap_timer_init(&n->grace, nodes->cp->loop, on_grace, n);
	ap_map_put(&nodes->by_key, ap_slice_of(n->key), n);
	return n;
}

static bool
is_waypoint(const struct cp_node *n)
{
	return n->gateway[0] != '\0';
}

const char *
cp_node_scope(const struct cp_node *node)
{
	return is_waypoint(node) ? node->gateway : CP_SCOPE_ZTUNNEL;
}

const char *
cp_node_host(const struct cp_node *node)
{
	return node->host;
}

/* --- Health ----------------------------------------------------------------------------------------------------------------- */

static void
set_health(struct cp_node *n, bool healthy, const char *reason, const char *message)
{
	struct cp *cp = n->nodes->cp;
	cp_batch_begin(cp);
	for (size_t i = 0; i < n->entries.count; i++) {
		struct ap_error err = { 0 };
		/* An entry that somebody deleted meanwhile is no trouble. */
		(void)cp_set_condition(cp, ap_slice_of(n->entries.items[i]), "Healthy", healthy, reason, message, &err);
	}
	struct ap_error err = { 0 };
	if (cp_batch_end(cp, &err) != 0)
		LOG_ERROR(NULL, "the health of %s's workloads cannot be written: %s", n->host, err.text);
}

static void write_status(struct cp_node *n, const struct ap_doc *metadata);
static bool forget_gone(struct cp_node *n);

static void
away(struct cp_node *n)
{
	n->was_away = true;
	LOG_INFO(NULL, "%s %s%s%s is away: its workloads are unhealthy", n->role, n->host, is_waypoint(n) ? " for " : "",
	    n->gateway);
	set_health(n, false, "HostDisconnected", "its proxy is not connected to the control plane");
}

static void
on_grace(struct ap_timer *t, void *arg)
{
	(void)t;
	struct cp_node *n = arg;
	if (forget_gone(n))
		return;
	write_status(n, NULL);
	if (!is_waypoint(n) || !n->was_away)
		away(n);
}

/* --- Host.status -------------------------------------------------------------------------------------------------------------- */

static struct ap_doc *
list_of(struct ap_arena *arena, struct ap_slice text)
{
	struct ap_doc *list = ap_doc_new_list(arena);
	while (text.ptr != NULL && text.len > 0) {
		struct ap_slice part = ap_slice_trim(ap_slice_cut(&text, ','));
		if (part.len > 0)
			ap_doc_append(list, ap_doc_new_string(arena, part));
	}
	return list;
}

static int64_t
number_of(const struct ap_doc *metadata, const char *key)
{
	uint64_t n = 0;
	return ap_text_to_u64(ap_doc_string(metadata, key, ""), 65535, &n) == 0 ? (int64_t)n : 0;
}

static struct ap_doc *
proxy_doc(struct ap_arena *arena, const struct cp_node *n, const struct ap_doc *metadata)
{
	struct ap_doc *p = ap_doc_new_map(arena), *workloads = ap_doc_new_list(arena);
	ap_doc_set_string(arena, p, "role", ap_slice_of(n->role));
	if (is_waypoint(n))
		ap_doc_set_string(arena, p, "gateway", ap_slice_of(n->gateway));
	ap_doc_set(arena, p, "connected", ap_doc_new_bool(arena, n->streams > 0));
	ap_doc_set(arena, p, "metricsPort", ap_doc_new_int(arena, number_of(metadata, "METRICS_PORT")));
	ap_doc_set(arena, p, "addresses", list_of(arena, ap_doc_string(metadata, "INSTANCE_IPS", "")));
	for (size_t i = 0; i < n->entries.count; i++) {
		/* "networking.istio.io/WorkloadEntry/ns/name" */
		struct ap_slice rest = ap_slice_of(n->entries.items[i]);
		(void)ap_slice_cut(&rest, '/');
		(void)ap_slice_cut(&rest, '/');
		ap_doc_append(workloads, ap_doc_new_string(arena, rest));
	}
	ap_doc_set(arena, p, "workloads", workloads);
	return p;
}

static bool
is_same_proxy(const struct ap_doc *p, const struct cp_node *n)
{
	return ap_slice_eq_text(ap_doc_string(p, "role", ""), n->role) &&
	       ap_slice_eq_text(ap_doc_string(p, "gateway", ""), n->gateway);
}

/* The ztunnel's entry stands at the top of the status, or the first one's where there is none. */
static void
lift(struct ap_arena *arena, struct ap_doc *status, const struct ap_doc *proxies)
{
	static const char *const keys[] = { "role", "connected", "metricsPort", "addresses", "workloads" };
	const struct ap_doc *top = proxies->first;
	AP_DOC_FOR(p, proxies)
		if (ap_slice_eq_text(ap_doc_string(p, "role", ""), "ztunnel"))
			top = p;
	for (size_t i = 0; top != NULL && i < AP_COUNTOF(keys); i++) {
		const struct ap_doc *v = ap_doc_get(top, keys[i]);
		if (v != NULL)
			ap_doc_set(arena, status, keys[i], ap_doc_copy(arena, v));
	}
}

/* metadata: NULL when only `connected` changes. */
static void
write_status(struct cp_node *n, const struct ap_doc *metadata)
{
	struct cp *cp = n->nodes->cp;
	const struct ap_resource *host =
	    ap_resources_get(cp_resources(cp), "ambit.mesh", "Host", AP_SLICE_NONE, ap_slice_of(n->host));
	if (host == NULL)
		return;
	struct ap_arena *arena = ap_arena_new((size_t)4 * 1024 * 1024);
	struct ap_doc *status = host->status == NULL ? ap_doc_new_map(arena) : ap_doc_copy(arena, host->status);
	struct ap_doc *proxies = ap_doc_new_list(arena);
	bool found = false;
	AP_DOC_FOR(p, ap_doc_get(host->status, "proxies")) {
		bool mine = is_same_proxy(p, n);
		struct ap_doc *copy = mine && metadata != NULL ? proxy_doc(arena, n, metadata) : ap_doc_copy(arena, p);
		if (mine)
			ap_doc_set(arena, copy, "connected", ap_doc_new_bool(arena, n->streams > 0));
		found = found || mine;
		ap_doc_append(proxies, copy);
	}
	if (!found && metadata != NULL)
		ap_doc_append(proxies, proxy_doc(arena, n, metadata));
	lift(arena, status, proxies);
	ap_doc_set(arena, status, "proxies", proxies);
	struct ap_error err = { 0 };
	if (cp_set_status(cp, host->key, status, &err) != 0)
		LOG_ERROR(NULL, "the status of host %s cannot be written: %s", n->host, err.text);
	ap_arena_free(&arena);
}

/* --- Registration --------------------------------------------------------------------------------------------------------------- */

struct registration {
	struct cp_node *node;
	struct ap_arena *arena;
	const struct ap_doc *metadata;
	struct ap_slice address; /* first of INSTANCE_IPS */
	AP_VEC(struct ap_doc *) docs;
	AP_VEC(char *) keys;
};

static void
set_if(struct ap_arena *arena, struct ap_doc *map, const char *key, struct ap_slice value)
{
	if (value.len > 0)
		ap_doc_set_string(arena, map, key, value);
}

/* A WorkloadEntry without labels and ports. Its spec is returned. */
static struct ap_doc *
new_entry(struct registration *g, struct ap_slice ns, const char *name, struct ap_slice account, struct ap_doc *notes)
{
	struct ap_arena *arena = g->arena;
	struct ap_doc *e = ap_doc_new_map(arena), *meta = ap_doc_new_map(arena), *spec = ap_doc_new_map(arena);
	ap_doc_set_string(arena, e, "apiVersion", AP_S("networking.istio.io/v1"));
	ap_doc_set_string(arena, e, "kind", AP_S("WorkloadEntry"));
	ap_doc_set_string(arena, meta, "name", ap_slice_of(name));
	ap_doc_set_string(arena, meta, "namespace", ns);
	ap_doc_set_string(arena, notes, AP_ANNOTATION_HOST, ap_slice_of(g->node->host));
	ap_doc_set_string(arena, notes, AP_ANNOTATION_HBONE, AP_S("true"));
	ap_doc_set_string(arena, notes, AP_ANNOTATION_ROLE, ap_slice_of(g->node->role));
	ap_doc_set(arena, meta, "annotations", notes);
	ap_doc_set(arena, e, "metadata", meta);
	set_if(arena, spec, "address", g->address);
	set_if(arena, spec, "serviceAccount", account);
	set_if(arena, spec, "network", ap_doc_string(g->metadata, "NETWORK", ""));
	struct ap_slice region = ap_doc_string(g->metadata, "REGION", ""), zone = ap_doc_string(g->metadata, "ZONE", "");
	struct ap_slice sub = ap_doc_string(g->metadata, "SUBZONE", "");
	if (region.len > 0)
		ap_doc_set_string(arena, spec, "locality",
		    ap_arena_printf(arena, "%.*s%s%.*s%s%.*s", AP_FMT(region), zone.len > 0 ? "/" : "", AP_FMT(zone),
		        zone.len > 0 && sub.len > 0 ? "/" : "", AP_FMT(zone.len > 0 ? sub : AP_SLICE_NONE)));
	ap_doc_set(arena, e, "spec", spec);
	ap_vec_push(&g->docs, e);
	ap_vec_push(&g->keys, ap_asprintf("networking.istio.io/WorkloadEntry/%.*s/%s", AP_FMT(ns), name));
	return spec;
}

static void
add_workload(struct registration *g, const struct ap_doc *w)
{
	struct cp *cp = g->node->nodes->cp;
	struct ap_slice name = ap_doc_string(w, "name", ""), ns = ap_doc_string(w, "namespace", "default");
	struct ap_slice account = ap_doc_string(w, "serviceAccount", "default");
	if (name.len == 0)
		return;
	if (!cp_host_may_run(cp, ap_slice_of(g->node->host), ns, account)) {
		LOG_WARN(NULL, "host %s may not run %.*s/%.*s: workload %.*s is not registered", g->node->host, AP_FMT(ns),
		    AP_FMT(account), AP_FMT(name));
		return;
	}
	struct ap_doc *notes = ap_doc_new_map(g->arena), *ports = ap_doc_new_map(g->arena);
	ap_doc_set_string(g->arena, notes, AP_ANNOTATION_WORKLOAD, name);
	char *full = ap_asprintf("%s-%.*s", g->node->host, AP_FMT(name));
	struct ap_doc *spec = new_entry(g, ns, full, account, notes);
	ap_free(&full);
	const struct ap_doc *labels = ap_doc_get(w, "labels");
	if (ap_doc_is(labels, AP_DOC_MAP) && labels->count > 0)
		ap_doc_set(g->arena, spec, "labels", ap_doc_copy(g->arena, labels));
	AP_DOC_FOR(p, ap_doc_get(w, "ports")) {
		struct ap_slice pn = ap_doc_string(p, "name", "");
		int64_t port = ap_doc_int(p, "port", 0);
		if (pn.len > 0 && port > 0 && port < 65536)
			ap_doc_set(g->arena, ports, pn.ptr, ap_doc_new_int(g->arena, port));
	}
	if (ports->count > 0)
		ap_doc_set(g->arena, spec, "ports", ports);
}

static void
add_waypoint(struct registration *g)
{
	struct ap_slice name = ap_slice_of(g->node->gateway), ns = ap_slice_cut(&name, '/');
	struct ap_doc *notes = ap_doc_new_map(g->arena), *ports = ap_doc_new_map(g->arena), *labels = ap_doc_new_map(g->arena);
	ap_doc_set_string(g->arena, notes, AP_ANNOTATION_WORKLOAD, name);
	/* One waypoint may run several times, on one host too: told apart by host. */
	char *full = ap_asprintf("%.*s-%s", AP_FMT(name), g->node->host);
	struct ap_doc *spec = new_entry(g, ns, full, name, notes);
	ap_free(&full);
	ap_doc_set_string(g->arena, labels, AP_LABEL_GATEWAY, name);
	ap_doc_set(g->arena, spec, "labels", labels);
	int64_t port = number_of(g->metadata, "HBONE_PORT");
	ap_doc_set(g->arena, ports, "hbone", ap_doc_new_int(g->arena, port > 0 ? port : 15008));
	ap_doc_set(g->arena, spec, "ports", ports);
}

static bool
has_key(const struct registration *g, const char *key)
{
	for (size_t i = 0; i < g->keys.count; i++)
		if (strcmp(g->keys.items[i], key) == 0)
			return true;
	return false;
}

/* Apply what is wanted, remove what is no longer, and remember the keys. */
static void
commit(struct registration *g)
{
	struct cp_node *n = g->node;
	struct cp *cp = n->nodes->cp;
	struct ap_errors errs = { 0 };
	/* One by one: a workload that is refused must not keep the others out. */
	for (size_t i = 0; i < g->docs.count; i++)
		(void)cp_apply(cp, &g->docs.items[i], 1, CP_APPLY_TRUSTED, &errs);
	for (size_t i = 0; i < errs.count; i++)
		LOG_WARN(NULL, "a workload of host %s is refused: %s", n->host, errs.items[i].text);
	ap_errors_done(&errs);
	for (size_t i = 0; i < n->entries.count; i++) {
		struct ap_error err = { 0 };
		if (!has_key(g, n->entries.items[i]))
			(void)cp_delete(cp, ap_slice_of(n->entries.items[i]), &err);
	}
	entries_clear(n);
	for (size_t i = 0; i < g->keys.count; i++)
		ap_vec_push(&n->entries, g->keys.items[i]);
	ap_vec_done(&g->keys);
	ap_vec_done(&g->docs);
}

static void
register_node(struct cp_node *n, const struct ap_doc *metadata)
{
	struct registration g = { .node = n, .arena = ap_arena_new((size_t)8 * 1024 * 1024), .metadata = metadata };
	struct ap_slice ips = ap_doc_string(metadata, "INSTANCE_IPS", "");
	g.address = ap_slice_trim(ap_slice_cut(&ips, ','));
	struct ap_doc *workloads = NULL;
	struct ap_error err = { 0 };
	struct ap_slice text = ap_doc_string(metadata, "WORKLOADS", "[]");
	if (ap_json_parse(g.arena, "WORKLOADS", text, &workloads, &err) != 0)
		LOG_WARN(NULL, "host %s describes its workloads in a form that cannot be read: %s", n->host, err.text);
	uint32_t count = 0;
	AP_DOC_FOR(w, workloads)
		if (!is_waypoint(n) && count++ < WORKLOADS_MAX)
			add_workload(&g, w);
	if (is_waypoint(n))
		add_waypoint(&g);
	commit(&g);
	ap_arena_free(&g.arena);
	set_health(n, true, "HostConnected", "");
	write_status(n, metadata);
}

/* --- Streams ---------------------------------------------------------------------------------------------------------------------- */

static enum ap_grpc_status
check(struct cp_nodes *nodes, const struct cp_caller *caller, struct ap_slice host, struct ap_slice gateway, struct ap_error *err)
{
	bool is_caller = caller->host != NULL &&
	                 (ap_slice_eq_text(host, caller->host) ||
	                     (caller->kind == CP_CALLER_TOKEN && strcmp(caller->host, "*") == 0));
	if (!is_caller) {
		ap_error_set(err, -1, "the caller is not host %.*s", AP_FMT(host));
		return AP_GRPC_PERMISSION_DENIED;
	}
	struct ap_slice name = gateway, ns = ap_slice_cut(&name, '/');
	if (gateway.len > 0 && (name.ptr == NULL || !cp_host_may_run(nodes->cp, host, ns, name))) {
		ap_error_set(err, -1, "host %.*s may not run waypoint %.*s", AP_FMT(host), AP_FMT(gateway));
		return AP_GRPC_PERMISSION_DENIED;
	}
	return AP_GRPC_OK;
}

enum ap_grpc_status
cp_nodes_connect(struct cp_nodes *nodes, const struct cp_caller *caller, const struct ap_doc *metadata,
    struct cp_node **out, struct ap_error *err)
{
	*out = NULL;
	struct ap_slice host = ap_doc_string(metadata, "AMBIT_HOST", ""), role = ap_doc_string(metadata, "AMBIT_ROLE", "ztunnel");
	struct ap_slice gateway = ap_doc_string(metadata, "GATEWAY", "");
	if (host.len == 0)
		return AP_GRPC_OK;
	enum ap_grpc_status status = check(nodes, caller, host, gateway, err);
	if (status != AP_GRPC_OK)
		return status;
	struct cp_node *n = node_get(nodes, host, role, gateway);
	n->streams++;
	n->was_away = false;
	ap_timer_stop(&n->grace);
	ap_timer_init(&n->grace, nodes->cp->loop, on_grace, n);
	register_node(n, metadata);
	*out = n;
	return AP_GRPC_OK;
}

void
cp_nodes_disconnect(struct cp_nodes *nodes, struct cp_node *n)
{
	if (--n->streams > 0 || nodes->frozen)
		return;
	if (n->gateway_gone && forget_gone(n))
		return;
	write_status(n, NULL);
	if (is_waypoint(n))
		away(n);
	/* The end of the grace also finds waypoints of which there never was a Gateway. */
	ap_timer_start(&n->grace, GRACE_MS);
}

/* --- Waypoints that nobody needs any more ------------------------------------------------------------------------------------------- */

static bool
has_gateway(const struct cp_node *n)
{
	struct ap_slice name = ap_slice_of(n->gateway), ns = ap_slice_cut(&name, '/');
	return ap_resources_get(cp_resources(n->nodes->cp), "gateway.networking.k8s.io", "Gateway", ns, name) != NULL;
}

/* A Host that was made for this waypoint alone goes with it. */
static void
forget_host(struct cp_node *n)
{
	struct cp *cp = n->nodes->cp;
	const struct ap_resource *host =
	    ap_resources_get(cp_resources(cp), "ambit.mesh", "Host", AP_SLICE_NONE, ap_slice_of(n->host));
	const struct ap_doc *proxies = host == NULL ? NULL : ap_doc_get(host->status, "proxies");
	/* One that was revoked stays, or it could join again. */
	if (proxies == NULL || proxies->count != 1 || !is_same_proxy(proxies->first, n) ||
	    ap_doc_bool(host->spec, "revoked", false))
		return;
	struct ap_error err = { 0 };
	if (cp_delete(cp, host->key, &err) != 0)
		LOG_WARN(NULL, "host %s cannot be removed: %s", n->host, err.text);
}

/* The waypoint's Gateway is gone and it does not run any more: take away what was written down for it. True: the node is freed. */
static bool
forget_gone(struct cp_node *n)
{
	struct cp_nodes *nodes = n->nodes;
	if (has_gateway(n))
		n->gateway_gone = false;
	if (!is_waypoint(n) || n->streams > 0 || has_gateway(n))
		return false;
	for (size_t i = 0; i < n->entries.count; i++) {
		struct ap_error err = { 0 };
		(void)cp_delete(nodes->cp, ap_slice_of(n->entries.items[i]), &err);
	}
	forget_host(n);
	LOG_INFO(NULL, "waypoint %s on %s is gone for good", n->gateway, n->host);
	ap_map_remove(&nodes->by_key, ap_slice_of(n->key));
	node_free(n);
	return true;
}

void
cp_nodes_gateway_gone(struct cp_nodes *nodes, struct ap_slice path)
{
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(&nodes->by_key, &i)) != NULL;) {
		struct cp_node *n = e->value;
		if (!ap_slice_eq_text(path, n->gateway))
			continue;
		n->gateway_gone = true;
		(void)forget_gone(n);
	}
}

/* --- Life -------------------------------------------------------------------------------------------------------------------------- */

struct cp_nodes *
cp_nodes_new(struct cp *cp)
{
	struct cp_nodes *nodes = ap_new(struct cp_nodes);
	nodes->cp = cp;
	const struct ap_map *all = ap_resources_of(cp_resources(cp), "networking.istio.io", "WorkloadEntry");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *w = e->value;
		struct ap_slice host = ap_resource_annotation(w, AP_ANNOTATION_HOST);
		struct ap_slice role = ap_resource_annotation(w, AP_ANNOTATION_ROLE);
		struct ap_slice gw = ap_doc_string(ap_doc_get(w->spec, "labels"), AP_LABEL_GATEWAY, "");
		if (host.len == 0 || role.len == 0)
			continue;
		char gateway[600] = "";
		if (gw.len > 0)
			snprintf(gateway, sizeof(gateway), "%.*s/%.*s", AP_FMT(w->namespace_), AP_FMT(gw));
		struct cp_node *n = node_get(nodes, host, role, ap_slice_of(gateway));
		ap_vec_push(&n->entries, ap_strndup(w->key.ptr, w->key.len));
		ap_timer_start(&n->grace, GRACE_MS);
	}
	/* Hosts without workloads too: that they were connected is known from their status. */
	all = ap_resources_of(cp_resources(cp), "ambit.mesh", "Host");
	for (size_t i = 0; (e = ap_map_next(all, &i)) != NULL;) {
		const struct ap_resource *host = e->value;
		AP_DOC_FOR(p, ap_doc_get(host->status, "proxies")) {
			if (!ap_doc_bool(p, "connected", false))
				continue;
			struct cp_node *n =
			    node_get(nodes, host->name, ap_doc_string(p, "role", ""), ap_doc_string(p, "gateway", ""));
			ap_timer_start(&n->grace, GRACE_MS);
		}
	}
	return nodes;
}

void
cp_nodes_freeze(struct cp_nodes *nodes)
{
	nodes->frozen = true;
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(&nodes->by_key, &i)) != NULL;)
		ap_timer_stop(&((struct cp_node *)e->value)->grace);
}

void
cp_nodes_free(struct cp_nodes **nodes)
{
	if (*nodes == NULL)
		return;
	ap_map_done(&(*nodes)->by_key, node_free);
	ap_free(nodes);
}
