/*
 * lua_host.c -- scripts, hosts, states and their budgets.  A state is made when a script is first called on a thread, and
 * made anew after it ran out of memory; everything that can raise a Lua error runs below one lua_pcall.  The
 * instruction budget is a count hook; work done in C takes its share by ap_lua_charge; the allocator holds the memory
 * ceiling and charges for large blocks, because one instruction may copy a long string.  Once a budget is spent the
 * hook fires at each instruction, so a script cannot outlive it by pcall.  A host and its states are one thread's.
 */
#include "script/lua_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/exchange.h"

AP_LOG_MODULE(lua);

#define REBUILD_MS 100 /* a script that eats its memory at each call may not make us build states all day */
#define BIG_BLOCK 4096 /* allocations from here on are charged */

struct ap_lua_host {
	struct ap_map states; /* by the script's address */
	struct ap_shard *shard;
};

static const char *const hook_names[AP_LUA_HOOKS] = { "on_connect", "on_request", "on_response" };
static const char *const metric_labels[] = { "policy", "hook", NULL };
static const struct ap_metric metric_calls = {
	.name = "ambit_lua_calls",
	.kind = AP_COUNTER,
	.help = "Calls of LuaPolicy hooks.",
	.unit = "",
	.labels = metric_labels,
	.ceiling = 1000,
};
static const struct ap_metric metric_failures = {
	.name = "ambit_lua_failures",
	.kind = AP_COUNTER,
	.help = "Calls of LuaPolicy hooks that failed and were followed by the policy's fallback.",
	.unit = "",
	.labels = metric_labels,
	.ceiling = 1000,
};

static void
budget_hook(lua_State *L, lua_Debug *ar)
{
	struct ap_lua_state *st = ap_lua_state_of(L);

	(void)ar;
	st->budget -= st->step;
	if (st->spent == NULL && st->budget <= 0)
		st->spent = "instruction budget";
	if (st->spent == NULL && ap_clock_mono_ns() > st->deadline_ns)
		st->spent = "time budget";
	if (st->spent != NULL) {
		st->step = 1;
		lua_sethook(L, budget_hook, LUA_MASKCOUNT, 1);
		luaL_error(L, "the %s is spent", st->spent);
	}
	if (st->budget < st->step) {
		st->step = (int)st->budget;
		lua_sethook(L, budget_hook, LUA_MASKCOUNT, st->step);
	}
}

static void
budget_end(struct ap_lua_state *st, const char *which)
{
	if (st->spent == NULL)
		st->spent = which;
	st->step = 1;
	lua_sethook(st->L, budget_hook, LUA_MASKCOUNT, 1);
}

void
ap_lua_charge(lua_State *L, size_t n)
{
	struct ap_lua_state *st = ap_lua_state_of(L);

	if (n >= (size_t)INT64_MAX || (st->budget -= (int64_t)n) <= 0)
		budget_end(st, "instruction budget");
	if (st->spent != NULL)
		luaL_error(L, "the %s is spent", st->spent);
}

static void *
budget_alloc(void *arg, void *ptr, size_t old_size, size_t size)
{
	struct ap_lua_state *st = arg;
	size_t old = ptr == NULL ? 0 : old_size; /* without ptr, old_size is a type code */

	if (size == 0) {
		ap_mem_free(ptr);
		st->memory -= old;
		return NULL;
	}
	if (size > old && st->memory + (size - old) > st->memory_max) {
		st->out_of_memory = true;
		return NULL;
	}
	if (size >= BIG_BLOCK && size > old && st->L != NULL) {
		st->budget -= (int64_t)(size / 64);
		if (st->budget <= 0)
			budget_end(st, "instruction budget");
	}
	st->memory = st->memory - old + size;
	return ap_realloc_array(ptr, size, 1);
}

static int
on_panic(lua_State *L)
{
	ap_panic(__FILE__, __LINE__, "Lua error outside of a protected call: %s", lua_tostring(L, -1));
}

static void
budget_begin(struct ap_lua_state *st)
{
	uint32_t n = st->script->set.max_instructions;

	st->budget = n;
	st->step = (int)AP_MIN(n, (uint32_t)AP_LUA_STEP);
	st->spent = NULL;
	st->out_of_memory = false;
	st->deadline_ns = ap_clock_mono_ns() + (uint64_t)st->script->set.max_wall_ms * 1000000;
	lua_sethook(st->L, budget_hook, LUA_MASKCOUNT, st->step);
}

/* Below pcall: open the sandbox, load and run the source, find the hooks. */
static int
state_setup(lua_State *L)
{
	struct ap_lua_state *st = lua_touserdata(L, 1);
	const struct ap_lua_settings *set = &st->script->set;
	char name[80];

	ap_lua_sandbox_open(L);
	ap_lua_conn_open(L, st);
	ap_lua_http_open(L, st);
	snprintf(name, sizeof(name), "=%.*s", (int)AP_MIN(set->name.len, (size_t)70), set->name.ptr);
	if (luaL_loadbufferx(L, set->source.ptr, set->source.len, name, "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 0);
	for (int h = 0; h < AP_LUA_HOOKS; h++) {
		if (!set->hooks[h])
			continue;
		if (lua_getglobal(L, hook_names[h]) != LUA_TFUNCTION)
			return luaL_error(L, "the script does not define the function %s", hook_names[h]);
		st->hook_refs[h] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	return 0;
}

/* What an error object says; scripts may throw anything. */
static const char *
error_text(const struct ap_lua_state *st)
{
	const char *text;

	if (st->spent != NULL)
		return st->spent;
	if (st->out_of_memory)
		return "memory budget";
	if (lua_type(st->L, -1) != LUA_TSTRING)
		return "an error that is not a text";
	text = lua_tostring(st->L, -1);
	return text;
}

static void
state_free(struct ap_lua_state *st)
{
	lua_State *L = st->L;

	if (L != NULL) {
		lua_sethook(L, NULL, 0, 0);
		st->L = NULL;
		lua_close(L);
	}
	ap_free(&st);
}

static struct ap_lua_state *
state_new(struct ap_lua_script *s, struct ap_error *err)
{
	struct ap_lua_state *st = ap_new(struct ap_lua_state);
	lua_State *L;

	st->script = s;
	st->memory_max = (size_t)s->set.max_memory_kib * 1024;
	st->rebuilt_ms = ap_clock_mono_ms();
	for (int h = 0; h < AP_LUA_HOOKS; h++)
		st->hook_refs[h] = LUA_NOREF;
	L = lua_newstate(budget_alloc, st);
	if (L == NULL) {
		ap_error_set(
		    err, -ENOMEM, "the memory budget of %u KiB is too small for any script", s->set.max_memory_kib);
		ap_free(&st);
		return NULL;
	}
	st->L = L;
	*(struct ap_lua_state **)lua_getextraspace(L) = st;
	lua_atpanic(L, on_panic);
	budget_begin(st);
	lua_pushcfunction(L, state_setup);
	lua_pushlightuserdata(L, st);
	if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
		if (st->spent != NULL || st->out_of_memory)
			ap_error_set(err, -EINVAL, "the script's body ran out of its %s", error_text(st));
		else
			ap_error_set(err, -EINVAL, "%s", error_text(st));
		state_free(st);
		return NULL;
	}
	lua_sethook(L, NULL, 0, 0);
	return st;
}

static void
script_unhold(struct ap_lua_script *s)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	ap_free(&s->text);
	ap_free(&s);
}

static struct ap_slice
place_text(char **at, struct ap_slice s)
{
	struct ap_slice r = ap_slice(*at, s.len);

	if (s.len > 0)
		memcpy(*at, s.ptr, s.len);
	*at += s.len + 1;
	return r;
}

struct ap_lua_script *
ap_lua_script_new(const struct ap_lua_settings *settings, struct ap_error *err)
{
	struct ap_lua_script *s;
	struct ap_lua_state *st;
	char *at;

	if (settings->source.len > AP_LUA_SOURCE_MAX) {
		ap_error_set(err, -E2BIG, "the script has more than %zu bytes", AP_LUA_SOURCE_MAX);
		return NULL;
	}
	s = ap_new(struct ap_lua_script);
	s->set = *settings;
	s->text = at = ap_alloc(settings->name.len + settings->version.len + settings->source.len + 3);
	s->set.name = place_text(&at, settings->name);
	s->set.version = place_text(&at, settings->version);
	s->set.source = place_text(&at, settings->source);
	if (s->set.max_instructions == 0)
		s->set.max_instructions = AP_LUA_INSTRUCTIONS;
	if (s->set.max_instructions > 100000000)
		s->set.max_instructions = 100000000;
	if (s->set.max_memory_kib == 0)
		s->set.max_memory_kib = AP_LUA_MEMORY_KIB;
	if (s->set.max_wall_ms == 0)
		s->set.max_wall_ms = AP_LUA_WALL_MS;
	atomic_init(&s->refs, 1);
	atomic_init(&s->users, 1);
	st = state_new(s, err);
	if (st == NULL) {
		script_unhold(s);
		return NULL;
	}
	state_free(st);
	return s;
}

struct ap_lua_script *
ap_lua_script_ref(struct ap_lua_script *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->users, 1, memory_order_relaxed);
	return s;
}

void
ap_lua_script_unref(struct ap_lua_script **sp)
{
	struct ap_lua_script *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	atomic_fetch_sub_explicit(&s->users, 1, memory_order_relaxed);
	script_unhold(s);
}

bool
ap_lua_script_has(const struct ap_lua_script *s, enum ap_lua_hook hook)
{
	return s->set.hooks[hook];
}

struct ap_slice
ap_lua_script_name(const struct ap_lua_script *s)
{
	return s->set.name;
}

struct ap_lua_host *
ap_lua_host_new(struct ap_shard *shard)
{
	struct ap_lua_host *host = ap_new(struct ap_lua_host);

	host->shard = shard;
	return host;
}

static struct ap_slice
state_key(struct ap_lua_script *const *s)
{
	return ap_slice((const char *)s, sizeof(*s));
}

static void
state_drop(struct ap_lua_host *host, struct ap_lua_state *st)
{
	struct ap_lua_script *s = st->script;

	ap_map_remove(&host->states, state_key(&s));
	state_free(st);
	script_unhold(s);
}

void
ap_lua_host_free(struct ap_lua_host **hostp)
{
	struct ap_lua_host *host = *hostp;
	struct ap_map_entry *e;

	*hostp = NULL;
	if (host == NULL)
		return;
	for (size_t i = 0; (e = ap_map_next(&host->states, &i)) != NULL;)
		state_drop(host, e->value);
	ap_map_done(&host->states, NULL);
	ap_free(&host);
}

size_t
ap_lua_host_states(const struct ap_lua_host *host)
{
	return host->states.count;
}

/* Scripts that nobody can call any more. */
void
ap_lua_host_sweep(struct ap_lua_host *host)
{
	struct ap_map_entry *e;

	for (size_t i = 0; (e = ap_map_next(&host->states, &i)) != NULL;) {
		struct ap_lua_state *st = e->value;

		if (atomic_load_explicit(&st->script->users, memory_order_relaxed) == 0)
			state_drop(host, st);
	}
}

static void
state_count(struct ap_lua_host *host, struct ap_lua_state *st)
{
	for (int h = 0; h < AP_LUA_HOOKS && host->shard != NULL; h++) {
		struct ap_slice values[] = { st->script->set.name, ap_slice_of(hook_names[h]) };

		if (!st->script->set.hooks[h])
			continue;
		st->calls[h] = ap_series_get(host->shard, &metric_calls, values);
		st->failures[h] = ap_series_get(host->shard, &metric_failures, values);
	}
}

static struct ap_lua_state *
state_get(struct ap_lua_host *host, struct ap_lua_script *s, struct ap_error *err)
{
	struct ap_lua_state *st = ap_map_find(&host->states, state_key(&s));

	if (st != NULL && !st->out_of_memory)
		return st;
	if (st != NULL) { /* what it holds fills its ceiling: begin anew, at a bounded rate */
		if (ap_clock_mono_ms() - st->rebuilt_ms < REBUILD_MS) {
			ap_error_set(err, -ENOMEM, "memory budget");
			return NULL;
		}
		state_drop(host, st);
	}
	ap_lua_host_sweep(host); /* a new script comes when an old one goes */
	st = state_new(s, err);
	if (st == NULL)
		return NULL;
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	ap_map_put(&host->states, state_key(&s), st);
	state_count(host, st);
	return st;
}

static void
result_fail(struct ap_lua_script *s, const struct ap_lua_call *call, const char *why)
{
	struct ap_lua_result *out = call->out;

	LOG_WARN_LIMIT(NULL, 5, "%.*s (version %.*s): %s failed, %s: %s", AP_FMT(s->set.name), AP_FMT(s->set.version),
	    hook_names[call->hook], s->set.allow_on_error ? "allowed as declared" : "denied", why);
	out->failed = true;
	out->verdict = s->set.allow_on_error ? AP_LUA_ALLOW : AP_LUA_DENY;
	out->status = s->set.allow_on_error ? 0 : 403;
	out->reason = ap_arena_copy(call->arena, ap_slice_of(why));
	out->fields = NULL;
	out->body = AP_SLICE_NONE;
}

/* Read what the hook returned: nothing or true; false and a reason. -1: neither. */
static int
result_read(lua_State *L, struct ap_lua_call *call)
{
	struct ap_lua_result *out = call->out;
	size_t len;
	const char *text;

	if (out->verdict == AP_LUA_RESPOND)
		return 0;
	if (lua_isnil(L, -2) || (lua_isboolean(L, -2) && lua_toboolean(L, -2)))
		return 0;
	if (!lua_isboolean(L, -2))
		return -1;
	out->verdict = AP_LUA_DENY;
	out->status = 403;
	if (lua_type(L, -1) == LUA_TSTRING) {
		text = lua_tolstring(L, -1, &len);
		out->reason = ap_arena_copy(call->arena, ap_slice(text, AP_MIN(len, (size_t)512)));
	}
	return 0;
}

static void
call_hook(
    struct ap_lua_host *host, struct ap_lua_script *s, struct ap_lua_call *call, int (*ref)(struct ap_lua_state *))
{
	struct ap_error err = { 0 };
	struct ap_lua_state *st;
	lua_State *L;
	int rc;

	call->out->verdict = AP_LUA_ALLOW;
	call->out->failed = false;
	call->out->reason = call->out->body = AP_SLICE_NONE;
	call->out->fields = NULL;
	call->out->status = 0;
	if (!s->set.hooks[call->hook])
		return;
	st = state_get(host, s, &err);
	if (st == NULL) {
		result_fail(s, call, err.text);
		return;
	}
	L = st->L;
	st->call = call;
	budget_begin(st);
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->hook_refs[call->hook]);
	lua_rawgeti(L, LUA_REGISTRYINDEX, ref(st));
	if (call->hook == AP_LUA_ON_RESPONSE) /* on_response(response, request) */
		lua_rawgeti(L, LUA_REGISTRYINDEX, st->request_ref);
	rc = lua_pcall(L, call->hook == AP_LUA_ON_RESPONSE ? 2 : 1, 2, 0);
	lua_sethook(L, NULL, 0, 0);
	if (rc != LUA_OK)
		result_fail(s, call, error_text(st));
	else if (st->spent != NULL) /* it caught the error in its last instruction */
		result_fail(s, call, st->spent);
	else if (result_read(L, call) != 0)
		result_fail(s, call, "the hook must return nothing, true, or false and a reason");
	lua_settop(L, 0);
	st->call = NULL;
	/* A state that met its ceiling and got on (the collector made room, or pcall) is kept. */
	if (rc != LUA_ERRMEM && !(rc != LUA_OK && st->out_of_memory))
		st->out_of_memory = false;
	if (st->calls[call->hook] != NULL)
		ap_series_add(st->calls[call->hook], 1);
	if (call->out->failed && st->failures[call->hook] != NULL)
		ap_series_add(st->failures[call->hook], 1);
}

static int
ref_conn(struct ap_lua_state *st)
{
	return st->conn_ref;
}

static int
ref_request(struct ap_lua_state *st)
{
	return st->request_ref;
}

static int
ref_response(struct ap_lua_state *st)
{
	return st->response_ref;
}

void
ap_lua_on_connect(struct ap_lua_host *host, struct ap_lua_script *s, const struct ap_lua_conn *conn,
    struct ap_arena *arena, struct ap_lua_result *out)
{
	struct ap_lua_call call = { .conn = conn, .arena = arena, .out = out, .hook = AP_LUA_ON_CONNECT };

	call_hook(host, s, &call, ref_conn);
}

void
ap_lua_on_request(struct ap_lua_host *host, struct ap_lua_script *s, const struct ap_lua_conn *conn,
    struct ap_http_head *request, struct ap_arena *arena, struct ap_lua_result *out)
{
	struct ap_lua_call call = {
		.conn = conn,
		.request = request,
		.arena = arena,
		.out = out,
		.hook = AP_LUA_ON_REQUEST,
	};

	call_hook(host, s, &call, ref_request);
}

void
ap_lua_on_response(struct ap_lua_host *host, struct ap_lua_script *s, const struct ap_lua_conn *conn,
    const struct ap_http_head *request, struct ap_http_head *response, struct ap_arena *arena,
    struct ap_lua_result *out)
{
	struct ap_http_head shown = *request; /* read only for the script: request_frozen */
	struct ap_lua_call call = {
		.conn = conn,
		.request = &shown,
		.response = response,
		.request_frozen = true,
		.arena = arena,
		.out = out,
		.hook = AP_LUA_ON_RESPONSE,
	};

	call_hook(host, s, &call, ref_response);
}
