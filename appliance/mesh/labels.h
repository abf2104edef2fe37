/*
 * labels.h -- Istio's labels of a TCP connection (istio-ambient.md 6.2) and its four counters; shared by both proxies.
 * Values are resolved to series once per connection; what is unknown reads "unknown".
 */
#ifndef MESH_LABELS_H
#define MESH_LABELS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/metrics.h"
#include "base/slice.h"

struct ap_mesh_service;
struct ap_mesh_workload;

/* What is known of the peer from its baggage, when the table does not know it (istio-ambient.md 1.4). Slices into the header. */
struct ap_mesh_baggage {
	struct ap_slice cluster, namespace_, workload, workload_type, service, version, region, zone;
};

enum ap_mesh_reporter { AP_REPORTER_SOURCE, AP_REPORTER_DESTINATION, AP_REPORTER_WAYPOINT };

enum ap_mesh_flags { /* response_flags */
	AP_FLAG_NONE,
	AP_FLAG_DENY,
	AP_FLAG_CONNECT,
	AP_FLAG_TLS_FAILURE,
	AP_FLAG_H2_HANDSHAKE_FAILURE,
	AP_FLAG_NETWORK_POLICY,
	AP_FLAG_IDENTITY_ERROR,
	AP_FLAG_CERT_REVOKED,
	AP_FLAG_COUNT,
};

/* The ends of one connection. NULL and empty mean unknown. */
struct ap_mesh_ends {
	enum ap_mesh_reporter reporter;
	const struct ap_mesh_workload *source, *destination;
	const struct ap_mesh_baggage *source_baggage, *destination_baggage; /* used when the workload is NULL */
	struct ap_slice source_principal;      /* from TLS alone */
	struct ap_slice destination_principal; /* from the table */
	const struct ap_mesh_service *service;
	enum ap_mesh_flags flags;
	bool mutual_tls;
	struct ap_slice request_protocol; /* empty: "tcp" */
};

#define AP_MESH_LABEL_COUNT 27
AP_PUBLIC extern const char *const ap_mesh_label_names[AP_MESH_LABEL_COUNT + 1];

struct ap_mesh_series {
	struct ap_series *opened, *sent, *received;
};

AP_PUBLIC_BEGIN
/* The values in the order of ap_mesh_label_names; slices live as long as what `ends` points to. */
void ap_mesh_labels(const struct ap_mesh_ends *ends, struct ap_slice out[AP_MESH_LABEL_COUNT]);
const char *ap_mesh_flag_name(enum ap_mesh_flags flag);
/* Count a connection as opened and find its byte counters (flags "-"). Owner thread of the shard. */
void ap_mesh_count_open(struct ap_shard *shard, const struct ap_mesh_ends *ends, struct ap_mesh_series *out);
/* Count it as closed, and as failed when flags say so. */
void ap_mesh_count_close(struct ap_shard *shard, const struct ap_mesh_ends *ends);

/* Baggage text to its parts; unknown keys are skipped. */
void ap_mesh_baggage_parse(struct ap_slice text, struct ap_mesh_baggage *out);
#define AP_MESH_BAGGAGE_MAX 1024
/* The description of a workload for the wire, in Istio's order. Returns the bytes written into out. */
size_t ap_mesh_baggage_format(const struct ap_mesh_workload *w, char out[AP_MESH_BAGGAGE_MAX]);
AP_PUBLIC_END

#endif
