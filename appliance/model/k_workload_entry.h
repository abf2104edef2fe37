/* k_workload_entry.h -- the schema of a workload, which ServiceEntry's endpoints share. */
#ifndef MODEL_K_WORKLOAD_ENTRY_H
#define MODEL_K_WORKLOAD_ENTRY_H
#include "model/schema.h"

extern const struct ap_schema ap_workload_entry_spec;

#endif
