/* fuzz_delta.c -- what a proxy, or a control plane, may send on a discovery stream: unpacked with its bound, and taken by both halves. */
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "xds/delta.h"
#include "xds/pb.h"
#include "xds/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
apply(void *arg, const struct ap_xds_update *u, struct ap_buf *reject)
{
	(void)arg;
	if (u->count > 1)
		ap_buf_printf(reject, "%.*s: no; ", AP_FMT(u->resources[0].name));
}

static void
server(struct ap_slice bytes)
{
	ap_delta_request *r = ap_pb_unpack(&envoy__service__discovery__v3__delta_discovery_request__descriptor, bytes);
	if (r == NULL)
		return;
	struct ap_xds_set *set = ap_xds_set_new("t");
	struct ap_slice alias = AP_S("/10.0.0.1");
	struct ap_xds_put a = { .name = AP_S("a"), .body = AP_S("1"), .aliases = &alias, .alias_count = 1 };
	ap_xds_set_put(set, &a);
	struct ap_delta d;
	ap_delta_init(&d, set, NULL, NULL, (bytes.len & 1) != 0);
	ap_delta_take(&d, r);
	struct ap_delta_update u;
	if (ap_delta_next(&d, &u)) {
		struct ap_buf b;
		ap_buf_init(&b, 1 << 24);
		ap_delta_update_pack(&d, &u, &b);
		ap_buf_done(&b);
	}
	ap_delta_update_done(&d, &u);
	if (r->node != NULL && r->node->metadata != NULL) {
		struct ap_arena *arena = ap_arena_new(1 << 24);
		(void)ap_struct_to_doc(arena, r->node->metadata);
		ap_arena_free(&arena);
	}
	ap_delta_done(&d);
	ap_xds_set_free(&set);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_slice bytes = ap_slice((const char *)data, size);
	server(bytes);
	struct ap_xds_subscription sub = { .type_url = "t", .apply = apply };
	struct ap_delta_client *c = ap_delta_client_new(&sub, 1, "n");
	struct ap_buf answer;
	ap_buf_init(&answer, 1 << 20);
	ap_delta_client_take(c, bytes, &answer, NULL);
	ap_buf_clear(&answer);
	ap_delta_client_first(c, 0, &answer);
	ap_buf_done(&answer);
	ap_delta_client_free(&c);
	return 0;
}
