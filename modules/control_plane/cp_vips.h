/* cp_vips.h -- addresses for services that have none: stable, from one range, found again after a restart by what their status says. */
#ifndef CONTROL_PLANE_CP_VIPS_H
#define CONTROL_PLANE_CP_VIPS_H
#include <stdbool.h>

#include "base/error.h"
#include "base/map.h"
#include "base/slice.h"
#include "state/registry.h"

struct cp_vips;

/* cidr: IPv4; empty: 240.240.0.0/16. */
struct cp_vips *cp_vips_new(struct ap_slice cidr, struct ap_error *err);
void cp_vips_free(struct cp_vips **v);
/* "namespace/hostname" -> text of the address; lives as long as v. */
const struct ap_map *cp_vips_map(const struct cp_vips *v);
/* Give an address to each service that needs one, take back those of services that are gone. True: something was given. */
bool cp_vips_assign(struct cp_vips *v, const struct ap_registry *r);

#endif
