/* test_file.c -- files and folders; errors and their places. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"
#include "base/file.h"
#include "base/mem.h"

static char folder[64];

static int
set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/ambit-test-XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void)state;
	return ap_dir_remove(folder, NULL);
}

static void
files_are_replaced_whole(void **state)
{
	char *path = ap_asprintf("%s/a/b/file", folder), *parent = ap_asprintf("%s/a/b", folder);
	struct ap_error err;
	struct ap_buf in;
	struct stat st;

	(void)state;
	ap_buf_init(&in, 5);
	assert_int_equal(ap_file_write(path, AP_S("x"), 0600, &err), -ENOENT);
	assert_int_equal(ap_dir_make(parent, 0700, &err), 0);
	assert_int_equal(ap_dir_make(parent, 0700, &err), 0);
	assert_int_equal(ap_file_write(path, AP_S("first"), 0644, &err), 0);
	assert_int_equal(ap_file_read(path, &in, &err), 0);
	assert_string_equal(in.ptr, "first");
	assert_int_equal(ap_file_write(path, AP_S("second"), 0600, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	ap_buf_clear(&in);
	assert_int_equal(ap_file_read(path, &in, &err), -EFBIG);
	assert_int_equal(ap_dir_make(path, 0700, &err), -ENOTDIR);
	assert_int_equal(ap_file_read("/nowhere/x", &in, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/x"));
	ap_buf_done(&in);
	ap_free(&path);
	ap_free(&parent);
}

static void
removing_a_folder_does_not_follow_links(void **state)
{
	char *kept = ap_asprintf("%s/kept", folder), *gone = ap_asprintf("%s/gone/deep", folder);
	char *link = ap_asprintf("%s/gone/link", folder), *file = ap_asprintf("%s/kept/file", folder);
	char *root = ap_asprintf("%s/gone", folder);

	(void)state;
	assert_int_equal(ap_dir_make(kept, 0700, NULL), 0);
	assert_int_equal(ap_dir_make(gone, 0700, NULL), 0);
	assert_int_equal(ap_file_write(file, AP_S("x"), 0600, NULL), 0);
	assert_int_equal(symlink(kept, link), 0);
	assert_int_equal(ap_dir_remove(root, NULL), 0);
	assert_int_equal(access(root, F_OK), -1);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(ap_dir_remove(root, NULL), 0);
	ap_free(&kept);
	ap_free(&gone);
	ap_free(&link);
	ap_free(&file);
	ap_free(&root);
}

static void
errors_say_where_and_gather_context(void **state)
{
	struct ap_place at = { .file = "mesh.yaml", .line = 4, .column = 7 };
	struct ap_errors errs = { 0 };
	struct ap_error err;
	char text[600];

	(void)state;
	assert_int_equal(ap_error_set_at(&err, -EINVAL, at, "bad %s", "port"), -EINVAL);
	assert_int_equal(ap_error_wrap(&err, "route %d", 3), -EINVAL);
	assert_string_equal(ap_error_format(&err, text, sizeof(text)), "mesh.yaml:4:7: route 3: bad port");
	assert_int_equal(ap_error_set(NULL, -EIO, "x"), -EIO);
	ap_error_set(&err, -EIO, "%0500d", 1);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	ap_error_wrap(&err, "%0300d", 1);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	for (int i = 0; i < 60; i++)
		ap_errors_add(&errs, -EINVAL, at, "%d", i);
	assert_int_equal(errs.count, AP_ERRORS_MAX);
	assert_int_equal(errs.total, 60);
	assert_string_equal(errs.items[49].text, "49");
	ap_errors_done(&errs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_replaced_whole),
		cmocka_unit_test(removing_a_folder_does_not_follow_links),
		cmocka_unit_test(errors_say_where_and_gather_context),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
