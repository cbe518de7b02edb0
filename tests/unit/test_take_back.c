/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking back: who takes the source out of the verdict map, and what is known when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/splice/take-back.h"
#include "fakekernel.h"

static struct splice_test t;
static struct stream *const down = &t.streams[DOWN];

static void test_leaves_under_its_lock(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	down->taken = t.lanes[DOWN].passed = 700;
	assert_int_equal(kernel_take_back(down), 0);
	assert_false(is_in(ENGAGED_FD, &t.server));
	assert_true(is_in(ENGAGED_FD, &t.client));
	assert_int_equal(t.lanes[DOWN].leave, 1);
	assert_int_equal(t.lanes[DOWN].left, 1);
	assert_int_equal(t.lanes[DOWN].taken, 700);
	assert_int_equal(t.leaving, 0);
	assert_int_equal(fake.mss, 1);
	assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 0);
	assert_int_equal(t.stats.unlocked_deletes, 0);
	assert_false(is_held(&t.server));
	end(&t);
}

static void test_stays_for_what_was_handed_up(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	t.lanes[DOWN].passed = 1;
	assert_int_equal(kernel_take_back(down), -EAGAIN);
	assert_true(is_in(ENGAGED_FD, &t.server));
	/* Nobody may take it out later. */
	assert_int_equal(t.lanes[DOWN].leave, t.lanes[DOWN].left);
	assert_true(is_held(&t.server));
	assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 0);
	end(&t);
}

/* Too much waits for its target: it has left on its own, or does between the look and the call. */
static void test_left_on_its_own(void **state _unused_)
{
	for (int collected = 0; collected < 2; collected++) {
		begin_engaged(&t);
		t.maps.collected = collected;
		sockops_stops(down);
		assert_int_equal(kernel_take_back(down), 0);
		assert_int_equal(fake.mss, 0);
		assert_int_equal(t.stats.unlocked_deletes, 0);
		assert_false(is_held(&t.server));
		end(&t);
	}
}

static void stops_in_between(struct splice_test *test)
{
	struct stream *s = &test->streams[DOWN];

	sockops_stops(s);
	s->lane->left = s->lane->leave;
}

static void test_leaves_on_its_own_meanwhile(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = stops_in_between;
	assert_int_equal(kernel_take_back(down), 0);
	assert_int_equal(fake.mss, 1);
	assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 0);
	assert_false(is_held(&t.server));
	end(&t);
}

/* sockops does not know the socket: then by system call, which is safe as long as it is held. */
static void test_deleted_where_sockops_is_silent(void **state _unused_)
{
	begin_engaged(&t);
	assert_int_equal(kernel_take_back(down), 0);
	assert_int_equal(fake.mss, 1);
	assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 1);
	assert_int_equal(t.stats.unlocked_deletes, 1);
	assert_false(is_in(ENGAGED_FD, &t.server));
	assert_false(is_held(&t.server));
	end(&t);
}

static void test_what_a_send_of_nothing_says(void **state _unused_)
{
	static const struct {
		int told, want;
		unsigned int sends;
	} cases[] = {
	    {EPIPE, -ECONNRESET, 1}, {ETIMEDOUT, -ETIMEDOUT, 1}, {ENOMEM, -EBUSY, 1},
	    {ENOBUFS, -EBUSY, 1},    {EPERM, -EBUSY, 1},         {EINTR, -EBUSY, 8},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_engaged(&t);
		fake.fail_mss = cases[i].told;
		assert_int_equal(kernel_take_back(down), cases[i].want);
		assert_int_equal(fake.mss, cases[i].sends);
		assert_int_equal(t.leaving, 0);
		assert_true(is_in(ENGAGED_FD, &t.server));
		assert_int_equal(t.lanes[DOWN].leave, t.lanes[DOWN].left);
		/* Where it stays, it stays held. */
		assert_int_equal(is_held(&t.server), cases[i].want == -EBUSY);
		end(&t);
	}
}

/* ---- without sockops -------------------------------------------------------------------- */

static void begin_unlocked(void)
{
	begin_engaged(&t);
	t.maps.collected = false;
}

static void hand_up(struct splice_test *test)
{
	test->lanes[DOWN].passed += 100;
}

static void test_not_while_the_window_fills(void **state _unused_)
{
	begin_unlocked();
	for (uint64_t at = 0; at < WINDOW / 4; at += 32 * 1024)
		assert_int_equal(sendto(t.server_end, (char[32 * 1024]){0}, 32 * 1024, 0, NULL, 0),
				 32 * 1024);
	for (int i = 0; i < 1000; i++) {
		if (kernel_take_back(down) == -EBUSY)
			break;
		/* It was too soon: what was sent is on its way. */
		assert_int_equal(maps_engage(&t.maps, t.server.cookie, t.server.fd), 0);
		(void)usleep(1000);
	}
	fake.removes[ENGAGED_FD - SOCKETS_FD] = 0;
	assert_int_equal(kernel_take_back(down), -EBUSY);
	assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 0);
	assert_true(is_in(ENGAGED_FD, &t.server));
	assert_true(is_held(&t.server));
	end(&t);
}

static void test_gone_already(void **state _unused_)
{
	begin_unlocked();
	*entry(ENGAGED_FD, t.server.cookie) = 0;
	assert_int_equal(kernel_take_back(down), -ECONNRESET);
	end(&t);
}

static void test_delete_is_refused(void **state _unused_)
{
	begin_unlocked();
	fake.fail_remove[ENGAGED_FD - SOCKETS_FD] = ENOMEM;
	assert_int_equal(kernel_take_back(down), -EBUSY);
	assert_int_equal(t.stats.unlocked_deletes, 0);
	assert_true(is_held(&t.server));
	end(&t);
}

static void test_put_back_for_what_was_handed_up(void **state _unused_)
{
	begin_unlocked();
	fake.on_remove = hand_up;
	assert_int_equal(kernel_take_back(down), -EAGAIN);
	assert_true(is_in(ENGAGED_FD, &t.server));
	assert_true(is_held(&t.server));
	end(&t);
}

/* Its FIN has come: it cannot be put back, and what it left is read all the same. */
static void test_not_put_back_after_a_fin(void **state _unused_)
{
	begin_unlocked();
	fake.on_remove = hand_up;
	fake.fail_put[ENGAGED_FD - SOCKETS_FD] = EOPNOTSUPP;
	assert_int_equal(kernel_take_back(down), 0);
	assert_false(is_held(&t.server));
	end(&t);
}

static void test_lost_when_it_cannot_be_put_back(void **state _unused_)
{
	unsigned int before;

	begin_unlocked();
	before = fake.puts[ENGAGED_FD - SOCKETS_FD];
	fake.on_remove = hand_up;
	fake.fail_put[ENGAGED_FD - SOCKETS_FD] = ENOMEM;
	assert_int_equal(kernel_take_back(down), -EBADMSG);
	assert_int_equal(fake.puts[ENGAGED_FD - SOCKETS_FD] - before, 8);
	kernel_taken_badly(down, -EBADMSG);
	assert_int_equal(t.n_corrupt, 1);
	assert_int_equal(t.n_failed, 0);
	end(&t);
}

static void test_an_error_is_the_sources(void **state _unused_)
{
	begin_engaged(&t);
	kernel_taken_badly(down, -ETIMEDOUT);
	assert_int_equal(t.n_failed, 1);
	assert_ptr_equal(t.failed, &t.server);
	assert_int_equal(t.error, ETIMEDOUT);
	assert_int_equal(t.n_corrupt, 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_leaves_under_its_lock),
	    cmocka_unit_test(test_stays_for_what_was_handed_up),
	    cmocka_unit_test(test_left_on_its_own),
	    cmocka_unit_test(test_leaves_on_its_own_meanwhile),
	    cmocka_unit_test(test_deleted_where_sockops_is_silent),
	    cmocka_unit_test(test_what_a_send_of_nothing_says),
	    cmocka_unit_test(test_not_while_the_window_fills),
	    cmocka_unit_test(test_gone_already),
	    cmocka_unit_test(test_delete_is_refused),
	    cmocka_unit_test(test_put_back_for_what_was_handed_up),
	    cmocka_unit_test(test_not_put_back_after_a_fin),
	    cmocka_unit_test(test_lost_when_it_cannot_be_put_back),
	    cmocka_unit_test(test_an_error_is_the_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
