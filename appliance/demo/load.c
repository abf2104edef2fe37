/* load.c -- a steady load: RATE requests a second to TARGET_HOST:TARGET_PORT TARGET_PATH; counts what came back, says it once a minute. */
#include <stdio.h>
#include <stdlib.h>

#include "bookinfo.h"

static struct {
	struct demo *demo;
	struct event *tick, *report;
	const char *host, *path;
	int port;
	unsigned open;
	unsigned long sent, fine, bad, failed;
} load;

#define OPEN_MAX 256U /* a slow mesh is not buried under its own load */
#define TIMEOUT_MS 15000

static void
on_answer(int status, const char *body, void *arg)
{
	(void)body;
	(void)arg;
	load.open--;
	if (status == 0)
		load.failed++;
	else if (status < 400)
		load.fine++;
	else
		load.bad++;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (load.open >= OPEN_MAX)
		return;
	load.open++;
	load.sent++;
	demo_get(load.demo, load.host, load.port, load.path, NULL, TIMEOUT_MS, on_answer, NULL);
}

static void
on_report(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	printf("sent=%lu fine=%lu bad=%lu failed=%lu open=%u\n", load.sent, load.fine, load.bad, load.failed, load.open);
	fflush(stdout);
}

void
demo_load(struct demo *d)
{
	int rate = atoi(demo_env("RATE", "10"));
	struct timeval every = { 0, rate > 0 && rate <= 1000 ? 1000000 / rate : 100000 };
	struct timeval minute = { 60, 0 };

	if (every.tv_usec == 1000000)
		every = (struct timeval){ 1, 0 };
	load.demo = d;
	load.host = demo_env("TARGET_HOST", "productpage");
	load.path = demo_env("TARGET_PATH", "/productpage");
	load.port = atoi(demo_env("TARGET_PORT", "9080"));
	load.tick = event_new(d->base, -1, EV_PERSIST, on_tick, NULL);
	load.report = event_new(d->base, -1, EV_PERSIST, on_report, NULL);
	event_add(load.tick, &every);
	event_add(load.report, &minute);
}
