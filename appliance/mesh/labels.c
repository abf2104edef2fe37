/*
 * labels.c -- Istio's labels of a TCP connection, its counters, and baggage, which carries the same facts between proxies.  No memory
 * is taken: values are slices into objects and constants.  Each function runs on the thread whose shard it is given.
 */
#include "mesh/labels.h"

#include <string.h>

#include "mesh/object.h"

#define UNKNOWN AP_S("unknown")

const char *const ap_mesh_label_names[AP_MESH_LABEL_COUNT + 1] = {
	"reporter",
	"source_workload",
	"source_canonical_service",
	"source_canonical_revision",
	"source_workload_namespace",
	"source_principal",
	"source_app",
	"source_version",
	"source_cluster",
	"destination_service",
	"destination_service_namespace",
	"destination_service_name",
	"destination_workload",
	"destination_canonical_service",
	"destination_canonical_revision",
	"destination_workload_namespace",
	"destination_principal",
	"destination_app",
	"destination_version",
	"destination_cluster",
	"request_protocol",
	"response_flags",
	"connection_security_policy",
	"source_region",
	"source_zone",
	"destination_region",
	"destination_zone",
	NULL,
};

/* The last four labels appear when the place of either end is known, and not otherwise: two rows for each name, which the exposition
 * joins. */
#define PLACED 4
static const char *const unplaced_names[] = { "reporter", "source_workload", "source_canonical_service",
	"source_canonical_revision", "source_workload_namespace", "source_principal", "source_app", "source_version",
	"source_cluster", "destination_service", "destination_service_namespace", "destination_service_name",
	"destination_workload", "destination_canonical_service", "destination_canonical_revision",
	"destination_workload_namespace", "destination_principal", "destination_app", "destination_version",
	"destination_cluster", "request_protocol", "response_flags", "connection_security_policy", NULL };
_Static_assert(AP_COUNTOF(unplaced_names) == AP_MESH_LABEL_COUNT - PLACED + 1, "the same list without its tail");

#define ROWS(var_, name_, unit_, help_) \
	static const struct ap_metric var_[2] = { \
		{ .name = (name_), .kind = AP_COUNTER, .help = (help_), .unit = (unit_), .labels = unplaced_names }, \
		{ .name = (name_), .kind = AP_COUNTER, .help = (help_), .unit = (unit_), .labels = ap_mesh_label_names } \
	}
ROWS(opened, "istio_tcp_connections_opened", "", "The total number of TCP connections opened.");
ROWS(closed, "istio_tcp_connections_closed", "", "The total number of TCP connections closed.");
ROWS(failed, "istio_tcp_connections_failed", "", "The total number of TCP connections that failed.");
ROWS(sent, "istio_tcp_sent_bytes", "", "The size of total bytes sent during response in case of a TCP connection.");
ROWS(received, "istio_tcp_received_bytes", "",
    "The size of total bytes received during request in case of a TCP connection.");

static struct ap_slice
known(struct ap_slice s)
{
	return s.len == 0 ? UNKNOWN : s;
}

/* What one end says of itself. */
struct end {
	struct ap_slice workload, canonical, revision, namespace_, app, cluster, region, zone;
};

static struct end
end_of(const struct ap_mesh_workload *w, const struct ap_mesh_baggage *b)
{
	struct end e = { 0 };

	if (w != NULL) {
		e = (struct end){ .workload = w->workload_name,
			.canonical = w->canonical_name,
			.revision = w->canonical_revision,
			.namespace_ = w->namespace_,
			.app = w->canonical_name,
			.cluster = w->cluster,
			.region = w->region,
			.zone = w->zone };
	} else if (b != NULL) {
		e = (struct end){ .workload = b->workload,
			.canonical = b->service,
			.revision = b->version,
			.namespace_ = b->namespace_,
			.app = b->workload,
			.cluster = b->cluster,
			.region = b->region,
			.zone = b->zone };
	}
	return e;
}

void
ap_mesh_labels(const struct ap_mesh_ends *ends, struct ap_slice out[AP_MESH_LABEL_COUNT])
{
	static const char *const reporters[] = { "source", "destination", "waypoint" };
	struct end s = end_of(ends->source, ends->source_baggage);
	struct end d = end_of(ends->destination, ends->destination_baggage);
	const struct ap_mesh_service *service = ends->service;
	bool located = s.region.len + s.zone.len + d.region.len + d.zone.len > 0;
	size_t i = 0;

	out[i++] = ap_slice_of(reporters[ends->reporter]);
	out[i++] = known(s.workload);
	out[i++] = known(s.canonical);
	out[i++] = known(s.revision);
	out[i++] = known(s.namespace_);
	out[i++] = known(ends->source_principal);
	out[i++] = known(s.app);
	out[i++] = known(s.revision);
	out[i++] = known(s.cluster);
	out[i++] = known(service == NULL ? AP_SLICE_NONE : service->hostname);
	out[i++] = known(service == NULL ? AP_SLICE_NONE : service->namespace_);
	out[i++] = known(service == NULL ? AP_SLICE_NONE : service->name);
	out[i++] = known(d.workload);
	out[i++] = known(d.canonical);
	out[i++] = known(d.revision);
	out[i++] = known(d.namespace_);
	out[i++] = known(ends->destination_principal);
	out[i++] = known(d.app);
	out[i++] = known(d.revision);
	out[i++] = known(d.cluster);
	out[i++] = ends->request_protocol.len == 0 ? AP_S("tcp") : ends->request_protocol;
	out[i++] = ap_slice_of(ap_mesh_flag_name(ends->flags));
	out[i++] = ends->mutual_tls ? AP_S("mutual_tls") : UNKNOWN;
	out[i++] = located ? known(s.region) : AP_SLICE_NONE;
	out[i++] = located ? known(s.zone) : AP_SLICE_NONE;
	out[i++] = located ? known(d.region) : AP_SLICE_NONE;
	out[i++] = located ? known(d.zone) : AP_SLICE_NONE;
}

const char *
ap_mesh_flag_name(enum ap_mesh_flags flag)
{
	static const char *const names[AP_FLAG_COUNT] = {
		[AP_FLAG_NONE] = "-",
		[AP_FLAG_DENY] = "DENY",
		[AP_FLAG_CONNECT] = "CONNECT",
		[AP_FLAG_TLS_FAILURE] = "TLS_FAILURE",
		[AP_FLAG_H2_HANDSHAKE_FAILURE] = "H2_HANDSHAKE_FAILURE",
		[AP_FLAG_NETWORK_POLICY] = "NETWORK_POLICY",
		[AP_FLAG_IDENTITY_ERROR] = "IDENTITY_ERROR",
		[AP_FLAG_CERT_REVOKED] = "CERT_REVOKED",
	};

	return flag < AP_FLAG_COUNT ? names[flag] : "-";
}

/* Which of the two rows these labels belong to. */
static size_t
row_of(const struct ap_slice values[AP_MESH_LABEL_COUNT])
{
	return values[AP_MESH_LABEL_COUNT - 1].len > 0 ? 1 : 0;
}

void
ap_mesh_count_open(struct ap_shard *shard, const struct ap_mesh_ends *ends, struct ap_mesh_series *out)
{
	struct ap_slice values[AP_MESH_LABEL_COUNT];
	size_t row;

	ap_mesh_labels(ends, values);
	row = row_of(values);
	out->opened = ap_series_get(shard, &opened[row], values);
	out->sent = ap_series_get(shard, &sent[row], values);
	out->received = ap_series_get(shard, &received[row], values);
	ap_series_add(out->opened, 1);
}

void
ap_mesh_count_close(struct ap_shard *shard, const struct ap_mesh_ends *ends)
{
	struct ap_slice values[AP_MESH_LABEL_COUNT];
	size_t row;

	ap_mesh_labels(ends, values);
	row = row_of(values);
	ap_series_add(ap_series_get(shard, &closed[row], values), 1);
	if (ends->flags != AP_FLAG_NONE)
		ap_series_add(ap_series_get(shard, &failed[row], values), 1);
}

static const char *const type_names[] = { "deployment", "cronjob", "pod", "job" };

void
ap_mesh_baggage_parse(struct ap_slice text, struct ap_mesh_baggage *out)
{
	struct ap_slice rest = text, part, key;
	size_t i;

	*out = (struct ap_mesh_baggage){ 0 };
	while (rest.ptr != NULL) {
		part = ap_slice_trim(ap_slice_cut(&rest, ','));
		key = ap_slice_cut(&part, '=');
		if (part.len == 0)
			continue;
		if (ap_slice_eq_text(key, "k8s.cluster.name"))
			out->cluster = part;
		else if (ap_slice_eq_text(key, "k8s.namespace.name"))
			out->namespace_ = part;
		else if (ap_slice_eq_text(key, "service.name"))
			out->service = part;
		else if (ap_slice_eq_text(key, "service.version"))
			out->version = part;
		else if (ap_slice_eq_text(key, "cloud.region"))
			out->region = part;
		else if (ap_slice_eq_text(key, "cloud.availability_zone"))
			out->zone = part;
		else if (ap_slice_starts(key, AP_S("k8s.")) && ap_slice_ends(key, AP_S(".name"))) {
			struct ap_slice type = ap_slice_sub(key, 4, key.len < 9 ? 0 : key.len - 9);

			for (i = 0; i < AP_COUNTOF(type_names); i++) {
				if (ap_slice_eq_text(type, type_names[i])) {
					out->workload = part;
					out->workload_type = type;
				}
			}
		}
	}
}

static void
put(char *out, size_t *len, struct ap_slice key, struct ap_slice value)
{
	size_t comma = *len > 0 ? 1 : 0;

	if (value.len == 0 || *len + comma + key.len + 1 + value.len > AP_MESH_BAGGAGE_MAX)
		return;
	if (comma > 0)
		out[(*len)++] = ',';
	memcpy(out + *len, key.ptr, key.len);
	*len += key.len;
	out[(*len)++] = '=';
	memcpy(out + *len, value.ptr, value.len);
	*len += value.len;
}

size_t
ap_mesh_baggage_format(const struct ap_mesh_workload *w, char out[AP_MESH_BAGGAGE_MAX])
{
	static const char *const type_keys[] = { "k8s.deployment.name", "k8s.cronjob.name", "k8s.pod.name",
		"k8s.job.name" };
	size_t len = 0;

	put(out, &len, AP_S("k8s.cluster.name"), w->cluster);
	put(out, &len, AP_S("k8s.namespace.name"), w->namespace_);
	put(out, &len, ap_slice_of(type_keys[w->workload_type & 3]), w->workload_name);
	put(out, &len, AP_S("service.name"), w->canonical_name);
	put(out, &len, AP_S("service.version"), w->canonical_revision);
	put(out, &len, AP_S("cloud.region"), w->region);
	put(out, &len, AP_S("cloud.availability_zone"), w->zone);
	return len;
}
