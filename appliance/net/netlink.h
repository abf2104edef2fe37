/* netlink.h -- a netlink socket for questions that the kernel answers at once. */
#ifndef NET_NETLINK_H
#define NET_NETLINK_H
#include "base/error.h"

/* Descriptor, close-on-exec, that waits at most a second for an answer; negative errno with err: "cannot open <what>: ...". */
int ap_netlink_open(int protocol, const char *what, struct ap_error *err);

#endif
