/* lab_net.c -- the lab's network: namespaces on a bridge; and its end, found by name, so that a crash leaves nothing behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "lab/lab.h"

#define KILL_WAIT_MS 5000U

static void
bridge_name(const struct lab *lab, char *out, size_t size)
{
	snprintf(out, size, "%s-br", lab->name);
}

static int
add_vm(const struct lab *lab, const char *vm, unsigned number, struct ap_error *err)
{
	char ns[64], veth[16], bridge[16], address[32], gateway[32];
	int rc;

	lab_namespace(lab, vm, ns, sizeof(ns));
	snprintf(veth, sizeof(veth), "%.8s-v%u", lab->name, number);
	bridge_name(lab, bridge, sizeof(bridge));
	snprintf(address, sizeof(address), "%s.%u/24", lab->net, number);
	snprintf(gateway, sizeof(gateway), "%s.1", lab->net);
	rc = LAB_RUN(NULL, err, "ip", "netns", "add", ns);
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", ns);
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "link", "set", veth, "master", bridge, "up");
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "-n", ns, "link", "set", "lo", "up");
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "-n", ns, "address", "add", address, "dev", "eth0");
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "-n", ns, "link", "set", "eth0", "up");
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "-n", ns, "route", "add", "default", "via", gateway);
	return rc;
}

int
lab_net_up(const struct lab *lab, struct ap_error *err)
{
	char bridge[16], gateway[32];
	const struct lab_vm *vms;
	size_t count;
	int rc;

	vms = lab_vms(&count);
	bridge_name(lab, bridge, sizeof(bridge));
	snprintf(gateway, sizeof(gateway), "%s.1/24", lab->net);
	rc = LAB_RUN(NULL, err, "ip", "link", "add", bridge, "type", "bridge");
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "address", "add", gateway, "dev", bridge);
	if (rc == 0)
		rc = LAB_RUN(NULL, err, "ip", "link", "set", bridge, "up");
	if (rc == 0)
		rc = add_vm(lab, LAB_HUB, LAB_HUB_NUMBER, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add_vm(lab, vms[i].name, vms[i].number, err);
	return rc;
}

/* Call fn for every process in the namespace; the number of them. */
static unsigned
signal_namespace(const char *ns, int signo)
{
	struct ap_buf pids;
	struct ap_error err;
	unsigned count = 0;

	ap_buf_init(&pids, (size_t)1 << 20);
	if (LAB_RUN(&pids, &err, "ip", "netns", "pids", ns) == 0) {
		struct ap_slice rest = ap_buf_slice(&pids);

		while (rest.ptr != NULL && rest.len > 0) {
			struct ap_slice line = ap_slice_cut(&rest, '\n');
			pid_t pid = line.len == 0 ? 0 : (pid_t)strtol(line.ptr, NULL, 10);

			if (pid > 1 && pid != getpid()) {
				kill(pid, signo);
				count++;
			}
		}
	}
	ap_buf_done(&pids);
	return count;
}

/* Namespaces that bear the lab's name, whatever plan made them. */
static size_t
find_namespaces(const struct lab *lab, char (*out)[64], size_t max)
{
	DIR *dir = opendir("/run/netns");
	struct dirent *entry;
	char prefix[16];
	size_t n = 0;

	snprintf(prefix, sizeof(prefix), "%s-", lab->name);
	while (dir != NULL && n < max && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && strlen(entry->d_name) < sizeof(out[0]))
			snprintf(out[n++], sizeof(out[0]), "%.63s", entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

static unsigned
signal_all(char (*namespaces)[64], size_t count, int signo)
{
	unsigned alive = 0;

	for (size_t i = 0; i < count; i++)
		alive += signal_namespace(namespaces[i], signo);
	return alive;
}

static void
pause_ms(long ms)
{
	struct timespec t = { ms / 1000, (ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* First politely, so that each ztunnel removes its rules and each store is closed; then not. */
static void
end_processes(char (*namespaces)[64], size_t count)
{
	uint64_t deadline = ap_clock_mono_ms() + KILL_WAIT_MS;

	signal_all(namespaces, count, SIGTERM);
	while (signal_all(namespaces, count, 0) > 0 && ap_clock_mono_ms() < deadline)
		pause_ms(50);
	deadline = ap_clock_mono_ms() + KILL_WAIT_MS;
	while (signal_all(namespaces, count, SIGKILL) > 0 && ap_clock_mono_ms() < deadline)
		pause_ms(20);
}

static void
remove_cgroups(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char child[600], procs[620];
	int fd;

	if (dir == NULL)
		return;
	snprintf(procs, sizeof(procs), "%s/cgroup.kill", path);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "1", 1) == 1)
			pause_ms(20);
		close(fd);
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		remove_cgroups(child);
	}
	closedir(dir);
	rmdir(path);
}

/*
 * The bridge and our ends of the cables.  A namespace that goes takes its end of a cable along, but some time later, so they
 * are cut here, by name.
 */
static int
remove_links(const struct lab *lab, struct ap_error *err)
{
	DIR *dir = opendir("/sys/class/net");
	struct dirent *entry;
	char prefix[16];
	int rc = 0;

	snprintf(prefix, sizeof(prefix), "%s-", lab->name);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct ap_error one = { 0 };
		char path[300];

		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 || LAB_RUN(NULL, &one, "ip", "link", "delete", entry->d_name) == 0)
			continue;
		snprintf(path, sizeof(path), "/sys/class/net/%s", entry->d_name);
		if (access(path, F_OK) == 0) {
			*err = one;
			rc = one.code;
		}
	}
	if (dir != NULL)
		closedir(dir);
	return rc;
}

int
lab_net_down(const struct lab *lab, struct ap_error *err)
{
	char namespaces[64][64];
	size_t count = find_namespaces(lab, namespaces, AP_COUNTOF(namespaces));
	int rc;

	end_processes(namespaces, count);
	if (lab->cgroup[0] != '\0')
		remove_cgroups(lab->cgroup);
	rc = remove_links(lab, err);
	for (size_t i = 0; i < count; i++) {
		struct ap_error one = { 0 };

		if (LAB_RUN(NULL, &one, "ip", "netns", "delete", namespaces[i]) != 0 && rc == 0) {
			*err = one;
			rc = one.code;
		}
	}
	return rc;
}
