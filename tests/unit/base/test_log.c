/* test_log.c -- levels, formats, escapes, limits. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../test.h"
#include "base/clock.h"
#include "base/log.h"

AP_LOG_MODULE(zt_test);

static int fd;
static char seen[8192];

/* What was written since the last call. */
static const char *
written(void)
{
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	n = read(fd, seen, sizeof(seen) - 1);
	seen[n < 0 ? 0 : n] = '\0';
	assert_int_equal(ftruncate(fd, 0), 0);
	lseek(fd, 0, SEEK_SET);
	return seen;
}

static int
set_up(void **state)
{
	(void)state;
	fd = memfd_create("log", MFD_CLOEXEC);
	ap_log_setup(AP_LOG_INFO, AP_LOG_TEXT, fd);
	return fd < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ap_log_setup(AP_LOG_INFO, AP_LOG_TEXT, STDERR_FILENO);
	ap_log_set_levels(AP_S("info"), NULL);
	return close(fd);
}

static void
a_line_has_time_level_module_and_prefix(void **state)
{
	struct ap_logctx parent = { .name = "ztunnel" }, ctx = { .parent = &parent, .name = "in 10.0.0.7:443" };

	(void)state;
	LOG_INFO(&ctx, "hello %s\n\x1b[1m\xff", "w\xc3\xb6rld");
	assert_int_equal(strlen(written()),
	    24 + 1 + 6 + strlen("zt_test ztunnel: in 10.0.0.7:443: hello w\xc3\xb6rld\\x0a\\x1b[1m?\n"));
	assert_string_equal(seen + 24, " INFO  zt_test ztunnel: in 10.0.0.7:443: hello w\xc3\xb6rld\\x0a\\x1b[1m?\n");
	assert_true(seen[10] == 'T' && seen[23] == 'Z');
	LOG_WARN(NULL, "%05000d", 1);
	assert_true(strlen(written()) < 4096);
	LOG_DEBUG(NULL, "unseen");
	assert_string_equal(written(), "");
}

static void
json_lines_are_json(void **state)
{
	struct ap_logctx ctx = { .name = "a \"b\"" };

	(void)state;
	ap_log_setup(AP_LOG_INFO, AP_LOG_JSON, fd);
	LOG_ERROR(&ctx, "x\ty");
	written();
	assert_non_null(strstr(
	    seen, "\"level\":\"error\",\"scope\":\"zt_test\",\"context\":\"a \\\"b\\\"\",\"message\":\"x\\ty\"}\n"));
	LOG_ERROR(NULL, "x");
	assert_null(strstr(written(), "context"));
}

static void
levels_are_set_by_module(void **state)
{
	struct ap_error err;

	(void)state;
	assert_int_equal(ap_log_set_levels(AP_S("error, zt_test:trace"), &err), 0);
	assert_true(ap_log_is_on(&ap_log_this, AP_LOG_TRACE));
	assert_int_equal(ap_log_set_levels(AP_S("zt_test:warn"), &err), 0);
	assert_false(ap_log_is_on(&ap_log_this, AP_LOG_INFO));
	assert_int_equal(ap_log_set_levels(AP_S("debug"), &err), 0); /* names the whole state: no exceptions stay */
	assert_true(ap_log_is_on(&ap_log_this, AP_LOG_DEBUG));
	assert_int_equal(ap_log_set_levels(AP_S("info,zt_test:loud"), &err), -EINVAL);
	assert_non_null(strstr(err.text, "zt_test:loud"));
	assert_int_equal(ap_log_set_levels(AP_S("zt test:info"), &err), -EINVAL);
	assert_int_equal(ap_log_set_levels(AP_S(""), &err), -EINVAL);
	assert_true(ap_log_is_on(&ap_log_this, AP_LOG_DEBUG));
}

static void
a_limit_counts_what_it_leaves_out(void **state)
{
	(void)state;
	ap_clock_freeze();
	for (int i = 0; i < 13; i++) {
		if (i == 12)
			ap_clock_advance(1001);
		LOG_WARN_LIMIT(NULL, 2, "n %d", i);
	}
	written();
	assert_non_null(strstr(seen, "n 1 (0 like it left out)"));
	assert_null(strstr(seen, "n 2 "));
	assert_non_null(strstr(seen, "n 12 (10 like it left out)"));
}

static void *
chatter(void *arg)
{
	for (int i = 0; i < 200; i++)
		LOG_DEBUG(NULL, "%s", (const char *)arg);
	return NULL;
}

static void
threads_may_log_while_levels_change(void **state)
{
	pthread_t threads[3];
	char text[] = "x";

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, chatter, text), 0);
	for (int i = 0; i < 50; i++)
		ap_log_set_levels(i % 2 == 0 ? AP_S("debug,zt_test:info") : AP_S("warn"), NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_time_level_module_and_prefix, set_up, tear_down),
		cmocka_unit_test_setup_teardown(json_lines_are_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(levels_are_set_by_module, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threads_may_log_while_levels_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_limit_counts_what_it_leaves_out, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
