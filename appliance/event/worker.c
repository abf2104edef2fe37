/*
 * worker.c -- a thread that runs a loop.  What belongs to the thread (loop, mailbox, shard, scratch) is made and freed on
 * it; the struct itself belongs to whoever started the worker.  ap_worker_run is the one place where a thread waits
 * for another, for start and stop of roles, never for traffic.
 */
#include "event/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "event/loop.h"
#include "event/mailbox.h"

static _Thread_local struct ap_worker *self;

/* A place where one thread waits until another has done something. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool open;
};

static void
gate_init(struct gate *g)
{
	AP_CHECK(pthread_mutex_init(&g->lock, NULL) == 0);
	AP_CHECK(pthread_cond_init(&g->cond, NULL) == 0);
	g->open = false;
}

static void
gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_signal(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

static void
gate_wait(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	while (!g->open)
		pthread_cond_wait(&g->cond, &g->lock);
	pthread_mutex_unlock(&g->lock);
	pthread_cond_destroy(&g->cond);
	pthread_mutex_destroy(&g->lock);
}

static void
furnish(struct ap_worker *w)
{
	AP_CHECK(self == NULL);
	self = w;
	w->loop = ap_loop_new(w->name);
	w->mailbox = ap_mailbox_new(w->loop);
	w->shard = ap_shard_new(w->name);
	w->scratch = ap_alloc(AP_SCRATCH_SIZE);
}

static void
clear_out(struct ap_worker *w)
{
	ap_mailbox_free(&w->mailbox);
	ap_loop_free(&w->loop);
	ap_shard_free(&w->shard);
	ap_free(&w->scratch);
	self = NULL;
}

struct birth {
	struct ap_worker *w;
	struct gate gate;
};

static void *
thread_main(void *arg)
{
	struct birth *birth = arg;
	struct ap_worker *w = birth->w;

	(void)pthread_setname_np(pthread_self(), w->name);
	furnish(w);
	gate_open(&birth->gate);
	ap_loop_run(w->loop);
	clear_out(w);
	return NULL;
}

struct ap_worker *
ap_worker_start(const char *name, unsigned index, struct ap_error *err)
{
	struct ap_worker *w = ap_new(struct ap_worker);
	struct birth birth = { .w = w };
	sigset_t all, before;
	int rc;

	w->index = index;
	(void)snprintf(w->name, sizeof(w->name), "%s", name);
	gate_init(&birth.gate);
	/* The thread inherits the mask: signals are the main thread's business. Faults stay deliverable. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = pthread_create(&w->thread, NULL, thread_main, &birth);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		ap_error_set(err, -rc, "cannot start thread %s: %s", w->name, strerror(rc));
		ap_free(&w);
		return NULL;
	}
	w->has_thread = true;
	gate_wait(&birth.gate);
	return w;
}

struct ap_worker *
ap_worker_adopt(const char *name)
{
	struct ap_worker *w = ap_new(struct ap_worker);

	(void)snprintf(w->name, sizeof(w->name), "%s", name);
	w->thread = pthread_self();
	furnish(w);
	return w;
}

struct errand {
	struct ap_msg msg;
	struct ap_worker *w;
	int (*fn)(struct ap_worker *w, void *arg);
	void *arg;
	int result;
	struct gate gate;
};

static void
run_errand(struct ap_msg *msg)
{
	struct errand *e = AP_CONTAINER_OF(msg, struct errand, msg);

	e->result = e->fn(e->w, e->arg);
	gate_open(&e->gate); /* e is gone after this */
}

int
ap_worker_run(struct ap_worker *w, int (*fn)(struct ap_worker *w, void *arg), void *arg)
{
	struct errand e = { .msg.fn = run_errand, .w = w, .fn = fn, .arg = arg };

	AP_CHECK(w != self && w->has_thread);
	gate_init(&e.gate);
	ap_mailbox_post(w->mailbox, &e.msg);
	gate_wait(&e.gate);
	return e.result;
}

static void
stop_loop(void *arg)
{
	struct ap_worker *w = arg;

	ap_loop_stop(w->loop);
}

void
ap_worker_stop(struct ap_worker **worker)
{
	struct ap_worker *w = *worker;

	*worker = NULL;
	if (w == NULL)
		return;
	if (w->has_thread) {
		AP_CHECK(w != self);
		ap_mailbox_call(w->mailbox, stop_loop, w);
		pthread_join(w->thread, NULL);
	} else {
		AP_CHECK(w == self);
		clear_out(w);
	}
	ap_free(&w);
}

struct ap_worker *
ap_worker_self(void)
{
	return self;
}
