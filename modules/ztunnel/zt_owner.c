/*
 * zt_owner.c -- whose socket is this?  The kernel's answer (uid, cgroup id, inode) is compared with each workload's selectors.  A
 * cgroup id becomes a path by its file handle, which is exact and needs no walk; the paths found are remembered, since
 * the kernel never gives an id twice.  An executable is looked up by walking /proc, only when some workload asks for it.
 * One per worker, on its thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "ztunnel/zt_hosted.h"

#define PATHS_MAX 4096U
#define HANDLE_KERNFS 0xfe

struct zt_owners {
	int mount_fd; /* cgroup2; -1: not found */
	char mount[512];
	struct ap_map paths; /* id (8 bytes) -> path text */
};

/* Where cgroup2 is mounted, from /proc/mounts. */
static void
find_mount(struct zt_owners *o)
{
	struct ap_slice rest, line, path;
	struct ap_buf text;
	struct ap_error err;

	ap_buf_init(&text, 1024 * 1024);
	if (ap_file_read("/proc/self/mounts", &text, &err) == 0) {
		rest = ap_buf_slice(&text);
		while (rest.ptr != NULL && o->mount_fd < 0) {
			line = ap_slice_cut(&rest, '\n');
			(void)ap_slice_cut(&line, ' ');
			path = ap_slice_cut(&line, ' ');
			if (!ap_slice_eq_text(ap_slice_cut(&line, ' '), "cgroup2") || path.len >= sizeof(o->mount))
				continue;
			(void)snprintf(o->mount, sizeof(o->mount), "%.*s", AP_FMT(path));
			o->mount_fd = open(o->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		}
	}
	ap_buf_done(&text);
}

struct zt_owners *
zt_owners_new(void)
{
	struct zt_owners *o = ap_new(struct zt_owners);

	o->mount_fd = -1;
	find_mount(o);
	return o;
}

void
zt_owners_free(struct zt_owners **o)
{
	struct zt_owners *old = *o;

	*o = NULL;
	if (old == NULL)
		return;
	if (old->mount_fd >= 0)
		close(old->mount_fd);
	ap_map_done(&old->paths, ap_mem_free);
	ap_free(&old);
}

/* The path below the mount of a cgroup id, or NULL. */
static char *
path_by_handle(const struct zt_owners *o, uint64_t id)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(uint64_t)];
	} h;
	char link[64], path[1024];
	size_t mount_len = strlen(o->mount);
	ssize_t n;
	int fd;

	memset(&h, 0, sizeof(h));
	h.handle.handle_bytes = sizeof(id);
	h.handle.handle_type = HANDLE_KERNFS;
	memcpy(h.handle.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(o->mount_fd, &h.handle, O_RDONLY | O_PATH | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	close(fd);
	if (n < (ssize_t)mount_len)
		return NULL;
	path[n] = '\0';
	return ap_strdup(path + mount_len);
}

/* Without the right to open handles: is it one of the cgroups that the workloads name? */
static char *
path_by_stat(const struct zt_owners *o, const struct zt_hosted *h, uint64_t id)
{
	char path[1024];
	struct stat st;
	uint32_t i;

	for (i = 0; i < h->count; i++) {
		struct ap_slice c = h->items[i].cgroup, u = h->items[i].unit;

		if (c.len > 0)
			(void)snprintf(path, sizeof(path), "%s/%.*s", o->mount, AP_FMT(c));
		else if (u.len > 0)
			(void)snprintf(path, sizeof(path), "%s/system.slice/%.*s", o->mount, AP_FMT(u));
		else
			continue;
		if (stat(path, &st) == 0 && st.st_ino == id)
			return ap_strdup(path + strlen(o->mount));
	}
	return NULL;
}

static struct ap_slice
cgroup_path(struct zt_owners *o, const struct zt_hosted *h, uint64_t id)
{
	struct ap_slice key = ap_slice((const char *)&id, sizeof(id));
	char *path = ap_map_find(&o->paths, key);

	if (path != NULL || o->mount_fd < 0 || id == 0)
		return ap_slice_of(path);
	path = path_by_handle(o, id);
	if (path == NULL)
		path = path_by_stat(o, h, id);
	if (path == NULL)
		return AP_SLICE_NONE;
	if (o->paths.count >= PATHS_MAX) {
		ap_map_done(&o->paths, ap_mem_free);
		o->paths = (struct ap_map){ 0 };
	}
	(void)ap_map_put(&o->paths, key, path);
	return ap_slice_of(path);
}

/* Leading and trailing slashes do not matter. */
static struct ap_slice
bare(struct ap_slice path)
{
	while (path.len > 0 && path.ptr[0] == '/')
		path = ap_slice_from(path, 1);
	while (path.len > 0 && path.ptr[path.len - 1] == '/')
		path.len--;
	return path;
}

bool
zt_cgroup_matches(struct ap_slice path, const struct zt_hosted_workload *w)
{
	struct ap_slice rest = bare(path), want = bare(w->cgroup);
	bool found = w->unit.len == 0;

	if (want.len > 0 &&
	    (!ap_slice_starts(rest, want) || (rest.len > want.len && rest.ptr[want.len] != '/')))
		return false;
	while (!found && rest.ptr != NULL)
		found = ap_slice_eq(ap_slice_cut(&rest, '/'), w->unit);
	return found;
}

static bool
holds_socket(const char *pid, const char *target)
{
	char path[300], link[64];
	struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	if (d == NULL)
		return false;
	while (!found && (e = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		found = strcmp(link, target) == 0;
	}
	closedir(d);
	return found;
}

/* Does a process with this executable hold the socket? */
static bool
executable_matches(struct ap_slice executable, uint64_t inode)
{
	char path[300], exe[1024], target[64];
	struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	if (inode == 0)
		return false;
	d = opendir("/proc");
	if (d == NULL)
		return false;
	(void)snprintf(target, sizeof(target), "socket:[%llu]", (unsigned long long)inode);
	while (!found && (e = readdir(d)) != NULL) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/exe", e->d_name);
		n = readlink(path, exe, sizeof(exe));
		found = n > 0 && ap_slice_eq(ap_slice(exe, (size_t)n), executable) && holds_socket(e->d_name, target);
	}
	closedir(d);
	return found;
}

/* Cheap selectors first; what the kernel did not tell cannot match. */
static bool
is_owner(struct zt_owners *o, const struct zt_hosted *h, const struct zt_hosted_workload *w,
    const struct ap_socket_owner *owner, const struct ap_ip *ip)
{
	if (w->is_elsewhere)
		return false;
	if (w->has_uid && w->uid != owner->uid)
		return false;
	if (w->has_ip && !ap_ip_eq(&w->ip, ip))
		return false;
	if (w->unit.len > 0 || w->cgroup.len > 0) {
		struct ap_slice path = cgroup_path(o, h, owner->cgroup_id);

		if (path.len == 0 || !zt_cgroup_matches(path, w))
			return false;
	}
	return w->executable.len == 0 || executable_matches(w->executable, owner->inode);
}

enum zt_owner_result
zt_owners_find(struct zt_owners *o, const struct zt_hosted *h, const struct ap_socket_owner *owner,
    const struct ap_ip *ip, const struct zt_hosted_workload **out)
{
	const struct zt_hosted_workload *found = NULL, *rest = NULL;
	uint32_t i, rest_count = 0;

	for (i = 0; i < h->count; i++) {
		const struct zt_hosted_workload *w = &h->items[i];

		if (!w->has_selector) {
			rest = w;
			rest_count++;
		} else if (is_owner(o, h, w, owner, ip)) {
			if (found != NULL)
				return ZT_OWNER_AMBIGUOUS;
			found = w;
		}
	}
	if (found == NULL && rest_count > 1)
		return ZT_OWNER_AMBIGUOUS;
	*out = found != NULL ? found : rest;
	return *out == NULL ? ZT_OWNER_NONE : ZT_OWNER_FOUND;
}
