/* test_ads.c -- our discovery client against our server over TLS and HTTP/2 on the loopback: syncs, changes, refusals, ends, storms. */
#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "event/loop.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/x509.h"
#include "xds/client.h"
#include "xds/server.h"

#define TYPE_A "type.googleapis.com/test.A"
#define TYPE_B "type.googleapis.com/test.B"

struct world {
	struct ap_loop *loop;
	struct ap_tls *server_tls, *client_tls;
	struct ap_listener *listener;
	struct ap_addr at;
	struct ap_xds_set *a, *b;
	struct ap_xds_server *server;
	AP_VEC(struct ap_http_conn *) conns;
	unsigned admitted, gone, refused;
	char last_refusal[128];
	bool refuse_all;
};

/* --- The server's side ----------------------------------------------------------------------------------------------- */

static enum ap_grpc_status
admit(void *arg, struct ap_xds_stream *s, struct ap_error *err)
{
	struct world *w = arg;
	assert_string_equal(ap_xds_stream_node_id(s), "node~1");
	assert_true(ap_slice_eq_text(ap_doc_string(ap_xds_stream_metadata(s), "COLOUR", ""), "blue"));
	if (w->refuse_all) {
		ap_error_set(err, -1, "not today");
		return AP_GRPC_PERMISSION_DENIED;
	}
	w->admitted++;
	return AP_GRPC_OK;
}

static bool
visible(void *arg, const struct ap_xds_stream *s, const struct ap_xds_entry *e)
{
	(void)arg;
	(void)s;
	return !ap_slice_eq_text(e->scope, "hidden");
}

static void
refused(void *arg, struct ap_xds_stream *s, const char *type_url, const char *text)
{
	(void)s;
	struct world *w = arg;
	w->refused++;
	snprintf(w->last_refusal, sizeof(w->last_refusal), "%s %s", type_url, text);
}

static void
gone(void *arg, struct ap_xds_stream *s, bool was_admitted)
{
	(void)s;
	(void)was_admitted;
	((struct world *)arg)->gone++;
}

static const struct ap_xds_server_ops server_ops = { .admit = admit, .visible = visible, .refused = refused, .gone = gone };

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct world *w = arg;
	ap_xds_server_take(w->server, x, NULL);
}

static void
on_closed(struct ap_http_conn *conn, void *arg)
{
	struct world *w = arg;
	for (size_t i = 0; i < w->conns.count; i++)
		if (w->conns.items[i] == conn) {
			ap_vec_remove(&w->conns, i);
			return;
		}
}

static const struct ap_http_server_ops http_ops = { .request = on_request, .closed = on_closed };

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct world *w = arg;
	struct ap_http_settings settings = { 0 };
	struct ap_stream *s = ap_tls_server(ap_tcp_take(w->loop, fd, peer), w->server_tls, NULL, NULL);
	ap_vec_push(&w->conns, ap_http_serve(s, AP_HTTP_2, &settings, &http_ops, w));
}

/* --- The client's side ------------------------------------------------------------------------------------------------- */

struct follower {
	struct world *w;
	struct ap_xds_client *c;
	struct ap_arena *arena;
	struct ap_map a, b; /* name -> body text */
	unsigned updates, connects, losses;
	bool synced;
	const char *dislikes;
	char order[512]; /* letters of the types, in the order in which updates came */
};

static void
apply(struct ap_map *map, const struct ap_xds_update *u, struct ap_buf *reject, const char *dislikes)
{
	for (size_t i = 0; i < u->count; i++) {
		const struct ap_xds_resource *r = &u->resources[i];
		if (dislikes != NULL && ap_slice_eq_text(r->name, dislikes)) {
			ap_buf_printf(reject, "%.*s: ugly; ", AP_FMT(r->name));
			continue;
		}
		char *old = ap_map_put(map, r->name, ap_strndup(r->body.ptr, r->body.len));
		ap_free(&old);
	}
	for (size_t i = 0; i < u->removed_count; i++) {
		char *old = ap_map_remove(map, u->removed[i]);
		ap_free(&old);
	}
}

static void
apply_a(void *arg, const struct ap_xds_update *u, struct ap_buf *reject)
{
	struct follower *f = arg;
	f->updates++;
	if (strlen(f->order) < sizeof(f->order) - 2)
		strcat(f->order, "a");
	apply(&f->a, u, reject, f->dislikes);
}

static void
apply_b(void *arg, const struct ap_xds_update *u, struct ap_buf *reject)
{
	struct follower *f = arg;
	f->updates++;
	if (strlen(f->order) < sizeof(f->order) - 2)
		strcat(f->order, "b");
	apply(&f->b, u, reject, f->dislikes);
}

static struct ap_tls *
client_tls(void *arg)
{
	return ap_tls_ref(((struct follower *)arg)->w->client_tls);
}

static void
client_token(void *arg, struct ap_buf *out)
{
	(void)arg;
	ap_buf_add_text(out, "Bearer secret");
}

static void
client_state(void *arg, bool connected, bool synced)
{
	struct follower *f = arg;
	if (connected)
		f->connects++;
	else
		f->losses++;
	f->synced = synced;
}

static void
follow(struct follower *f, struct world *w)
{
	*f = (struct follower){ .w = w, .arena = ap_arena_new(1 << 16) };
	struct ap_doc *meta = ap_doc_new_map(f->arena);
	ap_doc_set_string(f->arena, meta, "COLOUR", AP_S("blue"));
	struct ap_xds_subscription subs[] = { { .type_url = TYPE_B, .apply = apply_b, .arg = f },
		{ .type_url = TYPE_A, .apply = apply_a, .arg = f } };
	char address[AP_ADDR_TEXT];
	ap_addr_format(&w->at, address, sizeof(address));
	struct ap_xds_client_settings s = { .loop = w->loop,
		.address = ap_slice_of(address),
		.host_name = AP_S("localhost"),
		.tls = client_tls,
		.token = client_token,
		.arg = f,
		.node_id = AP_S("node~1"),
		.metadata = meta,
		.subscriptions = subs,
		.subscription_count = 2,
		.state = client_state };
	f->c = ap_xds_client_new(&s);
}

static void
unfollow(struct follower *f)
{
	ap_xds_client_free(&f->c);
	ap_map_done(&f->a, ap_mem_free);
	ap_map_done(&f->b, ap_mem_free);
	ap_arena_free(&f->arena);
}

/* --- The world ------------------------------------------------------------------------------------------------------------- */

static void
make_certificates(struct world *w)
{
	struct ap_buf ca_key, ca_pub, ca_cert, key, pub, cert;
	struct ap_buf *all[] = { &ca_key, &ca_pub, &ca_cert, &key, &pub, &cert };
	struct ap_error err = { 0 };
	for (size_t i = 0; i < AP_COUNTOF(all); i++)
		ap_buf_init(all[i], 1 << 16);
	struct ap_slice name = AP_S("localhost");
	struct ap_cert_request root = { .common_name = AP_S("root"), .lifetime_s = 3600, .is_ca = true };
	struct ap_cert_request leaf = { .names = &name, .name_count = 1, .lifetime_s = 3600 };
	assert_int_equal(ap_key_generate(&ca_key, &err), 0);
	assert_int_equal(ap_key_public(ap_buf_slice(&ca_key), &ca_pub, &err), 0);
	assert_int_equal(
	    ap_cert_issue(&root, ap_buf_slice(&ca_pub), AP_SLICE_NONE, ap_buf_slice(&ca_key), &ca_cert, &err), 0);
	assert_int_equal(ap_key_generate(&key, &err), 0);
	assert_int_equal(ap_key_public(ap_buf_slice(&key), &pub, &err), 0);
	assert_int_equal(
	    ap_cert_issue(&leaf, ap_buf_slice(&pub), ap_buf_slice(&ca_cert), ap_buf_slice(&ca_key), &cert, &err), 0);
	static const char *const alpn[] = { "h2", NULL };
	struct ap_tls_settings s = { .cert_chain_pem = ap_buf_slice(&cert),
		.key_pem = ap_buf_slice(&key),
		.roots_pem = ap_buf_slice(&ca_cert),
		.alpn = alpn,
		.is_server = true };
	struct ap_tls_settings c = { .roots_pem = ap_buf_slice(&ca_cert),
		.alpn = alpn,
		.verify = AP_TLS_VERIFY_REQUIRED,
		.check_host = true };
	w->server_tls = ap_tls_new(&s, &err);
	w->client_tls = ap_tls_new(&c, &err);
	assert_non_null(w->server_tls);
	assert_non_null(w->client_tls);
	for (size_t i = 0; i < AP_COUNTOF(all); i++)
		ap_buf_done(all[i]);
}

static void
serve(struct world *w, uint64_t max_age_ms, size_t most_queued)
{
	struct ap_xds_server_set sets[] = { { .set = w->a }, { .set = w->b, .exact = true } };
	struct ap_xds_server_settings s = { .loop = w->loop,
		.sets = sets,
		.set_count = 2,
		.max_age_ms = max_age_ms,
		.most_queued = most_queued,
		.ops = &server_ops,
		.arg = w };
	w->server = ap_xds_server_new(&s);
}

static void
listen_at(struct world *w, const char *address)
{
	struct ap_addr at;
	struct ap_error err = { 0 };
	struct ap_listener_options options = { 0 };
	assert_int_equal(ap_addr_parse(ap_slice_of(address), &at), 0);
	w->listener = ap_listener_new(w->loop, &at, &options, on_accept, w, &err);
	assert_non_null(w->listener);
	w->at = ap_listener_addr(w->listener);
}

static void
open_world(struct world *w)
{
	*w = (struct world){ .loop = ap_loop_new("test") };
	make_certificates(w);
	w->a = ap_xds_set_new(TYPE_A);
	w->b = ap_xds_set_new(TYPE_B);
	listen_at(w, "127.0.0.1:0");
}

static void
close_world(struct world *w)
{
	ap_listener_free(&w->listener);
	ap_xds_server_free(&w->server);
	while (w->conns.count > 0) {
		ap_http_close(w->conns.items[0]);
		ap_loop_turn(w->loop, 0);
	}
	for (int i = 0; i < 3; i++)
		ap_loop_turn(w->loop, 0);
	ap_vec_done(&w->conns);
	ap_xds_set_free(&w->a);
	ap_xds_set_free(&w->b);
	ap_tls_unref(&w->server_tls);
	ap_tls_unref(&w->client_tls);
	ap_loop_free(&w->loop);
}

static void
put(struct ap_xds_set *set, const char *name, const char *body)
{
	struct ap_xds_put p = { .name = ap_slice_of(name), .body = ap_slice_of(body) };
	ap_xds_set_put(set, &p);
}

#define TURN_UNTIL(w_, cond_) \
	do { \
		uint64_t end_ = ap_clock_mono_ms() + 10000; \
		while (!(cond_)) { \
			if (ap_clock_mono_ms() > end_) \
				fail_msg("not within ten seconds: %s", #cond_); \
			ap_loop_turn((w_)->loop, 10); \
		} \
	} while (0)

static const char *
value(const struct ap_map *m, const char *name)
{
	const char *v = ap_map_find(m, ap_slice_of(name));
	return v == NULL ? "" : v;
}

/* --- Tests --------------------------------------------------------------------------------------------------------------------- */

static void
a_client_follows_changes_and_says_what_it_dislikes(void **state)
{
	(void)state;
	struct world w;
	struct follower f;
	open_world(&w);
	serve(&w, 0, 0);
	put(w.a, "one", "1");
	struct ap_xds_put secret = { .name = AP_S("secret"), .body = AP_S("x"), .scope = AP_S("hidden") };
	ap_xds_set_put(w.b, &secret);
	follow(&f, &w);
	TURN_UNTIL(&w, ap_xds_client_is_synced(f.c));
	assert_true(ap_xds_client_is_connected(f.c));
	assert_string_equal(value(&f.a, "one"), "1");
	assert_int_equal(f.b.count, 0);
	f.order[0] = '\0';
	put(w.b, "leans", "on a");
	put(w.a, "two", "2");
	ap_xds_set_remove(w.a, AP_S("one"));
	ap_xds_server_notify(w.server);
	TURN_UNTIL(&w, f.b.count == 1);
	assert_string_equal(f.order, "ab"); /* in the order of the sets */
	assert_string_equal(value(&f.a, "one"), "");
	f.dislikes = "ugly";
	put(w.a, "ugly", "!");
	ap_xds_server_notify(w.server);
	TURN_UNTIL(&w, w.refused == 1);
	assert_string_equal(w.last_refusal, TYPE_A " ugly: ugly; ");
	unfollow(&f);
	close_world(&w);
}

static void
a_client_that_lost_its_server_comes_back_and_is_told_the_difference(void **state)
{
	(void)state;
	struct world w;
	struct follower f;
	open_world(&w);
	serve(&w, 0, 0);
	put(w.a, "one", "1");
	put(w.a, "two", "2");
	follow(&f, &w);
	TURN_UNTIL(&w, ap_xds_client_is_synced(f.c));
	/* The process goes, listener and all, and another one comes with other resources. */
	char address[AP_ADDR_TEXT];
	ap_addr_format(&w.at, address, sizeof(address));
	ap_listener_free(&w.listener);
	ap_xds_server_free(&w.server);
	while (w.conns.count > 0)
		ap_http_close(w.conns.items[0]), ap_loop_turn(w.loop, 0);
	TURN_UNTIL(&w, !ap_xds_client_is_connected(f.c));
	assert_true(ap_xds_client_is_synced(f.c)); /* what it has stands */
	assert_string_equal(value(&f.a, "one"), "1");
	ap_xds_set_free(&w.a);
	w.a = ap_xds_set_new(TYPE_A);
	put(w.a, "two", "2");
	put(w.a, "three", "3");
	serve(&w, 0, 0);
	listen_at(&w, address);
	f.order[0] = '\0';
	TURN_UNTIL(&w, f.a.count == 2 && ap_xds_client_is_connected(f.c));
	assert_string_equal(value(&f.a, "one"), "");
	assert_string_equal(value(&f.a, "two"), "2");
	assert_string_equal(value(&f.a, "three"), "3");
	unfollow(&f);
	close_world(&w);
}

static void
streams_end_by_age_and_go_on(void **state)
{
	(void)state;
	struct world w;
	struct follower f;
	open_world(&w);
	serve(&w, 50, 0);
	put(w.a, "one", "1");
	follow(&f, &w);
	TURN_UNTIL(&w, w.gone >= 3);
	put(w.a, "late", "2");
	ap_xds_server_notify(w.server);
	TURN_UNTIL(&w, f.a.count == 2);
	unfollow(&f);
	close_world(&w);
}

static void
who_is_not_admitted_tries_again_later(void **state)
{
	(void)state;
	struct world w;
	struct follower f;
	open_world(&w);
	serve(&w, 0, 0);
	w.refuse_all = true;
	follow(&f, &w);
	TURN_UNTIL(&w, w.gone >= 2);
	assert_int_equal(w.admitted, 0);
	assert_false(ap_xds_client_is_connected(f.c));
	w.refuse_all = false;
	TURN_UNTIL(&w, ap_xds_client_is_synced(f.c));
	unfollow(&f);
	close_world(&w);
}

static void
a_storm_of_large_first_responses_shares_a_budget_and_all_are_served(void **state)
{
	(void)state;
	enum { CLIENTS = 12, RESOURCES = 300, BODY = 2000 };
	struct world w;
	static struct follower f[CLIENTS];
	static char body[BODY + 1];
	open_world(&w);
	memset(body, 'x', BODY);
	for (int i = 0; i < RESOURCES; i++) {
		char name[32];
		snprintf(name, sizeof(name), "r%d", i);
		put(w.a, name, body);
	}
	serve(&w, 0, (size_t)RESOURCES * BODY / 4); /* less than one response: one after the other */
	for (int i = 0; i < CLIENTS; i++)
		follow(&f[i], &w);
	for (int i = 0; i < CLIENTS; i++)
		TURN_UNTIL(&w, f[i].a.count == RESOURCES && ap_xds_client_is_synced(f[i].c));
	assert_int_equal(ap_xds_server_streams(w.server), CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		unfollow(&f[i]);
	TURN_UNTIL(&w, ap_xds_server_streams(w.server) == 0);
	close_world(&w);
}

static void
new_metadata_makes_a_new_stream(void **state)
{
	(void)state;
	struct world w;
	struct follower f;
	open_world(&w);
	serve(&w, 0, 0);
	follow(&f, &w);
	TURN_UNTIL(&w, ap_xds_client_is_synced(f.c));
	struct ap_doc *meta = ap_doc_new_map(f.arena);
	ap_doc_set_string(f.arena, meta, "COLOUR", AP_S("blue"));
	ap_doc_set_string(f.arena, meta, "SIZE", AP_S("large"));
	ap_xds_client_set_metadata(f.c, meta);
	TURN_UNTIL(&w, w.admitted == 2 && ap_xds_client_is_connected(f.c));
	unfollow(&f);
	close_world(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_follows_changes_and_says_what_it_dislikes),
		cmocka_unit_test(a_client_that_lost_its_server_comes_back_and_is_told_the_difference),
		cmocka_unit_test(streams_end_by_age_and_go_on),
		cmocka_unit_test(who_is_not_admitted_tries_again_later),
		cmocka_unit_test(a_storm_of_large_first_responses_shares_a_budget_and_all_are_served),
		cmocka_unit_test(new_metadata_makes_a_new_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
