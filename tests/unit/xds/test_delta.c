/* test_delta.c -- the delta protocol's two halves and the set under them, as sentences. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "xds/delta.h"
#include "xds/pb.h"

#define TYPE "type.googleapis.com/test.Thing"

static void
put(struct ap_xds_set *set, const char *name, const char *body)
{
	struct ap_xds_put p = { .name = ap_slice_of(name), .body = ap_slice_of(body) };
	ap_xds_set_put(set, &p);
}

static void
put_member(struct ap_xds_set *set, const char *name, const char *body, const char *alias, const char *group)
{
	struct ap_slice a = ap_slice_of(alias), g = ap_slice_of(group);
	struct ap_xds_put p = { .name = ap_slice_of(name), .body = ap_slice_of(body), .aliases = &a, .groups = &g,
		.alias_count = a.len > 0, .group_count = g.len > 0 };
	ap_xds_set_put(set, &p);
}

/* A request of names "a b" (subscribe) and "c" (unsubscribe), answering a nonce, holding "n=v n=v". */
static enum ap_delta_event
request(struct ap_delta *d, const char *sub, const char *unsub, const char *nonce, const char *held, const char *error)
{
	ap_delta_request r;
	envoy__service__discovery__v3__delta_discovery_request__init(&r);
	struct ap_arena *arena = ap_arena_new(1 << 20);
	char *names[2][16];
	const char *texts[2] = { sub, unsub };
	size_t counts[2] = { 0, 0 };
	for (int k = 0; k < 2; k++) {
		struct ap_slice rest = ap_slice_of(texts[k]);
		while (rest.len > 0) {
			struct ap_slice s = ap_slice_cut(&rest, ' ');
			names[k][counts[k]++] = ap_arena_strndup(arena, s.ptr, s.len);
		}
	}
	r.resource_names_subscribe = names[0];
	r.n_resource_names_subscribe = counts[0];
	r.resource_names_unsubscribe = names[1];
	r.n_resource_names_unsubscribe = counts[1];
	Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry e[16], *ep[16];
	struct ap_slice rest = ap_slice_of(held);
	while (rest.len > 0) {
		struct ap_slice s = ap_slice_cut(&rest, ' ');
		struct ap_slice name = ap_slice_cut(&s, '=');
		size_t i = r.n_initial_resource_versions++;
		envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(&e[i]);
		e[i].key = ap_arena_strndup(arena, name.ptr, name.len);
		e[i].value = ap_arena_strndup(arena, s.ptr, s.len);
		ep[i] = &e[i];
	}
	r.initial_resource_versions = ep;
	if (nonce != NULL)
		r.response_nonce = (char *)(uintptr_t)nonce;
	Google__Rpc__Status status;
	google__rpc__status__init(&status);
	status.message = (char *)(uintptr_t)error;
	if (error != NULL)
		r.error_detail = &status;
	enum ap_delta_event ev = ap_delta_take(d, &r);
	ap_arena_free(&arena);
	return ev;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The next response as "+a +b -c", sorted; "" for an empty response; "none" when there is none. */
static const char *
next(struct ap_delta *d, char nonce[24])
{
	static char out[512];
	struct ap_delta_update u;
	if (!ap_delta_next(d, &u))
		return "none";
	char words[32][64], *list[32];
	size_t n = 0;
	for (size_t i = 0; i < u.count; i++)
		snprintf(words[n++], 64, "+%s", u.items[i]->name.ptr);
	for (size_t i = 0; i < u.removed_count; i++)
		snprintf(words[n++], 64, "-%.*s", AP_FMT(u.removed[i]));
	for (size_t i = 0; i < n; i++)
		list[i] = words[i];
	qsort(list, n, sizeof(char *), by_text);
	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		strcat(out, i > 0 ? " " : "");
		strcat(out, list[i]);
	}
	memcpy(nonce, u.nonce, 24);
	/* What is sent must be readable by the other side. */
	struct ap_buf b;
	ap_buf_init(&b, 1 << 20);
	ap_delta_update_pack(d, &u, &b);
	ap_delta_response *m =
	    ap_pb_unpack(&envoy__service__discovery__v3__delta_discovery_response__descriptor, ap_buf_slice(&b));
	assert_non_null(m);
	assert_int_equal(m->n_resources, u.count);
	assert_string_equal(m->nonce, u.nonce);
	protobuf_c_message_free_unpacked(&m->base, NULL);
	ap_buf_done(&b);
	ap_delta_update_done(d, &u);
	return out;
}

static const char *
version_of(struct ap_xds_set *set, const char *name)
{
	return ap_xds_set_find(set, ap_slice_of(name))->version.ptr;
}

static void
a_wildcard_client_gets_everything_then_changes(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	put(set, "a", "1");
	put(set, "b", "1");
	struct ap_delta d;
	char nonce[24], old[24];
	ap_delta_init(&d, set, NULL, NULL, false);
	assert_string_equal(next(&d, nonce), "none");
	assert_int_equal(request(&d, "", "", NULL, "", NULL), AP_DELTA_SUBSCRIBED);
	assert_string_equal(next(&d, nonce), "+a +b");
	put(set, "a", "2");
	put(set, "c", "1");
	ap_xds_set_remove(set, AP_S("b"));
	/* Nothing while the first one is in flight; then the state, not the steps. */
	assert_string_equal(next(&d, nonce), "none");
	put(set, "a", "3");
	put(set, "e", "1");
	ap_xds_set_remove(set, AP_S("e"));
	assert_int_equal(request(&d, "", "", nonce, "", NULL), AP_DELTA_ACKED);
	memcpy(old, nonce, 24);
	assert_string_equal(next(&d, nonce), "+a +c -b");
	assert_string_not_equal(old, nonce);
	assert_int_equal(request(&d, "", "", old, "", NULL), AP_DELTA_STALE);
	assert_int_equal(request(&d, "", "", nonce, "", NULL), AP_DELTA_ACKED);
	assert_true(ap_delta_is_current(&d));
	assert_string_equal(next(&d, nonce), "none");
	put(set, "a", "3"); /* no change */
	assert_string_equal(next(&d, nonce), "none");
	ap_delta_done(&d);
	ap_xds_set_free(&set);
}

static void
the_first_answer_comes_even_when_empty(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	struct ap_delta d;
	char nonce[24];
	ap_delta_init(&d, set, NULL, NULL, false);
	request(&d, "", "", NULL, "", NULL);
	assert_string_equal(next(&d, nonce), "");
	assert_int_equal(request(&d, "", "", nonce, "", NULL), AP_DELTA_ACKED);
	assert_string_equal(next(&d, nonce), "none");
	ap_delta_done(&d);
	ap_xds_set_free(&set);
}

static void
a_client_that_returns_gets_what_it_lacks_and_loses_what_is_gone(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	put(set, "a", "1");
	put(set, "b", "1");
	put(set, "c", "1");
	char held[256], nonce[24];
	snprintf(held, sizeof(held), "a=%s b=stale gone=%s", version_of(set, "a"), version_of(set, "a"));
	struct ap_delta d;
	ap_delta_init(&d, set, NULL, NULL, false);
	request(&d, "", "", NULL, held, NULL);
	assert_string_equal(next(&d, nonce), "+b +c -gone");
	assert_int_equal(d.held.count, 0);
	ap_delta_done(&d);
	ap_xds_set_free(&set);
}

static void
a_refused_resource_is_not_sent_again_before_it_changes(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	put(set, "a", "1");
	struct ap_delta d;
	char nonce[24];
	ap_delta_init(&d, set, NULL, NULL, false);
	request(&d, "", "", NULL, "", NULL);
	next(&d, nonce);
	assert_int_equal(request(&d, "", "", nonce, "", "a: no"), AP_DELTA_NACKED);
	assert_string_equal(next(&d, nonce), "none");
	put(set, "a", "2");
	assert_string_equal(next(&d, nonce), "+a");
	ap_delta_done(&d);
	ap_xds_set_free(&set);
}

static void
on_demand_names_aliases_and_members_are_answered(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	put_member(set, "w1", "1", "net/10.0.0.1", "ns/svc");
	put_member(set, "w2", "1", "net/10.0.0.2", "ns/svc");
	put_member(set, "ns/svc", "1", "net/240.240.0.1", "");
	put(set, "other", "1");
	struct ap_delta d;
	char nonce[24];
	ap_delta_init(&d, set, NULL, NULL, false);
	/* As ztunnel says "nothing yet". */
	request(&d, "*", "*", NULL, "", NULL);
	assert_string_equal(next(&d, nonce), "none");
	request(&d, "net/10.0.0.1", "", NULL, "", NULL);
	assert_string_equal(next(&d, nonce), "+w1");
	request(&d, "", "", nonce, "", NULL);
	request(&d, "net/240.240.0.1 net/9.9.9.9", "", NULL, "", NULL);
	assert_string_equal(next(&d, nonce), "+ns/svc +w2 -net/9.9.9.9");
	request(&d, "", "", nonce, "", NULL);
	assert_string_equal(next(&d, nonce), "none");
	/* Asked again, told again. */
	request(&d, "net/9.9.9.9", "", NULL, "", NULL);
	assert_string_equal(next(&d, nonce), "-net/9.9.9.9");
	request(&d, "", "", nonce, "", NULL);
	/* It comes to be; another one that nobody asked for does not matter. */
	put_member(set, "late", "1", "net/9.9.9.9", "");
	put(set, "other", "2");
	assert_string_equal(next(&d, nonce), "+late");
	request(&d, "", "", nonce, "", NULL);
	ap_xds_set_remove(set, AP_S("w2"));
	assert_string_equal(next(&d, nonce), "-w2");
	request(&d, "", "", nonce, "", NULL);
	ap_delta_done(&d);
	ap_xds_set_free(&set);
}

static bool
scope_is_mine(void *arg, const struct ap_xds_entry *e)
{
	return ap_slice_eq_text(e->scope, arg);
}

static void
a_scoped_client_never_hears_of_what_it_may_not_see(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	struct ap_xds_put mine = { .name = AP_S("mine"), .body = AP_S("1"), .scope = AP_S("me") };
	struct ap_xds_put theirs = { .name = AP_S("theirs"), .body = AP_S("1"), .scope = AP_S("you") };
	ap_xds_set_put(set, &mine);
	ap_xds_set_put(set, &theirs);
	struct ap_delta d;
	char me[] = "me", nonce[24];
	ap_delta_init(&d, set, scope_is_mine, me, true);
	request(&d, "", "", NULL, "", NULL);
	assert_string_equal(next(&d, nonce), "+mine");
	request(&d, "", "", nonce, "", NULL);
	theirs.body = AP_S("2");
	ap_xds_set_put(set, &theirs);
	assert_string_equal(next(&d, nonce), "none");
	ap_xds_set_remove(set, AP_S("theirs"));
	assert_string_equal(next(&d, nonce), "none");
	/* It moves to another reader: to this one it is gone. */
	mine.scope = AP_S("you");
	ap_xds_set_put(set, &mine);
	assert_string_equal(next(&d, nonce), "-mine");
	ap_delta_done(&d);
	ap_xds_set_free(&set);
}

static void
tombstones_are_bounded_and_a_reader_who_missed_one_knows(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	put(set, "first", "1");
	struct ap_delta d;
	char nonce[24], name[32];
	ap_delta_init(&d, set, NULL, NULL, false);
	request(&d, "", "", NULL, "", NULL);
	next(&d, nonce);
	for (int i = 0; i < 3 * AP_XDS_TOMBSTONES_MIN; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		put(set, name, "1");
		ap_xds_set_remove(set, ap_slice_of(name));
	}
	assert_true(set->tombstones <= AP_XDS_TOMBSTONES_MIN);
	assert_true(ap_delta_is_lost(&d));
	ap_delta_done(&d);
	ap_xds_set_free(&set);
}

static void
a_sweep_removes_what_was_not_put_again(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	put(set, "a", "1");
	put(set, "b", "1");
	ap_xds_set_begin(set);
	put(set, "a", "1");
	put(set, "c", "1");
	assert_true(ap_xds_set_end(set));
	assert_non_null(ap_xds_set_find(set, AP_S("a")));
	assert_null(ap_xds_set_find(set, AP_S("b")));
	assert_non_null(ap_xds_set_find(set, AP_S("c")));
	ap_xds_set_begin(set);
	put(set, "a", "1");
	put(set, "c", "1");
	assert_false(ap_xds_set_end(set));
	ap_xds_set_free(&set);
}

/* --- Both halves ------------------------------------------------------------------------------------------------- */

struct taken {
	char text[256];
	bool first;
	const char *refuse;
};

static void
take(void *arg, const struct ap_xds_update *u, struct ap_buf *reject)
{
	struct taken *t = arg;
	t->first = u->first;
	t->text[0] = '\0';
	for (size_t i = 0; i < u->count; i++) {
		if (t->refuse != NULL && ap_slice_eq_text(u->resources[i].name, t->refuse))
			ap_buf_printf(reject, "%s: is bad; ", t->refuse);
		strncat(t->text, u->resources[i].name.ptr, 32);
		strcat(t->text, "=");
		strncat(t->text, u->resources[i].body.ptr, u->resources[i].body.len);
		strcat(t->text, " ");
	}
	for (size_t i = 0; i < u->removed_count; i++) {
		strcat(t->text, "-");
		strncat(t->text, u->removed[i].ptr, 32);
		strcat(t->text, " ");
	}
}

static enum ap_delta_event
serve(struct ap_delta *d, struct ap_delta_client *c, const struct ap_buf *request_bytes, struct ap_buf *answer)
{
	enum ap_delta_event ev = AP_DELTA_STALE;
	if (request_bytes != NULL) {
		ap_delta_request *r = ap_pb_unpack(
		    &envoy__service__discovery__v3__delta_discovery_request__descriptor, ap_buf_slice(request_bytes));
		assert_non_null(r);
		ev = ap_delta_take(d, r);
		protobuf_c_message_free_unpacked(&r->base, NULL);
	}
	struct ap_delta_update u;
	ap_buf_clear(answer);
	if (ap_delta_next(d, &u)) {
		struct ap_buf b;
		ap_buf_init(&b, 1 << 20);
		ap_delta_update_pack(d, &u, &b);
		ap_delta_update_done(d, &u);
		assert_true(ap_delta_client_take(c, ap_buf_slice(&b), answer, NULL));
		ap_buf_done(&b);
	}
	return ev;
}

static void
client_and_server_agree_over_streams(void **state)
{
	(void)state;
	struct ap_xds_set *set = ap_xds_set_new(TYPE);
	put(set, "a", "1");
	put(set, "b", "1");
	struct taken t = { .refuse = "b" };
	struct ap_xds_subscription sub = { .type_url = TYPE, .apply = take, .arg = &t };
	struct ap_delta_client *c = ap_delta_client_new(&sub, 1, "ztunnel~1.1.1.1~a.b~b.svc");
	assert_false(ap_delta_client_is_synced(c));
	struct ap_buf first, answer;
	ap_buf_init(&first, 1 << 16);
	ap_buf_init(&answer, 1 << 16);
	struct ap_delta d;
	ap_delta_init(&d, set, NULL, NULL, false);
	ap_delta_client_first(c, 0, &first);
	serve(&d, c, &first, &answer);
	assert_string_equal(t.text, "a=1 b=1 ");
	assert_true(t.first);
	assert_true(ap_delta_client_is_synced(c));
	assert_int_equal(ap_delta_client_held(c, 0), 1); /* the refused one is not held */
	assert_int_equal(serve(&d, c, &answer, &first), AP_DELTA_NACKED);
	ap_delta_done(&d);

	/* A new stream, to a server that lost "a" meanwhile. */
	ap_xds_set_remove(set, AP_S("a"));
	put(set, "b", "2");
	t.refuse = NULL;
	ap_delta_init(&d, set, NULL, NULL, false);
	ap_buf_clear(&first);
	ap_delta_client_first(c, 0, &first);
	serve(&d, c, &first, &answer);
	assert_string_equal(t.text, "b=2 -a ");
	assert_false(t.first);
	assert_int_equal(serve(&d, c, &answer, &first), AP_DELTA_ACKED);
	ap_delta_done(&d);
	ap_buf_done(&first);
	ap_buf_done(&answer);
	ap_delta_client_free(&c);
	ap_xds_set_free(&set);
}

static void
nesting_is_bounded(void **state)
{
	(void)state;
	/* Value {list {values [Value {list ...}]}} from the inside out. */
	struct ap_buf b, outer;
	ap_buf_init(&b, 1 << 20);
	ap_buf_init(&outer, 1 << 20);
	for (int depth = 1; depth < 200; depth++) {
		for (unsigned tag = 0; tag < 2; tag++) { /* ListValue.values = 1, then Value.list_value = 6 */
			ap_buf_clear(&outer);
			ap_buf_add_u8(&outer, tag == 0 ? 0x0a : 0x32);
			size_t n = b.len;
			for (; n >= 0x80; n >>= 7)
				ap_buf_add_u8(&outer, (uint8_t)(n | 0x80U));
			ap_buf_add_u8(&outer, (uint8_t)n);
			ap_buf_add_slice(&outer, ap_buf_slice(&b));
			ap_buf_clear(&b);
			ap_buf_add_slice(&b, ap_buf_slice(&outer));
		}
		void *m = ap_pb_unpack(&google__protobuf__value__descriptor, ap_buf_slice(&b));
		if (2 * depth < AP_PB_DEPTH)
			assert_non_null(m);
		else
			assert_null(m);
		if (m != NULL)
			protobuf_c_message_free_unpacked(m, NULL);
	}
	ap_buf_done(&b);
	ap_buf_done(&outer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wildcard_client_gets_everything_then_changes),
		cmocka_unit_test(the_first_answer_comes_even_when_empty),
		cmocka_unit_test(a_client_that_returns_gets_what_it_lacks_and_loses_what_is_gone),
		cmocka_unit_test(a_refused_resource_is_not_sent_again_before_it_changes),
		cmocka_unit_test(on_demand_names_aliases_and_members_are_answered),
		cmocka_unit_test(a_scoped_client_never_hears_of_what_it_may_not_see),
		cmocka_unit_test(tombstones_are_bounded_and_a_reader_who_missed_one_knows),
		cmocka_unit_test(a_sweep_removes_what_was_not_put_again),
		cmocka_unit_test(client_and_server_agree_over_streams),
		cmocka_unit_test(nesting_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
