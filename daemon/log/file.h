/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <sys/types.h>

/*
 * Opens a log file to append to it, and makes it (mode 0640) where there is none; a new one is
 * given to uid and gid, unless they are -1. The descriptor, or -1 with errno set.
 */
int log_file_open(const char *path, uid_t uid, gid_t gid);
