/* host.h -- the module host: loads roles, orders them by needs and offers, starts, reloads, drains and stops them. */
#ifndef ROLE_HOST_H
#define ROLE_HOST_H
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "role/role.h"

struct ap_host;
struct ap_jobs;

struct ap_host_options {
	const char *config_path;
	const char *const *roles; /* NULL-terminated; NULL: spec.roles of the file */
	const char *role_dir;     /* where the .so files are; NULL: the installed folder or AMBIT_ROLE_DIR */
};

AP_PUBLIC_BEGIN
/* What roles use. Main thread unless said otherwise; constant after init, so workers may read. */
struct ap_config *ap_host_config(struct ap_host *host);      /* the committed one; not counted for the caller */
struct ap_worker *ap_host_main(struct ap_host *host);        /* the main thread's worker */
struct ap_worker *const *ap_host_workers(struct ap_host *host, uint32_t *out_count); /* data workers */
struct ap_jobs *ap_host_jobs(struct ap_host *host);
void ap_host_offer(struct ap_host *host, const struct ap_service *service);
/* NULL when nobody offers it. */
const struct ap_service *ap_host_service(struct ap_host *host, const char *name, uint32_t version);
/* A role found that it cannot go on: log the sentence, drain and stop, exit 1. */
void ap_host_fail(struct ap_host *host, const struct ap_error *err);

/* What the command line uses. Exit codes: 0; 2 bad config or module; 1 failed later. */
int ap_host_run(const struct ap_host_options *options);
/* Load roles, parse and check the config against them, print every problem; starts nothing. */
int ap_host_check(const struct ap_host_options *options);
AP_PUBLIC_END

#endif
