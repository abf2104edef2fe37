/* wp_config.c -- rows and decoding of `spec.waypoint`.  Main thread. */
#include "waypoint/wp_config.h"

#include <errno.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "model/appliance.h"

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const normalisations[] = { "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES", NULL };

static const struct ap_field_row listen_rows[] = {
	{ .name = "port",
	    .type = AP_T_INT,
	    .flags = AP_F_REQUIRED,
	    .min = 1,
	    .max = 65535,
	    .doc = "Port to listen on." },
	{ .name = "address", .type = AP_T_STRING, .preset = "0.0.0.0", .doc = "Address to listen on." },
	{ .name = "host",
	    .type = AP_T_STRING,
	    .flags = AP_F_REQUIRED,
	    .doc = "The host served, \"namespace/hostname\"." },
	{ .name = "hostPort",
	    .type = AP_T_INT,
	    .min = 1,
	    .max = 65535,
	    .doc = "The host's port that calls are for; the listener's own by default." },
	{ .name = NULL },
};

static const struct ap_schema listen_schema = {
	.name = "Appliance.spec.waypoint.listen[]",
	.doc = "A listener for plain HTTP in front of one host.",
	.rows = listen_rows,
};

static const struct ap_field_row rows[] = {
	{ .name = "gateway", .type = AP_T_STRING, .doc = "The Gateway that this process is, \"namespace/name\"." },
	{ .name = "serviceAccount",
	    .type = AP_T_STRING,
	    .doc = "Service account of its identity; the gateway's name by default." },
	{ .name = "address", .type = AP_T_STRING, .preset = "0.0.0.0", .doc = "Address that HBONE listens on." },
	{ .name = "hbonePort",
	    .type = AP_T_INT,
	    .min = 0,
	    .max = 65535,
	    .preset = "15008",
	    .doc = "Port for HBONE; 0: any free one." },
	{ .name = "metricsPort",
	    .type = AP_T_INT,
	    .min = 0,
	    .max = 65535,
	    .preset = "15020",
	    .doc = "Port for metrics; 0: none." },
	{ .name = "readinessPort",
	    .type = AP_T_INT,
	    .min = 0,
	    .max = 65535,
	    .preset = "15021",
	    .doc = "Port for readiness; 0: none." },
	{ .name = "statusAddress",
	    .type = AP_T_STRING,
	    .preset = "0.0.0.0",
	    .doc = "Address that metrics and readiness listen on." },
	{ .name = "listen",
	    .type = AP_T_LIST,
	    .item = AP_T_OBJECT,
	    .of = &listen_schema,
	    .max = WP_PLAIN_MAX,
	    .doc = "Listeners for plain HTTP/1.1 and HTTP/2, each in front of one host." },
	{ .name = "accessLog",
	    .type = AP_T_STRING,
	    .preset = "-",
	    .doc = "File of the access log; \"-\": standard output; empty: none." },
	{ .name = "accessLogFormat",
	    .type = AP_T_STRING,
	    .values = log_formats,
	    .preset = "text",
	    .doc = "Istio's text or JSON form." },
	{ .name = "pathNormalization",
	    .type = AP_T_STRING,
	    .values = normalisations,
	    .preset = "BASE",
	    .doc = "How paths are normalised before routes and policies see them." },
	{ .name = "localConfig",
	    .type = AP_T_STRING,
	    .doc = "File of resources to serve instead of asking a control plane; for tests." },
	{ .name = NULL },
};

const struct ap_schema wp_schema = {
	.name = "Appliance.spec.waypoint",
	.doc = "The L7 proxy of a Gateway of class istio-waypoint.",
	.rows = rows,
};

static int
address_decode(const struct ap_doc *section, const char *key, uint16_t port, struct ap_addr *out, struct ap_error *err)
{
	struct ap_slice text = ap_doc_string(section, key, "0.0.0.0");
	struct ap_ip ip;

	if (ap_ip_parse(text, &ip) != 0)
		return ap_error_set(err, -EINVAL, "waypoint: %s \"%.*s\" is not an address", key, AP_FMT(text));
	*out = ap_addr_of(&ip, port);
	return 0;
}

static int
listen_decode(const struct ap_doc *item, struct wp_settings *s, struct ap_error *err)
{
	struct wp_plain *p = &s->plain[s->plain_count];
	struct ap_slice host = ap_doc_string(item, "host", "");
	uint16_t port = (uint16_t)ap_doc_int(item, "port", 0);
	int rc = address_decode(item, "address", port, &p->at, err);

	if (rc != 0)
		return rc;
	if (ap_slice_find(host, '/') == SIZE_MAX)
		return ap_error_set(
		    err, -EINVAL, "waypoint: listen: host \"%.*s\" is not \"namespace/hostname\"", AP_FMT(host));
	p->port = (uint16_t)ap_doc_int(item, "hostPort", port);
	p->host = ap_strndup(host.ptr, host.len);
	s->plain_count++;
	return 0;
}

int
wp_settings_decode(const struct ap_appliance *a, struct wp_settings *s, struct ap_error *err)
{
	const struct ap_doc *section = ap_doc_get(a->spec, "waypoint");
	struct ap_slice gateway = ap_doc_string(section, "gateway", ""), rest = gateway, ns, account, text;
	int rc;

	ns = ap_slice_cut(&rest, '/');
	s->hbone = gateway.len > 0;
	if (s->hbone && (ns.len == 0 || rest.len == 0 || ap_slice_find(rest, '/') != SIZE_MAX))
		return ap_error_set(
		    err, -EINVAL, "waypoint: gateway \"%.*s\" is not \"namespace/name\"", AP_FMT(gateway));
	account = ap_doc_string(section, "serviceAccount", "");
	if (account.len == 0)
		account = rest;
	s->namespace_ = ap_strndup(ns.ptr, ns.len);
	s->gateway = ap_strndup(rest.ptr == NULL ? "" : rest.ptr, rest.len);
	s->account = ap_strndup(account.ptr == NULL ? "" : account.ptr, account.len);
	if ((rc = address_decode(
		 section, "address", (uint16_t)ap_doc_int(section, "hbonePort", 15008), &s->address, err)) != 0 ||
	    (rc = address_decode(section, "statusAddress", 0, &s->status_address, err)) != 0)
		return rc;
	s->metrics_port = (uint16_t)ap_doc_int(section, "metricsPort", 15020);
	s->readiness_port = (uint16_t)ap_doc_int(section, "readinessPort", 15021);
	AP_DOC_FOR(item, ap_doc_get(section, "listen"))
	{
		if (s->plain_count == WP_PLAIN_MAX)
			return ap_error_set(err, -EINVAL, "waypoint: more than %d listeners", WP_PLAIN_MAX);
		if ((rc = listen_decode(item, s, err)) != 0)
			return rc;
	}
	text = ap_doc_string(section, "accessLog", "-");
	s->access_log = text.len == 0 ? NULL : ap_strndup(text.ptr, text.len);
	s->access_log_json = ap_slice_eq_text(ap_doc_string(section, "accessLogFormat", "text"), "json");
	text = ap_doc_string(section, "pathNormalization", "BASE");
	for (int i = 0; normalisations[i] != NULL; i++)
		if (ap_slice_eq_text(text, normalisations[i]))
			s->normalise = (enum wp_normalise)i;
	text = ap_doc_string(section, "localConfig", "");
	s->local_config = text.len == 0 ? NULL : ap_strndup(text.ptr, text.len);
	if (!s->hbone && s->plain_count == 0)
		return ap_error_set(err, -EINVAL, "waypoint: neither gateway nor listen says what to serve");
	return 0;
}

void
wp_settings_done(struct wp_settings *s)
{
	ap_free(&s->namespace_);
	ap_free(&s->gateway);
	ap_free(&s->account);
	ap_free(&s->access_log);
	ap_free(&s->local_config);
	for (uint32_t i = 0; i < s->plain_count; i++)
		ap_free(&s->plain[i].host);
	s->plain_count = 0;
}
