/* wp_worker.h -- the role's callbacks on a worker's thread. */
#ifndef WAYPOINT_WP_WORKER_H
#define WAYPOINT_WP_WORKER_H
#include "waypoint/wp_priv.h"

int wp_worker_start(void *self, struct ap_worker *w, void **ws, struct ap_error *err);
void wp_worker_drain(void *ws);
void wp_worker_stop(void *ws);

#endif
