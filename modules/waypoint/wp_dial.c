/*
 * wp_dial.c -- a stream to an endpoint's program: through a tunnel to the ztunnel of its host, or plain TCP when it has none.
 * The tunnel's stream exists before the tunnel does, so that the HTTP pool can treat both alike: until the peer's 200 it
 * takes and gives nothing; then it passes every operation on to the tunnel's exchange.  One thread, the worker's.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "mesh/labels.h"
#include "net/tcp.h"
#include "waypoint/wp_priv.h"

AP_LOG_MODULE(wp_dial);

#define DIAL_MAGIC AP_MAGIC('w', 'p', 'd', 'l')
#define MARK 1337U

struct dial {
	struct ap_stream stream; /* first member */
	uint32_t magic;
	struct wp_endpoint *endpoint; /* one reference */
	struct ap_hbone_wait *wait;   /* until the answer */
	struct ap_exchange *tunnel;   /* from the answer on */
	struct ap_task fail_task;     /* when there is nothing to wait for */
};

static struct dial *
dial_of(const struct ap_stream *s)
{
	struct dial *d = (struct dial *)(uintptr_t)s;

	AP_IS(d, DIAL_MAGIC);
	return d;
}

static struct ap_stream *
inner(const struct ap_stream *s)
{
	struct dial *d = dial_of(s);

	return d->tunnel == NULL ? NULL : &d->tunnel->stream;
}

static int
idle_says(const struct ap_stream *s)
{
	return s->error != AP_STREAM_OK ? AP_STREAM_ERROR : AP_STREAM_AGAIN;
}

static ssize_t
dial_read(struct ap_stream *s, void *buf, size_t size)
{
	struct ap_stream *in = inner(s);

	return in == NULL ? idle_says(s) : in->ops->read(in, buf, size);
}

static int
dial_peek(struct ap_stream *s, struct iovec *iov, int max)
{
	struct ap_stream *in = inner(s);

	return in == NULL ? idle_says(s) : in->ops->peek(in, iov, max);
}

static void
dial_consume(struct ap_stream *s, size_t n)
{
	struct ap_stream *in = inner(s);

	AP_CHECK(in != NULL);
	in->ops->consume(in, n);
}

static ssize_t
dial_write(struct ap_stream *s, const struct iovec *iov, int count)
{
	struct ap_stream *in = inner(s);

	return in == NULL ? idle_says(s) : in->ops->write(in, iov, count);
}

static ssize_t
dial_draw(struct ap_stream *s, struct ap_stream *source, size_t max)
{
	struct ap_stream *in = inner(s);

	if (in == NULL)
		return s->error != AP_STREAM_OK ? AP_STREAM_ERROR : AP_STREAM_FULL;
	return in->ops->draw(in, source, max);
}

static void
dial_shutdown(struct ap_stream *s)
{
	struct ap_stream *in = inner(s);

	if (in != NULL)
		in->ops->shutdown(in);
}

static void
dial_want(struct ap_stream *s, unsigned events)
{
	struct ap_stream *in = inner(s);

	s->wanted = events;
	if (in != NULL)
		ap_stream_want(in, events);
}

static void
dial_free(void *ptr)
{
	struct dial *d = ptr;

	wp_endpoint_unref(&d->endpoint);
	ap_free(&d);
}

static void
dial_close(struct ap_stream *s, enum ap_stream_close how)
{
	struct dial *d = dial_of(s);
	struct ap_stream *in = inner(s);

	s->is_closed = true;
	ap_hbone_cancel(&d->wait);
	ap_task_cancel(&d->fail_task);
	d->tunnel = NULL;
	ap_stream_close(&in, how);
	ap_defer_free(s->loop, d, dial_free);
}

static size_t
dial_unsent(const struct ap_stream *s)
{
	struct ap_stream *in = inner(s);

	return in == NULL ? 0 : ap_stream_unsent(in);
}

static const struct ap_stream_ops dial_ops = {
	.name = "hbone",
	.read = dial_read,
	.peek = dial_peek,
	.consume = dial_consume,
	.write = dial_write,
	.draw = dial_draw,
	.shutdown = dial_shutdown,
	.want = dial_want,
	.close = dial_close,
	.unsent = dial_unsent,
};

/* Events of the tunnel are ours. */
static void
tunnel_events(struct ap_stream *in, unsigned events, void *arg)
{
	struct dial *d = arg;
	struct ap_stream *s = &d->stream;

	AP_IS(d, DIAL_MAGIC);
	if (events & AP_STREAM_FAILED) {
		s->error = in->error == AP_STREAM_OK ? AP_STREAM_RESET : in->error;
		s->detail = in->detail;
	}
	if (s->fn != NULL)
		s->fn(s, events, s->arg);
}

static void
dial_fail(struct dial *d, enum ap_stream_error error, int detail)
{
	struct ap_stream *s = &d->stream;

	s->error = (uint8_t)(error == AP_STREAM_OK ? AP_STREAM_REFUSED : error);
	s->detail = detail;
	if (s->fn != NULL)
		s->fn(s, AP_STREAM_FAILED, s->arg);
}

static void
on_opened(const struct ap_hbone_result *r, void *arg)
{
	struct dial *d = arg;
	struct ap_stream *s = &d->stream, *in;

	AP_IS(d, DIAL_MAGIC);
	d->wait = NULL;
	if (r->tunnel == NULL) {
		snprintf(d->endpoint->failure, sizeof(d->endpoint->failure), "%s", r->text);
		LOG_DEBUG(NULL, "tunnel to %s: %s", d->endpoint->text, r->text);
		/* A refusal by the peer's policy is no better after a retry on the same way, but the caller decides. */
		dial_fail(d, r->error, r->status != 0 ? r->status : r->detail);
		return;
	}
	d->endpoint->failure[0] = '\0';
	d->tunnel = r->tunnel;
	in = &r->tunnel->stream;
	s->is_open = true;
	ap_stream_set_callback(in, tunnel_events, d);
	ap_stream_want(in, s->wanted);
	if (s->fn != NULL)
		s->fn(s, AP_STREAM_OPEN, s->arg);
}

static void
on_fail_task(struct ap_task *t, void *arg)
{
	(void)t;
	dial_fail(arg, AP_STREAM_TLS, 0);
}

/* What the peer is told of us and of the service that was called (istio-ambient.md 1.3, 10.7). */
static size_t
fields_make(struct dial *d, struct ap_field out[4], char *baggage, char *forwarded, size_t size)
{
	struct wp_worker *ww = d->endpoint->ww;
	struct ap_mesh_workload *self = NULL;
	struct ap_ip own;
	size_t n = 0;

	if (ap_addr_ip(&ww->wp->set.address, &own) == 0)
		self = ap_mesh_find_source(
		    ww->mesh_table, ap_slice_of(ww->wp->network), &own, ap_slice_of(ww->wp->identity));
	if (self != NULL) {
		size_t len = ap_mesh_baggage_format(self, baggage);

		out[n++] = (struct ap_field){ AP_S("baggage"), ap_slice(baggage, len) };
	}
	if (d->endpoint->service != NULL) {
		snprintf(forwarded, size, "host=%.*s", AP_FMT(d->endpoint->service->hostname));
		out[n++] = (struct ap_field){ AP_S("forwarded"), ap_slice_of(forwarded) };
	}
	out[n++] = (struct ap_field){ AP_S("x-istio-source"), AP_S("waypoint") };
	return n;
}

static struct ap_stream *
hbone_dial(struct ap_loop *loop, struct wp_endpoint *e)
{
	struct ap_identity *self = ap_identity_view_find(e->ww->identities, ap_slice_of(e->ww->wp->identity));
	struct dial *d = ap_new(struct dial);
	char sni[AP_MESH_SNI_MAX], baggage[AP_MESH_BAGGAGE_MAX], forwarded[300];
	struct ap_slice identities[1 + 64];
	struct ap_hbone_target to = { .mark = MARK };
	struct ap_field fields[4];
	struct ap_ip ip;

	ap_stream_init(&d->stream, &dial_ops, loop, NULL);
	d->magic = DIAL_MAGIC;
	d->endpoint = e;
	e->refs++;
	ap_task_init(&d->fail_task, on_fail_task, d);
	if (self == NULL || ap_addr_ip(&e->addr, &ip) != 0) {
		snprintf(e->failure, sizeof(e->failure), "no certificate yet");
		ap_task_schedule(loop, &d->fail_task);
		return &d->stream;
	}
	identities[to.server_identity_count++] = e->workload->identity;
	for (uint32_t i = 0; e->service != NULL && i < e->service->san_count && i < 64; i++)
		identities[to.server_identity_count++] = e->service->sans[i];
	to.server_identities = identities;
	to.hop = ap_addr_of(&ip, AP_HBONE_PORT);
	to.source_identity = self->spiffe;
	to.tls = self->client;
	if (e->workload->is_ambit)
		to.sni = ap_slice_of(ap_mesh_sni(e->workload->identity, sni));
	to.authority = ap_slice_of(e->text);
	to.field_count = fields_make(d, fields, baggage, forwarded, sizeof(forwarded));
	to.fields = fields;
	d->wait = ap_hbone_open(e->ww->hbone, &to, on_opened, d);
	return &d->stream;
}

struct ap_stream *
wp_dial(struct ap_loop *loop, void *arg)
{
	struct wp_endpoint *e = arg;
	struct ap_tcp_options options = { .mark = MARK };

	if (e->workload->is_hbone && e->ww->identities != NULL)
		return hbone_dial(loop, e);
	return ap_tcp_connect(loop, &e->addr, &options);
}
