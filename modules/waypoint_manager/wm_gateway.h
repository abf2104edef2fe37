/* wm_gateway.h -- what the manager writes to the API about a waypoint: its Gateway object, the reasons in it, and its status. */
#ifndef WAYPOINT_MANAGER_WM_GATEWAY_H
#define WAYPOINT_MANAGER_WM_GATEWAY_H
#include <stdbool.h>

#include "base/buf.h"
#include "state/waypoint_need.h"

/* A whole Gateway for a need that nobody wrote one for. Pure. */
void wm_gateway_body(const struct ap_need *need, struct ap_buf *out);
/* The annotation's text. Pure. */
void wm_gateway_reasons(const struct ap_need *need, struct ap_buf *out);
/* Does the object's annotation say these reasons? Pure. */
bool wm_gateway_has_reasons(const struct ap_resource *gateway, struct ap_slice reasons);
/* Merge patch of the annotation. Pure. */
void wm_gateway_reasons_patch(struct ap_slice reasons, struct ap_buf *out);
/* Merge patch of the status. `now`: RFC 3339. Pure. */
void wm_gateway_status_patch(struct ap_slice address, int64_t generation, bool ready, struct ap_slice now, struct ap_buf *out);
/* Does the status say Programmed, with this address? Pure. */
bool wm_gateway_says_ready(const struct ap_resource *gateway, struct ap_slice address);
/* Is the condition there at all (so that "not ready" was told)? Pure. */
bool wm_gateway_says_not_ready(const struct ap_resource *gateway);
bool wm_gateway_is_managed(const struct ap_resource *gateway);

#endif
