/* test_table.c -- look-ups, load balancing and differences of the mesh table. */
#include "../test.h"

#include <stdio.h>

#include "base/clock.h"
#include "wire.h"

static struct ap_ip
ip_of(const char *text)
{
	struct ap_ip ip;

	assert_int_equal(ap_ip_parse(ap_slice_of(text), &ip), 0);
	return ip;
}

#define NO_NETWORK AP_S("")
#define assert_uid(w_, uid_) \
	do { \
		assert_non_null(w_); \
		assert_true(ap_slice_eq_text((w_)->uid, (uid_))); \
	} while (0)

static void
drop(struct ap_mesh_table *t, enum ap_mesh_change_kind kind, const char *key)
{
	(void)ap_mesh_table_apply(t, &(struct ap_mesh_change){ .kind = (uint8_t)kind, .key = ap_slice_of(key) });
}

static void
a_workload_is_found_by_uid_address_and_identity(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_ip ip = ip_of("10.0.0.1");
	struct ap_mesh_workload *w;

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ns = "x", .sa = "sa-a", .ip = "10.0.0.1" });
	w = ap_mesh_find_workload(t, AP_S("a"));
	assert_uid(w, "a");
	assert_true(ap_slice_eq_text(w->identity, "spiffe://cluster.local/ns/x/sa/sa-a"));
	assert_true(ap_slice_eq_text(w->cluster, "Kubernetes"));
	assert_int_equal(w->capacity, 1);
	assert_uid(ap_mesh_find_source(t, NO_NETWORK, &ip, w->identity), "a");
	assert_uid(ap_mesh_find_source(t, NO_NETWORK, &ip, AP_SLICE_NONE), "a");
	assert_null(ap_mesh_find_source(t, NO_NETWORK, &ip, AP_S("spiffe://cluster.local/ns/x/sa/other")));
	assert_null(ap_mesh_find_source(t, AP_S("elsewhere"), &ip, AP_SLICE_NONE));
	drop(t, AP_MESH_WORKLOAD, "a");
	assert_null(ap_mesh_find_workload(t, AP_S("a")));
	assert_int_equal(ap_mesh_at(t, NO_NETWORK, &ip).count, 0);
	ap_mesh_table_free(&t);
}

static void
several_workloads_of_one_address_are_told_apart_by_identity_and_port(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_ip ip = ip_of("10.0.0.1");

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ns = "x", .sa = "sa-a", .ip = "10.0.0.1",
	                         .service = "x/a.x", .service_port = 80, .target_port = 8080 });
	wire_add_workload(t, &(struct wire_workload){ .uid = "b", .ns = "x", .sa = "sa-b", .ip = "10.0.0.1",
	                         .service = "x/b.x" });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "b.x", .port = 80, .target_port = 9090 });
	assert_int_equal(ap_mesh_at(t, NO_NETWORK, &ip).count, 2);
	assert_uid(ap_mesh_find_source(t, NO_NETWORK, &ip, AP_S("spiffe://cluster.local/ns/x/sa/sa-b")), "b");
	assert_null(ap_mesh_find_source(t, NO_NETWORK, &ip, AP_SLICE_NONE));
	assert_uid(ap_mesh_find_destination(t, NO_NETWORK, &ip, 8080), "a");
	assert_uid(ap_mesh_find_destination(t, NO_NETWORK, &ip, 9090), "b");
	assert_null(ap_mesh_find_destination(t, NO_NETWORK, &ip, 22));
	drop(t, AP_MESH_WORKLOAD, "a");
	assert_uid(ap_mesh_find_destination(t, NO_NETWORK, &ip, 22), "b");
	ap_mesh_table_free(&t);
}

static void
a_replaced_workload_leaves_its_old_address_and_service(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_ip old = ip_of("10.0.0.1"), new = ip_of("10.0.0.2");
	struct ap_mesh_service *s;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "a.x", .port = 80, .target_port = 8080 });
	wire_add_workload(
	    t, &(struct wire_workload){ .uid = "a", .ns = "x", .ip = "10.0.0.1", .service = "x/a.x" });
	s = ap_mesh_find_service(t, AP_S("x/a.x"));
	assert_int_equal(ap_mesh_endpoints(t, s).count, 1);
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ns = "x", .ip = "10.0.0.2" });
	assert_int_equal(ap_mesh_endpoints(t, s).count, 0);
	assert_int_equal(ap_mesh_at(t, NO_NETWORK, &old).count, 0);
	assert_int_equal(ap_mesh_at(t, NO_NETWORK, &new).count, 1);
	ap_mesh_table_free(&t);
}

static void
endpoints_attach_in_either_order(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_mesh_pick pick;

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ns = "x", .ip = "10.0.0.1", .service = "x/a.x" });
	assert_null(ap_mesh_find_service(t, AP_S("x/a.x")));
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "a.x", .port = 80, .target_port = 8080 });
	assert_int_equal(ap_mesh_pick(t, ap_mesh_find_service(t, AP_S("x/a.x")), 80, NULL, -1, NULL, NULL, &pick),
	    AP_MESH_PICKED);
	assert_int_equal(pick.port, 8080);
	drop(t, AP_MESH_SERVICE, "x/a.x");
	assert_null(ap_mesh_find_service(t, AP_S("x/a.x")));
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "a.x", .port = 80, .target_port = 8081 });
	assert_int_equal(ap_mesh_pick(t, ap_mesh_find_service(t, AP_S("x/a.x")), 80, NULL, -1, NULL, NULL, &pick),
	    AP_MESH_PICKED);
	assert_int_equal(pick.port, 8081);
	ap_mesh_table_free(&t);
}

static void
services_are_found_by_vip_and_the_longest_prefix(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	static const struct {
		const char *ip, *host;
	} rows[] = {
		{ "240.240.0.1", "one.x" },
		{ "240.240.0.2", "wide.x" },
		{ "240.240.1.7", "narrow.x" },
		{ "10.1.1.1", NULL },
		{ "fd00::1", "six.x" },
	};
	size_t i;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "one.x", .vip = "240.240.0.1" });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "wide.x", .vip = "240.240.0.0", .prefix = 16 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "narrow.x", .vip = "240.240.1.0", .prefix = 24 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "six.x", .vip = "fd00::1" });
	for (i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_ip ip = ip_of(rows[i].ip);
		struct ap_mesh_service *s = ap_mesh_find_vip(t, NULL, NO_NETWORK, &ip);

		if (rows[i].host == NULL)
			assert_null(s);
		else
			assert_true(s != NULL && ap_slice_eq_text(s->hostname, rows[i].host));
	}
	drop(t, AP_MESH_SERVICE, "x/narrow.x");
	{
		struct ap_ip ip = ip_of("240.240.1.7");

		assert_true(ap_slice_eq_text(ap_mesh_find_vip(t, NULL, NO_NETWORK, &ip)->hostname, "wide.x"));
	}
	ap_mesh_table_free(&t);
}

static void
names_prefer_the_callers_namespace_then_the_canonical_one(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_mesh_origin in_b = { .namespace_ = AP_S("b") }, in_z = { .namespace_ = AP_S("z") };

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "a", .host = "h.com", .canonical = true });
	wire_add_service(t, &(struct wire_service){ .ns = "b", .host = "h.com" });
	wire_add_service(t, &(struct wire_service){ .ns = "c", .host = "secret.com", .is_private = true });
	wire_add_service(t, &(struct wire_service){ .ns = "d", .host = "*.wild.com" });
	assert_true(ap_slice_eq_text(ap_mesh_find_host(t, &in_b, AP_S("h.com"))->namespace_, "b"));
	assert_true(ap_slice_eq_text(ap_mesh_find_host(t, &in_z, AP_S("h.com"))->namespace_, "a"));
	assert_null(ap_mesh_find_host(t, &in_z, AP_S("secret.com")));
	assert_true(ap_slice_eq_text(ap_mesh_find_host(t, &in_z, AP_S("x.y.wild.com"))->namespace_, "d"));
	assert_null(ap_mesh_find_host(t, &in_z, AP_S("wild.com")));
	ap_mesh_table_free(&t);
}

static unsigned
count_picks(struct ap_mesh_table *t, const char *service, const struct ap_mesh_origin *from, const char *uid, int rounds)
{
	struct ap_mesh_service *s = ap_mesh_find_service(t, ap_slice_of(service));
	struct ap_mesh_pick pick;
	unsigned n = 0;
	int i;

	for (i = 0; i < rounds; i++) {
		assert_int_equal(ap_mesh_pick(t, s, 80, from, -1, NULL, NULL, &pick), AP_MESH_PICKED);
		n += ap_slice_eq_text(pick.workload->uid, uid) ? 1 : 0;
	}
	return n;
}

static void
weights_share_the_load(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	unsigned n;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "a.x", .port = 80, .target_port = 1 });
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ip = "10.0.0.1", .service = "x/a.x", .capacity = 9 });
	wire_add_workload(t, &(struct wire_workload){ .uid = "b", .ip = "10.0.0.2", .service = "x/a.x" });
	n = count_picks(t, "x/a.x", NULL, "a", 4000);
	assert_in_range(n, 3400, 3800);
	/* Equal weights take the quick way. */
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ip = "10.0.0.1", .service = "x/a.x" });
	n = count_picks(t, "x/a.x", NULL, "a", 4000);
	assert_in_range(n, 1800, 2200);
	/* The sick one gets nothing, until it is all there is and the service says so. */
	wire_add_workload(
	    t, &(struct wire_workload){ .uid = "a", .ip = "10.0.0.1", .service = "x/a.x", .unhealthy = true });
	assert_int_equal(count_picks(t, "x/a.x", NULL, "a", 100), 0);
	ap_mesh_table_free(&t);
}

static void
no_port_and_no_endpoint_are_told_apart(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_mesh_pick pick;
	struct ap_mesh_service *s;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "a.x", .port = 80, .target_port = 1 });
	s = ap_mesh_find_service(t, AP_S("x/a.x"));
	assert_int_equal(ap_mesh_pick(t, s, 80, NULL, -1, NULL, NULL, &pick), AP_MESH_NO_ENDPOINT);
	wire_add_workload(
	    t, &(struct wire_workload){ .uid = "a", .ip = "10.0.0.1", .service = "x/a.x", .unhealthy = true });
	assert_int_equal(ap_mesh_pick(t, s, 80, NULL, -1, NULL, NULL, &pick), AP_MESH_NO_ENDPOINT);
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ip = "10.0.0.1", .service = "x/a.x" });
	assert_int_equal(ap_mesh_pick(t, s, 81, NULL, -1, NULL, NULL, &pick), AP_MESH_NO_PORT);
	ap_mesh_table_free(&t);
}

static void
failover_prefers_what_is_near_and_strict_excludes_the_rest(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_mesh_origin from = { .region = AP_S("eu"), .zone = AP_S("eu-1") };
	struct ap_mesh_origin far = { .region = AP_S("us"), .zone = AP_S("us-1") };
	struct ap_mesh_pick pick;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "f.x", .port = 80, .target_port = 1, .mode = 2,
	                        .scopes = { AP_MESH_SCOPE_NETWORK, AP_MESH_SCOPE_REGION, AP_MESH_SCOPE_ZONE } });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "s.x", .port = 80, .target_port = 1, .mode = 1,
	                        .scopes = { AP_MESH_SCOPE_REGION } });
	wire_add_workload(t, &(struct wire_workload){ .uid = "near", .ip = "10.0.0.1", .service = "x/f.x",
	                         .region = "eu", .zone = "eu-1" });
	wire_add_workload(t, &(struct wire_workload){ .uid = "region", .ip = "10.0.0.2", .service = "x/f.x",
	                         .region = "eu", .zone = "eu-2" });
	wire_add_workload(t, &(struct wire_workload){ .uid = "strict", .ip = "10.0.0.3", .service = "x/s.x",
	                         .region = "eu" });
	assert_int_equal(count_picks(t, "x/f.x", &from, "near", 200), 200);
	drop(t, AP_MESH_WORKLOAD, "near");
	assert_int_equal(count_picks(t, "x/f.x", &from, "region", 200), 200);
	assert_int_equal(count_picks(t, "x/s.x", &from, "strict", 20), 20);
	assert_int_equal(ap_mesh_pick(t, ap_mesh_find_service(t, AP_S("x/s.x")), 80, &far, -1, NULL, NULL, &pick),
	    AP_MESH_NO_ENDPOINT);
	ap_mesh_table_free(&t);
}

static void
a_waypoint_reference_leads_to_its_workload_or_nowhere(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	const struct ap_mesh_gateway *g;
	struct ap_mesh_pick pick;
	struct ap_mesh_service *s;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "a.x", .port = 80, .waypoint_ns = "x",
	                        .waypoint_host = "wp.x" });
	s = ap_mesh_find_service(t, AP_S("x/a.x"));
	g = ap_mesh_sample_waypoint(t, s);
	assert_non_null(g);
	assert_false(ap_mesh_resolve_gateway(t, g, NULL, -1, &pick, NULL));
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "wp.x", .port = 15008, .target_port = 15009 });
	assert_false(ap_mesh_resolve_gateway(t, g, NULL, -1, &pick, NULL));
	wire_add_workload(t, &(struct wire_workload){ .uid = "wp", .ip = "10.0.0.9", .service = "x/wp.x" });
	assert_true(ap_mesh_resolve_gateway(t, g, NULL, -1, &pick, NULL));
	assert_int_equal(pick.port, 15009);
	assert_true(ap_mesh_gateway_is(t, g, pick.workload));
	wire_add_workload(
	    t, &(struct wire_workload){ .uid = "wp", .ip = "10.0.0.9", .service = "x/wp.x", .unhealthy = true });
	assert_false(ap_mesh_resolve_gateway(t, g, NULL, -1, &pick, NULL));
	ap_mesh_table_free(&t);
}

static void
labels_and_server_names_come_from_the_extension_and_identity(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	char sni[AP_MESH_SNI_MAX];
	struct ap_mesh_workload *w;

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "a", .ns = "NS", .sa = "Sa", .label_name = "version",
	                         .label_value = "v2" });
	w = ap_mesh_find_workload(t, AP_S("a"));
	assert_true(w->is_ambit);
	assert_true(ap_slice_eq_text(ap_mesh_workload_label(w, AP_S("version")), "v2"));
	assert_int_equal(ap_mesh_workload_label(w, AP_S("app")).len, 0);
	assert_string_equal(ap_mesh_sni(w->identity, sni), "sa.ns.cluster.local.ambit");
	assert_string_equal(ap_mesh_sni(AP_S("not an id"), sni), "");
	ap_mesh_table_free(&t);
}

static void
what_cannot_be_taken_is_refused(void **state)
{
	struct ap_mesh_workload *w;
	struct ap_mesh_service *s;
	struct ap_error err;
	struct ap_slice body;
	static const struct wire_workload no_uid = { .uid = "" };
	static const struct wire_workload bad_port = { .uid = "a", .service = "x/y", .service_port = 70000 };
	static const struct wire_service no_host = { .ns = "x", .host = "" };
	struct ap_slice bodies[] = { wire_workload(&no_uid), wire_workload(&bad_port), wire_service(&no_host) };
	size_t i;

	(void)state;
	for (i = 0; i < AP_COUNTOF(bodies); i++) {
		body = bodies[i];
		assert_true(ap_mesh_object_decode(body, &w, &s, &err) < 0);
		assert_null(w);
		assert_null(s);
		ap_mem_free((void *)(uintptr_t)body.ptr);
	}
	assert_true(ap_mesh_object_decode(AP_S("\xff\xff\xff"), &w, &s, &err) < 0);
	assert_true(ap_mesh_object_decode(AP_S(""), &w, &s, &err) < 0);
}

static void
many_objects_come_and_go(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new(), *copy;
	char uid[32], ip[32];
	size_t workloads, services, policies;
	uint64_t before, spent;
	int i;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "a.x", .port = 80, .target_port = 1 });
	for (i = 0; i < 5000; i++) {
		(void)snprintf(uid, sizeof(uid), "w%d", i);
		(void)snprintf(ip, sizeof(ip), "10.1.%d.%d", i / 250, i % 250);
		wire_add_workload(t, &(struct wire_workload){ .uid = uid, .ns = "x", .ip = ip, .service = "x/a.x" });
	}
	copy = ap_mesh_table_copy(t);
	for (i = 0; i < 5000; i += 2) {
		(void)snprintf(uid, sizeof(uid), "w%d", i);
		drop(t, AP_MESH_WORKLOAD, uid);
	}
	ap_mesh_counts(t, &workloads, &services, &policies);
	assert_int_equal(workloads, 2500);
	assert_int_equal(services, 1);
	assert_int_equal(ap_mesh_endpoints(t, ap_mesh_find_service(t, AP_S("x/a.x"))).count, 2500);
	for (i = 1; i < 5000; i += 2) {
		struct ap_ip at;

		(void)snprintf(uid, sizeof(uid), "w%d", i);
		(void)snprintf(ip, sizeof(ip), "10.1.%d.%d", i / 250, i % 250);
		at = ip_of(ip);
		assert_uid(ap_mesh_find_source(t, NO_NETWORK, &at, AP_SLICE_NONE), uid);
	}
	ap_mesh_counts(copy, &workloads, &services, &policies);
	assert_int_equal(workloads, 5000);
	before = ap_clock_mono_ns();
	wire_add_workload(copy, &(struct wire_workload){ .uid = "w7", .ns = "x", .ip = "10.9.9.9", .service = "x/a.x" });
	spent = ap_clock_mono_ns() - before;
	assert_true(spent < 50u * 1000 * 1000); /* far from the aim of 1 ms, near enough to catch a rebuild */
	ap_mesh_table_free(&t);
	ap_mesh_table_free(&copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_workload_is_found_by_uid_address_and_identity),
		cmocka_unit_test(several_workloads_of_one_address_are_told_apart_by_identity_and_port),
		cmocka_unit_test(a_replaced_workload_leaves_its_old_address_and_service),
		cmocka_unit_test(endpoints_attach_in_either_order),
		cmocka_unit_test(services_are_found_by_vip_and_the_longest_prefix),
		cmocka_unit_test(names_prefer_the_callers_namespace_then_the_canonical_one),
		cmocka_unit_test(weights_share_the_load),
		cmocka_unit_test(no_port_and_no_endpoint_are_told_apart),
		cmocka_unit_test(failover_prefers_what_is_near_and_strict_excludes_the_rest),
		cmocka_unit_test(a_waypoint_reference_leads_to_its_workload_or_nowhere),
		cmocka_unit_test(labels_and_server_names_come_from_the_extension_and_identity),
		cmocka_unit_test(what_cannot_be_taken_is_refused),
		cmocka_unit_test(many_objects_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
