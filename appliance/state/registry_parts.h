/* registry_parts.h -- what the files of the registry share; nobody else includes this. */
#ifndef STATE_REGISTRY_PARTS_H
#define STATE_REGISTRY_PARTS_H
#include "base/vec.h"
#include "state/registry.h"

struct reg_workloads {
	struct ap_reg_workload **items;
	size_t count, room;
};

/* While it is built; the lists are on the heap until they are copied into the arena. */
struct reg_build {
	struct ap_registry *r;
	const struct ap_map *vips;
	AP_VEC(struct ap_reg_service *) services;
	AP_VEC(struct ap_reg_workload *) workloads;
	struct ap_map by_label; /* "namespace\nname\nvalue" -> struct reg_workloads */
};

/* A NUL-terminated copy in the registry's arena. */
struct ap_slice reg_printf(struct reg_build *b, const char *fmt, ...) AP_PRINTF(2, 3);

/* registry_workload.c */
void reg_add_workload_entries(struct reg_build *b);
/* An endpoint written inside a ServiceEntry. host: its address when it names none. */
struct ap_reg_workload *reg_inline_workload(
    struct reg_build *b, const struct ap_resource *entry, const struct ap_doc *endpoint, struct ap_slice host, size_t index);
/* Every workload of the namespace whose labels hold the selector (not empty) becomes an endpoint. */
void reg_select(struct reg_build *b, struct ap_reg_service *s, const struct ap_doc *selector);
void reg_add_endpoint(struct reg_build *b, struct ap_reg_service *s, struct ap_reg_workload *w);
void reg_mark_shared(struct reg_build *b);

/* registry_service.c */
void reg_add_services(struct reg_build *b);
void reg_add_service_entries(struct reg_build *b);
void reg_add_waypoints(struct reg_build *b);

#endif
