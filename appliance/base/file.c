/*
 * file.c -- whole files and folders, with sentences for what goes wrong.
 *
 * Blocks; for start-up, configuration, keys and tests, never for the data path.  Any thread.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"

#define CHUNK 65536
#define DEPTH_MAX 64

static int
fail(struct ap_error *err, const char *what, const char *path)
{
	int code = errno == 0 ? EIO : errno;

	return ap_error_set(err, -code, "%s %s: %s", what, path, strerror(code));
}

static int
read_all(int fd, const char *path, struct ap_buf *out, struct ap_error *err)
{
	for (;;) {
		size_t left = out->ceiling - out->len;
		char spare, *room = &spare;
		ssize_t n;

		if (left > 0 && (room = ap_buf_reserve(out, AP_MIN(left, (size_t)CHUNK))) == NULL)
			return ap_error_set(err, -EFBIG, "read %s: no room", path);
		n = read(fd, room, left == 0 ? 1 : AP_MIN(left, (size_t)CHUNK));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(err, "read", path);
		if (n == 0)
			return 0;
		if (left == 0)
			return ap_error_set(
			    err, -EFBIG, "read %s: the file is bigger than %zu bytes", path, out->ceiling);
		ap_buf_commit(out, (size_t)n);
	}
}

int
ap_file_read(const char *path, struct ap_buf *out, struct ap_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return fail(err, "open", path);
	r = read_all(fd, path, out, err);
	close(fd);
	return r;
}

static int
write_all(int fd, struct ap_slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes = ap_slice_from(bytes, (size_t)n);
	}
	return 0;
}

/* The rename is durable only when the folder is. A file system that cannot do it does not fail the write. */
static void
sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? ap_strdup(".") : ap_strndup(path, AP_MAX((size_t)(slash - path), (size_t)1));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	ap_free(&folder);
}

int
ap_file_write(const char *path, struct ap_slice bytes, mode_t mode, struct ap_error *err)
{
	char *temp = ap_asprintf("%s.%08x.tmp", path, ap_rand_below(UINT32_MAX));
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = 0;

	if (fd < 0) {
		r = fail(err, "create", temp);
		goto out;
	}
	if (fchmod(fd, mode) < 0 || write_all(fd, bytes) < 0 || fsync(fd) < 0)
		r = fail(err, "write", temp);
	if (close(fd) < 0 && r == 0)
		r = fail(err, "close", temp);
	if (r == 0 && rename(temp, path) < 0)
		r = fail(err, "replace", path);
	if (r == 0)
		sync_folder_of(path);
	else
		unlink(temp);
out:
	ap_free(&temp);
	return r;
}

int
ap_dir_make(const char *path, mode_t mode, struct ap_error *err)
{
	char *copy = ap_strdup(path);
	struct stat st;
	int r = 0;

	for (char *p = copy + 1; copy[0] != '\0' && r == 0; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			r = fail(err, "make folder", copy);
		*p = c;
		if (c == '\0')
			break;
	}
	if (r == 0 && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
		r = ap_error_set(err, -ENOTDIR, "make folder %s: something else is there", path);
	ap_free(&copy);
	return r;
}

/* Empty the folder that fd is open on; takes fd. */
static int
empty_folder(int fd, const char *path, unsigned depth, struct ap_error *err)
{
	struct dirent *e;
	DIR *dir = fdopendir(fd);
	int r = 0;

	if (dir == NULL) {
		r = fail(err, "read folder", path);
		close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(dir)) != NULL) {
		int sub;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), e->d_name, 0) == 0)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			r = fail(err, "remove below", path);
			break;
		}
		sub = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			r = fail(err, "open below", path);
		else if (depth == 0) {
			close(sub);
			r = ap_error_set(err, -ELOOP, "remove %s: too deep", path);
		} else if ((r = empty_folder(sub, path, depth - 1, err)) == 0 &&
			   unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR) < 0)
			r = fail(err, "remove below", path);
	}
	closedir(dir);
	return r;
}

int
ap_dir_remove(const char *path, struct ap_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : fail(err, "remove", path);
	r = empty_folder(fd, path, DEPTH_MAX, err);
	if (r == 0 && rmdir(path) < 0)
		r = fail(err, "remove", path);
	return r;
}
