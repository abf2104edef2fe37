/* zt_config.c -- rows of spec.ztunnel, and reading them. Main thread, at start and reload. */
#include "ztunnel/zt_config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/doc.h"

static const char *const source_names[] = { "auto", "always", "never", NULL };
static const char *const unmatched_names[] = { "pass", "refuse", NULL };

#define PORT_ROW(name_, preset_, doc_) \
	{ \
		.name = (name_), .type = AP_T_INT, .min = 1, .max = 65535, .preset = (preset_), .doc = (doc_) \
	}

static const struct ap_field_row rows[] = {
	PORT_ROW("outboundPort", "15001", "Where captured outbound connections arrive."),
	PORT_ROW("inboundPort", "15006", "Where captured plaintext connections to this host arrive."),
	PORT_ROW("hbonePort", "15008", "Where other proxies connect; peers expect 15008."),
	PORT_ROW("dnsPort", "15053", "Where DNS queries of this host arrive."),
	PORT_ROW("adminPort", "15000", "Dumps and log levels, on the loopback address alone."),
	PORT_ROW("metricsPort", "15020", "Metrics for Prometheus."),
	PORT_ROW("readinessPort", "15021", "GET /healthz/ready."),
	{ .name = "originalSource",
	    .type = AP_T_STRING,
	    .values = source_names,
	    .preset = "auto",
	    .doc = "Whether local programs see the client's address: where possible, always (or refuse), never." },
	{ .name = "unmatched",
	    .type = AP_T_STRING,
	    .values = unmatched_names,
	    .preset = "pass",
	    .doc = "What becomes of captured connections of programs that no workload selects." },
	{ .name = "mark",
	    .type = AP_T_INT,
	    .min = 1,
	    .max = 4095,
	    .preset = "1337",
	    .doc = "SO_MARK of this proxy's own sockets, by which the rules know them." },
	{ .name = "responseBaggage",
	    .type = AP_T_BOOL,
	    .preset = "true",
	    .doc = "Describe the destination workload to the peer in the answer to CONNECT." },
	{ .name = "passiveHttp",
	    .type = AP_T_BOOL,
	    .preset = "true",
	    .doc = "Recognise HTTP in traffic without a waypoint, and count its requests, codes and durations." },
	{ .name = "accessLog",
	    .type = AP_T_STRING,
	    .preset = "-",
	    .doc = "File for one line per connection; - is standard output, off is none." },
	{ .name = "dnsUpstream",
	    .type = AP_T_STRING,
	    .doc = "Name servers for names outside the mesh, ip:port with commas between; the system's by default." },
	{ .name = "clusterDomain",
	    .type = AP_T_STRING,
	    .preset = "cluster.local",
	    .doc = "Domain under which services are named <service>.<namespace>.svc." },
	{ .name = "certificateLifetime",
	    .type = AP_T_DURATION,
	    .preset = "24h",
	    .doc = "Lifetime asked for certificates; the control plane may shorten it." },
	{ .name = "maxConnections",
	    .type = AP_T_INT,
	    .min = 1,
	    .max = 10000000,
	    .preset = "100000",
	    .doc = "Most connections of one worker at a time; further ones are refused." },
	{ .name = "localXds",
	    .type = AP_T_STRING,
	    .doc = "File with workloads, services and policies to use instead of a control plane, for tests." },
	{ 0 },
};

const struct ap_schema zt_schema = { .name = "Appliance.spec.ztunnel", .doc = "The node proxy.", .rows = rows };

static uint16_t
port(const struct ap_doc *d, const char *key, uint16_t preset)
{
	return (uint16_t)ap_doc_int(d, key, preset);
}

void
zt_config_read(const struct ap_appliance *a, struct zt_config *out)
{
	const struct ap_doc *d = ap_doc_get(a->spec, "ztunnel");
	struct ap_slice s;
	uint32_t i;

	*out = (struct zt_config){
		.outbound_port = port(d, "outboundPort", 15001),
		.inbound_port = port(d, "inboundPort", 15006),
		.hbone_port = port(d, "hbonePort", 15008),
		.dns_port = port(d, "dnsPort", 15053),
		.admin_port = port(d, "adminPort", 15000),
		.metrics_port = port(d, "metricsPort", 15020),
		.readiness_port = port(d, "readinessPort", 15021),
		.mark = (uint32_t)ap_doc_int(d, "mark", 1337),
		.refuse_unmatched = ap_slice_eq_text(ap_doc_string(d, "unmatched", "pass"), "refuse"),
		.response_baggage = ap_doc_bool(d, "responseBaggage", true),
		.passive_http = ap_doc_bool(d, "passiveHttp", true),
		.dns = a->capture.dns,
		.access_log_path = ap_doc_string(d, "accessLog", "-"),
		.local_xds = ap_doc_string(d, "localXds", ""),
		.dns_upstream = ap_doc_string(d, "dnsUpstream", ""),
		.cluster_domain = ap_doc_string(d, "clusterDomain", "cluster.local"),
		.certificate_lifetime_s =
		    ap_doc_duration_ns(d, "certificateLifetime", (int64_t)24 * 3600 * 1000000000) / 1000000000,
		.max_connections = (uint32_t)ap_doc_int(d, "maxConnections", 100000),
	};
	out->access_log = !ap_slice_eq_text(out->access_log_path, "off");
	s = ap_doc_string(d, "originalSource", "auto");
	out->original_source = ap_slice_eq_text(s, "always") ? ZT_SOURCE_ALWAYS
	    : ap_slice_eq_text(s, "never")                   ? ZT_SOURCE_NEVER
	                                                     : ZT_SOURCE_AUTO;
	for (i = 0; i < a->host.address_count && i < ZT_IPS_MAX; i++)
		out->ips[out->ip_count++] = a->host.addresses[i];
}

/* The local address of a UDP socket that is connected to this one; nothing is sent. */
static int
source_towards(const struct ap_addr *to, struct ap_ip *out)
{
	struct ap_addr self = { .len = sizeof(self.u.storage) };
	int fd = socket(to->u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, &to->u.sa, to->len) != 0 || getsockname(fd, &self.u.sa, &self.len) != 0)
		r = -errno;
	close(fd);
	return r == 0 ? ap_addr_ip(&self, out) : r;
}

int
zt_config_find_ips(const struct ap_appliance *a, struct zt_config *c, struct ap_error *err)
{
	struct ap_addr to;
	int r;

	if (c->ip_count > 0)
		return 0;
	/* A control plane named by host name, or none: any address beyond this host shows the way out. */
	if (ap_addr_parse(a->control_plane.address, &to) != 0 || to.len == 0)
		(void)ap_addr_parse(AP_S("192.0.2.1:9"), &to);
	r = source_towards(&to, &c->ips[0]);
	if (r != 0)
		return ap_error_set(err, r, "this host's address is not known (%s); give spec.host.addresses", strerror(-r));
	c->ip_count = 1;
	return 0;
}

bool
zt_config_is_own_ip(const struct zt_config *c, const struct ap_ip *ip)
{
	uint32_t i;

	for (i = 0; i < c->ip_count; i++) {
		if (ap_ip_eq(&c->ips[i], ip))
			return true;
	}
	return false;
}

bool
zt_config_is_illegal_port(const struct zt_config *c, uint16_t number)
{
	return number == c->outbound_port || number == c->inbound_port || number == c->hbone_port;
}
