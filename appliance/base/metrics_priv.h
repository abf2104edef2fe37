/* metrics_priv.h -- what the shards (metrics.c) and the exposition (metrics_text.c) share. */
#ifndef BASE_METRICS_PRIV_H
#define BASE_METRICS_PRIV_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/metrics.h"

struct ap_shard {
	uint32_t magic;
	char name[32];
	struct ap_list link;               /* in ap_metrics_shards, under the lock */
	_Atomic(struct ap_series *) newest; /* pushed by the owner, walked by anyone */
	struct ap_map index;               /* owner: row and label values -> series */
	struct ap_map counts;              /* owner: row -> struct row_count */
};

struct ap_gauge {
	struct ap_gauge *next;
	const char *name, *help;
	double (*fn)(void *arg);
	void *arg;
};

/* The lock guards the list of shards, the shard of the dead, and the gauges' list. */
extern pthread_mutex_t ap_metrics_lock;
extern struct ap_list ap_metrics_shards;
extern struct ap_gauge *ap_metrics_gauges; /* pushed at the head under the lock, never freed */

/* Values of one series: the number of v[]. */
size_t ap_metric_width(const struct ap_metric *m);
/* Gauges that the kernel knows: process_*. */
void ap_metrics_write_process(struct ap_buf *out);

#endif
