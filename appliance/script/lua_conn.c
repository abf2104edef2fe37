/*
 * lua_conn.c -- the connection object: conn.source and conn.destination (identity, namespace, service_account, workload,
 * address, port, labels), conn.service, conn.port.  Objects are empty userdata made once for each state; what they show
 * is the call that is running (ap_lua_state.call), so a script that keeps one sees nothing of another connection later
 * than its own call.  One thread, that of the state.
 */
#include <string.h>

#include "base/compiler.h"
#include "http/exchange.h"
#include "script/lua_priv.h"

struct ap_slice
ap_lua_text(lua_State *L, int index)
{
	size_t len;
	const char *s = luaL_checklstring(L, index, &len);

	return ap_slice(s, len);
}

void
ap_lua_push(lua_State *L, struct ap_slice s)
{
	if (s.len == 0)
		lua_pushnil(L);
	else
		lua_pushlstring(L, s.ptr, s.len);
}

/* __index(object, key): a method, or a property of the class. */
static int
object_index(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TSTRING);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	lua_pop(L, 1);
	return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

static int
object_refuse(lua_State *L)
{
	return luaL_error(L, "this object's fields are read only; use its set methods");
}

int
ap_lua_object_new(lua_State *L, const char *class_, const luaL_Reg *methods, lua_CFunction property)
{
	lua_newuserdatauv(L, 0, 0);
	lua_createtable(L, 0, 4);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_pushcfunction(L, property);
	lua_pushcclosure(L, object_index, 2);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, object_refuse);
	lua_setfield(L, -2, "__newindex");
	lua_pushstring(L, class_);
	lua_setfield(L, -2, "__name");
	lua_setmetatable(L, -2);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

static const struct ap_lua_conn *
conn_get(lua_State *L)
{
	struct ap_lua_call *call = ap_lua_state_of(L)->call;

	if (call == NULL || call->conn == NULL)
		luaL_error(L, "there is no connection here");
	return call->conn;
}

/* The object is told from its sister by upvalue-less means: its class. */
static int
peer_property(lua_State *L, const struct ap_lua_peer *peer, const char *key)
{
	char text[AP_ADDR_TEXT];
	struct ap_ip ip;

	if (strcmp(key, "identity") == 0)
		ap_lua_push(L, peer->identity);
	else if (strcmp(key, "namespace") == 0)
		ap_lua_push(L, peer->namespace_);
	else if (strcmp(key, "service_account") == 0)
		ap_lua_push(L, peer->service_account);
	else if (strcmp(key, "workload") == 0)
		ap_lua_push(L, peer->workload);
	else if (strcmp(key, "address") == 0 && ap_addr_ip(&peer->address, &ip) == 0)
		lua_pushstring(L, ap_ip_format(&ip, text, sizeof(text)));
	else if (strcmp(key, "port") == 0 && ap_addr_ip(&peer->address, &ip) == 0)
		lua_pushinteger(L, ap_addr_port(&peer->address));
	else if (strcmp(key, "address") == 0 || strcmp(key, "port") == 0)
		lua_pushnil(L);
	else
		return luaL_error(L, "a peer has no field %s", key);
	return 1;
}

static int
peer_label(lua_State *L, const struct ap_lua_peer *peer)
{
	struct ap_slice key = ap_lua_text(L, 2);

	for (size_t i = 0; i < peer->label_count; i++) {
		if (ap_slice_eq(peer->labels[i].key, key)) {
			lua_pushlstring(L, peer->labels[i].value.ptr, peer->labels[i].value.len);
			return 1;
		}
	}
	lua_pushnil(L);
	return 1;
}

static int
source_property(lua_State *L)
{
	return peer_property(L, &conn_get(L)->source, lua_tostring(L, 2));
}

static int
destination_property(lua_State *L)
{
	return peer_property(L, &conn_get(L)->destination, lua_tostring(L, 2));
}

static int
source_label(lua_State *L)
{
	return peer_label(L, &conn_get(L)->source);
}

static int
destination_label(lua_State *L)
{
	return peer_label(L, &conn_get(L)->destination);
}

/* The two peer objects are fields of the method table, so that conn.source is one look-up. */
static int
conn_property(lua_State *L)
{
	const struct ap_lua_conn *conn = conn_get(L);
	const char *key = lua_tostring(L, 2);

	if (strcmp(key, "service") == 0)
		ap_lua_push(L, conn->service);
	else if (strcmp(key, "port") == 0)
		lua_pushinteger(L, conn->port);
	else
		return luaL_error(L, "a connection has no field %s", key);
	return 1;
}

static int
conn_tag(lua_State *L)
{
	lua_remove(L, 1);
	lua_getglobal(L, "tag");
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

void
ap_lua_conn_open(lua_State *L, struct ap_lua_state *st)
{
	static const luaL_Reg source_methods[] = { { "label", source_label }, { NULL, NULL } };
	static const luaL_Reg destination_methods[] = { { "label", destination_label }, { NULL, NULL } };
	static const luaL_Reg conn_methods[] = { { "tag", conn_tag }, { NULL, NULL } };
	int source = ap_lua_object_new(L, "peer", source_methods, source_property);
	int destination = ap_lua_object_new(L, "peer", destination_methods, destination_property);

	st->conn_ref = ap_lua_object_new(L, "connection", conn_methods, conn_property);
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->conn_ref);
	lua_getmetatable(L, -1);
	lua_getfield(L, -1, "__index");
	lua_getupvalue(L, -1, 1); /* the method table */
	lua_rawgeti(L, LUA_REGISTRYINDEX, source);
	lua_setfield(L, -2, "source");
	lua_rawgeti(L, LUA_REGISTRYINDEX, destination);
	lua_setfield(L, -2, "destination");
	lua_pop(L, 4);
}
