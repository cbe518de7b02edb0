// SPDX-License-Identifier: GPL-2.0-or-later
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../util.h"

struct process {
	int statm_fd;         /* -1: there is no /proc */
	DIR *fds;             /* NULL: the same */
	double start_seconds; /* as the clock said then: it stays as it is when that is set */
};

static double seconds(const struct timespec *t)
{
	return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

struct process *process_open(void)
{
	struct process *p = calloc(1, sizeof(*p));
	struct timespec now = {0};

	if (!p)
		return NULL;
	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	p->start_seconds = seconds(&now);
	p->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	p->fds = opendir("/proc/self/fd");
	return p;
}

void process_close(struct process *p)
{
	if (!p)
		return;
	closep_(&p->statm_fd);
	if (p->fds)
		(void)closedir(p->fds);
	free(p);
}

/* Since Linux 6.2 it is the size of the folder. Before, it was 0, and they must be counted. */
static bool read_fds(const struct process *p, uint64_t *ret)
{
	struct stat st;

	if (!p->fds || fstat(dirfd(p->fds), &st) < 0)
		return false;
	*ret = (uint64_t)st.st_size;
	if (*ret)
		return true;
	rewinddir(p->fds);
	while (readdir(p->fds))
		++*ret;
	*ret -= MIN(*ret, UINT64_C(2)); /* "." and ".." */
	return true;
}

static bool read_memory(const struct process *p, struct process_figures *ret)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long size, resident;
	char text[128];
	ssize_t n = p->statm_fd < 0 ? -1 : pread(p->statm_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	/* The kernel's own numbers: they fit. */
	if (sscanf(text, "%llu %llu", &size, &resident) != 2) /* NOLINT(cert-err34-c) */
		return false;
	ret->virtual_bytes = size * page;
	ret->resident_bytes = resident * page;
	return true;
}

static double cpu_seconds(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* cannot fail */
	return seconds(&t);
}

void process_read(struct process *p, struct process_figures *ret)
{
	struct rlimit limit = {0};

	*ret = (struct process_figures){.start_seconds = p->start_seconds,
					.cpu_seconds = cpu_seconds()};
	(void)getrlimit(RLIMIT_NOFILE, &limit); /* cannot fail */
	ret->max_fds = limit.rlim_cur;
	ret->has_fds = read_fds(p, &ret->open_fds);
	ret->has_memory = read_memory(p, ret);
}
