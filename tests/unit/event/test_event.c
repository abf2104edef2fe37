/* test_event.c -- loops, mailboxes, workers, jobs and signals. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "event/jobs.h"
#include "event/loop.h"
#include "event/mailbox.h"
#include "event/signals.h"
#include "event/worker.h"

static char trail[64];

static void
mark(char c)
{
	size_t n = strlen(trail);

	if (n + 1 < sizeof(trail)) {
		trail[n] = c;
		trail[n + 1] = '\0';
	}
}

static void
task_fn(struct ap_task *t, void *arg)
{
	(void)t;
	mark(*(const char *)arg);
}

static void
free_fn(void *ptr)
{
	mark(*(const char *)ptr);
}

static void
timer_fn(struct ap_timer *t, void *arg)
{
	(void)t;
	mark(*(const char *)arg);
}

static void
tasks_scheduled_outside_callbacks_run_without_waiting(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_task a, b;
	char ca = 'a', cb = 'b', cf = 'f';
	uint64_t before = ap_clock_mono_ms();

	(void)state;
	trail[0] = '\0';
	ap_task_init(&a, task_fn, &ca);
	ap_task_init(&b, task_fn, &cb);
	ap_task_schedule(loop, &a);
	ap_task_schedule(loop, &a); /* once all the same */
	ap_defer_free(loop, &cf, free_fn);
	ap_task_schedule(loop, &b);
	ap_loop_turn(loop, 5000);
	assert_string_equal(trail, "abf");
	assert_true(ap_clock_mono_ms() - before < 2000);
	ap_task_schedule(loop, &a);
	ap_task_cancel(&a);
	ap_task_cancel(&a);
	ap_loop_turn(loop, 0);
	assert_string_equal(trail, "abf");
	assert_int_equal(ap_loop_turns(loop), 2);
	ap_loop_free(&loop);
	assert_null(loop);
}

struct chain {
	struct ap_loop *loop;
	struct ap_task first, second, next;
};

static void
chain_next(struct ap_task *t, void *arg)
{
	(void)t;
	(void)arg;
	mark('3');
}

static void
chain_second(struct ap_task *t, void *arg)
{
	(void)t;
	(void)arg;
	mark('2');
}

static void
chain_first(struct ap_task *t, void *arg)
{
	struct chain *c = arg;

	(void)t;
	mark('1');
	ap_task_schedule(c->loop, &c->second);
	ap_task_schedule_next(c->loop, &c->next);
}

static void
a_task_of_a_task_runs_in_the_same_end_and_a_next_one_in_the_next(void **state)
{
	struct chain c;

	(void)state;
	trail[0] = '\0';
	c.loop = ap_loop_new("test");
	ap_task_init(&c.first, chain_first, &c);
	ap_task_init(&c.second, chain_second, &c);
	ap_task_init(&c.next, chain_next, &c);
	ap_task_schedule(c.loop, &c.first);
	ap_loop_turn(c.loop, 1000);
	assert_string_equal(trail, "12");
	ap_loop_turn(c.loop, 60000); /* does not wait */
	assert_string_equal(trail, "123");
	ap_loop_free(&c.loop);
}

static void
timers_fire_once_in_order_and_stop(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_timer a, b, c;
	char ca = 'a', cb = 'b', cc = 'c';

	(void)state;
	trail[0] = '\0';
	ap_timer_init(&a, loop, timer_fn, &ca);
	ap_timer_init(&b, loop, timer_fn, &cb);
	ap_timer_init(&c, loop, timer_fn, &cc);
	ap_timer_start(&a, 30);
	ap_timer_start(&b, 5);
	ap_timer_start(&c, 10);
	ap_timer_stop(&c);
	ap_timer_stop(&c);
	ap_timer_start(&b, 6);
	for (int i = 0; i < 100 && strlen(trail) < 2; i++)
		ap_loop_turn(loop, 100);
	assert_string_equal(trail, "ba");
	assert_false(a.armed);
	ap_timer_start(&a, UINT64_MAX);
	ap_loop_turn(loop, 20);
	assert_string_equal(trail, "ba");
	ap_timer_stop(&a);
	ap_loop_free(&loop);
}

struct pipe_end {
	struct ap_io io;
	unsigned events, calls;
	bool read_it;
};

static void
io_fn(struct ap_io *io, unsigned events, void *arg)
{
	struct pipe_end *p = arg;
	char c;

	p->events |= events;
	p->calls++;
	if (p->read_it)
		assert_int_equal(read(io->fd, &c, 1), 1);
}

static void
events_are_level_triggered_and_follow_what_is_wanted(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct pipe_end p = { .read_it = false };
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ap_io_init(&p.io, loop, fds[0], io_fn, &p);
	assert_int_equal(write(fds[1], "xyz", 3), 3);
	ap_loop_turn(loop, 10);
	assert_int_equal(p.calls, 0); /* nothing wanted */
	ap_io_want(&p.io, AP_IO_READ);
	ap_loop_turn(loop, 1000);
	ap_loop_turn(loop, 1000);
	assert_int_equal(p.calls, 2);
	assert_int_equal(p.events, AP_IO_READ);
	ap_io_want(&p.io, 0);
	ap_loop_turn(loop, 10);
	ap_loop_turn(loop, 10);
	assert_int_equal(p.calls, 2);
	ap_io_want(&p.io, AP_IO_READ | AP_IO_WRITE);
	ap_loop_turn(loop, 1000);
	assert_int_equal(p.events, AP_IO_READ | AP_IO_WRITE);
	ap_io_want(&p.io, AP_IO_WRITE);
	p.events = 0;
	ap_loop_turn(loop, 1000);
	assert_int_equal(p.events, AP_IO_WRITE);
	ap_io_want(&p.io, AP_IO_READ);
	p.read_it = true;
	p.events = p.calls = 0;
	while (p.calls < 3)
		ap_loop_turn(loop, 1000);
	ap_loop_turn(loop, 10);
	assert_int_equal(p.calls, 3);
	ap_io_done(&p.io);
	ap_io_done(&p.io);
	ap_io_want(&p.io, AP_IO_READ);
	close(fds[0]);
	close(fds[1]);
	ap_loop_free(&loop);
}

struct parcel {
	struct ap_msg msg;
	unsigned sender, number;
	struct tally *tally;
};

struct tally {
	unsigned seen[2], total;
	bool in_order;
	struct ap_loop *loop;
};

static void
parcel_fn(struct ap_msg *msg)
{
	struct parcel *p = AP_CONTAINER_OF(msg, struct parcel, msg);
	struct tally *t = p->tally;

	if (p->number != t->seen[p->sender]++)
		t->in_order = false;
	if (++t->total == 2 * 5000)
		ap_loop_stop(t->loop);
	ap_free(&p);
}

struct sender {
	pthread_t thread;
	struct ap_mailbox *to;
	struct tally *tally;
	unsigned index;
};

static void *
send_many(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < 5000; i++) {
		struct parcel *p = ap_new(struct parcel);

		p->msg.fn = parcel_fn;
		p->sender = s->index;
		p->number = i;
		p->tally = s->tally;
		ap_mailbox_post(s->to, &p->msg);
	}
	return NULL;
}

static void
messages_of_two_senders_all_arrive_in_their_order(void **state)
{
	struct ap_worker *w = ap_worker_adopt("main");
	struct tally tally = { .in_order = true, .loop = w->loop };
	struct sender senders[2];

	(void)state;
	assert_ptr_equal(ap_worker_self(), w);
	for (unsigned i = 0; i < 2; i++) {
		senders[i] = (struct sender){ .to = w->mailbox, .tally = &tally, .index = i };
		assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
	}
	ap_loop_run(w->loop);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(senders[i].thread, NULL);
	assert_true(tally.in_order);
	assert_int_equal(tally.total, 10000);
	ap_worker_stop(&w);
	assert_null(ap_worker_self());
}

static int
errand(struct ap_worker *w, void *arg)
{
	int *called = arg;

	assert_ptr_equal(ap_worker_self(), w);
	assert_non_null(w->scratch);
	assert_non_null(w->shard);
	(*called)++;
	return -EPERM;
}

static void
count_up(void *arg)
{
	(*(int *)arg)++;
}

static void
a_worker_runs_errands_and_what_was_posted_before_it_stops(void **state)
{
	struct ap_error err = { 0 };
	struct ap_worker *w = ap_worker_start("w0", 3, &err);
	int called = 0, posted = 0;

	(void)state;
	assert_non_null(w);
	assert_int_equal(w->index, 3);
	assert_int_equal(ap_worker_run(w, errand, &called), -EPERM);
	assert_int_equal(called, 1);
	for (int i = 0; i < 10; i++)
		ap_mailbox_call(w->mailbox, count_up, &posted);
	ap_worker_stop(&w);
	assert_int_equal(posted, 10);
	assert_null(w);
	ap_worker_stop(&w);
}

struct sum_job {
	struct ap_job job;
	unsigned in, out, *left;
	struct ap_loop *loop;
	pthread_t home;
};

static void
sum_work(struct ap_job *job)
{
	struct sum_job *s = AP_CONTAINER_OF(job, struct sum_job, job);

	s->out = s->in * 2;
}

static void
sum_done(struct ap_job *job)
{
	struct sum_job *s = AP_CONTAINER_OF(job, struct sum_job, job);

	assert_true(pthread_equal(pthread_self(), s->home));
	assert_int_equal(s->out, s->in * 2);
	if (--*s->left == 0)
		ap_loop_stop(s->loop);
	ap_free(&s);
}

static void
submit_sums(struct ap_jobs *jobs, struct ap_worker *w, unsigned count, unsigned *left)
{
	for (unsigned i = 0; i < count; i++) {
		struct sum_job *s = ap_new(struct sum_job);

		s->job.work = sum_work;
		s->job.done = sum_done;
		s->job.reply = w->mailbox;
		s->in = i;
		s->left = left;
		s->loop = w->loop;
		s->home = pthread_self();
		ap_jobs_submit(jobs, &s->job);
	}
}

static void
jobs_run_elsewhere_and_are_answered_here(void **state)
{
	struct ap_worker *w = ap_worker_adopt("main");
	struct ap_jobs *jobs = ap_jobs_new(2);
	unsigned left = 100;

	(void)state;
	submit_sums(jobs, w, 100, &left);
	ap_loop_run(w->loop);
	assert_int_equal(left, 0);
	left = 10;
	submit_sums(jobs, w, 10, &left);
	ap_jobs_free(&jobs); /* finishes what is queued */
	ap_worker_stop(&w);  /* runs what was answered */
	assert_int_equal(left, 0);
}

static void
on_signal(int signo, void *arg)
{
	assert_int_equal(signo, SIGUSR1);
	ap_loop_stop(arg);
}

static void
a_signal_is_an_event(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_signal *s = ap_signal_watch(loop, SIGUSR1, on_signal, loop);

	(void)state;
	raise(SIGUSR1);
	ap_loop_run(loop);
	ap_signal_free(&s);
	ap_signal_free(&s);
	ap_loop_free(&loop);
}

static void
stop_before_run_is_kept(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");

	(void)state;
	ap_loop_stop(loop);
	ap_loop_run(loop);
	ap_loop_free(&loop);
	ap_loop_free(&loop);
}

static void
exit_fn(struct ap_loop_exit *e)
{
	(void)e;
	mark('x');
}

static void
the_loop_tells_when_it_is_freed(void **state)
{
	struct ap_loop *loop = ap_loop_new("test");
	struct ap_loop_exit a = { 0 }, b = { 0 };

	(void)state;
	trail[0] = '\0';
	ap_loop_exit_cancel(&a);
	ap_loop_at_exit(loop, &a, exit_fn);
	ap_loop_at_exit(loop, &b, exit_fn);
	ap_loop_exit_cancel(&b);
	ap_loop_free(&loop);
	assert_string_equal(trail, "x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tasks_scheduled_outside_callbacks_run_without_waiting),
		cmocka_unit_test(a_task_of_a_task_runs_in_the_same_end_and_a_next_one_in_the_next),
		cmocka_unit_test(timers_fire_once_in_order_and_stop),
		cmocka_unit_test(events_are_level_triggered_and_follow_what_is_wanted),
		cmocka_unit_test(messages_of_two_senders_all_arrive_in_their_order),
		cmocka_unit_test(a_worker_runs_errands_and_what_was_posted_before_it_stops),
		cmocka_unit_test(jobs_run_elsewhere_and_are_answered_here),
		cmocka_unit_test(a_signal_is_an_event),
		cmocka_unit_test(stop_before_run_is_kept),
		cmocka_unit_test(the_loop_tells_when_it_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
