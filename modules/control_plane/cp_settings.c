/* cp_settings.c -- the section spec.controlPlaneServer: rows, and their values as a struct. */
#include <errno.h>

#include "base/addr.h"
#include "base/text.h"
#include "control_plane/cp_store.h"
#include "model/appliance.h"
#include "model/checks.h"
#include "model/schema.h"

static void
check_listen(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_addr addr;

	if (v->string.len > 0 && ap_addr_parse(v->string, &addr) != 0)
		ap_complain(errs, v, "\"%.*s\" is no address to listen at, such as :6443 or 10.0.0.1:6443", AP_FMT(v->string));
}

static void
check_names(const struct ap_doc *list, struct ap_errors *errs)
{
	struct ap_ip ip;
	uint32_t i = 0;

	AP_DOC_FOR (item, list) {
		if (ap_ip_parse(item->string, &ip) != 0 && !ap_check_is_wild_hostname(item->string))
			ap_complain(errs, item, "[%u]: \"%.*s\" is neither a host name nor an address", i, AP_FMT(item->string));
		i++;
	}
}

static void
check_ttl(const struct ap_doc *v, struct ap_errors *errs)
{
	int64_t ns = 0;

	if (ap_text_to_duration(v->string, &ns) == 0 && (ns < INT64_C(5000000000) || ns > INT64_C(86400) * 3650 * 1000000000))
		ap_complain(errs, v, "must be between 5s and ten years, is \"%.*s\"", AP_FMT(v->string));
}

static void
check_vips(const struct ap_doc *v, struct ap_errors *errs)
{
	struct ap_cidr cidr;

	if (ap_cidr_parse(v->string, &cidr) != 0 || cidr.ip.len != 4 || cidr.bits > 28)
		ap_complain(errs, v, "\"%.*s\" is no IPv4 network of at least 16 addresses", AP_FMT(v->string));
}

static void
check_ca(const struct ap_doc *node, struct ap_errors *errs)
{
	bool cert = ap_doc_get(node, "certFile") != NULL, key = ap_doc_get(node, "keyFile") != NULL;

	if (cert != key)
		ap_complain(errs, node, "certFile and keyFile go together");
	else if (!cert && ap_doc_get(node, "rootsFile") != NULL)
		ap_complain(errs, node, ".rootsFile: is of use with certFile and keyFile only");
}

static const struct ap_field_row ca_rows[] = {
	{ .name = "certFile", .type = AP_T_STRING, .doc = "Certificate of the authority, then those between it and the root." },
	{ .name = "keyFile", .type = AP_T_STRING, .doc = "Its private key." },
	{ .name = "rootsFile", .type = AP_T_STRING, .doc = "Roots that hosts trust, when the authority is no root itself." },
	{ 0 },
};
static const struct ap_schema ca_schema = { .name = "Appliance.spec.controlPlaneServer.ca", .rows = ca_rows, .check = check_ca };

static const struct ap_field_row rows[] = {
	{ .name = "xds", .type = AP_T_STRING, .preset = ":15012", .check = check_listen, .doc = "Address of xDS and the certificate authority; empty: not served." },
	{ .name = "api", .type = AP_T_STRING, .preset = ":6443", .check = check_listen, .doc = "Address of the resource API; empty: only on the Unix socket." },
	{ .name = "names", .type = AP_T_LIST, .item = AP_T_STRING, .max = 64, .check = check_names, .doc = "Names and addresses by which hosts and people reach the control plane; they stand in its certificate." },
	{ .name = "certificateTTL", .type = AP_T_DURATION, .preset = "24h", .check = check_ttl, .doc = "Life of workload certificates when the proxy does not ask for less." },
	{ .name = "maxCertificateTTL", .type = AP_T_DURATION, .preset = "2160h", .check = check_ttl, .doc = "Longest life that a proxy may ask for." },
	{ .name = "clusterDomain", .type = AP_T_STRING, .preset = "cluster.local", .check = ap_check_dns_name, .doc = "End of the host names of Services." },
	{ .name = "rootNamespace", .type = AP_T_STRING, .preset = "ambit-system", .check = ap_check_dns_label, .doc = "Namespace whose policies hold for the whole mesh." },
	{ .name = "vips", .type = AP_T_STRING, .preset = "240.240.0.0/16", .check = check_vips, .doc = "Network of the addresses that services get which name none." },
	{ .name = "ca", .type = AP_T_OBJECT, .of = &ca_schema, .doc = "A given certificate authority; left out: one is made at the first start." },
	{ .name = "cluster", .type = AP_T_STRING, .preset = "Kubernetes", .doc = "Name of the mesh' cluster in workloads' ids and metrics." },
	{ .name = "maxConnectionAge", .type = AP_T_DURATION, .preset = "30m", .doc = "Most age of a discovery stream; hosts come back with what they hold." },
	{ .name = "historyRevisions", .type = AP_T_INT, .min = 100, .max = 10000000, .preset = "10000", .doc = "Changes of the past that are kept, for watches that come back and for people." },
	{ 0 },
};
const struct ap_schema cp_section_schema = { .name = "Appliance.spec.controlPlaneServer",
	.doc = "The role control-plane.",
	.rows = rows };

int
cp_settings_read(const struct ap_config *config, struct ap_arena *arena, struct cp_settings *out, uint64_t *out_keep,
    struct ap_error *err)
{
	const struct ap_appliance *a = ap_config_appliance(config);
	const struct ap_doc *s = ap_doc_get(a->spec, "controlPlaneServer"), *names = ap_doc_get(s, "names");
	struct ap_slice *items;
	uint32_t n = 0;

	*out = (struct cp_settings){ .trust_domain = a->trust_domain,
		.cluster_domain = ap_doc_string(s, "clusterDomain", "cluster.local"),
		.state_dir = ap_arena_printf(arena, "%.*s/control-plane", AP_FMT(a->state_dir)),
		.run_dir = a->run_dir,
		.xds_listen = ap_doc_string(s, "xds", ":15012"),
		.api_listen = ap_doc_string(s, "api", ":6443"),
		.certificate_ttl_ms = (uint64_t)ap_doc_duration_ns(s, "certificateTTL", INT64_C(86400) * 1000000000) / 1000000,
		.max_certificate_ttl_ms =
		    (uint64_t)ap_doc_duration_ns(s, "maxCertificateTTL", INT64_C(86400) * 90 * 1000000000) / 1000000,
		.root_namespace = ap_doc_string(s, "rootNamespace", "ambit-system"),
		.vip_cidr = ap_doc_string(s, "vips", "240.240.0.0/16"),
		.section = s };
	*out_keep = (uint64_t)ap_doc_int(s, "historyRevisions", 10000);
	if (names != NULL && names->count > 0) {
		items = ap_arena_zalloc(arena, names->count * sizeof(*items));
		if (items == NULL)
			return ap_error_set(err, -ENOMEM, "controlPlaneServer.names is too long");
		AP_DOC_FOR (item, names)
			items[n++] = item->string;
		out->names = items;
		out->name_count = n;
	}
	return 0;
}
