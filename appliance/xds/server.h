/*
 * server.h -- the delta discovery service: streams of many clients over sets of resources (delta.h), with one response under way
 * per stream and type, a budget for large first responses, and a most age of streams.
 *
 * Glossary: a *stream* is one DeltaAggregatedResources call; its *node* is what the client says of itself in its first request;
 * its *peer* is whatever the owner knows of who it really is.
 *
 * One loop.  Sets are given in the order in which they are pushed: a stream hears of a later set only when it was told what
 * is new in the earlier ones (policies before the workloads that name them).
 */
#ifndef XDS_SERVER_H
#define XDS_SERVER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "codec/doc.h"
#include "codec/grpc.h"
#include "http/exchange.h"
#include "xds/set.h"

struct ap_loop;
struct ap_xds_server;
struct ap_xds_stream;

struct ap_xds_server_ops {
	/* The first request is here. AP_GRPC_OK, or what to end the stream with and a sentence for the client in err. */
	enum ap_grpc_status (*admit)(void *arg, struct ap_xds_stream *s, struct ap_error *err);
	/* May it see this entry? Constant for an entry's scope and the stream's life. */
	bool (*visible)(void *arg, const struct ap_xds_stream *s, const struct ap_xds_entry *e);
	/* The client refused something: "<name>: <reason>; ...". May be NULL. */
	void (*refused)(void *arg, struct ap_xds_stream *s, const char *type_url, const char *text);
	/* It has taken all that there is of every type that it subscribed to; told on each change. May be NULL. */
	void (*current)(void *arg, struct ap_xds_stream *s);
	/* The stream is over; peer is the owner's to free. Runs once for each stream served. */
	void (*gone)(void *arg, struct ap_xds_stream *s, bool was_admitted);
};

struct ap_xds_server_set {
	struct ap_xds_set *set;
	bool exact; /* see ap_delta.exact */
};

struct ap_xds_server_settings {
	struct ap_loop *loop;
	const struct ap_xds_server_set *sets;
	size_t set_count;
	uint64_t max_age_ms;   /* with 10 % of jitter; 0: 30 minutes */
	size_t most_streams;   /* 0: 20,000 */
	size_t most_queued;    /* bytes packed and not yet taken by the clients' connections, over all; 0: 64 MiB */
	const struct ap_xds_server_ops *ops;
	void *arg;
};

AP_PUBLIC_BEGIN
struct ap_xds_server *ap_xds_server_new(const struct ap_xds_server_settings *settings);
/* Ends every stream. */
void ap_xds_server_free(struct ap_xds_server **s);
/* Serve a call whose head was read and whose caller is known. Owns the exchange. */
void ap_xds_server_take(struct ap_xds_server *s, struct ap_exchange *x, void *peer);
/* Sets changed: push, at the end of this turn. */
void ap_xds_server_notify(struct ap_xds_server *s);
/* End one stream, now. */
void ap_xds_stream_end(struct ap_xds_stream *s, enum ap_grpc_status status, const char *message);
/* End all of them; clients come back with what they hold. */
void ap_xds_server_end_all(struct ap_xds_server *s, enum ap_grpc_status status, const char *message);

void *ap_xds_stream_peer(const struct ap_xds_stream *s);
const char *ap_xds_stream_node_id(const struct ap_xds_stream *s);
/* Node metadata; lives as long as the stream. Never NULL. */
const struct ap_doc *ap_xds_stream_metadata(const struct ap_xds_stream *s);
size_t ap_xds_server_streams(const struct ap_xds_server *s);
/* fn for each admitted stream; it must not end any. */
void ap_xds_server_each(
    struct ap_xds_server *s, void (*fn)(void *arg, struct ap_xds_stream *stream), void *arg);
/* For dumps: one object per stream into a list. */
struct ap_doc *ap_xds_server_dump(const struct ap_xds_server *s, struct ap_arena *arena);
/* Is the stream told everything of all its types? */
bool ap_xds_stream_is_current(const struct ap_xds_stream *s);
AP_PUBLIC_END

#endif
