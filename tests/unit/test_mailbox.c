// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "mailbox.h"

#define MANY 1000

struct reader {
	struct event_base *base;
	struct mailbox mail;
	unsigned int n;
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

static void test_one_turn_is_bounded(void **state)
{
	static struct letter letters[MANY];
	struct reader *r = *state;

	for (uintptr_t i = 0; i < MANY; i++)
		mailbox_post(&r->mail, &letters[i], note, (void *)i);
	(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
	assert_in_range(r->n, 1, MANY - 1);
	read_all(r);
	assert_int_equal(r->n, MANY);
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
	    cmocka_unit_test_setup_teardown(test_one_turn_is_bounded, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_waits_once, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_freed_by_its_function, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_posted_by_its_function, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
