/* policy_priv.h -- a compiled policy, for policy.c and policy_dump.c. */
#ifndef MESH_POLICY_PRIV_H
#define MESH_POLICY_PRIV_H
#include "base/addr.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/refs.h"
#include "mesh/policy.h"

#define POLICY_MAGIC AP_MAGIC('A', 'U', 'T', 'Z')

enum text_kind { TEXT_EXACT, TEXT_PREFIX, TEXT_SUFFIX, TEXT_PRESENT };

struct text_match {
	enum text_kind kind;
	struct ap_slice text;
};
struct texts {
	const struct text_match *items;
	size_t count;
};
struct cidrs {
	const struct ap_cidr *items;
	size_t count;
};
struct ports {
	const uint16_t *items;
	size_t count;
};
struct account {
	struct ap_slice namespace_, account;
};
struct accounts {
	const struct account *items;
	size_t count;
};

struct match {
	struct texts namespaces, not_namespaces, principals, not_principals;
	struct cidrs source_ips, not_source_ips, destination_ips, not_destination_ips;
	struct ports ports, not_ports;
	struct accounts accounts, not_accounts;
	bool is_empty;
};
struct rules {
	const struct match *items;
	size_t count;
};
struct group {
	const struct rules *items;
	size_t count;
};

struct ap_authz_policy {
	uint32_t magic;
	struct ap_refs refs;
	struct ap_arena *arena; /* holds all below, and this struct is beside it on the heap */
	struct ap_slice key, namespace_;
	enum ap_authz_scope scope;
	bool is_deny, is_dry_run;
	const struct group *groups;
	size_t group_count;
};

#endif
