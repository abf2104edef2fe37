/*
 * zt_conn.h -- the record of one proxied connection: who, where, how many bytes, and the one reason why it ended.
 *
 * Life: zt_conn_new at accept or CONNECT, zt_conn_open when both ends are known (counted as opened), zt_conn_join when both
 * streams are there, zt_conn_end exactly once.  A record keeps what it refers to: workloads, service, peer.
 */
#ifndef ZTUNNEL_ZT_CONN_H
#define ZTUNNEL_ZT_CONN_H
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/check.h"
#include "base/list.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "mesh/labels.h"
#include "mesh/object.h"
#include "net/relay.h"
#include "net/stream.h"

#define ZT_CONN_MAGIC AP_MAGIC('Z', 'T', 'C', 'N')

enum zt_end {
#define ZT_END(name_, flag_, text_) ZT_END_##name_,
#include "ztunnel/zt_end.def"
#undef ZT_END
	ZT_END_COUNT,
};

enum zt_direction { ZT_OUTBOUND, ZT_INBOUND };
enum zt_protocol { ZT_TCP, ZT_HBONE, ZT_DOUBLE_HBONE };

/* An address and a port in 20 bytes: a record has four of them. */
struct zt_point {
	struct ap_ip ip;
	uint16_t port;
};

struct ap_hbone_wait;
struct attempt;
struct zt_peer;
struct zt_requests;
struct zt_worker;

struct zt_conn {
	uint32_t magic;
	uint8_t direction, protocol; /* enum zt_direction, zt_protocol */
	uint8_t attempts;            /* endpoints tried */
	bool is_open;                /* counted as opened */
	bool mutual_tls;
	bool is_waiting;             /* in the worker's list of those that wait */
	bool via_waypoint;           /* the next hop is one */
	bool requests_over;          /* not watched for HTTP (any more) */
	uint16_t status;             /* of a refused CONNECT */
	struct ap_list link;         /* in the worker's conns */
	struct ap_list wait_link;
	struct zt_worker *zw;
	struct ap_stream *down, *up;
	struct ap_relay *relay;
	struct ap_exchange *x;       /* inbound HBONE: the CONNECT until it is answered */
	struct ap_hbone_wait *wait;
	struct attempt *attempt;     /* zt_dial.c */
	struct ap_timer *timer;      /* only while something is waited for */
	struct ap_mesh_workload *source, *destination;
	struct ap_mesh_service *service;
	struct zt_peer *peer;        /* inbound HBONE */
	struct ap_mesh_series series;
	struct zt_requests *requests; /* zt_requests.c: only while HTTP passes */
	/* Of the client; as it asked (inbound: the accepted socket); where TCP went; what CONNECT said. */
	struct zt_point src, dst, actual, authority;
	char *host_authority;        /* a CONNECT by name; own memory */
	char *baggage;               /* the peer's, when the table does not know it */
	const char *source_identity; /* spiffe text of a hosted workload or of the peer; lives as long as hosted or peer */
	struct zt_hosted *hosted;    /* keeps source_identity */
	uint64_t started_us;
	uint64_t sent, received;     /* upstream to downstream, downstream to upstream */
};

struct zt_point zt_point_of(const struct ap_addr *a);
struct ap_addr zt_point_addr(const struct zt_point *p);

struct zt_conn *zt_conn_new(struct zt_worker *zw, enum zt_direction direction, const struct ap_addr *src);
/* Both ends are known: find the series and count it as opened. */
void zt_conn_open(struct zt_conn *c);
/* Both streams are open: copy until both ended. */
void zt_conn_join(struct zt_conn *c);
/* Close everything, count, write the access log. text (may be NULL) goes into the log beside the reason. c is gone. */
void zt_conn_end(struct zt_conn *c, enum zt_end why, const char *text);
/* A timer of its own for the time that something is waited for. */
void zt_conn_set_timer(struct zt_conn *c, uint64_t ms, void (*fn)(struct ap_timer *t, void *arg));
void zt_conn_stop_timer(struct zt_conn *c);
/* The ends as labels see them; baggage (may be NULL) is filled for the source when it is needed. */
void zt_conn_ends(const struct zt_conn *c, struct ap_mesh_ends *out, struct ap_mesh_baggage *baggage);
const char *zt_end_text(enum zt_end why);
enum ap_mesh_flags zt_end_flag(enum zt_end why);
/* Why a connect failed, in our words. */
enum zt_end zt_end_of_connect(enum ap_stream_error e, bool is_hbone);

#endif
