/*
 * b64.c -- base64 and hex.
 *
 * The decoder takes both alphabets, even mixed, but insists on zero spare bits: one value has one text, which matters
 * where the text is a name.  Pure functions.
 */
#include "base/b64.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(struct ap_slice in, const char *alphabet, bool pad, struct ap_buf *out)
{
	const uint8_t *p = (const uint8_t *)in.ptr;

	for (size_t i = 0; i < in.len; i += 3) {
		size_t n = AP_MIN(in.len - i, (size_t)3);
		uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
		char quad[4] = { alphabet[v >> 18], alphabet[v >> 12 & 63], alphabet[v >> 6 & 63], alphabet[v & 63] };

		if (n < 3)
			quad[3] = '=';
		if (n < 2)
			quad[2] = '=';
		ap_buf_add(out, quad, pad ? 4 : n + 1);
	}
}

void
ap_b64_encode(struct ap_slice in, struct ap_buf *out)
{
	encode(in, standard, true, out);
}

void
ap_b64url_encode(struct ap_slice in, struct ap_buf *out)
{
	encode(in, url, false, out);
}

static int
b64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

int
ap_b64_decode(struct ap_slice in, struct ap_buf *out)
{
	size_t start = out->len, padding = 0;
	uint32_t v = 0;
	unsigned bits = 0;

	while (in.len > 0 && padding < 2 && in.ptr[in.len - 1] == '=') {
		in.len--;
		padding++;
	}
	if (in.len % 4 == 1 || (padding > 0 && (in.len + padding) % 4 != 0))
		return -EINVAL;
	for (size_t i = 0; i < in.len; i++) {
		int d = b64_value(in.ptr[i]);

		if (d < 0)
			goto bad;
		v = (v << 6 | (uint32_t)d) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			ap_buf_add_u8(out, (uint8_t)(v >> bits));
		}
	}
	if ((v & ((1U << bits) - 1)) != 0 || out->bad)
		goto bad;
	return 0;
bad:
	if (out->ptr != NULL)
		out->len = AP_MIN(start, out->len);
	return -EINVAL;
}

void
ap_hex_encode(struct ap_slice in, struct ap_buf *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < in.len; i++) {
		uint8_t v = (uint8_t)in.ptr[i];
		const char pair[2] = { digits[v >> 4], digits[v & 15] };

		ap_buf_add(out, pair, 2);
	}
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
ap_hex_decode(struct ap_slice in, struct ap_buf *out)
{
	if (in.len % 2 != 0)
		return -EINVAL;
	for (size_t i = 0; i < in.len; i++)
		if (hex_value(in.ptr[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < in.len; i += 2)
		ap_buf_add_u8(out, (uint8_t)(hex_value(in.ptr[i]) << 4 | hex_value(in.ptr[i + 1])));
	return out->bad ? -EINVAL : 0;
}
