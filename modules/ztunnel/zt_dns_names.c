/* zt_dns_names.c -- names of services, in full and in Kubernetes' short forms, to virtual addresses or to those of the endpoints. */
#include "ztunnel/zt_dns_names.h"

#include <stdio.h>

#include "base/rand.h"

static void
add(struct zt_dns_answer *out, const struct ap_ip *ip, bool v6)
{
	if (ip->len == (v6 ? 16 : 4) && out->count < ZT_DNS_ADDRESSES_MAX)
		out->ips[out->count++] = *ip;
}

static void
shuffle(struct zt_dns_answer *out)
{
	size_t i;

	for (i = out->count; i > 1; i--) {
		size_t j = ap_rand_below((uint32_t)i);
		struct ap_ip t = out->ips[i - 1];

		out->ips[i - 1] = out->ips[j];
		out->ips[j] = t;
	}
}

static void
addresses_of(const struct ap_mesh_table *t, const struct ap_mesh_service *s, const struct zt_dns_question *q,
    struct zt_dns_answer *out)
{
	struct ap_mesh_workloads endpoints;
	uint32_t i, j;

	for (i = 0; i < s->vip_count; i++) {
		const struct ap_mesh_vip *v = &s->vips[i];

		if (ap_slice_eq(v->network, q->from.network) && v->cidr.bits == v->cidr.ip.len * 8)
			add(out, &v->cidr.ip, q->v6);
	}
	if (s->vip_count > 0)
		return;
	/* Headless: the endpoints themselves, the healthy ones. */
	endpoints = ap_mesh_endpoints(t, s);
	for (i = 0; i < endpoints.count; i++) {
		const struct ap_mesh_workload *w = endpoints.items[i];

		if (!w->is_healthy && !s->allow_unhealthy)
			continue;
		for (j = 0; j < w->ip_count; j++)
			add(out, &w->ips[j], q->v6);
	}
}

static bool
ends_in_domain(struct ap_slice name, struct ap_slice domain)
{
	return name.len > domain.len + 1 && ap_slice_ends(name, domain) && name.ptr[name.len - domain.len - 1] == '.';
}

static size_t
label_count(struct ap_slice name)
{
	size_t n = 0;

	while (name.ptr != NULL) {
		(void)ap_slice_cut(&name, '.');
		n++;
	}
	return n;
}

/* The service of a name as given or in one of its short forms. */
static struct ap_mesh_service *
find_service(const struct ap_mesh_table *t, const struct zt_dns_question *q, struct ap_slice name)
{
	struct ap_mesh_service *s = ap_mesh_find_host(t, &q->from, name);
	char full[512];
	int n = -1;

	if (s != NULL || ends_in_domain(name, q->cluster_domain))
		return s;
	switch (label_count(name)) {
	case 1:
		if (q->from.namespace_.len > 0)
			n = snprintf(full, sizeof(full), "%.*s.%.*s.svc.%.*s", AP_FMT(name), AP_FMT(q->from.namespace_),
			    AP_FMT(q->cluster_domain));
		break;
	case 2:
		n = snprintf(full, sizeof(full), "%.*s.svc.%.*s", AP_FMT(name), AP_FMT(q->cluster_domain));
		break;
	case 3:
		if (ap_slice_ends(name, AP_S(".svc")))
			n = snprintf(full, sizeof(full), "%.*s.%.*s", AP_FMT(name), AP_FMT(q->cluster_domain));
		break;
	default:
		break;
	}
	if (n <= 0 || (size_t)n >= sizeof(full))
		return NULL;
	return ap_mesh_find_host(t, &q->from, ap_slice(full, (size_t)n));
}

void
zt_dns_find(const struct ap_mesh_table *t, const struct zt_dns_question *q, struct zt_dns_answer *out)
{
	struct ap_mesh_service *s = find_service(t, q, q->name);
	size_t i;
	int n;

	out->known = false;
	out->count = 0;
	out->canonical = AP_SLICE_NONE;
	for (i = 0; s == NULL && i < q->search_count; i++) {
		struct ap_slice bare;

		if (!ends_in_domain(q->name, q->search[i]))
			continue;
		bare = ap_slice_sub(q->name, 0, q->name.len - q->search[i].len - 1);
		s = find_service(t, q, bare);
		if (s == NULL)
			continue;
		n = snprintf(out->room, sizeof(out->room), "%.*s", AP_FMT(bare));
		out->canonical = ap_slice(out->room, (size_t)n);
	}
	if (s == NULL)
		return;
	out->known = true;
	addresses_of(t, s, q, out);
	shuffle(out);
}
