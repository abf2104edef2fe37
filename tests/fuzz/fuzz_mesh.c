/* fuzz_mesh.c -- what a control plane and peers send to a proxy: workloads and services, policies, baggage. The first byte says which. */
#include <stddef.h>
#include <stdint.h>

#include "mesh/labels.h"
#include "mesh/object.h"
#include "mesh/policy.h"
#include "mesh/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_object(struct ap_slice body)
{
	struct ap_mesh_change x = { 0 };
	struct ap_mesh_table *t;
	struct ap_mesh_pick pick;
	struct ap_error err;
	char text[AP_MESH_BAGGAGE_MAX];

	if (ap_mesh_object_decode(body, &x.workload, &x.service, &err) != 0)
		return;
	t = ap_mesh_table_new();
	x.kind = x.workload != NULL ? AP_MESH_WORKLOAD : AP_MESH_SERVICE;
	(void)ap_mesh_table_apply(t, &x);
	(void)ap_mesh_table_apply(t, &x);
	if (x.workload != NULL) {
		(void)ap_mesh_baggage_format(x.workload, text);
		(void)ap_mesh_find_destination(t, x.workload->network, &(struct ap_ip){ .len = 4 }, 80);
	} else {
		(void)ap_mesh_pick(t, x.service, 80, NULL, -1, NULL, NULL, &pick);
	}
	ap_mesh_table_free(&t);
	ap_mesh_workload_unref(&x.workload);
	ap_mesh_service_unref(&x.service);
}

static void
fuzz_policy(struct ap_slice body)
{
	struct ap_authz_request req = { .identity = AP_S("spiffe://a/ns/b/sa/c"), .destination_port = 80 };
	struct ap_authz_policy *p;
	struct ap_error err;
	struct ap_buf json;

	if (ap_authz_policy_decode(body, &p, &err) != 0)
		return;
	(void)ap_authz_policy_matches(p, &req);
	req.identity = AP_SLICE_NONE;
	(void)ap_authz_policy_matches(p, &req);
	ap_buf_init(&json, 1024 * 1024);
	ap_authz_policy_rules_json(p, &json);
	ap_buf_done(&json);
	ap_authz_policy_unref(&p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_mesh_baggage baggage;
	struct ap_slice body;

	if (size == 0)
		return 0;
	body = ap_slice((const char *)data + 1, size - 1);
	if (data[0] == 'p')
		fuzz_policy(body);
	else if (data[0] == 'b')
		ap_mesh_baggage_parse(body, &baggage);
	else
		fuzz_object(body);
	return 0;
}
