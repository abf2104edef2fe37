/*
 * lab.h -- a fleet on one machine: each VM of the lab is a network namespace on a bridge, with a ztunnel of its own and real
 * programs in it; one more, the hub, runs control plane, waypoint manager and web page.
 *
 * Glossary: the *plan* is the fixed list of VMs and programs; a *program* belongs to a workload of its VM; the lab's *folder*
 * (/run/ambit-lab) holds configuration, state and logs of everything, and goes with the lab.
 * Everything that the lab makes bears its name: namespaces "<lab>-<vm>", bridge, cgroup; that is how `down` finds it after a crash.
 */
#ifndef LAB_LAB_H
#define LAB_LAB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"

#define LAB_PROGRAMS_MAX 4
#define LAB_HUB "hub"
#define LAB_NAMESPACE "bookinfo"
#define LAB_DOMAIN "cluster.local"

/* How the ztunnel is to tell this program from others of its VM. */
enum lab_select { LAB_BY_USER, LAB_BY_CGROUP };

struct lab_program {
	const char *workload;        /* NULL ends the list */
	const char *service_account;
	const char *app, *version;   /* labels */
	const char *const *command;  /* NULL-terminated; command[0] "@bookinfo" is our demo program */
	const char *const *env;      /* "NAME=value", NULL-terminated; or NULL */
	const char *port_name;
	uint16_t port;               /* 0: a client only */
	enum lab_select select;
	uid_t uid;
	bool is_shell;               /* nothing is started: what `lab exec` runs as this user is this workload */
};

struct lab_vm {
	const char *name;
	unsigned number; /* last byte of its address */
	struct lab_program programs[LAB_PROGRAMS_MAX + 1];
};

struct lab {
	char name[12];       /* "ambit"; short, for interface names */
	char net[16];        /* "10.77.0": the first three bytes of every address */
	char folder[128];    /* /run/ambit-lab or with -<name> behind it */
	char cgroup[192];    /* folder in the cgroup v2 tree, or "" where there is none */
	char cgroup_path[64]; /* the same as /proc/PID/cgroup shows it */
	char self[512];      /* this binary */
	char bookinfo[512];  /* the demo program */
};

/* lab_plan.c */
const struct lab_vm *lab_vms(size_t *out_count); /* without the hub */
const struct lab_vm *lab_find_vm(const char *name);
void lab_address(const struct lab *lab, unsigned number, char *out, size_t size);
#define LAB_HUB_NUMBER 2U

/* lab.c: names and places from the environment (AMBIT_LAB_NAME, AMBIT_LAB_NET). */
int lab_open(struct lab *lab, struct ap_error *err);
bool lab_is_up(const struct lab *lab);
void lab_vm_folder(const struct lab *lab, const char *vm, char *out, size_t size);
void lab_namespace(const struct lab *lab, const char *vm, char *out, size_t size);

/* lab_command.c: run a program and wait; its output into out (may be NULL: thrown away, but for what err shows of it). */
int lab_command(struct ap_buf *out, struct ap_error *err, const char *const *argv);
#define LAB_RUN(out_, err_, ...) lab_command((out_), (err_), (const char *const[]){ __VA_ARGS__, NULL })

/* lab_spawn.c: start a program in a VM, detached, its output in <folder>/<vm>/<log>.log. */
struct lab_spawn {
	const char *vm, *log;
	uid_t uid;
	const char *cgroup;          /* name below the lab's, or NULL: the VM's */
	const char *const *argv, *const *env;
	bool in_foreground;          /* wait, keep standard streams; returns the exit code */
};
int lab_spawn(const struct lab *lab, const struct lab_spawn *s, pid_t *out_pid, struct ap_error *err);

/* lab_net.c */
int lab_net_up(const struct lab *lab, struct ap_error *err);
/* Everything that bears the lab's name: processes, namespaces, bridge, cgroup. Missing things are fine. */
int lab_net_down(const struct lab *lab, struct ap_error *err);

/* lab_config.c: the YAML files of hub and VMs. */
int lab_write_hub(const struct lab *lab, struct ap_error *err);
int lab_write_vm(const struct lab *lab, const struct lab_vm *vm, struct ap_error *err);
/* For kubectl, as administrator; the token stays in the hub's file. */
int lab_write_kubeconfig(const struct lab *lab, struct ap_error *err);

/* lab_probe.c: questions to what runs in the lab. */
int lab_get(const struct lab *lab, const char *url, const char *cookie, struct ap_buf *out, struct ap_error *err);
/* The same from inside the VM `client`, through the mesh: head and body. 0 and status, or negative. */
int lab_get_from_client(const struct lab *lab, const char *url, const char *header, int *out_status, struct ap_buf *out);
/* Ask every 100 ms until check() is true; false when deadline_ms has passed. */
bool lab_wait(uint64_t deadline_ms, bool (*check)(const struct lab *lab, void *arg), const struct lab *lab, void *arg);
bool lab_is_ready(const struct lab *lab, const char *admin_folder, const char *name);
/* Run `ambit WORDS...` against the hub; standard input from text (may be NULL). */
int lab_ambit(const struct lab *lab, const char *text, struct ap_buf *out, struct ap_error *err, const char *const *words);

/* The commands. */
int lab_up(const struct lab *lab);
int lab_down(const struct lab *lab, bool quiet);
int lab_status(const struct lab *lab, bool json);
int lab_story(const struct lab *lab, bool wait_for_enter);
int lab_exec(const struct lab *lab, const char *vm, char **argv);

#endif
