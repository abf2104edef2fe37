/* lab_plan.c -- what is in the lab: a table. One VM carries three services, told apart by user and by cgroup. */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "lab/lab.h"

static const char *const run_productpage[] = { "@bookinfo", "productpage", "9080", NULL };
static const char *const run_details[] = { "@bookinfo", "details", "9081", NULL };
static const char *const run_ratings[] = { "@bookinfo", "ratings", "9082", NULL };
static const char *const run_reviews[] = { "@bookinfo", "reviews", "9080", NULL };
static const char *const run_load[] = { "@bookinfo", "load", NULL };
static const char *const run_redis[] = { "/usr/bin/redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no",
	"--save", "", "--appendonly", "no", NULL };

static const char *const env_v1[] = { "SERVICE_VERSION=v1", NULL };
static const char *const env_v2[] = { "SERVICE_VERSION=v2", NULL };
static const char *const env_v3[] = { "SERVICE_VERSION=v3", NULL };
static const char *const env_ratings[] = { "SERVICE_VERSION=v1", "REDIS_HOST=redis", NULL };
static const char *const env_load[] = { "RATE=10", NULL };

static const struct lab_vm vms[] = {
	{ .name = "web",
	    .number = 11,
	    .programs = { { .workload = "productpage-v1", .service_account = "bookinfo-productpage", .app = "productpage",
		.version = "v1", .command = run_productpage, .env = env_v1, .port_name = "http", .port = 9080, .uid = 20001 } } },
	{ .name = "books",
	    .number = 12,
	    .programs = { { .workload = "details-v1", .service_account = "bookinfo-details", .app = "details", .version = "v1",
			      .command = run_details, .env = env_v1, .port_name = "http", .port = 9081, .uid = 20002 },
		{ .workload = "ratings-v1", .service_account = "bookinfo-ratings", .app = "ratings", .version = "v1",
		    .command = run_ratings, .env = env_ratings, .port_name = "http", .port = 9082, .select = LAB_BY_CGROUP,
		    .uid = 20003 },
		{ .workload = "redis-v1", .service_account = "bookinfo-redis", .app = "redis", .version = "v1",
		    .command = run_redis, .port_name = "tcp-redis", .port = 6379, .uid = 20004 } } },
	{ .name = "reviews-1",
	    .number = 21,
	    .programs = { { .workload = "reviews-v1", .service_account = "bookinfo-reviews", .app = "reviews", .version = "v1",
		.command = run_reviews, .env = env_v1, .port_name = "http", .port = 9080, .uid = 20005 } } },
	{ .name = "reviews-2",
	    .number = 22,
	    .programs = { { .workload = "reviews-v2", .service_account = "bookinfo-reviews", .app = "reviews", .version = "v2",
		.command = run_reviews, .env = env_v2, .port_name = "http", .port = 9080, .uid = 20005 } } },
	{ .name = "reviews-3",
	    .number = 23,
	    .programs = { { .workload = "reviews-v3", .service_account = "bookinfo-reviews", .app = "reviews", .version = "v3",
		.command = run_reviews, .env = env_v3, .port_name = "http", .port = 9080, .uid = 20005 } } },
	{ .name = "client",
	    .number = 31,
	    .programs = { { .workload = "load-v1", .service_account = "bookinfo-load", .app = "load", .version = "v1",
			      .command = run_load, .env = env_load, .uid = 20006 },
		{ .workload = "shell", .service_account = "bookinfo-shell", .app = "shell", .version = "v1", .uid = 20007,
		    .is_shell = true } } },
};

const struct lab_vm *
lab_vms(size_t *out_count)
{
	*out_count = AP_COUNTOF(vms);
	return vms;
}

const struct lab_vm *
lab_find_vm(const char *name)
{
	for (size_t i = 0; i < AP_COUNTOF(vms); i++) {
		if (strcmp(vms[i].name, name) == 0)
			return &vms[i];
	}
	return NULL;
}

void
lab_address(const struct lab *lab, unsigned number, char *out, size_t size)
{
	snprintf(out, size, "%s.%u", lab->net, number);
}
