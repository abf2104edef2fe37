/*
 * metrics_text.c -- the exposition: all shards summed, as OpenMetrics text.
 *
 * Series are gathered by metric name and by label text (roles may each have a row of one name), families are sorted
 * by name, and everything lies in an arena that ends with the scrape.  The lock is held while the shards are walked,
 * which keeps them alive; their owners write on meanwhile.  Gauge callbacks run afterwards, without the lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/metrics_priv.h"
#include "base/text.h"
#include "base/vec.h"

#define SCRAPE_CEILING ((size_t)256 << 20)

struct line { /* one series of the exposition */
	struct line *next;
	struct ap_slice labels; /* a="x",b="y" */
	uint64_t *v;            /* counts, as in struct ap_series; the histogram's sum apart */
	double sum;
};

struct family {
	const struct ap_metric *metric;
	struct ap_map lines;
	struct line *first, **last;
};

struct scrape {
	struct ap_arena *arena;
	struct ap_map families;
	struct ap_buf labels; /* scratch */
};

static void
add_label(struct ap_buf *out, const char *name, struct ap_slice value)
{
	ap_buf_printf(out, "%s%s=\"", out->len > 0 ? "," : "", name);
	for (size_t i = 0, n; i < value.len; i += n) {
		char c = value.ptr[i];

		n = ap_text_utf8_next(ap_slice_from(value, i));
		if (n == 0) {
			n = 1;
			ap_buf_add_text(out, "\xef\xbf\xbd");
		} else if (c == '\n') {
			ap_buf_add_text(out, "\\n");
		} else {
			if (c == '"' || c == '\\')
				ap_buf_add_char(out, '\\');
			ap_buf_add(out, value.ptr + i, n);
		}
	}
	ap_buf_add_char(out, '"');
}

static void
format_labels(const struct ap_series *s, struct ap_buf *out)
{
	struct ap_slice rest = s->key;

	ap_buf_clear(out);
	for (size_t i = 0; s->metric->labels != NULL && s->metric->labels[i] != NULL; i++)
		add_label(out, s->metric->labels[i], ap_slice_cut(&rest, '\0'));
}

static struct family *
get_family(struct scrape *scrape, const struct ap_metric *m)
{
	struct family *f = ap_map_find(&scrape->families, ap_slice_of(m->name));

	if (f != NULL)
		return f;
	f = ap_new(struct family);
	f->metric = m;
	f->last = &f->first;
	ap_map_put(&scrape->families, ap_slice_of(m->name), f);
	return f;
}

static struct line *
get_line(struct scrape *scrape, struct family *f, struct ap_slice labels)
{
	struct line *line = ap_map_find(&f->lines, labels);

	if (line != NULL)
		return line;
	line = ap_arena_new_object(scrape->arena, struct line);
	if (line == NULL)
		return NULL;
	line->labels = ap_arena_copy(scrape->arena, labels);
	line->v = ap_arena_zalloc(scrape->arena, ap_metric_width(f->metric) * sizeof(uint64_t));
	if (line->labels.ptr == NULL || line->v == NULL)
		return NULL;
	*f->last = line;
	f->last = &line->next;
	ap_map_put(&f->lines, labels, line);
	return line;
}

static void
gather(struct scrape *scrape, const struct ap_series *s)
{
	const struct ap_metric *m = s->metric;
	struct family *f = get_family(scrape, m);
	struct line *line;

	if (f->metric->kind != m->kind || f->metric->bound_count != m->bound_count)
		return; /* two rows that cannot be summed: the first one is shown */
	format_labels(s, &scrape->labels);
	line = get_line(scrape, f, ap_buf_slice(&scrape->labels));
	if (line == NULL)
		return;
	for (size_t i = 0; i < (m->kind == AP_HISTOGRAM ? m->bound_count + 1 : 1); i++)
		line->v[i] += atomic_load_explicit(&s->v[i], memory_order_relaxed);
	if (m->kind == AP_HISTOGRAM) {
		uint64_t bits = atomic_load_explicit(&s->v[m->bound_count + 1], memory_order_relaxed);
		double sum;

		memcpy(&sum, &bits, sizeof(sum));
		line->sum += sum;
	}
}

/* The shortest text that reads back as v, with ".0" behind whole numbers, as OpenMetrics wants its bounds. */
static const char *
format_double(double v, char *out, size_t size)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, size, "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			break;
	}
	if (strspn(out, "-0123456789") == strlen(out))
		snprintf(out + strlen(out), size - strlen(out), ".0");
	return out;
}

static void
write_head(const struct ap_metric *m, struct ap_buf *out)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	struct ap_slice name = ap_slice_of(m->name), unit = ap_slice_of(m->unit);

	ap_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, types[m->kind]);
	/* OpenMetrics has a UNIT line only for names that end in the unit. */
	if (unit.len > 0 && name.len > unit.len + 1 && ap_slice_ends(name, unit) &&
	    name.ptr[name.len - unit.len - 1] == '_')
		ap_buf_printf(out, "# UNIT %s %s\n", m->name, m->unit);
}

static void
write_histogram(const struct ap_metric *m, const struct line *line, struct ap_buf *out)
{
	const char *comma = line->labels.len > 0 ? "," : "";
	uint64_t count = 0;
	char text[40];

	for (size_t i = 0; i <= m->bound_count; i++) {
		count += line->v[i];
		ap_buf_printf(out, "%s_bucket{%.*s%sle=\"%s\"} %ju\n", m->name, AP_FMT(line->labels), comma,
		    i == m->bound_count ? "+Inf" : format_double(m->bounds[i], text, sizeof(text)), (uintmax_t)count);
	}
	format_double(line->sum, text, sizeof(text));
	if (line->labels.len == 0)
		ap_buf_printf(out, "%s_sum %s\n%s_count %ju\n", m->name, text, m->name, (uintmax_t)count);
	else
		ap_buf_printf(out, "%s_sum{%.*s} %s\n%s_count{%.*s} %ju\n", m->name, AP_FMT(line->labels), text,
		    m->name, AP_FMT(line->labels), (uintmax_t)count);
}

static void
write_line(const struct ap_metric *m, const struct line *line, struct ap_buf *out)
{
	if (m->kind == AP_HISTOGRAM) {
		write_histogram(m, line, out);
		return;
	}
	ap_buf_printf(out, "%s%s", m->name, m->kind == AP_COUNTER ? "_total" : "");
	if (line->labels.len > 0)
		ap_buf_printf(out, "{%.*s}", AP_FMT(line->labels));
	if (m->kind == AP_COUNTER)
		ap_buf_printf(out, " %ju\n", (uintmax_t)line->v[0]);
	else /* several owners' additions and subtractions: the sum may pass below zero for a moment */
		ap_buf_printf(out, " %jd\n", (intmax_t)(int64_t)line->v[0]);
}

static int
compare_families(const void *a, const void *b)
{
	const struct family *const *x = a, *const *y = b;

	return strcmp((*x)->metric->name, (*y)->metric->name);
}

static void
write_families(struct scrape *scrape, struct ap_buf *out)
{
	AP_VEC(struct family *) sorted = { 0 };
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&scrape->families, &i)) != NULL;)
		ap_vec_push(&sorted, e->value);
	if (sorted.count > 0)
		qsort(sorted.items, sorted.count, sizeof(struct family *), compare_families);
	for (size_t i = 0; i < sorted.count; i++) {
		struct family *f = sorted.items[i];

		write_head(f->metric, out);
		for (struct line *line = f->first; line != NULL; line = line->next)
			write_line(f->metric, line, out);
		ap_map_done(&f->lines, NULL);
		ap_free(&f);
	}
	ap_vec_done(&sorted);
}

static void
write_gauges(struct ap_buf *out)
{
	struct ap_gauge *g;
	char text[40];

	pthread_mutex_lock(&ap_metrics_lock);
	g = ap_metrics_gauges;
	pthread_mutex_unlock(&ap_metrics_lock);
	for (; g != NULL; g = g->next)
		ap_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %s\n", g->name, g->help, g->name, g->name,
		    format_double(g->fn(g->arg), text, sizeof(text)));
}

void
ap_metrics_write(struct ap_buf *out)
{
	struct scrape scrape = { .arena = ap_arena_new(SCRAPE_CEILING) };

	ap_buf_init(&scrape.labels, (size_t)1 << 20);
	pthread_mutex_lock(&ap_metrics_lock);
	AP_LIST_FOR(l, &ap_metrics_shards)
	{
		struct ap_shard *shard = AP_LIST_ITEM(l, struct ap_shard, link);

		for (struct ap_series *s = atomic_load_explicit(&shard->newest, memory_order_acquire); s != NULL;
		     s = s->next)
			gather(&scrape, s);
	}
	pthread_mutex_unlock(&ap_metrics_lock);
	write_families(&scrape, out);
	write_gauges(out);
	ap_metrics_write_process(out);
	ap_buf_add_text(out, "# EOF\n");
	ap_map_done(&scrape.families, NULL);
	ap_buf_done(&scrape.labels);
	ap_arena_free(&scrape.arena);
}
