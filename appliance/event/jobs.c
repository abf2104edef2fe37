/*
 * jobs.c -- a few threads that take blocking work off the loops, first come first served.  A job belongs to the pool from
 * submit until its done() was posted; then to the thread of its mailbox.
 */
#include "event/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/mem.h"

struct ap_jobs {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct ap_job *head, **tail;
	bool stopping;
	unsigned count;
	pthread_t threads[];
};

static void
run_done(struct ap_msg *msg)
{
	struct ap_job *job = AP_CONTAINER_OF(msg, struct ap_job, msg);

	job->done(job);
}

/* The next job, or NULL when the pool ends and nothing is left. */
static struct ap_job *
take(struct ap_jobs *jobs)
{
	struct ap_job *job;

	pthread_mutex_lock(&jobs->lock);
	while (jobs->head == NULL && !jobs->stopping)
		pthread_cond_wait(&jobs->cond, &jobs->lock);
	job = jobs->head;
	if (job != NULL) {
		jobs->head = job->next;
		if (jobs->head == NULL)
			jobs->tail = &jobs->head;
	}
	pthread_mutex_unlock(&jobs->lock);
	return job;
}

static void *
thread_main(void *arg)
{
	struct ap_jobs *jobs = arg;
	struct ap_job *job;

	(void)pthread_setname_np(pthread_self(), "job");
	while ((job = take(jobs)) != NULL) {
		job->work(job);
		job->msg.fn = run_done;
		ap_mailbox_post(job->reply, &job->msg);
	}
	return NULL;
}

struct ap_jobs *
ap_jobs_new(unsigned threads)
{
	struct ap_jobs *jobs;
	sigset_t all, before;

	threads = threads == 0 ? 1 : threads;
	jobs = ap_alloc(sizeof(*jobs) + threads * sizeof(jobs->threads[0]));
	AP_CHECK(pthread_mutex_init(&jobs->lock, NULL) == 0);
	AP_CHECK(pthread_cond_init(&jobs->cond, NULL) == 0);
	jobs->tail = &jobs->head;
	jobs->count = threads;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (unsigned i = 0; i < threads; i++)
		AP_CHECK(pthread_create(&jobs->threads[i], NULL, thread_main, jobs) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return jobs;
}

void
ap_jobs_free(struct ap_jobs **pool)
{
	struct ap_jobs *jobs = *pool;

	*pool = NULL;
	if (jobs == NULL)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->stopping = true;
	pthread_cond_broadcast(&jobs->cond);
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->count; i++)
		pthread_join(jobs->threads[i], NULL);
	pthread_cond_destroy(&jobs->cond);
	pthread_mutex_destroy(&jobs->lock);
	ap_free(&jobs);
}

void
ap_jobs_submit(struct ap_jobs *jobs, struct ap_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&jobs->lock);
	AP_CHECK(!jobs->stopping);
	*jobs->tail = job;
	jobs->tail = &job->next;
	pthread_cond_signal(&jobs->cond);
	pthread_mutex_unlock(&jobs->lock);
}
