/* test_resource.c -- the table of kinds, resources and their set, label selectors, and what an object must be to be stored. */
#include "../test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codec/yaml.h"
#include "model/kind.h"
#include "model/resource.h"

static struct ap_doc *
parse(struct ap_arena *arena, const char *text)
{
	struct ap_yaml_docs docs = { 0 };
	struct ap_error err = { 0 };

	if (ap_yaml_parse(arena, "f", ap_slice_of(text), &docs, &err) != 0)
		fail_msg("%s: %s", text, err.text);
	return docs.items[0];
}

/* -- kinds -- */

static void
check_docs(const struct ap_schema *schema, unsigned depth)
{
	for (const struct ap_field_row *row = schema->rows; row->name != NULL; row++) {
		if (row->doc == NULL || row->doc[0] == '\0')
			fail_msg("%s.%s has no sentence", schema->name, row->name);
		if (row->of != NULL && depth < 16)
			check_docs(row->of, depth + 1);
	}
}

static void
every_kind_is_whole_and_can_be_found(void **state)
{
	size_t n;
	const struct ap_kind *const *kinds = ap_kinds(&n);
	char version[128];

	(void)state;
	assert_true(n >= 20);
	for (size_t i = 0; i < n; i++) {
		const struct ap_kind *k = kinds[i];

		assert_non_null(k->schema);
		assert_non_null(k->doc);
		check_docs(k->schema, 0);
		assert_ptr_equal(ap_kind_find(k->group, k->kind), k);
		for (const char *const *v = k->versions; *v != NULL; v++) {
			ap_kind_api_version(k, *v, version, sizeof(version));
			assert_ptr_equal(ap_kind_of(ap_slice_of(version), ap_slice_of(k->kind)), k);
			assert_ptr_equal(ap_kind_by_path(ap_slice_of(k->group), ap_slice_of(*v), ap_slice_of(k->plural)), k);
		}
	}
}

static void
people_name_kinds_in_many_ways(void **state)
{
	static const struct {
		const char *word, *kind;
	} words[] = {
		{ "vs", "VirtualService" },
		{ "virtualservices", "VirtualService" },
		{ "VirtualService", "VirtualService" },
		{ "virtualservice.networking.istio.io", "VirtualService" },
		{ "virtualservices.v1beta1.networking.istio.io", "VirtualService" },
		{ "svc", "Service" },
		{ "ns", "Namespace" },
		{ "authz", "AuthorizationPolicy" },
		{ "gateway", "Gateway" },
		{ "jointokens", "JoinToken" },
		{ "virtualservices.v9.networking.istio.io", NULL },
		{ "vs.security.istio.io", NULL },
		{ "pods", NULL },
		{ "", NULL },
	};
	const struct ap_kind *k;

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(words); i++) {
		k = ap_kind_by_word(ap_slice_of(words[i].word), NULL);
		if (words[i].kind == NULL ? k != NULL : k == NULL || strcmp(k->kind, words[i].kind) != 0)
			fail_msg("%s", words[i].word);
	}
}

/* -- checks of whole objects -- */

static const struct {
	const char *yaml, *want; /* NULL: fine */
} objects[] = {
	{ "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}", NULL },
	{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}", NULL },
	{ "{apiVersion: v1, kind: Service, metadata: {generateName: a-}, spec: {ports: [{port: 80}]}}", NULL },
	{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None}}", NULL },
	{ "{kind: Service, metadata: {name: a}}", "apiVersion: is required" },
	{ "{apiVersion: v1, metadata: {name: a}}", "kind: is required" },
	{ "{apiVersion: v1, kind: Pod, metadata: {name: a}}", "kind Pod of v1 is not read" },
	{ "{apiVersion: networking.istio.io/v7, kind: VirtualService, metadata: {name: a}}",
	    "kind VirtualService is not read in version networking.istio.io/v7; use networking.istio.io/v1" },
	{ "{apiVersion: v1, kind: Namespace}", "metadata: is required" },
	{ "{apiVersion: v1, kind: Namespace, metadata: {}}", "metadata.name: is required" },
	{ "{apiVersion: v1, kind: Namespace, metadata: {name: Shop}}",
	    "metadata.name: \"Shop\" must be lower case letters, digits and '-', and begin and end with a letter or digit" },
	{ "{apiVersion: v1, kind: Service, metadata: {name: 1a}, spec: {ports: [{port: 80}]}}",
	    "metadata.name: \"1a\" must begin with a letter" },
	{ "{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: b}}",
	    "metadata.namespace: Namespace is not namespaced" },
	{ "{apiVersion: v1, kind: Namespace, metadata: {name: a, lables: {}}}",
	    "metadata.lables: unknown field; did you mean \"labels\"?" },
	{ "{apiVersion: v1, kind: Namespace, metadata: {name: a}, specs: {}}",
	    "specs: unknown field; did you mean \"spec\"?" },
	{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {}}", "spec.ports: is required" },
	{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 1}, {port: 2, name: b}]}}",
	    "spec.ports[0].name: is required when there are several ports" },
	{ "{apiVersion: v1, kind: Service, metadata: {name: a}}", "spec: is required" },
	/* VirtualService */
	{ "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [a], http: [{route: "
	  "[{destination: {host: a}, weight: 0}, {destination: {host: b}, weight: 0}]}]}}",
	    "spec.http[0].route: total destination weight = 0" },
	{ "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [a], http: [{}]}}",
	    "spec.http[0]: HTTP route, redirect or directResponse is required" },
	{ "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: ['*'], http: [{route: "
	  "[{destination: {host: a}}]}]}}",
	    "spec.hosts[0]: wildcard host * is not allowed for virtual services bound to the mesh gateway" },
	{ "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [a], http: [{match: [{uri: "
	  "{exact: /a, prefix: /b}}], route: [{destination: {host: a}}]}]}}",
	    "spec.http[0].match[0].uri: at most one of exact, prefix, regex may be set, not 2" },
	{ "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [a], http: [{fault: {}, "
	  "route: [{destination: {host: a}}]}]}}",
	    "spec.http[0].fault: HTTP fault injection must have an abort and/or a delay" },
	{ "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [a], tls: [{match: "
	  "[{sniHosts: [b]}], route: [{destination: {host: a}}]}]}}",
	    "spec.tls[0].match[0].sniHosts: SNI host \"b\" is not a compatible subset of any of the virtual service hosts" },
	/* DestinationRule */
	{ "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: a}, spec: {host: a, subsets: [{name: v1}, "
	  "{name: v1}]}}",
	    "spec.subsets[1].name: another item has the same already" },
	/* AuthorizationPolicy */
	{ "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a}, spec: {}}", NULL },
	{ "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a}}", NULL },
	{ "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a}, spec: {rules: [{to: [{operation: "
	  "{ports: ['http']}}]}]}}",
	    "spec.rules[0].to[0].operation.ports[0]: \"http\" is no port between 1 and 65535" },
	{ "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a}, spec: {action: DENY}}",
	    "spec.rules: a DENY policy without rules never matches and has no effect" },
	/* HTTPRoute */
	{ "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {rules: [{backendRefs: [{name: a}]}]}}",
	    "spec.rules[0].backendRefs[0].port: Must have port for Service reference" },
	{ "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {rules: [{filters: [{type: "
	  "URLRewrite}]}]}}",
	    "spec.rules[0].filters[0]: filter.urlRewrite must be specified for URLRewrite filter.type" },
	{ "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {rules: [{matches: [{path: {value: "
	  "x}}]}]}}",
	    "spec.rules[0].matches[0].path.value: value must be an absolute path and start with '/' when type one of ['Exact', "
	    "'PathPrefix']" },
	{ "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {rules: [{timeouts: {request: "
	  "1.5s}}]}}",
	    "spec.rules[0].timeouts.request: \"1.5s\" must be one to four parts such as 1h30m or 500ms, without fractions" },
	/* RouteTable */
	{ "{apiVersion: networking.gloo.solo.io/v2, kind: RouteTable, metadata: {name: a}, spec: {hosts: [a], http: [{forwardTo: "
	  "{destinations: [{ref: {name: a}, weight: 90}, {ref: {name: b}, weight: 20}]}}]}}",
	    "spec.http[0].forwardTo.destinations: the weights make 110 in all, more than 100" },
	{ "{apiVersion: networking.gloo.solo.io/v2, kind: RouteTable, metadata: {name: a}, spec: {hosts: [a], http: [{forwardTo: {}, "
	  "redirect: {}}]}}",
	    "spec.http[0]: exactly one of forwardTo, delegate, redirect, directResponse, graphql must be set, not 2" },
	/* Ambit */
	{ "{apiVersion: ambit.mesh/v1alpha1, kind: JoinToken, metadata: {name: a}, spec: {identities: [shop]}}",
	    "spec.identities[0]: \"shop\" must be namespace/service account; \"*\" may stand for either" },
	{ "{apiVersion: ambit.mesh/v1alpha1, kind: JoinToken, metadata: {name: a}, spec: {identities: ['*']}}", NULL },
	{ "{apiVersion: ambit.mesh/v1alpha1, kind: LuaPolicy, metadata: {name: a}, spec: {source: 'x', onError: ignore}}",
	    "spec.onError: \"ignore\" is not allowed; allowed: deny, allow" },
	{ "{apiVersion: ambit.mesh/v1alpha1, kind: WaypointPolicy, metadata: {name: a}, spec: {replicas: 2, autoscaling: "
	  "{maxReplicas: 3}}}",
	    "spec: at most one of replicas, autoscaling may be set, not 2" },
};

static void
objects_are_accepted_or_refused_with_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(objects); i++) {
		struct ap_arena *arena = ap_arena_new(1 << 20);
		struct ap_errors errs = { 0 };

		ap_resource_check(parse(arena, objects[i].yaml), &errs, NULL);
		if (objects[i].want == NULL ? errs.total != 0
					    : errs.total == 0 || strcmp(errs.items[0].text, objects[i].want) != 0)
			fail_msg("%s\n  %zu: %s", objects[i].yaml, errs.total, errs.total > 0 ? errs.items[0].text : "");
		ap_errors_done(&errs);
		ap_arena_free(&arena);
	}
}

/* -- resources and sets -- */

static struct ap_resource *
make(const char *yaml)
{
	struct ap_arena *arena = ap_arena_new(1 << 20);
	struct ap_error err = { 0 };
	struct ap_resource *r = ap_resource_new(parse(arena, yaml), AP_SLICE_NONE, &err);

	if (r == NULL)
		fail_msg("%s", err.text);
	ap_arena_free(&arena);
	return r;
}

static void
a_resource_knows_its_key_and_parts(void **state)
{
	struct ap_resource *r = make("{apiVersion: networking.istio.io/v1alpha3, kind: VirtualService, metadata: {name: a, resourceVersion: "
				     "'7', generation: 2, creationTimestamp: '1970-01-01T00:00:01Z', labels: {x: y}}, spec: {hosts: [a]}}");

	(void)state;
	assert_true(ap_slice_eq_text(r->key, "networking.istio.io/VirtualService/default/a"));
	assert_true(ap_slice_eq_text(r->path, "default/a"));
	assert_int_equal(r->revision, 7);
	assert_int_equal(r->generation, 2);
	assert_int_equal(r->created_ms, 1000);
	assert_true(ap_slice_eq_text(ap_doc_string(r->doc, "apiVersion", ""), "networking.istio.io/v1"));
	assert_true(ap_slice_eq_text(ap_resource_label(r, "x"), "y"));
	assert_null(ap_resource_label(r, "z").ptr);
	assert_non_null(r->spec);
	ap_resource_unref(&r);
	r = make("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
	assert_true(ap_slice_eq_text(r->key, "core/Namespace//shop"));
	ap_resource_unref(&r);
}

static void
a_set_finds_by_key_and_by_kind(void **state)
{
	struct ap_resource_set set = { 0 };
	struct ap_resource *r;

	(void)state;
	assert_int_equal(ap_resources_of(&set, "", "Service")->count, 0);
	ap_resources_put(&set, make("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {}}"));
	ap_resources_put(&set, make("{apiVersion: v1, kind: Service, metadata: {name: b, namespace: shop}, spec: {}}"));
	ap_resources_put(&set, make("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"));
	ap_resources_put(&set, make("{apiVersion: v1, kind: Service, metadata: {name: a, resourceVersion: '9'}, spec: {}}"));
	assert_int_equal(set.by_key.count, 3);
	assert_int_equal(ap_resources_of(&set, "", "Service")->count, 2);
	r = ap_resources_get(&set, "", "Service", AP_S("default"), AP_S("a"));
	assert_int_equal(r->revision, 9);
	ap_resources_remove(&set, AP_S("core/Service/default/a"));
	ap_resources_remove(&set, AP_S("core/Service/default/a"));
	assert_null(ap_resources_find(&set, AP_S("core/Service/default/a")));
	assert_int_equal(ap_resources_of(&set, "", "Service")->count, 1);
	ap_resources_done(&set);
}

static void
label_selectors_select(void **state)
{
	static const struct {
		const char *selector, *labels;
		bool want;
	} cases[] = {
		{ "{}", "{}", true },
		{ "{matchLabels: {a: b}}", "{a: b, c: d}", true },
		{ "{matchLabels: {a: b, c: x}}", "{a: b, c: d}", false },
		{ "{matchExpressions: [{key: a, operator: In, values: [x, b]}]}", "{a: b}", true },
		{ "{matchExpressions: [{key: a, operator: In, values: [x]}]}", "{a: b}", false },
		{ "{matchExpressions: [{key: a, operator: NotIn, values: [x]}]}", "{}", true },
		{ "{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}", "{a: b}", false },
		{ "{matchExpressions: [{key: a, operator: Exists}]}", "{a: ''}", true },
		{ "{matchExpressions: [{key: a, operator: DoesNotExist}]}", "{a: ''}", false },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(cases); i++) {
		struct ap_arena *arena = ap_arena_new(1 << 20);

		if (ap_label_selector_match(parse(arena, cases[i].selector), parse(arena, cases[i].labels)) != cases[i].want)
			fail_msg("%s", cases[i].selector);
		ap_arena_free(&arena);
	}
	assert_true(ap_label_selector_match(NULL, NULL));
	assert_true(ap_labels_match(NULL, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_whole_and_can_be_found),
		cmocka_unit_test(people_name_kinds_in_many_ways),
		cmocka_unit_test(objects_are_accepted_or_refused_with_a_reason),
		cmocka_unit_test(a_resource_knows_its_key_and_parts),
		cmocka_unit_test(a_set_finds_by_key_and_by_kind),
		cmocka_unit_test(label_selectors_select),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
