/* relay.h -- join two open streams: both directions with back-pressure and half-close, until both ended. */
#ifndef NET_RELAY_H
#define NET_RELAY_H
#include <stdint.h>

#include "base/compiler.h"
#include "net/stream.h"

struct ap_relay;

enum ap_relay_end {
	AP_RELAY_DONE,     /* both directions ended cleanly */
	AP_RELAY_A_FAILED, /* a broke: see its error */
	AP_RELAY_B_FAILED,
};

struct ap_relay_callbacks {
	/* Bytes taken from a source since the last call, a to b and b to a; once per event. May be NULL. For counters. May
	 * free the relay. */
	void (*moved)(uint64_t a_to_b, uint64_t b_to_a, void *arg);
	/* The relay is over and its streams were NOT closed: take them back with ap_relay_free. Runs once. */
	void (*ended)(struct ap_relay *r, enum ap_relay_end end, void *arg);
	/* Bytes on their way, as seen in passing, each once and in order; must not keep them, nor free the relay. May be
	 * NULL. */
	void (*sniff)(int from_a, const struct iovec *iov, int count, void *arg);
};

/*
 * When writing to one side fails, what that side had sent before is still brought to the other (an answer that refuses an
 * upload comes just so); then the relay ends as failed.
 */
AP_PUBLIC_BEGIN
/* Takes over the callbacks of both. Bytes that were read from a before can be given with ap_relay_prepend. The thread
 * must be a worker (event/worker.h): its scratch memory is used. */
struct ap_relay *ap_relay_new(
    struct ap_stream *a, struct ap_stream *b, const struct ap_relay_callbacks *callbacks, void *arg);
/* Bytes to write to b before anything read from a. Copied. */
void ap_relay_prepend(struct ap_relay *r, const void *bytes, size_t size);
/* Stop and free; the streams are the caller's again, to be closed after this. */
void ap_relay_free(struct ap_relay **r);
/* Totals so far. */
void ap_relay_totals(const struct ap_relay *r, uint64_t *a_to_b, uint64_t *b_to_a);
AP_PUBLIC_END

#endif
