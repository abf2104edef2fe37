/* registry_service.c -- Service, ServiceEntry and the waypoints' own services, in one form. */
#include <string.h>

#include "base/text.h"
#include "state/registry_parts.h"
#include "state/waypoint_need.h"

/* --- Ports ----------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum ap_reg_protocol protocol;
} protocol_words[] = {
	{ "http", AP_REG_HTTP },
	{ "http2", AP_REG_HTTP2 },
	{ "h2c", AP_REG_HTTP2 },
	{ "kubernetes.io/h2c", AP_REG_HTTP2 },
	{ "kubernetes.io/ws", AP_REG_HTTP },
	{ "grpc", AP_REG_GRPC },
	{ "grpc-web", AP_REG_HTTP },
	{ "https", AP_REG_TLS },
	{ "tls", AP_REG_TLS },
	{ "tcp", AP_REG_TCP },
	{ "mongo", AP_REG_TCP },
	{ "mysql", AP_REG_TCP },
	{ "redis", AP_REG_TCP },
};

static bool
protocol_of(struct ap_slice word, enum ap_reg_protocol *out)
{
	for (size_t i = 0; i < AP_COUNTOF(protocol_words); i++) {
		if (!ap_slice_eq_nocase(word, ap_slice_of(protocol_words[i].word)))
			continue;
		*out = protocol_words[i].protocol;
		return true;
	}
	return false;
}

/* As Istio guesses: appProtocol, else the port's name up to its first dash ("grpc-web" whole). */
static enum ap_reg_protocol
guess_protocol(const struct ap_doc *port)
{
	enum ap_reg_protocol p = AP_REG_UNKNOWN;
	if (protocol_of(ap_doc_string(port, "appProtocol", ""), &p))
		return p;
	struct ap_slice name = ap_doc_string(port, "name", "");
	if (ap_slice_starts(name, AP_S("grpc-web")))
		return AP_REG_HTTP;
	protocol_of(ap_slice_cut(&name, '-'), &p);
	return p;
}

static uint16_t
number_of(const struct ap_doc *d)
{
	return ap_doc_is(d, AP_DOC_INT) && d->integer > 0 && d->integer < 65536 ? (uint16_t)d->integer : 0;
}

static void
read_ports(struct reg_build *b, struct ap_reg_service *s, const struct ap_doc *list, bool is_entry)
{
	struct ap_reg_port *ports =
	    ap_arena_zalloc(b->r->arena, (list == NULL ? 1 : (size_t)list->count + 1) * sizeof(struct ap_reg_port));
	if (ports == NULL)
		return;
	s->ports = ports;
	AP_DOC_FOR(d, list) {
		struct ap_slice transport = ap_doc_string(d, "protocol", "TCP");
		if (!is_entry && !ap_slice_eq_nocase(transport, AP_S("TCP")))
			continue;
		struct ap_reg_port *p = &ports[s->port_count];
		p->number = number_of(ap_doc_get(d, is_entry ? "number" : "port"));
		if (p->number == 0)
			continue;
		p->name = ap_doc_string(d, "name", "");
		const struct ap_doc *target = ap_doc_get(d, "targetPort");
		uint64_t as_text = 0;
		p->target = number_of(target);
		if (ap_doc_is(target, AP_DOC_STRING)) {
			if (ap_text_to_u64(target->string, 65535, &as_text) == 0)
				p->target = (uint16_t)as_text;
			else
				p->target_name = target->string;
		}
		if (p->target == 0 && p->target_name.len == 0)
			p->target = p->number;
		if (!is_entry || !protocol_of(transport, &p->protocol))
			p->protocol = guess_protocol(d);
		s->port_count++;
	}
}

/* --- Addresses ------------------------------------------------------------------------------------------------------- */

static void
add_address(struct ap_reg_service *s, struct ap_cidr *room, struct ap_slice text)
{
	if (text.len > 0 && ap_cidr_parse(text, &room[s->address_count]) == 0)
		s->address_count++;
}

/* What was given out: by the caller just now, or in an earlier life, written into the status. */
static void
add_allocated(struct reg_build *b, struct ap_reg_service *s, struct ap_cidr *room)
{
	const char *vip = b->vips == NULL ? NULL : ap_map_find(b->vips, s->key);
	if (vip != NULL) {
		add_address(s, room, ap_slice_of(vip));
		return;
	}
	AP_DOC_FOR(a, ap_doc_get(s->resource->status, "addresses")) {
		struct ap_slice host = ap_doc_string(a, "host", "");
		if (s->address_count == 0 && (host.len == 0 || ap_slice_eq(host, s->hostname)))
			add_address(s, room, ap_doc_string(a, "value", ""));
	}
}

static void
read_addresses(struct reg_build *b, struct ap_reg_service *s, const struct ap_doc *list, struct ap_slice single)
{
	struct ap_cidr *room =
	    ap_arena_zalloc(b->r->arena, (2 + (list == NULL ? 0 : (size_t)list->count)) * sizeof(struct ap_cidr));
	if (room == NULL)
		return;
	s->addresses = room;
	AP_DOC_FOR(a, list)
		if (a->type == AP_DOC_STRING)
			add_address(s, room, a->string);
	if (s->address_count == 0)
		add_address(s, room, single);
	if (s->address_count > 0 || s->headless)
		return;
	s->needs_vip = ap_slice_find(s->hostname, '*') == SIZE_MAX && s->port_count > 0;
	if (s->needs_vip)
		add_allocated(b, s, room);
}

static struct ap_reg_service *
new_service(struct reg_build *b, const struct ap_resource *res, struct ap_slice hostname)
{
	struct ap_reg_service *s = ap_arena_new_object(b->r->arena, struct ap_reg_service);
	if (s == NULL)
		return NULL;
	s->resource = res;
	s->name = res->name;
	s->namespace_ = res->namespace_;
	s->hostname = hostname;
	s->key = reg_printf(b, "%.*s/%.*s", AP_FMT(s->namespace_), AP_FMT(hostname));
	return s;
}

/* One service per key: a Service before a ServiceEntry, the first entry before the others. */
static bool
add(struct reg_build *b, struct ap_reg_service *s)
{
	if (ap_map_has(&b->r->by_key, s->key))
		return false;
	ap_map_put(&b->r->by_key, s->key, s);
	ap_vec_push(&b->services, s);
	return true;
}

/* --- Kinds ----------------------------------------------------------------------------------------------------------- */

static void
add_service(struct reg_build *b, const struct ap_resource *res)
{
	struct ap_slice host = reg_printf(
	    b, "%.*s.%.*s.svc.%.*s", AP_FMT(res->name), AP_FMT(res->namespace_), AP_FMT(b->r->cluster_domain));
	struct ap_reg_service *s = new_service(b, res, host);
	if (s == NULL || ap_slice_eq_text(ap_doc_string(res->spec, "type", ""), "ExternalName"))
		return;
	read_ports(b, s, ap_doc_get(res->spec, "ports"), false);
	struct ap_slice ip = ap_doc_string(res->spec, "clusterIP", "");
	s->headless = ap_slice_eq_text(ip, "None");
	s->publish_not_ready = ap_doc_bool(res->spec, "publishNotReadyAddresses", false);
	read_addresses(b, s, ap_doc_get(res->spec, "clusterIPs"), ip);
	if (add(b, s))
		reg_select(b, s, ap_doc_get(res->spec, "selector"));
}

void
reg_add_services(struct reg_build *b)
{
	const struct ap_map *services = ap_resources_of(b->r->resources, "", "Service");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(services, &i)) != NULL;)
		add_service(b, e->value);
}

static void
add_sans(struct reg_build *b, struct ap_reg_service *s, const struct ap_doc *list)
{
	if (list == NULL || list->count == 0)
		return;
	struct ap_slice *sans = ap_arena_zalloc(b->r->arena, list->count * sizeof(struct ap_slice));
	if (sans == NULL)
		return;
	s->sans = sans;
	AP_DOC_FOR(d, list)
		if (d->type == AP_DOC_STRING)
			sans[s->san_count++] = d->string;
}

static void
add_entry_endpoints(struct reg_build *b, struct ap_reg_service *s, struct ap_slice resolution)
{
	const struct ap_doc *spec = s->resource->spec;
	const struct ap_doc *selector = ap_doc_path(spec, "workloadSelector.labels");
	if (selector != NULL) {
		reg_select(b, s, selector);
		return;
	}
	size_t index = 0;
	const struct ap_doc *endpoints = ap_doc_get(spec, "endpoints");
	AP_DOC_FOR(d, endpoints) {
		struct ap_reg_workload *w = reg_inline_workload(b, s->resource, d, s->hostname, index++);
		if (w != NULL)
			reg_add_endpoint(b, s, w);
	}
	if (index > 0 || !ap_slice_starts(resolution, AP_S("DNS")) || s->hostname.ptr[0] == '*')
		return;
	struct ap_reg_workload *w = reg_inline_workload(b, s->resource, NULL, s->hostname, 0);
	if (w != NULL)
		reg_add_endpoint(b, s, w);
}

static void
add_entry(struct reg_build *b, const struct ap_resource *res)
{
	struct ap_slice resolution = ap_doc_string(res->spec, "resolution", "NONE");
	AP_DOC_FOR(h, ap_doc_get(res->spec, "hosts")) {
		if (h->type != AP_DOC_STRING || h->string.len == 0)
			continue;
		struct ap_reg_service *s = new_service(b, res, h->string);
		if (s == NULL)
			return;
		s->is_entry = true;
		s->external = !ap_slice_eq_text(ap_doc_string(res->spec, "location", ""), "MESH_INTERNAL");
		s->passthrough = ap_slice_eq_text(resolution, "NONE") || resolution.len == 0;
		read_ports(b, s, ap_doc_get(res->spec, "ports"), true);
		read_addresses(b, s, ap_doc_get(res->spec, "addresses"), AP_SLICE_NONE);
		/* Without a resolution there is no address to send an own one to. */
		if (s->passthrough)
			s->needs_vip = false;
		add_sans(b, s, ap_doc_get(res->spec, "subjectAltNames"));
		if (add(b, s))
			add_entry_endpoints(b, s, resolution);
	}
}

void
reg_add_service_entries(struct reg_build *b)
{
	const struct ap_map *entries = ap_resources_of(b->r->resources, "networking.istio.io", "ServiceEntry");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(entries, &i)) != NULL;)
		add_entry(b, e->value);
}

/* A waypoint's own service: <gateway>.<namespace>.svc.<domain>:15008, over the entries that its processes registered. */
static void
add_waypoint(struct reg_build *b, const struct ap_resource *gw)
{
	struct ap_slice host = reg_printf(
	    b, "%.*s.%.*s.svc.%.*s", AP_FMT(gw->name), AP_FMT(gw->namespace_), AP_FMT(b->r->cluster_domain));
	struct ap_reg_service *s = new_service(b, gw, host);
	struct ap_reg_port *port = ap_arena_new_object(b->r->arena, struct ap_reg_port);
	struct ap_doc *selector = ap_doc_new_map(b->r->arena);
	if (s == NULL || port == NULL || selector == NULL)
		return;
	*port = (struct ap_reg_port){ .name = AP_S("hbone"), .number = AP_WAYPOINT_PORT, .target = AP_WAYPOINT_PORT,
		.protocol = AP_REG_TCP };
	s->resource = NULL;
	s->gateway = gw;
	s->ports = port;
	s->port_count = 1;
	s->headless = true;
	if (!add(b, s))
		return;
	ap_doc_set_string(b->r->arena, selector, AP_LABEL_GATEWAY, gw->name);
	reg_select(b, s, selector);
}

void
reg_add_waypoints(struct reg_build *b)
{
	const struct ap_map *gateways = ap_resources_of(b->r->resources, "gateway.networking.k8s.io", "Gateway");
	struct ap_map_entry *e;
	for (size_t i = 0; (e = ap_map_next(gateways, &i)) != NULL;) {
		const struct ap_resource *gw = e->value;
		if (ap_slice_eq_text(ap_doc_string(gw->spec, "gatewayClassName", ""), AP_WAYPOINT_CLASS))
			add_waypoint(b, gw);
	}
}
