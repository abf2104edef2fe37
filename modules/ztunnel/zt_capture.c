/*
 * zt_capture.c -- owns the nftables table.  Every change is one transaction of libnftables.  The sets follow the mesh by
 * difference: what they should hold is computed from the main thread's table a moment after it changed, compared with what
 * they hold, and the difference is applied.
 */
#include "ztunnel/zt_capture.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/vec.h"
#include "mesh/policy.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_rules.h"
#include "ztunnel/zt_spoof.h"

AP_LOG_MODULE(zt_capture);

#define HEARTBEAT_MS 1000U
#define SETTLE_MS 100U
#define COMMANDS_MAX ((size_t)64 * 1024 * 1024)

/* An element of some set: an address with its prefix, or a port. Comparable as bytes. */
struct element {
	uint8_t set; /* enum which */
	uint8_t bits;
	uint16_t port;
	struct ap_ip ip;
};
enum which { MESH4, MESH6, CIDR4, CIDR6, STRICT, FOREIGN };
static const char *const set_names[] = { "mesh4", "mesh6", "cidr4", "cidr6", "strict", "foreign" };

struct elements {
	AP_VEC(struct element) list;
};

struct zt_capture {
	struct zt *zt;
	struct nft_ctx *nft;
	struct ap_timer heartbeat, settle;
	struct elements now; /* what the kernel's sets hold, sorted */
	bool is_installed, has_spoof;
	unsigned failures;
};

static int
run(struct zt_capture *c, const struct ap_buf *commands, struct ap_error *err)
{
	const char *text;
	size_t line;

	if (commands->bad)
		return ap_error_set(err, -E2BIG, "too many rules");
	if (nft_run_cmd_from_buffer(c->nft, commands->ptr) == 0)
		return 0;
	text = nft_ctx_get_error_buffer(c->nft);
	line = text == NULL ? 0 : strcspn(text, "\n");
	return ap_error_set(err, -EIO, "nftables: %.*s", (int)line, text == NULL ? "" : text);
}

/* What the sets should hold. */

static void
want(struct elements *e, enum which set, const struct ap_ip *ip, uint8_t bits, uint16_t port)
{
	struct element x;

	memset(&x, 0, sizeof(x));
	x.set = (uint8_t)set;
	x.bits = bits;
	x.port = port;
	if (ip != NULL) {
		x.ip.len = ip->len;
		memcpy(x.ip.bytes, ip->bytes, ip->len);
	}
	ap_vec_push(&e->list, x);
}

struct collecting {
	struct zt *zt;
	struct elements *out;
};

static bool
collect_service(struct ap_mesh_service *s, void *arg)
{
	struct collecting *c = arg;
	uint32_t i;

	for (i = 0; i < s->vip_count; i++) {
		const struct ap_cidr *v = &s->vips[i].cidr;
		bool six = v->ip.len == 16;

		if (!ap_slice_eq(s->vips[i].network, c->zt->network) || ap_ip_is_loopback(&v->ip))
			continue;
		if (v->bits == v->ip.len * 8)
			want(c->out, six ? MESH6 : MESH4, &v->ip, 0, 0);
		else
			want(c->out, six ? CIDR6 : CIDR4, &v->ip, v->bits, 0);
	}
	return true;
}

/* A port of this host whose policy would refuse a caller without a certificate stays captured when we are gone. */
static void
collect_own(struct collecting *c, const struct ap_mesh_workload *w, uint16_t port)
{
	const struct ap_mesh_table *t = ap_mesh_feed_table(c->zt->feed);
	struct ap_authz_request nobody = { .destination_port = port };

	if (zt_hosted_find(c->zt->hosted, w->identity) == NULL) {
		want(c->out, FOREIGN, NULL, 0, port);
		return;
	}
	if (w->ip_count > 0)
		nobody.destination_ip = w->ips[0];
	if (ap_authz_check(t, w, &nobody).verdict != AP_AUTHZ_ALLOW)
		want(c->out, STRICT, NULL, 0, port);
}

static void
collect_ports(struct collecting *c, const struct ap_mesh_workload *w)
{
	const struct zt_hosted_workload *h = zt_hosted_find(c->zt->hosted, w->identity);
	const struct ap_mesh_table *t = ap_mesh_feed_table(c->zt->feed);
	uint32_t i, j;

	for (i = 0; h != NULL && i < h->port_count; i++)
		collect_own(c, w, h->ports[i].port);
	for (i = 0; i < w->membership_count; i++) {
		const struct ap_mesh_service *s = ap_mesh_find_service(t, w->memberships[i].service);

		for (j = 0; s != NULL && j < s->port_count; j++) {
			uint16_t port = ap_mesh_target_port(w, s, s->ports[j].service_port);

			if (port != 0)
				collect_own(c, w, port);
		}
	}
}

static bool
collect_workload(struct ap_mesh_workload *w, void *arg)
{
	struct collecting *c = arg;
	bool own = false;
	uint32_t i;

	if (!ap_slice_eq(w->network, c->zt->network))
		return true;
	for (i = 0; i < w->ip_count; i++) {
		if (!ap_ip_is_loopback(&w->ips[i]))
			want(c->out, w->ips[i].len == 16 ? MESH6 : MESH4, &w->ips[i], 0, 0);
		own = own || zt_config_is_own_ip(&c->zt->cfg, &w->ips[i]);
	}
	if (own)
		collect_ports(c, w);
	return true;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct element));
}

static void
sort_unique(struct elements *e)
{
	size_t i, n = 0;

	if (e->list.count == 0)
		return;
	qsort(e->list.items, e->list.count, sizeof(*e->list.items), compare);
	for (i = 1; i < e->list.count; i++) {
		if (compare(&e->list.items[n], &e->list.items[i]) != 0)
			e->list.items[++n] = e->list.items[i];
	}
	e->list.count = n + 1;
}

static void
element_text(const struct element *x, struct ap_buf *out)
{
	char text[AP_ADDR_TEXT];

	if (x->set >= STRICT)
		ap_buf_printf(out, "%u", x->port);
	else if (x->bits > 0)
		ap_buf_printf(out, "%s/%u", ap_ip_format(&x->ip, text, sizeof(text)), x->bits);
	else
		ap_buf_add_text(out, ap_ip_format(&x->ip, text, sizeof(text)));
}

/* One command per set: `verb` those of `have` that are not in `other`. Both sorted. */
static void
commands_for(struct ap_buf *out, const char *verb, enum which set, const struct elements *have, const struct elements *other)
{
	size_t i, j = 0;
	bool begun = false;

	for (i = 0; i < have->list.count; i++) {
		const struct element *x = &have->list.items[i];

		while (j < other->list.count && compare(&other->list.items[j], x) < 0)
			j++;
		if (x->set != set || (j < other->list.count && compare(&other->list.items[j], x) == 0))
			continue;
		if (begun)
			ap_buf_add_text(out, ", ");
		else
			ap_buf_printf(out, "%s element " ZT_TABLE " %s { ", verb, set_names[set]);
		begun = true;
		element_text(x, out);
	}
	if (begun)
		ap_buf_add_text(out, " }\n");
}

/* Overlapping intervals would be refused: only the widest of those that lie in each other is kept. */
static void
drop_covered(struct elements *e)
{
	size_t i, j, n = 0;

	for (i = 0; i < e->list.count; i++) {
		const struct element *x = &e->list.items[i];
		bool covered = false;

		for (j = 0; (x->set == CIDR4 || x->set == CIDR6) && j < e->list.count && !covered; j++) {
			const struct element *y = &e->list.items[j];
			struct ap_cidr wide = { .ip = y->ip, .bits = y->bits };

			covered = y->set == x->set && y->bits < x->bits && ap_cidr_has(&wide, &x->ip);
		}
		if (!covered)
			e->list.items[n++] = *x;
	}
	e->list.count = n;
}

static void
difference(const struct elements *old, const struct elements *new, struct ap_buf *out)
{
	enum which set;

	for (set = MESH4; set <= FOREIGN; set++) {
		commands_for(out, "delete", set, old, new);
		commands_for(out, "add", set, new, old);
	}
}

static void
update_sets(struct zt_capture *c)
{
	struct elements next = { 0 };
	struct collecting with = { .zt = c->zt, .out = &next };
	struct ap_buf commands;
	struct ap_error err;

	if (ap_config_appliance(c->zt->config)->capture.mode == AP_CAPTURE_MESH)
		ap_mesh_each_service(ap_mesh_feed_table(c->zt->feed), collect_service, &with);
	ap_mesh_each_workload(ap_mesh_feed_table(c->zt->feed), collect_workload, &with);
	sort_unique(&next);
	drop_covered(&next);
	ap_buf_init(&commands, COMMANDS_MAX);
	difference(&c->now, &next, &commands);
	if (commands.len > 0 && run(c, &commands, &err) != 0) {
		LOG_ERROR(NULL, "capture is not up to date: %s", err.text);
		c->failures++;
		ap_vec_done(&next.list);
	} else {
		ap_vec_done(&c->now.list);
		c->now = next;
	}
	ap_buf_done(&commands);
}

static void
on_settle(struct ap_timer *t, void *arg)
{
	struct zt_capture *c = arg;

	(void)t;
	if (c->is_installed)
		update_sets(c);
}

static void
on_heartbeat(struct ap_timer *t, void *arg)
{
	struct zt_capture *c = arg;
	struct ap_buf commands;
	struct ap_error err;

	ap_buf_init(&commands, 4096);
	zt_rules_heartbeat(&commands);
	if (run(c, &commands, &err) == 0) {
		c->failures = 0;
	} else {
		/* Somebody took our table away: it is ours to put back. */
		LOG_WARN_LIMIT(NULL, 1, "heartbeat of the capture rules: %s", err.text);
		if (zt_capture_install(c, &err) != 0 && c->failures++ == 0)
			LOG_ERROR(NULL, "traffic is not captured: %s", err.text);
	}
	ap_buf_done(&commands);
	ap_timer_start(t, HEARTBEAT_MS);
}

static struct ap_slice
host_of(struct ap_slice address)
{
	size_t colon = ap_slice_find_last(address, ':');

	return colon == SIZE_MAX ? address : ap_slice_sub(address, 0, colon);
}

static uint32_t
find_users(const struct ap_appliance *a, uid_t *out, uint32_t max)
{
	uint32_t i, n = 0;

	for (i = 0; i < a->capture.exclude_user_count && n < max; i++) {
		struct ap_slice user = a->capture.exclude_users[i];
		char *name = ap_strndup(user.ptr, user.len);
		struct passwd *pw;
		uint64_t number;

		if (ap_text_to_u64(user, UINT32_MAX - 1, &number) == 0)
			out[n++] = (uid_t)number;
		else if ((pw = getpwnam(name)) != NULL)
			out[n++] = pw->pw_uid;
		else
			LOG_WARN(NULL, "capture.excludeUsers: there is no user %s", name);
		ap_free(&name);
	}
	return n;
}

int
zt_capture_install(struct zt_capture *c, struct ap_error *err)
{
	const struct ap_appliance *a = ap_config_appliance(c->zt->config);
	uid_t users[64];
	struct zt_rules rules = { .appliance = a,
		.cfg = &c->zt->cfg,
		.exclude_users = users,
		.exclude_user_count = find_users(a, users, AP_COUNTOF(users)),
		.spoof = c->zt->can_spoof };
	struct ap_buf commands;
	int r;

	if (c->nft == NULL)
		return 0;
	(void)ap_ip_parse(host_of(a->control_plane.address), &rules.control_plane);
	ap_buf_init(&commands, 1024 * 1024);
	zt_rules_format(&rules, &commands);
	zt_rules_heartbeat(&commands);
	r = run(c, &commands, err);
	ap_buf_done(&commands);
	if (r != 0)
		return r;
	c->is_installed = true;
	ap_vec_done(&c->now.list);
	update_sets(c);
	ap_timer_start(&c->heartbeat, HEARTBEAT_MS);
	return 0;
}

struct zt_capture *
zt_capture_new(struct zt *zt, struct ap_error *err)
{
	struct zt_capture *c = ap_new(struct zt_capture);

	c->zt = zt;
	ap_timer_init(&c->heartbeat, ap_host_main(zt->host)->loop, on_heartbeat, c);
	ap_timer_init(&c->settle, ap_host_main(zt->host)->loop, on_settle, c);
	if (ap_config_appliance(zt->config)->capture.mode == AP_CAPTURE_OFF)
		return c;
	c->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (c->nft == NULL) {
		(void)ap_error_set(err, -EIO, "nftables is not available");
		zt_capture_free(&c);
		return NULL;
	}
	(void)nft_ctx_buffer_error(c->nft);
	(void)nft_ctx_buffer_output(c->nft);
	if (zt->cfg.original_source == ZT_SOURCE_NEVER)
		return c;
	if (zt_spoof_install(err) == 0) {
		c->has_spoof = true;
		zt->can_spoof = true;
	} else if (zt->cfg.original_source == ZT_SOURCE_ALWAYS) {
		(void)ap_error_wrap(err, "originalSource: always");
		zt_capture_free(&c);
		return NULL;
	} else {
		LOG_WARN(NULL, "programs will not see their clients' addresses: %s", err->text);
	}
	return c;
}

void
zt_capture_mesh_changed(struct zt_capture *c)
{
	if (c->is_installed && !c->settle.armed)
		ap_timer_start(&c->settle, SETTLE_MS);
}

int
zt_capture_reload(struct zt_capture *c, struct ap_error *err)
{
	if (c->nft == NULL)
		return 0;
	if (ap_config_appliance(c->zt->config)->capture.mode == AP_CAPTURE_OFF) {
		zt_capture_remove(c);
		return 0;
	}
	return zt_capture_install(c, err);
}

void
zt_capture_pause(struct zt_capture *c)
{
	struct ap_buf commands;
	struct ap_error err;

	if (!c->is_installed)
		return;
	ap_timer_stop(&c->heartbeat);
	ap_timer_stop(&c->settle);
	ap_buf_init(&commands, 4096);
	zt_rules_pause(&commands);
	if (run(c, &commands, &err) != 0)
		LOG_WARN(NULL, "capture goes on: %s", err.text);
	ap_buf_done(&commands);
}

void
zt_capture_remove(struct zt_capture *c)
{
	struct ap_buf commands;
	struct ap_error err;

	if (!c->is_installed)
		return;
	c->is_installed = false;
	ap_timer_stop(&c->heartbeat);
	ap_timer_stop(&c->settle);
	ap_buf_init(&commands, 4096);
	zt_rules_remove(&commands);
	if (run(c, &commands, &err) != 0)
		LOG_ERROR(NULL, "capture rules are still there: %s; 'nft delete table " ZT_TABLE "' removes them", err.text);
	ap_buf_done(&commands);
}

void
zt_capture_free(struct zt_capture **c)
{
	struct zt_capture *old = *c;

	*c = NULL;
	if (old == NULL)
		return;
	zt_capture_remove(old);
	if (old->has_spoof)
		zt_spoof_remove();
	ap_timer_stop(&old->heartbeat);
	ap_timer_stop(&old->settle);
	if (old->nft != NULL)
		nft_ctx_free(old->nft);
	ap_vec_done(&old->now.list);
	ap_free(&old);
}

void
zt_capture_dump(struct zt_capture *c, struct ap_buf *out)
{
	const char *comma = "";
	size_t i;

	ap_buf_printf(out, "{\"installed\":%s,\"originalSource\":%s,\"elements\":[", c->is_installed ? "true" : "false",
	    c->zt->can_spoof ? "true" : "false");
	for (i = 0; i < c->now.list.count; i++) {
		ap_buf_printf(out, "%s\"%s ", comma, set_names[c->now.list.items[i].set]);
		element_text(&c->now.list.items[i], out);
		ap_buf_add_text(out, "\"");
		comma = ",";
	}
	ap_buf_add_text(out, "]}");
}
