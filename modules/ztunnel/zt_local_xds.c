/*
 * zt_local_xds.c -- state from a file, in the words of Istio's LocalConfig (istio-ambient.md A.4), for tests and for a host without a
 * control plane.  Each entry becomes the message that a control plane would send and takes the same way into the tables.
 * Main thread, at start.
 */
#include <errno.h>
#include <string.h>

#include "ambit/workload.pb-c.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/yaml.h"
#include "istio/authorization.pb-c.h"
#include "istio/workload.pb-c.h"
#include "xds/client.h"
#include "ztunnel/zt.h"

#define FILE_MAX ((size_t)64 * 1024 * 1024)
#define RESOURCES_MAX 100000

struct loading {
	struct ap_arena *arena; /* everything lives here; messages are never freed one by one */
	struct ap_xds_resource *resources;
	size_t count;
	struct ap_error *err;
};

static char *
text(struct loading *l, const struct ap_doc *d, const char *key)
{
	struct ap_slice s = ap_doc_string(d, key, "");

	return ap_arena_strndup(l->arena, s.ptr == NULL ? "" : s.ptr, s.len);
}

static void *
array(struct loading *l, const struct ap_doc *list)
{
	return ap_arena_zalloc(l->arena, ((list == NULL ? 0 : list->count) + 1) * sizeof(void *));
}

static ProtobufCBinaryData
bytes_of(struct loading *l, struct ap_slice ip_text)
{
	ProtobufCBinaryData b = { 0 };
	struct ap_ip ip;

	if (ap_ip_parse(ip_text, &ip) != 0)
		return b;
	b.len = ip.len;
	b.data = ap_arena_zalloc(l->arena, 16);
	memcpy(b.data, ip.bytes, ip.len);
	return b;
}

static bool
is(const struct ap_doc *d, const char *key, const char *word)
{
	return ap_slice_eq_nocase(ap_doc_string(d, key, ""), ap_slice_of(word));
}

/* "net/ip" or "ns/host" into its halves. */
static Istio__Workload__GatewayAddress *
gateway(struct loading *l, const struct ap_doc *d)
{
	Istio__Workload__GatewayAddress *g;
	struct ap_slice rest, first;

	if (d == NULL)
		return NULL;
	g = ap_arena_zalloc(l->arena, sizeof(*g));
	istio__workload__gateway_address__init(g);
	rest = ap_doc_string(d, "destination", "");
	first = ap_slice_cut(&rest, '/');
	g->hbone_mtls_port = (uint32_t)ap_doc_int(d, "hboneMtlsPort", 15008);
	if (bytes_of(l, rest).len > 0) {
		g->destination_case = ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_ADDRESS;
		g->address = ap_arena_zalloc(l->arena, sizeof(*g->address));
		istio__workload__network_address__init(g->address);
		g->address->network = ap_arena_strndup(l->arena, first.ptr, first.len);
		g->address->address = bytes_of(l, rest);
	} else {
		g->destination_case = ISTIO__WORKLOAD__GATEWAY_ADDRESS__DESTINATION_HOSTNAME;
		g->hostname = ap_arena_zalloc(l->arena, sizeof(*g->hostname));
		istio__workload__namespaced_hostname__init(g->hostname);
		g->hostname->namespace_ = ap_arena_strndup(l->arena, first.ptr, first.len);
		g->hostname->hostname = ap_arena_strndup(l->arena, rest.ptr == NULL ? "" : rest.ptr, rest.len);
	}
	return g;
}

static Istio__Workload__Port **
ports(struct loading *l, const struct ap_doc *map, size_t *out_count)
{
	Istio__Workload__Port **list = array(l, map);
	uint64_t number;

	AP_DOC_FOR(p, map) {
		if (ap_text_to_u64(p->key, 65535, &number) != 0)
			continue;
		list[*out_count] = ap_arena_zalloc(l->arena, sizeof(*list[0]));
		istio__workload__port__init(list[*out_count]);
		list[*out_count]->service_port = (uint32_t)number;
		list[(*out_count)++]->target_port = (uint32_t)p->integer;
	}
	return list;
}

static void
add(struct loading *l, struct ap_slice name, const ProtobufCMessage *m)
{
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = ap_arena_alloc(l->arena, size + 1);

	protobuf_c_message_pack(m, bytes);
	if (l->count < RESOURCES_MAX)
		l->resources[l->count++] =
		    (struct ap_xds_resource){ .name = name, .body = ap_slice((const char *)bytes, size) };
}

static void
labels(struct loading *l, const struct ap_doc *d, Istio__Workload__Workload *m)
{
	Ambit__Workload__Labels out;
	Istio__Workload__Extension *x;

	if (d == NULL)
		return;
	ambit__workload__labels__init(&out);
	out.labels = array(l, d);
	AP_DOC_FOR(e, d) {
		Ambit__Workload__Labels__LabelsEntry *entry = ap_arena_zalloc(l->arena, sizeof(*entry));

		ambit__workload__labels__labels_entry__init(entry);
		entry->key = ap_arena_strndup(l->arena, e->key.ptr, e->key.len);
		entry->value = ap_arena_strndup(l->arena, e->string.ptr == NULL ? "" : e->string.ptr, e->string.len);
		out.labels[out.n_labels++] = entry;
	}
	x = ap_arena_zalloc(l->arena, sizeof(*x));
	istio__workload__extension__init(x);
	x->name = ap_arena_strndup(l->arena, "ambit.labels", 12);
	x->config = ap_arena_zalloc(l->arena, sizeof(*x->config));
	google__protobuf__any__init(x->config);
	x->config->value.len = ambit__workload__labels__get_packed_size(&out);
	x->config->value.data = ap_arena_zalloc(l->arena, x->config->value.len + 1);
	ambit__workload__labels__pack(&out, x->config->value.data);
	m->extensions = ap_arena_zalloc(l->arena, sizeof(void *));
	m->extensions[m->n_extensions++] = x;
}

static void
load_workload(struct loading *l, const struct ap_doc *d)
{
	const struct ap_doc *ips = ap_doc_get(d, "workloadIps"), *services = ap_doc_get(d, "services");
	const struct ap_doc *policies = ap_doc_get(d, "authorizationPolicies"), *locality = ap_doc_get(d, "locality");
	Istio__Workload__Address a;
	Istio__Workload__Workload m;

	istio__workload__address__init(&a);
	istio__workload__workload__init(&m);
	a.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD;
	a.workload = &m;
	m.uid = text(l, d, "uid");
	m.name = text(l, d, "name");
	m.namespace_ = text(l, d, "namespace");
	m.service_account = text(l, d, "serviceAccount");
	m.trust_domain = text(l, d, "trustDomain");
	m.network = text(l, d, "network");
	m.node = text(l, d, "node");
	m.hostname = text(l, d, "hostname");
	m.workload_name = text(l, d, "workloadName");
	m.canonical_name = text(l, d, "canonicalName");
	m.canonical_revision = text(l, d, "canonicalRevision");
	m.cluster_id = text(l, d, "clusterId");
	m.native_tunnel = ap_doc_bool(d, "nativeTunnel", false);
	if (is(d, "protocol", "HBONE"))
		m.tunnel_protocol = ISTIO__WORKLOAD__TUNNEL_PROTOCOL__HBONE;
	if (is(d, "status", "Unhealthy"))
		m.status = ISTIO__WORKLOAD__WORKLOAD_STATUS__UNHEALTHY;
	if (is(d, "networkMode", "HostNetwork"))
		m.network_mode = ISTIO__WORKLOAD__NETWORK_MODE__HOST_NETWORK;
	m.addresses = ap_arena_zalloc(l->arena, ((ips == NULL ? 0 : ips->count) + 1) * sizeof(*m.addresses));
	AP_DOC_FOR(ip, ips)
		m.addresses[m.n_addresses++] = bytes_of(l, ip->string);
	m.authorization_policies = array(l, policies);
	AP_DOC_FOR(p, policies)
		m.authorization_policies[m.n_authorization_policies++] =
		    ap_arena_strndup(l->arena, p->string.ptr, p->string.len);
	m.services = array(l, services);
	AP_DOC_FOR(s, services) {
		Istio__Workload__Workload__ServicesEntry *e = ap_arena_zalloc(l->arena, sizeof(*e));

		istio__workload__workload__services_entry__init(e);
		e->key = ap_arena_strndup(l->arena, s->key.ptr, s->key.len);
		e->value = ap_arena_zalloc(l->arena, sizeof(*e->value));
		istio__workload__port_list__init(e->value);
		e->value->ports = ports(l, s, &e->value->n_ports);
		m.services[m.n_services++] = e;
	}
	if (locality != NULL) {
		m.locality = ap_arena_zalloc(l->arena, sizeof(*m.locality));
		istio__workload__locality__init(m.locality);
		m.locality->region = text(l, locality, "region");
		m.locality->zone = text(l, locality, "zone");
		m.locality->subzone = text(l, locality, "subzone");
	}
	m.waypoint = gateway(l, ap_doc_get(d, "waypoint"));
	m.network_gateway = gateway(l, ap_doc_get(d, "networkGateway"));
	labels(l, ap_doc_get(d, "labels"), &m);
	add(l, ap_slice_of(m.uid), &a.base);
}

static void
load_service(struct loading *l, const struct ap_doc *d)
{
	const struct ap_doc *vips = ap_doc_get(d, "vips"), *sans = ap_doc_get(d, "subjectAltNames");
	const struct ap_doc *lb = ap_doc_get(d, "loadBalancer");
	Istio__Workload__Address a;
	Istio__Workload__Service m;

	istio__workload__address__init(&a);
	istio__workload__service__init(&m);
	a.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE;
	a.service = &m;
	m.name = text(l, d, "name");
	m.namespace_ = text(l, d, "namespace");
	m.hostname = text(l, d, "hostname");
	m.canonical = ap_doc_bool(d, "canonical", false);
	m.addresses = array(l, vips);
	AP_DOC_FOR(v, vips) {
		Istio__Workload__NetworkAddress *n = ap_arena_zalloc(l->arena, sizeof(*n));
		struct ap_slice rest = v->string, network = ap_slice_cut(&rest, '/');

		istio__workload__network_address__init(n);
		n->network = ap_arena_strndup(l->arena, network.ptr, network.len);
		n->address = bytes_of(l, rest);
		m.addresses[m.n_addresses++] = n;
	}
	m.ports = ports(l, ap_doc_get(d, "ports"), &m.n_ports);
	m.subject_alt_names = array(l, sans);
	AP_DOC_FOR(s, sans)
		m.subject_alt_names[m.n_subject_alt_names++] = ap_arena_strndup(l->arena, s->string.ptr, s->string.len);
	m.waypoint = gateway(l, ap_doc_get(d, "waypoint"));
	if (lb != NULL) {
		m.load_balancing = ap_arena_zalloc(l->arena, sizeof(*m.load_balancing));
		istio__workload__load_balancing__init(m.load_balancing);
		if (is(lb, "mode", "Passthrough"))
			m.load_balancing->mode = ISTIO__WORKLOAD__LOAD_BALANCING__MODE__PASSTHROUGH;
		if (is(lb, "healthPolicy", "AllowAll"))
			m.load_balancing->health_policy = ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL;
	}
	add(l, ap_arena_printf(l->arena, "%s/%s", m.namespace_, m.hostname), &a.base);
}

/* Policies. */

static Istio__Security__StringMatch **
string_matches(struct loading *l, const struct ap_doc *list, size_t *out_count)
{
	Istio__Security__StringMatch **out = array(l, list);

	AP_DOC_FOR(d, list) {
		Istio__Security__StringMatch *m = ap_arena_zalloc(l->arena, sizeof(*m));

		istio__security__string_match__init(m);
		if (ap_doc_get(d, "exact") != NULL) {
			m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_EXACT;
			m->exact = text(l, d, "exact");
		} else if (ap_doc_get(d, "prefix") != NULL) {
			m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX;
			m->prefix = text(l, d, "prefix");
		} else if (ap_doc_get(d, "suffix") != NULL) {
			m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_SUFFIX;
			m->suffix = text(l, d, "suffix");
		} else {
			m->match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PRESENCE;
			m->presence = ap_arena_zalloc(l->arena, sizeof(*m->presence));
			google__protobuf__empty__init(m->presence);
		}
		out[(*out_count)++] = m;
	}
	return out;
}

static uint32_t *
port_matches(struct loading *l, const struct ap_doc *list, size_t *out_count)
{
	uint32_t *out = ap_arena_zalloc(l->arena, ((list == NULL ? 0 : list->count) + 1) * sizeof(*out));

	AP_DOC_FOR(d, list)
		out[(*out_count)++] = (uint32_t)d->integer;
	return out;
}

static Istio__Security__Address **
block_matches(struct loading *l, const struct ap_doc *list, size_t *out_count)
{
	Istio__Security__Address **out = array(l, list);
	struct ap_cidr c;

	AP_DOC_FOR(d, list) {
		Istio__Security__Address *a;

		if (ap_cidr_parse(d->string, &c) != 0)
			continue;
		a = ap_arena_zalloc(l->arena, sizeof(*a));
		istio__security__address__init(a);
		a->address.len = c.ip.len;
		a->address.data = ap_arena_zalloc(l->arena, 16);
		memcpy(a->address.data, c.ip.bytes, c.ip.len);
		a->length = c.bits;
		out[(*out_count)++] = a;
	}
	return out;
}

static Istio__Security__Match *
match(struct loading *l, const struct ap_doc *d)
{
	Istio__Security__Match *m = ap_arena_zalloc(l->arena, sizeof(*m));

	istio__security__match__init(m);
	m->namespaces = string_matches(l, ap_doc_get(d, "namespaces"), &m->n_namespaces);
	m->not_namespaces = string_matches(l, ap_doc_get(d, "notNamespaces"), &m->n_not_namespaces);
	m->principals = string_matches(l, ap_doc_get(d, "principals"), &m->n_principals);
	m->not_principals = string_matches(l, ap_doc_get(d, "notPrincipals"), &m->n_not_principals);
	m->source_ips = block_matches(l, ap_doc_get(d, "sourceIps"), &m->n_source_ips);
	m->not_source_ips = block_matches(l, ap_doc_get(d, "notSourceIps"), &m->n_not_source_ips);
	m->destination_ips = block_matches(l, ap_doc_get(d, "destinationIps"), &m->n_destination_ips);
	m->not_destination_ips = block_matches(l, ap_doc_get(d, "notDestinationIps"), &m->n_not_destination_ips);
	m->destination_ports = port_matches(l, ap_doc_get(d, "destinationPorts"), &m->n_destination_ports);
	m->not_destination_ports = port_matches(l, ap_doc_get(d, "notDestinationPorts"), &m->n_not_destination_ports);
	return m;
}

static void
load_policy(struct loading *l, const struct ap_doc *d)
{
	const struct ap_doc *groups = ap_doc_get(d, "rules");
	Istio__Security__Authorization m;

	istio__security__authorization__init(&m);
	m.name = text(l, d, "name");
	m.namespace_ = text(l, d, "namespace");
	m.scope = is(d, "scope", "Global") ? ISTIO__SECURITY__SCOPE__GLOBAL
	    : is(d, "scope", "Namespace")  ? ISTIO__SECURITY__SCOPE__NAMESPACE
	                                   : ISTIO__SECURITY__SCOPE__WORKLOAD_SELECTOR;
	m.action = is(d, "action", "Deny") ? ISTIO__SECURITY__ACTION__DENY : ISTIO__SECURITY__ACTION__ALLOW;
	m.dry_run = ap_doc_bool(d, "dryRun", false);
	m.groups = array(l, groups);
	AP_DOC_FOR(group, groups) {
		Istio__Security__Group *g = ap_arena_zalloc(l->arena, sizeof(*g));

		istio__security__group__init(g);
		g->rules = array(l, group);
		AP_DOC_FOR(rules, group) {
			Istio__Security__Rules *r = ap_arena_zalloc(l->arena, sizeof(*r));

			istio__security__rules__init(r);
			r->matches = array(l, rules);
			AP_DOC_FOR(one, rules)
				r->matches[r->n_matches++] = match(l, one);
			g->rules[g->n_rules++] = r;
		}
		m.groups[m.n_groups++] = g;
	}
	add(l, ap_arena_printf(l->arena, "%s/%s", m.namespace_, m.name), &m.base);
}

/* Hand over what was gathered, as a first and complete answer. */
static int
deliver(struct loading *l, const struct ap_xds_subscription *to)
{
	struct ap_xds_update update = { .type_url = to->type_url,
		.resources = l->resources,
		.count = l->count,
		.first = true };
	struct ap_buf reject;
	int r = 0;

	ap_buf_init(&reject, 65536);
	to->apply(to->arg, &update, &reject);
	if (reject.len > 0)
		r = ap_error_set(l->err, -EINVAL, "%s", reject.ptr);
	ap_buf_done(&reject);
	l->count = 0;
	return r;
}

int
zt_local_xds_load(struct ap_mesh_feed *feed, const char *path, struct ap_error *err)
{
	struct ap_xds_subscription subscriptions[AP_MESH_FEED_SUBSCRIPTIONS];
	struct loading l = { .arena = ap_arena_new((size_t)1024 * 1024 * 1024), .err = err };
	struct ap_yaml_docs docs = { 0 };
	const struct ap_doc *root;
	struct ap_buf bytes;
	int r;

	ap_buf_init(&bytes, FILE_MAX);
	l.resources = ap_arena_zalloc(l.arena, RESOURCES_MAX * sizeof(*l.resources));
	r = ap_file_read(path, &bytes, err);
	if (r == 0)
		r = ap_yaml_parse(l.arena, path, ap_buf_slice(&bytes), &docs, err);
	root = r == 0 && docs.count > 0 ? docs.items[0] : NULL;
	ap_mesh_feed_subscriptions(feed, subscriptions);
	AP_DOC_FOR(p, ap_doc_get(root, "policies"))
		load_policy(&l, p);
	if (r == 0)
		r = deliver(&l, &subscriptions[0]);
	AP_DOC_FOR(s, ap_doc_get(root, "services"))
		load_service(&l, s);
	AP_DOC_FOR(w, ap_doc_get(root, "workloads"))
		load_workload(&l, w);
	if (r == 0)
		r = deliver(&l, &subscriptions[1]);
	ap_buf_done(&bytes);
	ap_arena_free(&l.arena);
	return r;
}
