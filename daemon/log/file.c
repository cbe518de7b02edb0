// SPDX-License-Identifier: GPL-2.0-or-later
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0640

/* Whether only root and the process may put something into the folder of a path. */
static bool in_trusted_folder(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	struct stat st;

	(void)snprintf(dir, sizeof(dir), "%.*s", len ? (int)len : 1, len ? path : "/");
	return stat(dir, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/*
 * O_NONBLOCK: a FIFO without a reader is an error and not a wait. A symbolic link is followed only
 * where nobody else can have put it: root may be asked here to open what another user names.
 */
int log_file_open(const char *path, uid_t uid, gid_t gid)
{
	int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd;

	if (!in_trusted_folder(path))
		flags |= O_NOFOLLOW;
	fd = open(path, flags | O_CREAT | O_EXCL, FILE_MODE);
	if (fd >= 0) {
		/* Later it is that user who makes it. */
		if (geteuid() == 0 && (uid != (uid_t)-1 || gid != (gid_t)-1) &&
		    fchown(fd, uid, gid) < 0) {
			int err = errno;

			/* It would be in that user's way. */
			(void)unlink(path);
			(void)close(fd);
			errno = err;
			return -1;
		}
		return fd;
	}
	return errno == EEXIST ? open(path, flags) : -1;
}
