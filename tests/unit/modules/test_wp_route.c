/* test_wp_route.c -- hosts are compiled, the first match wins, and the index answers as trying all in order would. */
#include <ambit/waypoint.pb-c.h>

#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "base/rand.h"
#include "waypoint/wp_route.h"

typedef Ambit__Waypoint__Host Host;
typedef Ambit__Waypoint__Port Port;
typedef Ambit__Waypoint__Route Route;
typedef Ambit__Waypoint__Match Match;
typedef Ambit__Waypoint__StringMatch StringMatch;
typedef Ambit__Waypoint__NamedMatch NamedMatch;
typedef Ambit__Waypoint__Destination Destination;

static struct wp_host *
host_pack(const Host *m, struct ap_error *err)
{
	size_t size = ambit__waypoint__host__get_packed_size(m);
	uint8_t *bytes = ap_alloc(size);
	struct wp_host *h = NULL;

	ambit__waypoint__host__pack(m, bytes);
	wp_host_decode(ap_slice((const char *)bytes, size), &h, err);
	ap_free(&bytes);
	return h;
}

#define ROUTES_MAX 400
struct world {
	Host host;
	Port port;
	Port *ports[1];
	Route routes[ROUTES_MAX];
	Route *route_list[ROUTES_MAX];
	Match matches[ROUTES_MAX];
	Match *match_list[ROUTES_MAX];
	StringMatch paths[ROUTES_MAX];
	char texts[ROUTES_MAX][32], names[ROUTES_MAX][16];
};

static char name_ns[] = "web", name_host[] = "shop.web.svc.cluster.local";

static void
world_init(struct world *w)
{
	ambit__waypoint__host__init(&w->host);
	ambit__waypoint__port__init(&w->port);
	w->host.namespace_ = name_ns;
	w->host.hostname = name_host;
	w->host.n_ports = 1;
	w->host.ports = w->ports;
	w->ports[0] = &w->port;
	w->port.number = 80;
	w->port.routes = w->route_list;
}

/* kind: e exact, p prefix, s path_prefix, r regex, x suffix, i exact without case, - no path */
static void
world_add(struct world *w, char kind, const char *path)
{
	size_t i = w->port.n_routes++;
	StringMatch *s = &w->paths[i];

	ambit__waypoint__route__init(&w->routes[i]);
	ambit__waypoint__match__init(&w->matches[i]);
	ambit__waypoint__string_match__init(s);
	snprintf(w->texts[i], sizeof(w->texts[i]), "%s", path);
	snprintf(w->names[i], sizeof(w->names[i]), "%zu", i);
	w->route_list[i] = &w->routes[i];
	w->match_list[i] = &w->matches[i];
	w->routes[i].name = w->names[i];
	w->routes[i].n_matches = 1;
	w->routes[i].matches = &w->match_list[i];
	if (kind == '-')
		return;
	w->matches[i].path = s;
	s->ignore_case = kind == 'i';
	s->exact = w->texts[i]; /* all texts share the union's place */
	switch (kind) {
	case 'e':
	case 'i':
		s->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_EXACT;
		break;
	case 'p':
		s->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_PREFIX;
		break;
	case 's':
		s->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_PATH_PREFIX;
		break;
	case 'r':
		s->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_REGEX;
		break;
	default:
		s->kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_SUFFIX;
		break;
	}
}

static const char *
find(const struct wp_host *h, struct ap_arena *arena, const char *path, bool with_index)
{
	struct wp_port port = *wp_host_port(h, 80);
	struct wp_view v = { .path = ap_slice_of(path), .method = AP_S("GET"), .arena = arena };
	const struct wp_match *m;
	const struct wp_route *r;

	if (!with_index)
		port.index = NULL;
	r = wp_route_find(&port, &v, &m);
	return r == NULL ? "none" : r->name.ptr;
}

static void
test_the_first_match_wins(void **state)
{
	static struct world w;
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_error err = { 0 };
	struct wp_host *h;

	(void)state;
	world_init(&w);
	world_add(&w, 'e', "/a/b");      /* 0 */
	world_add(&w, 's', "/a");        /* 1 */
	world_add(&w, 'p', "/a");        /* 2 */
	world_add(&w, 'r', "/x/[0-9]+"); /* 3 */
	world_add(&w, 'x', ".png");      /* 4 */
	world_add(&w, 'i', "/Case");     /* 5 */
	h = host_pack(&w.host, &err);
	assert_non_null(h);
	assert_string_equal(find(h, arena, "/a/b", false), "0");
	assert_string_equal(find(h, arena, "/a", false), "1");
	assert_string_equal(find(h, arena, "/a/", false), "1");
	assert_string_equal(find(h, arena, "/ab", false), "2");
	assert_string_equal(find(h, arena, "/x/12", false), "3");
	assert_string_equal(find(h, arena, "/x/12y", false), "none");
	assert_string_equal(find(h, arena, "/i.png", false), "4");
	assert_string_equal(find(h, arena, "/cASE", false), "5");
	assert_string_equal(find(h, arena, "/", false), "none");
	wp_host_unref(&h);
	ap_arena_free(&arena);
}

/* Random routes over a tiny alphabet, so that prefixes nest and collide; both ways must agree on every path. */
static void
test_the_index_agrees_with_trying_in_order(void **state)
{
	static const char kinds[] = "eeepppssrxi";
	struct ap_arena *arena = ap_arena_new((size_t)1 << 20);
	struct ap_error err = { 0 };

	(void)state;
	for (int round = 0; round < 60; round++) {
		static struct world w;
		struct wp_host *h;

		memset(&w, 0, sizeof(w));
		world_init(&w);
		for (int i = 0; i < 20 + round * 5; i++) {
			char path[16] = "/";
			size_t len = 1 + ap_rand_below(7);

			for (size_t k = 1; k <= len; k++)
				path[k] = "ab/"[ap_rand_below(3)];
			world_add(&w, ap_rand_below(200) == 0 ? '-' : kinds[ap_rand_below(sizeof(kinds) - 1)], path);
		}
		h = host_pack(&w.host, &err);
		assert_non_null(h);
		assert_non_null(wp_host_port(h, 80)->index);
		for (int i = 0; i < 2000; i++) {
			char path[16] = "/";
			size_t len = ap_rand_below(9);

			for (size_t k = 1; k <= len; k++)
				path[k] = "ab/"[ap_rand_below(3)];
			if (strcmp(find(h, arena, path, true), find(h, arena, path, false)) != 0)
				fail_msg("%s: %s by the index, %s in order", path, find(h, arena, path, true),
				    find(h, arena, path, false));
		}
		wp_host_unref(&h);
	}
	ap_arena_free(&arena);
}

static void
test_headers_query_and_source_are_all_needed(void **state)
{
	static struct world w;
	static char header[] = "end-user", value[] = "jason", query[] = "q", namespace_[] = "web";
	StringMatch s = AMBIT__WAYPOINT__STRING_MATCH__INIT, present = AMBIT__WAYPOINT__STRING_MATCH__INIT;
	NamedMatch n = AMBIT__WAYPOINT__NAMED_MATCH__INIT, q = AMBIT__WAYPOINT__NAMED_MATCH__INIT, *np = &n, *qp = &q;
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_error err = { 0 };
	const struct wp_match *m;
	struct ap_fields f;
	struct wp_host *h;
	struct wp_view v = { .path = AP_S("/"), .fields = &f, .arena = arena };

	(void)state;
	world_init(&w);
	world_add(&w, '-', "");
	s.kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_EXACT;
	s.exact = value;
	present.kind_case = AMBIT__WAYPOINT__STRING_MATCH__KIND_PRESENT;
	present.present = 1;
	n.name = header;
	n.value = &s;
	q.name = query;
	q.value = &present;
	q.invert = 1;
	w.matches[0].n_headers = w.matches[0].n_query = 1;
	w.matches[0].headers = &np;
	w.matches[0].query = &qp;
	w.matches[0].source_namespace = namespace_;
	h = host_pack(&w.host, &err);
	assert_non_null(h);
	ap_fields_init(&f, arena);
	assert_null(wp_route_find(wp_host_port(h, 80), &v, &m));
	ap_fields_add(&f, AP_S("end-user"), AP_S("jason"));
	assert_null(wp_route_find(wp_host_port(h, 80), &v, &m));
	wp_view_set_identity(&v, AP_S("spiffe://td/ns/web/sa/x"));
	assert_non_null(wp_route_find(wp_host_port(h, 80), &v, &m));
	v.query = AP_S("q=1");
	assert_null(wp_route_find(wp_host_port(h, 80), &v, &m));
	wp_host_unref(&h);
	ap_arena_free(&arena);
}

static void
test_destinations_share_by_weight(void **state)
{
	static struct world w;
	static char v1[] = "v1", v2[] = "v2", gone[] = "gone", version[] = "version";
	Destination d[3] = { AMBIT__WAYPOINT__DESTINATION__INIT, AMBIT__WAYPOINT__DESTINATION__INIT,
		AMBIT__WAYPOINT__DESTINATION__INIT },
		    *dp[3] = { &d[0], &d[1], &d[2] };
	Ambit__Waypoint__Subset s1 = AMBIT__WAYPOINT__SUBSET__INIT, s2 = AMBIT__WAYPOINT__SUBSET__INIT,
				*sp[2] = { &s1, &s2 };
	Ambit__Waypoint__Subset__LabelsEntry l1 = AMBIT__WAYPOINT__SUBSET__LABELS_ENTRY__INIT, *lp = &l1;
	unsigned hits[3] = { 0 };
	struct ap_error err = { 0 };
	const struct wp_route *r;
	struct wp_host *h;

	(void)state;
	world_init(&w);
	world_add(&w, '-', "");
	l1.key = version;
	l1.value = v1;
	s1.name = v1;
	s1.n_labels = 1;
	s1.labels = &lp;
	s2.name = v2;
	w.host.n_subsets = 2;
	w.host.subsets = sp;
	for (int i = 0; i < 3; i++) {
		d[i].namespace_ = name_ns;
		d[i].hostname = name_host;
	}
	d[0].subset = v1;
	d[0].weight = 90;
	d[1].subset = v2;
	d[1].weight = 10;
	d[2].subset = gone;
	w.routes[0].n_destinations = 3;
	w.routes[0].destinations = dp;
	h = host_pack(&w.host, &err);
	assert_non_null(h);
	r = &wp_host_port(h, 80)->routes[0];
	for (uint64_t i = 0; i < 1000; i++)
		hits[wp_route_pick(r, i) - r->destinations]++;
	assert_int_equal(hits[0], 900);
	assert_int_equal(hits[1], 100);
	assert_int_equal(r->destinations[0].labels.count, 1);
	assert_false(r->destinations[1].unknown_subset);
	assert_true(r->destinations[2].unknown_subset);
	assert_int_equal(r->retry.attempts, 2);
	wp_host_unref(&h);
}

static void
test_what_cannot_be_compiled_is_refused(void **state)
{
	static char bad_regex[] = "(?=x)", bad_word[] = "whenever", crlf[] = "a\r\nb: c", name[] = "x";
	struct ap_error err;
	char *words[1] = { bad_word };
	Ambit__Waypoint__Retry retry = AMBIT__WAYPOINT__RETRY__INIT;
	Ambit__Waypoint__Header header = AMBIT__WAYPOINT__HEADER__INIT, *hp = &header;
	Ambit__Waypoint__HeaderChanges changes = AMBIT__WAYPOINT__HEADER_CHANGES__INIT;

	(void)state;
	retry.n_retry_on = 1;
	retry.retry_on = words;
	header.name = name;
	header.value = crlf;
	changes.n_set = 1;
	changes.set = &hp;
	for (int row = 0; row < 5; row++) {
		static struct world w;

		memset(&w, 0, sizeof(w));
		memset(&err, 0, sizeof(err));
		world_init(&w);
		world_add(&w, row == 0 ? 'r' : 'e', row == 0 ? bad_regex : "/");
		if (row == 1)
			w.routes[0].retry = &retry;
		if (row == 2)
			w.routes[0].request_headers = &changes;
		if (row == 3)
			w.port.number = 70000;
		if (row == 4)
			w.port.protocol = (Ambit__Waypoint__Protocol)9;
		assert_null(host_pack(&w.host, &err));
		assert_true(err.text[0] != '\0');
	}
	assert_true(wp_host_decode(AP_S("\xff\xff\xff"), &(struct wp_host *){ NULL }, &err) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_match_wins),
		cmocka_unit_test(test_the_index_agrees_with_trying_in_order),
		cmocka_unit_test(test_headers_query_and_source_are_all_needed),
		cmocka_unit_test(test_destinations_share_by_weight),
		cmocka_unit_test(test_what_cannot_be_compiled_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
