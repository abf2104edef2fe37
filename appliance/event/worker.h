/* worker.h -- a thread with its loop, mailbox, metric shard and scratch memory; also what the main thread is wrapped in. */
#ifndef EVENT_WORKER_H
#define EVENT_WORKER_H
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/error.h"

struct ap_loop;
struct ap_mailbox;
struct ap_shard;

#define AP_SCRATCH_SIZE ((size_t)256 * 1024)

struct ap_worker {
	unsigned index; /* 0.. among its group; for labels and seeds */
	char name[16];  /* thread name */
	struct ap_loop *loop;
	struct ap_mailbox *mailbox;
	struct ap_shard *shard;
	char *scratch; /* AP_SCRATCH_SIZE bytes; free to use within one callback, never across a call that may use it */
	pthread_t thread;
	bool has_thread;
};

AP_PUBLIC_BEGIN
/* Start a thread whose loop runs until ap_worker_stop. Signals are blocked in it. */
struct ap_worker *ap_worker_start(const char *name, unsigned index, struct ap_error *err);
/* Wrap the calling thread (no thread is made; run its loop yourself). */
struct ap_worker *ap_worker_adopt(const char *name);
/* Run fn(w, arg) on the worker and wait for its return value. Not from the worker itself. */
int ap_worker_run(struct ap_worker *w, int (*fn)(struct ap_worker *w, void *arg), void *arg);
/* Stop the loop, join the thread, free all; *w = NULL. Not from the worker itself. */
void ap_worker_stop(struct ap_worker **w);
/* The worker of the calling thread, or NULL. */
struct ap_worker *ap_worker_self(void);
AP_PUBLIC_END

#endif
