/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The choice: when a stream of small messages is copied, and when it is the kernel's again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/splice/adopt.h"
#include "../../daemon/splice/choice.h"
#include "../../daemon/splice/pause.h"
#include "fakekernel.h"

static struct splice_test t;
static struct stream *const up = &t.streams[UP];
static struct stream *const down = &t.streams[DOWN];
static uint64_t said; /* bytes that the server has sent by hand */

/* Other sessions of the same splicer. */
static struct splice other_sp[4];
static struct stream others[4][2];
static unsigned int n_others; /* of which so many have small messages */

static void begin_others(void)
{
	said = 0;
	n_others = 3;
	for (int i = 0; i < 4; i++) {
		other_sp[i] =
		    (struct splice){.by = &t.by, .settings = &t.settings, .streams = others[i]};
		for (int d = 0; d < 2; d++)
			others[i][d] = (struct stream){.splice = &other_sp[i]};
	}
}

static void others_talk(void)
{
	for (unsigned int i = 0; i < n_others; i++)
		(void)choice_after_run(&others[i][UP]);
}

/* With `engine = auto`. */
static void begin_auto(void)
{
	begin(&t);
	t.settings.choose = true;
	fake.on_mss = sockops_leaves;
	begin_others();
	splice_open(&t.sp);
}

/* The verdict program has seen a run of small messages from the server. */
static void small_run(void)
{
	others_talk();
	kernel_consider_copy(down);
	pass(&t, 0);
}

static void begin_small(void)
{
	begin_auto();
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_true(t.lanes[DOWN].choosing);
	small_run();
	assert_int_equal(down->state, STREAM_COPY);
}

/* One message that is read by hand, and arrives. */
static void message(size_t n, uint64_t after)
{
	pass(&t, after);
	others_talk();
	say(t.server_end, &t.server, said, n);
	t.server.readable = true;
	stream_pump(down);
	pass(&t, 0);
	expect(t.client_end, said, n);
	said += n;
}

static void test_small_messages_are_copied(void **state _unused_)
{
	begin_small();
	assert_false(is_in(ENGAGED_FD, &t.server));
	assert_int_equal(stream_reason(down), COPY_SMALL);
	assert_int_equal(t.stats.copy_reasons[COPY_SMALL], 1);
	assert_int_equal(up->state, STREAM_ENGAGED);
	assert_int_equal(t.stats.pauses, 0);
	for (int i = 0; i < 300; i++)
		message(64, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(stream_reason(down), COPY_SMALL);
	end(&t);
}

static void test_not_with_another_engine(void **state _unused_)
{
	begin_engaged(&t);
	assert_false(t.lanes[DOWN].choosing);
	end(&t);
}

/* One wake-up of the daemon for each message of a single session costs more than the kernel. */
static void test_a_lone_session_is_the_kernels(void **state _unused_)
{
	begin_auto();
	for (n_others = 0; n_others < 3; n_others++) {
		pass(&t, NSEC_PER_SEC);
		small_run();
		assert_int_equal(down->state, STREAM_ENGAGED);
		assert_true(is_in(ENGAGED_FD, &t.server));
	}
	small_run();
	assert_int_equal(down->state, STREAM_COPY);
	/* Fewer stay, but not one. */
	n_others = 1;
	for (int i = 0; i < 300; i++)
		message(64, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	n_others = 0;
	for (int i = 0; i < 2100 && down->state == STREAM_COPY; i++)
		message(64, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(stream_reason(down), COPY_NONE);
	end(&t);
}

/* Each in two reads, of which the second one is small. */
static void test_those_with_a_small_tail_too(void **state _unused_)
{
	begin_small();
	for (int i = 0; i < 20 && down->state == STREAM_COPY; i++)
		message(i % 2 ? 64 : 8192, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

static void test_not_without_sockops(void **state _unused_)
{
	begin(&t);
	t.settings.choose = true;
	t.maps.collected = false;
	splice_open(&t.sp);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_false(t.lanes[DOWN].choosing);
	end(&t);
}

static void test_large_ones_are_the_kernels(void **state _unused_)
{
	begin_small();
	/* If they are more than a third, that is. */
	for (int i = 0; i < 300; i++)
		message(i % 3 ? 64 : LANE_SMALL + 1, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	for (int i = 0; i < 3; i++)
		message(LANE_SMALL + 1, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	message(LANE_SMALL + 1, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(stream_reason(down), COPY_NONE);
	end(&t);
}

static void test_rare_ones_too(void **state _unused_)
{
	begin_small();
	message(64, 900 * NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	message(64, 1100 * NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

/* One that comes back at once has to be larger for longer; later it is as at first. */
static void test_hysteresis(void **state _unused_)
{
	unsigned int needed = 4; /* large messages */

	begin_small();
	for (int round = 0; round < 3; round++, needed *= 2) {
		assert_int_equal(down->lead_needed, 2 * needed);
		for (unsigned int i = 0; i < needed; i++) {
			assert_int_equal(down->state, STREAM_COPY);
			message(8192, NSEC_PER_MSEC);
		}
		assert_int_equal(down->state, STREAM_ENGAGED);
		small_run();
	}
	for (unsigned int i = 0; i < needed; i++)
		message(8192, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	pass(&t, NSEC_PER_SEC);
	small_run();
	assert_int_equal(down->lead_needed, 8);
	end(&t);
}

/* What was handed up is served, and an error told. */
static void test_cannot_leave(void **state _unused_)
{
	begin_auto();
	t.lanes[DOWN].passed = 1;
	small_run();
	assert_int_equal(down->state, STREAM_ENGAGED);
	t.lanes[DOWN].passed = 0;
	fake.fail_mss = ENOMEM;
	small_run();
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_false(is_held(&t.server));
	/* Without the lock it is not worth it. */
	fake.fail_mss = 0;
	fake.on_mss = NULL;
	small_run();
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_true(is_in(ENGAGED_FD, &t.server));
	assert_false(is_held(&t.server));
	assert_int_equal(t.stats.unlocked_deletes, 0);
	fake.fail_mss = EPIPE;
	kernel_consider_copy(down);
	assert_int_equal(t.n_failed, 1);
	assert_int_equal(t.error, ECONNRESET);
	end(&t);
}

/* ---- a young session -------------------------------------------------------------------- */

static void begin_young(void)
{
	begin(&t);
	t.settings.choose = true;
	t.settings.engage_after = 10 * NSEC_PER_MSEC;
	t.settings.early_bytes = 1000;
	fake.on_mss = sockops_leaves;
	begin_others();
	splice_open(&t.sp);
}

static void test_a_young_one_stays_copied(void **state _unused_)
{
	begin_young();
	for (int i = 0; i < 30; i++)
		message(64, NSEC_PER_MSEC);
	assert_true(said > t.settings.early_bytes);
	assert_false(t.sp.adopted);
	assert_true(t.sp.postponed);
	assert_int_equal(down->why_copy, COPY_SMALL);
	assert_int_equal(t.stats.copy_reasons[COPY_SMALL], 1);
	for (int i = 0; i < 4; i++)
		message(8192, NSEC_PER_MSEC);
	assert_true(t.sp.adopted);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(up->state, STREAM_ENGAGED);
	assert_int_equal(down->why_copy, COPY_NONE);
	end(&t);
}

static void test_a_silent_or_large_one_does_not(void **state _unused_)
{
	begin_young();
	pass(&t, 20 * NSEC_PER_MSEC);
	assert_true(t.sp.adopted);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);

	begin_young();
	message(64, NSEC_PER_MSEC);
	message(64, NSEC_PER_MSEC);
	message(8192, NSEC_PER_MSEC);
	assert_true(t.sp.adopted);
	end(&t);
}

static void test_a_young_one_alone_does_not(void **state _unused_)
{
	begin_young();
	n_others = 0;
	for (int i = 0; i < 8; i++)
		message(64, NSEC_PER_MSEC);
	assert_false(t.sp.adopted);
	pass(&t, 4 * NSEC_PER_MSEC);
	assert_true(t.sp.adopted);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

/* The others fall silent. */
static void test_a_postponed_one_is_left_alone(void **state _unused_)
{
	begin_young();
	for (int i = 0; i < 20; i++)
		message(64, NSEC_PER_MSEC);
	assert_true(t.sp.postponed);
	n_others = 0;
	for (int i = 0; i < 2100 && t.sp.postponed; i++)
		message(64, NSEC_PER_MSEC);
	assert_true(t.sp.adopted);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

static void test_a_postponed_one_becomes_rare(void **state _unused_)
{
	begin_young();
	for (int i = 0; i < 20; i++)
		message(64, NSEC_PER_MSEC);
	assert_true(t.sp.postponed);
	message(64, 2 * NSEC_PER_SEC);
	assert_true(t.sp.adopted);
	assert_false(t.sp.postponed);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_small_messages_are_copied),
	    cmocka_unit_test(test_not_with_another_engine),
	    cmocka_unit_test(test_not_without_sockops),
	    cmocka_unit_test(test_a_lone_session_is_the_kernels),
	    cmocka_unit_test(test_large_ones_are_the_kernels),
	    cmocka_unit_test(test_those_with_a_small_tail_too),
	    cmocka_unit_test(test_rare_ones_too),
	    cmocka_unit_test(test_hysteresis),
	    cmocka_unit_test(test_cannot_leave),
	    cmocka_unit_test(test_a_young_one_stays_copied),
	    cmocka_unit_test(test_a_silent_or_large_one_does_not),
	    cmocka_unit_test(test_a_young_one_alone_does_not),
	    cmocka_unit_test(test_a_postponed_one_is_left_alone),
	    cmocka_unit_test(test_a_postponed_one_becomes_rare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
