/* wp_local.h -- resources from a file instead of a control plane; for tests and benchmarks. */
#ifndef WAYPOINT_WP_LOCAL_H
#define WAYPOINT_WP_LOCAL_H
#include "base/error.h"
#include "xds/client.h"

/* {"resources": [{"type": "type.googleapis.com/...", "name": "...", "body": "<base64 of the message>"}]}: each type's resources are
 * given to its subscription as a first answer. Anything refused is an error. Blocks. */
int wp_local_load(
    const char *path, const struct ap_xds_subscription *subscriptions, size_t count, struct ap_error *err);

#endif
