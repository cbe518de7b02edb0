/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pausing: when a source is taken out, how its target is waited for, and how it goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/splice/pause.h"
#include "../../daemon/tcpstate.h"
#include "fakekernel.h"

static struct splice_test t;
static struct stream *const down = &t.streams[DOWN];
static struct lane *const lane = &t.lanes[DOWN];

static uint32_t unsent(void)
{
	struct tcp_state state;

	assert_int_equal(tcp_state_read(t.client.fd, &state), 0);
	return state.unsent;
}

/* The kernel has redirected more than the client's window takes: much of it is unsent. */
static void fill_target(void)
{
	static const char zeros[64 * 1024];
	int size = 16 * 1024, room = 1024 * 1024;
	ssize_t n;

	assert_int_equal(setsockopt(t.client_end, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(setsockopt(t.client.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	while ((n = sendto(t.client.fd, zeros, sizeof(zeros), 0, NULL, 0)) > 0)
		lane->redirected += (uint64_t)n;
	assert_true(unsent() > t.settings.low);
}

/* The client reads everything. */
static void drain_target(void)
{
	uint64_t got = 0;
	char buf[64 * 1024];
	ssize_t n;

	for (int i = 0; i < 4000 && got < lane->redirected; i++) {
		while ((n = recv(t.client_end, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			got += (uint64_t)n;
		(void)usleep(500);
	}
	assert_int_equal(got, lane->redirected);
	assert_int_equal(unsent(), 0);
}

static void ask_for_pause(void)
{
	lane->pause_wanted++;
	stream_pump(down);
}

static void begin_paused(void)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	fill_target();
	ask_for_pause();
	assert_int_equal(down->state, STREAM_PAUSED);
}

static void test_pauses(void **state _unused_)
{
	begin_paused();
	assert_false(is_in(ENGAGED_FD, &t.server));
	assert_false(is_held(&t.server));
	assert_int_equal(down->low, t.settings.low);
	assert_true(down->paused_unsent > t.settings.low);
	assert_int_equal(down->pauses, 1);
	assert_int_equal(t.stats.pauses, 1);
	assert_int_equal(lane->pause_seen, lane->pause_wanted);
	/* It looks again soon; nothing is read meanwhile, and no room is asked for. */
	assert_int_equal(down->wait.at, t.turns.loop.now + 100 * NSEC_PER_USEC);
	assert_false(t.server.armed & EPOLLIN);
	assert_false(t.client.armed & EPOLLOUT);
	assert_int_equal(t.streams[UP].state, STREAM_ENGAGED);
	end(&t);
}

/* The target may have drained since the event. */
static void test_needs_no_pause_any_more(void **state _unused_)
{
	begin_engaged(&t);
	ask_for_pause();
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(lane->pause_seen, lane->pause_wanted);
	assert_int_equal(fake.mss, 0);
	assert_int_equal(t.stats.pauses, 0);
	assert_false(down->waiting);
	end(&t);
}

/* Small segments: half of what is unsent must go, if that is less than the usual mark. */
static void test_memory_lowers_the_mark(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	fill_target();
	t.settings.low = 16 * 1024 * 1024;
	lane->mem_new = lane->mem_high + 1;
	ask_for_pause();
	assert_int_equal(down->state, STREAM_PAUSED);
	assert_int_equal(down->low, down->paused_unsent / 2);
	end(&t);
}

static void test_serves_first_what_was_handed_up(void **state _unused_)
{
	begin_engaged(&t);
	fill_target();
	/* Between the look at `passed` and the leave. */
	lane->pause_wanted++;
	lane->passed = 100;
	kernel_consider_pause(down);
	assert_int_equal(down->state, STREAM_SERVING);
	assert_int_equal(t.stats.pauses, 0);
	assert_int_equal(t.stats.served, 1);
	assert_true(is_in(ENGAGED_FD, &t.server));
	end(&t);
}

static void test_cannot_leave_now(void **state _unused_)
{
	begin_engaged(&t);
	fill_target();
	fake.fail_mss = ENOMEM;
	ask_for_pause();
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_true(is_in(ENGAGED_FD, &t.server));
	/* The next segment asks again. */
	assert_false(is_held(&t.server));
	assert_int_equal(t.stats.pauses, 0);
	end(&t);
}

static void test_goes_on_when_the_target_has_drained(void **state _unused_)
{
	begin_paused();
	pass(&t, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_PAUSED);
	drain_target();
	pass(&t, NSEC_PER_SEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_true(is_in(ENGAGED_FD, &t.server));
	assert_int_equal(lane->epoch, 2);
	assert_int_equal(t.stats.resumes, 1);
	assert_true(t.stats.looks >= 1);
	assert_false(down->waiting);
	/* What the daemon wrote meanwhile is nothing. */
	assert_int_equal(down->copied, 0);
	end(&t);
}

/* The waits become longer; a long one is ended by the target's word, or after half a minute. */
static void test_a_target_that_takes_nothing(void **state _unused_)
{
	uint64_t looks;

	begin_paused();
	pass(&t, NSEC_PER_MSEC);
	assert_true(t.client.armed & EPOLLOUT);
	assert_false(down->signal);
	pass(&t, NSEC_PER_SEC);
	assert_true(down->signal);
	assert_true(t.client.armed & EPOLLOUT);
	assert_int_equal(option_of(&t.client, IPPROTO_TCP, TCP_NOTSENT_LOWAT), t.settings.low * 2);
	pass(&t, 120 * NSEC_PER_SEC);
	looks = t.stats.looks;
	pass(&t, 90 * NSEC_PER_SEC);
	assert_int_equal(t.stats.looks - looks, 3);
	assert_int_equal(down->state, STREAM_PAUSED);
	/* The word comes. */
	drain_target();
	stream_roused(down);
	stream_pump(down);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(option_of(&t.client, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 0);
	end(&t);
}

/* The only stream that waits, for a target that is fast: the daemon copies, without timer ticks. */
static void test_a_lone_stream_is_copied(void **state _unused_)
{
	begin_paused();
	t.by.last_paused = down;
	t.by.company_ns = 0;
	drain_target();
	say(t.server_end, &t.server, 0, 1000);
	turns_pass(&t.turns, 100 * NSEC_PER_USEC);
	assert_int_equal(run_tasks(&t), 1);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_NONE);
	assert_int_equal(down->by_hand, t.turns.loop.now);
	assert_int_equal(t.stats.resumes, 1);
	/* When its source has nothing more for now, it is the kernel's again. */
	pass(&t, 0);
	expect(t.client_end, 0, 1000);
	assert_int_equal(down->copied, 1000);
	assert_int_equal(down->by_hand, 0);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

static void test_not_alone_or_not_fast(void **state _unused_)
{
	/* Another stream was the last one to be paused. */
	begin_paused();
	t.by.last_paused = &t.streams[UP];
	t.by.company_ns = 0;
	drain_target();
	pass(&t, 100 * NSEC_PER_USEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_ptr_equal(t.by.last_paused, down);
	assert_int_equal(t.by.company_ns, t.turns.loop.now);
	end(&t);

	/* It took what was unsent in ten seconds. */
	begin_paused();
	t.by.last_paused = down;
	t.by.company_ns = 0;
	pass(&t, 10 * NSEC_PER_SEC);
	drain_target();
	pass(&t, 60 * NSEC_PER_SEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

/* Its source left before the daemon came to look. Needed or not, it is out. */
static void test_stopped_on_its_own(void **state _unused_)
{
	for (int needed = 0; needed < 2; needed++) {
		begin_engaged(&t);
		if (needed)
			fill_target();
		sockops_stops(down);
		stream_pump(down);
		assert_int_equal(down->state, STREAM_PAUSED);
		assert_int_equal(fake.mss, 0);
		assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 0);
		assert_int_equal(lane->pause_seen, lane->pause_wanted);
		assert_int_equal(t.stats.pauses, 1);
		assert_false(is_held(&t.server));
		if (needed) {
			pass(&t, NSEC_PER_MSEC);
			assert_int_equal(down->state, STREAM_PAUSED);
			drain_target();
		}
		pass(&t, NSEC_PER_SEC);
		assert_int_equal(down->state, STREAM_ENGAGED);
		assert_true(is_in(ENGAGED_FD, &t.server));
		assert_int_equal(lane->beyond, LANE_WITHIN);
		end(&t);
	}
}

/* ... and then the end has come, so that it cannot be put back: what waits is copied. */
static void test_stopped_and_ended(void **state _unused_)
{
	begin_engaged(&t);
	sockops_stops(down);
	say(t.server_end, &t.server, 0, 1000);
	t.server.fin_seen = true;
	stream_pump(down);
	assert_int_equal(down->state, STREAM_PAUSED);
	pass(&t, 100 * NSEC_PER_USEC);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_HALF_CLOSED);
	expect(t.client_end, 0, 1000);
	assert_int_equal(t.n_failed + t.n_corrupt, 0);
	end(&t);
}

static void test_the_source_has_ended_meanwhile(void **state _unused_)
{
	begin_paused();
	t.server.fin_seen = true;
	drain_target();
	pass(&t, 100 * NSEC_PER_USEC);
	assert_int_equal(down->why_copy, COPY_HALF_CLOSED);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(t.n_failed + t.n_corrupt, 0);
	end(&t);
}

/* Copied from now on, and nothing is lost. */
static void test_cannot_be_engaged_again(void **state _unused_)
{
	static const struct {
		int error;
		enum copy_reason why;
	} cases[] = {{E2BIG, COPY_MAP_FULL}, {EAGAIN, COPY_REFUSED}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_paused();
		fake.fail_put[ENGAGED_FD - SOCKETS_FD] = cases[i].error;
		drain_target();
		pass(&t, 100 * NSEC_PER_USEC);
		assert_int_equal(down->state, STREAM_COPY);
		assert_int_equal(down->why_copy, cases[i].why);
		assert_int_equal(t.stats.copy_reasons[cases[i].why], 1);
		say(t.server_end, &t.server, 0, 1000);
		t.server.readable = true;
		stream_pump(down);
		expect(t.client_end, 0, 1000);
		end(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pauses),
	    cmocka_unit_test(test_needs_no_pause_any_more),
	    cmocka_unit_test(test_memory_lowers_the_mark),
	    cmocka_unit_test(test_serves_first_what_was_handed_up),
	    cmocka_unit_test(test_cannot_leave_now),
	    cmocka_unit_test(test_goes_on_when_the_target_has_drained),
	    cmocka_unit_test(test_a_target_that_takes_nothing),
	    cmocka_unit_test(test_a_lone_stream_is_copied),
	    cmocka_unit_test(test_not_alone_or_not_fast),
	    cmocka_unit_test(test_stopped_on_its_own),
	    cmocka_unit_test(test_stopped_and_ended),
	    cmocka_unit_test(test_the_source_has_ended_meanwhile),
	    cmocka_unit_test(test_cannot_be_engaged_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
