/* test_f_authz.c -- AuthorizationPolicy row by row: who, what, when; DENY before ALLOW; what is absent; what cannot be read. */
#include <ambit/waypoint.pb-c.h>

#include "../test.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "waypoint/f_authz.h"

typedef Ambit__Waypoint__Policy Policy;
typedef Ambit__Waypoint__Rule Rule;
typedef Ambit__Waypoint__Source Source;
typedef Ambit__Waypoint__Operation Operation;
typedef Ambit__Waypoint__Condition Condition;

static char ns[] = "shop", policy_name[] = "p";

static struct wp_policy *
policy_pack(const Policy *m, struct ap_error *err)
{
	size_t size = ambit__waypoint__policy__get_packed_size(m);
	uint8_t *bytes = ap_alloc(size);
	struct wp_policy *p = NULL;

	ambit__waypoint__policy__pack(m, bytes);
	wp_policy_decode(ap_slice((const char *)bytes, size), &p, err);
	ap_free(&bytes);
	return p;
}

/* One rule with at most one value in one field of each block; field "" means none. */
struct row {
	const char *what;
	int action; /* enum wp_action */
	const char *from, *from_value;
	const char *to, *to_value;
	const char *when, *value, *not_value;
	bool matches, matches_tcp, matches_anonymous;
};

static const struct row rows[] = {
	{ "an empty rule", WP_ALLOW, "", "", "", "", "", "", "", true, true, true },
	{ "principal", WP_ALLOW, "principals", "td/ns/web/sa/front", "", "", "", "", "", true, true, false },
	{ "principal prefix", WP_ALLOW, "principals", "td/ns/web/*", "", "", "", "", "", true, true, false },
	{ "principal suffix", WP_ALLOW, "principals", "*/sa/front", "", "", "", "", "", true, true, false },
	{ "any principal", WP_ALLOW, "principals", "*", "", "", "", "", "", true, true, false },
	{ "another principal", WP_ALLOW, "principals", "td/ns/web/sa/back", "", "", "", "", "", false, false, false },
	{ "not principal", WP_DENY, "notPrincipals", "td/ns/web/sa/front", "", "", "", "", "", false, false, true },
	{ "no principal at all", WP_DENY, "notPrincipals", "*", "", "", "", "", "", false, false, true },
	{ "namespace", WP_ALLOW, "namespaces", "web", "", "", "", "", "", true, true, false },
	{ "not namespace", WP_DENY, "notNamespaces", "web", "", "", "", "", "", false, false, true },
	{ "account with namespace", WP_ALLOW, "serviceAccounts", "web/front", "", "", "", "", "", true, true, false },
	{ "account of the policy's namespace", WP_ALLOW, "serviceAccounts", "front", "", "", "", "", "", false, false,
	    false },
	{ "address block", WP_ALLOW, "ipBlocks", "10.1.0.0/16", "", "", "", "", "", true, true, true },
	{ "address", WP_ALLOW, "ipBlocks", "10.1.2.3", "", "", "", "", "", true, true, true },
	{ "not address block", WP_ALLOW, "notIpBlocks", "10.1.0.0/16", "", "", "", "", "", false, false, false },
	{ "remote address block", WP_ALLOW, "remoteIpBlocks", "10.2.0.0/16", "", "", "", "", "", false, false, false },
	{ "request principal", WP_ALLOW, "requestPrincipals", "*", "", "", "", "", "", false, false, false },
	{ "no request principal", WP_DENY, "notRequestPrincipals", "*", "", "", "", "", "", true, true, true },
	{ "method", WP_ALLOW, "", "", "methods", "GET", "", "", "", true, false, true },
	{ "methods have case", WP_ALLOW, "", "", "methods", "get", "", "", "", false, false, false },
	{ "not method", WP_ALLOW, "", "", "notMethods", "POST", "", "", "", true, false, true },
	{ "denied method on TCP denies all", WP_DENY, "", "", "methods", "POST", "", "", "", false, true, false },
	{ "path", WP_ALLOW, "", "", "paths", "/admin/users", "", "", "", true, false, true },
	{ "path prefix", WP_ALLOW, "", "", "paths", "/admin*", "", "", "", true, false, true },
	{ "path suffix", WP_ALLOW, "", "", "paths", "*/users", "", "", "", true, false, true },
	{ "path template", WP_ALLOW, "", "", "paths", "/{*}/users", "", "", "", true, false, true },
	{ "path template of any rest", WP_ALLOW, "", "", "paths", "/admin/{**}", "", "", "", true, false, true },
	{ "the query is no part of the path", WP_ALLOW, "", "", "paths", "/admin/users?x=1", "", "", "", false, false,
	    false },
	{ "not path", WP_DENY, "", "", "notPaths", "/admin*", "", "", "", false, true, false },
	{ "host, case ignored", WP_ALLOW, "", "", "hosts", "SHOP.example.com", "", "", "", true, false, true },
	{ "host suffix", WP_ALLOW, "", "", "hosts", "*.Example.com", "", "", "", true, false, true },
	{ "port", WP_ALLOW, "", "", "ports", "8080", "", "", "", true, true, true },
	{ "not port", WP_ALLOW, "", "", "notPorts", "8080", "", "", "", false, false, false },
	{ "header", WP_ALLOW, "", "", "", "", "request.headers[X-Token]", "admin", "", true, false, true },
	{ "header prefix", WP_ALLOW, "", "", "", "", "request.headers[x-token]", "ad*", "", true, false, true },
	{ "header presence", WP_ALLOW, "", "", "", "", "request.headers[x-none]", "*", "", false, false, false },
	{ "header absence", WP_DENY, "", "", "", "", "request.headers[x-none]", "", "*", true, true, true },
	{ "source.namespace", WP_ALLOW, "", "", "", "", "source.namespace", "web", "", true, true, false },
	{ "source.principal", WP_ALLOW, "", "", "", "", "source.principal", "*/front", "", true, true, false },
	{ "source.serviceAccount", WP_ALLOW, "", "", "", "", "source.serviceAccount", "web/front", "", true, true,
	    false },
	{ "source.ip", WP_ALLOW, "", "", "", "", "source.ip", "10.1.2.0/24", "", true, true, true },
	{ "destination.ip", WP_ALLOW, "", "", "", "", "destination.ip", "240.0.0.0/8", "", true, true, true },
	{ "destination.port", WP_ALLOW, "", "", "", "", "destination.port", "8080", "", true, true, true },
	{ "connection.sni", WP_ALLOW, "", "", "", "", "connection.sni", "*.example.com", "", true, true, true },
	{ "request.auth.claims", WP_ALLOW, "", "", "", "", "request.auth.claims[groups]", "x", "", false, false,
	    false },
	{ "blocks are AND", WP_ALLOW, "namespaces", "web", "methods", "POST", "", "", "", false, false, false },
	{ "all blocks hold", WP_ALLOW, "namespaces", "web", "methods", "GET", "source.ip", "10.1.2.3", "", true, false,
	    false },
};

struct slot {
	const char *name;
	size_t count_at, values_at;
};
#define SLOT(type_, name_, field_)                                          \
	{                                                                   \
		name_, offsetof(type_, n_##field_), offsetof(type_, field_) \
	}
static const struct slot from_slots[] = {
	SLOT(Source, "principals", principals),
	SLOT(Source, "notPrincipals", not_principals),
	SLOT(Source, "namespaces", namespaces),
	SLOT(Source, "notNamespaces", not_namespaces),
	SLOT(Source, "ipBlocks", ip_blocks),
	SLOT(Source, "notIpBlocks", not_ip_blocks),
	SLOT(Source, "remoteIpBlocks", remote_ip_blocks),
	SLOT(Source, "requestPrincipals", request_principals),
	SLOT(Source, "notRequestPrincipals", not_request_principals),
	SLOT(Source, "serviceAccounts", service_accounts),
	{ NULL, 0, 0 },
};
static const struct slot to_slots[] = {
	SLOT(Operation, "hosts", hosts),
	SLOT(Operation, "ports", ports),
	SLOT(Operation, "notPorts", not_ports),
	SLOT(Operation, "methods", methods),
	SLOT(Operation, "notMethods", not_methods),
	SLOT(Operation, "paths", paths),
	SLOT(Operation, "notPaths", not_paths),
	{ NULL, 0, 0 },
};

static void
slot_set(const struct slot *slots, const char *name, void *message, char **value)
{
	size_t one = 1;

	for (; slots->name != NULL; slots++) {
		if (strcmp(slots->name, name) != 0)
			continue;
		memcpy((char *)message + slots->count_at, &one, sizeof(one));
		memcpy((char *)message + slots->values_at, &value, sizeof(value));
		return;
	}
	fail_msg("no slot %s", name);
}

static struct wp_policy *
row_compile(const struct row *row, struct ap_error *err)
{
	char texts[5][64];
	char *from_value = texts[0], *to_value = texts[1], *value = texts[2], *not_value = texts[3];
	Source source = AMBIT__WAYPOINT__SOURCE__INIT, *sources = &source;
	Operation operation = AMBIT__WAYPOINT__OPERATION__INIT, *operations = &operation;
	Condition condition = AMBIT__WAYPOINT__CONDITION__INIT, *conditions = &condition;
	Rule rule = AMBIT__WAYPOINT__RULE__INIT, *rules = &rule;
	Policy p = AMBIT__WAYPOINT__POLICY__INIT;

	strncpy(texts[0], row->from_value, 63);
	strncpy(texts[1], row->to_value, 63);
	strncpy(texts[2], row->value, 63);
	strncpy(texts[3], row->not_value, 63);
	strncpy(texts[4], row->when, 63);
	p.namespace_ = ns;
	p.name = policy_name;
	p.action = (Ambit__Waypoint__Policy__Action)row->action;
	p.n_rules = 1;
	p.rules = &rules;
	if (row->from[0] != '\0') {
		slot_set(from_slots, row->from, &source, &from_value);
		rule.n_from = 1;
		rule.from = &sources;
	}
	if (row->to[0] != '\0') {
		slot_set(to_slots, row->to, &operation, &to_value);
		rule.n_to = 1;
		rule.to = &operations;
	}
	if (row->when[0] != '\0') {
		condition.key = texts[4];
		condition.n_values = row->value[0] != '\0';
		condition.values = &value;
		condition.n_not_values = row->not_value[0] != '\0';
		condition.not_values = &not_value;
		rule.n_when = 1;
		rule.when = &conditions;
	}
	return policy_pack(&p, err);
}

static struct wp_view
view_make(struct ap_arena *arena, struct ap_fields *f, bool anonymous)
{
	struct wp_view v = {
		.method = AP_S("GET"),
		.authority = AP_S("shop.example.com"),
		.path = AP_S("/admin/users"),
		.query = AP_S("x=1"),
		.arena = arena,
		.fields = f,
		.destination_port = 8080,
		.sni = AP_S("a.example.com"),
	};

	assert_int_equal(ap_ip_parse(AP_S("10.1.2.3"), &v.source_ip), 0);
	assert_int_equal(ap_ip_parse(AP_S("240.240.0.9"), &v.destination_ip), 0);
	if (!anonymous)
		wp_view_set_identity(&v, AP_S("spiffe://td/ns/web/sa/front"));
	return v;
}

static void
test_every_field_means_what_the_api_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_arena *arena = ap_arena_new(65536);
		struct ap_error err = { 0 };
		struct wp_policy *p = row_compile(&rows[i], &err);
		struct ap_fields f;
		struct wp_view v;
		uint32_t rule;

		if (p == NULL)
			fail_msg("%s: %s", rows[i].what, err.text);
		ap_fields_init(&f, arena);
		ap_fields_add(&f, AP_S("x-token"), AP_S("admin"));
		v = view_make(arena, &f, false);
		if (wp_policy_matches(p, &v, &rule) != rows[i].matches)
			fail_msg("%s", rows[i].what);
		v = view_make(arena, &f, true);
		if (wp_policy_matches(p, &v, &rule) != rows[i].matches_anonymous)
			fail_msg("%s, without identity", rows[i].what);
		v = view_make(arena, &f, false);
		v.is_tcp = true;
		if (wp_policy_matches(p, &v, &rule) != rows[i].matches_tcp)
			fail_msg("%s, on TCP", rows[i].what);
		wp_policy_unref(&p);
		ap_arena_free(&arena);
	}
}

static void
test_what_cannot_be_read_is_refused(void **state)
{
	static const struct row bad[] = {
		{ .from = "ipBlocks", .from_value = "10.1.2.300", .to = "", .when = "" },
		{ .from = "", .to = "ports", .to_value = "http", .when = "" },
		{ .from = "", .to = "paths", .to_value = "/a/{*}.txt", .when = "" },
		{ .from = "", .to = "", .when = "request.body", .value = "x", .not_value = "" },
		{ .from = "", .to = "", .when = "request.headers[]", .value = "x", .not_value = "" },
		{ .action = 7, .from = "", .to = "", .when = "" },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(bad); i++) {
		struct row row = bad[i];
		struct ap_error err = { 0 };

		row.from_value = row.from_value == NULL ? "" : row.from_value;
		row.to_value = row.to_value == NULL ? "" : row.to_value;
		row.value = row.value == NULL ? "" : row.value;
		row.not_value = row.not_value == NULL ? "" : row.not_value;
		assert_null(row_compile(&row, &err));
		assert_true(err.text[0] != '\0');
	}
}

static struct wp_policy *
simple(int action, const char *path, bool with_rule, bool dry_run)
{
	char text[64];
	char *value = text;
	Operation operation = AMBIT__WAYPOINT__OPERATION__INIT, *operations = &operation;
	Rule rule = AMBIT__WAYPOINT__RULE__INIT, *rules = &rule;
	Policy p = AMBIT__WAYPOINT__POLICY__INIT;
	struct ap_error err;
	struct wp_policy *r;

	strncpy(text, path, 63);
	text[63] = '\0';
	operation.n_paths = 1;
	operation.paths = &value;
	rule.n_to = 1;
	rule.to = &operations;
	p.namespace_ = ns;
	p.name = policy_name;
	p.action = (Ambit__Waypoint__Policy__Action)action;
	p.dry_run = dry_run;
	p.n_rules = with_rule;
	p.rules = &rules;
	r = policy_pack(&p, &err);
	assert_non_null(r);
	return r;
}

static void
test_deny_comes_first_and_an_allow_list_denies_the_rest(void **state)
{
	struct wp_policy *deny = simple(WP_DENY, "/admin*", true, false), *allow = simple(WP_ALLOW, "*", true, false);
	struct wp_policy *other = simple(WP_ALLOW, "/other", true, false),
			 *nothing = simple(WP_ALLOW, "", false, false);
	struct wp_policy *dry = simple(WP_DENY, "/admin*", true, true),
			 *audit = simple(WP_AUDIT, "/admin*", true, false);
	const struct {
		struct wp_policy *policies[3];
		size_t count;
		enum wp_authz verdict;
	} cases[] = {
		{ { NULL }, 0, WP_AUTHZ_ALLOW },
		{ { deny }, 1, WP_AUTHZ_DENY_EXPLICIT },
		{ { allow, deny }, 2, WP_AUTHZ_DENY_EXPLICIT },
		{ { allow }, 1, WP_AUTHZ_ALLOW },
		{ { other }, 1, WP_AUTHZ_DENY_IMPLICIT },
		{ { other, allow }, 2, WP_AUTHZ_ALLOW },
		{ { nothing }, 1, WP_AUTHZ_DENY_IMPLICIT },
		{ { dry, audit }, 2, WP_AUTHZ_ALLOW },
		{ { allow, NULL }, 2, WP_AUTHZ_DENY_UNKNOWN },
	};
	struct ap_arena *arena = ap_arena_new(65536);
	struct ap_fields f;
	struct wp_view v;

	(void)state;
	ap_fields_init(&f, arena);
	v = view_make(arena, &f, false);
	for (size_t i = 0; i < AP_COUNTOF(cases); i++)
		if (wp_authz_check(cases[i].policies, cases[i].count, &v).verdict != cases[i].verdict)
			fail_msg("case %zu", i);
	wp_policy_unref(&deny);
	wp_policy_unref(&allow);
	wp_policy_unref(&other);
	wp_policy_unref(&nothing);
	wp_policy_unref(&dry);
	wp_policy_unref(&audit);
	ap_arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_means_what_the_api_says),
		cmocka_unit_test(test_what_cannot_be_read_is_refused),
		cmocka_unit_test(test_deny_comes_first_and_an_allow_list_denies_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
