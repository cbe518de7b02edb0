// SPDX-License-Identifier: GPL-2.0-or-later
#include "controlpath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool control_path_is_usable(const char *path)
{
	char dir[CONTROL_PATH_MAX];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	for (int i = 0; i < 2; i++) {
		slash = strrchr(dir, '/');
		if (!slash)
			return false;
		slash[slash == dir ? 1 : 0] = '\0';
		if (access(dir, W_OK | X_OK) == 0)
			return true;
		/* The folder itself is made by the daemon, but not the one it is in. */
		if (errno != ENOENT)
			return false;
	}
	return false;
}

/* Whether a folder is a real one, this user's, and nobody else may write to it. */
static int check_own(const char *dir)
{
	struct stat st;

	if (lstat(dir, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	return 0;
}

int control_path_of_user(char buf[CONTROL_PATH_MAX], bool make)
{
	static const char name[] = "/control.sock";
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	size_t n;
	int err;

	if (runtime && runtime[0] == '/' && check_own(runtime) == 0)
		(void)snprintf(buf, CONTROL_PATH_MAX, "%s/spliced", runtime);
	else
		(void)snprintf(buf, CONTROL_PATH_MAX, "/tmp/spliced-%u", (unsigned int)geteuid());
	n = strlen(buf);
	/* One that was cut is too long, too. */
	if (n + sizeof(name) > CONTROL_PATH_MAX)
		return -ENAMETOOLONG;
	if (make && mkdir(buf, 0700) < 0 && errno != EEXIST)
		return -errno;
	err = check_own(buf);
	if (!err)
		memcpy(buf + n, name, sizeof(name));
	return err;
}
