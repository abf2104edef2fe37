/* wm_world.h -- the resources as the API shows them: every kind listed once, then watched; kept as a set. */
#ifndef WAYPOINT_MANAGER_WM_WORLD_H
#define WAYPOINT_MANAGER_WM_WORLD_H
#include <stdbool.h>

#include "model/resource.h"

struct ap_loop;
struct wm_client;
struct wm_world;

/* changed: something did, after every kind was listed at least once. */
struct wm_world *wm_world_new(struct ap_loop *loop, struct wm_client *client, void (*changed)(void *arg), void *arg);
/* Free the client before it: its callbacks point in here. */
void wm_world_free(struct wm_world **w);
bool wm_world_is_complete(const struct wm_world *w);
const struct ap_resource_set *wm_world_resources(const struct wm_world *w);

#endif
