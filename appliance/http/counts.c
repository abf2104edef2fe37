/*
 * counts.c -- what was refused, counted on the calling worker's shard.
 *
 * These are the cold paths, so the series is looked up each time; a thread without a worker (a unit test) counts nothing.
 */
#include "base/metrics.h"
#include "event/worker.h"
#include "http/http_priv.h"

static const char *const labels[] = { "reason", NULL };
static const struct ap_metric refused = {
	.name = "ambit_http_refused",
	.kind = AP_COUNTER,
	.help = "Connections, requests and streams that were refused or cut, by reason.",
	.unit = "",
	.labels = labels,
};

static const char *const names[AP_HTTP_TROUBLES] = {
	[AP_HTTP_BAD_REQUEST] = "bad_request",
	[AP_HTTP_BAD_RESPONSE] = "bad_response",
	[AP_HTTP_HEAD_TOO_LARGE] = "head_too_large",
	[AP_HTTP_HEAD_TIMEOUT] = "head_timeout",
	[AP_HTTP_IDLE_TIMEOUT] = "idle_timeout",
	[AP_HTTP_PING_TIMEOUT] = "ping_timeout",
	[AP_HTTP_RESET_FLOOD] = "reset_flood",
	[AP_HTTP_FRAME_FLOOD] = "frame_flood",
	[AP_HTTP_STREAM_REFUSED] = "stream_refused",
	[AP_HTTP_FIELD_DROPPED] = "field_dropped",
};

void
ap_http_trouble(enum ap_http_trouble t)
{
	const struct ap_worker *w = ap_worker_self();
	struct ap_slice reason = ap_slice_of(names[t]);

	if (w != NULL && w->shard != NULL)
		ap_series_add(ap_series_get(w->shard, &refused, &reason), 1);
}
