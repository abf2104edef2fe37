/*
 * appliance.c -- reads the YAML file: the Appliance document into a struct, the resources behind it as documents.
 *
 * One file configures a process, so a mistake in it must be told with its place, all mistakes at once.  The config owns
 * the text, the trees and the struct in one arena and never changes: a reload loads another one and drops this one
 * when the last user has let go.  Any thread may read it.
 */
#include "model/appliance.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/refs.h"
#include "base/text.h"
#include "model/appliance_rows.h"
#include "model/checks.h"
#include "model/schema.h"

#define FILE_MAX ((size_t)32 * 1024 * 1024)
#define ARENA_MAX ((size_t)512 * 1024 * 1024)

struct ap_config {
	struct ap_refs refs;
	struct ap_arena *arena;
	char *path;
	struct ap_appliance appliance;
	struct ap_yaml_docs resources;
};

/* Decoding allocates from the arena, whose ceiling is far above what a bounded file can ask for. */
static void *
take(struct ap_config *c, size_t count, size_t size)
{
	return count == 0 ? NULL : ap_arena_zalloc(c->arena, count * size);
}

static const struct ap_slice *
decode_strings(struct ap_config *c, const struct ap_doc *list, uint32_t *out_count)
{
	struct ap_slice *items;
	uint32_t n = 0;

	if (!ap_doc_is(list, AP_DOC_LIST) || (items = take(c, list->count, sizeof(*items))) == NULL)
		return NULL;
	AP_DOC_FOR (item, list)
		items[n++] = item->string;
	*out_count = n;
	return items;
}

static const uint16_t *
decode_ports(struct ap_config *c, const struct ap_doc *list, uint32_t *out_count)
{
	uint16_t *items;
	uint32_t n = 0;

	if (!ap_doc_is(list, AP_DOC_LIST) || (items = take(c, list->count, sizeof(*items))) == NULL)
		return NULL;
	AP_DOC_FOR (item, list)
		items[n++] = (uint16_t)item->integer;
	*out_count = n;
	return items;
}

static const struct ap_cidr *
decode_cidrs(struct ap_config *c, const struct ap_doc *list, uint32_t *out_count)
{
	struct ap_cidr *items;
	uint32_t n = 0;

	if (!ap_doc_is(list, AP_DOC_LIST) || (items = take(c, list->count, sizeof(*items))) == NULL)
		return NULL;
	AP_DOC_FOR (item, list)
		ap_cidr_parse(item->string, &items[n++]);
	*out_count = n;
	return items;
}

static void
decode_workload(struct ap_config *c, const struct ap_doc *node, struct ap_appliance_workload *out)
{
	const struct ap_doc *select = ap_doc_get(node, "select"), *ports = ap_doc_get(node, "ports");
	struct ap_appliance_port *items;

	out->at = node->at;
	out->name = ap_doc_string(node, "name", "");
	out->namespace_ = ap_doc_string(node, "namespace", "default");
	out->service_account = ap_doc_string(node, "serviceAccount", "default");
	out->systemd_unit = ap_doc_string(select, "systemdUnit", "");
	out->cgroup = ap_doc_string(select, "cgroup", "");
	out->user = ap_doc_string(select, "user", "");
	out->executable = ap_doc_string(select, "executable", "");
	out->network_namespace = ap_doc_string(select, "networkNamespace", "");
	out->address = ap_doc_string(select, "address", "");
	out->labels = ap_doc_get(node, "labels");
	out->probe = ap_doc_get(node, "probe");
	if (!ap_doc_is(ports, AP_DOC_LIST) || (items = take(c, ports->count, sizeof(*items))) == NULL)
		return;
	AP_DOC_FOR (port, ports) {
		items[out->port_count].name = ap_doc_string(port, "name", "");
		items[out->port_count++].port = (uint16_t)ap_doc_int(port, "port", 0);
	}
	out->ports = items;
}

static void
decode_host(struct ap_config *c, const struct ap_doc *host)
{
	const struct ap_doc *addresses = ap_doc_get(host, "addresses");
	struct ap_appliance *a = &c->appliance;
	struct ap_ip *items;

	a->host.region = ap_doc_string(host, "region", "");
	a->host.zone = ap_doc_string(host, "zone", "");
	a->host.subzone = ap_doc_string(host, "subzone", "");
	a->host.network = ap_doc_string(host, "network", "");
	a->host.cluster = ap_doc_string(host, "cluster", "Kubernetes");
	a->host.labels = ap_doc_get(host, "labels");
	if (!ap_doc_is(addresses, AP_DOC_LIST) || (items = take(c, addresses->count, sizeof(*items))) == NULL)
		return;
	AP_DOC_FOR (item, addresses)
		ap_ip_parse(item->string, &items[a->host.address_count++]);
	a->host.addresses = items;
}

static void
decode_capture(struct ap_config *c, const struct ap_doc *capture)
{
	struct ap_appliance *a = &c->appliance;
	struct ap_slice mode = ap_doc_string(capture, "mode", "mesh");

	a->capture.mode = ap_slice_eq(mode, AP_S("all")) ? AP_CAPTURE_ALL
	    : ap_slice_eq(mode, AP_S("off"))             ? AP_CAPTURE_OFF
							 : AP_CAPTURE_MESH;
	a->capture.exclude_outbound_ports =
	    decode_ports(c, ap_doc_get(capture, "excludeOutboundPorts"), &a->capture.exclude_outbound_port_count);
	a->capture.exclude_inbound_ports =
	    decode_ports(c, ap_doc_get(capture, "excludeInboundPorts"), &a->capture.exclude_inbound_port_count);
	a->capture.exclude_cidrs =
	    decode_cidrs(c, ap_doc_get(capture, "excludeCIDRs"), &a->capture.exclude_cidr_count);
	a->capture.include_cidrs =
	    decode_cidrs(c, ap_doc_get(capture, "includeCIDRs"), &a->capture.include_cidr_count);
	a->capture.exclude_users =
	    decode_strings(c, ap_doc_get(capture, "excludeUsers"), &a->capture.exclude_user_count);
	a->capture.dns = ap_doc_bool(capture, "dns", true);
}

static void
decode(struct ap_config *c, const struct ap_doc *doc)
{
	const struct ap_doc *spec = ap_doc_get(doc, "spec"), *control = ap_doc_get(spec, "controlPlane");
	const struct ap_doc *log = ap_doc_get(spec, "log"), *workloads = ap_doc_get(spec, "workloads");
	struct ap_appliance *a = &c->appliance;
	struct ap_appliance_workload *items;

	a->at = doc->at;
	a->spec = spec;
	a->name = ap_doc_string(ap_doc_get(doc, "metadata"), "name", "");
	a->roles = decode_strings(c, ap_doc_get(spec, "roles"), &a->role_count);
	a->control_plane.address = ap_doc_string(control, "address", "");
	a->control_plane.token_file = ap_doc_string(control, "tokenFile", "");
	a->control_plane.ca_file = ap_doc_string(control, "caFile", "");
	a->control_plane.host_name = ap_doc_string(control, "hostName", "");
	a->trust_domain = ap_doc_string(spec, "trustDomain", "cluster.local");
	a->state_dir = ap_doc_string(spec, "stateDir", AP_LOCALSTATEDIR "/lib/ambit");
	a->run_dir = ap_doc_string(spec, "runDir", AP_RUNSTATEDIR "/ambit");
	a->workers = (uint32_t)ap_doc_int(spec, "workers", 0);
	a->log_level = ap_doc_string(log, "level", "info");
	a->log_json = ap_slice_eq(ap_doc_string(log, "format", "text"), AP_S("json"));
	a->drain_ms = (uint64_t)ap_doc_duration_ns(spec, "drain", INT64_C(5000000000)) / 1000000;
	decode_host(c, ap_doc_get(spec, "host"));
	decode_capture(c, ap_doc_get(spec, "capture"));
	if (!ap_doc_is(workloads, AP_DOC_LIST) || (items = take(c, workloads->count, sizeof(*items))) == NULL)
		return;
	AP_DOC_FOR (item, workloads)
		decode_workload(c, item, &items[a->workload_count++]);
	a->workloads = items;
}

/* The rows of spec and behind them those of the roles' sections, which differ with what is loaded. */
static void
check_spec(const struct ap_doc *spec, const struct ap_appliance_section *sections, struct ap_errors *errs)
{
	struct ap_schema all = ap_appliance_spec;
	struct ap_field_row *rows;
	size_t base = 0, extra = 0, n;

	while (all.rows[base].name != NULL)
		base++;
	while (sections != NULL && sections[extra].key != NULL)
		extra++;
	rows = ap_alloc_array(base + extra + 1, sizeof(*rows));
	memcpy(rows, all.rows, base * sizeof(*rows));
	n = base;
	for (size_t i = 0; i < extra; i++) {
		struct ap_field_row *row = NULL;

		for (size_t k = 0; k < n && row == NULL; k++)
			if (strcmp(rows[k].name, sections[i].key) == 0)
				row = &rows[k]; /* one of the known sections, "left alone" until now */
		if (row == NULL)
			row = &rows[n++];
		*row = (struct ap_field_row){ .name = sections[i].key,
			.type = sections[i].schema == NULL ? AP_T_ANY : AP_T_OBJECT,
			.of = sections[i].schema,
			.doc = "Section of a role." };
	}
	all.rows = rows;
	ap_schema_check(&all, spec, "spec", errs);
	ap_free(&rows);
}

static int
check_appliance(const struct ap_doc *doc, const struct ap_appliance_section *sections, struct ap_errors *errs)
{
	size_t before = errs->total;

	if (!ap_slice_eq_text(ap_doc_string(doc, "apiVersion", ""), "ambit.mesh/v1alpha1") ||
	    !ap_slice_eq_text(ap_doc_string(doc, "kind", ""), "Appliance"))
		return ap_errors_add(errs, -EINVAL, doc->at,
		    "the first document must have apiVersion: ambit.mesh/v1alpha1 and kind: Appliance");
	ap_schema_check(&ap_appliance_root, doc, "", errs);
	if (ap_doc_is(ap_doc_get(doc, "spec"), AP_DOC_MAP))
		check_spec(ap_doc_get(doc, "spec"), sections, errs);
	return errs->total == before ? 0 : -EINVAL;
}

static void
check_resources(const struct ap_yaml_docs *docs, struct ap_errors *errs)
{
	for (uint32_t i = 0; i < docs->count; i++) {
		const struct ap_doc *doc = docs->items[i];

		if (!ap_doc_is(doc, AP_DOC_MAP))
			ap_errors_add(errs, -EINVAL, doc->at, "a resource must be a map with apiVersion and kind");
		else if (ap_doc_string(doc, "apiVersion", "").len == 0)
			ap_errors_add(errs, AP_SCHEMA_REQUIRED, doc->at, "apiVersion: is required");
		else if (ap_doc_string(doc, "kind", "").len == 0)
			ap_errors_add(errs, AP_SCHEMA_REQUIRED, doc->at, "kind: is required");
		else if (ap_slice_eq_text(ap_doc_string(doc, "kind", ""), "Appliance"))
			ap_errors_add(errs, -EINVAL, doc->at, "only the first document of a file may be an Appliance");
	}
}

static int
load(struct ap_config *c, const struct ap_appliance_section *sections, struct ap_errors *errs)
{
	struct ap_yaml_docs docs = { 0 };
	struct ap_error err = { 0 };
	struct ap_slice text;
	struct ap_buf bytes;
	int rc;

	ap_buf_init(&bytes, FILE_MAX);
	rc = ap_file_read(c->path, &bytes, &err);
	if (rc == 0) {
		text = ap_arena_copy(c->arena, ap_buf_slice(&bytes));
		rc = ap_yaml_parse(c->arena, c->path, text, &docs, &err);
	}
	ap_buf_done(&bytes);
	if (rc != 0)
		return ap_errors_add(errs, rc, err.at, "%s", err.text);
	if (docs.count == 0)
		return ap_errors_add(errs, -EINVAL, (struct ap_place){ .file = c->path, .line = 1, .column = 1 },
		    "the file is empty; its first document must be an Appliance");
	if (!ap_doc_is(docs.items[0], AP_DOC_MAP))
		return ap_errors_add(errs, -EINVAL, docs.items[0]->at, "the first document must be an Appliance");
	c->resources = (struct ap_yaml_docs){ .items = docs.items + 1, .count = docs.count - 1 };
	rc = check_appliance(docs.items[0], sections, errs);
	check_resources(&c->resources, errs);
	if (rc == 0 && errs->total == 0)
		decode(c, docs.items[0]);
	return errs->total == 0 ? 0 : -EINVAL;
}

struct ap_config *
ap_config_load(const char *path, const struct ap_appliance_section *sections, struct ap_errors *errs)
{
	struct ap_config *c = ap_new(struct ap_config);

	ap_refs_init(&c->refs);
	c->arena = ap_arena_new(ARENA_MAX);
	/* The errors' places name the file and may outlive a config that was refused. */
	c->path = ap_strdup(path);
	if (load(c, sections, errs) == 0)
		return c;
	for (size_t i = 0; i < errs->count; i++)
		if (errs->items[i].at.file == c->path)
			errs->items[i].at.file = path;
	ap_config_unref(&c);
	return NULL;
}

struct ap_config *
ap_config_ref(struct ap_config *c)
{
	ap_refs_add(&c->refs);
	return c;
}

void
ap_config_unref(struct ap_config **config)
{
	struct ap_config *c = *config;

	*config = NULL;
	if (c == NULL || !ap_refs_drop(&c->refs))
		return;
	ap_arena_free(&c->arena);
	ap_free(&c->path);
	ap_free(&c);
}

const struct ap_appliance *
ap_config_appliance(const struct ap_config *c)
{
	return &c->appliance;
}

const struct ap_yaml_docs *
ap_config_resources(const struct ap_config *c)
{
	return &c->resources;
}

const char *
ap_config_path(const struct ap_config *c)
{
	return c->path;
}
