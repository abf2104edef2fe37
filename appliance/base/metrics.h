/*
 * metrics.h -- metric rows, per-thread shards, and their sum as Prometheus text.
 *
 * Glossary: a *metric* is a row (name, kind, labels); a *series* is one set of label values of it on one shard; a
 * *shard* belongs to one thread, which alone writes its series (relaxed load and store, no locked instruction).  The
 * scraper sums series with equal labels over all shards; a series once made lives as long as its shard.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

enum ap_metric_kind { AP_COUNTER, AP_GAUGE, AP_HISTOGRAM };

#define AP_METRIC_LABELS_MAX 32
#define AP_METRIC_BUCKETS_MAX 24

struct ap_metric {
	const char *name; /* without _total, as OpenMetrics counters are declared; the exposition appends it */
	enum ap_metric_kind kind;
	const char *help;
	const char *unit;              /* of the value: "bytes", "seconds", "milliseconds", "" */
	const char *const *labels;     /* NULL-terminated, in order of exposition; NULL: none */
	const double *bounds;          /* histogram: upper bounds, ascending */
	size_t bound_count;
	size_t ceiling; /* most series per shard; what comes later shares one whose values are all "other". 0: 10,000 */
};

struct ap_series {
	const struct ap_metric *metric;
	struct ap_series *next; /* in the shard's list, newest first */
	struct ap_slice key;    /* label values, each with a NUL behind it */
	/* counter, gauge: [0]. histogram: [0..bound_count] counts per bucket (last: +Inf), then sum (double bits). */
	_Atomic uint64_t *v;
};

struct ap_shard;

AP_PUBLIC_BEGIN
/* A shard for the calling thread; listed for ap_metrics_write until freed. Any thread. */
struct ap_shard *ap_shard_new(const char *name);
/* Counters and histograms stay in the sums, which never go back; its gauges are gone. Owner thread. */
void ap_shard_free(struct ap_shard **shard);
/* Find or make the series; values: one per label, an empty one is written as given, longer ones than 256 bytes are cut.
 * The row must stay mapped as long as the process. Owner thread. Never NULL. */
struct ap_series *ap_series_get(struct ap_shard *shard, const struct ap_metric *m, const struct ap_slice *values);
/* Histogram. Owner thread. */
void ap_series_observe(struct ap_series *s, double value);
/* Every metric of every shard, summed, in OpenMetrics text ending with "# EOF". Any thread. */
void ap_metrics_write(struct ap_buf *out);
/* A gauge that is asked for when scraped; fn runs on the scraping thread. */
void ap_metrics_add_gauge(const char *name, const char *help, double (*fn)(void *arg), void *arg);
AP_PUBLIC_END

static inline void
ap_series_add(struct ap_series *s, uint64_t n)
{
	atomic_store_explicit(
	    &s->v[0], atomic_load_explicit(&s->v[0], memory_order_relaxed) + n, memory_order_relaxed);
}
/* Gauges. */
static inline void
ap_series_sub(struct ap_series *s, uint64_t n)
{
	atomic_store_explicit(
	    &s->v[0], atomic_load_explicit(&s->v[0], memory_order_relaxed) - n, memory_order_relaxed);
}
static inline void
ap_series_set(struct ap_series *s, uint64_t n)
{
	atomic_store_explicit(&s->v[0], n, memory_order_relaxed);
}

#endif
