/*
 * proxyproto.c -- PROXY protocol headers.
 *
 * A receiver decides by its configuration that a header must come; there is no guessing between "header" and "no
 * header", since a client could then claim any address.  Datagram and Unix addresses are read and treated as LOCAL.
 * Pure functions.
 */
#include "codec/proxyproto.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define V1_SIZE_MAX 107
#define V2_FIXED 16

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static int
parse_v1_address(struct ap_slice *rest, uint8_t len, struct ap_ip *out)
{
	return ap_ip_parse(ap_slice_cut(rest, ' '), out) < 0 || (len == 4 && out->len != 4) ? -EPROTO : 0;
}

static int
parse_v1_port(struct ap_slice text, uint16_t *out)
{
	uint64_t v;

	if (ap_text_to_u64(text, 65535, &v) < 0 || (text.len > 1 && text.ptr[0] == '0'))
		return -EPROTO;
	*out = (uint16_t)v;
	return 0;
}

/* line: without CRLF. */
static int
parse_v1(struct ap_slice line, struct ap_proxy_header *h)
{
	struct ap_ip src, dst;
	uint16_t sport, dport;
	uint8_t len;

	ap_slice_cut(&line, ' '); /* PROXY */
	if (line.ptr == NULL)
		return -EPROTO;
	if (ap_slice_starts(line, AP_S("UNKNOWN")) && (line.len == 7 || line.ptr[7] == ' ')) {
		h->is_local = true;
		return 0;
	}
	len = ap_slice_starts(line, AP_S("TCP4 ")) ? 4 : ap_slice_starts(line, AP_S("TCP6 ")) ? 16 : 0;
	if (len == 0)
		return -EPROTO;
	ap_slice_cut(&line, ' ');
	if (parse_v1_address(&line, len, &src) < 0 || parse_v1_address(&line, len, &dst) < 0 ||
	    parse_v1_port(ap_slice_cut(&line, ' '), &sport) < 0 || parse_v1_port(line, &dport) < 0)
		return -EPROTO;
	h->src = ap_addr_of(&src, sport);
	h->dst = ap_addr_of(&dst, dport);
	return 0;
}

static int
decode_v1(struct ap_slice in, struct ap_proxy_header *out)
{
	struct ap_proxy_header h = { .version = 1 };
	size_t end = ap_slice_search(ap_slice_sub(in, 0, V1_SIZE_MAX), AP_S("\r\n"));

	if (end == SIZE_MAX)
		return in.len >= V1_SIZE_MAX ? -EPROTO : 0;
	if (parse_v1(ap_slice_sub(in, 0, end), &h) < 0)
		return -EPROTO;
	h.size = end + 2;
	*out = h;
	return 1;
}

/* CRC32c (Castagnoli), bit by bit: headers are short and the check is rare. */
static uint32_t
crc32c(uint32_t crc, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78U & (0U - (crc & 1)));
	}
	return crc;
}

/* The sum is taken over the header with its own four bytes zero. */
static bool
is_crc_right(struct ap_slice header, struct ap_slice sum)
{
	const uint8_t *bytes = (const uint8_t *)header.ptr, *s = (const uint8_t *)sum.ptr;
	static const uint8_t zeros[4];
	size_t at = (size_t)(sum.ptr - header.ptr);
	uint32_t crc = 0xffffffffU;

	if (sum.len != 4)
		return false;
	crc = crc32c(crc, bytes, at);
	crc = crc32c(crc, zeros, 4);
	crc = ~crc32c(crc, bytes + at + 4, header.len - at - 4);
	return crc == ((uint32_t)s[0] << 24 | (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3]);
}

bool
ap_proxy_tlv_next(struct ap_slice *rest, struct ap_proxy_tlv *out)
{
	const uint8_t *p = (const uint8_t *)rest->ptr;
	size_t len;

	if (rest->len < 3)
		return false;
	len = (size_t)p[1] << 8 | p[2];
	if (rest->len - 3 < len)
		return false;
	*out = (struct ap_proxy_tlv){ .type = p[0], .value = ap_slice_sub(*rest, 3, len) };
	*rest = ap_slice_from(*rest, 3 + len);
	return true;
}

struct ap_slice
ap_proxy_tlv_find(const struct ap_proxy_header *h, uint8_t type)
{
	struct ap_slice rest = h->tlvs;
	struct ap_proxy_tlv tlv;

	while (ap_proxy_tlv_next(&rest, &tlv))
		if (tlv.type == type)
			return tlv.value;
	return AP_SLICE_NONE;
}

static int
check_tlvs(struct ap_slice header, struct ap_slice tlvs)
{
	struct ap_proxy_tlv tlv;

	while (tlvs.len > 0) {
		if (!ap_proxy_tlv_next(&tlvs, &tlv))
			return -EPROTO;
		if (tlv.type == AP_PROXY_TLV_CRC32C && !is_crc_right(header, tlv.value))
			return -EPROTO;
	}
	return 0;
}

/* Bytes of the addresses of a family byte, or SIZE_MAX. */
static size_t
address_size(uint8_t family)
{
	switch (family >> 4) {
	case 0:
		return 0;
	case 1:
		return 12;
	case 2:
		return 36;
	case 3:
		return 216;
	default:
		return SIZE_MAX;
	}
}

static void
read_addresses(const uint8_t *p, uint8_t len, struct ap_proxy_header *h)
{
	struct ap_ip src, dst;

	ap_ip_from_bytes(p, len, &src);
	ap_ip_from_bytes(p + len, len, &dst);
	p += 2 * len;
	h->src = ap_addr_of(&src, (uint16_t)(p[0] << 8 | p[1]));
	h->dst = ap_addr_of(&dst, (uint16_t)(p[2] << 8 | p[3]));
}

static int
decode_v2(struct ap_slice in, struct ap_proxy_header *out)
{
	const uint8_t *p = (const uint8_t *)in.ptr;
	struct ap_proxy_header h = { .version = 2 };
	struct ap_slice header;
	size_t addresses;

	if (in.len < V2_FIXED)
		return 0;
	if (p[12] >> 4 != 2 || (p[12] & 15) > 1 || (p[13] & 15) > 2)
		return -EPROTO;
	h.size = V2_FIXED + ((size_t)p[14] << 8 | p[15]);
	if (h.size > AP_PROXY_V2_SIZE_MAX)
		return -EPROTO;
	if (in.len < h.size)
		return 0;
	header = ap_slice_sub(in, 0, h.size);
	addresses = address_size(p[13]);
	h.is_local = (p[12] & 15) == 0 || (p[13] != 0x11 && p[13] != 0x21);
	if ((p[12] & 15) == 0) { /* LOCAL: whatever follows is to be passed over */
		*out = h;
		return 1;
	}
	if (addresses == SIZE_MAX || h.size - V2_FIXED < addresses)
		return -EPROTO;
	h.tlvs = ap_slice_from(header, V2_FIXED + addresses);
	if (check_tlvs(header, h.tlvs) < 0)
		return -EPROTO;
	if (!h.is_local)
		read_addresses(p + V2_FIXED, p[13] == 0x11 ? 4 : 16, &h);
	*out = h;
	return 1;
}

static bool
is_start_of(struct ap_slice in, struct ap_slice signature)
{
	size_t n = AP_MIN(in.len, signature.len);

	return ap_slice_eq(ap_slice_sub(in, 0, n), ap_slice_sub(signature, 0, n));
}

int
ap_proxy_decode(struct ap_slice in, struct ap_proxy_header *out)
{
	const struct ap_slice v1 = AP_S("PROXY "), v2 = ap_slice(v2_signature, sizeof(v2_signature));

	if (is_start_of(in, v2))
		return decode_v2(in, out);
	if (is_start_of(in, v1))
		return decode_v1(in, out);
	return -EPROTO;
}

/* Both as one family: 4, 16, or 0 when they cannot be said together. */
static uint8_t
common_family(const struct ap_addr *src, const struct ap_addr *dst, struct ap_ip *s, struct ap_ip *d)
{
	if (ap_addr_ip(src, s) < 0 || ap_addr_ip(dst, d) < 0 || s->len != d->len)
		return 0;
	return s->len;
}

void
ap_proxy_v1_encode(const struct ap_addr *src, const struct ap_addr *dst, struct ap_buf *out)
{
	char from[AP_ADDR_TEXT], to[AP_ADDR_TEXT];
	struct ap_ip s, d;
	uint8_t len = common_family(src, dst, &s, &d);

	if (len == 0) {
		ap_buf_add_text(out, "PROXY UNKNOWN\r\n");
		return;
	}
	ap_buf_printf(out, "PROXY TCP%c %s %s %u %u\r\n", len == 4 ? '4' : '6', ap_ip_format(&s, from, sizeof(from)),
	    ap_ip_format(&d, to, sizeof(to)), ap_addr_port(src), ap_addr_port(dst));
}

int
ap_proxy_v2_encode(const struct ap_addr *src, const struct ap_addr *dst, const struct ap_proxy_tlv *tlvs, size_t count,
    struct ap_buf *out)
{
	struct ap_ip s, d;
	uint8_t len = common_family(src, dst, &s, &d);
	size_t size = len == 0 ? 0 : 2U * len + 4;

	for (size_t i = 0; i < count; i++) {
		if (tlvs[i].value.len > UINT16_MAX)
			return -EMSGSIZE;
		size += 3 + tlvs[i].value.len;
	}
	if (size > UINT16_MAX)
		return -EMSGSIZE;
	ap_buf_add(out, v2_signature, sizeof(v2_signature));
	ap_buf_add_u8(out, len == 0 ? 0x20 : 0x21);
	ap_buf_add_u8(out, len == 0 ? 0x00 : len == 4 ? 0x11 : 0x21);
	ap_buf_add_u16(out, (uint16_t)size);
	if (len != 0) {
		ap_buf_add(out, s.bytes, len);
		ap_buf_add(out, d.bytes, len);
		ap_buf_add_u16(out, ap_addr_port(src));
		ap_buf_add_u16(out, ap_addr_port(dst));
	}
	for (size_t i = 0; i < count; i++) {
		ap_buf_add_u8(out, tlvs[i].type);
		ap_buf_add_u16(out, (uint16_t)tlvs[i].value.len);
		ap_buf_add_slice(out, tlvs[i].value);
	}
	return 0;
}
