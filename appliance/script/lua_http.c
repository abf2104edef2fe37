/*
 * lua_http.c -- the request and response objects: method, path, header fields, a direct answer, the connection.  What a
 * script sets is checked here, so that it can neither split a message nor touch the fields that frame it.  One
 * thread, that of the state.
 */
#include <string.h>

#include "base/compiler.h"
#include "http/exchange.h"
#include "http/fields.h"
#include "script/lua_priv.h"

#define BODY_MAX 65536

static struct ap_lua_call *
call_get(lua_State *L)
{
	struct ap_lua_call *call = ap_lua_state_of(L)->call;

	if (call == NULL || call->request == NULL)
		luaL_error(L, "there is no request here");
	return call;
}

static struct ap_http_head *
request_get(lua_State *L)
{
	return call_get(L)->request;
}

static struct ap_http_head *
request_get_writable(lua_State *L)
{
	struct ap_lua_call *call = call_get(L);

	if (call->request_frozen)
		luaL_error(L, "the request went out already");
	return call->request;
}

static struct ap_http_head *
response_get(lua_State *L)
{
	struct ap_lua_call *call = call_get(L);

	if (call->response == NULL)
		luaL_error(L, "there is no response here");
	return call->response;
}

/* Framing and connection fields are the codec's. */
static const char *const fixed_names[] = { "connection", "content-length", "host", "keep-alive", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade" };

static struct ap_slice
name_get(lua_State *L, int index, bool write, char *out, size_t size)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
	struct ap_slice name = ap_lua_text(L, index);

	if (name.len == 0 || name.len >= size)
		luaL_error(L, "not a header name");
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		c = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		if (c == '\0' || strchr(token, c) == NULL)
			luaL_error(L, "not a header name");
		out[i] = c;
	}
	name = ap_slice(out, name.len);
	for (size_t i = 0; write && i < AP_COUNTOF(fixed_names); i++)
		if (ap_slice_eq_text(name, fixed_names[i]))
			luaL_error(L, "the header %s belongs to the proxy", fixed_names[i]);
	return name;
}

static struct ap_slice
value_get(lua_State *L, int index)
{
	struct ap_slice value = ap_lua_text(L, index);

	if (value.len > 16384)
		luaL_error(L, "the header value is too long");
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			luaL_error(L, "a header value cannot hold control characters");
	}
	return ap_slice_trim(value);
}

static void
must(lua_State *L, bool done)
{
	if (!done)
		luaL_error(L, "the request's memory is full");
}

static int
fields_get(lua_State *L, const struct ap_fields *f)
{
	char low[128];
	struct ap_slice v = ap_fields_get(f, name_get(L, 2, false, low, sizeof(low)));

	if (v.ptr == NULL)
		lua_pushnil(L);
	else
		lua_pushlstring(L, v.ptr, v.len);
	return 1;
}

/* header_values(name): every value of that name, in order. */
static int
fields_values(lua_State *L, const struct ap_fields *f)
{
	char low[128];
	struct ap_slice name = name_get(L, 2, false, low, sizeof(low));
	lua_Integer n = 0;

	lua_newtable(L);
	for (uint32_t i = 0; i < f->count; i++) {
		if (!ap_slice_eq(f->items[i].name, name))
			continue;
		lua_pushlstring(L, f->items[i].value.ptr, f->items[i].value.len);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* headers(): { { name, value }, ... } in order. */
static int
fields_all(lua_State *L, const struct ap_fields *f)
{
	lua_createtable(L, (int)f->count, 0);
	for (uint32_t i = 0; i < f->count; i++) {
		lua_createtable(L, 2, 0);
		lua_pushlstring(L, f->items[i].name.ptr, f->items[i].name.len);
		lua_rawseti(L, -2, 1);
		lua_pushlstring(L, f->items[i].value.ptr, f->items[i].value.len);
		lua_rawseti(L, -2, 2);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int
fields_set(lua_State *L, struct ap_fields *f)
{
	char low[128];
	struct ap_slice name = name_get(L, 2, true, low, sizeof(low));

	must(L, ap_fields_set(f, name, value_get(L, 3)));
	return 0;
}

static int
fields_add(lua_State *L, struct ap_fields *f)
{
	char low[128];
	struct ap_slice name = name_get(L, 2, true, low, sizeof(low));

	must(L, ap_fields_add(f, name, value_get(L, 3)));
	return 0;
}

static int
fields_remove(lua_State *L, struct ap_fields *f)
{
	char low[128];

	lua_pushinteger(L, ap_fields_remove(f, name_get(L, 2, true, low, sizeof(low))));
	return 1;
}

static int
request_header(lua_State *L)
{
	return fields_get(L, &request_get(L)->fields);
}

static int
request_header_values(lua_State *L)
{
	return fields_values(L, &request_get(L)->fields);
}

static int
request_headers(lua_State *L)
{
	return fields_all(L, &request_get(L)->fields);
}

static int
request_set_header(lua_State *L)
{
	return fields_set(L, &request_get_writable(L)->fields);
}

static int
request_add_header(lua_State *L)
{
	return fields_add(L, &request_get_writable(L)->fields);
}

static int
request_remove_header(lua_State *L)
{
	return fields_remove(L, &request_get_writable(L)->fields);
}

/* set_path(path): with query; routes are chosen by what it says then. */
static int
request_set_path(lua_State *L)
{
	struct ap_http_head *head = request_get_writable(L);
	struct ap_slice path = ap_lua_text(L, 2);

	if (path.len == 0 || path.len > 8192 || path.ptr[0] != '/')
		return luaL_error(L, "a path begins with '/' and has at most 8192 bytes");
	for (size_t i = 0; i < path.len; i++)
		if ((unsigned char)path.ptr[i] <= 0x20 || path.ptr[i] == 0x7f || path.ptr[i] == '#')
			return luaL_error(L, "a path holds no blanks, control characters and '#'");
	path = ap_arena_copy(call_get(L)->arena, path);
	must(L, path.ptr != NULL);
	head->path = path;
	return 0;
}

static int
request_property(lua_State *L)
{
	struct ap_lua_call *call = call_get(L);
	const char *key = lua_tostring(L, 2);

	if (strcmp(key, "method") == 0)
		ap_lua_push(L, call->request->method);
	else if (strcmp(key, "path") == 0)
		ap_lua_push(L, call->request->path);
	else if (strcmp(key, "authority") == 0)
		ap_lua_push(L, call->request->authority);
	else if (strcmp(key, "scheme") == 0)
		ap_lua_push(L, call->request->scheme);
	else if (strcmp(key, "identity") == 0)
		ap_lua_push(L, call->conn == NULL ? AP_SLICE_NONE : call->conn->source.identity);
	else if (strcmp(key, "connection") == 0)
		lua_rawgeti(L, LUA_REGISTRYINDEX, ap_lua_state_of(L)->conn_ref);
	else
		return luaL_error(L, "a request has no field %s", key);
	return 1;
}

/* The third argument of respond: { ["x-a"] = "b" }. */
static struct ap_fields *
respond_fields(lua_State *L, struct ap_lua_call *call, int index)
{
	struct ap_fields *f = ap_arena_alloc(call->arena, sizeof(*f));

	must(L, f != NULL);
	ap_fields_init(f, call->arena);
	luaL_checktype(L, index, LUA_TTABLE);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		char low[128];

		if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
			luaL_error(L, "respond: headers are a table of names and texts");
		must(L, ap_fields_add(f, name_get(L, -2, true, low, sizeof(low)), value_get(L, -1)));
		lua_pop(L, 1);
	}
	return f;
}

/* respond(status [, headers [, body]]): answer without going further. */
static int
request_respond(lua_State *L)
{
	struct ap_lua_call *call = call_get(L);
	lua_Integer status = luaL_checkinteger(L, 2);
	struct ap_fields *fields = NULL;
	struct ap_slice body = AP_SLICE_NONE;

	request_get_writable(L);
	luaL_argcheck(L, status >= 200 && status <= 599, 2, "a status from 200 to 599 expected");
	if (!lua_isnoneornil(L, 3))
		fields = respond_fields(L, call, 3);
	if (!lua_isnoneornil(L, 4)) {
		body = ap_lua_text(L, 4);
		luaL_argcheck(L, body.len <= BODY_MAX, 4, "the body is too long");
		body = ap_arena_copy(call->arena, body);
		must(L, body.ptr != NULL);
	}
	call->out->status = (int)status;
	call->out->fields = fields;
	call->out->body = body;
	call->out->verdict = AP_LUA_RESPOND;
	return 0;
}

static int
response_header(lua_State *L)
{
	return fields_get(L, &response_get(L)->fields);
}

static int
response_header_values(lua_State *L)
{
	return fields_values(L, &response_get(L)->fields);
}

static int
response_headers(lua_State *L)
{
	return fields_all(L, &response_get(L)->fields);
}

static int
response_set_header(lua_State *L)
{
	return fields_set(L, &response_get(L)->fields);
}

static int
response_add_header(lua_State *L)
{
	return fields_add(L, &response_get(L)->fields);
}

static int
response_remove_header(lua_State *L)
{
	return fields_remove(L, &response_get(L)->fields);
}

static int
response_set_status(lua_State *L)
{
	struct ap_http_head *head = response_get(L);
	lua_Integer status = luaL_checkinteger(L, 2);
	bool bodiless = head->status == 204 || head->status == 304;

	luaL_argcheck(L, status >= 200 && status <= 599, 2, "a status from 200 to 599 expected");
	if (bodiless != (status == 204 || status == 304))
		return luaL_error(L, "set_status: the answer's framing cannot change");
	head->status = (int)status;
	return 0;
}

static int
response_property(lua_State *L)
{
	struct ap_http_head *head = response_get(L);
	const char *key = lua_tostring(L, 2);

	if (strcmp(key, "status") == 0)
		lua_pushinteger(L, head->status);
	else
		return luaL_error(L, "a response has no field %s", key);
	return 1;
}

void
ap_lua_http_open(lua_State *L, struct ap_lua_state *st)
{
	static const luaL_Reg request_methods[] = { { "header", request_header },
		{ "header_values", request_header_values }, { "headers", request_headers },
		{ "set_header", request_set_header }, { "add_header", request_add_header },
		{ "remove_header", request_remove_header }, { "set_path", request_set_path },
		{ "respond", request_respond }, { NULL, NULL } };
	static const luaL_Reg response_methods[] = { { "header", response_header },
		{ "header_values", response_header_values }, { "headers", response_headers },
		{ "set_header", response_set_header }, { "add_header", response_add_header },
		{ "remove_header", response_remove_header }, { "set_status", response_set_status }, { NULL, NULL } };

	st->request_ref = ap_lua_object_new(L, "request", request_methods, request_property);
	st->response_ref = ap_lua_object_new(L, "response", response_methods, response_property);
}
