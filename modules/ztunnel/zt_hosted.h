/*
 * zt_hosted.h -- the workloads of this host: who they are, and which of them owns a socket, by what the kernel says of it.
 *
 * Glossary: a workload's *selectors* must all hold; a workload without selectors takes what no other one takes; two that match
 * one socket are *ambiguous*, and such a connection is refused.
 */
#ifndef ZTUNNEL_ZT_HOSTED_H
#define ZTUNNEL_ZT_HOSTED_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/refs.h"
#include "base/slice.h"
#include "model/appliance.h"
#include "net/capture.h"

struct zt_hosted_workload {
	struct ap_slice name, namespace_, account; /* in the config, which the list holds */
	char *spiffe;
	struct ap_slice unit, cgroup, executable;
	uid_t uid;
	bool has_uid, has_ip, has_selector, is_elsewhere; /* elsewhere: selected by network namespace, not seen here */
	struct ap_ip ip;
	const struct ap_appliance_port *ports;
	uint32_t port_count;
};

/* Immutable and counted: workers keep the one that they were given. */
struct zt_hosted {
	struct ap_refs refs;
	struct ap_config *config;
	struct zt_hosted_workload *items;
	uint32_t count;
	bool needs_cgroup, needs_executable;
};

/* What a worker remembers of cgroups; one per worker. */
struct zt_owners;

enum zt_owner_result { ZT_OWNER_FOUND, ZT_OWNER_NONE, ZT_OWNER_AMBIGUOUS };

struct zt_hosted *zt_hosted_new(struct ap_config *config, struct ap_error *err);
struct zt_hosted *zt_hosted_ref(struct zt_hosted *h);
void zt_hosted_unref(struct zt_hosted **h);
/* By identity; NULL: not here. */
const struct zt_hosted_workload *zt_hosted_find(const struct zt_hosted *h, struct ap_slice spiffe);
/* The one that declares this port; NULL: none does. */
const struct zt_hosted_workload *zt_hosted_by_port(const struct zt_hosted *h, uint16_t port);

struct zt_owners *zt_owners_new(void);
void zt_owners_free(struct zt_owners **o);
/* Which workload a socket of this owner belongs to. ip: its local address. Reads /proc and the cgroup tree when selectors need it. */
enum zt_owner_result zt_owners_find(struct zt_owners *o, const struct zt_hosted *h, const struct ap_socket_owner *owner,
    const struct ap_ip *ip, const struct zt_hosted_workload **out);
/* For tests: whether a cgroup path lies in a unit or below a cgroup. */
bool zt_cgroup_matches(struct ap_slice path, const struct zt_hosted_workload *w);

#endif
