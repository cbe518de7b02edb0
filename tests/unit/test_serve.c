/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serving: bytes that the kernel handed up are read in order, written, and the stream goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "../../daemon/splice/budget.h"
#include "../../daemon/splice/byhand.h"
#include "../../daemon/splice/lane.h"
#include "../../daemon/splice/serve.h"
#include "fakekernel.h"

static struct splice_test t;
static struct stream *const down = &t.streams[DOWN];
static struct lane *const lane = &t.lanes[DOWN];

#define LOOK_NS (100 * NSEC_PER_USEC) /* the shortest wait */

/* The server has said so much more, and the kernel hands all of it up. */
static void hand_up(size_t n)
{
	say(t.server_end, &t.server, lane->passed, n);
	lane->passed += n;
}

/* Tasks until no more is put off; time stands still. */
static void at_once(void)
{
	pass(&t, 0);
}

/* Whether what was handed up has stopped growing is known at the second look. */
static void pump_and_look(void)
{
	stream_pump(down);
	at_once();
	pass(&t, LOOK_NS);
}

static void test_serves_and_goes_back(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	assert_false(t.server.armed & EPOLLIN);
	hand_up(5000);
	stream_pump(down);
	assert_int_equal(down->state, STREAM_SERVING);
	assert_true(is_held(&t.server));
	assert_true(t.server.armed & EPOLLIN);
	assert_int_equal(t.stats.served, 1);
	assert_true(task_is_queued(&down->again));
	/* Whether it has stopped growing is known at the second look. */
	assert_int_equal(run_tasks(&t), 1);
	assert_int_equal(down->taken, 0);
	assert_int_equal(down->wait.at, t.turns.loop.now + LOOK_NS);
	pass(&t, LOOK_NS);
	expect(t.client_end, 0, 5000);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(down->taken, 5000);
	assert_int_equal(down->copied, 5000);
	assert_int_equal(t.server.received, 5000);
	assert_int_equal(t.client.sent, 5000);
	assert_null(down->pending);
	/* What the verdict goes by from here. */
	assert_int_equal(lane->forwarded, 5000);
	assert_int_equal(lane->copied, 0);
	assert_int_equal(lane->epoch, 2);
	assert_true(is_in(ENGAGED_FD, &t.server));
	assert_false(is_held(&t.server));
	assert_false(t.server.armed & EPOLLIN);
	assert_false(down->waiting);
	/* The other stream has seen nothing of it. */
	assert_int_equal(t.streams[UP].state, STREAM_ENGAGED);
	assert_int_equal(t.lanes[UP].epoch, 1);
	end(&t);
}

static void test_waits_while_it_grows(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	hand_up(1000);
	stream_pump(down);
	at_once();
	for (int i = 0; i < 5; i++) {
		hand_up(1000);
		pass(&t, LOOK_NS);
		assert_int_equal(down->state, STREAM_SERVING);
		assert_int_equal(down->taken, 0);
		/* Ever with the shortest wait. */
		assert_int_equal(down->wait.at, t.turns.loop.now + LOOK_NS);
	}
	pass(&t, LOOK_NS);
	assert_int_equal(down->state, STREAM_ENGAGED);
	expect(t.client_end, 0, 6000);
	end(&t);
}

static bool hand_up_more;

static void more_comes_first(struct splice_test *test)
{
	if (hand_up_more)
		hand_up(300);
	hand_up_more = false;
	sockops_leaves(test);
}

/* It may not leave the map while something handed up is unread: that could not be read any more. */
static void test_more_was_handed_up_meanwhile(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = more_comes_first;
	hand_up_more = true;
	hand_up(1000);
	pump_and_look();
	assert_int_equal(down->state, STREAM_SERVING);
	assert_true(is_in(ENGAGED_FD, &t.server));
	assert_int_equal(down->pending_len, 1000);
	pass(&t, LOOK_NS);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(lane->forwarded, 1300);
	expect(t.client_end, 0, 1300);
	end(&t);
}

/* 1000 bytes were handed up, of which 400 can be read, and are. */
static void begin_with_a_rest(void)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	say(t.server_end, &t.server, 0, 400);
	lane->passed = 1000;
	pump_and_look();
}

/* They may wait behind the socket's own backlog: only what is there is read, in order. */
static void test_not_all_of_it_can_be_read_yet(void **state _unused_)
{
	begin_with_a_rest();
	assert_int_equal(down->state, STREAM_SERVING);
	assert_int_equal(down->taken, 400);
	assert_true(down->waiting);
	say(t.server_end, &t.server, 400, 600);
	pass(&t, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(lane->forwarded, 1000);
	expect(t.client_end, 0, 1000);
	assert_int_equal(t.n_corrupt, 0);
	end(&t);
}

/* What was read is written before the rest can be; and that is looked for again soon. */
static void test_nothing_waits_for_what_stands_behind(void **state _unused_)
{
	begin_with_a_rest();
	pass(&t, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_SERVING);
	assert_int_equal(down->pending_len, 0);
	expect(t.client_end, 0, 400);
	assert_true(down->waiting && down->backoff <= 250 * NSEC_PER_MSEC);
	assert_true(t.alert_ns > 0);
	say(t.server_end, &t.server, 400, 600);
	pass(&t, 250 * NSEC_PER_MSEC);
	expect(t.client_end, 400, 600);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(t.n_corrupt + t.n_failed, 0);
	end(&t);
}

/* The end is there, and bytes before it are not: they are waited for, and not for ever. */
static void test_bytes_that_never_come(void **state _unused_)
{
	begin_engaged(&t);
	say(t.server_end, &t.server, 0, 400);
	assert_int_equal(shutdown(t.server_end, SHUT_WR), 0);
	lane->passed = 1000;
	pump_and_look();
	assert_int_equal(down->taken, 400);
	pass(&t, 4900 * NSEC_PER_MSEC);
	assert_int_equal(t.n_corrupt, 0);
	assert_int_equal(down->state, STREAM_SERVING);
	pass(&t, 600 * NSEC_PER_MSEC);
	assert_int_equal(t.n_corrupt, 1);
	assert_int_equal(t.n_done + t.n_failed, 0);
	end(&t);
}

static void await_end(void)
{
	for (int i = 0; i < 1000 && !t.server.fin_seen; i++) {
		struct tcp_info info;
		socklen_t len = sizeof(info);

		assert_int_equal(getsockopt(t.server.fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
		t.server.fin_seen = info.tcpi_state == TCP_CLOSE_WAIT;
		(void)usleep(1000);
	}
}

/* The time that one is given is not the next one's. */
static void test_a_proof_ends_its_time(void **state _unused_)
{
	begin_engaged(&t);
	assert_int_equal(shutdown(t.server_end, SHUT_WR), 0);
	await_end();
	down->wait_since = t.turns.loop.now - 6 * NSEC_PER_SEC;
	assert_true(kernel_proved(down));
	assert_int_equal(down->wait_since, 0);
	end(&t);
}

/* A source that has ended stays in the map until the last byte of it is read, and is copied. */
static void test_the_last_bytes(void **state _unused_)
{
	char byte;

	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	hand_up(2000);
	assert_int_equal(shutdown(t.server_end, SHUT_WR), 0);
	await_end();
	pump_and_look();
	assert_int_equal(down->why_copy, COPY_HALF_CLOSED);
	assert_int_equal(down->state, STREAM_DONE);
	assert_int_equal(t.n_done, 1);
	assert_int_equal(t.n_corrupt, 0);
	/* The other way is copied from now on: see kernel_release(). */
	assert_int_equal(t.streams[UP].state, STREAM_COPY);
	assert_int_equal(t.streams[UP].why_copy, COPY_HALF_CLOSED);
	assert_int_equal(recv(t.client_end, (char[2000]){0}, 2000, MSG_WAITALL), 2000);
	assert_int_equal(recv(t.client_end, &byte, 1, 0), 0);
	end(&t);
}

/* What was read and not written bounds what is read. */
static void test_pending_bytes_go_first(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	t.settings.window = 1000;
	t.server.segments = 1000; /* that small */
	hand_up(3000);
	stream_pump(down);
	at_once();
	assert_int_equal(stream_keep(down, (char[2001]){0}, 2001), 0);
	t.client.writable = false;
	pass(&t, LOOK_NS);
	assert_int_equal(down->state, STREAM_SERVING);
	assert_int_equal(down->taken, 0);
	assert_int_equal(down->pending_len, 2001);
	assert_true(down->waiting);
	t.client.writable = true;
	pass(&t, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(down->copied, 5001);
	end(&t);
}

/* No more is asked for at once than is to be pending, however much stands behind the other way. */
static void test_more_than_a_buffer_holds(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
	say(t.server_end, &t.server, 0, 1000);
	lane->passed = UINT64_C(1) << 40;
	pump_and_look();
	assert_int_equal(t.n_failed, 0);
	assert_int_equal(down->state, STREAM_SERVING);
	assert_int_equal(down->taken, 1000);
	assert_true(malloc_usable_size(down->pending) < 16 * WINDOW);
	end(&t);
}

static void test_the_source_fails(void **state _unused_)
{
	const struct linger hard = {.l_onoff = 1};

	begin_engaged(&t);
	lane->passed = 1000;
	stream_pump(down);
	at_once();
	assert_int_equal(setsockopt(t.server_end, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	assert_int_equal(close(t.server_end), 0);
	t.server_end = -1;
	pass(&t, LOOK_NS);
	assert_int_equal(t.n_failed, 1);
	assert_ptr_equal(t.failed, &t.server);
	assert_int_equal(t.error, ECONNRESET);
	/* It has ended: nothing waits any more. */
	assert_false(down->waiting);
	assert_false(task_is_queued(&down->again));
	end(&t);
}

/* Its connection was reset. It stays in the map, where what was handed up can be read, but not
 * while anything is held off in its queue. */
static void test_a_reset_while_it_is_served(void **state _unused_)
{
	begin_engaged(&t);
	hand_up(1000);
	stream_pump(down);
	assert_int_equal(down->state, STREAM_SERVING);
	assert_true(is_held(&t.server));
	assert_int_equal(shutdown(t.server_end, SHUT_WR), 0);
	await_end();
	t.server.failed = t.server.readable = true;
	kernel_abandon(down);
	assert_false(is_held(&t.server));
	assert_true(is_in(ENGAGED_FD, &t.server));
	stream_again(down);
	pass(&t, 10 * NSEC_PER_MSEC);
	expect(t.client_end, 0, 1000);
	assert_int_equal(t.n_delivered, 1);
	end(&t);
}

/* ---- leaving with the read -------------------------------------------------------------- */

/* The window opens, and the sender, on this host, has filled it again before the read returns. */
#define PIECE 60000

static unsigned int refills; /* so often */

static void refill(struct splice_test *test _unused_)
{
	if (!refills || lane->shut)
		return;
	refills--;
	say(t.server_end, &t.server, 0, PIECE);
	if (is_in(ENGAGED_FD, &t.server))
		lane->passed += PIECE;
}

static void leave_then_refill(struct splice_test *test)
{
	sockops_leaves(test);
	refill(test);
}

static void refill_then_leave(struct splice_test *test)
{
	refill(test);
	sockops_leaves(test);
}

static void test_leaves_with_the_read(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_ack = leave_then_refill;
	refills = 1;
	say(t.server_end, &t.server, 0, 1000);
	lane->passed = 1000;
	pump_and_look();
	/* What has come since is for the verdict. */
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(refills, 0);
	assert_int_equal(fake.mss, 0);
	assert_int_equal(lane->passed, 1000);
	assert_int_equal(lane->forwarded, 1000);
	assert_int_equal(lane->epoch, 2);
	assert_int_equal(lane->leave, lane->left);
	assert_int_equal(t.leaving, 0);
	assert_false(is_held(&t.server));
	assert_int_equal(t.server.received, 1000);
	expect(t.client_end, 0, 1000);
	end(&t);
}

static void the_rest_was_handed_up(struct splice_test *test)
{
	lane->passed = 1300;
	sockops_leaves(test);
}

/* Handed up between the look and the read: it would keep the source in the map. */
static void test_reads_what_came_since_the_look(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_ack = the_rest_was_handed_up;
	say(t.server_end, &t.server, 0, 1300);
	lane->passed = 1000;
	pump_and_look();
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(down->taken, 1300);
	assert_int_equal(t.server.received, 1300);
	assert_int_equal(lane->forwarded, 1300);
	expect(t.client_end, 0, 1300);
	end(&t);
}

static void leaves_too_soon(struct splice_test *test)
{
	sockops_leaves(test);
	lane->passed += 5;
}

/* Out of the map, and not all was read: it cannot be read any more. */
static void test_left_with_unread_bytes(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_ack = leaves_too_soon;
	hand_up(1000);
	pump_and_look();
	assert_int_equal(t.n_corrupt, 1);
	assert_int_equal(t.n_failed, 0);
	end(&t);
}

/* A read after which the window stays as it is: then the wish is withdrawn, and it leaves as usual.
 */
static void test_a_read_without_a_segment(void **state _unused_)
{
	begin_engaged(&t);
	fake.on_mss = more_comes_first;
	hand_up_more = true;
	hand_up(1000);
	pump_and_look();
	assert_int_equal(down->state, STREAM_SERVING);
	assert_int_equal(lane->leave, lane->left);
	assert_int_equal(t.leaving, 0);
	assert_true(is_held(&t.server));
	pass(&t, LOOK_NS);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(fake.mss, 2);
	expect(t.client_end, 0, 1300);
	end(&t);
}

/* ---- budgets ---------------------------------------------------------------------------- */

static uint64_t settled;

/* Nothing of it is passed on. */
static void pump_budgeted(struct stream *s)
{
	if (s->lane)
		settled += budget_settle(s);
}

static const struct engine engine_budgeted = {.pump = pump_budgeted, .budgets = true};

/* A budget is used up, and more has come behind it: each time that it is read, too. */
static void begin_beyond_budget(void)
{
	begin(&t);
	splice_by_hand(&t.sp, &engine_budgeted);
	for (int i = 0; i < 2; i++) {
		stream_enter(&t.streams[i], STREAM_COPY);
		t.streams[i].why_copy = COPY_NONE;
	}
	t.settings.window = 64 * 1024;
	t.server.segments = 64 * 1024;
	refills = 30;
	settled = 0;
	assert_int_equal(budget_engage(down, 1000), 0);
	lane->redirected = 1000;
	say(t.server_end, &t.server, 0, PIECE);
	lane->passed = PIECE;
	stream_pump(down);
	assert_int_equal(down->state, STREAM_SERVING);
}

/* What the protocol does not pass on is not added to: its sender waits. */
static void test_a_budget_is_bounded(void **state _unused_)
{
	begin_beyond_budget();
	fake.on_ack = leave_then_refill;
	fake.on_mss = refill_then_leave;
	pass(&t, 50 * NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	assert_null(down->lane);
	assert_int_equal(settled, 1000);
	assert_int_equal(down->pending_len, PIECE);
	for (int i = 0; i < PIECE; i++)
		if (down->pending[i] != pattern_at((uint64_t)i))
			fail_msg("byte %d is wrong", i);
	assert_int_equal(refills, 29);
	assert_int_equal(t.server.received, PIECE + 1000);
	assert_true(t.server.readable);
	assert_false(is_held(&t.server));
	assert_false(down->waiting);

	/* Behind a small window such a sender is read by hand. */
	down->drained = t.streams[UP].drained = true;
	assert_true(budget_possible(down, 1000));
	t.server.share = 256 * 1024;
	assert_false(budget_possible(down, 1000));
	t.server.filled = false;
	assert_true(budget_possible(down, 1000));
	end(&t);
}

/* sockops is not called for it: then the gate keeps the sender out, and it leaves. */
static void test_a_budget_that_cannot_leave(void **state _unused_)
{
	begin_beyond_budget();
	fake.on_ack = refill;
	for (int i = 0; i < 50 && down->state == STREAM_SERVING; i++)
		pass(&t, NSEC_PER_MSEC);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(t.n_failed + t.n_corrupt, 0);
	assert_int_equal(refills, 27);
	assert_int_equal(lane->shut, 1);
	assert_true(t.alert_ns > 0);
	assert_int_equal(down->pending_len, 4 * PIECE);
	for (int i = 0; i < PIECE; i++)
		assert_int_equal(down->pending[i + 3 * PIECE], pattern_at((uint64_t)i));
	/* It is open again for the next one. */
	down->pending_len = 0;
	down->drained = t.streams[UP].drained = true;
	t.server.filled = false;
	assert_int_equal(budget_engage(down, 1000), 0);
	assert_int_equal(lane->shut, 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_serves_and_goes_back),
	    cmocka_unit_test(test_waits_while_it_grows),
	    cmocka_unit_test(test_more_was_handed_up_meanwhile),
	    cmocka_unit_test(test_not_all_of_it_can_be_read_yet),
	    cmocka_unit_test(test_nothing_waits_for_what_stands_behind),
	    cmocka_unit_test(test_bytes_that_never_come),
	    cmocka_unit_test(test_a_proof_ends_its_time),
	    cmocka_unit_test(test_the_last_bytes),
	    cmocka_unit_test(test_pending_bytes_go_first),
	    cmocka_unit_test(test_more_than_a_buffer_holds),
	    cmocka_unit_test(test_the_source_fails),
	    cmocka_unit_test(test_a_reset_while_it_is_served),
	    cmocka_unit_test(test_leaves_with_the_read),
	    cmocka_unit_test(test_reads_what_came_since_the_look),
	    cmocka_unit_test(test_left_with_unread_bytes),
	    cmocka_unit_test(test_a_read_without_a_segment),
	    cmocka_unit_test(test_a_budget_is_bounded),
	    cmocka_unit_test(test_a_budget_that_cannot_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
