/*
 * test_role.c -- a role for the tests of the module host; built several times under different names (TEST_NAME, TEST_NEEDS,
 * TEST_OFFERS, TEST_BUILD, TEST_ABI).  It writes each call of its life to the file that spec.<section>.trace names.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "model/appliance.h"
#include "model/schema.h"
#include "role/host.h"
#include "role/role.h"

#ifndef TEST_BUILD
#define TEST_BUILD AP_BUILD_ID
#endif
#ifndef TEST_ABI
#define TEST_ABI ROLE_ABI
#endif

static const char *const needs[] = {
#ifdef TEST_NEEDS
	TEST_NEEDS,
#endif
	NULL
};
static const char *const offers[] = {
#ifdef TEST_OFFERS
	TEST_OFFERS,
#endif
	NULL
};

static const struct ap_field_row rows[] = {
	{ .name = "trace", .type = AP_T_STRING, .doc = "File to which each call is written." },
	{ .name = "refuse", .type = AP_T_BOOL, .preset = "false", .doc = "Refuse this configuration in prepare." },
	{ .name = "slow", .type = AP_T_BOOL, .preset = "false", .doc = "Never be idle." },
	{ .name = NULL },
};
static const struct ap_schema schema = { .name = "spec." TEST_NAME, .doc = "Test role.", .rows = rows };

struct role {
	struct ap_host *host;
	char trace[256];
	bool slow;
};

static const struct ap_doc *
section(struct ap_config *config)
{
	return ap_doc_get(ap_config_appliance(config)->spec, TEST_NAME);
}

static void
trace(const struct role *r, const char *what)
{
	int fd = open(r->trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd >= 0) {
		dprintf(fd, "%s %s\n", TEST_NAME, what);
		close(fd);
	}
}

static int
role_init(struct ap_host *host, void **self, struct ap_error *err)
{
	struct role *r = ap_new(struct role);
	struct ap_slice file = ap_doc_string(section(ap_host_config(host)), "trace", "/dev/null");

	(void)err;
	r->host = host;
	r->slow = ap_doc_bool(section(ap_host_config(host)), "slow", false);
	snprintf(r->trace, sizeof(r->trace), "%.*s", AP_FMT(file));
	trace(r, "init");
	*self = r;
	return 0;
}

static int
role_start(void *self, struct ap_error *err)
{
	(void)err;
	trace(self, "start");
	return 0;
}

static int
role_prepare(void *self, struct ap_config *next, void **plan, struct ap_error *err)
{
	*plan = NULL;
	trace(self, "prepare");
	if (ap_doc_bool(section(next), "refuse", false))
		return ap_error_set(err, -1, "the test role was told to refuse.");
	return 0;
}

static void
role_commit(void *self, void *plan)
{
	(void)plan;
	trace(self, "commit");
}

static void
role_abort(void *self, void *plan)
{
	(void)plan;
	trace(self, "abort");
}

static void
role_drain(void *self, uint64_t deadline_ms)
{
	(void)deadline_ms;
	trace(self, "drain");
}

static bool
role_idle(const void *self)
{
	return !((const struct role *)self)->slow;
}

static void
role_stop(void *self)
{
	trace(self, "stop");
}

static void
role_fini(void *self)
{
	struct role *r = self;

	trace(r, "fini");
	ap_free(&r);
}

AP_PUBLIC const struct ap_role ap_role = {
	.abi = TEST_ABI,
	.size = sizeof(struct ap_role),
	.build = TEST_BUILD,
	.name = TEST_NAME,
	.needs = needs,
	.offers = offers,
	.section = TEST_NAME,
	.schema = &schema,
	.init = role_init,
	.start = role_start,
	.prepare = role_prepare,
	.commit = role_commit,
	.abort = role_abort,
	.drain = role_drain,
	.idle = role_idle,
	.stop = role_stop,
	.fini = role_fini,
};
