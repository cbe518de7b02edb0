/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A text that is replaced as a whole, whatever becomes of who writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/slate.h"
#include "../../daemon/util.h"

static void assert_text(int fd, const char *want)
{
	char *text;

	assert_int_equal(slate_read(fd, &text), 0);
	assert_string_equal(text, want);
	free(text);
}

static void test_is_replaced(void **state _unused_)
{
	_cleanup_close_ int fd = slate_new();
	static const char *const texts[] = {"one", "another one", "x", "no more than that", "2"};
	char *text;

	assert_true(fd >= 0);
	assert_int_equal(slate_read(fd, &text), -ENODATA);
	for (size_t i = 0; i < 100; i++) {
		const char *t = texts[i % ARRAY_SIZE(texts)];

		assert_int_equal(slate_write(fd, t, strlen(t)), 0);
		assert_text(fd, t);
	}
	assert_int_equal(slate_write(fd, "", 0), -EFBIG);
	assert_int_equal(slate_write(fd, "", SLATE_MAX + 1u), -EFBIG);
	assert_text(fd, "2");
}

/* It takes a few times what the longest text does, however many there were. */
static void test_does_not_grow(void **state _unused_)
{
	_cleanup_close_ int fd = slate_new();
	char text[1000];
	struct stat st;

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < 10000; i++)
		assert_int_equal(slate_write(fd, text, 1 + i * 7919 % sizeof(text)), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_in_range(st.st_size, 1, 4 * sizeof(text));
}

/* What others may have put there. */
static void test_is_none(void **state _unused_)
{
	static const uint64_t far[] = {1, UINT64_C(5) << 32 | 4000}, long_one[] = {1, UINT64_MAX};
	_cleanup_close_ int fd = slate_new();
	char *text;

	assert_int_equal(pwrite(fd, "short", 5, 0), 5);
	assert_int_equal(slate_read(fd, &text), -EBADMSG);
	assert_int_equal(pwrite(fd, far, sizeof(far), 0), sizeof(far));
	assert_int_equal(slate_read(fd, &text), -EBADMSG);
	assert_int_equal(pwrite(fd, long_one, sizeof(long_one), 0), sizeof(long_one));
	assert_int_equal(slate_read(fd, &text), -EBADMSG);
	assert_int_equal(slate_read(-1, &text), -EBADF);
}

#define LONGEST 20000

/* Texts of one letter each, of the length that goes with it. */
static size_t make(char *buf, unsigned int i)
{
	size_t len = 1 + i * 7919 % LONGEST;

	memset(buf, (int)('a' + len % 26), len);
	buf[len] = '\0';
	return len;
}

static void write_for_ever(int fd)
{
	char buf[LONGEST + 1];

	for (unsigned int i = 0;; i++)
		if (slate_write(fd, buf, make(buf, i)) < 0)
			_exit(1);
}

static void assert_whole(int fd)
{
	char *text;

	assert_int_equal(slate_read(fd, &text), 0);
	assert_int_equal(strspn(text, (char[]){(char)('a' + strlen(text) % 26), '\0'}),
			 strlen(text));
	free(text);
}

/* At whatever moment. */
static void test_writer_is_killed(void **state _unused_)
{
	_cleanup_close_ int fd = slate_new();
	int status;

	assert_int_equal(slate_write(fd, "b", 1), 0);
	for (unsigned int i = 0; i < 50; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			write_for_ever(fd);
		for (unsigned int j = 0; j < i; j++)
			assert_whole(fd);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_whole(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_is_replaced),
	    cmocka_unit_test(test_does_not_grow),
	    cmocka_unit_test(test_is_none),
	    cmocka_unit_test(test_writer_is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
