/*
 * ratings.c -- GET and POST /ratings/ID: stars per reviewer, kept in a Redis server when REDIS_HOST is given, so that the lab has
 * a real database behind a service; in memory otherwise.
 */
#include <event2/buffer.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bookinfo.h"

#define FIRST 5
#define SECOND 4

static struct {
	struct demo *demo;
	redisAsyncContext *redis;
	int first, second; /* without Redis */
} ratings = { .first = FIRST, .second = SECOND };

static void
reply_stars(struct evhttp_request *req, long id, long first, long second)
{
	char body[160];

	snprintf(body, sizeof(body), "{\"id\":%ld,\"ratings\":{\"Reviewer1\":%ld,\"Reviewer2\":%ld}}", id, first, second);
	demo_json(req, 200, body);
}

static void
on_health(struct evhttp_request *req, void *arg)
{
	(void)arg;
	demo_json(req, 200, "{\"status\":\"Ratings is healthy\"}");
}

static void
on_disconnect(const redisAsyncContext *c, int status)
{
	(void)status;
	if (ratings.redis == c)
		ratings.redis = NULL;
}

static void
on_connect(const redisAsyncContext *c, int status)
{
	if (status != REDIS_OK && ratings.redis == c)
		ratings.redis = NULL;
}

static redisAsyncContext *
connect_redis(void)
{
	const char *host = demo_env("REDIS_HOST", "");

	if (ratings.redis == NULL && *host != '\0') {
		redisAsyncContext *c = redisAsyncConnect(host, atoi(demo_env("REDIS_PORT", "6379")));

		if (c == NULL || c->err != 0) {
			if (c != NULL)
				redisAsyncFree(c);
			return NULL;
		}
		ratings.redis = c;
		redisLibeventAttach(c, ratings.demo->base);
		redisAsyncSetDisconnectCallback(c, on_disconnect);
		redisAsyncSetConnectCallback(c, on_connect);
	}
	return ratings.redis;
}

struct asked {
	struct evhttp_request *req;
	long id;
};

static void
on_redis(redisAsyncContext *c, void *reply, void *arg)
{
	struct asked *asked = arg;
	const redisReply *r = reply;

	(void)c;
	if (r == NULL || r->type == REDIS_REPLY_ERROR)
		demo_json(asked->req, 503, "{\"error\":\"could not connect to ratings database\"}");
	else if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[0]->type == REDIS_REPLY_STRING &&
	    r->element[1]->type == REDIS_REPLY_STRING)
		reply_stars(asked->req, asked->id, atol(r->element[0]->str), atol(r->element[1]->str));
	else
		reply_stars(asked->req, asked->id, FIRST, SECOND); /* nobody has rated this one yet */
	free(asked);
}

static void
store(struct evhttp_request *req, long id)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	char body[512] = "";
	const char *first, *second;
	long one = FIRST, two = SECOND;

	evbuffer_copyout(in, body, sizeof(body) - 1);
	first = strstr(body, "\"Reviewer1\":");
	second = strstr(body, "\"Reviewer2\":");
	if (first == NULL || second == NULL) {
		demo_json(req, 400, "{\"error\":\"please provide valid ratings JSON\"}");
		return;
	}
	one = strtol(first + 12, NULL, 10);
	two = strtol(second + 12, NULL, 10);
	if (connect_redis() != NULL)
		redisAsyncCommand(ratings.redis, NULL, NULL, "HSET ratings:%ld Reviewer1 %ld Reviewer2 %ld", id, one, two);
	ratings.first = (int)one;
	ratings.second = (int)two;
	reply_stars(req, id, one, two);
}

static void
on_ratings(struct evhttp_request *req, void *arg)
{
	static const char prefix[] = "/ratings/";
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	struct asked *asked;
	char *end;
	long id;

	(void)arg;
	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
		demo_json(req, 404, "{\"error\":\"not found\"}");
		return;
	}
	id = strtol(path + sizeof(prefix) - 1, &end, 10);
	if (*end != '\0' || end == path + sizeof(prefix) - 1) {
		demo_json(req, 400, "{\"error\":\"please provide numeric product ID\"}");
		return;
	}
	if (evhttp_request_get_command(req) == EVHTTP_REQ_POST) {
		store(req, id);
		return;
	}
	if (*demo_env("REDIS_HOST", "") == '\0') {
		reply_stars(req, id, ratings.first, ratings.second);
		return;
	}
	asked = calloc(1, sizeof(*asked));
	asked->req = req;
	asked->id = id;
	if (connect_redis() == NULL ||
	    redisAsyncCommand(ratings.redis, on_redis, asked, "HMGET ratings:%ld Reviewer1 Reviewer2", id) != REDIS_OK) {
		free(asked);
		demo_json(req, 503, "{\"error\":\"could not connect to ratings database\"}");
	}
}

void
demo_ratings(struct demo *d)
{
	ratings.demo = d;
	evhttp_set_cb(d->http, "/health", on_health, d);
	evhttp_set_gencb(d->http, on_ratings, d);
}
