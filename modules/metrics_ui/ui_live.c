/*
 * ui_live.c -- deltas of counters.  A series is known by a hash of its name and labels; the first time it is seen its flow
 * is looked up once and kept beside it, so that a scrape costs one hash and one addition per sample.  Pure.
 */
#include "metrics_ui/ui_live.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"

enum what {
	OPENED,
	CLOSED,
	FAILED,
	SENT,
	RECEIVED,
	REQUESTS,
	DURATION_BUCKET,
	DURATION_SUM,
	DURATION_COUNT,
	REQUEST_BYTES,
	RESPONSE_BYTES,
	WHAT_COUNT,
};

static const char *const names[WHAT_COUNT] = {
	[OPENED] = "istio_tcp_connections_opened_total",
	[CLOSED] = "istio_tcp_connections_closed_total",
	[FAILED] = "istio_tcp_connections_failed_total",
	[SENT] = "istio_tcp_sent_bytes_total",
	[RECEIVED] = "istio_tcp_received_bytes_total",
	[REQUESTS] = "istio_requests_total",
	[DURATION_BUCKET] = "istio_request_duration_milliseconds_bucket",
	[DURATION_SUM] = "istio_request_duration_milliseconds_sum",
	[DURATION_COUNT] = "istio_request_duration_milliseconds_count",
	[REQUEST_BYTES] = "istio_request_bytes_sum",
	[RESPONSE_BYTES] = "istio_response_bytes_sum",
};

struct series {
	struct ui_live_flow *flow; /* NULL: of no flow that we keep */
	double last;
	int64_t counted; /* opened and closed: what of it stands in the flow's `open` */
	enum what what;
	uint16_t code;  /* requests */
	uint8_t bucket; /* duration: index of the bound; UI_BOUND_COUNT: none of ours */
	bool is_denied;
};

struct ui_tally {
	char *via;
	struct ap_map series; /* hash of name and labels (8 bytes) -> series */
	bool has_baseline;
};

struct taking {
	struct ui_tally *tally;
	struct ui_live *live;
	bool is_baseline;
	struct ap_buf key; /* scratch */
};

static void
free_flow(void *value)
{
	struct ui_live_flow *f = value;

	ap_free(&f->key);
	ap_free(&f);
}

void
ui_live_done(struct ui_live *live)
{
	ap_map_done(&live->flows, free_flow);
}

struct ui_live_flow *
ui_live_flow(struct ui_live *live, struct ap_slice key)
{
	struct ui_live_flow *f = ap_map_find(&live->flows, key);
	struct ui_flow parsed;

	if (f != NULL)
		return f;
	if (live->flows.count >= UI_FLOWS_MAX || ui_flow_parse(key, &parsed) < 0)
		return NULL;
	f = ap_new(struct ui_live_flow);
	f->key = ap_strndup(key.ptr, key.len);
	f->key_len = (uint32_t)key.len;
	(void)ui_flow_parse(ap_slice(f->key, key.len), &f->flow);
	ap_map_put(&live->flows, key, f);
	return f;
}

struct ui_tally *
ui_tally_new(struct ap_slice via, bool counts_first)
{
	struct ui_tally *t = ap_new(struct ui_tally);

	t->via = ap_strndup(via.ptr == NULL ? "" : via.ptr, via.len);
	t->has_baseline = counts_first;
	return t;
}

static void
free_series(void *value)
{
	ap_free(&value);
}

void
ui_tally_free(struct ui_tally **tally, struct ui_live *live)
{
	struct ui_tally *t = *tally;

	if (t == NULL)
		return;
	ui_tally_lost(t, live);
	ap_map_done(&t->series, free_series);
	ap_free(&t->via);
	ap_free(tally);
}

static void
set_open(struct series *s, int64_t value)
{
	int64_t change = value - s->counted;

	s->counted = value;
	if (s->what == OPENED)
		s->flow->open += change;
	else
		s->flow->open -= change;
}

void
ui_tally_lost(struct ui_tally *t, struct ui_live *live)
{
	struct ap_map_entry *e;

	(void)live;
	for (size_t i = 0; (e = ap_map_next(&t->series, &i)) != NULL;) {
		struct series *s = e->value;

		if (s->flow != NULL && (s->what == OPENED || s->what == CLOSED))
			set_open(s, 0);
	}
}

size_t
ui_tally_series(const struct ui_tally *t)
{
	return t->series.count;
}

static uint64_t
hash_sample(const struct ap_prom_sample *sample, struct ap_buf *scratch)
{
	ap_buf_clear(scratch);
	ap_buf_add_slice(scratch, sample->name);
	for (size_t i = 0; i < sample->label_count; i++) {
		ap_buf_add_char(scratch, '\n');
		ap_buf_add_slice(scratch, sample->labels[i].name);
		ap_buf_add_char(scratch, '=');
		ap_buf_add_slice(scratch, sample->labels[i].value);
	}
	return ap_hash(scratch->ptr, scratch->len);
}

static uint8_t
bucket_of(struct ap_slice le)
{
	double bound;

	if (ap_text_to_double(le, &bound) < 0)
		return UI_BOUND_COUNT;
	for (uint8_t i = 0; i < UI_BOUND_COUNT; i++)
		if (fabs(ui_bounds[i] - bound) <= bound * 1e-9)
			return i;
	return UI_BOUND_COUNT; /* +Inf, or a bound of another scale: cumulative counts do without */
}

static struct series *
new_series(struct taking *t, const struct ap_prom_sample *sample, enum what what)
{
	struct series *s = ap_new(struct series);
	struct ap_slice flags = ap_prom_label(sample, "response_flags");
	uint64_t code = 0;

	s->what = what;
	if (what == REQUESTS && ap_text_to_u64(ap_prom_label(sample, "response_code"), 999, &code) == 0)
		s->code = (uint16_t)code;
	if (what == DURATION_BUCKET)
		s->bucket = bucket_of(ap_prom_label(sample, "le"));
	s->is_denied = ap_slice_eq_text(flags, "DENY") || ap_slice_eq_text(flags, "RBAC") || ap_slice_eq_text(flags, "UAEX");
	ap_buf_clear(&t->key);
	if (ui_flow_key(sample, ap_slice_of(t->tally->via), &t->key) == 0) {
		s->flow = ui_live_flow(t->live, ap_buf_slice(&t->key));
		if (s->flow == NULL)
			t->live->dropped++;
	}
	return s;
}

static void
count(struct series *s, double delta)
{
	struct ui_measure *m = &s->flow->tick;
	uint64_t n = (uint64_t)llround(delta);

	switch (s->what) {
	case OPENED:
		m->opened += n;
		break;
	case CLOSED:
		m->closed += n;
		break;
	case FAILED:
		m->failed += n;
		m->denied += s->is_denied ? n : 0;
		break;
	case SENT:
		m->sent += n;
		break;
	case RECEIVED:
		m->received += n;
		break;
	case REQUESTS:
		m->requests += n;
		m->denied += s->is_denied ? n : 0;
		ui_measure_add_code(m, s->code, n);
		break;
	case DURATION_BUCKET:
		if (s->bucket < UI_BOUND_COUNT)
			m->at_most[s->bucket] += n;
		break;
	case DURATION_SUM:
		m->duration_sum += delta;
		break;
	case DURATION_COUNT:
		m->durations += n;
		break;
	case REQUEST_BYTES:
		m->request_bytes += n;
		break;
	case RESPONSE_BYTES:
		m->response_bytes += n;
		break;
	case WHAT_COUNT:
		break;
	}
}

static int
take_sample(void *arg, const struct ap_prom_sample *sample)
{
	struct taking *t = arg;
	struct series *s;
	struct ap_slice key;
	uint64_t hash;
	double delta, value = sample->value;
	size_t what = 0;

	while (what < WHAT_COUNT && !ap_slice_eq_text(sample->name, names[what]))
		what++;
	if (what == WHAT_COUNT || !isfinite(value) || value < 0 || value > 9e15)
		return 0;
	hash = hash_sample(sample, &t->key);
	key = ap_slice((const char *)&hash, sizeof(hash));
	s = ap_map_find(&t->tally->series, key);
	if (s == NULL) {
		if (t->tally->series.count >= UI_SERIES_MAX) {
			t->live->dropped++;
			return 0;
		}
		s = new_series(t, sample, (enum what)what);
		ap_map_put(&t->tally->series, key, s);
		delta = t->is_baseline ? 0 : value;
	} else {
		delta = value >= s->last ? value - s->last : value;
	}
	s->last = value;
	if (s->flow == NULL)
		return 0;
	if (s->what == OPENED || s->what == CLOSED)
		set_open(s, (int64_t)value);
	if (delta > 0)
		count(s, delta);
	return 0;
}

int
ui_tally_take(struct ui_tally *t, struct ui_live *live, struct ap_slice text, struct ap_error *err)
{
	struct taking taking = { .tally = t, .live = live, .is_baseline = !t->has_baseline };
	int status;

	ap_buf_init(&taking.key, (size_t)64 * 1024);
	status = ap_prom_parse(text, UI_SERIES_MAX * 2, take_sample, &taking, err);
	ap_buf_done(&taking.key);
	t->has_baseline = true;
	return status;
}
