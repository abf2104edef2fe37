/* feed.h -- from xDS to every thread's table: decodes updates on the main loop, applies the difference there and on each worker. */
#ifndef MESH_FEED_H
#define MESH_FEED_H
#include <stdint.h>

#include "base/compiler.h"
#include "mesh/table.h"
#include "xds/client.h"

struct ap_mesh_feed;
struct ap_mesh_view; /* one worker's table */
struct ap_worker;

#define AP_MESH_CHANGED_POLICIES 1U
#define AP_MESH_CHANGED_WORKLOADS 2U
#define AP_MESH_CHANGED_SERVICES 4U

AP_PUBLIC_BEGIN
/* Main loop. */
struct ap_mesh_feed *ap_mesh_feed_new(void);
void ap_mesh_feed_free(struct ap_mesh_feed **f); /* every view was detached */
/* Give these to ap_xds_client_settings: Address and Authorization. */
#define AP_MESH_FEED_SUBSCRIPTIONS 2
void ap_mesh_feed_subscriptions(struct ap_mesh_feed *f, struct ap_xds_subscription out[AP_MESH_FEED_SUBSCRIPTIONS]);
/* The main thread's own table. */
const struct ap_mesh_table *ap_mesh_feed_table(const struct ap_mesh_feed *f);
/* Called on the main loop after an update was applied there. One listener. */
void ap_mesh_feed_on_change(struct ap_mesh_feed *f, void (*fn)(unsigned changed, void *arg), void *arg);
/* In the role's worker_start, on the worker's thread (the main thread waits meanwhile). changed (may be NULL) runs on the worker after
 * it applied a difference. */
struct ap_mesh_view *ap_mesh_feed_attach(
    struct ap_mesh_feed *f, struct ap_worker *w, void (*changed)(unsigned changed, void *arg), void *arg);
/* In worker_stop. */
void ap_mesh_view_free(struct ap_mesh_view **v);
/* The same pointer for the life of the view. */
const struct ap_mesh_table *ap_mesh_view_table(const struct ap_mesh_view *v);
AP_PUBLIC_END

#endif
