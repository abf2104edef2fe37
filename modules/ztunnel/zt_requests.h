/* zt_requests.h -- Istio's HTTP metrics for connections that no waypoint counts: what zt_sniff.h recognises in passing. Worker. */
#ifndef ZTUNNEL_ZT_REQUESTS_H
#define ZTUNNEL_ZT_REQUESTS_H
#include <stdbool.h>
#include <sys/uio.h>

struct zt_conn;

/* Whether requests of this connection are ours to count: both ends are decided. */
bool zt_requests_wanted(const struct zt_conn *c);
/* Bytes in passing, for connections that are wanted. */
void zt_requests_see(struct zt_conn *c, bool from_client, const struct iovec *iov, int count);
/* The connection ends: count what lasted until now, and let go. No-op for connections that were not watched. */
void zt_requests_end(struct zt_conn *c);

#endif
