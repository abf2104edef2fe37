/* zt_dns.h -- the DNS proxy: UDP and TCP on the loopback addresses; mesh names from the table, all others forwarded. One worker. */
#ifndef ZTUNNEL_ZT_DNS_H
#define ZTUNNEL_ZT_DNS_H
#include "base/error.h"

struct zt_dns;
struct zt_worker;

struct zt_dns *zt_dns_new(struct zt_worker *zw, struct ap_error *err);
void zt_dns_free(struct zt_dns **d);

#endif
