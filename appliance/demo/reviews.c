/* reviews.c -- GET /reviews/ID: two reviews; v2 and v3 ask ratings for stars, black and red, as Bookinfo's versions do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bookinfo.h"

/* As long as the original waits: v2 is patient, v3 is not, which is what Istio's delay fault shows. */
#define BLACK_TIMEOUT_MS 10000
#define RED_TIMEOUT_MS 2500

struct asked {
	struct demo *demo;
	struct evhttp_request *req;
	char id[32];
};

static const char *
star_color(const struct demo *d)
{
	const char *by_version = strcmp(d->version, "v3") == 0 ? "red" : "black";

	return demo_env("STAR_COLOR", by_version);
}

static bool
wants_ratings(const struct demo *d)
{
	return strcmp(demo_env("ENABLE_RATINGS", strcmp(d->version, "v1") == 0 ? "false" : "true"), "true") == 0;
}

static void
put_rating(char *out, size_t size, const char *color, long stars)
{
	if (color == NULL)
		out[0] = '\0';
	else if (stars < 0)
		snprintf(out, size, ",\"rating\":{\"error\":\"Ratings service is currently unavailable\"}");
	else
		snprintf(out, size, ",\"rating\":{\"stars\":%ld,\"color\":\"%s\"}", stars, color);
}

static void
reply(struct evhttp_request *req, const struct demo *d, const char *id, const char *color, long first, long second)
{
	char body[1200], one[120], two[120], host[64] = "";

	gethostname(host, sizeof(host) - 1);
	put_rating(one, sizeof(one), color, first);
	put_rating(two, sizeof(two), color, second);
	snprintf(body, sizeof(body),
	    "{\"id\":\"%s\",\"podname\":\"reviews-%s\",\"clustername\":\"%s\",\"reviews\":["
	    "{\"reviewer\":\"Reviewer1\",\"text\":\"Mistaken twins, quick wit, and not a dull page in it.\"%s},"
	    "{\"reviewer\":\"Reviewer2\",\"text\":\"Good fun on the stage; the plot is thinner than in the later plays.\"%s}]}",
	    id, d->version, demo_env("CLUSTER_NAME", "null"), one, two);
	demo_json(req, 200, body);
}

static long
stars_of(const char *body, const char *reviewer)
{
	const char *at = strstr(body, reviewer);

	at = at == NULL ? NULL : strchr(at, ':');
	return at == NULL ? -1 : strtol(at + 1, NULL, 10);
}

static void
on_ratings(int status, const char *body, void *arg)
{
	struct asked *asked = arg;
	long first = -1, second = -1;

	if (status == 200 && body != NULL) {
		first = stars_of(body, "\"Reviewer1\"");
		second = stars_of(body, "\"Reviewer2\"");
	}
	reply(asked->req, asked->demo, asked->id, star_color(asked->demo), first, second);
	free(asked);
}

static void
on_health(struct evhttp_request *req, void *arg)
{
	(void)arg;
	demo_json(req, 200, "{\"status\":\"Reviews is healthy\"}");
}

static void
on_reviews(struct evhttp_request *req, void *arg)
{
	static const char prefix[] = "/reviews/";
	struct demo *d = arg;
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	struct asked *asked;
	char ask[64];
	char *end;
	long id;

	id = strncmp(path, prefix, sizeof(prefix) - 1) == 0 ? strtol(path + sizeof(prefix) - 1, &end, 10) : -1;
	if (id < 0 || *end != '\0') {
		demo_json(req, 404, "{\"error\":\"not found\"}");
		return;
	}
	asked = calloc(1, sizeof(*asked));
	asked->demo = d;
	asked->req = req;
	snprintf(asked->id, sizeof(asked->id), "%ld", id);
	if (!wants_ratings(d)) {
		reply(req, d, asked->id, NULL, -1, -1);
		free(asked);
		return;
	}
	snprintf(ask, sizeof(ask), "/ratings/%ld", id);
	demo_get(d, demo_env("RATINGS_HOSTNAME", "ratings"), atoi(demo_env("RATINGS_SERVICE_PORT", "9080")), ask, req,
	    strcmp(star_color(d), "black") == 0 ? BLACK_TIMEOUT_MS : RED_TIMEOUT_MS, on_ratings, asked);
}

void
demo_reviews(struct demo *d)
{
	evhttp_set_cb(d->http, "/health", on_health, d);
	evhttp_set_gencb(d->http, on_reviews, d);
}
