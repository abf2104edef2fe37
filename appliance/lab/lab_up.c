/*
 * lab_up.c -- brings the lab up, a step at a time, and returns when the page is served and traffic flows through the mesh.  What
 * fails is told with the log that explains it; what was started until then is taken down again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "lab/lab.h"

#define READY_MS 30000U
#define VMS_MAX 16U

static const char *const tools[] = { "ip", "nft", "curl", "redis-server" };

static int
check_tools(struct ap_error *err)
{
	if (geteuid() != 0)
		return ap_error_set(err, -EPERM, "network namespaces need root; run it as root.");
	for (size_t i = 0; i < AP_COUNTOF(tools); i++) {
		char line[64];
		struct ap_error missing;

		snprintf(line, sizeof(line), "command -v %s", tools[i]);
		if (LAB_RUN(NULL, &missing, "sh", "-c", line) != 0)
			return ap_error_set(err, -ENOENT, "%s is missing; install it (packaging/dependencies names its package).",
			    tools[i]);
	}
	return 0;
}

/* An Ambit process that is waited for: ready, or dead, which ends the wait too. */
struct waited {
	const char *vm;
	pid_t pid;
	bool is_dead;
};

static bool
is_ready_or_dead(const struct lab *lab, void *arg)
{
	struct waited *w = arg;

	w->is_dead = waitpid(w->pid, NULL, WNOHANG) == w->pid;
	return w->is_dead || lab_is_ready(lab, w->vm, w->vm);
}

static int
wait_until_ready(const struct lab *lab, struct waited *w, struct ap_error *err)
{
	if (!lab_wait(READY_MS, is_ready_or_dead, lab, w))
		return ap_error_set(err, -ETIMEDOUT, "the process of %s is not ready after %u s; see %s/%s/ambit.log.", w->vm,
		    READY_MS / 1000, lab->folder, w->vm);
	if (w->is_dead)
		return ap_error_set(err, -ECHILD, "the process of %s ended at once; see %s/%s/ambit.log.", w->vm, lab->folder, w->vm);
	return 0;
}

/* Step 2: the hub. */

static int
start_hub(const struct lab *lab, struct ap_error *err)
{
	char config[200];
	const char *argv[] = { lab->self, "run", "-c", config, NULL };
	struct lab_spawn s = { .vm = LAB_HUB, .log = "ambit", .argv = argv };
	struct waited hub = { .vm = LAB_HUB };

	snprintf(config, sizeof(config), "%s/" LAB_HUB "/ambit.yaml", lab->folder);
	if (lab_write_hub(lab, err) != 0 || lab_spawn(lab, &s, &hub.pid, err) != 0)
		return err->code;
	return wait_until_ready(lab, &hub, err);
}

/* Step 3: each VM's token and ztunnel. */

static int
give_token(const struct lab *lab, const struct lab_vm *vm, struct ap_error *err)
{
	const char *words[20] = { "token", "create", "--host", vm->name };
	char identities[LAB_PROGRAMS_MAX][80], path[200];
	struct ap_buf token;
	size_t n = 4, i = 0;
	int rc;

	for (const struct lab_program *p = vm->programs; p->workload != NULL; p++, i++) {
		snprintf(identities[i], sizeof(identities[i]), LAB_NAMESPACE "/%s", p->service_account);
		words[n++] = "--identity";
		words[n++] = identities[i];
	}
	words[n] = NULL;
	ap_buf_init(&token, 4096);
	rc = lab_ambit(lab, NULL, &token, err, words);
	while (token.len > 0 && token.ptr[token.len - 1] == '\n')
		token.len--;
	snprintf(path, sizeof(path), "%s/%s/token", lab->folder, vm->name);
	if (rc == 0)
		rc = ap_file_write(path, ap_buf_slice(&token), 0600, err);
	ap_wipe(token.ptr, token.len);
	ap_buf_done(&token);
	return rc;
}

static int
copy_root(const struct lab *lab, struct ap_error *err)
{
	char from[200], to[200];
	struct ap_buf pem;
	int rc;

	snprintf(from, sizeof(from), "%s/" LAB_HUB "/state/control-plane/ca/root-cert.pem", lab->folder);
	snprintf(to, sizeof(to), "%s/root.pem", lab->folder);
	ap_buf_init(&pem, 65536);
	rc = ap_file_read(from, &pem, err);
	if (rc == 0)
		rc = ap_file_write(to, ap_buf_slice(&pem), 0644, err);
	ap_buf_done(&pem);
	return rc;
}

static int
start_ztunnel(const struct lab *lab, const struct lab_vm *vm, pid_t *out_pid, struct ap_error *err)
{
	char config[200];
	const char *argv[] = { lab->self, "run", "-c", config, NULL };
	struct lab_spawn s = { .vm = vm->name, .log = "ambit", .argv = argv };

	snprintf(config, sizeof(config), "%s/%s/ambit.yaml", lab->folder, vm->name);
	if (lab_write_vm(lab, vm, err) != 0 || give_token(lab, vm, err) != 0)
		return err->code;
	return lab_spawn(lab, &s, out_pid, err);
}

static int
start_ztunnels(const struct lab *lab, struct ap_error *err)
{
	struct waited waited[VMS_MAX] = { 0 };
	size_t count;
	const struct lab_vm *vms = lab_vms(&count);

	if (copy_root(lab, err) != 0 || lab_write_kubeconfig(lab, err) != 0)
		return err->code;
	for (size_t i = 0; i < count && i < VMS_MAX; i++) {
		waited[i].vm = vms[i].name;
		if (start_ztunnel(lab, &vms[i], &waited[i].pid, err) != 0)
			return err->code;
	}
	for (size_t i = 0; i < count && i < VMS_MAX; i++) {
		if (wait_until_ready(lab, &waited[i], err) != 0)
			return err->code;
	}
	return 0;
}

/* Step 4: the programs. */

static int
start_program(const struct lab *lab, const struct lab_vm *vm, const struct lab_program *p, struct ap_error *err)
{
	const char *argv[16] = { NULL };
	char cgroup[64];
	struct lab_spawn s = { .vm = vm->name, .log = p->workload, .uid = p->uid, .argv = argv, .env = p->env };

	for (size_t i = 0; p->command[i] != NULL && i + 1 < AP_COUNTOF(argv); i++)
		argv[i] = strcmp(p->command[i], "@bookinfo") == 0 ? lab->bookinfo : p->command[i];
	snprintf(cgroup, sizeof(cgroup), "%s.%s", vm->name, p->app);
	s.cgroup = cgroup;
	return lab_spawn(lab, &s, NULL, err);
}

static int
start_programs(const struct lab *lab, struct ap_error *err)
{
	size_t count;
	const struct lab_vm *vms = lab_vms(&count);

	for (size_t i = 0; i < count; i++) {
		for (const struct lab_program *p = vms[i].programs; p->workload != NULL; p++) {
			if (!p->is_shell && start_program(lab, &vms[i], p, err) != 0)
				return err->code;
		}
	}
	return 0;
}

/* Step 5: a page, asked from the client's VM through every hop. */

static bool
page_is_whole(const struct lab *lab, void *arg)
{
	struct ap_buf page;
	int status = 0;
	bool whole;

	(void)arg;
	ap_buf_init(&page, (size_t)1 << 20);
	whole = lab_get_from_client(lab, "http://productpage:9080/productpage", NULL, &status, &page) == 0 && status == 200 &&
	    ap_slice_search(ap_buf_slice(&page), AP_S("Reviewer1")) != SIZE_MAX &&
	    ap_slice_search(ap_buf_slice(&page), AP_S("PublisherA")) != SIZE_MAX;
	ap_buf_done(&page);
	return whole;
}

static int
wait_for_page(const struct lab *lab, struct ap_error *err)
{
	if (!lab_wait(READY_MS, page_is_whole, lab, NULL))
		return ap_error_set(err, -ETIMEDOUT,
		    "no whole page came back from productpage within %u s; see the logs below %s.", READY_MS / 1000, lab->folder);
	return 0;
}

static int
make_network(const struct lab *lab, struct ap_error *err)
{
	if (ap_dir_make(lab->folder, 0755, err) != 0)
		return err->code;
	return lab_net_up(lab, err);
}

static const struct {
	const char *title;
	int (*run)(const struct lab *lab, struct ap_error *err);
} steps[] = {
	{ "network: seven namespaces on a bridge", make_network },
	{ "hub: control plane, waypoint manager, web page", start_hub },
	{ "ztunnels: one per VM, each with its own token", start_ztunnels },
	{ "programs: Bookinfo, Redis and a steady load", start_programs },
	{ "traffic: a page through the mesh", wait_for_page },
};

static void
mark_up(const struct lab *lab)
{
	char path[160];
	struct ap_error err;

	snprintf(path, sizeof(path), "%s/up", lab->folder);
	ap_file_write(path, AP_S("up\n"), 0644, &err);
}

int
lab_up(const struct lab *lab)
{
	struct ap_error err = { 0 };
	char hub[32];

	if (lab_is_up(lab)) {
		fprintf(stderr, "ambit lab: it is up already; 'ambit lab down' ends it.\n");
		return 1;
	}
	if (check_tools(&err) != 0) {
		fprintf(stderr, "ambit lab: %s\n", err.text);
		return 2;
	}
	lab_down(lab, true); /* what a crash may have left */
	for (size_t i = 0; i < AP_COUNTOF(steps); i++) {
		uint64_t began = ap_clock_mono_ms();

		printf("[%zu/%zu] %-52s", i + 1, AP_COUNTOF(steps), steps[i].title);
		fflush(stdout);
		if (steps[i].run(lab, &err) != 0) {
			printf(" failed\n");
			fprintf(stderr, "ambit lab: %s\n", err.text);
			if (getenv("AMBIT_LAB_KEEP") == NULL)
				lab_net_down(lab, &err); /* the logs stay until the next up or down */
			return 1;
		}
		printf(" %.1f s\n", (double)(ap_clock_mono_ms() - began) / 1000.0);
	}
	mark_up(lab);
	lab_address(lab, LAB_HUB_NUMBER, hub, sizeof(hub));
	printf("\nThe lab is up. 'ambit lab story' walks through it, 'ambit lab exec client -- curl -s http://reviews:9080/reviews/0'\n"
	       "asks from inside, 'ambit lab status' lists it, 'ambit lab down' ends it.\n\nhttp://%s:20001/\n",
	    hub);
	return 0;
}

int
lab_down(const struct lab *lab, bool quiet)
{
	struct ap_error err = { 0 };
	int rc = lab_net_down(lab, &err);

	if (rc == 0)
		rc = ap_dir_remove(lab->folder, &err);
	if (rc != 0 && !quiet)
		fprintf(stderr, "ambit lab: %s\n", err.text);
	else if (!quiet)
		printf("The lab is down; nothing of it is left.\n");
	return rc == 0 ? 0 : 1;
}
