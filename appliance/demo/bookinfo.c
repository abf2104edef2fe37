/* bookinfo.c -- what the demo's roles share: start-up, answers, calls to other services. */
#include "bookinfo.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 9080
#define BODY_MAX (1024 * 1024)

static const char *const forwarded[] = { "x-request-id", "traceparent", "tracestate", "x-b3-traceid", "x-b3-spanid",
	"x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "b3", "x-ot-span-context", "x-cloud-trace-context",
	"grpc-trace-bin", "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "sw8", "end-user",
	"user-agent", "cookie", "authorization", "jwt", NULL };

static const struct {
	const char *name;
	void (*start)(struct demo *d);
} roles[] = {
	{ "productpage", demo_productpage },
	{ "details", demo_details },
	{ "reviews", demo_reviews },
	{ "ratings", demo_ratings },
	{ "load", demo_load },
};

const char *
demo_env(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : fallback;
}

void
demo_json(struct evhttp_request *req, int status, const char *body)
{
	struct evbuffer *out = evbuffer_new();

	evbuffer_add(out, body, strlen(body));
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
	evhttp_send_reply(req, status, NULL, out);
	evbuffer_free(out);
}

void
demo_forward_headers(struct evhttp_request *from, struct evhttp_request *to)
{
	for (const char *const *name = forwarded; *name != NULL; name++) {
		const char *value = evhttp_find_header(evhttp_request_get_input_headers(from), *name);

		/* end-user is ours to set from the login cookie; see productpage.c. */
		if (value != NULL && evhttp_find_header(evhttp_request_get_output_headers(to), *name) == NULL)
			evhttp_add_header(evhttp_request_get_output_headers(to), *name, value);
	}
}

struct call {
	demo_answer_fn fn;
	void *arg;
	struct evhttp_connection *conn;
	struct event *end; /* frees the connection outside of its own callback */
	int status;
	char *body;
};

static void
end_call(evutil_socket_t fd, short what, void *arg)
{
	struct call *call = arg;

	(void)fd;
	(void)what;
	evhttp_connection_free(call->conn);
	event_free(call->end);
	call->fn(call->status, call->body, call->arg);
	free(call->body);
	free(call);
}

static void
on_answer(struct evhttp_request *req, void *arg)
{
	struct call *call = arg;

	if (req != NULL && evhttp_request_get_response_code(req) != 0) {
		struct evbuffer *in = evhttp_request_get_input_buffer(req);
		size_t len = evbuffer_get_length(in);

		call->status = evhttp_request_get_response_code(req);
		call->body = calloc(1, len + 1);
		if (call->body != NULL)
			evbuffer_remove(in, call->body, len);
	}
	event_active(call->end, EV_TIMEOUT, 1);
}

void
demo_get(struct demo *d, const char *host, int port, const char *path, struct evhttp_request *forward_from, int timeout_ms,
    demo_answer_fn fn, void *arg)
{
	struct call *call = calloc(1, sizeof(*call));
	struct evhttp_request *req = evhttp_request_new(on_answer, call);
	struct timeval limit = { timeout_ms / 1000, (timeout_ms % 1000) * 1000 };
	char authority[300];

	snprintf(authority, sizeof(authority), "%s:%d", host, port);
	call->fn = fn;
	call->arg = arg;
	call->end = event_new(d->base, -1, 0, end_call, call);
	call->conn = evhttp_connection_base_new(d->base, NULL, host, (unsigned short)port);
	evhttp_connection_set_timeout_tv(call->conn, &limit);
	evhttp_connection_set_retries(call->conn, 0);
	evhttp_connection_set_max_body_size(call->conn, BODY_MAX);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Host", authority);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
	if (forward_from != NULL)
		demo_forward_headers(forward_from, req);
	if (evhttp_make_request(call->conn, req, EVHTTP_REQ_GET, path) != 0)
		event_active(call->end, EV_TIMEOUT, 1);
}

static void
on_term(evutil_socket_t signo, short what, void *arg)
{
	struct demo *d = arg;

	(void)signo;
	(void)what;
	event_base_loopbreak(d->base);
}

static int
usage(void)
{
	fputs("Usage: ambit-bookinfo productpage|details|reviews|ratings|load [PORT]\n", stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	struct demo d = { .port = argc > 2 ? atoi(argv[2]) : DEFAULT_PORT };
	struct event *term;
	size_t i = 0;

	while (argc > 1 && i < sizeof(roles) / sizeof(roles[0]) && strcmp(argv[1], roles[i].name) != 0)
		i++;
	if (argc < 2 || argc > 3 || i == sizeof(roles) / sizeof(roles[0]) || d.port < 1 || d.port > 65535)
		return usage();
	signal(SIGPIPE, SIG_IGN);
	d.role = roles[i].name;
	d.version = demo_env("SERVICE_VERSION", "v1");
	d.listen = demo_env("LISTEN_ADDRESS", "0.0.0.0");
	d.base = event_base_new();
	term = evsignal_new(d.base, SIGTERM, on_term, &d);
	evsignal_add(term, NULL);
	if (roles[i].start != demo_load) {
		d.http = evhttp_new(d.base);
		evhttp_set_max_body_size(d.http, BODY_MAX);
		if (evhttp_bind_socket(d.http, d.listen, (unsigned short)d.port) != 0) {
			fprintf(stderr, "ambit-bookinfo %s: cannot listen on %s:%d; is the port free?\n", d.role, d.listen, d.port);
			return 1;
		}
	}
	roles[i].start(&d);
	event_base_dispatch(d.base);
	event_free(term);
	if (d.http != NULL)
		evhttp_free(d.http);
	event_base_free(d.base);
	return 0;
}
