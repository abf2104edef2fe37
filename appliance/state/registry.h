/*
 * registry.h -- services and workloads as one view, whatever kinds they were written as: Service, ServiceEntry, WorkloadEntry.
 *
 * Glossary: a *service* is one host name with ports and virtual addresses (a ServiceEntry with three hosts is three); a
 * *workload* is one program at an address; an *endpoint* is a workload's part in a service.  All of it lives in the arena
 * given, and points into the resources, which must outlive it.
 *
 * Pure; any thread.
 */
#ifndef STATE_REGISTRY_H
#define STATE_REGISTRY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "base/map.h"
#include "base/slice.h"
#include "codec/doc.h"
#include "model/resource.h"

/* What says on an auto-registered WorkloadEntry where it came from. */
#define AP_ANNOTATION_HOST "ambit.mesh/host"         /* name of the host it runs on */
#define AP_ANNOTATION_WORKLOAD "ambit.mesh/workload" /* its name in the host's file */
#define AP_ANNOTATION_HBONE "ambit.mesh/hbone"       /* "true": a ztunnel serves it */
#define AP_ANNOTATION_ROLE "ambit.mesh/role"         /* "waypoint": it is one */
#define AP_LABEL_GATEWAY "gateway.networking.k8s.io/gateway-name"

enum ap_reg_protocol { /* numbers as on the wire */
	AP_REG_UNKNOWN,
	AP_REG_HTTP,
	AP_REG_HTTP2,
	AP_REG_GRPC,
	AP_REG_TCP,
	AP_REG_TLS,
};

struct ap_reg_port {
	struct ap_slice name;
	uint16_t number;
	uint16_t target;             /* 0: named */
	struct ap_slice target_name; /* of the endpoint's port; empty: `target` counts */
	enum ap_reg_protocol protocol;
};

struct ap_reg_service;

struct ap_reg_workload {
	const struct ap_resource *resource; /* the WorkloadEntry, or the ServiceEntry whose endpoint it is */
	struct ap_slice uid, name, namespace_, account, network, cluster, host, workload_name, hostname;
	struct ap_slice region, zone, subzone, canonical_name, canonical_revision;
	struct ap_ip ip;           /* len 0: none, see hostname */
	const struct ap_doc *labels; /* map of strings; NULL: none */
	const struct ap_doc *ports;  /* map of numbers; NULL: none */
	uint32_t weight;             /* 0: not given */
	bool hbone, native_tunnel, healthy;
	bool shared;     /* another workload has the same network and address */
	bool registered; /* by its host, not by hand */
	bool external;   /* endpoint of a MESH_EXTERNAL ServiceEntry */
	struct ap_reg_membership {
		const struct ap_reg_service *service;
		const uint16_t *targets; /* one per port of the service; 0: only the service knows, or not served */
	} *memberships;
	size_t membership_count, membership_room;
};

struct ap_reg_service {
	const struct ap_resource *resource; /* Service or ServiceEntry; NULL: a waypoint's own */
	const struct ap_resource *gateway;  /* of a waypoint's own service */
	struct ap_slice name, namespace_, hostname, key; /* key: "namespace/hostname" */
	const struct ap_cidr *addresses;
	size_t address_count;
	const struct ap_reg_port *ports;
	size_t port_count;
	const struct ap_slice *sans;
	size_t san_count;
	bool is_entry, passthrough, external, headless, publish_not_ready, needs_vip;
	struct ap_reg_workload **endpoints;
	size_t endpoint_count, endpoint_room;
};

struct ap_registry {
	struct ap_arena *arena;
	const struct ap_resource_set *resources;
	struct ap_slice cluster_domain, trust_domain, cluster;
	struct ap_reg_service **services; /* ordered by namespace, then hostname */
	size_t service_count;
	struct ap_reg_workload **workloads;
	size_t workload_count;
	struct ap_map by_key;  /* "namespace/hostname" -> service */
	struct ap_map by_host; /* hostname -> the service that answers when no namespace is preferred */
	struct ap_map by_uid;
};

struct ap_registry_options {
	struct ap_slice cluster_domain; /* "cluster.local" */
	struct ap_slice trust_domain;
	struct ap_slice cluster;        /* name of this mesh' cluster; "Kubernetes" when empty */
	const struct ap_map *vips;      /* "namespace/hostname" -> text of an address that was given out; may be NULL */
};

AP_PUBLIC_BEGIN
struct ap_registry *ap_registry_build(
    struct ap_arena *arena, const struct ap_resource_set *resources, const struct ap_registry_options *options);
/* Maps are on the heap; the rest goes with the arena. */
void ap_registry_done(struct ap_registry *r);

/* A host as an object of `namespace_` names it: short names (no dot) resolve there. NULL: none. */
struct ap_reg_service *ap_registry_find(const struct ap_registry *r, struct ap_slice host, struct ap_slice namespace_);
/* "name.ns" and "name.ns.svc" too. */
struct ap_reg_service *ap_registry_find_loose(
    const struct ap_registry *r, struct ap_slice host, struct ap_slice namespace_);
/* The Service `name` of a namespace. */
struct ap_reg_service *ap_registry_service(
    const struct ap_registry *r, struct ap_slice namespace_, struct ap_slice name);
/* The full name of a host: short names get namespace and domain. In the arena. */
struct ap_slice ap_registry_fqdn(const struct ap_registry *r, struct ap_slice host, struct ap_slice namespace_);
/* "spiffe://td/ns/x/sa/y", in the arena. */
struct ap_slice ap_registry_spiffe(const struct ap_registry *r, struct ap_slice namespace_, struct ap_slice account);
/* Host patterns of Istio: "*", "*.suffix", or the name itself. */
bool ap_host_matches(struct ap_slice pattern, struct ap_slice host);
/* The port that reaches service port `i` of w; 0: none. */
uint16_t ap_reg_target(const struct ap_reg_workload *w, const struct ap_reg_service *s, size_t port_index);
/* Is this port number or protocol one that is understood as HTTP? AP_REG_UNKNOWN counts as HTTP: it is sniffed. */
bool ap_reg_is_http(enum ap_reg_protocol p);
AP_PUBLIC_END

#endif
