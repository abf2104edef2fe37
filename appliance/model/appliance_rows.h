/* appliance_rows.h -- the rows of the Appliance document, for the loader and the manual. */
#ifndef MODEL_APPLIANCE_ROWS_H
#define MODEL_APPLIANCE_ROWS_H
#include "base/compiler.h"
#include "model/schema.h"

AP_PUBLIC_BEGIN
extern const struct ap_schema ap_appliance_root;
/* Without the roles' sections, but with their keys, which are not looked into. */
extern const struct ap_schema ap_appliance_spec;
AP_PUBLIC_END

#endif
