// SPDX-License-Identifier: GPL-2.0-or-later
#include "unixfile.h"

#include <errno.h>
#include <fcntl.h>

static bool is_abstract(const struct addr *a)
{
	return a->un.sun_path[0] == '\0';
}

/* Does nobody answer at this socket any more? */
static bool is_stale(const struct addr *a)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, &a->sa, a->len) < 0 && errno == ECONNREFUSED;
}

static int remove_stale(const struct addr *a)
{
	struct stat st;

	if (lstat(a->un.sun_path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (!is_stale(a))
		return -EADDRINUSE;
	return unlink(a->un.sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_masked(int fd, const struct addr *a, mode_t mode)
{
	mode_t old = umask(~mode & 0777);
	int err = bind(fd, &a->sa, a->len) < 0 ? -errno : 0;

	(void)umask(old);
	return err;
}

int unix_file_bind(int fd, const struct addr *a, mode_t mode, struct unix_file *ret)
{
	_cleanup_close_ int pin = -1;
	struct stat st;
	int err;

	err = bind_masked(fd, a, mode);
	if (err == -EADDRINUSE && !is_abstract(a)) {
		err = remove_stale(a);
		if (!err)
			err = bind_masked(fd, a, mode);
	}
	if (err || is_abstract(a))
		return err;
	pin = open(a->un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (pin < 0 || fstat(pin, &st) < 0)
		return -errno;
	*ret = (struct unix_file){.dev = st.st_dev, .ino = st.st_ino, .pin = TAKE_FD(pin)};
	return 0;
}

void unix_file_remove(const struct addr *a, struct unix_file *f)
{
	struct stat st;

	if (!f->ino)
		return;
	/* The path may be another daemon's by now. */
	if (lstat(a->un.sun_path, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino)
		(void)unlink(a->un.sun_path);
	(void)close(f->pin);
	f->ino = 0;
}
