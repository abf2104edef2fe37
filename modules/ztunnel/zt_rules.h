/* zt_rules.h -- the nftables table that captures traffic, as text: a pure function of what is to be captured. */
#ifndef ZTUNNEL_ZT_RULES_H
#define ZTUNNEL_ZT_RULES_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/buf.h"
#include "model/appliance.h"
#include "ztunnel/zt_config.h"

#define ZT_TABLE "inet ambit"
#define ZT_RETURN_MARK 0x111U /* of connections that we opened with a client's address: their replies come back to us */
#define ZT_ALIVE_MS 4000U     /* how long the rules apply after the last heartbeat */

struct zt_rules {
	const struct ap_appliance *appliance;
	const struct zt_config *cfg;
	const uid_t *exclude_users;
	uint32_t exclude_user_count;
	struct ap_ip control_plane; /* len 0: not an address */
	bool spoof;                 /* with the marks that bring replies back */
};

/* The whole table, replacing one of an earlier life. Its sets: alive (the heartbeat), mesh4, mesh6, cidr4, cidr6 (destinations in
 * mode mesh), strict (ports that stay captured without us), foreign (ports of other proxies here). */
void zt_rules_format(const struct zt_rules *r, struct ap_buf *out);
/* The heartbeat: keeps the redirects alive for ZT_ALIVE_MS. */
void zt_rules_heartbeat(struct ap_buf *out);
/* No new connection is captured, and those that live keep their translation: the table and its chains stay, for without any
 * chain of type nat the kernel translates no packet. */
void zt_rules_pause(struct ap_buf *out);
void zt_rules_remove(struct ap_buf *out);

#endif
