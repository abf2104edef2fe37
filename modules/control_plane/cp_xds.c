/*
 * cp_xds.c -- keeps the compiled sets current and serves them.
 *
 * A change of resources schedules one run of the compiler a moment later, so that a file of fifty objects is one run; the next
 * run is put off by twice the time that the last one took, which bounds the compiler's share of the thread under churn.
 * After a run the statuses that it decided are written back, and the streams are told.
 *
 * Owns the sets, the discovery server and the nodes.
 */
#include "control_plane/cp_xds.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "control_plane/cp.h"
#include "control_plane/cp_compile.h"
#include "control_plane/cp_enrol.h"
#include "control_plane/cp_nodes.h"
#include "control_plane/cp_status.h"
#include "control_plane/cp_vips.h"
#include "event/loop.h"
#include "xds/pb.h"
#include "xds/server.h"

#include "ambit/waypoint.pb-c.h"
#include "istio/authorization.pb-c.h"
#include "istio/workload.pb-c.h"

AP_LOG_MODULE(cp_xds);

#define MAGIC AP_MAGIC('c', 'p', 'x', 'd')
#define SETTLE_MS 10U
#define MOST_DELAY_MS 2000U

struct cp_xds {
	uint32_t magic;
	struct cp *cp;
	struct cp_compiled compiled;
	struct ap_xds_server *server;
	struct cp_nodes *nodes;
	struct cp_vips *vips;
	struct cp_refusals *refusals;
	struct cp_subscriber subscriber;
	struct ap_timer timer;
	uint64_t delay_ms;
	char *cluster;
};

struct peer {
	struct cp_caller caller;
	struct cp_node *node;
	const char *scope;
};

/* --- Compiling -------------------------------------------------------------------------------------------------------------- */

static void
recompile(struct cp_xds *x)
{
	struct cp *cp = x->cp;
	uint64_t began = ap_clock_mono_ms();
	struct cp_compile_input in = { .resources = cp_resources(cp),
		.trust_domain = cp->settings.trust_domain,
		.cluster_domain = cp->settings.cluster_domain,
		.cluster = ap_slice_of(x->cluster),
		.root_namespace = cp->settings.root_namespace,
		.vips = cp_vips_map(x->vips) };
	cp_compile(&x->compiled, &in);
	/* Addresses that were given out in this run are in the next one's input. */
	if (cp_vips_assign(x->vips, x->compiled.registry))
		cp_compile(&x->compiled, &in);
	cp_refusals_note(x->refusals, &x->compiled, cp);
	cp_status_write(cp, &x->compiled, x->vips);
	uint64_t took = ap_clock_mono_ms() - began;
	x->delay_ms = AP_MIN(AP_MAX(took * 2, (uint64_t)SETTLE_MS), (uint64_t)MOST_DELAY_MS);
	LOG_DEBUG(NULL, "compiled %zu services and %zu workloads in %llu ms", x->compiled.registry->service_count,
	    x->compiled.registry->workload_count, (unsigned long long)took);
	ap_xds_server_notify(x->server);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	(void)t;
	struct cp_xds *x = arg;
	AP_IS(x, MAGIC);
	recompile(x);
}

/* Of mere status changes only these kinds' say anything that is compiled. */
static bool
matters(const struct cp_change *c)
{
	if (strcmp(c->kind->kind, "Host") == 0 || strcmp(c->kind->kind, "JoinToken") == 0)
		return false;
	return !c->status_only || strcmp(c->kind->kind, "Gateway") == 0 || strcmp(c->kind->kind, "WorkloadEntry") == 0;
}

/* --- Callers whose right ended ------------------------------------------------------------------------------------------------ */

struct ended {
	struct ap_xds_stream **items;
	size_t count, room;
	struct cp *cp;
};

static void
find_ended(void *arg, struct ap_xds_stream *s)
{
	struct ended *e = arg;
	struct peer *p = ap_xds_stream_peer(s);
	struct ap_error err = { 0 };
	/* A token's end is not the end of a stream that began with it: the host joined by now. */
	if (p->caller.kind == CP_CALLER_TOKEN || cp_caller_check(e->cp, &p->caller, &err) == AP_GRPC_OK)
		return;
	ap_vec_push(e, s);
}

static void
end_revoked(struct cp_xds *x)
{
	struct ended e = { .cp = x->cp };
	ap_xds_server_each(x->server, find_ended, &e);
	for (size_t i = 0; i < e.count; i++) {
		LOG_INFO(NULL, "the stream of %s is ended: its host was revoked", ap_xds_stream_node_id(e.items[i]));
		ap_xds_stream_end(e.items[i], AP_GRPC_PERMISSION_DENIED, "the host was revoked");
	}
	ap_free(&e.items);
}

static void
on_change(struct cp *cp, const struct cp_change *changes, size_t count, void *arg)
{
	(void)cp;
	struct cp_xds *x = arg;
	AP_IS(x, MAGIC);
	bool compile = false, hosts = false;
	for (size_t i = 0; i < count; i++) {
		compile = compile || matters(&changes[i]);
		hosts = hosts || (strcmp(changes[i].kind->kind, "Host") == 0 && !changes[i].status_only);
		if (changes[i].after == NULL && strcmp(changes[i].kind->kind, "Gateway") == 0)
			cp_nodes_gateway_gone(x->nodes, changes[i].before->path);
	}
	if (hosts)
		end_revoked(x);
	if (compile && !x->timer.armed)
		ap_timer_start(&x->timer, x->delay_ms);
}

/* --- Streams -------------------------------------------------------------------------------------------------------------------- */

static enum ap_grpc_status
admit(void *arg, struct ap_xds_stream *s, struct ap_error *err)
{
	struct cp_xds *x = arg;
	struct peer *p = ap_xds_stream_peer(s);
	enum ap_grpc_status status =
	    cp_nodes_connect(x->nodes, &p->caller, ap_xds_stream_metadata(s), &p->node, err);
	if (status != AP_GRPC_OK) {
		LOG_WARN_LIMIT(NULL, 5, "%s is not admitted: %s", ap_xds_stream_node_id(s), err->text);
		return status;
	}
	p->scope = p->node == NULL ? CP_SCOPE_ZTUNNEL : cp_node_scope(p->node);
	LOG_INFO(NULL, "%s follows (%s)", ap_xds_stream_node_id(s), p->scope);
	return AP_GRPC_OK;
}

static bool
visible(void *arg, const struct ap_xds_stream *s, const struct ap_xds_entry *e)
{
	(void)arg;
	if (e->scope.len == 0)
		return true;
	const struct peer *p = ap_xds_stream_peer(s);
	struct ap_slice rest = e->scope;
	while (rest.ptr != NULL)
		if (ap_slice_eq_text(ap_slice_cut(&rest, '\n'), p->scope))
			return true;
	return false;
}

static void
refused(void *arg, struct ap_xds_stream *s, const char *type_url, const char *text)
{
	struct cp_xds *x = arg;
	LOG_WARN(NULL, "%s refused some of %s: %s", ap_xds_stream_node_id(s), type_url, text);
	cp_refusals_add(x->refusals, &x->compiled, type_url, ap_xds_stream_node_id(s), text);
	if (!x->timer.armed)
		ap_timer_start(&x->timer, x->delay_ms);
}

static void
gone(void *arg, struct ap_xds_stream *s, bool was_admitted)
{
	struct cp_xds *x = arg;
	struct peer *p = ap_xds_stream_peer(s);
	if (was_admitted)
		LOG_INFO(NULL, "%s left", ap_xds_stream_node_id(s));
	if (p->node != NULL)
		cp_nodes_disconnect(x->nodes, p->node);
	cp_caller_done(&p->caller);
	ap_free(&p);
}

static const struct ap_xds_server_ops server_ops = {
	.admit = admit,
	.visible = visible,
	.refused = refused,
	.gone = gone,
};

void
cp_xds_serve(struct cp_xds *x, struct ap_exchange *exchange, struct cp_caller *caller)
{
	struct peer *p = ap_new(struct peer);
	p->caller = *caller;
	*caller = (struct cp_caller){ 0 };
	ap_xds_server_take(x->server, exchange, p);
}

/* --- Dumps ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *word;
	const ProtobufCMessageDescriptor *desc;
} dumps[CP_SETS] = {
	[CP_SET_AUTHORIZATION] = { "authorization", &istio__security__authorization__descriptor },
	[CP_SET_POLICY] = { "policy", &ambit__waypoint__policy__descriptor },
	[CP_SET_LUA] = { "lua", &ambit__waypoint__lua_policy__descriptor },
	[CP_SET_ADDRESS] = { "address", &istio__workload__address__descriptor },
	[CP_SET_HOST] = { "host", &ambit__waypoint__host__descriptor },
};

struct ap_doc *
cp_xds_dump(struct cp_xds *x, const char *what, struct ap_arena *arena)
{
	if (strcmp(what, "streams") == 0)
		return ap_xds_server_dump(x->server, arena);
	for (size_t i = 0; i < CP_SETS; i++) {
		if (strcmp(dumps[i].word, what) != 0)
			continue;
		struct ap_doc *map = ap_doc_new_map(arena);
		AP_XDS_SET_FOR(e, x->compiled.sets[i]) {
			ProtobufCMessage *m = e->removed ? NULL : ap_pb_unpack(dumps[i].desc, e->body);
			if (m == NULL)
				continue;
			ap_doc_set(arena, map, e->name.ptr, ap_pb_to_doc(arena, m));
			protobuf_c_message_free_unpacked(m, NULL);
		}
		return map;
	}
	return NULL;
}

/* --- Life -------------------------------------------------------------------------------------------------------------------------- */

struct cp_xds *
cp_xds_start(struct cp *cp, struct ap_error *err)
{
	struct cp_xds *x = ap_new(struct cp_xds);
	x->magic = MAGIC;
	x->cp = cp;
	x->delay_ms = SETTLE_MS;
	struct ap_slice cluster = ap_doc_string(cp->settings.section, "cluster", "");
	x->cluster = ap_strndup(cluster.ptr, cluster.len);
	x->refusals = cp_refusals_new();
	cp_compiled_init(&x->compiled);
	ap_timer_init(&x->timer, cp->loop, on_timer, x);
	x->vips = cp_vips_new(cp->settings.vip_cidr, err);
	if (x->vips == NULL) {
		cp_xds_stop(&x);
		return NULL;
	}
	struct ap_xds_server_set sets[CP_SETS];
	for (size_t i = 0; i < CP_SETS; i++)
		sets[i] = (struct ap_xds_server_set){ .set = x->compiled.sets[i],
			.exact = i == CP_SET_HOST || i == CP_SET_POLICY || i == CP_SET_LUA };
	struct ap_xds_server_settings settings = { .loop = cp->loop,
		.sets = sets,
		.set_count = CP_SETS,
		.max_age_ms = (uint64_t)(ap_doc_duration_ns(cp->settings.section, "maxConnectionAge", 0) / 1000000),
		.ops = &server_ops,
		.arg = x };
	x->server = ap_xds_server_new(&settings);
	x->nodes = cp_nodes_new(cp);
	recompile(x);
	cp_subscribe(cp, &x->subscriber, on_change, x);
	return x;
}

void
cp_xds_drain(struct cp_xds *x)
{
	cp_nodes_freeze(x->nodes);
	ap_xds_server_end_all(x->server, AP_GRPC_UNAVAILABLE, "transport is closing");
}

void
cp_xds_stop(struct cp_xds **px)
{
	struct cp_xds *x = *px;
	if (x == NULL)
		return;
	if (x->subscriber.fn != NULL)
		cp_unsubscribe(x->cp, &x->subscriber);
	ap_timer_stop(&x->timer);
	if (x->nodes != NULL)
		cp_nodes_freeze(x->nodes);
	ap_xds_server_free(&x->server);
	cp_nodes_free(&x->nodes);
	cp_vips_free(&x->vips);
	cp_refusals_free(&x->refusals);
	cp_compiled_done(&x->compiled);
	ap_free(&x->cluster);
	x->magic = 0;
	ap_free(px);
}
