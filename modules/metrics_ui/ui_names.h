/*
 * ui_names.h -- what the control plane's objects say of names: which workloads are waypoints, which services have one and
 * why, on which hosts workloads run.  Immutable once built; made anew when the objects change.
 */
#ifndef UI_NAMES_H
#define UI_NAMES_H
#include <stdbool.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/slice.h"
#include "codec/doc.h"

struct ui_waypoint {
	struct ap_slice id; /* namespace/name */
	struct ap_slice namespace_, name;
	bool managed, ready;
	struct ap_slice message; /* why it is not ready */
	struct ap_slice *addresses;
	uint32_t address_count;
	const struct ap_doc *reasons; /* list of texts or maps, or NULL */
	const struct ap_doc *services; /* list of texts, or NULL */
};

struct ui_workload {
	struct ap_slice id; /* namespace/name */
	struct ap_slice namespace_, name, app, version, principal;
	struct ap_slice *hosts;
	uint32_t host_count;
	bool healthy;
};

struct ui_service {
	struct ap_slice host; /* name.namespace.svc.domain, or a ServiceEntry's */
	struct ap_slice namespace_, name, kind;
	struct ap_slice waypoint; /* namespace/name, or empty */
	struct ap_slice vip;
};

struct ui_names {
	struct ap_arena *arena;
	struct ap_map waypoints; /* id -> ui_waypoint */
	struct ap_map workloads; /* id -> ui_workload */
	struct ap_map services;  /* host -> ui_service */
	struct ap_map principals; /* principal -> ui_workload; NULL value: several workloads bear it */
};

struct ui_names *ui_names_new(void);
void ui_names_free(struct ui_names **names);
/* Find or add; NULL when the arena is full. */
struct ui_waypoint *ui_names_waypoint(struct ui_names *n, struct ap_slice namespace_, struct ap_slice name);
struct ui_workload *ui_names_workload(struct ui_names *n, struct ap_slice namespace_, struct ap_slice name);
struct ui_service *ui_names_service(struct ui_names *n, struct ap_slice host);
void ui_names_workload_host(struct ui_names *n, struct ui_workload *w, struct ap_slice host);
/* Fill `principals`; after the last workload. */
void ui_names_finish(struct ui_names *n);
/* The waypoint that an end with this identity and workload is, or NULL. */
const struct ui_waypoint *ui_names_is_waypoint(
    const struct ui_names *n, struct ap_slice principal, struct ap_slice namespace_, struct ap_slice workload);

#endif
