/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop's turns: who is told first, and that everybody is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/loop.h"
#include "../../daemon/util.h"

/* More than epoll reports to one turn. */
#define MANY 400

/* A socket, and a timer that waits for what comes from it. */
struct waiting {
	struct conn conn;
	struct timer timer;
	int peer;
	bool speaks_on; /* what it says is never read */
	unsigned int heard, fired;
};

struct fixture {
	struct loop loop;
	struct event_base *base;
	struct waiting all[MANY];
	unsigned int turns;
	struct timer timer;
	struct task task;
	unsigned int fired, ran;
};
static struct fixture *f;

static void on_event(struct conn *c, uint32_t events)
{
	struct waiting *w = container_of(c, struct waiting, conn);
	char byte;

	assert_true(events & EPOLLIN);
	w->heard++;
	if (w->speaks_on)
		return;
	assert_int_equal(recv(c->fd, &byte, 1, MSG_DONTWAIT), 1);
	loop_timer_cancel(&f->loop, &w->timer);
}

static void on_late(struct timer *t)
{
	container_of(t, struct waiting, timer)->fired++;
}

static void on_timer(struct timer *t _unused_)
{
	f->fired++;
}

static void on_over(struct loop *l _unused_)
{
	f->turns++;
	assert_int_equal(event_base_loopbreak(f->base), 0);
}

static int begin(void **state _unused_)
{
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->base = event_base_new();
	assert_non_null(f->base);
	assert_int_equal(loop_init(&f->loop, f->base), 0);
	f->loop.over = on_over;
	f->timer.fire = on_timer;
	for (size_t i = 0; i < MANY; i++) {
		struct waiting *w = &f->all[i];
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		w->conn = (struct conn){.fd = fds[0], .event = on_event};
		w->peer = fds[1];
		w->timer.fire = on_late;
	}
	return 0;
}

static int end(void **state _unused_)
{
	for (size_t i = 0; i < MANY; i++) {
		(void)close(f->all[i].conn.fd);
		(void)close(f->all[i].peer);
	}
	loop_fini(&f->loop);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void turn(void)
{
	unsigned int before = f->turns;

	loop_look(&f->loop);
	assert_int_equal(event_base_loop(f->base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(f->turns, before + 1);
}

static void speak(struct waiting *w)
{
	assert_int_equal(send(w->peer, "x", 1, 0), 1);
}

/* ---- who waits for what ----------------------------------------------------------------- */

/* The times of all of them have come, and so has what they waited for. */
static void check_that_nothing_is_missed(uint64_t ago)
{
	for (size_t i = 0; i < MANY; i++) {
		loop_watch(&f->loop, &f->all[i].conn, EPOLLIN | EPOLLET);
		loop_timer_set(&f->loop, &f->all[i].timer, now_ns() - ago);
	}
	for (size_t i = 0; i < MANY; i++)
		speak(&f->all[i]);
	for (int i = 0; i < MANY / 128 + 2; i++)
		turn();
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(f->all[i].heard, 1);
		assert_int_equal(f->all[i].fired, 0);
	}
}

static void test_what_has_come_is_heard_before_timers(void **state _unused_)
{
	check_that_nothing_is_missed(0);
}

static void test_what_has_come_is_heard_before_late_timers(void **state _unused_)
{
	check_that_nothing_is_missed(NSEC_PER_SEC);
}

/* One that heard nothing is told of its time in the same turns. */
static void test_who_heard_nothing_is_told(void **state _unused_)
{
	for (size_t i = 0; i < MANY; i++) {
		loop_watch(&f->loop, &f->all[i].conn, EPOLLIN | EPOLLET);
		loop_timer_set(&f->loop, &f->all[i].timer, now_ns() - NSEC_PER_SEC);
		if (i % 2)
			speak(&f->all[i]);
	}
	for (int i = 0; i < MANY / 128 + 2; i++)
		turn();
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(f->all[i].fired, i % 2 == 0);
	assert_null(f->loop.timers.first);
}

static void on_task(struct task *t _unused_)
{
	f->ran++;
	loop_timer_cancel(&f->loop, &f->timer);
}

/* What waits for its turn is not late: the loop is. */
static void test_a_task_is_run_before_late_timers(void **state _unused_)
{
	f->task.run = on_task;
	loop_timer_set(&f->loop, &f->timer, now_ns() - NSEC_PER_SEC);
	loop_again(&f->loop, &f->task);
	turn();
	turn();
	assert_int_equal(f->ran, 1);
	assert_int_equal(f->fired, 0);
}

/* ---- everybody -------------------------------------------------------------------------- */

static void on_busy_task(struct task *t)
{
	f->ran++;
	loop_again(&f->loop, t);
}

/* Sockets that are never quiet and a task that is never done, with a loop that is late or not. */
static void check_that_none_starves(uint64_t ago)
{
	/* Once round until it is seen to be due, and once more. */
	const unsigned int most = 2 * (MANY / 128 + 1) + 1;

	f->task.run = on_busy_task;
	loop_again(&f->loop, &f->task);
	for (size_t i = 0; i < MANY; i++) {
		f->all[i].speaks_on = true;
		loop_watch(&f->loop, &f->all[i].conn, EPOLLIN);
		speak(&f->all[i]);
	}
	turn();
	for (unsigned int n = 1; n <= 5; n++) {
		unsigned int before = f->turns;

		loop_timer_set(&f->loop, &f->timer, now_ns() - ago);
		while (f->fired < n) {
			turn();
			assert_true(f->turns - before <= most);
		}
		assert_int_equal(f->fired, n);
	}
	for (size_t i = 0; i < MANY; i++)
		assert_true(f->all[i].heard >= 5);
	assert_int_equal(f->ran, f->turns);
}

static void test_timers_do_not_starve(void **state _unused_)
{
	check_that_none_starves(0);
}

static void test_late_timers_do_not_starve(void **state _unused_)
{
	check_that_none_starves(NSEC_PER_SEC);
}

/* ---- a turn that lasts ------------------------------------------------------------------ */

#define SLOW 8 /* tasks: the clock is not read after each */

static unsigned int lasting;
static struct task slow[SLOW];

static void on_slow_task(struct task *t _unused_)
{
	f->ran++;
	(void)usleep(2000);
}

/* Between two of those that are served, in their turn. */
static void on_lasts(struct loop *l)
{
	assert_ptr_equal(l, &f->loop);
	assert_true(l->in_turn);
	assert_true(f->ran > 0);
	lasting++;
}

static void test_a_turn_that_lasts_is_told(void **state _unused_)
{
	unsigned int turns = f->turns;

	lasting = 0;
	f->loop.lasts = on_lasts;
	for (size_t i = 0; i < SLOW; i++) {
		slow[i] = (struct task){.run = on_slow_task};
		loop_again(&f->loop, &slow[i]);
	}
	turn();
	assert_int_equal(f->ran, SLOW);
	assert_int_equal(f->turns, turns + 1);
	/* The clock is read after each four of them, which took 8 ms and more. */
	assert_in_range(lasting, 1, SLOW / 4);
}

static void test_a_short_turn_is_not(void **state _unused_)
{
	f->loop.lasts = on_lasts;
	lasting = 0;
	for (size_t i = 0; i < SLOW; i++) {
		loop_watch(&f->loop, &f->all[i].conn, EPOLLIN | EPOLLET);
		speak(&f->all[i]);
	}
	/* What was before this turn does not count. */
	(void)usleep(10000);
	f->ran = 1;
	turn();
	for (size_t i = 0; i < SLOW; i++)
		assert_int_equal(f->all[i].heard, 1);
	/* Unless the machine had us wait for so long within it. */
	if (now_ns() - f->loop.now < LOOP_LASTS_NS)
		assert_int_equal(lasting, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_what_has_come_is_heard_before_timers),
	    TEST(test_what_has_come_is_heard_before_late_timers),
	    TEST(test_who_heard_nothing_is_told),
	    TEST(test_a_task_is_run_before_late_timers),
	    TEST(test_timers_do_not_starve),
	    TEST(test_late_timers_do_not_starve),
	    TEST(test_a_turn_that_lasts_is_told),
	    TEST(test_a_short_turn_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
