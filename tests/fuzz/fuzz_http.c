/*
 * fuzz_http.c -- whole connections fed with a stranger's bytes: HTTP/1 and HTTP/2, server and client, with handlers that
 * answer, echo, let go or hold.  The first byte chooses; the rest is what the peer sends, in pieces of a chosen size.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "../unit/http/pipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HELD_MAX 64

struct bed {
	struct ap_http_conn *conn;
	struct ap_exchange *held[HELD_MAX];
	unsigned held_count;
	unsigned how;
};

static void
forget(struct bed *b, struct ap_stream *s)
{
	for (unsigned i = 0; i < b->held_count; i++)
		if (&b->held[i]->stream == s) {
			b->held[i] = b->held[--b->held_count];
			return;
		}
}

static void
on_stream(struct ap_stream *s, unsigned events, void *arg)
{
	struct bed *b = arg;
	char buf[700];
	ssize_t n;

	if (events & AP_STREAM_FAILED) {
		forget(b, s);
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	if (!(events & AP_STREAM_READABLE))
		return;
	n = ap_stream_read(s, buf, sizeof(buf));
	if (n > 0 && (b->how & 1))
		(void)ap_stream_write(s, buf, (size_t)n);
	if (n == AP_STREAM_EOF || n == AP_STREAM_ERROR) {
		ap_stream_shutdown(s);
		forget(b, s);
		ap_stream_close(&s, n == AP_STREAM_EOF ? AP_STREAM_CLOSE_CLEAN : AP_STREAM_CLOSE_ABORT);
	}
}

static void
on_request(struct ap_exchange *x, void *arg)
{
	struct bed *b = arg;
	struct ap_stream *s = &x->stream;
	struct ap_http_head head;

	switch (b->how & 3) {
	case 0:
		ap_exchange_reply(x, 200, "text/plain", AP_S("hello"));
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		return;
	case 2:
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
		return;
	default:
		break;
	}
	if (b->held_count == HELD_MAX) {
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	b->held[b->held_count++] = x;
	ap_stream_set_callback(s, on_stream, b);
	if ((b->how & 3) == 3)
		return;
	ap_http_head_init(&head, x->arena);
	head.status = 200;
	(void)ap_fields_copy(&head.fields, &x->request.fields);
	ap_exchange_respond(x, &head, false);
	ap_stream_want(s, AP_STREAM_READABLE);
}

static void
on_response(struct ap_exchange *x, void *arg)
{
	struct bed *b = arg;
	struct ap_stream *s = &x->stream;

	if (x->response.status == 0) {
		forget(b, s);
		ap_stream_close(&s, AP_STREAM_CLOSE_ABORT);
		return;
	}
	ap_stream_want(s, AP_STREAM_READABLE);
}

static void
on_conn_closed(struct ap_http_conn *conn, void *arg)
{
	(void)conn;
	((struct bed *)arg)->conn = NULL;
}

static void
send_requests(struct bed *b)
{
	struct ap_arena *arena = ap_arena_new(4096);
	struct ap_http_head head;

	ap_http_head_init(&head, arena);
	head.method = (b->how & 2) ? AP_S("POST") : AP_S("GET");
	head.authority = AP_S("a");
	head.path = AP_S("/");
	for (int i = 0; i < 3; i++) {
		struct ap_exchange *x = ap_http_request(b->conn, &head, (b->how & 2) == 0, on_response, b);

		if (x == NULL)
			break;
		b->held[b->held_count++] = x;
		ap_stream_set_callback(&x->stream, on_stream, b);
	}
	ap_arena_free(&arena);
}

static void
drain_peer(struct pipe_end *peer)
{
	char buf[4096];

	while (pipe_read(&peer->s, buf, sizeof(buf)) > 0)
		;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ap_http_server_ops server_ops = { on_request, on_conn_closed };
	static const struct ap_http_client_ops client_ops = { NULL, NULL, on_conn_closed, NULL };
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	static const char settings[] = "\0\0\0\4\0\0\0\0"; /* nine bytes with its NUL */
	struct ap_http_settings set = { .max_head_bytes = 4096, .max_streams = 20, .allow_connect = true,
		.allow_upgrade = true };
	enum ap_http_version version;
	struct bed b = { 0 };
	struct pipe_end *ours, *peer;
	struct ap_loop *loop;
	struct ap_stream *s;
	size_t step;
	bool server;

	if (size < 1)
		return 0;
	version = (data[0] & 1) ? AP_HTTP_2 : AP_HTTP_1_1;
	server = (data[0] & 2) == 0;
	b.how = (data[0] >> 2) & 3;
	step = (data[0] & 0x20) ? 5 : (data[0] & 0x40) ? 100 : 100000;
	loop = ap_loop_new("fuzz");
	pipe_pair(loop, (size_t)1 << 20, (data[0] & 0x10) != 0, &ours, &peer);
	if (version == AP_HTTP_2) {
		if (server)
			ap_buf_add(&ours->in, preface, sizeof(preface) - 1);
		ap_buf_add(&ours->in, settings, 9);
	}
	if (server) {
		b.conn = ap_http_serve(&ours->s, version, &set, &server_ops, &b);
	} else {
		b.conn = ap_http_client(&ours->s, version, &set, &client_ops, &b);
		send_requests(&b);
	}
	ap_loop_turn(loop, 0);
	for (size_t at = 1; at < size && b.conn != NULL; at += step) {
		ap_buf_add(&ours->in, data + at, AP_MIN(step, size - at));
		pipe_kick(ours);
		ap_loop_turn(loop, 0);
		drain_peer(peer);
	}
	for (int i = 0; i < 6; i++) {
		ap_loop_turn(loop, 0);
		drain_peer(peer);
	}
	if (b.conn != NULL && (data[0] & 0x80))
		ap_http_close(b.conn);
	s = &peer->s;
	ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	for (int i = 0; i < 6; i++)
		ap_loop_turn(loop, 0);
	if (b.conn != NULL)
		ap_http_close(b.conn);
	ap_loop_turn(loop, 0);
	while (b.held_count > 0) {
		s = &b.held[--b.held_count]->stream;
		ap_stream_close(&s, AP_STREAM_CLOSE_CLEAN);
	}
	ap_loop_turn(loop, 0);
	ap_loop_turn(loop, 0);
	AP_CHECK(b.conn == NULL);
	ap_loop_free(&loop);
	return 0;
}
