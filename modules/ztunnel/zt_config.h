/* zt_config.h -- the section spec.ztunnel, and what of the rest of the Appliance the node proxy works with. */
#ifndef ZTUNNEL_ZT_CONFIG_H
#define ZTUNNEL_ZT_CONFIG_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/slice.h"
#include "model/appliance.h"
#include "model/schema.h"

#define ZT_MARK_MASK 0xfffU
#define ZT_IPS_MAX 32

enum zt_original_source { ZT_SOURCE_AUTO, ZT_SOURCE_ALWAYS, ZT_SOURCE_NEVER };

/* Values alone: copied into what needs them. Texts belong to the ap_config. */
struct zt_config {
	uint16_t outbound_port, inbound_port, hbone_port, dns_port, admin_port, metrics_port, readiness_port;
	enum zt_original_source original_source;
	uint32_t mark;
	bool refuse_unmatched;  /* traffic of programs that no workload selects: refuse it instead of passing it on */
	bool response_baggage;
	bool passive_http;      /* count the requests that pass without a waypoint */
	bool dns;
	bool access_log;        /* written at all */
	struct ap_slice access_log_path; /* "-": standard output */
	struct ap_slice local_xds;       /* test state instead of a control plane; empty: none */
	struct ap_slice dns_upstream;    /* "ip:port,..." ; empty: the system's */
	struct ap_slice cluster_domain;
	int64_t certificate_lifetime_s;
	uint32_t max_connections; /* per worker */
	struct ap_ip ips[ZT_IPS_MAX]; /* of this host, as peers reach it */
	uint32_t ip_count;
};

extern const struct ap_schema zt_schema;

/* Read the section. Cannot fail: the schema was checked. */
void zt_config_read(const struct ap_appliance *a, struct zt_config *out);
/* Fill ips when the file names none: the address that the kernel would use towards the control plane. */
int zt_config_find_ips(const struct ap_appliance *a, struct zt_config *c, struct ap_error *err);
bool zt_config_is_own_ip(const struct zt_config *c, const struct ap_ip *ip);
/* One of the ports that must never be dialled as an application (istio-ambient.md 1.1). */
bool zt_config_is_illegal_port(const struct zt_config *c, uint16_t port);

#endif
