/* ui_flow.c -- labels to a flow's key and the key back to its fields.  Pure. */
#include "metrics_ui/ui_flow.h"

#include <errno.h>
#include <string.h>

#define SEPARATOR '\x1f'
#define VALUE_MAX 512

/* In the order of the key; behind them stands `via`. */
static const char *const names[] = { "reporter", "source_workload_namespace", "source_workload", "source_canonical_service",
	"source_canonical_revision", "source_principal", "destination_workload_namespace", "destination_workload",
	"destination_canonical_service", "destination_canonical_revision", "destination_principal", "destination_service",
	"destination_service_name", "destination_service_namespace", "request_protocol", "connection_security_policy" };
static const char *const reporters[] = { "source", "destination", "waypoint" };

const char *
ui_reporter_name(enum ui_reporter r)
{
	return reporters[r];
}

static void
add_value(struct ap_buf *out, struct ap_slice v)
{
	if (ap_slice_eq_text(v, "unknown"))
		return;
	v = ap_slice_sub(v, 0, VALUE_MAX);
	for (size_t i = 0; i < v.len; i++)
		ap_buf_add_char(out, (unsigned char)v.ptr[i] < 0x20 ? '?' : v.ptr[i]);
}

/* Version labels outlive fashions: Envoy and older proxies fill app and version where canonical names are missing. */
static struct ap_slice
value_of(const struct ap_prom_sample *sample, size_t i)
{
	struct ap_slice v = ap_prom_label(sample, names[i]);
	const char *other = i == 3 ? "source_app" : i == 4 ? "source_version" : i == 8 ? "destination_app" : "destination_version";

	if ((v.len == 0 || ap_slice_eq_text(v, "unknown")) && (i == 3 || i == 4 || i == 8 || i == 9))
		return ap_prom_label(sample, other);
	return v;
}

int
ui_flow_key(const struct ap_prom_sample *sample, struct ap_slice via, struct ap_buf *out)
{
	struct ap_slice reporter = ap_prom_label(sample, "reporter");
	size_t r = 0;

	while (r < AP_COUNTOF(reporters) && !ap_slice_eq_text(reporter, reporters[r]))
		r++;
	if (r == AP_COUNTOF(reporters))
		return -EINVAL;
	for (size_t i = 0; i < AP_COUNTOF(names); i++) {
		add_value(out, value_of(sample, i));
		ap_buf_add_char(out, SEPARATOR);
	}
	if (r == UI_WAYPOINT)
		add_value(out, via);
	return out->bad ? -EINVAL : 0;
}

int
ui_flow_parse(struct ap_slice key, struct ui_flow *out)
{
	struct ui_flow f = { 0 };
	struct ap_slice reporter, security;
	struct ap_slice *const fields[] = { &reporter, &f.src.namespace_, &f.src.workload, &f.src.app, &f.src.version,
		&f.src.principal, &f.dst.namespace_, &f.dst.workload, &f.dst.app, &f.dst.version, &f.dst.principal, &f.service,
		&f.service_name, &f.service_namespace, &f.protocol, &security };
	size_t r = 0;

	for (size_t i = 0; i < AP_COUNTOF(fields); i++) {
		*fields[i] = ap_slice_cut(&key, SEPARATOR);
		if (key.ptr == NULL)
			return -EINVAL;
	}
	f.via = key;
	while (r < AP_COUNTOF(reporters) && !ap_slice_eq_text(reporter, reporters[r]))
		r++;
	if (r == AP_COUNTOF(reporters) || ap_slice_find(key, SEPARATOR) != SIZE_MAX)
		return -EINVAL;
	f.reporter = (enum ui_reporter)r;
	f.mutual_tls = ap_slice_eq_text(security, "mutual_tls");
	*out = f;
	return 0;
}

bool
ui_principal_parts(struct ap_slice principal, struct ap_slice *namespace_, struct ap_slice *account)
{
	size_t ns = ap_slice_search(principal, AP_S("/ns/"));
	size_t sa = ap_slice_search(principal, AP_S("/sa/"));

	if (ns == SIZE_MAX || sa == SIZE_MAX || sa < ns + 4)
		return false;
	*namespace_ = ap_slice_sub(principal, ns + 4, sa - ns - 4);
	*account = ap_slice_from(principal, sa + 4);
	return namespace_->len > 0 && account->len > 0 && ap_slice_find(*namespace_, '/') == SIZE_MAX;
}
