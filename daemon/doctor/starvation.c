// SPDX-License-Identifier: GPL-2.0-or-later
#include "starvation.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "../util.h"

static uint64_t starved_of(int dir, const char *task)
{
	char path[64], text[128];
	unsigned long long ran, waited;
	_cleanup_close_ int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%.20s/schedstat", task);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return 0; /* it has ended, or the kernel does not count */
	text[n] = '\0';
	return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

uint64_t starved_ns(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *task;
	uint64_t ret = 0;

	if (!tasks)
		return 0;
	while ((task = readdir(tasks)))
		if (*task->d_name != '.')
			ret += starved_of(dirfd(tasks), task->d_name);
	(void)closedir(tasks);
	return ret;
}
