/*
 * ui_targets.c -- who is scraped, and the rounds of scraping.  Targets come from the configuration and from the control plane's
 * Host objects; each is asked once per interval and has at most one request under way.  A round ends when all answered or
 * the next one is due, and becomes one tick of the history.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/doc.h"
#include "event/worker.h"
#include "metrics_ui/ui.h"
#include "metrics_ui/ui_fetch.h"

AP_LOG_MODULE(ui_targets);

#define ANSWER_MAX ((size_t)32 * 1024 * 1024)
#define GONE_MS 60000U /* a host that the control plane lost and that does not answer is forgotten after this */
#define ACCEPT "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

struct target {
	struct ui *ui;
	char *name, *role, *authority;
	char *via; /* namespace/name of the waypoint that it is, or "" */
	struct ap_addr addr;
	struct ui_tally *tally;
	struct ui_fetch *fetch;
	bool is_static, is_connected, is_up;
	uint64_t asked_ms, good_ms; /* good: last whole answer; 0: none yet */
	uint64_t born_ms;
	char message[160];
	bool keep; /* ui_targets_sync */
};

struct ui_targets {
	struct ap_map by_name; /* -> target */
	struct ap_map ever;    /* names that were targets once */
	struct ap_timer timer;
	uint32_t asked;     /* requests under way in this round */
	int64_t round_t;    /* its time; 0: ended */
	int64_t last_t;     /* of the last tick */
	bool has_baseline;  /* the first round only tells where counters stand: it measures nothing */
};

static void
free_target(void *value)
{
	struct target *t = value;

	ui_fetch_cancel(&t->fetch);
	ui_tally_free(&t->tally, &t->ui->live);
	ap_free(&t->name);
	ap_free(&t->role);
	ap_free(&t->authority);
	ap_free(&t->via);
	ap_free(&t);
}

static void
end_round(struct ui *ui)
{
	struct ui_targets *ts = ui->targets;
	int64_t seconds = ts->round_t - ts->last_t;

	if (ts->round_t == 0)
		return;
	/* After a pause (a suspended machine, a slow disk) only one interval was surely measured. */
	if (!ts->has_baseline) {
		ts->has_baseline = true;
		ts->last_t = ts->round_t;
		ts->round_t = 0;
		return;
	}
	if (seconds <= 0 || seconds > 3 * (int64_t)ui->settings->interval)
		seconds = ui->settings->interval;
	ui_store_tick(ui, ts->round_t, (uint32_t)seconds);
	ts->last_t = ts->round_t;
	ts->round_t = 0;
}

static void
set_down(struct target *t, const char *why)
{
	snprintf(t->message, sizeof(t->message), "%s", why);
	if (t->is_up || t->good_ms == 0)
		LOG_DEBUG(NULL, "%s (%s) does not answer: %s", t->name, t->authority, why);
	t->is_up = false;
	/* One missed answer is no news; then what it said was open is not known to be any more. */
	if (ap_loop_now_ms(t->ui->loop) - t->good_ms > 3000U * t->ui->settings->interval)
		ui_tally_lost(t->tally, &t->ui->live);
}

static void
on_answer(void *arg, int status, struct ap_slice body, const char *why)
{
	struct target *t = arg;
	struct ui_targets *ts = t->ui->targets;
	struct ap_error err = { 0 };
	char text[80];

	t->fetch = NULL;
	if (status == 0) {
		set_down(t, why);
	} else if (status != 200) {
		snprintf(text, sizeof(text), "it answered with status %d", status);
		set_down(t, text);
	} else if (ui_tally_take(t->tally, &t->ui->live, body, &err) < 0) {
		set_down(t, err.text);
	} else {
		t->is_up = true;
		t->good_ms = ap_loop_now_ms(t->ui->loop);
		t->message[0] = '\0';
	}
	if (ts->asked > 0 && --ts->asked == 0)
		end_round(t->ui);
}

static void
ask(struct target *t)
{
	uint64_t interval_ms = 1000U * t->ui->settings->interval;
	struct ui_fetch_request r = { .loop = t->ui->loop, .to = t->addr, .authority = t->authority, .path = "/metrics",
		.accept = ACCEPT, .max_body = ANSWER_MAX, .timeout_ms = AP_MIN(interval_ms * 8 / 10, 8000U) };

	if (t->fetch != NULL)
		return;
	t->asked_ms = ap_loop_now_ms(t->ui->loop);
	t->ui->targets->asked++;
	t->fetch = ui_fetch_start(&r, on_answer, t);
}

static void
begin_round(struct ap_timer *timer, void *arg)
{
	struct ui *ui = arg;
	struct ui_targets *ts = ui->targets;
	int64_t interval = ui->settings->interval, now_ms = ap_clock_wall_ms();
	struct ap_map_entry *e;

	end_round(ui);
	ts->asked = 0;
	ts->round_t = now_ms / 1000 / interval * interval;
	if (ts->round_t == ts->last_t) /* the clock was set back a little */
		ts->round_t = 0;
	for (size_t i = 0; ts->round_t != 0 && (e = ap_map_next(&ts->by_name, &i)) != NULL;)
		ask(e->value);
	if (ts->asked == 0)
		end_round(ui);
	/* The next whole interval of the wall clock, so that ticks of all times lie on one grid. */
	ap_timer_start(timer, (uint64_t)(interval * 1000 - now_ms % (interval * 1000)) + 10);
}

static struct target *
add(struct ui *ui, const char *name, const char *role, struct ap_slice via, const struct ap_addr *addr)
{
	struct ui_targets *ts = ui->targets;
	struct ap_slice key = ap_slice_of(name);
	struct target *t = ap_new(struct target);
	char text[AP_ADDR_TEXT];
	bool is_new = !ap_map_has(&ts->ever, key) && ui_objects_known(ui);

	t->ui = ui;
	t->name = ap_strdup(name);
	t->role = ap_strdup(role);
	t->via = ap_strndup(via.ptr == NULL ? "" : via.ptr, via.len);
	t->addr = *addr;
	t->authority = ap_strdup(ap_addr_format(addr, text, sizeof(text)));
	t->born_ms = t->good_ms = 0;
	snprintf(t->message, sizeof(t->message), "not asked yet");
	/* A proxy that joined while we watched has counted nothing that we did not miss. */
	t->tally = ui_tally_new(via, is_new);
	ap_map_put(&ts->ever, key, ts);
	ap_map_put(&ts->by_name, key, t);
	t->born_ms = ap_loop_now_ms(ui->loop);
	return t;
}

static void
add_static(struct ui *ui)
{
	AP_DOC_FOR(d, ui->settings->targets) {
		struct ap_slice address = ap_doc_string(d, "address", ""), name = ap_doc_string(d, "name", "");
		struct ap_slice role = ap_doc_string(d, "role", "ztunnel");
		struct ap_addr addr;

		if (ap_addr_parse(address, &addr) < 0)
			continue;
		/* Slices of a document have a NUL behind them. */
		add(ui, name.len > 0 ? name.ptr : address.ptr, role.ptr, ap_doc_string(d, "gateway", ""), &addr)->is_static =
		    true;
	}
}

/* The first address of a proxy with its metrics port; false: it has none. */
static bool
host_address(const struct ap_doc *status, struct ap_addr *out)
{
	const struct ap_doc *first = ap_doc_item(ap_doc_get(status, "addresses"), 0);
	int64_t port = ap_doc_int(status, "metricsPort", 0);
	struct ap_ip ip;

	if (!ap_doc_is(first, AP_DOC_STRING) || port <= 0 || port > 65535 || ap_ip_parse(first->string, &ip) < 0)
		return false;
	*out = ap_addr_of(&ip, (uint16_t)port);
	return true;
}

/* proxy: what one proxy of a host told of itself when it connected: an item of Host.status.proxies. */
static void
sync_proxy(struct ui *ui, const char *name, const struct ap_doc *proxy)
{
	struct ap_slice key = ap_slice_of(name), role = ap_doc_string(proxy, "role", "ztunnel");
	struct ap_slice via = ap_doc_string(proxy, "gateway", "");
	struct target *t = ap_map_find(&ui->targets->by_name, key);
	bool is_connected = ap_doc_bool(proxy, "connected", false);
	struct ap_addr addr;

	if (!host_address(proxy, &addr) || (t != NULL && t->is_static))
		return;
	if (t != NULL && (!ap_addr_eq(&t->addr, &addr) || !ap_slice_eq_text(via, t->via))) {
		ap_map_remove(&ui->targets->by_name, key);
		free_target(t);
		t = NULL;
	}
	if (t == NULL && !is_connected)
		return;
	if (t == NULL)
		t = add(ui, name, role.ptr, via, &addr);
	t->is_connected = is_connected;
	t->keep = is_connected || ap_loop_now_ms(ui->loop) - AP_MAX(t->good_ms, t->born_ms) < GONE_MS;
}

/* A host with one proxy gives that its own name; with several, those beside the ztunnel bear their gateway's too. */
static void
sync_host(struct ui *ui, struct ap_slice host, const struct ap_doc *status)
{
	const struct ap_doc *proxies = ap_doc_get(status, "proxies");

	if (!ap_doc_is(proxies, AP_DOC_LIST)) {
		sync_proxy(ui, host.ptr, status);
		return;
	}
	AP_DOC_FOR(p, proxies) {
		struct ap_slice gateway = ap_doc_string(p, "gateway", "");
		char *name = gateway.len == 0 || proxies->count == 1 ?
		    ap_strdup(host.ptr) :
		    ap_asprintf("%s %.*s", host.ptr, AP_FMT(gateway));

		sync_proxy(ui, name, p);
		ap_free(&name);
	}
}

void
ui_targets_sync(struct ui *ui)
{
	struct ui_targets *ts = ui->targets;
	const struct ap_map *hosts = ui_objects_of(ui, "Host");
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&ts->by_name, &i)) != NULL;)
		((struct target *)e->value)->keep = false;
	for (size_t i = 0; hosts != NULL && (e = ap_map_next(hosts, &i)) != NULL;) {
		const struct ui_object *o = e->value;
		struct ap_slice name = ap_doc_string(ap_doc_get(o->doc, "metadata"), "name", "");

		if (name.len > 0)
			sync_host(ui, name, ap_doc_get(o->doc, "status"));
	}
	for (size_t i = 0; (e = ap_map_next(&ts->by_name, &i)) != NULL;) {
		struct target *t = e->value;

		if (t->keep || t->is_static)
			continue;
		ap_map_remove(&ts->by_name, e->key);
		free_target(t);
	}
}

void
ui_targets_name(const struct ui *ui, struct ui_names *names)
{
	struct ap_map_entry *e;

	for (size_t i = 0; ui->targets != NULL && (e = ap_map_next(&ui->targets->by_name, &i)) != NULL;) {
		const struct target *t = e->value;
		struct ap_slice rest = ap_slice_of(t->via), ns = ap_slice_cut(&rest, '/');

		if (rest.ptr != NULL)
			ui_names_waypoint(names, ns, rest);
	}
}

void
ui_targets_count(const struct ui *ui, uint32_t *out_up, uint32_t *out_total)
{
	struct ap_map_entry *e;

	*out_up = 0;
	*out_total = (uint32_t)ui->targets->by_name.count;
	for (size_t i = 0; (e = ap_map_next(&ui->targets->by_name, &i)) != NULL;)
		*out_up += ((const struct target *)e->value)->is_up ? 1 : 0;
}

void
ui_targets_json(const struct ui *ui, struct ap_buf *out)
{
	const char *comma = "";
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&ui->targets->by_name, &i)) != NULL;) {
		const struct target *t = e->value;

		ap_buf_printf(out, "%s{\"name\":", comma);
		ap_buf_add_json(out, ap_slice_of(t->name));
		ap_buf_add_text(out, ",\"role\":");
		ap_buf_add_json(out, ap_slice_of(t->role));
		ap_buf_add_text(out, ",\"address\":");
		ap_buf_add_json(out, ap_slice_of(t->authority));
		ap_buf_printf(out, ",\"up\":%s,\"message\":", t->is_up ? "true" : "false");
		ap_buf_add_json(out, ap_slice_of(t->message));
		if (t->good_ms == 0)
			ap_buf_add_text(out, ",\"age\":null");
		else
			ap_buf_printf(out, ",\"age\":%.1f", (double)(ap_loop_now_ms(ui->loop) - t->good_ms) / 1000);
		ap_buf_printf(out, ",\"series\":%zu}", ui_tally_series(t->tally));
		comma = ",";
	}
}

int
ui_targets_start(struct ui *ui, struct ap_error *err)
{
	(void)err;
	ui->targets = ap_new(struct ui_targets);
	ui->targets->last_t = ui_history_last(ui->history);
	add_static(ui);
	ap_timer_init(&ui->targets->timer, ui->loop, begin_round, ui);
	ap_timer_start(&ui->targets->timer, 50);
	return 0;
}

void
ui_targets_stop(struct ui *ui)
{
	struct ui_targets *ts = ui->targets;

	if (ts == NULL)
		return;
	ap_timer_stop(&ts->timer);
	ap_map_done(&ts->by_name, free_target);
	ap_map_done(&ts->ever, NULL);
	ap_free(&ui->targets);
}
