/*
 * dns.h -- DNS messages in and out, for a server that answers some names itself and passes the rest on.
 *
 * No sockets and no memory of its own: values in, bytes out.
 */
#ifndef CODEC_DNS_H
#define CODEC_DNS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

#define AP_DNS_NAME_MAX 254       /* longest name as text, with its NUL */
#define AP_DNS_UDP_SIZE 512       /* a UDP answer's size without EDNS */
#define AP_DNS_EDNS_SIZE 1232     /* what we announce and send at most over UDP (DNS flag day 2020) */
#define AP_DNS_MESSAGE_MAX 65535  /* over TCP */

enum ap_dns_type {
	AP_DNS_A = 1,
	AP_DNS_CNAME = 5,
	AP_DNS_SOA = 6,
	AP_DNS_PTR = 12,
	AP_DNS_AAAA = 28,
	AP_DNS_SRV = 33,
	AP_DNS_OPT = 41,
	AP_DNS_ANY = 255,
};

enum ap_dns_rcode {
	AP_DNS_NOERROR,
	AP_DNS_FORMERR,
	AP_DNS_SERVFAIL,
	AP_DNS_NXDOMAIN,
	AP_DNS_NOTIMP,
	AP_DNS_REFUSED,
	AP_DNS_BADVERS = 16,
};

struct ap_dns_query {
	uint16_t id;
	bool recursion_desired, checking_disabled;
	uint8_t opcode;
	char name[AP_DNS_NAME_MAX]; /* lower case, no final dot; "" is the root */
	size_t name_len;
	uint16_t type, class;
	bool has_edns, dnssec_ok;
	uint16_t udp_size;     /* the asker's; at least 512 */
	uint8_t question[300]; /* as it came, to be sent back (letter case is the asker's entropy) */
	size_t question_size;
};

/* One answer. */
struct ap_dns_record {
	uint16_t type;          /* AP_DNS_A, AAAA: ip; CNAME, PTR: target */
	struct ap_slice name;   /* owner; empty: the question's name */
	struct ap_ip ip;
	struct ap_slice target;
	uint32_t ttl;
};

struct ap_dns_reply {
	enum ap_dns_rcode rcode;
	bool authoritative, recursion_available;
	const struct ap_dns_record *records;
	size_t count;
};

struct ap_dns_head {
	uint16_t id;
	bool is_response, is_truncated;
	uint8_t rcode;
};

AP_PUBLIC_BEGIN
/*
 * Read a query.  0: *out is filled.  Positive: a code of ap_dns_rcode to answer with; out's id and flags are filled
 * (and question_size is 0).  -EBADMSG: not a query at all (too short, or a response): drop it.
 */
int ap_dns_query_decode(struct ap_slice message, struct ap_dns_query *out);
/*
 * Append the reply, of at most `limit` bytes: records that do not fit are left out and TC is set.  0, or -EINVAL when a
 * record holds no legal name or address.
 */
int ap_dns_reply_encode(
    const struct ap_dns_query *q, const struct ap_dns_reply *reply, size_t limit, struct ap_buf *out);
/* Most bytes of an answer over UDP to this query. */
size_t ap_dns_udp_limit(const struct ap_dns_query *q);
/* Append a query for one name, with EDNS. 0 or -EINVAL. */
int ap_dns_query_encode(uint16_t id, struct ap_slice name, uint16_t type, struct ap_buf *out);
/* The head of any message: to match forwarded answers. 0 or -EBADMSG. */
int ap_dns_head_decode(struct ap_slice message, struct ap_dns_head *out);
/* Does the response carry the question of the query (names compared without case)? */
bool ap_dns_answers(struct ap_slice response, struct ap_slice query);
/*
 * Call fn for each A, AAAA, CNAME and PTR record of a response's answer section; texts live during the call.  0 or
 * -EBADMSG (some records may have been told before).
 */
int ap_dns_response_walk(
    struct ap_slice message, void (*fn)(void *arg, const struct ap_dns_record *record), void *arg);
AP_PUBLIC_END

#endif
