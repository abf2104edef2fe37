/* need_parts.h -- between the collector of reasons and the maker of waypoint needs; nobody else includes this. */
#ifndef STATE_NEED_PARTS_H
#define STATE_NEED_PARTS_H
#include "base/vec.h"
#include "state/waypoint_need.h"

struct need_reasons {
	AP_VEC(struct ap_need_reason) list;
};

/* need_routes.c: VirtualService, HTTPRoute, RouteTable, DestinationRule. */
void need_collect_routes(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out);
/* need_policies.c: AuthorizationPolicy, RequestAuthentication, LuaPolicy. */
void need_collect_policies(struct ap_arena *arena, const struct ap_registry *r, struct need_reasons *out);
void need_add_reason(struct need_reasons *out, const struct ap_resource *res, const struct ap_reg_service *s,
    struct ap_slice field, struct ap_slice text, bool security);

#endif
