/* ui_json.c -- writes measures, nodes and edges.  Every member is always there: the page need not guess.  Pure. */
#include "metrics_ui/ui_json.h"

#include "base/mem.h"

static const char *const node_kinds[] = { "workload", "service", "waypoint", "outside" };
static const char *const hop_kinds[] = { "direct", "client", "waypoint", "server" };

void
ui_json_text(struct ap_buf *out, const char *name, struct ap_slice value)
{
	ap_buf_printf(out, "\"%s\":", name);
	ap_buf_add_json(out, value.ptr == NULL ? AP_S("") : value);
}

void
ui_json_error(struct ap_buf *out, const char *text)
{
	ap_buf_add_text(out, "{");
	ui_json_text(out, "error", ap_slice_of(text));
	ap_buf_add_text(out, "}\n");
}

static void
ratio(struct ap_buf *out, const char *name, uint64_t part, uint64_t all)
{
	if (all == 0)
		ap_buf_printf(out, ",\"%s\":null", name);
	else
		ap_buf_printf(out, ",\"%s\":%.9g", name, (double)part / (double)all);
}

static void
quantile(struct ap_buf *out, const char *name, const struct ui_measure *m, double q)
{
	double v = ui_measure_quantile(m, q);

	if (v < 0)
		ap_buf_printf(out, ",\"%s\":null", name);
	else
		ap_buf_printf(out, ",\"%s\":%.9g", name, v);
}

void
ui_json_traffic(struct ap_buf *out, const struct ui_measure *m, double seconds, uint64_t secure, uint64_t known)
{
	bool has_requests = m->requests > 0, has_bytes = m->received > 0 || m->sent > 0;
	uint64_t received = has_bytes ? m->received : m->request_bytes, sent = has_bytes ? m->sent : m->response_bytes;

	ap_buf_printf(out, "{\"requests\":%.9g", (double)m->requests / seconds);
	if (has_requests)
		ratio(out, "errorRate", ui_measure_class(m, 5) + ui_measure_class(m, 0), m->requests);
	else
		ratio(out, "errorRate", m->failed, AP_MAX(m->opened, m->failed));
	ratio(out, "clientErrorRate", ui_measure_class(m, 4), has_requests ? m->requests : 0);
	quantile(out, "p50", m, 0.5);
	quantile(out, "p95", m, 0.95);
	quantile(out, "p99", m, 0.99);
	ap_buf_add_text(out, ",\"codes\":{");
	for (uint32_t i = 0; i < m->code_count; i++)
		ap_buf_printf(out, "%s\"%u\":%.9g", i == 0 ? "" : ",", m->codes[i].code, (double)m->codes[i].count / seconds);
	ap_buf_printf(out, "},\"connections\":%.9g,\"open\":%llu,\"failed\":%.9g,\"denied\":%.9g,\"received\":%.9g,\"sent\":%.9g",
	    (double)m->opened / seconds, (unsigned long long)m->open, (double)m->failed / seconds, (double)m->denied / seconds,
	    (double)received / seconds, (double)sent / seconds);
	ratio(out, "mtls", secure, known);
	ap_buf_add_char(out, '}');
}

static const struct ui_workload *
workload_of(const struct ui_node *n, const struct ui_names *names)
{
	if (n->kind != UI_NODE_WORKLOAD || !ap_slice_starts(n->id, AP_S("w:")))
		return NULL;
	return ap_map_find(&names->workloads, ap_slice_from(n->id, 2));
}

void
ui_json_node(struct ap_buf *out, const struct ui_node *n, const struct ui_names *names, struct ap_slice waypoint,
    double seconds)
{
	const struct ui_workload *w = workload_of(n, names);

	ap_buf_add_char(out, '{');
	ui_json_text(out, "id", n->id);
	ap_buf_printf(out, ",\"kind\":\"%s\",", node_kinds[n->kind]);
	ui_json_text(out, "namespace", n->namespace_);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "name", n->name);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "app", n->app);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "version", n->version);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "principal", n->principal);
	ap_buf_add_text(out, ",\"hosts\":[");
	for (uint32_t i = 0; w != NULL && i < w->host_count; i++) {
		if (i > 0)
			ap_buf_add_char(out, ',');
		ap_buf_add_json(out, w->hosts[i]);
	}
	ap_buf_add_text(out, "],\"waypoint\":");
	if (waypoint.len > 0)
		ap_buf_add_json(out, waypoint);
	else
		ap_buf_add_text(out, "null");
	ap_buf_printf(out, ",\"idle\":%s,\"in\":",
	    ui_measure_is_zero(&n->in) && ui_measure_is_zero(&n->out) ? "true" : "false");
	ui_json_traffic(out, &n->in, seconds, n->in_secure, n->in_known);
	ap_buf_add_text(out, ",\"out\":");
	ui_json_traffic(out, &n->out, seconds, n->out_secure, n->out_known);
	ap_buf_add_char(out, '}');
}

void
ui_json_edge(struct ap_buf *out, const struct ui_edge *e, double seconds)
{
	ui_json_text(out, "id", e->id);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "source", e->src->id);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "target", e->dst->id);
	if (e->service.len > 0) {
		ap_buf_add_text(out, ",\"service\":{");
		ui_json_text(out, "host", e->service);
		ap_buf_add_char(out, ',');
		ui_json_text(out, "name", e->service_name.len > 0 ? e->service_name : e->service);
		ap_buf_add_char(out, ',');
		ui_json_text(out, "namespace", e->service_namespace);
		ap_buf_add_text(out, "},");
	} else {
		ap_buf_add_text(out, ",\"service\":null,");
	}
	ui_json_text(out, "protocol", e->protocol);
	ap_buf_printf(out, ",\"reporter\":\"%s\",\"via\":[", ui_reporter_name(e->reporter));
	for (uint32_t i = 0; i < e->via_count; i++) {
		if (i > 0)
			ap_buf_add_char(out, ',');
		ap_buf_add_json(out, e->via[i]);
	}
	ap_buf_printf(out, "],\"bypass\":%s,\"share\":%.9g,", e->bypass ? "true" : "false", e->share);
	ui_json_text(out, "sourcePrincipal", e->src_principal);
	ap_buf_add_char(out, ',');
	ui_json_text(out, "targetPrincipal", e->dst_principal);
	ap_buf_add_text(out, ",\"traffic\":");
	ui_json_traffic(out, &e->m, seconds, e->secure, e->known);
}

/* "reviews v2" */
static void
node_label(struct ap_buf *out, const char *name, const struct ui_node *n)
{
	struct ap_buf b;

	ap_buf_init(&b, 1024);
	ap_buf_add_slice(&b, n->kind == UI_NODE_WORKLOAD && n->app.len > 0 ? n->app : n->name);
	if (n->version.len > 0 && !ap_slice_eq_text(n->version, "latest"))
		ap_buf_printf(&b, " %.*s", AP_FMT(n->version));
	ui_json_text(out, name, ap_buf_slice(&b));
	ap_buf_done(&b);
}

void
ui_json_hops(struct ap_buf *out, const struct ui_edge *e, double seconds)
{
	ap_buf_add_char(out, '[');
	for (const struct ui_hop *h = e->hops; h != NULL; h = h->next) {
		ap_buf_printf(out, "%s{\"kind\":\"%s\",\"reporter\":\"%s\",", h == e->hops ? "" : ",", hop_kinds[h->kind],
		    ui_reporter_name(h->reporter));
		node_label(out, "from", h->from);
		ap_buf_add_char(out, ',');
		node_label(out, "to", h->to);
		ap_buf_add_text(out, ",\"traffic\":");
		ui_json_traffic(out, &h->m, seconds, 0, 0);
		ap_buf_add_char(out, '}');
	}
	ap_buf_add_char(out, ']');
}
