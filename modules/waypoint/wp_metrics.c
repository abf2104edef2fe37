/*
 * wp_metrics.c -- Istio's HTTP metrics (istio-ambient.md 6.5).  A request's 27 labels are resolved to series once and kept in a
 * small cache by what decides them (who, where, code, flags); the cache holds references, so that an address cannot come to
 * mean another workload.  One thread, the worker's.
 */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "mesh/labels.h"
#include "mesh/object.h"
#include "waypoint/wp_request.h"

#define SLOTS 1024 /* power of two */

static const char *const label_names[] = { "reporter", "source_workload", "source_canonical_service",
	"source_canonical_revision", "source_workload_namespace", "source_principal", "source_app", "source_version",
	"source_cluster", "destination_workload", "destination_workload_namespace", "destination_principal",
	"destination_app", "destination_version", "destination_service", "destination_canonical_service",
	"destination_canonical_revision", "destination_service_name", "destination_service_namespace",
	"destination_cluster", "request_protocol", "response_code", "grpc_response_status", "response_flags",
	"connection_security_policy", NULL };
#define LABELS (AP_COUNTOF(label_names) - 1)

static const double duration_bounds[] = { .5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000,
	300000, 600000, 1800000, 3600000 };

static const struct ap_metric metric_requests = {
	.name = "istio_requests",
	.kind = AP_COUNTER,
	.help = "Requests by source, destination and outcome.",
	.unit = "",
	.labels = label_names,
};
#define HISTOGRAM(var_, name_, help_, unit_)                \
	static const struct ap_metric var_ = {              \
		.name = name_,                              \
		.kind = AP_HISTOGRAM,                       \
		.help = help_,                              \
		.unit = unit_,                              \
		.labels = label_names,                      \
		.bounds = duration_bounds,                  \
		.bound_count = AP_COUNTOF(duration_bounds), \
	}
HISTOGRAM(metric_duration, "istio_request_duration_milliseconds", "Time from a request's head to its answer's end.",
    "milliseconds");
HISTOGRAM(metric_request_bytes, "istio_request_bytes", "Bytes of requests, head and body.", "bytes");
HISTOGRAM(metric_response_bytes, "istio_response_bytes", "Bytes of answers, head and body.", "bytes");

struct key {
	const struct ap_mesh_workload *source, *destination;
	const struct ap_mesh_service *service;
	uint32_t flags;
	int status, grpc_status;
	bool is_grpc, is_mutual;
};

struct slot {
	struct key key;
	struct ap_mesh_workload *source, *destination; /* references */
	struct ap_mesh_service *service;
	char *identity, *hostname; /* the rest of the key */
	struct ap_series *requests, *duration, *request_bytes, *response_bytes;
};

struct wp_cache {
	struct slot slots[SLOTS];
};

static void
slot_clear(struct slot *s)
{
	ap_mesh_workload_unref(&s->source);
	ap_mesh_workload_unref(&s->destination);
	ap_mesh_service_unref(&s->service);
	ap_free(&s->identity);
	ap_free(&s->hostname);
	memset(s, 0, sizeof(*s));
}

struct wp_cache *
wp_cache_new(void)
{
	return ap_new(struct wp_cache);
}

void
wp_cache_free(struct wp_cache **cp)
{
	struct wp_cache *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		slot_clear(&c->slots[i]);
	ap_free(&c);
}

static struct ap_slice
or_unknown(struct ap_slice s)
{
	return s.len == 0 ? AP_S("unknown") : s;
}

static void
workload_labels(const struct ap_mesh_workload *w, struct ap_slice principal, struct ap_slice *workload,
    struct ap_slice *namespace_, struct ap_slice *service, struct ap_slice *revision, struct ap_slice *cluster)
{
	*workload = *namespace_ = *service = *cluster = AP_S("unknown");
	*revision = AP_S("unknown");
	if (w != NULL) {
		*workload = or_unknown(w->workload_name);
		*namespace_ = or_unknown(w->namespace_);
		*service = or_unknown(w->canonical_name);
		*revision = w->canonical_revision.len == 0 ? AP_S("latest") : w->canonical_revision;
		*cluster = or_unknown(w->cluster);
		return;
	}
	if (principal.len > 0) { /* not known by address: its certificate still says whence it comes */
		struct wp_view v;

		wp_view_set_identity(&v, principal);
		*namespace_ = or_unknown(v.source_namespace);
	}
}

/* Answered by ourselves, so no endpoint was chosen: what all endpoints of the service have in common is known all the same. */
static void
service_labels(const struct wp_request *r, const struct ap_mesh_service *service, struct ap_slice v[LABELS])
{
	struct ap_mesh_workloads all = { 0 };
	struct ap_slice one[LABELS];
	static const uint8_t places[] = { 9, 10, 11, 15, 16, 19 };

	if (service != NULL)
		all = ap_mesh_endpoints(r->ww->mesh_table, service);
	for (size_t i = 0; i < all.count; i++) {
		workload_labels(all.items[i], AP_SLICE_NONE, &one[9], &one[10], &one[15], &one[16], &one[19]);
		one[11] = or_unknown(all.items[i]->identity);
		for (size_t k = 0; k < AP_COUNTOF(places); k++) {
			uint8_t at = places[k];

			if (i == 0)
				v[at] = one[at];
			else if (!ap_slice_eq(v[at], one[at]))
				v[at] = AP_S("unknown");
		}
	}
}

static struct ap_slice
service_short_name(struct ap_slice hostname)
{
	size_t dot = ap_slice_find(hostname, '.');

	return dot == SIZE_MAX ? hostname : ap_slice_sub(hostname, 0, dot);
}

static void
values_make(const struct wp_request *r, const struct key *k, struct ap_slice v[LABELS], char *texts)
{
	struct ap_slice hostname = r->binding == NULL ? AP_SLICE_NONE : r->binding->host->hostname;
	struct ap_slice ns = r->binding == NULL ? AP_SLICE_NONE : r->binding->host->namespace_;
	int n = snprintf(texts, 12, "%d", k->status);

	v[0] = AP_S("waypoint");
	workload_labels(k->source, r->down->identity, &v[1], &v[4], &v[2], &v[3], &v[8]);
	v[5] = or_unknown(r->down->identity);
	v[6] = v[2];
	v[7] = v[3];
	workload_labels(k->destination, AP_SLICE_NONE, &v[9], &v[10], &v[15], &v[16], &v[19]);
	v[11] = k->destination == NULL ? AP_S("unknown") : or_unknown(k->destination->identity);
	if (k->destination == NULL)
		service_labels(r, k->service, v);
	v[12] = v[15];
	v[13] = v[16];
	if (k->service != NULL) {
		hostname = k->service->hostname;
		ns = k->service->namespace_;
	}
	v[14] = or_unknown(hostname);
	v[17] = or_unknown(service_short_name(hostname));
	v[18] = or_unknown(ns);
	v[20] = k->is_grpc ? AP_S("grpc") : AP_S("http");
	v[21] = ap_slice(texts, (size_t)n);
	v[22] = AP_S("");
	if (k->is_grpc && k->grpc_status >= 0) {
		n = snprintf(texts + 12, 12, "%d", k->grpc_status);
		v[22] = ap_slice(texts + 12, (size_t)n);
	}
	v[23] = ap_slice_of(wp_flags_format(k->flags, texts + 24, 64));
	v[24] = k->is_mutual ? AP_S("mutual_tls") : AP_S("none");
}

static bool
key_eq(const struct slot *s, const struct key *k, struct ap_slice identity, struct ap_slice hostname)
{
	return s->requests != NULL && s->key.source == k->source && s->key.destination == k->destination &&
	       s->key.service == k->service && s->key.flags == k->flags && s->key.status == k->status &&
	       s->key.grpc_status == k->grpc_status && s->key.is_grpc == k->is_grpc &&
	       s->key.is_mutual == k->is_mutual && ap_slice_eq_text(identity, s->identity) &&
	       ap_slice_eq_text(hostname, s->hostname);
}

static struct slot *
slot_get(struct wp_request *r, const struct key *k)
{
	struct ap_slice identity = r->down->identity;
	struct ap_slice hostname = r->binding == NULL ? AP_S("") : r->binding->host->hostname;
	uint64_t h = (uint64_t)(uintptr_t)k->source * 0x9e3779b97f4a7c15U ^
		     (uint64_t)(uintptr_t)k->destination * 0xc2b2ae3d27d4eb4fU ^ (uint64_t)(uintptr_t)k->service * 31 ^
		     (uint64_t)(unsigned)k->status * 0x165667b19e3779f9U ^ (uint64_t)k->flags << 20 ^
		     (uint64_t)(unsigned)(k->grpc_status + 1) << 40;
	struct slot *s = &r->ww->cache->slots[(h ^ h >> 29 ^ h >> 47) & (SLOTS - 1)];
	struct ap_slice v[LABELS];
	char texts[96];

	if (key_eq(s, k, identity, hostname))
		return s;
	slot_clear(s);
	s->key = *k;
	s->source = r->down->source == NULL ? NULL : ap_mesh_workload_ref(r->down->source);
	s->destination = k->destination == NULL ? NULL : ap_mesh_workload_ref(r->endpoint->workload);
	s->service = k->service == NULL ? NULL
		     : r->endpoint != NULL && r->endpoint->service == k->service
			 ? ap_mesh_service_ref(r->endpoint->service)
			 : ap_mesh_service_ref(r->down->service);
	s->identity = ap_strndup(identity.ptr == NULL ? "" : identity.ptr, identity.len);
	s->hostname = ap_strndup(hostname.ptr, hostname.len);
	values_make(r, k, v, texts);
	s->requests = ap_series_get(r->ww->w->shard, &metric_requests, v);
	s->duration = ap_series_get(r->ww->w->shard, &metric_duration, v);
	s->request_bytes = ap_series_get(r->ww->w->shard, &metric_request_bytes, v);
	s->response_bytes = ap_series_get(r->ww->w->shard, &metric_response_bytes, v);
	return s;
}

void
wp_count_request(struct wp_request *r, uint64_t duration_ns)
{
	const struct wp_endpoint *e = r->endpoint;
	struct key k = {
		.source = r->down->source,
		.destination = e == NULL ? NULL : e->workload,
		.service = e != NULL && e->service != NULL ? e->service : r->down->service,
		.flags = r->flags,
		.status = r->status,
		.grpc_status = r->grpc_status,
		.is_grpc = r->is_grpc,
		.is_mutual = r->down->is_mutual,
	};
	struct slot *s = slot_get(r, &k);

	ap_series_add(s->requests, 1);
	ap_series_observe(s->duration, (double)duration_ns / 1e6);
	ap_series_observe(s->request_bytes, (double)(r->request_bytes + AP_MAX(r->in.bytes, (uint64_t)r->kept.len)));
	ap_series_observe(s->response_bytes, (double)(r->response_bytes + r->out.bytes));
}
