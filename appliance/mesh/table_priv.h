/* table_priv.h -- the inside of a table, for table.c, table_find.c, table_pick.c and policy_check.c. */
#ifndef MESH_TABLE_PRIV_H
#define MESH_TABLE_PRIV_H
#include "base/addr.h"
#include "base/vec.h"
#include "mesh/index.h"
#include "mesh/table.h"

struct mesh_cidr {
	uint32_t network;
	struct ap_cidr cidr;
	struct ap_mesh_service *service;
};

struct ap_mesh_table {
	uint32_t magic;
	uint64_t generation;
	AP_VEC(struct ap_slice) networks;  /* names to small numbers; a mesh has few and they are never forgotten */
	struct mesh_index workloads;       /* uid -> workload, which the table holds a reference of */
	struct mesh_index addresses;       /* network and IP -> bag of workloads */
	struct mesh_index services;        /* key -> node: object is the service (a reference), bag its endpoints */
	struct mesh_index hosts;           /* hostname -> bag of services */
	struct mesh_index vips;            /* network and IP -> bag of services */
	AP_VEC(struct mesh_cidr) cidrs;
	struct mesh_index policies;        /* key -> policy, a reference */
	struct mesh_index namespace_policies; /* namespace -> bag of policies of that scope */
	struct mesh_bag global_policies;
};

#define MESH_ADDRESS_KEY_MAX 20
/* The key of an address in `addresses` and `vips`; empty when the network is not known to the table. */
struct ap_slice mesh_address_key(const struct ap_mesh_table *t, struct ap_slice network, const struct ap_ip *ip,
    char room[MESH_ADDRESS_KEY_MAX]);
bool mesh_network_find(const struct ap_mesh_table *t, struct ap_slice network, uint32_t *out);
/* "namespace/hostname" found without building the text on the heap. */
struct mesh_node *mesh_service_node(const struct ap_mesh_table *t, struct ap_slice namespace_, struct ap_slice hostname);

#endif
