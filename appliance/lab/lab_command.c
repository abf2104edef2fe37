/* lab_command.c -- runs a program, waits for it, and turns its complaint into a sentence. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/lab.h"

extern char **environ;

#define SAID_MAX 2000

static void
read_all(int fd, struct ap_buf *out)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR)) {
		if (n > 0)
			ap_buf_add(out, chunk, (size_t)n);
	}
}

static int
start(const char *const *argv, int out_fd, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 2);
	rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

int
lab_command(struct ap_buf *out, struct ap_error *err, const char *const *argv)
{
	struct ap_buf said;
	int fds[2], status = 0, rc;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return ap_error_set(err, -errno, "no pipe for %s: %s.", argv[0], strerror(errno));
	rc = start(argv, fds[1], &pid);
	close(fds[1]);
	if (rc != 0) {
		close(fds[0]);
		return ap_error_set(err, rc, "%s cannot be started: %s; install it.", argv[0], strerror(-rc));
	}
	ap_buf_init(&said, SAID_MAX);
	read_all(fds[0], out != NULL ? out : &said);
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		struct ap_buf *text = out != NULL ? out : &said;

		while (text->len > 0 && text->ptr[text->len - 1] == '\n')
			text->len--;
		rc = ap_error_set(err, -EIO, "%s %s %s failed: %.*s", argv[0], argv[1] == NULL ? "" : argv[1],
		    argv[1] == NULL || argv[2] == NULL ? "" : argv[2], (int)AP_MIN(text->len, (size_t)300),
		    text->ptr == NULL ? "" : text->ptr);
		if (rc == -EIO && WIFEXITED(status))
			rc = -WEXITSTATUS(status);
	}
	ap_buf_done(&said);
	return rc;
}
