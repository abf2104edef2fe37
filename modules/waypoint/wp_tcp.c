/*
 * wp_tcp.c -- a down whose bytes are not HTTP: judged once, by policies without HTTP, then relayed to an endpoint through a
 * tunnel or plain, and counted as TCP.  One thread, the worker's.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "mesh/labels.h"
#include "net/relay.h"
#include "waypoint/wp_priv.h"

AP_LOG_MODULE(wp_tcp);

#define TCP_MAGIC AP_MAGIC('w', 'p', 't', 'c')

struct wp_tcp {
	uint32_t magic;
	struct wp_down *down;
	struct ap_stream *client, *server;
	struct wp_endpoint *endpoint;
	struct ap_relay *relay;
	struct ap_mesh_ends ends;
	struct ap_mesh_series series;
	bool counted;
};

static void
tcp_free(void *p)
{
	struct wp_tcp *t = p;

	ap_free(&t);
}

static void
tcp_end(struct wp_tcp *t, enum ap_stream_close how)
{
	struct wp_down *d = t->down;

	ap_relay_free(&t->relay);
	ap_stream_close(&t->server, how);
	ap_stream_close(&t->client, how);
	if (t->counted)
		ap_mesh_count_close(d->ww->w->shard, &t->ends);
	if (t->endpoint != NULL)
		t->endpoint->active--;
	wp_endpoint_unref(&t->endpoint);
	t->magic = 0;
	ap_defer_free(d->ww->loop, t, tcp_free);
	d->tcp = NULL;
	wp_down_free(d);
}

void
wp_tcp_close(struct wp_tcp *t)
{
	tcp_end(t, AP_STREAM_CLOSE_ABORT);
}

static void
on_moved(uint64_t a_to_b, uint64_t b_to_a, void *arg)
{
	struct wp_tcp *t = arg;

	ap_series_add(t->series.received, a_to_b);
	ap_series_add(t->series.sent, b_to_a);
}

static void
on_ended(struct ap_relay *relay, enum ap_relay_end end, void *arg)
{
	struct wp_tcp *t = arg;

	(void)relay;
	AP_IS(t, TCP_MAGIC);
	tcp_end(t, end == AP_RELAY_DONE ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT);
}

static const struct ap_relay_callbacks relay_callbacks = { .moved = on_moved, .ended = on_ended };

static void
count_open(struct wp_tcp *t)
{
	struct wp_down *d = t->down;

	t->ends.reporter = AP_REPORTER_WAYPOINT;
	t->ends.source = d->source;
	t->ends.source_principal = d->identity;
	t->ends.service = d->service;
	t->ends.mutual_tls = d->is_mutual;
	if (t->endpoint != NULL) {
		t->ends.destination = t->endpoint->workload;
		t->ends.destination_principal = t->endpoint->workload->identity;
	}
	ap_mesh_count_open(d->ww->w->shard, &t->ends, &t->series);
	t->counted = true;
}

static void
server_events(struct ap_stream *s, unsigned events, void *arg)
{
	struct wp_tcp *t = arg;

	AP_IS(t, TCP_MAGIC);
	if (events & AP_STREAM_FAILED) {
		LOG_DEBUG(NULL, "%s: %s", t->endpoint->text, ap_stream_error_name((enum ap_stream_error)s->error));
		t->ends.flags = AP_FLAG_CONNECT;
		tcp_end(t, AP_STREAM_CLOSE_ABORT);
		return;
	}
	if (events & AP_STREAM_OPEN)
		t->relay = ap_relay_new(t->client, t->server, &relay_callbacks, t);
}

/* The client may go before the server is reached. */
static void
client_events(struct ap_stream *s, unsigned events, void *arg)
{
	(void)s;
	if (events & AP_STREAM_FAILED)
		tcp_end(arg, AP_STREAM_CLOSE_ABORT);
}

static bool
is_allowed(struct wp_down *d, struct wp_binding *b)
{
	struct wp_view v = {
		.arena = d->arena,
		.source = d->source,
		.destination_ip = d->destination_ip,
		.destination_port = d->port,
		.is_tcp = true,
	};
	struct ap_ip ip;

	wp_view_set_identity(&v, d->identity);
	if (ap_addr_ip(&d->peer, &ip) == 0)
		v.source_ip = ip;
	return wp_authz_check(b->policies, b->policy_count, &v).verdict == WP_AUTHZ_ALLOW;
}

static struct wp_endpoint *
endpoint_choose(struct wp_down *d, const struct wp_port *port)
{
	const struct wp_route *route = port->route_count > 0 ? &port->routes[0] : port->fallback;
	const struct wp_destination *to = wp_route_pick(route, ap_rand_fast());

	if (d->pinned != NULL)
		return wp_endpoint_pinned(d->ww, d->pinned, d->service, &d->destination_ip, d->pinned_port);
	if (to == NULL || to->invalid_status != 0 || to->unknown_subset)
		return NULL;
	return wp_endpoint_pick(wp_cluster_get(d->ww, to), (enum wp_lb)route->lb, ap_rand_fast(), NULL);
}

void
wp_tcp_start(struct wp_down *d, struct wp_binding *b, const struct wp_port *port, struct ap_stream *client)
{
	struct wp_tcp *t = ap_new(struct wp_tcp);

	t->magic = TCP_MAGIC;
	t->down = d;
	t->client = client;
	d->tcp = t;
	if (!is_allowed(d, b)) {
		count_open(t);
		t->ends.flags = AP_FLAG_DENY;
		tcp_end(t, AP_STREAM_CLOSE_ABORT);
		return;
	}
	t->endpoint = endpoint_choose(d, port);
	if (t->endpoint != NULL)
		t->endpoint->active++;
	count_open(t);
	if (t->endpoint == NULL) {
		t->ends.flags = AP_FLAG_CONNECT;
		tcp_end(t, AP_STREAM_CLOSE_ABORT);
		return;
	}
	ap_stream_set_callback(client, client_events, t);
	ap_stream_want(client, 0);
	t->server = wp_dial(d->ww->loop, t->endpoint);
	ap_stream_set_callback(t->server, server_events, t);
	ap_stream_want(t->server, 0);
}
