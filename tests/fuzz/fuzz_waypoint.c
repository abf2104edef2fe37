/*
 * fuzz_waypoint.c -- first byte: what the rest is.  Even: a request target, normalised in each way and matched by templates; odd: a Host or a
 * Policy from the wire, compiled, and asked about a request.
 */
#include <stdint.h>

#include "base/check.h"
#include "waypoint/f_authz.h"
#include "waypoint/wp_route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_path(struct ap_slice target, struct ap_arena *arena)
{
	for (int how = WP_NORMALISE_NONE; how <= WP_NORMALISE_DECODE; how++) {
		struct ap_slice out, again;

		if (wp_path_normalise(target, (enum wp_normalise)how, arena, &out) != 0)
			continue;
		AP_CHECK(out.len > 0 && out.len <= target.len + 1);
		AP_CHECK(out.ptr[0] == '/' || ap_slice_eq(out, AP_S("*")));
		/* What one pass leaves, a policy's second look must find the same: no dot segments are left over. */
		if (how == WP_NORMALISE_BASE && wp_path_normalise(out, WP_NORMALISE_BASE, arena, &again) == 0) {
			struct ap_slice path, query;

			wp_path_split(out, &path, &query);
			AP_CHECK(ap_slice_search(path, AP_S("/../")) == SIZE_MAX);
			AP_CHECK(ap_slice_search(path, AP_S("/./")) == SIZE_MAX);
		}
	}
	if (wp_template_is_valid(target)) {
		wp_template_matches(target, AP_S("/a/b/c"));
		wp_template_matches(target, target);
	}
}

static void
fuzz_message(struct ap_slice body, struct ap_arena *arena, bool is_host)
{
	struct ap_fields fields;
	struct wp_view v = {
		.method = AP_S("GET"),
		.scheme = AP_S("http"),
		.authority = AP_S("web"),
		.path = AP_S("/a/b"),
		.query = AP_S("x=1"),
		.fields = &fields,
		.arena = arena,
		.destination_port = 80,
	};
	const struct wp_match *match;
	struct wp_policy *p;
	struct wp_host *h;

	ap_fields_init(&fields, arena);
	ap_fields_add(&fields, AP_S("end-user"), AP_S("jason"));
	wp_view_set_identity(&v, AP_S("spiffe://td/ns/web/sa/front"));
	if (is_host && wp_host_decode(body, &h, NULL) == 0) {
		for (uint32_t i = 0; i < h->port_count; i++) {
			const struct wp_route *r = wp_route_find(&h->ports[i], &v, &match);

			if (r != NULL)
				wp_route_pick(r, body.len);
		}
		wp_host_unref(&h);
	}
	if (!is_host && wp_policy_decode(body, &p, NULL) == 0) {
		wp_authz_check(&p, 1, &v);
		v.is_tcp = true;
		wp_authz_check(&p, 1, &v);
		wp_policy_unref(&p);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ap_arena *arena;

	if (size < 2 || size > 65536)
		return 0;
	arena = ap_arena_new((size_t)1 << 20);
	if (data[0] % 2 == 0)
		fuzz_path(ap_slice((const char *)data + 1, size - 1), arena);
	else
		fuzz_message(ap_slice((const char *)data + 1, size - 1), arena, data[0] % 4 == 1);
	ap_arena_free(&arena);
	return 0;
}
