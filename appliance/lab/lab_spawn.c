/*
 * lab_spawn.c -- starts a program in a VM: in its network namespace, with a mount namespace in which /etc/resolv.conf and
 * /etc/hostname are the VM's, as its user, in its cgroup.  /sys is left alone, so that the ztunnel sees cgroups.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "lab/lab.h"

/* In the child from here on: every failure is told on standard error, which is the program's log. */
static void
die(const char *what, const char *with)
{
	dprintf(STDERR_FILENO, "lab: %s %s: %s\n", what, with, strerror(errno));
	_exit(126);
}

static void
enter_network(const struct lab *lab, const char *vm)
{
	char name[64], path[128];
	int fd;

	lab_namespace(lab, vm, name, sizeof(name));
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		die("cannot enter", path);
	close(fd);
}

static void
enter_mounts(const struct lab *lab, const char *vm)
{
	char folder[160], from[200];

	if (unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		die("no mount namespace for", vm);
	if (sethostname(vm, strlen(vm)) != 0)
		die("cannot name", vm);
	lab_vm_folder(lab, vm, folder, sizeof(folder));
	snprintf(from, sizeof(from), "%s/resolv.conf", folder);
	if (access(from, R_OK) == 0 && mount(from, "/etc/resolv.conf", NULL, MS_BIND, NULL) != 0)
		die("cannot mount over", "/etc/resolv.conf");
}

static void
enter_cgroup(const struct lab *lab, const char *name)
{
	char path[300];
	int fd;

	if (lab->cgroup[0] == '\0')
		return;
	snprintf(path, sizeof(path), "%s/%s/cgroup.procs", lab->cgroup, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die("cannot enter", path);
	close(fd);
}

static void
become(uid_t uid)
{
	struct rlimit files = { 65536, 65536 };

	setrlimit(RLIMIT_NOFILE, &files);
	if (uid == 0)
		return;
	if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
		die("cannot become the user of", "the program");
}

static void
open_log(const struct lab *lab, const struct lab_spawn *s)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s.log", lab->folder, s->vm, s->log);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		die("cannot write", path);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	dup2(fd, STDIN_FILENO);
	setsid();
}

static void
run_child(const struct lab *lab, const struct lab_spawn *s)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!s->in_foreground)
		open_log(lab, s);
	enter_cgroup(lab, s->cgroup != NULL ? s->cgroup : s->vm);
	enter_network(lab, s->vm);
	enter_mounts(lab, s->vm);
	if (chdir("/") != 0)
		die("cannot go to", "/");
	become(s->uid);
	for (const char *const *e = s->env; e != NULL && *e != NULL; e++)
		putenv((char *)(uintptr_t)*e);
	execvp(s->argv[0], (char *const *)(uintptr_t)s->argv);
	die("cannot run", s->argv[0]);
}

static int
make_cgroup(const struct lab *lab, const char *name, struct ap_error *err)
{
	char path[300];

	if (lab->cgroup[0] == '\0')
		return 0;
	snprintf(path, sizeof(path), "%s/%s", lab->cgroup, name);
	return ap_dir_make(path, 0755, err);
}

int
lab_spawn(const struct lab *lab, const struct lab_spawn *s, pid_t *out_pid, struct ap_error *err)
{
	int status = 0;
	pid_t pid;

	if (make_cgroup(lab, s->cgroup != NULL ? s->cgroup : s->vm, err) != 0)
		return err->code;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return ap_error_set(err, -errno, "cannot start %s: %s.", s->argv[0], strerror(errno));
	if (pid == 0)
		run_child(lab, s);
	if (out_pid != NULL)
		*out_pid = pid;
	if (!s->in_foreground)
		return 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
