/* test_cp_store.c -- the control plane's core without its servers: applying, batches, status, notifications, tokens. */
#include "../test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/yaml.h"
#include "control_plane/cp_store.h"
#include "event/worker.h"
#include "store/store.h"

struct fixture {
	char dir[64];
	struct cp cp;
	struct cp_subscriber subscriber;
	char heard[1000];
	struct ap_arena *arena;
};

static void
on_change(struct cp *cp, const struct cp_change *changes, size_t count, void *arg)
{
	struct fixture *f = arg;

	(void)cp;
	for (size_t i = 0; i < count; i++)
		snprintf(f->heard + strlen(f->heard), sizeof(f->heard) - strlen(f->heard), "%s%s%.*s ",
		    changes[i].before == NULL      ? "+"
			: changes[i].after == NULL ? "-"
						   : "~",
		    changes[i].status_only ? "status:" : "",
		    AP_FMT(changes[i].after != NULL ? changes[i].after->name : changes[i].before->name));
	snprintf(f->heard + strlen(f->heard), sizeof(f->heard) - strlen(f->heard), "| ");
}

static void
open_store(struct fixture *f)
{
	struct ap_error err = { 0 };

	if (cp_store_open(&f->cp, 1000, &err) != 0)
		fail_msg("%s", err.text);
	cp_subscribe(&f->cp, &f->subscriber, on_change, f);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/ambit-cp-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->cp.magic = CP_MAGIC;
	f->cp.worker = ap_worker_adopt("test");
	f->cp.loop = f->cp.worker->loop;
	f->cp.settings.state_dir = ap_slice_of(f->dir);
	f->cp.settings.root_namespace = AP_S("ambit-system");
	f->arena = ap_arena_new(1 << 22);
	open_store(f);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	cp_store_close(&f->cp);
	ap_loop_turn(f->cp.loop, 0);
	ap_worker_stop(&f->cp.worker);
	ap_arena_free(&f->arena);
	ap_dir_remove(f->dir, NULL);
	free(f);
	return 0;
}

static int
apply(struct fixture *f, const char *yaml, unsigned flags, char *why, size_t size)
{
	struct ap_yaml_docs docs = { 0 };
	struct ap_errors errs = { 0 };
	struct ap_error err = { 0 };
	int rc;

	if (ap_yaml_parse(f->arena, "f", ap_slice_of(yaml), &docs, &err) != 0)
		fail_msg("%s", err.text);
	rc = cp_apply(&f->cp, docs.items, docs.count, flags, &errs);
	if (why != NULL)
		snprintf(why, size, "%s", errs.count > 0 ? errs.items[0].text : "");
	ap_errors_done(&errs);
	return rc;
}

static struct ap_resource *
get(struct fixture *f, const char *key)
{
	return ap_resources_find(cp_resources(&f->cp), ap_slice_of(key));
}

#define SERVICE(name_, port_) \
	"{apiVersion: v1, kind: Service, metadata: {name: " name_ "}, spec: {ports: [{port: " port_ "}]}}\n"
#define KEY(name_) "core/Service/default/" name_

static void
an_apply_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	char why[400];

	assert_int_equal(apply(f, SERVICE("a", "1") "---\n" SERVICE("B", "2"), 0, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "metadata.name"));
	assert_int_equal(cp_revision(&f->cp), 0);
	assert_null(get(f, KEY("a")));
	assert_int_equal(apply(f, SERVICE("a", "1") "---\n" SERVICE("b", "2"), 0, NULL, 0), 0);
	assert_int_equal(cp_revision(&f->cp), 2);
	assert_int_equal(get(f, KEY("b"))->revision, 2);
	assert_int_equal(get(f, KEY("b"))->generation, 1);
}

static void
what_is_the_same_makes_no_revision(void **state)
{
	struct fixture *f = *state;
	struct ap_resource *before;

	apply(f, SERVICE("a", "1"), 0, NULL, 0);
	before = get(f, KEY("a"));
	assert_int_equal(apply(f, SERVICE("a", "1"), 0, NULL, 0), 0);
	assert_ptr_equal(get(f, KEY("a")), before);
	assert_int_equal(cp_revision(&f->cp), 1);
	apply(f, SERVICE("a", "2"), 0, NULL, 0);
	assert_int_equal(get(f, KEY("a"))->generation, 2);
	assert_int_equal(cp_revision(&f->cp), 2);
}

static void
flags_say_what_happens_to_what_is_there(void **state)
{
	struct fixture *f = *state;

	apply(f, SERVICE("a", "1"), 0, NULL, 0);
	assert_int_equal(apply(f, SERVICE("a", "2"), CP_APPLY_CREATE_ONLY, NULL, 0), -EEXIST);
	assert_int_equal(apply(f, SERVICE("a", "2"), CP_APPLY_KEEP_EXISTING, NULL, 0), 0);
	assert_int_equal(apply(f, SERVICE("a", "2"), CP_APPLY_DRY_RUN, NULL, 0), 0);
	assert_int_equal(cp_revision(&f->cp), 1);
	assert_int_equal(apply(f, "{apiVersion: v1, kind: Service, metadata: {name: a, labels: {x: y}}, spec: {type: ClusterIP}}",
			     CP_APPLY_MERGE, NULL, 0),
	    0);
	assert_true(ap_slice_eq_text(ap_resource_label(get(f, KEY("a")), "x"), "y"));
	assert_int_equal(ap_doc_int(ap_doc_item(ap_doc_get(get(f, KEY("a"))->spec, "ports"), 0), "port", 0), 1);
}

static void
subscribers_hear_one_entry_per_key_at_the_end_of_the_turn(void **state)
{
	struct fixture *f = *state;
	struct ap_error err = { 0 };

	apply(f, SERVICE("a", "1") "---\n" SERVICE("b", "1"), 0, NULL, 0);
	apply(f, SERVICE("a", "2"), 0, NULL, 0);
	assert_string_equal(f->heard, "");
	ap_loop_turn(f->cp.loop, 0);
	assert_string_equal(f->heard, "+a +b | ");
	f->heard[0] = '\0';
	apply(f, SERVICE("c", "1"), 0, NULL, 0);
	assert_int_equal(cp_delete(&f->cp, AP_S(KEY("c")), &err), 0);
	assert_int_equal(cp_delete(&f->cp, AP_S(KEY("b")), &err), 0);
	assert_int_equal(cp_set_condition(&f->cp, AP_S(KEY("a")), "Fine", true, "Good", "", &err), 0);
	ap_loop_turn(f->cp.loop, 0);
	assert_string_equal(f->heard, "-b ~status:a | ");
	assert_int_equal(cp_delete(&f->cp, AP_S(KEY("b")), &err), -ENOENT);
}

static void
a_batch_is_one_commit_and_sees_itself(void **state)
{
	struct fixture *f = *state;
	struct ap_error err = { 0 };

	apply(f, SERVICE("a", "1"), 0, NULL, 0);
	cp_batch_begin(&f->cp);
	apply(f, SERVICE("b", "1"), 0, NULL, 0);
	assert_int_equal(cp_set_condition(&f->cp, AP_S(KEY("b")), "One", true, "R", "", &err), 0);
	assert_int_equal(cp_set_condition(&f->cp, AP_S(KEY("b")), "Two", false, "R", "m", &err), 0);
	assert_int_equal(cp_revision(&f->cp), 1);
	assert_null(get(f, KEY("b")));
	assert_int_equal(cp_batch_end(&f->cp, &err), 0);
	/* Three changes of one key are one. */
	assert_int_equal(cp_revision(&f->cp), 2);
	assert_int_equal(ap_doc_get(get(f, KEY("b"))->status, "conditions")->count, 2);
}

static void
conditions_move_their_time_only_when_they_turn(void **state)
{
	struct fixture *f = *state;
	const struct ap_doc *c;
	char first[40];
	struct ap_error err = { 0 };

	apply(f, SERVICE("a", "1"), 0, NULL, 0);
	cp_set_condition(&f->cp, AP_S(KEY("a")), "Fine", true, "Good", "", &err);
	c = ap_doc_item(ap_doc_get(get(f, KEY("a"))->status, "conditions"), 0);
	snprintf(first, sizeof(first), "%.*s", AP_FMT(ap_doc_string(c, "lastTransitionTime", "")));
	ap_clock_freeze();
	ap_clock_advance(5000);
	cp_set_condition(&f->cp, AP_S(KEY("a")), "Fine", true, "StillGood", "", &err);
	c = ap_doc_item(ap_doc_get(get(f, KEY("a"))->status, "conditions"), 0);
	assert_true(ap_slice_eq_text(ap_doc_string(c, "lastTransitionTime", ""), first));
	assert_true(ap_slice_eq_text(ap_doc_string(c, "reason", ""), "StillGood"));
	cp_set_condition(&f->cp, AP_S(KEY("a")), "Fine", false, "Bad", "", &err);
	c = ap_doc_item(ap_doc_get(get(f, KEY("a"))->status, "conditions"), 0);
	assert_false(ap_slice_eq_text(ap_doc_string(c, "lastTransitionTime", ""), first));
	assert_int_equal(ap_doc_int(c, "observedGeneration", 0), 1);
	assert_int_equal(get(f, KEY("a"))->generation, 1);
}

static void
everything_is_there_again_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct ap_slice v;
	struct ap_error err = { 0 };

	apply(f, SERVICE("a", "1"), 0, NULL, 0);
	cp_set_condition(&f->cp, AP_S(KEY("a")), "Fine", true, "Good", "", &err);
	assert_int_equal(cp_value_put(&f->cp, "x", AP_S("y"), &err), 0);
	cp_store_close(&f->cp);
	open_store(f);
	assert_int_equal(get(f, KEY("a"))->revision, 2);
	assert_non_null(get(f, KEY("a"))->status);
	assert_true(cp_value_get(&f->cp, "x", &v) && ap_slice_eq_text(v, "y"));
	assert_int_equal(apply(f, SERVICE("a", "1"), 0, NULL, 0), 0);
	assert_int_equal(cp_revision(&f->cp), 2);
}

static void
the_feed_has_every_change_in_order(void **state)
{
	struct fixture *f = *state;
	const struct cp_event *e;
	struct ap_error err = { 0 };

	apply(f, SERVICE("a", "1"), 0, NULL, 0);
	apply(f, SERVICE("a", "2"), 0, NULL, 0);
	cp_delete(&f->cp, AP_S(KEY("a")), &err);
	e = cp_feed_next(&f->cp, 0);
	assert_true(e->revision == 1 && e->before == NULL && e->after != NULL);
	e = cp_feed_next(&f->cp, 1);
	assert_true(e->revision == 2 && e->before != NULL && e->after != NULL);
	e = cp_feed_next(&f->cp, 2);
	assert_true(e->revision == 3 && e->before != NULL && e->after == NULL);
	assert_null(cp_feed_next(&f->cp, 3));
}

static void
history_is_compacted_and_the_feed_wraps(void **state)
{
	struct fixture *f = *state;
	struct ap_error err = { 0 };

	f->cp.store->keep = 100;
	apply(f, SERVICE("a", "1"), 0, NULL, 0);
	cp_batch_begin(&f->cp);
	cp_batch_end(&f->cp, &err);
	for (int i = 0; i < 300; i++)
		cp_set_condition(&f->cp, AP_S(KEY("a")), "Fine", i % 2 == 0, "R", "", &err);
	assert_int_equal(cp_revision(&f->cp), 301);
	assert_true(ap_store_compacted(f->cp.store->disk) >= 150);
	assert_int_equal(f->cp.store->base, 0);
	assert_int_equal(cp_feed_next(&f->cp, 300)->revision, 301);
}

static void
two_services_cannot_have_one_address(void **state)
{
	struct fixture *f = *state;
	char why[400];

	apply(f, "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{port: 1}]}}", 0, NULL, 0);
	assert_int_equal(apply(f, "{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 10.0.0.1, ports: [{port: 1}]}}",
			     0, why, sizeof(why)),
	    -EINVAL);
	assert_string_equal(
	    why, "spec.clusterIP: the address 10.0.0.1 is that of Service a in namespace default already");
	assert_int_equal(apply(f, "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{port: 2}]}}",
			     0, NULL, 0),
	    0);
}

static void
a_script_that_does_not_compile_is_refused(void **state)
{
	struct fixture *f = *state;
	char why[400];

	assert_int_equal(apply(f, "{apiVersion: ambit.mesh/v1alpha1, kind: LuaPolicy, metadata: {name: a}, spec: {source: \"function "
				  "on_request(r\"}}",
			     0, why, sizeof(why)),
	    -EINVAL);
	assert_non_null(strstr(why, "spec.source: "));
	assert_int_equal(apply(f, "{apiVersion: ambit.mesh/v1alpha1, kind: LuaPolicy, metadata: {name: a}, spec: {source: \"function "
				  "on_request(r) end\", hooks: [on_response]}}",
			     0, why, sizeof(why)),
	    -EINVAL);
	assert_int_equal(apply(f, "{apiVersion: ambit.mesh/v1alpha1, kind: LuaPolicy, metadata: {name: a}, spec: {source: \"function "
				  "on_request(r) end\", hooks: [on_request]}}",
			     0, why, sizeof(why)),
	    0);
}

/* -- tokens -- */

static struct ap_slice
make_token(struct fixture *f, const char *spec)
{
	struct ap_arena *arena = ap_arena_new(1 << 20);
	struct ap_yaml_docs docs = { 0 };
	struct ap_errors errs = { 0 };
	struct cp_result result;
	char text[400];

	snprintf(text, sizeof(text),
	    "{apiVersion: ambit.mesh/v1alpha1, kind: JoinToken, metadata: {generateName: t-}, spec: %s}", spec);
	assert_int_equal(ap_yaml_parse(arena, "f", ap_slice_of(text), &docs, NULL), 0);
	if (cp_put(&f->cp, arena, docs.items[0], CP_CREATE, 0, f->arena, &result, &errs) != 0)
		fail_msg("%s", errs.items[0].text);
	ap_resource_unref(&result.resource);
	return result.secret;
}

static void
a_token_opens_until_it_is_used_up_expired_or_gone(void **state)
{
	struct fixture *f = *state;
	struct ap_slice token = make_token(f, "{identities: [shop/web], uses: 2, ttl: 10s}");
	struct ap_resource *r;
	struct ap_error err = { 0 };
	struct ap_doc *status;

	r = cp_token_find(&f->cp, token, &err);
	assert_non_null(r);
	assert_null(cp_token_find(&f->cp, ap_slice_sub(token, 0, token.len - 1), &err));
	assert_int_equal(err.code, -EACCES);
	assert_string_equal(err.text, "the join token is not known");
	assert_null(cp_token_find(&f->cp, AP_S("ambit1.nobody.secret"), &err));
	assert_string_equal(err.text, "the join token is not known");
	assert_null(cp_token_find(&f->cp, AP_S(""), &err));
	assert_null(cp_token_find(&f->cp, AP_S("ambit1."), &err));
	status = ap_doc_copy(f->arena, r->status);
	ap_doc_set(f->arena, status, "uses", ap_doc_new_int(f->arena, 2));
	assert_int_equal(cp_set_status(&f->cp, r->key, status, &err), 0);
	assert_null(cp_token_find(&f->cp, token, &err));
	assert_int_equal(err.code, -EDQUOT);
	token = make_token(f, "{identities: [shop/web], uses: 0, ttl: 10s}");
	assert_non_null(cp_token_find(&f->cp, token, &err));
	ap_clock_freeze();
	ap_clock_advance(11000);
	assert_null(cp_token_find(&f->cp, token, &err));
	assert_int_equal(err.code, -EKEYEXPIRED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_apply_is_all_or_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_the_same_makes_no_revision, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flags_say_what_happens_to_what_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(subscribers_hear_one_entry_per_key_at_the_end_of_the_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_batch_is_one_commit_and_sees_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(everything_is_there_again_after_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_feed_has_every_change_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(history_is_compacted_and_the_feed_wraps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_services_cannot_have_one_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_script_that_does_not_compile_is_refused, set_up, tear_down),
		/* These freeze the clock. */
		cmocka_unit_test_setup_teardown(conditions_move_their_time_only_when_they_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_token_opens_until_it_is_used_up_expired_or_gone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
