/*
 * loop.h -- one thread's event loop over libevent, without locks: file events, timers, tasks at the end of the turn,
 * deferred frees.  Everything here is called on the loop's own thread, except ap_loop_new and what mailbox.h offers.
 *
 * Glossary: a *turn* is one wait for events and the callbacks that they cause; *tasks* run at its end, where writes of
 * many streams are gathered; what was passed to ap_defer_free in a turn is freed after its tasks.
 */
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"

struct ap_loop;

#define AP_IO_READ 1U
#define AP_IO_WRITE 2U

/* A watched descriptor; embed it. Level triggered. */
struct ap_io {
	struct event ev;
	struct ap_loop *loop;
	int fd;
	uint8_t want;  /* AP_IO_READ | AP_IO_WRITE as asked for */
	uint8_t armed; /* what the kernel watches: may keep READ for a while after it is no longer wanted */
	void (*fn)(struct ap_io *io, unsigned events, void *arg);
	void *arg;
};

struct ap_timer {
	struct event ev;
	struct ap_loop *loop;
	void (*fn)(struct ap_timer *t, void *arg);
	void *arg;
	bool armed;
};

/* Runs once at the end of the turn in which it was scheduled (a task scheduled by a task: in the same end). */
struct ap_task {
	struct ap_list link; /* unlinked when idle */
	void (*fn)(struct ap_task *t, void *arg);
	void *arg;
};

struct ap_loop_exit {
	struct ap_list link;
	void (*fn)(struct ap_loop_exit *e);
};

AP_PUBLIC_BEGIN
struct ap_loop *ap_loop_new(const char *name);
void ap_loop_free(struct ap_loop **loop);
/* Turn until ap_loop_stop. */
void ap_loop_run(struct ap_loop *loop);
/* One turn that waits at most timeout_ms (0: does not wait; -1: as long as it takes). For tests. */
void ap_loop_turn(struct ap_loop *loop, int timeout_ms);
void ap_loop_stop(struct ap_loop *loop);
struct event_base *ap_loop_base(struct ap_loop *loop);
/* Monotonic ms, read once per turn. */
uint64_t ap_loop_now_ms(struct ap_loop *loop);
uint64_t ap_loop_turns(struct ap_loop *loop);

void ap_io_init(struct ap_io *io, struct ap_loop *loop, int fd,
    void (*fn)(struct ap_io *io, unsigned events, void *arg), void *arg);
/* Set what is watched; 0 stops watching. Costs nothing when unchanged. */
void ap_io_want(struct ap_io *io, unsigned events);
/* Stop watching; does not close fd. */
void ap_io_done(struct ap_io *io);

void ap_timer_init(struct ap_timer *t, struct ap_loop *loop, void (*fn)(struct ap_timer *t, void *arg), void *arg);
/* Arm or re-arm, once, `ms` from now. */
void ap_timer_start(struct ap_timer *t, uint64_t ms);
void ap_timer_stop(struct ap_timer *t); /* also ends its use; fine when idle or zeroed */

void ap_task_init(struct ap_task *t, void (*fn)(struct ap_task *t, void *arg), void *arg);
void ap_task_schedule(struct ap_loop *loop, struct ap_task *t); /* no-op when scheduled already */
/* Run at the end of the next turn, which then does not wait: for work that goes on after others had their chance. */
void ap_task_schedule_next(struct ap_loop *loop, struct ap_task *t);
void ap_task_cancel(struct ap_task *t); /* fine when idle or zeroed */

/* Call free_fn(ptr) at the end of this turn. */
void ap_defer_free(struct ap_loop *loop, void *ptr, void (*free_fn)(void *ptr));

/* Call fn(e) when the loop is freed, while its events still work; for what outlives its owner on the loop. */
void ap_loop_at_exit(struct ap_loop *loop, struct ap_loop_exit *e, void (*fn)(struct ap_loop_exit *e));
void ap_loop_exit_cancel(struct ap_loop_exit *e); /* fine when idle or zeroed */
AP_PUBLIC_END

#endif
