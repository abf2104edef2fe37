/* addr.h -- IP and Unix socket addresses, IP networks, and their text. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/slice.h"

/* An IP address without port. v4-mapped IPv6 is always stored as IPv4. */
struct ap_ip {
	uint8_t len; /* 4, 16, or 0: none */
	uint8_t bytes[16];
};

struct ap_cidr {
	struct ap_ip ip; /* host bits zeroed */
	uint8_t bits;
};

/* Socket address. */
struct ap_addr {
	socklen_t len; /* 0: none */
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} u;
};

#define AP_ADDR_TEXT 128 /* room for any address as text */

AP_PUBLIC_BEGIN
int ap_ip_parse(struct ap_slice text, struct ap_ip *out); /* 0 or -EINVAL */
const char *ap_ip_format(const struct ap_ip *ip, char *out, size_t size);
bool ap_ip_eq(const struct ap_ip *a, const struct ap_ip *b);
bool ap_ip_is_loopback(const struct ap_ip *ip);
/* From 4 or 16 network-order bytes; anything else is -EINVAL. */
int ap_ip_from_bytes(const void *bytes, size_t size, struct ap_ip *out);
int ap_cidr_parse(struct ap_slice text, struct ap_cidr *out); /* a bare address is /32 or /128 */
const char *ap_cidr_format(const struct ap_cidr *c, char *out, size_t size);
bool ap_cidr_has(const struct ap_cidr *c, const struct ap_ip *ip);

/* "1.2.3.4:80", "[::1]:80", "unix:/path", ":80" (every address). 0 or -EINVAL. */
int ap_addr_parse(struct ap_slice text, struct ap_addr *out);
struct ap_addr ap_addr_of(const struct ap_ip *ip, uint16_t port);
/* v4-mapped becomes IPv4. */
struct ap_addr ap_addr_from_sockaddr(const struct sockaddr *sa, socklen_t len);
int ap_addr_ip(const struct ap_addr *a, struct ap_ip *out); /* -EINVAL when not IP */
uint16_t ap_addr_port(const struct ap_addr *a);
void ap_addr_set_port(struct ap_addr *a, uint16_t port);
bool ap_addr_eq(const struct ap_addr *a, const struct ap_addr *b);
bool ap_addr_is_unix(const struct ap_addr *a);
/* The form that ap_addr_parse reads. Returns out. */
const char *ap_addr_format(const struct ap_addr *a, char *out, size_t size);
AP_PUBLIC_END

#endif
