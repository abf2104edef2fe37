/*
 * lua_pattern.c -- Lua's own patterns (string.find, match, gmatch, gsub) with a bound on the steps of a match: the library's
 * matcher backtracks in C, where no count hook runs, and a pattern of a few ".-" can keep it busy for years.  Each
 * step costs an instruction of the call's budget.  Behaviour is that of Lua 5.4's manual, 6.4.1.
 */
#include <ctype.h>
#include <string.h>

#include "base/compiler.h"
#include "script/lua_priv.h"

#define CAPTURES 32
#define DEPTH 100 /* nested matches; each takes C stack */
#define OPEN -1
#define POSITION -2

struct match {
	lua_State *L;
	const char *s, *s_end, *p_end;
	int depth;
	int level; /* captures, finished or not */
	size_t steps;
	struct {
		const char *at;
		ptrdiff_t len;
	} captures[CAPTURES];
};

static const char *match_here(struct match *m, const char *s, const char *p);

static void
match_step(struct match *m)
{
	if (++m->steps >= 64) {
		m->steps = 0;
		ap_lua_charge(m->L, 64);
	}
}

static int
class_has(int c, int class_)
{
	int r;

	switch (tolower(class_)) {
	case 'a':
		r = isalpha(c);
		break;
	case 'c':
		r = iscntrl(c);
		break;
	case 'd':
		r = isdigit(c);
		break;
	case 'g':
		r = isgraph(c);
		break;
	case 'l':
		r = islower(c);
		break;
	case 'p':
		r = ispunct(c);
		break;
	case 's':
		r = isspace(c);
		break;
	case 'u':
		r = isupper(c);
		break;
	case 'w':
		r = isalnum(c);
		break;
	case 'x':
		r = isxdigit(c);
		break;
	default:
		return class_ == c;
	}
	return isupper(class_) ? !r : r != 0;
}

/* The end of the single-character item that begins at p. */
static const char *
item_end(struct match *m, const char *p)
{
	if (p == m->p_end)
		luaL_error(m->L, "malformed pattern (ends where an item should stand)");
	if (*p == '%') {
		if (p + 1 == m->p_end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 2;
	}
	if (*p++ != '[')
		return p;
	if (p < m->p_end && *p == '^')
		p++;
	do {
		if (p == m->p_end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		if (*p++ == '%') {
			if (p == m->p_end)
				luaL_error(m->L, "malformed pattern (missing ']')");
			p++;
		}
	} while (p == m->p_end || *p != ']');
	return p + 1;
}

/* [set] from its '[' at p to its ']' at end. */
static int
set_has(int c, const char *p, const char *end)
{
	int wanted = 1;

	if (p[1] == '^') {
		wanted = 0;
		p++;
	}
	while (++p < end) {
		if (*p == '%') {
			p++;
			if (class_has(c, (unsigned char)*p))
				return wanted;
		} else if (p[1] == '-' && p + 2 < end) {
			p += 2;
			if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
				return wanted;
		} else if ((unsigned char)*p == c) {
			return wanted;
		}
	}
	return !wanted;
}

static int
item_has(struct match *m, const char *s, const char *p, const char *end)
{
	int c;

	match_step(m);
	if (s >= m->s_end)
		return 0;
	c = (unsigned char)*s;
	switch (*p) {
	case '.':
		return 1;
	case '%':
		return class_has(c, (unsigned char)p[1]);
	case '[':
		return set_has(c, p, end - 1);
	default:
		return (unsigned char)*p == c;
	}
}

static const char *
match_balance(struct match *m, const char *s, const char *p)
{
	int open, close, depth = 1;

	if (p + 1 >= m->p_end)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (s >= m->s_end || *s != *p)
		return NULL;
	open = *p;
	close = p[1];
	while (++s < m->s_end) {
		match_step(m);
		if (*s == close) {
			if (--depth == 0)
				return s + 1;
		} else if (*s == open) {
			depth++;
		}
	}
	return NULL;
}

static const char *
match_greedy(struct match *m, const char *s, const char *p, const char *end)
{
	ptrdiff_t i = 0;

	while (item_has(m, s + i, p, end))
		i++;
	for (; i >= 0; i--) {
		const char *r = match_here(m, s + i, end + 1);

		if (r != NULL)
			return r;
	}
	return NULL;
}

static const char *
match_lazy(struct match *m, const char *s, const char *p, const char *end)
{
	for (;;) {
		const char *r = match_here(m, s, end + 1);

		if (r != NULL)
			return r;
		if (!item_has(m, s, p, end))
			return NULL;
		s++;
	}
}

static const char *
capture_begin(struct match *m, const char *s, const char *p, ptrdiff_t what)
{
	const char *r;

	if (m->level >= CAPTURES)
		luaL_error(m->L, "too many captures");
	m->captures[m->level].at = s;
	m->captures[m->level].len = what;
	m->level++;
	r = match_here(m, s, p);
	if (r == NULL)
		m->level--;
	return r;
}

static const char *
capture_end(struct match *m, const char *s, const char *p)
{
	int l = m->level - 1;
	const char *r;

	while (l >= 0 && m->captures[l].len != OPEN)
		l--;
	if (l < 0)
		luaL_error(m->L, "invalid pattern capture");
	m->captures[l].len = s - m->captures[l].at;
	r = match_here(m, s, p);
	if (r == NULL)
		m->captures[l].len = OPEN;
	return r;
}

static const char *
match_back(struct match *m, const char *s, int digit)
{
	int l = digit - '1';
	size_t len;

	if (l < 0 || l >= m->level || m->captures[l].len == OPEN)
		luaL_error(m->L, "invalid capture index %%%d", l + 1);
	len = m->captures[l].len == POSITION ? 0 : (size_t)m->captures[l].len;
	if ((size_t)(m->s_end - s) < len || memcmp(m->captures[l].at, s, len) != 0)
		return NULL;
	return s + len;
}

static int
match_frontier(struct match *m, const char *s, const char *p, const char *end)
{
	int before = s == m->s ? 0 : (unsigned char)s[-1];
	int here = s < m->s_end ? (unsigned char)*s : 0;

	return !set_has(before, p, end - 1) && set_has(here, p, end - 1);
}

static const char *
match_item(struct match *m, const char **sp, const char **pp)
{
	const char *s = *sp, *p = *pp, *end = item_end(m, p), *r;
	int quantifier = end < m->p_end ? *end : 0;

	switch (quantifier) {
	case '?':
		if (item_has(m, s, p, end) && (r = match_here(m, s + 1, end + 1)) != NULL)
			return r;
		*pp = end + 1;
		return NULL;
	case '+':
		r = item_has(m, s, p, end) ? match_greedy(m, s + 1, p, end) : NULL;
		return r != NULL ? r : (*sp = NULL);
	case '*':
		r = match_greedy(m, s, p, end);
		return r != NULL ? r : (*sp = NULL);
	case '-':
		r = match_lazy(m, s, p, end);
		return r != NULL ? r : (*sp = NULL);
	default:
		*sp = item_has(m, s, p, end) ? s + 1 : NULL;
		*pp = end;
		return NULL;
	}
}

/* The end of a match of p that begins at s, or NULL. */
static const char *
match_here(struct match *m, const char *s, const char *p)
{
	const char *r = NULL;

	if (++m->depth > DEPTH)
		luaL_error(m->L, "pattern too complex");
	while (s != NULL && r == NULL && p != m->p_end) {
		match_step(m);
		if (*p == '(') {
			int position = p + 1 < m->p_end && p[1] == ')';

			r = capture_begin(m, s, p + 1 + position, position ? POSITION : OPEN);
			break;
		}
		if (*p == ')') {
			r = capture_end(m, s, p + 1);
			break;
		}
		if (*p == '$' && p + 1 == m->p_end) {
			r = s == m->s_end ? s : NULL;
			break;
		}
		if (*p == '%' && p + 1 < m->p_end && p[1] == 'b') {
			s = match_balance(m, s, p + 2);
			p += 4;
		} else if (*p == '%' && p + 1 < m->p_end && p[1] == 'f') {
			const char *end;

			p += 2;
			if (p == m->p_end || *p != '[')
				luaL_error(m->L, "missing '[' after '%%f' in pattern");
			end = item_end(m, p);
			if (!match_frontier(m, s, p, end))
				break;
			p = end;
		} else if (*p == '%' && p + 1 < m->p_end && isdigit((unsigned char)p[1])) {
			s = match_back(m, s, (unsigned char)p[1]);
			p += 2;
		} else {
			r = match_item(m, &s, &p);
		}
	}
	if (r == NULL && s != NULL && p == m->p_end)
		r = s;
	m->depth--;
	return r;
}

static void
capture_push(struct match *m, int i, const char *s, const char *e)
{
	ptrdiff_t len;

	if (i >= m->level) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(m->L, s, (size_t)(e - s));
		return;
	}
	len = m->captures[i].len;
	if (len == OPEN)
		luaL_error(m->L, "unfinished capture");
	if (len == POSITION)
		lua_pushinteger(m->L, m->captures[i].at - m->s + 1);
	else
		lua_pushlstring(m->L, m->captures[i].at, (size_t)len);
}

/* Push all captures, or the whole match when there is none and `whole`. */
static int
captures_push(struct match *m, const char *s, const char *e, int whole)
{
	int n = m->level == 0 && whole ? 1 : m->level;

	luaL_checkstack(m->L, n, "too many captures");
	for (int i = 0; i < n; i++)
		capture_push(m, i, s, e);
	return n;
}

static void
match_begin(struct match *m)
{
	m->level = 0;
	m->depth = 0;
}

static void
match_init(struct match *m, lua_State *L, const char *s, size_t len, const char *p, size_t p_len)
{
	m->L = L;
	m->s = s;
	m->s_end = s + len;
	m->p_end = p + p_len;
	m->steps = 0;
	match_begin(m);
}

static int
find_plain(lua_State *L, const char *s, size_t len, const char *p, size_t p_len, size_t from)
{
	const char *at;

	ap_lua_charge(L, 1 + (len - from) / 16);
	at = memmem(s + from, len - from, p, p_len);
	if (at == NULL)
		return 0;
	lua_pushinteger(L, at - s + 1);
	lua_pushinteger(L, at - s + (lua_Integer)p_len);
	return 2;
}

static int
find_or_match(lua_State *L, int find)
{
	size_t len, p_len, from;
	const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &p_len), *at;
	lua_Integer init = luaL_optinteger(L, 3, 1);
	int anchor = p_len > 0 && *p == '^';
	struct match m;

	if (init < 0)
		init = -init > (lua_Integer)len ? 1 : (lua_Integer)len + init + 1;
	from = init <= 1 ? 0 : (size_t)init - 1;
	if (from > len) {
		lua_pushnil(L);
		return 1;
	}
	if (find && lua_toboolean(L, 4)) {
		int n = find_plain(L, s, len, p, p_len, from);

		if (n == 0)
			lua_pushnil(L);
		return n == 0 ? 1 : n;
	}
	match_init(&m, L, s, len, p, p_len);
	at = s + from;
	do {
		const char *e;

		match_begin(&m);
		e = match_here(&m, at, p + anchor);
		if (e == NULL)
			continue;
		if (!find)
			return captures_push(&m, at, e, 1);
		lua_pushinteger(L, at - s + 1);
		lua_pushinteger(L, e - s);
		return captures_push(&m, at, e, 0) + 2;
	} while (at++ < m.s_end && !anchor);
	lua_pushnil(L);
	return 1;
}

static int
pattern_find(lua_State *L)
{
	return find_or_match(L, 1);
}

static int
pattern_match(lua_State *L)
{
	return find_or_match(L, 0);
}

/* Upvalues: text, pattern, where to go on, end of the last match (both from 0). */
static int
gmatch_next(lua_State *L)
{
	size_t len, p_len;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &len);
	const char *p = lua_tolstring(L, lua_upvalueindex(2), &p_len);
	const char *at = s + lua_tointeger(L, lua_upvalueindex(3));
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	struct match m;

	match_init(&m, L, s, len, p, p_len);
	for (; at <= m.s_end; at++) {
		const char *e;

		match_begin(&m);
		e = match_here(&m, at, p);
		if (e == NULL || e - s == last)
			continue;
		lua_pushinteger(L, e - s);
		lua_copy(L, -1, lua_upvalueindex(3));
		lua_replace(L, lua_upvalueindex(4));
		return captures_push(&m, at, e, 1);
	}
	return 0;
}

static int
pattern_gmatch(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checkstring(L, 2);
	lua_settop(L, 2);
	lua_pushinteger(L, 0);
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

static void
gsub_text(struct match *m, luaL_Buffer *b, const char *s, const char *e)
{
	size_t len;
	const char *text = lua_tolstring(m->L, 3, &len);

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '%') {
			luaL_addchar(b, text[i]);
			continue;
		}
		i++;
		if (i < len && text[i] == '%') {
			luaL_addchar(b, '%');
		} else if (i < len && text[i] == '0') {
			luaL_addlstring(b, s, (size_t)(e - s));
		} else if (i < len && isdigit((unsigned char)text[i])) {
			capture_push(m, text[i] - '1', s, e);
			luaL_tolstring(m->L, -1, NULL);
			lua_remove(m->L, -2);
			luaL_addvalue(b);
		} else {
			luaL_error(m->L, "invalid use of '%%' in replacement string");
		}
	}
}

/* Append what replaces the match [s, e). */
static void
gsub_add(struct match *m, luaL_Buffer *b, const char *s, const char *e, int type)
{
	lua_State *L = m->L;

	if (type == LUA_TSTRING || type == LUA_TNUMBER) {
		gsub_text(m, b, s, e);
		return;
	}
	if (type == LUA_TFUNCTION) {
		int n;

		lua_pushvalue(L, 3);
		n = captures_push(m, s, e, 1);
		lua_call(L, n, 1);
	} else {
		capture_push(m, 0, s, e);
		lua_rawget(L, 3);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(b, s, (size_t)(e - s));
	} else if (!lua_isstring(L, -1)) {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	} else {
		luaL_addvalue(b);
	}
}

static int
pattern_gsub(lua_State *L)
{
	size_t len, p_len;
	const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &p_len), *last = NULL;
	int type = lua_type(L, 3), anchor = p_len > 0 && *p == '^';
	lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)len + 1), n = 0;
	struct match m;
	luaL_Buffer b;

	luaL_argcheck(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE || type == LUA_TFUNCTION, 3,
	    "text, table or function expected");
	lua_settop(L, 4);
	match_init(&m, L, s, len, p, p_len);
	luaL_buffinit(L, &b);
	while (n < max) {
		const char *e;

		match_begin(&m);
		e = match_here(&m, s, p + anchor);
		if (e != NULL && e != last) {
			n++;
			gsub_add(&m, &b, s, e, type);
			s = last = e;
		} else if (s < m.s_end) {
			luaL_addchar(&b, *s++);
		} else {
			break;
		}
		if (anchor)
			break;
	}
	luaL_addlstring(&b, s, (size_t)(m.s_end - s));
	luaL_pushresult(&b);
	lua_pushinteger(L, n);
	return 2;
}

void
ap_lua_pattern_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "find", pattern_find }, { "match", pattern_match },
		{ "gmatch", pattern_gmatch }, { "gsub", pattern_gsub }, { NULL, NULL } };

	luaL_setfuncs(L, functions, 0);
}
