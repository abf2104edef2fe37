/* ui_view.c -- from a question's parameters to the graph of its window. */
#include <errno.h>

#include "base/mem.h"
#include "base/text.h"
#include "codec/uri.h"
#include "metrics_ui/ui_api_priv.h"

#define GRAPH_CEILING ((size_t)256 * 1024 * 1024)

static int
number(struct ap_slice query, const char *name, int64_t fallback, uint64_t max, int64_t *out, struct ap_error *err)
{
	struct ap_slice text = ap_uri_param(query, name);
	uint64_t v;

	*out = fallback;
	if (text.ptr == NULL || text.len == 0)
		return 0;
	if (ap_text_to_u64(text, max, &v) < 0)
		return ap_error_set(err, -EINVAL, "%s: \"%.*s\" is not a number up to %llu", name, AP_FMT(text),
		    (unsigned long long)max);
	*out = (int64_t)v;
	return 0;
}

static int
choice(struct ap_slice query, const char *name, const char *no, const char *yes, bool *out, struct ap_error *err)
{
	struct ap_slice text = ap_uri_param(query, name);

	*out = text.ptr != NULL && ap_slice_eq_text(text, yes);
	if (text.ptr == NULL || *out || ap_slice_eq_text(text, no))
		return 0;
	return ap_error_set(err, -EINVAL, "%s: \"%.*s\" is neither %s nor %s", name, AP_FMT(text), no, yes);
}

int
ui_view_parse(const struct ui *ui, struct ap_slice query, int64_t preset, struct ui_view *out, struct ap_error *err)
{
	int64_t last = ui_history_last(ui->history), window;

	*out = (struct ui_view){ 0 };
	if (number(query, "window", preset, ui->settings->keep_seconds, &window, err) < 0 ||
	    number(query, "at", last, 1ULL << 40, &out->to, err) < 0 ||
	    choice(query, "waypoints", "folded", "shown", &out->shown, err) < 0 ||
	    choice(query, "level", "workload", "service", &out->by_service, err) < 0)
		return -EINVAL;
	if (window < ui->settings->interval)
		window = ui->settings->interval;
	if (out->to > last)
		out->to = last;
	out->from = out->to - window;
	out->edge = ap_uri_param(query, "edge");
	out->node = ap_uri_param(query, "node");
	return 0;
}

struct loading {
	struct ui *ui;
	struct ui_measure *sums; /* by id */
	int64_t fresh_from;      /* what was open before this is not known to be now */
};

static void
add_row(void *arg, const struct ui_history_row *row)
{
	struct loading *l = arg;
	struct ui_measure *m = &l->sums[row->flow];

	ui_measure_add(m, &row->m);
	m->open = row->t > l->fresh_from ? row->m.open : 0;
}

int
ui_view_graph(struct ui *ui, const struct ui_view *v, int coarse, const struct ap_slice *service, struct ui_answer *out,
    struct ap_error *err)
{
	struct loading l = { .ui = ui, .sums = ap_alloc_array(ui->by_id.count + 1, sizeof(struct ui_measure)) };
	int64_t *ids = ap_alloc_array(ui->by_id.count + 1, sizeof(*ids)), covered = 0;
	struct ui_graph_input in = { .names = ui->names, .show_waypoints = v->shown, .by_service = v->by_service };
	size_t count = 0;
	int status;

	*out = (struct ui_answer){ 0 };
	l.fresh_from = v->to - (coarse ? UI_COARSE : 2 * (int64_t)ui->settings->interval);
	for (size_t i = 0; i < ui->by_id.count; i++) {
		const struct ui_live_flow *f = ui->by_id.items[i];

		if (f != NULL && (service == NULL || f->flow.service.len == 0 || ap_slice_eq(f->flow.service, *service)))
			ids[count++] = (int64_t)i;
	}
	status = ui_history_read(ui->history, v->from, v->to, coarse, ids, count, add_row, &l, &covered, err);
	if (status == 0) {
		out->arena = ap_arena_new(GRAPH_CEILING);
		out->flows = ap_alloc_array(count + 1, sizeof(*out->flows));
		out->seconds = covered > 0 ? (double)covered : 1;
		for (size_t i = 0; i < count; i++)
			if (!ui_measure_is_zero(&l.sums[ids[i]]))
				out->flows[in.count++] = (struct ui_graph_flow){
					.flow = &ui->by_id.items[ids[i]]->flow, .m = l.sums[ids[i]] };
		in.flows = out->flows;
		out->graph = ui_graph_build(out->arena, &in);
		if (out->graph == NULL)
			status = ap_error_set(err, -ENOMEM, "the graph of this window is too large");
	}
	ap_free(&ids);
	ap_free(&l.sums);
	if (status < 0)
		ui_answer_done(out);
	return status;
}

void
ui_answer_done(struct ui_answer *a)
{
	ap_arena_free(&a->arena);
	ap_free(&a->flows);
	a->graph = NULL;
}
