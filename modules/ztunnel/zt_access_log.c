/*
 * zt_access_log.c -- formats and gathers the access log on its worker.  The lines of one turn go to the shared writer as one piece.
 */
#include "ztunnel/zt_access_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/loop.h"
#include "event/worker.h"
#include "mesh/access_log.h"
#include "ztunnel/zt.h"

AP_LOG_MODULE(access);

#define CHUNK_MAX ((size_t)64 * 1024)

struct zt_log_ring {
	struct ap_access_log *log;
	struct ap_worker *w;
	struct ap_buf text;
	struct ap_task task;
	bool json;
};

static void
flush(struct zt_log_ring *r)
{
	if (r->text.len == 0)
		return;
	(void)ap_access_log_write(r->log, ap_buf_slice(&r->text));
	ap_buf_clear(&r->text);
}

static void
on_task(struct ap_task *t, void *arg)
{
	(void)t;
	flush(arg);
}

struct zt_log_ring *
zt_log_ring_new(struct ap_access_log *log, bool json, struct ap_worker *w)
{
	struct zt_log_ring *r;

	if (log == NULL)
		return NULL;
	r = ap_new(struct zt_log_ring);
	r->log = log;
	r->json = json;
	r->w = w;
	ap_buf_init(&r->text, CHUNK_MAX * 2);
	ap_task_init(&r->task, on_task, r);
	return r;
}

void
zt_log_ring_free(struct zt_log_ring **r)
{
	struct zt_log_ring *old = *r;

	*r = NULL;
	if (old == NULL)
		return;
	ap_task_cancel(&old->task);
	flush(old);
	ap_buf_done(&old->text);
	ap_free(&old);
}

/* One line being built, in either format. */
struct line {
	struct ap_buf *out;
	bool json;
};

static void
key(struct line *l, const char *name)
{
	if (l->json)
		ap_buf_printf(l->out, ",\"%s\":", name);
	else
		ap_buf_printf(l->out, " %s=", name);
}

static void
quoted(struct line *l, const char *name, struct ap_slice value)
{
	if (value.len == 0)
		return;
	key(l, name);
	ap_buf_add_json(l->out, value);
}

static void
bare(struct line *l, const char *name, const char *value)
{
	key(l, name);
	ap_buf_printf(l->out, l->json ? "\"%s\"" : "%s", value);
}

static void
number(struct line *l, const char *name, uint64_t value)
{
	key(l, name);
	ap_buf_printf(l->out, "%" PRIu64, value);
}

static void
point(struct line *l, const char *name, const struct zt_point *p)
{
	struct ap_addr a = zt_point_addr(p);
	char text[AP_ADDR_TEXT];

	if (a.len > 0)
		bare(l, name, ap_addr_format(&a, text, sizeof(text)));
}

static void
begin(struct line *l, const char *level, const char *message, uint64_t now_us)
{
	char time[64];

	(void)ap_clock_format((int64_t)now_us, 6, time, sizeof(time));
	if (l->json)
		ap_buf_printf(l->out, "{\"level\":\"%s\",\"time\":\"%s\",\"scope\":\"access\",\"message\":\"%s\"", level,
		    time, message);
	else
		ap_buf_printf(l->out, "%s\t%s\taccess\t%s\t", time, level, message);
}

static void
finish(struct line *l)
{
	ap_buf_add_text(l->out, l->json ? "}\n" : "\n");
}

static void
put_ends(struct line *l, const struct zt_conn *c)
{
	const struct ap_mesh_workload *s = c->source, *d = c->destination;
	struct ap_mesh_baggage b = { 0 };

	point(l, "src.addr", &c->src);
	if (s == NULL && c->baggage != NULL)
		ap_mesh_baggage_parse(ap_slice_of(c->baggage), &b);
	quoted(l, "src.workload", s == NULL ? (b.workload.len > 0 ? b.workload : b.service) : s->name);
	quoted(l, "src.namespace", s == NULL ? b.namespace_ : s->namespace_);
	if (c->mutual_tls)
		quoted(l, "src.identity", ap_slice_of(c->source_identity));
	quoted(l, "src.cluster", s == NULL ? b.cluster : s->cluster);
	/* Outbound: where TCP went. Inbound: the accepted socket, port 15008 included. */
	point(l, "dst.addr", c->direction == ZT_OUTBOUND && c->actual.port != 0 ? &c->actual : &c->dst);
	if (c->host_authority != NULL)
		bare(l, "dst.hbone_addr", c->host_authority);
	else if (c->protocol != ZT_TCP)
		point(l, "dst.hbone_addr", &c->authority);
	quoted(l, "dst.service", c->service == NULL ? AP_SLICE_NONE : c->service->hostname);
	if (d != NULL) {
		quoted(l, "dst.workload", d->name);
		quoted(l, "dst.namespace", d->namespace_);
		if (c->mutual_tls)
			quoted(l, "dst.identity", d->identity);
		quoted(l, "dst.cluster", d->cluster);
	}
}

static void
put_error(struct line *l, enum zt_end why, const char *text, uint16_t status)
{
	char sentence[512];

	if (zt_end_text(why)[0] == '\0')
		return;
	if (why == ZT_END_HTTP_STATUS)
		(void)snprintf(sentence, sizeof(sentence), "http status: %u %s", status, ap_http_reason(status));
	else if (text != NULL && text[0] != '\0')
		(void)snprintf(sentence, sizeof(sentence), "%s: %s", zt_end_text(why), text);
	else
		(void)snprintf(sentence, sizeof(sentence), "%s", zt_end_text(why));
	quoted(l, "error", ap_slice_of(sentence));
}

void
zt_access_log_format(
    struct ap_buf *out, bool json, const struct zt_conn *c, enum zt_end why, const char *text, uint64_t now_us)
{
	struct line l = { .out = out, .json = json };
	bool inbound = c->direction == ZT_INBOUND, failed = zt_end_text(why)[0] != '\0';
	char duration[32];

	begin(&l, failed ? "error" : "info", "connection complete", now_us);
	put_ends(&l, c);
	quoted(&l, "direction", inbound ? AP_S("inbound") : AP_S("outbound"));
	/* Here each side speaks for itself (istio-ambient.md 6.3). */
	number(&l, "bytes_sent", inbound ? c->sent : c->received);
	number(&l, "bytes_recv", inbound ? c->received : c->sent);
	(void)snprintf(duration, sizeof(duration), "%" PRIu64 "ms", (now_us - c->started_us) / 1000);
	quoted(&l, "duration", ap_slice_of(duration));
	put_error(&l, why, text, c->status);
	finish(&l);
}

static void
schedule(struct zt_log_ring *r)
{
	if (r->text.len > CHUNK_MAX)
		flush(r);
	else
		ap_task_schedule(r->w->loop, &r->task);
}

void
zt_access_log_refusal(struct zt_log_ring *r, enum zt_direction direction, const struct zt_point *src,
    const struct zt_point *dst, const char *error)
{
	struct line l;

	if (r == NULL || !ap_log_is_on(&ap_log_this, AP_LOG_WARN))
		return;
	l = (struct line){ .out = &r->text, .json = r->json };
	begin(&l, "warn", "connection failed", (uint64_t)ap_clock_wall_us());
	point(&l, "src.addr", src);
	point(&l, "dst.addr", dst);
	quoted(&l, "direction", direction == ZT_INBOUND ? AP_S("inbound") : AP_S("outbound"));
	quoted(&l, "error", ap_slice_of(error));
	finish(&l);
	schedule(r);
}

void
zt_access_log_write(struct zt_log_ring *r, const struct zt_conn *c, enum zt_end why, const char *text)
{
	char sentence[300];

	if (r == NULL)
		return;
	if (!c->is_open) {
		(void)snprintf(sentence, sizeof(sentence), "%s%s%s", zt_end_text(why), text != NULL ? ": " : "",
		    text != NULL ? text : "");
		if (sentence[0] != '\0')
			zt_access_log_refusal(r, (enum zt_direction)c->direction, &c->src, &c->dst, sentence);
		return;
	}
	if (!ap_log_is_on(&ap_log_this, zt_end_text(why)[0] != '\0' ? AP_LOG_ERROR : AP_LOG_INFO))
		return;
	zt_access_log_format(&r->text, r->json, c, why, text, (uint64_t)ap_clock_wall_us());
	schedule(r);
}
