/* test_zt_route.c -- the decision tree of outbound connections, the names of the mesh, and cgroup selectors. */
#include "../test.h"

#include "../mesh/wire.h"
#include "ztunnel/zt_dns_names.h"
#include "ztunnel/zt_hosted.h"
#include "ztunnel/zt_route.h"

#define VIP "240.240.0.1"

static struct zt_point
point(const char *ip, uint16_t port)
{
	struct zt_point p = { .port = port };

	assert_int_equal(ap_ip_parse(ap_slice_of(ip), &p.ip), 0);
	return p;
}

/* A client, a server with a service, an outsider without HBONE, a workload behind a waypoint, the waypoint, another network. */
static struct ap_mesh_table *
mesh(bool waypoint_lives)
{
	struct ap_mesh_table *t = ap_mesh_table_new();

	wire_add_workload(t, &(struct wire_workload){ .uid = "client", .ns = "x", .sa = "client", .ip = "10.0.0.1" });
	wire_add_workload(t, &(struct wire_workload){ .uid = "server", .ns = "x", .sa = "server", .ip = "10.0.0.2",
	                         .service = "x/server.x", .service_port = 80, .target_port = 8080 });
	wire_add_workload(t, &(struct wire_workload){ .uid = "plain", .ns = "x", .ip = "10.0.0.3", .plain = true,
	                         .service = "x/plain.x", .service_port = 80, .target_port = 8080 });
	wire_add_workload(t, &(struct wire_workload){ .uid = "behind", .ns = "x", .ip = "10.0.0.4", .waypoint_ns = "x",
	                         .waypoint_host = "wp.x", .service = "x/behind.x", .service_port = 80,
	                         .target_port = 8080 });
	wire_add_workload(t, &(struct wire_workload){ .uid = "wp", .ns = "x", .sa = "wp", .ip = "10.0.0.5",
	                         .service = "x/wp.x", .service_port = 15008, .target_port = 15018,
	                         .unhealthy = !waypoint_lives });
	wire_add_workload(t, &(struct wire_workload){ .uid = "far", .ns = "x", .ip = "10.9.0.1", .network = "far",
	                         .service = "x/far.x", .service_port = 80, .target_port = 8080 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "server.x", .vip = VIP, .port = 80 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "plain.x", .vip = "240.240.0.2", .port = 80 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "l7.x", .vip = "240.240.0.3", .port = 80,
	                        .waypoint_ns = "x", .waypoint_host = "wp.x" });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "behind.x", .vip = "240.240.0.4", .port = 80 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "wp.x", .port = 15008, .target_port = 15018 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "far.x", .vip = "240.240.0.5", .port = 80 });
	wire_add_service(t, &(struct wire_service){ .ns = "x", .host = "pass.x", .vip = "240.240.0.6", .port = 80, .mode = 3 });
	return t;
}

struct row {
	const char *what, *source, *ip;
	uint16_t port;
	bool waypoint_is_dead;
	enum zt_route_kind kind;
	enum zt_end why;
	const char *hop;
	uint16_t hop_port;
	const char *authority;
	uint16_t authority_port;
	const char *next;
};

static const struct row rows[] = {
	{ "a service goes to its endpoint by HBONE", "client", VIP, 80, false, ZT_ROUTE_HBONE, 0, "10.0.0.2", 15008,
	    "10.0.0.2", 8080, "server" },
	{ "a workload's address too, any port", "client", "10.0.0.2", 22, false, ZT_ROUTE_HBONE, 0, "10.0.0.2", 15008,
	    "10.0.0.2", 22, "server" },
	{ "a port that the service lacks", "client", VIP, 81, false, ZT_ROUTE_REFUSE, ZT_END_NO_PORT, NULL, 0, NULL, 0, NULL },
	{ "an endpoint without HBONE is called in plain", "client", "240.240.0.2", 80, false, ZT_ROUTE_PLAIN, 0, "10.0.0.3",
	    8080, NULL, 0, "plain" },
	{ "a service with a waypoint goes there with the address as asked", "client", "240.240.0.3", 80, false,
	    ZT_ROUTE_HBONE, 0, "10.0.0.5", 15018, "240.240.0.3", 80, "wp" },
	{ "a dead waypoint refuses", "client", "240.240.0.3", 80, true, ZT_ROUTE_REFUSE, ZT_END_NO_WAYPOINT, NULL, 0, NULL,
	    0, NULL },
	{ "a workload's waypoint counts for its address", "client", "10.0.0.4", 8080, false, ZT_ROUTE_HBONE, 0, "10.0.0.5",
	    15018, "10.0.0.4", 8080, "wp" },
	{ "but not for its service", "client", "240.240.0.4", 80, false, ZT_ROUTE_HBONE, 0, "10.0.0.4", 15008, "10.0.0.4",
	    8080, "behind" },
	{ "the waypoint itself goes direct", "wp", "10.0.0.4", 8080, false, ZT_ROUTE_HBONE, 0, "10.0.0.4", 15008,
	    "10.0.0.4", 8080, "behind" },
	{ "another network without a gateway", "client", "240.240.0.5", 80, false, ZT_ROUTE_REFUSE, ZT_END_NO_GATEWAY, NULL,
	    0, NULL, 0, NULL },
	{ "passthrough services keep the address", "client", "240.240.0.6", 80, false, ZT_ROUTE_PLAIN, 0, "240.240.0.6", 80,
	    NULL, 0, NULL },
	{ "nothing known passes", "client", "192.0.2.1", 443, false, ZT_ROUTE_PASSTHROUGH, 0, "192.0.2.1", 443, NULL, 0,
	    NULL },
};

static void
each_destination_takes_its_way(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < AP_COUNTOF(rows); i++) {
		const struct row *row = &rows[i];
		struct ap_mesh_table *t = mesh(!row->waypoint_is_dead);
		struct zt_point to = point(row->ip, row->port), want;
		struct zt_question q = { .source = ap_mesh_find_workload(t, ap_slice_of(row->source)),
			.to = &to,
			.hbone_port = 15008 };
		struct zt_route r;

		zt_route(t, &q, &r);
		if (r.kind != row->kind || (r.kind == ZT_ROUTE_REFUSE && r.why != row->why))
			fail_msg("%s: kind %d, why '%s'", row->what, (int)r.kind,
			    r.kind == ZT_ROUTE_REFUSE ? zt_end_text(r.why) : "");
		if (row->hop != NULL) {
			want = point(row->hop, row->hop_port);
			if (!ap_ip_eq(&r.hop.ip, &want.ip) || r.hop.port != want.port)
				fail_msg("%s: hop port %u", row->what, r.hop.port);
		}
		if (row->authority != NULL) {
			want = point(row->authority, row->authority_port);
			if (!ap_ip_eq(&r.authority.ip, &want.ip) || r.authority.port != want.port)
				fail_msg("%s: authority port %u", row->what, r.authority.port);
		}
		if (row->next != NULL && row->kind != ZT_ROUTE_REFUSE)
			assert_true(ap_slice_eq_text((r.next != NULL ? r.next : r.destination)->uid, row->next));
		ap_mesh_table_free(&t);
	}
}

static void
an_endpoint_that_failed_is_not_tried_again(void **state)
{
	struct ap_mesh_table *t = mesh(true);
	struct zt_point to = point(VIP, 80);
	struct zt_question q = { .source = ap_mesh_find_workload(t, AP_S("client")), .to = &to, .hbone_port = 15008 };
	struct zt_route r;
	int i;

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "second", .ns = "x", .ip = "10.0.0.7", .service = "x/server.x",
	                         .service_port = 80, .target_port = 8080 });
	q.tried[0] = ap_mesh_find_workload(t, AP_S("server"));
	q.tried_count = 1;
	for (i = 0; i < 50; i++) {
		zt_route(t, &q, &r);
		assert_int_equal(r.kind, ZT_ROUTE_HBONE);
		assert_true(ap_slice_eq_text(r.destination->uid, "second"));
	}
	q.tried[1] = ap_mesh_find_workload(t, AP_S("second"));
	q.tried_count = 2;
	zt_route(t, &q, &r);
	assert_int_equal(r.kind, ZT_ROUTE_REFUSE);
	assert_int_equal(r.why, ZT_END_NO_UPSTREAM);
	ap_mesh_table_free(&t);
}

static void
another_network_is_reached_through_its_gateway(void **state)
{
	struct ap_mesh_table *t = mesh(true);
	struct ap_mesh_workload *far = ap_mesh_find_workload(t, AP_S("far"));
	struct zt_point to = point("240.240.0.5", 80);
	struct zt_question q = { .source = ap_mesh_find_workload(t, AP_S("client")), .to = &to, .hbone_port = 15008 };
	struct zt_route r;

	(void)state;
	/* The wire helper knows no network gateways: give this one to the object that the table holds. */
	far->network_gateway = (struct ap_mesh_gateway){ .kind = AP_MESH_GATEWAY_HOST,
		.hbone_port = 15008,
		.namespace_ = AP_S("x"),
		.hostname = AP_S("wp.x") };
	zt_route(t, &q, &r);
	assert_int_equal(r.kind, ZT_ROUTE_DOUBLE);
	assert_int_equal(r.service_port, 80);
	assert_true(ap_slice_eq_text(r.next->uid, "wp"));
	assert_true(ap_slice_eq_text(r.destination->uid, "far"));
	assert_true(ap_slice_eq_text(r.service->hostname, "far.x"));
	ap_mesh_table_free(&t);
}

static void
names_are_found_in_each_of_their_forms(void **state)
{
	static const struct ap_slice search[] = { AP_S("corp.example") };
	static const struct {
		const char *name;
		bool known;
		size_t count;
		const char *canonical;
	} names[] = {
		{ "reviews.books.svc.cluster.local", true, 1, "" },
		{ "reviews.books.svc", true, 1, "" },
		{ "reviews.books", true, 1, "" },
		{ "reviews", true, 1, "" },
		{ "reviews.corp.example", true, 1, "reviews" },
		{ "reviews.other", false, 0, "" },
		{ "headless", true, 2, "" },
		{ "www.wild.example", true, 1, "" },
		{ "wild.example", false, 0, "" },
		{ "example.com", false, 0, "" },
		{ "localhost", false, 0, "" },
		{ "", false, 0, "" },
	};
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct zt_dns_answer a;
	size_t i;

	(void)state;
	wire_add_service(t, &(struct wire_service){ .ns = "books", .host = "reviews.books.svc.cluster.local", .vip = VIP });
	wire_add_service(t, &(struct wire_service){ .ns = "books", .host = "headless.books.svc.cluster.local" });
	wire_add_service(t, &(struct wire_service){ .ns = "books", .host = "*.wild.example", .vip = "240.240.0.9" });
	wire_add_workload(t, &(struct wire_workload){ .uid = "h1", .ip = "10.0.0.1", .service = "books/headless.books.svc.cluster.local" });
	wire_add_workload(t, &(struct wire_workload){ .uid = "h2", .ip = "10.0.0.2", .service = "books/headless.books.svc.cluster.local" });
	wire_add_workload(t, &(struct wire_workload){ .uid = "h3", .ip = "10.0.0.3", .unhealthy = true,
	                         .service = "books/headless.books.svc.cluster.local" });
	for (i = 0; i < AP_COUNTOF(names); i++) {
		struct zt_dns_question q = { .name = ap_slice_of(names[i].name),
			.from = { .namespace_ = AP_S("books") },
			.cluster_domain = AP_S("cluster.local"),
			.search = search,
			.search_count = 1 };

		zt_dns_find(t, &q, &a);
		if (a.known != names[i].known || a.count != names[i].count ||
		    !ap_slice_eq_text(a.canonical, names[i].canonical))
			fail_msg("%s: known %d, %zu addresses", names[i].name, a.known, a.count);
		/* No address of the other family: known, and empty. */
		q.v6 = true;
		zt_dns_find(t, &q, &a);
		assert_int_equal(a.known, names[i].known);
		assert_int_equal(a.count, 0);
	}
	ap_mesh_table_free(&t);
}

static void
cgroups_match_by_path_and_unit(void **state)
{
	static const struct {
		const char *path, *cgroup, *unit;
		bool matches;
	} cases[] = {
		{ "/system.slice/reviews.service", "", "reviews.service", true },
		{ "/system.slice/reviews.service/worker", "", "reviews.service", true },
		{ "/system.slice/reviews.service.d", "", "reviews.service", false },
		{ "/meshtest/appA", "meshtest/appA", "", true },
		{ "/meshtest/appA/", "/meshtest/appA/", "", true },
		{ "/meshtest/appA/child", "meshtest/appA", "", true },
		{ "/meshtest/appAB", "meshtest/appA", "", false },
		{ "/meshtest", "meshtest/appA", "", false },
		{ "/a/b.service", "a", "b.service", true },
		{ "/c/b.service", "a", "b.service", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < AP_COUNTOF(cases); i++) {
		struct zt_hosted_workload w = { .cgroup = ap_slice_of(cases[i].cgroup), .unit = ap_slice_of(cases[i].unit) };

		if (zt_cgroup_matches(ap_slice_of(cases[i].path), &w) != cases[i].matches)
			fail_msg("%s in %s%s", cases[i].path, cases[i].cgroup, cases[i].unit);
	}
}

const char *
zt_end_text(enum zt_end why)
{
	static const char *const texts[] = {
#define ZT_END(name_, flag_, text_) #name_,
#include "ztunnel/zt_end.def"
#undef ZT_END
	};

	return texts[why];
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_destination_takes_its_way),
		cmocka_unit_test(an_endpoint_that_failed_is_not_tried_again),
		cmocka_unit_test(another_network_is_reached_through_its_gateway),
		cmocka_unit_test(names_are_found_in_each_of_their_forms),
		cmocka_unit_test(cgroups_match_by_path_and_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
