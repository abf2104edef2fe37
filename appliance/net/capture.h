/* capture.h -- what the kernel knows of a captured connection: its original destination and the owner of its socket. */
#ifndef NET_CAPTURE_H
#define NET_CAPTURE_H
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/error.h"

struct ap_socket_owner {
	uid_t uid;
	uint64_t cgroup_id; /* inode of the cgroup v2 folder; 0: unknown */
	uint64_t inode;     /* of the socket; 0 while a server has not accepted it */
};

struct ap_sock_diag;

AP_PUBLIC_BEGIN
/* SO_ORIGINAL_DST of an accepted socket, v4 or v6. 0 or negative errno (no conntrack entry). */
int ap_capture_original_dst(int fd, struct ap_addr *out);
/* A netlink socket for look-ups; one per worker. */
struct ap_sock_diag *ap_sock_diag_new(struct ap_error *err);
void ap_sock_diag_free(struct ap_sock_diag **d);
/* Owner of the local TCP socket with this local and remote address (as that socket sees them). 0 or negative errno. */
int ap_sock_diag_find(
    struct ap_sock_diag *d, const struct ap_addr *local, const struct ap_addr *remote, struct ap_socket_owner *out);
/* Owner of the listening TCP socket that serves this address and port (exact, then wildcard). */
int ap_sock_diag_find_listener(struct ap_sock_diag *d, const struct ap_addr *local, struct ap_socket_owner *out);
AP_PUBLIC_END

#endif
