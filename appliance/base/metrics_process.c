/*
 * metrics_process.c -- the process_* metrics that every Prometheus client shows.
 *
 * Reads /proc/self at each scrape: an exception to base's rule of opening nothing, since the numbers belong to no
 * role and every exposition has them.  Any thread.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/metrics_priv.h"

static unsigned long
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *e;
	unsigned long n = 0;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - (n > 0); /* without the one that reads the folder */
}

static unsigned long
resident_bytes(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	unsigned long pages = 0;
	char text[128];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%*u %lu", &pages) != 1)
		return 0;
	return pages * (unsigned long)sysconf(_SC_PAGESIZE);
}

void
ap_metrics_write_process(struct ap_buf *out)
{
	struct rlimit limit = { 0 };
	struct rusage use = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	getrusage(RUSAGE_SELF, &use);
	ap_buf_printf(out,
	    "# HELP process_open_fds Open file descriptors.\n# TYPE process_open_fds gauge\nprocess_open_fds %lu\n",
	    count_fds());
	ap_buf_printf(out,
	    "# HELP process_max_fds Most file descriptors that may be open.\n# TYPE process_max_fds gauge\n"
	    "process_max_fds %ju\n",
	    (uintmax_t)limit.rlim_cur);
	ap_buf_printf(out,
	    "# HELP process_resident_memory_bytes Memory in RAM.\n# TYPE process_resident_memory_bytes gauge\n"
	    "# UNIT process_resident_memory_bytes bytes\nprocess_resident_memory_bytes %lu\n",
	    resident_bytes());
	ap_buf_printf(out,
	    "# HELP process_cpu_seconds User and system time spent.\n# TYPE process_cpu_seconds counter\n"
	    "# UNIT process_cpu_seconds seconds\nprocess_cpu_seconds_total %.6f\n",
	    (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		(double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}
