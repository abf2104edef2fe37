/* test_store.c -- the store: revisions, history, compaction, and what survives a process that dies. */
#include "../test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "store/store.h"

struct fixture {
	char dir[64];
	char path[128];
	struct ap_store *store;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/ambit-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/store.db", f->dir);
	f->store = ap_store_open(f->path, NULL);
	assert_non_null(f->store);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	ap_store_close(&f->store);
	ap_dir_remove(f->dir, NULL);
	free(f);
	return 0;
}

static void
reopen(struct fixture *f)
{
	struct ap_error err = { 0 };

	ap_store_close(&f->store);
	f->store = ap_store_open(f->path, &err);
	if (f->store == NULL)
		fail_msg("%s", err.text);
}

static uint64_t
put(struct ap_store *s, const char *key, const char *value)
{
	struct ap_store_change c = { .key = ap_slice_of(key), .value = ap_slice_of(value) };
	uint64_t revision = 0;

	assert_int_equal(ap_store_apply(s, &c, 1, &revision, NULL), 0);
	return revision;
}

static int
print_row(const struct ap_store_row *row, void *arg)
{
	char *out = arg;

	snprintf(out + strlen(out), 400 - strlen(out), "%.*s=%.*s@%llu/%llu ", AP_FMT(row->key), AP_FMT(row->value),
	    (unsigned long long)row->revision, (unsigned long long)row->created);
	return 0;
}

static int
print_event(const struct ap_store_event *e, void *arg)
{
	char *out = arg;

	snprintf(out + strlen(out), 400 - strlen(out), "%llu%s%.*s=%.*s(%.*s) ", (unsigned long long)e->revision,
	    e->removed     ? "-"
		: e->created ? "+"
			     : "~",
	    AP_FMT(e->key), AP_FMT(e->value), AP_FMT(e->before));
	return 0;
}

static void
each_change_has_its_revision_and_survives(void **state)
{
	struct fixture *f = *state;
	char text[400] = "";

	assert_int_equal(put(f->store, "b", "1"), 1);
	assert_int_equal(put(f->store, "a", "2"), 2);
	assert_int_equal(put(f->store, "b", "3"), 3);
	reopen(f);
	assert_int_equal(ap_store_revision(f->store), 3);
	assert_int_equal(ap_store_each(f->store, print_row, text, NULL), 0);
	assert_string_equal(text, "a=2@2/2 b=3@3/1 ");
}

static void
changes_of_one_apply_are_made_together_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct ap_store_change both[] = { { .key = AP_S("a"), .value = AP_S("1") },
		{ .key = AP_S("nothing"), .remove = true } };
	struct ap_error err = { 0 };
	char text[400] = "";
	uint64_t first;

	assert_int_equal(ap_store_apply(f->store, both, 2, &first, &err), -ENOENT);
	assert_non_null(strstr(err.text, "nothing"));
	assert_int_equal(ap_store_revision(f->store), 0);
	ap_store_each(f->store, print_row, text, NULL);
	assert_string_equal(text, "");
	both[1] = (struct ap_store_change){ .key = AP_S("b"), .value = AP_S("2") };
	assert_int_equal(ap_store_apply(f->store, both, 2, &first, NULL), 0);
	assert_int_equal(first, 1);
	assert_int_equal(ap_store_revision(f->store), 2);
}

static void
history_tells_what_was_and_what_came_of_it(void **state)
{
	struct fixture *f = *state;
	struct ap_store_change gone = { .key = AP_S("a"), .remove = true };
	char text[400] = "";
	uint64_t first;

	put(f->store, "a", "1");
	put(f->store, "a", "2");
	put(f->store, "b", "3");
	assert_int_equal(ap_store_apply(f->store, &gone, 1, &first, NULL), 0);
	put(f->store, "a", "5");
	assert_int_equal(ap_store_events(f->store, 1, 100, print_event, text, NULL), 0);
	assert_string_equal(text, "2~a=2(1) 3+b=3() 4-a=2(2) 5+a=5() ");
	text[0] = '\0';
	assert_int_equal(ap_store_history(f->store, AP_S("a"), 2, print_event, text, NULL), 0);
	assert_string_equal(text, "5+a=5() 4-a=2(2) ");
}

static void
compaction_keeps_what_is_and_says_what_is_gone(void **state)
{
	struct fixture *f = *state;
	struct ap_error err = { 0 };
	char text[400] = "";

	for (int i = 0; i < 10; i++)
		put(f->store, "a", "x");
	assert_int_equal(ap_store_compact(f->store, 3, NULL), 0);
	reopen(f);
	assert_int_equal(ap_store_compacted(f->store), 7);
	assert_int_equal(ap_store_events(f->store, 6, 100, print_event, text, &err), -ESTALE);
	assert_int_equal(ap_store_events(f->store, 7, 100, print_event, text, NULL), 0);
	assert_string_equal(text, "8~a=x() 9~a=x(x) 10~a=x(x) ");
	text[0] = '\0';
	ap_store_each(f->store, print_row, text, NULL);
	assert_string_equal(text, "a=x@10/1 ");
	assert_int_equal(put(f->store, "b", "y"), 11);
}

static void
small_values_are_kept_beside(void **state)
{
	struct fixture *f = *state;
	struct ap_slice out;

	assert_false(ap_store_value_get(f->store, "vip", &out));
	assert_int_equal(ap_store_value_put(f->store, "vip", ap_slice("a\0b", 3), NULL), 0);
	assert_int_equal(ap_store_value_put(f->store, "vip", ap_slice("c\0d", 3), NULL), 0);
	reopen(f);
	assert_true(ap_store_value_get(f->store, "vip", &out));
	assert_int_equal(out.len, 3);
	assert_memory_equal(out.ptr, "c\0d", 3);
	assert_int_equal(ap_store_revision(f->store), 0);
}

static void
a_damaged_file_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ap_error err = { 0 };

	ap_store_close(&f->store);
	assert_int_equal(ap_file_write(f->path, AP_S("this is no database, and long enough to be looked at"), 0600, NULL), 0);
	f->store = ap_store_open(f->path, &err);
	assert_null(f->store);
	assert_int_equal(err.code, -EBADMSG);
	assert_non_null(strstr(err.text, f->path));
}

/* The child says after each commit how far it is; whatever it said must be there after it was killed. */
static void
nothing_acknowledged_is_lost_when_the_process_is_killed(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 5; round++) {
		uint64_t said = 0, seen;
		int fds[2], status;
		pid_t pid;

		ap_store_close(&f->store);
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			struct ap_store *s = ap_store_open(f->path, NULL);

			for (;;) {
				uint64_t revision = put(s, "k", "some value that is a little longer than nothing");

				if (write(fds[1], &revision, sizeof(revision)) != (ssize_t)sizeof(revision))
					_exit(0);
			}
		}
		close(fds[1]);
		for (int i = 0; i < 10 + round * 7; i++)
			assert_int_equal(read(fds[0], &said, sizeof(said)), sizeof(said));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		while (read(fds[0], &seen, sizeof(seen)) == (ssize_t)sizeof(seen))
			said = seen;
		close(fds[0]);
		reopen(f);
		assert_true(ap_store_revision(f->store) >= said);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_change_has_its_revision_and_survives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_of_one_apply_are_made_together_or_not_at_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(history_tells_what_was_and_what_came_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(compaction_keeps_what_is_and_says_what_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(small_values_are_kept_beside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_acknowledged_is_lost_when_the_process_is_killed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
