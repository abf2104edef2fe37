/* appliance.h -- the Appliance document: what configures this process, decoded into a struct. Roles' own sections stay documents. */
#ifndef MODEL_APPLIANCE_H
#define MODEL_APPLIANCE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "base/error.h"
#include "codec/doc.h"
#include "codec/yaml.h"

struct ap_appliance_port {
	struct ap_slice name;
	uint16_t port;
};

/* spec.workloads[]: a program on this host and the identity that it asks for. */
struct ap_appliance_workload {
	struct ap_slice name, namespace_, service_account;
	struct ap_slice systemd_unit, cgroup, user, executable, network_namespace, address; /* select; empty: not given */
	const struct ap_doc *labels; /* map of strings, or NULL */
	const struct ap_appliance_port *ports;
	uint32_t port_count;
	const struct ap_doc *probe; /* or NULL */
	struct ap_place at;
};

enum ap_capture_mode { AP_CAPTURE_MESH, AP_CAPTURE_ALL, AP_CAPTURE_OFF };

struct ap_appliance {
	struct ap_slice name; /* metadata.name */
	const struct ap_slice *roles;
	uint32_t role_count;
	struct {
		struct ap_slice address;    /* host:port of xDS and CA */
		struct ap_slice token_file; /* join token; may vanish after the first use */
		struct ap_slice ca_file;    /* root that the control plane's certificate chains to */
		struct ap_slice host_name;  /* name to verify when it differs from the address' */
	} control_plane;
	struct {
		struct ap_slice region, zone, subzone, network, cluster;
		const struct ap_doc *labels;
		const struct ap_ip *addresses; /* of this host, as peers reach it */
		uint32_t address_count;
	} host;
	struct ap_slice trust_domain; /* cluster.local */
	struct ap_slice state_dir, run_dir;
	uint32_t workers; /* 0: as many as cores */
	struct ap_slice log_level; /* as ap_log_set_levels reads it */
	bool log_json;
	const struct ap_appliance_workload *workloads;
	uint32_t workload_count;
	struct {
		enum ap_capture_mode mode;
		const uint16_t *exclude_outbound_ports, *exclude_inbound_ports;
		uint32_t exclude_outbound_port_count, exclude_inbound_port_count;
		const struct ap_cidr *exclude_cidrs, *include_cidrs;
		uint32_t exclude_cidr_count, include_cidr_count;
		const struct ap_slice *exclude_users;
		uint32_t exclude_user_count;
		bool dns;
	} capture;
	uint64_t drain_ms; /* most time to end connections on SIGTERM; 5,000 */
	const struct ap_doc *spec; /* the whole; roles read their sections (spec.ztunnel, spec.waypoint, ...) */
	struct ap_place at;
};

/* A role's section of spec, so that an unknown key in it is found too. */
struct ap_appliance_section {
	const char *key; /* "ztunnel" */
	const struct ap_schema *schema;
};

struct ap_schema;

/* The whole YAML file: the Appliance and the resources behind it. Immutable and counted; text and tree in its arena. */
struct ap_config;

AP_PUBLIC_BEGIN
/*
 * Read, parse and check the file.  sections end with a NULL key; sections of roles that are not loaded are checked too
 * when their schema is given, else left alone.  NULL with every problem (up to 50) in errs, whose places name `path` itself.
 * Blocks.
 */
struct ap_config *ap_config_load(
    const char *path, const struct ap_appliance_section *sections, struct ap_errors *errs);
struct ap_config *ap_config_ref(struct ap_config *c);
void ap_config_unref(struct ap_config **c);
const struct ap_appliance *ap_config_appliance(const struct ap_config *c);
/* Documents 2..n, each a map with apiVersion and kind; unchecked beyond that. */
const struct ap_yaml_docs *ap_config_resources(const struct ap_config *c);
const char *ap_config_path(const struct ap_config *c);
AP_PUBLIC_END

#endif
