/*
 * loop.c -- the turn.
 *
 * libevent's core waits and keeps the timers; the turn around it is ours, because two things must happen after every
 * callback of a turn has run and before the thread sleeps again: tasks (streams gather their writes until then) and
 * the frees that were put off.  A loop belongs to one thread and libevent is built here without locks, so nothing in
 * this file may be called from another one; mailbox.c is the door.
 *
 * Time is read twice a turn: by the first callback and at the end.  libevent 2.1 has no hook between its wait and the
 * callbacks, so each trampoline asks whether it is the first.
 */
#include "event/loop.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"

AP_LOG_MODULE(loop);

#define LOOP_MAGIC AP_MAGIC('L', 'O', 'O', 'P')
#define SLOW_TURN_NS ((uint64_t)50 * 1000 * 1000)
#define TIMER_MAX_MS ((uint64_t)365 * 24 * 3600 * 1000)

struct deferred {
	void *ptr;
	void (*free_fn)(void *ptr);
};

struct ap_loop {
	uint32_t magic;
	bool stopping;
	char name[24];
	struct event_base *base;
	struct event wake; /* bounds the wait of ap_loop_turn */
	struct ap_list tasks, later, exits;
	AP_VEC(struct deferred) deferred;
	uint64_t turn_start_ns; /* 0: no callback has run in this turn yet */
	uint64_t turns;
};

/* Called first in every callback that comes from libevent. */
static inline void
turn_begin(struct ap_loop *loop)
{
	if (loop->turn_start_ns == 0)
		loop->turn_start_ns = ap_clock_mono_ns();
}

static void
wake_fn(evutil_socket_t fd, short what, void *arg)
{
	struct ap_loop *loop = arg;

	(void)fd;
	(void)what;
	turn_begin(loop);
}

struct ap_loop *
ap_loop_new(const char *name)
{
	struct event_config *config = event_config_new();
	struct ap_loop *loop = ap_new(struct ap_loop);

	AP_CHECK(config != NULL);
	/* The change list folds several changes of one descriptor in a turn into one system call. It is wrong for
	 * descriptors that were dup()ed into each other, which we never watch. */
	AP_CHECK(event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	AP_CHECK(loop->base != NULL);
	loop->magic = LOOP_MAGIC;
	(void)strncpy(loop->name, name, sizeof(loop->name) - 1);
	ap_list_init(&loop->tasks);
	ap_list_init(&loop->later);
	ap_list_init(&loop->exits);
	AP_CHECK(event_assign(&loop->wake, loop->base, -1, 0, wake_fn, loop) == 0);
	return loop;
}

static void
run_tasks(struct ap_loop *loop)
{
	while (!ap_list_is_empty(&loop->tasks)) {
		struct ap_task *t = AP_LIST_ITEM(loop->tasks.next, struct ap_task, link);

		ap_list_remove(&t->link);
		t->fn(t, t->arg);
	}
}

/* A free function may put off another free; it gets its turn in the same sweep. */
static void
run_deferred(struct ap_loop *loop)
{
	for (size_t i = 0; i < loop->deferred.count; i++) {
		struct deferred d = loop->deferred.items[i];

		d.free_fn(d.ptr);
	}
	loop->deferred.count = 0;
	/* One storm must not hold its memory for ever. */
	if (loop->deferred.room > 4096)
		ap_vec_done(&loop->deferred);
}

static void
turn_end(struct ap_loop *loop)
{
	uint64_t took;

	run_tasks(loop);
	run_deferred(loop);
	loop->turns++;
	if (loop->turn_start_ns == 0)
		return;
	took = ap_clock_mono_ns() - loop->turn_start_ns;
	loop->turn_start_ns = 0;
	if (AP_UNLIKELY(took > SLOW_TURN_NS))
		LOG_WARN_LIMIT(NULL, 5, "%s: a turn took %llu ms; its connections waited that long", loop->name,
		    (unsigned long long)(took / 1000000));
}

void
ap_loop_free(struct ap_loop **loop)
{
	struct ap_loop *l = *loop;

	*loop = NULL;
	if (l == NULL)
		return;
	AP_IS(l, LOOP_MAGIC);
	while (!ap_list_is_empty(&l->exits)) {
		struct ap_loop_exit *e = AP_LIST_ITEM(l->exits.next, struct ap_loop_exit, link);

		ap_list_remove(&e->link);
		e->fn(e);
	}
	run_tasks(l);
	run_deferred(l);
	ap_vec_done(&l->deferred);
	/* Tasks put off to a turn that never comes belong to structs that may be freed later: let them find no list. */
	while (!ap_list_is_empty(&l->later))
		ap_list_remove(l->later.next);
	event_base_free(l->base);
	l->magic = 0;
	ap_free(&l);
}

static void
timeval_of(uint64_t ms, struct timeval *out)
{
	ms = AP_MIN(ms, TIMER_MAX_MS);
	out->tv_sec = (time_t)(ms / 1000);
	out->tv_usec = (suseconds_t)(ms % 1000 * 1000);
}

void
ap_loop_turn(struct ap_loop *loop, int timeout_ms)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	bool bounded = false;

	if (AP_UNLIKELY(!ap_list_is_empty(&loop->later))) {
		while (!ap_list_is_empty(&loop->later)) {
			struct ap_list *l = loop->later.next;

			ap_list_remove(l);
			ap_list_append(&loop->tasks, l);
		}
	}
	/* Work that waits for the end of this turn, from outside callbacks or put off by the last one. */
	if (timeout_ms == 0 || !ap_list_is_empty(&loop->tasks) || loop->deferred.count > 0) {
		flags |= EVLOOP_NONBLOCK;
	} else if (timeout_ms > 0) {
		struct timeval tv;

		timeval_of((uint64_t)timeout_ms, &tv);
		AP_CHECK(event_add(&loop->wake, &tv) == 0);
		bounded = true;
	}
	loop->turn_start_ns = 0;
	AP_CHECK(event_base_loop(loop->base, flags) >= 0);
	if (bounded)
		(void)event_del(&loop->wake);
	turn_end(loop);
}

void
ap_loop_run(struct ap_loop *loop)
{
	AP_IS(loop, LOOP_MAGIC);
	while (!loop->stopping)
		ap_loop_turn(loop, -1);
	loop->stopping = false;
}

void
ap_loop_stop(struct ap_loop *loop)
{
	/* The turn is finished first, with its tasks: what was written must not be lost. */
	loop->stopping = true;
}

struct event_base *
ap_loop_base(struct ap_loop *loop)
{
	return loop->base;
}

uint64_t
ap_loop_now_ms(struct ap_loop *loop)
{
	if (loop->turn_start_ns == 0)
		return ap_clock_mono_ms();
	return loop->turn_start_ns / 1000000;
}

uint64_t
ap_loop_turns(struct ap_loop *loop)
{
	return loop->turns;
}

/* Bring libevent's registration to `events`. */
static void
io_arm(struct ap_io *io, unsigned events)
{
	short what = EV_PERSIST;

	if (io->armed != 0)
		(void)event_del(&io->ev);
	io->armed = (uint8_t)events;
	if (events == 0)
		return;
	if ((events & AP_IO_READ) != 0)
		what |= EV_READ;
	if ((events & AP_IO_WRITE) != 0)
		what |= EV_WRITE;
	io->ev.ev_events = what; /* what event_assign would set; the event is not pending here */
	AP_CHECK(event_add(&io->ev, NULL) == 0);
}

static void
io_fn(evutil_socket_t fd, short what, void *arg)
{
	struct ap_io *io = arg;
	unsigned events = 0;

	(void)fd;
	turn_begin(io->loop);
	if ((what & EV_READ) != 0)
		events |= AP_IO_READ;
	if ((what & EV_WRITE) != 0)
		events |= AP_IO_WRITE;
	events &= io->want;
	if (AP_UNLIKELY(io->armed != io->want))
		io_arm(io, io->want);
	if (events != 0)
		io->fn(io, events, io->arg);
}

void
ap_io_init(
    struct ap_io *io, struct ap_loop *loop, int fd, void (*fn)(struct ap_io *io, unsigned events, void *arg), void *arg)
{
	memset(io, 0, sizeof(*io));
	io->loop = loop;
	io->fd = fd;
	io->fn = fn;
	io->arg = arg;
	AP_CHECK(event_assign(&io->ev, loop->base, fd, EV_PERSIST | EV_READ, io_fn, io) == 0);
}

/*
 * Interest in reading is dropped lazily: a reader that stops for back-pressure mostly goes on before more bytes arrive,
 * and then nothing was spent.  When bytes do arrive, io_fn drops it for good.  Interest in writing is dropped at once,
 * since a socket is nearly always writable.
 */
void
ap_io_want(struct ap_io *io, unsigned events)
{
	unsigned armed = events;

	if (io->want == events || io->loop == NULL)
		return;
	io->want = (uint8_t)events;
	armed |= io->armed & AP_IO_READ;
	if (io->armed != armed)
		io_arm(io, armed);
}

void
ap_io_done(struct ap_io *io)
{
	if (io->loop == NULL)
		return;
	io->want = 0;
	if (io->armed != 0)
		(void)event_del(&io->ev);
	io->armed = 0;
	io->loop = NULL;
}

static void
timer_fn(evutil_socket_t fd, short what, void *arg)
{
	struct ap_timer *t = arg;

	(void)fd;
	(void)what;
	turn_begin(t->loop);
	t->armed = false;
	t->fn(t, t->arg);
}

void
ap_timer_init(struct ap_timer *t, struct ap_loop *loop, void (*fn)(struct ap_timer *t, void *arg), void *arg)
{
	memset(t, 0, sizeof(*t));
	t->loop = loop;
	t->fn = fn;
	t->arg = arg;
	AP_CHECK(event_assign(&t->ev, loop->base, -1, 0, timer_fn, t) == 0);
}

void
ap_timer_start(struct ap_timer *t, uint64_t ms)
{
	struct timeval tv;

	timeval_of(ms, &tv);
	AP_CHECK(event_add(&t->ev, &tv) == 0);
	t->armed = true;
}

void
ap_timer_stop(struct ap_timer *t)
{
	if (!t->armed)
		return;
	t->armed = false;
	(void)event_del(&t->ev);
}

void
ap_task_init(struct ap_task *t, void (*fn)(struct ap_task *t, void *arg), void *arg)
{
	ap_list_init(&t->link);
	t->fn = fn;
	t->arg = arg;
}

void
ap_task_schedule(struct ap_loop *loop, struct ap_task *t)
{
	if (!ap_list_is_linked(&t->link))
		ap_list_append(&loop->tasks, &t->link);
}

void
ap_task_schedule_next(struct ap_loop *loop, struct ap_task *t)
{
	if (!ap_list_is_linked(&t->link))
		ap_list_append(&loop->later, &t->link);
}

void
ap_task_cancel(struct ap_task *t)
{
	if (ap_list_is_linked(&t->link))
		ap_list_remove(&t->link);
}

void
ap_defer_free(struct ap_loop *loop, void *ptr, void (*free_fn)(void *ptr))
{
	ap_vec_push(&loop->deferred, (struct deferred){ .ptr = ptr, .free_fn = free_fn });
}

void
ap_loop_at_exit(struct ap_loop *loop, struct ap_loop_exit *e, void (*fn)(struct ap_loop_exit *e))
{
	e->fn = fn;
	ap_list_append(&loop->exits, &e->link);
}

void
ap_loop_exit_cancel(struct ap_loop_exit *e)
{
	if (ap_list_is_linked(&e->link))
		ap_list_remove(&e->link);
}
