/* test_feed.c -- updates reach every worker's table, and the disk brings them back. */
#include "../test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "event/worker.h"
#include "mesh/feed.h"
#include "mesh/xds_cache.h"
#include "wire.h"

#define MANY 3000

struct seat {
	struct ap_mesh_feed *feed;
	struct ap_mesh_view *view;
	unsigned changed;
	size_t workloads, services, policies;
};

static void
on_change(unsigned changed, void *arg)
{
	((struct seat *)arg)->changed |= changed;
}

static int
attach(struct ap_worker *w, void *arg)
{
	struct seat *s = arg;

	s->view = ap_mesh_feed_attach(s->feed, w, on_change, s);
	return 0;
}

static int
look(struct ap_worker *w, void *arg)
{
	struct seat *s = arg;

	(void)w;
	ap_mesh_counts(ap_mesh_view_table(s->view), &s->workloads, &s->services, &s->policies);
	return 0;
}

static int
detach(struct ap_worker *w, void *arg)
{
	(void)w;
	ap_mesh_view_free(&((struct seat *)arg)->view);
	return 0;
}

/* Until the worker's table holds so many workloads; a large update takes it several turns. */
static void
wait_for(struct ap_worker *w, struct seat *s, size_t workloads)
{
	int i;

	for (i = 0; i < 5000; i++) {
		assert_int_equal(ap_worker_run(w, look, s), 0);
		if (s->workloads == workloads)
			return;
	}
	fail_msg("%zu workloads, not %zu", s->workloads, workloads);
}

static void
apply(const struct ap_xds_subscription *to, struct ap_slice *bodies, size_t count, const char *removed, bool first)
{
	struct ap_xds_resource *list = ap_alloc_array(count, sizeof(*list));
	struct ap_slice name = ap_slice_of(removed);
	struct ap_xds_update update = { .type_url = to->type_url,
		.resources = list,
		.count = count,
		.removed = &name,
		.removed_count = removed == NULL ? 0 : 1,
		.first = first };
	struct ap_buf reject;
	char names[32];
	size_t i;

	for (i = 0; i < count; i++) {
		(void)snprintf(names, sizeof(names), "r%zu", i);
		list[i].name = ap_slice_of(ap_strdup(names));
		list[i].body = bodies[i];
	}
	ap_buf_init(&reject, 65536);
	to->apply(to->arg, &update, &reject);
	assert_int_equal(reject.len, 0);
	ap_buf_done(&reject);
	for (i = 0; i < count; i++)
		ap_mem_free((void *)(uintptr_t)list[i].name.ptr);
	ap_free(&list);
}

static struct ap_slice *
many(size_t count)
{
	struct ap_slice *bodies = ap_alloc_array(count, sizeof(*bodies));
	char uid[32], ip[32];
	size_t i;

	for (i = 0; i < count; i++) {
		(void)snprintf(uid, sizeof(uid), "w%zu", i);
		(void)snprintf(ip, sizeof(ip), "10.%zu.%zu.1", i / 250, i % 250);
		bodies[i] = wire_workload(&(struct wire_workload){ .uid = uid, .ns = "x", .ip = ip });
	}
	return bodies;
}

static void
free_bodies(struct ap_slice *bodies, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		ap_mem_free((void *)(uintptr_t)bodies[i].ptr);
	ap_free(&bodies);
}

static void
every_worker_follows_the_difference(void **state)
{
	struct ap_mesh_feed *feed = ap_mesh_feed_new();
	struct ap_xds_subscription subs[AP_MESH_FEED_SUBSCRIPTIONS];
	struct seat seats[2] = { { .feed = feed }, { .feed = feed } };
	struct ap_slice *bodies = many(MANY);
	struct ap_worker *workers[2];
	struct ap_error err;
	int i;

	(void)state;
	ap_mesh_feed_subscriptions(feed, subs);
	for (i = 0; i < 2; i++) {
		workers[i] = ap_worker_start("w", (unsigned)i, &err);
		assert_non_null(workers[i]);
	}
	assert_int_equal(ap_worker_run(workers[0], attach, &seats[0]), 0);
	apply(&subs[1], bodies, MANY, NULL, true);
	/* One that comes late gets what there is. */
	assert_int_equal(ap_worker_run(workers[1], attach, &seats[1]), 0);
	apply(&subs[1], bodies, 1, "w7", false);
	for (i = 0; i < 2; i++)
		wait_for(workers[i], &seats[i], MANY - 1);
	assert_true((seats[0].changed & AP_MESH_CHANGED_WORKLOADS) != 0);
	/* A first answer of another life: what it does not name is gone. */
	apply(&subs[1], bodies, 10, NULL, true);
	for (i = 0; i < 2; i++)
		wait_for(workers[i], &seats[i], 10);
	for (i = 0; i < 2; i++) {
		assert_int_equal(ap_worker_run(workers[i], detach, &seats[i]), 0);
		ap_worker_stop(&workers[i]);
	}
	free_bodies(bodies, MANY);
	ap_mesh_feed_free(&feed);
}

/* A fresh feed behind a cache in the folder; how many workloads it begins with. */
static size_t
reborn(const char *folder, struct ap_mesh_feed **feed, struct ap_xds_cache **cache, struct ap_xds_subscription *sub,
    bool *found)
{
	struct ap_xds_subscription subs[AP_MESH_FEED_SUBSCRIPTIONS];
	size_t workloads, services, policies;

	*feed = ap_mesh_feed_new();
	ap_mesh_feed_subscriptions(*feed, subs);
	*sub = subs[1];
	*cache = ap_xds_cache_new(ap_slice_of(folder));
	*found = ap_xds_cache_add(*cache, sub, "address");
	ap_mesh_counts(ap_mesh_feed_table(*feed), &workloads, &services, &policies);
	return workloads;
}

static void
the_disk_brings_back_the_last_state(void **state)
{
	char folder[] = "/tmp/ambit-test-XXXXXX", path[100];
	struct ap_xds_subscription sub;
	struct ap_xds_cache *cache;
	struct ap_mesh_feed *feed;
	struct ap_slice *bodies = many(20);
	struct ap_error err;
	struct stat st;
	bool found;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/address.xds", folder);
	assert_int_equal(reborn(folder, &feed, &cache, &sub, &found), 0);
	assert_false(found);
	apply(&sub, bodies, 20, NULL, true);
	ap_xds_cache_free(&cache);
	ap_mesh_feed_free(&feed);

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(reborn(folder, &feed, &cache, &sub, &found), 20);
	assert_true(found);
	/* The names of the wire are the journal's: r3 goes, whatever it held. */
	{
		struct ap_slice gone = AP_S("r3");
		struct ap_xds_update update = { .type_url = sub.type_url, .removed = &gone, .removed_count = 1 };
		struct ap_xds_update first = { .type_url = sub.type_url, .first = true };
		struct ap_xds_resource one = { .name = AP_S("r0"), .body = bodies[0] };
		struct ap_buf reject;

		ap_buf_init(&reject, 1000);
		first.resources = &one;
		first.count = 1;
		sub.apply(sub.arg, &first, &reject);
		one.name = AP_S("r1");
		one.body = bodies[1];
		first.first = false;
		sub.apply(sub.arg, &first, &reject);
		sub.apply(sub.arg, &update, &reject);
		ap_buf_done(&reject);
	}
	ap_xds_cache_free(&cache);
	ap_mesh_feed_free(&feed);
	assert_int_equal(reborn(folder, &feed, &cache, &sub, &found), 2);
	ap_xds_cache_free(&cache);
	ap_mesh_feed_free(&feed);

	/* A crash cut the last record off: the rest counts. Then rubbish: nothing does. */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 20), 0);
	assert_int_equal(reborn(folder, &feed, &cache, &sub, &found), 1);
	ap_xds_cache_free(&cache);
	ap_mesh_feed_free(&feed);
	assert_int_equal(ap_file_write(path, AP_S("rubbish"), 0600, &err), 0);
	assert_int_equal(reborn(folder, &feed, &cache, &sub, &found), 0);
	assert_false(found);
	ap_xds_cache_free(&cache);
	ap_mesh_feed_free(&feed);
	free_bodies(bodies, 20);
	assert_int_equal(ap_dir_remove(folder, &err), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_worker_follows_the_difference),
		cmocka_unit_test(the_disk_brings_back_the_last_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
