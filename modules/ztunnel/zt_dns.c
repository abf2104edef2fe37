/*
 * zt_dns.c -- the sockets of the DNS proxy and the way of a query through it (istio-ambient.md 8).  A query is a datagram or a framed
 * message on a TCP connection; it is answered from the table at once, or forwarded by c-ares on sockets with our mark.  Bounded:
 * FORWARDS_MAX queries in flight, CLIENTS_MAX TCP connections, each silent for at most TCP_IDLE_MS.
 */
#include "ztunnel/zt_dns.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/dns.h"
#include "net/resolve.h"
#include "net/tcp.h"
#include "ztunnel/zt.h"
#include "ztunnel/zt_dns_names.h"

AP_LOG_MODULE(zt_dns);

#define TTL_S 30U
#define FORWARDS_MAX 2000U
#define CLIENTS_MAX 200U
#define TCP_IDLE_MS 5000U
#define PER_TURN 64

struct zt_dns {
	struct zt_worker *zw;
	struct ap_io udp[2];
	int udp_count;
	struct ap_listener *tcp[2];
	struct ap_resolver *resolver;
	struct ap_list forwards, clients;
	unsigned forward_count, client_count;
	struct ap_slice search[ZT_DNS_SEARCH_MAX];
	size_t search_count;
	char *search_text;
};

struct client; /* TCP */

/* A query that somebody else must answer. */
struct forward {
	struct ap_list link;
	struct zt_dns *dns;
	struct ap_resolve *resolve;
	struct ap_dns_query query;
	int fd;              /* UDP: where the answer goes out */
	struct ap_addr to;
	struct client *client; /* TCP; NULL when it has gone */
	uint64_t started_us;
	const char *type;
};

struct client {
	struct ap_list link;
	struct zt_dns *dns;
	struct ap_stream *s;
	struct ap_timer idle;
	struct ap_buf in, out;
	unsigned pending;
};

/* Metrics. */

static const char *const labels[] = { "request_query_type", "request_protocol", "source_canonical_service",
	"source_canonical_revision", NULL };
static const double bounds[] = { .0005, .001, .01, .1, 1, 5 };
static const struct ap_metric requests = { .name = "istio_dns_requests",
	.kind = AP_COUNTER,
	.unit = "",
	.help = "DNS queries received.",
	.labels = labels };
static const struct ap_metric upstream_requests = { .name = "istio_dns_upstream_requests",
	.kind = AP_COUNTER,
	.unit = "",
	.help = "DNS queries forwarded.",
	.labels = labels };
static const struct ap_metric upstream_failures = { .name = "istio_dns_upstream_failures",
	.kind = AP_COUNTER,
	.unit = "",
	.help = "Forwarded DNS queries without an answer.",
	.labels = labels };
static const struct ap_metric upstream_seconds = { .name = "istio_dns_upstream_request_duration_seconds",
	.kind = AP_HISTOGRAM,
	.unit = "seconds",
	.help = "Time to the answer of a forwarded DNS query.",
	.labels = labels,
	.bounds = bounds,
	.bound_count = AP_COUNTOF(bounds) };

/* The workload that asks, as far as it can be told: the only one of this host, else the first. */
static const struct ap_mesh_workload *
asker(const struct zt_dns *d)
{
	const struct zt_worker *zw = d->zw;

	if (zw->hosted->count == 0 || zw->zt->cfg.ip_count == 0)
		return NULL;
	return ap_mesh_find_source(zw->table, zw->zt->network, &zw->zt->cfg.ips[0], ap_slice_of(zw->hosted->items[0].spiffe));
}

static struct ap_series *
series(const struct zt_dns *d, const struct ap_metric *m, const char *type, bool tcp)
{
	const struct ap_mesh_workload *w = asker(d);
	struct ap_slice values[] = { ap_slice_of(type), tcp ? AP_S("tcp") : AP_S("udp"), AP_S("unknown"), AP_S("unknown") };

	if (w != NULL && w->canonical_name.len > 0)
		values[2] = w->canonical_name;
	if (w != NULL && w->canonical_revision.len > 0)
		values[3] = w->canonical_revision;
	return ap_series_get(d->zw->w->shard, m, values);
}

static const char *
type_name(uint16_t type)
{
	switch (type) {
	case AP_DNS_A:
		return "A";
	case AP_DNS_AAAA:
		return "AAAA";
	case AP_DNS_SRV:
		return "SRV";
	case AP_DNS_PTR:
		return "PTR";
	default:
		return "other";
	}
}

/* Answers. */

static void
reply_empty(const struct ap_dns_query *q, enum ap_dns_rcode rcode, size_t limit, struct ap_buf *out)
{
	struct ap_dns_reply reply = { .rcode = rcode, .recursion_available = true };

	(void)ap_dns_reply_encode(q, &reply, limit, out);
}

static void
reply_found(const struct ap_dns_query *q, const struct zt_dns_answer *a, size_t limit, struct ap_buf *out)
{
	struct ap_dns_record records[ZT_DNS_ADDRESSES_MAX + 1];
	struct ap_dns_reply reply = { .authoritative = true, .recursion_available = true, .records = records };
	size_t i;

	if (a->canonical.len > 0 && a->count > 0)
		records[reply.count++] = (struct ap_dns_record){ .type = AP_DNS_CNAME, .target = a->canonical, .ttl = TTL_S };
	for (i = 0; i < a->count; i++)
		records[reply.count++] = (struct ap_dns_record){ .type = q->type,
			.name = a->canonical,
			.ip = a->ips[i],
			.ttl = TTL_S };
	(void)ap_dns_reply_encode(q, &reply, limit, out);
}

/* True: `out` holds the answer. False: the query must be forwarded. */
static bool
answer(struct zt_dns *d, const struct ap_dns_query *q, size_t limit, struct ap_buf *out)
{
	const struct zt_worker *zw = d->zw;
	struct zt_dns_question ask = { .name = ap_slice(q->name, q->name_len),
		.v6 = q->type == AP_DNS_AAAA,
		.from = { .network = zw->zt->network },
		.cluster_domain = zw->zt->cfg.cluster_domain,
		.search = d->search,
		.search_count = d->search_count };
	struct zt_dns_answer found;

	if (q->opcode != 0) {
		reply_empty(q, AP_DNS_NOTIMP, limit, out);
		return true;
	}
	if (q->class != 1 || (q->type != AP_DNS_A && q->type != AP_DNS_AAAA))
		return false;
	if (zw->hosted->count > 0)
		ask.from.namespace_ = zw->hosted->items[0].namespace_;
	zt_dns_find(zw->table, &ask, &found);
	if (!found.known)
		return false;
	reply_found(q, &found, limit, out);
	return true;
}

/* Forwarding. */

static void client_answer(struct client *c, struct ap_slice message);
static void client_done(struct client *c);

static void
free_forward(struct forward *f)
{
	ap_list_remove(&f->link);
	f->dns->forward_count--;
	if (f->client != NULL)
		f->client->pending--;
	ap_free(&f);
}

static void
on_forwarded(const void *bytes, size_t size, void *arg)
{
	struct forward *f = arg;
	struct zt_dns *d = f->dns;
	bool tcp = f->fd < 0;
	struct ap_buf out;
	struct ap_dns_head head;

	f->resolve = NULL;
	ap_buf_init(&out, AP_DNS_MESSAGE_MAX);
	if (size > 2 && ap_dns_head_decode(ap_slice(bytes, size), &head) == 0 &&
	    (tcp || size <= ap_dns_udp_limit(&f->query))) {
		ap_buf_add(&out, bytes, size);
		/* The resolver asked under a number of its own. */
		out.ptr[0] = (char)(f->query.id >> 8);
		out.ptr[1] = (char)(f->query.id & 0xff);
	} else if (size > 2) {
		/* Too large for a datagram: let the client come back by TCP. */
		ap_buf_add(&out, bytes, 12);
		out.ptr[0] = (char)(f->query.id >> 8);
		out.ptr[1] = (char)(f->query.id & 0xff);
		out.ptr[2] = (char)(out.ptr[2] | 2);
		memset(out.ptr + 6, 0, 6);
		out.ptr[5] = 1;
		ap_buf_add(&out, f->query.question, f->query.question_size);
	} else {
		ap_series_add(series(d, &upstream_failures, f->type, tcp), 1);
		reply_empty(&f->query, AP_DNS_SERVFAIL, AP_DNS_MESSAGE_MAX, &out);
	}
	ap_series_observe(
	    series(d, &upstream_seconds, f->type, tcp), (double)((uint64_t)ap_clock_wall_us() - f->started_us) / 1e6);
	if (!tcp)
		(void)sendto(f->fd, out.ptr, out.len, MSG_DONTWAIT, &f->to.u.sa, f->to.len);
	else if (f->client != NULL)
		client_answer(f->client, ap_buf_slice(&out));
	ap_buf_done(&out);
	free_forward(f);
}

/* False: no room. */
static bool
forward(struct zt_dns *d, const struct ap_dns_query *q, struct ap_slice message, int fd, const struct ap_addr *to,
    struct client *client)
{
	struct forward *f;

	if (d->forward_count >= FORWARDS_MAX)
		return false;
	f = ap_new(struct forward);
	f->dns = d;
	f->query = *q;
	f->fd = fd;
	if (to != NULL)
		f->to = *to;
	f->client = client;
	if (client != NULL)
		client->pending++;
	f->started_us = (uint64_t)ap_clock_wall_us();
	f->type = type_name(q->type);
	ap_list_append(&d->forwards, &f->link);
	d->forward_count++;
	ap_series_add(series(d, &upstream_requests, f->type, client != NULL), 1);
	f->resolve = ap_resolve_raw(d->resolver, message.ptr, message.len, on_forwarded, f);
	return true;
}

/* True: the answer is in out. False: it comes later, or the message deserved none. */
static bool
handle(struct zt_dns *d, struct ap_slice message, int fd, const struct ap_addr *to, struct client *client,
    struct ap_buf *out)
{
	struct ap_dns_query q;
	int r = ap_dns_query_decode(message, &q);
	size_t limit;

	if (r < 0)
		return false;
	limit = client != NULL ? AP_DNS_MESSAGE_MAX : ap_dns_udp_limit(&q);
	if (r > 0) {
		reply_empty(&q, (enum ap_dns_rcode)r, limit, out);
		return true;
	}
	ap_series_add(series(d, &requests, type_name(q.type), client != NULL), 1);
	if (answer(d, &q, limit, out))
		return true;
	if (forward(d, &q, message, fd, to, client))
		return false;
	reply_empty(&q, AP_DNS_SERVFAIL, limit, out);
	return true;
}

/* UDP. */

static void
on_udp(struct ap_io *io, unsigned events, void *arg)
{
	struct zt_dns *d = arg;
	char bytes[4096];
	struct ap_buf out;
	int i;

	(void)events;
	ap_buf_init(&out, AP_DNS_MESSAGE_MAX);
	for (i = 0; i < PER_TURN; i++) {
		struct ap_addr from = { .len = sizeof(from.u.storage) };
		ssize_t n = recvfrom(io->fd, bytes, sizeof(bytes), MSG_DONTWAIT, &from.u.sa, &from.len);

		if (n < 0)
			break;
		ap_buf_clear(&out);
		if (handle(d, ap_slice(bytes, (size_t)n), io->fd, &from, NULL, &out))
			(void)sendto(io->fd, out.ptr, out.len, MSG_DONTWAIT, &from.u.sa, from.len);
	}
	ap_buf_done(&out);
}

static int
open_udp(struct zt_dns *d, const struct ap_addr *at, struct ap_error *err)
{
	char text[AP_ADDR_TEXT];
	int fd = socket(at->u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return ap_error_set(err, -errno, "socket: %s", strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_MARK, &d->zw->zt->cfg.mark, sizeof(d->zw->zt->cfg.mark));
	if (bind(fd, &at->u.sa, at->len) != 0) {
		(void)ap_error_set(
		    err, -errno, "udp %s: %s", ap_addr_format(at, text, sizeof(text)), strerror(errno));
		close(fd);
		return err->code;
	}
	ap_io_init(&d->udp[d->udp_count], d->zw->w->loop, fd, on_udp, d);
	ap_io_want(&d->udp[d->udp_count++], AP_IO_READ);
	return 0;
}

/* TCP. */

static void
free_client(void *ptr)
{
	struct client *c = ptr;

	ap_buf_done(&c->in);
	ap_buf_done(&c->out);
	ap_free(&c);
}

static void
client_done(struct client *c)
{
	AP_LIST_FOR(link, &c->dns->forwards) {
		struct forward *f = AP_LIST_ITEM(link, struct forward, link);

		if (f->client == c)
			f->client = NULL;
	}
	ap_timer_stop(&c->idle);
	ap_stream_close(&c->s, AP_STREAM_CLOSE_CLEAN);
	ap_list_remove(&c->link);
	c->dns->client_count--;
	ap_defer_free(c->dns->zw->w->loop, c, free_client);
}

static void
client_flush(struct client *c)
{
	ssize_t n;

	if (c->out.bad) {
		client_done(c);
		return;
	}
	n = c->out.len == 0 ? 0 : ap_stream_write(c->s, c->out.ptr, c->out.len);
	if (n > 0)
		ap_buf_consume(&c->out, (size_t)n);
	ap_stream_want(c->s, AP_STREAM_READABLE | (c->out.len > 0 ? AP_STREAM_WRITABLE : 0));
}

static void
client_answer(struct client *c, struct ap_slice message)
{
	ap_buf_add_u16(&c->out, (uint16_t)message.len);
	ap_buf_add_slice(&c->out, message);
	client_flush(c);
}

static void
client_messages(struct client *c)
{
	struct ap_buf out;
	size_t size;

	ap_buf_init(&out, AP_DNS_MESSAGE_MAX);
	while (c->in.len >= 2) {
		size = (size_t)(unsigned char)c->in.ptr[0] << 8 | (unsigned char)c->in.ptr[1];
		if (c->in.len < 2 + size)
			break;
		ap_buf_clear(&out);
		if (handle(c->dns, ap_slice(c->in.ptr + 2, size), -1, NULL, c, &out)) {
			ap_buf_add_u16(&c->out, (uint16_t)out.len);
			ap_buf_add_slice(&c->out, ap_buf_slice(&out));
		}
		ap_buf_consume(&c->in, 2 + size);
	}
	ap_buf_done(&out);
	client_flush(c);
}

static void
on_client(struct ap_stream *s, unsigned events, void *arg)
{
	struct client *c = arg;
	char bytes[4096];
	ssize_t n;

	if ((events & AP_STREAM_FAILED) != 0) {
		client_done(c);
		return;
	}
	if ((events & AP_STREAM_READABLE) != 0) {
		n = ap_stream_read(s, bytes, sizeof(bytes));
		if (n == AP_STREAM_EOF || n == AP_STREAM_ERROR) {
			client_done(c);
			return;
		}
		if (n > 0) {
			ap_timer_start(&c->idle, TCP_IDLE_MS);
			ap_buf_add(&c->in, bytes, (size_t)n);
			client_messages(c);
			return;
		}
	}
	client_flush(c);
}

static void
on_idle(struct ap_timer *t, void *arg)
{
	struct client *c = arg;

	if (c->pending > 0)
		ap_timer_start(t, TCP_IDLE_MS);
	else
		client_done(c);
}

static void
on_tcp(int fd, const struct ap_addr *peer, void *arg)
{
	struct zt_dns *d = arg;
	struct client *c;

	if (d->client_count >= CLIENTS_MAX) {
		close(fd);
		return;
	}
	c = ap_new(struct client);
	c->dns = d;
	ap_buf_init(&c->in, AP_DNS_MESSAGE_MAX + 8192);
	ap_buf_init(&c->out, (size_t)4 * AP_DNS_MESSAGE_MAX);
	ap_timer_init(&c->idle, d->zw->w->loop, on_idle, c);
	ap_timer_start(&c->idle, TCP_IDLE_MS);
	ap_list_append(&d->clients, &c->link);
	d->client_count++;
	c->s = ap_tcp_take(d->zw->w->loop, fd, peer);
	ap_stream_set_callback(c->s, on_client, c);
	ap_stream_want(c->s, AP_STREAM_READABLE);
}

/* Start. */

/* The name servers to forward to. A stub on the loopback address would send our questions back to us: ask whom it asks. */
static void
find_servers(const struct zt_config *cfg, struct ap_buf *out)
{
	static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };
	struct ap_slice rest, line, word;
	struct ap_buf text;
	struct ap_error err;
	struct ap_ip ip;
	size_t i;

	ap_buf_add_slice(out, cfg->dns_upstream);
	for (i = 0; i < AP_COUNTOF(files) && out->len == 0; i++) {
		ap_buf_init(&text, 65536);
		if (ap_file_read(files[i], &text, &err) != 0)
			text.len = 0;
		rest = text.len == 0 ? AP_SLICE_NONE : ap_buf_slice(&text);
		while (rest.ptr != NULL) {
			line = ap_slice_trim(ap_slice_cut(&rest, '\n'));
			word = ap_slice_cut(&line, ' ');
			line = ap_slice_trim(line);
			if (!ap_slice_eq_text(word, "nameserver") || ap_ip_parse(line, &ip) != 0 || ap_ip_is_loopback(&ip))
				continue;
			ap_buf_printf(out, ip.len == 16 ? "%s[%.*s]:53" : "%s%.*s:53", out->len > 0 ? "," : "", AP_FMT(line));
		}
		ap_buf_done(&text);
	}
}

static void
read_search(struct zt_dns *d)
{
	struct ap_slice rest, line, word;
	struct ap_buf text;
	struct ap_error err;

	ap_buf_init(&text, 65536);
	if (ap_file_read("/etc/resolv.conf", &text, &err) == 0 && text.len > 0) {
		d->search_text = ap_strndup(text.ptr, text.len);
		rest = ap_slice_of(d->search_text);
		while (rest.ptr != NULL) {
			line = ap_slice_trim(ap_slice_cut(&rest, '\n'));
			word = ap_slice_cut(&line, ' ');
			if (!ap_slice_eq_text(word, "search") && !ap_slice_eq_text(word, "domain"))
				continue;
			d->search_count = 0;
			while (line.ptr != NULL && d->search_count < ZT_DNS_SEARCH_MAX) {
				word = ap_slice_trim(ap_slice_cut(&line, ' '));
				if (word.len > 0 && !ap_slice_eq_text(word, "."))
					d->search[d->search_count++] = word;
			}
		}
	}
	ap_buf_done(&text);
}

static int
open_at(struct zt_dns *d, struct ap_slice ip_text, int slot, struct ap_error *err)
{
	struct ap_listener_options options = { .mark = d->zw->zt->cfg.mark, .v6_only = true };
	struct ap_addr at;
	struct ap_ip ip;
	int r;

	(void)ap_ip_parse(ip_text, &ip);
	at = ap_addr_of(&ip, d->zw->zt->cfg.dns_port);
	r = open_udp(d, &at, err);
	if (r != 0)
		return r;
	d->tcp[slot] = ap_listener_new(d->zw->w->loop, &at, &options, on_tcp, d, err);
	return d->tcp[slot] == NULL ? err->code : 0;
}

struct zt_dns *
zt_dns_new(struct zt_worker *zw, struct ap_error *err)
{
	struct zt_dns *d = ap_new(struct zt_dns);
	struct ap_error v6;
	struct ap_buf servers;

	d->zw = zw;
	ap_list_init(&d->forwards);
	ap_list_init(&d->clients);
	read_search(d);
	ap_buf_init(&servers, 4096);
	find_servers(&zw->zt->cfg, &servers);
	d->resolver = ap_resolver_new(zw->w->loop, zw->zt->cfg.mark, servers.len > 0 ? servers.ptr : NULL, err);
	ap_buf_done(&servers);
	if (d->resolver == NULL || open_at(d, AP_S("127.0.0.1"), 0, err) != 0) {
		zt_dns_free(&d);
		return NULL;
	}
	if (open_at(d, AP_S("::1"), 1, &v6) != 0)
		LOG_DEBUG(NULL, "DNS on IPv4 alone: %s", v6.text);
	return d;
}

void
zt_dns_free(struct zt_dns **dns)
{
	struct zt_dns *d = *dns;
	int i;

	*dns = NULL;
	if (d == NULL)
		return;
	AP_LIST_FOR_SAFE(link, &d->forwards) {
		struct forward *f = AP_LIST_ITEM(link, struct forward, link);

		ap_resolve_cancel(&f->resolve);
		free_forward(f);
	}
	AP_LIST_FOR_SAFE(link, &d->clients) {
		client_done(AP_LIST_ITEM(link, struct client, link));
	}
	for (i = 0; i < d->udp_count; i++) {
		int fd = d->udp[i].fd;

		ap_io_done(&d->udp[i]);
		close(fd);
	}
	ap_listener_free(&d->tcp[0]);
	ap_listener_free(&d->tcp[1]);
	ap_resolver_free(&d->resolver);
	ap_free(&d->search_text);
	ap_free(&d);
}
