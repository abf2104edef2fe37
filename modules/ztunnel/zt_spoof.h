/* zt_spoof.h -- the policy route that brings back replies to connections which we open with a client's address. */
#ifndef ZTUNNEL_ZT_SPOOF_H
#define ZTUNNEL_ZT_SPOOF_H
#include "base/error.h"

/* Packets with the return mark are delivered here: rule 32764 to table 100, which says that every address is local. IPv6 where the
 * host has it. Idempotent. Needs CAP_NET_ADMIN. */
int zt_spoof_install(struct ap_error *err);
void zt_spoof_remove(void);

#endif
