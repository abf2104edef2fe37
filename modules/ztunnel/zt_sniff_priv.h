/* zt_sniff_priv.h -- what the observer of HTTP/1 (zt_sniff_h1.c), that of HTTP/2 (zt_sniff_h2.c) and the choice between them
 * (zt_sniff.c) share. */
#ifndef ZTUNNEL_ZT_SNIFF_PRIV_H
#define ZTUNNEL_ZT_SNIFF_PRIV_H
#include "ztunnel/zt_sniff.h"

#define ZT_SNIFF_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define ZT_SNIFF_PREFACE_LEN 24U

/* Who is told, and the present moment: for the time of one call. */
struct zt_sniff_call {
	zt_sniff_fn fn;
	void *arg;
	uint64_t now_us;
};

/* HTTP/1. Zeroed is the beginning of a connection. */

#define H1_QUEUE 8U

/* One direction's place in its present message. */
struct h1_half {
	uint64_t left;   /* of the body or chunk; in trailers: bytes of them so far */
	uint32_t size;   /* bytes of this message, no more than fit */
	uint16_t status; /* answers */
	uint8_t state;
	uint8_t at;      /* bytes matched of what the state looks for */
	uint8_t match;   /* which text that is */
	uint8_t flags;
};

struct h1 {
	struct h1_half half[2]; /* by enum zt_sniff_side */
	/* Requests that wait for their answer, oldest at `first`; of the newest the bytes are still in half[CLIENT] until
	 * it ended. Time in units of 64 us. */
	struct {
		uint32_t start, bytes;
	} queue[H1_QUEUE];
	uint8_t first, count;
	uint8_t is_head, is_connect; /* a bit per place in the queue */
	bool answered;               /* the request that is on its way needs no place any more */
};

bool zt_sniff_h1_feed(
    struct h1 *h, enum zt_sniff_side side, const uint8_t *p, const uint8_t *end, const struct zt_sniff_call *call);
void zt_sniff_h1_finish(struct h1 *h, const struct zt_sniff_call *call);

/* HTTP/2, from behind the client's preface. */

struct h2;

struct h2 *zt_sniff_h2_new(void); /* NULL: no memory */
void zt_sniff_h2_free(struct h2 **h);
bool zt_sniff_h2_feed(
    struct h2 *h, enum zt_sniff_side side, const uint8_t *p, const uint8_t *end, const struct zt_sniff_call *call);
void zt_sniff_h2_finish(struct h2 *h, const struct zt_sniff_call *call);

#endif
