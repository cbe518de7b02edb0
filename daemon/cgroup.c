// SPDX-License-Identifier: GPL-2.0-or-later
#include "cgroup.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

static int find_mount(char *buf, size_t size)
{
	struct mntent entry, *found;
	char text[4096];
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	int err = -ENOENT;

	if (!mounts)
		return -errno;
	while ((found = getmntent_r(mounts, &entry, text, sizeof(text)))) {
		if (strcmp(found->mnt_type, "cgroup2") != 0)
			continue;
		err = snprintf(buf, size, "%s", found->mnt_dir) < (int)size ? 0 : -ENAMETOOLONG;
		break;
	}
	(void)endmntent(mounts);
	return err;
}

static int find_own(char *buf, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[4096];
	int err = -ENOENT;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		err = snprintf(buf, size, "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
		break;
	}
	(void)fclose(f);
	return err;
}

int cgroup_own_path(char *buf, size_t size)
{
	char mount[2048], own[2048];
	struct stat st;
	int err = find_mount(mount, sizeof(mount));

	if (!err)
		err = find_own(own, sizeof(own));
	if (err)
		return err;
	if (snprintf(buf, size, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own) >= (int)size)
		return -ENAMETOOLONG;
	if (stat(buf, &st) < 0 && snprintf(buf, size, "%s", mount) >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}

bool cgroup_is_root(const char *path)
{
	char file[4200];

	(void)snprintf(file, sizeof(file), "%s/cgroup.controllers", path);
	if (access(file, F_OK) < 0)
		return false;
	(void)snprintf(file, sizeof(file), "%s/cgroup.type", path);
	return access(file, F_OK) < 0;
}
