/* lua_priv.h -- what the files of this floor share: the state behind a lua_State, and its budget. */
#ifndef SCRIPT_LUA_PRIV_H
#define SCRIPT_LUA_PRIV_H
#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/metrics.h"
#include "script/lua_host.h"

#define AP_LUA_STEP 1000       /* instructions between two looks at the clock */
#define AP_LUA_TEXT_MAX 65536U /* longest string that rep() and gsub() make */

struct ap_lua_script {
	atomic_uint refs;           /* users and hosts: memory goes with the last */
	atomic_uint users;          /* those that may call it; 0: retired */
	struct ap_lua_settings set; /* slices into `text` */
	char *text;
};

/* What a hook works on; the userdata that scripts hold have no pointers of their own, so none can outlive a call. */
struct ap_lua_call {
	const struct ap_lua_conn *conn;
	struct ap_http_head *request;  /* NULL in on_connect */
	struct ap_http_head *response; /* on_response only */
	bool request_frozen;           /* on_response: the request went out already */
	struct ap_arena *arena;
	struct ap_lua_result *out;
	enum ap_lua_hook hook;
};

struct ap_lua_state {
	lua_State *L;
	struct ap_lua_script *script; /* one of its refs */
	struct ap_lua_state *next;
	size_t memory, memory_max;
	int64_t budget; /* instructions left of this call */
	int step;       /* instructions until the hook runs next */
	uint64_t deadline_ns;
	const char *spent; /* which budget ended, or NULL */
	bool out_of_memory;
	int hook_refs[AP_LUA_HOOKS];
	int conn_ref, request_ref, response_ref;
	struct ap_lua_call *call; /* NULL outside of hooks */
	uint64_t rebuilt_ms;
	struct ap_series *calls[AP_LUA_HOOKS], *failures[AP_LUA_HOOKS];
};

static inline struct ap_lua_state *
ap_lua_state_of(lua_State *L)
{
	return *(struct ap_lua_state **)lua_getextraspace(L);
}

/* Take n instructions off the budget for work done in C; does not return when that ends it. */
void ap_lua_charge(lua_State *L, size_t n);
/* Open what scripts may see in the globals (lua_sandbox.c). */
void ap_lua_sandbox_open(lua_State *L);
/* string.find, match, gmatch and gsub with a bound on their steps, into the table on top (lua_pattern.c). */
void ap_lua_pattern_open(lua_State *L);
/* Classes of the objects; sets conn_ref and so on (lua_conn.c, lua_http.c). */
void ap_lua_conn_open(lua_State *L, struct ap_lua_state *st);
void ap_lua_http_open(lua_State *L, struct ap_lua_state *st);
/* Push a userdata whose class has these methods and this property getter; returns its registry reference. */
int ap_lua_object_new(lua_State *L, const char *class_, const luaL_Reg *methods, lua_CFunction property);
/* The key asked for in a property getter. */
struct ap_slice ap_lua_text(lua_State *L, int index);
void ap_lua_push(lua_State *L, struct ap_slice s); /* nil when empty */

#endif
