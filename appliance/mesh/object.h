/*
 * object.h -- workloads and services as both proxies know them: decoded from istio.workload.Address, immutable and counted, one
 * block of memory each.
 *
 * Glossary: a *workload* is a program with an identity on some addresses; several may share one address.  A *service* is
 * a name with virtual addresses (VIPs) and ports; its *endpoints* are the workloads whose `memberships` name it.  A *gateway* is a
 * reference to a waypoint or network gateway, by service name or by address.
 */
#ifndef MESH_OBJECT_H
#define MESH_OBJECT_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/refs.h"
#include "base/slice.h"

enum ap_mesh_protocol { /* of a port, as the operator declared it; same numbers as on the wire */
	AP_MESH_UNKNOWN,
	AP_MESH_HTTP11,
	AP_MESH_HTTP2,
	AP_MESH_GRPC,
	AP_MESH_TCP,
	AP_MESH_TLS,
};

enum ap_mesh_gateway_kind { AP_MESH_GATEWAY_NONE, AP_MESH_GATEWAY_HOST, AP_MESH_GATEWAY_ADDRESS };

struct ap_mesh_gateway {
	uint8_t kind; /* enum ap_mesh_gateway_kind */
	uint16_t hbone_port;
	struct ap_slice namespace_, hostname; /* HOST */
	struct ap_slice network;              /* ADDRESS */
	struct ap_ip ip;
};

struct ap_mesh_weighted_gateway {
	struct ap_mesh_gateway gateway;
	uint32_t weight;
};

struct ap_mesh_port {
	uint16_t service_port, target_port; /* target 0: only the endpoint knows */
	uint8_t protocol;                   /* enum ap_mesh_protocol */
};

struct ap_mesh_membership {
	struct ap_slice service; /* "namespace/hostname" */
	const struct ap_mesh_port *ports;
	uint32_t port_count;
};

struct ap_mesh_label {
	struct ap_slice name, value;
};

struct ap_mesh_workload {
	uint32_t magic;
	struct ap_refs refs;
	struct ap_slice uid, name, namespace_, service_account, trust_domain;
	struct ap_slice identity; /* "spiffe://td/ns/x/sa/y" */
	struct ap_slice network, cluster, node, hostname;
	struct ap_slice workload_name, canonical_name, canonical_revision;
	struct ap_slice region, zone, subzone;
	const struct ap_ip *ips;
	uint32_t ip_count;
	uint32_t membership_count, policy_count, label_count;
	const struct ap_mesh_membership *memberships;
	const struct ap_slice *policies; /* "namespace/name" of the selected policies */
	const struct ap_mesh_label *labels; /* from the extension ambit.labels; sorted by name */
	struct ap_mesh_gateway waypoint, network_gateway;
	uint32_t capacity;   /* load-balancing weight, >= 1 unless 0 was said */
	uint16_t app_tunnel_port;
	bool app_tunnel_proxy; /* PROXY v2 in front of the bytes */
	bool has_app_tunnel;
	bool is_hbone, is_healthy, is_native, is_host_network;
	bool is_ambit; /* it carries our extension: its node understands SNI (ap_mesh_sni) */
	uint8_t workload_type; /* 0 deployment, 1 cronjob, 2 pod, 3 job */
};

enum ap_mesh_scope { /* same numbers as on the wire */
	AP_MESH_SCOPE_NONE,
	AP_MESH_SCOPE_REGION,
	AP_MESH_SCOPE_ZONE,
	AP_MESH_SCOPE_SUBZONE,
	AP_MESH_SCOPE_NODE,
	AP_MESH_SCOPE_CLUSTER,
	AP_MESH_SCOPE_NETWORK,
};

enum ap_mesh_lb_mode { AP_MESH_LB_RANDOM, AP_MESH_LB_STRICT, AP_MESH_LB_FAILOVER, AP_MESH_LB_PASSTHROUGH };
enum ap_mesh_families { AP_MESH_FAMILY_ANY, AP_MESH_FAMILY_V4, AP_MESH_FAMILY_V6, AP_MESH_FAMILY_DUAL };

struct ap_mesh_vip {
	struct ap_slice network;
	struct ap_cidr cidr; /* /32 or /128: one address */
};

struct ap_mesh_service {
	uint32_t magic;
	struct ap_refs refs;
	struct ap_slice key; /* "namespace/hostname" */
	struct ap_slice name, namespace_, hostname;
	const struct ap_mesh_vip *vips;
	const struct ap_mesh_port *ports;
	const struct ap_slice *sans; /* identities accepted beside the endpoint's own */
	const struct ap_mesh_weighted_gateway *weighted_waypoints;
	uint32_t vip_count, port_count, san_count, weighted_waypoint_count;
	struct ap_mesh_gateway waypoint;
	uint8_t scopes[8]; /* enum ap_mesh_scope */
	uint8_t scope_count, mode, families;
	bool allow_unhealthy;
	bool is_canonical, is_private; /* private: resolved by clients of its namespace alone */
};

AP_PUBLIC_BEGIN
/* From an istio.workload.Address: exactly one of the two is set on success, with one reference. A negative code and a sentence
 * when the resource must be refused (istio-ambient.md 2.5). */
int ap_mesh_object_decode(struct ap_slice body, struct ap_mesh_workload **out_workload,
    struct ap_mesh_service **out_service, struct ap_error *err);
struct ap_mesh_workload *ap_mesh_workload_ref(struct ap_mesh_workload *w);
void ap_mesh_workload_unref(struct ap_mesh_workload **w);
struct ap_mesh_service *ap_mesh_service_ref(struct ap_mesh_service *s);
void ap_mesh_service_unref(struct ap_mesh_service **s);
/* Empty when it has no such label. */
struct ap_slice ap_mesh_workload_label(const struct ap_mesh_workload *w, struct ap_slice name);
/* The port of the service with this number; NULL: it has none. */
const struct ap_mesh_port *ap_mesh_service_port(const struct ap_mesh_service *s, uint16_t service_port);
/* How the workload belongs to the service; NULL: it does not. */
const struct ap_mesh_membership *ap_mesh_workload_membership(const struct ap_mesh_workload *w, struct ap_slice service_key);
/* Where the workload listens for this port of the service, by 5.3; 0: nowhere. */
uint16_t ap_mesh_target_port(
    const struct ap_mesh_workload *w, const struct ap_mesh_service *s, uint16_t service_port);

#define AP_MESH_SNI_MAX 256
/* The server name by which an Ambit node is asked for one of its identities: "<sa>.<ns>.<trust domain>.ambit", lower case.
 * Empty text when the identity is not a SPIFFE id of ours or too long. Returns out. */
const char *ap_mesh_sni(struct ap_slice identity, char out[AP_MESH_SNI_MAX]);
AP_PUBLIC_END

#endif
