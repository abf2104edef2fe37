/* lab_probe.c -- asks what runs in the lab, from outside by curl, and by this binary's own commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lab/lab.h"

#define WORDS_MAX 24

int
lab_get(const struct lab *lab, const char *url, const char *cookie, struct ap_buf *out, struct ap_error *err)
{
	(void)lab;
	return LAB_RUN(out, err, "curl", "--silent", "--show-error", "--fail", "--max-time", "5", "--noproxy", "*", "--cookie",
	    cookie == NULL ? "" : cookie, url);
}

int
lab_get_from_client(const struct lab *lab, const char *url, const char *header, int *out_status, struct ap_buf *out)
{
	static const char marker[] = "\nlab-status=";
	struct ap_error err;
	size_t at;

	/* `lab exec` in a child, so that its output can be read. */
	if (LAB_RUN(out, &err, lab->self, "lab", "exec", "client", "--", "curl", "--silent", "--include", "--max-time", "15", "--noproxy", "*",
		"--header", header == NULL ? "x-lab: 1" : header, "--write-out", "\nlab-status=%{http_code}", url) != 0)
		return err.code;
	at = ap_slice_search(ap_buf_slice(out), ap_slice(marker, sizeof(marker) - 1));
	if (at == SIZE_MAX)
		return -1;
	*out_status = (int)strtol(out->ptr + at + sizeof(marker) - 1, NULL, 10);
	out->len = at;
	out->ptr[at] = '\0';
	return 0;
}

bool
lab_wait(uint64_t deadline_ms, bool (*check)(const struct lab *lab, void *arg), const struct lab *lab, void *arg)
{
	uint64_t end = ap_clock_mono_ms() + deadline_ms;
	struct timespec step = { 0, 100 * 1000 * 1000 };

	while (!check(lab, arg)) {
		if (ap_clock_mono_ms() >= end)
			return false;
		nanosleep(&step, NULL);
	}
	return true;
}

bool
lab_is_ready(const struct lab *lab, const char *vm, const char *name)
{
	char socket[256];
	struct ap_error err;

	snprintf(socket, sizeof(socket), "%s/%s/run/admin-%s.sock", lab->folder, vm, name);
	return LAB_RUN(NULL, &err, "curl", "--silent", "--fail", "--max-time", "2", "--unix-socket", socket,
		   "http://localhost/readyz") == 0;
}

int
lab_ambit(const struct lab *lab, const char *text, struct ap_buf *out, struct ap_error *err, const char *const *words)
{
	const char *argv[WORDS_MAX] = { lab->self };
	char run_dir[200], file[200];
	size_t n = 1;

	snprintf(run_dir, sizeof(run_dir), "%s/" LAB_HUB "/run", lab->folder);
	setenv("AMBIT_RUN_DIR", run_dir, 1);
	while (*words != NULL && n + 3 < WORDS_MAX)
		argv[n++] = *words++;
	if (text != NULL) {
		FILE *f;

		snprintf(file, sizeof(file), "%s/applied.yaml", lab->folder);
		f = fopen(file, "we");
		if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0)
			return ap_error_set(err, -1, "%s cannot be written; is the disk full?", file);
		argv[n++] = "-f";
		argv[n++] = file;
	}
	return lab_command(out, err, argv);
}
