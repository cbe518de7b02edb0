// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mailbox.h"

#define MANY 1000

struct reader {
	struct event_base *base;
	struct mailbox mail;
	unsigned int n, n_when_ready;
	uintptr_t seen[MANY];
};

static int set_up(void **state)
{
	struct reader *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->base = event_base_new();
	assert_non_null(r->base);
	assert_int_equal(mailbox_init(&r->mail, r->base, r), 0);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct reader *r = *state;

	mailbox_fini(&r->mail);
	event_base_free(r->base);
	free(r);
	return 0;
}

static void note(void *owner, void *arg)
{
	struct reader *r = owner;

	assert_true(r->n < MANY);
	r->seen[r->n++] = (uintptr_t)arg;
}

static void note_and_free(void *owner, void *arg)
{
	note(owner, (void *)(uintptr_t)1);
	free(arg);
}

static void post_again(void *owner, void *arg)
{
	struct reader *r = owner;
	struct letter *l = arg;

	note(owner, (void *)(uintptr_t)r->n);
	if (r->n < 3)
		mailbox_post(&r->mail, l, post_again, l);
}

/* Until nothing waits. */
static void read_all(struct reader *r)
{
	unsigned int before;

	do {
		before = r->n;
		(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
	} while (r->n != before);
}

static void test_order(void **state)
{
	static struct letter letters[MANY];
	struct reader *r = *state;

	for (uintptr_t i = 0; i < MANY; i++)
		mailbox_post(&r->mail, &letters[i], note, (void *)i);
	read_all(r);
	assert_int_equal(r->n, MANY);
	for (uintptr_t i = 0; i < MANY; i++)
		assert_int_equal(r->seen[i], i);
}

/* Something else becomes ready while letters are read. */
static void make_ready(void *owner, void *arg)
{
	int *fd = arg;

	note(owner, NULL);
	assert_int_equal(eventfd_write(*fd, 1), 0);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct reader *r = arg;
	eventfd_t n;

	(void)what;
	assert_int_equal(eventfd_read(fd, &n), 0);
	r->n_when_ready = r->n;
}

static void test_others_have_their_turn(void **state)
{
	static struct letter letters[MANY];
	struct reader *r = *state;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct event *other = event_new(r->base, fd, EV_READ | EV_PERSIST, on_ready, r);

	assert_non_null(other);
	assert_int_equal(event_add(other, NULL), 0);
	mailbox_post(&r->mail, &letters[0], make_ready, &fd);
	for (uintptr_t i = 1; i < MANY; i++)
		mailbox_post(&r->mail, &letters[i], note, (void *)i);
	read_all(r);
	assert_int_equal(r->n, MANY);
	assert_in_range(r->n_when_ready, 1, MANY - 1);
	event_free(other);
	(void)close(fd);
}

static void test_waits_once(void **state)
{
	struct reader *r = *state;
	struct letter l = {0}, other = {0};

	mailbox_post(&r->mail, &l, note, (void *)(uintptr_t)7);
	mailbox_post(&r->mail, &other, note, (void *)(uintptr_t)8);
	mailbox_post(&r->mail, &l, note, (void *)(uintptr_t)9);
	read_all(r);
	assert_int_equal(r->n, 2);
	assert_int_equal(r->seen[0], 7);
	assert_int_equal(r->seen[1], 8);
	mailbox_post(&r->mail, &l, note, (void *)(uintptr_t)9);
	read_all(r);
	assert_int_equal(r->n, 3);
	assert_int_equal(r->seen[2], 9);
}

static void test_freed_by_its_function(void **state)
{
	struct reader *r = *state;

	for (int i = 0; i < 2; i++) {
		struct letter *l = calloc(1, sizeof(*l));

		assert_non_null(l);
		mailbox_post(&r->mail, l, note_and_free, l);
	}
	read_all(r);
	assert_int_equal(r->n, 2);
}

static void test_posted_by_its_function(void **state)
{
	struct reader *r = *state;
	struct letter l = {0};

	mailbox_post(&r->mail, &l, post_again, &l);
	read_all(r);
	assert_int_equal(r->n, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_others_have_their_turn, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_waits_once, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_freed_by_its_function, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_posted_by_its_function, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
