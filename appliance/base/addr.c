/*
 * addr.c -- addresses as values, and their one text form.
 *
 * v4-mapped IPv6 is turned into IPv4 at every entry, so that comparing bytes compares addresses.  Pure functions.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

int
ap_ip_from_bytes(const void *bytes, size_t size, struct ap_ip *out)
{
	const uint8_t *p = bytes;
	struct ap_ip ip = { .len = (uint8_t)size };

	if (size != 4 && size != 16)
		return -EINVAL;
	if (size == 16 && memcmp(p, mapped, sizeof(mapped)) == 0) {
		p += sizeof(mapped);
		ip.len = 4;
	}
	memcpy(ip.bytes, p, ip.len);
	*out = ip;
	return 0;
}

int
ap_ip_parse(struct ap_slice text, struct ap_ip *out)
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	int family;

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
		return -EINVAL;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	family = strchr(copy, ':') == NULL ? AF_INET : AF_INET6;
	if (inet_pton(family, copy, bytes) != 1)
		return -EINVAL;
	return ap_ip_from_bytes(bytes, family == AF_INET ? 4 : 16, out);
}

#define V4_TEXT 16 /* "255.255.255.255" and its NUL */

/* Dotted; room for V4_TEXT. Access logs ask for so many of these that printf and inet_ntop are too dear. */
static size_t
put_v4(const uint8_t bytes[4], char *out)
{
	size_t n = 0;

	for (int i = 0; i < 4; i++) {
		if (i > 0)
			out[n++] = '.';
		n += ap_text_put_u64(bytes[i], out + n);
	}
	out[n] = '\0';
	return n;
}

const char *
ap_ip_format(const struct ap_ip *ip, char *out, size_t size)
{
	if (ip->len == 4 && size >= V4_TEXT) {
		put_v4(ip->bytes, out);
		return out;
	}
	if (ip->len == 0 || inet_ntop(ip->len == 4 ? AF_INET : AF_INET6, ip->bytes, out, (socklen_t)size) == NULL)
		snprintf(out, size, "%s", "");
	return out;
}

bool
ap_ip_eq(const struct ap_ip *a, const struct ap_ip *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

bool
ap_ip_is_loopback(const struct ap_ip *ip)
{
	return (ip->len == 4 && ip->bytes[0] == 127) ||
	       (ip->len == 16 && memcmp(ip->bytes, &in6addr_loopback, 16) == 0);
}

int
ap_cidr_parse(struct ap_slice text, struct ap_cidr *out)
{
	size_t slash = ap_slice_find(text, '/');
	struct ap_slice host = slash == SIZE_MAX ? text : ap_slice_sub(text, 0, slash);
	struct ap_cidr c = { .bits = 0 };
	uint64_t bits;

	if (ap_ip_parse(host, &c.ip) < 0)
		return -EINVAL;
	if (slash == SIZE_MAX) {
		c.bits = (uint8_t)(c.ip.len * 8);
		*out = c;
		return 0;
	}
	if (ap_text_to_u64(ap_slice_from(text, slash + 1), 128, &bits) < 0)
		return -EINVAL;
	if (c.ip.len == 4 && ap_slice_find(host, ':') != SIZE_MAX) { /* written as v4-mapped */
		if (bits < 96)
			return -EINVAL;
		bits -= 96;
	}
	if (bits > c.ip.len * 8U)
		return -EINVAL;
	c.bits = (uint8_t)bits;
	for (unsigned i = 0; i < c.ip.len; i++) {
		unsigned keep = c.bits <= i * 8 ? 0 : AP_MIN(c.bits - i * 8, 8U);

		c.ip.bytes[i] &= (uint8_t)(0xff00U >> keep);
	}
	*out = c;
	return 0;
}

const char *
ap_cidr_format(const struct ap_cidr *c, char *out, size_t size)
{
	char ip[INET6_ADDRSTRLEN];

	snprintf(out, size, "%s/%u", ap_ip_format(&c->ip, ip, sizeof(ip)), c->bits);
	return out;
}

bool
ap_cidr_has(const struct ap_cidr *c, const struct ap_ip *ip)
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (c->ip.len != ip->len || ip->len == 0 || memcmp(c->ip.bytes, ip->bytes, whole) != 0)
		return false;
	return rest == 0 || ((c->ip.bytes[whole] ^ ip->bytes[whole]) & (0xff00U >> rest) & 0xff) == 0;
}

/* "/path", or "@name" in the abstract name space. */
static int
parse_unix(struct ap_slice path, struct ap_addr *out)
{
	struct ap_addr a = { 0 };
	bool is_abstract = path.len > 0 && path.ptr[0] == '@';

	if (path.len < 2 || path.len >= sizeof(a.u.un.sun_path) || ap_slice_find(path, '\0') != SIZE_MAX ||
	    (!is_abstract && path.ptr[0] != '/'))
		return -EINVAL;
	a.u.un.sun_family = AF_UNIX;
	memcpy(a.u.un.sun_path, path.ptr, path.len);
	if (is_abstract)
		a.u.un.sun_path[0] = '\0';
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + !is_abstract);
	*out = a;
	return 0;
}

int
ap_addr_parse(struct ap_slice text, struct ap_addr *out)
{
	size_t colon = ap_slice_find_last(text, ':');
	struct ap_ip ip = { .len = 16 };
	struct ap_slice host;
	uint64_t port;

	if (ap_slice_starts(text, AP_S("unix:")))
		return parse_unix(ap_slice_from(text, 5), out);
	if (colon == SIZE_MAX || ap_text_to_u64(ap_slice_from(text, colon + 1), 65535, &port) < 0)
		return -EINVAL;
	host = ap_slice_sub(text, 0, colon);
	if (host.len > 0 && host.ptr[0] == '[') {
		if (host.len < 2 || host.ptr[host.len - 1] != ']')
			return -EINVAL;
		host = ap_slice_sub(host, 1, host.len - 2);
		if (ap_slice_find(host, ':') == SIZE_MAX || ap_ip_parse(host, &ip) < 0)
			return -EINVAL;
	} else if (host.len > 0 && (ap_slice_find(host, ':') != SIZE_MAX || ap_ip_parse(host, &ip) < 0)) {
		return -EINVAL;
	}
	*out = ap_addr_of(&ip, (uint16_t)port);
	return 0;
}

struct ap_addr
ap_addr_of(const struct ap_ip *ip, uint16_t port)
{
	struct ap_addr a = { 0 };

	if (ip->len == 4) {
		a.u.in.sin_family = AF_INET;
		a.u.in.sin_port = htons(port);
		memcpy(&a.u.in.sin_addr, ip->bytes, 4);
		a.len = sizeof(a.u.in);
	} else if (ip->len == 16) {
		a.u.in6.sin6_family = AF_INET6;
		a.u.in6.sin6_port = htons(port);
		memcpy(&a.u.in6.sin6_addr, ip->bytes, 16);
		a.len = sizeof(a.u.in6);
	}
	return a;
}

struct ap_addr
ap_addr_from_sockaddr(const struct sockaddr *sa, socklen_t len)
{
	struct ap_addr a = { 0 };

	if (sa == NULL || len < sizeof(sa->sa_family) || len > sizeof(a.u))
		return a;
	a.len = len;
	memcpy(&a.u, sa, len);
	if (a.u.sa.sa_family == AF_INET6 && len >= sizeof(a.u.in6) &&
	    memcmp(&a.u.in6.sin6_addr, mapped, sizeof(mapped)) == 0) {
		struct ap_ip ip;
		uint16_t port = ntohs(a.u.in6.sin6_port);

		AP_CHECK(ap_ip_from_bytes(&a.u.in6.sin6_addr, 16, &ip) == 0);
		a = ap_addr_of(&ip, port);
	}
	return a;
}

int
ap_addr_ip(const struct ap_addr *a, struct ap_ip *out)
{
	if (a->len >= sizeof(a->u.in) && a->u.sa.sa_family == AF_INET)
		return ap_ip_from_bytes(&a->u.in.sin_addr, 4, out);
	if (a->len >= sizeof(a->u.in6) && a->u.sa.sa_family == AF_INET6)
		return ap_ip_from_bytes(&a->u.in6.sin6_addr, 16, out);
	return -EINVAL;
}

uint16_t
ap_addr_port(const struct ap_addr *a)
{
	if (a->len == 0)
		return 0;
	if (a->u.sa.sa_family == AF_INET)
		return ntohs(a->u.in.sin_port);
	return a->u.sa.sa_family == AF_INET6 ? ntohs(a->u.in6.sin6_port) : 0;
}

void
ap_addr_set_port(struct ap_addr *a, uint16_t port)
{
	if (a->len == 0)
		return;
	if (a->u.sa.sa_family == AF_INET)
		a->u.in.sin_port = htons(port);
	else if (a->u.sa.sa_family == AF_INET6)
		a->u.in6.sin6_port = htons(port);
}

bool
ap_addr_eq(const struct ap_addr *a, const struct ap_addr *b)
{
	struct ap_ip x, y;

	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	if (ap_addr_ip(a, &x) < 0 || ap_addr_ip(b, &y) < 0)
		return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
	if (x.len == 16 && a->u.in6.sin6_scope_id != b->u.in6.sin6_scope_id)
		return false;
	return ap_ip_eq(&x, &y) && ap_addr_port(a) == ap_addr_port(b);
}

bool
ap_addr_is_unix(const struct ap_addr *a)
{
	return a->len > 0 && a->u.sa.sa_family == AF_UNIX;
}

static void
format_unix(const struct ap_addr *a, char *out, size_t size)
{
	size_t len = a->len - AP_MIN((size_t)a->len, offsetof(struct sockaddr_un, sun_path));
	const char *path = a->u.un.sun_path;

	if (len == 0) /* a client that did not bind */
		snprintf(out, size, "unix:");
	else if (path[0] == '\0')
		snprintf(out, size, "unix:@%.*s", (int)(len - 1), path + 1);
	else
		snprintf(out, size, "unix:%.*s", (int)len, path);
}

const char *
ap_addr_format(const struct ap_addr *a, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	struct ap_ip ip;

	if (a->len > 0 && a->u.sa.sa_family == AF_INET && size >= V4_TEXT + 6) {
		size_t n = put_v4((const uint8_t *)&a->u.in.sin_addr, out);

		out[n++] = ':';
		n += ap_text_put_u64(ntohs(a->u.in.sin_port), out + n);
		out[n] = '\0';
	} else if (ap_addr_is_unix(a))
		format_unix(a, out, size);
	else if (ap_addr_ip(a, &ip) < 0)
		snprintf(out, size, "none");
	else
		snprintf(out, size, ip.len == 4 ? "%s:%u" : "[%s]:%u", ap_ip_format(&ip, text, sizeof(text)),
		    ap_addr_port(a));
	return out;
}
