/* test_lua_host.c -- scripts do what they say, cannot leave their sandbox, and cannot outlive their budgets. */
#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/exchange.h"
#include "script/lua_host.h"

struct fixture {
	struct ap_lua_host *host;
	struct ap_arena *arena;
	struct ap_http_head request, response;
	struct ap_lua_result out;
};

static struct ap_lua_label labels[] = { { { "app", 3 }, { "shop", 4 } } };

static struct ap_lua_conn
conn_make(void)
{
	struct ap_lua_conn c = {
		.source = {
			.identity = AP_S("spiffe://cluster.local/ns/web/sa/front"),
			.namespace_ = AP_S("web"),
			.service_account = AP_S("front"),
			.workload = AP_S("front-v1"),
			.labels = labels,
			.label_count = 1,
		},
		.service = AP_S("shop.web.svc.cluster.local"),
		.port = 8080,
	};

	assert_int_equal(ap_addr_parse(AP_S("10.0.0.7:4711"), &c.source.address), 0);
	return c;
}

static struct ap_lua_script *
script_make(const char *source, bool connect, bool request, bool response, bool allow_on_error)
{
	struct ap_lua_settings set = {
		.name = AP_S("web/test"),
		.version = AP_S("1"),
		.source = ap_slice_of(source),
		.allow_on_error = allow_on_error,
		.hooks = { connect, request, response },
	};
	struct ap_error err = { 0 };
	struct ap_lua_script *s = ap_lua_script_new(&set, &err);

	if (s == NULL)
		print_message("%s\n", err.text);
	assert_non_null(s);
	return s;
}

static int
setup(void **state)
{
	struct fixture *f = ap_new(struct fixture);

	f->host = ap_lua_host_new(NULL);
	f->arena = ap_arena_new((size_t)1 << 20);
	ap_fields_init(&f->request.fields, f->arena);
	ap_fields_init(&f->response.fields, f->arena);
	f->request.method = AP_S("GET");
	f->request.path = AP_S("/a?b=c");
	f->request.authority = AP_S("shop");
	f->response.status = 200;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	ap_lua_host_free(&f->host);
	ap_arena_free(&f->arena);
	ap_free(&f);
	return 0;
}

static void
connect_run(struct fixture *f, const char *source, bool allow_on_error)
{
	struct ap_lua_conn c = conn_make();
	struct ap_lua_script *s = script_make(source, true, false, false, allow_on_error);

	memset(&f->out, 0, sizeof(f->out));
	ap_lua_on_connect(f->host, s, &c, f->arena, &f->out);
	ap_lua_script_unref(&s);
}

static void
request_run(struct fixture *f, const char *source)
{
	struct ap_lua_conn c = conn_make();
	struct ap_lua_script *s = script_make(source, false, true, false, false);

	memset(&f->out, 0, sizeof(f->out));
	ap_lua_on_request(f->host, s, &c, &f->request, f->arena, &f->out);
	ap_lua_script_unref(&s);
}

static const struct {
	const char *name, *body; /* of on_connect(conn) */
	enum ap_lua_verdict verdict;
	const char *reason;
} connect_rows[] = {
	{ "nothing allows", "", AP_LUA_ALLOW, "" },
	{ "allow()", "return allow()", AP_LUA_ALLOW, "" },
	{ "deny with a reason", "return deny('no ' .. conn.source.namespace)", AP_LUA_DENY, "no web" },
	{ "identity", "return conn.source.identity ~= 'spiffe://cluster.local/ns/web/sa/front' and deny() or nil",
	    AP_LUA_ALLOW, "" },
	{ "account", "if conn.source.service_account == 'front' then return deny('x') end", AP_LUA_DENY, "x" },
	{ "address and port",
	    "if conn.source.address == '10.0.0.7' and conn.source.port == 4711 then return deny('a') end", AP_LUA_DENY,
	    "a" },
	{ "label", "if conn.source:label('app') == 'shop' and conn.source:label('x') == nil then return deny('l') end",
	    AP_LUA_DENY, "l" },
	{ "service and port", "return deny(conn.service .. conn.port)", AP_LUA_DENY, "shop.web.svc.cluster.local8080" },
	{ "what is unknown is nil", "if conn.destination.identity == nil then return deny('nil') end", AP_LUA_DENY,
	    "nil" },
	{ "patterns", "return deny(('a-b-c'):gsub('%-', '+'))", AP_LUA_DENY, "a+b+c" },
	{ "tags", "conn:tag('k', 'v') if tag('k') == 'v' then return deny('t') end", AP_LUA_DENY, "t" },
};

static void
test_connections_are_judged_by_what_they_show(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < AP_COUNTOF(connect_rows); i++) {
		char source[512];

		snprintf(source, sizeof(source), "function on_connect(conn) %s end", connect_rows[i].body);
		connect_run(f, source, false);
		if (f->out.failed || f->out.verdict != connect_rows[i].verdict)
			fail_msg("%s: %.*s", connect_rows[i].name, AP_FMT(f->out.reason));
		assert_true(ap_slice_eq_text(f->out.reason, connect_rows[i].reason));
	}
}

/* Each must fail, quickly, and be followed by the fallback. */
static const char *const bad_bodies[] = {
	"while true do end",
	"while true do pcall(function() while true do end end) end",
	"local function f() return pcall(f) end while true do f() end",
	"local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
	"local s = 'x' while true do s = s .. s end",
	"pcall(function() local s = 'x' while true do s = s .. s end end) while true do end",
	"return ('a'):rep(20000):find(('.-'):rep(20) .. 'b')",
	"return string.rep('', 1e18)",
	"return string.rep('x', 1e9)",
	"local t = {} for i = 1, 20000 do t[i] = i end for i = 1, 1e6 do table.sort(t) end",
	"local t = {} for i = 1, 20000 do t[i] = i end for i = 1, 1e6 do table.insert(t, 1, 0) table.remove(t, 1) end",
	"error('no')",
	"error({})",
	"return 'yes'",
	"return nil + 1",
	"conn.service = 'x'",
	"return conn.nonsense",
	"local function f() return f() + 1 end return f()",
	"xpcall(function() error('x') end, function(m) while true do end end)",
	"for _ in ('x'):rep(60000):gmatch('') do local s = ('y'):rep(60000) end",
	"string.gsub(('x'):rep(60000), '', function() return ('y'):rep(60000) end)",
	"return ('x'):find(('('):rep(100))",
	"return ('x'):find('%')",
	"return ('x'):find('[a')",
	"tag(('x'):rep(65), 'y')",
	"for i = 1, 17 do tag('t' .. i, 'y') end",
	"log({})",
};

static void
test_failing_scripts_are_stopped_and_deny(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < AP_COUNTOF(bad_bodies); i++) {
		char source[512];
		uint64_t began = ap_clock_mono_ms();

		snprintf(source, sizeof(source), "function on_connect(conn) %s end", bad_bodies[i]);
		connect_run(f, source, false);
		if (!f->out.failed || f->out.verdict != AP_LUA_DENY)
			fail_msg("row %zu was not stopped: %s", i, bad_bodies[i]);
		assert_true(f->out.reason.len > 0);
		if (ap_clock_mono_ms() - began > 2000)
			fail_msg("row %zu took %u ms", i, (unsigned)(ap_clock_mono_ms() - began));
	}
}

static void
test_the_declared_fallback_may_allow(void **state)
{
	struct fixture *f = *state;

	connect_run(f, "function on_connect() error('x') end", true);
	assert_true(f->out.failed);
	assert_int_equal(f->out.verdict, AP_LUA_ALLOW);
}

static void
test_a_full_state_is_made_anew(void **state)
{
	struct fixture *f = *state;
	struct ap_lua_conn c = conn_make();
	struct ap_lua_script *s = script_make("kept = {} n = 0 function on_connect() n = n + 1 "
					      "if n == 2 then for i = 1, 1e9 do kept[i] = i .. 'x' end end end",
	    true, false, false, false);

	ap_lua_on_connect(f->host, s, &c, f->arena, &f->out);
	assert_false(f->out.failed);
	ap_lua_on_connect(f->host, s, &c, f->arena, &f->out);
	assert_true(f->out.failed);
	ap_clock_freeze();
	ap_clock_advance(1000);
	ap_lua_on_connect(f->host, s, &c, f->arena, &f->out);
	assert_false(f->out.failed);
	ap_lua_script_unref(&s);
}

/* Each is nil, or fails, in the sandbox. */
static const char *const escapes[] = { "io", "os", "debug", "package", "require", "load", "loadstring", "loadfile",
	"dofile", "collectgarbage", "setmetatable", "getmetatable", "coroutine", "print", "string.dump", "string.pack",
	"string.unpack", "table.move", "xpcall" };

static void
test_nothing_outside_the_sandbox_is_seen(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < AP_COUNTOF(escapes); i++) {
		char source[256];

		snprintf(source, sizeof(source), "function on_connect() if %s ~= nil then return deny('seen') end end",
		    escapes[i]);
		connect_run(f, source, false);
		if (f->out.verdict != AP_LUA_ALLOW)
			fail_msg("%s is there", escapes[i]);
	}
	connect_run(
	    f, "function on_connect() if ('').dump ~= nil or _G._G ~= _G then return deny('seen') end end", false);
	assert_int_equal(f->out.verdict, AP_LUA_ALLOW);
}

static void
test_scripts_that_cannot_be_are_refused(void **state)
{
	static const char *const rows[] = { "function on_connect(", "x = 1", "while true do end", "\x1bLua",
		"local s = 'x' while true do s = s .. s end", "on_connect = 3" };
	struct ap_error err = { 0 };

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_lua_settings set = { .name = AP_S("a/b"), .source = ap_slice_of(rows[i]), .hooks = { true } };

		if (ap_lua_script_new(&set, &err) != NULL)
			fail_msg("taken: %s", rows[i]);
		assert_true(err.text[0] != '\0');
	}
}

static void
test_requests_are_changed(void **state)
{
	struct fixture *f = *state;

	ap_fields_add(&f->request.fields, AP_S("X-User"), AP_S("eve"));
	request_run(f, "function on_request(r)\n"
		       "  assert(r.method == 'GET' and r.path == '/a?b=c' and r.authority == 'shop')\n"
		       "  assert(r:header('X-User') == 'eve' and r:header('none') == nil)\n"
		       "  assert(r.identity == r.connection.source.identity)\n"
		       "  r:set_header('x-user', 'bob') r:add_header('X-More', '1') r:add_header('x-more', '2')\n"
		       "  assert(#r:header_values('x-more') == 2 and #r:headers() == 3)\n"
		       "  r:set_path('/b') tag('seen', 'yes')\n"
		       "end");
	assert_false(f->out.failed);
	assert_int_equal(f->out.verdict, AP_LUA_ALLOW);
	assert_true(ap_slice_eq_text(ap_fields_get(&f->request.fields, AP_S("x-user")), "bob"));
	assert_int_equal(f->request.fields.count, 3);
	assert_true(ap_slice_eq_text(f->request.path, "/b"));
	assert_int_equal(f->out.tag_count, 1);
}

static void
test_requests_are_answered(void **state)
{
	struct fixture *f = *state;

	request_run(f, "function on_request(r) r:respond(418, { ['X-Tea'] = 'pot' }, 'short') end");
	assert_int_equal(f->out.verdict, AP_LUA_RESPOND);
	assert_int_equal(f->out.status, 418);
	assert_true(ap_slice_eq_text(f->out.body, "short"));
	assert_true(ap_slice_eq_text(ap_fields_get(f->out.fields, AP_S("x-tea")), "pot"));
	request_run(f, "function on_request(r) return deny('go away') end");
	assert_int_equal(f->out.verdict, AP_LUA_DENY);
	assert_int_equal(f->out.status, 403);
}

static void
test_messages_cannot_be_split(void **state)
{
	static const char *const rows[] = { "r:set_header('x', 'a\\r\\nb: c')", "r:set_header('x\\n', 'a')",
		"r:set_header('content-length', '5')", "r:add_header('Transfer-Encoding', 'chunked')",
		"r:set_header(':path', '/')", "r:set_path('/a b')", "r:set_path('x')", "r:respond(101)",
		"r:respond(99)", "r:set_header('', 'x')", "r:respond(200, { ['a\\r'] = 'x' })",
		"r:remove_header('connection')", "r:respond(200, nil, ('x'):rep(65000) .. ('x'):rep(65000))" };
	struct fixture *f = *state;

	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		char source[256];

		snprintf(source, sizeof(source), "function on_request(r) %s end", rows[i]);
		request_run(f, source);
		if (!f->out.failed)
			fail_msg("taken: %s", rows[i]);
	}
	assert_int_equal(f->request.fields.count, 0);
}

static void
test_responses_are_changed(void **state)
{
	struct fixture *f = *state;
	struct ap_lua_conn c = conn_make();
	struct ap_lua_script *s = script_make("function on_response(res, req)\n"
					      "  res:set_header('x-path', req.path) res:set_status(res.status + 1)\n"
					      "  assert(not pcall(req.set_header, req, 'x', 'y'))\n"
					      "end",
	    false, false, true, false);

	ap_lua_on_response(f->host, s, &c, &f->request, &f->response, f->arena, &f->out);
	assert_false(f->out.failed);
	assert_int_equal(f->response.status, 201);
	assert_true(ap_slice_eq_text(ap_fields_get(&f->response.fields, AP_S("x-path")), "/a?b=c"));
	assert_int_equal(f->request.fields.count, 0);
	ap_lua_script_unref(&s);
}

static void
test_an_object_kept_from_another_call_shows_the_running_one(void **state)
{
	struct fixture *f = *state;
	struct ap_lua_conn c = conn_make();
	struct ap_lua_script *s = script_make("function on_request(r) kept = r end\n"
					      "function on_connect(c) return deny(kept.path) end",
	    true, true, false, false);

	ap_lua_on_request(f->host, s, &c, &f->request, f->arena, &f->out);
	assert_false(f->out.failed);
	ap_lua_on_connect(f->host, s, &c, f->arena, &f->out);
	assert_true(f->out.failed);
	ap_lua_script_unref(&s);
}

static void
test_states_go_with_their_scripts(void **state)
{
	struct fixture *f = *state;
	struct ap_lua_conn c = conn_make();
	struct ap_lua_script *a = script_make("function on_connect() end", true, false, false, false);
	struct ap_lua_script *b = script_make("function on_connect() end", true, false, false, false);

	ap_lua_on_connect(f->host, a, &c, f->arena, &f->out);
	ap_lua_on_connect(f->host, b, &c, f->arena, &f->out);
	assert_int_equal(ap_lua_host_states(f->host), 2);
	ap_lua_script_unref(&a);
	ap_lua_host_sweep(f->host);
	assert_int_equal(ap_lua_host_states(f->host), 1);
	ap_lua_script_unref(&b);
}

/* The library's own matcher is the oracle; these are its documented results. */
static const struct {
	const char *expression, *result;
} pattern_rows[] = {
	{ "('hello world'):find('o w')", "5 7" },
	{ "('hello'):find('l')", "3 3" },
	{ "('hello'):find('xyz')", "nil" },
	{ "('hello'):find('')", "1 0" },
	{ "('hello'):find('', 10)", "nil" },
	{ "('a.b'):find('.', 1, true)", "2 2" },
	{ "('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "key value" },
	{ "('  trim  '):match('^%s*(.-)%s*$')", "trim" },
	{ "('THE (quick) fox'):find('%((%a+)%)')", "5 11 quick" },
	{ "('x{a{b}c}y'):match('%b{}')", "{a{b}c}" },
	{ "('THE (quick) fox'):gsub('%f[%a]%a+', string.lower)", "the (quick) fox 3" },
	{ "('hello world'):gsub('o', '0', 1)", "hell0 world 1" },
	{ "('hello'):gsub('', '-')", "-h-e-l-l-o- 6" },
	{ "('abc'):gsub('%w', '%0%0')", "aabbcc 3" },
	{ "('abc'):gsub('(a)(b)(c)', '%3%2%1')", "cba 1" },
	{ "('$name'):gsub('%$(%w+)', { name = 'lua' })", "lua 1" },
	{ "('abc'):gsub('b', false or '%%')", "a%c 1" },
	{ "('abc'):match('()b()')", "2 3" },
	{ "('2024-01-02'):match('(%d+)-(%d+)-(%d+)')", "2024 01 02" },
	{ "('aaa'):match('a-')", "" },
	{ "('aaa'):match('^a-$')", "aaa" },
	{ "('aaab'):match('a+b?')", "aaab" },
	{ "('[x]'):match('[]]')", "]" },
	{ "('a-b'):match('[a%-]+')", "a-" },
	{ "('q5'):match('[^%d]')", "q" },
	{ "('abab'):match('(ab)%1')", "ab" },
	{ "('x'):match('[a-w]')", "nil" },
	{ "('hello'):find('l', -2)", "4 4" },
	{ "(function() local r = '' for k, v in ('a=1,b=2'):gmatch('(%w)=(%w)') do r = r .. k .. v end return r end)()",
	    "a1b2" },
	{ "(function() local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n end)()", "4" },
};

static void
test_patterns_are_luas(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < AP_COUNTOF(pattern_rows); i++) {
		char source[512];

		snprintf(source, sizeof(source),
		    "function on_connect() local t = table.pack(%s) for i = 1, t.n do t[i] = tostring(t[i]) end "
		    "return deny(table.concat(t, ' ')) end",
		    pattern_rows[i].expression);
		connect_run(f, source, false);
		if (f->out.failed || !ap_slice_eq_text(f->out.reason, pattern_rows[i].result))
			fail_msg("%s gives %.*s", pattern_rows[i].expression, AP_FMT(f->out.reason));
	}
}

static void
test_what_a_call_costs(void **state)
{
	struct fixture *f = *state;
	struct ap_lua_conn c = conn_make();
	struct ap_lua_script *s = script_make("function on_request(r)\n"
					      "  if r:header('x-deny') then return deny('x') end\n"
					      "  r:set_header('x-lab', '1')\n"
					      "end",
	    false, true, false, false);
	uint64_t began = ap_clock_mono_ns(), n = 20000;

	for (uint64_t i = 0; i < n; i++) {
		struct ap_arena_mark mark = ap_arena_mark(f->arena);

		ap_lua_on_request(f->host, s, &c, &f->request, f->arena, &f->out);
		f->request.fields.count = 0;
		f->request.fields.room = 0;
		f->request.fields.bytes = 0;
		ap_arena_rewind(f->arena, mark);
		assert_false(f->out.failed);
	}
	print_message("on_request: %u ns per call\n", (unsigned)((ap_clock_mono_ns() - began) / n));
	ap_lua_script_unref(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connections_are_judged_by_what_they_show, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failing_scripts_are_stopped_and_deny, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_declared_fallback_may_allow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_outside_the_sandbox_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scripts_that_cannot_be_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_are_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_are_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_cannot_be_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_responses_are_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_an_object_kept_from_another_call_shows_the_running_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_states_go_with_their_scripts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patterns_are_luas, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_call_costs, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_full_state_is_made_anew, setup, teardown), /* freezes the clock */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
