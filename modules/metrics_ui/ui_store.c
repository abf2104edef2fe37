/*
 * ui_store.c -- carries what was counted into the history, tick by tick, with one row more for the sums of the whole mesh, so
 * that the time line of an hour is one flow's past and not everybody's.
 */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics_ui/ui.h"
#include "metrics_ui/ui_graph.h"

AP_LOG_MODULE(ui_store);

#define TOTAL_KEY "total" /* not a flow's key: it has no separators */
#define GRAPH_CEILING ((size_t)64 * 1024 * 1024)

static void
know(struct ui *ui, struct ui_live_flow *f, int64_t id)
{
	f->id = id;
	while ((int64_t)ui->by_id.count <= id)
		ap_vec_push(&ui->by_id, NULL);
	ui->by_id.items[id] = f;
}

static void
recall(void *arg, int64_t id, struct ap_slice key)
{
	struct ui *ui = arg;
	struct ui_live_flow *f = ui_live_flow(&ui->live, key);

	if (f != NULL)
		know(ui, f, id);
}

int
ui_store_open(struct ui *ui, struct ap_error *err)
{
	char *folder = ap_strndup(ui->settings->folder.ptr, ui->settings->folder.len);
	char *path = ap_asprintf("%s/history.db", folder);
	struct ui_history_settings s = { .path = path, .keep_seconds = ui->settings->keep_seconds,
		.max_bytes = ui->settings->max_bytes };
	int status = ap_dir_make(folder, 0700, err);

	if (status == 0) {
		ui->history = ui_history_open(&s, err);
		status = ui->history == NULL ? -1 : ui_history_flows(ui->history, recall, ui, err);
	}
	if (status == 0) {
		ui->total_flow = ui_history_flow(ui->history, AP_S(TOTAL_KEY), err);
		status = ui->total_flow < 0 ? -1 : 0;
	}
	ap_free(&path);
	ap_free(&folder);
	return status;
}

void
ui_store_close(struct ui *ui)
{
	ui_history_close(&ui->history);
	ui_store_forget_answers(ui);
	ap_map_done(&ui->cache, NULL);
	ap_vec_done(&ui->by_id);
	ui_live_done(&ui->live);
}

static void
free_cached(void *value)
{
	struct ui_cached *c = value;

	ap_buf_done(&c->body);
	ap_free(&c);
}

void
ui_store_forget_answers(struct ui *ui)
{
	ap_map_done(&ui->cache, free_cached);
	ui->cache = (struct ap_map){ 0 };
}

/* The sums of the mesh, each connection and request once: the folded graph's edges. */
static struct ui_measure
total(struct ui *ui, const struct ui_graph_flow *flows, size_t count)
{
	struct ui_graph_input in = { .flows = flows, .count = count, .names = ui->names, .by_service = true };
	struct ap_arena *arena = ap_arena_new(GRAPH_CEILING);
	struct ui_graph *g = ui_graph_build(arena, &in);
	struct ui_measure sum = { 0 };

	for (struct ui_edge *e = g == NULL ? NULL : g->edges; e != NULL; e = e->next) {
		ui_measure_add(&sum, &e->m);
		sum.open += e->m.open;
	}
	ap_arena_free(&arena);
	return sum;
}

static int
write_flow(struct ui *ui, struct ui_live_flow *f, const struct ui_measure *m, struct ap_error *err)
{
	if (f->id == 0) {
		int64_t id = ui_history_flow(ui->history, ap_slice(f->key, f->key_len), err);

		if (id < 0)
			return -1;
		know(ui, f, id);
	}
	return ui_history_put(ui->history, f->id, m, err);
}

void
ui_store_tick(struct ui *ui, int64_t t, uint32_t seconds)
{
	struct ui_graph_flow *flows = ap_alloc_array(ui->live.flows.count + 1, sizeof(*flows));
	struct ap_map_entry *e;
	struct ap_error err = { 0 };
	struct ui_measure sum;
	size_t count = 0;
	int status = ui_history_begin(ui->history, t, seconds, &err);

	for (size_t i = 0; (e = ap_map_next(&ui->live.flows, &i)) != NULL;) {
		struct ui_live_flow *f = e->value;

		f->tick.open = f->open > 0 ? (uint64_t)f->open : 0;
		if (ui_measure_is_zero(&f->tick))
			continue;
		flows[count++] = (struct ui_graph_flow){ .flow = &f->flow, .m = f->tick };
		if (status == 0)
			status = write_flow(ui, f, &f->tick, &err);
		f->tick = (struct ui_measure){ 0 };
	}
	sum = total(ui, flows, count);
	if (status == 0)
		status = ui_history_put(ui->history, ui->total_flow, &sum, &err);
	if (ui_history_commit(ui->history, status == 0 ? &err : NULL) < 0 || status < 0)
		LOG_WARN_LIMIT(NULL, 1, "A round of figures is lost: %s", err.text);
	ap_free(&flows);
	ui_store_forget_answers(ui);
}
