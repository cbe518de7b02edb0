/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of a listening unix socket: what is replaced, given away and removed, and what never is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../daemon/unixfile.h"

static const struct unix_access private = {.mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1};

struct fixture {
	char base[64], dir[128], path[160], other[160];
	struct addr a;
	int fd;
};

/* What another process does while bind() is on its way. */
static void (*meanwhile)(const struct fixture *f);
static const struct fixture *meanwhile_of;

int bind(int fd, const struct sockaddr *a, socklen_t len)
{
	if (meanwhile)
		meanwhile(meanwhile_of);
	return (int)syscall(SYS_bind, fd, a, len);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(f->base, sizeof(f->base), "%.40s/unixfile-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->base));
	(void)snprintf(f->dir, sizeof(f->dir), "%s/d", f->base);
	assert_int_equal(mkdir(f->dir, 0755), 0);
	(void)snprintf(f->path, sizeof(f->path), "%s/s", f->dir);
	(void)snprintf(f->other, sizeof(f->other), "%s/other", f->base);
	f->a = (struct addr){.len = sizeof(f->a.un), .un.sun_family = AF_UNIX};
	assert_true(strlen(f->path) < sizeof(f->a.un.sun_path));
	memcpy(f->a.un.sun_path, f->path, strlen(f->path) + 1);
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(f->fd >= 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[160];

	(void)close(f->fd);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", f->base);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	(void)close(fd);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void test_mode_and_removal(void **state)
{
	const struct fixture *f = *state;
	struct unix_file file = {0};
	struct stat st;

	assert_int_equal(unix_file_bind(f->fd, &f->a, &private, &file), 0);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	unix_file_remove(&f->a, &file);
	assert_false(exists(f->path));
	unix_file_remove(&f->a, &file);
}

static void test_owner(void **state)
{
	const struct unix_access access = {.mode = 0660, .uid = 12345, .gid = 54321};
	const struct fixture *f = *state;
	struct unix_file file = {0};
	struct stat st;

	if (geteuid() != 0) {
		print_message("only root gives files away\n");
		skip();
	}
	assert_int_equal(unix_file_bind(f->fd, &f->a, &access, &file), 0);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 54321);
	assert_int_equal(unix_file_chown(&file, (uid_t)-1, 7), 0);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 7);
	unix_file_remove(&f->a, &file);
}

/* The name is another file's by now, or a link to one: neither is given away or removed. */
static void test_replaced_file(void **state)
{
	const struct fixture *f = *state;
	struct unix_file file = {0};
	struct stat st;

	if (geteuid() != 0) {
		print_message("only root gives files away\n");
		skip();
	}
	assert_int_equal(unix_file_bind(f->fd, &f->a, &private, &file), 0);
	make_file(f->other);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(symlink(f->other, f->path), 0);
	assert_int_equal(unix_file_chown(&file, 12345, 12345), 0);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(stat(f->other, &st), 0);
	assert_int_equal(st.st_uid, 0);
	unix_file_remove(&f->a, &file);
	assert_true(exists(f->path));
	assert_true(exists(f->other));
}

/* The same of the folder above it. */
static void test_replaced_folder(void **state)
{
	const struct fixture *f = *state;
	struct unix_file file = {0};
	char moved[160], inside[200];

	assert_int_equal(unix_file_bind(f->fd, &f->a, &private, &file), 0);
	(void)snprintf(moved, sizeof(moved), "%s/moved", f->base);
	(void)snprintf(inside, sizeof(inside), "%s/s", moved);
	assert_int_equal(rename(f->dir, moved), 0);
	assert_int_equal(mkdir(f->dir, 0755), 0);
	make_file(f->path);
	unix_file_remove(&f->a, &file);
	assert_true(exists(f->path));
	assert_false(exists(inside));
}

static void lead_elsewhere(const struct fixture *f)
{
	char moved[160];

	(void)snprintf(moved, sizeof(moved), "%s/moved", f->base);
	assert_int_equal(rename(f->dir, moved), 0);
	assert_int_equal(mkdir(f->other, 0755), 0);
	assert_int_equal(symlink(f->other, f->dir), 0);
	meanwhile = NULL;
}

/* The owner of a folder on the way swaps what comes after it: the file is where it was to be. */
static void test_swapped_folder(void **state)
{
	const struct fixture *f = *state;
	struct unix_file file = {0};
	char moved[200], other[200];
	struct addr is = {.len = sizeof(is.un)};

	if (geteuid() != 0) {
		print_message("only root can act for another user\n");
		skip();
	}
	(void)snprintf(moved, sizeof(moved), "%s/moved/s", f->base);
	(void)snprintf(other, sizeof(other), "%s/s", f->other);
	assert_int_equal(chown(f->base, 12345, 12345), 0);
	meanwhile_of = f;
	meanwhile = lead_elsewhere;
	assert_int_equal(unix_file_bind(f->fd, &f->a, &private, &file), 0);
	assert_null(meanwhile);
	assert_true(exists(moved));
	assert_false(exists(other));
	assert_true(unix_file_is_there(&f->a, &file));
	assert_int_equal(getsockname(f->fd, &is.sa, &is.len), 0);
	assert_true(unix_file_is_there(&is, &file));
	unix_file_remove(&f->a, &file);
	assert_false(exists(moved));
}

/* Everybody who asks a socket for its name is told the one in the configuration; where the folder
 * could be swapped, one that leads there as well. */
static void test_name_of_the_socket(void **state)
{
	const struct {
		uid_t owner; /* of the folder above */
		mode_t mode;
		bool plain;
	} cases[] = {
	    {0, 0755, true},
	    {0, 0775, false},
	    {0, 01777, true},
	    {12345, 0755, false},
	};
	const struct fixture *f = *state;

	if (geteuid() != 0) {
		print_message("only root gives folders away\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct unix_file file = {0}, again = {0};
		struct addr is = {.len = sizeof(is.un)};

		assert_int_equal(chown(f->base, cases[i].owner, 0), 0);
		assert_int_equal(chmod(f->base, cases[i].mode), 0);
		assert_int_equal(unix_file_bind(fd, &f->a, &private, &file), 0);
		assert_int_equal(getsockname(fd, &is.sa, &is.len), 0);
		assert_int_equal(strcmp(is.un.sun_path, f->path) == 0, cases[i].plain);
		/* What is left over is found to be so either way. */
		(void)close(fd);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(unix_file_bind(fd, &f->a, &private, &again), 0);
		assert_int_equal(listen(fd, 1), 0);
		unix_file_remove(&f->a, &file);
		assert_true(exists(f->path));
		assert_int_equal(unix_file_bind(f->fd, &f->a, &private, &file), -EADDRINUSE);
		unix_file_remove(&f->a, &again);
		(void)close(fd);
	}
	assert_int_equal(chown(f->base, 0, 0), 0);
}

static void test_what_is_replaced(void **state)
{
	const struct fixture *f = *state;
	int second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct unix_file file = {0}, again = {0};

	assert_int_equal(unix_file_bind(f->fd, &f->a, &private, &file), 0);
	assert_int_equal(listen(f->fd, 1), 0);
	assert_int_equal(unix_file_bind(second, &f->a, &private, &again), -EADDRINUSE);
	assert_false(again.ours);
	assert_int_equal(shutdown(f->fd, SHUT_RDWR), 0);
	assert_int_equal(unix_file_bind(second, &f->a, &private, &again), 0);
	/* It is the second one's now. */
	unix_file_remove(&f->a, &file);
	assert_true(exists(f->path));
	unix_file_remove(&f->a, &again);
	assert_false(exists(f->path));
	make_file(f->path);
	(void)close(second);
	second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(unix_file_bind(second, &f->a, &private, &again), -ENOTSOCK);
	assert_true(exists(f->path));
	(void)close(second);
}

static void test_no_folder(void **state)
{
	const struct fixture *f = *state;
	struct unix_file file = {0};

	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(unix_file_bind(f->fd, &f->a, &private, &file), -ENOENT);
	assert_int_equal(mkdir(f->dir, 0755), 0);
}

static void test_abstract(void **state)
{
	const struct fixture *f = *state;
	struct addr a = {.un.sun_family = AF_UNIX};
	struct unix_file file = {0};
	int n = snprintf(a.un.sun_path + 1, sizeof(a.un.sun_path) - 1, "unixfile-%d", getpid());

	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	assert_int_equal(unix_file_bind(f->fd, &a, &private, &file), 0);
	assert_false(file.ours);
	assert_int_equal(unix_file_chown(&file, 1, 1), 0);
	unix_file_remove(&a, &file);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    UNIT(test_mode_and_removal), UNIT(test_owner),          UNIT(test_replaced_file),
	    UNIT(test_replaced_folder),  UNIT(test_swapped_folder), UNIT(test_name_of_the_socket),
	    UNIT(test_what_is_replaced), UNIT(test_no_folder),      UNIT(test_abstract),
	};

	return cmocka_run_group_tests_name("unixfile", tests, NULL, NULL);
}
