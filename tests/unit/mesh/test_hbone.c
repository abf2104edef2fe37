/* test_hbone.c -- tunnels over real TLS on loopback: sharing, limits, drains, replaced and wrong certificates, refusals. */
#include "../net/pki.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "event/loop.h"
#include "event/worker.h"
#include "mesh/hbone.h"
#include "net/listener.h"
#include "net/tcp.h"

#define WEB "spiffe://cluster.local/ns/default/sa/web"
#define DB "spiffe://cluster.local/ns/default/sa/db"

static const char *const alpn[] = { "h2", NULL };
static struct pki ca;
static struct pki_leaf web, db;
static struct ap_worker *worker;

#define MAX 300

struct fixture {
	struct ap_tls *client_tls, *server_tls;
	struct ap_listener *listener;
	struct ap_hbone_pool *pool;
	struct ap_addr addr;
	struct ap_http_conn *conns[MAX];
	int conn_count, conns_closed;
	struct ap_exchange *served[MAX];
	int served_count;
	int status; /* what the server answers; 0: nothing */
	struct ap_exchange *tunnels[MAX];
	int ok, failed, last_status;
	enum ap_stream_error last_error;
	char text[300];
	bool reused;
};

static struct ap_tls *
tls_of(struct pki_leaf *leaf, bool is_server)
{
	struct ap_error err = { 0 };
	struct ap_tls_settings s = { .cert_chain_pem = ap_buf_slice(&leaf->cert), .key_pem = ap_buf_slice(&leaf->key),
		.roots_pem = ap_buf_slice(&ca.cert), .alpn = alpn, .verify = AP_TLS_VERIFY_REQUIRED,
		.is_server = is_server, .mesh = true };
	struct ap_tls *tls = ap_tls_new(&s, &err);

	if (tls == NULL)
		fail_msg("%s", err.text);
	return tls;
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct fixture *f = arg;
	struct ap_stream *s = &x->stream;
	struct ap_field baggage = { AP_S("baggage"), AP_S("service.name=db") };

	if (f->status == 0 || f->status == 200) {
		f->served[f->served_count++] = x;
		if (f->status == 200)
			ap_hbone_accept(x, &baggage, 1);
		return;
	}
	ap_hbone_refuse(x, f->status);
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
}

static void
on_conn_closed(struct ap_http_conn *conn, void *arg)
{
	struct fixture *f = arg;

	f->conns_closed++;
	for (int i = 0; i < f->conn_count; i++)
		if (f->conns[i] == conn)
			f->conns[i] = NULL;
}

static const struct ap_http_server_ops server_ops = { on_request, on_conn_closed };

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct fixture *f = arg;
	struct ap_stream *s = ap_tls_server(ap_tcp_take(worker->loop, fd, peer), f->server_tls, NULL, NULL);

	f->conns[f->conn_count++] = ap_hbone_serve(s, &server_ops, f);
}

static void
setup(struct fixture *f, const struct ap_hbone_settings *set)
{
	struct ap_listener_options options = { .backlog = 0 };
	struct ap_error err = { 0 };
	struct ap_addr any;

	memset(f, 0, sizeof(*f));
	f->status = 200;
	f->client_tls = tls_of(&web, false);
	f->server_tls = tls_of(&db, true);
	assert_int_equal(ap_addr_parse(AP_S("127.0.0.1:0"), &any), 0);
	f->listener = ap_listener_new(worker->loop, &any, &options, on_accept, f, &err);
	assert_non_null(f->listener);
	f->addr = ap_listener_addr(f->listener);
	f->pool = ap_hbone_pool_new(worker, set);
}

static void
turns(int n)
{
	for (int i = 0; i < n; i++)
		ap_loop_turn(worker->loop, 1);
}

static void
close_all(struct ap_exchange **xs, int count)
{
	for (int i = 0; i < count; i++) {
		struct ap_stream *s = xs[i] == NULL ? NULL : &xs[i]->stream;

		xs[i] = NULL;
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	}
}

static void
teardown(struct fixture *f)
{
	close_all(f->tunnels, MAX);
	close_all(f->served, MAX);
	ap_hbone_pool_free(&f->pool);
	for (int i = 0; i < f->conn_count; i++)
		if (f->conns[i] != NULL)
			ap_http_close(f->conns[i]);
	ap_listener_free(&f->listener);
	turns(5);
	ap_tls_unref(&f->client_tls);
	ap_tls_unref(&f->server_tls);
	turns(2);
	assert_int_equal(f->conns_closed, f->conn_count);
}

static void
on_open(const struct ap_hbone_result *r, void *arg)
{
	struct fixture *f = arg;

	f->last_status = r->status;
	f->last_error = r->error;
	f->reused = r->reused;
	snprintf(f->text, sizeof(f->text), "%s", r->text);
	if (r->tunnel != NULL) {
		f->tunnels[f->ok++] = r->tunnel;
		assert_true(r->local.len > 0);
		assert_true(ap_slice_eq(
		    ap_fields_get(&r->tunnel->response.fields, AP_S("baggage")), AP_S("service.name=db")));
	} else {
		f->failed++;
		assert_true(f->text[0] != '\0');
	}
}

static struct ap_hbone_wait *
open_as(struct fixture *f, const char *identity, const char *source_ip)
{
	struct ap_slice ids[2] = { AP_S("spiffe://cluster.local/ns/x/sa/y"), ap_slice_of(identity) };
	struct ap_field fields[2] = { { AP_S("baggage"), AP_S("a=b") }, { AP_S("forwarded"), AP_S("for=\"1.2.3.4:5\"") } };
	struct ap_hbone_target t = {
		.hop = f->addr,
		.source_identity = AP_S(WEB),
		.tls = f->client_tls,
		.server_identities = ids,
		.server_identity_count = 2,
		.sni = AP_S("db.default.cluster.local.ambit"),
		.authority = AP_S("10.0.0.2:80"),
		.fields = fields,
		.field_count = 2,
	};

	assert_int_equal(ap_ip_parse(ap_slice_of(source_ip), &t.source_ip), 0);
	return ap_hbone_open(f->pool, &t, on_open, f);
}

static void
wait_for(const int *counter, int value)
{
	for (int i = 0; i < 2000 && *counter < value; i++)
		ap_loop_turn(worker->loop, 5);
	assert_int_equal(*counter, value);
}

static void
tunnels_share_a_connection(void **state)
{
	struct ap_hbone_stats stats;
	struct fixture f;
	char buf[100];

	(void)state;
	setup(&f, NULL);
	for (int i = 0; i < 20; i++)
		(void)open_as(&f, DB, "10.0.0.1");
	ap_hbone_pool_stats(f.pool, &stats);
	assert_int_equal(stats.dialing, 1);
	assert_int_equal(stats.waiting, 20);
	wait_for(&f.ok, 20);
	assert_false(f.reused);
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 21);
	assert_true(f.reused);
	assert_int_equal(f.conn_count, 1);
	(void)open_as(&f, DB, "10.0.0.9"); /* another source address: another connection */
	wait_for(&f.ok, 22);
	assert_int_equal(f.conn_count, 2);
	assert_true(ap_slice_eq(f.served[0]->request.authority, AP_S("10.0.0.2:80")));
	assert_true(ap_slice_eq(ap_fields_get(&f.served[0]->request.fields, AP_S("forwarded")), AP_S("for=\"1.2.3.4:5\"")));
	assert_true(ap_slice_eq(ap_tls_peer_spiffe(ap_http_transport(f.conns[0])), AP_S(WEB)));
	/* Bytes pass each way. */
	assert_int_equal(ap_stream_write(&f.tunnels[0]->stream, "ping", 4), 4);
	turns(10);
	assert_int_equal(ap_stream_read(&f.served[0]->stream, buf, sizeof(buf)), 4);
	assert_int_equal(ap_stream_write(&f.served[0]->stream, "pong!", 5), 5);
	turns(10);
	assert_int_equal(ap_stream_read(&f.tunnels[0]->stream, buf, sizeof(buf)), 5);
	ap_hbone_pool_stats(f.pool, &stats);
	assert_int_equal(stats.tunnels, 22);
	assert_int_equal(stats.connections, 2);
	assert_int_equal(stats.waiting, 0);
	teardown(&f);
}

static void
full_connections_leave_the_pool(void **state)
{
	struct ap_hbone_settings set = { .max_tunnels = 10 };
	struct fixture f;

	(void)state;
	setup(&f, &set);
	for (int i = 0; i < 25; i++)
		(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 25);
	assert_int_equal(f.conn_count, 3);
	/* A full one is not used again, and ends with its last tunnel. */
	for (int i = 0; i < 25; i++)
		if (f.tunnels[i]->conn == f.tunnels[0]->conn && i > 0) {
			struct ap_stream *s = &f.tunnels[i]->stream;

			f.tunnels[i] = NULL;
			ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		}
	turns(10);
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 26);
	assert_ptr_not_equal(f.tunnels[25]->conn, f.tunnels[0]->conn);
	assert_int_equal(f.conns_closed, 0);
	close_all(f.tunnels, 1);
	wait_for(&f.conns_closed, 1);
	teardown(&f);
}

static void
refusals_and_wrong_identities_are_told(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, NULL);
	f.status = 401;
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.failed, 1);
	assert_int_equal(f.last_status, 401);
	assert_int_equal(f.last_error, AP_STREAM_OK);
	(void)open_as(&f, "spiffe://cluster.local/ns/default/sa/other", "10.0.0.1");
	wait_for(&f.failed, 2);
	assert_int_equal(f.last_error, AP_STREAM_TLS);
	assert_non_null(strstr(f.text, "identity"));
	ap_listener_free(&f.listener);
	(void)open_as(&f, DB, "10.0.0.3");
	(void)open_as(&f, DB, "10.0.0.3");
	wait_for(&f.failed, 4);
	assert_int_equal(f.last_error, AP_STREAM_REFUSED);
	teardown(&f);
}

static void
goaway_leads_to_another_connection(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, NULL);
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 1);
	ap_http_drain(f.conns[0]);
	/* Some of these race with the GOAWAY; none may be lost. */
	for (int i = 0; i < 30; i++) {
		(void)open_as(&f, DB, "10.0.0.1");
		turns(i % 3);
	}
	wait_for(&f.ok, 31);
	assert_int_equal(f.failed, 0);
	assert_true(f.conn_count >= 2);
	teardown(&f);
}

static void
a_new_certificate_retires_old_connections(void **state)
{
	struct fixture f;
	struct ap_tls *old;

	(void)state;
	setup(&f, NULL);
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 1);
	old = f.client_tls;
	f.client_tls = tls_of(&web, false);
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 2);
	assert_int_equal(f.conn_count, 2);
	assert_int_equal(f.conns_closed, 0);
	close_all(f.tunnels, 1);
	wait_for(&f.conns_closed, 1);
	ap_tls_unref(&old);
	teardown(&f);
}

static void
opens_can_be_cancelled_in_every_state(void **state)
{
	struct ap_hbone_wait *w[3];
	struct ap_hbone_stats stats;
	struct fixture f;

	(void)state;
	setup(&f, NULL);
	f.status = 0;
	w[0] = open_as(&f, DB, "10.0.0.1");
	w[1] = open_as(&f, DB, "10.0.0.1");
	ap_hbone_cancel(&w[0]); /* while it waits for the dial */
	for (int i = 0; i < 200 && f.served_count < 1; i++)
		turns(1);
	assert_int_equal(f.served_count, 1);
	ap_hbone_cancel(&w[1]); /* while it waits for the answer */
	turns(20);
	assert_int_equal(f.ok + f.failed, 0);
	assert_int_equal(f.served[0]->stream.error, AP_STREAM_OK);
	ap_hbone_pool_stats(f.pool, &stats);
	assert_int_equal(stats.waiting, 0);
	assert_int_equal(stats.tunnels, 0);
	w[2] = open_as(&f, DB, "10.0.0.1");
	(void)w[2];
	teardown(&f); /* with one open */
	assert_int_equal(f.ok + f.failed, 0);
}

static void
opens_end_in_time(void **state)
{
	struct ap_hbone_settings set = { .open_timeout_ms = 50 };
	struct fixture f;

	(void)state;
	setup(&f, &set);
	f.status = 0;
	for (int i = 0; i < 5; i++)
		(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.failed, 5);
	assert_int_equal(f.last_error, AP_STREAM_TIMEOUT);
	teardown(&f);
}

static bool
is_web(struct ap_slice identity, struct ap_stream *tls, void *arg)
{
	(void)arg;
	return ap_slice_eq(identity, AP_S(WEB)) && ap_slice_eq(ap_tls_peer_spiffe(tls), AP_S(DB));
}

static void
drain_and_cut(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, NULL);
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 1);
	ap_hbone_drain(f.pool);
	turns(5);
	(void)open_as(&f, DB, "10.0.0.1");
	wait_for(&f.ok, 2);
	assert_int_equal(f.conn_count, 2);
	ap_hbone_cut(f.pool, is_web, NULL);
	wait_for(&f.conns_closed, 2);
	assert_int_not_equal(f.tunnels[0]->stream.error, AP_STREAM_OK);
	teardown(&f);
}

static void
authorities(void **state)
{
	static const struct {
		const char *text, *host, *addr;
		int rv, port;
	} rows[] = {
		{ "10.0.0.1:80", "", "10.0.0.1:80", 0, 80 },
		{ "[fd00::1]:443", "", "[fd00::1]:443", 0, 443 },
		{ "web.default.svc.cluster.local:8080", "web.default.svc.cluster.local", NULL, 0, 8080 },
		{ "10.0.0.1", NULL, NULL, -EINVAL, 0 },
		{ "10.0.0.1:", NULL, NULL, -EINVAL, 0 },
		{ "10.0.0.1:0", NULL, NULL, -EINVAL, 0 },
		{ "10.0.0.1:65536", NULL, NULL, -EINVAL, 0 },
		{ ":80", NULL, NULL, -EINVAL, 0 },
		{ "fd00::1:443", NULL, NULL, -EINVAL, 0 },
		{ "[10.0.0.1]:443", NULL, NULL, -EINVAL, 0 },
		{ "[]:443", NULL, NULL, -EINVAL, 0 },
		{ "[fd00::1:443", NULL, NULL, -EINVAL, 0 },
		{ "[web]:443", NULL, NULL, -EINVAL, 0 },
		{ "", NULL, NULL, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < AP_COUNTOF(rows); i++) {
		struct ap_addr addr;
		struct ap_slice host;
		uint16_t port;
		char text[AP_ADDR_TEXT];

		assert_int_equal(ap_hbone_authority(ap_slice_of(rows[i].text), &addr, &host, &port), rows[i].rv);
		if (rows[i].rv != 0)
			continue;
		assert_int_equal(port, rows[i].port);
		assert_true(ap_slice_eq_text(host, rows[i].host));
		if (rows[i].addr != NULL)
			assert_string_equal(ap_addr_format(&addr, text, sizeof(text)), rows[i].addr);
		else
			assert_int_equal(addr.len, 0);
	}
}

static int
start(void **state)
{
	(void)state;
	pki_init(&ca, "test root");
	pki_leaf(&ca, &web, WEB, NULL, 3600);
	pki_leaf(&ca, &db, DB, NULL, 3600);
	worker = ap_worker_adopt("test");
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	ap_worker_stop(&worker);
	pki_leaf_done(&web);
	pki_leaf_done(&db);
	pki_done(&ca);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tunnels_share_a_connection),
		cmocka_unit_test(full_connections_leave_the_pool),
		cmocka_unit_test(refusals_and_wrong_identities_are_told),
		cmocka_unit_test(goaway_leads_to_another_connection),
		cmocka_unit_test(a_new_certificate_retires_old_connections),
		cmocka_unit_test(opens_can_be_cancelled_in_every_state),
		cmocka_unit_test(opens_end_in_time),
		cmocka_unit_test(drain_and_cut),
		cmocka_unit_test(authorities),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
