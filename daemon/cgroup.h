/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The directory of the process's own cgroup in the unified hierarchy: a cgroup2 mount of
 * /proc/self/mountinfo plus the "0::" line of /proc/self/cgroup. Where that path is not below the
 * mount (a container that sees only its own part), the mount itself. 0, -ENOENT without cgroup2,
 * or another negative errno.
 */
int cgroup_own_path(char *buf, size_t size);
/* Whether the folder is the root of all cgroups: the one that has no type. */
bool cgroup_is_root(const char *path);
