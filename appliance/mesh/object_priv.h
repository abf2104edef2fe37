/* object_priv.h -- what object.c and object_decode.c share. */
#ifndef MESH_OBJECT_PRIV_H
#define MESH_OBJECT_PRIV_H
#include "base/check.h"

#define AP_MESH_WORKLOAD_MAGIC AP_MAGIC('M', 'W', 'L', 'D')
#define AP_MESH_SERVICE_MAGIC AP_MAGIC('M', 'S', 'V', 'C')

#endif
