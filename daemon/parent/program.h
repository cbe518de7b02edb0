/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program that this process was started from, and its command line, to be started again. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "../util.h"

struct program {
	char **argv;          /* the caller's */
	char path[PATH_MAX];  /* by which it was started, and where a newer one is found */
	struct rlimit nofile; /* as it was given: what a child begins with */
	/* A worker's whole life, in a process that was forked off this one. The exit code. */
	int (*work)(int channel, void *arg);
	void *arg;
};

/* Fills everything in, and raises this process's own limit of descriptors. 0 or a negative errno.
 */
int program_init(struct program *p, char **argv);

/* Forks off a process, in a process group of its own, so that a terminal's signals go to the parent
 * alone. The pid, 0 in the new process, or a negative errno. */
pid_t program_fork(const struct program *p);
/*
 * There: is a worker. `channel` is its end of the link. `from_disk`: of the file that has the
 * program's name now; else of what this process runs, whatever has become of its file.
 */
void _noreturn_ program_be_worker(const struct program *p, int channel, bool from_disk);
/* Starts the program on disk with -t; what it says goes to `out`. The pid or a negative errno. */
pid_t program_start_check(const struct program *p, int out);
/* Becomes the program on disk, with `variable` as `value` in its environment. Returns a negative
 * errno if that fails. */
int program_become(const struct program *p, const char *variable, const char *value);
