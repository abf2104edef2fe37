/* zt_http.h -- the proxy's own HTTP: dumps on the loopback address, metrics, readiness. Main loop. */
#ifndef ZTUNNEL_ZT_HTTP_H
#define ZTUNNEL_ZT_HTTP_H
#include "base/error.h"

struct zt;
struct zt_http;

struct zt_http *zt_http_new(struct zt *zt, struct ap_error *err);
void zt_http_free(struct zt_http **h);

#endif
