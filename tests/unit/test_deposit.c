/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workers leave with the parent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../daemon/parent/deposit.h"

static int new_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int leave(struct deposits *d, const char *text, unsigned int generation)
{
	char name[BIND_NAME_MAX] = "";
	int fd = new_fd();

	(void)snprintf(name, sizeof(name), "%s", text);
	assert_int_equal(deposits_leave(d, name, generation, fd), 0);
	return fd;
}

static int find(const struct deposits *d, const char *text)
{
	char name[BIND_NAME_MAX] = "";

	(void)snprintf(name, sizeof(name), "%s", text);
	return deposits_find(d, name);
}

static void generations(void **state _unused_)
{
	struct deposits d = {0};
	int first = leave(&d, "a", 1), other = leave(&d, "b", 1), second = leave(&d, "a", 2);

	assert_int_equal(find(&d, "a"), second);
	assert_int_equal(find(&d, "b"), other);
	assert_int_equal(find(&d, "c"), -1);
	/* The second comes to nothing. */
	deposits_forget(&d, 2);
	assert_false(is_open(second));
	assert_int_equal(find(&d, "a"), first);
	/* A third serves. */
	second = leave(&d, "a", 3);
	deposits_keep(&d, 3);
	assert_false(is_open(first));
	assert_false(is_open(other));
	assert_int_equal(find(&d, "a"), second);
	assert_int_equal(find(&d, "b"), -1);
	deposits_close(&d);
	assert_false(is_open(second));
}

/* Whatever a worker says: the descriptor is not lost, and the number of them is bounded. */
static void nonsense(void **state _unused_)
{
	struct deposits d = {0};
	char name[BIND_NAME_MAX];
	int fd = new_fd();

	memset(name, 'x', sizeof(name));
	assert_int_not_equal(deposits_leave(&d, name, 1, fd), 0);
	assert_false(is_open(fd));
	assert_int_equal(deposits_find(&d, name), -1);
	fd = new_fd();
	(void)snprintf(name, sizeof(name), "a\nheld fd=0");
	assert_int_not_equal(deposits_leave(&d, name, 1, fd), 0);
	assert_false(is_open(fd));
	(void)snprintf(name, sizeof(name), "a");
	assert_int_not_equal(deposits_leave(&d, name, 1, -1), 0);
	for (int i = 0; i < DEPOSITS_MAX; i++)
		(void)leave(&d, "a", 1);
	fd = new_fd();
	assert_int_not_equal(deposits_leave(&d, name, 1, fd), 0);
	assert_false(is_open(fd));
	deposits_close(&d);
}

static void heritage(void **state _unused_)
{
	struct deposits d = {0}, next = {0};
	int fd = leave(&d, "intercept flows 1", 7);
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	assert_int_equal(deposits_write(&d, f), 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(deposits_survive(&d, true), 0);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(deposits_survive(&d, false), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	text[size - 1] = '\0';
	assert_int_equal(deposits_read(&next, text), 0);
	assert_int_equal(find(&next, "intercept flows 1"), fd);
	assert_int_equal(next.items[0].generation, 7);
	assert_int_not_equal(deposits_read(&next, "left fd=x generation=1 name=a"), 0);
	assert_int_not_equal(deposits_read(&next, "left fd=99999 generation=1 name=a"), 0);
	free(text);
	free(next.items);
	deposits_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(generations),
	    cmocka_unit_test(nonsense),
	    cmocka_unit_test(heritage),
	};

	return cmocka_run_group_tests_name("deposit", tests, NULL, NULL);
}
