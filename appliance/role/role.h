/* role.h -- what the host and a role module promise each other (docs/module-abi.md). */
#ifndef ROLE_ROLE_H
#define ROLE_ROLE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define ROLE_ABI 1U /* one number for the whole contract; any change below bumps it */

struct ap_buf;
struct ap_config; /* model/appliance.h */
struct ap_error;
struct ap_host; /* role/host.h: main worker, workers, config, service registry */
struct ap_schema;
struct ap_worker;

/* How one role calls another without linking it: a name, a version, a table. */
struct ap_service {
	const char *name; /* its ops struct is declared in appliance/svc/ */
	uint32_t version;
	const void *ops;
	void *self; /* first argument of every op */
};

struct ap_role {
	uint32_t abi, size; /* ROLE_ABI, sizeof(struct ap_role): read before the rest */
	const char *build;  /* AP_BUILD_ID: roles ship with their host, never apart */
	const char *name;   /* as in spec.roles: "control-plane"; the file is the same with '_' for '-' */
	const char *const *needs, *const *offers; /* service names, NULL-terminated lists, or NULL */
	const char *section;            /* this role's key under spec: "controlPlaneServer"; NULL: none */
	const struct ap_schema *schema; /* of that section */

	/* Main thread, in this order. 0, or fill err and return its negative code. init allocates and offers services, and
	 * touches nothing outside; start opens sockets. */
	int (*init)(struct ap_host *host, void **self, struct ap_error *err);
	int (*start)(void *self, struct ap_error *err);
	/* A new config in two steps: prepare() may fail and changes nothing that can be seen; every role prepares before any
	 * commits; commit() and abort() cannot fail. */
	int (*prepare)(void *self, struct ap_config *next, void **plan, struct ap_error *err);
	void (*commit)(void *self, void *plan);
	void (*abort)(void *self, void *plan);
	bool (*ready)(const void *self, struct ap_buf *why); /* false: name what is pending. NULL: ready once started */
	void (*drain)(void *self, uint64_t deadline_ms);     /* take no new work */
	bool (*idle)(const void *self);                      /* nothing in flight? NULL: idle */
	void (*stop)(void *self);                            /* undoes start */
	void (*fini)(void *self);                            /* undoes init */
	/* GET of the admin socket below /<role name>/; false: not mine (404). NULL: none. JSON into out. */
	bool (*admin)(void *self, const char *path, struct ap_buf *out);

	/* On every data worker's thread, each with its own state; self is read-only there. */
	int (*worker_start)(void *self, struct ap_worker *w, void **ws, struct ap_error *err);
	void (*worker_drain)(void *ws);
	void (*worker_stop)(void *ws);
};

#ifdef ROLE_STATIC /* tests and fuzzers link several roles into one program */
#define ROLE_SYMBOL(name_) ap_role_##name_
#else
#define ROLE_SYMBOL(name_) ap_role
#endif
#define ROLE_HEAD(name_) .abi = ROLE_ABI, .size = sizeof(struct ap_role), .build = AP_BUILD_ID, .name = (name_)

#endif
