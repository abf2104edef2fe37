/*
 * zt_requests.c -- counts the HTTP requests of a connection without having to do with them: istio_requests_total and its three
 * histograms (istio-ambient.md 6.5), with the labels of its TCP metrics.  A hop to or from a waypoint carries requests that the
 * waypoint counts, so it is left alone.
 *
 * A connection that does not begin like HTTP costs one look at its first bytes.  One that does has a block of memory until
 * its end, with the series of its last few outcomes, so that counting a request looks nothing up.  Worker.
 */
#include "ztunnel/zt_requests.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "mesh/labels.h"
#include "mesh/table.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_conn.h"
#include "ztunnel/zt_sniff.h"

#define OUTCOMES 2U

/* ap_mesh_label_names with two more; the places' labels last, which appear when they are known. */
#define NAMES \
	"response_code", "grpc_response_status", "reporter", "source_workload", "source_canonical_service", \
	    "source_canonical_revision", "source_workload_namespace", "source_principal", "source_app", "source_version", \
	    "source_cluster", "destination_service", "destination_service_namespace", "destination_service_name", \
	    "destination_workload", "destination_canonical_service", "destination_canonical_revision", \
	    "destination_workload_namespace", "destination_principal", "destination_app", "destination_version", \
	    "destination_cluster", "request_protocol", "response_flags", "connection_security_policy"
#define OWN 2U
static const char *const names[] = { NAMES, NULL };
static const char *const placed_names[] = { NAMES, "source_region", "source_zone", "destination_region", "destination_zone", NULL };
_Static_assert(AP_COUNTOF(placed_names) == OWN + AP_MESH_LABEL_COUNT + 1, "Istio's labels of TCP, and our own");
_Static_assert(OWN + AP_MESH_LABEL_COUNT <= AP_METRIC_LABELS_MAX, "room for them");

static const double bounds[] = { .5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000,
	1800000, 3600000 };

#define ROWS(var_, name_, unit_, help_, ...) \
	static const struct ap_metric var_[2] = { \
		{ .name = (name_), .help = (help_), .unit = (unit_), .labels = names, __VA_ARGS__ }, \
		{ .name = (name_), .help = (help_), .unit = (unit_), .labels = placed_names, __VA_ARGS__ }, \
	}
#define HISTOGRAM .kind = AP_HISTOGRAM, .bounds = bounds, .bound_count = AP_COUNTOF(bounds)
ROWS(metric_requests, "istio_requests", "", "Requests by source, destination and outcome.", .kind = AP_COUNTER);
ROWS(metric_duration, "istio_request_duration_milliseconds", "milliseconds",
    "Time from a request's head to its answer's end.", HISTOGRAM);
ROWS(metric_request_bytes, "istio_request_bytes", "bytes", "Bytes of requests, head and body.", HISTOGRAM);
ROWS(metric_response_bytes, "istio_response_bytes", "bytes", "Bytes of answers, head and body.", HISTOGRAM);

/* How requests of one kind ended. */
struct outcome {
	uint16_t status; /* 0: none */
	int16_t grpc_status;
	bool is_grpc, is_http2;
	struct ap_series *requests, *duration, *request_bytes, *response_bytes;
};

struct zt_requests {
	struct zt_sniff *sniff;
	struct outcome outcomes[OUTCOMES]; /* the last one first */
};

static bool
is_waypoint_of(const struct zt_conn *c, const struct ap_mesh_workload *w)
{
	const struct ap_mesh_table *t = c->zw->table;
	const struct ap_mesh_service *s = c->service;

	/* The label is that of a workload that runs a Gateway: such proxies count for themselves. */
	if (ap_mesh_workload_label(w, AP_S("gateway.networking.k8s.io/gateway-name")).len > 0)
		return true;
	if (ap_mesh_gateway_is(t, &c->destination->waypoint, w))
		return true;
	if (s == NULL)
		return false;
	for (uint32_t i = 0; i < s->weighted_waypoint_count; i++)
		if (ap_mesh_gateway_is(t, &s->weighted_waypoints[i].gateway, w))
			return true;
	return ap_mesh_gateway_is(t, &s->waypoint, w);
}

bool
zt_requests_wanted(const struct zt_conn *c)
{
	if (!c->zw->zt->cfg.passive_http || c->via_waypoint)
		return false;
	/* Between strangers there is nothing to tell; a destination with a tunnel of its own is a waypoint behind us. */
	if (c->destination == NULL)
		return c->source != NULL;
	if (c->destination->has_app_tunnel)
		return false;
	return c->source == NULL || !is_waypoint_of(c, c->source);
}

static void
find_series(const struct zt_conn *c, struct outcome *o)
{
	struct ap_slice values[OWN + AP_MESH_LABEL_COUNT];
	struct ap_shard *shard = c->zw->w->shard;
	struct ap_mesh_baggage baggage;
	struct ap_mesh_ends e;
	char code[8], grpc[8] = "";
	size_t row;

	zt_conn_ends(c, &e, &baggage);
	e.request_protocol = o->is_grpc ? AP_S("grpc") : o->is_http2 ? AP_S("http2") : AP_S("http");
	(void)snprintf(code, sizeof(code), "%u", o->status);
	if (o->grpc_status >= 0)
		(void)snprintf(grpc, sizeof(grpc), "%d", o->grpc_status);
	values[0] = ap_slice_of(code);
	values[1] = ap_slice_of(grpc);
	ap_mesh_labels(&e, values + OWN);
	row = values[AP_COUNTOF(values) - 1].len > 0 ? 1 : 0;
	o->requests = ap_series_get(shard, &metric_requests[row], values);
	o->duration = ap_series_get(shard, &metric_duration[row], values);
	o->request_bytes = ap_series_get(shard, &metric_request_bytes[row], values);
	o->response_bytes = ap_series_get(shard, &metric_response_bytes[row], values);
}

static const struct outcome *
outcome_of(struct zt_conn *c, const struct zt_sniff_request *r)
{
	struct outcome *o = c->requests->outcomes;
	uint32_t i;

	for (i = 0; i < OUTCOMES; i++)
		if (o[i].status == r->status && o[i].grpc_status == r->grpc_status && o[i].is_grpc == r->is_grpc)
			return &o[i];
	memmove(o + 1, o, (OUTCOMES - 1) * sizeof(*o));
	*o = (struct outcome){ .status = r->status,
		.grpc_status = r->grpc_status,
		.is_grpc = r->is_grpc,
		.is_http2 = r->is_http2 };
	find_series(c, o);
	return o;
}

static void
count(const struct zt_sniff_request *r, void *arg)
{
	const struct outcome *o = outcome_of(arg, r);

	ap_series_add(o->requests, 1);
	ap_series_observe(o->duration, (double)r->duration_us / 1000);
	ap_series_observe(o->request_bytes, (double)r->request_bytes);
	ap_series_observe(o->response_bytes, (double)r->response_bytes);
}

static void
give_up(struct zt_conn *c)
{
	c->requests_over = true;
	if (c->requests != NULL)
		zt_sniff_free(&c->requests->sniff);
	ap_free(&c->requests);
}

void
zt_requests_see(struct zt_conn *c, bool from_client, const struct iovec *iov, int vectors)
{
	enum zt_sniff_side side = from_client ? ZT_SNIFF_CLIENT : ZT_SNIFF_SERVER;
	uint64_t now;

	if (AP_LIKELY(c->requests_over))
		return;
	if (c->requests == NULL) {
		if (vectors == 0 || iov[0].iov_len == 0)
			return;
		if (!zt_sniff_is_likely(side, iov[0].iov_base, iov[0].iov_len)) {
			c->requests_over = true;
			return;
		}
		c->requests = ap_new(struct zt_requests);
		c->requests->sniff = zt_sniff_new();
	}
	now = ap_clock_mono_ns() / 1000;
	for (int i = 0; i < vectors; i++) {
		if (!zt_sniff_feed(c->requests->sniff, side, iov[i].iov_base, iov[i].iov_len, now, count, c)) {
			give_up(c);
			return;
		}
	}
}

void
zt_requests_end(struct zt_conn *c)
{
	if (c->requests != NULL)
		zt_sniff_finish(c->requests->sniff, ap_clock_mono_ns() / 1000, count, c);
	give_up(c);
}
