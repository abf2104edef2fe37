/*
 * delta.h -- the delta discovery protocol as pure state machines: the server's half of one type on one stream, and the client's
 * half (istio-ambient.md 2.3).  Neither knows sockets, time or threads.
 *
 * Glossary: *wildcard* is a subscription to everything of a type; *on demand* is one to names, which may also be aliases; a
 * response is *in flight* until the client answered its nonce with an ACK or a NACK.  While one is in flight nothing more of
 * that type is sent, so a slow client gets the next state and not each step to it.
 */
#ifndef XDS_DELTA_H
#define XDS_DELTA_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/map.h"
#include "base/slice.h"
#include "xds/client.h"
#include "xds/set.h"

#include "envoy/discovery.pb-c.h"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest ap_delta_request;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse ap_delta_response;

/* --- Server ------------------------------------------------------------------------------------------------------ */

enum ap_delta_event {
	AP_DELTA_SUBSCRIBED, /* no answer to a response: a first request, or a change of names */
	AP_DELTA_ACKED,
	AP_DELTA_NACKED, /* error_detail says why; what was refused is not sent again before it changes */
	AP_DELTA_STALE,  /* answers a nonce that is not in flight; its names were taken all the same */
};

struct ap_delta {
	const struct ap_xds_set *set;
	/* May this stream see the entry? Its answer for one entry must not change but with the entry's scope. NULL: all. */
	bool (*visible)(void *arg, const struct ap_xds_entry *e);
	void *arg;
	bool exact; /* remember what was sent under a wildcard too: no removal names what the client never saw. For small sets */

	bool started, wildcard, answered;
	bool in_flight, wants_changed;
	uint64_t nonce;  /* of the last response */
	uint64_t cursor; /* generation of the set up to which the client was told */
	struct ap_map wants; /* names subscribed to -> WANT_NEW or WANT_TOLD */
	struct ap_map held;  /* name -> version, a text of our own; on demand or exact: always; else until the first response */
	uint64_t acks, nacks;
};

/* What to send; lives until the set or the delta changes. */
struct ap_delta_update {
	const struct ap_xds_entry **items;
	size_t count, room;
	struct ap_slice *removed;
	size_t removed_count, removed_room;
	size_t bytes; /* of names and bodies, about */
	char nonce[24];
};

/* Most names that one stream may subscribe to or claim to hold. */
#define AP_DELTA_NAMES_MAX 1000000U

AP_PUBLIC_BEGIN
void ap_delta_init(struct ap_delta *d, const struct ap_xds_set *set,
    bool (*visible)(void *arg, const struct ap_xds_entry *e), void *arg, bool exact);
void ap_delta_done(struct ap_delta *d);
/* Take one request of this type. */
enum ap_delta_event ap_delta_take(struct ap_delta *d, const ap_delta_request *request);
/* The client was told everything up to here, or does not want anything. */
bool ap_delta_is_current(const struct ap_delta *d);
/* The set forgot removals that this stream was not told of: end it, so that the client comes back with what it holds. */
bool ap_delta_is_lost(const struct ap_delta *d);
/* Something to say now? True: fill out, which is in flight from here on. Never while one is in flight. */
bool ap_delta_next(struct ap_delta *d, struct ap_delta_update *out);
/* The packed DeltaDiscoveryResponse. */
void ap_delta_update_pack(const struct ap_delta *d, const struct ap_delta_update *u, struct ap_buf *out);
/* After packing: what was removed is no longer held. */
void ap_delta_update_done(struct ap_delta *d, struct ap_delta_update *u);

/* --- Client ------------------------------------------------------------------------------------------------------ */

struct ap_delta_client; /* all types of one client; outlives streams */

struct ap_delta_client *ap_delta_client_new(
    const struct ap_xds_subscription *subscriptions, size_t count, const char *node_id);
void ap_delta_client_free(struct ap_delta_client **c);
/* Node metadata of the next streams; a map of strings (other values are left out), or NULL. Copied. */
void ap_delta_client_set_metadata(struct ap_delta_client *c, const struct ap_doc *metadata);
/* A stream begins: the packed first request of type i, with what is held. */
void ap_delta_client_first(struct ap_delta_client *c, size_t i, struct ap_buf *out);
/*
 * Take a packed response: applies it through its subscription and puts the packed ACK or NACK into answer.  *out_reject (may be
 * NULL) gets what was refused.  False: the bytes are no response, end the stream.
 */
bool ap_delta_client_take(
    struct ap_delta_client *c, struct ap_slice bytes, struct ap_buf *answer, struct ap_buf *out_reject);
/* Every type was answered once since the client was made. */
bool ap_delta_client_is_synced(const struct ap_delta_client *c);
size_t ap_delta_client_held(const struct ap_delta_client *c, size_t i);
AP_PUBLIC_END

#endif
