/* k_http_route.h -- the parts of HTTPRoute's schema, which is cut in two files. */
#ifndef MODEL_K_HTTP_ROUTE_H
#define MODEL_K_HTTP_ROUTE_H
#include "base/error.h"
#include "model/schema.h"

extern const struct ap_schema ap_http_route_filter;
void ap_http_route_check_filters(const struct ap_doc *list, struct ap_errors *errs);
void ap_http_route_check_backend(const struct ap_doc *node, struct ap_errors *errs);

#endif
