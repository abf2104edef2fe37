/* resolve.h -- names to addresses by c-ares, on a loop. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/error.h"

struct ap_loop;
struct ap_resolver;
struct ap_resolve;

/* count 0: no address; `reason` says why. Addresses have port 0. */
typedef void (*ap_resolve_fn)(const struct ap_addr *addrs, size_t count, const char *reason, void *arg);

AP_PUBLIC_BEGIN
/* mark: SO_MARK of its sockets. servers: "1.2.3.4:53,..." or NULL for the system's. */
struct ap_resolver *ap_resolver_new(struct ap_loop *loop, uint32_t mark, const char *servers, struct ap_error *err);
void ap_resolver_free(struct ap_resolver **r); /* outstanding look-ups are cancelled without a callback */
/* Answers from the loop, never inside this call; the handle is over when fn is called. An address as text is answered too.
 * family: AF_UNSPEC, AF_INET, AF_INET6. */
struct ap_resolve *ap_resolve_start(struct ap_resolver *r, const char *name, int family, ap_resolve_fn fn, void *arg);
void ap_resolve_cancel(struct ap_resolve **q); /* no callback follows; NULL is fine */
/* Forward a raw DNS query under an id of our own (a guessable one would invite forgers); fn gets the raw answer with the
 * query's id, or size 0 when no server answered. */
struct ap_resolve *ap_resolve_raw(struct ap_resolver *r, const void *query, size_t size,
    void (*fn)(const void *answer, size_t size, void *arg), void *arg);
AP_PUBLIC_END

#endif
