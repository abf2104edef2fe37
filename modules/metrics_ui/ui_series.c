/*
 * ui_series.c -- /api/series: how an edge, a node, or the whole mesh did over time, in at most some 120 points.  For an edge or a
 * node the graph is resolved anew for every point, from the flows that can concern it; the mesh's sums are a flow of their own.
 */

#include "base/mem.h"
#include "metrics_ui/ui_api_priv.h"

#define POINTS_MAX 120
#define FINE_SPAN 900 /* up to this many seconds points are made of single ticks */

struct series {
	int64_t from, step;
	size_t count;
	struct ui_measure *points;
	int64_t *covered; /* seconds measured per point; 0: a gap */
};

static void
add_point(void *arg, const struct ui_history_row *row)
{
	struct series *s = arg;
	size_t i = (size_t)((row->t - s->from - 1) / s->step);

	if (row->t <= s->from || i >= s->count)
		return;
	ui_measure_add(&s->points[i], &row->m);
	s->points[i].open = row->m.open;
}

static int
whole_mesh(struct ui *ui, struct series *s, int coarse, struct ap_error *err)
{
	return ui_history_read(ui->history, s->from, s->from + (int64_t)s->count * s->step, coarse, &ui->total_flow, 1, add_point,
	    s, NULL, err);
}

static int
one_point(struct ui *ui, const struct ui_view *v, const struct ap_slice *service, int coarse, struct ui_measure *out,
    struct ap_error *err)
{
	struct ui_answer a;
	int status = ui_view_graph(ui, v, coarse, service, &a, err);

	if (status < 0)
		return status;
	if (v->edge.len > 0) {
		const struct ui_edge *e = ui_graph_find_edge(a.graph, v->edge);

		if (e != NULL)
			*out = e->m;
	} else {
		const struct ui_node *n = ui_graph_find_node(a.graph, v->node);

		if (n != NULL)
			*out = ui_measure_is_zero(&n->in) ? n->out : n->in;
	}
	ui_answer_done(&a);
	return 0;
}

/* Which service an edge is of, so that only its flows are read for every point; NULL pointer: not known. */
static struct ap_slice
service_of(struct ui *ui, const struct ui_view *v)
{
	struct ap_slice service = AP_SLICE_NONE;
	struct ui_answer a;

	if (v->edge.len > 0 && ui_view_graph(ui, v, 1, NULL, &a, NULL) == 0) {
		const struct ui_edge *e = ui_graph_find_edge(a.graph, v->edge);

		if (e != NULL) /* points into a flow's key, which outlives the answer */
			service = e->service;
		ui_answer_done(&a);
	}
	return service;
}

static int
resolve(struct ui *ui, const struct ui_view *v, struct series *s, int coarse, struct ap_error *err)
{
	struct ap_slice service = service_of(ui, v);
	int status = 0;

	for (size_t i = 0; i < s->count && status == 0; i++) {
		struct ui_view point = *v;

		if (s->covered[i] == 0)
			continue;
		point.from = s->from + (int64_t)i * s->step;
		point.to = point.from + s->step;
		status = one_point(ui, &point, service.len > 0 ? &service : NULL, coarse, &s->points[i], err);
	}
	return status;
}

typedef double (*value_fn)(const struct ui_measure *m, double seconds);

static double
requests(const struct ui_measure *m, double seconds)
{
	return (double)m->requests / seconds;
}

static double
errors(const struct ui_measure *m, double seconds)
{
	return (double)(ui_measure_class(m, 5) + ui_measure_class(m, 0)) / seconds;
}

static double
client_errors(const struct ui_measure *m, double seconds)
{
	return (double)ui_measure_class(m, 4) / seconds;
}

static double
p50(const struct ui_measure *m, double seconds)
{
	(void)seconds;
	return ui_measure_quantile(m, 0.5);
}

static double
p95(const struct ui_measure *m, double seconds)
{
	(void)seconds;
	return ui_measure_quantile(m, 0.95);
}

static double
p99(const struct ui_measure *m, double seconds)
{
	(void)seconds;
	return ui_measure_quantile(m, 0.99);
}

static double
received(const struct ui_measure *m, double seconds)
{
	return (double)(m->received > 0 || m->sent > 0 ? m->received : m->request_bytes) / seconds;
}

static double
sent(const struct ui_measure *m, double seconds)
{
	return (double)(m->received > 0 || m->sent > 0 ? m->sent : m->response_bytes) / seconds;
}

static double
connections(const struct ui_measure *m, double seconds)
{
	return (double)m->opened / seconds;
}

static double
open_now(const struct ui_measure *m, double seconds)
{
	(void)seconds;
	return (double)m->open;
}

static double
failed(const struct ui_measure *m, double seconds)
{
	return (double)m->failed / seconds;
}

static const struct {
	const char *name;
	value_fn fn;
} columns[] = {
	{ "requests", requests },
	{ "errors", errors },
	{ "clientErrors", client_errors },
	{ "p50", p50 },
	{ "p95", p95 },
	{ "p99", p99 },
	{ "received", received },
	{ "sent", sent },
	{ "connections", connections },
	{ "open", open_now },
	{ "failed", failed },
};

static void
write_series(const struct series *s, struct ap_buf *out)
{
	ap_buf_add_text(out, "{\"t\":[");
	for (size_t i = 0; i < s->count; i++)
		ap_buf_printf(out, "%s%lld", i == 0 ? "" : ",", (long long)(s->from + (int64_t)(i + 1) * s->step));
	ap_buf_add_char(out, ']');
	for (size_t c = 0; c < AP_COUNTOF(columns); c++) {
		ap_buf_printf(out, ",\"%s\":[", columns[c].name);
		for (size_t i = 0; i < s->count; i++) {
			double v = s->covered[i] > 0 ? columns[c].fn(&s->points[i], (double)s->covered[i]) : -1;

			if (i > 0)
				ap_buf_add_char(out, ',');
			/* null: a gap in what was measured, or no request whose time could be. */
			if (v < 0)
				ap_buf_add_text(out, "null");
			else
				ap_buf_printf(out, "%.5g", v);
		}
		ap_buf_add_char(out, ']');
	}
	ap_buf_add_text(out, "}\n");
}

int
ui_api_series(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err)
{
	struct series s = { 0 };
	struct ui_view v;
	int64_t grid, window;
	int coarse, status = ui_view_parse(ui, query, 600, &v, err);

	if (status < 0)
		return status;
	window = v.to - v.from;
	coarse = window > FINE_SPAN;
	grid = coarse ? UI_COARSE : ui->settings->interval;
	s.step = (window + POINTS_MAX * grid - 1) / (POINTS_MAX * grid) * grid;
	v.to = v.to / grid * grid;
	s.count = (size_t)AP_MAX(window / s.step, 1);
	s.from = v.to - (int64_t)s.count * s.step;
	s.points = ap_alloc_array(s.count, sizeof(*s.points));
	s.covered = ap_alloc_array(s.count, sizeof(*s.covered));
	for (size_t i = 0; i < s.count; i++)
		s.covered[i] = ui_history_covered(
		    ui->history, s.from + (int64_t)i * s.step, s.from + (int64_t)(i + 1) * s.step, coarse);
	v.from = s.from;
	status = v.edge.len > 0 || v.node.len > 0 ? resolve(ui, &v, &s, coarse, err) : whole_mesh(ui, &s, coarse, err);
	if (status == 0)
		write_series(&s, out);
	ap_free(&s.points);
	ap_free(&s.covered);
	return status;
}
