/* zt_node.c -- what the node tells the control plane of itself and its workloads (auto-registration reads it). Main thread. */
#include <stdio.h>

#include "base/mem.h"
#include "codec/json.h"
#include "ztunnel/zt.h"

static void
put(struct ap_arena *arena, struct ap_doc *map, const char *key, struct ap_slice value)
{
	if (value.len > 0)
		ap_doc_set_string(arena, map, key, value);
}

static void
put_port(struct ap_arena *arena, struct ap_doc *map, const char *key, uint16_t port)
{
	ap_doc_set_string(arena, map, key, ap_arena_printf(arena, "%u", port));
}

/* The host's labels, under the workload's own. */
static struct ap_doc *
labels_of(const struct ap_appliance *a, const struct ap_appliance_workload *w, struct ap_arena *arena)
{
	struct ap_doc *labels =
	    a->host.labels != NULL ? ap_doc_copy(arena, a->host.labels) : ap_doc_new_map(arena);

	AP_DOC_FOR(l, w->labels)
		ap_doc_set_string(arena, labels, l->key.ptr, l->string);
	return labels;
}

static struct ap_doc *
workload_doc(const struct ap_appliance *a, const struct ap_appliance_workload *w, struct ap_arena *arena)
{
	struct ap_doc *d = ap_doc_new_map(arena), *ports = ap_doc_new_list(arena);
	uint32_t i;

	ap_doc_set_string(arena, d, "name", w->name);
	ap_doc_set_string(arena, d, "namespace", w->namespace_);
	ap_doc_set_string(arena, d, "serviceAccount", w->service_account);
	ap_doc_set(arena, d, "labels", labels_of(a, w, arena));
	for (i = 0; i < w->port_count; i++) {
		struct ap_doc *p = ap_doc_new_map(arena);

		put(arena, p, "name", w->ports[i].name);
		ap_doc_set(arena, p, "port", ap_doc_new_int(arena, w->ports[i].port));
		ap_doc_append(ports, p);
	}
	ap_doc_set(arena, d, "ports", ports);
	return d;
}

static struct ap_slice
workloads_json(const struct ap_appliance *a, struct ap_arena *arena)
{
	struct ap_doc *list = ap_doc_new_list(arena);
	struct ap_slice copy;
	struct ap_buf text;
	uint32_t i;

	for (i = 0; i < a->workload_count; i++)
		ap_doc_append(list, workload_doc(a, &a->workloads[i], arena));
	ap_buf_init(&text, (size_t)4 * 1024 * 1024);
	ap_json_write(list, 0, &text);
	copy = ap_arena_copy(arena, ap_buf_slice(&text));
	ap_buf_done(&text);
	return copy;
}

struct ap_doc *
zt_node_metadata(const struct zt *zt, struct ap_arena *arena)
{
	const struct ap_appliance *a = ap_config_appliance(zt->config);
	struct ap_doc *d = ap_doc_new_map(arena);
	struct ap_buf ips;
	char text[AP_ADDR_TEXT];
	uint32_t i;

	ap_buf_init(&ips, 4096);
	for (i = 0; i < zt->cfg.ip_count; i++)
		ap_buf_printf(&ips, "%s%s", i > 0 ? "," : "", ap_ip_format(&zt->cfg.ips[i], text, sizeof(text)));
	put(arena, d, "NAME", a->name);
	put(arena, d, "NAMESPACE", AP_S("ambit-system"));
	put(arena, d, "NODE_NAME", a->name);
	put(arena, d, "INSTANCE_IPS", ap_buf_slice(&ips));
	put(arena, d, "AMBIT_HOST", a->name);
	put(arena, d, "AMBIT_ROLE", AP_S("ztunnel"));
	put(arena, d, "NETWORK", a->host.network);
	put(arena, d, "CLUSTER_ID", a->host.cluster);
	put(arena, d, "TRUST_DOMAIN", a->trust_domain);
	put(arena, d, "REGION", a->host.region);
	put(arena, d, "ZONE", a->host.zone);
	put(arena, d, "SUBZONE", a->host.subzone);
	put_port(arena, d, "METRICS_PORT", zt->cfg.metrics_port);
	put_port(arena, d, "HBONE_PORT", zt->cfg.hbone_port);
	put(arena, d, "WORKLOADS", workloads_json(a, arena));
	ap_buf_done(&ips);
	return d;
}

char *
zt_node_id(const struct zt *zt)
{
	const struct ap_appliance *a = ap_config_appliance(zt->config);
	char text[AP_ADDR_TEXT];

	return ap_asprintf("ztunnel~%s~%.*s.ambit-system~ambit-system.svc.%.*s",
	    ap_ip_format(&zt->cfg.ips[0], text, sizeof(text)), AP_FMT(a->name), AP_FMT(zt->cfg.cluster_domain));
}
