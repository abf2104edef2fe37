/*
 * server.c -- the delta discovery service.
 *
 * A stream packs its next response only when its connection has taken the last one whole, so that what waits for a
 * client is one response, and what a slow client is sent is the newest state.  Large first responses of many clients at
 * once (a reconnect storm) share a budget; who finds it used up waits in line.
 *
 * Owns its streams and their exchanges; the sets are the caller's.  One loop.
 */
#include "xds/server.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "event/loop.h"
#include "xds/delta.h"
#include "xds/pb.h"
#include "xds/rpc.h"

AP_LOG_MODULE(xds_server);

#define SERVER_MAGIC AP_MAGIC('x', 'd', 's', 's')
#define STREAM_MAGIC AP_MAGIC('x', 's', 't', 'r')
#define REQUEST_MAX ((size_t)32 * 1024 * 1024) /* initial_resource_versions of a large client */
#define METADATA_MAX ((size_t)1024 * 1024)

struct ap_xds_server {
	uint32_t magic;
	struct ap_xds_server_settings s;
	struct ap_xds_server_set *sets;
	struct ap_list streams;
	struct ap_list waiting; /* streams that found the budget used up */
	struct ap_task push;
	size_t count, queued;
	bool freeing;
};

struct ap_xds_stream {
	uint32_t magic;
	struct ap_list link, wait;
	struct ap_xds_server *server;
	struct ap_exchange *x;
	void *peer;
	struct ap_arena *arena; /* node */
	char *node_id;
	struct ap_doc *metadata;
	struct ap_grpc_reader in;
	struct ap_rpc_out out;
	size_t charged; /* of the server's budget */
	struct ap_timer age;
	uint64_t since_ms;
	struct ap_delta *deltas; /* one per set */
	size_t delta_count;
	bool admitted, ended, told_current;
};

/* --- The end of a stream ---------------------------------------------------------------------------------------------- */

static void
charge(struct ap_xds_stream *s)
{
	size_t now = ap_rpc_out_left(&s->out);
	s->server->queued = s->server->queued - s->charged + now;
	s->charged = now;
	if (!ap_list_is_empty(&s->server->waiting) && s->server->queued < s->server->s.most_queued && !s->server->freeing)
		ap_task_schedule(s->server->s.loop, &s->server->push);
}

static void
stream_free(void *ptr)
{
	struct ap_xds_stream *s = ptr;
	s->magic = 0;
	for (size_t i = 0; i < s->delta_count; i++)
		ap_delta_done(&s->deltas[i]);
	ap_free(&s->deltas);
	ap_grpc_reader_done(&s->in);
	ap_rpc_out_done(&s->out);
	ap_arena_free(&s->arena);
	ap_free(&s);
}

/* With x still open: say why first. The struct lives until the end of the turn. */
static void
finish(struct ap_xds_stream *s, bool broken, enum ap_grpc_status status, const char *message)
{
	struct ap_xds_server *server = s->server;
	if (s->ended)
		return;
	s->ended = true;
	ap_timer_stop(&s->age);
	if (broken) {
		struct ap_stream *st = &s->x->stream;
		s->x = NULL;
		ap_stream_close(&st, AP_STREAM_CLOSE_ABORT);
	} else if (ap_rpc_out_left(&s->out) > 0) {
		/* A response is half out: the trailers cannot follow it in order. */
		struct ap_stream *st = &s->x->stream;
		s->x = NULL;
		ap_stream_close(&st, AP_STREAM_CLOSE_ABORT);
	} else {
		ap_rpc_end(&s->x, status, message);
	}
	ap_rpc_out_done(&s->out);
	charge(s);
	ap_list_remove(&s->link);
	ap_list_remove(&s->wait);
	server->count--;
	if (server->s.ops->gone != NULL)
		server->s.ops->gone(server->s.arg, s, s->admitted);
	s->peer = NULL;
	ap_defer_free(server->s.loop, s, stream_free);
}

void
ap_xds_stream_end(struct ap_xds_stream *s, enum ap_grpc_status status, const char *message)
{
	AP_IS(s, STREAM_MAGIC);
	finish(s, false, status, message);
}

/* --- Out ---------------------------------------------------------------------------------------------------------------- */

/* False: the stream is over. */
static bool
flush(struct ap_xds_stream *s)
{
	int r = ap_rpc_out_flush(&s->out, &s->x->stream);
	charge(s);
	if (r < 0) {
		finish(s, true, AP_GRPC_UNAVAILABLE, NULL);
		return false;
	}
	ap_stream_want(&s->x->stream, AP_STREAM_READABLE | (r == 0 ? AP_STREAM_WRITABLE : 0));
	return true;
}

bool
ap_xds_stream_is_current(const struct ap_xds_stream *s)
{
	for (size_t i = 0; i < s->server->s.set_count; i++) {
		const struct ap_delta *d = &s->deltas[i];
		if (d->started && (d->in_flight || !ap_delta_is_current(d)))
			return false;
	}
	return true;
}

/* Pack and send what there is to say, in the order of the sets, as long as the connection takes it. */
static void
pump(struct ap_xds_stream *s)
{
	struct ap_xds_server *server = s->server;
	if (s->ended || !s->admitted || ap_rpc_out_left(&s->out) > 0)
		return;
	for (size_t i = 0; i < server->s.set_count; i++) {
		struct ap_delta *d = &s->deltas[i];
		if (ap_delta_is_current(d))
			continue;
		if (d->in_flight)
			break; /* what comes later may lean on what is new here */
		if (ap_delta_is_lost(d)) {
			finish(s, false, AP_GRPC_UNAVAILABLE, "too far behind; come back with what you hold");
			return;
		}
		if (server->queued >= server->s.most_queued) {
			if (!ap_list_is_linked(&s->wait))
				ap_list_append(&server->waiting, &s->wait);
			break;
		}
		struct ap_delta_update u;
		if (!ap_delta_next(d, &u)) {
			ap_delta_update_done(d, &u);
			continue;
		}
		struct ap_buf b;
		ap_buf_init(&b, AP_RPC_MESSAGE_MAX);
		ap_delta_update_pack(d, &u, &b);
		ap_delta_update_done(d, &u);
		bool fits = !b.bad && ap_rpc_out_add(&s->out, ap_buf_slice(&b));
		ap_buf_done(&b);
		if (!fits) {
			LOG_ERROR(NULL, "%s: %s passes %zu bytes", s->node_id, d->set->type_url, (size_t)AP_RPC_MESSAGE_MAX);
			finish(s, true, AP_GRPC_RESOURCE_EXHAUSTED, NULL);
			return;
		}
		if (!flush(s) || ap_rpc_out_left(&s->out) > 0)
			return;
	}
	bool current = ap_xds_stream_is_current(s);
	if (current && !s->told_current && server->s.ops->current != NULL)
		server->s.ops->current(server->s.arg, s);
	s->told_current = current;
}

static void
push(struct ap_task *t, void *arg)
{
	(void)t;
	struct ap_xds_server *server = arg;
	AP_IS(server, SERVER_MAGIC);
	/* Those in line first; who finds no room lines up again behind the others. */
	struct ap_list line;
	ap_list_init(&line);
	while (!ap_list_is_empty(&server->waiting)) {
		struct ap_list *l = server->waiting.next;
		ap_list_remove(l);
		ap_list_append(&line, l);
	}
	while (!ap_list_is_empty(&line)) {
		struct ap_list *l = line.next;
		ap_list_remove(l);
		pump(AP_LIST_ITEM(l, struct ap_xds_stream, wait));
	}
	AP_LIST_FOR_SAFE(l, &server->streams)
		pump(AP_LIST_ITEM(l, struct ap_xds_stream, link));
}

/* --- In ----------------------------------------------------------------------------------------------------------------- */

/* False: the stream was ended. */
static bool
admit(struct ap_xds_stream *s, const ap_delta_request *r)
{
	if (r->node != NULL) {
		s->node_id = ap_arena_strndup(s->arena, r->node->id, strlen(r->node->id));
		if (r->node->metadata != NULL && protobuf_c_message_get_packed_size(&r->node->metadata->base) < METADATA_MAX / 8)
			s->metadata = ap_struct_to_doc(s->arena, r->node->metadata);
	}
	if (s->node_id == NULL)
		s->node_id = ap_arena_strndup(s->arena, "", 0);
	if (s->metadata == NULL)
		s->metadata = ap_doc_new_map(s->arena);
	struct ap_error err = { 0 };
	enum ap_grpc_status status = s->server->s.ops->admit(s->server->s.arg, s, &err);
	if (s->ended)
		return false;
	if (status != AP_GRPC_OK) {
		finish(s, false, status, err.text);
		return false;
	}
	s->admitted = true;
	return true;
}

static void
dispatch(struct ap_xds_stream *s, const ap_delta_request *r)
{
	const struct ap_xds_server_ops *ops = s->server->s.ops;
	for (size_t i = 0; i < s->server->s.set_count; i++) {
		struct ap_delta *d = &s->deltas[i];
		if (strcmp(d->set->type_url, r->type_url) != 0)
			continue;
		if (ap_delta_take(d, r) == AP_DELTA_NACKED && ops->refused != NULL)
			ops->refused(s->server->s.arg, s, d->set->type_url, r->error_detail->message);
		return;
	}
	LOG_DEBUG(NULL, "%s asks for %s, of which there is nothing", s->node_id, r->type_url);
}

/* False: the stream was ended. */
static bool
take(struct ap_xds_stream *s, struct ap_slice message)
{
	ap_delta_request *r =
	    ap_pb_unpack(&envoy__service__discovery__v3__delta_discovery_request__descriptor, message);
	if (r == NULL) {
		finish(s, false, AP_GRPC_INVALID_ARGUMENT, "the request cannot be read");
		return false;
	}
	bool go_on = s->admitted || admit(s, r);
	if (go_on)
		dispatch(s, r);
	protobuf_c_message_free_unpacked(&r->base, NULL);
	return go_on && !s->ended;
}

static void
on_readable(struct ap_xds_stream *s)
{
	char bytes[16384];
	for (;;) {
		ssize_t n = ap_stream_read(&s->x->stream, bytes, sizeof(bytes));
		if (n == AP_STREAM_AGAIN)
			break;
		if (n == AP_STREAM_EOF) {
			finish(s, false, AP_GRPC_OK, NULL);
			return;
		}
		if (n < 0) {
			finish(s, true, AP_GRPC_UNAVAILABLE, NULL);
			return;
		}
		struct ap_slice message;
		int r = ap_grpc_reader_feed(&s->in, ap_slice(bytes, (size_t)n));
		while (r == 0 && (r = ap_grpc_reader_next(&s->in, &message)) > 0) {
			if (!take(s, message))
				return;
			r = 0;
		}
		if (r < 0) {
			finish(s, false, AP_GRPC_INVALID_ARGUMENT, "the frames cannot be read");
			return;
		}
	}
	pump(s);
}

static void
on_stream(struct ap_stream *st, unsigned events, void *arg)
{
	(void)st;
	struct ap_xds_stream *s = arg;
	AP_IS(s, STREAM_MAGIC);
	if ((events & AP_STREAM_FAILED) != 0) {
		finish(s, true, AP_GRPC_UNAVAILABLE, NULL);
		return;
	}
	if ((events & AP_STREAM_WRITABLE) != 0 && (s->ended || !flush(s)))
		return;
	if ((events & AP_STREAM_READABLE) != 0)
		on_readable(s);
	else
		pump(s);
}

static void
on_age(struct ap_timer *t, void *arg)
{
	(void)t;
	struct ap_xds_stream *s = arg;
	AP_IS(s, STREAM_MAGIC);
	if (ap_rpc_out_left(&s->out) > 0) {
		ap_timer_start(&s->age, 1000); /* not in the middle of a response */
		return;
	}
	/* The connection is to be made anew too, with what certificate the client has by now. */
	struct ap_http_conn *conn = s->x->conn;
	finish(s, false, AP_GRPC_OK, "transport is closing");
	if (conn != NULL)
		ap_http_drain(conn);
}

/* --- Life ----------------------------------------------------------------------------------------------------------------- */

struct ap_xds_server *
ap_xds_server_new(const struct ap_xds_server_settings *settings)
{
	struct ap_xds_server *server = ap_new(struct ap_xds_server);
	server->magic = SERVER_MAGIC;
	server->s = *settings;
	server->sets = ap_alloc_array(settings->set_count, sizeof(*server->sets));
	memcpy(server->sets, settings->sets, settings->set_count * sizeof(*server->sets));
	server->s.sets = server->sets;
	if (server->s.max_age_ms == 0)
		server->s.max_age_ms = (uint64_t)30 * 60 * 1000;
	if (server->s.most_streams == 0)
		server->s.most_streams = 20000;
	if (server->s.most_queued == 0)
		server->s.most_queued = (size_t)64 * 1024 * 1024;
	ap_list_init(&server->streams);
	ap_list_init(&server->waiting);
	ap_task_init(&server->push, push, server);
	return server;
}

void
ap_xds_server_end_all(struct ap_xds_server *server, enum ap_grpc_status status, const char *message)
{
	while (!ap_list_is_empty(&server->streams))
		finish(AP_LIST_ITEM(server->streams.next, struct ap_xds_stream, link), false, status, message);
}

void
ap_xds_server_free(struct ap_xds_server **ps)
{
	struct ap_xds_server *server = *ps;
	if (server == NULL)
		return;
	server->freeing = true;
	ap_xds_server_end_all(server, AP_GRPC_UNAVAILABLE, "transport is closing");
	ap_task_cancel(&server->push);
	server->magic = 0;
	ap_free(&server->sets);
	ap_free(ps);
}

static bool
visible(void *arg, const struct ap_xds_entry *e)
{
	struct ap_xds_stream *s = arg;
	return s->server->s.ops->visible(s->server->s.arg, s, e);
}

void
ap_xds_server_take(struct ap_xds_server *server, struct ap_exchange *x, void *peer)
{
	AP_IS(server, SERVER_MAGIC);
	struct ap_xds_stream *s = ap_new(struct ap_xds_stream);
	s->magic = STREAM_MAGIC;
	s->server = server;
	s->x = x;
	s->peer = peer;
	s->arena = ap_arena_new(METADATA_MAX);
	s->since_ms = ap_loop_now_ms(server->s.loop);
	ap_list_init(&s->wait);
	ap_list_append(&server->streams, &s->link);
	server->count++;
	ap_grpc_reader_init(&s->in, REQUEST_MAX);
	ap_rpc_out_init(&s->out, AP_RPC_MESSAGE_MAX + 64);
	s->deltas = ap_alloc_array(server->s.set_count, sizeof(*s->deltas));
	s->delta_count = server->s.set_count;
	for (size_t i = 0; i < server->s.set_count; i++)
		ap_delta_init(&s->deltas[i], server->sets[i].set, server->s.ops->visible == NULL ? NULL : visible, s,
		    server->sets[i].exact);
	ap_timer_init(&s->age, server->s.loop, on_age, s);
	ap_rpc_begin(x);
	if (server->count > server->s.most_streams) {
		finish(s, false, AP_GRPC_RESOURCE_EXHAUSTED, "too many streams");
		return;
	}
	uint64_t jitter = server->s.max_age_ms / 10;
	ap_timer_start(&s->age, server->s.max_age_ms - jitter + ap_rand_below((uint32_t)AP_MIN(2 * jitter, UINT32_MAX - 1) + 1));
	ap_stream_set_callback(&x->stream, on_stream, s);
	ap_stream_want(&x->stream, AP_STREAM_READABLE);
}

void
ap_xds_server_notify(struct ap_xds_server *server)
{
	ap_task_schedule(server->s.loop, &server->push);
}

/* --- Questions ------------------------------------------------------------------------------------------------------------- */

void *
ap_xds_stream_peer(const struct ap_xds_stream *s)
{
	return s->peer;
}

const char *
ap_xds_stream_node_id(const struct ap_xds_stream *s)
{
	return s->node_id == NULL ? "" : s->node_id;
}

const struct ap_doc *
ap_xds_stream_metadata(const struct ap_xds_stream *s)
{
	return s->metadata;
}

size_t
ap_xds_server_streams(const struct ap_xds_server *server)
{
	return server->count;
}

void
ap_xds_server_each(struct ap_xds_server *server, void (*fn)(void *arg, struct ap_xds_stream *stream), void *arg)
{
	AP_LIST_FOR(l, &server->streams) {
		struct ap_xds_stream *s = AP_LIST_ITEM(l, struct ap_xds_stream, link);
		if (s->admitted)
			fn(arg, s);
	}
}

struct ap_doc *
ap_xds_server_dump(const struct ap_xds_server *server, struct ap_arena *arena)
{
	struct ap_doc *list = ap_doc_new_list(arena);
	AP_LIST_FOR(l, &server->streams) {
		const struct ap_xds_stream *s = AP_LIST_ITEM(l, struct ap_xds_stream, link);
		struct ap_doc *d = ap_doc_new_map(arena), *types = ap_doc_new_map(arena);
		ap_doc_set_string(arena, d, "node", ap_slice_of(ap_xds_stream_node_id(s)));
		ap_doc_set(arena, d, "ageMs", ap_doc_new_int(arena, (int64_t)(ap_loop_now_ms(server->s.loop) - s->since_ms)));
		for (size_t i = 0; i < server->s.set_count; i++) {
			const struct ap_delta *x = &s->deltas[i];
			struct ap_doc *t = ap_doc_new_map(arena);
			if (!x->started)
				continue;
			ap_doc_set(arena, t, "generation", ap_doc_new_int(arena, (int64_t)x->cursor));
			ap_doc_set(arena, t, "current", ap_doc_new_bool(arena, ap_delta_is_current(x) && !x->in_flight));
			ap_doc_set(arena, t, "acks", ap_doc_new_int(arena, (int64_t)x->acks));
			ap_doc_set(arena, t, "nacks", ap_doc_new_int(arena, (int64_t)x->nacks));
			ap_doc_set(arena, types, x->set->type_url, t);
		}
		ap_doc_set(arena, d, "types", types);
		ap_doc_append(list, d);
	}
	return list;
}
