/*
 * test_compile.c -- golden files: resources in, what proxies and authors are told out, byte for byte.
 *
 * tests/golden/compile/<name>.yaml gives <name>.json.  With UPDATE_GOLDEN=1 the latter are written anew; read the difference
 * before you commit it.
 */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "control_plane/cp_compile.h"
#include "control_plane/cp_vips.h"
#include "xds/pb.h"

#include "ambit/waypoint.pb-c.h"
#include "istio/authorization.pb-c.h"
#include "istio/workload.pb-c.h"

static const struct {
	const char *word;
	const ProtobufCMessageDescriptor *desc;
} sets[CP_SETS] = {
	[CP_SET_AUTHORIZATION] = { "authorizations", &istio__security__authorization__descriptor },
	[CP_SET_POLICY] = { "policies", &ambit__waypoint__policy__descriptor },
	[CP_SET_LUA] = { "lua", &ambit__waypoint__lua_policy__descriptor },
	[CP_SET_ADDRESS] = { "addresses", &istio__workload__address__descriptor },
	[CP_SET_HOST] = { "hosts", &ambit__waypoint__host__descriptor },
};

static const char *
folder(void)
{
	const char *src = getenv("srcdir");
	static char path[1024];
	snprintf(path, sizeof(path), "%s/tests/golden/compile", src == NULL ? "." : src);
	return path;
}

static void
load(struct ap_resource_set *set, const char *path)
{
	struct ap_buf text;
	struct ap_error err = { 0 };
	ap_buf_init(&text, 1 << 22);
	if (ap_file_read(path, &text, &err) != 0)
		fail_msg("%s", err.text);
	struct ap_arena *arena = ap_arena_new(1 << 24);
	struct ap_yaml_docs docs;
	if (ap_yaml_parse(arena, path, ap_buf_slice(&text), &docs, &err) != 0)
		fail_msg("%s:%u: %s", path, err.at.line, err.text);
	for (uint32_t i = 0; i < docs.count; i++) {
		struct ap_errors errs = { 0 };
		if (ap_resource_check(docs.items[i], &errs, NULL) == NULL || errs.total > 0)
			fail_msg("%s:%u: %s", path, errs.count > 0 ? errs.items[0].at.line : 0,
			    errs.count > 0 ? errs.items[0].text : "unknown kind");
		ap_errors_done(&errs);
		struct ap_resource *r = ap_resource_new(docs.items[i], AP_S("default"), &err);
		assert_non_null(r);
		ap_resources_put(set, r);
	}
	ap_arena_free(&arena);
	ap_buf_done(&text);
}

static struct ap_doc *
dump_set(struct ap_arena *arena, const struct ap_xds_set *set, const ProtobufCMessageDescriptor *desc)
{
	struct ap_doc *map = ap_doc_new_map(arena);
	AP_XDS_SET_FOR(e, set) {
		if (e->removed)
			continue;
		ProtobufCMessage *m = ap_pb_unpack(desc, e->body);
		assert_non_null(m);
		struct ap_doc *d = ap_doc_new_map(arena);
		if (e->scope.len > 0)
			ap_doc_set_string(arena, d, "scope", e->scope);
		if (e->alias_count > 0) {
			struct ap_doc *list = ap_doc_new_list(arena);
			for (size_t i = 0; i < e->alias_count; i++)
				ap_doc_append(list, ap_doc_new_string(arena, e->aliases[i]));
			ap_doc_set(arena, d, "aliases", list);
		}
		ap_doc_set(arena, d, "message", ap_pb_to_doc(arena, m));
		ap_doc_set(arena, map, e->name.ptr, d);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return map;
}

static struct ap_doc *
dump(struct ap_arena *arena, const struct cp_compiled *c)
{
	struct ap_doc *out = ap_doc_new_map(arena), *notes = ap_doc_new_list(arena);
	for (size_t i = 0; i < CP_SETS; i++)
		ap_doc_set(arena, out, sets[i].word, dump_set(arena, c->sets[i], sets[i].desc));
	for (size_t i = 0; i < c->notes.count; i++) {
		const struct cp_note *n = &c->notes.items[i];
		ap_doc_append(notes, ap_doc_new_string(arena, ap_arena_printf(arena, "%.*s: %s=%s %s: %.*s", AP_FMT(n->key), n->type,
		                                                  n->ok ? "True" : "False", n->reason, AP_FMT(n->message))));
	}
	ap_doc_set(arena, out, "notes", notes);
	return out;
}

static void
compare(const char *name, struct ap_slice got)
{
	char path[1200];
	struct ap_buf want;
	struct ap_error err = { 0 };
	snprintf(path, sizeof(path), "%s/%s.json", folder(), name);
	if (getenv("UPDATE_GOLDEN") != NULL) {
		assert_int_equal(ap_file_write(path, got, 0644, &err), 0);
		return;
	}
	ap_buf_init(&want, 1 << 22);
	if (ap_file_read(path, &want, &err) != 0)
		fail_msg("%s", err.text);
	if (!ap_slice_eq(ap_buf_slice(&want), got)) {
		char out[1300];
		snprintf(out, sizeof(out), "%s.got.json", name);
		ap_file_write(out, got, 0644, &err);
		fail_msg("%s differs; what came out is in %s", path, out);
	}
	ap_buf_done(&want);
}

static void
golden(const char *name)
{
	char path[1200];
	struct ap_resource_set set = { 0 };
	struct cp_compiled c;
	struct ap_error err = { 0 };
	snprintf(path, sizeof(path), "%s/%s.yaml", folder(), name);
	load(&set, path);
	struct cp_vips *vips = cp_vips_new(AP_SLICE_NONE, &err);
	cp_compiled_init(&c);
	struct cp_compile_input in = { .resources = &set,
		.trust_domain = AP_S("cluster.local"),
		.cluster_domain = AP_S("cluster.local"),
		.root_namespace = AP_S("ambit-system"),
		.vips = cp_vips_map(vips) };
	cp_compile(&c, &in);
	if (cp_vips_assign(vips, c.registry))
		cp_compile(&c, &in);
	/* Once more: nothing may change. */
	uint64_t before[CP_SETS];
	for (size_t i = 0; i < CP_SETS; i++)
		before[i] = c.sets[i]->generation;
	assert_false(cp_vips_assign(vips, c.registry));
	cp_compile(&c, &in);
	for (size_t i = 0; i < CP_SETS; i++)
		assert_int_equal(before[i], c.sets[i]->generation);
	struct ap_arena *arena = ap_arena_new(1 << 26);
	struct ap_buf text;
	ap_buf_init(&text, 1 << 24);
	ap_json_write(dump(arena, &c), 2, &text);
	ap_buf_add_char(&text, '\n');
	compare(name, ap_buf_slice(&text));
	ap_buf_done(&text);
	ap_arena_free(&arena);
	cp_compiled_done(&c);
	cp_vips_free(&vips);
	ap_resources_done(&set);
}

static void
bookinfo_with_routes_of_three_families(void **state)
{
	(void)state;
	golden("bookinfo");
}

static void
policies_at_both_layers(void **state)
{
	(void)state;
	golden("policies");
}

static void
entries_and_workspaces(void **state)
{
	(void)state;
	golden("entries");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bookinfo_with_routes_of_three_families),
		cmocka_unit_test(policies_at_both_layers),
		cmocka_unit_test(entries_and_workspaces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
