/* test_policy.c -- L4 authorization: what matches, who decides, what unknown policies do. */
#include "../test.h"

#include "wire.h"

enum { ALLOW = 0, DENY = 1, GLOBAL = 0, IN_NAMESPACE = 1, SELECTED = 2 };

static struct ap_authz_request
request(const char *identity, const char *source, uint16_t port)
{
	struct ap_authz_request r = { .identity = ap_slice_of(identity), .destination_port = port };

	assert_int_equal(ap_ip_parse(ap_slice_of(source), &r.source_ip), 0);
	assert_int_equal(ap_ip_parse(AP_S("10.9.9.9"), &r.destination_ip), 0);
	return r;
}

/* One field of a match at a time. */
struct row {
	const char *what;
	enum { NAMESPACE, NOT_NAMESPACE, PRINCIPAL, NOT_PRINCIPAL, SOURCE, NOT_SOURCE, PORT, NOT_PORT, ACCOUNT, EMPTY } field;
	int kind; /* of texts: 1 exact, 2 prefix, 3 suffix, 4 presence */
	const char *value, *value2;
	const char *identity, *source;
	uint16_t port;
	bool matches;
};

#define ID_A "spiffe://cluster.local/ns/bookinfo/sa/a"
static const struct row rows[] = {
	{ "exact namespace", NAMESPACE, 1, "bookinfo", NULL, ID_A, "10.0.0.1", 80, true },
	{ "other namespace", NAMESPACE, 1, "book", NULL, ID_A, "10.0.0.1", 80, false },
	{ "namespace prefix", NAMESPACE, 2, "book", NULL, ID_A, "10.0.0.1", 80, true },
	{ "namespace suffix", NAMESPACE, 3, "info", NULL, ID_A, "10.0.0.1", 80, true },
	{ "namespace of nobody", NAMESPACE, 4, NULL, NULL, "", "10.0.0.1", 80, false },
	{ "not the namespace of nobody", NOT_NAMESPACE, 1, "bookinfo", NULL, "", "10.0.0.1", 80, true },
	{ "principal without scheme", PRINCIPAL, 1, "cluster.local/ns/bookinfo/sa/a", NULL, ID_A, "10.0.0.1", 80, true },
	{ "principal with scheme", PRINCIPAL, 1, ID_A, NULL, ID_A, "10.0.0.1", 80, false },
	{ "any principal", PRINCIPAL, 4, NULL, NULL, ID_A, "10.0.0.1", 80, true },
	{ "no principal at all", NOT_PRINCIPAL, 4, NULL, NULL, "", "10.0.0.1", 80, true },
	{ "some principal, none wanted", NOT_PRINCIPAL, 4, NULL, NULL, ID_A, "10.0.0.1", 80, false },
	{ "inside a block", SOURCE, 0, "10.0.0.0", NULL, "", "10.0.0.7", 80, true },
	{ "outside a block", SOURCE, 0, "10.0.0.0", NULL, "", "10.0.1.7", 80, false },
	{ "not outside a block", NOT_SOURCE, 0, "10.0.0.0", NULL, "", "10.0.1.7", 80, true },
	{ "port", PORT, 80, NULL, NULL, "", "10.0.0.1", 80, true },
	{ "other port", PORT, 81, NULL, NULL, "", "10.0.0.1", 80, false },
	{ "not this port", NOT_PORT, 80, NULL, NULL, "", "10.0.0.1", 80, false },
	{ "service account", ACCOUNT, 0, "bookinfo", "a", ID_A, "10.0.0.1", 80, true },
	{ "service account elsewhere", ACCOUNT, 0, "other", "a", ID_A, "10.0.0.1", 80, false },
	{ "service account of nobody", ACCOUNT, 0, "", "", "", "10.0.0.1", 80, false },
	{ "a match without fields", EMPTY, 0, NULL, NULL, ID_A, "10.0.0.1", 80, false },
};

static struct ap_authz_policy *
policy_of(const struct row *row)
{
	Istio__Security__Match m;
	Istio__Security__StringMatch text, *texts[1] = { &text };
	Istio__Security__Address block, *blocks[1] = { &block };
	Istio__Security__ServiceAccountMatch account, *accounts[1] = { &account };
	uint32_t port[1] = { (uint32_t)row->kind };
	char *value = wire_text(row->value), *value2 = wire_text(row->value2);
	struct ap_authz_policy *p;
	struct ap_ip ip = { 0 };

	istio__security__match__init(&m);
	istio__security__string_match__init(&text);
	istio__security__address__init(&block);
	istio__security__service_account_match__init(&account);
	if (row->field <= NOT_PRINCIPAL) {
		text.match_type_case = (Istio__Security__StringMatch__MatchTypeCase)row->kind;
		if (row->kind == 4) {
			text.presence = ap_new(Google__Protobuf__Empty);
			google__protobuf__empty__init(text.presence);
		} else {
			text.exact = value;
		}
	}
	switch (row->field) {
	case NAMESPACE:
		m.namespaces = texts, m.n_namespaces = 1;
		break;
	case NOT_NAMESPACE:
		m.not_namespaces = texts, m.n_not_namespaces = 1;
		break;
	case PRINCIPAL:
		m.principals = texts, m.n_principals = 1;
		break;
	case NOT_PRINCIPAL:
		m.not_principals = texts, m.n_not_principals = 1;
		break;
	case SOURCE:
	case NOT_SOURCE:
		assert_int_equal(ap_ip_parse(ap_slice_of(value), &ip), 0);
		block.address.len = ip.len;
		block.address.data = ip.bytes;
		block.length = 24;
		if (row->field == SOURCE)
			m.source_ips = blocks, m.n_source_ips = 1;
		else
			m.not_source_ips = blocks, m.n_not_source_ips = 1;
		break;
	case PORT:
		m.destination_ports = port, m.n_destination_ports = 1;
		break;
	case NOT_PORT:
		m.not_destination_ports = port, m.n_not_destination_ports = 1;
		break;
	case ACCOUNT:
		account.namespace_ = value;
		account.serviceaccount = value2;
		m.service_accounts = accounts, m.n_service_accounts = 1;
		break;
	case EMPTY:
		break;
	}
	p = wire_policy("bookinfo", "p", GLOBAL, ALLOW, &m);
	if (row->kind == 4 && row->field <= NOT_PRINCIPAL)
		ap_free(&text.presence);
	ap_free(&value);
	ap_free(&value2);
	return p;
}

static void
each_field_matches_as_documented(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_authz_policy *p = policy_of(&rows[i]);
		struct ap_authz_request r = request(rows[i].identity, rows[i].source, rows[i].port);

		if (ap_authz_policy_matches(p, &r) != rows[i].matches)
			fail_msg("row '%s': expected %d", rows[i].what, rows[i].matches);
		ap_authz_policy_unref(&p);
	}
}

static void
put(struct ap_mesh_table *t, struct ap_authz_policy *p)
{
	struct ap_mesh_change x = { .kind = AP_MESH_POLICY, .policy = p };

	(void)ap_mesh_table_apply(t, &x);
	ap_authz_policy_unref(&p);
}

static struct ap_authz_policy *
port_policy(const char *ns, const char *name, int scope, int action, uint32_t port)
{
	Istio__Security__Match m;

	istio__security__match__init(&m);
	m.destination_ports = &port;
	m.n_destination_ports = 1;
	return wire_policy(ns, name, scope, action, &m);
}

static void
deny_beats_allow_and_allow_lists_exclude_the_rest(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_authz_request at80 = request(ID_A, "10.0.0.1", 80), at81 = request(ID_A, "10.0.0.1", 81);
	struct ap_authz_result r;
	struct ap_mesh_workload *w;
	char text[200];

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "w", .ns = "bookinfo" });
	w = ap_mesh_find_workload(t, AP_S("w"));
	assert_int_equal(ap_authz_check(t, w, &at80).verdict, AP_AUTHZ_ALLOW);
	put(t, port_policy("bookinfo", "allow-80", IN_NAMESPACE, ALLOW, 80));
	assert_int_equal(ap_authz_check(t, w, &at80).verdict, AP_AUTHZ_ALLOW);
	r = ap_authz_check(t, w, &at81);
	assert_int_equal(r.verdict, AP_AUTHZ_DENY_IMPLICIT);
	assert_string_equal(ap_authz_reason(&r, text, sizeof(text)), "allow policies exist, but none allowed");
	put(t, port_policy("istio-system", "deny-80", GLOBAL, DENY, 80));
	r = ap_authz_check(t, w, &at80);
	assert_int_equal(r.verdict, AP_AUTHZ_DENY_EXPLICIT);
	assert_string_equal(ap_authz_reason(&r, text, sizeof(text)), "explicitly denied by: istio-system/deny-80");
	/* Policies of other namespaces do not matter. */
	put(t, port_policy("other", "allow-1", IN_NAMESPACE, ALLOW, 1));
	(void)ap_mesh_table_apply(
	    t, &(struct ap_mesh_change){ .kind = AP_MESH_POLICY, .key = AP_S("istio-system/deny-80") });
	(void)ap_mesh_table_apply(
	    t, &(struct ap_mesh_change){ .kind = AP_MESH_POLICY, .key = AP_S("bookinfo/allow-80") });
	assert_int_equal(ap_authz_check(t, w, &at81).verdict, AP_AUTHZ_ALLOW);
	ap_mesh_table_free(&t);
}

static void
an_allow_without_rules_denies_everything(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_authz_request r = request(ID_A, "10.0.0.1", 80);

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "w", .ns = "bookinfo" });
	put(t, wire_policy("bookinfo", "nothing", IN_NAMESPACE, DENY, NULL));
	assert_int_equal(ap_authz_check(t, ap_mesh_find_workload(t, AP_S("w")), &r).verdict, AP_AUTHZ_ALLOW);
	put(t, wire_policy("bookinfo", "nobody", IN_NAMESPACE, ALLOW, NULL));
	assert_int_equal(ap_authz_check(t, ap_mesh_find_workload(t, AP_S("w")), &r).verdict, AP_AUTHZ_DENY_IMPLICIT);
	ap_mesh_table_free(&t);
}

static void
a_named_policy_denies_until_it_is_known_and_binds_only_who_names_it(void **state)
{
	struct ap_mesh_table *t = ap_mesh_table_new();
	struct ap_authz_request at80 = request(ID_A, "10.0.0.1", 80), at81 = request(ID_A, "10.0.0.1", 81);
	struct ap_mesh_workload *named, *free_;

	(void)state;
	wire_add_workload(t, &(struct wire_workload){ .uid = "named", .ns = "n", .policies = { "n/strict" } });
	wire_add_workload(t, &(struct wire_workload){ .uid = "free", .ns = "n" });
	named = ap_mesh_find_workload(t, AP_S("named"));
	free_ = ap_mesh_find_workload(t, AP_S("free"));
	assert_int_equal(ap_authz_check(t, named, &at81).verdict, AP_AUTHZ_DENY_UNKNOWN);
	assert_int_equal(ap_authz_check(t, free_, &at80).verdict, AP_AUTHZ_ALLOW);
	put(t, port_policy("n", "strict", SELECTED, DENY, 80));
	assert_int_equal(ap_authz_check(t, named, &at81).verdict, AP_AUTHZ_ALLOW);
	assert_int_equal(ap_authz_check(t, named, &at80).verdict, AP_AUTHZ_DENY_EXPLICIT);
	assert_int_equal(ap_authz_check(t, free_, &at80).verdict, AP_AUTHZ_ALLOW);
	ap_mesh_table_free(&t);
}

static void
bad_policies_are_refused(void **state)
{
	struct ap_authz_policy *p = NULL; /* written on success only */
	struct ap_error err;

	(void)state;
	assert_true(ap_authz_policy_decode(AP_S("\xff"), &p, &err) < 0);
	assert_null(p);
	assert_true(ap_authz_policy_decode(AP_S(""), &p, &err) < 0); /* no name */
	/* scope 9 */
	assert_true(ap_authz_policy_decode(AP_S("\x0a\x01x\x18\x09"), &p, &err) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_matches_as_documented),
		cmocka_unit_test(deny_beats_allow_and_allow_lists_exclude_the_rest),
		cmocka_unit_test(an_allow_without_rules_denies_everything),
		cmocka_unit_test(a_named_policy_denies_until_it_is_known_and_binds_only_who_names_it),
		cmocka_unit_test(bad_policies_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
