/*
 * check.c -- the way out when the program finds itself wrong.
 *
 * A failed check writes one sentence, the thread and a backtrace straight to standard error (the log may be what is
 * broken) and aborts, so that the service manager starts a clean process.  Any thread; allocates nothing of its own.
 */
#include "base/check.h"

#include <execinfo.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FRAMES_MAX 64

void
ap_panic(const char *file, int line, const char *fmt, ...)
{
	char thread[32] = "?";
	void *frames[FRAMES_MAX];
	va_list ap;
	int n;

	pthread_getname_np(pthread_self(), thread, sizeof(thread));
	fprintf(stderr, "PANIC: %s:%d: thread %s: ", file, line, thread);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
	n = backtrace(frames, FRAMES_MAX);
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
	abort();
}
