/*
 * lua_host.h -- runs the operators' Lua: sandboxed, with an instruction, a memory and a time budget for each call, and a
 * declared fallback when a script fails.
 *
 * Glossary: a *script* is a LuaPolicy's source with its limits, compiled once to prove that it can be, immutable and
 * shared between threads; a *host* belongs to one thread and holds a *state* (a lua_State of its own, so that one
 * tenant's script cannot see another's) for each script that was called there; a *hook* is a global function of the
 * script: on_connect, on_request, on_response.  What scripts see is documented in lua/README.md.
 */
#ifndef SCRIPT_LUA_HOST_H
#define SCRIPT_LUA_HOST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

struct ap_http_head;
struct ap_fields;
struct ap_lua_host;
struct ap_lua_script;
struct ap_shard;

#define AP_LUA_INSTRUCTIONS 100000U /* presets of the limits */
#define AP_LUA_MEMORY_KIB 1024U
#define AP_LUA_WALL_MS 50U
#define AP_LUA_SOURCE_MAX ((size_t)256 * 1024)

enum ap_lua_hook { AP_LUA_ON_CONNECT, AP_LUA_ON_REQUEST, AP_LUA_ON_RESPONSE, AP_LUA_HOOKS };

struct ap_lua_settings {
	struct ap_slice name;    /* "<namespace>/<name>" of the policy; for logs and metrics */
	struct ap_slice version; /* for logs */
	struct ap_slice source;
	uint32_t max_instructions; /* per call; 0: the preset */
	uint32_t max_memory_kib;   /* per state; 0: the preset */
	uint32_t max_wall_ms;      /* per call, looked at every 1,000 instructions; 0: the preset */
	bool allow_on_error;       /* else a failing script denies */
	bool hooks[AP_LUA_HOOKS];  /* functions that the source must define; the others are not called */
};

struct ap_lua_label {
	struct ap_slice key, value;
};

/* One end of a connection. What is empty is nil to the script. */
struct ap_lua_peer {
	struct ap_slice identity; /* spiffe://..., only as proved by TLS */
	struct ap_slice namespace_, service_account, workload;
	struct ap_addr address;
	const struct ap_lua_label *labels;
	size_t label_count;
};

struct ap_lua_conn {
	struct ap_lua_peer source, destination;
	struct ap_slice service; /* host name of the service, as far as known */
	uint16_t port;           /* the destination's */
};

#define AP_LUA_TAGS_MAX 16
enum ap_lua_verdict { AP_LUA_ALLOW, AP_LUA_DENY, AP_LUA_RESPOND };

/* Everything lives in the arena given to the call. */
struct ap_lua_result {
	enum ap_lua_verdict verdict;
	bool failed;              /* the script failed, and the verdict is its fallback */
	struct ap_slice reason;   /* DENY: the script's words, or what went wrong */
	int status;               /* RESPOND, or DENY of a request (403) */
	struct ap_fields *fields; /* RESPOND; may be NULL */
	struct ap_slice body;
	struct ap_lua_label tags[AP_LUA_TAGS_MAX]; /* set by tag(); for the access log and later hooks */
	size_t tag_count;
};

AP_PUBLIC_BEGIN
/* Compile and run the source's body once under its limits. NULL with the reason in err. Any thread. */
struct ap_lua_script *ap_lua_script_new(const struct ap_lua_settings *settings, struct ap_error *err);
struct ap_lua_script *ap_lua_script_ref(struct ap_lua_script *s);
/* The last reference retires the script: hosts drop their states of it when they make a new one, or by sweep. */
void ap_lua_script_unref(struct ap_lua_script **s);
bool ap_lua_script_has(const struct ap_lua_script *s, enum ap_lua_hook hook);
struct ap_slice ap_lua_script_name(const struct ap_lua_script *s);

/* For the calling thread; shard (may be NULL) gets the counters. */
struct ap_lua_host *ap_lua_host_new(struct ap_shard *shard);
void ap_lua_host_free(struct ap_lua_host **host);
/* Free the states of scripts that were retired. */
void ap_lua_host_sweep(struct ap_lua_host *host);
/* States alive; for tests and dumps. */
size_t ap_lua_host_states(const struct ap_lua_host *host);

/* Call a hook; a script that lacks it allows. out is filled in each case. The connection's tags are kept by the caller:
 * what is in out->tags before the call stays there and can be read by the script. */
void ap_lua_on_connect(struct ap_lua_host *host, struct ap_lua_script *s, const struct ap_lua_conn *conn,
    struct ap_arena *arena, struct ap_lua_result *out);
/* The script may change request->path and request->fields. */
void ap_lua_on_request(struct ap_lua_host *host, struct ap_lua_script *s, const struct ap_lua_conn *conn,
    struct ap_http_head *request, struct ap_arena *arena, struct ap_lua_result *out);
/* The script may change response->status and response->fields. */
void ap_lua_on_response(struct ap_lua_host *host, struct ap_lua_script *s, const struct ap_lua_conn *conn,
    const struct ap_http_head *request, struct ap_http_head *response, struct ap_arena *arena,
    struct ap_lua_result *out);
AP_PUBLIC_END

#endif
