/* jobs.h -- a small pool of threads for what blocks: key generation, file writes, name service. */
#ifndef EVENT_JOBS_H
#define EVENT_JOBS_H
#include "base/compiler.h"
#include "event/mailbox.h"

struct ap_jobs;

struct ap_job {
	struct ap_job *next;
	void (*work)(struct ap_job *job); /* on a pool thread */
	void (*done)(struct ap_job *job); /* back on the thread of `reply`; frees the job */
	struct ap_mailbox *reply;
	struct ap_msg msg;
};

AP_PUBLIC_BEGIN
struct ap_jobs *ap_jobs_new(unsigned threads);
/* Finishes what is queued; every done() was posted. */
void ap_jobs_free(struct ap_jobs **jobs);
void ap_jobs_submit(struct ap_jobs *jobs, struct ap_job *job); /* any thread */
AP_PUBLIC_END

#endif
