/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a listening unix socket: taking over a stale one, whom it belongs to, and removing
 * only one's own. The directory is opened once, and everything goes through that descriptor and the
 * file's own: whoever may write to the path's folders cannot have another file made, removed, or
 * given away, in the place of the socket. It takes /proc.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "addr.h"

#define UNIX_FILE_PROC "/proc/self/fd/"

/* Whom a new socket file belongs to, and who may connect. */
struct unix_access {
	mode_t mode;
	uid_t uid; /* -1: who the process is */
	gid_t gid;
};
/* In the mode, for a file that was changed: it is as it was before that. */
#define UNIX_BEFORE 01000000

struct unix_file {
	bool ours;
	dev_t dev;
	ino_t ino;
	int dir; /* O_PATH: where it is */
	int pin; /* O_PATH: keeps the number from being given to another file while we compare it */
	struct unix_access before; /* the last change */
	bool changed;
};

/*
 * Binds `fd` to a path, with these permissions from its birth on; the owner is set right after it.
 * A socket file that refuses connections is replaced, a live one is -EADDRINUSE, another kind of
 * file -ENOTSOCK. Abstract names are bound as they are. Call it while the process has one thread:
 * it sets the umask for a moment. Where another user than root and our own can change a folder on
 * the way, getsockname() says UNIX_FILE_PROC instead of the folder, and a name that is too long
 * for that is -ENAMETOOLONG. 0 or a negative errno; on success *ret tells the file.
 */
int unix_file_bind(int fd, const struct addr *a, const struct unix_access *access,
		   struct unix_file *ret);
/* 0 or a negative errno. Allowed on a file that is not ours, and does nothing then. */
int unix_file_chown(const struct unix_file *f, uid_t uid, gid_t gid);
/* Gives it the mode and owner, where they are others. 0, or a negative errno and nothing is
 * changed. */
int unix_file_change(struct unix_file *f, const struct unix_access *want);
/* Takes hold of the file of a socket that another process has bound, if it is that inode still. 0
 * or a negative errno. */
int unix_file_take(const struct addr *a, dev_t dev, ino_t ino, struct unix_file *ret);
/* Whether the path still leads to it. */
bool unix_file_is_there(const struct addr *a, const struct unix_file *f);
/* Closes what is known of it, and lets it be. */
void unix_file_leave(struct unix_file *f);
/* Removes the file if it is still the one that was bound; then *f is not ours any more. */
void unix_file_remove(const struct addr *a, struct unix_file *f);
