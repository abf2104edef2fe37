/* proxyproto.h -- HAProxy's PROXY protocol, versions 1 and 2, with type-length-value extensions. */
#ifndef CODEC_PROXYPROTO_H
#define CODEC_PROXYPROTO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

#define AP_PROXY_TLV_ALPN 0x01
#define AP_PROXY_TLV_AUTHORITY 0x02
#define AP_PROXY_TLV_CRC32C 0x03
#define AP_PROXY_TLV_UNIQUE_ID 0x05
#define AP_PROXY_TLV_PEER_IDENTITY 0xd0 /* Istio: SPIFFE id of the downstream peer, as text */

#define AP_PROXY_V2_SIZE_MAX 4096 /* longest header that is read */

struct ap_proxy_tlv {
	uint8_t type;
	struct ap_slice value;
};

struct ap_proxy_header {
	uint8_t version;       /* 1 or 2 */
	bool is_local;         /* LOCAL, UNKNOWN or UNSPEC: no addresses, use the connection's own */
	struct ap_addr src, dst;
	struct ap_slice tlvs;  /* raw, inside the input; checked to be well-formed */
	size_t size;           /* bytes of the header */
};

AP_PUBLIC_BEGIN
/* 1: *out is filled. 0: more bytes are needed. -EPROTO: not a PROXY header. */
int ap_proxy_decode(struct ap_slice in, struct ap_proxy_header *out);
/* One TLV off the front; false at the end. */
bool ap_proxy_tlv_next(struct ap_slice *rest, struct ap_proxy_tlv *out);
/* Value of the first TLV of a type; a NULL pointer when there is none. */
struct ap_slice ap_proxy_tlv_find(const struct ap_proxy_header *h, uint8_t type);
/* Append a header. Addresses of different families or none: UNKNOWN in version 1, LOCAL in version 2. */
void ap_proxy_v1_encode(const struct ap_addr *src, const struct ap_addr *dst, struct ap_buf *out);
/* -EMSGSIZE: the TLVs are too long together; nothing was appended. */
int ap_proxy_v2_encode(const struct ap_addr *src, const struct ap_addr *dst, const struct ap_proxy_tlv *tlvs,
    size_t count, struct ap_buf *out);
AP_PUBLIC_END

#endif
