/*
 * t_route.h -- the one intermediate form of routes (ambit.waypoint.Route) and the parts that the families share.
 *
 * Each family's translator fills one Port of one service with routes, and says whether it has any.
 */
#ifndef CONTROL_PLANE_TRANSLATE_T_ROUTE_H
#define CONTROL_PLANE_TRANSLATE_T_ROUTE_H
#include "control_plane/translate/tr.h"

/* Where routes are put: one port of one service. */
struct tr_target {
	const struct ap_reg_service *service;
	const struct ap_need *need;
	const struct ap_reg_port *port;
	Ambit__Waypoint__Port *out;
};

/* Each: routes of the family that apply to the service, in order; false: the family says nothing about this port. */
bool tr_http_routes(struct tr *t, const struct tr_target *to);
bool tr_virtual_services(struct tr *t, const struct tr_target *to);
bool tr_route_tables(struct tr *t, const struct tr_target *to);
/* Before any of these: find out which object speaks for which service. */
void tr_index_virtual_services(struct tr *t);
void tr_index_route_tables(struct tr *t);
/* fn for each service that the hosts name. loose: "name.namespace" is understood too. */
void tr_each_named(struct tr *t, const struct ap_resource *res, bool loose,
    void (*fn)(struct tr *t, const struct ap_resource *res, const struct ap_reg_service *s, void *arg), void *arg);
/* Let an object compete for a service: that of the service's own namespace wins, then the oldest. */
void tr_compete(struct ap_map *best, const struct ap_resource *res, const struct ap_reg_service *s);
/* References that lead nowhere, and other words for the authors; once per run. */
void tr_note_http_routes(struct tr *t);
void tr_note_virtual_services(struct tr *t);
void tr_note_route_tables(struct tr *t);
void tr_note_destination_rules(struct tr *t);

/* t_parts.c */
Ambit__Waypoint__Route *tr_route_new(struct tr *t, Ambit__Waypoint__Port *p);
Ambit__Waypoint__Match *tr_match_new(struct tr *t, Ambit__Waypoint__Route *r);
/* Istio's StringMatch {exact|prefix|regex}; one with none of them matches what is there. */
Ambit__Waypoint__StringMatch *tr_istio_match(struct tr *t, const struct ap_doc *d);
Ambit__Waypoint__StringMatch *tr_exact(struct tr *t, struct ap_slice value);
Ambit__Waypoint__StringMatch *tr_regex(struct tr *t, struct ap_slice value);
Ambit__Waypoint__StringMatch *tr_present(struct tr *t);
Ambit__Waypoint__NamedMatch *tr_named(struct tr *t, struct ap_slice name, bool lower, Ambit__Waypoint__StringMatch *value);
/* {set,add,remove}: Istio's maps, or the Gateway API's lists of {name,value}. NULL when there is nothing. */
Ambit__Waypoint__HeaderChanges *tr_header_changes(struct tr *t, const struct ap_doc *d);
Ambit__Waypoint__Destination *tr_destination_new(struct tr *t);
/* Fill in host and port of a service; port 0: the one that was called, or the only one. */
void tr_destination_to(struct tr *t, Ambit__Waypoint__Destination *d, const struct ap_reg_service *s, uint32_t port,
    const struct tr_target *from);
void tr_direct(struct tr *t, Ambit__Waypoint__Route *r, uint32_t status, struct ap_slice body);
uint32_t tr_ms(const struct ap_doc *map, const char *key);
/* What Istio does where nobody says otherwise: two more tries when nothing can have happened yet. */
void tr_default_retry(struct tr *t, Ambit__Waypoint__Route *r);
/* Retry words "a,b,503" into words and status codes. */
void tr_retry_words(struct tr *t, Ambit__Waypoint__Retry *r, struct ap_slice words);
/* Labels of a DestinationRule's subset for a service; NULL: there is no such subset. */
const struct ap_doc *tr_subset(struct tr *t, const struct ap_reg_service *s, struct ap_slice name);
/* All DestinationRules of a service, oldest first, at most `most`; the number. */
size_t tr_rules_of(struct tr *t, const struct ap_reg_service *s, const struct ap_resource **out, size_t most);
/* Is there a ReferenceGrant for from (kind, namespace) to a Service of that name? */
bool tr_is_granted(const struct tr *t, const char *group, const char *kind, struct ap_slice from_namespace,
    struct ap_slice to_namespace, struct ap_slice to_name);

#endif
