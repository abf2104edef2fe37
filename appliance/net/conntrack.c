/*
 * conntrack.c -- one question to ctnetlink: the original tuple of the connection whose reply tuple is (listener, seen).  The kernel
 * answers inside sendto(2) from its hash table, so nothing here waits.
 */
#include "net/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/netlink.h"

#define ATTR_HEAD sizeof(struct nlattr)
#define HEAD_SIZE ((size_t)NLMSG_HDRLEN + sizeof(struct nfgenmsg)) /* both are multiples of four */

struct ap_conntrack {
	int fd;
	uint32_t sequence;
};

struct ap_conntrack *
ap_conntrack_new(struct ap_error *err)
{
	int fd = ap_netlink_open(NETLINK_NETFILTER, "ctnetlink", err);
	struct ap_conntrack *c;

	if (fd < 0)
		return NULL;
	c = ap_new(struct ap_conntrack);
	c->fd = fd;
	return c;
}

void
ap_conntrack_free(struct ap_conntrack **c)
{
	if (*c == NULL)
		return;
	(void)close((*c)->fd);
	ap_free(c);
}

/* Attributes begin at multiples of four. */
static size_t
align(size_t size)
{
	return (size + 3U) & ~(size_t)3U;
}

/* A message under construction; bounded by what one question needs. */
struct message {
	union {
		struct nlmsghdr header;
		char bytes[256];
	} u;
	size_t len;
};

static void
add_bytes(struct message *m, const void *bytes, size_t size)
{
	memcpy(m->u.bytes + m->len, bytes, size);
	m->len += align(size);
}

static void
add_attr(struct message *m, uint16_t type, const void *bytes, size_t size)
{
	struct nlattr attr = { .nla_len = (uint16_t)(ATTR_HEAD + size), .nla_type = type };

	add_bytes(m, &attr, sizeof(attr));
	add_bytes(m, bytes, size);
}

/* Where the nest begins; its length is filled in by end_nest. */
static size_t
begin_nest(struct message *m, uint16_t type)
{
	struct nlattr attr = { .nla_type = (uint16_t)(type | NLA_F_NESTED) };
	size_t at = m->len;

	add_bytes(m, &attr, sizeof(attr));
	return at;
}

static void
end_nest(struct message *m, size_t at)
{
	uint16_t len = (uint16_t)(m->len - at);

	memcpy(m->u.bytes + at, &len, sizeof(len));
}

static void
add_end(struct message *m, const struct ap_ip *ip, bool is_source)
{
	if (ip->len == 4)
		add_attr(m, is_source ? CTA_IP_V4_SRC : CTA_IP_V4_DST, ip->bytes, 4);
	else
		add_attr(m, is_source ? CTA_IP_V6_SRC : CTA_IP_V6_DST, ip->bytes, 16);
}

static int
ask(struct ap_conntrack *c, const struct ap_addr *from, const struct ap_addr *to)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const uint8_t tcp = IPPROTO_TCP;
	struct message m = { .len = NLMSG_HDRLEN };
	struct nfgenmsg head = { .version = NFNETLINK_V0 };
	struct ap_ip from_ip, to_ip;
	uint16_t from_port = htons(ap_addr_port(from)), to_port = htons(ap_addr_port(to));
	size_t tuple, part;

	if (ap_addr_ip(from, &from_ip) != 0 || ap_addr_ip(to, &to_ip) != 0 || from_ip.len != to_ip.len)
		return -EAFNOSUPPORT;
	head.nfgen_family = from_ip.len == 4 ? AF_INET : AF_INET6;
	add_bytes(&m, &head, sizeof(head));
	tuple = begin_nest(&m, CTA_TUPLE_REPLY);
	part = begin_nest(&m, CTA_TUPLE_IP);
	add_end(&m, &from_ip, true);
	add_end(&m, &to_ip, false);
	end_nest(&m, part);
	part = begin_nest(&m, CTA_TUPLE_PROTO);
	add_attr(&m, CTA_PROTO_NUM, &tcp, sizeof(tcp));
	add_attr(&m, CTA_PROTO_SRC_PORT, &from_port, sizeof(from_port));
	add_attr(&m, CTA_PROTO_DST_PORT, &to_port, sizeof(to_port));
	end_nest(&m, part);
	end_nest(&m, tuple);
	m.u.header = (struct nlmsghdr){ .nlmsg_len = (uint32_t)m.len,
		.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
		.nlmsg_flags = NLM_F_REQUEST,
		.nlmsg_seq = ++c->sequence };
	if (sendto(c->fd, &m, m.len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* The attribute of that type within [at, at + left), its payload in *out_len; NULL when it is not there. */
static const char *
find_attr(const char *at, size_t left, uint16_t type, size_t *out_len)
{
	while (left >= sizeof(struct nlattr)) {
		struct nlattr attr;
		size_t step;

		memcpy(&attr, at, sizeof(attr));
		if (attr.nla_len < ATTR_HEAD || attr.nla_len > left)
			return NULL;
		if ((attr.nla_type & NLA_TYPE_MASK) == type) {
			*out_len = attr.nla_len - ATTR_HEAD;
			return at + ATTR_HEAD;
		}
		step = align(attr.nla_len);
		if (step > left)
			return NULL;
		at += step;
		left -= step;
	}
	return NULL;
}

static int
read_source(const char *attrs, size_t size, struct ap_addr *out)
{
	size_t tuple_len, len, ip_len;
	const char *tuple = find_attr(attrs, size, CTA_TUPLE_ORIG, &tuple_len);
	const char *ips = tuple == NULL ? NULL : find_attr(tuple, tuple_len, CTA_TUPLE_IP, &len);
	const char *bytes = ips == NULL ? NULL : find_attr(ips, len, CTA_IP_V4_SRC, &ip_len);
	const char *proto, *port_bytes;
	struct ap_ip ip;
	uint16_t port;

	if (bytes == NULL && ips != NULL)
		bytes = find_attr(ips, len, CTA_IP_V6_SRC, &ip_len);
	if (bytes == NULL || ap_ip_from_bytes(bytes, ip_len, &ip) != 0)
		return -EBADMSG;
	proto = find_attr(tuple, tuple_len, CTA_TUPLE_PROTO, &len);
	port_bytes = proto == NULL ? NULL : find_attr(proto, len, CTA_PROTO_SRC_PORT, &len);
	if (port_bytes == NULL || len != sizeof(port))
		return -EBADMSG;
	memcpy(&port, port_bytes, sizeof(port));
	*out = ap_addr_of(&ip, ntohs(port));
	return 0;
}

int
ap_conntrack_original_source(
    struct ap_conntrack *c, const struct ap_addr *listener, const struct ap_addr *seen, struct ap_addr *out)
{
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} u;
	int rc = ask(c, listener, seen);

	while (rc == 0) {
		ssize_t n = recv(c->fd, &u, sizeof(u), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (!NLMSG_OK(&u.header, (size_t)n))
			return -EBADMSG;
		if (u.header.nlmsg_seq != c->sequence)
			continue; /* the answer to a question that nobody waited for */
		if (u.header.nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *error = NLMSG_DATA(&u.header);

			return u.header.nlmsg_len < NLMSG_LENGTH(sizeof(error->error)) || error->error == 0 ? -EBADMSG : error->error;
		}
		if (u.header.nlmsg_len < HEAD_SIZE)
			return -EBADMSG;
		return read_source(u.bytes + HEAD_SIZE, u.header.nlmsg_len - HEAD_SIZE, out);
	}
	return rc;
}
