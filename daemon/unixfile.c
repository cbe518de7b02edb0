// SPDX-License-Identifier: GPL-2.0-or-later
#include "unixfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static bool is_abstract(const struct addr *a)
{
	return a->un.sun_path[0] == '\0';
}

static const char *name_of(const struct addr *a)
{
	const char *slash = strrchr(a->un.sun_path, '/');

	return slash ? slash + 1 : a->un.sun_path;
}

/* The directory of the path, as O_PATH; or a negative errno. */
static int open_directory(const struct addr *a)
{
	char path[sizeof(a->un.sun_path) + 1];
	size_t len = (size_t)(name_of(a) - a->un.sun_path);
	int fd;

	(void)snprintf(path, sizeof(path), "%.*s", (int)len, a->un.sun_path);
	fd = open(len ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whom we trust with a folder: whoever could do what we do anyway. */
static bool is_trusted(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

/*
 * Whether nobody but root and we can lead the path to another folder: no link is in it, and what is
 * above the folder may be changed by nobody else. From the root on, so that what was looked at
 * stays as it was seen.
 */
static bool is_settled(const struct addr *a)
{
	const char *name = name_of(a);
	char path[sizeof(a->un.sun_path) + 1];
	bool own = false; /* of what is in this folder only its owner can be renamed */
	struct stat st;

	if (a->un.sun_path[0] != '/')
		return false;
	for (const char *at = a->un.sun_path; at < name; at = strchr(at, '/') + 1) {
		const char *end = strchr(at, '/');
		size_t len = (size_t)(end - a->un.sun_path);

		(void)snprintf(path, sizeof(path), "%.*s", (int)MAX(len, (size_t)1),
			       a->un.sun_path);
		if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || (own && !is_trusted(&st)))
			return false;
		if (end + 1 == name)
			return true;
		own = st.st_mode & S_ISVTX;
		if (!is_trusted(&st) || (!own && (st.st_mode & (S_IWGRP | S_IWOTH))))
			return false;
	}
	return false;
}

/*
 * Where the file is to be bound. bind() has no descriptor of a folder, and follows the path once
 * more: where another user may change that meanwhile, it is led to the folder that was opened. Then
 * that is what getsockname() says.
 */
static int place_of(const struct addr *a, int dir, struct addr *ret)
{
	int n;

	*ret = *a;
	if (is_settled(a))
		return 0;
	n = snprintf(ret->un.sun_path, sizeof(ret->un.sun_path), UNIX_FILE_PROC "%d/%s", dir,
		     name_of(a));
	ret->len = sizeof(ret->un);
	return n < (int)sizeof(ret->un.sun_path) ? 0 : -ENAMETOOLONG;
}

/* Does nobody answer at this socket any more? */
static bool is_stale(int pin)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct addr a = {.len = sizeof(a.un), .un.sun_family = AF_UNIX};

	(void)snprintf(a.un.sun_path, sizeof(a.un.sun_path), UNIX_FILE_PROC "%d", pin);
	return fd >= 0 && connect(fd, &a.sa, a.len) < 0 && errno == ECONNREFUSED;
}

/* Whether the name in the directory still is the file that `pin` holds. */
static bool is_same(int dir, const char *name, const struct stat *want)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == want->st_dev &&
	       st.st_ino == want->st_ino;
}

static int remove_stale(int dir, const char *name)
{
	_cleanup_close_ int pin = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (pin < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(pin, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (!is_stale(pin) || !is_same(dir, name, &st))
		return -EADDRINUSE;
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_masked(int fd, const struct addr *a, mode_t mode)
{
	mode_t old = umask(~mode & 0777);
	int err = bind(fd, &a->sa, a->len) < 0 ? -errno : 0;

	(void)umask(old);
	return err;
}

/* Takes hold of the file that bind() made: a socket of our own with one name, and no other file. */
static int pin_file(int dir, const char *name, struct unix_file *f)
{
	_cleanup_close_ int pin = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (pin < 0 || fstat(pin, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)
		return -ESTALE;
	*f = (struct unix_file){
	    .ours = true, .dev = st.st_dev, .ino = st.st_ino, .dir = dir, .pin = TAKE_FD(pin)};
	return 0;
}

int unix_file_chown(const struct unix_file *f, uid_t uid, gid_t gid)
{
	if (!f->ours || (uid == (uid_t)-1 && gid == (gid_t)-1))
		return 0;
	return fchownat(f->pin, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_owner(const struct unix_file *f, const struct unix_access *to,
		     const struct unix_access *was)
{
	return unix_file_chown(f, to->uid == was->uid ? (uid_t)-1 : to->uid,
			       to->gid == was->gid ? (gid_t)-1 : to->gid);
}

static int set_mode(const struct unix_file *f, const struct unix_access *to,
		    const struct unix_access *was)
{
	char path[sizeof(UNIX_FILE_PROC) + 12];

	/* O_PATH descriptors know no fchmod(), and fchmodat() no AT_EMPTY_PATH before 6.6. */
	(void)snprintf(path, sizeof(path), UNIX_FILE_PROC "%d", f->pin);
	if (((to->mode ^ was->mode) & 0777) && chmod(path, to->mode & 0777) < 0)
		return -errno;
	return 0;
}

int unix_file_change(struct unix_file *f, const struct unix_access *want)
{
	bool back = want->mode & UNIX_BEFORE;
	struct unix_access to = back ? f->before : *want, was;
	struct stat st;
	int err;

	if (!f->ours || (back && !f->changed))
		return 0;
	if (fstat(f->pin, &st) < 0)
		return -errno;
	was = (struct unix_access){.mode = st.st_mode & 0777, .uid = st.st_uid, .gid = st.st_gid};
	/* While it is our own the mode takes no privilege. */
	err = back ? set_owner(f, &to, &was) : set_mode(f, &to, &was);
	if (err)
		return err;
	err = back ? set_mode(f, &to, &was) : set_owner(f, &to, &was);
	if (err) {
		(void)(back ? set_owner(f, &was, &to) : set_mode(f, &was, &to));
		return err;
	}
	f->before = was;
	f->changed = true;
	return 0;
}

int unix_file_bind(int fd, const struct addr *a, const struct unix_access *access,
		   struct unix_file *ret)
{
	_cleanup_close_ int dir = -1;
	const char *name = name_of(a);
	struct unix_file f = {0};
	struct addr place;
	int err;

	if (is_abstract(a))
		return bind_masked(fd, a, access->mode);
	dir = open_directory(a);
	if (dir < 0)
		return dir;
	err = place_of(a, dir, &place);
	if (err)
		return err;
	err = bind_masked(fd, &place, access->mode);
	if (err == -EADDRINUSE) {
		err = remove_stale(dir, name);
		if (!err)
			err = bind_masked(fd, &place, access->mode);
	}
	if (!err)
		err = pin_file(dir, name, &f);
	if (err)
		return err;
	(void)TAKE_FD(dir);
	err = unix_file_chown(&f, access->uid, access->gid);
	if (err) {
		unix_file_remove(a, &f);
		return err;
	}
	*ret = f;
	return 0;
}

int unix_file_take(const struct addr *a, dev_t dev, ino_t ino, struct unix_file *ret)
{
	_cleanup_close_ int dir = open_directory(a);
	_cleanup_close_ int pin = -1;
	struct stat st;

	if (dir < 0)
		return dir;
	pin = openat(dir, name_of(a), O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (pin < 0 || fstat(pin, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_dev != dev || st.st_ino != ino)
		return -ESTALE;
	*ret = (struct unix_file){.ours = true, .dev = dev, .ino = ino};
	ret->dir = TAKE_FD(dir);
	ret->pin = TAKE_FD(pin);
	return 0;
}

bool unix_file_is_there(const struct addr *a, const struct unix_file *f)
{
	const struct stat bound = {.st_dev = f->dev, .st_ino = f->ino};

	return f->ours && is_same(f->dir, name_of(a), &bound);
}

void unix_file_leave(struct unix_file *f)
{
	if (!f->ours)
		return;
	closep_(&f->pin);
	closep_(&f->dir);
	f->ours = false;
}

void unix_file_remove(const struct addr *a, struct unix_file *f)
{
	if (!f->ours)
		return;
	/* The path may be another daemon's by now. A failure leaves a stale file, which the next
	 * start replaces: the user that the daemon became may not be allowed to remove it. */
	if (unix_file_is_there(a, f))
		(void)unlinkat(f->dir, name_of(a), 0);
	unix_file_leave(f);
}
