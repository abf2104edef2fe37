/* details.c -- GET /details/ID: facts of a book. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bookinfo.h"

static void
on_health(struct evhttp_request *req, void *arg)
{
	(void)arg;
	demo_json(req, 200, "{\"status\":\"Details is healthy\"}");
}

static void
on_details(struct evhttp_request *req, void *arg)
{
	static const char prefix[] = "/details/";
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	char body[400];
	char *end;
	long id;

	(void)arg;
	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
		demo_json(req, 404, "{\"error\":\"not found\"}");
		return;
	}
	id = strtol(path + sizeof(prefix) - 1, &end, 10);
	if (*end != '\0' || end == path + sizeof(prefix) - 1) {
		demo_json(req, 400, "{\"error\":\"please provide numeric product id\"}");
		return;
	}
	snprintf(body, sizeof(body),
	    "{\"id\":%ld,\"author\":\"William Shakespeare\",\"year\":1595,\"type\":\"paperback\",\"pages\":200,"
	    "\"publisher\":\"PublisherA\",\"language\":\"English\",\"ISBN-10\":\"1234567890\","
	    "\"ISBN-13\":\"123-1234567890\"}",
	    id);
	demo_json(req, 200, body);
}

void
demo_details(struct demo *d)
{
	evhttp_set_cb(d->http, "/health", on_health, d);
	evhttp_set_gencb(d->http, on_details, d);
}
