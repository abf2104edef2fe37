/* k_virtual_service.h -- the parts of VirtualService's schema, which is cut in two files. */
#ifndef MODEL_K_VIRTUAL_SERVICE_H
#define MODEL_K_VIRTUAL_SERVICE_H
#include "base/error.h"
#include "model/schema.h"

extern const struct ap_schema ap_vs_string_match, ap_vs_http_match, ap_vs_headers, ap_vs_destination, ap_vs_tcp, ap_vs_tls;
/* List of routes: weights are not negative, and not all zero when there are several. */
void ap_vs_check_weights(const struct ap_doc *list, struct ap_errors *errs);

#endif
