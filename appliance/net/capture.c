/*
 * capture.c -- questions to the kernel about a captured connection.
 *
 * The owner of a socket comes from sock_diag.  Both questions are exact look-ups through the kernel's own hash tables, so
 * their cost does not grow with the number of sockets: for a listener, the address of the connection that never was is
 * looked up, and the kernel falls back to the listening socket that would take it, exact address first, then wildcard.
 * The kernel answers inside sendto(2), so nothing here waits.  One netlink socket per user; its thread.
 */
#include "net/capture.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/netlink.h"

#define ORIGINAL_DST 80 /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; their headers quarrel with libc's */

int
ap_capture_original_dst(int fd, struct ap_addr *out)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	struct ap_addr local;

	if (getsockname(fd, (struct sockaddr *)&storage, &len) != 0)
		return -errno;
	/* IPv4 on a dual-stack socket is IPv4 to conntrack. */
	local = ap_addr_from_sockaddr((struct sockaddr *)&storage, len);
	if (local.len == 0 || ap_addr_is_unix(&local))
		return -EAFNOSUPPORT;
	len = sizeof(storage);
	if (getsockopt(fd, local.u.sa.sa_family == AF_INET6 ? SOL_IPV6 : SOL_IP, ORIGINAL_DST, &storage, &len) != 0)
		return -errno;
	*out = ap_addr_from_sockaddr((struct sockaddr *)&storage, len);
	return out->len == 0 ? -EINVAL : 0;
}

struct ap_sock_diag {
	int fd;
	uint32_t sequence;
};

struct ap_sock_diag *
ap_sock_diag_new(struct ap_error *err)
{
	int fd = ap_netlink_open(NETLINK_SOCK_DIAG, "sock_diag", err);
	struct ap_sock_diag *d;

	if (fd < 0)
		return NULL;
	d = ap_new(struct ap_sock_diag);
	d->fd = fd;
	return d;
}

void
ap_sock_diag_free(struct ap_sock_diag **d)
{
	if (*d == NULL)
		return;
	(void)close((*d)->fd);
	ap_free(d);
}

static void
put_address(__be32 *words, __be16 *port, const struct ap_addr *a)
{
	if (a == NULL)
		return; /* zero: no such peer */
	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(words, &a->u.in6.sin6_addr, 16);
		*port = a->u.in6.sin6_port;
	} else {
		memcpy(words, &a->u.in.sin_addr, 4);
		*port = a->u.in.sin_port;
	}
}

static void
read_owner(const struct nlmsghdr *header, struct ap_socket_owner *out, int *out_state)
{
	const struct inet_diag_msg *msg = NLMSG_DATA(header);
	const char *at = (const char *)(msg + 1);
	size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof(*msg));

	*out = (struct ap_socket_owner){ .uid = msg->idiag_uid, .inode = msg->idiag_inode };
	*out_state = msg->idiag_state;
	while (left >= sizeof(struct rtattr)) {
		struct rtattr attr;
		size_t step;

		memcpy(&attr, at, sizeof(attr));
		if (attr.rta_len < sizeof(attr) || attr.rta_len > left)
			return;
		if (attr.rta_type == INET_DIAG_CGROUP_ID && attr.rta_len >= RTA_LENGTH(sizeof(out->cgroup_id)))
			memcpy(&out->cgroup_id, at + RTA_LENGTH(0), sizeof(out->cgroup_id));
		step = RTA_ALIGN((size_t)attr.rta_len);
		if (step > left)
			return;
		at += step;
		left -= step;
	}
}

static int
ask(struct ap_sock_diag *d, const struct ap_addr *local, const struct ap_addr *remote)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 req;
	} question = { .header = { .nlmsg_len = sizeof(question),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST,
			   .nlmsg_seq = ++d->sequence },
		.req = { .sdiag_family = (uint8_t)local->u.sa.sa_family,
		    .sdiag_protocol = IPPROTO_TCP,
		    .idiag_states = UINT32_MAX,
		    .id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } };
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	put_address(question.req.id.idiag_src, &question.req.id.idiag_sport, local);
	put_address(question.req.id.idiag_dst, &question.req.id.idiag_dport, remote);
	if (sendto(d->fd, &question, sizeof(question), 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* The answer to the question just asked; older ones, that nobody waited for, are skipped. */
static int
answer(struct ap_sock_diag *d, struct ap_socket_owner *out, int *out_state)
{
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} u;

	for (;;) {
		ssize_t n = recv(d->fd, &u, sizeof(u), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (!NLMSG_OK(&u.header, (size_t)n))
			return -EBADMSG;
		if (u.header.nlmsg_seq != d->sequence)
			continue;
		if (u.header.nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *error = NLMSG_DATA(&u.header);

			return u.header.nlmsg_len < NLMSG_LENGTH(sizeof(error->error)) || error->error == 0
				   ? -EBADMSG
				   : error->error;
		}
		if (u.header.nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			return -EBADMSG;
		read_owner(&u.header, out, out_state);
		return 0;
	}
}

static int
look_up(struct ap_sock_diag *d, const struct ap_addr *local, const struct ap_addr *remote, bool listens,
    struct ap_socket_owner *out)
{
	struct ap_socket_owner owner;
	int state, rc;

	if (local->len == 0 || ap_addr_is_unix(local))
		return -EAFNOSUPPORT;
	if (remote != NULL && remote->u.sa.sa_family != local->u.sa.sa_family)
		return -EAFNOSUPPORT;
	rc = ask(d, local, remote);
	if (rc == 0)
		rc = answer(d, &owner, &state);
	if (rc != 0)
		return rc;
	if ((state == TCP_LISTEN) != listens)
		return -ENOENT; /* the kernel fell back to something else */
	*out = owner;
	return 0;
}

int
ap_sock_diag_find(
    struct ap_sock_diag *d, const struct ap_addr *local, const struct ap_addr *remote, struct ap_socket_owner *out)
{
	return look_up(d, local, remote, false, out);
}

int
ap_sock_diag_find_listener(struct ap_sock_diag *d, const struct ap_addr *local, struct ap_socket_owner *out)
{
	return look_up(d, local, NULL, true, out);
}
