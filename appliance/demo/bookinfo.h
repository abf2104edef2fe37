/*
 * bookinfo.h -- the lab's own small programs in the shape of Istio's Bookinfo: one binary that plays productpage, details,
 * reviews, ratings or the load by its first argument.  Same paths, JSON shapes, header forwarding, login cookie and version
 * switches as the original, so that Istio's sample resources do here what Istio documents.  Deliberately not built on our
 * own HTTP code but on libevent's: the programs at the ends of the mesh are strangers to it.
 */
#ifndef DEMO_BOOKINFO_H
#define DEMO_BOOKINFO_H
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>

struct demo {
	struct event_base *base;
	struct evhttp *http;
	const char *role;
	const char *version;    /* SERVICE_VERSION: v1 by default */
	const char *listen;     /* LISTEN_ADDRESS: 0.0.0.0 */
	int port;               /* second argument: 9080 */
};

/* Environment variable or fallback. */
const char *demo_env(const char *name, const char *fallback);
/* Answer with JSON. */
void demo_json(struct evhttp_request *req, int status, const char *body);
/* What Bookinfo passes on: tracing headers, end-user, user-agent, cookie, authorization. */
void demo_forward_headers(struct evhttp_request *from, struct evhttp_request *to);

/* A GET of another service. body is NULL when it failed; status is 0 then. NUL behind body. */
typedef void (*demo_answer_fn)(int status, const char *body, void *arg);
void demo_get(struct demo *d, const char *host, int port, const char *path, struct evhttp_request *forward_from,
    int timeout_ms, demo_answer_fn fn, void *arg);

/* Each registers its paths on d->http. */
void demo_productpage(struct demo *d);
void demo_details(struct demo *d);
void demo_reviews(struct demo *d);
void demo_ratings(struct demo *d);
/* Runs until stopped: RATE requests per second to TARGET. */
void demo_load(struct demo *d);

#endif
