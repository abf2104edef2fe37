/*
 * xds_cache.h -- the last good configuration on disk (0600): a proxy starts and serves while its control plane is away.
 *
 * A cache stands between the xDS client and who applies its updates.  Each type has a file: the first answer begins it anew,
 * later ones are appended, and a start replays it as a first answer.  What the control plane then says replaces it.
 */
#ifndef MESH_XDS_CACHE_H
#define MESH_XDS_CACHE_H
#include <stdbool.h>

#include "base/compiler.h"
#include "base/slice.h"
#include "xds/client.h"

struct ap_xds_cache;

AP_PUBLIC_BEGIN
/* folder exists. Main loop. */
struct ap_xds_cache *ap_xds_cache_new(struct ap_slice folder);
void ap_xds_cache_free(struct ap_xds_cache **c);
/* Put the cache in front of a subscription, which is changed, and replay what the file holds. True: there was something. name: of the
 * file. Blocks. */
bool ap_xds_cache_add(struct ap_xds_cache *c, struct ap_xds_subscription *subscription, const char *name);
AP_PUBLIC_END

#endif
