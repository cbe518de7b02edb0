/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Engaging and adopting: what the kernel is told of a stream, when, and what a refusal leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/buffers.h"
#include "../../daemon/splice/adopt.h"
#include "../../daemon/splice/budget.h"
#include "../../daemon/splice/copy.h"
#include "../../daemon/splice/engage.h"
#include "../../daemon/splice/release.h"
#include "../../daemon/splice/take-back.h"
#include "fakekernel.h"

static struct splice_test t;
static struct stream *const up = &t.streams[UP], *const down = &t.streams[DOWN];

static void test_the_lane(void **state _unused_)
{
	const struct lane *lane = &t.lanes[DOWN];

	begin(&t);
	t.settings.budget = 123456;
	splice_open(&t.sp);
	assert_ptr_equal(up->lane, &t.lanes[UP]);
	assert_ptr_equal(down->lane, lane);
	assert_int_equal(lane->limit, 123456);
	assert_int_equal(lane->high, t.settings.high);
	assert_int_equal(lane->hard, t.settings.hard);
	assert_int_equal(lane->mem_high, t.settings.high * 8);
	assert_int_equal(lane->mem_hard, t.settings.hard * 4);
	assert_int_equal(lane->generation, 1);
	assert_int_equal(lane->worker, 3);
	assert_int_equal(lane->epoch, 1);
	assert_int_equal(t.sp.generation, 1);
	assert_ptr_equal(t.owners[0], &t.sp);
	assert_true(t.sp.adopted);
	assert_ptr_equal(t.sp.list, &t.by.adopted);
	assert_int_equal(t.stats.sessions_kernel, 1);
	for (int fd = SOCKETS_FD; fd < _FAKE_FD_MAX; fd++) {
		assert_true(is_in(fd, &t.client));
		assert_true(is_in(fd, &t.server));
	}
	end(&t);
	assert_null(t.owners[0]);
	assert_int_equal(lane->generation, 0);
}

static void test_the_sockets(void **state _unused_)
{
	begin_engaged(&t);
	/* A window of the settings' in a buffer three times as large; a verdict for each byte. */
	assert_int_equal(option_of(&t.server, IPPROTO_TCP, TCP_WINDOW_CLAMP), WINDOW);
	assert_true(option_of(&t.server, SOL_SOCKET, SO_RCVBUF) >= 3 * WINDOW);
	assert_false(is_held(&t.server));
	assert_int_equal(t.server.armed & (EPOLLIN | EPOLLOUT), 0);
	assert_true(t.server.armed & EPOLLRDHUP);
	/* What its TCP has taken of it is nothing yet. */
	assert_true(t.client.based);
	assert_false(down->drained);
	end(&t);
}

/* Near memory_max nothing more is given to the kernel, neither whole sessions nor bodies. */
static void test_scarce_memory(void **state _unused_)
{
	begin(&t);
	atomic_store(&t.memory.level, MEMORY_SMALLER);
	splice_open(&t.sp);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_true(budget_possible(down, UINT64_MAX));
	end(&t);

	begin(&t);
	atomic_store(&t.memory.level, MEMORY_COPY);
	splice_open(&t.sp);
	assert_false(budget_possible(down, UINT64_MAX));
	assert_int_equal(up->state, STREAM_COPY);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_MEMORY);
	assert_int_equal(t.stats.copy_reasons[COPY_MEMORY], 2);
	assert_int_equal(t.stats.sessions_kernel, 0);
	end(&t);
}

/* A socket with smaller buffers has lower marks. */
static void test_small_buffers(void **state _unused_)
{
	begin(&t);
	t.settings.high = 1 << 20;
	t.settings.hard = 16 << 20;
	t.client.share = 256 << 10;
	splice_open(&t.sp);
	assert_int_equal(t.lanes[DOWN].high, 128 << 10);
	assert_int_equal(t.lanes[DOWN].hard, 512 << 10);
	assert_int_equal(t.lanes[UP].high, 1 << 20);
	assert_int_equal(t.lanes[UP].hard, 16 << 20);
	end(&t);

	/* And keeps both when it is engaged. */
	begin(&t);
	buffers_set(&t.server, 256 << 10, WINDOW, true);
	assert_int_equal(option_of(&t.server, SOL_SOCKET, SO_BUF_LOCK), 3);
	splice_open(&t.sp);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(option_of(&t.server, SOL_SOCKET, SO_BUF_LOCK), 3);
	assert_int_equal(option_of(&t.client, SOL_SOCKET, SO_BUF_LOCK), 2);
	end(&t);
}

/* A window has room for two segments: see buffers_usual(). */
static void test_a_small_window(void **state _unused_)
{
	static const struct {
		uint32_t window, segments, want;
	} cases[] = {{64 << 10, 0, 2 * 65483},
		     {64 << 10, 2 * 1460, 64 << 10},
		     {256 << 10, 0, 256 << 10},
		     {64 << 10, 128 << 10, 128 << 10}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(&t);
		t.settings.window = cases[i].window;
		t.server.segments = cases[i].segments;
		splice_open(&t.sp);
		assert_int_equal(down->state, STREAM_ENGAGED);
		assert_int_equal(option_of(&t.server, IPPROTO_TCP, TCP_WINDOW_CLAMP),
				 cases[i].want);
		end(&t);
	}
}

/* What the daemon wrote before is not the kernel's, and stands for the base. */
static void test_after_bytes_by_hand(void **state _unused_)
{
	begin(&t);
	say(t.server_end, &t.server, 0, 3000);
	t.settings.engage_after = NSEC_PER_SEC;
	t.server.readable = true;
	splice_open(&t.sp);
	expect(t.client_end, 0, 3000);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_YOUNG);
	splice_adopt_now(&t.sp);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(down->why_copy, COPY_NONE);
	assert_int_equal(t.lanes[DOWN].copied, 3000);
	assert_int_equal(t.lanes[DOWN].forwarded, 0);
	/* Nothing of it is a backlog. */
	assert_true(stream_target_drained(down));
	end(&t);
}

static void test_pending_bytes_go_first(void **state _unused_)
{
	begin(&t);
	assert_int_equal(stream_keep(down, "abc", 3), 0);
	t.client.writable = false;
	splice_open(&t.sp);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(up->state, STREAM_ENGAGED);
	t.client.writable = true;
	stream_pump(down);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(t.lanes[DOWN].copied, 3);
	end(&t);
}

static void test_gates(void **state _unused_)
{
	begin(&t);
	splice_open(&t.sp);
	assert_int_equal(fake.gates, 2);
	assert_true(t.client.gated && t.server.gated);
	end(&t);

	begin(&t);
	fake.fail_gate = ENOMEM;
	splice_open(&t.sp);
	assert_false(t.client.gated || t.server.gated);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(t.stats.copy_reasons[COPY_REFUSED], 2);
	say(t.server_end, &t.server, 0, 500);
	t.server.readable = true;
	stream_pump(down);
	expect(t.client_end, 0, 500);
	end(&t);
}

static void test_refused_by_a_map(void **state _unused_)
{
	static const struct {
		int error;
		enum copy_reason why;
	} cases[] = {{E2BIG, COPY_MAP_FULL},  {ENOSPC, COPY_MAP_FULL},
		     {ENOMEM, COPY_MAP_FULL}, {EOPNOTSUPP, COPY_HALF_CLOSED},
		     {EINVAL, COPY_REFUSED},  {EAGAIN, COPY_REFUSED}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool counted = cases[i].why != COPY_HALF_CLOSED;

		begin(&t);
		fake.fail_put[ENGAGED_FD - SOCKETS_FD] = cases[i].error;
		splice_open(&t.sp);
		for (int d = UP; d <= DOWN; d++) {
			assert_int_equal(t.streams[d].state, STREAM_COPY);
			assert_int_equal(t.streams[d].why_copy, cases[i].why);
			assert_false(is_held(t.streams[d].source));
		}
		assert_int_equal(t.stats.copy_reasons[cases[i].why], counted ? 2 : 0);
		say(t.server_end, &t.server, 0, 500);
		t.server.readable = true;
		stream_pump(down);
		expect(t.client_end, 0, 500);
		end(&t);
	}
}

/* Neither stream has a lane that is used, when one of them cannot have one. */
static void test_no_room_for_the_sockets(void **state _unused_)
{
	begin(&t);
	fake.fail_put[SOCKETS_FD - SOCKETS_FD] = E2BIG;
	splice_open(&t.sp);
	assert_false(t.sp.adopted);
	assert_int_equal(t.stats.sessions_kernel, 0);
	assert_int_equal(t.stats.copy_reasons[COPY_MAP_FULL], 2);
	assert_int_equal(up->state, STREAM_COPY);
	assert_int_equal(down->state, STREAM_COPY);
	assert_null(t.owners[0]);
	end(&t);
}

static void test_a_source_that_has_ended(void **state _unused_)
{
	begin(&t);
	t.server.fin_seen = true;
	splice_open(&t.sp);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_HALF_CLOSED);
	assert_false(is_in(ENGAGED_FD, &t.server));
	assert_int_equal(up->state, STREAM_ENGAGED);
	end(&t);
}

/* ---- why and when ----------------------------------------------------------------------- */

static void test_what_the_kernel_never_gets(void **state _unused_)
{
	begin(&t);
	t.settings.copy_only = true;
	splice_open(&t.sp);
	assert_int_equal(down->why_copy, COPY_CONFIG);
	assert_int_equal(t.stats.copy_reasons[COPY_CONFIG], 2);
	assert_int_equal(t.stats.sessions_copy, 1);
	assert_null(t.sp.list);
	end(&t);

	begin(&t);
	t.by.maps = NULL;
	splice_open(&t.sp);
	assert_int_equal(up->why_copy, COPY_UNAVAILABLE);
	end(&t);

	begin(&t);
	t.client.tcp = false;
	splice_open(&t.sp);
	assert_int_equal(up->why_copy, COPY_UNIX);
	t.client.tcp = true;
	end(&t);
}

static void test_when_it_is_old_enough(void **state _unused_)
{
	begin(&t);
	t.settings.engage_after = NSEC_PER_SEC;
	splice_open(&t.sp);
	assert_true(splice_is_awaiting(&t.sp));
	assert_int_equal(t.by.adopt_timer.at, t.turns.loop.now + NSEC_PER_SEC);
	assert_int_equal(down->why_copy, COPY_YOUNG);
	pass(&t, NSEC_PER_SEC - NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	pass(&t, NSEC_PER_MSEC);
	assert_false(splice_is_awaiting(&t.sp));
	assert_int_equal(up->state, STREAM_ENGAGED);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

/* Bytes of the other one may be lost already: nothing goes behind the hole. */
static void test_a_failed_peer(void **state _unused_)
{
	struct conn *conns[] = {&t.client, &t.server};

	for (int i = 0; i < 2; i++) {
		begin(&t);
		t.settings.engage_after = NSEC_PER_SEC;
		splice_open(&t.sp);
		conns[i]->failed = true;
		pass(&t, NSEC_PER_SEC);
		assert_false(splice_is_awaiting(&t.sp));
		assert_int_equal(up->state, STREAM_COPY);
		assert_int_equal(down->state, STREAM_COPY);
		assert_int_equal(fake.puts[SOCKETS_FD - SOCKETS_FD], 0);
		end(&t);
	}
}

static void test_when_it_is_busy(void **state _unused_)
{
	begin(&t);
	t.settings.engage_after = NSEC_PER_SEC;
	t.settings.early_bytes = 1000;
	splice_open(&t.sp);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(down->state, STREAM_COPY);
		say(t.server_end, &t.server, 0, 600);
		t.server.readable = true;
		stream_pump(down);
		expect(t.client_end, 0, 600);
	}
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(up->state, STREAM_ENGAGED);
	end(&t);
}

static void test_ends_before_it_is_old_enough(void **state _unused_)
{
	begin(&t);
	t.settings.engage_after = NSEC_PER_SEC;
	splice_open(&t.sp);
	splice_stop(&t.sp);
	assert_true(TAILQ_EMPTY(&t.by.awaiting));
	pass(&t, 2 * NSEC_PER_SEC);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(fake.puts[SOCKETS_FD - SOCKETS_FD], 0);
	end(&t);
}

/* ---- budgets ---------------------------------------------------------------------------- */

static void by_hand(struct stream *s _unused_)
{
}

static const struct engine engine_test = {.pump = by_hand, .budgets = true};

static void begin_budgeted(void)
{
	begin(&t);
	splice_by_hand(&t.sp, &engine_test);
	for (int i = 0; i < 2; i++) {
		stream_enter(&t.streams[i], STREAM_COPY);
		t.streams[i].why_copy = COPY_NONE;
	}
}

static void test_a_budget(void **state _unused_)
{
	begin_budgeted();
	fake.on_mss = sockops_leaves;
	assert_true(budget_possible(down, 1000));
	assert_int_equal(budget_engage(down, 1000), 0);
	assert_int_equal(t.lanes[DOWN].limit, 1000);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(up->state, STREAM_COPY);
	assert_null(up->lane);
	t.lanes[DOWN].redirected = 999;
	assert_false(budget_spent(down));
	stream_pump(down);
	assert_int_equal(down->state, STREAM_ENGAGED);
	t.lanes[DOWN].redirected = 1000;
	t.lanes[DOWN].trimmed = 7;
	assert_true(budget_spent(down));
	stream_pump(down);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(budget_settle(down), 1000);
	assert_int_equal(t.server.received, 1000);
	assert_int_equal(t.client.sent, 1000);
	assert_int_equal(stream_trimmed(down), 7);
	assert_null(down->lane);
	assert_int_equal(t.lanes[DOWN].generation, 0);
	assert_false(is_in(LANE_OF_FD, &t.server));
	/* It was adopted once, however many budgets it gets. */
	assert_int_equal(budget_engage(down, 50), 0);
	assert_int_equal(t.lanes[DOWN].redirected, 0);
	assert_int_equal(t.lanes[DOWN].generation, 1);
	assert_int_equal(t.stats.sessions_kernel, 1);
	t.client.sent -= 1000; /* which nobody has given it */
	end(&t);
}

/* What goes beyond a limit is handed up, and may not be behind bytes for its own socket. */
static void test_a_budget_is_alone(void **state _unused_)
{
	begin_budgeted();
	fake.on_mss = sockops_leaves;
	assert_int_equal(budget_engage(down, 1000), 0);
	assert_false(budget_possible(up, 1000));
	assert_false(budget_possible(up, UINT64_MAX));
	/* It is back, and its target has not taken all of it. */
	t.lanes[DOWN].redirected = 1000;
	stream_pump(down);
	assert_int_equal(budget_settle(down), 1000);
	assert_false(budget_possible(up, 1000));
	assert_true(budget_possible(up, UINT64_MAX));
	t.client.sent -= 1000; /* it has taken what it was given */
	assert_true(budget_possible(up, 1000));

	assert_int_equal(budget_engage(down, UINT64_MAX), 0);
	assert_false(budget_possible(up, 1000));
	assert_true(budget_possible(up, UINT64_MAX));
	end(&t);
}

/* Another program has taken the callback away: nothing more goes to the kernel. */
static void test_unheard(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	t.unheard = 1;
	assert_false(budget_possible(down, UINT64_MAX));
	assert_int_equal(t.unheard, 2);
	assert_int_equal(kernel_take_back(down), 0);
	kernel_to_copy(down);
	pass(&t, 0);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_UNLOCKED);
	assert_int_equal(up->state, STREAM_ENGAGED);
	end(&t);

	begin(&t);
	t.unheard = 2;
	splice_open(&t.sp);
	assert_int_equal(up->state, STREAM_COPY);
	assert_int_equal(t.stats.copy_reasons[COPY_UNLOCKED], 2);
	assert_int_equal(t.stats.sessions_kernel, 0);
	end(&t);

	/* Where sockops is not there at all, that was told, and is no surprise. */
	begin(&t);
	t.unheard = 1;
	t.maps.collected = false;
	splice_open(&t.sp);
	assert_int_equal(up->state, STREAM_ENGAGED);
	end(&t);
}

/* What follows a protocol that gave the kernel budgets, as a tunnel, has no lane of its own yet. */
static void test_copied_after_a_budget(void **state _unused_)
{
	begin_budgeted();
	fake.on_mss = sockops_leaves;
	assert_int_equal(budget_engage(down, 1000), 0);
	budget_revoke(down);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(budget_settle(down), 0);
	splice_by_hand(&t.sp, &engine_copy);
	say(t.server_end, &t.server, 0, 3000);
	t.server.readable = true;
	pass(&t, 0);
	assert_int_equal(down->state, STREAM_COPY);
	expect(t.client_end, 0, 3000);
	/* Nor has the other one, which is not the kernel's to give up. */
	assert_int_equal(kernel_release(up), 0);
	assert_int_equal(up->why_copy, COPY_NONE);
	end(&t);
}

static void test_a_budget_that_is_refused(void **state _unused_)
{
	begin_budgeted();
	fake.fail_put[LANE_OF_FD - SOCKETS_FD] = E2BIG;
	assert_int_equal(budget_engage(down, 1000), -E2BIG);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_MAP_FULL);
	assert_int_equal(t.stats.copy_reasons[COPY_MAP_FULL], 1);
	assert_null(down->lane);
	assert_int_equal(t.lanes[DOWN].generation, 0);
	assert_false(budget_possible(down, 1000));
	assert_false(t.sp.adopted);
	end(&t);
}

/* ---- the end ---------------------------------------------------------------------------- */

/* What cannot be removed now is before the splice is freed: it says that it is still there. */
static void test_an_entry_that_stays(void **state _unused_)
{
	begin_engaged(&t);
	splice_stop(&t.sp);
	fake.fail_remove[LANE_OF_FD - SOCKETS_FD] = ENOMEM;
	assert_int_equal(splice_forget(&t.sp), -ENOMEM);
	assert_true(is_in(LANE_OF_FD, &t.server));
	assert_ptr_equal(t.owners[0], &t.sp);
	/* No event finds it all the same. */
	assert_int_equal(t.lanes[UP].generation | t.lanes[DOWN].generation, 0);
	fake.fail_remove[LANE_OF_FD - SOCKETS_FD] = 0;
	assert_int_equal(splice_forget(&t.sp), 0);
	assert_false(is_in(LANE_OF_FD, &t.server));
	assert_false(is_in(LANE_OF_FD, &t.client));
	assert_null(t.owners[0]);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_lane),
	    cmocka_unit_test(test_the_sockets),
	    cmocka_unit_test(test_scarce_memory),
	    cmocka_unit_test(test_small_buffers),
	    cmocka_unit_test(test_a_small_window),
	    cmocka_unit_test(test_after_bytes_by_hand),
	    cmocka_unit_test(test_pending_bytes_go_first),
	    cmocka_unit_test(test_gates),
	    cmocka_unit_test(test_refused_by_a_map),
	    cmocka_unit_test(test_no_room_for_the_sockets),
	    cmocka_unit_test(test_a_source_that_has_ended),
	    cmocka_unit_test(test_what_the_kernel_never_gets),
	    cmocka_unit_test(test_when_it_is_old_enough),
	    cmocka_unit_test(test_a_failed_peer),
	    cmocka_unit_test(test_when_it_is_busy),
	    cmocka_unit_test(test_ends_before_it_is_old_enough),
	    cmocka_unit_test(test_a_budget),
	    cmocka_unit_test(test_a_budget_is_alone),
	    cmocka_unit_test(test_unheard),
	    cmocka_unit_test(test_copied_after_a_budget),
	    cmocka_unit_test(test_a_budget_that_is_refused),
	    cmocka_unit_test(test_an_entry_that_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
