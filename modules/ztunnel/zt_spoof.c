/* zt_spoof.c -- two rtnetlink messages per address family, sent and acknowledged one by one. Main thread, at start and stop. */
#include "ztunnel/zt_spoof.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ztunnel/zt_config.h"
#include "ztunnel/zt_rules.h"

#define TABLE 100U
#define PRIORITY 32764U

struct request {
	struct nlmsghdr head;
	union {
		struct fib_rule_hdr rule;
		struct rtmsg route;
	} body;
	char room[256];
};

static void
put_u32(struct request *q, unsigned short type, uint32_t value)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)q + NLMSG_ALIGN(q->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = RTA_LENGTH(sizeof(value));
	memcpy(RTA_DATA(a), &value, sizeof(value));
	q->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void
begin(struct request *q, int type, size_t body, bool add)
{
	memset(q, 0, sizeof(*q));
	q->head.nlmsg_len = NLMSG_LENGTH((uint32_t)body);
	q->head.nlmsg_type = (unsigned short)type;
	q->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	if (add)
		q->head.nlmsg_flags = (unsigned short)(q->head.nlmsg_flags | NLM_F_CREATE | NLM_F_EXCL);
}

static int
send_one(int fd, const struct request *q)
{
	union {
		struct nlmsghdr head;
		char room[1024];
	} answer;
	const struct nlmsgerr *e;
	ssize_t n;

	if (send(fd, q, q->head.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.head.nlmsg_type != NLMSG_ERROR)
		return n < 0 ? -errno : -EPROTO;
	e = NLMSG_DATA(&answer.head);
	return e->error;
}

static int
change_rule(int fd, unsigned char family, bool add)
{
	struct request q;

	begin(&q, add ? RTM_NEWRULE : RTM_DELRULE, sizeof(q.body.rule), add);
	q.body.rule.family = family;
	q.body.rule.table = TABLE;
	q.body.rule.action = FR_ACT_TO_TBL;
	put_u32(&q, FRA_PRIORITY, PRIORITY);
	put_u32(&q, FRA_FWMARK, ZT_RETURN_MARK);
	put_u32(&q, FRA_FWMASK, ZT_MARK_MASK);
	put_u32(&q, FRA_TABLE, TABLE);
	return send_one(fd, &q);
}

static int
change_route(int fd, unsigned char family, bool add)
{
	struct request q;

	begin(&q, add ? RTM_NEWROUTE : RTM_DELROUTE, sizeof(q.body.route), add);
	q.body.route.rtm_family = family;
	q.body.route.rtm_table = TABLE;
	q.body.route.rtm_protocol = RTPROT_STATIC;
	q.body.route.rtm_scope = RT_SCOPE_HOST;
	q.body.route.rtm_type = RTN_LOCAL;
	put_u32(&q, RTA_OIF, if_nametoindex("lo"));
	put_u32(&q, RTA_TABLE, TABLE);
	return send_one(fd, &q);
}

static int
change(bool add)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), r;

	if (fd < 0)
		return -errno;
	r = change_rule(fd, AF_INET, add);
	if (r == 0 || r == -EEXIST)
		r = change_route(fd, AF_INET, add);
	if (r == -EEXIST)
		r = 0;
	/* A host without IPv6 has no use for these. */
	if (r == 0 && change_rule(fd, AF_INET6, add) != -EAFNOSUPPORT)
		(void)change_route(fd, AF_INET6, add);
	close(fd);
	return r;
}

int
zt_spoof_install(struct ap_error *err)
{
	int r = change(true);

	return r == 0 ? 0 : ap_error_set(err, r, "policy route for client addresses: %s", strerror(-r));
}

void
zt_spoof_remove(void)
{
	(void)change(false);
}
