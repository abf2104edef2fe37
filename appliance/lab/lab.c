/* lab.c -- where the lab is and what it is called. */
#include "lab/lab.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/text.h"

/* Where cgroup v2 is mounted: /sys/fs/cgroup, or below it where v1 controllers hold that. Empty: nowhere. */
static void
find_cgroup2(char *out, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent entry;
	char line[1024];

	out[0] = '\0';
	while (mounts != NULL && getmntent_r(mounts, &entry, line, (int)sizeof(line)) != NULL) {
		if (strcmp(entry.mnt_type, "cgroup2") == 0) {
			snprintf(out, size, "%s", entry.mnt_dir);
			break;
		}
	}
	if (mounts != NULL)
		endmntent(mounts);
}

/* This binary, and the demo beside it: in the build tree both lie in one folder (behind libtool's .libs), installed in two. */
static int
find_programs(struct lab *lab, struct ap_error *err)
{
	ssize_t n = readlink("/proc/self/exe", lab->self, sizeof(lab->self) - 1);
	const char *given = getenv("AMBIT_BOOKINFO");
	char folder[400];
	char *slash;

	if (n <= 0)
		return ap_error_set(err, -errno, "the path of this program cannot be read from /proc; mount it.");
	lab->self[n] = '\0';
	snprintf(folder, sizeof(folder), "%.*s", (int)(sizeof(folder) - 1), lab->self);
	slash = strrchr(folder, '/');
	if (slash != NULL)
		*slash = '\0';
	if (given != NULL)
		snprintf(lab->bookinfo, sizeof(lab->bookinfo), "%s", given);
	else
		snprintf(lab->bookinfo, sizeof(lab->bookinfo), "%s/ambit-bookinfo", folder);
	if (access(lab->bookinfo, X_OK) != 0)
		snprintf(lab->bookinfo, sizeof(lab->bookinfo), "%s/../ambit-bookinfo", folder);
	if (access(lab->bookinfo, X_OK) != 0)
		snprintf(lab->bookinfo, sizeof(lab->bookinfo), "%s/ambit-bookinfo", AP_LIBEXECDIR);
	if (access(lab->bookinfo, X_OK) != 0)
		return ap_error_set(err, -ENOENT, "the lab's program %s is missing; run make install, or set AMBIT_BOOKINFO.",
		    lab->bookinfo);
	return 0;
}

static int
check_net(const char *net, struct ap_error *err)
{
	char text[32];
	struct ap_ip ip;

	snprintf(text, sizeof(text), "%s.0", net);
	if (ap_ip_parse(ap_slice_of(text), &ip) != 0 || ip.len != 4)
		return ap_error_set(err, -EINVAL, "AMBIT_LAB_NET is '%s'; give three numbers, as in 10.77.0.", net);
	return 0;
}

int
lab_open(struct lab *lab, struct ap_error *err)
{
	const char *name = getenv("AMBIT_LAB_NAME");
	const char *net = getenv("AMBIT_LAB_NET");
	char mount[128];

	memset(lab, 0, sizeof(*lab));
	name = name == NULL || *name == '\0' ? "ambit" : name;
	net = net == NULL || *net == '\0' ? "10.77.0" : net;
	if (strlen(name) > 8 || !ap_text_is_label(ap_slice_of(name)))
		return ap_error_set(err, -EINVAL, "AMBIT_LAB_NAME is '%s'; give at most 8 lower-case letters and digits.", name);
	if (check_net(net, err) != 0)
		return err->code;
	snprintf(lab->name, sizeof(lab->name), "%s", name);
	snprintf(lab->net, sizeof(lab->net), "%s", net);
	snprintf(lab->folder, sizeof(lab->folder), "/run/ambit-lab%s%s", strcmp(name, "ambit") == 0 ? "" : "-",
	    strcmp(name, "ambit") == 0 ? "" : name);
	find_cgroup2(mount, sizeof(mount));
	if (mount[0] != '\0') {
		snprintf(lab->cgroup_path, sizeof(lab->cgroup_path), "/ambit-lab-%s", name);
		snprintf(lab->cgroup, sizeof(lab->cgroup), "%s%s", mount, lab->cgroup_path);
	}
	return find_programs(lab, err);
}

bool
lab_is_up(const struct lab *lab)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/up", lab->folder);
	return access(path, F_OK) == 0;
}

void
lab_vm_folder(const struct lab *lab, const char *vm, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", lab->folder, vm);
}

void
lab_namespace(const struct lab *lab, const char *vm, char *out, size_t size)
{
	snprintf(out, size, "%s-%s", lab->name, vm);
}
