// SPDX-License-Identifier: GPL-2.0-or-later
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../util.h"
#include "link.h"

#define SELF "/proc/self/exe"

/* Of a child that could not become the program, as a shell has it. */
#define EXIT_NO_PROGRAM 127

/* What names a descriptor is another file soon. */
static bool is_lasting(const char *name)
{
	return name[0] == '/' && strncmp(name, "/dev/fd/", 8) != 0 &&
	       strncmp(name, "/proc/", 6) != 0 && strlen(name) < PATH_MAX;
}

static bool leads_here(const char *name)
{
	struct stat there, here;

	return stat(name, &there) == 0 && stat(SELF, &here) == 0 && there.st_dev == here.st_dev &&
	       there.st_ino == here.st_ino;
}

/*
 * The whole name by which it was started: a symbolic link in it may lead to a newer version later,
 * or does already. Where that is not known, as the kernel has it, links resolved. 0 or a negative
 * errno.
 */
static int find_path(const char *argv0, char ret[PATH_MAX])
{
	const char *name = (const char *)getauxval(AT_EXECFN); /* as execve() was given it */
	ssize_t n;

	if (!name || !is_lasting(name))
		name = argv0 && is_lasting(argv0) && leads_here(argv0) ? argv0 : NULL;
	if (name) {
		memcpy(ret, name, strlen(name) + 1);
		return 0;
	}
	n = readlink(SELF, ret, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	return 0;
}

int program_init(struct program *p, char **argv)
{
	int err = find_path(argv[0], p->path);
	struct rlimit all;

	if (err)
		return err;
	p->argv = argv;
	if (getrlimit(RLIMIT_NOFILE, &p->nofile) < 0)
		return -errno;
	all = (struct rlimit){.rlim_cur = p->nofile.rlim_max, .rlim_max = p->nofile.rlim_max};
	/* Some for each address and worker thread. If it may not: then as many as there are. */
	(void)setrlimit(RLIMIT_NOFILE, &all);
	return 0;
}

static void _noreturn_ say_and_exit(const char *what, const char *path)
{
	(void)dprintf(STDERR_FILENO, "spliced: %s: %s: %s\n", path, what, strerror(errno));
	_exit(EXIT_NO_PROGRAM);
}

/* This process has one thread: everything is allowed in its children. */
pid_t program_fork(const struct program *p)
{
	pid_t pid = fork();

	if (pid == 0 && (setpgid(0, 0) < 0 || setrlimit(RLIMIT_NOFILE, &p->nofile) < 0))
		say_and_exit("starting a process", p->path);
	return pid < 0 ? -errno : pid;
}

void program_be_worker(const struct program *p, int channel, bool from_disk)
{
	char number[16];

	if (!from_disk)
		exit(p->work(channel, p->arg));
	(void)snprintf(number, sizeof(number), "%d", channel);
	if (fcntl(channel, F_SETFD, 0) < 0 || setenv(LINK_VARIABLE, number, 1) < 0)
		say_and_exit("starting a worker", p->path);
	(void)execv(p->path, p->argv);
	say_and_exit("exec", p->path);
}

pid_t program_start_check(const struct program *p, int out)
{
	static char check[] = "-t";
	size_t n = 0;
	char **argv;
	pid_t pid;

	while (p->argv[n])
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	argv[0] = p->argv[0];
	argv[1] = check;
	memcpy(&argv[2], &p->argv[1], n * sizeof(*argv)); /* with the NULL at the end */
	pid = program_fork(p);
	if (pid == 0) {
		if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
			say_and_exit("starting a check", p->path);
		(void)execv(p->path, argv);
		say_and_exit("exec", p->path);
	}
	free(argv);
	return pid;
}

int program_become(const struct program *p, const char *variable, const char *value)
{
	struct rlimit now;
	int err;

	if (setenv(variable, value, 1) < 0)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &now) == 0)
		(void)setrlimit(RLIMIT_NOFILE, &p->nofile); /* what it will find and restore */
	(void)execv(p->path, p->argv);
	err = -errno;
	(void)setrlimit(RLIMIT_NOFILE, &now);
	(void)unsetenv(variable);
	return err;
}
