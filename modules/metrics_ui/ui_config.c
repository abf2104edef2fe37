/* ui_config.c -- the section spec.metricsUi: its rows, and its decoding.  Pure. */
#include <errno.h>

#include "base/mem.h"
#include "base/text.h"
#include "codec/uri.h"
#include "metrics_ui/ui.h"
#include "model/appliance.h"
#include "model/schema.h"

#define DEFAULT_LISTEN "127.0.0.1:20001"

static const char *const target_roles[] = { "ztunnel", "waypoint", NULL };

static const struct ap_field_row target_rows[] = {
	{ .name = "address", .type = AP_T_STRING, .flags = AP_F_REQUIRED, .doc = "IP address and port of the proxy's /metrics." },
	{ .name = "role", .type = AP_T_STRING, .values = target_roles, .preset = "ztunnel", .doc = "What kind of proxy it is." },
	{ .name = "name", .type = AP_T_STRING, .doc = "How it is called on the page; the address by default." },
	{ .name = "gateway", .type = AP_T_STRING,
	    .doc = "A waypoint's Gateway as namespace/name: under this name it is a node of the graph." },
	{ 0 },
};
static const struct ap_schema target_schema = { .name = "metricsUi.targets[]", .rows = target_rows };

static const struct ap_field_row rows[] = {
	{ .name = "listen", .type = AP_T_STRING, .preset = DEFAULT_LISTEN,
	    .doc = "Address of the page; \":20001\" serves every address of the host." },
	{ .name = "hosts", .type = AP_T_LIST, .item = AP_T_STRING, .max = 64,
	    .doc = "Names under which browsers may reach the page, besides IP addresses and localhost." },
	{ .name = "scrapeInterval", .type = AP_T_DURATION, .preset = "5s", .doc = "How often every proxy is asked; whole seconds." },
	{ .name = "historyHours", .type = AP_T_INT, .min = 1, .max = 24 * 366, .preset = "24",
	    .doc = "How long figures by the minute are kept." },
	{ .name = "maxDatabaseMiB", .type = AP_T_INT, .min = 1, .max = 1024 * 1024, .preset = "256",
	    .doc = "The history's bound on disk; the oldest part goes first." },
	{ .name = "api", .type = AP_T_STRING,
	    .doc = "Where the resource API is: the path of its Unix socket, or http://address:port; \"none\" for none." },
	{ .name = "clusterDomain", .type = AP_T_STRING, .preset = "cluster.local", .doc = "The end of Service host names." },
	{ .name = "targets", .type = AP_T_LIST, .item = AP_T_OBJECT, .of = &target_schema, .max = 10000,
	    .doc = "Proxies to scrape besides those that the control plane knows." },
	{ 0 },
};
const struct ap_schema ui_schema = {
	.name = "metricsUi",
	.doc = "The page that shows the mesh, and the collection of its figures.",
	.rows = rows,
};

static int
read_api(struct ui_settings *s, const struct ap_appliance *a, const struct ap_doc *section, struct ap_error *err)
{
	struct ap_slice text = ap_doc_string(section, "api", "");
	struct ap_slice path = text;
	struct ap_uri uri;
	struct ap_ip ip;

	if (ap_slice_eq_text(text, "none"))
		return 0;
	if (ap_slice_starts(text, AP_S("http://"))) {
		if (ap_uri_parse(text, &uri) < 0 || ap_ip_parse(uri.host, &ip) < 0 || uri.port == 0)
			return ap_error_set(err, -EINVAL,
			    "spec.metricsUi.api: \"%.*s\" is not http:// with an IP address and a port", AP_FMT(text));
		s->api = ap_addr_of(&ip, uri.port);
		s->api_authority = ap_arena_copy(s->arena, uri.authority);
		return 0;
	}
	if (text.len == 0)
		path = ap_arena_printf(s->arena, "%.*s/api.sock", AP_FMT(a->run_dir));
	if (ap_addr_parse(ap_arena_printf(s->arena, "unix:%.*s", AP_FMT(path)), &s->api) < 0)
		return ap_error_set(err, -EINVAL, "spec.metricsUi.api: \"%.*s\" is not the path of a Unix socket", AP_FMT(path));
	s->api_authority = AP_S("localhost");
	return 0;
}

static int
read_hosts(struct ui_settings *s, const struct ap_doc *section)
{
	const struct ap_doc *list = ap_doc_get(section, "hosts");
	struct ap_slice *hosts;

	if (list == NULL || list->count == 0)
		return 0;
	hosts = ap_arena_alloc(s->arena, list->count * sizeof(*hosts));
	if (hosts == NULL)
		return -ENOMEM;
	AP_DOC_FOR(item, list)
		hosts[s->host_count++] = ap_arena_copy(s->arena, item->string);
	s->hosts = hosts;
	return 0;
}

static int
read_section(struct ui_settings *s, const struct ap_appliance *a, const struct ap_doc *section, struct ap_error *err)
{
	struct ap_slice listen = ap_doc_string(section, "listen", DEFAULT_LISTEN);
	int64_t interval = ap_doc_duration_ns(section, "scrapeInterval", 5000000000);
	struct ap_addr addr;

	if (ap_addr_parse(listen, &s->listen) < 0)
		return ap_error_set(err, -EINVAL, "spec.metricsUi.listen: \"%.*s\" is not address:port", AP_FMT(listen));
	if (interval % 1000000000 != 0 || interval < 1000000000 || interval > 60000000000)
		return ap_error_set(err, -EINVAL, "spec.metricsUi.scrapeInterval: must be whole seconds, from 1s to 1m");
	s->interval = (uint32_t)(interval / 1000000000);
	s->keep_seconds = (uint32_t)ap_doc_int(section, "historyHours", 24) * 3600;
	s->max_bytes = (uint64_t)ap_doc_int(section, "maxDatabaseMiB", 256) << 20;
	s->trust_domain = ap_arena_copy(s->arena, a->trust_domain);
	s->cluster_domain = ap_arena_copy(s->arena, ap_doc_string(section, "clusterDomain", "cluster.local"));
	s->folder = ap_arena_printf(s->arena, "%.*s/metrics-ui", AP_FMT(a->state_dir));
	if (ap_doc_get(section, "targets") != NULL)
		s->targets = ap_doc_copy(s->arena, ap_doc_get(section, "targets"));
	AP_DOC_FOR(t, s->targets) {
		struct ap_slice at = ap_doc_string(t, "address", "");

		if (ap_addr_parse(at, &addr) < 0 || ap_addr_is_unix(&addr) || ap_addr_port(&addr) == 0)
			return ap_error_set_at(err, -EINVAL, t->at,
			    "spec.metricsUi.targets: \"%.*s\" is not an IP address with a port", AP_FMT(at));
	}
	if (read_hosts(s, section) < 0 || ap_arena_is_full(s->arena))
		return ap_error_set(err, -ENOMEM, "spec.metricsUi is too large");
	return read_api(s, a, section, err);
}

struct ui_settings *
ui_settings_new(const struct ap_appliance *a, struct ap_error *err)
{
	struct ui_settings *s = ap_new(struct ui_settings);

	s->arena = ap_arena_new((size_t)16 * 1024 * 1024);
	if (read_section(s, a, ap_doc_get(a->spec, "metricsUi"), err) < 0)
		ui_settings_free(&s);
	return s;
}

void
ui_settings_free(struct ui_settings **s)
{
	if (*s == NULL)
		return;
	ap_arena_free(&(*s)->arena);
	ap_free(s);
}
