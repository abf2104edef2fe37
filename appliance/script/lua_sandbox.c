/*
 * lua_sandbox.c -- what a script may see: the basic functions without files, loading, collector and metatables; math and
 * utf8; string and table with bounds on what one call in C may cost.  Without metatables no __gc (which would run
 * without the budget's hook), no __len and __index that send C loops astray.  No coroutines: each has a count of its
 * own.  No xpcall: its handler would run inside the hook's own error, where hooks are off.  One thread, that of the state.
 */
#include <lualib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "script/lua_priv.h"

AP_LOG_MODULE(lua_script);

static const char *const base_kept[] = { "assert", "error", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget",
	"rawlen", "rawset", "select", "tonumber", "tostring", "type", "_VERSION" };

/* Call the library function in upvalue 1, charging for the length of the first argument times upvalue 2 / 64. */
static int
charged_call(lua_State *L)
{
	size_t size = lua_type(L, 1) == LUA_TNUMBER ? 0 : (size_t)lua_rawlen(L, 1);
	int args = lua_gettop(L);

	ap_lua_charge(L, 1 + size * (size_t)lua_tointeger(L, lua_upvalueindex(2)) / 64);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, args, LUA_MULTRET);
	return lua_gettop(L);
}

struct kept {
	const char *name;
	int cost; /* per byte or item, in 1/64 instruction; 0: not wrapped */
};

static const struct kept string_kept[] = { { "byte", 4 }, { "char", 0 }, { "format", 0 }, { "len", 0 }, { "lower", 4 },
	{ "reverse", 4 }, { "sub", 1 }, { "upper", 4 }, { NULL, 0 } };
static const struct kept table_kept[] = { { "concat", 64 }, { "insert", 16 }, { "pack", 0 }, { "remove", 16 },
	{ "sort", 1600 }, { "unpack", 16 }, { NULL, 0 } };
static const struct kept utf8_kept[] = { { "char", 0 }, { "charpattern", 0 }, { "codepoint", 16 }, { "codes", 0 },
	{ "len", 16 }, { "offset", 16 }, { NULL, 0 } };

/* Make a global table of a library's chosen functions. */
static void
open_some(lua_State *L, const char *name, lua_CFunction open, const struct kept *kept)
{
	lua_pushcfunction(L, open);
	lua_call(L, 0, 1);
	lua_newtable(L);
	for (; kept->name != NULL; kept++) {
		lua_getfield(L, -2, kept->name);
		if (kept->cost > 0) {
			lua_pushinteger(L, kept->cost);
			lua_pushcclosure(L, charged_call, 2);
		}
		lua_setfield(L, -2, kept->name);
	}
	lua_setglobal(L, name);
	lua_pop(L, 1);
}

/* string.rep(s, n [, sep]): the library's loops n times even for an empty s. */
static int
string_rep(lua_State *L)
{
	size_t len, sep_len;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_Integer n = luaL_checkinteger(L, 2);
	const char *sep = luaL_optlstring(L, 3, "", &sep_len);
	luaL_Buffer b;

	if (n <= 0 || len + sep_len == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (n > (lua_Integer)AP_LUA_TEXT_MAX || (size_t)n > AP_LUA_TEXT_MAX / (len + sep_len))
		return luaL_error(L, "string.rep: the result would be longer than %d bytes", AP_LUA_TEXT_MAX);
	ap_lua_charge(L, (size_t)n);
	luaL_buffinitsize(L, &b, (size_t)n * (len + sep_len));
	for (lua_Integer i = 0; i < n; i++) {
		luaL_addlstring(&b, s, len);
		if (i + 1 < n)
			luaL_addlstring(&b, sep, sep_len);
	}
	luaL_pushresult(&b);
	return 1;
}

/* log(text): one line of the proxy's own log, cut and rate limited. */
static int
api_log(lua_State *L)
{
	static struct ap_log_limit limit;
	struct ap_lua_state *st = ap_lua_state_of(L);
	unsigned dropped = 0;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	char shown[256];
	size_t n = AP_MIN(len, sizeof(shown) - 1);

	ap_lua_charge(L, 100);
	for (size_t i = 0; i < n; i++)
		shown[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	shown[n] = '\0';
	if (ap_log_is_on(&ap_log_this, AP_LOG_INFO) && ap_log_limit_passes(&limit, 20, &dropped))
		ap_log_write(&ap_log_this, AP_LOG_INFO, NULL, "%.*s: %s", AP_FMT(st->script->set.name), shown);
	return 0;
}

/* now(): seconds since 1970. */
static int
api_now(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)ap_clock_wall_us() / 1e6);
	return 1;
}

/* allow(): what a hook returns to let pass. */
static int
api_allow(lua_State *L)
{
	lua_pushboolean(L, 1);
	return 1;
}

/* deny(reason): what a hook returns to refuse. */
static int
api_deny(lua_State *L)
{
	lua_settop(L, 1);
	if (!lua_isnil(L, 1))
		luaL_checkstring(L, 1);
	lua_pushboolean(L, 0);
	lua_insert(L, 1);
	return 2;
}

static struct ap_slice
api_text(lua_State *L, int index, size_t max, const char *what)
{
	size_t len;
	const char *s = luaL_checklstring(L, index, &len);

	if (len > max)
		luaL_error(L, "tag: the %s is longer than %d bytes", what, (int)max);
	return ap_slice(s, len);
}

/* tag(key, value): a mark on the connection or request; tag(key): what it is. */
static int
api_tag(lua_State *L)
{
	struct ap_lua_call *call = ap_lua_state_of(L)->call;
	struct ap_slice key = api_text(L, 1, 64, "key"), value;
	struct ap_lua_label *tag = NULL;

	if (call == NULL)
		return luaL_error(L, "tag: nothing to tag here");
	for (size_t i = 0; i < call->out->tag_count; i++)
		if (ap_slice_eq(call->out->tags[i].key, key))
			tag = &call->out->tags[i];
	if (lua_isnoneornil(L, 2)) {
		ap_lua_push(L, tag == NULL ? AP_SLICE_NONE : tag->value);
		return 1;
	}
	value = ap_arena_copy(call->arena, api_text(L, 2, 256, "value"));
	if (tag == NULL) {
		if (call->out->tag_count == AP_LUA_TAGS_MAX)
			return luaL_error(L, "tag: more than %d tags", AP_LUA_TAGS_MAX);
		key = ap_arena_copy(call->arena, key);
		tag = &call->out->tags[call->out->tag_count];
		if (key.ptr != NULL)
			call->out->tag_count++;
		tag->key = key;
	}
	if (key.ptr == NULL || value.ptr == NULL)
		return luaL_error(L, "tag: the connection's memory is full");
	tag->value = value;
	return 0;
}

void
ap_lua_sandbox_open(lua_State *L)
{
	static const luaL_Reg api[] = { { "log", api_log }, { "now", api_now }, { "allow", api_allow },
		{ "deny", api_deny }, { "tag", api_tag }, { NULL, NULL } };

	/* luaopen_base fills the globals: keep what is wanted in a new table and make that the globals. */
	lua_pushcfunction(L, luaopen_base);
	lua_call(L, 0, 1);
	lua_newtable(L);
	for (size_t i = 0; i < AP_COUNTOF(base_kept); i++) {
		lua_getfield(L, -2, base_kept[i]);
		lua_setfield(L, -2, base_kept[i]);
	}
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "_G");
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	lua_pop(L, 1);
	lua_pushglobaltable(L);
	luaL_setfuncs(L, api, 0);
	lua_pop(L, 1);

	open_some(L, "string", luaopen_string, string_kept);
	open_some(L, "table", luaopen_table, table_kept);
	open_some(L, "utf8", luaopen_utf8, utf8_kept);
	lua_pushcfunction(L, luaopen_math);
	lua_call(L, 0, 1);
	lua_setglobal(L, "math");

	/* Methods of texts, ("x"):lower(), must be the bounded ones too: luaopen_string gave texts a metatable. */
	lua_getglobal(L, "string");
	lua_pushcfunction(L, string_rep);
	lua_setfield(L, -2, "rep");
	ap_lua_pattern_open(L);
	lua_pushliteral(L, "");
	lua_createtable(L, 0, 1);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_pop(L, 2);
}
