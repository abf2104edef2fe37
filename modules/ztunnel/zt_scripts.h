/*
 * zt_scripts.h -- LuaPolicy's on_connect at the node: scripts arrive by xDS on the main loop and are given to the workers; each
 * worker runs them in its own states.
 */
#ifndef ZTUNNEL_ZT_SCRIPTS_H
#define ZTUNNEL_ZT_SCRIPTS_H
#include "base/buf.h"

struct ap_worker;
struct ap_xds_subscription;
struct zt_conn;
struct zt_script_view;
struct zt_scripts;

/* Main. */
struct zt_scripts *zt_scripts_new(void);
void zt_scripts_free(struct zt_scripts **s);
void zt_scripts_subscription(struct zt_scripts *s, struct ap_xds_subscription *out);

/* In worker_start and worker_stop. */
struct zt_script_view *zt_scripts_attach(struct zt_scripts *s, struct ap_worker *w);
void zt_script_view_free(struct zt_script_view **v);
/* Ask every script about a connection whose ends are known. NULL: allowed; else the reason, good until the next call. */
const char *zt_scripts_judge(struct zt_conn *c);

#endif
