/* test_ui_graph.c -- the shapes of paths that proxies report, and the edges that must come of them. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "metrics_ui/ui_graph.h"
#include "../test.h"

#define REVIEWS "reviews.bookinfo.svc.cluster.local"
#define TD "spiffe://cluster.local/ns/bookinfo/sa/"

struct row {
	const char *reporter, *src, *src_version, *dst, *dst_version, *service, *via, *security;
	struct ui_measure m;
};

struct world {
	struct ap_arena *arena;
	struct ui_names *names;
	struct ui_flow flows[32];
	struct ui_graph_flow input[32];
	size_t count;
};

static int
setup(void **state)
{
	struct world *w = ap_new(struct world);

	w->arena = ap_arena_new((size_t)4 * 1024 * 1024);
	w->names = ui_names_new();
	ui_names_waypoint(w->names, AP_S("bookinfo"), AP_S("waypoint-reviews"));
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	ui_names_free(&w->names);
	ap_arena_free(&w->arena);
	ap_free(&w);
	return 0;
}

/* A flow as the scraper makes it: through its key. An end is "app" and its version; NULL: unknown. */
static void
add(struct world *w, const struct row *r)
{
	const char *sv = r->src_version == NULL ? "" : r->src_version, *dv = r->dst_version == NULL ? "" : r->dst_version;
	char src[400] = "", dst[400] = "";
	struct ap_slice key;

	if (r->src != NULL)
		snprintf(src, sizeof(src), "bookinfo\x1f%s%s%s\x1f%s\x1f%s\x1f" TD "%s", r->src, *sv == '\0' ? "" : "-", sv,
		    r->src, sv, r->src);
	else
		snprintf(src, sizeof(src), "\x1f\x1f\x1f\x1f");
	if (r->dst != NULL)
		snprintf(dst, sizeof(dst), "bookinfo\x1f%s%s%s\x1f%s\x1f%s\x1f" TD "%s", r->dst, *dv == '\0' ? "" : "-", dv,
		    r->dst, dv, r->dst);
	else
		snprintf(dst, sizeof(dst), "\x1f\x1f\x1f\x1f");
	key = ap_arena_printf(w->arena, "%s\x1f%s\x1f%s\x1f%s\x1f%s\x1f" "bookinfo\x1f%s\x1f%s\x1f%s", r->reporter, src, dst,
	    r->service == NULL ? "" : r->service, r->service == NULL ? "" : "reviews", r->m.requests > 0 ? "http" : "tcp",
	    r->security == NULL ? "mutual_tls" : r->security, r->via == NULL ? "" : r->via);
	assert_int_equal(ui_flow_parse(key, &w->flows[w->count]), 0);
	w->input[w->count].flow = &w->flows[w->count];
	w->input[w->count].m = r->m;
	w->count++;
}

static struct ui_graph *
build(struct world *w, bool shown, bool by_service)
{
	struct ui_graph_input in = { .flows = w->input, .count = w->count, .names = w->names, .show_waypoints = shown,
		.by_service = by_service };
	struct ui_graph *g = ui_graph_build(w->arena, &in);

	assert_non_null(g);
	return g;
}

static struct ui_edge *
find(struct ui_graph *g, const char *src, const char *dst)
{
	for (struct ui_edge *e = g->edges; e != NULL; e = e->next)
		if (ap_slice_eq_text(e->src->id, src) && ap_slice_eq_text(e->dst->id, dst))
			return e;
	return NULL;
}

#define TCP(opened_, received_, sent_) { .opened = (opened_), .closed = (opened_), .received = (received_), .sent = (sent_) }
#define WP "bookinfo/waypoint-reviews"

static void
direct_traffic_counts_once_as_the_destination_says(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "source", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(10, 1000, 5000) },
		{ "destination", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(9, 900, 4500) },
	};
	struct ui_graph *g;
	struct ui_edge *e;

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
	g = build(w, false, false);
	assert_int_equal(g->edge_count, 1);
	assert_int_equal(g->node_count, 2);
	e = find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v1");
	assert_non_null(e);
	assert_int_equal(e->m.opened, 9);
	assert_int_equal(e->m.sent, 4500);
	assert_int_equal(e->reporter, UI_DESTINATION);
	assert_int_equal(e->secure, e->known);
	assert_false(e->bypass);
	assert_true(e->share > 0.999);
	assert_non_null(e->hops);
	assert_non_null(e->hops->next);
}

#define HTTP(requests_, code_, count_) \
	{ .requests = (requests_), .durations = (requests_), .duration_sum = (requests_), .codes = { { (code_), (count_) } }, \
		.code_count = 1 }

static void
requests_of_direct_traffic_count_once_as_the_destination_says(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "source", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(10, 1000, 5000) },
		{ "source", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, HTTP(100, 200, 100) },
		{ "destination", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(9, 900, 4500) },
		{ "destination", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, HTTP(90, 503, 90) },
	};
	struct ui_graph *g;
	struct ui_edge *e;

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
	g = build(w, false, false);
	assert_int_equal(g->edge_count, 1);
	e = g->edges;
	assert_int_equal(e->m.opened, 9);
	assert_int_equal(e->m.requests, 90);
	assert_int_equal(e->m.durations, 90);
	assert_int_equal(ui_measure_class(&e->m, 5), 90);
	assert_int_equal(ui_measure_class(&e->m, 2), 0);
	assert_true(ap_slice_eq_text(e->protocol, "http"));
	assert_int_equal(e->reporter, UI_DESTINATION);
}

static void
requests_that_only_the_source_recognises_are_shown(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "destination", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(9, 900, 4500) },
		{ "source", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(10, 1000, 5000) },
		{ "source", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, HTTP(100, 404, 100) },
	};
	struct ui_graph *g;

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
	g = build(w, false, false);
	assert_int_equal(g->edge_count, 1);
	assert_int_equal(g->edges->m.opened, 9);
	assert_int_equal(g->edges->m.requests, 100);
	assert_int_equal(ui_measure_class(&g->edges->m, 4), 100);
	assert_true(ap_slice_eq_text(g->edges->protocol, "http"));
}

static void
a_server_outside_the_mesh_is_seen_by_the_source_alone(void **state)
{
	struct world *w = *state;
	const struct row row = { "source", "productpage", "v1", NULL, NULL, REVIEWS, NULL, "unknown", TCP(4, 10, 20) };
	struct ui_graph *g;
	struct ui_edge *e;

	add(w, &row);
	g = build(w, false, false);
	e = find(g, "w:bookinfo/productpage-v1", "svc:" REVIEWS);
	assert_non_null(e);
	assert_int_equal(e->reporter, UI_SOURCE);
	assert_int_equal(e->m.opened, 4);
	assert_int_equal(e->secure, 0);
	assert_int_equal(e->dst->kind, UI_NODE_SERVICE);
}

static void
a_plaintext_client_is_outside(void **state)
{
	struct world *w = *state;
	const struct row row = { "destination", NULL, NULL, "reviews", "v1", REVIEWS, NULL, "unknown", TCP(4, 10, 20) };
	struct ui_graph *g;

	add(w, &row);
	g = build(w, false, false);
	assert_non_null(find(g, "outside", "w:bookinfo/reviews-v1"));
}

static void
a_request_that_was_refused_was_meant_for_the_one_server(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "waypoint", "client", "v1", NULL, NULL, REVIEWS, WP, NULL,
		    { .requests = 4, .codes = { { 403, 4 } }, .code_count = 1 } },
		{ "waypoint", "productpage", "v1", "reviews", "v1", REVIEWS, WP, NULL,
		    { .requests = 9, .codes = { { 200, 9 } }, .code_count = 1 } },
		{ "waypoint", "productpage", "v1", "reviews", "v2", REVIEWS, WP, NULL,
		    { .requests = 1, .codes = { { 200, 1 } }, .code_count = 1 } },
	};
	struct ui_graph *g;

	add(w, &rows[0]);
	add(w, &rows[1]);
	g = build(w, false, false);
	assert_non_null(find(g, "w:bookinfo/client-v1", "w:bookinfo/reviews-v1"));
	/* With two that serve it nobody knows for which of them it was. */
	add(w, &rows[2]);
	g = build(w, false, false);
	assert_non_null(find(g, "w:bookinfo/client-v1", "svc:" REVIEWS));
	g = build(w, false, true);
	assert_non_null(find(g, "id:bookinfo/client", "id:bookinfo/reviews"));
}

static void
an_edge_of_which_only_ends_are_seen_is_not_shown(void **state)
{
	struct world *w = *state;
	const struct row row = { "destination", "client", "v1", "reviews", "v1", REVIEWS, NULL, NULL, { .closed = 3 } };

	add(w, &row);
	assert_int_equal(build(w, false, false)->edge_count, 0);
}

static void
what_has_no_end_in_the_mesh_is_not_shown(void **state)
{
	struct world *w = *state;
	const struct row row = { "source", NULL, NULL, NULL, NULL, NULL, NULL, "unknown", { .opened = 3, .failed = 3 } };

	add(w, &row);
	assert_int_equal(build(w, false, false)->edge_count, 0);
	assert_int_equal(build(w, true, false)->node_count, 0);
}

static void
add_waypoint_path(struct world *w)
{
	const struct row rows[] = {
		{ "source", "productpage", "v1", "waypoint-reviews", NULL, REVIEWS, NULL, NULL, TCP(10, 1001, 50000) },
		{ "waypoint", "productpage", "v1", "reviews", "v1", REVIEWS, WP, NULL,
		    { .requests = 90, .durations = 90, .codes = { { 200, 90 } }, .code_count = 1,
			.at_most = { 0, 0, 45, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90 } } },
		{ "waypoint", "productpage", "v1", "reviews", "v2", REVIEWS, WP, NULL,
		    { .requests = 10, .durations = 10, .codes = { { 200, 8 }, { 503, 2 } }, .code_count = 2 } },
		{ "destination", "waypoint-reviews", NULL, "reviews", "v1", REVIEWS, NULL, NULL, TCP(5, 800, 45000) },
		{ "destination", "waypoint-reviews", NULL, "reviews", "v2", REVIEWS, NULL, NULL, TCP(2, 100, 5000) },
	};

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
}

static void
a_path_through_a_waypoint_is_one_edge_per_server(void **state)
{
	struct world *w = *state;
	struct ui_graph *g;
	struct ui_edge *v1, *v2;

	add_waypoint_path(w);
	g = build(w, false, false);
	assert_int_equal(g->edge_count, 2);
	assert_int_equal(g->node_count, 3);
	v1 = find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v1");
	v2 = find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v2");
	assert_non_null(v1);
	assert_non_null(v2);
	assert_int_equal(v1->m.requests, 90);
	assert_int_equal(v2->m.requests, 10);
	assert_int_equal(ui_measure_class(&v2->m, 5), 2);
	/* The client's connections and bytes are shared, none is lost, none counted twice. */
	assert_int_equal(v1->m.opened + v2->m.opened, 10);
	assert_int_equal(v1->m.received + v2->m.received, 1001);
	assert_int_equal(v1->m.opened, 9);
	assert_true(v1->share > 0.899 && v1->share < 0.901);
	assert_int_equal(v1->reporter, UI_WAYPOINT);
	assert_int_equal(v1->via_count, 1);
	assert_true(ap_slice_eq_text(v1->via[0], WP));
	assert_true(ap_slice_eq_text(v1->protocol, "http"));
	/* Client's leg, waypoint's report, server's leg, in that order. */
	assert_int_equal(v1->hops->kind, UI_HOP_CLIENT);
	assert_int_equal(v1->hops->next->kind, UI_HOP_WAYPOINT);
	assert_int_equal(v1->hops->next->next->kind, UI_HOP_SERVER);
	assert_null(v1->hops->next->next->next);
	assert_true(ui_measure_quantile(&v1->m, 0.5) > 4.99 && ui_measure_quantile(&v1->m, 0.5) < 5.01);
}

static void
a_waypoint_that_is_shown_stands_between_two_edges(void **state)
{
	struct world *w = *state;
	struct ui_graph *g;
	struct ui_edge *in, *out;

	add_waypoint_path(w);
	g = build(w, true, false);
	assert_int_equal(g->edge_count, 3);
	in = find(g, "w:bookinfo/productpage-v1", "wp:" WP);
	out = find(g, "wp:" WP, "w:bookinfo/reviews-v1");
	assert_non_null(in);
	assert_non_null(out);
	assert_int_equal(in->m.requests, 100);
	assert_int_equal(in->m.opened, 10);
	assert_int_equal(out->m.requests, 90);
	assert_int_equal(out->m.opened, 5);
	assert_int_equal(in->dst->kind, UI_NODE_WAYPOINT);
	assert_null(find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v1"));
}

static void
versions_are_one_node_when_nodes_are_identities(void **state)
{
	struct world *w = *state;
	struct ui_graph *g;
	struct ui_edge *e;

	add_waypoint_path(w);
	g = build(w, false, true);
	assert_int_equal(g->edge_count, 1);
	e = find(g, "id:bookinfo/productpage", "id:bookinfo/reviews");
	assert_non_null(e);
	assert_int_equal(e->m.requests, 100);
	assert_int_equal(e->m.opened, 10);
	assert_int_equal(e->m.received, 1001);
	assert_true(ap_slice_eq_text(e->dst_principal, TD "reviews"));
}

static void
mixed_traffic_is_one_edge_that_tells_of_the_bypass(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "source", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(3, 30, 300) },
		{ "destination", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(3, 30, 300) },
	};
	struct ui_service *s = ui_names_service(w->names, AP_S(REVIEWS));
	struct ui_graph *g;
	struct ui_edge *e;

	s->waypoint = AP_S(WP);
	add_waypoint_path(w);
	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
	g = build(w, false, false);
	assert_int_equal(g->edge_count, 2);
	e = find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v1");
	assert_int_equal(e->m.requests, 90);
	assert_int_equal(e->m.opened, 12);
	assert_true(e->bypass);
	assert_int_equal(e->reporter, UI_WAYPOINT);
	assert_false(find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v2")->bypass);
}

static void
denied_connections_are_errors_of_the_direct_edge(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "source", "client", "v1", "reviews", "v1", REVIEWS, NULL, NULL, { .opened = 5, .closed = 5, .failed = 5 } },
		{ "destination", "client", "v1", "reviews", "v1", REVIEWS, NULL, NULL,
		    { .opened = 4, .closed = 4, .failed = 4, .denied = 4 } },
	};
	struct ui_graph *g;
	struct ui_edge *e;

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
	g = build(w, false, false);
	assert_int_equal(g->edge_count, 1);
	e = g->edges;
	assert_int_equal(e->m.denied, 4);
	/* One more failed on its way, as only the client can know. */
	assert_int_equal(e->m.failed, 5);
	assert_int_equal(e->m.opened, 5);
}

static void
a_dead_waypoint_leaves_an_edge_to_the_service(void **state)
{
	struct world *w = *state;
	const struct row row = { "source", "productpage", "v1", "waypoint-reviews", NULL, REVIEWS, NULL, NULL,
		{ .opened = 6, .closed = 6, .failed = 6 } };
	struct ui_graph *g;
	struct ui_edge *e;

	add(w, &row);
	g = build(w, false, false);
	e = find(g, "w:bookinfo/productpage-v1", "svc:" REVIEWS);
	assert_non_null(e);
	assert_int_equal(e->m.failed, 6);
	assert_int_equal(e->via_count, 1);
}

static void
a_waypoint_without_report_is_bridged_by_its_legs(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "source", "productpage", "v1", "waypoint-reviews", NULL, REVIEWS, NULL, NULL, TCP(10, 1000, 9000) },
		{ "destination", "waypoint-reviews", NULL, "reviews", "v1", REVIEWS, NULL, NULL, TCP(3, 700, 7000) },
		{ "destination", "waypoint-reviews", NULL, "reviews", "v2", REVIEWS, NULL, NULL, TCP(1, 300, 2000) },
	};
	struct ui_graph *g;
	struct ui_edge *v1, *v2;

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
	g = build(w, false, false);
	v1 = find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v1");
	v2 = find(g, "w:bookinfo/productpage-v1", "w:bookinfo/reviews-v2");
	assert_non_null(v1);
	assert_non_null(v2);
	assert_int_equal(g->edge_count, 2);
	assert_int_equal(v1->m.opened + v2->m.opened, 10);
	assert_int_equal(v1->m.sent + v2->m.sent, 9000);
	assert_int_equal(v1->via_count, 1);
}

static void
a_server_leg_that_nothing_explains_shows_the_waypoint(void **state)
{
	struct world *w = *state;
	const struct row row = { "destination", "waypoint-reviews", NULL, "reviews", "v1", REVIEWS, NULL, NULL, TCP(3, 700, 7000) };
	struct ui_graph *g;

	add(w, &row);
	g = build(w, false, false);
	assert_non_null(find(g, "wp:" WP, "w:bookinfo/reviews-v1"));
}

static void
a_client_without_a_name_for_the_service_joins_the_servers_report(void **state)
{
	struct world *w = *state;
	const struct row rows[] = {
		{ "source", "productpage", "v1", "reviews", "v1", NULL, NULL, NULL, TCP(10, 1000, 5000) },
		{ "destination", "productpage", "v1", "reviews", "v1", REVIEWS, NULL, NULL, TCP(10, 1000, 5000) },
	};
	struct ui_graph *g;

	for (size_t i = 0; i < AP_COUNTOF(rows); i++)
		add(w, &rows[i]);
	g = build(w, false, false);
	assert_int_equal(g->edge_count, 1);
	assert_int_equal(g->edges->m.opened, 10);
	assert_true(ap_slice_eq_text(g->edges->service, REVIEWS));
}

static void
answers_of_the_same_state_are_equal(void **state)
{
	struct world *w = *state;
	struct ui_graph *a, *b;

	add_waypoint_path(w);
	a = build(w, false, false);
	for (size_t i = 0; i < w->count / 2; i++) {
		struct ui_graph_flow t = w->input[i];

		w->input[i] = w->input[w->count - 1 - i];
		w->input[w->count - 1 - i] = t;
	}
	b = build(w, false, false);
	assert_int_equal(a->edge_count, b->edge_count);
	for (struct ui_edge *x = a->edges, *y = b->edges; x != NULL; x = x->next, y = y->next) {
		assert_true(ap_slice_eq(x->id, y->id));
		assert_int_equal(x->m.requests, y->m.requests);
	}
}

int
main(void)
{
#define T(fn_) cmocka_unit_test_setup_teardown(fn_, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(direct_traffic_counts_once_as_the_destination_says),
		T(requests_of_direct_traffic_count_once_as_the_destination_says),
		T(requests_that_only_the_source_recognises_are_shown),
		T(a_server_outside_the_mesh_is_seen_by_the_source_alone),
		T(a_plaintext_client_is_outside),
		T(a_request_that_was_refused_was_meant_for_the_one_server),
		T(an_edge_of_which_only_ends_are_seen_is_not_shown),
		T(what_has_no_end_in_the_mesh_is_not_shown),
		T(a_path_through_a_waypoint_is_one_edge_per_server),
		T(a_waypoint_that_is_shown_stands_between_two_edges),
		T(versions_are_one_node_when_nodes_are_identities),
		T(mixed_traffic_is_one_edge_that_tells_of_the_bypass),
		T(denied_connections_are_errors_of_the_direct_edge),
		T(a_dead_waypoint_leaves_an_edge_to_the_service),
		T(a_waypoint_without_report_is_bridged_by_its_legs),
		T(a_server_leg_that_nothing_explains_shows_the_waypoint),
		T(a_client_without_a_name_for_the_service_joins_the_servers_report),
		T(answers_of_the_same_state_are_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
