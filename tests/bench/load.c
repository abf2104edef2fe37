/*
 * load.c -- a small load generator and its server for the benchmarks, on plain epoll and nothing of Ambit's, so that what
 * is measured is not also the measure.
 *
 *   load serve PORT
 *   load up      ADDRESS PORT CONNECTIONS BYTES            bytes in all, client to server
 *   load down    ADDRESS PORT CONNECTIONS BYTES            the other way
 *   load echo    ADDRESS PORT CONNECTIONS COUNT SIZE       COUNT requests of SIZE bytes, one at a time per connection
 *   load connect ADDRESS PORT CONNECTIONS COUNT SIZE       the same, each on a new connection
 *
 * A client prints one line of JSON: seconds, bytes, count, errors, and latency in microseconds (p50, p99, max).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK ((size_t)128 * 1024)
#define MICROS_MAX 2000000U /* latency buckets of one microsecond */

/* First on each connection; host order, both ends are this program. */
struct hello {
	char mode; /* U, D, E */
	char pad[3];
	uint32_t size;
	uint64_t bytes;
};

struct conn {
	int fd;
	bool is_server;
	struct hello hello;
	size_t hello_done;
	uint64_t got, sent, to_send; /* of the current message or transfer */
	uint64_t started_ns;
	bool want_write, ended;
};

static int ep;
static char *block;
static char mode; /* of the client */
static struct sockaddr_in6 to6;
static struct sockaddr_in to4;
static bool is_v6;
static uint64_t left, done_count, errors, total_bytes, per_conn;
static uint32_t size_each;
static bool reconnects;
static unsigned live;
static uint32_t *latency;
static uint64_t latency_max;
static const char *first_error = ""; /* what the first connection that broke was doing */
static int first_errno;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
watch(struct conn *c, int op)
{
	struct epoll_event ev = { .events = EPOLLIN | (c->want_write ? EPOLLOUT : 0U), .data.ptr = c };

	if (epoll_ctl(ep, op, c->fd, &ev) != 0)
		die("epoll_ctl");
}

static void
set_write(struct conn *c, bool on)
{
	if (c->want_write == on)
		return;
	c->want_write = on;
	watch(c, EPOLL_CTL_MOD);
}

static void
drop(struct conn *c)
{
	(void)close(c->fd);
	c->fd = -1;
	c->ended = true;
}

static void
note_latency(uint64_t ns)
{
	uint64_t us = ns / 1000;

	latency_max = us > latency_max ? us : latency_max;
	latency[us < MICROS_MAX ? us : MICROS_MAX - 1]++;
}

/* Send what is due; false: the connection broke. */
static bool
push(struct conn *c)
{
	while (!c->is_server && c->hello_done < sizeof(c->hello)) {
		ssize_t n = send(c->fd, (char *)&c->hello + c->hello_done, sizeof(c->hello) - c->hello_done,
		    MSG_NOSIGNAL | MSG_MORE);

		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		c->hello_done += (size_t)n;
	}
	while (c->sent < c->to_send) {
		uint64_t n64 = c->to_send - c->sent;
		ssize_t n = send(c->fd, block, n64 < BLOCK ? (size_t)n64 : BLOCK, MSG_NOSIGNAL);

		if (n <= 0) {
			if (n < 0 && errno != EAGAIN)
				return false;
			set_write(c, true);
			return true;
		}
		c->sent += (uint64_t)n;
	}
	set_write(c, false);
	if (!c->is_server && c->hello.mode == 'U' && c->sent == c->to_send)
		(void)shutdown(c->fd, SHUT_WR);
	if (c->is_server && c->hello.mode == 'D' && c->sent == c->to_send) {
		(void)shutdown(c->fd, SHUT_WR);
		c->to_send = 0;
	}
	return true;
}

static void
open_client(struct conn *c)
{
	int one = 1, rc;

	memset(c, 0, sizeof(*c));
	c->fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->hello.mode = mode;
	c->hello.size = size_each;
	c->hello.bytes = per_conn;
	c->to_send = mode == 'U' ? per_conn : mode == 'E' ? size_each : 0;
	c->started_ns = now_ns();
	rc = is_v6 ? connect(c->fd, (struct sockaddr *)&to6, sizeof(to6))
		   : connect(c->fd, (struct sockaddr *)&to4, sizeof(to4));
	if (rc != 0 && errno != EINPROGRESS)
		die("connect");
	c->want_write = true;
	watch(c, EPOLL_CTL_ADD);
}

/* A client's connection has done its work, or broke while doing what is said. */
static void
client_over(struct conn *c, const char *failed)
{
	if (failed != NULL && errors++ == 0) {
		first_error = failed;
		first_errno = errno;
	}
	drop(c);
	live--;
	if (reconnects && left > 0) {
		left--;
		live++;
		open_client(c);
	}
}

static void
client_got(struct conn *c, size_t n)
{
	c->got += n;
	total_bytes += n;
	if (c->hello.mode != 'E' || c->got < size_each)
		return;
	note_latency(now_ns() - c->started_ns);
	done_count++;
	if (reconnects) {
		client_over(c, NULL);
		return;
	}
	if (left == 0) {
		client_over(c, NULL);
		return;
	}
	left--;
	c->got = c->sent = 0;
	c->to_send = size_each;
	c->started_ns = now_ns();
	if (!push(c))
		client_over(c, "send again");
}

static void
client_eof(struct conn *c)
{
	bool fine = c->hello.mode == 'D' ? c->got == per_conn : c->hello.mode == 'U' ? c->got == 8 : false;

	if (c->hello.mode == 'U')
		total_bytes += c->sent;
	errno = 0;
	client_over(c, fine ? NULL : "early end");
}

static void
server_got(struct conn *c, const char *bytes, size_t n)
{
	if (c->hello_done < sizeof(c->hello)) {
		size_t part = sizeof(c->hello) - c->hello_done;

		part = n < part ? n : part;
		memcpy((char *)&c->hello + c->hello_done, bytes, part);
		c->hello_done += part;
		n -= part;
		if (c->hello_done < sizeof(c->hello))
			return;
		if (c->hello.mode == 'D')
			c->to_send = c->hello.bytes;
	}
	c->got += n;
	if (c->hello.mode == 'E')
		while (c->hello.size > 0 && c->got >= c->hello.size) {
			c->got -= c->hello.size;
			c->to_send += c->hello.size;
		}
	if (!push(c))
		drop(c);
}

static void
server_eof(struct conn *c)
{
	if (c->hello.mode == 'U')
		(void)send(c->fd, &c->got, sizeof(c->got), MSG_NOSIGNAL);
	drop(c);
}

static void
on_conn(struct conn *c, uint32_t events)
{
	ssize_t n;

	if ((events & EPOLLOUT) != 0 && !push(c)) {
		if (c->is_server)
			drop(c);
		else
			client_over(c, "send");
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	n = recv(c->fd, block + BLOCK, BLOCK, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		if (c->is_server)
			drop(c);
		else
			client_over(c, "receive");
	} else if (n == 0) {
		if (c->is_server)
			server_eof(c);
		else
			client_eof(c);
	} else if (c->is_server) {
		server_got(c, block + BLOCK, (size_t)n);
	} else {
		client_got(c, (size_t)n);
	}
}

static void
serve(int port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct epoll_event ev = { .events = EPOLLIN }, got[256];

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
		die("listen");
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll_ctl");
	for (;;) {
		int n = epoll_wait(ep, got, 256, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = got[i].data.ptr;

			if (c != NULL) {
				on_conn(c, got[i].events);
				if (c->ended)
					free(c);
				continue;
			}
			for (;;) {
				int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

				if (accepted < 0)
					break;
				c = calloc(1, sizeof(*c));
				if (c == NULL)
					die("calloc");
				c->fd = accepted;
				c->is_server = true;
				watch(c, EPOLL_CTL_ADD);
			}
		}
	}
}

static uint64_t
percentile(double p)
{
	uint64_t want = (uint64_t)((double)done_count * p), seen = 0;

	for (uint32_t i = 0; i < MICROS_MAX; i++) {
		seen += latency[i];
		if (seen > want)
			return i;
	}
	return 0;
}

static void
run(unsigned connections)
{
	struct conn *conns = calloc(connections, sizeof(*conns));
	struct epoll_event got[256];
	uint64_t start = now_ns();

	if (conns == NULL)
		die("calloc");
	for (unsigned i = 0; i < connections && (mode != 'E' || left > 0); i++) {
		live++;
		left -= mode == 'E';
		open_client(&conns[i]);
	}
	while (live > 0) {
		int n = epoll_wait(ep, got, 256, 10000);

		if (n == 0) {
			errors += live;
			first_error = "silence";
			break;
		}
		for (int i = 0; i < n; i++)
			on_conn(got[i].data.ptr, got[i].events);
	}
	(void)printf(
	    "{\"seconds\": %.6f, \"bytes\": %llu, \"count\": %llu, \"errors\": %llu, \"first_error\": \"%s %s\", "
	    "\"p50\": %llu, \"p99\": %llu, \"max\": %llu}\n",
	    (double)(now_ns() - start) / 1e9, (unsigned long long)total_bytes, (unsigned long long)done_count,
	    (unsigned long long)errors, first_error, errors > 0 ? strerror(first_errno) : "",
	    (unsigned long long)percentile(0.5), (unsigned long long)percentile(0.99), (unsigned long long)latency_max);
	free(conns);
}

int
main(int argc, char **argv)
{
	unsigned connections;

	(void)signal(SIGPIPE, SIG_IGN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	block = calloc(2, BLOCK);
	latency = calloc(MICROS_MAX, sizeof(*latency));
	if (ep < 0 || block == NULL || latency == NULL)
		die("start");
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve((int)strtol(argv[2], NULL, 10));
	if (argc < 6) {
		(void)fprintf(
		    stderr, "usage: load serve PORT | load up|down|echo|connect ADDRESS PORT CONNECTIONS N [SIZE]\n");
		return 2;
	}
	is_v6 = strchr(argv[2], ':') != NULL;
	to4.sin_family = AF_INET;
	to6.sin6_family = AF_INET6;
	to4.sin_port = to6.sin6_port = htons((uint16_t)strtol(argv[3], NULL, 10));
	if ((is_v6 ? inet_pton(AF_INET6, argv[2], &to6.sin6_addr) : inet_pton(AF_INET, argv[2], &to4.sin_addr)) != 1) {
		(void)fprintf(stderr, "load: not an address: %s\n", argv[2]);
		return 2;
	}
	connections = (unsigned)strtoul(argv[4], NULL, 10);
	left = strtoull(argv[5], NULL, 10);
	size_each = argc > 6 ? (uint32_t)strtoul(argv[6], NULL, 10) : 1;
	mode = strcmp(argv[1], "up") == 0 ? 'U' : strcmp(argv[1], "down") == 0 ? 'D' : 'E';
	reconnects = strcmp(argv[1], "connect") == 0;
	per_conn = mode == 'E' ? 0 : left / connections;
	run(connections);
	return errors == 0 ? 0 : 1;
}
