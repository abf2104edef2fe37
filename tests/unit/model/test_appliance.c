/* test_appliance.c -- the YAML file: what it sets, what it may not say, and that every problem has its place. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "model/appliance.h"
#include "model/appliance_rows.h"
#include "model/schema.h"

#define HEAD "apiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nmetadata: {name: edge-7}\n"

static char path[64];

static int
set_up(void **state)
{
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/ambit-appliance-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static struct ap_config *
load(const char *text, const struct ap_appliance_section *sections, struct ap_errors *errs)
{
	assert_int_equal(ap_file_write(path, ap_slice_of(text), 0600, NULL), 0);
	return ap_config_load(path, sections, errs);
}

static void
assert_slice(struct ap_slice s, const char *want)
{
	if (!ap_slice_eq_text(s, want))
		fail_msg("\"%.*s\" is not \"%s\"", AP_FMT(s), want);
}

static const char full[] = HEAD "spec:\n"
				"  roles: [ztunnel, waypoint]\n"
				"  controlPlane: {address: \"mesh.example.com:15012\", tokenFile: /etc/ambit/token, caFile: /ca, hostName: cp}\n"
				"  host: {region: eu, zone: eu-1, network: site-7, labels: {tier: edge}, addresses: [10.0.0.7, \"fd00::7\"]}\n"
				"  trustDomain: example.org\n"
				"  stateDir: /s\n"
				"  runDir: /r\n"
				"  workers: 3\n"
				"  log: {level: \"info,zt:debug\", format: json}\n"
				"  drain: 1m\n"
				"  workloads:\n"
				"  - name: reviews\n"
				"    namespace: bookinfo\n"
				"    serviceAccount: bookinfo-reviews\n"
				"    select: {systemdUnit: reviews.service}\n"
				"    ports: [{name: http, port: 9080}]\n"
				"    labels: {app: reviews}\n"
				"    probe: {httpGet: {path: /health, port: 9080}}\n"
				"  - name: plain\n"
				"    select: {user: \"1001\"}\n"
				"  capture: {mode: all, excludeOutboundPorts: [22, 53], excludeCIDRs: [10.1.2.3/8], dns: false}\n"
				"  ztunnel: {anything: goes}\n"
				"---\n"
				"apiVersion: v1\n"
				"kind: Service\n"
				"metadata: {name: x}\n";

static void
every_key_reaches_its_field(void **state)
{
	struct ap_errors errs = { 0 };
	struct ap_config *c = load(full, NULL, &errs);
	const struct ap_appliance *a;
	char text[64];

	(void)state;
	if (c == NULL)
		fail_msg("%s", errs.items[0].text);
	a = ap_config_appliance(c);
	assert_slice(a->name, "edge-7");
	assert_int_equal(a->role_count, 2);
	assert_slice(a->roles[1], "waypoint");
	assert_slice(a->control_plane.address, "mesh.example.com:15012");
	assert_slice(a->control_plane.token_file, "/etc/ambit/token");
	assert_slice(a->control_plane.ca_file, "/ca");
	assert_slice(a->control_plane.host_name, "cp");
	assert_slice(a->host.region, "eu");
	assert_slice(a->host.network, "site-7");
	assert_slice(ap_doc_string(a->host.labels, "tier", ""), "edge");
	assert_int_equal(a->host.address_count, 2);
	assert_string_equal(ap_ip_format(&a->host.addresses[1], text, sizeof(text)), "fd00::7");
	assert_slice(a->trust_domain, "example.org");
	assert_slice(a->state_dir, "/s");
	assert_slice(a->run_dir, "/r");
	assert_int_equal(a->workers, 3);
	assert_slice(a->log_level, "info,zt:debug");
	assert_true(a->log_json);
	assert_int_equal(a->drain_ms, 60000);
	assert_int_equal(a->workload_count, 2);
	assert_slice(a->workloads[0].service_account, "bookinfo-reviews");
	assert_slice(a->workloads[0].systemd_unit, "reviews.service");
	assert_int_equal(a->workloads[0].port_count, 1);
	assert_int_equal(a->workloads[0].ports[0].port, 9080);
	assert_non_null(a->workloads[0].probe);
	assert_int_equal(a->workloads[0].at.line, 15);
	assert_slice(a->workloads[1].namespace_, "default");
	assert_slice(a->workloads[1].service_account, "default");
	assert_slice(a->workloads[1].user, "1001");
	assert_int_equal(a->capture.mode, AP_CAPTURE_ALL);
	assert_int_equal(a->capture.exclude_outbound_port_count, 2);
	assert_int_equal(a->capture.exclude_outbound_ports[1], 53);
	assert_string_equal(ap_cidr_format(&a->capture.exclude_cidrs[0], text, sizeof(text)), "10.0.0.0/8");
	assert_false(a->capture.dns);
	assert_int_equal(ap_config_resources(c)->count, 1);
	ap_config_unref(&c);
	ap_errors_done(&errs);
}

static void
what_is_left_out_has_its_preset(void **state)
{
	struct ap_errors errs = { 0 };
	struct ap_config *c = load(HEAD "spec: {}\n", NULL, &errs), *second;
	const struct ap_appliance *a = ap_config_appliance(c);

	(void)state;
	assert_slice(a->trust_domain, "cluster.local");
	assert_int_equal(a->drain_ms, 5000);
	assert_int_equal(a->capture.mode, AP_CAPTURE_MESH);
	assert_true(a->capture.dns);
	assert_int_equal(a->workers, 0);
	assert_slice(a->log_level, "info");
	assert_int_equal(ap_config_resources(c)->count, 0);
	second = ap_config_ref(c);
	ap_config_unref(&c);
	assert_slice(ap_config_appliance(second)->name, "edge-7");
	ap_config_unref(&second);
	ap_errors_done(&errs);
}

static const struct {
	const char *text, *want; /* the first problem, behind "<path>:" */
} bad[] = {
	{ "", "1:1: the file is empty; its first document must be an Appliance" },
	{ "[]", "1:1: the first document must be an Appliance" },
	{ "apiVersion: v1\nkind: Service\n",
	    "1:1: the first document must have apiVersion: ambit.mesh/v1alpha1 and kind: Appliance" },
	{ "apiVersion: ambit.mesh/v1alpha1\nkind: Appliance\nspec: {}\n", "1:1: metadata: is required" },
	{ HEAD "spec: {rols: [ztunnel]}\n", "4:8: spec.rols: unknown field; did you mean \"roles\"?" },
	{ HEAD "spec: {workers: many}\n", "4:17: spec.workers: must be a whole number, not a string" },
	{ HEAD "spec:\n  workloads:\n  - name: a\n",
	    "6:5: spec.workloads[0].select: is required" },
	{ HEAD "spec:\n  workloads:\n  - {name: a, select: {}}\n",
	    "6:23: spec.workloads[0].select: at least one of systemdUnit, cgroup, user, executable, networkNamespace, address "
	    "must be set" },
	{ HEAD "spec:\n  workloads:\n  - {name: a, select: {user: x}}\n  - {name: a, select: {user: y}}\n",
	    "7:5: spec.workloads[1].name: \"a\" is the name of another workload already" },
	{ HEAD "spec: {capture: {mode: mash}}\n",
	    "4:24: spec.capture.mode: \"mash\" is not allowed; did you mean \"mesh\"? Allowed: mesh, all, off" },
	{ HEAD "spec: {controlPlane: {address: nowhere}}\n",
	    "4:32: spec.controlPlane.address: \"nowhere\" must be host:port, such as mesh.example.com:15012" },
	{ HEAD "spec: {host: {addresses: [10.0.0]}}\n", "4:27: spec.host.addresses[0]: \"10.0.0\" is no IP address" },
	{ HEAD "spec: {}\n---\nkind: Service\n", "6:1: apiVersion: is required" },
	{ HEAD "spec: {}\n---\napiVersion: ambit.mesh/v1alpha1\nkind: Appliance\n",
	    "6:1: only the first document of a file may be an Appliance" },
};

static void
each_mistake_is_one_sentence_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(bad); i++) {
		struct ap_errors errs = { 0 };
		char text[600] = "", want[600];

		assert_null(load(bad[i].text, NULL, &errs));
		if (errs.count > 0)
			ap_error_format(&errs.items[0], text, sizeof(text));
		snprintf(want, sizeof(want), "%s:%s", path, bad[i].want);
		if (strcmp(text, want) != 0)
			fail_msg("%s\n  got  %s\n  want %s", bad[i].text, text, want);
		ap_errors_done(&errs);
	}
}

static void
fifty_problems_are_kept_and_all_are_counted(void **state)
{
	struct ap_errors errs = { 0 };
	struct ap_buf text;

	(void)state;
	ap_buf_init(&text, 1 << 20);
	ap_buf_add_text(&text, HEAD "spec:\n");
	for (int i = 0; i < 70; i++)
		ap_buf_printf(&text, "  wrong%d: 1\n", i);
	assert_null(load(text.ptr, NULL, &errs));
	assert_int_equal(errs.count, AP_ERRORS_MAX);
	assert_int_equal(errs.total, 70);
	ap_errors_done(&errs);
	ap_buf_done(&text);
}

static const struct ap_field_row section_rows[] = { { .name = "fast", .type = AP_T_BOOL }, { 0 } };
static const struct ap_schema section = { .name = "section", .rows = section_rows };

static void
sections_of_loaded_roles_are_checked(void **state)
{
	static const struct ap_appliance_section sections[] = { { "ztunnel", &section }, { "extra", &section }, { NULL, NULL } };
	struct ap_errors errs = { 0 };
	struct ap_config *c;

	(void)state;
	assert_null(load(HEAD "spec: {ztunnel: {fats: true}}\n", sections, &errs));
	assert_string_equal(errs.items[0].text, "spec.ztunnel.fats: unknown field; did you mean \"fast\"?");
	ap_errors_done(&errs);
	errs = (struct ap_errors){ 0 };
	assert_null(load(HEAD "spec: {extra: {fast: 1}}\n", sections, &errs));
	ap_errors_done(&errs);
	errs = (struct ap_errors){ 0 };
	c = load(HEAD "spec: {waypoint: {what: ever}, extra: {fast: true}}\n", sections, &errs);
	assert_non_null(c);
	ap_config_unref(&c);
	ap_errors_done(&errs);
}

static void
a_file_that_is_not_there_is_named(void **state)
{
	struct ap_errors errs = { 0 };

	(void)state;
	assert_null(ap_config_load("/nowhere/ambit.yaml", NULL, &errs));
	assert_int_equal(errs.total, 1);
	assert_non_null(strstr(errs.items[0].text, "/nowhere/ambit.yaml"));
	ap_errors_done(&errs);
}

/* The manual and kubectl explain are made of these sentences. */
static void
check_docs(const struct ap_schema *schema, unsigned depth)
{
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++) {
		size_t len = row->doc == NULL ? 0 : strlen(row->doc);

		if (len == 0)
			fail_msg("%s.%s has no sentence", schema->name, row->name);
		if (row->of != NULL && depth < 16)
			check_docs(row->of, depth + 1);
	}
}

static void
every_row_has_its_sentence(void **state)
{
	(void)state;
	check_docs(&ap_appliance_root, 0);
	check_docs(&ap_appliance_spec, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_reaches_its_field),
		cmocka_unit_test(what_is_left_out_has_its_preset),
		cmocka_unit_test(each_mistake_is_one_sentence_with_its_place),
		cmocka_unit_test(fifty_problems_are_kept_and_all_are_counted),
		cmocka_unit_test(sections_of_loaded_roles_are_checked),
		cmocka_unit_test(a_file_that_is_not_there_is_named),
		cmocka_unit_test(every_row_has_its_sentence),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
