/* test_need.c -- which waypoints follow from which resources, and why: one table of YAML and what it must give. */
#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/yaml.h"
#include "state/waypoint_need.h"

/* Services a and b (accounts sa-a and sa-b), c over two accounts, t over TCP; an external host. */
static const char base[] =
    "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n}\n"
    "spec: {ports: [{name: http, port: 80}], selector: {app: a}}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: n}\n"
    "spec: {ports: [{name: http, port: 80}], selector: {app: b}}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: c, namespace: n}\n"
    "spec: {ports: [{name: http, port: 80}], selector: {tier: x}}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: t, namespace: n}\n"
    "spec: {ports: [{name: tcp, port: 6379}], selector: {app: t}}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: a1, namespace: n}\n"
    "spec: {address: 10.0.0.1, serviceAccount: sa-a, labels: {app: a, tier: x}}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: b1, namespace: n}\n"
    "spec: {address: 10.0.0.2, serviceAccount: sa-b, labels: {app: b, tier: x}}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: t1, namespace: n}\n"
    "spec: {address: 10.0.0.3, serviceAccount: sa-t, labels: {app: t}}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ext, namespace: n}\n"
    "spec: {hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, location: MESH_EXTERNAL}\n";

#define VS(spec_) "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: n}\nspec: " spec_ "\n"
#define AUTHZ(spec_) \
	"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: n}\nspec: " spec_ "\n"
#define GW(name_, labels_) \
	"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: " name_ ", namespace: n, labels: {" labels_ "}}\n" \
	"spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n"
#define LABEL(label_) \
	"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n, labels: {istio.io/use-waypoint: " label_ "}}\n" \
	"spec: {ports: [{name: http, port: 80}], selector: {app: a}}\n"

struct row {
	const char *name, *yaml;
	/* "gateway(services)! field" per need, sorted; '!' when it is enforced, '=' when explicit; then "-service:code". */
	const char *expect;
};

static const struct row rows[] = {
	{ "nothing needs nothing", "", "" },
	{ "a route that changes nothing needs nothing", VS("{hosts: [a], http: [{route: [{destination: {host: a}}]}]}"), "" },
	{ "a subset needs one", VS("{hosts: [a], http: [{route: [{destination: {host: a, subset: v1}}]}]}"),
	    "waypoint-sa-a(a) spec.http[0].route[0].destination.subset" },
	{ "a match needs one, by full name from elsewhere too",
	    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: m}\n"
	    "spec: {hosts: [a.n.svc.cluster.local], http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: a.n.svc.cluster.local}}]}]}\n",
	    "waypoint-sa-a(a) spec.http[0].match" },
	{ "a short name means the own namespace",
	    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: m}\n"
	    "spec: {hosts: [a], http: [{fault: {abort: {httpStatus: 500}}, route: [{destination: {host: a}}]}]}\n",
	    "" },
	{ "a route of gateways alone does not apply",
	    VS("{hosts: [a], gateways: [edge], http: [{timeout: 1s, route: [{destination: {host: a}}]}]}"), "" },
	{ "one of gateways and the mesh does",
	    VS("{hosts: [a], gateways: [edge, mesh], http: [{timeout: 1s, route: [{destination: {host: a}}]}]}"),
	    "waypoint-sa-a(a) spec.http[0].timeout" },
	{ "a service of two accounts gets one of its own",
	    VS("{hosts: [c], http: [{retries: {attempts: 1}, route: [{destination: {host: c}}]}]}"),
	    "waypoint-c(c) spec.http[0].retries" },
	{ "an external host gets one of its own",
	    VS("{hosts: [api.example.com], http: [{timeout: 1s, route: [{destination: {host: api.example.com}}]}]}"),
	    "waypoint-ext(api.example.com) spec.http[0].timeout" },
	{ "weights over two services need one",
	    VS("{hosts: [a], http: [{route: [{destination: {host: a}, weight: 90}, {destination: {host: b}, weight: 10}]}]}"),
	    "waypoint-sa-a(a) spec.http[0].route[1].destination.host" },
	{ "an HTTPRoute of a Service needs one",
	    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: h, namespace: n}\n"
	    "spec: {parentRefs: [{group: '', kind: Service, name: a, port: 80}], rules: [{backendRefs: [{name: b, port: 80}]}]}\n",
	    "waypoint-sa-a(a) spec.rules[0].backendRefs" },
	{ "an HTTPRoute of a Gateway does not",
	    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: h, namespace: n}\n"
	    "spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: b, port: 80}]}]}\n",
	    "" },
	{ "a RouteTable needs one",
	    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r, namespace: n}\n"
	    "spec: {hosts: [a.n.svc.cluster.local], http: [{forwardTo: {destinations: [{ref: {name: a}}]}}]}\n",
	    "waypoint-sa-a(a) spec.http[0].forwardTo" },
	{ "subsets alone need nothing",
	    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: n}\n"
	    "spec: {host: a, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, loadBalancer: {simple: RANDOM}}}\n",
	    "" },
	{ "a hash of a header needs one",
	    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: n}\n"
	    "spec: {host: a, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}}\n",
	    "waypoint-sa-a(a) spec.trafficPolicy.loadBalancer.consistentHash" },
	{ "an L4 policy needs none", AUTHZ("{rules: [{from: [{source: {principals: [x]}}], to: [{operation: {ports: ['80']}}]}]}"), "" },
	{ "a policy on methods is enforced for whom it selects",
	    AUTHZ("{selector: {matchLabels: {app: b}}, rules: [{to: [{operation: {methods: [GET]}}]}]}"),
	    "waypoint-c(c)! spec.rules[0].to[0].operation.methods; waypoint-sa-b(b)! spec.rules[0].to[0].operation.methods" },
	{ "a namespace's policy concerns its HTTP services, not those of TCP",
	    AUTHZ("{action: DENY, rules: [{when: [{key: 'request.headers[x]', values: [y]}]}]}"),
	    "waypoint-c(c)! spec.rules[0].when[0].key; waypoint-sa-a(a)! spec.rules[0].when[0].key; "
	    "waypoint-sa-b(b)! spec.rules[0].when[0].key" },
	{ "a policy with targetRefs is for its target", AUTHZ("{targetRefs: [{group: '', kind: Service, name: a}], rules: [{}]}"),
	    "waypoint-sa-a(a)! spec.targetRefs" },
	{ "a script on requests is enforced",
	    "apiVersion: ambit.mesh/v1alpha1\nkind: LuaPolicy\nmetadata: {name: l, namespace: n}\n"
	    "spec: {selector: {matchLabels: {app: a}}, source: 'function on_request(r) end'}\n",
	    "waypoint-c(c)! on_request; waypoint-sa-a(a)! on_request" },
	{ "a script on connections needs none",
	    "apiVersion: ambit.mesh/v1alpha1\nkind: LuaPolicy\nmetadata: {name: l, namespace: n}\n"
	    "spec: {selector: {matchLabels: {app: a}}, source: 'function on_connect(c) end'}\n",
	    "" },
	{ "a WaypointPolicy of the namespace makes one for all",
	    AUTHZ("{rules: [{to: [{operation: {paths: [/x]}}]}]}") "---\n"
	    "apiVersion: ambit.mesh/v1alpha1\nkind: WaypointPolicy\nmetadata: {name: w, namespace: n}\nspec: {granularity: namespace}\n",
	    "waypoint(a b c)! spec.rules[0].to[0].operation.paths" },
	{ "a Gateway that somebody wrote stands, bound by label, and gets the reasons",
	    GW("mine", "") "---\n" LABEL("mine") "---\n" VS("{hosts: [a], http: [{timeout: 1s, route: [{destination: {host: a}}]}]}"),
	    "mine(a)= spec.http[0].timeout" },
	{ "a label alone binds too", GW("mine", "") "---\n" LABEL("mine"), "mine(a)=" },
	{ "a managed Gateway is no reason to exist", GW("old", "ambit.mesh/managed: 'true'"), "" },
	{ "none means none, and a policy that cannot be enforced is told of",
	    LABEL("none") "---\n" AUTHZ("{selector: {matchLabels: {app: a}}, rules: [{to: [{operation: {methods: [GET]}}]}]}"),
	    "waypoint-c(c)! spec.rules[0].to[0].operation.methods; -a:OptedOut!" },
	{ "a waypoint for workloads takes no service", GW("mine", "istio.io/waypoint-for: workload") "---\n" LABEL("mine"),
	    "mine()=; -a:UnsupportedTrafficType" },
	{ "a label that names nobody is told of", LABEL("ghost"), "-a:WaypointIsNotReady" },
};

static void
load(struct ap_resource_set *set, const char *yaml)
{
	struct ap_arena *arena = ap_arena_new(1 << 22);
	struct ap_yaml_docs docs;
	struct ap_error err = { 0 };
	if (ap_yaml_parse(arena, "test", ap_slice_of(yaml), &docs, &err) != 0)
		fail_msg("%s at %u", err.text, err.at.line);
	for (uint32_t i = 0; i < docs.count; i++) {
		struct ap_errors errs = { 0 };
		if (ap_resource_check(docs.items[i], &errs, NULL) == NULL || errs.total > 0)
			fail_msg("a document of the table is no good: %s", errs.count > 0 ? errs.items[0].text : "?");
		ap_errors_done(&errs);
		struct ap_resource *r = ap_resource_new(docs.items[i], AP_S("n"), &err);
		if (r == NULL)
			fail_msg("%s", err.text);
		ap_resources_put(set, r);
	}
	ap_arena_free(&arena);
}

static const char *
short_name(const struct ap_reg_service *s)
{
	return s->is_entry ? s->hostname.ptr : s->name.ptr;
}

static void
describe(const struct ap_needs *n, char *out, size_t size)
{
	size_t at = 0;
	out[0] = '\0';
	for (size_t i = 0; i < n->count; i++) {
		const struct ap_need *d = n->items[i];
		at += (size_t)snprintf(out + at, size - at, "%s%.*s(", at > 0 ? "; " : "", AP_FMT(d->name));
		for (size_t k = 0; k < d->service_count; k++)
			at += (size_t)snprintf(out + at, size - at, "%s%s", k > 0 ? " " : "", short_name(d->services[k]));
		at += (size_t)snprintf(out + at, size - at, ")%s%s%s%.*s", d->enforce ? "!" : "", d->is_explicit ? "=" : "",
		    d->reason_count > 0 ? " " : "", AP_FMT(d->reason_count > 0 ? d->reasons[0].field : AP_SLICE_NONE));
	}
	for (size_t i = 0; i < n->refusal_count; i++)
		at += (size_t)snprintf(out + at, size - at, "%s-%s:%s%s", at > 0 ? "; " : "", short_name(n->refusals[i].service),
		    n->refusals[i].code, n->refusals[i].security ? "!" : "");
}

static void
resources_give_waypoints(void **state)
{
	(void)state;
	unsigned bad = 0;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_resource_set set = { 0 };
		load(&set, base);
		load(&set, rows[i].yaml);
		struct ap_arena *arena = ap_arena_new(1 << 22);
		struct ap_registry_options options = { .cluster_domain = AP_S("cluster.local"), .trust_domain = AP_S("td") };
		struct ap_registry *r = ap_registry_build(arena, &set, &options);
		struct ap_needs *n = ap_waypoint_needs(arena, r);
		char got[1024];
		describe(n, got, sizeof(got));
		if (strcmp(got, rows[i].expect) != 0) {
			print_error("%s:\n  want %s\n  got  %s\n", rows[i].name, rows[i].expect, got);
			bad++;
		}
		ap_waypoint_needs_done(n);
		ap_registry_done(r);
		ap_arena_free(&arena);
		ap_resources_done(&set);
	}
	assert_int_equal(bad, 0);
}

static void
a_need_says_who_it_is_and_why(void **state)
{
	(void)state;
	struct ap_resource_set set = { 0 };
	load(&set, base);
	load(&set, VS("{hosts: [a], http: [{timeout: 1s, route: [{destination: {host: a}}]}]}"));
	struct ap_arena *arena = ap_arena_new(1 << 22);
	struct ap_registry_options options = { .trust_domain = AP_S("td") };
	struct ap_registry *r = ap_registry_build(arena, &set, &options);
	struct ap_needs *n = ap_waypoint_needs(arena, r);
	assert_int_equal(n->count, 1);
	assert_string_equal(n->items[0]->identity.ptr, "spiffe://td/ns/n/sa/waypoint-sa-a");
	struct ap_doc *d = ap_need_reasons_doc(arena, n->items[0]);
	struct ap_doc *first = ap_doc_item(d, 0);
	assert_true(ap_slice_eq_text(ap_doc_string(first, "kind", ""), "VirtualService"));
	assert_true(ap_slice_eq_text(ap_doc_string(first, "name", ""), "v"));
	assert_true(ap_slice_eq_text(ap_doc_string(first, "field", ""), "spec.http[0].timeout"));
	ap_waypoint_needs_done(n);
	ap_registry_done(r);
	ap_arena_free(&arena);
	ap_resources_done(&set);
}

static void
the_registry_finds_names_ports_and_shared_addresses(void **state)
{
	(void)state;
	struct ap_resource_set set = { 0 };
	load(&set, "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\n"
	           "spec: {clusterIP: 10.9.9.9, ports: [{name: web, port: 80, targetPort: http}, {name: tcp-x, port: 81, targetPort: 8081}], "
	           "selector: {app: s}}\n---\n"
	           "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w1, namespace: n}\n"
	           "spec: {address: 10.0.0.1, labels: {app: s}, ports: {http: 8080}, locality: eu/eu-1/r2}\n---\n"
	           "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w2, namespace: n}\n"
	           "spec: {address: 10.0.0.1, labels: {app: s}, ports: {web: 9090, tcp-x: 9091}}\n");
	struct ap_arena *arena = ap_arena_new(1 << 22);
	struct ap_registry_options options = { 0 };
	struct ap_registry *r = ap_registry_build(arena, &set, &options);
	struct ap_reg_service *s = ap_registry_find(r, AP_S("s"), AP_S("n"));
	assert_non_null(s);
	assert_ptr_equal(ap_registry_find(r, AP_S("s.n.svc.cluster.local"), AP_S("other")), s);
	assert_null(ap_registry_find(r, AP_S("s"), AP_S("other")));
	assert_null(ap_registry_find(r, AP_S("s.n"), AP_S("other")));
	assert_ptr_equal(ap_registry_find_loose(r, AP_S("s.n"), AP_S("other")), s);
	assert_ptr_equal(ap_registry_find_loose(r, AP_S("s.n.svc"), AP_S("other")), s);
	assert_int_equal(s->endpoint_count, 2);
	assert_int_equal(ap_reg_target(r->workloads[0], s, 0), 8080);
	assert_int_equal(ap_reg_target(r->workloads[0], s, 1), 8081);
	assert_int_equal(ap_reg_target(r->workloads[1], s, 0), 9090);
	assert_int_equal(ap_reg_target(r->workloads[1], s, 1), 9091);
	assert_true(r->workloads[0]->shared && r->workloads[1]->shared);
	assert_true(ap_slice_eq_text(r->workloads[0]->zone, "eu-1") && ap_slice_eq_text(r->workloads[0]->subzone, "r2"));
	assert_int_equal(s->ports[1].protocol, AP_REG_TCP);
	assert_int_equal(s->address_count, 1);
	assert_false(s->needs_vip);
	ap_registry_done(r);
	ap_arena_free(&arena);
	ap_resources_done(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resources_give_waypoints),
		cmocka_unit_test(a_need_says_who_it_is_and_why),
		cmocka_unit_test(the_registry_finds_names_ports_and_shared_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
