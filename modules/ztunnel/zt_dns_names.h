/* zt_dns_names.h -- which names the mesh answers, and with what: a pure function of the table (istio-ambient.md 8). */
#ifndef ZTUNNEL_ZT_DNS_NAMES_H
#define ZTUNNEL_ZT_DNS_NAMES_H
#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/slice.h"
#include "mesh/table.h"

#define ZT_DNS_ADDRESSES_MAX 64
#define ZT_DNS_SEARCH_MAX 8

struct zt_dns_question {
	struct ap_slice name;   /* lower case, without a final dot */
	bool v6;
	struct ap_mesh_origin from; /* the asking workload's namespace and network */
	struct ap_slice cluster_domain;
	const struct ap_slice *search; /* domains that the asker's resolver appends */
	size_t search_count;
};

struct zt_dns_answer {
	bool known;                /* else: somebody else's name, to be forwarded */
	struct ap_slice canonical; /* the name that matched, when a search domain was stripped; else empty. In `room` */
	struct ap_ip ips[ZT_DNS_ADDRESSES_MAX];
	size_t count; /* 0 and known: a name without an address of this family */
	char room[256];
};

void zt_dns_find(const struct ap_mesh_table *t, const struct zt_dns_question *q, struct zt_dns_answer *out);

#endif
