/*
 * wp_table.h -- hosts, policies and scripts of a waypoint: decoded once on the main loop, applied as differences to each
 * worker's own table.
 *
 * Glossary: a *feed* is the main thread's side, fed by xDS; a *table* is one thread's map of the same counted objects; a
 * *binding* is a host with its policies and scripts looked up, made anew after a change; a request holds the binding under
 * which it began.
 */
#ifndef WAYPOINT_WP_TABLE_H
#define WAYPOINT_WP_TABLE_H
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "script/lua_host.h"
#include "waypoint/f_authz.h"
#include "waypoint/wp_route.h"
#include "xds/client.h"

struct ap_worker;
struct wp_feed;

struct wp_binding {
	uint32_t refs; /* one thread's */
	uint64_t generation;
	struct wp_host *host;
	struct wp_policy **policies;    /* NULL: named, not known */
	struct ap_lua_script **scripts; /* the same */
	uint32_t policy_count, script_count;
};

struct wp_table {
	struct ap_map hosts;    /* key: struct wp_host, one reference each */
	struct ap_map names;    /* hostname: key owner, the host that came last */
	struct ap_map policies; /* struct wp_policy */
	struct ap_map scripts;  /* struct ap_lua_script */
	struct ap_map bindings; /* key: struct wp_binding, one reference each */
	uint64_t generation;
};

void wp_table_done(struct wp_table *t);
struct wp_host *wp_table_host(const struct wp_table *t, struct ap_slice key);
/* By hostname alone, for CONNECT authorities with names. */
struct wp_host *wp_table_named(const struct wp_table *t, struct ap_slice hostname);
/* The host with what it names, one reference for the caller; NULL: no such host. */
struct wp_binding *wp_table_bind(struct wp_table *t, struct ap_slice key);
void wp_binding_unref(struct wp_binding **b);

/* Main loop. */
struct wp_feed *wp_feed_new(void);
void wp_feed_free(struct wp_feed **f); /* every table was detached */
#define WP_FEED_SUBSCRIPTIONS 3
void wp_feed_subscriptions(struct wp_feed *f, struct ap_xds_subscription out[WP_FEED_SUBSCRIPTIONS]);
const struct wp_table *wp_feed_table(const struct wp_feed *f);
/* On the worker's thread while main waits. changed runs there after each difference. */
void wp_feed_attach(struct wp_feed *f, struct ap_worker *w, struct wp_table *t, void (*changed)(void *arg), void *arg);
void wp_feed_detach(struct wp_feed *f, struct ap_worker *w);

#endif
