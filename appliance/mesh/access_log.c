/*
 * access_log.c -- two buffers that change places: workers fill one under a mutex, the writer thread empties the other with
 * plain blocking writes.  The lock is held for a memcpy or an exchange of pointers.  Owns its thread and descriptor.
 */
#include "mesh/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

AP_LOG_MODULE(access_log);

#define LOG_MAGIC AP_MAGIC('a', 'l', 'o', 'g')
#define BATCH_NS 10000000U /* lines of so long are written together, */
#define BATCH_SIZE 262144U /* or when there are so many bytes */

struct side {
	char *bytes;
	size_t len, room;
};

struct ap_access_log {
	uint32_t magic;
	char *path; /* NULL: standard output */
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct side fill;  /* under the lock */
	bool stop, reopen; /* under the lock */
	struct side drain; /* writer thread only */
	_Atomic uint64_t dropped;
};

static _Atomic uint64_t dropped_total; /* of the process, for the gauge */
static atomic_bool gauge_added;

static double
dropped_gauge(void *arg)
{
	(void)arg;
	return (double)atomic_load_explicit(&dropped_total, memory_order_relaxed);
}

static void
write_all(struct ap_access_log *log)
{
	size_t at = 0;

	while (at < log->drain.len) {
		ssize_t n = write(log->fd, log->drain.bytes + at, log->drain.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			LOG_WARN_LIMIT(NULL, 1, "cannot write: %s", strerror(errno));
			break;
		}
		at += (size_t)n;
	}
	log->drain.len = 0;
}

static void
file_reopen(struct ap_access_log *log)
{
	int fd = log->path == NULL ? -1 : open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0) {
		if (log->path != NULL)
			LOG_ERROR(NULL, "cannot open %s anew: %s", log->path, strerror(errno));
		return;
	}
	close(log->fd);
	log->fd = fd;
}

/* Let more lines come. Under the lock. */
static void
batch_wait(struct ap_access_log *log)
{
	uint64_t until = ap_clock_mono_ns() + BATCH_NS;
	struct timespec ts = { .tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000) };

	pthread_cond_timedwait(&log->wake, &log->lock, &ts);
}

static void *
writer_main(void *arg)
{
	struct ap_access_log *log = arg;
	bool stop = false, reopen;

	while (!stop) {
		struct side full;

		pthread_mutex_lock(&log->lock);
		while (log->fill.len == 0 && !log->stop && !log->reopen)
			pthread_cond_wait(&log->wake, &log->lock);
		if (log->fill.len < BATCH_SIZE && !log->stop && !log->reopen)
			batch_wait(log);
		full = log->fill;
		log->fill = log->drain;
		log->drain = full;
		stop = log->stop;
		reopen = log->reopen;
		log->reopen = false;
		pthread_mutex_unlock(&log->lock);
		write_all(log);
		if (reopen)
			file_reopen(log);
	}
	return NULL;
}

struct ap_access_log *
ap_access_log_open(const char *path, struct ap_error *err)
{
	struct ap_access_log *log = ap_new(struct ap_access_log);
	pthread_condattr_t attr;
	sigset_t all, old;
	int rc;

	log->magic = LOG_MAGIC;
	if (strcmp(path, "-") == 0) {
		log->fd = dup(STDOUT_FILENO);
	} else {
		log->path = ap_strdup(path);
		log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	}
	if (log->fd < 0) {
		ap_error_set(err, -errno, "cannot open the access log %s: %s", path, strerror(errno));
		ap_free(&log->path);
		ap_free(&log);
		return NULL;
	}
	pthread_mutex_init(&log->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&log->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (!atomic_exchange(&gauge_added, true))
		ap_metrics_add_gauge("ambit_access_log_dropped_lines",
		    "Lines that the access log's writer had no room for.", dropped_gauge, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&log->thread, NULL, writer_main, log);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	AP_CHECK(rc == 0);
	return log;
}

bool
ap_access_log_write(struct ap_access_log *log, struct ap_slice line)
{
	struct side *f;
	bool taken = false;

	if (log == NULL || line.len == 0)
		return false;
	pthread_mutex_lock(&log->lock);
	f = &log->fill;
	if (f->len + line.len <= AP_ACCESS_LOG_BUFFER) {
		if (f->len + line.len > f->room) {
			f->room = AP_MAX(f->room * 2, f->len + line.len + 4096);
			f->bytes = ap_realloc_array(f->bytes, f->room, 1);
		}
		memcpy(f->bytes + f->len, line.ptr, line.len);
		if (f->len == 0 || (f->len < BATCH_SIZE && f->len + line.len >= BATCH_SIZE))
			pthread_cond_signal(&log->wake);
		f->len += line.len;
		taken = true;
	}
	pthread_mutex_unlock(&log->lock);
	if (!taken) {
		atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&dropped_total, 1, memory_order_relaxed);
	}
	return taken;
}

void
ap_access_log_reopen(struct ap_access_log *log)
{
	if (log == NULL)
		return;
	pthread_mutex_lock(&log->lock);
	log->reopen = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->lock);
}

uint64_t
ap_access_log_dropped(const struct ap_access_log *log)
{
	return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}

void
ap_access_log_close(struct ap_access_log **logp)
{
	struct ap_access_log *log = *logp;

	*logp = NULL;
	if (log == NULL)
		return;
	AP_IS(log, LOG_MAGIC);
	pthread_mutex_lock(&log->lock);
	log->stop = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->lock);
	pthread_join(log->thread, NULL);
	pthread_mutex_destroy(&log->lock);
	pthread_cond_destroy(&log->wake);
	close(log->fd);
	ap_free(&log->fill.bytes);
	ap_free(&log->drain.bytes);
	ap_free(&log->path);
	ap_free(&log);
}
