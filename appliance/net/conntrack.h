/*
 * conntrack.h -- what connection tracking knows of a redirected connection: the source port that the program really uses.  Two
 * connections from one port to two destinations become one when both are redirected to the same listener, so the kernel gives
 * the second one another port; whoever asks for the owner of its socket must ask by the port that it had.
 */
#ifndef NET_CONNTRACK_H
#define NET_CONNTRACK_H
#include "base/addr.h"
#include "base/compiler.h"
#include "base/error.h"

struct ap_conntrack;

AP_PUBLIC_BEGIN
/* A netlink socket for look-ups; one per worker. Needs CAP_NET_ADMIN at each look-up. */
struct ap_conntrack *ap_conntrack_new(struct ap_error *err);
void ap_conntrack_free(struct ap_conntrack **c);
/*
 * Source of the TCP connection before translation.  listener, seen: both ends of the accepted socket, as getsockname and
 * getpeername give them.  0, or negative errno (-ENOENT: not tracked).
 */
int ap_conntrack_original_source(
    struct ap_conntrack *c, const struct ap_addr *listener, const struct ap_addr *seen, struct ap_addr *out);
AP_PUBLIC_END

#endif
