/*
 * zt_dump.c -- config_dump in the shape that istioctl's ztunnel-config reads (istio-ambient.md 7.2).  Main thread; connections are
 * asked of each worker in turn.
 */
#include <stdio.h>
#include <string.h>

#include "base/b64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "mesh/policy.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_capture.h"
#include "ztunnel/zt_conn.h"

struct dump {
	struct ap_buf *out;
	struct zt *zt;
	bool begun; /* of the list being written */
};

static void
text(struct ap_buf *out, const char *key, struct ap_slice value)
{
	ap_buf_printf(out, "\"%s\":", key);
	ap_buf_add_json(out, value);
	ap_buf_add_char(out, ',');
}

/* The comma behind the last member goes; then the bracket. */
static void
close_with(struct ap_buf *out, char bracket)
{
	if (out->len > 0 && out->ptr[out->len - 1] == ',')
		out->ptr[--out->len] = '\0';
	ap_buf_add_char(out, bracket);
	ap_buf_add_char(out, ',');
}

static void
gateway(struct ap_buf *out, const char *key, const struct ap_mesh_gateway *g)
{
	char ip[AP_ADDR_TEXT], at[600];

	if (g->kind == AP_MESH_GATEWAY_NONE)
		return;
	if (g->kind == AP_MESH_GATEWAY_HOST)
		(void)snprintf(at, sizeof(at), "%.*s/%.*s", AP_FMT(g->namespace_), AP_FMT(g->hostname));
	else
		(void)snprintf(at, sizeof(at), "%.*s/%s", AP_FMT(g->network), ap_ip_format(&g->ip, ip, sizeof(ip)));
	ap_buf_printf(out, "\"%s\":{", key);
	text(out, "destination", ap_slice_of(at));
	ap_buf_printf(out, "\"hboneMtlsPort\":%u},", g->hbone_port);
}

static bool
dump_workload(struct ap_mesh_workload *w, void *arg)
{
	static const char *const types[] = { "deployment", "cronjob", "pod", "job" };
	struct dump *d = arg;
	struct ap_buf *out = d->out;
	char ip[AP_ADDR_TEXT];
	uint32_t i;

	ap_buf_add_char(out, '{');
	text(out, "uid", w->uid);
	text(out, "name", w->name);
	text(out, "namespace", w->namespace_);
	text(out, "serviceAccount", w->service_account);
	text(out, "trustDomain", w->trust_domain);
	text(out, "workloadName", w->workload_name);
	text(out, "workloadType", ap_slice_of(types[w->workload_type & 3]));
	text(out, "canonicalName", w->canonical_name);
	text(out, "canonicalRevision", w->canonical_revision);
	text(out, "clusterId", w->cluster);
	text(out, "network", w->network);
	text(out, "node", w->node);
	text(out, "hostname", w->hostname);
	text(out, "protocol", w->is_hbone ? AP_S("HBONE") : AP_S("TCP"));
	text(out, "status", w->is_healthy ? AP_S("Healthy") : AP_S("Unhealthy"));
	text(out, "networkMode", w->is_host_network ? AP_S("HostNetwork") : AP_S("Standard"));
	ap_buf_printf(out, "\"capacity\":%u,\"nativeTunnel\":%s,", w->capacity, w->is_native ? "true" : "false");
	gateway(out, "waypoint", &w->waypoint);
	gateway(out, "networkGateway", &w->network_gateway);
	ap_buf_add_text(out, "\"locality\":{");
	if (w->region.len > 0)
		text(out, "region", w->region);
	if (w->zone.len > 0)
		text(out, "zone", w->zone);
	if (w->subzone.len > 0)
		text(out, "subzone", w->subzone);
	close_with(out, '}');
	ap_buf_add_text(out, "\"workloadIps\":[");
	for (i = 0; i < w->ip_count; i++)
		ap_buf_printf(out, "\"%s\",", ap_ip_format(&w->ips[i], ip, sizeof(ip)));
	close_with(out, ']');
	ap_buf_add_text(out, "\"authorizationPolicies\":[");
	for (i = 0; i < w->policy_count; i++) {
		ap_buf_add_json(out, w->policies[i]);
		ap_buf_add_char(out, ',');
	}
	close_with(out, ']');
	ap_buf_add_text(out, "\"services\":[");
	for (i = 0; i < w->membership_count; i++) {
		ap_buf_add_json(out, w->memberships[i].service);
		ap_buf_add_char(out, ',');
	}
	close_with(out, ']');
	close_with(out, '}');
	return true;
}

static void
dump_ports(struct ap_buf *out, const struct ap_mesh_port *ports, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		ap_buf_printf(out, "\"%u\":%u,", ports[i].service_port, ports[i].target_port);
	close_with(out, '}');
}

static bool
dump_service(struct ap_mesh_service *s, void *arg)
{
	static const char *const modes[] = { "Standard", "Strict", "Failover", "Passthrough" };
	struct dump *d = arg;
	struct ap_buf *out = d->out;
	struct ap_mesh_workloads e = ap_mesh_endpoints(ap_mesh_feed_table(d->zt->feed), s);
	char ip[AP_ADDR_TEXT];
	uint32_t i;

	ap_buf_add_char(out, '{');
	text(out, "name", s->name);
	text(out, "namespace", s->namespace_);
	text(out, "hostname", s->hostname);
	ap_buf_add_text(out, "\"vips\":[");
	for (i = 0; i < s->vip_count; i++)
		ap_buf_printf(out, "\"%.*s/%s\",", AP_FMT(s->vips[i].network),
		    s->vips[i].cidr.bits == s->vips[i].cidr.ip.len * 8
		        ? ap_ip_format(&s->vips[i].cidr.ip, ip, sizeof(ip))
		        : ap_cidr_format(&s->vips[i].cidr, ip, sizeof(ip)));
	close_with(out, ']');
	ap_buf_add_text(out, "\"ports\":{");
	dump_ports(out, s->ports, s->port_count);
	ap_buf_add_text(out, "\"subjectAltNames\":[");
	for (i = 0; i < s->san_count; i++) {
		ap_buf_add_json(out, s->sans[i]);
		ap_buf_add_char(out, ',');
	}
	close_with(out, ']');
	gateway(out, "waypoint", &s->waypoint);
	if (s->mode != AP_MESH_LB_RANDOM) {
		ap_buf_add_text(out, "\"loadBalancer\":{");
		text(out, "mode", ap_slice_of(modes[s->mode & 3]));
		text(out, "healthPolicy", s->allow_unhealthy ? AP_S("AllowAll") : AP_S("OnlyHealthy"));
		close_with(out, '}');
	}
	ap_buf_add_text(out, "\"endpoints\":{");
	for (i = 0; i < e.count; i++) {
		const struct ap_mesh_membership *m = ap_mesh_workload_membership(e.items[i], s->key);

		ap_buf_add_json(out, e.items[i]->uid);
		ap_buf_add_text(out, ":{");
		text(out, "workloadUid", e.items[i]->uid);
		text(out, "service", s->key);
		text(out, "status", e.items[i]->is_healthy ? AP_S("Healthy") : AP_S("Unhealthy"));
		ap_buf_add_text(out, "\"port\":{");
		dump_ports(out, m == NULL ? NULL : m->ports, m == NULL ? 0 : m->port_count);
		close_with(out, '}');
	}
	close_with(out, '}');
	close_with(out, '}');
	return true;
}

static bool
dump_policy(struct ap_authz_policy *p, void *arg)
{
	static const char *const scopes[] = { "Global", "Namespace", "WorkloadSelector" };
	struct dump *d = arg;
	struct ap_slice key = ap_authz_policy_key(p);
	struct ap_slice name = ap_slice_from(key, ap_authz_policy_namespace(p).len + 1);

	ap_buf_add_char(d->out, '{');
	text(d->out, "name", name);
	text(d->out, "namespace", ap_authz_policy_namespace(p));
	text(d->out, "scope", ap_slice_of(scopes[ap_authz_policy_scope(p)]));
	text(d->out, "action", ap_authz_policy_is_deny(p) ? AP_S("Deny") : AP_S("Allow"));
	ap_buf_printf(d->out, "\"dryRun\":%s,\"rules\":", ap_authz_policy_is_dry_run(p) ? "true" : "false");
	ap_authz_policy_rules_json(p, d->out);
	close_with(d->out, '}');
	return true;
}

/* A list of one certificate, as istioctl wants it. */
static void
dump_pem(struct ap_buf *out, const char *key, const char *pem, const struct ap_identity *id, bool is_leaf)
{
	struct ap_buf b64;
	char time[64];

	ap_buf_init(&b64, (size_t)2 * 1024 * 1024);
	ap_b64_encode(ap_slice_of(pem), &b64);
	ap_buf_printf(out, "\"%s\":[{", key);
	text(out, "pem", ap_buf_slice(&b64));
	if (is_leaf) {
		text(out, "serialNumber", ap_slice_of(id->serial));
		text(out, "validFrom", ap_slice_of(ap_clock_format(id->not_before * 1000000, 0, time, sizeof(time))));
		text(out, "expirationTime", ap_slice_of(ap_clock_format(id->not_after * 1000000, 0, time, sizeof(time))));
	}
	close_with(out, '}');
	close_with(out, ']');
	ap_buf_done(&b64);
}

static void
dump_identity(struct ap_slice spiffe, const struct ap_identity *id, const char *error, void *arg)
{
	struct dump *d = arg;

	ap_buf_add_char(d->out, '{');
	text(d->out, "identity", spiffe);
	text(d->out, "state", id != NULL ? AP_S("Available") : error[0] != '\0' ? AP_S("Unavailable") : AP_S("Initializing"));
	if (error[0] != '\0')
		text(d->out, "error", ap_slice_of(error));
	if (id != NULL) {
		dump_pem(d->out, "certChain", id->chain_pem, id, true);
		dump_pem(d->out, "rootCerts", id->roots_pem, id, false);
	}
	close_with(d->out, '}');
}

/* Connections: on each worker. */

struct listing {
	struct zt_worker *zw;
	struct ap_buf *out;
	enum zt_direction direction;
};

static void
put_point(struct ap_buf *out, const char *key, const struct zt_point *p)
{
	struct ap_addr a = zt_point_addr(p);
	char at[AP_ADDR_TEXT];

	if (a.len > 0)
		text(out, key, ap_slice_of(ap_addr_format(&a, at, sizeof(at))));
}

static int
list_connections(struct ap_worker *w, void *arg)
{
	static const char *const protocols[] = { "TCP", "HBONE", "DOUBLEHBONE" };
	struct listing *l = arg;

	(void)w;
	AP_LIST_FOR(link, &l->zw->conns) {
		const struct zt_conn *c = AP_LIST_ITEM(link, struct zt_conn, link);

		if (c->direction != l->direction || !c->is_open)
			continue;
		ap_buf_add_char(l->out, '{');
		put_point(l->out, "src", &c->src);
		put_point(l->out, "originalDst", &c->dst);
		put_point(l->out, "actualDst", &c->actual);
		text(l->out, "protocol", ap_slice_of(protocols[c->protocol]));
		if (c->source != NULL)
			text(l->out, "sourceWorkload", c->source->name);
		if (c->mutual_tls && c->source_identity != NULL)
			text(l->out, "sourceIdentity", ap_slice_of(c->source_identity));
		if (c->destination != NULL)
			text(l->out, "destinationWorkload", c->destination->name);
		if (c->service != NULL)
			text(l->out, "service", c->service->hostname);
		ap_buf_printf(l->out, "\"bytesSent\":%llu,\"bytesReceived\":%llu,", (unsigned long long)c->sent,
		    (unsigned long long)c->received);
		close_with(l->out, '}');
	}
	return 0;
}

static void
dump_connections(struct dump *d, const char *key, enum zt_direction direction)
{
	uint32_t i;

	ap_buf_printf(d->out, "\"%s\":[", key);
	for (i = 0; i < d->zt->worker_count; i++) {
		struct listing l = { .zw = d->zt->workers[i], .out = d->out, .direction = direction };

		if (l.zw != NULL)
			(void)ap_worker_run(l.zw->w, list_connections, &l);
	}
	close_with(d->out, ']');
}

static void
dump_hosted(struct dump *d)
{
	const struct zt_hosted *h = d->zt->hosted;
	uint32_t i, j;

	ap_buf_add_text(d->out, "\"hosted\":[");
	for (i = 0; i < h->count; i++) {
		ap_buf_add_char(d->out, '{');
		text(d->out, "name", h->items[i].name);
		text(d->out, "namespace", h->items[i].namespace_);
		text(d->out, "identity", ap_slice_of(h->items[i].spiffe));
		ap_buf_add_text(d->out, "\"ports\":[");
		for (j = 0; j < h->items[i].port_count; j++)
			ap_buf_printf(d->out, "%u,", h->items[i].ports[j].port);
		close_with(d->out, ']');
		close_with(d->out, '}');
	}
	close_with(d->out, ']');
}

void
zt_dump(struct zt *zt, struct ap_buf *out)
{
	const struct ap_mesh_table *t = ap_mesh_feed_table(zt->feed);
	struct dump d = { .out = out, .zt = zt };

	ap_buf_add_text(out, "{\"workloads\":[");
	ap_mesh_each_workload(t, dump_workload, &d);
	close_with(out, ']');
	ap_buf_add_text(out, "\"services\":[");
	ap_mesh_each_service(t, dump_service, &d);
	close_with(out, ']');
	ap_buf_add_text(out, "\"policies\":[");
	ap_mesh_each_policy(t, dump_policy, &d);
	close_with(out, ']');
	ap_buf_add_text(out, "\"stagedServices\":{},\"staticConfig\":{},\"certificates\":[");
	ap_identity_each(zt->identities, dump_identity, &d);
	close_with(out, ']');
	ap_buf_add_text(out, "\"version\":{");
	text(out, "version", AP_S(PACKAGE_VERSION));
	text(out, "buildId", AP_S(AP_BUILD_ID));
	close_with(out, '}');
	ap_buf_add_text(out, "\"connections\":{");
	dump_connections(&d, "inbound", ZT_INBOUND);
	dump_connections(&d, "outbound", ZT_OUTBOUND);
	close_with(out, '}');
	dump_hosted(&d);
	ap_buf_add_text(out, "\"capture\":");
	zt_capture_dump(zt->capture, out);
	ap_buf_add_char(out, ',');
	close_with(out, '}');
	if (out->len > 0 && out->ptr[out->len - 1] == ',')
		out->ptr[--out->len] = '\0';
}
