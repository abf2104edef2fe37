/*
 * http_echo.c -- a small server and reverse proxy made of the library's HTTP alone, for tests with foreign peers.
 *
 *	http_echo [--listen ADDR] [--h1|--h2] [--tls CERT KEY] [--upstream ADDR [--upstream-h2]]
 *
 * It prints "port N" and serves until its standard input ends.  Paths: /hello /bytes/N /chunks/N (with a trailer) /echo /sink
 * /head /status/N /early /hold /abort /drain; CONNECT and Upgrade echo; /proxy/... goes to the upstream through a pool.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "event/loop.h"
#include "event/worker.h"
#include "http/pool.h"
#include "net/listener.h"
#include "net/relay.h"
#include "net/tcp.h"
#include "net/tls.h"

static struct ap_worker *worker;
static struct ap_tls *tls;
static enum ap_http_version version = AP_HTTP_AUTO;
static struct ap_http_pool *pool;
static struct ap_addr upstream;
static struct ap_http_dial upstream_dial;
static struct ap_listener *listener;

/* One request at work. */
struct work {
	struct ap_exchange *x;
	enum { BYTES, ECHO, SINK } kind;
	uint64_t left, seen;
	char *kept; /* what echo could not write yet */
	size_t kept_size;
	bool ended;
	/* proxy */
	struct ap_exchange *y;
	struct ap_relay *relay;
	struct ap_http_wait *wait;
	struct ap_http_head head;
	struct ap_fields trailers;
};

static void
work_done(struct work *w, enum ap_stream_close how)
{
	struct ap_stream *x = w->x == NULL ? NULL : &w->x->stream, *y = w->y == NULL ? NULL : &w->y->stream;

	ap_http_pool_cancel(&w->wait);
	ap_relay_free(&w->relay);
	ap_stream_close(&x, how);
	ap_stream_close(&y, how);
	ap_free(&w->kept);
	ap_free(&w);
}

/* ---- streams of our own ---- */

static void
send_bytes(struct work *w)
{
	static char block[65536];
	ssize_t n = 1;

	if (block[1] == 0)
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (char)('a' + i % 26);
	while (w->left > 0) {
		size_t at = w->seen % sizeof(block);

		n = ap_stream_write(&w->x->stream, block + at, (size_t)AP_MIN(w->left, sizeof(block) - at));
		if (n <= 0)
			break;
		w->left -= (uint64_t)n;
		w->seen += (uint64_t)n;
	}
	if (n == AP_STREAM_ERROR) {
		work_done(w, AP_STREAM_CLOSE_ABORT);
	} else if (w->left == 0) {
		ap_stream_shutdown(&w->x->stream);
		work_done(w, AP_STREAM_CLOSE_CLEAN);
	} else {
		ap_stream_want(&w->x->stream, AP_STREAM_WRITABLE);
	}
}

static void
sink_done(struct work *w)
{
	char text[40];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)w->seen);
	ap_exchange_reply(w->x, 200, "text/plain", ap_slice_of(text));
	work_done(w, AP_STREAM_CLOSE_CLEAN);
}

/* False: the work is over. */
static bool
push(struct work *w, const char *bytes, size_t size)
{
	ssize_t n = ap_stream_write(&w->x->stream, bytes, size);

	if (n == AP_STREAM_ERROR) {
		work_done(w, AP_STREAM_CLOSE_ABORT);
		return false;
	}
	n = AP_MAX(n, 0);
	if ((size_t)n < size) {
		char *rest = ap_strndup(bytes + n, size - (size_t)n);

		ap_free(&w->kept);
		w->kept = rest;
		w->kept_size = size - (size_t)n;
	} else {
		ap_free(&w->kept);
	}
	return true;
}

static void
pull(struct work *w)
{
	struct ap_stream *s = &w->x->stream;

	while (w->kept == NULL && !w->ended) {
		char *buf = worker->scratch;
		ssize_t n = ap_stream_read(s, buf, 65536);

		if (n == AP_STREAM_AGAIN)
			break;
		if (n == AP_STREAM_ERROR) {
			work_done(w, AP_STREAM_CLOSE_ABORT);
			return;
		}
		if (n == AP_STREAM_EOF) {
			w->ended = true;
			break;
		}
		w->seen += (uint64_t)n;
		if (w->kind == ECHO && !push(w, buf, (size_t)n))
			return;
	}
	if (w->ended && w->kind == SINK) {
		sink_done(w);
		return;
	}
	if (w->ended && w->kept == NULL) {
		ap_stream_shutdown(s);
		work_done(w, AP_STREAM_CLOSE_CLEAN);
		return;
	}
	ap_stream_want(s, w->kept != NULL ? AP_STREAM_WRITABLE : AP_STREAM_READABLE);
}

static void
on_stream(struct ap_stream *s, unsigned events, void *arg)
{
	struct work *w = arg;

	(void)s;
	if (events & AP_STREAM_FAILED) {
		work_done(w, AP_STREAM_CLOSE_ABORT);
		return;
	}
	if (w->kind == BYTES) {
		send_bytes(w);
		return;
	}
	if ((events & AP_STREAM_WRITABLE) && w->kept != NULL && !push(w, w->kept, w->kept_size))
		return;
	pull(w);
}

static struct work *
work_new(struct ap_exchange *x)
{
	struct work *w = ap_new(struct work);

	w->x = x;
	ap_stream_set_callback(&x->stream, on_stream, w);
	return w;
}

static void
begin(struct ap_exchange *x, int status, int64_t length)
{
	struct ap_http_head head;

	ap_http_head_init(&head, x->arena);
	head.status = status;
	head.content_length = length;
	ap_exchange_respond(x, &head, false);
}

/* ---- proxy ---- */

static void
on_relayed(struct ap_relay *r, enum ap_relay_end end, void *arg)
{
	(void)r;
	work_done(arg, end == AP_RELAY_DONE ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT);
}

static const struct ap_relay_callbacks relay_callbacks = { .ended = on_relayed };

static void
bad_gateway(struct work *w, const char *why)
{
	ap_relay_free(&w->relay);
	if (!w->x->response_started) {
		ap_exchange_reply(w->x, 502, "text/plain", ap_slice_of(why));
		work_done(w, AP_STREAM_CLOSE_CLEAN);
	} else {
		work_done(w, AP_STREAM_CLOSE_ABORT);
	}
}

static void
on_response(struct ap_exchange *y, void *arg)
{
	struct work *w = arg;

	if (y->response.status == 0) {
		bad_gateway(w, ap_stream_error_name(y->stream.error));
		return;
	}
	if (y->response.content_length < 0)
		w->x->trailers_out = &y->trailers_in;
	ap_exchange_respond(w->x, &y->response, y->response.end && y->response.content_length < 0);
}

static void
on_got(struct ap_exchange *y, enum ap_stream_error why, int detail, void *arg)
{
	struct work *w = arg;

	(void)detail;
	w->wait = NULL;
	if (y == NULL) {
		bad_gateway(w, ap_stream_error_name(why));
		return;
	}
	w->y = y;
	if (w->x->request.content_length < 0)
		y->trailers_out = &w->x->trailers_in;
	w->relay = ap_relay_new(&w->x->stream, &y->stream, &relay_callbacks, w);
}

static void
on_waiting_client(struct ap_stream *s, unsigned events, void *arg)
{
	(void)s;
	if (events & AP_STREAM_FAILED)
		work_done(arg, AP_STREAM_CLOSE_ABORT);
}

static void
proxy(struct ap_exchange *x, struct ap_slice path)
{
	struct work *w = work_new(x);

	ap_stream_set_callback(&x->stream, on_waiting_client, w);
	w->head = x->request;
	w->head.path = path;
	w->wait = ap_http_pool_request(
	    pool, AP_S("upstream"), &upstream_dial, &w->head, x->request.end, on_got, on_response, w);
}

static struct ap_stream *
dial(struct ap_loop *loop, void *arg)
{
	(void)arg;
	return ap_tcp_connect(loop, &upstream, NULL);
}

/* ---- requests ---- */

static void
reply_head(struct ap_exchange *x)
{
	const struct ap_http_head *h = &x->request;
	struct ap_buf b;

	ap_buf_init(&b, 1 << 20);
	ap_buf_printf(&b, "%.*s %.*s\nauthority: %.*s\nscheme: %.*s\nlength: %lld\n", AP_FMT(h->method), AP_FMT(h->path),
	    AP_FMT(h->authority), AP_FMT(h->scheme), (long long)h->content_length);
	for (uint32_t i = 0; i < h->fields.count; i++)
		ap_buf_printf(&b, "%.*s: %.*s\n", AP_FMT(h->fields.items[i].name), AP_FMT(h->fields.items[i].value));
	ap_exchange_reply(x, 200, "text/plain", ap_buf_slice(&b));
	ap_buf_done(&b);
}

static bool
number_behind(struct ap_slice path, struct ap_slice prefix, uint64_t *out)
{
	return ap_slice_starts(path, prefix) &&
	    ap_text_to_u64(ap_slice_from(path, prefix.len), (uint64_t)1 << 50, out) == 0;
}

static void
echo(struct ap_exchange *x, int status)
{
	struct work *w = work_new(x);

	w->kind = ECHO;
	begin(x, status, -1);
	ap_stream_want(&x->stream, AP_STREAM_READABLE);
}

static void
bytes(struct ap_exchange *x, uint64_t n, bool chunks)
{
	struct work *w = work_new(x);

	w->kind = BYTES;
	w->left = n;
	begin(x, 200, chunks ? -1 : (int64_t)n);
	if (chunks) {
		ap_fields_init(&w->trailers, x->arena);
		(void)ap_fields_add(&w->trailers, AP_S("x-end"), AP_S("1"));
		x->trailers_out = ap_arena_alloc(x->arena, sizeof(*x->trailers_out));
		*x->trailers_out = w->trailers;
	}
	send_bytes(w);
}

static void
close_exchange(struct ap_exchange *x, enum ap_stream_close how)
{
	struct ap_stream *s = &x->stream;

	ap_stream_close(&s, how);
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct ap_slice path = x->request.path;
	struct work *w;
	uint64_t n;

	(void)arg;
	if (ap_slice_eq(x->request.method, AP_S("CONNECT")) && x->request.protocol.len == 0) {
		echo(x, 200);
	} else if (x->request.protocol.len > 0) {
		echo(x, x->version == AP_HTTP_2 ? 200 : 101);
	} else if (ap_slice_eq(path, AP_S("/echo"))) {
		echo(x, 200);
	} else if (ap_slice_eq(path, AP_S("/sink"))) {
		w = work_new(x);
		w->kind = SINK;
		ap_stream_want(&x->stream, AP_STREAM_READABLE);
	} else if (number_behind(path, AP_S("/bytes/"), &n)) {
		bytes(x, n, false);
	} else if (number_behind(path, AP_S("/chunks/"), &n)) {
		bytes(x, n, true);
	} else if (ap_slice_starts(path, AP_S("/proxy/")) && pool != NULL) {
		proxy(x, ap_slice_from(path, 6));
	} else if (ap_slice_eq(path, AP_S("/hold"))) {
		(void)work_new(x);
	} else {
		if (ap_slice_eq(path, AP_S("/drain")))
			ap_http_drain(x->conn);
		if (ap_slice_eq(path, AP_S("/head")))
			reply_head(x);
		else if (number_behind(path, AP_S("/status/"), &n) && n >= 200 && n < 600)
			ap_exchange_reply(x, (int)n, NULL, AP_SLICE_NONE);
		else if (ap_slice_eq(path, AP_S("/early")))
			ap_exchange_reply(x, 413, "text/plain", AP_S("too large\n"));
		else if (ap_slice_eq(path, AP_S("/abort")))
			begin(x, 200, 100);
		else if (ap_slice_eq(path, AP_S("/hello")) || ap_slice_eq(path, AP_S("/drain")))
			ap_exchange_reply(x, 200, "text/plain", AP_S("hello\n"));
		else
			ap_exchange_reply(x, 404, "text/plain", AP_S("not found\n"));
		close_exchange(x, ap_slice_eq(path, AP_S("/abort")) ? AP_STREAM_CLOSE_ABORT : AP_STREAM_CLOSE_CLEAN);
	}
}

static const struct ap_http_server_ops server_ops = { .request = on_request };
static const struct ap_http_settings settings = {
	.max_head_bytes = (size_t)16 * 1024,
	.stream_window = 1024 * 1024,
	.connection_window = 4 * 1024 * 1024,
	.head_timeout_ms = 1500,
	.idle_timeout_ms = 60000,
	.allow_connect = true,
	.allow_upgrade = true,
};

static void
on_accept(int fd, const struct ap_addr *peer, void *arg)
{
	struct ap_stream *s = ap_tcp_take(worker->loop, fd, peer);

	(void)arg;
	if (tls != NULL)
		s = ap_tls_server(s, tls, NULL, NULL);
	(void)ap_http_serve(s, version, &settings, &server_ops, NULL);
}

/* ---- start ---- */

static void
die(const char *text)
{
	fprintf(stderr, "http_echo: %s\n", text);
	exit(2);
}

static void
load_tls(const char *cert, const char *key)
{
	static const char *const alpn[] = { "h2", "http/1.1", NULL };
	struct ap_error err = { 0 };
	struct ap_buf c, k;
	struct ap_tls_settings set = { .alpn = alpn, .is_server = true };

	ap_buf_init(&c, 1 << 20);
	ap_buf_init(&k, 1 << 20);
	if (ap_file_read(cert, &c, &err) != 0 || ap_file_read(key, &k, &err) != 0)
		die(err.text);
	set.cert_chain_pem = ap_buf_slice(&c);
	set.key_pem = ap_buf_slice(&k);
	tls = ap_tls_new(&set, &err);
	if (tls == NULL)
		die(err.text);
	ap_buf_done(&c);
	ap_buf_done(&k);
}

static void
on_input(struct ap_io *io, unsigned events, void *arg)
{
	char buf[100];

	(void)events;
	(void)arg;
	if (read(io->fd, buf, sizeof(buf)) <= 0)
		ap_loop_stop(worker->loop);
}

int
main(int argc, char **argv)
{
	struct ap_listener_options options = { .backlog = 1024 };
	struct ap_http_pool_settings pool_settings = { .http = settings };
	struct ap_error err = { 0 };
	struct ap_addr at;
	struct ap_io input;

	(void)ap_addr_parse(AP_S("127.0.0.1:0"), &at);
	worker = ap_worker_adopt("echo");
	upstream_dial = (struct ap_http_dial){ .dial = dial, .version = AP_HTTP_1_1 };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--h1") == 0)
			version = AP_HTTP_1_1;
		else if (strcmp(argv[i], "--h2") == 0)
			version = AP_HTTP_2;
		else if (strcmp(argv[i], "--upstream-h2") == 0)
			upstream_dial.version = AP_HTTP_2;
		else if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc)
			load_tls(argv[i + 1], argv[i + 2]), i += 2;
		else if (strcmp(argv[i], "--listen") == 0 && ++i < argc && ap_addr_parse(ap_slice_of(argv[i]), &at) == 0)
			continue;
		else if (strcmp(argv[i], "--upstream") == 0 && ++i < argc &&
		    ap_addr_parse(ap_slice_of(argv[i]), &upstream) == 0)
			pool = ap_http_pool_new(worker->loop, &pool_settings);
		else
			die("usage: see the top of http_echo.c");
	}
	listener = ap_listener_new(worker->loop, &at, &options, on_accept, NULL, &err);
	if (listener == NULL)
		die(err.text);
	at = ap_listener_addr(listener);
	printf("port %u\n", ap_addr_port(&at));
	fflush(stdout);
	ap_io_init(&input, worker->loop, STDIN_FILENO, on_input, NULL);
	ap_io_want(&input, AP_IO_READ);
	ap_loop_run(worker->loop);
	ap_io_done(&input);
	ap_listener_free(&listener);
	ap_http_pool_free(&pool);
	ap_tls_unref(&tls);
	return 0;
}
