/* cp_reported.h -- the condition ambit.mesh/Honoured: which fields of an object are kept but not honoured. The worker's thread. */
#ifndef CONTROL_PLANE_CP_REPORTED_H
#define CONTROL_PLANE_CP_REPORTED_H
#include "control_plane/cp.h"

struct cp_reported;

/* When resources are loaded: looks at all of them, then at what changes. */
struct cp_reported *cp_reported_start(struct cp *cp);
void cp_reported_stop(struct cp_reported **reported);

#endif
