/*
 * zt_sniff.h -- requests recognised in passing: HTTP/1.1 and HTTP/2 (prior knowledge) in the bytes of a connection, never at
 * the cost of the connection.
 *
 * An observer is fed what each side sent, in order, and tells of each request whose answer has ended.  It keeps no bytes, changes
 * none, and holds little: ZT_SNIFF_SIZE bytes for HTTP/1, some kilobytes at most for HTTP/2.  Whatever it does not
 * understand, or that goes beyond its bounds, makes it give up for ever.  Pure: values in, values out; no clock, no socket.
 */
#ifndef ZTUNNEL_ZT_SNIFF_H
#define ZTUNNEL_ZT_SNIFF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZT_SNIFF_SIZE 128U

struct zt_sniff;

enum zt_sniff_side { ZT_SNIFF_CLIENT, ZT_SNIFF_SERVER }; /* who sent the bytes */

/* A request whose answer ended, or was cut after its status was seen. */
struct zt_sniff_request {
	uint16_t status;
	int16_t grpc_status; /* -1: none was told */
	bool is_http2, is_grpc;
	uint64_t duration_us;                   /* first byte of the request to last byte of the answer */
	uint64_t request_bytes, response_bytes; /* heads and bodies, as on the wire */
};

typedef void (*zt_sniff_fn)(const struct zt_sniff_request *r, void *arg);

/* Is it worth an observer that a connection begins with these bytes? Cheap: most protocols fail at the first byte. */
bool zt_sniff_is_likely(enum zt_sniff_side side, const void *bytes, size_t size);
struct zt_sniff *zt_sniff_new(void);
/* False: it gave up (for good); free it. fn is called for each request that ended in these bytes, before it returns. */
bool zt_sniff_feed(struct zt_sniff *s, enum zt_sniff_side side, const void *bytes, size_t size, uint64_t now_us,
    zt_sniff_fn fn, void *arg);
/* The connection is over: answers that last until then end now. */
void zt_sniff_finish(struct zt_sniff *s, uint64_t now_us, zt_sniff_fn fn, void *arg);
void zt_sniff_free(struct zt_sniff **s);

#endif
