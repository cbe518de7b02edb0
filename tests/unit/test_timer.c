/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ordered timers, against a plain array that is searched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../daemon/timer.h"
#include "../../daemon/util.h"

#define MANY 5000

struct item {
	struct timer timer;
	uint64_t want; /* when it is due; 0: not set */
	unsigned int fired;
};

static struct timers all;
static struct item items[MANY];
static uint64_t last_fired, now;

static void on_fire(struct timer *t)
{
	struct item *i = container_of(t, struct item, timer);

	assert_false(timer_is_set(t));
	assert_int_equal(t->at, i->want);
	assert_true(t->at >= last_fired && t->at <= now);
	last_fired = t->at;
	i->want = 0;
	i->fired++;
}

static int reset(void **state _unused_)
{
	all = (struct timers){0};
	last_fired = now = 0;
	for (size_t i = 0; i < MANY; i++)
		items[i] = (struct item){.timer.fire = on_fire};
	return 0;
}

static void set(struct item *i, uint64_t at)
{
	timer_set(&all, &i->timer, at);
	i->want = at;
}

/* What must be due next and how many are set, the slow way. */
static void check(void)
{
	uint64_t first = UINT64_MAX;
	size_t n = 0;

	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(timer_is_set(&items[i].timer), items[i].want != 0);
		if (!items[i].want)
			continue;
		n++;
		first = MIN(first, items[i].want);
	}
	assert_int_equal(all.n, n);
	if (n)
		assert_int_equal(all.first->at, first);
	else
		assert_null(all.first);
}

static void test_random(void **state _unused_)
{
	srand(7);
	for (unsigned int step = 0; step < 200000; step++) {
		struct item *i = &items[rand() % MANY];

		switch (rand() % 8) {
		case 0:
			timer_cancel(&all, &i->timer);
			i->want = 0;
			break;
		case 1:
			now += (uint64_t)(rand() % 50);
			last_fired = 0;
			(void)timers_fire(&all, now);
			break;
		default:
			set(i, now + 1 + (uint64_t)(rand() % 2000));
		}
		if (step % 997 == 0)
			check();
	}
	now += 3000;
	last_fired = 0;
	(void)timers_fire(&all, now);
	check();
	assert_int_equal(all.n, 0);
}

/* Ascending, descending and equal times; all of them fire, once, in order. */
static void test_orders(void **state)
{
	for (int order = 0; order < 3; order++) {
		(void)reset(state);
		for (size_t i = 0; i < MANY; i++)
			set(&items[i], order == 0 ? i + 1 : (order == 1 ? MANY - i : 7));
		now = MANY / 2;
		(void)timers_fire(&all, now);
		check();
		now = MANY;
		(void)timers_fire(&all, now);
		assert_int_equal(all.n, 0);
		for (size_t i = 0; i < MANY; i++)
			assert_int_equal(items[i].fired, 1);
	}
}

static unsigned int calls;

static void again_at_once(struct timer *t)
{
	calls++;
	timer_set(&all, t, t->at);
}

static void test_one_that_repeats_stops_nobody(void **state _unused_)
{
	items[0].timer.fire = items[1].timer.fire = again_at_once;
	timer_set(&all, &items[0].timer, 5);
	timer_set(&all, &items[1].timer, 6);
	calls = 0;
	assert_int_equal(timers_fire(&all, 10), 2);
	assert_int_equal(calls, 2);
	assert_int_equal(all.n, 2);
}

static void cancel_the_other(struct timer *t _unused_)
{
	calls++;
	timer_cancel(&all, &items[1].timer);
}

static void test_one_cancels_another_that_is_due(void **state _unused_)
{
	items[0].timer.fire = cancel_the_other;
	timer_set(&all, &items[0].timer, 5);
	timer_set(&all, &items[1].timer, 6);
	calls = 0;
	assert_int_equal(timers_fire(&all, 10), 1);
	assert_int_equal(calls, 1);
	assert_int_equal(items[1].fired, 0);
	assert_int_equal(all.n, 0);
}

static void test_cancel_of_one_that_is_not_set(void **state _unused_)
{
	timer_cancel(&all, &items[0].timer);
	assert_int_equal(all.n, 0);
	assert_int_equal(timers_fire(&all, UINT64_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_random, reset),
	    cmocka_unit_test_setup(test_orders, reset),
	    cmocka_unit_test_setup(test_one_that_repeats_stops_nobody, reset),
	    cmocka_unit_test_setup(test_one_cancels_another_that_is_due, reset),
	    cmocka_unit_test_setup(test_cancel_of_one_that_is_not_set, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
