/*
 * zt_access_log.h -- one line per connection, in the words of Istio's ztunnel (istio-ambient.md 7.1).  A worker gathers the lines of
 * a turn and hands them over in one piece (mesh/access_log.h), so the data path never waits.
 */
#ifndef ZTUNNEL_ZT_ACCESS_LOG_H
#define ZTUNNEL_ZT_ACCESS_LOG_H
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"
#include "ztunnel/zt_conn.h"

struct ap_access_log;
struct ap_worker;
struct zt_log_ring;

/* Worker. log NULL: nothing is written; the ring is then NULL too. */
struct zt_log_ring *zt_log_ring_new(struct ap_access_log *log, bool json, struct ap_worker *w);
void zt_log_ring_free(struct zt_log_ring **r);
/* The line of a connection that ended; ring may be NULL. */
void zt_access_log_write(struct zt_log_ring *r, const struct zt_conn *c, enum zt_end why, const char *text);
/* Refused before there was a record: only addresses and the reason. */
void zt_access_log_refusal(struct zt_log_ring *r, enum zt_direction direction, const struct zt_point *src,
    const struct zt_point *dst, const char *error);
/* For tests: the line as text. now_us: its time. */
void zt_access_log_format(struct ap_buf *out, bool json, const struct zt_conn *c, enum zt_end why, const char *text,
    uint64_t now_us);

#endif
