/* zt_inbound.h -- what plaintext and HBONE inbound connections share: whose port it is, policy, and the way to the program. */
#ifndef ZTUNNEL_ZT_INBOUND_H
#define ZTUNNEL_ZT_INBOUND_H
#include "mesh/policy.h"
#include "ztunnel/zt_conn.h"
#include "ztunnel/zt_hosted.h"

/* Which hosted workload a port of this host belongs to: by declaration, by the services that lead there, else by the owner of the
 * listening socket. */
enum zt_owner_result zt_inbound_owner(
    struct zt_worker *zw, const struct ap_ip *ip, uint16_t port, const struct zt_hosted_workload **out);
/* The mesh's workload of that identity on this host; NULL: not known (yet). */
struct ap_mesh_workload *zt_inbound_workload(const struct zt_worker *zw, const struct ap_ip *ip, struct ap_slice spiffe);
/* Ask the policies about c (destination and actual are set). */
struct ap_authz_result zt_inbound_judge(const struct zt_conn *c);
/* Connect to c->actual, as the client where that is possible; then join (and answer the CONNECT, when there is one). */
void zt_inbound_connect(struct zt_conn *c);
/* End it as denied, with the reason in the log. */
void zt_inbound_deny(struct zt_conn *c, const struct ap_authz_result *r, enum zt_end why);

#endif
