/*
 * zt_rules.c -- the capture rules.  One table of our own, replaced in one transaction.
 *
 * Redirects apply only while the set `alive` holds the protocol, as an element with a timeout that our heartbeat renews: a
 * proxy that was killed does not strand its host.  What stays without us are the ports whose policy refuses plaintext
 * (`strict`): there nobody answers, which is what policy wants.
 *
 * Adding an element again does not renew its timeout; so a heartbeat adds (should it be gone), deletes and adds in one transaction.
 */
#include "ztunnel/zt_rules.h"

#include <stdio.h>

#define NEVER_OUT "22, 15008, 15012, 15020, 15021"
#define NEVER_IN "22, 6443, 15012, 20001"

static void
ports_set(struct ap_buf *out, const char *always, const uint16_t *more, uint32_t count)
{
	uint32_t i;

	ap_buf_printf(out, "{ %s", always);
	for (i = 0; i < count; i++)
		ap_buf_printf(out, ", %u", more[i]);
	ap_buf_add_text(out, " }");
}

static void
set(struct ap_buf *out, const char *name, const char *type, const char *flags)
{
	ap_buf_printf(out, "\tset %s {\n\t\ttype %s\n", name, type);
	if (flags[0] != '\0')
		ap_buf_printf(out, "\t\tflags %s\n", flags);
	ap_buf_add_text(out, "\t}\n");
}

static void
cidr_rule(struct ap_buf *out, const struct ap_cidr *c, const char *verdict)
{
	char text[AP_ADDR_TEXT];

	/* nft wants to be told in the same rule that there is a transport port to redirect to. */
	ap_buf_printf(out, "\t\tmeta l4proto tcp %s daddr %s %s\n", c->ip.len == 4 ? "ip" : "ip6",
	    ap_cidr_format(c, text, sizeof(text)), verdict);
}

static void
skip_own(const struct zt_rules *r, struct ap_buf *out)
{
	ap_buf_printf(out, "\t\tmeta mark & 0x%x == 0x%x return\n", ZT_MARK_MASK, r->cfg->mark);
}

static void
out_chain(const struct zt_rules *r, struct ap_buf *out)
{
	const struct ap_appliance *a = r->appliance;
	char to[64], text[AP_ADDR_TEXT];
	uint32_t i;

	ap_buf_add_text(out, "\tchain out {\n\t\ttype nat hook output priority -100; policy accept;\n");
	skip_own(r, out);
	ap_buf_printf(out, "\t\tmeta mark & 0x%x == 0x%x return\n", ZT_MARK_MASK, ZT_RETURN_MARK);
	ap_buf_add_text(out, "\t\tmeta l4proto != @alive return\n"
	                     "\t\tip daddr 127.0.0.0/8 return\n"
	                     "\t\tip6 daddr ::1 return\n");
	for (i = 0; i < r->exclude_user_count; i++)
		ap_buf_printf(out, "\t\tmeta skuid %u return\n", (unsigned)r->exclude_users[i]);
	if (r->cfg->dns) {
		ap_buf_printf(out, "\t\tudp dport 53 redirect to :%u\n", r->cfg->dns_port);
		ap_buf_printf(out, "\t\ttcp dport 53 redirect to :%u\n", r->cfg->dns_port);
	}
	ap_buf_add_text(out, "\t\tmeta l4proto != tcp return\n\t\ttcp dport ");
	ports_set(out, NEVER_OUT, a->capture.exclude_outbound_ports, a->capture.exclude_outbound_port_count);
	ap_buf_add_text(out, " return\n");
	if (r->control_plane.len > 0)
		ap_buf_printf(out, "\t\t%s daddr %s tcp dport { 6443, 15012, 20001 } return\n",
		    r->control_plane.len == 4 ? "ip" : "ip6",
		    ap_ip_format(&r->control_plane, text, sizeof(text)));
	for (i = 0; i < a->capture.exclude_cidr_count; i++)
		cidr_rule(out, &a->capture.exclude_cidrs[i], "return");
	(void)snprintf(to, sizeof(to), "redirect to :%u", r->cfg->outbound_port);
	for (i = 0; i < a->capture.include_cidr_count; i++)
		cidr_rule(out, &a->capture.include_cidrs[i], to);
	if (a->capture.mode == AP_CAPTURE_MESH) {
		ap_buf_printf(out, "\t\tmeta l4proto tcp ip daddr @mesh4 %s\n\t\tmeta l4proto tcp ip6 daddr @mesh6 %s\n", to, to);
		ap_buf_printf(out, "\t\tmeta l4proto tcp ip daddr @cidr4 %s\n\t\tmeta l4proto tcp ip6 daddr @cidr6 %s\n", to, to);
	} else if (a->capture.include_cidr_count == 0) {
		ap_buf_printf(out, "\t\tmeta l4proto tcp %s\n", to);
	}
	ap_buf_add_text(out, "\t}\n");
}

static void
pre_chain(const struct zt_rules *r, struct ap_buf *out)
{
	const struct ap_appliance *a = r->appliance;
	const struct zt_config *cfg = r->cfg;

	ap_buf_add_text(out, "\tchain pre {\n\t\ttype nat hook prerouting priority -100; policy accept;\n");
	skip_own(r, out);
	ap_buf_add_text(out, "\t\tiifname \"lo\" return\n"
	                     "\t\tmeta l4proto != tcp return\n"
	                     "\t\tfib daddr type != local return\n"
	                     "\t\ttcp dport ");
	ports_set(out, NEVER_IN, a->capture.exclude_inbound_ports, a->capture.exclude_inbound_port_count);
	ap_buf_printf(out, " return\n\t\ttcp dport { %u, %u, %u } return\n", cfg->hbone_port, cfg->metrics_port,
	    cfg->readiness_port);
	ap_buf_add_text(out, "\t\ttcp dport @foreign return\n");
	ap_buf_printf(out, "\t\ttcp dport @strict redirect to :%u\n", cfg->inbound_port);
	ap_buf_add_text(out, "\t\tmeta l4proto != @alive return\n");
	ap_buf_printf(out, "\t\tmeta l4proto tcp redirect to :%u\n\t}\n", cfg->inbound_port);
}

static void
mark_chains(const struct zt_rules *r, struct ap_buf *out)
{
	ap_buf_printf(out,
	    "\tchain mark_pre {\n\t\ttype filter hook prerouting priority -150; policy accept;\n"
	    "\t\tmeta mark & 0x%x == 0x%x ct mark set 0x%x\n\t}\n",
	    ZT_MARK_MASK, r->cfg->mark, ZT_RETURN_MARK);
	ap_buf_printf(out,
	    "\tchain mark_out {\n\t\ttype route hook output priority -150; policy accept;\n"
	    "\t\tmeta mark & 0x%x == 0x%x return\n"
	    "\t\tct mark 0x%x meta mark set 0x%x\n\t}\n",
	    ZT_MARK_MASK, r->cfg->mark, ZT_RETURN_MARK, ZT_RETURN_MARK);
	/*
	 * A connection that bears a client's address may draw the port of another one of that client, which was redirected
	 * to us and lives on in conntrack, if only as TIME_WAIT: it would be taken for that one. What is ours is told apart
	 * by a zone of its own, in this direction alone, since answers are not of our making.
	 */
	ap_buf_printf(out,
	    "\tchain zone_out {\n\t\ttype filter hook output priority -300; policy accept;\n"
	    "\t\tmeta mark & 0x%x == 0x%x ct original zone set 1\n\t}\n",
	    ZT_MARK_MASK, r->cfg->mark);
}

void
zt_rules_remove(struct ap_buf *out)
{
	/* Adding first makes the deletion succeed whether it was there or not. */
	ap_buf_add_text(out, "add table " ZT_TABLE "\ndelete table " ZT_TABLE "\n");
}

void
zt_rules_pause(struct ap_buf *out)
{
	ap_buf_add_text(out, "flush chain " ZT_TABLE " out\nflush chain " ZT_TABLE " pre\n");
}

void
zt_rules_heartbeat(struct ap_buf *out)
{
	ap_buf_printf(out,
	    "add element " ZT_TABLE " alive { tcp timeout %us, udp timeout %us }\n"
	    "delete element " ZT_TABLE " alive { tcp, udp }\n"
	    "add element " ZT_TABLE " alive { tcp timeout %us, udp timeout %us }\n",
	    ZT_ALIVE_MS / 1000, ZT_ALIVE_MS / 1000, ZT_ALIVE_MS / 1000, ZT_ALIVE_MS / 1000);
}

void
zt_rules_format(const struct zt_rules *r, struct ap_buf *out)
{
	zt_rules_remove(out);
	ap_buf_add_text(out, "table " ZT_TABLE " {\n");
	set(out, "alive", "inet_proto", "timeout");
	set(out, "mesh4", "ipv4_addr", "");
	set(out, "mesh6", "ipv6_addr", "");
	set(out, "cidr4", "ipv4_addr", "interval");
	set(out, "cidr6", "ipv6_addr", "interval");
	set(out, "strict", "inet_service", "");
	set(out, "foreign", "inet_service", "");
	out_chain(r, out);
	pre_chain(r, out);
	if (r->spoof)
		mark_chains(r, out);
	ap_buf_add_text(out, "}\n");
}
