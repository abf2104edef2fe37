/*
 * metrics.c -- shards and their series.
 *
 * One thread writes a shard with plain stores; the scraper follows the newest-first list that the owner only ever
 * pushes to.  When a shard's thread ends, its counters and histograms are added to the shard of the dead, which is
 * touched under the lock alone, so no sum ever goes back; its gauges are gone with what they measured.  Rows
 * (struct ap_metric) are constants and must stay mapped as long as the process.
 */
#include "base/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/metrics_priv.h"

#define SHARD_MAGIC AP_MAGIC('S', 'H', 'R', 'D')
#define VALUE_SIZE_MAX 256 /* of a label; longer ones are cut */
#define CEILING_DEFAULT 10000

struct row_count {
	size_t series;
};

pthread_mutex_t ap_metrics_lock = PTHREAD_MUTEX_INITIALIZER;
struct ap_list ap_metrics_shards = { &ap_metrics_shards, &ap_metrics_shards };
struct ap_gauge *ap_metrics_gauges;
static struct ap_shard *dead; /* under the lock */

size_t
ap_metric_width(const struct ap_metric *m)
{
	return m->kind == AP_HISTOGRAM ? m->bound_count + 2 : 1;
}

static struct ap_shard *
shard_new(const char *name)
{
	struct ap_shard *shard = ap_new(struct ap_shard);

	shard->magic = SHARD_MAGIC;
	snprintf(shard->name, sizeof(shard->name), "%s", name);
	return shard;
}

struct ap_shard *
ap_shard_new(const char *name)
{
	struct ap_shard *shard = shard_new(name);

	pthread_mutex_lock(&ap_metrics_lock);
	ap_list_append(&ap_metrics_shards, &shard->link);
	pthread_mutex_unlock(&ap_metrics_lock);
	return shard;
}

static struct ap_slice
row_key(const struct ap_metric *const *m)
{
	return ap_slice((const char *)m, sizeof(*m));
}

static size_t
count_labels(const struct ap_metric *m)
{
	size_t n = 0;

	while (m->labels != NULL && m->labels[n] != NULL)
		n++;
	AP_CHECK(n <= AP_METRIC_LABELS_MAX);
	return n;
}

/* True: the row has as many series in this shard as it may. */
static bool
is_row_full(struct ap_shard *shard, const struct ap_metric *m)
{
	struct row_count *count = ap_map_find(&shard->counts, row_key(&m));

	return count != NULL && count->series >= (m->ceiling == 0 ? CEILING_DEFAULT : m->ceiling);
}

static void
count_row(struct ap_shard *shard, const struct ap_metric *m)
{
	struct row_count *count = ap_map_find(&shard->counts, row_key(&m));

	if (count == NULL) {
		count = ap_new(struct row_count);
		ap_map_put(&shard->counts, row_key(&m), count);
	}
	count->series++;
}

/* id: the row's address and the label values, as kept in the index. */
static struct ap_series *
add_series(struct ap_shard *shard, const struct ap_metric *m, struct ap_slice id)
{
	size_t width = ap_metric_width(m), key_len = id.len - sizeof(m);
	size_t head = (sizeof(struct ap_series) + 7) & ~(size_t)7;
	char *memory = ap_alloc(head + width * sizeof(uint64_t) + key_len);
	struct ap_series *s = (struct ap_series *)(void *)memory;
	char *key = memory + head + width * sizeof(uint64_t);

	AP_CHECK(m->kind != AP_HISTOGRAM || m->bound_count <= AP_METRIC_BUCKETS_MAX);
	memcpy(key, id.ptr + sizeof(m), key_len);
	s->metric = m;
	s->v = (_Atomic uint64_t *)(void *)(memory + head);
	s->key = ap_slice(key, key_len);
	s->next = atomic_load_explicit(&shard->newest, memory_order_relaxed);
	ap_map_put(&shard->index, id, s);
	count_row(shard, m);
	atomic_store_explicit(&shard->newest, s, memory_order_release);
	return s;
}

/* The row's address, then each value with a NUL behind it. A value ends at its first NUL. */
static size_t
make_id(char *id, const struct ap_metric *m, const struct ap_slice *values)
{
	size_t labels = count_labels(m), at = sizeof(m);

	memcpy(id, &m, sizeof(m));
	for (size_t i = 0; i < labels; i++) {
		struct ap_slice v = values == NULL ? AP_S("other") : ap_slice_sub(values[i], 0, VALUE_SIZE_MAX);
		size_t len = AP_MIN(v.len, ap_slice_find(v, '\0'));

		if (len > 0)
			memcpy(id + at, v.ptr, len);
		at += len;
		id[at++] = '\0';
	}
	return at;
}

struct ap_series *
ap_series_get(struct ap_shard *shard, const struct ap_metric *m, const struct ap_slice *values)
{
	char id[sizeof(m) + AP_METRIC_LABELS_MAX * (VALUE_SIZE_MAX + 1)];
	struct ap_series *s;
	size_t size;

	AP_IS(shard, SHARD_MAGIC);
	size = make_id(id, m, values);
	s = ap_map_find(&shard->index, ap_slice(id, size));
	if (s == NULL && is_row_full(shard, m)) {
		size = make_id(id, m, NULL);
		s = ap_map_find(&shard->index, ap_slice(id, size));
	}
	return s != NULL ? s : add_series(shard, m, ap_slice(id, size));
}

static double
load_double(const _Atomic uint64_t *v)
{
	uint64_t bits = atomic_load_explicit(v, memory_order_relaxed);
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static void
add_double(_Atomic uint64_t *v, double more)
{
	double d = load_double(v) + more;
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	atomic_store_explicit(v, bits, memory_order_relaxed);
}

static void
add_count(_Atomic uint64_t *v, uint64_t n)
{
	atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}

void
ap_series_observe(struct ap_series *s, double value)
{
	const struct ap_metric *m = s->metric;
	size_t i = 0;

	while (i < m->bound_count && !(value <= m->bounds[i]))
		i++;
	add_count(&s->v[i], 1);
	add_double(&s->v[m->bound_count + 1], value);
}

/* Under the lock. */
static void
bury(const struct ap_series *s)
{
	char id[sizeof(s->metric) + AP_METRIC_LABELS_MAX * (VALUE_SIZE_MAX + 1)];
	size_t width = ap_metric_width(s->metric);
	struct ap_series *sum;

	if (s->metric->kind == AP_GAUGE)
		return;
	memcpy(id, &s->metric, sizeof(s->metric));
	memcpy(id + sizeof(s->metric), s->key.ptr, s->key.len);
	sum = ap_map_find(&dead->index, ap_slice(id, sizeof(s->metric) + s->key.len));
	if (sum == NULL)
		sum = add_series(dead, s->metric, ap_slice(id, sizeof(s->metric) + s->key.len));
	if (s->metric->kind == AP_HISTOGRAM)
		add_double(&sum->v[--width], load_double(&s->v[s->metric->bound_count + 1]));
	for (size_t i = 0; i < width; i++)
		add_count(&sum->v[i], atomic_load_explicit(&s->v[i], memory_order_relaxed));
}

void
ap_shard_free(struct ap_shard **shard_ptr)
{
	struct ap_shard *shard = *shard_ptr;
	struct ap_series *s;

	if (shard == NULL)
		return;
	*shard_ptr = NULL;
	AP_IS(shard, SHARD_MAGIC);
	pthread_mutex_lock(&ap_metrics_lock);
	if (dead == NULL) {
		dead = shard_new("dead");
		ap_list_prepend(&ap_metrics_shards, &dead->link);
	}
	ap_list_remove(&shard->link);
	for (s = atomic_load(&shard->newest); s != NULL; s = s->next)
		bury(s);
	pthread_mutex_unlock(&ap_metrics_lock);
	ap_map_done(&shard->index, ap_mem_free);
	ap_map_done(&shard->counts, ap_mem_free);
	shard->magic = 0;
	ap_free(&shard);
}

void
ap_metrics_add_gauge(const char *name, const char *help, double (*fn)(void *arg), void *arg)
{
	struct ap_gauge *g = ap_new(struct ap_gauge);

	*g = (struct ap_gauge){ .name = name, .help = help, .fn = fn, .arg = arg };
	pthread_mutex_lock(&ap_metrics_lock);
	g->next = ap_metrics_gauges;
	ap_metrics_gauges = g;
	pthread_mutex_unlock(&ap_metrics_lock);
}
