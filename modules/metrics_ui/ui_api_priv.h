/* ui_api_priv.h -- the window that a question is about, and the graph of it; shared by the files of the API. */
#ifndef UI_API_PRIV_H
#define UI_API_PRIV_H
#include "metrics_ui/ui.h"
#include "metrics_ui/ui_graph.h"

struct ui_view {
	int64_t from, to; /* Unix seconds; (from, to] */
	bool shown, by_service;
	struct ap_slice edge, node; /* ids; empty: not asked for */
};

/* A graph and what it stands on. */
struct ui_answer {
	struct ap_arena *arena;
	struct ui_graph_flow *flows;
	struct ui_graph *graph; /* NULL: too large */
	double seconds;         /* measured in the window, at least 1 */
};

/* 0, or -EINVAL with the sentence in err. preset: the window when none is asked for. */
int ui_view_parse(const struct ui *ui, struct ap_slice query, int64_t preset, struct ui_view *out, struct ap_error *err);
/* service: only flows of that one; NULL: all. */
int ui_view_graph(struct ui *ui, const struct ui_view *v, int coarse, const struct ap_slice *service, struct ui_answer *out,
    struct ap_error *err);
void ui_answer_done(struct ui_answer *a);

/* ui_series.c: the answer of /api/series. */
int ui_api_series(struct ui *ui, struct ap_slice query, struct ap_buf *out, struct ap_error *err);

#endif
