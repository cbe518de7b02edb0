/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of a listening unix socket: taking over a stale one, and removing only one's own. */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "addr.h"

struct unix_file {
	dev_t dev;
	ino_t ino; /* 0: not ours */
	int pin;   /* keeps the number from being given to another file while we compare it */
};

/*
 * Binds `fd` to a path, with these permissions from its birth on (no path is ever chmod()ed: it may
 * lie in a folder of the user the daemon runs as). A socket file that refuses connections is
 * replaced, a live one is -EADDRINUSE, another kind of file -ENOTSOCK. Abstract names are bound as
 * they are. Call it while the process has one thread: it sets the umask for a moment.
 * 0 or a negative errno; on success *ret tells the file.
 */
int unix_file_bind(int fd, const struct addr *a, mode_t mode, struct unix_file *ret);
/* Removes the file if it is still the one that was bound; then *f is not ours any more. */
void unix_file_remove(const struct addr *a, struct unix_file *f);
