/* test_access_log.c -- lines come out whole and in order, survive rotation, and are dropped rather than waited for. */
#include "../test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "mesh/access_log.h"

static void
lines_come_out_whole_and_in_order(void **state)
{
	char path[] = "/tmp/ambit-access-XXXXXX";
	int fd = mkstemp(path);
	struct ap_access_log *log = ap_access_log_open(path, NULL);
	struct ap_buf b;
	char line[64];

	(void)state;
	assert_true(fd >= 0);
	assert_non_null(log);
	for (int i = 0; i < 10000; i++) {
		int n = snprintf(line, sizeof(line), "line %d\n", i);

		assert_true(ap_access_log_write(log, ap_slice(line, (size_t)n)));
	}
	ap_access_log_close(&log);
	ap_buf_init(&b, (size_t)1 << 20);
	assert_int_equal(ap_file_read(path, &b, NULL), 0);
	for (int i = 0, at = 0; i < 10000; i++) {
		int n = snprintf(line, sizeof(line), "line %d\n", i);

		assert_memory_equal(b.ptr + at, line, (size_t)n);
		at += n;
	}
	ap_buf_done(&b);
	close(fd);
	unlink(path);
}

static void
a_writer_that_stands_still_drops_lines(void **state)
{
	char path[] = "/tmp/ambit-access-fifo-XXXXXX";
	static char line[65536];
	struct ap_access_log *log;
	bool dropped = false;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	log = ap_access_log_open(path, NULL);
	assert_non_null(log);
	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 1000 && !dropped; i++)
		dropped = !ap_access_log_write(log, ap_slice(line, sizeof(line)));
	assert_true(dropped);
	assert_true(ap_access_log_dropped(log) > 0);
	signal(SIGPIPE, SIG_IGN);
	close(fd); /* the writer's write fails, and it goes on */
	ap_access_log_close(&log);
	unlink(path);
}

static void
a_path_that_cannot_be_is_an_error(void **state)
{
	struct ap_error err = { 0 };

	(void)state;
	assert_null(ap_access_log_open("/nonexistent/x", &err));
	assert_true(err.text[0] != '\0');
	assert_false(ap_access_log_write(NULL, AP_S("x\n")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_out_whole_and_in_order),
		cmocka_unit_test(a_writer_that_stands_still_drops_lines),
		cmocka_unit_test(a_path_that_cannot_be_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
