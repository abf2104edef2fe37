/*
 * resolve.c -- c-ares on a loop.
 *
 * c-ares may answer inside the call that asks (from /etc/hosts, or with an error), so every answer is kept and told by a
 * task.  Its sockets are watched as it says in its state callback; one timer follows its timeouts.
 * Owns the channel, and each look-up until it was told.  The loop's thread.
 */
#include "net/resolve.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rand.h"
#include "event/loop.h"
#include "net/sock.h"

#define TIMEOUT_MS 2000
#define TRIES 3
#define ADDRS_MAX 64
#define NAME_MAX_LEN 255
#define QUERY_MIN 12 /* a DNS header */
#define QUERY_MAX 4096

/* A socket of c-ares. */
struct watch {
	struct ap_list link;
	struct ap_io io;
	struct ap_resolver *r;
};

struct ap_resolver {
	struct ap_loop *loop;
	ares_channel channel;
	uint32_t mark;
	struct ap_timer timer;
	struct ap_list watches;
	struct ap_list queries;
	bool dying;
};

struct ap_resolve {
	struct ap_list link;
	struct ap_resolver *r;
	struct ap_task task;
	bool asked; /* c-ares has it and will call back */
	ap_resolve_fn fn;
	void (*raw_fn)(const void *answer, size_t size, void *arg);
	void *arg;
	const char *reason;
	struct ap_addr *addrs;
	size_t count;
	unsigned char *answer;
	size_t answer_size;
	uint16_t id, wire_id;
};

/* ---- sockets and time ---- */

static void
set_timer(struct ap_resolver *r)
{
	struct timeval tv, *next;

	if (r->dying)
		return;
	next = ares_timeout(r->channel, NULL, &tv);
	if (next == NULL)
		ap_timer_stop(&r->timer);
	else
		ap_timer_start(&r->timer, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1);
}

static void
on_timer(struct ap_timer *t, void *arg)
{
	struct ap_resolver *r = arg;

	(void)t;
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(r);
}

static void
on_io(struct ap_io *io, unsigned events, void *arg)
{
	struct watch *w = arg;
	struct ap_resolver *r = w->r;
	int fd = io->fd;

	/* w may be gone afterwards, r is not: only its owner frees it, and answers are told by tasks. */
	ares_process_fd(r->channel, (events & AP_IO_READ) != 0 ? fd : ARES_SOCKET_BAD,
	    (events & AP_IO_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	set_timer(r);
}

static struct watch *
watch_of(struct ap_resolver *r, int fd)
{
	struct watch *w;

	AP_LIST_FOR(link, &r->watches)
	{
		w = AP_LIST_ITEM(link, struct watch, link);
		if (w->io.fd == fd)
			return w;
	}
	w = ap_new(struct watch);
	w->r = r;
	ap_io_init(&w->io, r->loop, fd, on_io, w);
	ap_list_append(&r->watches, &w->link);
	return w;
}

/* c-ares says what it waits for on a socket; nothing means that it is about to be closed. */
static void
on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct watch *w = watch_of(arg, fd);

	if (readable || writable) {
		ap_io_want(&w->io, (readable ? AP_IO_READ : 0) | (writable ? AP_IO_WRITE : 0));
		return;
	}
	ap_io_done(&w->io);
	ap_list_remove(&w->link);
	ap_defer_free(w->r->loop, w, ap_mem_free);
}

static int
on_socket(ares_socket_t fd, int type, void *arg)
{
	const struct ap_resolver *r = arg;

	(void)type;
	if (r->mark != 0 && ap_sock_set(fd, SOL_SOCKET, SO_MARK, (int)r->mark) != 0)
		return -1;
	return 0;
}

/* ---- answers ---- */

static void
resolve_free(struct ap_resolve *q)
{
	ap_task_cancel(&q->task);
	ap_list_remove(&q->link);
	ap_free(&q->addrs);
	ap_free(&q->answer);
	ap_free(&q);
}

static void
on_task(struct ap_task *task, void *arg)
{
	struct ap_resolve *q = arg;

	(void)task;
	ap_list_remove(&q->link); /* over: the owner may free the resolver in its callback */
	if (q->raw_fn != NULL)
		q->raw_fn(q->answer, q->answer_size, q->arg);
	else
		q->fn(q->addrs, q->count, q->reason, q->arg);
	resolve_free(q);
}

/* c-ares is done with q: tell it later, or drop it when nobody waits any more. */
static void
answered(struct ap_resolve *q)
{
	q->asked = false;
	if (q->fn == NULL && q->raw_fn == NULL)
		resolve_free(q);
	else
		ap_task_schedule(q->r->loop, &q->task);
}

static bool
is_known(const struct ap_resolve *q, const struct ap_addr *a)
{
	for (size_t i = 0; i < q->count; i++)
		if (ap_addr_eq(&q->addrs[i], a))
			return true;
	return false;
}

static void
on_addrinfo(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct ap_resolve *q = arg;

	(void)timeouts;
	q->reason = ares_strerror(status);
	if (status == ARES_SUCCESS && info != NULL && q->fn != NULL) {
		q->addrs = ap_alloc_array(ADDRS_MAX, sizeof(*q->addrs));
		for (struct ares_addrinfo_node *n = info->nodes; n != NULL && q->count < ADDRS_MAX; n = n->ai_next) {
			struct ap_addr a = ap_addr_from_sockaddr(n->ai_addr, (socklen_t)n->ai_addrlen);

			ap_addr_set_port(&a, 0);
			if (a.len != 0 && !is_known(q, &a))
				q->addrs[q->count++] = a;
		}
		q->reason = q->count > 0 ? NULL : "no address";
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
	answered(q);
}

static void
on_raw(void *arg, int status, int timeouts, unsigned char *answer, int size)
{
	struct ap_resolve *q = arg;

	(void)status;
	(void)timeouts;
	if (answer != NULL && size >= QUERY_MIN && q->raw_fn != NULL) {
		q->answer = ap_alloc((size_t)size);
		memcpy(q->answer, answer, (size_t)size);
		q->answer[0] = (unsigned char)(q->id >> 8);
		q->answer[1] = (unsigned char)q->id;
		q->answer_size = (size_t)size;
	}
	answered(q);
}

/* ---- the resolver ---- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void
library_init(void)
{
	AP_CHECK(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
}

struct ap_resolver *
ap_resolver_new(struct ap_loop *loop, uint32_t mark, const char *servers, struct ap_error *err)
{
	struct ap_resolver *r = ap_new(struct ap_resolver);
	struct ares_options options = {
		.timeout = TIMEOUT_MS, .tries = TRIES, .sock_state_cb = on_state, .sock_state_cb_data = r
	};
	int rc;

	AP_CHECK(pthread_once(&library_once, library_init) == 0);
	r->loop = loop;
	r->mark = mark;
	ap_list_init(&r->watches);
	ap_list_init(&r->queries);
	rc = ares_init_options(&r->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (rc != ARES_SUCCESS) {
		ap_error_set(err, -EINVAL, "name service: %s", ares_strerror(rc));
		ap_free(&r);
		return NULL;
	}
	if (servers != NULL && (rc = ares_set_servers_ports_csv(r->channel, servers)) != ARES_SUCCESS) {
		ap_error_set(err, -EINVAL, "name servers \"%s\": %s", servers, ares_strerror(rc));
		ares_destroy(r->channel);
		ap_free(&r);
		return NULL;
	}
	ares_set_socket_configure_callback(r->channel, on_socket, r);
	ap_timer_init(&r->timer, loop, on_timer, r);
	return r;
}

void
ap_resolver_free(struct ap_resolver **resolver)
{
	struct ap_resolver *r = *resolver;

	*resolver = NULL;
	if (r == NULL)
		return;
	r->dying = true;
	AP_LIST_FOR_SAFE(link, &r->queries)
	{
		struct ap_resolve *q = AP_LIST_ITEM(link, struct ap_resolve, link);

		q->fn = NULL;
		q->raw_fn = NULL;
		if (!q->asked)
			resolve_free(q);
	}
	ares_destroy(r->channel); /* calls back for each that it has, which frees it */
	ap_timer_stop(&r->timer);
	ap_defer_free(r->loop, r, ap_mem_free);
}

static struct ap_resolve *
resolve_new(struct ap_resolver *r, void *arg)
{
	struct ap_resolve *q = ap_new(struct ap_resolve);

	q->r = r;
	q->arg = arg;
	ap_task_init(&q->task, on_task, q);
	ap_list_append(&r->queries, &q->link);
	return q;
}

struct ap_resolve *
ap_resolve_start(struct ap_resolver *r, const char *name, int family, ap_resolve_fn fn, void *arg)
{
	const struct ares_addrinfo_hints hints = { .ai_family = family, .ai_flags = ARES_AI_NOSORT };
	struct ap_resolve *q = resolve_new(r, arg);
	struct ap_ip ip;

	q->fn = fn;
	if (ap_ip_parse(ap_slice_of(name), &ip) == 0) {
		q->addrs = ap_new(struct ap_addr);
		q->addrs[0] = ap_addr_of(&ip, 0);
		q->count = family == AF_UNSPEC || q->addrs[0].u.sa.sa_family == family;
		q->reason = q->count > 0 ? NULL : "the address is of another family";
		answered(q);
		return q;
	}
	if (name[0] == '\0' || strlen(name) > NAME_MAX_LEN) {
		q->reason = "not a name";
		answered(q);
		return q;
	}
	q->asked = true;
	ares_getaddrinfo(r->channel, name, NULL, &hints, on_addrinfo, q);
	set_timer(r);
	return q;
}

/* An id that no other forwarded query bears now. */
static uint16_t
free_id(const struct ap_resolver *r)
{
	for (;;) {
		uint16_t id;
		bool taken = false;

		ap_rand_bytes(&id, sizeof(id));
		AP_LIST_FOR(link, &r->queries)
		{
			const struct ap_resolve *q = AP_LIST_ITEM(link, struct ap_resolve, link);

			taken = taken || (q->raw_fn != NULL && q->wire_id == id);
		}
		if (!taken)
			return id;
	}
}

struct ap_resolve *
ap_resolve_raw(struct ap_resolver *r, const void *query, size_t size,
    void (*fn)(const void *answer, size_t size, void *arg), void *arg)
{
	unsigned char copy[QUERY_MAX];
	uint16_t id = free_id(r);
	struct ap_resolve *q = resolve_new(r, arg);

	q->raw_fn = fn;
	q->wire_id = id;
	if (size < QUERY_MIN || size > sizeof(copy)) {
		answered(q);
		return q;
	}
	memcpy(copy, query, size);
	q->id = (uint16_t)(copy[0] << 8 | copy[1]);
	copy[0] = (unsigned char)(id >> 8);
	copy[1] = (unsigned char)id;
	q->asked = true;
	ares_send(r->channel, copy, (int)size, on_raw, q);
	set_timer(r);
	return q;
}

void
ap_resolve_cancel(struct ap_resolve **resolve)
{
	struct ap_resolve *q = *resolve;

	*resolve = NULL;
	if (q == NULL)
		return;
	q->fn = NULL;
	q->raw_fn = NULL;
	if (!q->asked)
		resolve_free(q);
}
